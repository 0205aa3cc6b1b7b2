//! `ozr cache list|prune|clear`: what the cache holds, and making room.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

use super::cache::{Cache, CacheEntry, now, read_json};
use crate::error::{Classify, Kind};

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
    /// Bytes that were freed, unfinished downloads included.
    pub bytes: u64,
}

impl Cache {
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
                    return true;
                }
                counted.insert(entry.sha256.clone());
                kept += bytes;
                false
            })
            .collect();
        let removal = self
            .remove(chosen)
            .context("pruning the cache")
            .kind(Kind::Host)?;
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
        let mut records: Vec<(PathBuf, CacheEntry)> = found
            .filter(|path| {
                path.extension()
                    .is_some_and(|extension| extension == "json")
            })
            .filter_map(|path| {
                let mut entry: CacheEntry = read_json(&path)?;
                entry.in_use = self.is_claimed(&entry.sha256);
                // Nonsense in a damaged record.
                entry.used = entry.used.min(now());
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
            if lock.is_none() || self.is_claimed(&entry.sha256) {
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
