//! The register of builds: which there are, what each has, and where.
//!
//! Every build has a file in the state directory, locked for as long as its process lives. A file
//! whose lock is free tells of a build that is dead, and all that it has outside memory is named in
//! it. That it is written before anything else is made is what lets nothing be lost.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context;
use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
use serde::{Deserialize, Serialize};

use super::lock_file::{Access, Asked, LockFile};
use super::owned_dir::{OwnedDir, found, is_refusal};
use crate::hex;

/// Name of the register in the state directory.
const DIRECTORY: &str = "builds";

/// What the names of entries end with.
const ENDING: &str = ".json";

/// How many characters of a digest tell machines apart.
const MACHINE_CHARS: usize = 16;

/// The longest entry that is read: a dozen paths and names, written twice at most.
const MAX_ENTRY: u64 = 64 * 1024;

/// What one build has. Everything that is named here may or may not be there: the entry comes
/// first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildEntry {
    /// The build's own id: the mark on its domain and in its work directory.
    pub id: String,
    /// The process that builds. Says nothing once it is dead: numbers are used again.
    pub pid: u32,
    /// The build's name: that of the image.
    pub name: String,
    /// When it began.
    pub started: SystemTime,
    /// The libvirt connection; none with the driver in the process itself.
    pub connection: Option<String>,
    /// The domain's name.
    pub domain: String,
    /// Sockets and libvirt's private state.
    pub runtime_dir: PathBuf,
    /// Everything unfinished.
    pub work_dir: PathBuf,
    /// The image that it makes.
    pub image: PathBuf,
    /// Where the file system is mounted that holds the work directory: if it is not, nothing can
    /// be said of what is there.
    #[serde(default)]
    pub mount: PathBuf,
    /// The machine that builds ([`machine`]): state directories may be shared.
    #[serde(default)]
    pub machine: String,
    /// Whether the user asked to keep what is left of it.
    #[serde(default)]
    pub kept: bool,
}

impl BuildEntry {
    /// Whether another machine builds it: nothing can be said of its processes here.
    pub fn is_elsewhere(&self) -> bool {
        let ours = machine();
        !self.machine.is_empty() && !ours.is_empty() && self.machine != ours
    }

    /// Where the file system of the build's work directory would be mounted, if it is not.
    pub fn missing_mount(&self) -> Option<&Path> {
        let is_there = self.mount.as_os_str().is_empty()
            || self.work_dir.exists()
            || mount_of(&self.work_dir) == self.mount;
        (!is_there).then_some(self.mount.as_path())
    }
}

/// The register.
#[derive(Debug, Clone)]
pub struct Register {
    dir: PathBuf,
}

/// A build that is in the register.
#[derive(Debug)]
pub struct Registered {
    /// What it has.
    pub entry: BuildEntry,
    /// Its file.
    file: Place,
    /// The lock that its process held: it is dead, and nobody else cleans up after it for as long
    /// as this is held. None if it lives.
    dead: Option<LockFile>,
}

/// Where an entry's file is.
#[derive(Debug, Clone)]
struct Place {
    dir: Arc<OwnedDir>,
    name: String,
}

/// Tells whether a build still lives, without reading the register again.
#[derive(Debug)]
pub struct Liveness(Place);

/// The entry of a running build: ours. Dropping it takes it out of the register.
#[derive(Debug)]
pub struct Registration {
    file: Place,
    lock: LockFile,
    entry: BuildEntry,
    stays: bool,
}

impl Register {
    /// The register in a state directory. It may not exist.
    pub fn at(state_dir: &Path) -> Register {
        Register {
            dir: state_dir.join(DIRECTORY),
        }
    }

    /// Enters a build: when this returns, whoever comes after a crash finds it.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub fn enter(&self, entry: BuildEntry) -> anyhow::Result<Registration> {
        let name = format!("{}-{}{ENDING}", entry.pid, entry.id);
        let write = || -> anyhow::Result<Registration> {
            let dir = OwnedDir::create(&self.dir, 0o700)?;
            let lock = LockFile::take_own(&dir, &name)?;
            append(&lock, &entry)?;
            rustix::fs::fsync(&dir)?;
            let dir = Arc::new(dir);
            Ok(Registration {
                file: Place { dir, name },
                lock,
                entry,
                stays: false,
            })
        };
        write().with_context(|| {
            format!(
                "writing to the register of builds {}, which --state-dir moves",
                self.dir.display()
            )
        })
    }

    /// All builds in the register, the oldest first. What is no entry is left out; an empty one,
    /// whose build was killed while it entered, is removed.
    ///
    /// # Errors
    /// The directory is there and cannot be read, or is not ozr's own.
    pub fn builds(&self) -> anyhow::Result<Vec<Registered>> {
        let read = || -> io::Result<Vec<Registered>> {
            let Some(dir) = found(OwnedDir::open(&self.dir))?.map(Arc::new) else {
                return Ok(Vec::new());
            };
            let mut builds = Vec::new();
            for name in dir.names()? {
                let Some(name) = name.to_str().filter(|name| name.ends_with(ENDING)) else {
                    continue;
                };
                builds.extend(Registered::read(&dir, name)?);
            }
            Ok(builds)
        };
        let mut builds = read().with_context(|| format!("reading {}", self.dir.display()))?;
        builds.sort_by_key(|build| build.entry.started);
        Ok(builds)
    }
}

impl Registered {
    /// Reads an entry, and locks it if its build is dead. None if it is not one, or not ours.
    ///
    /// # Errors
    /// It can be neither read nor locked.
    pub(super) fn read(dir: &Arc<OwnedDir>, name: &str) -> io::Result<Option<Registered>> {
        let asked = match LockFile::ask(dir, name, Access::Exclusive) {
            // Somebody else's file is no entry.
            Err(error) if is_refusal(&error) => return Ok(None),
            other => other?,
        };
        let dead = match asked {
            Asked::Missing => return Ok(None),
            Asked::Held => None,
            Asked::Taken(lock) => Some(lock),
        };
        let Some(text) = found(dir.read(name, MAX_ENTRY))? else {
            // It has just ended.
            return Ok(None);
        };
        if text.is_empty() && dead.is_some() {
            // Should it live, it makes another: it has not got its lock yet.
            dir.remove_file(name)?;
        }
        // The last whole line counts; the one after it may have been cut off by a crash.
        let mut lines = text.rsplit(|byte| *byte == b'\n');
        let entry = lines.find_map(|line| serde_json::from_slice(line).ok());
        Ok(entry.map(|entry| Registered {
            entry,
            file: Place {
                dir: Arc::clone(dir),
                name: name.to_owned(),
            },
            dead,
        }))
    }

    /// Whether its process still lives.
    pub fn is_alive(&self) -> bool {
        self.dead.is_none()
    }

    /// What tells when it ends.
    pub fn liveness(&self) -> Liveness {
        Liveness(self.file.clone())
    }

    /// Takes a dead build out of the register: nothing is left of it.
    ///
    /// # Errors
    /// Its file cannot be removed.
    pub fn forget(self) -> anyhow::Result<()> {
        let Place { dir, name } = &self.file;
        dir.remove_file(name)
            .with_context(|| format!("removing {}", dir.join(name).display()))
    }
}

impl Liveness {
    /// Whether the build lives.
    pub fn is_alive(&self) -> bool {
        let Place { dir, name } = &self.0;
        // Shared, so that two who look do not take each other for the build.
        matches!(LockFile::ask(dir, name, Access::Shared), Ok(Asked::Held))
    }
}

impl Registration {
    /// What is registered.
    pub fn entry(&self) -> &BuildEntry {
        &self.entry
    }

    /// Notes that what the build has is to stay after it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep(&mut self) -> anyhow::Result<()> {
        self.entry.kept = true;
        append(&self.lock, &self.entry)?;
        self.stays = true;
        Ok(())
    }

    /// Leaves the entry where it is when this value is dropped: something could not be removed,
    /// and the next one is to try.
    pub fn leave(&mut self) {
        self.stays = true;
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if !self.stays {
            // Nobody is left to tell; the next build finds it and nothing of what it names.
            let _ = self.file.dir.remove_file(&self.file.name);
        }
    }
}

/// Writes an entry at the end of its file; the last whole one counts.
pub(super) fn append(lock: &LockFile, entry: &BuildEntry) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(entry).context("writing an entry of the register")?;
    line.push(b'\n');
    lock.append(&line)
        .context("writing an entry of the register")
}

/// What tells this machine from others with which it may share a directory; empty where nothing
/// does. Not machine-id(5) itself, which is nobody else's business.
pub fn machine() -> String {
    let id = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
    match id.trim() {
        "" => String::new(),
        id => hex::sha256(format!("ozr {id}"))
            .chars()
            .take(MACHINE_CHARS)
            .collect(),
    }
}

/// Where the file system is mounted that holds `path`, or will hold it once it exists.
pub fn mount_of(path: &Path) -> PathBuf {
    let existing = path
        .ancestors()
        .find_map(|ancestor| std::fs::canonicalize(ancestor).ok());
    existing
        .iter()
        .flat_map(|path| path.ancestors())
        .find(|ancestor| is_mount_root(ancestor))
        .unwrap_or(Path::new("/"))
        .to_path_buf()
}

/// Whether something is mounted there (kernels say it since 5.8; for older ones all is one).
fn is_mount_root(path: &Path) -> bool {
    statx(CWD, path, AtFlags::empty(), StatxFlags::empty())
        .is_ok_and(|about| about.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

#[cfg(test)]
mod tests {
    use super::*;

    impl BuildEntry {
        /// An entry for tests.
        pub fn example() -> BuildEntry {
            BuildEntry {
                id: "abcdef".to_owned(),
                pid: 42,
                name: "rocky".to_owned(),
                started: SystemTime::UNIX_EPOCH,
                connection: None,
                domain: "ozr-rocky".to_owned(),
                runtime_dir: "/run/ozr/42-x".into(),
                work_dir: "/srv/.rocky.ozr".into(),
                image: "/srv/rocky.qcow2".into(),
                mount: "/".into(),
                machine: machine(),
                kept: false,
            }
        }
    }

    fn entry(id: &str) -> BuildEntry {
        BuildEntry {
            id: id.to_owned(),
            ..BuildEntry::example()
        }
    }

    #[test]
    fn the_living_the_dead_and_the_kept() {
        let state = tempfile::tempdir().unwrap();
        let register = Register::at(state.path());
        assert!(register.builds().unwrap().is_empty(), "there is none yet");
        let living = register.enter(entry("living")).unwrap();
        let mut dead = register.enter(entry("dead")).unwrap();
        dead.leave();
        drop(dead);
        let mut kept = register.enter(entry("kept")).unwrap();
        kept.keep().unwrap();
        drop(kept);
        drop(register.enter(entry("done")).unwrap());

        let mut found = register.builds().unwrap();
        found.sort_by(|a, b| a.entry.id.cmp(&b.entry.id));
        let of = |build: &Registered| (build.entry.id.clone(), build.is_alive(), build.entry.kept);
        assert_eq!(
            found.iter().map(of).collect::<Vec<_>>(),
            [
                ("dead".to_owned(), false, false),
                ("kept".to_owned(), false, true),
                ("living".to_owned(), true, false),
            ]
        );
        // One that was killed while it entered.
        std::fs::write(register.dir.join("42-half.json"), "").unwrap();
        assert_eq!(register.builds().unwrap().len(), 3);
        assert_eq!(std::fs::read_dir(&register.dir).unwrap().count(), 3);
        let liveness = found[2].liveness();
        assert!(liveness.is_alive());
        // While one cleans up, nobody else takes it for dead.
        let again = register.builds().unwrap();
        assert!(again.iter().all(Registered::is_alive));
        drop(again);
        found.remove(0).forget().unwrap();
        assert_eq!(register.builds().unwrap().len(), 2);
        drop(living);
        assert!(!liveness.is_alive());
    }

    #[test]
    fn a_line_that_was_cut_off_does_not_count() {
        let state = tempfile::tempdir().unwrap();
        let register = Register::at(state.path());
        let mut build = register.enter(entry("cut")).unwrap();
        build.leave();
        build.lock.append(b"{\"id\":\"cut\",\"ke").unwrap();
        std::fs::write(register.dir.join("strange.json"), "{}").unwrap();
        drop(build);
        let builds = register.builds().unwrap();
        assert_eq!(builds.len(), 1);
        assert_eq!(builds[0].entry, entry("cut"));
        assert!(!builds[0].entry.is_elsewhere());
        let elsewhere = BuildEntry {
            machine: "another".to_owned(),
            ..entry("x")
        };
        assert!(elsewhere.is_elsewhere() || machine().is_empty());
    }

    #[test]
    fn mounts_are_found() {
        assert_eq!(mount_of(Path::new("/")), Path::new("/"));
        assert_eq!(
            mount_of(Path::new("/proc/self/fd/none")),
            Path::new("/proc")
        );
        assert_eq!(mount_of(Path::new("/no/such/thing")), Path::new("/"));
        // A build whose file system is not mounted is not one that left nothing.
        for (mount, work_dir, missing) in [
            ("/mnt/image", "/mnt/image/.a.ozr", Some("/mnt/image")),
            ("/mnt/image", "/proc/self", None),
            ("/", "/no/such/.a.ozr", None),
            ("", "/no/such/.a.ozr", None),
        ] {
            let entry = BuildEntry {
                mount: mount.into(),
                work_dir: work_dir.into(),
                ..BuildEntry::example()
            };
            assert_eq!(
                entry.missing_mount(),
                missing.map(Path::new),
                "{mount} {work_dir}"
            );
        }
    }
}
