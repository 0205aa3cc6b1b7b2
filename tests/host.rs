//! Real guests through the embedded driver: small ones that a boot sector makes, and the install
//! tree's Linux.

#![cfg(feature = "libvirt")]
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use ozr::error::{Kind, kind_of};
use ozr::host::{Connection, DirectBoot, DomainSpec, GuestEnd, Host, HostOptions, Port, Started};
use ozr::machine::{Firmware, Network};
use ozr::watch::witness::End;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use support::small::{Then, boot_sector, contains, hear_linux, linux, read_all, spec, within};

/// The one embedded driver that a process may have, and its directory.
struct Shared {
    dir: PathBuf,
    host: Host,
}

static SHARED: LazyLock<Shared> = LazyLock::new(|| {
    let base = std::env::temp_dir();
    let prefix = "ozr-host-test-";
    // The driver lives as long as the process, so its directory cannot be removed at the end:
    // the next run does it.
    for entry in fs::read_dir(&base).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let owner = name.strip_prefix(prefix).and_then(|pid| pid.parse().ok());
        if owner
            .and_then(Pid::from_raw)
            .is_some_and(|pid| test_kill_process(pid).is_err())
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let dir = base.join(format!("{prefix}{}", std::process::id()));
    fs::create_dir(&dir).unwrap();
    let options = HostOptions {
        connection: Connection::Embedded,
        runtime_dir: dir.clone(),
        capability_cache: base.join("ozr-host-test-capabilities"),
        libvirt_networks: false,
        tpm: false,
        pool: None,
    };
    let host = Host::open(&options).unwrap();
    Shared { dir, host }
});

/// A guest from a boot sector, with what a test asks about it.
struct Small {
    started: Started,
    spec: DomainSpec,
    console_log: PathBuf,
    pid: Pid,
    // Removed last.
    _dir: tempfile::TempDir,
}

fn prepare(name: &str, disk: &[u8]) -> (DomainSpec, tempfile::TempDir) {
    let dir = tempfile::Builder::new()
        .prefix("a b&'\"ä")
        .tempdir_in(&SHARED.dir)
        .unwrap();
    let path = dir.path().join("disk <1>,2.raw");
    fs::write(&path, disk).unwrap();
    let spec = spec(name, &path, &dir.path().join("console.log"));
    (spec, dir)
}

fn start(name: &str, disk: &[u8]) -> Small {
    let (spec, dir) = prepare(name, disk);
    let started = SHARED.host.start(&spec, false).unwrap();
    Small {
        pid: qemu_pid(name),
        console_log: spec.console_log.clone(),
        spec,
        started,
        _dir: dir,
    }
}

fn qemu_pid(name: &str) -> Pid {
    let file = SHARED.dir.join(format!("v/run/qemu/{name}.pid"));
    Pid::from_raw(fs::read_to_string(file).unwrap().trim().parse().unwrap()).unwrap()
}

async fn read_until(port: &mut Port, text: &[u8]) -> Vec<u8> {
    within("reading a text", async {
        let mut all = Vec::new();
        while !all.windows(text.len()).any(|window| window == text) {
            all.extend(port.read().await.expect("the console ended early"));
        }
        all
    })
    .await
}

async fn finished(small: &Small) -> GuestEnd {
    within("the guest's end", small.started.guest.finished()).await
}

#[tokio::test]
async fn a_guest_speaks_and_powers_off() {
    let mut small = start("speaks", &boot_sector(b"HELLO\r\n", 1, Then::PowerOff));
    small.started.guest.resume().unwrap();
    let end = within("the end", small.started.guest.ended()).await;
    assert_eq!(end.cause, End::ByGuest);
    let said = read_all(&mut small.started.console).await;
    assert!(contains(&said, b"HELLO"), "{said:?}");
    assert_eq!(read_all(&mut small.started.log_port).await, b"");
    assert_eq!(finished(&small).await.cause, End::ByGuest);
    assert_eq!(fs::read(&small.console_log).unwrap(), said);
    assert!(test_kill_process(small.pid).is_err(), "QEMU still runs");
    // What has ended may be ended again.
    small.started.guest.destroy().unwrap();
    assert_eq!(SHARED.host.find("speaks").unwrap(), None);
}

#[tokio::test]
async fn a_guest_that_nobody_listens_to_for_a_while_loses_nothing() {
    let line = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ\r\n";
    let times = 3000;
    let mut small = start("flood", &boot_sector(line, times, Then::PowerOff));
    small.started.guest.resume().unwrap();
    // Its first words wait where nobody fetches them: a socket holds less than 300 single bytes.
    within("the console's log", async {
        while fs::metadata(&small.console_log).map_or(0, |data| data.len()) < 200 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let said = read_all(&mut small.started.console).await;
    assert_eq!(finished(&small).await.cause, End::ByGuest);
    // Not compared with QEMU's log of it: that repeats bytes which had to wait.
    assert!(said.ends_with(&line.repeat(usize::from(times))));
}

/// An installed system may restart, as for its first relabelling; only an installer that does has done
/// its work (the domain's XML says so, and installs that end so are tested as a whole).
#[tokio::test]
async fn a_system_without_an_installer_may_restart() {
    let mut small = start("restarts", &boot_sector(b"AGAIN", 1, Then::Reset));
    small.started.guest.resume().unwrap();
    for _ in 0..2 {
        read_until(&mut small.started.console, b"AGAIN").await;
    }
    small.started.guest.destroy().unwrap();
    assert_eq!(finished(&small).await.cause, End::Killed);
}

#[tokio::test]
async fn a_killed_qemu_is_noticed_and_named() {
    let mut small = start("killed", &boot_sector(b"READY", 1, Then::Hang));
    small.started.guest.resume().unwrap();
    read_until(&mut small.started.console, b"READY").await;
    kill_process(small.pid, Signal::KILL).unwrap();
    let end = within("the end", small.started.guest.ended()).await;
    assert_eq!(end.cause, End::Crashed);
    assert!(end.detail.unwrap().contains("signal 9"));
    assert_eq!(finished(&small).await.cause, End::Crashed);
    read_all(&mut small.started.console).await;
}

#[tokio::test]
async fn a_guest_is_looked_at_and_destroyed() {
    let mut small = start("destroyed", &boot_sector(b"READY", 1, Then::Hang));
    let guest = &small.started.guest;
    guest.resume().unwrap();
    read_until(&mut small.started.console, b"READY").await;

    let picture = guest.observer().screenshot().unwrap();
    assert!(picture.starts_with(b"\x89PNG"));
    assert_eq!(guest.observer().counters().unwrap().written, 0);
    let xml = guest.live_xml().unwrap();
    assert!(xml.contains("build-destroyed") && xml.contains(&small.spec.mac.to_string()));
    assert!(
        fs::read_to_string(SHARED.host.qemu_log(&small.spec.name).unwrap())
            .is_ok_and(|log| log.contains("-accel tcg"))
    );

    guest.destroy().unwrap();
    assert_eq!(finished(&small).await.cause, End::Killed);
    assert!(test_kill_process(small.pid).is_err(), "QEMU still runs");
    small.started.guest.destroy().unwrap();
    assert!(small.started.guest.observer().screenshot().is_err());
}

#[tokio::test]
async fn a_dropped_guest_leaves_nothing() {
    let small = start("dropped", &boot_sector(b"READY", 1, Then::Hang));
    // Whoever still looks at it, as a thread that hangs in libvirt does, keeps it from nothing.
    let _observer = small.started.guest.observer();
    small.started.guest.resume().unwrap();
    let pid = small.pid;
    drop(small.started);
    assert!(test_kill_process(pid).is_err(), "QEMU still runs");
    assert_eq!(SHARED.host.find("dropped").unwrap(), None);
}

#[tokio::test]
async fn a_leftover_is_known_as_ours_and_removed() {
    let small = start("leftover", &boot_sector(b"READY", 1, Then::Hang));
    let marker = SHARED.host.find("leftover").unwrap().unwrap();
    assert_eq!(marker.build_id, "build-leftover");
    assert_eq!(marker.pid, std::process::id());

    assert_eq!(marker.is_alive(), Some(true));
    let marked = SHARED.host.marked().unwrap();
    assert!(marked.contains(&("leftover".to_owned(), marker.clone())));

    let remove = |id: &str| SHARED.host.remove_leftover("leftover", id).unwrap();
    remove("another build");
    assert_eq!(
        SHARED.host.find("leftover").unwrap().as_ref(),
        Some(&marker)
    );
    remove(&marker.build_id);
    assert_eq!(finished(&small).await.cause, End::Killed);
    assert_eq!(SHARED.host.find("leftover").unwrap(), None);
    remove(&marker.build_id);
}

/// Root's guests run as somebody who is not root, if that user can come to their files.
#[test]
fn roots_qemu_is_not_root() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: for root only");
        return;
    }
    let owner_of_qemu = |name: &str, mode: u32| {
        let (spec, dir) = prepare(name, &boot_sector(b"", 1, Then::Hang));
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
        fs::set_permissions(&spec.disk.path, fs::Permissions::from_mode(0o600)).unwrap();
        let mut started = SHARED.host.start(&spec, false).unwrap();
        let warning = started.warning.take();
        let owner = fs::metadata(format!("/proc/{}", qemu_pid(name).as_raw_nonzero())).unwrap();
        drop(started);
        let disk = fs::metadata(&spec.disk.path).unwrap();
        assert_eq!(
            (disk.uid(), disk.mode() & 0o077),
            (0, 0),
            "the disk is ours again"
        );
        (owner.uid(), warning)
    };
    let (uid, warning) = owner_of_qemu("ozr-unprivileged", 0o711);
    assert_ne!(uid, 0);
    assert_eq!(warning, None);
    assert!(SHARED.host.users().contains(&uid));
    let (uid, warning) = owner_of_qemu("ozr-closed", 0o700);
    assert_eq!(uid, 0);
    assert!(warning.unwrap().contains("is closed to the user "));
}

#[test]
fn what_cannot_be_started_says_why() {
    let (mut spec, dir) = prepare("unstartable", &boot_sector(b"", 1, Then::Hang));
    let boot = DirectBoot {
        kernel: dir.path().join("no-kernel"),
        initrd: dir.path().join("no-initrd"),
        cmdline: String::new(),
    };
    spec.boot = Some(boot);
    let refused = |spec: &DomainSpec| {
        let error = SHARED.host.start(spec, false).unwrap_err();
        assert_eq!(kind_of(&error), Some(Kind::Host), "{error:#}");
        assert_eq!(SHARED.host.find(&spec.name).unwrap(), None);
        format!("{error:#}")
    };
    assert!(refused(&spec).contains("no-kernel"));

    spec.boot = None;
    spec.disk.path = "relative.raw".into();
    assert!(refused(&spec).contains("relative.raw"));

    spec.disk.path = dir.path().join("disk <1>,2.raw");
    spec.nic_model = "no-such-card".to_owned();
    assert!(refused(&spec).contains("no-such-card"));

    spec.nic_model = "virtio".to_owned();
    spec.network = Network::Bridge("ozr-no-such".to_owned());
    assert!(refused(&spec).contains("ozr-no-such"));
}

#[test]
fn uefi_is_chosen_by_libvirt() {
    let firmware = Path::new("/usr/share/qemu/firmware");
    if fs::read_dir(firmware).map_or(0, Iterator::count) == 0 {
        println!("skipped: this host has no UEFI firmware for guests");
        return;
    }
    let (mut spec, _dir) = prepare("uefi", &boot_sector(b"", 1, Then::Hang));
    spec.firmware = Firmware::Uefi;
    let started = SHARED.host.start(&spec, false).unwrap();
    let xml = started.guest.live_xml().unwrap();
    assert!(
        xml.contains("<nvram") && xml.contains("type='pflash'"),
        "{xml}"
    );
}

#[test]
fn the_hosts_facts_are_there() {
    let versions = SHARED.host.versions().unwrap();
    for version in [&versions.libvirt, &versions.qemu] {
        let major: u32 = version.split('.').next().unwrap().parse().unwrap();
        assert!(major >= 4, "{versions:?}");
    }
    assert!(SHARED.host.is_local());
    assert!(SHARED.host.uri().starts_with("qemu:///embed"));
    let place = SHARED.host.network_address(&Network::User).unwrap();
    assert_eq!(place.bind.to_string(), "127.0.0.1");
    assert_eq!(place.guest_uses.to_string(), "10.0.2.2");
}

#[tokio::test]
async fn linux_writes_to_its_log_port() {
    let (spec, dir) = prepare("linux", &boot_sector(b"", 1, Then::Hang));
    let Some(boot) = linux(dir.path()) else {
        return;
    };
    hear_linux(&SHARED.host, spec, boot).await;
}
