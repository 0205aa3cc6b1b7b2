//! The register of builds: which there are, what each has, and where.
//!
//! Every build has a file in the state directory, locked for as long as its process lives. The
//! kernel gives the lock back however that process ends: a file whose lock is free tells of a
//! build that is dead, and all that it has outside memory is named in it. That it is written
//! before anything else is made is what lets nothing be lost.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

/// Name of the register in the state directory.
const DIRECTORY: &str = "builds";

/// What the names of entries end with.
const ENDING: &str = "json";

/// What one build has. Everything that is named here may or may not be there: the entry comes
/// first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
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
    /// The machine that builds ([`crate::host::machine`]): state directories may be shared.
    #[serde(default)]
    pub machine: String,
    /// Whether the user asked to keep what is left of it.
    #[serde(default)]
    pub kept: bool,
}

impl Entry {
    /// Whether another machine builds it: nothing can be said of its processes here.
    pub fn is_elsewhere(&self) -> bool {
        let ours = crate::host::machine();
        !self.machine.is_empty() && !ours.is_empty() && self.machine != ours
    }
}

#[cfg(test)]
impl Entry {
    /// An entry for tests.
    pub fn example() -> Entry {
        Entry {
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
            machine: crate::host::machine(),
            kept: false,
        }
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
    pub entry: Entry,
    /// Its file.
    path: PathBuf,
    /// The lock that its process held: it is dead, and nobody else cleans up after it for as long
    /// as this is held. None if it lives.
    dead: Option<File>,
}

/// Tells whether a build still lives, without reading the register again.
#[derive(Debug)]
pub struct Liveness(File);

/// The entry of a running build: ours. Dropping it takes it out of the register.
#[derive(Debug)]
pub struct Registration {
    path: PathBuf,
    file: File,
    entry: Entry,
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
    pub fn enter(&self, entry: Entry) -> anyhow::Result<Registration> {
        let name = format!("{}-{}", entry.pid, entry.id);
        let aside = self.dir.join(format!(".{name}"));
        let path = self.dir.join(format!("{name}.{ENDING}"));
        let write = || -> anyhow::Result<File> {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&self.dir)?;
            // Nobody may take the file for that of a dead build before it is locked.
            let _entering = self.lock();
            let file = OpenOptions::new()
                .append(true)
                .create_new(true)
                .mode(0o600)
                .open(&aside)?;
            flock(&file, FlockOperation::NonBlockingLockExclusive)?;
            append(&file, &entry)?;
            // Whoever sees the name sees the lock and the whole text.
            std::fs::rename(&aside, &path)?;
            File::open(&self.dir)?.sync_all()?;
            Ok(file)
        };
        let file = write().with_context(|| {
            format!(
                "writing to the register of builds {}, which --state-dir moves",
                self.dir.display()
            )
        })?;
        Ok(Registration {
            path,
            file,
            entry,
            stays: false,
        })
    }

    /// Removes what builds left that were killed while they entered.
    pub fn sweep(&self) {
        let Some(_nobody_enters) = self.lock() else {
            return;
        };
        for entry in std::fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                // What stays is looked at again.
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    /// Keeps others from entering. None where the file system knows no locks of directories, or
    /// there is no register.
    fn lock(&self) -> Option<File> {
        let dir = File::open(&self.dir).ok()?;
        flock(&dir, FlockOperation::LockExclusive).ok()?;
        Some(dir)
    }

    /// All builds in the register, the oldest first. Entries that cannot be read are left out:
    /// they are no register's.
    ///
    /// # Errors
    /// The directory is there and cannot be read.
    pub fn builds(&self) -> anyhow::Result<Vec<Registered>> {
        let entries = match std::fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                return Err(error).with_context(|| format!("reading {}", self.dir.display()));
            }
        };
        let mut builds: Vec<Registered> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|ending| ending == ENDING))
            .filter_map(Registered::read)
            .collect();
        builds.sort_by_key(|build| build.entry.started);
        Ok(builds)
    }
}

impl Registered {
    /// Reads an entry, and locks it if its build is dead. None if it is not one, or not ours.
    pub(super) fn read(path: PathBuf) -> Option<Registered> {
        // Network file systems lock only what may be written.
        let mut file = OpenOptions::new().read(true).write(true).open(&path).ok()?;
        let meta = file.metadata().ok()?;
        if meta.uid() != rustix::process::geteuid().as_raw() {
            return None;
        }
        let dead = flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
        // Somebody else may have removed it while we came to the lock.
        let named = std::fs::metadata(&path).ok()?;
        if (named.dev(), named.ino()) != (meta.dev(), meta.ino()) {
            return None;
        }
        let mut text = String::new();
        file.read_to_string(&mut text).ok()?;
        // The last whole line counts; the one after it may have been cut off by a crash.
        let entry = text
            .lines()
            .rev()
            .find_map(|line| serde_json::from_str(line).ok())?;
        Some(Registered {
            entry,
            path,
            dead: dead.then_some(file),
        })
    }

    /// Whether its process still lives.
    pub fn is_alive(&self) -> bool {
        self.dead.is_none()
    }

    /// What tells when it ends.
    ///
    /// # Errors
    /// Its file is gone: it has ended.
    pub fn pulse(&self) -> anyhow::Result<Liveness> {
        let file = File::open(&self.path).context("the build has just ended")?;
        Ok(Liveness(file))
    }

    /// Takes a dead build out of the register: nothing is left of it.
    ///
    /// # Errors
    /// Its file cannot be removed.
    pub fn forget(self) -> anyhow::Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other.with_context(|| format!("removing {}", self.path.display())),
        }
    }
}

impl Liveness {
    /// Whether the build lives.
    pub fn beats(&self) -> bool {
        let dead = flock(&self.0, FlockOperation::NonBlockingLockShared).is_ok();
        if dead {
            // Whoever cleans up after it is not to take us for it.
            let _ = flock(&self.0, FlockOperation::Unlock);
        }
        !dead
    }
}

impl Registration {
    /// What is registered.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Notes that what the build has is to stay after it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep(&mut self) -> anyhow::Result<()> {
        self.entry.kept = true;
        append(&self.file, &self.entry)?;
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
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Writes an entry at the end of its file; the last whole one counts.
pub(super) fn append(mut file: &File, entry: &Entry) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(entry).context("writing an entry of the register")?;
    line.push(b'\n');
    file.write_all(&line)
        .and_then(|()| file.sync_all())
        .context("writing an entry of the register")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str) -> Entry {
        Entry {
            id: id.to_owned(),
            ..Entry::example()
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
        std::fs::write(register.dir.join(".42-half"), "").unwrap();
        register.sweep();
        assert_eq!(std::fs::read_dir(&register.dir).unwrap().count(), 3);
        let pulse = found[2].pulse().unwrap();
        assert!(pulse.beats());
        // While one cleans up, nobody else takes it for dead.
        let again = register.builds().unwrap();
        assert!(again.iter().all(Registered::is_alive));
        drop(again);
        found.remove(0).forget().unwrap();
        assert_eq!(register.builds().unwrap().len(), 2);
        drop(living);
        assert!(!pulse.beats());
    }

    #[test]
    fn a_line_that_was_cut_off_does_not_count() {
        let state = tempfile::tempdir().unwrap();
        let register = Register::at(state.path());
        let mut build = register.enter(entry("cut")).unwrap();
        build.leave();
        (&build.file).write_all(b"{\"id\":\"cut\",\"ke").unwrap();
        std::fs::write(register.dir.join("strange.json"), "{}").unwrap();
        drop(build);
        let builds = register.builds().unwrap();
        assert_eq!(builds.len(), 1);
        assert_eq!(builds[0].entry, entry("cut"));
        assert!(!builds[0].entry.is_elsewhere());
        let elsewhere = Entry {
            machine: "another".to_owned(),
            ..entry("x")
        };
        assert!(elsewhere.is_elsewhere() || crate::host::machine().is_empty());
    }
}
