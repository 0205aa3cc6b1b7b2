//! `NAME.lock`: every file that a build took, by which another one repeats it.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::Cache;
use super::ledger::{Ledger, State, Taken};
use super::treeinfo::Checksum;
use crate::error::{Classify, Kind, fail};
use crate::input;

/// The version of the format.
const VERSION: u32 = 1;

/// Largest lock file that is read, in bytes: 75,000 packages take 20 MB.
const MAX_BYTES: u64 = 64 << 20;

/// A lock file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// [`VERSION`].
    version: u32,
    /// The repositories, in the state in which they were.
    pub repositories: Vec<State>,
    /// The files.
    pub files: Vec<Taken>,
}

/// The set that a build is to take, and nothing else.
#[derive(Debug)]
pub struct Locked {
    /// What the lock file is called, for messages.
    pub name: String,
    files: HashMap<String, Taken>,
    /// The repositories of the set.
    pub repositories: Vec<State>,
}

impl Lock {
    /// What a build took.
    pub fn of(ledger: &Ledger) -> Lock {
        Lock {
            version: VERSION,
            repositories: ledger.repositories(),
            files: ledger.files(),
        }
    }

    /// Its text.
    ///
    /// # Errors
    /// None that can be thought of.
    pub fn text(&self) -> anyhow::Result<String> {
        let mut text = serde_json::to_string_pretty(self).context("writing a lock file")?;
        text.push('\n');
        Ok(text)
    }

    /// Reads one.
    ///
    /// # Errors
    /// Input: it cannot be read, or is none.
    pub fn read(path: &Path) -> anyhow::Result<Lock> {
        let name = path.display();
        let bytes = input::read_bounded(path, MAX_BYTES)
            .with_context(|| format!("reading the lock file {name}"))
            .kind(Kind::Input)?;
        let lock: Lock = serde_json::from_slice(&bytes)
            .with_context(|| format!("{name} is no lock file of ozr's"))
            .kind(Kind::Input)?;
        if lock.version != VERSION {
            let version = lock.version;
            fail!(
                Kind::Input,
                "{name} has the format {version}, and this ozr reads format {VERSION}: take the ozr that wrote it"
            );
        }
        let wrong = lock.files.iter().find(|file| !is_digest(&file.sha256));
        if let Some(file) = wrong {
            fail!(
                Kind::Input,
                "{name} is damaged: the SHA-256 of {} is none",
                crate::printable::line(&file.url)
            );
        }
        Ok(lock)
    }
}

impl Locked {
    /// Reads the set of a lock file.
    ///
    /// # Errors
    /// As [`Lock::read`].
    pub fn read(path: &Path) -> anyhow::Result<Locked> {
        let lock = Lock::read(path)?;
        let files = lock.files.into_iter();
        Ok(Locked {
            name: path.display().to_string(),
            files: files.map(|file| (file.url.clone(), file)).collect(),
            repositories: lock.repositories,
        })
    }

    /// What the set has at an address.
    pub(super) fn at(&self, url: &str) -> Option<(&Taken, Checksum)> {
        let taken = self.files.get(url)?;
        let checksum = Checksum {
            algorithm: "sha256".to_owned(),
            hex: taken.sha256.clone(),
        };
        Some((taken, checksum))
    }

    /// What of the set is not in a cache, sorted.
    pub fn missing(&self, cache: &Cache) -> Vec<&Taken> {
        let all = self.files.values();
        let mut missing: Vec<&Taken> = all
            .filter(|file| !cache.content_path(&file.sha256).exists())
            .collect();
        missing.sort_by(|a, b| a.url.cmp(&b.url));
        missing
    }

    /// Whether it has a file of that name.
    pub fn has_file_named(&self, name: &str) -> bool {
        let mut urls = self.files.keys();
        urls.any(|url| url.rsplit('/').next() == Some(name))
    }
}

/// Whether a text is a SHA-256: it becomes the name of a file.
fn is_digest(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
