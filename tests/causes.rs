//! One build for each cause that a verdict can have: the cause, the exit status, how far it got,
//! the line that it rests on, how soon after that line ozr ended, and an empty house.
//!
//! What ordinary input can produce is produced by it, with the stand-in installer and real RPMs;
//! the rest comes from crafted guests (`fixtures/crafted`).

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::mirror::Fault;
use crate::support::site::{Site, bootable, kickstart, run, start};
use crate::support::verdict::{Decisive, Expected, assert_not_waited_for, assert_verdict};
use crate::support::{crafted, daemon, is_root, kill};

use Decisive::{Deadline, Ended, Line, Moment};

/// Makes the initramfs give up after 3 seconds.
const GIVE_UP_SOON: &str = "rd.retry=3";

/// What the installers print when they end before the work.
const CMDLINE: &str = "The installation was stopped due to an error";

/// Installs in a guest that plays `play`, which must fail as expected.
fn crafted_fails(name: &str, play: &str, options: &[&str], expected: &Expected) {
    let Some(site) = crafted::site(name, play) else {
        return;
    };
    let mut command = site.install_unchecked(&kickstart(""));
    command.args(options);
    assert_verdict(&site, &run(command), expected);
}

/// Installs with the stand-in installer, which must fail as expected; the verdict.
fn standin_fails(site: &Site, kickstart: &str, options: &[&str], expected: &Expected) -> Value {
    let mut command = site.install_unchecked(kickstart);
    command.args(options);
    assert_verdict(site, &run(command), expected)
}

/// A verdict with exit status 1.
fn failed(
    cause: &'static str,
    phase: &'static str,
    decisive: Decisive,
    says: &'static [&'static str],
) -> Expected {
    Expected {
        cause,
        status: 1,
        phase,
        decisive,
        says,
    }
}

// Until the installer runs.

#[test]
fn no_boot_output() {
    let Some(site) = crafted::site("silent", "") else {
        return;
    };
    crafted::silence_kernel(&site);
    let mut command = site.install_unchecked(&kickstart(""));
    command.args(["--stall-limit", "10"]);
    let expected = failed(
        "no-boot-output",
        "power-on",
        Deadline(Duration::from_secs(10), "no progress for 10s"),
        &["nothing at all came from its console", "--firmware"],
    );
    assert_verdict(&site, &run(command), &expected);
}

#[test]
fn kickstart_unreachable() {
    let Some(mut site) = Site::new("noks") else {
        return;
    };
    site.kernelparam = format!("inst.ks=http://10.0.2.2:9/none.ks {GIVE_UP_SOON}");
    let expected = failed(
        "kickstart-unreachable",
        "initramfs",
        Line("Warning: Could not boot."),
        &[
            "never fetched the kickstart",
            "http://10.0.2.2:9/none.ks",
            "--network",
        ],
    );
    standin_fails(&site, &kickstart(""), &[], &expected);
}

/// What NetworkManager of EL 9 says where no DHCP server answers, and then dracut.
#[test]
fn network_failed() {
    let play = "say '[    9.1] NetworkManager[512]: <warn>  [9.1] device (enp1s0): state change: \
                ip-config -> failed (reason '\\''ip-config-unavailable'\\'')'\n\
                boot_failed network\n";
    let Some(mut site) = crafted::site("nonet", play) else {
        return;
    };
    site.kernelparam = GIVE_UP_SOON.to_string();
    let expected = failed(
        "network-failed",
        "initramfs",
        Line("Warning: Could not boot."),
        &[
            "never fetched the kickstart",
            "ip-config -> failed",
            "--network",
        ],
    );
    assert_verdict(
        &site,
        &run(site.install_unchecked(&kickstart(""))),
        &expected,
    );
}

#[test]
fn stage2_unavailable() {
    let Some(mut site) = Site::new("nostage2") else {
        return;
    };
    site.kernelparam = format!("inst.stage2=http://10.0.2.2:9/os {GIVE_UP_SOON}");
    let expected = failed(
        "stage2-unavailable",
        "initramfs",
        Line("Warning: Could not boot."),
        &[
            "could not load the installer",
            "failed to fetch stage2 from http://10.0.2.2:9/os",
            "install tree",
        ],
    );
    standin_fails(&site, &kickstart(""), &[], &expected);
}

/// What checkisomd5 of EL 9 says; dracut waits for ever after it.
#[test]
fn media_check_failed() {
    crafted_fails(
        "media",
        "say '         Starting Media check on /dev/sr0...' '/dev/sr0:   Supported ISO: yes' \
         'Press [Esc] to abort check.' 'Checking: 100.0%' '' \
         'The media check is complete, the result is: FAIL.' '' \
         'It is not recommended to use this media.'\n",
        &[],
        &failed(
            "media-check-failed",
            "initramfs",
            Line("The media check is complete, the result is: FAIL."),
            &["medium is damaged", "checksum"],
        ),
    );
}

// The installer looks at what it was given.

#[test]
fn out_of_memory() {
    let Some(mut site) = Site::new("memory") else {
        return;
    };
    site.memory = 900;
    let expected = failed(
        "out-of-memory",
        "installer",
        Line("of memory to install, but you only have"),
        &["ran out of memory", "--memory"],
    );
    standin_fails(&site, &kickstart(""), &[], &expected);
}

#[test]
fn kickstart_rejected() {
    let Some(site) = Site::new("reject") else {
        return;
    };
    let text = format!("install\n{}", kickstart(""));
    let expected = failed(
        "kickstart-rejected",
        "installer",
        Line("An error occurred during reading the kickstart file"),
        &[
            "installer reported",
            "line 1",
            "install",
            "correct the kickstart",
        ],
    );
    let mut command = site.install_unchecked(&text);
    command.args(["--retries", "2"]);
    let outcome = run(command);
    assert!(!outcome.stderr.contains("attempt"), "it cannot help");
    assert_verdict(&site, &outcome, &expected);
    assert_not_waited_for(&site);
}

#[test]
fn question_asked() {
    let Some(site) = Site::new("question") else {
        return;
    };
    let text = kickstart("").replace("rootpw --plaintext test-only\n", "");
    let expected = failed(
        "question-asked",
        "preparing",
        Line(CMDLINE),
        &["not completed: Root password, User", "to the kickstart"],
    );
    standin_fails(&site, &text, &[], &expected);
    assert_not_waited_for(&site);
}

#[test]
fn source_unavailable() {
    let Some(site) = Site::new("source") else {
        return;
    };
    site.mirror.remove("/os/repodata/repomd.xml");
    let expected = failed(
        "source-unavailable",
        "preparing",
        Line(CMDLINE),
        &["Installation source", "repomd.xml"],
    );
    let verdict = standin_fails(&site, &kickstart(""), &[], &expected);
    assert_eq!(
        verdict["repositories"][0].as_str().unwrap(),
        site.mirror.url("/os/").as_str()
    );
}

#[test]
fn software_missing() {
    let Some(site) = Site::new("software") else {
        return;
    };
    let text = kickstart("%packages\nno-such-package\n%end\n");
    let expected = failed(
        "software-missing",
        "preparing",
        Line(CMDLINE),
        &["missing packages: no-such-package", "%packages"],
    );
    let verdict = standin_fails(&site, &text, &[], &expected);
    assert_eq!(verdict["packages"], serde_json::json!(["no-such-package"]));
    let asked = verdict["repositories"][0].as_str().unwrap();
    assert_eq!(asked, site.mirror.url("/os/").as_str());
    assert!(verdict["seen"].as_array().unwrap().len() > 2, "{verdict:#}");
    assert_not_waited_for(&site);
}

#[test]
fn storage_failed() {
    let Some(site) = Site::new("storage") else {
        return;
    };
    let expected = failed(
        "storage-failed",
        "preparing",
        Line(CMDLINE),
        &["installer reported", "--disk"],
    );
    let options = ["--disk", "300MB"];
    standin_fails(&site, &kickstart(""), &options, &expected);
    assert_not_waited_for(&site);
}

// The installer works.

#[test]
fn download_failed() {
    let Some(site) = Site::new("download") else {
        return;
    };
    let package = path_of(&site, "/os/Packages/less-");
    site.mirror
        .change(&package, |file| file.always = Some(Fault::CutAt(1000)));
    let expected = failed(
        "download-failed",
        "downloading",
        Line(CMDLINE),
        &["less-", "while downloading packages", "check the mirror"],
    );
    standin_fails(&site, &bootable(""), &[], &expected);
}

#[test]
#[ignore = "long"]
fn transaction_failed() {
    if crate::support::is_left_out() {
        return;
    }
    let Some(site) = Site::new("transact") else {
        return;
    };
    let more = format!(
        "repo --name=custom --baseurl={}\n%packages\ncorp-broken-scriptlet\n%end\n",
        site.guest_url("/custom/")
    );
    let expected = failed(
        "transaction-failed",
        "packages",
        Line("Error in POSTIN scriptlet in rpm package corp-broken-scriptlet"),
        &["corp-broken-scriptlet", "while installing packages"],
    );
    let verdict = standin_fails(&site, &kickstart(&more), &[], &expected);
    assert_eq!(
        verdict["packages"],
        serde_json::json!(["corp-broken-scriptlet"])
    );
}

#[test]
#[ignore = "long"]
fn the_guests_disk_is_full() {
    if crate::support::is_left_out() {
        return;
    }
    let Some(site) = Site::new("small") else {
        return;
    };
    let text = bootable("").replace("--size=2048 --grow", "--size=150");
    let expected = failed(
        "disk-full",
        "downloading",
        Line(CMDLINE),
        &["on the / filesystem", "--disk"],
    );
    let verdict = standin_fails(&site, &text, &[], &expected);
    assert_eq!(verdict["full_disk"], "guest");
}

/// The same cause for the host's disk is the host's fault: another exit status.
#[test]
fn the_hosts_disk_is_full() {
    if !is_root() {
        return;
    }
    let play = "find_kickstart\nstart_installer\nsay 'Installing the software'\n\
                dd if=/dev/urandom of=/dev/vda bs=1M\n";
    let Some(site) = crafted::site("full", play) else {
        return;
    };
    // There is room enough when ozr looks, and less when the guest needs it.
    let mounted = Tmpfs::mount(&site, "size=300m");
    let expected = Expected {
        cause: "disk-full",
        status: 3,
        phase: "downloading",
        decisive: Ended("QEMU stopped the guest: there is no room for its disk"),
        says: &["output directory is full", "make room on the host"],
    };
    let mut command = site.install_unchecked(&kickstart(""));
    command.args(["--disk", "256MiB"]);
    let mut running = start(command);
    running.wait_for("] starting the guest");
    mounted.remount("size=64m");
    let verdict = assert_verdict(&site, &running.wait(), &expected);
    assert_eq!(verdict["full_disk"], "host");
}

/// GRUB's first sector is missing in the installer's system: a `%pre` took it away.
#[test]
#[ignore = "long"]
fn boot_loader_failed() {
    if crate::support::is_left_out() {
        return;
    }
    let Some(site) = Site::new("loader") else {
        return;
    };
    let more = "%pre\nrm /usr/lib/grub/i386-pc/boot.img\n%end\n";
    let expected = failed(
        "boot-loader-failed",
        "boot-loader",
        Line(CMDLINE),
        &["failed to write boot loader", "boot.img", "`bootloader`"],
    );
    standin_fails(&site, &bootable(more), &[], &expected);
}

#[test]
fn script_failed() {
    let Some(site) = crafted::site("script", crafted::INSTALL) else {
        return;
    };
    let text = kickstart("%post --erroronfail\necho about to fail\nfalse\n%end\n");
    let expected = failed(
        "script-failed",
        "post-scripts",
        Line(CMDLINE),
        &["script at line ", "(%post --erroronfail) failed", "--log"],
    );
    let script = standin_fails(&site, &text, &[], &expected)["script"].take();
    let before = text.lines().take_while(|line| !line.starts_with("%post"));
    let line = before.count() + 1;
    assert_eq!(script["line"], line, "{script:#}");
    assert_eq!(script["section"]["header"], "%post --erroronfail");
    assert_eq!(script["section"]["line"], line);
    assert_eq!(script["section"]["added"], false);
    let log = script["log"].as_array().unwrap();
    assert!(log.contains(&"about to fail".into()), "{script:#}");
    assert_not_waited_for(&site);
}

#[test]
fn kernel_panic() {
    let Some(mut site) = crafted::site("panic", crafted::INSTALL) else {
        return;
    };
    site.kernelparam = "standin.fault=panic@starting-automated-install".to_string();
    let expected = failed(
        "kernel-panic",
        "installer",
        Line("Kernel panic - not syncing"),
        &["kernel panicked: sysrq triggered crash; look"],
    );
    standin_fails(&site, &kickstart(""), &[], &expected);
}

#[test]
fn installer_failed() {
    let Some(mut site) = crafted::site("early", crafted::INSTALL) else {
        return;
    };
    site.kernelparam = "standin.fault=poweroff@starting-automated-install".to_string();
    let expected = failed(
        "installer-failed",
        "installer",
        Line("reboot: Power down"),
        &["powered off without finishing", "came as far as"],
    );
    standin_fails(&site, &kickstart(""), &[], &expected);
}

/// Without a completion mark nobody knows whether the install was done.
#[test]
fn poweroff_failed() {
    let play = crafted::INSTALL.strip_suffix("power_off\n").unwrap();
    let play = format!("{play}say 'dracut Warning: poweroff failed!'\nstay\n");
    let Some(site) = crafted::site("poweroff", &play) else {
        return;
    };
    let expected = failed(
        "poweroff-failed",
        "shutting-down",
        Line("dracut Warning: poweroff failed!"),
        &["could not switch itself off"],
    );
    standin_fails(&site, &kickstart(""), &["--verbatim"], &expected);
}

// Nothing is said, or nobody is there to say it.

/// Prints a dot a second for ever, as anaconda does when its package code hangs.
const DOTS: &str = "find_kickstart\nstart_installer\nprintf 'Starting automated install'\n\
                    while :; do printf .; sleep 1; done\n";

#[test]
fn stalled() {
    crafted_fails(
        "stalled",
        DOTS,
        &["--stall-limit", "20"],
        &failed(
            "stalled",
            "preparing",
            Deadline(Duration::from_secs(20), "no progress for 20s"),
            &["no progress for 20s while the installer was getting ready"],
        ),
    );
}

#[test]
fn timed_out() {
    crafted_fails(
        "timeout",
        DOTS,
        &["--timeout", "30"],
        &failed(
            "timed-out",
            "preparing",
            Deadline(Duration::from_secs(30), "timed out after 30s"),
            &["timed out after 30s in phase preparing", "--timeout"],
        ),
    );
}

#[test]
fn guest_killed() {
    let Some(mut site) = crafted::site("killed", crafted::INSTALL) else {
        return;
    };
    site.kernelparam = "standin.fault=hang@installing".to_string();
    let mut command = site.install_unchecked(&kickstart(""));
    command.env("LIBVIRT_DEBUG", "1");
    let mut running = start(command);
    running.wait_for("] installing packages\n");
    let killed = Instant::now();
    for pid in site.qemus() {
        kill("KILL", pid);
    }
    let expected = failed(
        "guest-killed",
        "packages",
        Moment(killed, "QEMU was killed by signal 9"),
        &[
            "QEMU was killed by signal 9",
            "while installing packages",
            "dmesg",
        ],
    );
    let outcome = running.wait();
    assert_verdict(&site, &outcome, &expected);
    // libvirt logs the end of its connection to QEMU, and nowhere among our lines.
    let logged = |line: &&str| line.contains(": error :") || line.contains(": debug :");
    assert_eq!(outcome.stderr.lines().find(logged), None);
}

#[test]
fn interrupted() {
    let Some(mut site) = crafted::site("term", crafted::INSTALL) else {
        return;
    };
    site.kernelparam = "standin.fault=hang@installing".to_string();
    let mut running = start(site.install_unchecked(&kickstart("")));
    running.wait_for("] installing packages\n");
    let stopped = Instant::now();
    running.signal("TERM");
    let expected = Expected {
        cause: "interrupted",
        status: 130,
        phase: "packages",
        decisive: Moment(stopped, "SIGTERM came"),
        says: &["interrupted by SIGTERM while installing packages"],
    };
    assert_verdict(&site, &running.wait(), &expected);
}

/// The daemon dies in the middle, and is started again, as service managers do. Its QEMU outlives
/// it; the successor ends it for ozr.
#[test]
fn hypervisor_failed() {
    let Some(mut site) = crafted::site("daemon", crafted::INSTALL) else {
        return;
    };
    let _turn = daemon::turn_alone();
    let Some(daemon) = daemon::start_ours() else {
        return;
    };
    site.kernelparam = "standin.fault=hang@installing".to_string();
    let _end = Qemus(&site);
    let mut command = site.install_unchecked(&kickstart(""));
    command.args(["--connect", "qemu:///system"]);
    let mut running = start(command);
    running.wait_for("] installing packages\n");
    let killed = Instant::now();
    daemon.kill();
    daemon.restart();
    let expected = Expected {
        cause: "hypervisor-failed",
        status: 3,
        phase: "packages",
        decisive: Moment(killed, "the libvirt daemon ended"),
        says: &[
            "the connection to libvirt was lost",
            "while installing packages",
        ],
    };
    assert_verdict(&site, &running.wait(), &expected);
    let listed = daemon::virsh(&["list", "--all", "--name"]);
    assert!(!listed.contains(&site.name), "{listed}");
}

/// Ends a site's QEMU processes when a test ends early.
struct Qemus<'a>(&'a Site);

impl Drop for Qemus<'_> {
    fn drop(&mut self) {
        for pid in self.0.qemus() {
            // It may have ended meanwhile.
            let _ = Command::new("kill").arg(pid.to_string()).status();
        }
    }
}

/// A file that the mirror serves, by the start of its path.
fn path_of(site: &Site, start: &str) -> String {
    let mut paths = site.mirror.paths().into_iter();
    paths.find(|path| path.starts_with(start)).unwrap()
}

/// A small file system as a site's output directory, while this value lives.
struct Tmpfs(std::path::PathBuf);

impl Tmpfs {
    fn mount(site: &Site, options: &str) -> Tmpfs {
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", options, "ozr-test"]);
        assert!(command.arg(site.out()).status().unwrap().success());
        Tmpfs(site.out())
    }

    fn remount(&self, options: &str) {
        let mut command = Command::new("mount");
        command.args(["-o", &format!("remount,{options}")]);
        assert!(command.arg(&self.0).status().unwrap().success());
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let status = Command::new("umount").arg("--lazy").arg(&self.0).status();
        assert!(status.is_ok_and(|status| status.success()));
    }
}
