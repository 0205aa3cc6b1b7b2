//! XFS, its log replayed in memory.

use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use lamxfs::{BlockRead, Error, Inode};

use super::device::Device;
use super::tree::{self, Attribute, FileTree, Kind, Metadata, Node, Nodes};
use super::xfs_inode::Inodes;

/// Of how many entries lamxfs leaves out what is beyond (its `dir.rs`).
const MOST_ENTRIES: usize = 1 << 20;

/// A file system.
#[allow(missing_debug_implementations)] // lamxfs has none
pub struct Xfs {
    system: lamxfs::Xfs<Reader>,
    inodes: Inodes,
}

impl Xfs {
    /// The file system on a device.
    ///
    /// # Errors
    /// There is none, or it is broken.
    pub fn open(device: Device) -> Result<Xfs> {
        let inodes = Inodes::open(device.clone())?;
        let size = device.size();
        let system = lamxfs::Xfs::open(Reader(device), size).map_err(said)?;
        Ok(Xfs { system, inodes })
    }

    fn find(&mut self, path: &Path) -> Result<Option<Inode>> {
        match self.system.resolve(of(path)) {
            Ok(inode) => Ok(Some(inode)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(why) => Err(said(why)),
        }
    }

    fn get(&mut self, path: &Path) -> Result<Inode> {
        self.find(path)?
            .ok_or_else(|| anyhow!("there is no such file"))
    }
}

fn of(path: &Path) -> lamxfs::Path<'_> {
    lamxfs::Path::new(path.as_os_str().as_bytes())
}

fn said(why: Error) -> anyhow::Error {
    match why.token() {
        "sb_dirty_log" => anyhow!("XFS was not unmounted, and its log cannot be replayed here"),
        token => anyhow!("XFS cannot be read: {token}"),
    }
}

struct Reader(Device);

impl BlockRead for Reader {
    type Error = anyhow::Error;

    fn read_at(&mut self, at: u64, into: &mut [u8]) -> Result<()> {
        self.0.read(at, into)
    }
}

fn number(node: Node) -> Result<u64> {
    let (_, number) = node.number().context("an inode has no number")?;
    Ok(number)
}

impl Nodes for Xfs {
    fn root(&mut self) -> Result<Node> {
        Ok(Node::Number(self.get(Path::new("/"))?.ino))
    }

    fn entries(&mut self, directory: &Path, _node: Node) -> Result<Vec<(PathBuf, Node)>> {
        let entries = self.system.read_dir(of(directory)).map_err(said)?;
        ensure!(entries.len() < MOST_ENTRIES, "a directory is too large");
        let entries = entries.iter();
        Ok(entries
            .map(|entry| {
                let node = Node::Number(entry.inode_number);
                (super::path_of(&entry.name), node)
            })
            .collect())
    }

    fn inode(&mut self, path: &Path, node: Node) -> Result<tree::Inode> {
        let mut inode = self.inodes.whole(number(node)?)?;
        if Kind::of(inode.mode) == Kind::Link && inode.target.is_none() {
            inode.target = Some(self.read_link(path)?);
        }
        Ok(inode)
    }

    fn data(&mut self, node: Node, size: u64) -> Result<Option<Vec<Range<u64>>>> {
        self.inodes.data(number(node)?, size)
    }

    fn read_node(&mut self, _path: &Path, node: Node, at: u64, into: &mut [u8]) -> Result<usize> {
        let ino = number(node)?;
        let inode = Inode { ino };
        self.system.read_file_at(&inode, at, into).map_err(said)
    }
}

impl FileTree for Xfs {
    fn was_unmounted(&mut self) -> Result<bool> {
        self.inodes.was_unmounted()
    }

    fn kind(&mut self, path: &Path) -> Result<Option<(Kind, u64)>> {
        let Some(inode) = self.find(path)? else {
            return Ok(None);
        };
        let found = self.system.metadata(&inode).map_err(said)?;
        Ok(Some((Kind::of(found.mode()), found.size())))
    }

    fn metadata(&mut self, path: &Path) -> Result<Option<Metadata>> {
        let Some(inode) = self.find(path)? else {
            return Ok(None);
        };
        let replayed = self.system.metadata(&inode).map_err(said)?;
        let (owner, modified) = self.inodes.owner_and_time(inode.ino)?;
        let (mode, size) = (replayed.mode(), replayed.size());
        Ok(Some(Metadata::new(mode, owner, size, modified)))
    }

    fn read(&mut self, path: &Path, at: u64, into: &mut [u8]) -> Result<usize> {
        let inode = self.get(path)?;
        self.system.read_file_at(&inode, at, into).map_err(said)
    }

    fn read_dir(&mut self, path: &Path) -> Result<Vec<PathBuf>> {
        let inode = self.get(path)?;
        let metadata = self.system.metadata(&inode).map_err(said)?;
        ensure!(metadata.is_dir(), "it is no directory");
        let entries = self.system.read_dir(of(path)).map_err(said)?;
        let names = entries.iter().map(|entry| super::path_of(&entry.name));
        Ok(names.collect())
    }

    fn read_link(&mut self, path: &Path) -> Result<PathBuf> {
        let target = self.system.read_link(of(path)).map_err(said)?;
        Ok(super::path_of(&target))
    }

    fn attributes(&mut self, path: &Path) -> Result<Vec<Attribute>> {
        let inode = self.get(path)?;
        self.inodes.attributes(inode.ino)
    }
}
