//! What is asked of a file system, whichever it is.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use super::btrfs::Btrfs;
use super::contents::Contents;
use super::device::Device;
use super::ext::Ext;
use super::fat::Fat;
use super::luks;
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

/// An extended attribute: its name with its name space (`security.selinux`), and its value. ACLs are as
/// [`super::acl`] has them.
pub type Attribute = (String, Vec<u8>);

/// Which file of its file system a name stands for.
#[derive(Debug, Clone, Copy)]
pub enum Node {
    /// An inode by its number.
    Number(u64),
    /// One of a subvolume of a Btrfs.
    Btrfs(lambutter::Inode),
    /// There are no inodes: its path is all there is.
    Path,
}

impl Node {
    /// What is the same for all names of a file, and only for them; none where a file has one name.
    pub fn number(self) -> Option<(u64, u64)> {
        match self {
            Node::Number(number) => Some((0, number)),
            Node::Btrfs(inode) => Some((inode.subvolume(), inode.objectid())),
            Node::Path => None,
        }
    }
}

/// All that is known of a file but its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inode {
    /// Its type and permissions, as stat(2) has them.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// How long it is, in bytes.
    pub size: u64,
    /// When its content changed: seconds since 1970, and nanoseconds.
    pub modified: (i64, u32),
    /// How many names it has.
    pub links: u32,
    /// What it takes on the volume, in bytes.
    pub allocated: u64,
    /// Of a device file: major and minor number.
    pub device: (u32, u32),
    /// Its extended attributes.
    pub attributes: Vec<Attribute>,
    /// Where it leads, if it is a link.
    pub target: Option<PathBuf>,
}

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

/// A file system whose files are read by their nodes, as a walk through all of them does: in no more time than
/// they take.
pub trait Nodes {
    /// Which file the root directory is.
    ///
    /// # Errors
    /// It cannot be read.
    fn root(&mut self) -> Result<Node>;

    /// The entries of a directory, without `.` and `..`.
    ///
    /// # Errors
    /// It is no directory, or cannot be read; the file system was not unmounted.
    fn entries(&mut self, directory: &Path, node: Node) -> Result<Vec<(PathBuf, Node)>>;

    /// All that is known of a file that [`Nodes::entries`] gave, or the root.
    ///
    /// # Errors
    /// It cannot be read; the file system was not unmounted.
    fn inode(&mut self, path: &Path, node: Node) -> Result<Inode>;

    /// Where a regular file that [`Nodes::entries`] gave has data, in order and within its size; all else
    /// are zeroes. None if that is not known.
    ///
    /// # Errors
    /// It cannot be read.
    fn data(&mut self, node: Node, size: u64) -> Result<Option<Vec<Range<u64>>>>;

    /// As [`FileTree::read`], of a file that [`Nodes::entries`] gave.
    ///
    /// # Errors
    /// As [`FileTree::read`].
    fn read_node(&mut self, path: &Path, node: Node, at: u64, into: &mut [u8]) -> Result<usize>;
}

/// A file system in every way.
pub trait Readable: FileTree + Nodes {}

impl<T: FileTree + Nodes> Readable for T {}

/// Most pieces of a file with holes that are told.
pub(super) const MOST_PIECES: usize = 1 << 16;

/// Adds a piece of data to those before it, cut at the end of the file; whether there is room for it.
pub(super) fn add_data(data: &mut Vec<Range<u64>>, mut piece: Range<u64>, size: u64) -> bool {
    // Extents of a broken file system may lie over each other.
    let last = data.last().map_or(0, |last| last.end);
    piece.start = piece.start.max(last);
    piece.end = piece.end.min(size);
    match data.last_mut() {
        _ if piece.start >= piece.end => {}
        Some(last) if last.end == piece.start => last.end = piece.end,
        _ => data.push(piece),
    }
    data.len() <= MOST_PIECES
}

/// Opens the file system on a device; `subvolume` is what `mount -o subvol=` takes of a Btrfs.
///
/// # Errors
/// It is of a kind that is not read, or is broken.
pub fn open(
    device: &Device,
    contents: &Contents,
    subvolume: Option<&Path>,
) -> Result<Box<dyn Readable>> {
    let device = device.clone();
    Ok(match contents.kind.as_str() {
        "ext2" | "ext3" | "ext4" => Box::new(Ext::open(device)?),
        "xfs" => Box::new(Xfs::open(device)?),
        "btrfs" => Box::new(Btrfs::open(device, subvolume)?),
        "vfat" => Box::new(Fat::open(device)?),
        luks::KIND => bail!("it is encrypted (LUKS), and no passphrase of it is known"),
        "linux_raid_member" => bail!("it is a member of a software RAID, which is not read"),
        other => bail!("{other} is not read"),
    })
}
