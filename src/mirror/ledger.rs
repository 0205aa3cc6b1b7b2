//! What a build took: which files, in which state of which repositories, and what that asked of the mirrors.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::panics::lock;

/// A file that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Its address, without user, password and query. What a list of mirrors leads to has the list's, and its own
    /// place behind a `#`.
    pub url: String,
    /// Its digest in hexadecimal digits.
    pub sha256: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// A repository that was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Its address, as a file's.
    pub url: String,
    /// What its `repomd.xml` calls its state.
    pub revision: Option<String>,
    /// The digest of its `repomd.xml`.
    pub repomd_sha256: String,
    /// Why it is not the mirror's present state, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
}

/// What was asked of mirrors, and what of the cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    /// Requests to mirrors.
    pub requests: u64,
    /// Bytes that mirrors sent.
    pub fetched: u64,
    /// Bytes that the guest was given through the cache.
    pub served: u64,
    /// Those among them that were there before it asked.
    pub cached: u64,
    /// Bytes of packages that were fetched before the guest asked for them.
    #[serde(default)]
    pub ahead: u64,
    /// For how long mirrors were sending, in seconds.
    pub seconds: f64,
}

/// The accounts of a build; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Arc<Accounts>);

#[derive(Debug, Default)]
struct Accounts {
    requests: AtomicU64,
    fetched: AtomicU64,
    served: AtomicU64,
    cached: AtomicU64,
    ahead: AtomicU64,
    busy: Mutex<Busy>,
    files: Mutex<BTreeMap<String, Taken>>,
    repositories: Mutex<BTreeMap<String, State>>,
    packages: Mutex<BTreeSet<String>>,
}

/// When mirrors are sending.
#[derive(Debug, Default)]
struct Busy {
    downloads: usize,
    since: Option<Instant>,
    before: Duration,
}

/// A download that runs.
#[derive(Debug)]
pub(super) struct Running(Ledger);

impl Drop for Running {
    fn drop(&mut self) {
        let mut busy = lock(&self.0.0.busy);
        busy.downloads -= 1;
        if busy.downloads == 0
            && let Some(since) = busy.since.take()
        {
            busy.before += since.elapsed();
        }
    }
}

impl Ledger {
    /// Counts a request.
    pub(super) fn asked(&self) {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts bytes that came.
    pub(super) fn came(&self, bytes: u64) {
        self.0.fetched.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts bytes that a guest is given.
    pub(super) fn served(&self, bytes: u64, was_here: bool) {
        self.0.served.fetch_add(bytes, Ordering::Relaxed);
        if was_here {
            self.0.cached.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// Counts bytes that came before a guest asked for them.
    pub(super) fn ahead(&self, bytes: u64) {
        self.0.ahead.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A download begins, and ends with what is given.
    pub(super) fn begin(&self) -> Running {
        let mut busy = lock(&self.0.busy);
        busy.downloads += 1;
        busy.since.get_or_insert_with(Instant::now);
        Running(self.clone())
    }

    /// Notes a file.
    pub(super) fn file(&self, url: String, sha256: &str, bytes: u64) {
        let taken = Taken {
            url: url.clone(),
            sha256: sha256.to_owned(),
            bytes,
        };
        lock(&self.0.files).insert(url, taken);
    }

    /// Notes a repository.
    pub(super) fn repository(&self, state: State) {
        lock(&self.0.repositories).insert(state.url.clone(), state);
    }

    /// Notes a package.
    pub(super) fn package(&self, name: &str) {
        lock(&self.0.packages).insert(name.to_owned());
    }

    /// The packages that the guest asked for: `NAME-VERSION-RELEASE.ARCH`.
    pub fn packages(&self) -> BTreeSet<String> {
        lock(&self.0.packages).clone()
    }

    /// The files, by their addresses.
    pub fn files(&self) -> Vec<Taken> {
        lock(&self.0.files).values().cloned().collect()
    }

    /// The repositories, by their addresses.
    pub fn repositories(&self) -> Vec<State> {
        lock(&self.0.repositories).values().cloned().collect()
    }

    /// The sums so far.
    pub fn traffic(&self) -> Traffic {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let busy = lock(&self.0.busy);
        let now = busy.since.map_or(Duration::ZERO, |since| since.elapsed());
        Traffic {
            requests: of(&self.0.requests),
            fetched: of(&self.0.fetched),
            served: of(&self.0.served),
            cached: of(&self.0.cached),
            ahead: of(&self.0.ahead),
            seconds: (busy.before + now).as_secs_f64(),
        }
    }
}
