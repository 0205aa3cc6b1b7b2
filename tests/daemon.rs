//! Real guests through the system's libvirt daemon. In a test program of their own: a process
//! that has the embedded driver reaches no daemon.

#![cfg(feature = "libvirt")]
#![allow(clippy::unwrap_used)]

mod support;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use ozr::host::{Connection, DomainSpec, Host, HostOptions};
use ozr::install::record::{Recorder, Track};
use ozr::machine::Firmware;
use ozr::ui::event::Reporter;
use ozr::watch::witness::End;
use support::small::{Then, boot_sector, hear_linux, linux, read_all, spec, within};

/// The system's daemon, and a guest's directory that QEMU's own user may pass through.
fn on_the_daemon(name: &str, disk: &[u8]) -> Option<Daemon> {
    let running = support::daemon::start()?;
    let options = HostOptions {
        connection: Connection::Uri("qemu:///system".to_owned()),
        runtime_dir: std::env::temp_dir(),
        capability_cache: std::env::temp_dir(),
        libvirt_networks: false,
        tpm: false,
        pool: None,
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
        assert_eq!(end.cause, End::ByGuest);
        let wanted = line.repeat(usize::from(times));
        assert!(
            said.ends_with(&wanted),
            "{times}: {}",
            String::from_utf8_lossy(&said)
        );
    }
}

/// virtlogd begins a new log after 2 MiB. What ozr records does not come from there.
#[tokio::test]
async fn on_the_daemon_a_console_beyond_virtlogds_log_is_recorded_whole() {
    let line = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ\r\n";
    // 2.1 MB: no more than it takes, every byte costs an emulated port.
    let times = 33_000;
    let Some(daemon) = on_the_daemon("flood", &boot_sector(line, times, Then::PowerOff)) else {
        return;
    };
    let mut started = daemon.host.start(&daemon.spec, false).unwrap();
    let record = daemon.dir.path().join("record");
    fs::create_dir(&record).unwrap();
    let recorder = Recorder::begin(&record, &Reporter::silent());
    started.guest.resume().unwrap();
    let listen = async {
        loop {
            recorder.room().await;
            let Some(bytes) = started.console.read().await else {
                break;
            };
            recorder.put(Track::ConsoleBytes, bytes);
        }
    };
    within("the end of the console", listen).await;
    assert!(recorder.flush(Duration::from_secs(60)).await);
    let rotated = daemon.dir.path().join("console.log.0");
    assert!(rotated.exists(), "virtlogd has kept it in one file");
    let said = fs::read(record.join("console.raw")).unwrap();
    let wanted = line.repeat(usize::from(times));
    assert!(wanted.len() > 2 << 20);
    let start = said.len().saturating_sub(wanted.len());
    let wrong = said[start..].iter().zip(&wanted).position(|(a, b)| a != b);
    let shown = |at: usize| {
        let part = &said[at.saturating_sub(100)..said.len().min(at + 200)];
        String::from_utf8_lossy(part).into_owned()
    };
    assert!(
        said.ends_with(&wanted),
        "{} of {} bytes, wrong from {wrong:?}: {:?} … {:?}",
        said.len(),
        wanted.len(),
        shown(0),
        shown(start + wrong.unwrap_or(0))
    );
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
