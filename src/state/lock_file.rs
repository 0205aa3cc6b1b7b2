//! The one lock: a private file that is locked for as long as whoever took it lives.
//!
//! The kernel gives the lock (flock(2)) back however its process ends, so a file whose lock is free
//! tells of one that is dead. It is opened to read and write, for network file systems lock nothing
//! else; and it lies in an [`OwnedDir`] with mode 0600, for whoever can open a file can hold its
//! lock. Nothing here blocks: what is held is asked for again until a limit is reached, or a signal
//! asks the process to end.

use std::fs::{File, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::owned_dir::OwnedDir;
use crate::blocking::{self, INTERVAL};

/// How long whoever only looks whether a file is locked may hold it up. They take microseconds; a
/// host under heavy load may let them wait for their CPU.
const LOOKING: Duration = Duration::from_secs(10);

/// How often we begin again when the file is removed while we come to its lock.
const MAX_RACES: u32 = 100;

/// The most that is read of what a lock's holder wrote in it.
const MAX_TEXT: u64 = 64 * 1024;

/// Who else may have the lock at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nobody.
    Exclusive,
    /// Others that share it.
    Shared,
}

/// A lock that is ours until it is dropped.
#[derive(Debug)]
pub struct LockFile {
    file: File,
}

/// What came of asking for a lock.
#[derive(Debug)]
pub enum Asked {
    /// It is ours.
    Taken(LockFile),
    /// Somebody has it.
    Held,
    /// There is no such file.
    Missing,
}

impl LockFile {
    /// Takes the lock `name` if it is free, the file made if need be. None if somebody has it.
    ///
    /// # Errors
    /// The file cannot be made, is not ozr's own, or lies where nothing can be locked.
    pub fn try_take(dir: &OwnedDir, name: &str, access: Access) -> io::Result<Option<LockFile>> {
        match ask(dir, name, access, true)? {
            Asked::Taken(lock) => Ok(Some(lock)),
            Asked::Held | Asked::Missing => Ok(None),
        }
    }

    /// Takes the lock `name` if the file is there and its lock is free.
    ///
    /// # Errors
    /// As [`LockFile::try_take`].
    pub fn ask(dir: &OwnedDir, name: &str, access: Access) -> io::Result<Asked> {
        ask(dir, name, access, false)
    }

    /// Takes the lock of a file whose name is ours alone: who has it only looks at it.
    ///
    /// # Errors
    /// As [`LockFile::try_take`]; somebody keeps it.
    pub fn take_own(dir: &OwnedDir, name: &str) -> io::Result<LockFile> {
        LockFile::take_blocking(dir, name, LOOKING)
    }

    /// Takes the lock `name`, blocking for no longer than `limit`.
    ///
    /// # Errors
    /// As [`LockFile::try_take`]; it is held still when the time is up, or when a signal asks this
    /// process to end.
    pub fn take_blocking(dir: &OwnedDir, name: &str, limit: Duration) -> io::Result<LockFile> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(lock) = LockFile::try_take(dir, name, Access::Exclusive)? {
                return Ok(lock);
            }
            if Instant::now() >= deadline || blocking::is_stopped() {
                return Err(kept(dir, name, limit));
            }
            std::thread::sleep(INTERVAL);
        }
    }

    /// Takes the lock `name`, waiting for whoever has it no longer than `limit`; `held` is called
    /// each time that it is found held. Cancel safe.
    ///
    /// # Errors
    /// As [`LockFile::try_take`]; it is held still when the time is up.
    pub async fn take(
        dir: &OwnedDir,
        name: &str,
        access: Access,
        limit: Duration,
        mut held: impl FnMut(),
    ) -> io::Result<LockFile> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(lock) = LockFile::try_take(dir, name, access)? {
                return Ok(lock);
            }
            if Instant::now() >= deadline {
                return Err(kept(dir, name, limit));
            }
            held();
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// The text that its holder wrote; empty where it cannot be read.
    pub fn text(&self) -> String {
        text(&self.file)
    }

    /// Writes what is told to those who find the file, in place of what it held.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, text: &[u8]) -> io::Result<()> {
        self.file.set_len(0)?;
        (&self.file).rewind()?;
        self.append(text)
    }

    /// Writes more of it, behind what is there.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn append(&self, text: &[u8]) -> io::Result<()> {
        (&self.file).seek(io::SeekFrom::End(0))?;
        (&self.file).write_all(text)?;
        self.file.sync_all()
    }
}

/// The text in a file that somebody else may have locked; empty where it cannot be read.
pub(super) fn text(mut file: &File) -> String {
    let mut text = Vec::new();
    let read = file
        .rewind()
        .and_then(|()| file.take(MAX_TEXT).read_to_end(&mut text));
    match read {
        Ok(_) => String::from_utf8(text).unwrap_or_default(),
        Err(_) => String::new(),
    }
}

fn ask(dir: &OwnedDir, name: &str, access: Access, create: bool) -> io::Result<Asked> {
    for _ in 0..MAX_RACES {
        let file = match dir.file(name, create) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !create => {
                return Ok(Asked::Missing);
            }
            other => other?,
        };
        if file.metadata()?.mode() & 0o077 != 0 {
            // Of a file system without modes, or of an earlier version.
            file.set_permissions(Permissions::from_mode(0o600))?;
        }
        if !try_lock(&file, access).map_err(|error| cannot_lock(dir, name, &error))? {
            return Ok(Asked::Held);
        }
        // Its last holder may have removed it while we came to it.
        if dir.has(name, &file)? {
            return Ok(Asked::Taken(LockFile { file }));
        }
    }
    Err(io::Error::other(format!(
        "{} keeps vanishing: is something cleaning that directory?",
        dir.join(name).display()
    )))
}

/// Locks an open file; false if somebody else has it.
pub(super) fn try_lock(file: &File, access: Access) -> io::Result<bool> {
    let operation = match access {
        Access::Exclusive => FlockOperation::NonBlockingLockExclusive,
        Access::Shared => FlockOperation::NonBlockingLockShared,
    };
    loop {
        match flock(file, operation) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn cannot_lock(dir: &OwnedDir, name: &str, error: &io::Error) -> io::Error {
    let path = dir.join(name);
    io::Error::new(
        error.kind(),
        format!(
            "{} cannot be locked ({error}): its file system keeps no locks; choose another place",
            path.display()
        ),
    )
}

fn kept(dir: &OwnedDir, name: &str, limit: Duration) -> io::Error {
    let holder = holder(dir, name);
    io::Error::new(
        io::ErrorKind::TimedOut,
        format!(
            "{holder} has held the lock {} for {} s: end it, then try again",
            dir.join(name).display(),
            limit.as_secs()
        ),
    )
}

/// Who holds the lock `name`, in words, as the kernel tells (proc_locks(5)).
pub fn holder(dir: &OwnedDir, name: &str) -> String {
    let holder = || -> Option<u32> {
        let meta = dir.file(name, false).ok()?.metadata().ok()?;
        let locks = std::fs::read_to_string("/proc/locks").ok()?;
        parse_holder(&locks, meta.dev(), meta.ino())
    };
    match holder() {
        Some(pid) if pid == std::process::id() => "another part of this run".to_owned(),
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    }
}

/// The holder of a file's lock in the text of `/proc/locks`:
/// `1: FLOCK  ADVISORY  WRITE 708 00:13:16692 0 EOF`. Processes of other namespaces have number 0.
fn parse_holder(locks: &str, device: u64, inode: u64) -> Option<u32> {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let file = format!("{major:02x}:{minor:02x}:{inode}");
    locks
        .lines()
        // Those who wait stand below with `->`.
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields.len() > 5 && fields[5] == file)
        .filter_map(|fields| fields[4].parse().ok())
        .find(|pid| *pid > 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::OpenOptionsExt;

    use super::*;

    fn dir() -> (tempfile::TempDir, OwnedDir) {
        let base = tempfile::tempdir().unwrap();
        let dir = OwnedDir::open(base.path()).unwrap();
        (base, dir)
    }

    #[tokio::test]
    async fn one_holds_it_and_the_others_are_told_and_wait_no_longer_than_their_limit() {
        let (_base, dir) = dir();
        let held = LockFile::take_own(&dir, "lock").unwrap();
        held.write(b"a long text").unwrap();
        held.write(b"text").unwrap();
        held.append(b" and more").unwrap();
        assert_eq!(held.text(), "text and more");
        for access in [Access::Exclusive, Access::Shared] {
            assert!(LockFile::try_take(&dir, "lock", access).unwrap().is_none());
        }
        assert_eq!(holder(&dir, "lock"), "another part of this run");
        let mut told = 0;
        let limit = INTERVAL * 2;
        let waited = LockFile::take(&dir, "lock", Access::Exclusive, limit, || told += 1).await;
        let error = waited.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(
            error.to_string().contains("another part of this run"),
            "{error}"
        );
        assert!(told >= 1);
        drop(held);
        let shared = LockFile::try_take(&dir, "lock", Access::Shared).unwrap();
        let also = LockFile::try_take(&dir, "lock", Access::Shared).unwrap();
        assert!(shared.is_some() && also.is_some());
        assert!(matches!(
            LockFile::ask(&dir, "none", Access::Shared),
            Ok(Asked::Missing)
        ));
    }

    #[test]
    fn a_file_that_was_removed_under_its_lock_is_no_lock_any_more() {
        let (base, dir) = dir();
        let old = LockFile::take_own(&dir, "lock").unwrap();
        dir.remove_file("lock").unwrap();
        let new = LockFile::take_own(&dir, "lock").unwrap();
        drop(old);
        assert!(
            LockFile::try_take(&dir, "lock", Access::Exclusive)
                .unwrap()
                .is_none()
        );
        drop(new);
        let mode = base.path().join("lock").metadata().unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_cannot_be_locked_is_not_held() {
        // A descriptor that only names a file locks nothing (open(2), O_PATH).
        let named = std::fs::OpenOptions::new()
            .read(true)
            .custom_flags(rustix::fs::OFlags::PATH.bits() as i32)
            .open("/")
            .unwrap();
        try_lock(&named, Access::Exclusive).unwrap_err();
    }

    #[test]
    fn holders_are_read_from_the_kernels_list() {
        let locks = "1: FLOCK  ADVISORY  WRITE 0 fe:00:12 0 EOF\n\
            1: -> FLOCK  ADVISORY  WRITE 9 fe:00:12 0 EOF\n\
            2: FLOCK  ADVISORY  READ 708 fe:00:12 0 EOF\n\
            3: POSIX  ADVISORY  WRITE 12 fe:01:12 0 0\n";
        let device = |major, minor| rustix::fs::makedev(major, minor);
        assert_eq!(parse_holder(locks, device(0xfe, 0), 12), Some(708));
        assert_eq!(parse_holder(locks, device(0xfe, 1), 12), Some(12));
        assert_eq!(parse_holder(locks, device(0xfe, 0), 13), None);
        assert_eq!(parse_holder("", 0, 0), None);
    }
}
