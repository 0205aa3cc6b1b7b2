//! What a tired admin sees when a build fails: the exit status, one sentence that names the cause
//! and the next step, and nothing left behind. Every failure is a real one, of the real program;
//! `causes.rs` has one for each cause of a verdict.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use crate::support;
use crate::support::mirror::Fault;
use crate::support::site::{Outcome, Site, kickstart, run, start};
use crate::support::verdict::{assert_build_failed, assert_not_waited_for, assert_says, verdict};
use crate::support::{crafted, is_root, kill};

/// What ozr says before a guest starts.
const GUEST_STARTS: &str = "] starting the guest";

/// ozr refused before it started a guest, and left nothing.
fn assert_refused(site: &Site, outcome: &Outcome, status: i32, words: &[&str]) {
    outcome.assert_failed(status, &[]);
    assert_says(outcome, words);
    assert!(!outcome.stderr.contains(GUEST_STARTS), "{}", outcome.stderr);
    site.assert_clean(outcome, &[]);
}

/// An ordinary user.
const NOBODY: u32 = 65534;

/// The command line was refused before anything was touched or asked.
fn assert_nothing_done(site: &Site, outcome: &Outcome, words: &[&str]) {
    outcome.assert_failed(2, &[]);
    assert_says(outcome, words);
    assert_eq!(site.mirror.requests().len(), 0, "{}", outcome.stderr);
    site.assert_nothing_runs(outcome);
}

/// Every file of the site's `NAME.failed`, with what it holds.
fn evidence(site: &Site) -> Vec<(PathBuf, Vec<u8>)> {
    walkdir::WalkDir::new(site.output("failed"))
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| {
            let content = std::fs::read(entry.path()).unwrap();
            (entry.into_path(), content)
        })
        .collect()
}

fn has(content: &[u8], text: &str) -> bool {
    content
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

/// A run that is interrupted before a guest runs leaves nothing at all.
fn assert_interrupted(site: &Site, outcome: &Outcome, by: &str) {
    outcome.assert_failed(130, &[]);
    assert_says(outcome, &["interrupted by", by]);
    site.assert_clean(outcome, &[]);
}

/// `ozr cache list` of the site's cache.
fn cached(site: &Site) -> String {
    let mut command = site.ozr();
    command
        .args(["cache", "list", "--cache-dir"])
        .arg(site.path("cache"));
    let outcome = run(command);
    outcome.assert_done();
    outcome.stdout
}

/// Ends the guests of a site that were left running on purpose.
fn kill_qemus(site: &Site) {
    for pid in site.qemus() {
        kill("KILL", pid);
    }
}

/// `ozr install` as the site does it, but to another directory.
fn install_into(site: &Site, dir: &Path) -> Command {
    let usual = site.install_unchecked(&kickstart(""));
    let mut command = site.ozr();
    let words = usual.get_args().skip_while(|word| *word != "install");
    for word in words {
        command.arg(if word == site.out() {
            dir.as_os_str()
        } else {
            word
        });
    }
    command
}

// Refused before anything is spent.

#[test]
fn a_bad_template() {
    let mut site = Site::bare("bad");
    site.additions = "<packages><package nam='tree'/></packages>".to_string();
    let outcome = run(site.install(&kickstart("")));
    assert_refused(&site, &outcome, 2, &["template.tdl has errors"]);
    let caret = outcome
        .stderr
        .lines()
        .any(|line| line.trim_start_matches([' ', '|']).starts_with('^'));
    assert!(caret, "{}", outcome.stderr);
    outcome.assert_failed(2, &["template.tdl:10:20", "<package nam='tree'/>"]);
    assert_eq!(site.mirror.requests().len(), 0);
}

/// CI hears of what never came to a guest, too; and a report that cannot be written is refused
/// before anything is spent.
#[test]
fn reports_of_a_refusal_and_reports_that_are_refused() {
    let mut site = Site::bare("report");
    site.additions = "<packages><package nam='tree'/></packages>".to_string();
    let (junit, markdown) = (site.path("junit.xml"), site.path("summary.md"));
    let report = |values: &[String]| {
        let mut command = site.install(&kickstart(""));
        for value in values {
            command.arg("--report").arg(value);
        }
        run(command)
    };
    let both = [
        format!("junit={}", junit.display()),
        format!("markdown={}", markdown.display()),
    ];
    for _ in 0..2 {
        let outcome = report(&both);
        assert_refused(&site, &outcome, 2, &["template.tdl has errors"]);
        let text = std::fs::read_to_string(&junit).unwrap();
        assert!(
            text.contains("<error type=\"wrong-input\" message=\""),
            "{text}"
        );
        // The second replaces the first.
        let text = std::fs::read_to_string(&markdown).unwrap();
        assert_eq!(text.matches("failed: `wrong-input`").count(), 1, "{text}");
    }
    let left = std::fs::read_dir(site.path("")).unwrap();
    let left = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(
        !left
            .into_iter()
            .any(|name| name.starts_with(".ozr-report-"))
    );

    let nowhere = format!("junit={}/none/j.xml", site.path("").display());
    assert_refused(
        &site,
        &report(&[nowhere]),
        2,
        &["none/j.xml cannot be written"],
    );
    let outcome = report(&["sarif=x".to_string()]);
    outcome.assert_failed(2, &["write junit=FILE or markdown=FILE"]);
}

/// Whoever may not write a report may not replace it either; and nobody else may read it.
#[test]
fn reports_are_private_and_replace_nothing_that_may_not_be_written() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

    let mut site = Site::bare("private");
    site.additions = "<packages><package nam='tree'/></packages>".to_string();
    site.as_user(NOBODY);
    let junit = site.path("out/junit.xml");
    let report = || {
        let mut command = site.install(&kickstart(""));
        let target = format!("junit={}", junit.display());
        command.args(["--report", &target]);
        run(command)
    };
    std::fs::write(&junit, "precious").unwrap();
    std::fs::set_permissions(&junit, std::fs::Permissions::from_mode(0o444)).unwrap();
    report().assert_failed(2, &["junit.xml cannot be written"]);
    assert_eq!(std::fs::read_to_string(&junit).unwrap(), "precious");

    std::fs::remove_file(&junit).unwrap();
    report().assert_failed(2, &["template.tdl has errors"]);
    assert_eq!(junit.metadata().unwrap().mode() & 0o777, 0o600);

    // A link of another user's, in a directory that both may write in.
    std::fs::remove_file(&junit).unwrap();
    let target = site.write("precious", "precious");
    chown(&target, Some(NOBODY), None).unwrap();
    symlink(&target, &junit).unwrap();
    std::os::unix::fs::lchown(&junit, Some(NOBODY - 1), None).unwrap();
    report().assert_failed(2, &["junit.xml cannot be written", "another user's"]);
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "precious");
}

/// Outputs replace files, and nothing else: not a directory, a device or a pipe, whatever is said.
#[test]
#[cfg_attr(not(feature = "libvirt"), ignore = "runs guests")]
fn outputs_replace_files_only() {
    let site = Site::bare("kinds");
    let out = site.out();
    std::fs::create_dir_all(out.join("images/sub")).unwrap();
    std::fs::write(out.join("images/sub/other.qcow2"), "precious").unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, out.join("pipe"), 0o600.into()).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(out.join("socket")).unwrap();
    for (option, name, is) in [
        ("-s", "out/images", "is a directory"),
        ("-x", "out/images", "is a directory"),
        ("-s", "out/pipe", "is a pipe"),
        ("-x", "out/socket", "is a socket"),
    ] {
        for force in ["--force", "-p", "-q"] {
            let outcome = run(site.install_into(&[option, name, force]));
            assert_nothing_done(&site, &outcome, &[name, is]);
        }
    }
    let image = site.install_into(&["-s", "/dev/null", "--force"]);
    assert_nothing_done(&site, &run(image), &["/dev/null, which is a device"]);
    // What lies beside the image is an output, too.
    std::fs::create_dir(out.join("web.manifest.json")).unwrap();
    let beside = site.install_into(&["-s", "out/web.qcow2", "--force"]);
    assert_nothing_done(&site, &run(beside), &["the manifest cannot be"]);
    let left = std::fs::read_to_string(out.join("images/sub/other.qcow2")).unwrap();
    assert_eq!(left, "precious");
    let nowhere = site.install_into(&["-s", "out/x.qcow2", "-x", "none/x.xml"]);
    assert_nothing_done(&site, &run(nowhere), &["there is no directory"]);
    let other = site.install_into(&["-s", "out/x.vmdk"]);
    assert_nothing_done(&site, &run(other), &["would not be what its ending names"]);
}

/// Two outputs of a build are never one file, and none is one of its inputs: refused before
/// anything is opened, whatever the files hold.
#[test]
fn outputs_are_files_of_their_own() {
    let site = Site::bare("apart");
    let image = site.path("out/a.qcow2");
    std::fs::write(&image, "precious").unwrap();
    std::fs::hard_link(&image, site.path("hard")).unwrap();
    std::os::unix::fs::symlink("out/a.qcow2", site.path("soft")).unwrap();
    let hard = "the image and the report junit are the same file";
    for (options, says) in [
        (["-x", "out/a.qcow2"], "the image and the image's XML are"),
        (["-x", "out/a.served.ks"], "the image's XML and the served"),
        (["--report", "junit=out/a.qcow2"], hard),
        (["--report", "junit=out/../out/a.qcow2"], hard),
        (["--report", "junit=hard"], hard),
        (["--report", "junit=soft"], hard),
        (
            ["--report", "markdown=out/a.manifest.json"],
            "the manifest and",
        ),
        (
            ["--report", "junit=test.ks"],
            "the kickstart and the report",
        ),
        (["--report", "junit=template.tdl"], "the template and the"),
        (
            ["--progress", "json=out/a.qcow2"],
            "the image and the events'",
        ),
        (
            ["--progress", "json=out/a.console.log"],
            "the console log and",
        ),
        (["--progress", "json=template.tdl"], "the template and the"),
    ] {
        let [option, value] = options;
        let mut command = site.install_into(&["-s", "out/a.qcow2", "--force", option, value]);
        command.env_remove("GITHUB_STEP_SUMMARY");
        let outcome = run(command);
        assert_nothing_done(&site, &outcome, &[says]);
    }
    assert_eq!(std::fs::read_to_string(&image).unwrap(), "precious");
    let left = std::fs::read_dir(site.out()).unwrap().count();
    assert_eq!(left, 1);
}

/// A virtual machine that runs would go on writing to an image that has no name any more.
#[test]
#[cfg_attr(not(feature = "libvirt"), ignore = "runs guests")]
fn an_image_in_use_is_not_replaced() {
    let site = Site::bare("used");
    let image = site.path("out/a.qcow2");
    let create = ["create", "-q", "-f", "qcow2", "out/a.qcow2", "64M"];
    let created = Command::new("qemu-img")
        .args(create)
        .current_dir(site.path(""))
        .status();
    assert!(created.unwrap().success());
    let mut qemu = Command::new("qemu-storage-daemon")
        .arg("--blockdev")
        .arg(format!(
            "driver=file,node-name=f,filename={}",
            image.display()
        ))
        .args(["--blockdev", "driver=qcow2,node-name=q,file=f"])
        .args(["--chardev", "stdio,id=m", "--monitor", "chardev=m"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut greeting = String::new();
    let said = qemu.stdout.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(said), &mut greeting).unwrap();
    assert!(greeting.contains("QMP"), "{greeting}");
    let install = || run(site.install_into(&["-s", "out/a.qcow2", "--force"]));
    assert_nothing_done(&site, &install(), &["out/a.qcow2 is in use"]);
    qemu.kill().unwrap();
    qemu.wait().unwrap();
    // It is free, and the mirror, which has nothing, is asked.
    install().assert_failed(4, &[]);
}

#[test]
fn a_template_with_an_iso_image_that_is_not_there() {
    let site = Site::bare("iso");
    let text = std::fs::read_to_string(site.write_template()).unwrap();
    let url = site.mirror.url("/os/").to_string();
    let text = text.replace(
        &format!("<install type='url'><url>{url}</url>"),
        &format!("<install type='iso'><iso>{url}boot.iso</iso>"),
    );
    let template = site.write("iso.tdl", &text);
    let mut command = site.ozr();
    command
        .arg("install")
        .arg(template)
        .arg("--output-dir")
        .arg(site.out())
        .arg("-k")
        .arg(site.write("test.ks", &kickstart("")));
    let outcome = run(command);
    assert_refused(&site, &outcome, 4, &["/os/boot.iso (404)"]);
    outcome.assert_failed(4, &["iso.tdl:7:26"]);
}

#[test]
fn hardware_that_is_not_there() {
    let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    if flags
        .split_ascii_whitespace()
        .any(|flag| flag == "vmx" || flag == "svm")
    {
        eprintln!("skipped: this CPU offers virtualisation");
        return;
    }
    let Some(site) = Site::new("kvm") else {
        return;
    };
    let mut command = site.install(&kickstart(""));
    command.args(["--accel", "kvm"]);
    let outcome = run(command);
    assert_refused(&site, &outcome, 3, &["KVM", "--accel tcg"]);
}

#[test]
#[cfg_attr(not(feature = "libvirt"), ignore = "runs guests")]
fn an_output_directory_that_cannot_be_written() {
    if !is_root() {
        return;
    }
    let mut site = Site::bare("closed");
    site.as_user(NOBODY);
    let closed = site.path("closed");
    std::fs::create_dir(&closed).unwrap();
    for dir in [closed.clone(), closed.join("below")] {
        let outcome = run(install_into(&site, &dir));
        assert_refused(
            &site,
            &outcome,
            3,
            &[
                &dir.display().to_string(),
                "Permission denied",
                "--output-dir",
            ],
        );
    }
    assert_eq!(std::fs::read_dir(&closed).unwrap().count(), 0);
}

// The mirror.

#[test]
#[cfg_attr(not(feature = "libvirt"), ignore = "runs guests")]
fn a_mirror_that_is_down() {
    let site = Site::bare("down");
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let command = site.install(&kickstart(""));
    let text = std::fs::read_to_string(site.path("template.tdl")).unwrap();
    let url = format!("http://127.0.0.1:{port}/os/");
    site.write(
        "template.tdl",
        &text.replace(site.mirror.url("/os/").as_str(), &url),
    );
    let outcome = run(command);
    assert_refused(&site, &outcome, 4, &[&url, "refuses connections"]);
    assert_eq!(cached(&site), "");
}

#[test]
fn mirrors_whose_content_is_wrong() {
    const KERNEL: &str = "/os/images/pxeboot/vmlinuz";
    let Some(site) = Site::new("wrong") else {
        return;
    };
    let kernel = site.mirror.url(KERNEL).to_string();
    // Each fault is undone before the next.
    let refused = |words: &[&str]| {
        let outcome = run(site.install(&kickstart("")));
        assert_refused(&site, &outcome, 4, words);
        let cached = cached(&site);
        assert!(!cached.contains("vmlinuz"), "{cached}");
    };

    site.mirror
        .change(KERNEL, |file| file.always = Some(Fault::CutAt(100_000)));
    refused(&[&kernel]);

    site.mirror.change(KERNEL, |file| {
        file.always = None;
        *Arc::make_mut(&mut file.body).last_mut().unwrap() ^= 1;
    });
    refused(&[&kernel, "sha256"]);

    // The installer would miss it only after minutes.
    site.mirror.change(KERNEL, |file| {
        *Arc::make_mut(&mut file.body).last_mut().unwrap() ^= 1
    });
    site.mirror.remove("/os/images/install.img");
    let outcome = run(site.install(&kickstart("")));
    assert_refused(
        &site,
        &outcome,
        4,
        &["images/install.img", "cannot be booted"],
    );

    site.mirror.remove("/os/.treeinfo");
    site.mirror.remove(KERNEL);
    let outcome = run({
        let mut command = site.install(&kickstart(""));
        command.arg("--refetch");
        command
    });
    assert_refused(&site, &outcome, 4, &[site.mirror.url("/os/").as_str()]);
}

#[test]
fn ctrl_c_while_the_mirror_stalls() {
    let Some(site) = Site::new("stall") else {
        return;
    };
    site.mirror.change("/os/images/pxeboot/vmlinuz", |file| {
        file.always = Some(Fault::StallAt(100_000));
    });
    let running = start(site.install(&kickstart("")));
    site.mirror.wait_for_stall();
    running.signal("INT");
    let outcome = running.wait();
    assert_interrupted(&site, &outcome, "SIGINT");
    assert!(!outcome.stderr.contains(GUEST_STARTS), "{}", outcome.stderr);
    let cached = cached(&site);
    assert!(!cached.contains("vmlinuz"), "{cached}");
}

/// The check before the build is interrupted, too; no guest and no build is there yet.
#[test]
fn sigterm_while_the_check_waits_for_the_mirror() {
    let Some(site) = Site::new("checking") else {
        return;
    };
    site.mirror.change("/os/repodata/repomd.xml", |file| {
        file.always = Some(Fault::StallAt(100));
    });
    let running = start(site.install(&kickstart("")));
    site.mirror.wait_for_stall();
    running.signal("TERM");
    let outcome = running.wait();
    assert_interrupted(&site, &outcome, "SIGTERM");
    assert!(!outcome.stderr.contains("getting the installer"));
}

// The guest fails.

#[test]
fn a_guest_that_cannot_be_started() {
    let Some(site) = Site::new("nostart") else {
        return;
    };
    let mut command = site.install(&kickstart(""));
    command.args(["--network-device", "no-such-card"]);
    let outcome = run(command);
    outcome.assert_failed(3, &[]);
    let failed = site.output("failed");
    assert_says(&outcome, &["no-such-card", &failed.display().to_string()]);
    site.assert_clean(&outcome, &["failed"]);
    let verdict = verdict(&site);
    assert_eq!(verdict["cause"], "hypervisor-failed", "{verdict:#}");
    assert_eq!(verdict["exit_status"], 3);
    let words = verdict["seen"][0]["text"].as_str().unwrap();
    assert!(words.contains("no-such-card"), "{verdict:#}");
    for file in [
        "kickstart.ks",
        "timings.json",
        "versions.json",
        "verdict.txt",
    ] {
        assert!(failed.join(file).exists(), "no {file}");
    }
}

/// The guest prints all that it knows, and what explains its failure holds none of it. What CI
/// systems are told is in order, too.
#[test]
#[ignore = "long"]
fn secrets_stay_secret_and_reports_are_written() {
    if crate::support::is_left_out() {
        return;
    }
    let Some(mut site) = Site::new("secrets") else {
        return;
    };
    let with_password = site.mirror.url("/os/.treeinfo").to_string();
    let with_password = with_password.replace("http://", "http://me:f1le-p%40ss@");
    site.additions =
        format!("<files><file name='/etc/from-url' type='url'>{with_password}</file></files>");
    site.kernelparam = "inst.vncpassword=kern-pass9".to_string();
    site.rootpw = Some("t3mplate-pass".to_string());
    let text = kickstart(
        "%post --erroronfail\n\
         { cat /proc/cmdline; echo \"<pl4nted/p&ss>\" pl4nted%2Fp%26ss pl4nted%2fp%26ss\n\
         echo f1le-p@ss f1le-p%40ss kern-pass9 t3mplate-pass; } > /dev/console\n\
         false\n%end\n",
    )
    .replace("--plaintext test-only", "--plaintext 'pl4nted/p&ss'");
    let (junit, markdown) = (site.path("junit.xml"), site.path("summary.md"));
    std::fs::write(&markdown, "Of another step.\n").unwrap();
    let mut command = site.install_unchecked(&text);
    command
        .arg("--report")
        .arg(format!("junit={}", junit.display()))
        .arg("--report")
        .arg(format!("markdown={}", markdown.display()))
        .env("GITHUB_STEP_SUMMARY", &markdown);
    let mut running = start(command);
    running.wait_for("] starting the installer\n");
    let command_line = std::fs::read(format!("/proc/{}/cmdline", site.qemus()[0])).unwrap();
    let command_line = String::from_utf8_lossy(&command_line).into_owned();
    let (_, after) = command_line.split_once("inst.ks=http://").unwrap();
    let token = after.split('/').nth(1).unwrap().to_owned();
    assert!(token.len() >= 16, "{token}");
    let outcome = running.wait();
    assert_build_failed(&site, &outcome, "script-failed", &["the script at line "]);

    let mut files = evidence(&site);
    files.push((PathBuf::from("stderr"), outcome.stderr.clone().into_bytes()));
    files.push((junit.clone(), std::fs::read(&junit).unwrap()));
    files.push((markdown.clone(), std::fs::read(&markdown).unwrap()));
    for (path, content) in &files {
        for secret in [
            token.as_str(),
            "ozr-done-",
            "pl4nted",
            "f1le-p",
            "kern-pass9",
            "t3mplate-pass",
        ] {
            assert!(!has(content, secret), "{path:?} holds {secret}");
        }
    }
    // They were there.
    let holds = |name: &str, text: &str| {
        let (path, content) = files.iter().find(|(path, _)| path.ends_with(name)).unwrap();
        let shown = String::from_utf8_lossy(content);
        assert!(has(content, text), "`{text}` is not in {path:?}: {shown}");
    };
    holds("console.log", "<…> … …");
    holds("console.raw", "<************> ");
    holds("console.log", "inst.vncpassword=…");
    holds("domain.xml", "inst.vncpassword=…");
    holds("installer.log", " INFO anaconda: ");
    holds("logport.raw", " INFO anaconda:");
    holds("screenshot.png", "IHDR");
    holds(
        "junit.xml",
        "<failure type=\"script-failed\" message=\"the script at line ",
    );
    holds("junit.xml", "<property name=\"ozr.seconds.post-scripts\"");
    holds("summary.md", "Of another step.\n### ozr: ");
    holds(
        "summary.md",
        "<summary>The last lines of the console</summary>",
    );
}

#[test]
#[ignore = "long"]
fn a_command_of_the_template_fails() {
    if crate::support::is_left_out() {
        return;
    }
    let Some(mut site) = Site::new("fails") else {
        return;
    };
    site.additions = "<commands><command name='fine'>true</command>\
                      <command name='x'>exit 3</command></commands>"
        .to_string();
    let outcome = run(site.install(&kickstart("")));
    assert_build_failed(
        &site,
        &outcome,
        "script-failed",
        &[
            "what the template adds failed: command \"x\" failed with exit status 3; correct the template",
        ],
    );
    assert_not_waited_for(&site);
}

/// The install is done and proven: what it cannot do is switch the machine off.
#[test]
fn a_guest_that_cannot_switch_itself_off() {
    let play = crafted::INSTALL.strip_suffix("power_off\n").unwrap();
    let play = format!("{play}say 'dracut Warning: poweroff failed!'\nstay\n");
    let Some(site) = crafted::site("nopower", &play) else {
        return;
    };
    let junit = site.path("junit.xml");
    let mut command = site.install(&kickstart(""));
    command
        .arg("--report")
        .arg(format!("junit={}", junit.display()));
    let outcome = run(command);
    outcome.assert_done();
    let report = std::fs::read_to_string(junit).unwrap();
    assert!(report.contains("failures=\"0\" errors=\"0\""), "{report}");
    let image = site.output("qcow2").display().to_string();
    assert!(
        report.contains(&format!("<system-out>{image}</system-out>")),
        "{report}"
    );
    assert!(
        outcome.stderr.contains("could not switch itself off"),
        "{}",
        outcome.stderr
    );
    assert!(site.output("qcow2").exists());
}

/// And what `--keep` keeps is known to the next build of that name, which ends it, even if it
/// comes to nothing itself.
#[test]
fn a_question_and_the_guest_is_kept() {
    let Some(mut site) = Site::new("question") else {
        return;
    };
    site.kernelparam = "inst.cmdline=0".to_string();
    let text = kickstart("%packages\nno-such-package\n%end\n");
    let mut command = site.install_unchecked(&text);
    command.arg("--keep");
    let kept = run(command);
    kept.assert_failed(1, &["was left running", "note: "]);
    assert_says(&kept, &["waits for an answer"]);
    assert_eq!(site.qemus().len(), 1, "{}", kept.stderr);
    let note = kept
        .stderr
        .lines()
        .find(|line| line.contains("was left running"))
        .unwrap();
    let work = site.out().join(format!(".{}.ozr", site.name));
    assert!(note.contains(&work.display().to_string()), "{note}");
    assert!(work.join("disk.qcow2").exists());

    site.mirror.remove("/os/.treeinfo");
    site.mirror.remove("/os/images/pxeboot/vmlinuz");
    let next = run(site.install_unchecked(&text));
    if next.status != 4 {
        kill_qemus(&site);
    }
    next.assert_failed(4, &[&format!("what process {} left", kept.pid)]);
    site.assert_clean(&next, &["failed"]);
    site.assert_clean(&kept, &["failed"]);
}

// It is tried again.

/// A mirror that refuses once, then a QEMU that is killed: neither is the input's fault.
#[test]
fn what_is_not_in_the_input_is_tried_again() {
    let Some(site) = Site::new("retries") else {
        return;
    };
    site.mirror.change("/os/images/pxeboot/vmlinuz", |file| {
        file.next = vec![Some(Fault::Status(403, Vec::new()))];
    });
    let mut command = site.install_unchecked(&kickstart(""));
    command.args(["--retries", "2"]);
    let mut running = start(command);
    running.wait_for("attempt 2 of 3");
    running.wait_for("] booting the installer's kernel\n");
    for pid in site.qemus() {
        kill("KILL", pid);
    }
    running.wait_for("attempt 3 of 3");
    assert!(site.qemus().is_empty());
    running.signal("INT");
    let outcome = running.wait();
    outcome.assert_failed(130, &["warning: ", "403", "QEMU was killed by signal 9"]);
    assert_says(&outcome, &["interrupted by SIGINT"]);
    // What explains the attempt before stays.
    site.assert_clean(&outcome, &["failed"]);
    assert_eq!(verdict(&site)["cause"], "guest-killed");
}

// What is there already.

#[test]
fn an_image_is_replaced_only_by_force_and_only_by_a_good_one() {
    let Some(site) = crafted::site("force", crafted::INSTALL) else {
        return;
    };
    let image = site.output("qcow2");
    std::fs::write(&image, "precious").unwrap();
    let refused = run(site.install(&kickstart("")));
    refused.assert_failed(2, &[]);
    assert_says(
        &refused,
        &[&image.display().to_string(), "exists already", "--force"],
    );
    site.assert_clean(&refused, &["qcow2"]);
    assert_eq!(site.mirror.requests().len(), 0);
    assert_eq!(std::fs::read(&image).unwrap(), b"precious");

    let force = || {
        let mut command = site.install(&kickstart(""));
        command.arg("--force");
        command
    };
    site.mirror.change("/os/images/pxeboot/vmlinuz", |file| {
        file.next = vec![Some(Fault::Status(403, Vec::new()))];
    });
    // The check would meet the fault in the build's place.
    let failed = run({
        let mut command = force();
        command.arg("--no-check");
        command
    });
    failed.assert_failed(4, &[]);
    assert_says(&failed, &["403"]);
    site.assert_clean(&failed, &["qcow2"]);
    assert_eq!(std::fs::read(&image).unwrap(), b"precious");

    // What explains an older failure is gone after a success, and what others put there is not.
    let older = site.output("failed");
    std::fs::create_dir(&older).unwrap();
    for name in ["verdict.txt", "notes.txt"] {
        std::fs::write(older.join(name), "old\n").unwrap();
    }
    let mut building = start(force());
    building.wait_for(GUEST_STARTS);
    let second = run(force());
    second.assert_failed(3, &[]);
    assert_says(
        &second,
        &[
            "another build",
            &format!("process {}", building.pid()),
            "--name",
        ],
    );
    assert_eq!(std::fs::read(&image).unwrap(), b"precious");
    let outcome = building.wait();
    outcome.assert_done();
    site.assert_built(&outcome, &["qcow2", "failed"]);
    for word in ["failed stays", "notes.txt"] {
        assert!(outcome.stderr.contains(word), "{}", outcome.stderr);
    }
    assert_eq!(std::fs::read_dir(&older).unwrap().count(), 1);
    assert!(std::fs::read(&image).unwrap().starts_with(b"QFI\xfb"));
}

/// The installer has done all that a good install does, and a script has emptied the disk.
#[test]
fn a_finished_install_that_left_an_empty_disk() {
    let Some(site) = crafted::site("empty", crafted::INSTALL) else {
        return;
    };
    let script = "%post --nochroot\ndd if=/dev/zero of=/dev/vda bs=1M count=1\n%end\n";
    let outcome = run(site.install_unchecked(&kickstart(script)));
    assert_build_failed(&site, &outcome, "storage-failed", &["no file system"]);
}

/// On a daemon a kept guest is in nobody's way, and `-p` removes it.
#[test]
fn a_leftover_guest_on_the_system_daemon() {
    const SYSTEM: [&str; 2] = ["--connect", "qemu:///system"];
    let Some(site) = crafted::site("leftover", crafted::INSTALL) else {
        return;
    };
    let Some(_daemon) = support::daemon::start() else {
        return;
    };
    let guests = || {
        let all = support::daemon::virsh(&["list", "--all", "--name"]);
        let ours = all.lines().filter(|name| name.contains(&site.name));
        ours.map(str::to_owned).collect::<Vec<_>>()
    };
    let mut command = site.install_unchecked(&format!("no-such-command\n{}", kickstart("")));
    command.args(SYSTEM).arg("--keep");
    let kept = run(command);
    kept.assert_failed(
        1,
        &["was left running", "virsh -c 'qemu:///system' console"],
    );
    let of_first = guests();
    assert_eq!(of_first.len(), 1, "{of_first:?}");

    let elsewhere = site.path("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    // While it boots; the guests when it has ended, and what it said.
    let interrupted = |more: &[&str]| {
        let mut command = install_into(&site, &elsewhere);
        command.args(SYSTEM).args(more);
        let mut running = start(command);
        running.wait_for("] booting the installer's kernel\n");
        let meanwhile = guests();
        running.signal("INT");
        (meanwhile, running.wait())
    };
    let (meanwhile, outcome) = interrupted(&[]);
    outcome.assert_failed(130, &[]);
    assert_eq!(meanwhile.len(), 2, "{meanwhile:?}");
    assert_eq!(guests(), of_first);
    let (meanwhile, outcome) = interrupted(&["-p"]);
    outcome.assert_failed(130, &["removing the leftover guest"]);
    assert_eq!(meanwhile.len(), 1, "{meanwhile:?}");
    assert!(!meanwhile.contains(&of_first[0]), "{meanwhile:?}");
    assert!(guests().is_empty(), "{:?}", guests());
    // The verdict of the interrupted build is all that it leaves.
    let left: Vec<_> = std::fs::read_dir(&elsewhere)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(left, [format!("{}.failed", site.name)]);

    // What was kept of the first is there until somebody says so.
    let outcome = site.gc(&["--kept"]);
    outcome.assert_done();
    assert!(outcome.stdout.contains(&site.name), "{outcome:?}");
    site.assert_clean(&kept, &["failed"]);
}
