//! Gives a set of finished files their names: all of them, or none.
//!
//! The files lie in directories of ours, whole and on disk, and each is held by a descriptor: what
//! gets the name is that very file, whatever its path has come to mean. The image is placed first:
//! that is where two builds of one name meet, and the loser has changed nothing then (two that may
//! replace it never meet: they have one work directory). The checksum is placed last, so a set whose
//! checksum verifies is a set. A file that is replaced is exchanged
//! with the new one, and comes back should a later file fail; it is removed with the work
//! directory. Only a power cut between two renames can leave files of two builds side by side,
//! each whole, with a checksum that does not fit.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use rustix::fs::{
    AtFlags, CWD, FileType, FlockOperation, Mode, OFlags, RenameFlags, fcntl_lock, fsync, linkat,
    renameat, renameat_with, statat, unlinkat,
};
use rustix::io::Errno;

use crate::error::{Kind, fail, failed};

/// A finished file and the name it is to have.
#[derive(Debug)]
pub struct Finished<'a> {
    /// The directory that it is in, in the same file system as the name it is to have.
    pub dir: BorrowedFd<'a>,
    /// Its name there.
    pub from: &'a str,
    /// The file itself.
    pub file: &'a File,
    /// Where it is to be.
    pub to: PathBuf,
    /// Whether it may replace a file of that name.
    pub replace: bool,
}

/// Places the files in order.
///
/// # Errors
///
/// If a file cannot be placed; the directories are then as they were before. Of kind
/// [`Kind::Input`], if a file is there that may not be replaced.
pub fn publish(files: &[Finished<'_>]) -> Result<()> {
    let open = |file: &Finished<'_>| {
        let parent = file.to.parent().unwrap_or(Path::new("/"));
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(parent, flags, Mode::empty())
            .with_context(|| format!("opening {}", parent.display()))
    };
    let directories = files.iter().map(open).collect::<Result<Vec<_>>>()?;
    publish_into(files, &directories)
}

/// Places each file in the directory that belongs to it.
fn publish_into(files: &[Finished<'_>], directories: &[OwnedFd]) -> Result<()> {
    for file in files {
        let name = file.to.display();
        file.file
            .sync_all()
            .with_context(|| format!("writing what is to be {name} to disk"))?;
    }
    let mut placed = Vec::with_capacity(files.len());
    let done = files.iter().zip(directories).try_for_each(|(file, dir)| {
        let file = Placing {
            file,
            dir: dir.as_fd(),
        };
        let how = file.place()?;
        placed.push((file, how));
        file.verify(how)
    });
    let done = done.and_then(|()| {
        directories
            .iter()
            .try_for_each(fsync)
            .context("writing a directory to disk")
    });
    if done.is_err() {
        for (file, how) in placed.iter().rev() {
            file.take_back(*how);
        }
    }
    done
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

/// A file and the directory that it is placed in.
#[derive(Clone, Copy)]
struct Placing<'a> {
    file: &'a Finished<'a>,
    dir: BorrowedFd<'a>,
}

impl Placing<'_> {
    fn name(&self) -> &OsStr {
        self.file.to.file_name().unwrap_or_default()
    }

    fn place(&self) -> Result<Placed> {
        match self.rename() {
            Err(Errno::EXIST) => Err(exists(&self.file.to)),
            other => other.with_context(|| format!("placing {}", self.file.to.display())),
        }
    }

    fn rename(&self) -> rustix::io::Result<Placed> {
        let Finished {
            dir, from, replace, ..
        } = *self.file;
        let (target, name) = (self.dir, self.name());
        match renameat_with(dir, from, target, name, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(Placed::New),
            Err(Errno::EXIST) if replace => {}
            // The file system does not know the flag (NFS): a link never replaces anything.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                match linkat(dir, from, target, name, AtFlags::empty()) {
                    Ok(()) => {
                        unlinkat(dir, from, AtFlags::empty())?;
                        return Ok(Placed::New);
                    }
                    Err(Errno::EXIST) if replace => {}
                    Err(error) => return Err(error),
                }
            }
            Err(error) => return Err(error),
        }
        match renameat_with(dir, from, target, name, RenameFlags::EXCHANGE) {
            Ok(()) => Ok(Placed::Exchanged),
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                // A directory has no second link.
                linkat(target, name, dir, aside(from), AtFlags::empty())?;
                renameat(dir, from, target, name)?;
                Ok(Placed::MovedAside)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes sure that the name is the file's, and that what had it may be replaced.
    fn verify(&self, how: Placed) -> Result<()> {
        let Finished {
            dir, from, file, ..
        } = *self.file;
        let path = self.file.to.display();
        let looking = || format!("looking at {path}");
        let named =
            statat(self.dir, self.name(), AtFlags::SYMLINK_NOFOLLOW).with_context(looking)?;
        let ours = rustix::fs::fstat(file).with_context(looking)?;
        ensure!(
            (named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino),
            "somebody exchanged the file that was to be {path}: nothing was published"
        );
        let old = match how {
            Placed::New => return Ok(()),
            Placed::Exchanged => statat(dir, from, AtFlags::SYMLINK_NOFOLLOW),
            Placed::MovedAside => statat(dir, aside(from), AtFlags::SYMLINK_NOFOLLOW),
        };
        let old = old.with_context(looking)?;
        let (kind, user) = (FileType::from_raw_mode(old.st_mode), old.st_uid);
        match is_replaceable(kind, user) {
            true => Ok(()),
            false => Err(irreplaceable("an output", &self.file.to, kind)),
        }
    }

    /// Undoes [`Placing::place`]. What fails here is logged: there is nothing else to be done about
    /// it.
    fn take_back(&self, how: Placed) {
        let Finished { dir, from, .. } = *self.file;
        let (target, name) = (self.dir, self.name());
        let done = match how {
            Placed::New => renameat(target, name, dir, from),
            Placed::Exchanged => renameat_with(dir, from, target, name, RenameFlags::EXCHANGE),
            Placed::MovedAside => renameat(dir, aside(from), target, name),
        };
        if let Err(error) = done {
            tracing::error!(path = %self.file.to.display(), %error, "taking back a file");
        }
    }
}

fn aside(from: &str) -> String {
    format!("{from}.old")
}

/// Refuses a name that an output cannot get: one that is taken, or, where it may `replace`, taken by
/// what is no file of the user's.
///
/// # Errors
/// Input: see above.
pub fn check_replaceable(what: &str, path: &Path, replace: bool) -> Result<()> {
    let Ok(there) = statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) else {
        return Ok(());
    };
    let kind = FileType::from_raw_mode(there.st_mode);
    match is_replaceable(kind, there.st_uid) {
        false => Err(irreplaceable(what, path, kind)),
        true if replace => Ok(()),
        true => Err(exists(path)),
    }
}

/// Removes what an earlier output left of this name and no output has any more, if outputs may replace it; whether it
/// was there.
///
/// # Errors
/// It cannot be removed.
pub fn remove_outdated(path: &Path) -> Result<bool> {
    let Ok(there) = statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) else {
        return Ok(false);
    };
    if !is_replaceable(FileType::from_raw_mode(there.st_mode), there.st_uid) {
        return Ok(false);
    }
    unlinkat(CWD, path, AtFlags::empty())
        .with_context(|| format!("removing {}", path.display()))?;
    Ok(true)
}

/// Outputs replace regular files, and links of this user's own; whatever else bears the name is
/// more than its name.
fn is_replaceable(kind: FileType, user: u32) -> bool {
    let own = user == rustix::process::geteuid().as_raw();
    kind == FileType::RegularFile || (kind == FileType::Symlink && own)
}

fn irreplaceable(what: &str, path: &Path, kind: FileType) -> anyhow::Error {
    let is = match kind {
        FileType::Directory => "a directory",
        FileType::Symlink => "a link of another user's",
        FileType::Fifo => "a pipe",
        FileType::Socket => "a socket",
        _ => "a device",
    };
    let path = path.display();
    failed!(
        Kind::Input,
        "{what} cannot be {path}, which is {is}: name a file, or a place where nothing is"
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
            fail!(
                Kind::Input,
                "{} is to be replaced and cannot be opened ({error}), so a virtual machine may be using it: remove it, or use another --name",
                image.display()
            );
        }
    };
    // QEMU holds locks on single bytes of the file; a lock on all of it meets each of them.
    match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::AGAIN | Errno::ACCESS) => fail!(
            Kind::Input,
            "{} is in use, by a running virtual machine perhaps: shut that down before its image is replaced, or use another --name",
            image.display()
        ),
        // Where the file system knows no locks, QEMU has none. Ours goes with the descriptor.
        _ => Ok(()),
    }
}

/// The error for an image that is there and may not be replaced.
pub fn exists(path: &Path) -> anyhow::Error {
    failed!(
        Kind::Input,
        "{} exists already: use --force to replace it, or another --name or --output-dir",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::error::kind_of;
    use crate::state::OwnedDir;

    struct Set {
        directory: tempfile::TempDir,
        work: OwnedDir,
    }

    /// A file in the work directory, whose content is its name.
    struct New<'a> {
        set: &'a Set,
        name: &'static str,
        file: File,
        replace: bool,
    }

    impl New<'_> {
        fn finished(&self) -> Finished<'_> {
            Finished {
                dir: self.set.work.as_fd(),
                from: self.name,
                file: &self.file,
                to: self.set.path(self.name),
                replace: self.replace,
            }
        }
    }

    impl Set {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let work = OwnedDir::create(&directory.path().join(".work"), 0o700).unwrap();
            Set { directory, work }
        }

        /// With old files of these names.
        fn with(names: &[&str]) -> Self {
            let set = Set::new();
            for name in names {
                fs::write(set.path(name), format!("old {name}")).unwrap();
            }
            set
        }

        fn path(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }

        fn file(&self, name: &'static str, replace: bool) -> New<'_> {
            self.work
                .replace(name, format!("new {name}").as_bytes())
                .unwrap();
            let file = self.work.file(name, false).unwrap();
            New {
                set: self,
                name,
                file,
                replace,
            }
        }

        fn read(&self, name: &str) -> String {
            fs::read_to_string(self.path(name)).unwrap_or_default()
        }
    }

    fn publish_all(files: &[New<'_>]) -> Result<()> {
        publish(&files.iter().map(New::finished).collect::<Vec<_>>())
    }

    #[test]
    fn files_get_their_names() {
        let set = Set::with(&["log", "target"]);
        symlink("target", set.path("own link")).unwrap();
        publish_all(&[
            set.file("image", false),
            set.file("log", true),
            set.file("own link", true),
        ])
        .unwrap();
        assert_eq!(set.read("image"), "new image");
        assert_eq!(set.read("log"), "new log");
        assert_eq!(set.read("own link"), "new own link");
        assert_eq!(set.read("target"), "old target");
    }

    #[test]
    fn a_lock_on_the_output_directory_is_its_holders_business() {
        // As of `flock OUT ozr install --output-dir OUT`.
        let set = Set::new();
        let held = File::open(set.directory.path()).unwrap();
        held.try_lock().unwrap();
        publish_all(&[set.file("image", false)]).unwrap();
        assert_eq!(set.read("image"), "new image");
    }

    #[test]
    fn an_image_that_may_not_be_replaced_stays_and_so_does_its_company() {
        let set = Set::with(&["image", "log"]);
        let error = publish_all(&[set.file("image", false), set.file("log", true)]).unwrap_err();
        assert_eq!(kind_of(&error), Some(Kind::Input));
        assert!(error.to_string().contains("--force"), "{error}");
        assert_eq!(set.read("image"), "old image");
        assert_eq!(set.read("log"), "old log");
    }

    #[test]
    fn a_failure_in_the_middle_brings_the_old_set_back() {
        let set = Set::with(&["image", "log"]);
        // A directory cannot be made way for, and stays with what it holds.
        fs::create_dir(set.path("last")).unwrap();
        fs::write(set.path("last/file"), "precious").unwrap();
        let names = ["image", "log", "new", "last"];
        let error = publish_all(&names.map(|name| set.file(name, true))).unwrap_err();
        assert!(error.to_string().contains("is a directory"), "{error:#}");
        assert_eq!(set.read("image"), "old image");
        assert_eq!(set.read("log"), "old log");
        assert_eq!(set.read("last/file"), "precious");
        assert!(!set.path("new").exists());
    }

    #[test]
    fn what_was_exchanged_is_not_published() {
        let set = Set::with(&["image", "log"]);
        let files = ["log", "image"].map(|name| set.file(name, true));
        // Somebody puts another file in place of the one that was written.
        set.work.replace("image", b"evil").unwrap();
        let error = publish_all(&files).unwrap_err();
        assert!(error.to_string().contains("exchanged"), "{error:#}");
        assert_eq!(set.read("image"), "old image");
        assert_eq!(set.read("log"), "old log");
    }

    #[test]
    fn nothing_gets_a_name_before_it_is_on_disk() {
        let set = Set::with(&["image"]);
        let mut files = [set.file("image", true), set.file("log", true)];
        // What no fsync(2) can write.
        files[1].file = File::open("/dev/null").unwrap();
        let error = publish_all(&files).unwrap_err();
        assert!(error.to_string().contains("log to disk"), "{error:#}");
        assert_eq!(set.read("image"), "old image");
    }

    #[test]
    fn names_that_may_not_last_are_taken_back() {
        let set = Set::with(&["image"]);
        let files = ["image", "log"].map(|name| set.file(name, true));
        let files: Vec<_> = files.iter().map(New::finished).collect();
        // A descriptor that only names a directory cannot be written to disk (open(2), O_PATH).
        for without in [0, 1] {
            let open = |path| {
                let flags = match path == without {
                    true => OFlags::PATH,
                    false => OFlags::DIRECTORY,
                };
                rustix::fs::open(set.directory.path(), flags, Mode::empty()).unwrap()
            };
            let error = publish_into(&files, &[0, 1].map(open)).unwrap_err();
            assert!(
                error.to_string().contains("a directory to disk"),
                "{error:#}"
            );
            assert_eq!(set.read("image"), "old image");
            assert!(!set.path("log").exists());
        }
    }

    #[test]
    fn of_two_builds_one_wins_and_the_other_changes_nothing() {
        let set = Set::new();
        let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let files = names.map(|name| set.file(name, false));
        let wins: usize = std::thread::scope(|scope| {
            let threads = files.each_ref().map(|file| {
                let to = set.path("image");
                scope.spawn(move || {
                    publish(&[Finished {
                        to,
                        ..file.finished()
                    }])
                    .is_ok()
                })
            });
            threads
                .into_iter()
                .map(|thread| usize::from(thread.join().unwrap()))
                .sum()
        });
        assert_eq!(wins, 1);
        assert_eq!(
            set.work.names().unwrap().len(),
            7,
            "the others still have theirs"
        );
    }
}
