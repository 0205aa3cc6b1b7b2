//! Btrfs on one device, or one of its mirrors, as its last commit left it.

use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};
use lambutter::{BlockRead, Error, Inode};

use super::btrfs_items::Items;
use super::device::Device;
use super::tree::{self, Attribute, FileTree, Kind, Metadata, Node, Nodes};

/// A subvolume, with those that lie in it.
#[allow(missing_debug_implementations)] // lambutter has none
pub struct Btrfs {
    system: lambutter::Btrfs<Reader>,
    items: Items,
}

impl Btrfs {
    /// The file system on a device: the subvolume of a path, else the default one.
    ///
    /// # Errors
    /// There is none, or it is broken.
    pub fn open(device: Device, subvolume: Option<&Path>) -> Result<Btrfs> {
        let items = Items::open(device.clone())?;
        let (reader, size) = (Reader(device.clone()), device.size());
        let system = match subvolume {
            None => lambutter::Btrfs::open(reader, size),
            Some(path) => {
                let path = Path::new("/").join(path);
                lambutter::Btrfs::open_subvol_path(reader, size, of(&path)?)
            }
        };
        let system = system.map_err(said)?;
        Ok(Btrfs { system, items })
    }

    fn find(&mut self, path: &Path) -> Result<Option<Inode>> {
        match self.system.resolve(of(path)?) {
            Ok(inode) => Ok(Some(inode)),
            Err(Error::NotFound) => Ok(None),
            Err(why) => Err(said(why)),
        }
    }

    fn get(&mut self, path: &Path) -> Result<Inode> {
        self.find(path)?
            .ok_or_else(|| anyhow!("there is no such file"))
    }
}

impl Btrfs {
    fn of_node(&mut self, path: &Path, node: Node) -> Result<Inode> {
        match node {
            Node::Btrfs(inode) => Ok(inode),
            _ => self.get(path),
        }
    }
}

fn of(path: &Path) -> Result<lambutter::Path<'_>> {
    lambutter::Path::new(path.as_os_str().as_bytes()).context("a path is not absolute")
}

fn said(why: Error) -> anyhow::Error {
    let what = match why {
        Error::UnsupportedFeature(token)
        | Error::UnsupportedProfile(token)
        | Error::UnsupportedChecksum(token) => format!("{token} is not known"),
        Error::NotASubvolume => "there is no such subvolume".to_owned(),
        Error::NotFound => "there is no such file".to_owned(),
        other => format!("it is broken ({other:?})"),
    };
    anyhow!("Btrfs cannot be read: {what}")
}

struct Reader(Device);

impl BlockRead for Reader {
    type Error = anyhow::Error;

    fn read_at(&mut self, at: u64, into: &mut [u8]) -> Result<()> {
        self.0.read(at, into)
    }
}

impl Nodes for Btrfs {
    fn root(&mut self) -> Result<Node> {
        Ok(Node::Btrfs(self.get(Path::new("/"))?))
    }

    fn entries(&mut self, directory: &Path, _node: Node) -> Result<Vec<(PathBuf, Node)>> {
        let entries = self.system.read_dir(of(directory)?).map_err(said)?;
        let entries = entries.iter();
        Ok(entries
            .map(|entry| (super::path_of(&entry.name), Node::Btrfs(entry.inode)))
            .collect())
    }

    fn inode(&mut self, path: &Path, node: Node) -> Result<tree::Inode> {
        let inode = self.of_node(path, node)?;
        let (subvolume, number) = (inode.subvolume(), inode.objectid());
        let mut whole = match self.items.whole(subvolume, number)? {
            Some(whole) => whole,
            None => Items::missing_subvolume(),
        };
        if Kind::of(whole.mode) == Kind::Link {
            whole.target = Some(self.read_link(path)?);
        }
        Ok(whole)
    }

    fn data(&mut self, node: Node, size: u64) -> Result<Option<Vec<Range<u64>>>> {
        match node.number() {
            Some((subvolume, number)) => self.items.data(subvolume, number, size),
            None => Ok(None),
        }
    }

    fn read_node(&mut self, path: &Path, node: Node, at: u64, into: &mut [u8]) -> Result<usize> {
        let inode = self.of_node(path, node)?;
        self.system.read_file_at(&inode, at, into).map_err(said)
    }
}

impl FileTree for Btrfs {
    fn was_unmounted(&mut self) -> Result<bool> {
        Ok(self.items.has_no_log())
    }

    fn kind(&mut self, path: &Path) -> Result<Option<(Kind, u64)>> {
        let Some(inode) = self.find(path)? else {
            return Ok(None);
        };
        let found = self.system.metadata(&inode).map_err(said)?;
        Ok(Some((Kind::of(found.mode), found.size)))
    }

    fn metadata(&mut self, path: &Path) -> Result<Option<Metadata>> {
        let Some(inode) = self.find(path)? else {
            return Ok(None);
        };
        let found = self.system.metadata(&inode).map_err(said)?;
        let modified = self.items.modified(inode.subvolume(), inode.objectid())?;
        let owner = (found.uid, found.gid);
        Ok(Some(Metadata::new(found.mode, owner, found.size, modified)))
    }

    fn read(&mut self, path: &Path, at: u64, into: &mut [u8]) -> Result<usize> {
        let inode = self.get(path)?;
        self.system.read_file_at(&inode, at, into).map_err(said)
    }

    fn read_dir(&mut self, path: &Path) -> Result<Vec<PathBuf>> {
        let inode = self.get(path)?;
        let metadata = self.system.metadata(&inode).map_err(said)?;
        ensure!(metadata.is_dir(), "it is no directory");
        let entries = self.system.read_dir(of(path)?).map_err(said)?;
        let names = entries.iter().map(|entry| super::path_of(&entry.name));
        Ok(names.collect())
    }

    fn read_link(&mut self, path: &Path) -> Result<PathBuf> {
        let target = self.system.read_link(of(path)?).map_err(said)?;
        Ok(super::path_of(&target))
    }

    fn attributes(&mut self, path: &Path) -> Result<Vec<Attribute>> {
        let inode = self.get(path)?;
        self.items.attributes(inode.subvolume(), inode.objectid())
    }
}
