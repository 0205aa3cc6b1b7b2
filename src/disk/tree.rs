//! What is asked of a file system, whichever it is.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use super::btrfs::Btrfs;
use super::contents::Contents;
use super::device::Device;
use super::ext::Ext;
use super::fat::Fat;
use super::xfs::Xfs;

/// What kind of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A device, pipe or socket.
    Special,
}

/// What is known of a file; of a link, of the link itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// What kind of file it is.
    pub kind: Kind,
    /// Permissions with set-user-id and the like: the lowest 12 bits of its mode.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// How long it is, in bytes.
    pub size: u64,
    /// When its content changed, in seconds since 1970.
    pub modified: i64,
}

impl Kind {
    /// Of an inode's mode.
    pub fn of(mode: u32) -> Kind {
        match mode & 0o170_000 {
            0o100_000 => Kind::File,
            0o040_000 => Kind::Directory,
            0o120_000 => Kind::Link,
            _ => Kind::Special,
        }
    }
}

impl Metadata {
    /// Of an inode's fields.
    pub fn new(mode: u32, (uid, gid): (u32, u32), size: u64, modified: i64) -> Metadata {
        Metadata {
            kind: Kind::of(mode),
            mode: mode & 0o7777,
            uid,
            gid,
            size,
            modified,
        }
    }
}

/// An extended attribute: its name with its name space (`security.selinux`), and its value.
pub type Attribute = (String, Vec<u8>);

/// A file system. Paths are absolute and without `.` and `..`; no link on them is followed.
pub trait FileTree {
    /// Whether it was unmounted. Else what a file system's log holds may be missing here, and what is not
    /// read through it (owners, times, attributes) may not be known.
    ///
    /// # Errors
    /// It cannot be told.
    fn was_unmounted(&mut self) -> Result<bool>;

    /// What kind of file it is, and its bytes; none if there is none.
    ///
    /// # Errors
    /// The file system cannot be read there.
    fn kind(&mut self, path: &Path) -> Result<Option<(Kind, u64)>>;

    /// What is known of a file; none if there is none.
    ///
    /// # Errors
    /// The file system cannot be read there.
    fn metadata(&mut self, path: &Path) -> Result<Option<Metadata>>;

    /// Fills `into` with a regular file's content from a place on, as far as it goes; how far that is.
    ///
    /// # Errors
    /// It is no regular file, or cannot be read.
    fn read(&mut self, path: &Path, at: u64, into: &mut [u8]) -> Result<usize>;

    /// The names in a directory, without `.` and `..`.
    ///
    /// # Errors
    /// It is no directory, or cannot be read.
    fn read_dir(&mut self, path: &Path) -> Result<Vec<PathBuf>>;

    /// Where a link leads.
    ///
    /// # Errors
    /// It is no link, or cannot be read.
    fn read_link(&mut self, path: &Path) -> Result<PathBuf>;

    /// The extended attributes of a file; of a link, those of the link itself.
    ///
    /// # Errors
    /// There is no such file, or they cannot be read.
    fn attributes(&mut self, path: &Path) -> Result<Vec<Attribute>>;
}

/// Opens the file system on a device; `subvolume` is what `mount -o subvol=` takes of a Btrfs.
///
/// # Errors
/// It is of a kind that is not read, or is broken.
pub fn open(
    device: &Device,
    contents: &Contents,
    subvolume: Option<&Path>,
) -> Result<Box<dyn FileTree>> {
    let device = device.clone();
    Ok(match contents.kind.as_str() {
        "ext2" | "ext3" | "ext4" => Box::new(Ext::open(device)?),
        "xfs" => Box::new(Xfs::open(device)?),
        "btrfs" => Box::new(Btrfs::open(device, subvolume)?),
        "vfat" => Box::new(Fat::open(device)?),
        "crypto_LUKS" => bail!("it is encrypted (LUKS), which is not read"),
        "linux_raid_member" => bail!("it is a member of a software RAID, which is not read"),
        other => bail!("{other} is not read"),
    })
}
