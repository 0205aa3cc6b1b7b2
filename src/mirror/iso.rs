//! ISO images: from the cache or where they lie, whole, verified, and read once.
//!
//! A download is hashed while it comes. An image of this host is read once, and what was learnt of it is kept in
//! the cache, under `seen/`, for as long as it is the same file: device, inode, size and times.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, interval_at};
use url::Url;

use super::Mirror;
use super::cache::{Key, read_json, write_whole};
use super::fault::Fault;
use super::implanted::Media;
use super::location::{Location, shown};
use super::obtain::{CachedFile, LocalFile, Origin, Store};
use super::place::Source;
use super::sums;
use super::treeinfo::Checksum;
use super::verify::{Digests, Expect, Hasher};
use crate::disk::device::Device;
use crate::disk::iso9660::Iso;
use crate::gpgv;
use crate::hex;
use crate::input::Identity;

/// What the names of detached signatures end in.
const SIGNATURES: [&str; 3] = ["asc", "sig", "gpg"];

/// An image, and what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IsoSource {
    /// Where it is.
    pub url: Url,
    /// What says its checksum.
    pub sum: Sum,
    /// The keys one of which must have signed the list that says it.
    pub key: Option<PathBuf>,
}

/// What says the checksum of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sum {
    /// A list beside it, if there is one.
    Beside,
    /// It is given.
    Given(Checksum),
    /// A list.
    List {
        /// Where it is.
        url: Url,
        /// The kind of checksum to take; the strongest without it.
        only: Option<&'static str>,
    },
}

/// An image that is whole and right, opened.
#[derive(Debug, Clone)]
pub struct IsoImage {
    /// The address as it was given: show it with [`shown`] only.
    pub url: Url,
    /// Where it lies, and its digest.
    pub file: CachedFile,
    /// What its implanted checksum says.
    pub media: Media,
    /// The checksum that it was compared with, and what said that.
    pub listed: Option<(Checksum, String)>,
    opened: Arc<File>,
    identity: Identity,
}

impl IsoImage {
    /// What is on it.
    ///
    /// # Errors
    /// In words: it is no ISO 9660 file system.
    pub fn contents(&self) -> anyhow::Result<Iso> {
        Iso::open(device(&self.opened, self.file.bytes))
    }

    /// Whether it is still the file that was verified.
    pub fn is_unchanged(&self) -> bool {
        let now = std::fs::metadata(&self.file.path);
        now.is_ok_and(|now| Identity::of(&now) == self.identity)
    }
}

/// What was learnt of an image of this host: `seen/KEY.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Seen {
    path: PathBuf,
    identity: Identity,
    /// By algorithm.
    digests: BTreeMap<String, String>,
    media: Media,
}

impl Mirror {
    /// Obtains an ISO image and verifies it.
    ///
    /// # Errors
    /// One sentence on what is wrong with the mirror, the address, the image or this host.
    pub async fn iso(&self, source: &IsoSource) -> anyhow::Result<IsoImage> {
        self.store.iso(source).await.map_err(Fault::into_error)
    }
}

impl Mirror {
    /// What is on an image, to look at what it is of. One of this host is not verified for that; another is
    /// obtained.
    ///
    /// # Errors
    /// As for [`Mirror::iso`].
    pub async fn look_at(&self, source: &IsoSource) -> anyhow::Result<Iso> {
        let look = async || -> Result<Iso, Fault> {
            let url = &source.url;
            let (file, bytes) = match Location::of(url)? {
                Location::Local(path) => {
                    let LocalFile { file, bytes, .. } = self.store.open_local(url, &path)?;
                    (Arc::new(file), bytes)
                }
                Location::Web(_) => {
                    let image = self.store.iso(source).await?;
                    (image.opened, image.file.bytes)
                }
            };
            check_length(url, &file, bytes)
        };
        look().await.map_err(Fault::into_error)
    }
}

impl Store {
    async fn iso(&self, source: &IsoSource) -> Result<IsoImage, Fault> {
        let url = &source.url;
        if let Location::Local(path) = Location::of(url)? {
            // What is cut off is told before a minute is spent on it.
            let LocalFile { file, bytes, .. } = self.open_local(url, &path)?;
            check_length(url, &Arc::new(file), bytes)?;
        }
        let listed = self.listed(source).await?;
        let checksum = listed.as_ref().map(|(checksum, _)| checksum);
        let obtained = match Location::of(url)? {
            Location::Web(_) => self.obtain(url, Expect::Iso, checksum).await,
            Location::Local(path) => self.local_iso(url, &path, checksum).await,
        };
        let file = obtained.map_err(|fault| match (fault, &listed) {
            (
                Fault::Checksum {
                    url,
                    expected,
                    found,
                },
                Some((_, list)),
            ) => Fault::ListedChecksum {
                url,
                list: list.clone(),
                expected,
                found,
            },
            (fault, _) => fault,
        })?;
        let local = |error| Fault::local("opening", &file.path, error);
        let opened = Arc::new(File::open(&file.path).map_err(local)?);
        let identity = Identity::of(&opened.metadata().map_err(local)?);
        check_length(url, &opened, identity.bytes)?;
        if let Some((checksum, list)) = &listed {
            let (reporter, url) = (&self.fetcher.reporter, shown(url));
            reporter.detail(format!(
                "{url} has the {} that {list} says",
                checksum.algorithm
            ));
        }
        Ok(IsoImage {
            url: url.clone(),
            media: file.media.unwrap_or(Media::Absent),
            file,
            listed,
            opened,
            identity,
        })
    }

    /// The checksum that it must have, and what says that.
    async fn listed(&self, source: &IsoSource) -> Result<Option<(Checksum, String)>, Fault> {
        let name = file_name(&source.url);
        match &source.sum {
            Sum::Given(checksum) => Ok(Some((checksum.clone(), "--checksum".to_owned()))),
            Sum::List { url, only } => {
                let text = self.list(url, source).await?;
                let (list, kind) = (shown(url), only.unwrap_or("checksum"));
                match sums::find(&text, &name, *only) {
                    Some(checksum) => Ok(Some((checksum, list))),
                    None => Err(Fault::NotListed { list, kind, name }),
                }
            }
            Sum::Beside => {
                for beside in sums::BESIDE {
                    let Some(url) = sibling(&source.url, &beside.replace('*', &name)) else {
                        break;
                    };
                    let text = match self.list(&url, source).await {
                        Ok(text) => text,
                        Err(
                            Fault::NotFound { .. }
                            | Fault::Forbidden { .. }
                            | Fault::Outside { .. },
                        ) => continue,
                        Err(fault @ Fault::Unsigned { .. }) => return Err(fault),
                        // Whatever it is, the download will tell.
                        Err(_) => break,
                    };
                    if let Some(checksum) = sums::find(&text, &name, None) {
                        return Ok(Some((checksum, shown(&url))));
                    }
                }
                match &source.key {
                    None => Ok(None),
                    Some(keys) => Err(Fault::NoList {
                        url: shown(&source.url),
                        keys: keys.display().to_string(),
                    }),
                }
            }
        }
    }

    /// A list: what of it is signed, where it is to be.
    async fn list(&self, url: &Url, source: &IsoSource) -> Result<String, Fault> {
        let mut bytes = self
            .bytes(url, Expect::Any, sums::MAX_BYTES)
            .await?
            .to_vec();
        let (list, reporter) = (shown(url), &self.fetcher.reporter);
        let in_clear = bytes.starts_with(gpgv::CLEAR_SIGNED.as_bytes());
        let Some(keys) = &source.key else {
            if in_clear {
                reporter.note(format!(
                    "the signature of {list} is not verified: --checksum-key names the keys that may have made it"
                ));
            }
            return Ok(String::from_utf8_lossy(&bytes).into_owned());
        };
        let unsigned = |reason| Fault::Unsigned {
            list: list.clone(),
            keys: keys.display().to_string(),
            reason,
        };
        let verified = match in_clear {
            true => gpgv::clear_signed(&bytes, keys)
                .await
                .map(|text| bytes = text),
            false => match self.signature(url).await? {
                Some(signature) => gpgv::detached(&bytes, &signature, keys).await,
                None => {
                    return Err(unsigned(
                        "it has no signature, and none lies beside it".to_owned(),
                    ));
                }
            },
        };
        verified.map_err(|error| unsigned(format!("{error:#}")))?;
        reporter.note(format!("{list} is signed by a key of {}", keys.display()));
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The signature beside a list, if there is one.
    async fn signature(&self, list: &Url) -> Result<Option<Vec<u8>>, Fault> {
        let name = file_name(list);
        for ending in SIGNATURES {
            let Some(url) = sibling(list, &format!("{name}.{ending}")) else {
                break;
            };
            match self.bytes(&url, Expect::Any, sums::MAX_BYTES).await {
                Ok(bytes) => return Ok(Some(bytes.to_vec())),
                Err(Fault::NotFound { .. } | Fault::Forbidden { .. } | Fault::Outside { .. }) => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(None)
    }

    /// An image of this host: not copied, and read if nothing is known of it.
    async fn local_iso(
        &self,
        url: &Url,
        path: &Path,
        checksum: Option<&Checksum>,
    ) -> Result<CachedFile, Fault> {
        let failed = |error| Fault::local("reading", path, error);
        let LocalFile { file, real, .. } = self.open_local(url, path)?;
        let record = self.cache.seen_path(&real);
        let reporter = &self.fetcher.reporter;
        // Another run that reads it notes what it learns.
        let key = Key::new(&Source::file(url), None);
        let _lock = self
            .cache
            .lock(&key, self.fetcher.patience.whole, reporter)
            .await?;
        let identity = Identity::of(&file.metadata().map_err(failed)?);
        let known = read_json::<Seen>(&record);
        let known = known.filter(|seen| seen.path == real && seen.identity == identity);
        let mut digests = BTreeMap::new();
        if let Some(seen) = known.filter(|_| !self.refetch) {
            if let Some(found) = seen.told(checksum) {
                found.check(url, checksum)?;
                return Ok(local(real, &found, identity.bytes));
            }
            digests = seen.digests;
        }
        let file = Arc::new(file);
        let found = self.read_once(url, Arc::clone(&file), identity.bytes, checksum);
        let found = found.await?;
        if Identity::of(&file.metadata().map_err(failed)?) != identity {
            return Err(Fault::Disc {
                url: shown(url),
                reason: "changed while it was read: try again when it is whole".to_owned(),
            });
        }
        digests.insert("sha256".to_owned(), found.sha256.clone());
        if let Some((checksum, other)) = checksum.zip(found.other.clone()) {
            digests.insert(checksum.algorithm.clone(), other);
        }
        found.check(url, checksum)?;
        let seen = Seen {
            path: real.clone(),
            identity: identity.clone(),
            digests,
            media: found.media.unwrap_or(Media::Absent),
        };
        let written = serde_json::to_vec(&seen).map_err(io::Error::from);
        if let Err(error) = written.and_then(|json| write_whole(&record, &json)) {
            // Only the next run reads it again.
            reporter.detail(format!(
                "what was learnt of {} is not kept: {error}",
                shown(url)
            ));
        }
        Ok(local(real, &found, identity.bytes))
    }

    /// Reads a whole image beside the runtime, until nobody waits for it any more.
    async fn read_once(
        &self,
        url: &Url,
        file: Arc<File>,
        bytes: u64,
        checksum: Option<&Checksum>,
    ) -> Result<Digests, Fault> {
        let reporter = &self.fetcher.reporter;
        let failed = |error| Fault::Local {
            doing: "reading",
            path: PathBuf::from(url.path()),
            error,
        };
        let mut hasher = Hasher::of(Expect::Iso, checksum).map_err(failed)?;
        let abandoned = Abandoned::default();
        let (done, stop) = (Arc::new(AtomicU64::new(0)), Arc::clone(&abandoned.0));
        let so_far = Arc::clone(&done);
        let name = file_name(url);
        reporter.step(format!("verifying {name}"));
        let mut reading = tokio::task::spawn_blocking(move || -> io::Result<Digests> {
            hasher.read_all(&*file, |total| {
                so_far.store(total, Ordering::Relaxed);
                !stop.load(Ordering::Relaxed)
            })?;
            hasher.finish()
        });
        let every = self.fetcher.patience.tell_every;
        let mut ticks = interval_at(Instant::now() + every, every);
        loop {
            tokio::select! {
                read = &mut reading => {
                    let read = read.map_err(io::Error::other).and_then(|read| read);
                    return read.map_err(failed);
                }
                _ = ticks.tick() => {
                    let percent = done.load(Ordering::Relaxed).saturating_mul(100) / bytes.max(1);
                    let gib = bytes as f64 / f64::from(1 << 30);
                    reporter.note(format!("verifying {name}: {percent} % of {gib:.1} GiB"));
                }
            }
        }
    }
}

impl Seen {
    /// What is known, if it is all that is asked for.
    fn told(&self, checksum: Option<&Checksum>) -> Option<Digests> {
        let other = match checksum.map(|checksum| checksum.algorithm.as_str()) {
            None | Some("sha256") => None,
            Some(algorithm) => Some(self.digests.get(algorithm)?.clone()),
        };
        Some(Digests {
            sha256: self.digests.get("sha256")?.clone(),
            other,
            media: Some(self.media),
        })
    }
}

/// Says, when it is dropped, that nobody waits any more.
#[derive(Default)]
struct Abandoned(Arc<AtomicBool>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn local(path: PathBuf, digests: &Digests, bytes: u64) -> CachedFile {
    CachedFile {
        path,
        sha256: digests.sha256.clone(),
        bytes,
        origin: Origin::Local,
        media: digests.media,
        lease: None,
    }
}

fn device(file: &Arc<File>, bytes: u64) -> Device {
    let file = Arc::clone(file);
    Device::new(bytes, move |at, into| Ok(file.read_exact_at(into, at)?))
}

/// Refuses what is no disc, or ends before its own end.
fn check_length(url: &Url, file: &Arc<File>, bytes: u64) -> Result<Iso, Fault> {
    let url = shown(url);
    match Iso::open(device(file, bytes)) {
        Ok(iso) if iso.size() <= bytes => Ok(iso),
        Ok(iso) => Err(Fault::ShortImage {
            url,
            expected: iso.size(),
            found: bytes,
        }),
        Err(error) => {
            let reason = format!("is not an ISO image: {error:#}");
            Err(Fault::Disc { url, reason })
        }
    }
}

/// The name of the file at an address, as lists have it.
pub fn file_name(url: &Url) -> String {
    let last = url.path().rsplit('/').next().unwrap_or_default();
    let as_file = Url::parse(&format!("file:///{last}")).ok();
    let path = as_file.and_then(|url| url.to_file_path().ok());
    let name = path.as_deref().and_then(Path::file_name);
    name.map_or_else(
        || last.to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// A file beside the one at an address.
pub fn sibling(url: &Url, name: &str) -> Option<Url> {
    let mut url = url.clone();
    url.set_fragment(None);
    url.path_segments_mut().ok()?.pop().push(name);
    Some(url)
}

/// The name of the record of a file.
pub(super) fn record_name(path: &Path) -> String {
    format!("{}.json", hex::sha256(path.as_os_str().as_encoded_bytes()))
}
