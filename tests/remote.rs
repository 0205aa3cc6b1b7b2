//! Guests on another host, over libvirt's transport by ssh. In a test program of their own: it makes a host in namespaces,
//! with a link of its own.

#![cfg(feature = "libvirt")]
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use support::crafted;
use support::far::Far;
use support::site::{Site, kickstart, run, start};
use support::small::{Then, boot_sector};

/// What ozr says when packages come: the guest is in the middle of its install then.
const PACKAGES: &str = "] installing packages\n";

/// How long a build may take to end when its link was cut: libvirt misses five signs of life in 30 s.
const NOTICED: Duration = Duration::from_secs(90);

fn install(site: &Site, far: &Far) -> Command {
    let mut command = site.install(&kickstart(""));
    command.args(["--accel", "tcg", "--connect", &far.uri()]);
    command
}

/// The command lines of all processes, as everybody can read them.
fn command_lines() -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .collect()
}

/// What `virsh` shows there is what a guest there is made of, and its own words are what ozr judges it by. What it asks for
/// is behind this host's loopback.
#[test]
fn an_install_on_another_host_and_a_cut_link() {
    let Some(mut site) = crafted::site("far", crafted::INSTALL) else {
        return;
    };
    let Some(far) = Far::start() else {
        return;
    };
    site.memory = 512;

    let outcome = run(install(&site, &far));
    outcome.assert_done();
    site.assert_built(&outcome, &["qcow2"]);
    let console = std::fs::read_to_string(site.output("console.log")).unwrap();
    assert!(console.contains("Generating initramfs"), "{console}");
    // What the guest wrote, which is more than its file system's first bytes.
    let image = std::fs::metadata(site.output("qcow2")).unwrap();
    assert!(image.len() > 6 << 20, "{} bytes", image.len());
    assert_eq!(far.volumes(), [""; 0]);
    assert_eq!(far.guests(), "");

    // An image of this host's under an overlay; by TLS, where there is no ssh that a tunnel could be made with.
    let image = site.path("web.raw");
    let text = b"[    0.000000] Linux version 5.14.0-1.el9 (x)\r\nweb login: ";
    std::fs::write(&image, boot_sector(text, 1, Then::Hang)).unwrap();
    let mut boot_test = site.ozr();
    boot_test
        .args([
            "boot-test",
            "--accel",
            "tcg",
            "--memory",
            "128",
            "--vcpus",
            "1",
            "--connect",
            &far.uri_by_tls(),
        ])
        .arg("--state-dir")
        .arg(site.path("state"))
        .arg("--cache-dir")
        .arg(site.path("cache"))
        .args(["--target", "multi-user", "--timeout", "5"])
        .arg(&image);
    // What is waited for does not come; what came before was read from the image.
    run(boot_test).assert_failed(1, &["(timed-out)", "multi-user.target was not reached"]);
    let report = std::fs::read_to_string(site.path("web.boot-test/boot-test.json")).unwrap();
    assert!(report.contains("5.14.0-1.el9"), "{report}");
    assert_eq!(far.volumes(), [""; 0]);

    // In the middle, where this guest stays, it is looked at, and the link is cut.
    site.kernelparam = "standin.fault=hang@installing".to_owned();
    let mut command = install(&site, &far);
    command.arg("--force");
    let mut build = start(command);
    build.wait_for(PACKAGES);
    assert!(far.guests().contains(&site.name), "{}", far.guests());
    let volumes = far.volumes();
    for ending in ["-disk.qcow2", "-initrd.img"] {
        let there = volumes.iter().any(|name| name.ends_with(ending));
        assert!(there, "{ending}: {volumes:?}");
    }
    let mut screenshot = site.ozr();
    let picture = site.path("screen.png");
    screenshot
        .args(["screenshot", &site.name, "-o"])
        .arg(&picture)
        .arg("--state-dir")
        .arg(site.path("state"));
    run(screenshot).assert_done();
    assert!(std::fs::read(picture).unwrap().starts_with(b"\x89PNG"));
    // The kickstart's password is nobody's who looks at processes, nor is the address of a kickstart.
    let lines = command_lines();
    let ours = lines.iter().filter(|line| line.contains(&site.name));
    for line in ours {
        assert!(!line.contains("test-only"), "{line}");
        assert!(!line.contains("inst.ks=http"), "{line}");
    }
    let qemu = |line: &&String| line.contains("qemu-system") && line.contains(&site.name);
    assert!(lines.iter().any(|line| qemu(&line)));
    far.cut();
    let cut = Instant::now();
    let outcome = build.wait();
    assert!(cut.elapsed() < NOTICED, "{:?}", cut.elapsed());
    outcome.assert_failed(3, &["libvirt"]);
    far.mend();
    // The other host has noticed, too, and ends what nobody cares for.
    far.wait_for_no_guest();
    assert_ne!(far.volumes(), [""; 0]);
    // The next build, or this:
    let removed = site.gc(&[]);
    removed.assert_done();
    assert!(
        removed.stdout.contains(" files on qemu+ssh://"),
        "{removed:?}"
    );
    assert_eq!(far.volumes(), [""; 0]);
    site.assert_nothing_runs(&outcome);
}
