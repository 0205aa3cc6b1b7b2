//! The work directory: everything unfinished, beside where the image will be.
//!
//! It is called `.NAME.ozr`, lies in the output directory (so that a finished disk gets its name
//! by a rename), and holds a lock for as long as its build lives. A directory whose lock is free
//! belonged to a build that was killed, or that was told to keep it: it is taken over. What else
//! that build left behind is in the [register](super::register).

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::error::{Kind, failure};

/// The lock of a work directory, and the mark of its build.
const LOCK: &str = "lock.json";

/// How often we begin again when a directory is removed while we wait for its lock.
const MAX_RACES: u32 = 100;

/// Whose a work directory is.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    /// The build's id.
    id: String,
    /// Its process.
    pid: u32,
}

/// A work directory that is ours. Dropping it removes it with all that it holds.
#[derive(Debug)]
pub struct WorkDir {
    path: PathBuf,
    _lock: File,
    keep: AtomicBool,
}

/// Where the work directory of the image `stem` in `output_dir` is.
pub fn place(output_dir: &Path, stem: &str) -> PathBuf {
    output_dir.join(format!(".{stem}.ozr"))
}

impl WorkDir {
    /// Takes the work directory of the image `stem` in `output_dir` for the build `id`, empty.
    ///
    /// # Errors
    /// Another build of that name is running there, or the directory cannot be written.
    pub fn take(output_dir: &Path, stem: &str, id: &str) -> anyhow::Result<Self> {
        let path = place(output_dir, stem);
        for _ in 0..MAX_RACES {
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(cannot_write(output_dir, &error)),
            }
            let lock = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(path.join(LOCK));
            let lock = match lock {
                Ok(lock) => lock,
                // Its build ended in between.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("locking the work directory {}", path.display()));
                }
            };
            if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
                let owner =
                    mark(&lock).map_or_else(String::new, |mark| format!(" (process {})", mark.pid));
                return Err(failure(
                    Kind::Host,
                    format!(
                        "another build of `{stem}`{owner} is running in {}: wait for it, or choose another --name or --output-dir",
                        output_dir.display()
                    ),
                ));
            }
            if !is_named(&lock, &path)? {
                continue;
            }
            write_mark(&lock, id)
                .with_context(|| format!("marking the work directory {}", path.display()))?;
            let dir = WorkDir {
                path,
                _lock: lock,
                keep: AtomicBool::new(false),
            };
            dir.empty()?;
            return Ok(dir);
        }
        Err(failure(
            Kind::Host,
            format!(
                "the work directory {} keeps vanishing: is something cleaning that directory?",
                path.display()
            ),
        ))
    }

    /// Removes what was made in the directory so far.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub fn empty(&self) -> anyhow::Result<()> {
        let entries = std::fs::read_dir(&self.path)
            .with_context(|| format!("reading {}", self.path.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("reading {}", self.path.display()))?;
            if entry.file_name() == LOCK {
                continue;
            }
            let path = entry.path();
            let removed = if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                std::fs::remove_dir_all(&path)
            } else {
                std::fs::remove_file(&path)
            };
            removed.with_context(|| format!("removing {}", path.display()))?;
        }
        Ok(())
    }

    /// Lets other users pass through the directory to files whose names they know: QEMU of
    /// `qemu:///system` runs as one.
    ///
    /// # Errors
    /// The mode cannot be changed.
    pub fn let_others_pass(&self) -> anyhow::Result<()> {
        std::fs::set_permissions(&self.path, std::fs::Permissions::from_mode(0o711))
            .with_context(|| format!("opening {} for QEMU's user", self.path.display()))
    }

    /// A file in the directory.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the directory where it is when this value is dropped.
    pub fn keep(&self) {
        self.keep.store(true, Ordering::SeqCst);
    }
}

/// Removes the work directory of the dead build `id`. Nothing to do if it is gone, or if another
/// build has taken it over.
///
/// # Errors
/// It is there and cannot be removed.
pub fn remove_dead(path: &Path, id: &str) -> anyhow::Result<()> {
    // Network file systems lock only what may be written.
    let lock = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path.join(LOCK));
    let lock = match lock {
        Ok(lock) => lock,
        // Killed before it had marked it: it is empty, or not ours.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let _ = std::fs::remove_dir(path);
            return Ok(());
        }
        Err(error) => return Err(error).with_context(|| format!("opening {}", path.display())),
    };
    let is_free = flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
    if !is_free || !is_named(&lock, path)? || mark(&lock).is_some_and(|mark| mark.id != id) {
        return Ok(());
    }
    std::fs::remove_dir_all(path).with_context(|| format!("removing {}", path.display()))
}

/// Whether there is a work directory that the dead build `id` left.
pub fn is_left(path: &Path, id: &str) -> bool {
    File::open(path.join(LOCK)).is_ok_and(|lock| mark(&lock).is_some_and(|mark| mark.id == id))
}

/// Whether the lock that we hold is the directory's still: its owner may have removed it
/// meanwhile, and another have made a new one.
fn is_named(lock: &File, path: &Path) -> anyhow::Result<bool> {
    let locked = lock.metadata().context("looking at a lock")?;
    let named = std::fs::metadata(path.join(LOCK));
    Ok(named.is_ok_and(|named| (named.dev(), named.ino()) == (locked.dev(), locked.ino())))
}

fn mark(mut lock: &File) -> Option<Mark> {
    let mut text = String::new();
    lock.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn write_mark(mut lock: &File, id: &str) -> anyhow::Result<()> {
    let mark = Mark {
        id: id.to_owned(),
        pid: std::process::id(),
    };
    lock.set_len(0)?;
    lock.write_all(&serde_json::to_vec(&mark)?)?;
    Ok(lock.sync_all()?)
}

/// The output directory cannot be made or written.
pub fn cannot_write(output_dir: &Path, error: &std::io::Error) -> anyhow::Error {
    failure(
        Kind::Host,
        format!(
            "the output directory {} cannot be written: {error}; choose another --output-dir, or give this user the right",
            output_dir.display()
        ),
    )
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        if !self.keep.load(Ordering::SeqCst) {
            // Nobody is left to tell; what stays is taken over by the next build of this name.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_build_at_a_time_and_nothing_left() {
        let out = tempfile::tempdir().unwrap();
        let first = WorkDir::take(out.path(), "a", "1").unwrap();
        let error = WorkDir::take(out.path(), "a", "2").unwrap_err();
        let process = format!("process {}", std::process::id());
        assert!(error.to_string().contains(&process), "{error}");
        WorkDir::take(out.path(), "b", "3").unwrap();
        remove_dead(first.path(), "1").unwrap();
        assert!(first.path().exists(), "it lives");
        drop(first);
        assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0);
    }

    fn killed(out: &Path) -> PathBuf {
        let killed = WorkDir::take(out, "a", "1").unwrap();
        std::fs::write(killed.join("disk.qcow2"), "half").unwrap();
        std::fs::create_dir(killed.join("sub")).unwrap();
        killed.keep();
        killed.path().to_path_buf()
    }

    #[test]
    fn what_a_killed_build_left_is_taken_over() {
        let out = tempfile::tempdir().unwrap();
        let left = killed(out.path());
        let ours = WorkDir::take(out.path(), "a", "2").unwrap();
        assert_eq!(ours.path(), left);
        assert_eq!(std::fs::read_dir(ours.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_killed_build_left_is_removed_by_its_mark() {
        let out = tempfile::tempdir().unwrap();
        let left = killed(out.path());
        assert!(is_left(&left, "1") && !is_left(&left, "another"));
        remove_dead(&left, "another").unwrap();
        assert!(left.join("disk.qcow2").exists());
        remove_dead(&left, "1").unwrap();
        assert!(!left.exists());
        remove_dead(&left, "1").unwrap();
        // Somebody else's directory of that name.
        std::fs::create_dir(&left).unwrap();
        std::fs::write(left.join("theirs"), "").unwrap();
        remove_dead(&left, "1").unwrap();
        assert!(left.join("theirs").exists());
    }
}
