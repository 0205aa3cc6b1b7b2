//! Real guests through the embedded driver and through the system's daemon: small ones that a
//! boot sector makes, and the install tree's Linux.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use ozr::build::initrd::{KICKSTART_NAME, append_kickstart};
use ozr::distro::Arch;
use ozr::error::{Kind, kind_of};
use ozr::host::{
    Accel, Chipset, Connection, DirectBoot, DiskFormat, DiskSpec, DomainSpec, EndCause, GuestEnd,
    Host, HostOptions, Mac, Port, Started,
};
use ozr::machine::{DiskBus, Firmware, Network};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// Nothing here takes a tenth of this on an idle machine; it turns a hang into a failure.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a boot sector does after it has said its text.
#[derive(Clone, Copy)]
enum Then {
    PowerOff,
    Reset,
    Hang,
}

/// A disk whose boot sector writes `text`, `times` times, to the first serial port.
fn boot_sector(text: &[u8], times: u16, then: Then) -> Vec<u8> {
    /// Where the BIOS puts a boot sector.
    const ORIGIN: u16 = 0x7c00;
    let [count_low, count_high] = times.to_le_bytes();
    let mut code = vec![
        0x31, 0xc0, // xor ax, ax
        0x8e, 0xd8, // mov ds, ax
        0xb9, count_low, count_high, // mov cx, times
    ];
    let again = code.len();
    let message_place = code.len() + 1;
    code.extend([0xbe, 0, 0]); // mov si, message
    let next = code.len();
    code.extend([
        0xac, // lodsb
        0x84, 0xc0, // test al, al
        0x74, 0x10, // jz said
        0x88, 0xc4, // mov ah, al
        0xba, 0xfd, 0x03, // mov dx, COM1's line status
        0xec, // wait: in al, dx
        0xa8, 0x20, // test al, room
        0x74, 0xfb, // jz wait
        0x88, 0xe0, // mov al, ah
        0xba, 0xf8, 0x03, // mov dx, COM1's data
        0xee, // out dx, al
    ]);
    // jmp next; the jump over it above counts to here
    let back = i8::try_from(next as isize - (code.len() as isize + 2)).unwrap();
    code.extend([0xeb, back as u8]);
    let jz = next + 3;
    code[jz + 1] = u8::try_from(code.len() - (jz + 2)).unwrap();
    let back = i8::try_from(again as isize - (code.len() as isize + 2)).unwrap();
    code.extend([0xe2, back as u8]); // loop again
    code.extend(match then {
        // SeaBIOS puts q35's power management at 0x600; sleep type 0 is off in QEMU.
        Then::PowerOff => vec![0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef],
        // The keyboard controller's reset line.
        Then::Reset => vec![0xb0, 0xfe, 0xe6, 0x64],
        Then::Hang => vec![],
    });
    code.extend([0xf4, 0xeb, 0xfd]); // hlt; jmp back to it
    let message = ORIGIN + u16::try_from(code.len()).unwrap();
    code[message_place..message_place + 2].copy_from_slice(&message.to_le_bytes());
    code.extend(text);
    code.push(0);
    assert!(code.len() <= 510, "the text is too long");
    code.resize(510, 0);
    code.extend([0x55, 0xaa]);
    // QEMU wants whole clusters of some formats; a mebibyte does for all.
    code.resize(1024 * 1024, 0);
    code
}

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
    };
    let host = Host::open(&options).unwrap();
    Shared { dir, host }
});

fn spec(name: &str, disk: &Path, console_log: &Path) -> DomainSpec {
    DomainSpec {
        name: name.to_owned(),
        title: format!("{name} <&\"'ä"),
        arch: Arch::X86_64,
        accel: Accel::Tcg,
        chipset: Chipset::Modern,
        vcpus: 1,
        memory_mib: 256,
        firmware: Firmware::Bios,
        boot: None,
        disk: DiskSpec {
            path: disk.to_owned(),
            format: DiskFormat::Raw,
            bus: DiskBus::Virtio,
        },
        network: Network::User,
        nic_model: "virtio".to_owned(),
        mac: Mac::random().unwrap(),
        console_log: console_log.to_owned(),
        build_id: format!("build-{name}"),
    }
}

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

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: nothing within {PATIENCE:?}"),
    }
}

async fn read_all(port: &mut Port) -> Vec<u8> {
    within("reading to the end", async {
        let mut all = Vec::new();
        while let Some(bytes) = port.read().await {
            all.extend(bytes);
        }
        all
    })
    .await
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

fn contains(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn a_guest_speaks_and_powers_off() {
    let mut small = start("speaks", &boot_sector(b"HELLO\r\n", 1, Then::PowerOff));
    small.started.guest.resume().unwrap();
    let end = within("the end", small.started.guest.ended()).await;
    assert_eq!(end.cause, EndCause::Shutdown);
    let said = read_all(&mut small.started.console).await;
    assert!(contains(&said, b"HELLO"), "{said:?}");
    assert_eq!(read_all(&mut small.started.log_port).await, b"");
    assert_eq!(finished(&small).await.cause, EndCause::Shutdown);
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
    assert_eq!(finished(&small).await.cause, EndCause::Shutdown);
    // Not compared with QEMU's log of it: that repeats bytes which had to wait.
    assert!(said.ends_with(&line.repeat(usize::from(times))));
}

#[tokio::test]
async fn a_restart_is_an_end() {
    let mut small = start("restarts", &boot_sector(b"AGAIN", 1, Then::Reset));
    small.started.guest.resume().unwrap();
    let said = read_all(&mut small.started.console).await;
    assert_eq!(finished(&small).await.cause, EndCause::Shutdown);
    let times = said.windows(5).filter(|window| window == b"AGAIN").count();
    assert_eq!(times, 1);
}

#[tokio::test]
async fn a_killed_qemu_is_noticed_and_named() {
    let mut small = start("killed", &boot_sector(b"READY", 1, Then::Hang));
    small.started.guest.resume().unwrap();
    read_until(&mut small.started.console, b"READY").await;
    kill_process(small.pid, Signal::KILL).unwrap();
    let end = within("the end", small.started.guest.ended()).await;
    assert_eq!(end.cause, EndCause::Failed);
    assert!(end.detail.unwrap().contains("signal 9"));
    assert_eq!(finished(&small).await.cause, EndCause::Failed);
    read_all(&mut small.started.console).await;
}

#[tokio::test]
async fn a_guest_is_looked_at_and_destroyed() {
    let mut small = start("destroyed", &boot_sector(b"READY", 1, Then::Hang));
    let guest = &small.started.guest;
    guest.resume().unwrap();
    read_until(&mut small.started.console, b"READY").await;

    let picture = guest.screenshot().unwrap();
    let magic: &[u8] = match picture.extension {
        "png" => b"\x89PNG",
        _ => b"P6",
    };
    assert!(picture.bytes.starts_with(magic));
    assert!(guest.counters().unwrap().disk_read >= 512);
    let xml = guest.live_xml().unwrap();
    assert!(xml.contains("build-destroyed") && xml.contains(&small.spec.mac.to_string()));
    assert!(
        fs::read_to_string(guest.qemu_log().unwrap()).is_ok_and(|log| log.contains("-accel tcg"))
    );

    guest.destroy().unwrap();
    assert_eq!(finished(&small).await.cause, EndCause::Destroyed);
    assert!(test_kill_process(small.pid).is_err(), "QEMU still runs");
    small.started.guest.destroy().unwrap();
    assert!(small.started.guest.screenshot().is_err());
}

#[tokio::test]
async fn a_dropped_guest_leaves_nothing() {
    let small = start("dropped", &boot_sector(b"READY", 1, Then::Hang));
    small.started.guest.resume().unwrap();
    let pid = small.pid;
    drop(small.started);
    assert!(test_kill_process(pid).is_err(), "QEMU still runs");
    assert_eq!(SHARED.host.find("dropped").unwrap(), None);
}

#[tokio::test]
async fn a_leftover_is_known_as_ours_and_removed() {
    let small = start("leftover", &boot_sector(b"READY", 1, Then::Hang));
    let found = SHARED.host.find("leftover").unwrap().unwrap();
    let marker = found.marker.unwrap();
    assert!(found.active);
    assert_eq!(marker.build_id, "build-leftover");
    assert_eq!(marker.pid, std::process::id());

    let error = SHARED.host.start(&small.spec, false).unwrap_err();
    assert_eq!(kind_of(&error), Some(Kind::Host));
    assert!(
        format!("{error:#}").contains("a guest `leftover` already"),
        "{error:#}"
    );

    SHARED.host.remove_leftover("leftover").unwrap();
    assert_eq!(finished(&small).await.cause, EndCause::Destroyed);
    assert_eq!(SHARED.host.find("leftover").unwrap(), None);
    SHARED.host.remove_leftover("leftover").unwrap();
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

/// What the tree's initrd runs in place of its own first process: it loads the drivers, says
/// something on the console and on the log port, and switches off.
const SCRIPT: &str = "\
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
exec </dev/console >/dev/console 2>&1
. /lib/standin/devices.sh
load_drivers
name_virtio_ports
echo OZR-CONSOLE
echo OZR-LOG > /dev/virtio-ports/org.fedoraproject.anaconda.log.0
poweroff -f
";

/// The install tree's kernel and initrd, with [`SCRIPT`] appended as a kickstart would be.
fn linux(dir: &Path) -> Option<DirectBoot> {
    let pxeboot = support::tree::tree()?.join("os/images/pxeboot");
    let initrd = dir.join("initrd.img");
    append_kickstart(&pxeboot.join("initrd.img"), &initrd, SCRIPT.as_bytes()).unwrap();
    Some(DirectBoot {
        kernel: pxeboot.join("vmlinuz"),
        initrd,
        cmdline: format!(
            "console=tty0 console=ttyS0,115200 quiet rdinit=/bin/sh -- /{KICKSTART_NAME}"
        ),
    })
}

/// Starts the Linux guest and hears it out.
async fn hear_linux(host: &Host, mut spec: DomainSpec, boot: DirectBoot) {
    spec.memory_mib = 512;
    spec.boot = Some(boot);
    let mut started = host.start(&spec, false).unwrap();
    started.guest.resume().unwrap();
    let (console, log) = tokio::join!(
        read_all(&mut started.console),
        read_all(&mut started.log_port)
    );
    let end = within("the end", started.guest.finished()).await;
    let said = String::from_utf8_lossy(&console);
    assert_eq!(end.cause, EndCause::Shutdown, "{said}");
    assert!(contains(&console, b"OZR-CONSOLE"), "{said}");
    assert!(contains(&log, b"OZR-LOG"), "{said}");
}

#[tokio::test]
async fn linux_writes_to_its_log_port() {
    let (spec, dir) = prepare("linux", &boot_sector(b"", 1, Then::Hang));
    let Some(boot) = linux(dir.path()) else {
        return;
    };
    hear_linux(&SHARED.host, spec, boot).await;
}

/// The system's daemon, and a guest's directory that QEMU's own user may pass through.
fn on_the_daemon(name: &str, disk: &[u8]) -> Option<Daemon> {
    let running = support::daemon::start()?;
    let options = HostOptions {
        // The embedded driver of this process would take `qemu:///system` for itself.
        connection: Connection::Uri("qemu+unix:///system".to_owned()),
        runtime_dir: std::env::temp_dir(),
        capability_cache: std::env::temp_dir(),
    };
    let host = Host::open(&options).unwrap();
    let dir = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o711))
        .tempdir()
        .unwrap();
    let path = dir.path().join("disk <1>,2.raw");
    fs::write(&path, disk).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    let name = format!("ozr-test-{name}-{}", std::process::id());
    Some(Daemon {
        spec: spec(&name, &path, &dir.path().join("console.log")),
        host,
        dir,
        running,
    })
}

struct Daemon {
    spec: DomainSpec,
    host: Host,
    dir: tempfile::TempDir,
    running: std::sync::Arc<support::daemon::Daemon>,
}

/// The console is a pseudo terminal there, whose unread bytes its end throws away.
#[tokio::test]
async fn on_the_daemon_last_words_are_heard() {
    let line = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ\r\n";
    for times in [1, 2, 300] {
        let Some(daemon) = on_the_daemon("words", &boot_sector(line, times, Then::PowerOff)) else {
            return;
        };
        let mut started = daemon.host.start(&daemon.spec, false).unwrap();
        started.guest.resume().unwrap();
        let said = read_all(&mut started.console).await;
        assert_eq!(read_all(&mut started.log_port).await, b"");
        let end = within("the end", started.guest.finished()).await;
        assert_eq!(end.cause, EndCause::Shutdown);
        let wanted = line.repeat(usize::from(times));
        assert!(
            said.ends_with(&wanted),
            "{times}: {}",
            String::from_utf8_lossy(&said)
        );
    }
}

#[tokio::test]
async fn on_the_daemon_qemus_user_gets_the_builds_own_files_for_a_while() {
    use std::os::unix::fs::MetadataExt;

    let Some(mut daemon) = on_the_daemon("files", &boot_sector(b"READY", 1, Then::Hang)) else {
        return;
    };
    daemon.spec.firmware = Firmware::Uefi;
    let (dir, disk) = (daemon.dir.path(), daemon.spec.disk.path.clone());
    let us = rustix::process::geteuid().as_raw();
    let started = daemon.host.start(&daemon.spec, false).unwrap();
    let xml = started.guest.live_xml().unwrap();
    assert!(xml.contains("relabel='no'"), "{xml}");
    assert!(dir.join("nvram.fd").exists(), "{xml}");
    assert_eq!(fs::metadata(&disk).unwrap().uid(), us);
    started.guest.destroy().unwrap();
    drop(started);
    for file in [&disk, &daemon.spec.console_log] {
        let after = fs::metadata(file).unwrap();
        assert_eq!((after.uid(), after.mode() & 0o777), (us, 0o600), "{file:?}");
    }
}

/// Its networks are there for guests without a daemon, too.
#[test]
fn on_the_daemon_networks_are_found() {
    let Some(_daemon) = support::daemon::start() else {
        return;
    };
    let network = Network::Libvirt("ozr-no-such".to_owned());
    let error = SHARED.host.network_address(&network).unwrap_err();
    assert_eq!(kind_of(&error), Some(Kind::Host));
    let text = format!("{error:#}");
    assert!(text.contains("no network"), "{text}");
}

#[tokio::test]
async fn on_the_daemon_linux_writes_to_its_log_port() {
    let Some(daemon) = on_the_daemon("linux", &boot_sector(b"", 1, Then::Hang)) else {
        return;
    };
    let Some(mut boot) = linux(daemon.dir.path()) else {
        return;
    };
    // The tree may lie where QEMU's user cannot go.
    let kernel = daemon.dir.path().join("vmlinuz");
    fs::copy(&boot.kernel, &kernel).unwrap();
    boot.kernel = kernel;
    hear_linux(&daemon.host, daemon.spec, boot).await;
    drop(daemon.running);
}
