//! The system's libvirt daemon, started by hand where no service manager does it.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for a daemon, or for a defined domain to say something.
const PATIENCE: Duration = Duration::from_secs(240);

/// Makes sure that `qemu:///system` answers; false, and says why, where it cannot.
pub fn start() -> bool {
    if answers() {
        return true;
    }
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: qemu:///system does not answer, and only root can start it");
        return false;
    }
    for daemon in ["virtlogd", "libvirtd"] {
        let status = Command::new(format!("/usr/sbin/{daemon}"))
            .arg("-d")
            .status()
            .unwrap();
        assert!(status.success(), "{daemon} does not start");
    }
    let deadline = Instant::now() + PATIENCE;
    while !answers() {
        assert!(Instant::now() < deadline, "libvirtd does not answer");
        std::thread::park_timeout(Duration::from_millis(50));
    }
    true
}

fn answers() -> bool {
    Command::new("virsh")
        .args(["-c", "qemu:///system", "version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs `virsh`; its output.
pub fn virsh(arguments: &[&str]) -> String {
    let output = Command::new("virsh")
        .args(["-c", "qemu:///system", "-q"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "virsh {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Starts a defined domain and waits until its console says `text`.
pub fn boot_defined(domain: &str, log: &Path, text: &str) {
    virsh(&["start", domain]);
    let pty = virsh(&["ttyconsole", domain]);
    let mut console = std::fs::File::open(pty.trim()).unwrap();
    let (sender, bytes) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length) = console.read(&mut buffer) {
            if length == 0 || sender.send(buffer[..length].to_vec()).is_err() {
                break;
            }
        }
    });
    let mut seen = String::new();
    let deadline = Instant::now() + PATIENCE;
    while !seen.contains(text) {
        let left = deadline.saturating_duration_since(Instant::now());
        match bytes.recv_timeout(left) {
            Ok(bytes) => seen.push_str(&String::from_utf8_lossy(&bytes)),
            Err(_) => {
                std::fs::write(log, &seen).unwrap();
                panic!("`{text}` did not come from {domain}: {seen}");
            }
        }
    }
}
