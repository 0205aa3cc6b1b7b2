//! The cache of downloads: where things lie, and how they get there whole.
//!
//! ```text
//! files/SHA256           content, named by its digest, so that a name never changes its meaning
//!                        (a build that prepared its domain keeps the kernel it looked at)
//! entries/KEY.json       one per address and checksum: which content, and how it was obtained
//! parts/KEY.part(.json)  unfinished downloads
//! sets/KEY.json          the last state of a repository that was whole
//! trees/KEY.json         the last .treeinfo of a tree
//! seen/KEY.json          what was learnt of ISO images of this host, which stay where they are
//! locks/KEY              held by the run that fetches KEY
//! locks/use-SHA256       shared by the builds that use this content
//! locks/run-SECONDS-…    held by a build whose guest takes packages; what was used since it began is its own
//! pins/KEY.json          where a lock file is, whose contents are to stay
//! totals.json            what all builds took together
//! ```
//! Everything is written aside, flushed and renamed: a killed run leaves at most a part (which
//! the next run goes on with) or content without an entry (which the next run adopts).
//!
//! Content is world-readable, for QEMU runs as another user under `qemu:///system`; locks are this
//! user's alone. No address in here holds user, password or query.

use std::fs::{File, FileTimes, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::fault::Fault;
use super::fetch::Complete;
use super::implanted::Media;
use super::iso::record_name;
use super::part::{self, Validators};
use super::place::Place;
use super::share::Progress;
use super::treeinfo::Checksum;
use super::verify::{self, Digests, Expect, Hasher};
use crate::hex;
use crate::state::owned_dir::ASIDE_PREFIX;
use crate::state::{Access, Asked, LockFile, OwnedDir, lock_file};
use crate::ui::event::Reporter;

/// Version of the layout; another one gets another directory.
const LAYOUT: &str = "v1";

/// A file whose size, time and inode are those of its last check is taken as unchanged for this
/// long. Hashing an initrd of 100 MB takes 0.1 to 0.3 s, too much for each of a developer's
/// builds, little for one a day, and enough to notice a disk that loses bits.
const RECHECK_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Age after which an unfinished download that nobody went on with is removed.
const PART_MAX_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Age after which a small file that was written aside belongs to no living run: it lives for milliseconds.
const ASIDE_MAX_AGE: Duration = Duration::from_secs(3600);

/// For how long the time of a record tells when it was last used, in seconds, until that is written into it.
const USED_IN_RECORD: u64 = 24 * 3600;

/// How often it is said that we wait for it.
const TELL_INTERVAL: Duration = Duration::from_secs(30);

/// How long another run may remove content: an instant, unless that process is stopped.
const REMOVAL_LIMIT: Duration = Duration::from_secs(30);

/// Age after which what was learnt of an ISO image is forgotten.
const SEEN_MAX_AGE: Duration = Duration::from_secs(180 * 24 * 3600);

/// The directory of that.
const SEEN: &str = "seen";

/// The directories of what is kept of repositories and trees.
pub(super) const SETS: &str = "sets";
pub(super) const TREES: &str = "trees";

/// The directory of lock files' places.
pub(super) const PINS: &str = "pins";

/// What the locks of builds that run are called.
const RUN: &str = "run-";

/// How often it is looked how far another run is with what a guest waits for.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(100);

/// A claim on a cached file: while one lives, in any process, nobody removes the file.
pub type Lease = Arc<LockFile>;

/// The cache directory; cheap to clone.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
    locks: Arc<OwnedDir>,
}

/// Which cached thing: an address and the checksum that the tree gives for it.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) hex: String,
    /// Where it comes from, without secrets.
    name: String,
    checksum: Option<Checksum>,
}

impl Key {
    /// Of what proves itself by its checksum, where it comes from does not matter.
    pub(super) fn new(place: &Place, checksum: Option<&Checksum>) -> Key {
        let checksum_text = checksum.map(ToString::to_string).unwrap_or_default();
        let proves_itself = checksum.is_some_and(verify::is_known);
        let identity = match proves_itself {
            true => String::new(),
            false => place.identity(),
        };
        Key {
            hex: hex::sha256(format!("{identity}\n{checksum_text}")),
            name: place.name(),
            checksum: checksum.cloned(),
        }
    }
}

/// What tells a file that was written to since it was checked. The inode's change time is left
/// out: libvirt changes owners of kernels and initrds and back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    inode: u64,
    modified: (i64, i64),
    pub(super) bytes: u64,
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Stamp {
        Stamp {
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            bytes: metadata.len(),
        }
    }
}

/// One cached download: `entries/KEY.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CacheEntry {
    /// Where it came from, without user, password and query.
    pub url: String,
    pub(super) checksum: Option<String>,
    /// Its digest in hexadecimal digits.
    pub sha256: String,
    /// Its size in bytes.
    pub bytes: u64,
    pub(super) validators: Validators,
    /// When it was downloaded, in seconds since 1970, as the next two.
    pub fetched: u64,
    /// When a build last took it.
    pub used: u64,
    /// When all bytes were last hashed.
    pub(super) verified: u64,
    /// When a mirror was last asked for it, as far as that is of use to anybody, in milliseconds since 1970.
    #[serde(default)]
    pub(super) asked: u64,
    pub(super) stamp: Stamp,
    /// Of an ISO image, what its implanted checksum said. Such a file is not hashed again while it is as it
    /// was: that takes a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) media: Option<Media>,
    /// Whether a running build claims it; known of what was listed.
    #[serde(skip)]
    pub in_use: bool,
}

/// A build that uses the cache.
#[derive(Debug)]
pub struct Using {
    _lock: Option<LockFile>,
    name: String,
    locks: Arc<OwnedDir>,
}

impl Drop for Using {
    fn drop(&mut self) {
        let _ = self.locks.remove_file(&self.name);
    }
}

/// A cached file that is claimed and right.
pub(super) struct Held {
    pub(super) path: PathBuf,
    pub(super) entry: CacheEntry,
    pub(super) lease: Lease,
}

impl Cache {
    /// Opens the cache in `directory`, which is made if need be.
    ///
    /// # Errors
    /// A directory that cannot be made or entered.
    pub fn open(directory: &Path) -> anyhow::Result<Cache> {
        let failed = |doing, path: &Path, error| Fault::local(doing, path, error).into_error();
        let make = |path: PathBuf, mode| {
            OwnedDir::create(&path, mode).map_err(|error| failed("making", &path, error))
        };
        let root = directory.join(LAYOUT);
        make(root.clone(), 0o755)?;
        for name in ["files", "entries", "parts", SETS, TREES, PINS, SEEN] {
            make(root.join(name), 0o755)?;
        }
        let locks = make(root.join("locks"), 0o700)?;
        // An earlier version let others in.
        locks
            .set_mode(0o700)
            .map_err(|error| failed("closing", locks.path(), error))?;
        if let Ok(directory) = OwnedDir::open(directory)
            && !directory.join("CACHEDIR.TAG").exists()
        {
            // Keeps backups and `tar --exclude-caches` away (https://bford.info/cachedir/).
            let tag = b"Signature: 8a477f597d28d172789f06886806bc55\n# Downloads of ozr.\n";
            let _ = directory.replace("CACHEDIR.TAG", tag);
        }
        let locks = Arc::new(locks);
        Ok(Cache { root, locks })
    }

    /// A directory of the cache, ours still.
    pub(super) fn directory(&self, name: &str) -> io::Result<OwnedDir> {
        OwnedDir::open(&self.root.join(name))
    }

    /// Where a file of its own is.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Where content lies.
    pub fn content_path(&self, sha256: &str) -> PathBuf {
        self.root.join("files").join(sha256)
    }

    fn entry_path(&self, key: &Key) -> PathBuf {
        self.root.join("entries").join(format!("{}.json", key.hex))
    }

    /// Where is kept what is known of a repository.
    pub(super) fn set_path(&self, name: &str) -> PathBuf {
        let file = format!("{}.json", hex::sha256(name));
        self.root.join(SETS).join(file)
    }

    /// Where the last `.treeinfo` of a tree is kept.
    pub(super) fn tree_path(&self, name: &str) -> PathBuf {
        let file = format!("{}.json", hex::sha256(name));
        self.root.join(TREES).join(file)
    }

    /// Where is kept what was learnt of a file of this host.
    pub(super) fn seen_path(&self, file: &Path) -> PathBuf {
        self.root.join(SEEN).join(record_name(file))
    }

    /// Forgets what was learnt of files of this host longer ago than `age`.
    pub(super) fn forget_seen(&self, age: Duration) -> io::Result<()> {
        let seen = self.directory(SEEN)?;
        for name in seen.names()? {
            if is_older(&seen.join(&name), age) {
                seen.remove_file(name)?;
            }
        }
        Ok(())
    }

    pub(super) fn part_path(&self, key: &Key) -> PathBuf {
        self.root.join("parts").join(format!("{}.part", key.hex))
    }

    /// Waits until this run is the only one that works on `key`, no longer than `limit`, which the
    /// fetching of a file may take.
    pub(super) async fn lock(
        &self,
        key: &Key,
        limit: Duration,
        reporter: &Reporter,
    ) -> Result<LockFile, Fault> {
        let mut told: Option<Instant> = None;
        let tell = || {
            if told.is_none_or(|told| told.elapsed() >= TELL_INTERVAL) {
                told = Some(Instant::now());
                let holder = lock_file::holder(&self.locks, &key.hex);
                let what = &key.name;
                reporter.note(format!("waiting for {holder}, which is fetching {what}"));
            }
        };
        LockFile::take(&self.locks, &key.hex, Access::Exclusive, limit, tell)
            .await
            .map_err(|error| Fault::local("locking", &self.locks.join(&key.hex), error))
    }

    /// As [`Cache::lock`]; meanwhile `readers` read along what the other run fetches.
    pub(super) async fn lock_reading(
        &self,
        key: &Key,
        limit: Duration,
        readers: &Progress,
    ) -> Result<LockFile, Fault> {
        let begin = Instant::now();
        loop {
            let taken = self.try_lock(&key.hex);
            let locks = self.locks.join(&key.hex);
            if let Some(lock) = taken.map_err(|error| Fault::local("locking", &locks, error))? {
                return Ok(lock);
            }
            if begin.elapsed() > limit {
                let error = io::ErrorKind::TimedOut.into();
                return Err(Fault::local("locking", &locks, error));
            }
            readers.follow(&self.part_path(key));
            tokio::time::sleep(FOLLOW_INTERVAL).await;
        }
    }

    /// The lock of the thing with this key if nobody fetches it.
    pub(super) fn try_lock(&self, hex: &str) -> io::Result<Option<LockFile>> {
        LockFile::try_take(&self.locks, hex, Access::Exclusive)
    }

    /// Claims content, whether or not it is there.
    async fn claim(&self, sha256: &str) -> Result<Lease, Fault> {
        let name = claim_name(sha256);
        LockFile::take(&self.locks, &name, Access::Shared, REMOVAL_LIMIT, || {})
            .await
            .map(Arc::new)
            .map_err(|error| Fault::local("claiming", &self.locks.join(&name), error))
    }

    /// Claims content; none if it is not there.
    async fn lease(&self, sha256: &str) -> Result<Option<Lease>, Fault> {
        let lease = self.claim(sha256).await?;
        Ok(self.content_path(sha256).exists().then_some(lease))
    }

    /// Removes content unless somebody claims it; tells whether it is gone.
    pub(super) fn remove_unclaimed(&self, sha256: &str) -> io::Result<bool> {
        let name = claim_name(sha256);
        let lock = LockFile::try_take(&self.locks, &name, Access::Exclusive)?;
        if lock.is_some() {
            self.directory("files")?.remove_file(sha256)?;
            self.locks.remove_file(name)?;
        }
        Ok(lock.is_some())
    }

    /// Whether somebody claims content.
    pub(super) fn is_claimed(&self, sha256: &str) -> bool {
        let asked = LockFile::ask(&self.locks, &claim_name(sha256), Access::Exclusive);
        matches!(asked, Ok(Asked::Held))
    }

    /// Notes that a build begins to use what is here: until what is given is dropped, nothing that was used since is
    /// removed.
    pub(super) fn begin_use(&self) -> io::Result<Using> {
        let random = hex::random().map_err(io::Error::other)?;
        let name = format!("{RUN}{}-{}", now(), &random[..16]);
        let lock = LockFile::try_take(&self.locks, &name, Access::Exclusive)?;
        Ok(Using {
            _lock: lock,
            name,
            locks: Arc::clone(&self.locks),
        })
    }

    /// Since when what was used belongs to builds that run.
    pub(super) fn in_use_since(&self) -> Option<u64> {
        let names = self.locks.names().ok()?;
        let runs = names
            .iter()
            .filter_map(|name| name.to_str()?.strip_prefix(RUN));
        let held = runs.filter(|run| {
            let asked = LockFile::ask(&self.locks, &format!("{RUN}{run}"), Access::Exclusive);
            matches!(asked, Ok(Asked::Held))
        });
        held.filter_map(|run| run.split_once('-')?.0.parse().ok())
            .min()
    }

    /// Removes the locks that nobody holds. Whoever gets one now sees that its file is gone.
    pub(super) fn remove_free_locks(&self) -> io::Result<()> {
        for name in self.locks.names()? {
            let Some(name) = name.to_str() else { continue };
            if let Asked::Taken(_lock) = LockFile::ask(&self.locks, name, Access::Exclusive)? {
                self.locks.remove_file(name)?;
            }
        }
        Ok(())
    }

    /// Whether there is something for a key.
    pub(super) fn has(&self, key: &Key) -> bool {
        let entry = read_json::<CacheEntry>(&self.entry_path(key));
        let entry = entry.map(|entry| entry.sha256);
        let proof = key.checksum.as_ref().filter(|c| c.algorithm == "sha256");
        let mut digests = entry.iter().chain(proof.map(|checksum| &checksum.hex));
        digests.any(|sha256| self.content_path(sha256).exists())
    }

    /// Keeps a small text that was fetched some other way.
    pub(super) fn put(&self, name: &str, sha256: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.content_path(sha256);
        if !path.exists() {
            write_whole(&path, bytes)?;
        }
        let checksum = Checksum {
            algorithm: "sha256".to_owned(),
            hex: sha256.to_owned(),
        };
        let key = Key {
            hex: hex::sha256(format!("\n{checksum}")),
            name: name.to_owned(),
            checksum: Some(checksum),
        };
        let stamp = Stamp::of(&std::fs::metadata(&path)?);
        let entry = self.entry(&key, sha256.to_owned(), stamp, Validators::default());
        write_whole(&self.entry_path(&key), &serde_json::to_vec_pretty(&entry)?)
    }

    /// What the cache holds for `key`, claimed, if it is whole and right. Content that was
    /// damaged is forgotten, with a warning.
    pub(super) async fn held(&self, key: &Key, reporter: &Reporter) -> Result<Option<Held>, Fault> {
        let Some(entry) = read_json::<CacheEntry>(&self.entry_path(key)) else {
            return Ok(None);
        };
        let path = self.content_path(&entry.sha256);
        let Some(lease) = self.lease(&entry.sha256).await? else {
            return Ok(None);
        };
        let Some(entry) = self.checked(&path, entry).await? else {
            reporter.warn(format!(
                "the cached copy of {} was damaged, so it is fetched anew; check the disk under {}",
                key.name,
                self.root.display()
            ));
            let _ = std::fs::remove_file(self.entry_path(key));
            drop(lease);
            // Another run that claims the damaged file has looked at it before.
            let _ = std::fs::remove_file(&path);
            return Ok(None);
        };
        Ok(Some(Held { path, entry, lease }))
    }

    /// Adopts content that another address, or a killed run, brought.
    pub(super) async fn adopt(&self, key: &Key, expect: Expect) -> Result<Option<Held>, Fault> {
        let Some(checksum) = key.checksum.as_ref().filter(|c| c.algorithm == "sha256") else {
            return Ok(None);
        };
        let path = self.content_path(&checksum.hex);
        let Some(lease) = self.lease(&checksum.hex).await? else {
            return Ok(None);
        };
        let (digests, stamp) = hash_file(&path, expect, None).await?;
        let (sha256, media) = (digests.sha256, digests.media);
        if sha256 != checksum.hex || media == Some(Media::Wrong) {
            drop(lease);
            let _ = std::fs::remove_file(&path);
            return Ok(None);
        }
        let entry = CacheEntry {
            media,
            ..self.entry(key, sha256, stamp, Validators::default())
        };
        self.write_entry(key, &entry)?;
        part::remove(&self.part_path(key));
        Ok(Some(Held { path, entry, lease }))
    }

    /// Gives a finished download its place.
    pub(super) async fn publish(&self, key: &Key, complete: Complete) -> Result<Held, Fault> {
        let part_path = self.part_path(key);
        let failed = |error| Fault::local("storing", &part_path, error);
        let sha256 = complete.digests.sha256.clone();
        let path = self.content_path(&sha256);
        let file = complete.part.file().map_err(failed)?;
        // Claimed before it has its name, so that no other run's pruning can come between.
        let lease = self.claim(&sha256).await?;
        let validators = complete.part.validators().clone();
        // The same bytes may be there already, used by another run: they stay.
        let same = match hash_file(&path, Expect::Any, None).await {
            Ok((found, stamp)) if found.sha256 == sha256 => Some(stamp),
            _ => None,
        };
        let stamp = if let Some(stamp) = same {
            stamp
        } else {
            let metadata = tokio::task::spawn_blocking(move || -> io::Result<Metadata> {
                file.set_permissions(Permissions::from_mode(0o644))?;
                file.sync_all()?;
                file.metadata()
            })
            .await
            .map_err(|error| failed(io::Error::other(error)))?
            .map_err(|error| Fault::writing_to(&key.name, &part_path, error))?;
            std::fs::rename(&part_path, &path).map_err(failed)?;
            let files = self.directory("files").map_err(failed)?;
            rustix::fs::fsync(&files).map_err(|error| failed(error.into()))?;
            Stamp::of(&metadata)
        };
        complete.part.discard();
        let entry = CacheEntry {
            media: complete.digests.media,
            ..self.entry(key, sha256, stamp, validators)
        };
        self.write_entry(key, &entry)?;
        Ok(Held { path, entry, lease })
    }

    /// Notes that an entry was used. Where that cannot be noted, on a full disk, it is as good as it was.
    pub(super) fn touch(&self, key: &Key, held: &mut Held) {
        let before = std::mem::replace(&mut held.entry.used, now());
        let path = self.entry_path(key);
        let is_as_before = read_json::<CacheEntry>(&path).is_some_and(|entry| {
            (entry.verified, &entry.stamp) == (held.entry.verified, &held.entry.stamp)
        });
        if is_as_before && before.abs_diff(held.entry.used) < USED_IN_RECORD {
            // The record's own time says it, which costs a build of a thousand packages nothing.
            let times = FileTimes::new().set_modified(SystemTime::now());
            let touched = File::options().write(true).open(&path);
            if touched.and_then(|file| file.set_times(times)).is_ok() {
                return;
            }
        }
        let _ = self.write_entry(key, &held.entry);
    }

    /// Notes that a mirror was asked for it just now, and has it still. Where that cannot be noted, it is asked again.
    pub(super) fn note_asked(&self, key: &Key, held: &mut Held) {
        (held.entry.used, held.entry.asked) = (now(), milliseconds());
        let _ = self.write_entry(key, &held.entry);
    }

    /// The entry if its file is as it was, hashed again where that is due; none if it changed.
    async fn checked(
        &self,
        path: &Path,
        mut entry: CacheEntry,
    ) -> Result<Option<CacheEntry>, Fault> {
        let metadata =
            std::fs::metadata(path).map_err(|error| Fault::local("reading", path, error))?;
        if metadata.len() != entry.bytes {
            return Ok(None);
        }
        let age = now().checked_sub(entry.verified);
        let is_recent = age.is_some_and(|age| age < RECHECK_AFTER.as_secs());
        let is_recent = is_recent || entry.media.is_some();
        if Stamp::of(&metadata) == entry.stamp && is_recent {
            return Ok(Some(entry));
        }
        let (digests, stamp) = hash_file(path, Expect::Any, None).await?;
        if digests.sha256 != entry.sha256 {
            return Ok(None);
        }
        entry.stamp = stamp;
        entry.verified = now();
        Ok(Some(entry))
    }

    /// Forgets an unfinished download unless another run is at it.
    pub(super) fn forget_part(&self, key: &Key) {
        if let Ok(Some(_lock)) = self.try_lock(&key.hex) {
            part::remove(&self.part_path(key));
        }
    }

    /// Removes what killed runs left and nobody came back for.
    pub(super) fn remove_leftovers(&self) {
        // What cannot be removed now will be tried again by the next run.
        let _ = self.remove_parts(PART_MAX_AGE);
        let _ = self.forget_seen(SEEN_MAX_AGE);
        for name in ["entries", "parts", SETS, TREES, PINS, SEEN] {
            let _ = self.directory(name).and_then(|dir| remove_asides(&dir));
        }
    }

    /// Removes unfinished downloads that are older than `age` and that no run is at; gives their
    /// bytes.
    pub(super) fn remove_parts(&self, age: Duration) -> io::Result<u64> {
        let mut freed = 0;
        let parts = self.directory("parts")?;
        for name in parts.names()? {
            let hex = name.to_str().and_then(|name| name.split_once('.'));
            let Some((hex, _)) = hex.filter(|(hex, _)| !hex.is_empty()) else {
                continue;
            };
            let path = parts.join(&name);
            if !is_older(&path, age) {
                continue;
            }
            if let Some(_lock) = self.try_lock(hex)? {
                freed += path.metadata().map_or(0, |metadata| metadata.len());
                // Its notes go with it, so either may be gone already.
                parts.remove_file(&name)?;
            }
        }
        Ok(freed)
    }

    fn entry(&self, key: &Key, sha256: String, stamp: Stamp, validators: Validators) -> CacheEntry {
        let now = now();
        CacheEntry {
            url: key.name.clone(),
            checksum: key.checksum.as_ref().map(ToString::to_string),
            sha256,
            bytes: stamp.bytes,
            validators,
            fetched: now,
            used: now,
            verified: now,
            asked: milliseconds(),
            stamp,
            media: None,
            in_use: false,
        }
    }

    fn write_entry(&self, key: &Key, entry: &CacheEntry) -> Result<(), Fault> {
        let path = self.entry_path(key);
        serde_json::to_vec_pretty(entry)
            .map_err(io::Error::from)
            .and_then(|json| write_whole(&path, &json))
            .map_err(|error| Fault::local("writing", &path, error))
    }
}

/// Digests and stamp of a file, worked out beside the runtime.
pub(super) async fn hash_file(
    path: &Path,
    expect: Expect,
    checksum: Option<&Checksum>,
) -> Result<(Digests, Stamp), Fault> {
    let hasher = Hasher::of(expect, checksum);
    let owned = path.to_path_buf();
    tokio::task::spawn_blocking(move || -> io::Result<(Digests, Stamp)> {
        let metadata = std::fs::metadata(&owned)?;
        let mut hasher = hasher?;
        hasher.read(&owned)?;
        Ok((hasher.finish()?, Stamp::of(&metadata)))
    })
    .await
    .map_err(io::Error::other)
    .and_then(|result| result)
    .map_err(|error| Fault::local("reading", path, error))
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs())
}

pub(super) fn milliseconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_millis() as u64)
}

/// Reads one of our own files; one that cannot be read is as good as none.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Writes a small file of the cache so that its name always stands for a whole one.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().and_then(|name| name.to_str());
    let (Some(directory), Some(name)) = (path.parent(), name) else {
        return Err(io::ErrorKind::InvalidFilename.into());
    };
    OwnedDir::open(directory)?.replace(name, bytes)
}

/// Removes what was written aside in a directory by runs that were killed.
fn remove_asides(directory: &OwnedDir) -> io::Result<()> {
    for name in directory.names()? {
        let is_aside = name.to_string_lossy().starts_with(ASIDE_PREFIX);
        if is_aside && is_older(&directory.join(&name), ASIDE_MAX_AGE) {
            directory.remove_file(name)?;
        }
    }
    Ok(())
}

/// Name of the lock that those share who use this content.
fn claim_name(sha256: &str) -> String {
    format!("use-{sha256}")
}

fn is_older(path: &Path, age: Duration) -> bool {
    path.metadata()
        .and_then(|metadata| metadata.modified())
        .ok()
        .and_then(|modified| modified.elapsed().ok())
        .is_some_and(|elapsed| elapsed >= age)
}
