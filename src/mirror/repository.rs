//! A repository as one build sees it: in one state from its first request to its last.
//!
//! `repomd.xml` is asked for once in a build. What it names that is needed is fetched before anything of a new
//! state is served, so that a mirror in the middle of its update, or one that goes away, leaves the last state that
//! was whole. What the packages and the metadata are is known by their digests from then on.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use super::REPOMD;
use super::cache::{now, read_json, write_whole};
use super::fault::Fault;
use super::ledger::State;
use super::obtain::{Store, Want};
use super::place::{Place, Source};
use super::repodata::{self, Package, Visitor, primary, repomd};
use super::treeinfo::Checksum;
use super::verify::{self, Expect};
use crate::hex;
use crate::panics::lock;

/// How long reading a list of packages may take: Fedora's takes some seconds.
const READING: Duration = Duration::from_secs(600);

/// Most bytes of places and digests that are kept of a repository; Fedora's 75,000 packages take 15 MB. What is
/// beyond that has no digest that is known, and is asked for each time.
const MAX_KNOWN: usize = 64 << 20;

/// What a place takes besides its text and its digest.
const OVERHEAD: usize = 160;

/// Kinds of metadata that are fetched with a new state whether or not they were ever asked for: they are small, and
/// the installer asks for them.
const ALWAYS: [&str; 5] = ["group", "group_gz", "group_xz", "group_zst", "modules"];

/// What is known of a file.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) checksum: Checksum,
    pub(super) bytes: Option<u64>,
    /// Which kind of metadata it is, if it is.
    kind: Option<String>,
    /// Which package it is, if it is one: `NAME-VERSION-RELEASE.ARCH`.
    pub(super) package: Option<Box<str>>,
}

/// A repository.
#[derive(Debug)]
pub(super) struct Repository {
    pub(super) repomd: Arc<[u8]>,
    /// By whom it must be signed, if by anyone.
    pub(super) signature: Option<Arc<[u8]>>,
    pub(super) state: State,
    files: HashMap<String, Known>,
    record: Mutex<Record>,
    /// Where the record lies, unless it is not to be touched.
    path: Option<PathBuf>,
}

/// `sets/KEY.json`: the last state that was whole.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    url: String,
    /// The text of its `repomd.xml`.
    repomd: String,
    /// Its signature, where it must have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<Vec<u8>>,
    /// When a mirror last said that this is its state, in seconds since 1970.
    seen: u64,
    /// The kinds of metadata that builds asked for.
    kinds: BTreeSet<String>,
}

impl Known {
    /// A file of a tree.
    pub(super) fn of(checksum: &Checksum) -> Known {
        Known {
            checksum: checksum.clone(),
            bytes: None,
            kind: None,
            package: None,
        }
    }
}

impl Repository {
    /// Asks for the state of the repository at `prefix` of a source, and learns what it has.
    ///
    /// # Errors
    /// No mirror has it, and nothing is kept of it.
    pub(super) async fn open(
        store: &Store,
        source: &Source,
        prefix: &str,
    ) -> Result<Repository, Fault> {
        let place = source.place(&format!("{prefix}{REPOMD}"));
        if store.locked.is_some() {
            let text = store.read(&Want::of(place.clone(), Expect::RepoMd)).await?;
            let signature = store.signature_of(source, prefix, None, &text).await?;
            let repository = Repository::load(store, source, prefix, &text, None, None).await?;
            return Ok(repository.with_signature(signature));
        }
        let path = store.cache.set_path(&place.name());
        let before = read_json::<Record>(&path);
        let fault = match Repository::renew(store, source, prefix, before.as_ref(), &path).await {
            Ok(repository) => return Ok(repository),
            Err(fault) => fault,
        };
        let Some(before) = before.filter(|_| !fault.is_absent()) else {
            return Err(fault);
        };
        // What is there is whole, or this fails, too.
        let (kept, text) = (fault.to_string(), before.repomd.clone());
        let signature = before.signature.clone();
        let is_signed =
            store.check_signature(source, prefix, text.as_bytes(), signature.as_deref());
        if is_signed.await.is_err() {
            return Err(fault);
        }
        let age = Duration::from_secs(now().saturating_sub(before.seen) / 60 * 60);
        let age = humantime::format_duration(age);
        let loaded = Repository::load(
            store,
            source,
            prefix,
            text.as_bytes(),
            Some((&before, &path)),
            Some(kept),
        );
        let Ok(repository) = loaded.await else {
            return Err(fault);
        };
        let repository = repository.with_signature(signature);
        let message = format!(
            "the guest gets {} as it was {age} ago, out of the cache: {fault}",
            repository.state.url
        );
        match store.fetcher.offline {
            true => store.fetcher.reporter.detail(message),
            false => store.fetcher.reporter.warn(message),
        }
        Ok(repository)
    }

    /// The state that the first of the mirrors has which can be had whole.
    async fn renew(
        store: &Store,
        source: &Source,
        prefix: &str,
        before: Option<&Record>,
        path: &std::path::Path,
    ) -> Result<Repository, Fault> {
        let place = source.place(&format!("{prefix}{REPOMD}"));
        let mut first = None;
        for (number, mirror) in place.urls(store).await?.into_iter().enumerate() {
            let tried = async {
                let text = store.fresh_repomd(&mirror).await?;
                let asked = store.signature_of(source, prefix, Some(&mirror), &text);
                let signature = asked.await?;
                let record = Record {
                    url: place.name(),
                    repomd: String::from_utf8_lossy(&text).into_owned(),
                    signature: signature.clone(),
                    seen: now(),
                    kinds: before
                        .map(|before| before.kinds.clone())
                        .unwrap_or_default(),
                };
                if number > 0 && before.is_some_and(|before| is_older(&text, before)) {
                    return Err(Fault::Outdated {
                        url: super::shown(&mirror),
                    });
                }
                let source = source.beginning_with(number);
                let whole = async {
                    let record = Some((&record, path));
                    let new = Repository::load(store, &source, prefix, &text, record, None).await?;
                    new.complete(store, &source, prefix).await?;
                    Ok(new)
                };
                let new = whole.await.map_err(|fault: Fault| match fault {
                    Fault::NotFound { url } => Fault::Metadata {
                        url: place.name(),
                        reason: format!(
                            "it names {url}, which is not there: the mirror is being updated"
                        ),
                    },
                    fault => fault,
                })?;
                new.write(&record);
                Ok(new.with_signature(signature))
            };
            match tried.await {
                Ok(repository) => return Ok(repository),
                Err(fault) => {
                    // That a mirror has it not says less than that another cannot be asked.
                    let says_more = first.as_ref().is_none_or(Fault::is_absent);
                    if says_more {
                        first = Some(fault);
                    }
                }
            }
        }
        Err(first.unwrap_or_else(|| Fault::NotFound { url: place.name() }))
    }

    /// Learns what a state has.
    async fn load(
        store: &Store,
        source: &Source,
        prefix: &str,
        text: &[u8],
        record: Option<(&Record, &std::path::Path)>,
        kept: Option<String>,
    ) -> Result<Repository, Fault> {
        let place = source.place(&format!("{prefix}{REPOMD}"));
        let bad = |reason: String| Fault::Metadata {
            url: place.name(),
            reason,
        };
        let list = repomd::parse(text).map_err(bad)?;
        let mut files = Files::default();
        for entry in list.entries().iter().filter(|entry| entry.base.is_none()) {
            if let Some(checksum) = &entry.checksum {
                let known = Known {
                    bytes: entry.bytes,
                    kind: Some(entry.kind.clone()),
                    ..Known::of(checksum)
                };
                files.add(&entry.href, known);
            }
        }
        let primary = list
            .primary()
            .ok_or_else(|| bad("it names no list of packages".to_owned()))?;
        let want = Want {
            checksum: primary.checksum.clone().filter(verify::tells_damage),
            ..Want::of(
                source.place(&format!("{prefix}{}", primary.href)),
                Expect::Metadata,
            )
        };
        let file = store.take(&want, None).await?;
        let limit = primary.open_size.unwrap_or(u64::MAX);
        let named = want.place.name();
        let files = tokio::task::spawn_blocking(move || {
            let input = repodata::open(&file.path, limit, Instant::now() + READING)
                .map_err(|error| error.to_string())?;
            primary::visit(input, &mut files).map(|()| files)
        })
        .await
        .unwrap_or_else(|error| Err(error.to_string()))
        .map_err(|reason| Fault::Metadata { url: named, reason })?;
        let state = State {
            url: source.place(prefix).name(),
            revision: list.revision.clone(),
            repomd_sha256: hex::sha256(text),
            kept,
        };
        store.ledger.repository(state.clone());
        let repomd = (place.name(), hex::sha256(text), text.len() as u64);
        store.ledger.file(repomd.0, &repomd.1, repomd.2);
        let empty = || Record {
            url: place.name(),
            repomd: String::new(),
            signature: None,
            seen: 0,
            kinds: BTreeSet::new(),
        };
        Ok(Repository {
            repomd: text.into(),
            signature: None,
            state,
            files: files.known,
            record: Mutex::new(record.map_or_else(empty, |(record, _)| record.clone())),
            path: record.map(|(_, path)| path.to_path_buf()),
        })
    }

    fn with_signature(self, signature: Option<Vec<u8>>) -> Repository {
        Repository {
            signature: signature.map(Into::into),
            ..self
        }
    }

    /// Fetches what of the metadata will be asked for.
    async fn complete(&self, store: &Store, source: &Source, prefix: &str) -> Result<(), Fault> {
        let kinds = lock(&self.record).kinds.clone();
        let wanted = |kind: &str| kinds.contains(kind) || ALWAYS.contains(&kind);
        for (href, known) in &self.files {
            if !known.kind.as_deref().is_some_and(wanted) {
                continue;
            }
            let want = Want {
                checksum: Some(known.checksum.clone()),
                bytes: known.bytes,
                ..Want::of(source.place(&format!("{prefix}{href}")), Expect::Metadata)
            };
            store.take(&want, None).await?;
        }
        Ok(())
    }

    /// The packages: the place of each below the repository, and `NAME-VERSION-RELEASE.ARCH`.
    pub(super) fn packages(&self) -> impl Iterator<Item = (&str, &str, &Known)> {
        let all = self.files.iter();
        all.filter_map(|(href, known)| Some((&**href, known.package.as_deref()?, known)))
    }

    /// What is known of the file at a place below the repository, which a guest asks for now.
    pub(super) fn asked(&self, path: &str) -> Option<Known> {
        let known = self.files.get(path)?.clone();
        if let Some(kind) = &known.kind {
            let mut record = lock(&self.record);
            if record.kinds.insert(kind.clone()) {
                self.write(&record);
            }
        }
        Some(known)
    }

    /// Keeps the record; without it the next build asks for a little more.
    fn write(&self, record: &Record) {
        let json = serde_json::to_vec(record).map_err(io::Error::from);
        if let (Some(path), Ok(json)) = (&self.path, json) {
            let _ = write_whole(path, &json);
        }
    }
}

/// Whether a state is older than another, as far as their revisions are times.
fn is_older(text: &[u8], than: &Record) -> bool {
    let time = |text: &[u8]| -> Option<u64> { repomd::parse(text).ok()?.revision?.parse().ok() };
    let (ours, theirs) = (time(than.repomd.as_bytes()), time(text));
    ours.zip(theirs).is_some_and(|(ours, theirs)| theirs < ours)
}

/// What is known of files, while it is learnt.
#[derive(Default)]
struct Files {
    known: HashMap<String, Known>,
    bytes: usize,
}

impl Files {
    fn add(&mut self, href: &str, known: Known) {
        if !verify::tells_damage(&known.checksum) {
            return;
        }
        let href = percent_decode_str(href.trim_start_matches("./")).decode_utf8_lossy();
        let package = known.package.as_ref().map_or(0, |package| package.len());
        self.bytes += href.len() + known.checksum.hex.len() + package + OVERHEAD;
        if self.bytes <= MAX_KNOWN {
            self.known.insert(href.into_owned(), known);
        }
    }
}

impl Visitor for Files {
    fn package(&mut self, package: Package) -> Result<(), String> {
        let is_here = package.base.is_none() && package.is_binary();
        if let Some(checksum) = package.checksum.filter(|_| is_here) {
            let (name, arch) = (package.name, package.arch);
            let name = format!("{name}-{}-{}.{arch}", package.version, package.release);
            let known = Known {
                bytes: package.bytes,
                package: Some(name.into()),
                ..Known::of(&checksum)
            };
            self.add(&package.href, known);
        }
        Ok(())
    }
}

impl Want {
    /// A file at a place, of which no digest is known.
    pub(super) fn of(place: Place, expect: Expect) -> Want {
        Want {
            place,
            expect,
            checksum: None,
            bytes: None,
        }
    }
}
