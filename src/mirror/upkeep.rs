//! `ozr cache`: what the cache holds, whether it is right, and making room.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Context;

use serde::{Deserialize, Serialize};

use super::cache::{Cache, CacheEntry, PINS, hash_file, now, read_json, write_whole};
use super::ledger::Traffic;
use super::locked::Lock;
use super::verify::Expect;
use crate::error::{Classify, Kind};
use crate::hex;

/// What `prune` removes: the union of what its rules name.
#[derive(Debug, Clone, Default)]
pub struct PruneRules {
    /// Files that no build took for this long.
    pub unused_for: Option<Duration>,
    /// The longest unused files, until the rest has no more bytes than this.
    pub max_bytes: Option<u64>,
}

/// What a removal did.
#[derive(Debug, Clone, Default)]
pub struct Removal {
    /// Removed downloads.
    pub removed: Vec<CacheEntry>,
    /// Downloads that stayed because a running build claims them.
    pub kept_in_use: Vec<CacheEntry>,
    /// Downloads that stayed because a lock file names them.
    pub kept_for_locks: usize,
    /// Bytes that were freed, unfinished downloads included.
    pub bytes: u64,
}

/// `totals.json`
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Builds whose guests took packages through the cache.
    pub builds: u64,
    /// All of their traffic.
    pub traffic: Traffic,
}

/// What the cache holds, in numbers.
#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// Downloads.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of unfinished downloads.
    pub unfinished: u64,
    /// Downloads that running builds use.
    pub in_use: usize,
    /// Lock files whose contents are kept, with what of each is here: files and how many it names.
    pub locks: Vec<(PathBuf, usize, usize)>,
    /// What builds took.
    pub totals: Totals,
}

/// What looking at every byte showed.
#[derive(Debug, Clone, Default)]
pub struct Verified {
    /// Downloads that are right.
    pub right: usize,
    /// Those that were not, and are gone.
    pub damaged: Vec<CacheEntry>,
    /// Records whose content was not there, and are gone.
    pub lost: usize,
}

/// `pins/KEY.json`
#[derive(Debug, Serialize, Deserialize)]
struct Pin {
    lock: PathBuf,
}

impl Cache {
    /// Keeps what a lock file names for as long as that is where it is.
    ///
    /// # Errors
    /// That cannot be noted.
    pub fn pin(&self, lock: &Path) -> anyhow::Result<()> {
        let lock = std::path::absolute(lock)?;
        let name = format!("{}.json", hex::sha256(lock.as_os_str().as_encoded_bytes()));
        let json = serde_json::to_vec(&Pin { lock })?;
        let pins = self.directory(PINS)?;
        write_whole(&pins.join(name), &json).context("noting a lock file")
    }

    /// The lock files that are still there; the others are forgotten.
    fn pinned(&self) -> Vec<(PathBuf, Lock)> {
        let Ok(pins) = self.directory(PINS) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for name in pins.names().unwrap_or_default() {
            let Some(pin) = read_json::<Pin>(&pins.join(&name)) else {
                continue;
            };
            match Lock::read(&pin.lock) {
                Ok(lock) => found.push((pin.lock, lock)),
                Err(_) if !pin.lock.exists() => {
                    let _ = pins.remove_file(&name);
                }
                Err(_) => {}
            }
        }
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        found
    }

    /// Adds what a build took to the sums.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn add_traffic(&self, traffic: &Traffic) -> anyhow::Result<()> {
        let Some(_lock) = self.try_lock("totals")? else {
            // Another build does the same now: one is lost, and nothing depends on it.
            return Ok(());
        };
        let path = self.totals_path();
        let mut totals = read_json::<Totals>(&path).unwrap_or_default();
        totals.builds += 1;
        let sum = &mut totals.traffic;
        sum.requests += traffic.requests;
        sum.fetched += traffic.fetched;
        sum.served += traffic.served;
        sum.cached += traffic.cached;
        sum.ahead += traffic.ahead;
        sum.seconds += traffic.seconds;
        Ok(write_whole(&path, &serde_json::to_vec(&totals)?)?)
    }

    fn totals_path(&self) -> PathBuf {
        self.path("totals.json")
    }

    /// What it holds, in numbers.
    ///
    /// # Errors
    /// A cache directory that cannot be read.
    pub fn stats(&self) -> anyhow::Result<Stats> {
        let entries = self.list()?;
        let mut bytes = BTreeMap::new();
        for entry in &entries {
            bytes.insert(entry.sha256.as_str(), entry.bytes);
        }
        let parts = self.directory("parts").context("reading the cache")?;
        let names = parts.names().context("reading the cache")?;
        let sizes = names
            .iter()
            .filter_map(|name| parts.join(name).metadata().ok());
        let locks = self.pinned().into_iter().map(|(path, lock)| {
            let here = |file: &&super::Taken| self.content_path(&file.sha256).exists();
            let count = lock.files.iter().filter(here).count();
            (path, count, lock.files.len())
        });
        Ok(Stats {
            files: bytes.len(),
            bytes: bytes.values().sum(),
            unfinished: sizes.map(|metadata| metadata.len()).sum(),
            in_use: entries.iter().filter(|entry| entry.in_use).count(),
            locks: locks.collect(),
            totals: read_json(&self.totals_path()).unwrap_or_default(),
        })
    }

    /// Reads every byte, and removes what is not what its name says.
    ///
    /// # Errors
    /// A cache directory that cannot be read, a file that cannot be removed.
    pub async fn verify(&self) -> anyhow::Result<Verified> {
        let mut verified = Verified::default();
        let mut right = BTreeMap::new();
        for (record, entry) in self.records()? {
            let path = self.content_path(&entry.sha256);
            let is_right = match right.get(&entry.sha256) {
                Some(is_right) => *is_right,
                None if !path.exists() => {
                    // One that is just being fetched anew has its lock.
                    let hex = record.file_stem().unwrap_or_default().to_string_lossy();
                    if let Some(_lock) = self.try_lock(&hex).kind(Kind::Host)? {
                        std::fs::remove_file(&record).kind(Kind::Host)?;
                        verified.lost += 1;
                    }
                    continue;
                }
                None => {
                    let (digests, _) = hash_file(&path, Expect::Any, None)
                        .await
                        .map_err(super::Fault::into_error)?;
                    let is_right = digests.sha256 == entry.sha256;
                    right.insert(entry.sha256.clone(), is_right);
                    is_right
                }
            };
            if is_right {
                continue;
            }
            std::fs::remove_file(&record).kind(Kind::Host)?;
            if path.exists() {
                std::fs::remove_file(&path).kind(Kind::Host)?;
            }
            verified.damaged.push(entry);
        }
        verified.right = right.values().filter(|is_right| **is_right).count();
        Ok(verified)
    }

    /// The cached downloads, the last used first.
    ///
    /// # Errors
    /// A cache directory that cannot be read.
    pub fn list(&self) -> anyhow::Result<Vec<CacheEntry>> {
        Ok(self
            .records()?
            .into_iter()
            .map(|(_, entry)| entry)
            .collect())
    }

    /// Removes downloads by rules, never one in use, and leftovers of killed runs.
    ///
    /// # Errors
    /// A file that cannot be removed.
    pub fn prune(&self, rules: &PruneRules) -> anyhow::Result<Removal> {
        let pinned = self.pinned();
        let locks = pinned.iter().flat_map(|(_, lock)| &lock.files);
        let locked: BTreeSet<&str> = locks.map(|file| file.sha256.as_str()).collect();
        let mut kept_for_locks = 0;
        let records = self.records()?;
        let oldest = rules
            .unused_for
            .and_then(|age| now().checked_sub(age.as_secs()));
        let mut kept = 0u64;
        let mut counted = BTreeSet::new();
        let chosen = records
            .into_iter()
            .filter(|(_, entry)| {
                let stale = oldest.is_some_and(|oldest| entry.used <= oldest);
                // Content that two addresses share is there once.
                let is_counted = counted.contains(&entry.sha256);
                let bytes = if is_counted { 0 } else { entry.bytes };
                let crowded = rules
                    .max_bytes
                    .is_some_and(|most| kept.saturating_add(bytes) > most);
                if stale || crowded {
                    let is_locked = locked.contains(entry.sha256.as_str());
                    kept_for_locks += usize::from(is_locked);
                    return !is_locked;
                }
                counted.insert(entry.sha256.clone());
                kept += bytes;
                false
            })
            .collect();
        let removal = self.remove(chosen).context("pruning the cache");
        let mut removal = removal.kind(Kind::Host)?;
        removal.kept_for_locks = kept_for_locks;
        self.remove_leftovers();
        Ok(removal)
    }

    /// Removes everything that no running build claims.
    ///
    /// # Errors
    /// A file that cannot be removed.
    pub fn clear(&self) -> anyhow::Result<Removal> {
        let clear = || -> anyhow::Result<Removal> {
            let mut removal = self.remove(self.records()?)?;
            removal.bytes += self.remove_parts(Duration::ZERO)?;
            self.forget_seen(Duration::ZERO)?;
            self.remove_free_locks()?;
            Ok(removal)
        };
        clear().context("clearing the cache").kind(Kind::Host)
    }

    /// Entries with the paths of their records, the last used first.
    fn records(&self) -> anyhow::Result<Vec<(PathBuf, CacheEntry)>> {
        let read = || {
            let directory = self.directory("entries")?;
            let names = directory.names()?;
            Ok::<_, std::io::Error>(names.into_iter().map(move |name| directory.join(name)))
        };
        let found = read().context("reading the cache").kind(Kind::Host)?;
        let since = self.in_use_since();
        let mut records: Vec<(PathBuf, CacheEntry)> = found
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "json")
            })
            .filter_map(|path| {
                let mut entry: CacheEntry = read_json(&path)?;
                // Where nothing but the use was new, the file's own time tells it.
                let touched = path.metadata().and_then(|metadata| metadata.modified());
                let touched = touched.ok()?.duration_since(UNIX_EPOCH).ok()?;
                entry.used = entry.used.max(touched.as_secs());
                // Nonsense in a damaged record.
                entry.used = entry.used.min(now());
                entry.in_use = since.is_some_and(|since| entry.used >= since)
                    || self.is_claimed(&entry.sha256);
                Some((path, entry))
            })
            .collect();
        records.sort_by(|(_, a), (_, b)| b.used.cmp(&a.used).then_with(|| a.url.cmp(&b.url)));
        Ok(records)
    }

    /// Removes records, then the content that no record names any more.
    fn remove(&self, records: Vec<(PathBuf, CacheEntry)>) -> anyhow::Result<Removal> {
        let mut removal = Removal::default();
        for (record, entry) in records {
            // An entry that is being fetched is in use as well.
            let hex = record.file_stem().unwrap_or_default().to_string_lossy();
            let lock = self.try_lock(&hex)?;
            if lock.is_none() || entry.in_use || self.is_claimed(&entry.sha256) {
                removal.kept_in_use.push(entry);
                continue;
            }
            std::fs::remove_file(&record)?;
            removal.removed.push(entry);
        }
        let records = self.records()?.into_iter();
        let named: BTreeSet<String> = records.map(|(_, entry)| entry.sha256).collect();
        let files = self.directory("files")?;
        for name in files.names()? {
            let Some(name) = name.to_str().filter(|name| !named.contains(*name)) else {
                continue;
            };
            // Content without a record may also be a killed run's, or about to get its record:
            // then it is claimed.
            let bytes = files
                .join(name)
                .metadata()
                .map_or(0, |metadata| metadata.len());
            if self.remove_unclaimed(name)? {
                removal.bytes += bytes;
            }
        }
        Ok(removal)
    }
}
