//! The work directory: everything unfinished, beside where the image will be.
//!
//! It is called `.NAME.ozr`, lies in the output directory (so that a finished disk gets its name
//! by a rename), and holds a lock for as long as its build lives. A directory whose lock is free
//! belonged to a build that was killed, or that was told to keep it: it is taken over. What else
//! that build left behind is in the [register](super::register).
//!
//! The lock's text is the mark by which a directory is known as one of ours: it names the inode of
//! the directory that it lies in, which nobody knows who wrote it before (a repository, an archive).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::lock_file::{Access, Asked, LockFile};
use super::owned_dir::{OwnedDir, found, is_refusal, refused};
use crate::error::{Classify, Kind, fail, failed};

/// The lock of a work directory, and the mark of its build.
const LOCK: &str = "lock.json";

/// What a directory is whose mark does not name it, as none did before 0.1.0.
const OF_AN_EARLIER_VERSION: &str = "it has no mark of this version: an earlier ozr left it there when it was killed, or it came with other files";

/// The longest mark that is read.
const MAX_MARK: u64 = 4096;

/// How often we begin again when a directory is removed while we wait for its lock.
const MAX_RACES: u32 = 100;

/// Whose a work directory is.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    /// The build's id.
    id: String,
    /// Its process.
    pid: u32,
    /// The directory's inode; earlier versions of ozr named none.
    directory: Option<u64>,
}

/// A work directory that is ours. Dropping it removes it with all that it holds.
#[derive(Debug)]
pub struct WorkDir {
    dir: OwnedDir,
    _lock: LockFile,
    keep: AtomicBool,
}

/// Where the work directory of the image `stem` in `output_dir` is.
pub fn place(output_dir: &Path, stem: &str) -> PathBuf {
    output_dir.join(format!(".{stem}.ozr"))
}

impl WorkDir {
    /// Takes the work directory of the image `stem` in `output_dir`, which is made if need be, for
    /// the build `id`, empty.
    ///
    /// # Errors
    /// Host: another build of that name is running there; something is there that is not ours; the
    /// directory cannot be written.
    pub fn take(output_dir: &Path, stem: &str, id: &str) -> anyhow::Result<Self> {
        let path = place(output_dir, stem);
        let vanished = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        for _ in 0..MAX_RACES {
            let dir = match OwnedDir::create(&path, 0o700) {
                Err(error) if vanished(&error) => continue,
                Err(error) if is_refusal(&error) => {
                    return Err(error).kind(Kind::Host);
                }
                other => other.map_err(|error| cannot_write(output_dir, &error))?,
            };
            // Nothing is locked, written or removed in what is not ours.
            let marked = || -> io::Result<Option<LockFile>> {
                read_mark(&dir)?;
                let lock = LockFile::try_take(&dir, LOCK, Access::Exclusive)?;
                if lock.is_some() {
                    read_mark(&dir)?;
                }
                Ok(lock)
            };
            let lock = match marked() {
                // Its build ended in between.
                Err(error) if vanished(&error) => continue,
                other => other
                    .with_context(|| format!("taking the work directory {}", path.display()))
                    .kind(Kind::Host)?,
            };
            let Some(lock) = lock else {
                let mark = read_mark(&dir).ok().flatten();
                let owner =
                    mark.map_or_else(String::new, |mark| format!(" (process {})", mark.pid));
                fail!(
                    Kind::Host,
                    "another build of `{stem}`{owner} is running in {}: wait for it, or choose another --name or --output-dir",
                    output_dir.display()
                );
            };
            if !dir.is_at_its_path() {
                continue;
            }
            let write = || -> anyhow::Result<()> {
                let mark = Mark {
                    id: id.to_owned(),
                    pid: std::process::id(),
                    directory: Some(dir.inode()?),
                };
                dir.set_mode(0o700)?;
                // While it has the old mark: one without a mark must be empty.
                dir.empty(&[LOCK])?;
                Ok(lock.write(&serde_json::to_vec(&mark)?)?)
            };
            write()
                .with_context(|| format!("emptying the work directory {}", path.display()))
                .kind(Kind::Host)?;
            return Ok(WorkDir {
                dir,
                _lock: lock,
                keep: AtomicBool::new(false),
            });
        }
        fail!(
            Kind::Host,
            "the work directory {} keeps vanishing: is something cleaning that directory?",
            path.display()
        )
    }

    /// Removes what was made in the directory so far.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub fn empty(&self) -> anyhow::Result<()> {
        self.dir
            .empty(&[LOCK])
            .with_context(|| format!("emptying {}", self.path().display()))
    }

    /// Lets other users pass through the directory to files whose names they know: QEMU of
    /// `qemu:///system` runs as one.
    ///
    /// # Errors
    /// The mode cannot be changed.
    pub fn let_others_pass(&self) -> anyhow::Result<()> {
        self.dir
            .set_mode(0o711)
            .with_context(|| format!("opening {} for QEMU's user", self.path().display()))
    }

    /// A file in the directory.
    pub fn join(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The directory's path.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The directory itself, for work by its descriptor.
    pub fn dir(&self) -> &OwnedDir {
        &self.dir
    }

    /// Leaves the directory where it is when this value is dropped.
    pub fn keep(&self) {
        self.keep.store(true, Ordering::SeqCst);
    }
}

/// Removes the work directory of the dead build `id`. Nothing to do if it is gone, if another
/// build has taken it over, or if what stands there is not ours.
///
/// # Errors
/// It is there and cannot be removed.
pub fn remove_dead(path: &Path, id: &str) -> anyhow::Result<()> {
    let remove = || -> io::Result<()> {
        let dir = OwnedDir::open(path)?;
        if read_mark(&dir)?.is_some_and(|mark| mark.id != id) {
            return Ok(());
        }
        match LockFile::ask(&dir, LOCK, Access::Exclusive)? {
            Asked::Held => Ok(()),
            // Killed before it had marked it: it is empty.
            Asked::Missing => dir.remove(),
            Asked::Taken(_lock) => match read_mark(&dir)? {
                Some(mark) if mark.id != id => Ok(()),
                _ => dir.remove_all(LOCK),
            },
        }
    };
    match remove() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if is_refusal(&error) => Ok(()),
        other => other.with_context(|| format!("removing {}", path.display())),
    }
}

/// Whether there is a work directory that the dead build `id` left.
pub fn is_left(path: &Path, id: &str) -> bool {
    let mark = OwnedDir::open(path).and_then(|dir| read_mark(&dir));
    matches!(mark, Ok(Some(mark)) if mark.id == id)
}

/// The mark of a directory; none where its build was killed before it wrote one, and so nothing
/// else.
///
/// # Errors
/// There is no mark of ours, and something else is there; it cannot be read.
fn read_mark(dir: &OwnedDir) -> io::Result<Option<Mark>> {
    let text = found(dir.read(LOCK, MAX_MARK))?.unwrap_or_default();
    match serde_json::from_slice::<Mark>(&text) {
        Ok(mark) if mark.directory == Some(dir.inode()?) => Ok(Some(mark)),
        Ok(Mark {
            directory: None, ..
        }) => Err(refused(dir.path(), OF_AN_EARLIER_VERSION)),
        _ if text.is_empty() && dir.names()?.iter().all(|name| name == LOCK) => Ok(None),
        _ => Err(refused(dir.path(), "no ozr has made it")),
    }
}

/// The output directory cannot be made or written.
pub fn cannot_write(output_dir: &Path, error: &io::Error) -> anyhow::Error {
    failed!(
        Kind::Host,
        "the output directory {} cannot be written: {error}; choose another --output-dir, or give this user the right",
        output_dir.display()
    )
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        if !self.keep.load(Ordering::SeqCst) {
            // Nobody is left to tell; what stays is taken over by the next build of this name.
            let _ = self.dir.remove_all(LOCK);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;
    use crate::error::kind_of;

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

    #[test]
    fn what_no_ozr_has_made_is_refused_by_its_name_and_left_as_it_is() {
        let out = tempfile::tempdir().unwrap();
        let path = place(out.path(), "a");
        let precious = out.path().join("precious");
        std::fs::create_dir(&precious).unwrap();
        std::fs::write(precious.join("file"), "text").unwrap();
        let refused = |why: &str| {
            let error = WorkDir::take(out.path(), "a", "1").unwrap_err();
            assert_eq!(kind_of(&error), Some(Kind::Host));
            let text = error.to_string();
            assert!(text.contains(".a.ozr") && text.contains(why), "{text}");
            remove_dead(&path, "1").unwrap();
            assert!(!is_left(&path, "1"));
        };
        symlink(&precious, &path).unwrap();
        refused("no directory");
        std::fs::remove_file(&path).unwrap();
        // As a repository may hold it, with a mark that was made elsewhere.
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("disk.qcow2"), "text").unwrap();
        refused("no ozr has made it");
        for (forged, why) in [
            (r#"{"id":"1","pid":1}"#, "an earlier ozr left it"),
            (r#"{"id":"1","pid":1,"directory":1}"#, "no ozr has made it"),
            ("", "no ozr has made it"),
        ] {
            std::fs::write(path.join(LOCK), forged).unwrap();
            refused(why);
            assert_eq!(std::fs::read_to_string(path.join(LOCK)).unwrap(), forged);
        }
        std::fs::remove_file(path.join(LOCK)).unwrap();
        symlink(precious.join("file"), path.join(LOCK)).unwrap();
        refused("no file");
        if rustix::process::geteuid().is_root() {
            std::fs::remove_file(path.join(LOCK)).unwrap();
            chown(&path, Some(65_534), None).unwrap();
            refused("another user");
        }
        assert_eq!(
            std::fs::read_to_string(precious.join("file")).unwrap(),
            "text"
        );
        assert_eq!(
            std::fs::read_to_string(path.join("disk.qcow2")).unwrap(),
            "text"
        );
    }

    /// What an archive of a build's directory unpacks to.
    #[test]
    fn a_mark_counts_in_its_own_directory_only() {
        let out = tempfile::tempdir().unwrap();
        let left = killed(out.path());
        let copy = place(out.path(), "b");
        std::fs::create_dir(&copy).unwrap();
        for name in [LOCK, "disk.qcow2"] {
            std::fs::copy(left.join(name), copy.join(name)).unwrap();
        }
        assert!(is_left(&left, "1") && !is_left(&copy, "1"));
        WorkDir::take(out.path(), "b", "2").unwrap_err();
        remove_dead(&copy, "1").unwrap();
        assert!(copy.join("disk.qcow2").exists());
    }

    #[test]
    fn it_is_emptied_and_opened_and_never_for_writing() {
        let mode = |dir: &WorkDir| dir.path().metadata().unwrap().permissions().mode() & 0o777;
        let out = tempfile::tempdir().unwrap();
        let dir = WorkDir::take(out.path(), "a", "1").unwrap();
        std::fs::write(dir.join("disk.qcow2"), "half").unwrap();
        dir.empty().unwrap();
        assert_eq!(dir.dir().names().unwrap(), [LOCK]);
        assert_eq!(mode(&dir), 0o700);
        dir.let_others_pass().unwrap();
        assert_eq!(mode(&dir), 0o711);
        dir.dir().set_mode(0o777).unwrap();
        assert_eq!(mode(&dir), 0o755);
    }

    #[test]
    fn one_that_was_killed_before_it_had_marked_it_is_taken_over() {
        let out = tempfile::tempdir().unwrap();
        let path = place(out.path(), "a");
        std::fs::create_dir(&path).unwrap();
        drop(WorkDir::take(out.path(), "a", "1").unwrap());
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join(LOCK), "").unwrap();
        drop(WorkDir::take(out.path(), "a", "1").unwrap());
        assert!(!path.exists());
    }
}
