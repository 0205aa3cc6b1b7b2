//! Gives a set of finished files their names: all of them, or none.
//!
//! The files lie in the work directory, whole and on disk. The image is placed first: that is
//! where two builds of one name meet, and the loser has changed nothing then (two that may replace
//! it never meet: they have one work directory). The checksum is
//! placed last, so a set whose checksum verifies is a set. A file that is replaced is exchanged
//! with the new one, and comes back should a later file fail; it is removed with the work
//! directory. Only a power cut between two renames can leave files of two builds side by side,
//! each whole, with a checksum that does not fit.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, RenameFlags, fcntl_lock, renameat_with};
use rustix::io::Errno;

use crate::error::{Kind, failure};

/// A finished file and the name it is to have.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Where it is, in the same file system.
    pub from: PathBuf,
    /// Where it is to be.
    pub to: PathBuf,
    /// Whether it may replace a file of that name.
    pub replace: bool,
}

/// Places the files in order.
///
/// # Errors
///
/// If a file cannot be placed; the directory is then as it was before. Of kind [`Kind::Input`],
/// if a file is there that may not be replaced.
pub fn publish(directory: &Path, files: &[Finished]) -> Result<()> {
    let output =
        File::open(directory).with_context(|| format!("opening {}", directory.display()))?;
    for file in files {
        File::open(&file.from)
            .and_then(|opened| opened.sync_all())
            .with_context(|| format!("writing {} to disk", file.from.display()))?;
    }
    let mut placed: Vec<(&Finished, Placed)> = Vec::with_capacity(files.len());
    for file in files {
        match place(file) {
            Ok(how) => placed.push((file, how)),
            Err(error) => {
                for (file, how) in placed.iter().rev() {
                    take_back(file, *how);
                }
                if error.kind() == io::ErrorKind::AlreadyExists {
                    return Err(exists(&file.to));
                }
                return Err(error).with_context(|| format!("placing {}", file.to.display()));
            }
        }
    }
    output
        .sync_all()
        .with_context(|| format!("writing {} to disk", directory.display()))
}

/// Refuses a name that an output cannot get: one that is taken, or, where it may `replace`, taken by
/// what is no file of the user's.
///
/// # Errors
/// Input: see above.
pub fn check_replaceable(what: &str, path: &Path, replace: bool) -> Result<()> {
    match path.symlink_metadata() {
        Err(_) => Ok(()),
        Ok(there) if !is_replaceable(&there) => Err(irreplaceable(what, path, &there)),
        Ok(_) if replace => Ok(()),
        Ok(_) => Err(exists(path)),
    }
}

/// Outputs replace regular files, and links of this user's own; whatever else bears the name is
/// more than its name.
fn is_replaceable(there: &fs::Metadata) -> bool {
    let own = there.uid() == rustix::process::geteuid().as_raw();
    there.is_file() || (there.is_symlink() && own)
}

fn irreplaceable(what: &str, path: &Path, there: &fs::Metadata) -> anyhow::Error {
    let kind = there.file_type();
    let is = match () {
        () if kind.is_dir() => "a directory",
        () if kind.is_symlink() => "a link of another user's",
        () if kind.is_fifo() => "a pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    let path = path.display();
    failure(
        Kind::Input,
        format!("{what} cannot be {path}, which is {is}: name a file, or a place where nothing is"),
    )
}

/// Refuses to replace an image that a running virtual machine uses: all that it writes from then on
/// would be lost with it.
///
/// # Errors
/// Input: somebody has locked it, as QEMU locks every image that it opens (QEMU's
/// `docs/system/images.rst`, "Disk image file locking"); or it cannot be opened to look.
pub fn check_unused(image: &Path) -> Result<()> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(image, flags, Mode::empty()) {
        Ok(file) => file,
        // Nothing is there, or a link that is replaced as such.
        Err(Errno::NOENT | Errno::LOOP) => return Ok(()),
        Err(error) => {
            return Err(failure(
                Kind::Input,
                format!(
                    "{} is to be replaced and cannot be opened ({error}), so a virtual machine may be using it: remove it, or use another --name",
                    image.display()
                ),
            ));
        }
    };
    // QEMU holds locks on single bytes of the file; a lock on all of it meets each of them.
    match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::AGAIN | Errno::ACCESS) => Err(failure(
            Kind::Input,
            format!(
                "{} is in use, by a running virtual machine perhaps: shut that down before its image is replaced, or use another --name",
                image.display()
            ),
        )),
        // Where the file system knows no locks, QEMU has none. Ours goes with the descriptor.
        _ => Ok(()),
    }
}

/// The error for an image that is there and may not be replaced.
pub fn exists(path: &Path) -> anyhow::Error {
    failure(
        Kind::Input,
        format!(
            "{} exists already: use --force to replace it, or another --name or --output-dir",
            path.display()
        ),
    )
}

/// How a file got its name.
#[derive(Debug, Clone, Copy)]
enum Placed {
    /// The name was free.
    New,
    /// By an exchange: the old file is where the new one was.
    Exchanged,
    /// The old file was moved aside first.
    MovedAside,
}

fn place(file: &Finished) -> io::Result<Placed> {
    let (from, to) = (&file.from, &file.to);
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => return Ok(Placed::New),
        Err(Errno::EXIST) if file.replace => {}
        // The file system does not know the flag (NFS): a link never replaces anything.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => match fs::hard_link(from, to) {
            Ok(()) => {
                fs::remove_file(from)?;
                return Ok(Placed::New);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && file.replace => {}
            Err(error) => return Err(error),
        },
        Err(error) => return Err(error.into()),
    }
    match renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(Placed::Exchanged),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            let old = aside(from);
            fs::hard_link(to, &old)?;
            fs::rename(from, to)?;
            Ok(Placed::MovedAside)
        }
        Err(error) => Err(error.into()),
    }
}

/// Undoes [`place`]. What fails here is logged: there is nothing else to be done about it.
fn take_back(file: &Finished, how: Placed) {
    let (from, to) = (&file.from, &file.to);
    let done = match how {
        Placed::New => fs::rename(to, from),
        Placed::Exchanged => {
            renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE).map_err(io::Error::from)
        }
        Placed::MovedAside => fs::rename(aside(from), to),
    };
    if let Err(error) = done {
        tracing::error!(path = %to.display(), %error, "taking back a file");
    }
}

fn aside(from: &Path) -> PathBuf {
    let mut name = from.as_os_str().to_owned();
    name.push(".old");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::kind_of;

    struct Set {
        directory: tempfile::TempDir,
        work: PathBuf,
    }

    impl Set {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let work = directory.path().join(".work");
            fs::create_dir(&work).unwrap();
            Set { directory, work }
        }

        fn finished(&self, name: &str, replace: bool) -> Finished {
            let from = self.work.join(name);
            fs::write(&from, format!("new {name}")).unwrap();
            Finished {
                from,
                to: self.directory.path().join(name),
                replace,
            }
        }

        fn read(&self, name: &str) -> String {
            fs::read_to_string(self.directory.path().join(name)).unwrap_or_default()
        }
    }

    #[test]
    fn files_get_their_names() {
        let set = Set::new();
        fs::write(set.directory.path().join("log"), "old log").unwrap();
        let files = [set.finished("image", false), set.finished("log", true)];
        publish(set.directory.path(), &files).unwrap();
        assert_eq!(set.read("image"), "new image");
        assert_eq!(set.read("log"), "new log");
    }

    #[test]
    fn a_lock_on_the_output_directory_is_its_holders_business() {
        // As of `flock OUT ozr install --output-dir OUT`.
        let set = Set::new();
        let held = File::open(set.directory.path()).unwrap();
        held.try_lock().unwrap();
        publish(set.directory.path(), &[set.finished("image", false)]).unwrap();
        assert_eq!(set.read("image"), "new image");
    }

    #[test]
    fn an_image_that_may_not_be_replaced_stays_and_so_does_its_company() {
        let set = Set::new();
        for name in ["image", "log"] {
            fs::write(set.directory.path().join(name), format!("old {name}")).unwrap();
        }
        let files = [set.finished("image", false), set.finished("log", true)];
        let error = publish(set.directory.path(), &files).unwrap_err();
        assert_eq!(kind_of(&error), Some(Kind::Input));
        assert!(error.to_string().contains("--force"), "{error}");
        assert_eq!(set.read("image"), "old image");
        assert_eq!(set.read("log"), "old log");
    }

    #[test]
    fn a_failure_in_the_middle_brings_the_old_set_back() {
        let set = Set::new();
        for name in ["image", "log"] {
            fs::write(set.directory.path().join(name), format!("old {name}")).unwrap();
        }
        let mut files = vec![
            set.finished("image", true),
            set.finished("log", true),
            set.finished("new", true),
            set.finished("last", true),
        ];
        // A directory of that name cannot be made way for.
        files[3].to = set.directory.path().join("missing").join("last");
        publish(set.directory.path(), &files).unwrap_err();
        assert_eq!(set.read("image"), "old image");
        assert_eq!(set.read("log"), "old log");
        assert!(!set.directory.path().join("new").exists());
    }

    #[test]
    fn of_two_builds_one_wins_and_the_other_changes_nothing() {
        let set = Set::new();
        let wins: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|n| {
                    let set = &set;
                    scope.spawn(move || {
                        let from = set.work.join(format!("image{n}"));
                        fs::write(&from, format!("image {n}")).unwrap();
                        let to = set.directory.path().join("image");
                        let replace = false;
                        publish(set.directory.path(), &[Finished { from, to, replace }]).is_ok()
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| usize::from(thread.join().unwrap()))
                .sum()
        });
        assert_eq!(wins, 1);
        let left = fs::read_dir(&set.work).unwrap().count();
        assert_eq!(left, 7, "the others still have theirs");
    }
}
