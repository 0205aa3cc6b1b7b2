//! ext2, ext3 and ext4, their journal replayed in memory. A file of ext2 or ext3 with a hole as large as
//! what a block of places stands for (256 KiB and up) is an error.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use ext4_view::{Ext4, Ext4Error, Ext4Read, FileType};

use super::device::Device;
use super::ext_inode;
use super::tree::{Attribute, FileTree, Inode, Kind, Metadata, Node, Nodes};

/// A file system.
#[derive(Debug)]
pub struct Ext {
    device: Device,
    system: Ext4,
}

impl Ext {
    /// The file system on a device.
    ///
    /// # Errors
    /// There is none, or it is broken.
    pub fn open(device: Device) -> Result<Ext> {
        let system = Ext4::load(Box::new(Reader(device.clone())));
        let system = system.context("opening an ext file system")?;
        Ok(Ext { device, system })
    }
}

struct Reader(Device);

impl Ext4Read for Reader {
    fn read(
        &mut self,
        at: u64,
        into: &mut [u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.0.read(at, into)?)
    }
}

fn number(node: Node) -> Result<u64> {
    let (_, number) = node.number().context("an inode has no number")?;
    Ok(number)
}

impl Nodes for Ext {
    fn root(&mut self) -> Result<Node> {
        Ok(Node::Number(ext_inode::ROOT))
    }

    fn entries(&mut self, _directory: &Path, node: Node) -> Result<Vec<(PathBuf, Node)>> {
        let entries = ext_inode::list(&self.device, number(node)?)?;
        let entries = entries.into_iter();
        Ok(entries
            .map(|(name, number)| (name, Node::Number(number)))
            .collect())
    }

    fn inode(&mut self, _path: &Path, node: Node) -> Result<Inode> {
        ext_inode::inode(&self.device, number(node)?)
    }

    fn data(&mut self, node: Node, size: u64) -> Result<Option<Vec<Range<u64>>>> {
        ext_inode::data(&self.device, number(node)?, size)
    }

    fn read_node(&mut self, _path: &Path, node: Node, at: u64, into: &mut [u8]) -> Result<usize> {
        ext_inode::read(&self.device, number(node)?, at, into)
    }
}

impl FileTree for Ext {
    fn was_unmounted(&mut self) -> Result<bool> {
        ext_inode::was_unmounted(&self.device)
    }

    fn kind(&mut self, path: &Path) -> Result<Option<(Kind, u64)>> {
        let metadata = self.metadata(path)?;
        Ok(metadata.map(|metadata| (metadata.kind, metadata.size)))
    }

    fn metadata(&mut self, path: &Path) -> Result<Option<Metadata>> {
        let found = match self.system.symlink_metadata(path) {
            Err(Ext4Error::NotFound | Ext4Error::NotADirectory) => return Ok(None),
            found => found?,
        };
        let kind = match found.file_type() {
            FileType::Regular => 0o100_000,
            FileType::Directory => 0o040_000,
            FileType::Symlink => 0o120_000,
            _ => 0,
        };
        Ok(Some(Metadata::new(
            kind | u32::from(found.mode()) & 0o7777,
            (found.uid(), found.gid()),
            found.len(),
            found.modified().seconds(),
        )))
    }

    fn read(&mut self, path: &Path, at: u64, into: &mut [u8]) -> Result<usize> {
        let mut file = self.system.open(path)?;
        file.seek_to(at)?;
        let mut length = 0;
        while length < into.len() {
            let more = file.read_bytes(&mut into[length..])?;
            if more == 0 {
                break;
            }
            length += more;
        }
        Ok(length)
    }

    fn read_dir(&mut self, path: &Path) -> Result<Vec<PathBuf>> {
        let mut names = Vec::new();
        for entry in self.system.read_dir(path)? {
            let entry = entry?;
            let name = entry.file_name();
            if !matches!(name.as_ref(), b"." | b"..") {
                names.push(super::path_of(name.as_ref()));
            }
        }
        Ok(names)
    }

    fn read_link(&mut self, path: &Path) -> Result<PathBuf> {
        Ok(self.system.read_link(path)?.into())
    }

    fn attributes(&mut self, path: &Path) -> Result<Vec<Attribute>> {
        ensure!(
            self.system.symlink_metadata(path).is_ok(),
            "there is no such file"
        );
        ext_inode::of(&self.device, path)
    }
}
