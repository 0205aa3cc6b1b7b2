//! What lambutter does not give of Btrfs' inodes: times and extended attributes, as items of its trees
//! (Linux' `include/uapi/linux/btrfs_tree.h`).

use std::ops::Range;

use anyhow::{Context, Result, bail, ensure};

use super::bytes::{little, slice};
use super::device::Device;
use super::tree::{Attribute, Inode, add_data};

/// Where the superblock is, in bytes.
const SUPERBLOCK: u64 = 64 << 10;

/// Bytes of a tree block's head, of a key, of a pointer to a block below, of an item's head.
const HEAD: usize = 101;
const KEY: usize = 17;
const POINTER: usize = 33;
const ITEM: usize = 25;

/// Kinds of items.
const INODE: u64 = 1;
const ATTRIBUTE: u64 = 24;
const EXTENT: u64 = 108;
const ROOT: u64 = 132;
const CHUNK: u64 = 228;

/// The object that chunks belong to.
const FIRST_CHUNK: u64 = 256;

/// Chunks that are spread over devices: RAID0, 10, 5 and 6.
const SPREAD: u64 = 1 << 3 | 1 << 6 | 1 << 7 | 1 << 8;

/// Deepest tree, and most blocks of one search.
const DEEPEST: u64 = 8;
const MOST_BLOCKS: usize = 4096;

/// Most chunks: a disk of 16 TiB has as many.
const MOST_CHUNKS: usize = 1 << 14;

/// A volume's items.
#[derive(Debug)]
pub struct Items {
    device: Device,
    device_id: u64,
    node: usize,
    /// Where the tree of trees begins.
    root: u64,
    /// Where the log begins, in which files are that were to be safe before the next commit; 0 if
    /// there is none.
    log: u64,
    chunks: Vec<Chunk>,
}

/// Where a run of the volume's addresses lies on the device, in bytes.
#[derive(Debug)]
struct Chunk {
    start: u64,
    size: u64,
    place: u64,
}

/// All items of an object that are of one kind.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    object: u64,
    kind: u64,
}

impl Items {
    /// Those of the file system on a device.
    ///
    /// # Errors
    /// There is none, or it is broken.
    pub fn open(device: Device) -> Result<Items> {
        let superblock = device.bytes(SUPERBLOCK, 4096)?;
        let number = |at, width| little(&superblock, at, width);
        let node = number(148, 4)? as usize;
        ensure!(
            (4096..=65536).contains(&node),
            "Btrfs cannot be read: its superblock is broken"
        );
        let chunk_root = number(88, 8)?;
        let mut items = Items {
            device_id: number(201, 8)?,
            root: number(80, 8)?,
            log: number(96, 8)?,
            chunks: Vec::new(),
            device,
            node,
        };
        // Chunks that hold the tree of chunks stand in the superblock.
        let mut first = slice(&superblock, 811, (number(160, 4)? as usize).min(2048))?;
        while first.len() > KEY {
            let start = little(first, 9, 8)?;
            let stripes = little(first, KEY + 44, 2)? as usize;
            items.add(start, &first[KEY..])?;
            first = first.get(KEY + 48 + stripes * 32..).unwrap_or_default();
        }
        let wanted = Wanted {
            object: FIRST_CHUNK,
            kind: CHUNK,
        };
        for (start, chunk) in items.search(chunk_root, wanted)? {
            items.add(start, &chunk)?;
        }
        Ok(items)
    }

    /// Whether all is in its place.
    pub fn has_no_log(&self) -> bool {
        self.log == 0
    }

    fn add(&mut self, start: u64, chunk: &[u8]) -> Result<()> {
        ensure!(
            self.chunks.len() < MOST_CHUNKS,
            "Btrfs is broken: too many chunks"
        );
        if little(chunk, 24, 8)? & SPREAD != 0 {
            return Ok(());
        }
        for stripe in 0..little(chunk, 44, 2)? as usize {
            let stripe = slice(chunk, 48 + stripe * 32, 32)?;
            if little(stripe, 0, 8)? == self.device_id {
                let (size, place) = (little(chunk, 0, 8)?, little(stripe, 8, 8)?);
                self.chunks.push(Chunk { start, size, place });
                break;
            }
        }
        Ok(())
    }

    fn block(&self, address: u64) -> Result<Vec<u8>> {
        let chunk = self.chunks.iter().find(|chunk| {
            address
                .checked_sub(chunk.start)
                .is_some_and(|w| w < chunk.size)
        });
        let chunk = chunk.context("a chunk of Btrfs is not on this device")?;
        let place = chunk.place.checked_add(address - chunk.start);
        let block = self
            .device
            .bytes(place.context("Btrfs is broken: a chunk")?, self.node)?;
        ensure!(
            little(&block, 48, 8)? == address,
            "Btrfs is broken: a block of a tree"
        );
        Ok(block)
    }

    /// The items in a tree, each with the last part of its key.
    fn search(&self, root: u64, wanted: Wanted) -> Result<Vec<(u64, Vec<u8>)>> {
        let mut found = Vec::new();
        let mut blocks = vec![(root, DEEPEST)];
        let mut seen = 0;
        while let Some((address, above)) = blocks.pop() {
            seen += 1;
            ensure!(seen <= MOST_BLOCKS, "Btrfs is broken: a tree is too large");
            let block = self.block(address)?;
            let (count, level) = (little(&block, 96, 4)? as usize, little(&block, 100, 1)?);
            ensure!(level < above, "Btrfs is broken: a tree is too deep");
            if level == 0 {
                for index in 0..count {
                    let item = slice(&block, HEAD + index * ITEM, ITEM)?;
                    if (little(item, 0, 8)?, little(item, 8, 1)?) == (wanted.object, wanted.kind) {
                        let (at, size) = (little(item, 17, 4)?, little(item, 21, 4)?);
                        let data = slice(&block, HEAD + at as usize, size as usize)?;
                        found.push((little(item, 9, 8)?, data.to_vec()));
                    }
                }
                continue;
            }
            // Each pointer has the first key below it.
            for index in 0..count {
                let pointer = slice(&block, HEAD + index * POINTER, POINTER)?;
                let key =
                    |pointer: &[u8]| anyhow::Ok((little(pointer, 0, 8)?, little(pointer, 8, 1)?));
                let next = block.get(HEAD + (index + 1) * POINTER..);
                let ends_before = match next.filter(|_| index + 1 < count) {
                    Some(next) => key(next)? < (wanted.object, wanted.kind),
                    None => false,
                };
                if !ends_before && key(pointer)? <= (wanted.object, wanted.kind) {
                    blocks.push((little(pointer, KEY, 8)?, level));
                }
            }
        }
        Ok(found)
    }

    /// The items of an inode of a subvolume.
    fn of(&self, subvolume: u64, object: u64, kind: u64) -> Result<Vec<(u64, Vec<u8>)>> {
        let wanted = Wanted {
            object: subvolume,
            kind: ROOT,
        };
        let roots = self.search(self.root, wanted)?;
        let (_, root) = roots.last().context("there is no such subvolume")?;
        self.search(little(root, 176, 8)?, Wanted { object, kind })
    }

    /// When the content of an inode changed, in seconds since 1970.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn modified(&self, subvolume: u64, object: u64) -> Result<i64> {
        match self.of(subvolume, object, INODE)?.first() {
            Some((_, inode)) => Ok(little(inode, 136, 8)? as i64),
            // The directory that stands for a subvolume that is not here.
            None => Ok(0),
        }
    }

    /// All of an inode, but for where a link leads; none if there is none of that number.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn whole(&self, subvolume: u64, object: u64) -> Result<Option<Inode>> {
        let found = self.of(subvolume, object, INODE)?;
        let Some((_, inode)) = found.first() else {
            return Ok(None);
        };
        let field = |at, width| little(inode, at, width);
        let device = field(56, 8)?;
        Ok(Some(Inode {
            mode: field(52, 4)? as u32,
            uid: field(44, 4)? as u32,
            gid: field(48, 4)? as u32,
            size: field(16, 8)?,
            modified: (field(136, 8)? as i64, field(144, 4)? as u32),
            links: field(40, 4)? as u32,
            allocated: field(24, 8)?,
            device: ((device >> 20) as u32, (device & 0xf_ffff) as u32),
            attributes: self.attributes(subvolume, object)?,
            target: None,
        }))
    }

    /// Where the content of an inode has data, in order; none if it is in too many pieces.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn data(&self, subvolume: u64, object: u64, size: u64) -> Result<Option<Vec<Range<u64>>>> {
        let mut found = self.of(subvolume, object, EXTENT)?;
        found.sort_by_key(|(at, _)| *at);
        let mut data = Vec::new();
        for (at, extent) in &found {
            // What is in the item itself, what is on the disk, what is there for later.
            let length = match little(extent, 20, 1)? {
                0 => little(extent, 8, 8)?,
                1 if little(extent, 21, 8)? != 0 => little(extent, 45, 8)?,
                1 | 2 => continue,
                _ => bail!("Btrfs is broken: an extent"),
            };
            if !add_data(&mut data, *at..at.saturating_add(length), size) {
                return Ok(None);
            }
        }
        Ok(Some(data))
    }

    /// The directory that stands for a subvolume that is not here, as Linux shows it.
    pub fn missing_subvolume() -> Inode {
        Inode {
            mode: 0o040_755,
            uid: 0,
            gid: 0,
            size: 0,
            modified: (0, 0),
            links: 1,
            allocated: 0,
            device: (0, 0),
            attributes: Vec::new(),
            target: None,
        }
    }

    /// The extended attributes of an inode.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn attributes(&self, subvolume: u64, object: u64) -> Result<Vec<Attribute>> {
        let mut found = Vec::new();
        for (_, item) in self.of(subvolume, object, ATTRIBUTE)? {
            // Those whose names have the same sum share an item.
            let mut rest = item.as_slice();
            while !rest.is_empty() {
                let (value, name) = (little(rest, 25, 2)? as usize, little(rest, 27, 2)? as usize);
                let text = String::from_utf8_lossy(slice(rest, 30, name)?).into_owned();
                found.push((text, slice(rest, 30 + name, value)?.to_vec()));
                rest = rest.get(30 + name + value..).unwrap_or_default();
            }
        }
        Ok(found)
    }
}
