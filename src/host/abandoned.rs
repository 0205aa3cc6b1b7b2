//! Ends what a build that was killed left of its embedded driver: a QEMU that nobody waits for.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, geteuid, pidfd_open, pidfd_send_signal};

use crate::error::{Classify, Kind, failure};

/// How long a killed QEMU may take to go: the kernel frees its memory, gigabytes perhaps.
const PATIENCE: Timespec = Timespec {
    tv_sec: 10,
    tv_nsec: 0,
};

/// Ends the QEMU processes of this user whose sockets are below `runtime_dir`, and removes the
/// directory. The caller knows (by a lock) that the build which it belonged to is dead.
///
/// # Errors
/// [`Kind::Host`] when a process does not end, or the directory cannot be removed.
pub fn remove_abandoned(runtime_dir: &Path) -> anyhow::Result<()> {
    for pid in qemus_below(runtime_dir).kind(Kind::Host)? {
        kill(pid)
            .with_context(|| format!("ending QEMU (process {})", pid.as_raw_nonzero()))
            .kind(Kind::Host)?;
    }
    match fs::remove_dir_all(runtime_dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other
            .with_context(|| format!("removing {}", runtime_dir.display()))
            .kind(Kind::Host),
    }
}

/// The processes of this user that are QEMUs and name something below `dir` in their arguments.
fn qemus_below(dir: &Path) -> anyhow::Result<Vec<Pid>> {
    let mut below = dir.as_os_str().as_bytes().to_vec();
    below.push(b'/');
    let mut found = Vec::new();
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
        let names_dir = arguments.any(|argument| {
            argument
                .windows(below.len())
                .any(|part| part == below.as_slice())
        });
        if meta.uid() == geteuid().as_raw() && is_qemu && names_dir {
            found.push(pid);
        }
    }
    Ok(found)
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
        return Err(failure(Kind::Host, "it does not end: see `dmesg`"));
    }
    Ok(())
}
