//! The files of a build whose guest runs on another host: volumes of a storage pool there. Their names begin with
//! the build's id, which is the mark by which they are found again.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::fs::OFlags;
use serde::Deserialize;
use virt::connect::Connect;
use virt::error::ErrorNumber;
use virt::storage_pool::StoragePool;
use virt::storage_vol::StorageVol;
use virt::sys;

use super::transfer::{download, upload};
use super::{host_error, open_daemon};
use crate::error::{Classify, Kind, fail};
use crate::host::carrying::Carrying;
use crate::host::connection::DEFAULT_POOL;
use crate::panics::lock;

/// Kinds of pools whose volumes are files in a directory, where one that outgrows its size is as well as another
/// (libvirt's "Storage pool XML format").
const OF_FILES: [&str; 3] = ["dir", "fs", "netfs"];

/// Most bytes of a file's name that its volume's has.
const LONGEST_NAME: usize = 100;

/// The file in the pool where UEFI keeps the variables of a guest.
const NVRAM: &str = "nvram.fd";

/// How long a pool that others use may not be looked through, and how often it is tried: libvirt refuses that while
/// something is written into it.
const BUSY_LIMIT: Duration = Duration::from_secs(10);
const BUSY_INTERVAL: Duration = Duration::from_millis(250);

/// How long a new connection may take when the one of the build was lost.
const AGAIN_LIMIT: Duration = Duration::from_secs(4);

/// Where the files of a build are on the other host.
pub(super) struct Store {
    connect: Connect,
    uri: String,
    pool: String,
    place: OnceLock<PathBuf>,
    /// What a file was when its volume was the same.
    held: Mutex<HashMap<PathBuf, Stamp>>,
    /// Whether QEMU may have made files there itself.
    more: AtomicBool,
    /// The builds that have something there.
    builds: Mutex<Vec<String>>,
    /// Whether something may be there when all is over.
    left: Arc<AtomicBool>,
    kept: AtomicBool,
}

/// Tells a file from what it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp([i64; 4]);

impl Stamp {
    fn of(file: &File) -> anyhow::Result<Stamp> {
        let file = file.metadata()?;
        let number = |number: u64| i64::from_ne_bytes(number.to_ne_bytes());
        let (length, inode) = (number(file.len()), number(file.ino()));
        Ok(Stamp([length, inode, file.mtime(), file.mtime_nsec()]))
    }
}

impl Store {
    pub(super) fn new(connect: &Connect, uri: &str, pool: Option<&str>) -> Store {
        Store {
            connect: connect.clone(),
            uri: uri.to_owned(),
            pool: pool.unwrap_or(DEFAULT_POOL).to_owned(),
            place: OnceLock::new(),
            held: Mutex::default(),
            more: AtomicBool::new(false),
            builds: Mutex::default(),
            left: Arc::default(),
            kept: AtomicBool::new(false),
        }
    }

    /// Tells, also after this value is dropped, whether something of the build may be there still.
    pub(super) fn survival(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.left)
    }

    /// Leaves all of it there when this value is dropped.
    pub(super) fn keep(&self) {
        self.kept.store(true, Ordering::SeqCst);
    }

    /// The pool, if it is there and one of files.
    fn pool(&self) -> anyhow::Result<StoragePool> {
        let (name, uri) = (&self.pool, &self.uri);
        match self.connect.lookup_storage_pool_by_name(name) {
            Ok(pool) if pool.is_active().map_err(host_error)? => Ok(pool),
            Ok(_) => fail!(
                Kind::Host,
                "the storage pool `{name}` of {uri} is not active: `virsh -c '{uri}' pool-start {name}`"
            ),
            Err(error) if error.code().is(ErrorNumber::NoStoragePool) => fail!(
                Kind::Host,
                "{uri} has no storage pool `{name}` for the guest's files: name another with --storage-pool (`virsh -c '{uri}' pool-list --all` lists them), or make it there (`virsh pool-create-as {name} dir --target /var/lib/libvirt/images`)"
            ),
            Err(error) => Err(host_error(error)),
        }
    }

    /// The pool's directory on the other host.
    ///
    /// # Errors
    /// Host: there is no such pool, or it is none of files.
    pub(super) fn place(&self) -> anyhow::Result<&Path> {
        if let Some(place) = self.place.get() {
            return Ok(place);
        }
        let xml = self.pool()?.xml_desc(0).map_err(host_error)?;
        let pool: PoolXml = quick_xml::de::from_str(&xml)
            .context("parsing the storage pool's XML")
            .kind(Kind::Host)?;
        if !OF_FILES.contains(&&*pool.kind) {
            fail!(
                Kind::Host,
                "the storage pool `{}` of {} is of the kind `{}`, and ozr's volumes grow as files do: name a pool of files (dir, fs, netfs) with --storage-pool",
                self.pool,
                self.uri,
                pool.kind
            );
        }
        Ok(self.place.get_or_init(|| pool.target.path.into()))
    }

    /// What a file of the build is called on the other host.
    ///
    /// # Errors
    /// As [`Store::place`].
    pub(super) fn renamed(&self, build_id: &str, file: &Path) -> anyhow::Result<PathBuf> {
        Ok(self.place()?.join(volume_name(build_id, file)))
    }

    /// Where UEFI keeps the variables of the build's guest.
    ///
    /// # Errors
    /// As [`Store::place`].
    pub(super) fn nvram(&self, build_id: &str) -> anyhow::Result<PathBuf> {
        self.more.store(true, Ordering::SeqCst);
        Ok(self.place()?.join(mark(build_id) + NVRAM))
    }

    /// Brings files of the build there that are not there as they are now. Blocks.
    ///
    /// # Errors
    /// Host: libvirt's; a file cannot be read; it is to stop.
    pub(super) fn send(
        &self,
        build_id: &str,
        files: &[&Path],
        carrying: &Carrying,
    ) -> anyhow::Result<()> {
        self.place()?;
        let pool = self.pool()?;
        let mut new = Vec::new();
        for path in files {
            let reading = || format!("reading {}", path.display());
            let file = File::open(path).with_context(reading)?;
            let stamp = Stamp::of(&file).with_context(reading)?;
            if lock(&self.held).get(*path) != Some(&stamp) {
                carrying.expect(file.metadata().with_context(reading)?.len());
                new.push((*path, file, stamp));
            }
        }
        if !new.is_empty() {
            self.left.store(true, Ordering::SeqCst);
            let mut builds = lock(&self.builds);
            if !builds.iter().any(|id| id == build_id) {
                builds.push(build_id.to_owned());
            }
        }
        for (path, file, stamp) in new {
            let sent = || -> anyhow::Result<()> {
                let volume = volume(&pool, &volume_name(build_id, path), file.metadata()?.len())?;
                upload(&self.connect, &volume, &file, carrying)
            };
            sent()
                .with_context(|| {
                    format!(
                        "sending {} to {} (look at the link, and at the room in its storage pool)",
                        path.display(),
                        self.uri
                    )
                })
                .kind(Kind::Host)?;
            lock(&self.held).insert(path.to_path_buf(), stamp);
        }
        Ok(())
    }

    /// Makes files of the build what their volumes are now. Blocks.
    ///
    /// # Errors
    /// Host: libvirt's; a file cannot be written; it is to stop.
    pub(super) fn fetch(
        &self,
        build_id: &str,
        files: &[&Path],
        carrying: &Carrying,
    ) -> anyhow::Result<()> {
        let pool = self.pool()?;
        let mut volumes = Vec::new();
        for path in files {
            let name = volume_name(build_id, path);
            let volume = pool.lookup_storage_vol_by_name(&name);
            let volume = volume.map_err(host_error)?;
            carrying.expect(volume.info().map_err(host_error)?.allocation);
            volumes.push((*path, volume));
        }
        for (path, volume) in volumes {
            // From now on, until it is whole, it is neither.
            lock(&self.held).remove(path);
            let fetched = || -> anyhow::Result<Stamp> {
                let flags = i32::try_from(OFlags::NOFOLLOW.bits())?;
                let file = OpenOptions::new()
                    .write(true)
                    .custom_flags(flags)
                    .open(path)?;
                download(&self.connect, &volume, &file, carrying)?;
                Stamp::of(&file)
            };
            let stamp = fetched()
                .with_context(|| {
                    format!(
                        "fetching {} from {} (look at the link, and at the room here)",
                        path.display(),
                        self.uri
                    )
                })
                .kind(Kind::Host)?;
            lock(&self.held).insert(path.to_path_buf(), stamp);
        }
        Ok(())
    }

    /// Removes what is there of all builds.
    fn clear(&self) -> anyhow::Result<()> {
        let again;
        let connect = match self.connect.is_alive() {
            Ok(true) => &self.connect,
            // The link was cut, but may be there again.
            _ => {
                again = open_daemon(&self.uri, AGAIN_LIMIT)
                    .map_err(anyhow::Error::msg)
                    .kind(Kind::Host)?;
                &again
            }
        };
        for build_id in lock(&self.builds).iter() {
            remove_volumes(connect, build_id, self.more.load(Ordering::SeqCst))?;
        }
        Ok(())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let nothing = !self.left.load(Ordering::SeqCst);
        if nothing || self.kept.load(Ordering::SeqCst) {
            return;
        }
        match self.clear() {
            Ok(()) => self.left.store(false, Ordering::SeqCst),
            Err(error) => tracing::warn!(uri = %self.uri, %error, "removing volumes"),
        }
    }
}

/// Removes all volumes of a build, in whichever pool they are; with `more`, the files that QEMU made beside them, too.
///
/// # Errors
/// [`Kind::Host`] when libvirt refuses.
pub(super) fn remove_volumes(connect: &Connect, build_id: &str, more: bool) -> anyhow::Result<()> {
    let mark = mark(build_id);
    for pool in pools(connect)? {
        let mut names = of_build(&pool, &mark)?;
        if more && !names.is_empty() {
            // libvirt has not seen them yet.
            refresh(&pool)?;
            names = of_build(&pool, &mark)?;
        }
        for name in names {
            remove_volume(&pool, &name)?;
        }
    }
    Ok(())
}

/// How many volumes of a build there are.
///
/// # Errors
/// [`Kind::Host`] when libvirt does not answer.
pub(super) fn count_volumes(connect: &Connect, build_id: &str) -> anyhow::Result<usize> {
    let mark = mark(build_id);
    let counts = pools(connect)?.into_iter();
    let counts = counts.map(|pool| anyhow::Ok(of_build(&pool, &mark)?.len()));
    counts.sum()
}

/// The pools that can be looked into.
fn pools(connect: &Connect) -> anyhow::Result<Vec<StoragePool>> {
    match connect.list_all_storage_pools(sys::VIR_CONNECT_LIST_STORAGE_POOLS_ACTIVE) {
        Ok(pools) => Ok(pools),
        // Without a storage driver nothing was ever there.
        Err(error) if error.code().is(ErrorNumber::NoSupport) => Ok(Vec::new()),
        Err(error) => Err(host_error(error)),
    }
}

fn of_build(pool: &StoragePool, mark: &str) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for volume in pool.list_all_volumes(0).map_err(host_error)? {
        // One that was removed meanwhile has none.
        names.extend(volume.name().ok().filter(|name| name.starts_with(mark)));
    }
    Ok(names)
}

fn refresh(pool: &StoragePool) -> anyhow::Result<()> {
    let deadline = Instant::now() + BUSY_LIMIT;
    loop {
        match pool.refresh(0) {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() >= deadline => return Err(host_error(error)),
            Err(_) => thread::sleep(BUSY_INTERVAL),
        }
    }
}

fn remove_volume(pool: &StoragePool, name: &str) -> anyhow::Result<()> {
    let gone = |error: virt::error::Error| match error.code().is(ErrorNumber::NoStorageVolume) {
        true => Ok(()),
        false => Err(host_error(error)),
    };
    match pool.lookup_storage_vol_by_name(name) {
        Ok(volume) => volume.delete(0).or_else(gone),
        Err(error) => gone(error),
    }
}

/// A new volume in the place of whatever has its name.
fn volume(pool: &StoragePool, name: &str, length: u64) -> anyhow::Result<StorageVol> {
    remove_volume(pool, name)?;
    // To libvirt it is bytes, whatever is in them; what reads them is told of their format.
    let xml = format!(
        "<volume><name>{name}</name><capacity>{length}</capacity><allocation>0</allocation>\
         <target><format type='raw'/><permissions><mode>0600</mode></permissions></target></volume>"
    );
    StorageVol::create_xml(pool, &xml, 0).map_err(host_error)
}

/// What the names of all of a build's volumes begin with.
fn mark(build_id: &str) -> String {
    format!("ozr-{build_id}-")
}

/// The name of a file's volume: the same each time it is asked for by this process, and that of no other file.
fn volume_name(build_id: &str, file: &Path) -> String {
    let mut hasher = DefaultHasher::new();
    file.hash(&mut hasher);
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let plain = |c: char| match c.is_ascii_alphanumeric() || "._-".contains(c) {
        true => c,
        false => '_',
    };
    let name: String = name.chars().map(plain).take(LONGEST_NAME).collect();
    format!("{}{:016x}-{name}", mark(build_id), hasher.finish())
}

#[derive(Debug, Deserialize)]
struct PoolXml {
    #[serde(rename = "@type")]
    kind: String,
    target: Target,
}

#[derive(Debug, Deserialize)]
struct Target {
    path: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_named_after_their_build_and_told_apart() {
        let name = |path: &str| volume_name("ab12", Path::new(path));
        let one = name("/a/disk.qcow2");
        assert!(one.starts_with("ozr-ab12-") && one.ends_with("-disk.qcow2"));
        assert_eq!(one, name("/a/disk.qcow2"));
        assert_ne!(one, name("/b/disk.qcow2"));
        let strange = name("/a/<x> \u{e9}'&");
        assert!(strange.ends_with("-_x_____"), "{strange}");
        assert!(name(&format!("/a/{}", "x".repeat(255))).len() < 200);
    }

    #[test]
    fn the_pools_directory_comes_from_its_xml() {
        let xml = "<pool type='dir'><name>a</name><capacity unit='bytes'>1</capacity><source/>\
                   <target><path>/var/lib/a&amp;b</path><permissions><mode>0711</mode></permissions></target></pool>";
        let pool: PoolXml = quick_xml::de::from_str(xml).unwrap();
        assert_eq!((&*pool.kind, &*pool.target.path), ("dir", "/var/lib/a&b"));
    }
}
