//! The processes of the embedded driver's QEMU: adopted while their build lives, so that their end is
//! seen; found and ended when it was killed.
//!
//! libvirt daemonises QEMU, so that process 1 inherits it. Where process 1 is slow to reap (some
//! sandboxes) or never does (containers that were started without an init), libvirt takes the
//! dead QEMU for alive: ending a guest then takes seconds, or fails after 40. Adopted by us,
//! QEMU is reaped at once, and its exit status tells a crash from an orderly end.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, geteuid, getpid, pidfd_open, pidfd_send_signal,
    set_child_subreaper, waitid,
};

use super::life::Life;
use super::private_root::PrivateRoot;
use crate::error::{Classify, Kind, fail};
use crate::panics::lock;
use crate::process::PARENT_VARIABLE;
use crate::watch::witness::End;

/// How often the file with QEMU's process number is looked for while libvirt starts QEMU: the
/// few hundred milliseconds of a start are all the time this is done in. A QEMU that is asked what it
/// can do runs for 30 ms and more.
const PID_FILE_INTERVAL: Duration = Duration::from_millis(5);

/// How often adoption is waited for, at the same interval: 5 seconds for what takes one on a
/// machine under heavy load.
const ADOPTION_TRIES: u32 = 1000;

/// How long a killed QEMU may take to go: the kernel frees its memory, gigabytes perhaps.
const PATIENCE: Timespec = Timespec {
    tv_sec: 10,
    tv_nsec: 0,
};

/// Runs `start`, which makes libvirt start the QEMU whose process number comes to be in
/// `pid_file`, and adopts that QEMU. It is watched from the moment it is there: if starting the
/// guest fails, libvirt ends QEMU and waits for it to be reaped.
pub(super) fn adopting<T>(
    root: &PrivateRoot,
    pid_file: &Path,
    life: &Arc<Life>,
    start: impl FnOnce() -> T,
) -> T {
    let (mut probes, mut watched) = (Probes::of(root), false);
    inheriting(
        || {
            probes.reap();
            watched = watched || watch(pid_file, life);
        },
        start,
    )
}

/// Runs `ask`, for which libvirt may start QEMU to learn what it can do. It ends that one, too, and
/// waits up to 40 s for it to be reaped (libvirt 9.0, `qemuProcessQMPStop`). It learns anew at each
/// look where `/dev/kvm` is closed to the user that QEMU runs as: it asks with the right to open
/// any, and takes the answer for outdated (`virQEMUCapsIsValid`).
pub(super) fn learning<T>(root: &PrivateRoot, ask: impl FnOnce() -> T) -> T {
    let mut probes = Probes::of(root);
    inheriting(|| probes.reap(), ask)
}

/// Runs `work` while this process inherits orphans, for which `look` is called again and again.
fn inheriting<T>(mut look: impl FnMut() + Send, work: impl FnOnce() -> T) -> T {
    /// Who inherits orphans is the whole process's setting.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = lock(&ONE_AT_A_TIME);
    // Kernels know this since 3.4. If it fails, process 1 inherits QEMU as ever.
    let _ = set_child_subreaper(Some(getpid()));
    let done = AtomicBool::new(false);
    let result = thread::scope(|scope| {
        let looking = scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                look();
                thread::park_timeout(PID_FILE_INTERVAL);
            }
        });
        let result = work();
        done.store(true, Ordering::SeqCst);
        looking.thread().unpark();
        result
    });
    let _ = set_child_subreaper(None);
    result
}

/// QEMUs that libvirt asks what they can do. Their process numbers are in `qmp-*/qmp.pid` of a
/// directory as long as they run.
struct Probes {
    directory: PathBuf,
    seen: Vec<Pid>,
}

impl Probes {
    fn of(root: &PrivateRoot) -> Self {
        let (directory, seen) = (root.probes(), Vec::new());
        Probes { directory, seen }
    }

    /// Remembers those that are there, and reaps those that are gone.
    fn reap(&mut self) {
        for entry in fs::read_dir(&self.directory)
            .into_iter()
            .flatten()
            .flatten()
        {
            if entry.file_name().as_bytes().starts_with(b"qmp-")
                && let Some(pid) = read_pid(&entry.path().join("qmp.pid"))
                && !self.seen.contains(&pid)
            {
                self.seen.push(pid);
            }
        }
        for pid in &self.seen {
            // Not our child, or not dead: asked again, as long as libvirt waits for it.
            let _ = waitid(
                WaitId::Pid(*pid),
                WaitIdOptions::EXITED | WaitIdOptions::NOHANG,
            );
        }
    }
}

fn read_pid(file: &Path) -> Option<Pid> {
    Pid::from_raw(fs::read_to_string(file).ok()?.trim().parse().ok()?)
}

/// Begins to watch the process of `pid_file`; false if there is none yet.
fn watch(pid_file: &Path, life: &Arc<Life>) -> bool {
    let Some(pid) = read_pid(pid_file) else {
        return false;
    };
    let life = Arc::clone(life);
    // Without the thread, QEMU stays a zombie until we exit.
    let _ = thread::Builder::new()
        .name("qemu-reaper".to_owned())
        .spawn(move || reap(pid, &life));
    true
}

/// Waits for the adopted process and tells `life` of a violent end. An orderly one is libvirt's
/// to tell: it knows more.
fn reap(pid: Pid, life: &Life) {
    let mut tries = ADOPTION_TRIES;
    loop {
        match waitid(WaitId::Pid(pid), WaitIdOptions::EXITED) {
            Err(rustix::io::Errno::INTR) => {}
            // Not our child (yet): its parent, a process of libvirt's, ends a moment after it has
            // written the file. If it never is, somebody else inherited it.
            Err(_) | Ok(None) if tries > 0 => {
                tries -= 1;
                thread::sleep(PID_FILE_INTERVAL);
            }
            Err(_) | Ok(None) => return,
            Ok(Some(status)) => {
                if let Some(signal) = status.terminating_signal() {
                    life.end(
                        End::Crashed,
                        Some(format!("QEMU was killed by signal {signal}")),
                    );
                } else if let Some(code) = status.exit_status().filter(|code| *code != 0) {
                    life.end(
                        End::Crashed,
                        Some(format!("QEMU exited with status {code}")),
                    );
                }
                return;
            }
        }
    }
}

/// Ends the processes that [`processes_left`] finds. The caller knows (by a lock) that the build
/// which they belonged to is dead.
///
/// # Errors
/// [`Kind::Host`] when a process does not end.
pub fn end_processes_left(runtime_dir: &Path, of: Option<(&Path, u32)>) -> anyhow::Result<()> {
    for pid in processes_left(runtime_dir, of).kind(Kind::Host)? {
        kill(pid)
            .with_context(|| format!("ending QEMU (process {})", pid.as_raw_nonzero()))
            .kind(Kind::Host)?;
    }
    Ok(())
}

/// The processes of this user (root: of anybody) that a dead build left: QEMUs whose sockets are in its
/// `runtime_dir`, and, if its work directory and process are told, what that process started to
/// convert a disk there.
///
/// # Errors
/// Processes cannot be listed.
pub fn processes_left(runtime_dir: &Path, of: Option<(&Path, u32)>) -> anyhow::Result<Vec<Pid>> {
    let (mut found, own) = (Vec::new(), geteuid());
    for entry in fs::read_dir("/proc").context("listing processes")? {
        let entry = entry.context("listing processes")?;
        let pid = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
            .and_then(Pid::from_raw);
        let (Some(pid), Ok(meta)) = (pid, entry.metadata()) else {
            continue;
        };
        // A process that ends meanwhile has no command line.
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let mut arguments = line.split(|byte| *byte == 0);
        let program = arguments.next().unwrap_or_default();
        let name = Path::new(OsStr::from_bytes(program)).file_name();
        let is_qemu = name.is_some_and(|name| name.as_bytes().starts_with(b"qemu"));
        // Root's QEMU runs as another user; what its arguments name below root's own directories
        // tells it from others'.
        if (meta.uid() != own.as_raw() && !own.is_root()) || !is_qemu {
            continue;
        }
        let arguments: Vec<&[u8]> = arguments.collect();
        let is_helper = of.is_some_and(|(work_dir, parent)| {
            name_below(&arguments, work_dir) && was_started_by(&entry.path(), parent)
        });
        if is_helper || name_below(&arguments, runtime_dir) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// Whether one of the arguments names something below `dir`.
fn name_below(arguments: &[&[u8]], dir: &Path) -> bool {
    let mut below = dir.as_os_str().as_bytes().to_vec();
    below.push(b'/');
    arguments.iter().any(|argument| {
        argument
            .windows(below.len())
            .any(|part| part == below.as_slice())
    })
}

/// Whether the process in `proc` was started by ozr's process `parent`.
fn was_started_by(proc: &Path, parent: u32) -> bool {
    let mark = format!("{PARENT_VARIABLE}={parent}");
    let environment = fs::read(proc.join("environ")).unwrap_or_default();
    environment
        .split(|byte| *byte == 0)
        .any(|variable| variable == mark.as_bytes())
}

fn kill(pid: Pid) -> anyhow::Result<()> {
    // A descriptor of the process: its number may be another's by the time that it ends.
    let process = match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => process,
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        Err(error) => return Err(error).context("finding the process"),
    };
    match pidfd_send_signal(&process, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => return Err(error).context("killing the process"),
    }
    let mut ended = [PollFd::new(&process, PollFlags::IN)];
    if poll(&mut ended, Some(&PATIENCE)).context("waiting for the process")? == 0 {
        fail!(Kind::Host, "it does not end: see `dmesg`");
    }
    Ok(())
}
