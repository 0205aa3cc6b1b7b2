//! The work directory: everything unfinished, beside where the image will be.
//!
//! It is called `.NAME.ozr`, lies in the output directory (so that a finished disk gets its name
//! by a rename), and holds a lock for as long as its build lives. A directory whose lock is free
//! belonged to a build that was killed: it is taken over, and its [`Lease`] says what else that
//! build left behind.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::error::{Kind, failure};

/// The lock and lease of a work directory.
const LEASE: &str = "lease.json";

/// How often we begin again when a directory is removed while we wait for its lock.
const MAX_RACES: u32 = 100;

/// What a build has outside its work directory, so that another can clean up after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Process that builds.
    pub pid: u32,
    /// The libvirt connection.
    pub uri: String,
    /// The domain's name.
    pub domain: String,
    /// Sockets and libvirt's private state.
    pub runtime_dir: PathBuf,
}

/// A work directory that is ours. Dropping it removes it with all that it holds.
#[derive(Debug)]
pub struct WorkDir {
    path: PathBuf,
    lease: File,
    keep: bool,
}

impl WorkDir {
    /// Takes the work directory of the image `stem` in `output_dir`. Where a killed build left
    /// one, its lease comes back too, so that the caller can remove the rest of it.
    ///
    /// # Errors
    /// Another build of that name is running there, or the directory cannot be written.
    pub fn take(output_dir: &Path, stem: &str) -> anyhow::Result<(Self, Option<Lease>)> {
        let path = output_dir.join(format!(".{stem}.ozr"));
        for _ in 0..MAX_RACES {
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(cannot_write(output_dir, &error)),
            }
            let lease = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(path.join(LEASE));
            let mut lease = match lease {
                Ok(lease) => lease,
                // Its build ended in between.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("locking the work directory {}", path.display()));
                }
            };
            let mut text = String::new();
            if flock(&lease, FlockOperation::NonBlockingLockExclusive).is_err() {
                let owner = lease
                    .read_to_string(&mut text)
                    .ok()
                    .and_then(|_| serde_json::from_str::<Lease>(&text).ok())
                    .map_or_else(String::new, |lease| format!(" (process {})", lease.pid));
                return Err(failure(
                    Kind::Host,
                    format!(
                        "another build of `{stem}`{owner} is running in {}: wait for it, or choose another --name or --output-dir",
                        output_dir.display()
                    ),
                ));
            }
            // The directory that we locked may have been removed by its owner meanwhile.
            let locked = lease.metadata().context("looking at the lease")?;
            let named = std::fs::metadata(path.join(LEASE));
            if !named.is_ok_and(|named| (named.dev(), named.ino()) == (locked.dev(), locked.ino()))
            {
                continue;
            }
            lease
                .read_to_string(&mut text)
                .context("reading the lease of an earlier build")?;
            let earlier = serde_json::from_str(&text).ok();
            let dir = WorkDir {
                path,
                lease,
                keep: false,
            };
            dir.empty()?;
            return Ok((dir, earlier));
        }
        Err(failure(
            Kind::Host,
            format!(
                "the work directory {} keeps vanishing: is something cleaning that directory?",
                path.display()
            ),
        ))
    }

    /// Removes what an earlier build left, save the lease that we hold.
    fn empty(&self) -> anyhow::Result<()> {
        let entries = std::fs::read_dir(&self.path)
            .with_context(|| format!("reading {}", self.path.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("reading {}", self.path.display()))?;
            if entry.file_name() == LEASE {
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

    /// Notes what this build has outside the directory.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn note(&mut self, lease: &Lease) -> anyhow::Result<()> {
        let text = serde_json::to_vec(lease).context("writing the lease")?;
        self.lease.set_len(0).context("writing the lease")?;
        self.lease.rewind().context("writing the lease")?;
        self.lease.write_all(&text).context("writing the lease")?;
        self.lease.sync_all().context("writing the lease")
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
    pub fn keep(&mut self) {
        self.keep = true;
    }
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
        if !self.keep {
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
        let (mut first, earlier) = WorkDir::take(out.path(), "a").unwrap();
        assert_eq!(earlier, None);
        first
            .note(&Lease {
                pid: 42,
                uri: "qemu:///embed".into(),
                domain: "a".into(),
                runtime_dir: "/run/x".into(),
            })
            .unwrap();
        let error = WorkDir::take(out.path(), "a").unwrap_err();
        assert!(error.to_string().contains("process 42"), "{error}");
        WorkDir::take(out.path(), "b").unwrap();
        drop(first);
        assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_build_left_is_taken_over() {
        let out = tempfile::tempdir().unwrap();
        let lease = Lease {
            pid: 42,
            uri: "qemu:///system".into(),
            domain: "a".into(),
            runtime_dir: "/run/x".into(),
        };
        let (mut killed, _) = WorkDir::take(out.path(), "a").unwrap();
        killed.note(&lease).unwrap();
        std::fs::write(killed.join("disk.qcow2"), "half").unwrap();
        std::fs::create_dir(killed.join("sub")).unwrap();
        killed.keep();
        drop(killed);
        let (ours, earlier) = WorkDir::take(out.path(), "a").unwrap();
        assert_eq!(earlier, Some(lease));
        assert_eq!(std::fs::read_dir(ours.path()).unwrap().count(), 1);
    }
}
