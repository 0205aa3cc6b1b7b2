//! The directory in which an image is made, and the guest's disk in it.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};

use super::qemu_img::{self, Format};
use super::space;

/// What stands between an image's name and the random part of a work directory's name.
const INFIX: &str = ".ozr-";

/// Below this an install of the smallest release would not fit: a minimal EL install takes about
/// 1.2 GiB, downloads included.
const LEAST_SPACE: u64 = 1 << 30;

/// Who must be able to reach the files in a work directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Only the user: QEMU runs as the same one.
    User,
    /// A system libvirtd's QEMU, which runs as a user of its own. It may pass through the
    /// directory, not list it; libvirtd gives it the files that it is to open.
    SystemQemu,
}

/// A hidden directory beside the image to be, `.NAME.ozr-XXXXXX`. In the same file system, so
/// that a finished file gets its place by a rename. Removed with everything in it when dropped.
#[derive(Debug)]
pub struct WorkDirectory {
    // The lock is let go after the directory is removed: fields are dropped in this order.
    directory: tempfile::TempDir,
    // Held as long as the directory is in use; see `remove_stale`.
    _lock: File,
}

impl WorkDirectory {
    /// Makes a work directory for the image `name` in `output`, which is created if it is
    /// missing. Work directories of builds that were killed are removed.
    ///
    /// # Errors
    ///
    /// If the directory cannot be made.
    pub fn create(output: &Path, name: &str, access: Access) -> Result<Self> {
        fs::create_dir_all(output).with_context(|| format!("creating {}", output.display()))?;
        remove_stale(output, name);
        let mode = match access {
            Access::User => 0o700,
            Access::SystemQemu => 0o711,
        };
        let directory = tempfile::Builder::new()
            .prefix(&format!(".{name}{INFIX}"))
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(output)
            .with_context(|| format!("creating a work directory in {}", output.display()))?;
        let lock = File::open(directory.path()).context("opening the work directory")?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .context("locking the work directory")?;
        // Not by the mode of `mkdir`, which the umask would cut.
        fs::set_permissions(directory.path(), Permissions::from_mode(mode))
            .context("setting the mode of the work directory")?;
        Ok(WorkDirectory {
            directory,
            _lock: lock,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Leaves the directory behind, for `--keep`.
    pub fn keep(self) -> PathBuf {
        self.directory.keep()
    }

    /// Creates the guest's disk of `size` bytes, thin, in qcow2: its metadata knows what the
    /// guest has discarded, whatever the file system can do.
    ///
    /// # Errors
    ///
    /// If there is no room to speak of, or `qemu-img` fails.
    pub async fn create_disk(&self, size: u64) -> Result<PathBuf> {
        space::ensure(self.path(), LEAST_SPACE.min(size), "an install")?;
        let path = self.path().join("disk.qcow2");
        qemu_img::create(&path, Format::Qcow2, size)
            .await
            .context("creating the guest's disk")?;
        // It will hold password hashes and keys.
        fs::set_permissions(&path, Permissions::from_mode(0o600))
            .context("setting the mode of the guest's disk")?;
        Ok(path)
    }
}

/// Removes work directories of `name` that nobody holds any more. What cannot be removed stays:
/// it is in nobody's way.
fn remove_stale(output: &Path, name: &str) {
    let prefix = format!(".{name}{INFIX}");
    let Ok(entries) = fs::read_dir(output) else {
        return;
    };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(&prefix)
            && entry.file_type().is_ok_and(|kind| kind.is_dir())
            && !is_new(&entry);
        if ours
            && let Ok(directory) = File::open(entry.path())
            && flock(&directory, FlockOperation::NonBlockingLockExclusive).is_ok()
        {
            tracing::debug!(path = %entry.path().display(), "removing a stale work directory");
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether a directory may have been made just now, by a build that has not locked it yet.
fn is_new(entry: &fs::DirEntry) -> bool {
    const GRACE: std::time::Duration = std::time::Duration::from_secs(10);
    entry
        .metadata()
        .and_then(|metadata| metadata.modified())
        .map_or(true, |modified| {
            modified.elapsed().is_ok_and(|age| age < GRACE)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_work_directory_is_hidden_private_and_removed() {
        let output = tempfile::tempdir().unwrap();
        for (access, mode) in [(Access::User, 0o700), (Access::SystemQemu, 0o711)] {
            let work = WorkDirectory::create(output.path(), "image", access).unwrap();
            let [name] = &names(output.path())[..] else {
                panic!("not one directory");
            };
            assert!(name.starts_with(".image.ozr-"), "{name}");
            let metadata = fs::metadata(work.path()).unwrap();
            assert_eq!(metadata.permissions().mode() & 0o777, mode);
            fs::write(work.path().join("file"), "x").unwrap();
            drop(work);
            assert_eq!(names(output.path()), [""; 0]);
        }
    }

    #[test]
    fn what_a_killed_build_left_is_removed_and_nothing_else() {
        let output = tempfile::tempdir().unwrap();
        let old = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
        let make = |name: &str| {
            let path = output.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::write(path.join("disk"), "x").unwrap();
            File::open(&path).unwrap().set_modified(old).unwrap();
            path
        };
        let stale = make(".image.ozr-abcdef");
        let other = make(".other.ozr-abcdef");
        let held = make(".image.ozr-held00");
        let lock = File::open(&held).unwrap();
        flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
        WorkDirectory::create(output.path(), "image", Access::User).unwrap();
        assert!(!stale.exists());
        assert!(other.exists() && held.exists());
    }
}
