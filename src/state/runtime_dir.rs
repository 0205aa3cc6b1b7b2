//! The build's own short-lived directory: sockets and libvirt's private state.
//!
//! It holds a file that is locked for as long as its process lives and says what build it is: who
//! finds the directory without the [register](super::register) can tell from it alone whose it is,
//! and whether that build is dead.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

use super::directories;
use super::lock_file::{Access, Asked, LockFile};
use super::owned_dir::{OwnedDir, found, is_refusal};
use super::register::{BuildEntry, Registered, append};
use crate::hex;

/// How much of a build's id is in the directory's name: with the process number it is unique, and
/// a unix socket's path holds at most 107 bytes (unix(7)).
const ID_CHARS: usize = 6;

/// The file that says whose it is, and is locked.
const MARK: &str = "build.json";

/// A directory of one build, mode 0700; dropping it removes it with all that it holds.
#[derive(Debug)]
pub struct RuntimeDir {
    dir: OwnedDir,
    mark: LockFile,
    keep: AtomicBool,
}

/// What a dead process left of its runtime directory.
#[derive(Debug)]
pub enum DeadRuntimeDir {
    /// That of a build, locked so that nobody else removes it.
    OfBuild(Box<Registered>),
    /// One that was not a build's, or not yet.
    Nameless(PathBuf),
}

impl RuntimeDir {
    /// Where the build `id` is to have its own: the name begins with our process number, for
    /// people who look, and is short.
    ///
    /// # Errors
    /// There is no place for it.
    pub fn place(id: &str) -> anyhow::Result<PathBuf> {
        Ok(directories::runtime_dir()?.join(name(std::process::id(), id)))
    }

    /// Makes it, for a build if it is one's.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(path: &Path, entry: Option<&BuildEntry>) -> anyhow::Result<Self> {
        let make = || -> anyhow::Result<Self> {
            let dir = OwnedDir::create(path, 0o700)?;
            let mark = LockFile::take_own(&dir, MARK)?;
            if let Some(entry) = entry {
                append(&mark, entry)?;
            }
            Ok(RuntimeDir {
                dir,
                mark,
                keep: AtomicBool::new(false),
            })
        };
        make().with_context(|| format!("creating {}", path.display()))
    }

    /// An id for a further build of this process, which shares the directory: the directory's name is right for it.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn further_id(&self) -> anyhow::Result<String> {
        let name = self.path().file_name().unwrap_or_default();
        let own = name.to_string_lossy();
        let (_, short) = own.split_once('-').unwrap_or_default();
        let rest: String = hex::random()?.chars().skip(short.len()).collect();
        Ok(format!("{short}{rest}"))
    }

    /// Says that the directory is another build's from now on.
    ///
    /// # Errors
    /// It cannot be noted.
    pub fn hand_over(&self, entry: &BuildEntry) -> anyhow::Result<()> {
        append(&self.mark, entry)
    }

    /// The directory's path.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Leaves the directory where it is when this value is dropped; `entry` says that it was kept.
    ///
    /// # Errors
    /// That cannot be noted in it; it is removed then.
    pub fn keep(&self, entry: &BuildEntry) -> anyhow::Result<()> {
        append(&self.mark, entry)?;
        self.keep.store(true, Ordering::SeqCst);
        Ok(())
    }
}

impl Drop for RuntimeDir {
    fn drop(&mut self) {
        if !self.keep.load(Ordering::SeqCst) {
            // Nobody is left to tell, and the directory's file system is in memory.
            let _ = self.dir.remove_all(MARK);
        }
    }
}

/// Removes the runtime directory of a dead build or process. Nothing to do if it is gone.
///
/// # Errors
/// It is not ozr's own, or cannot be removed.
pub fn remove_dead(path: &Path) -> anyhow::Result<()> {
    let remove = || {
        let dir = OwnedDir::open(path)?;
        match is_marked(&dir)? {
            true => dir.remove_all(MARK),
            // It was killed before it had marked it, and so before anything else was in it.
            false => dir.remove_file(MARK).and_then(|()| dir.remove()),
        }
    };
    found(remove())
        .map(drop)
        .with_context(|| format!("removing {}", path.display()))
}

/// Whether a build's entry names its runtime directory as [`RuntimeDir::place`] does: what else
/// stands there is not removed.
pub fn is_place_of(entry: &BuildEntry) -> bool {
    let own = name(entry.pid, &entry.id);
    entry.runtime_dir.is_absolute()
        && entry
            .runtime_dir
            .file_name()
            .is_some_and(|name| name == own.as_str())
}

/// The runtime directories in `place` that dead processes left: this user's own, with the names
/// that ours have, and nobody holds the lock in them.
///
/// # Errors
/// They cannot be listed or locked.
pub fn dead(place: &Path) -> anyhow::Result<Vec<DeadRuntimeDir>> {
    let find = || -> io::Result<Vec<DeadRuntimeDir>> {
        let mut found = Vec::new();
        for name in OwnedDir::open(place)?.names()? {
            let Some(pid) = name.to_str().and_then(pid_of) else {
                continue;
            };
            match dead_one(&place.join(name), pid) {
                // Removed meanwhile, or not ours.
                Err(error) if error.kind() == io::ErrorKind::NotFound || is_refusal(&error) => {}
                other => found.extend(other?),
            }
        }
        Ok(found)
    };
    match find() {
        Err(error) if error.kind() == io::ErrorKind::NotFound || is_refusal(&error) => {
            Ok(Vec::new())
        }
        other => other.with_context(|| format!("looking for what was left in {}", place.display())),
    }
}

fn dead_one(path: &Path, pid: u32) -> io::Result<Option<DeadRuntimeDir>> {
    let dir = Arc::new(OwnedDir::open(path)?);
    if matches!(LockFile::ask(&dir, MARK, Access::Shared)?, Asked::Held) {
        return Ok(None);
    }
    if !is_marked(&dir)? {
        // Its process is about to mark or to remove it, or was killed while it did.
        let lives = Path::new("/proc").join(pid.to_string()).exists();
        let is_empty = dir.names()?.iter().all(|name| name == MARK);
        let left = is_empty && !lives;
        return Ok(left.then(|| DeadRuntimeDir::Nameless(path.to_owned())));
    }
    let build = Registered::read(&dir, MARK)?;
    let dead = build.filter(|build| !build.is_alive() && build.entry.runtime_dir == path);
    Ok(dead.map(|build| DeadRuntimeDir::OfBuild(Box::new(build))))
}

/// Whether a process of ours has written its mark into the directory.
fn is_marked(dir: &OwnedDir) -> io::Result<bool> {
    Ok(found(dir.read(MARK, 1))?.is_some_and(|text| !text.is_empty()))
}

fn name(pid: u32, id: &str) -> String {
    let short: String = id.chars().take(ID_CHARS).collect();
    format!("{pid}-{short}")
}

/// The process in a name of ours.
fn pid_of(name: &str) -> Option<u32> {
    let (pid, id) = name.split_once('-')?;
    let is_id = id.len() == ID_CHARS && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_id { pid.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::DirBuilder;
    use std::os::unix::fs::DirBuilderExt;

    fn entry(path: &Path, id: &str) -> BuildEntry {
        BuildEntry {
            id: id.to_owned(),
            pid: std::process::id(),
            runtime_dir: path.to_owned(),
            machine: String::new(),
            ..BuildEntry::example()
        }
    }

    #[test]
    fn the_dead_are_told_from_the_living_and_from_what_is_not_ours() {
        let place = tempfile::tempdir().unwrap();
        let make = |id: &str| {
            let path = place.path().join(name(std::process::id(), id));
            let entry = entry(&path, id);
            assert!(is_place_of(&entry));
            let dir = RuntimeDir::create(&path, Some(&entry)).unwrap();
            (dir, entry)
        };
        let (_living, _) = make("aaaaaa1");
        let (kept, mut entry) = make("bbbbbb1");
        entry.kept = true;
        kept.keep(&entry).unwrap();
        drop(kept);
        let (done, _) = make("cccccc1");
        drop(done);
        // Killed while it made it: its number is nobody's.
        let half = place.path().join("4194305-dddddd");
        let stranger = place.path().join("4194305-not-ours");
        let full = place.path().join("4194305-eeeeee");
        for dir in [&half, &stranger] {
            DirBuilder::new().mode(0o700).create(dir).unwrap();
        }
        DirBuilder::new().mode(0o700).create(&full).unwrap();
        std::fs::write(full.join("theirs"), "").unwrap();

        let mut found = dead(place.path()).unwrap();
        found.sort_by_key(|left| matches!(left, DeadRuntimeDir::Nameless(_)));
        let [
            DeadRuntimeDir::OfBuild(build),
            DeadRuntimeDir::Nameless(nameless),
        ] = found.as_slice()
        else {
            panic!("{found:?}");
        };
        assert_eq!(build.entry, entry);
        assert_eq!(*nameless, half);
        assert!(dead(&place.path().join("none")).unwrap().is_empty());

        entry.runtime_dir = "/etc".into();
        assert!(!is_place_of(&entry));
    }
}
