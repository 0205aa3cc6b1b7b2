//! The command line as people and scripts meet it: the real program, its statuses and its words.

#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::mirror::{Fault, Tree, sha256};
use crate::support::site::{Outcome, Site, kickstart, run};
use crate::support::terminal::Terminal;

/// Every command, and the program itself.
const PAGES: [&str; 31] = [
    "",
    "install",
    "build",
    "try",
    "warm",
    "new",
    "template",
    "kickstart",
    "boot-test",
    "list",
    "attach",
    "screenshot",
    "check",
    "convert",
    "customize",
    "verify",
    "explain",
    "releases",
    "diff-releases",
    "diff",
    "history",
    "needs-rebuild",
    "cache",
    "config",
    "gc",
    "inspect",
    "write",
    "media",
    "doctor",
    "man",
    "completions",
];

fn ozr(site: &Site, arguments: &[&str]) -> Outcome {
    let mut command = site.ozr();
    command.args(arguments);
    run(command)
}

/// Whoever writes the secret itself where its source belongs does not find it in a log.
#[test]
fn a_secret_on_the_command_line_is_not_repeated() {
    let site = Site::bare("secret");
    for arguments in [
        ["install", "t.tdl", "--luks-passphrase", "hunter2"].as_slice(),
        &[
            "boot-test",
            "i.qcow2",
            "--login",
            "a",
            "--login-password",
            "hunter2",
        ],
    ] {
        let outcome = ozr(&site, arguments);
        outcome.assert_failed(2, &["file:PATH", arguments[arguments.len() - 2]]);
        assert!(!outcome.stderr.contains("hunter2"), "{outcome:?}");
    }
}

/// A public key of ssh-keygen's, and what it calls it.
const PUBLIC_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA me";

/// Who may log in as root is said by options, refused before anything is done, and asked for at the terminal
/// only, where nobody sees it.
#[test]
fn root_password_and_keys() {
    let site = Site::bare("root");
    let refused = |options: &[&str], words: &[&str]| {
        let mut command = site.install_builtin();
        command.args(options);
        let outcome = run(command);
        outcome.assert_failed(2, words);
        outcome
    };
    refused(&[], &["--root-password prompt", "--ssh-key"]);
    let said = refused(
        &["--root-password", "hunter2"],
        &["--root-password", "file:PATH"],
    );
    assert!(!said.stderr.contains("hunter2"), "{said:?}");
    refused(
        &["--root-password", "env:OZR_NOT_SET"],
        &["the root password in $OZR_NOT_SET"],
    );
    let key = site.write("key", "-----BEGIN OPENSSH PRIVATE KEY-----\n");
    let key = key.to_str().unwrap();
    refused(&["--ssh-key", key], &["--ssh-key", "key is a private key"]);
    refused(&["--ssh-key", "/nowhere"], &["/nowhere cannot be read"]);
    std::fs::write(key, PUBLIC_KEY).unwrap();
    let own = site.write("own.ks", &kickstart(""));
    let own = own.to_str().unwrap();
    refused(
        &["--ssh-key", key, "--verbatim", own],
        &["leave them out, or --verbatim"],
    );
    refused(&[own, "-k", own], &["cannot be used with"]);
    let mut alone = Command::new("setsid");
    let command = site.install_builtin();
    alone
        .arg("--wait")
        .arg(command.get_program())
        .args(command.get_args());
    alone.args(["--root-password", "prompt"]);
    run(alone).assert_failed(2, &["there is no terminal", "env:NAME"]);

    // A key alone is enough, and the mirror, which has nothing, is asked next.
    let mut command = site.install_builtin();
    command.args(["--ssh-key", key]);
    run(command).assert_failed(4, &["a password that nobody knows"]);
}

/// What comes with ozr is printed, found by any name of its release, and made a directory that builds.
#[test]
fn a_beginning_is_made() {
    let site = Site::bare("new");
    for (what, names) in [("template", 18), ("kickstart", 21)] {
        let all = ozr(&site, &[what]);
        all.assert_done();
        assert_eq!(all.stdout.lines().count(), names);
        let one = ozr(&site, &[what, "Rocky-9.4"]);
        one.assert_done();
        assert!(one.stdout.contains("Rocky Linux 9"), "{}", one.stdout);
        ozr(&site, &[what, "rocki-9"]).assert_failed(2, &["did you mean `rocky-9`?"]);
    }
    let new = ozr(&site, &["new", "web", "--release", "rocky-9"]);
    new.assert_done();
    assert_eq!(new.stdout, "web\n");
    assert!(
        new.stderr
            .contains("cd web && ozr install web.tdl --root-password prompt")
    );
    // The kickstart is the directory's, and lacks nothing but the password; nothing is asked of a mirror.
    let mut check = site.ozr();
    check
        .args(["check", "web.tdl", "web.ks"])
        .current_dir(site.path("web"));
    run(check).assert_failed(2, &["web.ks", "KS130", "--root-password prompt"]);
    let password = site.write("password", "of my own\n");
    let mut check = site.ozr();
    check
        .args(["check", "web.tdl", "web.ks"])
        .current_dir(site.path("web"));
    check.env("OZR_ROOT_PASSWORD", format!("file:{}", password.display()));
    run(check).assert_done();

    // What is there stays.
    std::fs::remove_file(site.path("web/web.ks")).unwrap();
    std::fs::write(site.path("web/ozr.toml"), "mine").unwrap();
    ozr(&site, &["new", "web", "--release", "rocky-9"]).assert_failed(2, &["is there already"]);
    assert!(!site.path("web/web.ks").exists());
    assert_eq!(
        std::fs::read_to_string(site.path("web/ozr.toml")).unwrap(),
        "mine"
    );
    ozr(&site, &["new", "other"]).assert_failed(2, &["--release rocky-9"]);
    ozr(&site, &["new", "almalinux-9"]).assert_done();
    assert!(site.path("almalinux-9/almalinux-9.tdl").exists());
    assert!(!site.path("other").exists());
}

/// Asking at the terminal: twice, unseen, and interrupted.
#[test]
fn a_password_is_asked_for_unseen() {
    let site = Site::bare("prompt");
    let ask = || {
        let mut command = site.install_builtin();
        command.args(["--root-password", "prompt"]);
        let mut terminal = Terminal::run_with_keyboard(&command);
        terminal.wait_for("root password: ");
        assert!(!terminal.echoes());
        terminal
    };
    for (again, status, says) in [
        ("hunter3\n", 2, "the second time"),
        // The mirror has nothing, and that is found next.
        ("hunter2\n", 4, "404"),
        ("\u{3}", 130, "interrupted by SIGINT"),
    ] {
        let mut terminal = ask();
        terminal.type_in("hunter2\n");
        terminal.wait_for("root password, once more: ");
        terminal.type_in(again);
        let shown = terminal.wait();
        assert_eq!(shown.status, status, "{}", shown.text);
        assert!(shown.text.contains(says), "{}", shown.text);
        assert!(!shown.text.contains("hunter"), "{}", shown.text);
        assert!(shown.echoes, "the terminal is as it was");
    }
}

/// What cannot be printed is no panic, and a result that nobody got is no success; a reader that
/// has seen enough is no fault.
#[test]
fn full_and_closed_outputs() {
    let site = Site::bare("full");
    let template = broken_template(&site);
    let status = |arguments: &[&str], out: Stdio, err: Stdio| {
        let mut command = site.ozr();
        command.args(arguments).stdout(out).stderr(err);
        command.status().unwrap().code()
    };
    let full = || Stdio::from(std::fs::File::create("/dev/full").unwrap());
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Stdio::from(writer)
    };
    for outputs in [full, closed] {
        let refused = status(&["install", &template], Stdio::null(), outputs());
        assert_eq!(refused, Some(2));
        assert_eq!(status(&["man"], closed(), outputs()), Some(0));
        assert_eq!(status(&["man"], full(), outputs()), Some(3));
        assert_eq!(status(&["releases"], full(), outputs()), Some(3));
    }
    let output = site.ozr().arg("man").stdout(full()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        said.trim_end(),
        "error: writing to standard output: No space left on device (os error 28)"
    );
}

/// Writes a template that has an error in its fourth line.
fn broken_template(site: &Site) -> String {
    let text = std::fs::read_to_string(site.write_template()).unwrap();
    let text = text.replace("<name>Rocky-9</name>", "<nmae>Rocky-9</nmae>");
    site.write("broken.tdl", &text).display().to_string()
}

#[test]
fn help_and_version() {
    let site = Site::bare("help");
    let version = ozr(&site, &["--version"]);
    version.assert_done();
    assert_eq!(
        version.stdout,
        format!("ozr {}\n", env!("CARGO_PKG_VERSION"))
    );
    let help = ozr(&site, &["--help"]);
    help.assert_done();
    for page in &PAGES[1..] {
        assert!(help.stdout.contains(&format!("\n  {page} ")), "{page}");
        let own = ozr(&site, &[page, "--help"]);
        own.assert_done();
        assert!(own.stdout.contains(&format!("Usage: ozr {page}")), "{page}");
    }
    assert!(help.stdout.contains("130  interrupted"), "{}", help.stdout);
    let install = ozr(&site, &["install", "--help"]).stdout;
    for option in [
        "--kickstart",
        "--output-dir",
        "--name",
        "--connect",
        "--accel",
        "--vcpus",
        "--memory",
        "--disk",
        "--firmware",
        "--network",
        "--deliver",
        "--format",
        "--compress",
        "--timeout",
        "--stall-limit",
        "--force",
        "--keep",
        "--quiet",
        "--verbose",
        "--config",
        "--verbatim",
        "--no-customize",
        "--cacert",
        "--client-cert",
        "--client-key",
    ] {
        assert!(install.contains(option), "{option}");
    }
}

#[test]
fn wrong_command_lines() {
    let site = Site::bare("wrong");
    for (arguments, says) in [
        (vec!["install", "--frobnicate", "x"], "--frobnicate"),
        (vec!["install"], "name a template, or an ISO image"),
        (vec!["instal", "x"], "install"),
        (vec!["install", "x", "--accel", "xen"], "tcg"),
        (vec!["install", "x", "--timeout", "soon"], "90m"),
        (vec!["install", "x", "--stall-limit", "0"], "zero"),
        (vec!["install", "x", "--memory", "4XiB"], "--memory"),
        (vec!["install", "x", "--vcpus", "0"], "--vcpus"),
        (vec!["install", "x", "--network", "bridge:"], "--network"),
        (
            vec!["install", "x", "-s", "y", "--output-dir", "z"],
            "--output-dir",
        ),
        (
            vec!["man", "nosuch"],
            "install, build, try, warm, new, template, kickstart, boot-test, list, attach, screenshot, check, customize, convert, verify, explain",
        ),
        (vec!["install", "nosuch.tdl"], "nosuch.tdl"),
        (vec!["install", "."], "it is a directory"),
        (vec!["check"], "<PATH>"),
        (
            vec!["check", "x.ks", "--release", "Rocki-9"],
            "did you mean `Rocky-9`",
        ),
        (vec!["check", "x.ks", "--format", "xml"], "sarif"),
        (vec!["check", "x.ks", "--in-place"], "--fix"),
        (vec!["check", "x.ks", "--color", "mauve"], "always"),
        (vec!["check", "x.ks", "--allow", "KS01"], "KS001"),
        (vec!["check", "-", "-"], "standard input"),
        (vec!["explain", "zzz"], "`ozr explain` lists them"),
        (vec!["diff-releases", "RHEL8"], "<TO>"),
        (
            vec!["diff-releases", "RHEL8", "RHEL9", "-k", "nosuch.ks"],
            "nosuch.ks",
        ),
        (vec![], "Usage: ozr"),
    ] {
        let outcome = ozr(&site, &arguments);
        assert_eq!(outcome.status, 2, "{arguments:?}: {}", outcome.stderr);
        outcome.assert_failed(2, &[says]);
    }
    site.assert_clean(&ozr(&site, &["install", "nosuch.tdl"]), &[]);
}

#[test]
fn options_of_oz_are_understood() {
    let site = Site::bare("oz");
    let template = broken_template(&site);
    let config = site.write("oz.toml", "").display().to_string();
    let kickstart = site.write("test.ks", "").display().to_string();
    for arguments in [
        vec![
            "-a",
            &kickstart,
            "-s",
            "x.dsk",
            "-t",
            "1800",
            "-x",
            "x.xml",
            "-f",
            "-p",
            "-c",
            &config,
            "-d",
            "4",
            "-m",
            "52:54:00:00:00:01",
            "-n",
            "virtio",
            "-b",
            "virtio",
            "-u",
        ],
        vec![
            "--auto",
            &kickstart,
            "--output",
            "x.dsk",
            "--timeout",
            "1800",
            "--xmlfile",
            "x.xml",
            "--force-download",
            "--cleanup",
            "--config",
            &config,
            "--debug",
            "4",
            "--customize",
        ],
    ] {
        let outcome = run({
            let mut command = site.ozr();
            command.arg("install").args(&arguments).arg(&template);
            command
        });
        // Nothing is wrong but the template.
        outcome.assert_failed(2, &["broken.tdl:4:", "broken.tdl has errors"]);
        assert!(!outcome.stderr.contains("Usage"), "{}", outcome.stderr);
    }
}

#[test]
#[cfg_attr(not(feature = "libvirt"), ignore = "runs guests")]
fn configuration_files() {
    let site = Site::bare("config");
    let template = site.write_template().display().to_string();
    let own = site.write("own.ks", &kickstart("")).display().to_string();
    // What is there already tells where an install would write.
    for image in ["one.raw", "two.raw"] {
        std::fs::write(site.out().join(image), "precious").unwrap();
    }
    let settings = format!(
        "# of this site\noutput-dir = {:?}\nkickstart = {own:?}\nname = \"one\"\nformat = \"raw\"\n",
        site.out()
    );
    let named = site.write("named.toml", &settings).display().to_string();
    let outcome = ozr(&site, &["install", &template, "--config", &named]);
    outcome.assert_failed(2, &[&site.out().join("one.raw").display().to_string()]);
    // The command line stands above the file.
    let outcome = ozr(
        &site,
        &["install", &template, "--config", &named, "--name", "two"],
    );
    outcome.assert_failed(2, &[&site.out().join("two.raw").display().to_string()]);
    // The user's own file is found by itself.
    std::fs::create_dir(site.path("home/ozr")).unwrap();
    site.write("home/ozr/ozr.toml", &settings);
    let outcome = ozr(&site, &["install", &template]);
    outcome.assert_failed(2, &[&site.out().join("one.raw").display().to_string()]);

    // The project's file stands above it, a variable above that, the command line above all.
    let images = ["two.raw", "one.raw", "two.raw"].map(|image| site.out().join(image));
    let images = images.map(|image| image.display().to_string());
    site.write("ozr.toml", "name = \"two\"\n");
    ozr(&site, &["install", &template]).assert_failed(2, &[&images[0]]);
    for (arguments, says) in [
        (vec!["install", &template], &images[1]),
        (vec!["install", &template, "--name", "two"], &images[2]),
    ] {
        let mut command = site.ozr();
        command.args(arguments).env("OZR_NAME", "one");
        run(command).assert_failed(2, &[says]);
    }
    let mut command = site.ozr();
    command
        .args(["install", &template])
        .env("OZR_CONFIG", &named);
    run(command).assert_failed(2, &[&images[1]]);
    let mut command = site.ozr();
    command.args(["list"]).env("OZR_MEMORY", "much");
    run(command).assert_failed(2, &["$OZR_MEMORY", "write 4G"]);

    for (text, place, says) in [
        (
            "memory = 2048\nmemmory = 1\n",
            "named.toml:2:1",
            "did you mean `memory`?",
        ),
        ("memory = \"much\"\n", "named.toml:1:10", "write 4G"),
        ("accel = \"xen\"\n", "named.toml:1:9", "xen"),
        ("memory = \n", "named.toml:1:", ""),
    ] {
        site.write("named.toml", text);
        for command in [
            vec!["install", &template, "--config", &named],
            vec!["cache", "list", "--config", &named],
        ] {
            let outcome = ozr(&site, &command);
            outcome.assert_failed(2, &[place, says, "^", "error: "]);
            assert_eq!(
                outcome.stderr.matches("error: ").count(),
                1,
                "{}",
                outcome.stderr
            );
        }
    }
    // Programs that read events get them whatever the configuration says.
    let image = site.out().join("one.raw").display().to_string();
    for command in [
        vec!["install", &template],
        vec!["try", &template, "-k", &own],
        vec!["warm", &template],
        vec!["customize", &template, &image],
    ] {
        let options = ["--config", &named, "--progress", "json"];
        let outcome = ozr(&site, &[&command[..], &options].concat());
        assert_eq!(outcome.status, 2, "{outcome:?}");
        for line in outcome.stderr.lines() {
            let event = serde_json::from_str::<serde_json::Value>(line);
            assert!(event.is_ok(), "{command:?}: {outcome:?}");
        }
    }
    let missing = site.path("missing.toml").display().to_string();
    let outcome = ozr(&site, &["install", &template, "--config", &missing]);
    outcome.assert_failed(2, &[&missing, "No such file"]);
}

/// A pipe cannot be an image, and nobody may ever write into it.
#[test]
fn a_pipe_is_no_image_and_is_not_waited_for() {
    let site = Site::bare("pipe");
    let pipe = site.path("pipe.qcow2");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let pipe = pipe.display().to_string();
    for arguments in [
        &["convert", &pipe, "--format", "raw"][..],
        &["verify", &pipe],
        &["inspect", &pipe],
        &["boot-test", &pipe],
        &["diff", &pipe, &pipe],
    ] {
        let outcome = ozr(&site, arguments);
        outcome.assert_failed(2, &[&pipe, "it is no regular file"]);
    }
}

#[test]
fn standard_input_is_read_once() {
    let site = Site::bare("stdin");
    let outcome = ozr(&site, &["install", "-", "-k", "-"]);
    outcome.assert_failed(2, &["<stdin>"]);

    let template = std::fs::read(site.write_template()).unwrap();
    let mut command = site.ozr();
    let mut child = command
        .args(["install", "-", "-k", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&template).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("cannot both come from standard input"),
        "{stderr}"
    );
}

#[test]
#[cfg_attr(not(feature = "libvirt"), ignore = "runs guests")]
fn the_cache_is_listed_and_emptied() {
    let site = Site::bare("cache");
    let dir = site.path("cache").display().to_string();
    let cache = |arguments: &[&str]| {
        let mut command = site.ozr();
        command
            .arg("cache")
            .args(arguments)
            .args(["--cache-dir", &dir]);
        let outcome = run(command);
        outcome.assert_done();
        outcome
    };
    assert_eq!(cache(&["list"]).stdout, "");
    let absent = ozr(
        &site,
        &["cache", "list", "--cache-dir", &format!("{dir}/absent")],
    );
    absent.assert_done();
    assert!(absent.stderr.contains("there is no cache"));

    // A build that gets as far as its network has filled the cache.
    let tree = Tree::new(500_000);
    tree.serve(&site.mirror);
    let fill = || {
        let mut command = site.install(&kickstart(""));
        let text = std::fs::read_to_string(site.path("template.tdl")).unwrap();
        site.write("template.tdl", &text.replace("/os/", "/tree/"));
        command.args(["--network", "bridge:ozr-none0", "--accel", "tcg"]);
        let outcome = run(command);
        outcome.assert_failed(3, &["ozr-none0"]);
        site.assert_clean(&outcome, &[]);
    };
    fill();
    let listed = cache(&["list"]).stdout;
    let lines: Vec<Vec<&str>> = listed
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    assert_eq!(lines.len(), 2, "{listed}");
    for (name, body) in [("vmlinuz", &tree.kernel), ("initrd.img", &tree.initrd)] {
        let fields = lines
            .iter()
            .find(|fields| fields[3].ends_with(name))
            .unwrap();
        assert_eq!(fields.len(), 5, "{fields:?}");
        assert_eq!(fields[0], body.len().to_string());
        assert_eq!(fields[2], sha256(body));
        assert_eq!(&std::fs::read(fields[4]).unwrap(), body);
    }
    // A second build asks what the tree has, and fetches nothing else.
    site.mirror.forget();
    fill();
    let sent: Vec<_> = site
        .mirror
        .requests()
        .into_iter()
        .filter(|request| request.method == "GET" && request.status == 200)
        .map(|request| request.path)
        .collect();
    // Whether it is there and what it says for the check, once for the build.
    assert_eq!(sent, ["/tree/.treeinfo"; 3]);

    assert!(cache(&["prune"]).stderr.contains("removed 0 files"));
    assert_eq!(cache(&["list"]).stdout.lines().count(), 2);
    let pruned = cache(&["prune", "--max-size", "0"]);
    assert!(pruned.stderr.contains("removed 2 files"), "{pruned:?}");
    assert_eq!(cache(&["list"]).stdout, "");
    fill();
    let cleared = cache(&["clear"]);
    assert!(cleared.stderr.contains("removed 2 files"), "{cleared:?}");
    assert_eq!(cache(&["list"]).stdout, "");
}

#[test]
fn manual_pages() {
    let site = Site::bare("man");
    for page in PAGES {
        let arguments: Vec<&str> = ["man", page]
            .into_iter()
            .filter(|word| !word.is_empty())
            .collect();
        let outcome = ozr(&site, &arguments);
        outcome.assert_done();
        assert!(outcome.stdout.contains(".TH "), "{page}");
        let path = site.write("page.1", &outcome.stdout);
        let Ok(rendered) = Command::new("man")
            .args(["--warnings", "-l"])
            .arg(&path)
            .env("LC_ALL", "C.UTF-8")
            .env("MANWIDTH", "80")
            .output()
        else {
            eprintln!("skipped: there is no `man` here");
            return;
        };
        assert!(rendered.status.success(), "{page}: {rendered:?}");
        assert_eq!(String::from_utf8_lossy(&rendered.stderr), "", "{page}");
        let text = String::from_utf8_lossy(&rendered.stdout);
        assert!(text.contains("SYNOPSIS"), "{page}: {text}");
    }
    let whole = ozr(&site, &["man"]).stdout;
    for section in ["EXIT STATUS", "FILES", "ENVIRONMENT"] {
        assert!(whole.contains(section), "{section}");
    }
}

/// A mirror that comes back is waited for by the check, too; a mistake is not.
#[test]
#[cfg_attr(not(feature = "libvirt"), ignore = "runs guests")]
fn retries_cover_the_check() {
    let site = Site::bare("retries-check");
    Tree::new(500_000).serve(&site.mirror);
    let fill = || {
        let mut command = site.install(&kickstart(""));
        let text = std::fs::read_to_string(site.path("template.tdl")).unwrap();
        site.write("template.tdl", &text.replace("/os/", "/tree/"));
        command.args([
            "--network",
            "bridge:ozr-none0",
            "--accel",
            "tcg",
            "--retries",
            "2",
        ]);
        run(command)
    };
    // HEAD, GET, and GET for what it says, three times each: the first check gives up.
    site.mirror.change("/tree/.treeinfo", |file| {
        file.next = vec![Some(Fault::Status(503, Vec::new())); 9];
    });
    let outcome = fill();
    outcome.assert_failed(3, &["ozr-none0"]);
    assert!(
        outcome
            .stderr
            .contains("trying again in 5 s: attempt 2 of 3"),
        "{outcome:?}"
    );

    let other = Tree::new(500_000).tree_info.replace("x86_64", "aarch64");
    site.mirror.put("/tree/.treeinfo", other);
    let outcome = fill();
    outcome.assert_failed(4, &["aarch64"]);
    assert!(!outcome.stderr.contains("trying again"), "{outcome:?}");
}

#[test]
#[cfg_attr(not(feature = "libvirt"), ignore = "runs guests")]
fn a_template_may_not_name_any_file_of_the_host() {
    let site = Site::bare("roots");
    site.write("beside", "text");
    std::os::unix::fs::symlink("/etc/shadow", site.path("link")).unwrap();
    let path = site.path("t.tdl").display().to_string();
    let check = |files: &[&str], more: &[&str]| {
        let files: String = files
            .iter()
            .map(|url| format!("<file name='/x' type='url'>{url}</file>"))
            .collect();
        site.write(
            "t.tdl",
            &format!(
                "<template version='1.0'><name>t</name><os><name>Rocky-9</name><version>0</version>\
                 <arch>x86_64</arch><install type='url'><url>http://192.0.2.1/</url></install></os>\
                 <files>{files}</files></template>"
            ),
        );
        let mut arguments = vec!["check", path.as_str()];
        arguments.extend(more);
        ozr(&site, &arguments)
    };
    check(&["file://./beside", "file://./not-there"], &[]).assert_done();
    for url in [
        "file:///etc/shadow",
        "file:///proc/self/environ",
        "file://./link",
    ] {
        let outcome = check(&[url], &[]);
        assert_ne!(outcome.status, 0, "{outcome:?}");
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(
            said.contains("file `/x`") && said.contains("--file-root"),
            "{said}"
        );
    }
    site.write("roots.toml", "file-root = \"/etc\"\n");
    let config = site.path("roots.toml").display().to_string();
    check(&["file:///etc/passwd"], &["--config", &config]).assert_done();
    // Nor a tree there: a mistake in the template, which another try does not change.
    let tree = std::fs::read_to_string(&path).unwrap();
    let tree = tree.replace("http://192.0.2.1/", "file:///etc/tree/");
    let tree = tree.replace("<arch>", "<rootpw>x</rootpw><arch>");
    let tree = site.write("tree.tdl", &tree).display().to_string();
    let outcome = ozr(&site, &["install", &tree, "--retries", "3"]);
    outcome.assert_failed(2, &["KS216", "--file-root"]);
    assert!(!outcome.stderr.contains("again"), "{outcome:?}");
}

/// What not every build needs is said with what it is for, and is no fault of the host.
#[test]
fn the_doctor_names_what_only_some_builds_need() {
    let site = Site::bare("doctor");
    let bin = site.path("bin");
    std::fs::create_dir(&bin).unwrap();
    for program in ["gpg", "gpgv", "swtpm"] {
        std::fs::write(bin.join(program), "").unwrap();
    }
    let mut command = site.ozr();
    command.arg("doctor").env("PATH", &bin);
    let stdout = run(command).stdout;
    let line = |what: &str| {
        let mut lines = stdout.lines();
        let line = lines.find(|line| line.split_whitespace().nth(1) == Some(what));
        line.unwrap_or_else(|| panic!("{what}: {stdout}"))
    };
    assert!(line("gpg").starts_with("ok "), "{stdout}");
    for (what, words) in [
        ("tpm", "swtpm_setup is not in PATH, which --tpm needs"),
        ("cosign", "--sign cosign:KEY"),
        ("ssh-keygen", "install openssh"),
        ("media", "`ozr media` writes no discs"),
    ] {
        let line = line(what);
        assert!(
            line.starts_with("absent ") && line.contains(words),
            "{line}"
        );
    }
    line("secure-boot");
}
