//! `ozr customize` and `ozr install --from`: what a template adds to an image that is there.

#![cfg(feature = "libvirt")]
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::daemon;
use crate::support::disk::Disk;
use crate::support::site::{Outcome, Site, bootable, run};

fn json(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// `ozr install` of the site's template with the additions, from `base.qcow2`, into `NAME.qcow2`.
fn from_base(site: &mut Site, additions: &str, name: &str, options: &[&str]) -> Outcome {
    site.additions = additions.to_owned();
    let mut command = site.install(&bootable(""));
    command.args(["--from", "base.qcow2", "--seal", "--name", name]);
    command.args(options);
    run(command)
}

fn customize(site: &Site, arguments: &[&str]) -> Command {
    let mut command = site.ozr();
    command.arg("customize").args(arguments);
    command.args(["--state-dir", "state", "--cache-dir", "cache"]);
    command.args(["--memory", "2048", "--vcpus", "1"]);
    command
}

/// The base is installed once; what comes of it is sealed, boots, and has what its own template adds.
#[test]
#[ignore = "long"]
fn a_base_is_installed_once() {
    if crate::support::is_left_out() {
        return;
    }
    let Some(mut site) = Site::new("base") else {
        return;
    };
    let file = |path: &str, text: &str| format!("<file name='{path}'>{text}</file>");
    let web = format!("<files>{}</files>", file("/etc/motd", "web"));
    let dry = from_base(&mut site, &web, "web", &["--dry-run"]);
    dry.assert_done();
    assert!(
        dry.stderr.contains("base.qcow2 is installed first"),
        "{}",
        dry.stderr
    );
    assert!(dry.stdout.contains("base.qcow2\n"), "{}", dry.stdout);

    let first = from_base(&mut site, &web, "web", &["--boot-test"]);
    first.assert_done();
    site.assert_nothing_runs(&first);
    let of = |name: &str, ending: &str| site.out().join(format!("{name}.{ending}"));
    assert_eq!(first.stdout, format!("{}\n", of("web", "qcow2").display()));
    let base = site.path("base.qcow2");
    let made = std::fs::read(&base).unwrap();
    assert!(!Disk::open(&base).exists("/etc/motd"));
    let disk = Disk::open(&of("web", "qcow2"));
    assert_eq!(disk.text("/etc/motd"), "web");
    assert_eq!(disk.text("/etc/machine-id"), "");
    assert_eq!(
        json(&of("web", "boot-test").join("boot-test.json"))["passed"],
        true
    );
    // It says what it was made of.
    let manifest = json(&of("web", "manifest.json"));
    let notes = manifest["notes"].to_string();
    assert!(notes.contains("base.qcow2 is installed first"), "{notes}");
    assert_eq!(manifest["kickstart"]["file"], "test.ks");

    // The second takes no install; its root has another password, and every file gets its label.
    site.write("password", "other");
    let setfiles = "#!/bin/sh\nls -d /etc/db /etc/db/x &amp;&amp; echo \"$@\" >/etc/relabelled\n";
    let db = format!(
        "<files>{}{}{}{}</files><commands><command name='x'>chmod 755 /usr/sbin/setfiles; mkdir /etc/db/x</command></commands>",
        file("/etc/db/y", "db"),
        file(
            "/etc/selinux/config",
            "SELINUX=permissive\nSELINUXTYPE=targeted\n"
        ),
        file(
            "/etc/selinux/targeted/contexts/files/file_contexts",
            "/.* system_u:object_r:etc_t:s0\n"
        ),
        file("/usr/sbin/setfiles", setfiles),
    );
    let options = ["--root-password", "file:password"];
    let second = from_base(&mut site, &db, "db", &options);
    second.assert_done();
    let of = |name: &str, ending: &str| site.out().join(format!("{name}.{ending}"));
    assert!(
        second
            .stderr
            .contains("made from base.qcow2: what is in that is of 20"),
        "{}",
        second.stderr
    );
    assert!(
        !second.stderr.contains("starting the guest"),
        "{}",
        second.stderr
    );
    assert_eq!(std::fs::read(&base).unwrap(), made);
    let disk = Disk::open(&of("db", "qcow2"));
    assert!(!disk.exists("/etc/motd"));
    let labelled = disk.text("/etc/relabelled");
    assert!(
        labelled.ends_with(" /etc/selinux/targeted/contexts/files/file_contexts /\n"),
        "{labelled}"
    );
    let root = |disk: &Disk| {
        let shadow = disk.text("/etc/shadow");
        let line = shadow.lines().find(|line| line.starts_with("root:"));
        line.unwrap().to_owned()
    };
    assert_ne!(root(&disk), root(&Disk::open(&base)));

    // What is another's is no base, and what was changed is none any more.
    for (option, why) in [
        (["--disk", "5G"], "it is of another size"),
        (["--firmware", "uefi"], "it is of another firmware"),
    ] {
        let outcome = from_base(&mut site, &db, "other", &option);
        outcome.assert_failed(2, &["base.qcow2", why, "--force"]);
    }
    std::fs::OpenOptions::new()
        .append(true)
        .open(&base)
        .unwrap()
        .set_len(made.len() as u64 + 1)
        .unwrap();
    let outcome = from_base(&mut site, &db, "other", &[]);
    outcome.assert_failed(2, &["base.qcow2 was changed since it was made"]);
}

/// All of it is looked at before a mirror is asked, which there is none of here.
#[test]
fn what_cannot_be_is_refused_at_once() {
    let mut site = Site::bare("refused");
    // A machine is asked for, of the daemon: not of one that is just ending.
    let _turn = daemon::turn();
    let _daemon = daemon::start();
    site.additions = "<files><file name='/etc/motd'>x</file></files>".to_owned();
    site.write_template();
    let image = |name: &str| {
        let made = Command::new("qemu-img")
            .args(["create", "-q", "-f", "qcow2", name, "1G"])
            .current_dir(site.path("."))
            .status();
        assert!(made.unwrap().success());
    };
    image("one.qcow2");
    image("two.qcow2");
    image("there.qcow2");
    let disks = "<domain><devices><disk type='file' device='disk'><driver type='qcow2'/><source file='one.qcow2'/></disk>\
        <disk type='file' device='disk'><driver type='qcow2'/><source file='two.qcow2'/></disk></devices></domain>";
    site.write("machine.xml", disks);
    for (arguments, says) in [
        (&["one.qcow2", "--output", "there.qcow2"][..], "there.qcow2"),
        (&["one.qcow2", "--output", "one.qcow2"], "are the same file"),
        (&["one.qcow2", "--output", "new.vmdk"], "new.vmdk"),
        (&["machine.xml"], "name a new image with --output"),
        (&["nosuch"], "there is no file nosuch, and qemu:///"),
        (&["nosuch.qcow2"], "nosuch.qcow2"),
    ] {
        let outcome = run(customize(&site, &[&["template.tdl"], arguments].concat()));
        outcome.assert_failed(2, &[says]);
    }
    for (options, says) in [
        (&["--no-customize"][..], "leave out one of them"),
        (&["--verbatim"], "leave out --verbatim"),
        (&["-s", "base.raw", "--format", "raw"], "are the same file"),
        (&["-s", "base.qcow2"], "are the same file"),
    ] {
        let outcome = run(site.install_into(&[&["--from", "base.qcow2"], options].concat()));
        outcome.assert_failed(2, &[says]);
    }
    // What is left is the mirror.
    let outcome = run(customize(
        &site,
        &["template.tdl", "machine.xml", "--output", "new.qcow2"],
    ));
    outcome.assert_failed(4, &[]);
}

/// A machine of libvirt's is found by its name without a word on whose it is, and its disks are left alone while they are
/// in use.
#[test]
fn a_machine_is_taken_by_its_name_while_nothing_needs_its_disk() {
    let mut site = Site::bare("by-name");
    let _turn = daemon::turn();
    let Some(_daemon) = daemon::start() else {
        return;
    };
    site.additions = "<files><file name='/etc/motd'>x</file></files>".to_owned();
    site.write_template();
    let image = site.path("disk.qcow2");
    let made = Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2"])
        .arg(&image)
        .arg("64M")
        .status();
    assert!(made.unwrap().success());
    let name = format!("ozr-test-by-name-{}", std::process::id());
    let xml = format!(
        "<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory><os><type arch='x86_64'>hvm</type></os><features><acpi/></features>\
         <devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{}'/>\
         <target dev='vda' bus='virtio'/></disk></devices></domain>",
        image.display()
    );
    let xml = site.write("machine.xml", &xml);
    daemon::virsh(&["define", xml.to_str().unwrap()]);
    let tried = || run(customize(&site, &["template.tdl", &name]));
    // What is left is the mirror, of which there is none here.
    tried().assert_failed(4, &[]);
    daemon::virsh(&["start", &name]);
    tried().assert_failed(2, &["runs and writes to its disks", "shutdown"]);
    daemon::virsh(&["managedsave", &name]);
    tried().assert_failed(2, &["was saved while it ran", "managedsave-remove"]);
    daemon::virsh(&["managedsave-remove", &name]);
    daemon::virsh(&["snapshot-create-as", &name, "before"]);
    tried().assert_failed(2, &["has snapshots", "--output"]);
    daemon::virsh(&["undefine", "--snapshots-metadata", &name]);
    tried().assert_failed(2, &["knows no machine of that name"]);
}
