//! The build's own short-lived directory: sockets and libvirt's private state.
//!
//! It holds a file that is locked for as long as its process lives and says what build it is: who
//! finds the directory without the [register](super::register) can tell from it alone whose it is,
//! and whether that build is dead.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use rustix::fs::{FlockOperation, flock};

use super::directories;
use super::register::{Entry, Registered, append};

/// How much of a build's id is in the directory's name: with the process number it is unique, and
/// a unix socket's path holds at most 107 bytes (unix(7)).
const ID_CHARS: usize = 6;

/// The file that says whose it is, and is locked.
const MARK: &str = "build.json";

/// A directory of one build, mode 0700; dropping it removes it with all that it holds.
#[derive(Debug)]
pub struct RuntimeDir {
    path: PathBuf,
    mark: File,
    keep: AtomicBool,
}

/// What a dead process left of its runtime directory.
#[derive(Debug)]
pub enum Abandoned {
    /// That of a build, locked so that nobody else removes it.
    Build(Box<Registered>),
    /// One that was not a build's, or not yet.
    Nameless(PathBuf, Option<File>),
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
    pub fn create(path: PathBuf, entry: Option<&Entry>) -> anyhow::Result<Self> {
        let make = || -> anyhow::Result<File> {
            // Nobody may take it for abandoned before it is marked.
            let _making = path.parent().and_then(lock);
            DirBuilder::new().mode(0o700).create(&path)?;
            let mark = OpenOptions::new()
                .append(true)
                .create_new(true)
                .mode(0o600)
                .open(path.join(MARK))?;
            flock(&mark, FlockOperation::NonBlockingLockExclusive)?;
            if let Some(entry) = entry {
                append(&mark, entry)?;
            }
            Ok(mark)
        };
        let mark = make().with_context(|| format!("creating {}", path.display()))?;
        Ok(RuntimeDir {
            path,
            mark,
            keep: AtomicBool::new(false),
        })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the directory where it is when this value is dropped; `entry` says that it was kept.
    ///
    /// # Errors
    /// That cannot be noted in it; it is removed then.
    pub fn keep(&self, entry: &Entry) -> anyhow::Result<()> {
        append(&self.mark, entry)?;
        self.keep.store(true, Ordering::SeqCst);
        Ok(())
    }
}

impl Drop for RuntimeDir {
    fn drop(&mut self) {
        if !self.keep.load(Ordering::SeqCst) {
            // Nobody is left to tell, and the directory's file system is in memory.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// Whether a build's entry names its runtime directory as [`RuntimeDir::place`] does: what else
/// stands there is not removed.
pub fn is_place_of(entry: &Entry) -> bool {
    let own = name(entry.pid, &entry.id);
    entry.runtime_dir.is_absolute()
        && entry
            .runtime_dir
            .file_name()
            .is_some_and(|name| name == own.as_str())
}

/// The runtime directories in `place` that dead processes left: this user's own, with the names
/// that ours have, and nobody holds the lock in them.
pub fn abandoned(place: &Path) -> Vec<Abandoned> {
    let Some(_nobody_makes_one) = lock(place) else {
        return Vec::new();
    };
    let entries = std::fs::read_dir(place).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid = pid_of(entry.file_name().to_str()?)?;
            let meta = entry.metadata().ok()?;
            let ours = meta.is_dir()
                && meta.uid() == rustix::process::geteuid().as_raw()
                && meta.mode() & 0o077 == 0;
            if ours {
                is_left(entry.path(), pid)
            } else {
                None
            }
        })
        .collect()
}

fn is_left(path: PathBuf, pid: u32) -> Option<Abandoned> {
    let mark = path.join(MARK);
    let file = OpenOptions::new().read(true).write(true).open(&mark);
    let Ok(file) = file else {
        // Its process is about to remove it, or was killed while it made it.
        let lives = Path::new("/proc").join(pid.to_string()).exists();
        return (!lives).then_some(Abandoned::Nameless(path, None));
    };
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return None;
    }
    if file.metadata().is_ok_and(|meta| meta.len() == 0) {
        return Some(Abandoned::Nameless(path, Some(file)));
    }
    // Taken again by whoever reads it, while nobody else can look.
    drop(file);
    let build = Registered::read(mark)?;
    (!build.is_alive() && build.entry.runtime_dir == path)
        .then(|| Abandoned::Build(Box::new(build)))
}

/// Keeps others from making or looking for runtime directories in `place`; none where there is
/// none, or it knows no locks.
fn lock(place: &Path) -> Option<File> {
    let place = File::open(place).ok()?;
    flock(&place, FlockOperation::LockExclusive).ok()?;
    Some(place)
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
    use std::time::SystemTime;

    fn entry(path: &Path, id: &str) -> Entry {
        Entry {
            id: id.to_owned(),
            pid: std::process::id(),
            name: "rocky".to_owned(),
            started: SystemTime::UNIX_EPOCH,
            connection: None,
            domain: "ozr-rocky".to_owned(),
            runtime_dir: path.to_owned(),
            work_dir: "/srv/.rocky.ozr".into(),
            image: "/srv/rocky.qcow2".into(),
            mount: "/".into(),
            machine: String::new(),
            kept: false,
        }
    }

    #[test]
    fn the_dead_are_told_from_the_living_and_from_what_is_not_ours() {
        let place = tempfile::tempdir().unwrap();
        let make = |id: &str| {
            let path = place.path().join(name(std::process::id(), id));
            let entry = entry(&path, id);
            assert!(is_place_of(&entry));
            let dir = RuntimeDir::create(path, Some(&entry)).unwrap();
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
        let open = place.path().join("4194305-eeeeee");
        for dir in [&half, &stranger] {
            DirBuilder::new().mode(0o700).create(dir).unwrap();
        }
        DirBuilder::new().mode(0o755).create(&open).unwrap();

        let mut found = abandoned(place.path());
        found.sort_by_key(|left| matches!(left, Abandoned::Nameless(..)));
        let [Abandoned::Build(build), Abandoned::Nameless(nameless, None)] = found.as_slice()
        else {
            panic!("{found:?}");
        };
        assert_eq!(build.entry, entry);
        assert_eq!(*nameless, half);
        assert!(abandoned(&place.path().join("none")).is_empty());

        entry.runtime_dir = "/etc".into();
        assert!(!is_place_of(&entry));
    }
}
