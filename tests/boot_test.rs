//! `ozr boot-test`: real guests. Boot sectors say what a system would say, one for each way in which a boot
//! can fail; the stand-in is installed, booted and compared with itself.

#![cfg(feature = "libvirt")]
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support;
use crate::support::crafted;
use crate::support::site::{Outcome, Site, bootable, kickstart, run};
use crate::support::small::{Then, boot_sector};
use crate::support::verdict::verdict;

/// What a good boot says.
const UP: &str = "[    0.000000] Linux version 5.14.0-1.el9 (x)\r\n\
                  [  OK  ] Started a.service - A.\r\nweb login: ";

/// An image beside nothing else, whose boot sector says this.
fn image(site: &Site, text: &str, then: Then) -> PathBuf {
    let image = site.out().join("web.raw");
    std::fs::write(&image, boot_sector(text.as_bytes(), 1, then)).unwrap();
    image
}

fn boot_test(site: &Site, image: &Path, options: &[&str]) -> Command {
    let mut command = site.ozr();
    command
        .args([
            "boot-test",
            "--accel",
            "tcg",
            "--memory",
            "128",
            "--vcpus",
            "1",
        ])
        .arg("--state-dir")
        .arg(site.path("state"))
        .arg("--cache-dir")
        .arg(site.path("cache"))
        .args(options)
        .arg(image);
    command
}

/// The report that a boot test left in a directory.
fn report(seen: &Path) -> Value {
    let text = std::fs::read_to_string(seen.join("boot-test.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The image failed its test for this reason, and nothing else is left but what was seen.
fn assert_fails(text: &str, then: Then, options: &[&str], reason: &str, words: &[&str]) {
    let site = Site::bare("web");
    let image = image(&site, text, then);
    let before = std::fs::read(&image).unwrap();
    let outcome = run(boot_test(&site, &image, options));
    outcome.assert_failed(1, words);
    outcome.assert_failed(1, &[&format!("({reason})"), "web.boot-test"]);
    let report = report(&site.out().join("web.boot-test"));
    assert_eq!(report["reason"], reason, "{}", outcome.stderr);
    assert_eq!(report["passed"], false);
    assert_eq!(report["boots"][0]["reason"], reason);
    let mut seen = vec!["bios-1.console.log", "bios-1.console.raw"];
    // A guest that is gone has no screen.
    seen.extend((reason != "guest-ended").then_some("bios-1.png"));
    assert_left(&site, &outcome, &seen);
    assert_eq!(std::fs::read(&image).unwrap(), before);
}

/// Beside the image there is only the directory with these files and the report.
fn assert_left(site: &Site, outcome: &Outcome, files: &[&str]) {
    let names = |dir: &Path| {
        let mut names: Vec<String> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(&site.out()), ["web.boot-test", "web.raw"]);
    let mut wanted: Vec<&str> = files.iter().copied().chain(["boot-test.json"]).collect();
    wanted.sort_unstable();
    assert_eq!(names(&site.out().join("web.boot-test")), wanted);
    site.assert_nothing_runs(outcome);
}

#[test]
fn an_image_that_comes_up_passes_and_is_not_changed() {
    let site = Site::bare("web");
    let image = image(&site, UP, Then::Hang);
    let before = std::fs::read(&image).unwrap();
    let junit = format!("junit={}", site.path("r.xml").display());
    let markdown = format!("markdown={}", site.path("r.md").display());
    let options = [
        "--target",
        "multi-user",
        "--timeout",
        "5",
        "--report",
        &junit,
        "--report",
        &markdown,
    ];
    // Another thing is waited for than what comes.
    let outcome = run(boot_test(&site, &image, &options));
    outcome.assert_failed(
        1,
        &[
            "(timed-out)",
            "multi-user.target was not reached within 5 s",
        ],
    );
    let report = report(&site.out().join("web.boot-test"));
    assert_eq!(report["boots"][0]["kernel"], "5.14.0-1.el9");
    assert_eq!(report["boots"][0]["milestones"][2]["milestone"], "init");
    assert_eq!(std::fs::read(&image).unwrap(), before);
    let xml = std::fs::read_to_string(site.path("r.xml")).unwrap();
    assert!(
        xml.contains(r#"tests="1" failures="1" errors="0""#),
        "{xml}"
    );
    assert!(xml.contains(r#"<failure type="timed-out""#), "{xml}");
    let text = std::fs::read_to_string(site.path("r.md")).unwrap();
    assert!(text.contains("| bios-1 | timed-out |"), "{text}");
}

#[test]
fn nothing_at_all() {
    // The limit of the whole is shorter than that for the first output.
    let options = ["--timeout", "4"];
    assert_fails(
        "",
        Then::Hang,
        &options,
        "no-output",
        &["nothing came from the serial console within 4 s"],
    );
}

#[test]
fn a_boot_loader_that_finds_nothing() {
    assert_fails(
        "grub rescue> ",
        Then::Hang,
        &[],
        "nothing-bootable",
        &["grub rescue>"],
    );
}

#[test]
fn a_kernel_that_panics() {
    let text = "[    1.2] Kernel panic - not syncing: VFS: Unable to mount root fs\r\n";
    assert_fails(
        text,
        Then::Hang,
        &[],
        "kernel-panic",
        &["Unable to mount root fs"],
    );
}

#[test]
fn emergency_mode_and_dracuts_shell() {
    let text = "You are in emergency mode. After logging in, type journalctl\r\n";
    assert_fails(
        text,
        Then::Hang,
        &[],
        "emergency-mode",
        &["You are in emergency mode"],
    );
    assert_fails(
        "dracut:/# ",
        Then::Hang,
        &[],
        "emergency-mode",
        &["dracut:/#"],
    );
}

#[test]
fn a_unit_that_fails_and_may_not() {
    let text = format!("[FAILED] Failed to start a.service - The A.\r\n{UP}");
    assert_fails(
        &text,
        Then::Hang,
        &["--allow-failed", "b.service"],
        "failed-units",
        &["a.service - The A failed"],
    );
}

#[test]
fn a_denial() {
    let text = format!("[ 9.0] audit: avc:  denied  {{ read }} for x\r\n{UP}");
    assert_fails(
        &text,
        Then::Hang,
        &[],
        "selinux-denials",
        &["avc:  denied  { read } for x"],
    );
}

#[test]
fn a_guest_that_reboots_again_and_again() {
    assert_fails(
        "[ 1.0] reboot: Restarting system\r\n",
        Then::Reset,
        &[],
        "reboot-loop",
        &["reboots again"],
    );
}

#[test]
fn a_guest_that_switches_itself_off() {
    assert_fails(
        "[ 1.0] x\r\n",
        Then::PowerOff,
        &[],
        "guest-ended",
        &["switched itself off"],
    );
}

#[test]
fn what_is_no_image_is_refused_before_a_guest_starts() {
    let site = Site::bare("web");
    let missing = site.out().join("web.raw");
    let outcome = run(boot_test(&site, &missing, &[]));
    outcome.assert_failed(2, &["reading the image"]);
    std::fs::write(&missing, "QFI\u{fb}").unwrap();
    let outcome = run(boot_test(&site, &missing, &["--format", "qcow2"]));
    outcome.assert_failed(2, &["web.raw as qcow2 (--format)"]);
    let text = site.write("web.ks", "text\n");
    let outcome = run(boot_test(&site, &text, &[]));
    outcome.assert_failed(2, &["web.ks does not begin as a disk does"]);
    let packed = site.write("web.vhdx", "vhdxfile");
    let outcome = run(boot_test(&site, &packed, &[]));
    outcome.assert_failed(2, &["web.vhdx is a VHDX", "ozr convert"]);
    assert!(!site.out().join("web.boot-test").exists());
    // An image that names a file of this host must not be opened.
    let secret = site.write("secret", &"s".repeat(1 << 20));
    let overlay = site.out().join("web.qcow2");
    let made = Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"])
        .args([&secret, &overlay])
        .status();
    assert!(made.unwrap().success());
    let outcome = run(boot_test(&site, &overlay, &[]));
    outcome.assert_failed(2, &["stands on another file"]);
    site.assert_nothing_runs(&outcome);
}

/// A signal ends a boot test, and nothing is left.
#[test]
fn an_interrupted_boot_test_leaves_nothing() {
    let site = Site::bare("web");
    let image = image(&site, "[ 1.0] x\r\n", Then::Hang);
    let mut running = support::site::start(boot_test(&site, &image, &["-v"]));
    running.wait_for("boot test: the kernel after");
    running.signal("INT");
    let outcome = running.wait();
    outcome.assert_failed(130, &["interrupted by SIGINT"]);
    site.assert_nothing_runs(&outcome);
    let names: Vec<_> = std::fs::read_dir(site.out()).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");
}

/// A disk whose system says that a unit failed: its image is not published.
#[test]
fn a_build_whose_image_fails_its_boot_test() {
    let Some(site) = crafted::site("web", crafted::INSTALL) else {
        return;
    };
    let text = format!("[FAILED] Failed to start broken.service - Broken.\r\n{UP}");
    let mut sector = boot_sector(text.as_bytes(), 1, Then::Hang);
    sector.truncate(512);
    // A partition behind it and what an XFS begins with, or there would be no system on the disk.
    sector[446 + 4] = 0x83;
    sector[446 + 8..446 + 16].copy_from_slice(&[1, 0, 0, 0, 0, 8, 0, 0]);
    sector.extend(b"XFSB");
    let script = format!(
        "%post --erroronfail\necho {} | base64 -d | dd of=/dev/vda conv=notrunc\n%end\n",
        openssl::base64::encode_block(&sector)
    );
    let mut command = site.install(&kickstart(&script));
    command.arg("--boot-test");
    let outcome = run(command);
    outcome.assert_failed(1, &["(failed-units)", "broken.service - Broken"]);
    assert!(!site.output("qcow2").exists());
    let verdict = verdict(&site);
    assert_eq!(verdict["cause"], "boot-test-failed");
    assert_eq!(report(&site.output("boot-test"))["reason"], "failed-units");
    site.assert_nothing_runs(&outcome);
}

/// What stands in for cloud-init in the stand-in: it runs the scripts of a NoCloud seed, as cloud-init runs
/// those of vendor-data and then of user-data (cloud-init 22.4, `cloud.cfg`: scripts-vendor, scripts-user).
const CLOUD: &str = "#!/bin/sh\n\
    mkdir -p /run/seed && mount -o ro LABEL=CIDATA /run/seed || exit 0\n\
    grep -q instance-id /run/seed/meta-data || exit 1\n\
    for part in vendor-data user-data; do\n\
    \x20 if head -n1 /run/seed/$part 2>/dev/null | grep -q '^#!'; then sh /run/seed/$part; fi\n\
    done\ntouch /run/cloud-done\n";

/// `cloud-init status --wait`.
const STATUS: &str = "#!/bin/sh\nuntil [ -e /run/cloud-done ]; do sleep 1; done\n";

/// The agent's unit waits for its port, as udev starts the real one.
const AGENT: &str = "#!/bin/sh\nuntil [ -e /dev/virtio-ports/org.qemu.guest_agent.0 ]; do sleep 1; done\n\
    exec /usr/sbin/qemu-ga\n";

/// QEMU's real guest agent of this host, with the libraries that the stand-in has not.
fn agent() -> Vec<u8> {
    let script = "set -e; agent=$(command -v qemu-ga /usr/sbin/qemu-ga | head -n1); \
        tar -chf - -P $agent $(ldd $agent | sed -n 's/.*=> \\([^ ]*\\) .*/\\1/p' | grep -vE '/lib(c|m|udev)\\.so')";
    let output = Command::new("bash").args(["-c", script]).output().unwrap();
    assert!(
        output.status.success(),
        "qemu-guest-agent is not installed: {output:?}"
    );
    output.stdout
}

/// A kickstart's script that puts units into the image: the agent, and what stands in for cloud-init.
fn helpers(site: &Site) -> String {
    site.mirror.put("/agent.tar", agent());
    site.mirror.put("/cloud", CLOUD);
    site.mirror.put("/cloud-init", STATUS);
    site.mirror.put("/agent", AGENT);
    let unit = |name: &str, lines: &str| {
        format!(
            "printf '[Unit]\\nDescription={name}\\n[Service]\\n{lines}\\n' >/etc/systemd/system/{name}.service\n\
             ln -s ../{name}.service /etc/systemd/system/multi-user.target.wants/{name}.service\n"
        )
    };
    format!(
        "%post --erroronfail\nset -e\n\
         curl -sSf {} | tar -xPf -\n\
         curl -sSf {} -o /usr/local/bin/cloud\n\
         curl -sSf {} -o /usr/bin/cloud-init; chmod 755 /usr/bin/cloud-init\n\
         curl -sSf {} -o /usr/local/bin/agent\n\
         mkdir -p /etc/systemd/system/multi-user.target.wants\n{}{}\
         echo declared >/etc/declared\n%end\n",
        site.guest_url("/agent.tar"),
        site.guest_url("/cloud"),
        site.guest_url("/cloud-init"),
        site.guest_url("/agent"),
        unit("agent", "ExecStart=/bin/sh /usr/local/bin/agent"),
        unit(
            "cloud",
            "Type=oneshot\\nKillMode=process\\nExecStart=/bin/sh /usr/local/bin/cloud"
        ),
    )
}

/// The checks of a boot, by name: whether passed, and what was found.
fn checks(report: &Value) -> Vec<(String, Option<bool>, String)> {
    let checks = report["boots"][0]["checks"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    checks
        .map(|one| {
            (
                text(&one["name"]),
                one["passed"].as_bool(),
                text(&one["found"]),
            )
        })
        .collect()
}

/// Checks that are all true of the stand-in with its helpers.
fn true_checks() -> String {
    let digest = ozr::hex::sha256("declared\n");
    format!(
        "[[check]]\nunit = \"systemd-journald\"\n\
         [[check]]\ncommand = \"test $(id -u) = 0 && echo 'it is' root\"\n\
         [[check]]\ncommand = \"exit 3\"\nstatus = 3\n\
         [[check]]\nfile = \"/etc/declared\"\nsha256 = \"{digest}\"\n"
    )
}

/// The stand-in, installed with its boot test, and two clones compared.
fn install_with_boot_test(site: &Site) {
    let config = site.write("ozr.toml", "[boot-test]\nalways = true\nclones = 2\n");
    let mut command = site.install(&bootable(&helpers(site)));
    command.arg("--config").arg(&config);
    run(command).assert_done();
    let report = report(&site.output("boot-test"));
    assert_eq!(report["passed"], true, "{report}");
    assert_eq!(report["clones"]["count"], 2);
    let compared = report["clones"]["compared"].as_array().unwrap();
    let of = |name: &str| compared.iter().find(|one| one["name"] == name).unwrap();
    assert_eq!(of("machine-id")["differs"], true, "{report}");
    assert_eq!(of("DHCP identity")["differs"], true, "{report}");
    // There is no sshd in the stand-in, which is said and is no pass.
    assert_eq!(of("SSH host key")["differs"], Value::Null, "{report}");
    let check = &report["boots"][0]["checks"][0];
    assert_eq!(
        (&check["name"], &check["passed"]),
        (&"the newest kernel runs".into(), &true.into())
    );
    std::fs::remove_file(config).unwrap();
}

/// A build with its boot test. Then the same checks by a login, by QEMU's guest agent and by a seed; and each check
/// and each look at the disk that can fail, made to fail.
#[test]
#[ignore = "unsteady: on a slow machine its login by the serial console fails, and why is not known"]
fn a_build_is_boot_tested_and_declared_checks_are_made_inside() {
    if crate::support::is_left_out() {
        return;
    }
    let Some(site) = Site::new("web") else {
        return;
    };
    install_with_boot_test(&site);
    let image = site.output("qcow2");
    let before = std::fs::read(&image).unwrap();
    let test = |options: &[&str]| {
        let mut command = site.ozr();
        command.args([
            "boot-test",
            "--accel",
            "tcg",
            "--memory",
            "512",
            "--vcpus",
            "1",
        ]);
        command.args(["--state-dir", site.path("state").to_str().unwrap()]);
        command.args(["--cache-dir", site.path("cache").to_str().unwrap()]);
        command.args(options).arg(&image);
        let outcome = run(command);
        site.assert_nothing_runs(&outcome);
        (report(&site.output("boot-test")), outcome)
    };
    let path = |path: PathBuf| path.to_str().unwrap().to_owned();
    let good = path(site.write("good.checks.toml", &true_checks()));
    let password = path(site.write("password", "test-only\n"));

    let password = format!("file:{password}");
    let login = ["--login", "root", "--login-password", &password];
    let junit = format!("junit={}", site.path("r.xml").display());
    let (passed, outcome) = test(&[&login[..], &["--checks", &good, "--report", &junit]].concat());
    outcome.assert_done();
    let found = checks(&passed);
    assert_eq!(found.len(), 5, "{found:?}");
    assert!(found.iter().all(|check| check.1 == Some(true)), "{found:?}");
    assert!(
        found.iter().any(|check| check.2 == "status 0: it is root"),
        "{found:?}"
    );
    let xml = std::fs::read_to_string(site.path("r.xml")).unwrap();
    assert!(xml.contains("systemd-journald.service is active"), "{xml}");
    for name in ["bios-1.console.log", "bios-1.console.raw", "boot-test.json"] {
        let text = std::fs::read(site.output("boot-test").join(name)).unwrap();
        assert!(
            !String::from_utf8_lossy(&text).contains("test-only"),
            "{name}"
        );
    }

    // By the agent, and each of them false.
    let bad = format!(
        "{}[[check]]\nunit = \"no-such\"\n[[check]]\ncommand = \"echo no >&2; false\"\n\
         [[check]]\nport = 81\n[[check]]\nfile = \"/etc/declared\"\nsha256 = \"{}\"\n\
         [[check]]\nfile = \"/etc/none\"\nsha256 = \"{}\"\n",
        true_checks(),
        "0".repeat(64),
        "1".repeat(64),
    );
    let bad = path(site.write("bad.checks.toml", &bad));
    let (failed, outcome) = test(&["--checks", &bad]);
    outcome.assert_failed(1, &["(check-failed)", "4 more checks failed"]);
    let found = checks(&failed);
    let of = |name: &str| {
        let mut found = found.iter();
        found
            .find(|check| check.0.contains(name))
            .unwrap_or_else(|| panic!("{name}"))
    };
    assert_eq!(
        found.iter().filter(|check| check.1 == Some(true)).count(),
        5,
        "{found:?}"
    );
    assert_eq!(of("no-such.service").2, "inactive");
    assert_eq!(of("echo no").2, "status 1: no");
    assert_eq!(of("port 81").2, "nobody listens there");
    assert_eq!(of("/etc/none").2, "there is no such file on the disk");

    // By the seed, whose user-data make the system wrong in every way that is looked for on its disk.
    let user_data = "#!/bin/sh\ntouch /boot/vmlinuz-99.0\nmkdir -p /var/log/audit\n\
        echo 'type=AVC msg=audit(1.0:1): avc:  denied  { read } for  pid=1 comm=\"x\"' >/var/log/audit/audit.log\n";
    let seed = path(site.write("user-data", user_data));
    let (failed, outcome) = test(&["--seed", &seed, "--checks", &good, "--grow-to", "5G"]);
    outcome.assert_failed(
        1,
        &["(selinux-denials)", "avc:  denied  { read } for  pid=1"],
    );
    let found = checks(&failed);
    let of = |name: &str| found.iter().find(|check| check.0.contains(name)).unwrap().1;
    assert_eq!(of("newest kernel"), Some(false), "{found:?}");
    assert_eq!(of("grows with its disk"), Some(false), "{found:?}");
    assert_eq!(of("systemd-journald"), Some(true), "{found:?}");
    assert_eq!(
        found.iter().filter(|check| check.1 == Some(true)).count(),
        4,
        "{found:?}"
    );
    assert_eq!(std::fs::read(&image).unwrap(), before);
}

/// A declared check that nobody could run has failed, and it is said what would run it.
#[test]
fn checks_that_cannot_be_run_fail() {
    let site = Site::bare("web");
    // Ctrl-Alt-Del restarts it: that it is shut down is not waited for to the limit.
    let restarted = format!("\r\n[   40.1] reboot: Restarting system\r\n{UP}");
    let image = image(&site, &restarted, Then::Hang);
    let checks = site.write("c.toml", "[[check]]\nport = 22\n");
    let password = site.write("password", "secret-of-web\n");
    let mut command = boot_test(&site, &image, &["--login", "root"]);
    command
        .arg("--login-password")
        .arg(format!("file:{}", password.display()));
    command.arg("--checks").arg(&checks);
    let outcome = run(command);
    outcome.assert_failed(
        1,
        &[
            "(check-failed)",
            "port 22 is open: not run: no login as root",
        ],
    );
    site.assert_nothing_runs(&outcome);
    let mut command = boot_test(&site, &image, &["--login", "root"]);
    command.arg("--checks").arg(&checks);
    let outcome = run(command);
    outcome.assert_failed(2, &["--login-password"]);
    let wrong = site.write("c.toml", "[[check]]\nprot = 22\n");
    let outcome = run(boot_test(
        &site,
        &image,
        &["--checks", wrong.to_str().unwrap()],
    ));
    outcome.assert_failed(2, &["c.toml:2:1", "unknown field `prot`"]);
}
