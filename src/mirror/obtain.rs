//! From an address to a file that is whole, checked and claimed: cached, revalidated, downloaded
//! or local.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use url::Url;

use super::cache::{Cache, Held, Key};
use super::fault::Fault;
use super::fetch::{Fetcher, Job, Outcome};
use super::location::{Location, shown};
use super::lock::Lease;
use super::treeinfo::{self, Checksum};
use super::verify::{Expect, HEAD_BYTES, is_web_page};

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
    /// Keeps it from being pruned while this lives.
    pub lease: Option<Lease>,
}

/// Obtains files through a cache.
#[derive(Debug, Clone)]
pub(super) struct Store {
    pub(super) cache: Cache,
    pub(super) fetcher: Fetcher,
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
        let _lock = self.cache.lock(&key, reporter).await?;
        let mut held = None;
        if self.refetch {
            super::part::remove(&self.cache.part_path(&key));
        } else {
            held = self.cache.held(&key, reporter).await?;
            if held.is_none() {
                held = self.cache.adopt(&key).await?;
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
            validators: held
                .as_ref()
                .map(|held| &held.entry.validators)
                .filter(|validators| !validators.is_empty()),
            part: &part,
        };
        match (self.fetcher.download(&job).await?, held) {
            (Outcome::NotModified, Some(mut held)) => {
                self.cache.touch(&key, &mut held)?;
                Ok(cached(held, Origin::Revalidated))
            }
            (Outcome::NotModified, None) => Err(Fault::Broken {
                url: shown(url),
                reason: "the mirror says that a file is unchanged that was never fetched".into(),
                tries: 1,
            }),
            (Outcome::Complete(complete), _) => {
                if expect == Expect::TreeInfo
                    && let Err(fault) = read_tree_info(&part, url)
                {
                    complete.part.discard();
                    return Err(fault);
                }
                let held = self.cache.publish(&key, *complete).await?;
                reporter.detail(format!(
                    "fetched {} ({} bytes)",
                    shown(url),
                    held.entry.bytes
                ));
                Ok(cached(held, Origin::Fetched))
            }
        }
    }

    /// A file of a `file:` tree: not copied, but checked.
    async fn local(
        &self,
        url: &Url,
        path: &Path,
        expect: Expect,
        checksum: Option<&Checksum>,
    ) -> Result<CachedFile, Fault> {
        let (mut file, bytes) = open_local(url, path)?;
        let what = expect.name();
        let url_text = shown(url);
        if bytes > expect.limit() {
            return Err(Fault::TooLarge {
                url: url_text,
                limit: expect.limit(),
                what,
            });
        }
        let mut head = Vec::new();
        file.by_ref()
            .take(HEAD_BYTES as u64)
            .read_to_end(&mut head)
            .map_err(|error| Fault::local("reading", path, error))?;
        if expect != Expect::Any && is_web_page(&head) {
            return Err(Fault::WebPage {
                url: url_text,
                what,
            });
        }
        if checksum.is_none() && !expect.fits(&head) {
            return Err(Fault::WrongContent {
                url: url_text,
                what,
            });
        }
        let entry = self.cache.local(&Key::new(url, checksum), path).await?;
        Ok(CachedFile {
            path: path.to_path_buf(),
            sha256: entry.sha256,
            bytes: entry.bytes,
            origin: Origin::Local,
            lease: None,
        })
    }
}

fn cached(held: Held, origin: Origin) -> CachedFile {
    CachedFile {
        path: held.path,
        sha256: held.entry.sha256,
        bytes: held.entry.bytes,
        origin,
        lease: Some(held.lease),
    }
}

/// Reads a `.treeinfo` that was obtained.
pub(super) fn read_tree_info(path: &Path, url: &Url) -> Result<treeinfo::TreeInfo, Fault> {
    let bytes = std::fs::read(path).map_err(|error| Fault::local("reading", path, error))?;
    // Names of distributions may be in Latin-1 in old trees; they are only shown.
    let text = String::from_utf8_lossy(&bytes);
    let name = shown(url);
    treeinfo::parse(&text, &name).map_err(|finding| Fault::TreeInfo {
        url: name,
        finding: Box::new(finding),
    })
}

/// Opens a file of a `file:` tree; anything but a regular file is as good as absent. Links are
/// followed wherever they lead: repository managers publish trees as links into their stores.
pub(super) fn open_local(url: &Url, path: &Path) -> Result<(File, u64), Fault> {
    let absent = || Fault::NotFound { url: shown(url) };
    // A FIFO in a tree must not make us wait for its writer.
    let opened = File::options()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32)
        .open(path);
    let file = match opened {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Err(absent());
        }
        other => other.map_err(|error| Fault::local("opening", path, error))?,
    };
    let metadata = file
        .metadata()
        .map_err(|error| Fault::local("reading", path, error))?;
    if !metadata.is_file() {
        return Err(absent());
    }
    Ok((file, metadata.len()))
}
