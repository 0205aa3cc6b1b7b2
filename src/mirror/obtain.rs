//! From an address to a file that is whole, checked and claimed: cached, revalidated, downloaded
//! or local.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::alternates::Alternates;
use super::cache::{Cache, CacheEntry, Held, Key, Lease, hash_file, milliseconds};
use super::fault::Fault;
use super::fetch::{Complete, Fetcher, Job, check_head, too_large};
use super::implanted::Media;
use super::ledger::Ledger;
use super::location::{Location, shown};
use super::locked::Locked;
use super::place::{Place, Source};
use super::seen::Seen;
use super::share::{Downloads, Progress};
use super::treeinfo::Checksum;
use super::verify::{Expect, HEAD_BYTES};
use crate::input::{NotOpened, Roots};
use crate::options::RepositoryKey;

/// How a file was obtained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Downloaded by this run.
    Fetched,
    /// Cached, and the mirror said that it has not changed.
    Revalidated,
    /// Cached under the checksum that the tree gives; nothing was asked.
    Cached,
    /// Cached, and no mirror could be asked.
    Kept,
    /// A file of this host, used where it lies.
    Local,
}

/// A file of an install tree, ready for use.
#[derive(Debug, Clone)]
pub struct CachedFile {
    /// Where it lies; not to be written to.
    pub path: PathBuf,
    /// Its digest in hexadecimal digits.
    pub sha256: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// How it was obtained.
    pub origin: Origin,
    /// Of an ISO image, what its implanted checksum says.
    pub media: Option<Media>,
    /// Keeps it from being pruned while this lives.
    pub lease: Option<Lease>,
}

impl CachedFile {
    /// Whether no mirror had to send it.
    pub(super) fn was_here(&self) -> bool {
        self.origin != Origin::Fetched
    }
}

/// A file that is wanted.
#[derive(Debug, Clone)]
pub(super) struct Want {
    pub(super) place: Place,
    pub(super) expect: Expect,
    /// What it must be.
    pub(super) checksum: Option<Checksum>,
    /// How many bytes it has, where that is known.
    pub(super) bytes: Option<u64>,
}

/// Tries on one mirror where there is another one.
const TRIES_BEFORE_OTHERS: u32 = 2;

/// For how long the builds of a family share a mirror's answer. That is long enough for a hundred that find nothing
/// to do, and short enough for one that installs: what it says that it was made of is what its guest gets.
const FAMILY_LOOK: Duration = Duration::from_secs(60);

/// Obtains files through a cache.
#[derive(Debug, Clone)]
pub(super) struct Store {
    pub(super) cache: Cache,
    pub(super) fetcher: Fetcher,
    /// Where `file:` addresses may lead.
    pub(super) roots: Roots,
    /// Take nothing from the cache (`-f`).
    pub(super) refetch: bool,
    /// Keep what guests take, and let it stand in for a mirror that is away.
    pub(super) packages: bool,
    /// The one set that may be taken (`--locked`).
    pub(super) locked: Option<Arc<Locked>>,
    /// Who must have signed which repositories.
    pub(super) repository_keys: Arc<[RepositoryKey]>,
    /// Since when the family of builds runs that this one is of, in milliseconds since 1970.
    pub(super) family: Option<u64>,
    /// The addresses of the tree.
    pub(super) alternates: Arc<Alternates>,
    /// What is taken.
    pub(super) ledger: Ledger,
    /// The downloads that guests wait for.
    pub(super) downloads: Downloads,
    /// What this build has seen of trees and repositories.
    pub(super) seen: Arc<Seen>,
}

impl Store {
    /// Obtains one file.
    ///
    /// # Errors
    /// What is wrong with the mirror, the file or this host; then nothing is left in the cache.
    pub(super) async fn obtain(
        &self,
        url: &Url,
        expect: Expect,
        checksum: Option<&Checksum>,
    ) -> Result<CachedFile, Fault> {
        if let Location::Local(path) = Location::of(url)? {
            return self.local(url, &path, expect, checksum).await;
        }
        let want = Want {
            checksum: checksum.cloned(),
            ..Want::of(Source::file(url), expect)
        };
        self.take(&want, None).await
    }

    /// Obtains a file that mirrors have; `readers` read along.
    ///
    /// # Errors
    /// As [`Store::obtain`].
    pub(super) async fn take(
        &self,
        want: &Want,
        readers: Option<&Arc<Progress>>,
    ) -> Result<CachedFile, Fault> {
        let name = want.place.name();
        let mut want = want.clone();
        if let Some(locked) = &self.locked {
            let Some((taken, checksum)) = locked.at(&name) else {
                let (url, lock) = (name, locked.name.clone());
                return Err(Fault::NotLocked { url, lock });
            };
            (want.checksum, want.bytes) = (Some(checksum), Some(taken.bytes));
        }
        let file = self.take_unlocked(&want, readers).await?;
        self.ledger.file(name, &file.sha256, file.bytes);
        Ok(file)
    }

    /// As [`Store::take`], whatever the one set is, and without noting it.
    pub(super) async fn take_unlocked(
        &self,
        want: &Want,
        readers: Option<&Arc<Progress>>,
    ) -> Result<CachedFile, Fault> {
        let reporter = &self.fetcher.reporter;
        let key = Key::new(&want.place, want.checksum.as_ref());
        let may_be_held = !self.refetch;
        // Content under a checksum cannot be out of date, so nobody needs to wait for its turn.
        if may_be_held
            && want.checksum.is_some()
            && let Some(mut held) = self.cache.held(&key, reporter).await?
        {
            self.cache.touch(&key, &mut held);
            return Ok(cached(held, Origin::Cached));
        }
        let limit = self.fetcher.patience.whole;
        let _lock = match readers {
            None => self.cache.lock(&key, limit, reporter).await?,
            Some(readers) => self.cache.lock_reading(&key, limit, readers).await?,
        };
        let mut held = None;
        if self.refetch {
            super::part::remove(&self.cache.part_path(&key));
        } else {
            held = self.cache.held(&key, reporter).await?;
            if held.is_none() {
                held = self.cache.adopt(&key, want.expect).await?;
            }
        }
        if want.checksum.is_some()
            && let Some(mut held) = held
        {
            self.cache.touch(&key, &mut held);
            return Ok(cached(held, Origin::Cached));
        }
        let is_shared = |held: &mut Held| {
            want.expect == Expect::RepoMd && self.was_just_asked(held.entry.asked)
        };
        if let Some(held) = held.take_if(is_shared) {
            return Ok(cached(held, Origin::Revalidated));
        }
        let entry = held.as_ref().map(|held| &held.entry);
        match (self.download(want, &key, entry, readers).await, held) {
            (Ok(None), Some(mut held)) => {
                match self.family {
                    Some(_) => self.cache.note_asked(&key, &mut held),
                    None => self.cache.touch(&key, &mut held),
                }
                Ok(cached(held, Origin::Revalidated))
            }
            (Ok(None), None) => Err(Fault::Broken {
                url: want.place.name(),
                reason: "the mirror says that a file is unchanged that was never fetched".into(),
                tries: 1,
            }),
            (Ok(Some(complete)), _) => {
                let held = self.cache.publish(&key, complete).await?;
                reporter.detail(format!(
                    "fetched {} ({} bytes)",
                    want.place.name(),
                    held.entry.bytes
                ));
                Ok(cached(held, Origin::Fetched))
            }
            // Of a repository's state it is decided elsewhere what stands in for it.
            (Err(fault), Some(held))
                if self.packages && fault.is_away() && want.expect != Expect::RepoMd =>
            {
                reporter.detail(format!(
                    "{} is taken as it was last seen: {fault}",
                    want.place.name()
                ));
                Ok(cached(held, Origin::Kept))
            }
            (Err(fault), _) => Err(fault),
        }
    }

    /// Whether another build of this one's family asked at this time, and this one need not.
    pub(super) fn was_just_asked(&self, asked: u64) -> bool {
        let recently = || milliseconds().saturating_sub(asked) < FAMILY_LOOK.as_millis() as u64;
        // Two files that belong together are taken together: no list without its signature. What is to be fetched anew,
        // or is of one set, is not another build's.
        let may_share = self.repository_keys.is_empty() && !self.refetch && self.locked.is_none();
        may_share && self.family.is_some_and(|since| since <= asked) && recently()
    }

    /// Downloads from the first mirror that has it. None where the copy that is there already is the mirror's.
    async fn download(
        &self,
        want: &Want,
        key: &Key,
        held: Option<&CacheEntry>,
        readers: Option<&Arc<Progress>>,
    ) -> Result<Option<Complete>, Fault> {
        let part = self.cache.part_path(key);
        let urls = want.place.urls(self).await?;
        let mut failed: Option<Fault> = None;
        for (number, url) in urls.iter().enumerate() {
            let mut fetcher = self.fetcher.clone();
            let is_last = number + 1 == urls.len();
            if !is_last {
                let tries = &mut fetcher.patience.tries;
                *tries = (*tries).min(TRIES_BEFORE_OTHERS);
            }
            let job = Job {
                url,
                expect: want.expect,
                checksum: want.checksum.as_ref(),
                held,
                part: &part,
                bytes: want.bytes,
                readers,
            };
            match fetcher.download(&job).await {
                Ok(came) => return Ok(came),
                Err(fault @ (Fault::DiskFull { .. } | Fault::Local { .. })) => return Err(fault),
                Err(fault) => {
                    if !is_last {
                        let reporter = &self.fetcher.reporter;
                        reporter.detail(format!("{fault}; the next mirror is asked"));
                    }
                    // That a mirror has it not says less than that another cannot be asked.
                    if failed.as_ref().is_none_or(Fault::is_absent) {
                        failed = Some(fault);
                    }
                }
            }
        }
        let url = want.place.name();
        Err(failed.unwrap_or(Fault::NotFound { url }))
    }

    /// Obtains a small file and reads it.
    ///
    /// # Errors
    /// As [`Store::take`].
    pub(super) async fn read(&self, want: &Want) -> Result<Vec<u8>, Fault> {
        let file = self.take(want, None).await?;
        std::fs::read(&file.path).map_err(|error| Fault::local("reading", &file.path, error))
    }

    /// Fetches a small file into memory.
    ///
    /// # Errors
    /// What is wrong with the mirror or the file; more than `limit` bytes.
    pub(super) async fn bytes(
        &self,
        url: &Url,
        expect: Expect,
        limit: u64,
    ) -> Result<Vec<u8>, Fault> {
        let path = match Location::of(url)? {
            Location::Web(url) => return self.fetcher.bytes(&url, expect, limit).await,
            Location::Local(path) => path,
        };
        let LocalFile { file, bytes, .. } = self.open_local(url, &path)?;
        if bytes > limit {
            return Err(too_large(url, expect, limit));
        }
        let mut content = Vec::new();
        file.take(limit.saturating_add(1))
            .read_to_end(&mut content)
            .map_err(|error| Fault::local("reading", &path, error))?;
        match content.len() as u64 > limit {
            true => Err(too_large(url, expect, limit)),
            false => Ok(content),
        }
    }

    /// Opens a file of a `file:` tree; anything but a regular file is as good as absent.
    pub(super) fn open_local(&self, url: &Url, path: &Path) -> Result<LocalFile, Fault> {
        let failed = |error: NotOpened| match error {
            NotOpened::Outside => Fault::Outside { path: path.into() },
            NotOpened::Io(error) => match error.kind() {
                io::ErrorKind::NotFound
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::InvalidInput => Fault::NotFound { url: shown(url) },
                _ => Fault::local("opening", path, error),
            },
        };
        let (file, real) = self.roots.open(path).map_err(failed)?;
        let metadata = file.metadata();
        let metadata = metadata.map_err(|error| Fault::local("reading", path, error))?;
        Ok(LocalFile {
            file,
            real,
            bytes: metadata.len(),
        })
    }

    /// A file of a `file:` tree: not copied, but checked.
    async fn local(
        &self,
        url: &Url,
        path: &Path,
        expect: Expect,
        checksum: Option<&Checksum>,
    ) -> Result<CachedFile, Fault> {
        let LocalFile {
            mut file,
            real,
            bytes,
        } = self.open_local(url, path)?;
        let path = &real;
        if bytes > expect.limit() {
            return Err(too_large(url, expect, expect.limit()));
        }
        let mut head = Vec::new();
        file.by_ref()
            .take(HEAD_BYTES as u64)
            .read_to_end(&mut head)
            .map_err(|error| Fault::local("reading", path, error))?;
        check_head(url, expect, checksum, &head, None, false)?;
        let (digests, stamp) = hash_file(path, expect, checksum).await?;
        digests.check(url, checksum)?;
        Ok(CachedFile {
            path: path.to_path_buf(),
            sha256: digests.sha256,
            bytes: stamp.bytes,
            origin: Origin::Local,
            media: digests.media,
            lease: None,
        })
    }
}

/// A file of this host.
pub(super) struct LocalFile {
    pub(super) file: File,
    /// Where it lies, behind all links.
    pub(super) real: PathBuf,
    pub(super) bytes: u64,
}

fn cached(held: Held, origin: Origin) -> CachedFile {
    CachedFile {
        path: held.path,
        sha256: held.entry.sha256,
        bytes: held.entry.bytes,
        origin,
        media: held.entry.media,
        lease: Some(held.lease),
    }
}
