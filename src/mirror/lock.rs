//! Locks of the cache: one run at a time fetches a file, and nobody removes a file in use.
//!
//! All are `flock` locks, which the kernel gives up when their process ends, however it ends.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};
use tokio::sync::oneshot;

use super::fault::Fault;
use crate::ui::event::Reporter;

/// An exclusive lock, held while it lives.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

/// A claim on a cached file: while one lives, in any process, nobody removes the file.
#[derive(Debug, Clone)]
pub struct Lease {
    file: Arc<File>,
}

/// Takes the lock at `path` if it is free.
pub(super) fn try_lock(path: &Path) -> io::Result<Option<Lock>> {
    loop {
        let file = open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) if is_at(&file, path) => return Ok(Some(Lock { file })),
            // Its last holder removed it.
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Takes the lock at `path`, waiting for whoever holds it. `what` is what the lock is for.
pub(super) async fn lock(path: &Path, what: &str, reporter: &Reporter) -> Result<Lock, Fault> {
    let locking = |error| Fault::local("locking", path, error);
    let mut told = false;
    loop {
        if let Some(mut lock) = try_lock(path).map_err(locking)? {
            // For whoever waits; a lock works without it.
            let _ = lock.sign();
            return Ok(lock);
        }
        if !told {
            told = true;
            let holder = std::fs::read_to_string(path)
                .ok()
                .filter(|text| !text.is_empty())
                .unwrap_or_else(|| "another run".to_string());
            reporter.note(format!("waiting for {holder}, which is fetching {what}"));
        }
        wait_for(path.to_path_buf()).await.map_err(locking)?;
    }
}

impl Lock {
    fn sign(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        write!(self.file, "process {}", std::process::id())
    }
}

/// Returns when the lock was free for a moment. A thread of its own waits, rather than one of
/// the runtime's, which would keep an interrupted program from ending.
async fn wait_for(path: PathBuf) -> io::Result<()> {
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name("cache-lock".to_string())
        .spawn(move || {
            let result = open(&path).and_then(|file| {
                loop {
                    match flock(&file, FlockOperation::LockShared) {
                        Err(rustix::io::Errno::INTR) => {}
                        result => return Ok(result?),
                    }
                }
            });
            // Nobody listens after an interruption.
            let _ = sender.send(result);
        })?;
    receiver.await.map_err(io::Error::other)?
}

/// Claims a cached file; none if there is no such file.
pub(super) fn lease(path: &Path) -> io::Result<Option<Lease>> {
    loop {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        match share(file) {
            // Removed, or replaced, before the lock was ours.
            Ok(lease) if is_at(&lease.file, path) => return Ok(Some(lease)),
            Ok(_) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Claims an open file.
pub(super) fn share(file: File) -> io::Result<Lease> {
    loop {
        // Exclusive locks are held for a removal only, never for long.
        match flock(&file, FlockOperation::LockShared) {
            Ok(()) => {
                return Ok(Lease {
                    file: Arc::new(file),
                });
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Removes a file unless somebody claims it; tells whether it is gone.
pub(super) fn remove_unclaimed(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        other => other?,
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) if is_at(&file, path) => {
            std::fs::remove_file(path)?;
            Ok(true)
        }
        // Replaced in this moment, so somebody is at it.
        Ok(()) | Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether somebody claims the file, or holds the lock, at `path`.
pub(super) fn is_claimed(path: &Path) -> bool {
    let Ok(file) = File::open(path) else {
        return false;
    };
    matches!(
        flock(&file, FlockOperation::NonBlockingLockExclusive),
        Err(rustix::io::Errno::WOULDBLOCK)
    )
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

/// Whether `file` is still the one that has the name `path`.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(ours), Ok(theirs)) => ours.ino() == theirs.ino() && ours.dev() == theirs.dev(),
        _ => false,
    }
}
