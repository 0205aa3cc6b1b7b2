//! From an address to a file that is whole, checked and claimed: cached, revalidated, downloaded
//! or local.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use url::Url;

use super::cache::{Cache, Held, Key, Lease, hash_file};
use super::client::broken;
use super::fault::Fault;
use super::fetch::{Fetcher, Job, check_head, too_large};
use super::implanted::Media;
use super::location::{Location, shown};
use super::treeinfo::Checksum;
use super::verify::{Expect, HEAD_BYTES};
use crate::input::{NotOpened, Roots};

/// How a file was obtained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Downloaded by this run.
    Fetched,
    /// Cached, and the mirror said that it has not changed.
    Revalidated,
    /// Cached under the checksum that the tree gives; nothing was asked.
    Cached,
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

/// Obtains files through a cache.
#[derive(Debug, Clone)]
pub(super) struct Store {
    pub(super) cache: Cache,
    pub(super) fetcher: Fetcher,
    /// Where `file:` addresses may lead.
    pub(super) roots: Roots,
    /// Take nothing from the cache (`-f`).
    pub(super) refetch: bool,
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
        let reporter = &self.fetcher.reporter;
        let key = Key::new(url, checksum);
        let limit = self.fetcher.patience.whole;
        let _lock = self.cache.lock(&key, limit, reporter).await?;
        let mut held = None;
        if self.refetch {
            super::part::remove(&self.cache.part_path(&key));
        } else {
            held = self.cache.held(&key, reporter).await?;
            if held.is_none() {
                held = self.cache.adopt(&key, expect).await?;
            }
        }
        // Content under the tree's own checksum cannot be out of date.
        if checksum.is_some()
            && let Some(mut held) = held
        {
            self.cache.touch(&key, &mut held)?;
            return Ok(cached(held, Origin::Cached));
        }
        let part = self.cache.part_path(&key);
        let job = Job {
            url,
            expect,
            checksum,
            held: held.as_ref().map(|held| &held.entry),
            part: &part,
        };
        match (self.fetcher.download(&job).await?, held) {
            (None, Some(mut held)) => {
                self.cache.touch(&key, &mut held)?;
                Ok(cached(held, Origin::Revalidated))
            }
            (None, None) => {
                let reason = "the mirror says that a file is unchanged that was never fetched";
                Err(broken(url, reason))
            }
            (Some(complete), _) => {
                let held = self.cache.publish(&key, complete).await?;
                reporter.detail(format!(
                    "fetched {} ({} bytes)",
                    shown(url),
                    held.entry.bytes
                ));
                Ok(cached(held, Origin::Fetched))
            }
        }
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
