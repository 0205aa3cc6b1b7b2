//! Adopts the QEMU processes of the embedded driver and sees them end.
//!
//! libvirt daemonises QEMU, so that process 1 inherits it. Where process 1 is slow to reap (some
//! sandboxes) or never does (containers that were started without an init), libvirt takes the
//! dead QEMU for alive: ending a guest then takes seconds, or fails after 40. Adopted by us,
//! QEMU is reaped at once, and its exit status tells a crash from an orderly end.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, WaitId, WaitIdOptions, getpid, set_child_subreaper, waitid};

use super::life::{EndCause, Life};

/// How often the file with QEMU's process number is looked for while libvirt starts QEMU: the
/// few hundred milliseconds of a start are all the time this is done in.
const PID_FILE_INTERVAL: Duration = Duration::from_millis(10);

/// How often adoption is waited for, at the same interval: 5 seconds for what takes one on a
/// machine under heavy load.
const ADOPTION_TRIES: u32 = 500;

/// Runs `start`, which makes libvirt start the QEMU whose process number comes to be in
/// `pid_file`, and adopts that QEMU. It is watched from the moment it is there: if starting the
/// guest fails, libvirt ends QEMU and waits for it to be reaped.
///
/// Not to be called from two threads at once: who inherits orphans is the whole process's
/// setting.
pub(super) fn adopting<T>(pid_file: &Path, life: &Arc<Life>, start: impl FnOnce() -> T) -> T {
    // Kernels know this since 3.4. If it fails, process 1 inherits QEMU as ever.
    let _ = set_child_subreaper(Some(getpid()));
    let done = AtomicBool::new(false);
    let result = thread::scope(|scope| {
        let looking = scope.spawn(|| {
            while !done.load(Ordering::SeqCst) && !watch(pid_file, life) {
                thread::park_timeout(PID_FILE_INTERVAL);
            }
        });
        let result = start();
        done.store(true, Ordering::SeqCst);
        looking.thread().unpark();
        result
    });
    let _ = set_child_subreaper(None);
    result
}

/// Begins to watch the process of `pid_file`; false if there is none yet.
fn watch(pid_file: &Path, life: &Arc<Life>) -> bool {
    let pid = fs::read_to_string(pid_file)
        .ok()
        .and_then(|text| Pid::from_raw(text.trim().parse().ok()?));
    let Some(pid) = pid else {
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
                        EndCause::Failed,
                        Some(format!("QEMU was killed by signal {signal}")),
                    );
                } else if let Some(code) = status.exit_status().filter(|code| *code != 0) {
                    life.end(
                        EndCause::Failed,
                        Some(format!("QEMU exited with status {code}")),
                    );
                }
                return;
            }
        }
    }
}
