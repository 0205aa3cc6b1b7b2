//! Where saved installers lie: a directory in the cache that is this user's alone, with two files for each, called after
//! its key: the guest's state, and what is known of it. A state is code that will run: nothing of it is loaded unless
//! the directory, the files, their owner and modes, size, digest and age are as they were left.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use crate::error::{Classify, Kind};
use crate::host::{GuestPaths, SavedGuest};
use crate::image::checksum;
use crate::state::{Access, LockFile, OwnedDir};

/// Name of the directory in the cache.
const DIRECTORY: &str = "installers";

/// Endings of the files of a key: the state, what is known of it, the lock, a state that is being saved.
const STATE: &str = "state";
const RECORD: &str = "json";
const LOCK: &str = "lock";
const PART: &str = "part";

/// The version of the record.
const SCHEMA: u32 = 1;

/// Most bytes of a record.
const MAX_RECORD: u64 = 1 << 20;

/// The age after which a state is no longer loaded, but made anew: an installer that stood still for longer has
/// never been tried, and what it asks changes.
pub const MAX_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long a state that another process makes or loads is waited for: the longest boot of an installer that
/// was measured (277 s in software emulation), on a machine that does two of them.
const LOCK_PATIENCE: Duration = Duration::from_secs(600);

/// What is known of a saved installer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    schema: u32,
    /// Its key.
    pub key: String,
    /// The release that it installs, as people call it.
    pub release: String,
    /// What the key is made of, by name.
    pub parts: BTreeMap<String, String>,
    /// When it was saved, in seconds since 1970.
    pub created: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// The digest of the state.
    pub sha256: String,
    /// libvirt's name of the guest.
    guest: String,
    /// What the guest's files and sockets were.
    paths: GuestPaths,
}

impl Record {
    /// How old it is.
    pub fn age(&self) -> Duration {
        now().saturating_sub(Duration::from_secs(self.created))
    }
}

/// The saved installers of this user.
#[derive(Debug)]
pub struct States {
    dir: OwnedDir,
}

impl States {
    /// Opens the directory, which is made if need be, and removes what killed processes left unfinished in it.
    ///
    /// # Errors
    /// Host: it cannot be made, or is not this user's alone.
    pub fn open(cache_dir: &Path) -> anyhow::Result<States> {
        let path = cache_dir.join(DIRECTORY);
        let open = || {
            let dir = OwnedDir::create(&path, 0o700)?;
            let mode = std::fs::metadata(dir.path())?.mode();
            ensure!(mode & 0o077 == 0, "others may look into it");
            Ok(dir)
        };
        let dir = open().with_context(|| format!("opening {}", path.display()));
        let states = States {
            dir: dir.kind(Kind::Host)?,
        };
        states.remove_parts();
        Ok(states)
    }

    /// The same where it is there already.
    ///
    /// # Errors
    /// As [`States::open`].
    pub fn find(cache_dir: &Path) -> anyhow::Result<Option<States>> {
        match cache_dir.join(DIRECTORY).symlink_metadata() {
            Ok(_) => States::open(cache_dir).map(Some),
            Err(_) => Ok(None),
        }
    }

    fn remove_parts(&self) {
        let known = self.keys(RECORD);
        let unknown = self.keys(STATE).into_iter();
        let unknown = unknown.filter(|key| !known.contains(key));
        for key in self.keys(PART).into_iter().chain(unknown) {
            // Whoever saves it holds the lock.
            if let Ok(Some(_lock)) = self.try_lock(&key) {
                let _ = self.dir.remove_file(name(&key, PART));
                if self.record(&key).is_none() {
                    let _ = self.remove(&key);
                }
            }
        }
    }

    /// The keys of the files with this ending.
    fn keys(&self, ending: &str) -> Vec<String> {
        let names = self.dir.names().unwrap_or_default();
        let key = |name: OsString| {
            let name = name.into_string().ok()?;
            let (key, its) = name.split_once('.')?;
            (its == ending).then(|| key.to_owned())
        };
        names.into_iter().filter_map(key).collect()
    }

    fn try_lock(&self, key: &str) -> std::io::Result<Option<LockFile>> {
        LockFile::try_take(&self.dir, &name(key, LOCK), Access::Exclusive)
    }

    /// Takes the lock of a state, which is held while it is made, read or removed. `held` is called where another
    /// process has it.
    ///
    /// # Errors
    /// Host: it is held for too long.
    pub async fn lock(&self, key: &str, mut held: impl FnMut()) -> anyhow::Result<LockFile> {
        let mut told = false;
        let held = || {
            if !std::mem::replace(&mut told, true) {
                held();
            }
        };
        LockFile::take(
            &self.dir,
            &name(key, LOCK),
            Access::Exclusive,
            LOCK_PATIENCE,
            held,
        )
        .await
        .context("waiting for the saved installer")
        .kind(Kind::Host)
    }

    /// What is known of the state of this key, if there is one.
    pub fn record(&self, key: &str) -> Option<Record> {
        let bytes = self.dir.read(name(key, RECORD), MAX_RECORD).ok()?;
        let record: Record = serde_json::from_slice(&bytes).ok()?;
        (record.schema == SCHEMA && record.key == key).then_some(record)
    }

    /// Whether anything is there by this key.
    pub fn has(&self, key: &str) -> bool {
        let is_there = |ending| self.dir.join(name(key, ending)).symlink_metadata().is_ok();
        is_there(STATE) || is_there(RECORD)
    }

    /// All of which something is known, the newest first.
    pub fn list(&self) -> Vec<Record> {
        let keys = self.keys(RECORD);
        let mut records: Vec<Record> = keys.iter().filter_map(|key| self.record(key)).collect();
        records.sort_by_key(|record| std::cmp::Reverse(record.created));
        records
    }

    /// Where the state of this key is.
    pub fn path(&self, key: &str) -> PathBuf {
        self.dir.join(name(key, STATE))
    }

    /// Makes sure that a state is what was saved, whole and ours. The file that was looked at: what is loaded is
    /// to be it.
    ///
    /// # Errors
    /// Why it must not be loaded.
    pub async fn verified(&self, key: &str) -> anyhow::Result<(File, SavedGuest)> {
        let record = self.record(key).context("nothing is known of it")?;
        let age = record.age();
        ensure!(
            age <= MAX_AGE,
            "it is {} days old",
            age.as_secs() / (24 * 60 * 60)
        );
        let file = self.dir.file(name(key, STATE), false)?;
        let there = file.metadata()?;
        ensure!(there.mode() & 0o077 == 0, "others may read or write it");
        ensure!(
            there.len() == record.bytes,
            "it has {} bytes instead of {}",
            there.len(),
            record.bytes
        );
        let (digest, _) = checksum::sha256(&file).await?;
        ensure!(digest == record.sha256, "its contents were changed");
        let saved = SavedGuest {
            file: self.path(key),
            name: record.guest,
            paths: record.paths,
        };
        Ok((file, saved))
    }

    /// An empty file for a state that is to be saved; the caller holds the lock.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn begin(&self, key: &str) -> anyhow::Result<PathBuf> {
        self.dir.remove_file(name(key, PART))?;
        drop(self.dir.file(name(key, PART), true)?);
        Ok(self.dir.join(name(key, PART)))
    }

    /// Keeps the state that was saved to the file of [`States::begin`]; the caller holds the lock.
    ///
    /// # Errors
    /// It cannot be read or written; nothing is kept then.
    pub async fn keep(
        &self,
        key: &str,
        saved: &SavedGuest,
        release: String,
        parts: BTreeMap<String, String>,
    ) -> anyhow::Result<Record> {
        let file = self.dir.file(name(key, PART), false)?;
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        file.sync_all()?;
        let (sha256, bytes) = checksum::sha256(&file).await?;
        let record = Record {
            schema: SCHEMA,
            key: key.to_owned(),
            release,
            parts,
            created: now().as_secs(),
            bytes,
            sha256,
            guest: saved.name.clone(),
            paths: saved.paths.clone(),
        };
        // An older state without its record is nothing that could be loaded.
        self.dir.remove_file(name(key, RECORD))?;
        rustix::fs::renameat(&self.dir, name(key, PART), &self.dir, name(key, STATE))?;
        let json = serde_json::to_vec(&record)?;
        self.dir.replace(&name(key, RECORD), &json)?;
        Ok(record)
    }

    /// Removes the state of a key, and what is known of it. A link is removed, not what it leads to.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub fn remove(&self, key: &str) -> std::io::Result<()> {
        self.dir.remove_file(name(key, RECORD))?;
        self.dir.remove_file(name(key, PART))?;
        self.dir.remove_file(name(key, STATE))
    }

    /// Removes those that are older than `age`, and then the oldest until no more than `bytes` are left; what was
    /// removed, and how many bytes stay. None that is being used.
    ///
    /// # Errors
    /// Something cannot be removed.
    pub fn prune(&self, age: Duration, bytes: Option<u64>) -> std::io::Result<(Vec<Record>, u64)> {
        let (mut removed, mut left) = (Vec::new(), 0_u64);
        for record in self.list() {
            let crowded = bytes.is_some_and(|bytes| left.saturating_add(record.bytes) > bytes);
            if (record.age() > age || crowded)
                && let Some(_lock) = self.try_lock(&record.key)?
            {
                self.remove(&record.key)?;
                removed.push(record);
            } else {
                left = left.saturating_add(record.bytes);
            }
        }
        Ok((removed, left))
    }
}

fn name(key: &str, ending: &str) -> String {
    format!("{key}.{ending}")
}

fn now() -> Duration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    const KEY: &str = "0123";

    async fn kept(cache: &Path) -> States {
        let states = States::open(cache).unwrap();
        let part = states.begin(KEY).unwrap();
        std::fs::write(&part, "the memory of a guest").unwrap();
        let saved = SavedGuest {
            file: part,
            name: "ozr-a".to_owned(),
            paths: GuestPaths::default(),
        };
        let parts = BTreeMap::new();
        states
            .keep(KEY, &saved, "EL 9".to_owned(), parts)
            .await
            .unwrap();
        states
    }

    async fn refused(states: &States) -> String {
        let refused = states.verified(KEY).await.map(drop);
        format!("{:#}", refused.unwrap_err())
    }

    #[tokio::test]
    async fn what_is_not_as_it_was_left_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let other = dir.path().join("other");
        type Change<'a> = &'a dyn Fn(&Path);
        let changes: [(&str, Change<'_>); 6] = [
            ("instead of", &|file| {
                std::fs::write(file, "the memory").unwrap()
            }),
            ("its contents were changed", &|file| {
                std::fs::write(file, "the memory of another").unwrap();
            }),
            ("others may read", &|file| {
                std::fs::set_permissions(file, Permissions::from_mode(0o644)).unwrap();
            }),
            ("it is no file", &|file| {
                std::fs::rename(file, &other).unwrap();
                symlink(&other, file).unwrap();
            }),
            ("second name", &|file| {
                std::fs::hard_link(file, dir.path().join("second")).unwrap();
            }),
            ("nothing is known", &|file| {
                std::fs::write(file.with_extension(RECORD), "{}").unwrap();
            }),
        ];
        for (words, change) in changes {
            let states = kept(dir.path()).await;
            let (_, saved) = states.verified(KEY).await.unwrap();
            assert_eq!(saved.name, "ozr-a");
            change(&states.path(KEY));
            let why = refused(&states).await;
            assert!(why.contains(words), "{words}: {why}");
            states.remove(KEY).unwrap();
            assert!(!states.has(KEY));
        }
        if rustix::process::geteuid().is_root() {
            let states = kept(dir.path()).await;
            std::os::unix::fs::chown(states.path(KEY), Some(65534), None).unwrap();
            let why = refused(&states).await;
            assert!(why.contains("belongs to another user"), "{why}");
        }
    }

    #[tokio::test]
    async fn old_ones_are_refused_and_go_first() {
        let dir = tempfile::tempdir().unwrap();
        let states = kept(dir.path()).await;
        let mut record = states.record(KEY).unwrap();
        let (removed, left) = states.prune(MAX_AGE, None).unwrap();
        assert!(removed.is_empty() && left == record.bytes);
        record.created -= MAX_AGE.as_secs() + 1;
        let json = serde_json::to_vec(&record).unwrap();
        states.dir.replace(&name(KEY, RECORD), &json).unwrap();
        assert_eq!(refused(&states).await, "it is 7 days old");
        let (removed, left) = states.prune(MAX_AGE, None).unwrap();
        assert_eq!((removed.len(), left), (1, 0));
        assert!(!states.has(KEY));
        let states = kept(dir.path()).await;
        let (removed, _) = states.prune(MAX_AGE, Some(3)).unwrap();
        assert_eq!(removed.len(), 1, "there is no room for it");
    }

    #[tokio::test]
    async fn what_killed_processes_left_goes_and_what_is_being_saved_stays() {
        let dir = tempfile::tempdir().unwrap();
        let states = kept(dir.path()).await;
        let lock = states.lock("4567", || ()).await.unwrap();
        let saving = states.begin("4567").unwrap();
        let left = states.begin("89ab").unwrap();
        let lone = states.path("cdef");
        std::fs::write(&lone, "x").unwrap();
        let states = States::open(dir.path()).unwrap();
        assert!(saving.exists() && !left.exists() && !lone.exists());
        drop(lock);
        let states = States::open(states.dir.path().parent().unwrap()).unwrap();
        assert!(!saving.exists());
        assert!(states.verified(KEY).await.is_ok());
        std::fs::set_permissions(states.dir.path(), Permissions::from_mode(0o755)).unwrap();
        assert!(States::open(dir.path()).is_err(), "others may look");
    }
}
