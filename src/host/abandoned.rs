//! Ends the processes that a killed build left: the QEMU of its embedded driver, and qemu-img.

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
use crate::process::PARENT_VARIABLE;

/// How long a killed QEMU may take to go: the kernel frees its memory, gigabytes perhaps.
const PATIENCE: Timespec = Timespec {
    tv_sec: 10,
    tv_nsec: 0,
};

/// Ends the processes that [`abandoned_processes`] finds, and removes the runtime directory. The
/// caller knows (by a lock) that the build which it belonged to is dead.
///
/// # Errors
/// [`Kind::Host`] when a process does not end, or the directory cannot be removed.
pub fn remove_abandoned(runtime_dir: &Path, of: Option<(&Path, u32)>) -> anyhow::Result<()> {
    for pid in abandoned_processes(runtime_dir, of).kind(Kind::Host)? {
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

/// The processes of this user that a dead build left: QEMUs whose sockets are in its
/// `runtime_dir`, and, if its work directory and process are told, what that process started to
/// convert a disk there.
///
/// # Errors
/// Processes cannot be listed.
pub fn abandoned_processes(
    runtime_dir: &Path,
    of: Option<(&Path, u32)>,
) -> anyhow::Result<Vec<Pid>> {
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
        if meta.uid() != geteuid().as_raw() || !is_qemu {
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
        return Err(failure(Kind::Host, "it does not end: see `dmesg`"));
    }
    Ok(())
}
