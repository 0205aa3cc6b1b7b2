//! A directory that is ozr's own: opened without following links, worked on by its descriptor.
//!
//! Whatever stands at a path may have been put there by somebody else: another user of a shared
//! directory, a checkout of somebody's repository. So nothing is written, emptied or removed before
//! the directory is known to be this user's and closed to writing by others, and all of it happens
//! by the descriptor that was looked at, whatever the path comes to mean meanwhile.

use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::process::geteuid;

/// The bits of a mode that let others write.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// The bits of a mode that are permissions.
const PERMISSIONS: u32 = 0o7777;

/// Begin of the names under which small files are written before they get their own.
pub const ASIDE_PREFIX: &str = ".new-";

/// How a file or directory is opened that may be anything: no link, nothing that blocks.
const CAREFULLY: OFlags = OFlags::NOFOLLOW
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

/// A directory that belongs to this user and that nobody else can write in.
#[derive(Debug)]
pub struct OwnedDir {
    fd: OwnedFd,
    path: PathBuf,
}

impl OwnedDir {
    /// Opens the directory at `path`, made with `mode` (whatever the umask) if nothing is there,
    /// as its parents are.
    ///
    /// # Errors
    /// It cannot be made or opened; something is there that is not ozr's own.
    pub fn create(path: &Path, mode: u32) -> io::Result<OwnedDir> {
        match rustix::fs::mkdir(path, Mode::from_raw_mode(mode)) {
            Ok(()) => {
                let dir = OwnedDir::open(path)?;
                dir.set_mode(mode)?;
                return Ok(dir);
            }
            Err(Errno::EXIST) => {}
            Err(Errno::NOENT) => {
                let parent = path.parent().unwrap_or(Path::new("."));
                DirBuilder::new()
                    .recursive(true)
                    .mode(mode)
                    .create(parent)?;
                return OwnedDir::create(path, mode);
            }
            Err(error) => return Err(error.into()),
        }
        OwnedDir::open(path)
    }

    /// Opens the directory at `path`.
    ///
    /// # Errors
    /// Nothing is there ([`io::ErrorKind::NotFound`]); what is there is not ozr's own.
    pub fn open(path: &Path) -> io::Result<OwnedDir> {
        OwnedDir::open_at(CWD, path.as_os_str(), path.to_path_buf())
    }

    /// Opens the directory `name` in this one, made with `mode` if nothing is there.
    ///
    /// # Errors
    /// As [`OwnedDir::create`].
    pub fn subdir(&self, name: &str, mode: u32) -> io::Result<OwnedDir> {
        match rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(mode)) {
            Ok(()) => {
                let dir = OwnedDir::open_at(self.fd.as_fd(), name.as_ref(), self.join(name))?;
                dir.set_mode(mode)?;
                Ok(dir)
            }
            Err(Errno::EXIST) => OwnedDir::open_at(self.fd.as_fd(), name.as_ref(), self.join(name)),
            Err(error) => Err(error.into()),
        }
    }

    fn open_at(at: BorrowedFd<'_>, name: &OsStr, path: PathBuf) -> io::Result<OwnedDir> {
        let flags = CAREFULLY | OFlags::DIRECTORY;
        let fd = match rustix::fs::openat(at, name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::LOOP | Errno::NOTDIR) => return Err(refused(&path, "it is no directory")),
            Err(error) => return Err(error.into()),
        };
        let dir = OwnedDir { fd, path };
        let stat = dir.stat()?;
        if stat.st_uid != dir.own_uid(&stat)? {
            let whose = format!("it belongs to another user ({})", stat.st_uid);
            return Err(refused(&dir.path, &whose));
        }
        if stat.st_mode & WRITABLE_BY_OTHERS != 0 {
            return Err(refused(&dir.path, "others may write in it"));
        }
        Ok(dir)
    }

    /// Which user we are for this file system: a server of NFS may take root for `nobody`
    /// (`root_squash`, exports(5)). What we make there shows it.
    fn own_uid(&self, stat: &Stat) -> io::Result<u32> {
        let own = geteuid();
        if stat.st_uid == own.as_raw() || !own.is_root() {
            return Ok(own.as_raw());
        }
        const NFS: u64 = 0x6969;
        if rustix::fs::fstatfs(&self.fd)?.f_type as u64 != NFS {
            return Ok(own.as_raw());
        }
        let name = format!(".ozr-{}", std::process::id());
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | CAREFULLY;
        let made = rustix::fs::openat(&self.fd, &name, flags, Mode::empty())?;
        self.remove_file(&name)?;
        Ok(rustix::fs::fstat(&made)?.st_uid)
    }

    /// What the file system says of it.
    fn stat(&self) -> io::Result<Stat> {
        Ok(rustix::fs::fstat(&self.fd)?)
    }

    /// The directory's inode: nobody who writes files before the directory exists, as a repository
    /// or an archive does, knows it. A file that names it was written in this very directory.
    ///
    /// # Errors
    /// The file system does not say.
    pub fn inode(&self) -> io::Result<u64> {
        Ok(self.stat()?.st_ino)
    }

    /// Who may do what in it: permissions as chmod(2) takes them. Never lets others write.
    ///
    /// # Errors
    /// They cannot be changed.
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        let mode = Mode::from_raw_mode(mode & PERMISSIONS & !WRITABLE_BY_OTHERS);
        Ok(rustix::fs::fchmod(&self.fd, mode)?)
    }

    /// Its path, for programs that take nothing else, and for people.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// Whether its path still leads to it.
    pub fn is_at_its_path(&self) -> bool {
        let named = rustix::fs::statat(CWD, &self.path, AtFlags::SYMLINK_NOFOLLOW);
        matches!((named, self.stat()), (Ok(named), Ok(ours)) if is_same(&named, &ours))
    }

    /// The names of what is in it.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn names(&self) -> io::Result<Vec<OsString>> {
        names(self.fd.as_fd())
    }

    /// Opens the file `name` to read and write, made for this user alone if `create`.
    ///
    /// # Errors
    /// It is not there, no regular file, or another user's.
    pub fn file(&self, name: impl AsRef<OsStr>, create: bool) -> io::Result<File> {
        let name = name.as_ref();
        let mut flags = OFlags::RDWR | CAREFULLY;
        flags.set(OFlags::CREATE, create);
        let mode = Mode::RUSR | Mode::WUSR;
        let refuse = |why| Err(refused(&self.join(name), why));
        let fd = match rustix::fs::openat(&self.fd, name, flags, mode) {
            Ok(fd) => fd,
            Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO) => return refuse("it is no file"),
            Err(error) => return Err(error.into()),
        };
        let stat = rustix::fs::fstat(&fd)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return refuse("it is no file");
        }
        if stat.st_uid != self.stat()?.st_uid {
            return refuse("it belongs to another user");
        }
        if stat.st_nlink > 1 {
            return refuse("it has a second name elsewhere");
        }
        Ok(File::from(fd))
    }

    /// The beginning of the file `name`, at most `most` bytes.
    ///
    /// # Errors
    /// As [`OwnedDir::file`]; it cannot be read.
    pub fn read(&self, name: impl AsRef<OsStr>, most: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file(name, false)?.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Gives `name` this content, whole or not at all: written aside, flushed, renamed.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        static WRITTEN: AtomicU64 = AtomicU64::new(0);
        let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
        let aside = format!("{ASIDE_PREFIX}{}-{number}", std::process::id());
        // One that a process of our number has left.
        self.remove_file(&aside)?;
        let mut file = self.file(&aside, true)?;
        file.write_all(content)?;
        file.sync_all()?;
        rustix::fs::renameat(&self.fd, aside, &self.fd, name)?;
        Ok(rustix::fs::fsync(&self.fd)?)
    }

    /// Whether `file` is what `name` stands for in it.
    pub(super) fn has(&self, name: impl AsRef<OsStr>, file: &File) -> io::Result<bool> {
        let ours = rustix::fs::fstat(file)?;
        match rustix::fs::statat(&self.fd, name.as_ref(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(named) => Ok(is_same(&named, &ours)),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes the file `name`, if it is there. A link is removed, not what it leads to.
    ///
    /// # Errors
    /// It is there and cannot be removed.
    pub fn remove_file(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        gone(rustix::fs::unlinkat(
            &self.fd,
            name.as_ref(),
            AtFlags::empty(),
        ))
    }

    /// Removes `name` with all that is in it, if it is there.
    ///
    /// # Errors
    /// Something of it cannot be removed.
    pub fn remove_tree(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        remove_tree(self.fd.as_fd(), name.as_ref())
    }

    /// Removes all that is in it but what is called `spared`.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub fn empty(&self, spared: &[&str]) -> io::Result<()> {
        for name in self.names()? {
            if !spared.iter().any(|spared| name == *spared) {
                self.remove_tree(name)?;
            }
        }
        Ok(())
    }

    /// Removes the directory with all that is in it: `mark`, by which it is known as ours, last.
    ///
    /// # Errors
    /// Something of it cannot be removed.
    pub fn remove_all(&self, mark: &str) -> io::Result<()> {
        self.empty(&[mark])?;
        self.remove_file(mark)?;
        self.remove()
    }

    /// Removes the directory itself if its path still leads to it; what is in it must be gone.
    ///
    /// # Errors
    /// Something is in it; it cannot be removed.
    pub fn remove(&self) -> io::Result<()> {
        if !self.is_at_its_path() {
            return Ok(());
        }
        // Should somebody have exchanged it in this moment, what is there must be empty to go.
        gone(rustix::fs::rmdir(&self.path))
    }
}

impl AsFd for OwnedDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn is_same(a: &Stat, b: &Stat) -> bool {
    (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)
}

/// What stands where ozr would write or remove, and is not ozr's.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not ozr's own ({why}), so it is left alone: look into it and remove it (`rm -r '{0}'`), or choose another place", path.display())]
struct NotOurs {
    path: PathBuf,
    why: String,
}

/// The error of what is not ozr's own, and why.
pub(super) fn refused(path: &Path, why: &str) -> io::Error {
    let (path, why) = (path.to_owned(), why.to_owned());
    io::Error::new(io::ErrorKind::PermissionDenied, NotOurs { path, why })
}

/// Whether an error says that something is not ozr's own.
pub fn is_refusal(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<NotOurs>())
}

/// What was found, or nothing where it is not there.
pub fn found<T>(looked: io::Result<T>) -> io::Result<Option<T>> {
    match looked {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

fn gone(removed: rustix::io::Result<()>) -> io::Result<()> {
    found(removed.map_err(io::Error::from)).map(drop)
}

fn names(directory: BorrowedFd<'_>) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name.to_vec()));
        }
    }
    Ok(names)
}

fn remove_tree(at: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
    match rustix::fs::unlinkat(at, name, AtFlags::empty()) {
        // What Linux says of a directory, and what POSIX does.
        Err(Errno::ISDIR | Errno::PERM) => {}
        other => return gone(other),
    }
    let flags = CAREFULLY | OFlags::DIRECTORY;
    let directory = match rustix::fs::openat(at, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        other => other?,
    };
    for name in names(directory.as_fd())? {
        remove_tree(directory.as_fd(), &name)?;
    }
    gone(rustix::fs::unlinkat(at, name, AtFlags::REMOVEDIR))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    fn says(result: io::Result<impl std::fmt::Debug>) -> String {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
        error.to_string()
    }

    #[test]
    fn what_is_not_ours_is_refused_and_left_alone() {
        let base = tempfile::tempdir().unwrap();
        let theirs = base.path().join("theirs");
        fs::create_dir(&theirs).unwrap();
        fs::write(theirs.join("file"), "precious").unwrap();
        let link = base.path().join("link");
        symlink(&theirs, &link).unwrap();
        assert!(says(OwnedDir::create(&link, 0o700)).contains("no directory"));
        assert!(says(OwnedDir::open(&theirs.join("file"))).contains("no directory"));
        fs::set_permissions(&theirs, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(says(OwnedDir::open(&theirs)).contains("others may write"));
        if geteuid().is_root() {
            fs::set_permissions(&theirs, fs::Permissions::from_mode(0o755)).unwrap();
            chown(&theirs, Some(65_534), None).unwrap();
            assert!(says(OwnedDir::create(&theirs, 0o700)).contains("another user (65534)"));
        }
        let missing = OwnedDir::open(&base.path().join("none")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        assert_eq!(fs::read_to_string(theirs.join("file")).unwrap(), "precious");
    }

    #[test]
    fn files_are_ours_or_refused() {
        let base = tempfile::tempdir().unwrap();
        let dir = OwnedDir::create(&base.path().join("a/b"), 0o711).unwrap();
        assert_eq!(
            fs::metadata(dir.path()).unwrap().permissions().mode() & 0o777,
            0o711
        );
        let outside = base.path().join("outside");
        fs::write(&outside, "precious").unwrap();
        symlink(&outside, dir.join("link")).unwrap();
        fs::hard_link(&outside, dir.join("hard")).unwrap();
        rustix::fs::mkfifoat(&dir, "fifo", Mode::RUSR | Mode::WUSR).unwrap();
        assert!(says(dir.file("link", true)).contains("no file"));
        assert!(says(dir.file("hard", true)).contains("second name"));
        assert!(says(dir.file("fifo", true)).contains("no file"));
        dir.replace("link", b"ours").unwrap();
        assert_eq!(dir.read("link", 3).unwrap(), b"our");
        assert_eq!(fs::read_to_string(&outside).unwrap(), "precious");
    }

    #[test]
    fn removal_follows_no_link_and_knows_its_own_directory() {
        let base = tempfile::tempdir().unwrap();
        let outside = base.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("file"), "precious").unwrap();
        let path = base.path().join("dir");
        let dir = OwnedDir::create(&path, 0o700).unwrap();
        let sub = dir.subdir("sub", 0o700).unwrap();
        symlink(&outside, sub.join("link")).unwrap();
        fs::write(dir.join("spared"), "").unwrap();
        dir.empty(&["spared"]).unwrap();
        assert_eq!(dir.names().unwrap(), ["spared"]);
        dir.remove_file("spared").unwrap();
        // Somebody puts another directory in its place.
        fs::rename(&path, base.path().join("moved")).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(!dir.is_at_its_path());
        dir.remove().unwrap();
        assert!(path.exists());
        fs::remove_dir(&path).unwrap();
        fs::rename(base.path().join("moved"), &path).unwrap();
        dir.remove().unwrap();
        assert!(!path.exists());
        assert_eq!(
            fs::read_to_string(outside.join("file")).unwrap(),
            "precious"
        );
    }
}
