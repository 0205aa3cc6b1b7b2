//! The system's libvirt daemon, started by hand where no service manager does it.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak,
};
use std::time::{Duration, Instant};

/// Longest wait for a daemon, or for a defined domain to say something.
const PATIENCE: Duration = Duration::from_secs(240);

/// The group whose members may use the system's daemon.
const GROUP: &str = "libvirt";

/// Name of the daemon's settings in a directory of ours.
const CONFIG: &str = "libvirtd.conf";

/// `qemu:///system`, answering for as long as this value lives.
pub struct Daemon(Option<Mutex<Started>>);

/// What we started; nothing where a service manager runs the daemon.
struct Started {
    libvirtd: Child,
    virtlogd: Child,
    config: tempfile::TempDir,
}

/// The one that the tests of this process share.
static RUNNING: Mutex<Weak<Daemon>> = Mutex::new(Weak::new());

/// Who may use the daemon now: many tests at once, or one that kills it.
static TURNS: RwLock<()> = RwLock::new(());

/// A turn together with other tests.
pub fn turn() -> RwLockReadGuard<'static, ()> {
    TURNS.read().unwrap_or_else(PoisonError::into_inner)
}

/// A turn alone.
pub fn turn_alone() -> RwLockWriteGuard<'static, ()> {
    TURNS.write().unwrap_or_else(PoisonError::into_inner)
}

/// Makes sure that `qemu:///system` answers; none, and says why, where it cannot.
pub fn start() -> Option<Arc<Daemon>> {
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(daemon) = running.upgrade() {
        return Some(daemon);
    }
    if answers(&mut virsh_command()) {
        return Some(Arc::new(Daemon(None)));
    }
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: qemu:///system does not answer, and only root can start it");
        return None;
    }
    let daemon = Arc::new(Daemon(Some(Mutex::new(Started::spawn()))));
    *running = Arc::downgrade(&daemon);
    Some(daemon)
}

/// The same, where it is ours to kill and to stop.
pub fn start_ours() -> Option<Arc<Daemon>> {
    let daemon = start()?;
    if daemon.0.is_none() {
        eprintln!("skipped: somebody else runs the daemon");
        return None;
    }
    Some(daemon)
}

/// What is done to a daemon of ours.
impl Daemon {
    fn started(&self) -> MutexGuard<'_, Started> {
        let started = self.0.as_ref().expect("it is ours");
        started.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Kills it, as a crash does.
    pub fn kill(&self) {
        let child = &mut self.started().libvirtd;
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: &str) {
        let pid = self.started().libvirtd.id().to_string();
        let status = Command::new("kill")
            .args([&format!("-{signal}"), &pid])
            .status();
        assert!(status.unwrap().success());
    }

    /// Starts it again after [`Daemon::kill`].
    pub fn restart(&self) {
        let mut started = self.started();
        started.libvirtd = libvirtd(started.config.path());
    }
}

impl Started {
    fn spawn() -> Started {
        open_kvm();
        let config = tempfile::tempdir().unwrap();
        // What packages' polkit rules do where polkit runs.
        let text = format!(
            "unix_sock_group = \"{GROUP}\"\nunix_sock_rw_perms = \"0770\"\nauth_unix_rw = \"none\"\n"
        );
        std::fs::write(config.path().join(CONFIG), text).unwrap();
        Started {
            virtlogd: spawn(Command::new("/usr/sbin/virtlogd")),
            libvirtd: libvirtd(config.path()),
            config,
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        for child in [&mut self.libvirtd, &mut self.virtlogd] {
            // It may have been killed before.
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let _ = child.wait();
        }
    }
}

fn libvirtd(config: &Path) -> Child {
    let mut command = Command::new("/usr/sbin/libvirtd");
    command.arg("--config").arg(config.join(CONFIG));
    let child = spawn(command);
    let deadline = Instant::now() + PATIENCE;
    while !answers(&mut virsh_command()) {
        assert!(Instant::now() < deadline, "libvirtd does not answer");
        std::thread::park_timeout(Duration::from_millis(50));
    }
    child
}

fn spawn(mut command: Command) -> Child {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Does to `/dev/kvm` what udev's rules do, where no udev runs. libvirt asks QEMU what it can do
/// as QEMU's own user; where only root can open the device, each answer contradicts libvirt's own
/// look at it, so that nothing is remembered and QEMU is asked again, for seconds, at each turn.
pub fn open_kvm() {
    use std::os::unix::fs::PermissionsExt;
    let device = Path::new("/dev/kvm");
    let udev = Path::new("/run/udev/control").exists();
    if device.exists() && !udev && rustix::process::geteuid().is_root() {
        std::fs::set_permissions(device, std::fs::Permissions::from_mode(0o666)).unwrap();
    }
}

fn virsh_command() -> Command {
    let mut command = Command::new("virsh");
    command.args(["-c", "qemu:///system", "-q"]);
    command
}

fn answers(virsh: &mut Command) -> bool {
    virsh
        .arg("version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The number of the group whose members may use the daemon, if the daemon lets `uid` in with it.
pub fn group_for(uid: u32) -> Option<u32> {
    let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let line = groups
        .lines()
        .find(|line| line.split(':').next() == Some(GROUP))?;
    let gid = line.split(':').nth(2)?.parse().ok()?;
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", &uid.to_string(), "--regid", &uid.to_string()])
        .args(["--groups", &format!("{gid}"), "--"])
        .args(["virsh", "-c", "qemu:///system"]);
    answers(&mut command).then_some(gid)
}

/// Runs `virsh`; its output.
pub fn virsh(arguments: &[&str]) -> String {
    let output = virsh_command().args(arguments).output().unwrap();
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
