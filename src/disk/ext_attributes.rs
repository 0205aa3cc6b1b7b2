//! Extended attributes of ext2, ext3 and ext4, which ext4-view does not give: so the way to a file's
//! inode is gone a second time (Linux' Documentation/filesystems/ext4).

use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use anyhow::{Context, Result, bail, ensure};

use super::bytes::{little, slice};
use super::device::Device;
use super::tree::Attribute;

/// The superblock's place and size, in bytes.
const SUPERBLOCK: (u64, usize) = (1024, 1024);

/// The inode of the root directory.
const ROOT: u64 = 2;

/// Most bytes of a directory: some ten thousand names.
const MOST_DIRECTORY: u64 = 16 << 20;

/// Deepest tree of extents that Linux makes.
const DEEPEST: u64 = 5;

/// Flags of an inode: its blocks are in extents; its content is in the inode.
const EXTENTS: u64 = 0x8_0000;
const INLINE: u64 = 0x1000_0000;

/// Features: 64-bit numbers of blocks; the journal holds what is not yet in its place.
const WIDE: u64 = 0x80;
const UNCLEAN: u64 = 0x4;

/// How attributes in an inode or a block begin.
const MAGIC: u64 = 0xea02_0000;

/// The name spaces, by their index.
const SPACES: [(u64, &str); 5] = [
    (1, "user."),
    (2, "system.posix_acl_access"),
    (3, "system.posix_acl_default"),
    (4, "trusted."),
    (6, "security."),
];

struct System<'a> {
    device: &'a Device,
    block: u64,
    first_block: u64,
    inodes_per_group: u64,
    inode_size: u64,
    descriptor: u64,
    wide: bool,
}

/// Whether nothing is in the journal that is not in its place.
///
/// # Errors
/// The superblock cannot be read.
pub fn was_unmounted(device: &Device) -> Result<bool> {
    let block = device.bytes(SUPERBLOCK.0, SUPERBLOCK.1)?;
    Ok(little(&block, 0x60, 4)? & UNCLEAN == 0)
}

/// The attributes of a file.
///
/// # Errors
/// There is no such file, or the file system is broken or was not unmounted.
pub fn of(device: &Device, path: &Path) -> Result<Vec<Attribute>> {
    let system = System::open(device)?;
    let mut number = ROOT;
    for component in path.components() {
        if let Component::Normal(name) = component {
            let directory = system.inode(number)?;
            number = system.look_up(&directory, name.as_bytes())?;
        }
    }
    let inode = system.inode(number)?;
    let mut found = Vec::new();
    if inode.len() > 128 {
        let start = 128 + little(&inode, 128, 2)? as usize;
        let within = inode.get(start..).unwrap_or_default();
        if within.len() > 4 && little(within, 0, 4)? == MAGIC {
            entries(&within[4..], &within[4..], &mut found)?;
        }
    }
    let block = little(&inode, 0x68, 4)? | little(&inode, 0x76, 2)? << 32;
    if block != 0 {
        let block = system.block(block)?;
        ensure!(
            little(&block, 0, 4)? == MAGIC,
            "a block of attributes is broken"
        );
        entries(&block[32..], &block, &mut found)?;
    }
    Ok(found)
}

/// Reads entries; their values are counted from the beginning of `values`.
fn entries(mut entries: &[u8], values: &[u8], found: &mut Vec<Attribute>) -> Result<()> {
    while little(entries, 0, 4).is_ok_and(|end| end != 0) {
        let length = little(entries, 0, 1)? as usize;
        let space = little(entries, 1, 1)?;
        let (at, size) = (little(entries, 2, 2)?, little(entries, 8, 4)?);
        ensure!(
            little(entries, 4, 4)? == 0,
            "an attribute in an inode of its own is not read"
        );
        let name = String::from_utf8_lossy(slice(entries, 16, length)?);
        if let Some((_, prefix)) = SPACES.iter().find(|(index, _)| *index == space) {
            let value = slice(values, at as usize, size as usize)?;
            found.push((format!("{prefix}{name}"), value.to_vec()));
        }
        let next = (16 + length).next_multiple_of(4);
        entries = entries.get(next..).unwrap_or_default();
    }
    Ok(())
}

impl System<'_> {
    fn open(device: &Device) -> Result<System<'_>> {
        let block = device.bytes(SUPERBLOCK.0, SUPERBLOCK.1)?;
        let incompatible = little(&block, 0x60, 4)?;
        ensure!(
            incompatible & UNCLEAN == 0,
            "the file system was not unmounted, so its attributes are not known"
        );
        let wide = incompatible & WIDE != 0;
        let old = little(&block, 0x4c, 4)? == 0;
        let shift = little(&block, 0x18, 4)?;
        ensure!(shift <= 6, "its block size is broken");
        let system = System {
            device,
            block: 1024 << shift,
            first_block: little(&block, 0x14, 4)?,
            inodes_per_group: little(&block, 0x28, 4)?,
            inode_size: if old { 128 } else { little(&block, 0x58, 2)? },
            descriptor: if wide { little(&block, 0xfe, 2)? } else { 32 },
            wide,
        };
        ensure!(
            system.inodes_per_group > 0
                && (128..=system.block).contains(&system.inode_size)
                && (32..=1024).contains(&system.descriptor),
            "its superblock is broken"
        );
        Ok(system)
    }

    fn block(&self, number: u64) -> Result<Vec<u8>> {
        let at = number.checked_mul(self.block);
        self.device
            .bytes(at.context("a number is too large")?, self.block as usize)
    }

    fn inode(&self, number: u64) -> Result<Vec<u8>> {
        let index = number.checked_sub(1).context("an inode has no number")?;
        let (group, index) = (index / self.inodes_per_group, index % self.inodes_per_group);
        let table = (self.first_block + 1) * self.block + group * self.descriptor;
        let descriptor = self.device.bytes(table, self.descriptor as usize)?;
        let mut start = little(&descriptor, 8, 4)?;
        if self.wide {
            start |= little(&descriptor, 0x28, 4)? << 32;
        }
        let at = start.checked_mul(self.block);
        let at = at.and_then(|at| at.checked_add(index * self.inode_size));
        self.device.bytes(
            at.context("a number is too large")?,
            self.inode_size as usize,
        )
    }

    /// The inode of a name in a directory.
    fn look_up(&self, directory: &[u8], name: &[u8]) -> Result<u64> {
        let size = little(directory, 4, 4)? | little(directory, 0x6c, 4)? << 32;
        let blocks = size.min(MOST_DIRECTORY).div_ceil(self.block);
        ensure!(
            little(directory, 0x20, 4)? & INLINE == 0,
            "directories within inodes are not read"
        );
        for index in 0..blocks {
            let Some(place) = self.place(directory, index)? else {
                continue;
            };
            let block = self.block(place)?;
            let mut at = 0;
            while at + 8 <= block.len() {
                let (inode, length) = (little(&block, at, 4)?, little(&block, at + 4, 2)?);
                let name_length = little(&block, at + 6, 1)? as usize;
                if inode != 0 && block.get(at + 8..at + 8 + name_length) == Some(name) {
                    return Ok(inode);
                }
                at += (length as usize).max(8);
            }
        }
        bail!("there is no such file")
    }

    /// Which block of the device a block of a file is; none for a hole.
    fn place(&self, inode: &[u8], index: u64) -> Result<Option<u64>> {
        let map = slice(inode, 0x28, 60)?;
        if little(inode, 0x20, 4)? & EXTENTS == 0 {
            return self.mapped(map, index);
        }
        let mut node = map.to_vec();
        for _ in 0..=DEEPEST {
            ensure!(
                little(&node, 0, 2)? == 0xf30a,
                "a tree of extents is broken"
            );
            let count = little(&node, 2, 2)? as usize;
            let leaf = little(&node, 6, 2)? == 0;
            let entries = node.get(12..).unwrap_or_default().chunks_exact(12);
            let before = |entry: &&[u8]| little(entry, 0, 4).is_ok_and(|first| first <= index);
            let Some(entry) = entries.take(count).take_while(before).last() else {
                return Ok(None);
            };
            if leaf {
                let within = index - little(entry, 0, 4)?;
                let start = little(entry, 8, 4)? | little(entry, 6, 2)? << 32;
                let there = within < little(entry, 4, 2)?;
                return Ok(there.then_some(start + within));
            }
            node = self.block(little(entry, 4, 4)? | little(entry, 8, 2)? << 32)?;
        }
        bail!("a tree of extents is broken")
    }

    /// The same by the map of ext2: twelve blocks, then one of places, of places of places, and so on.
    fn mapped(&self, map: &[u8], index: u64) -> Result<Option<u64>> {
        let each = self.block / 4;
        let some = |place: u64| (place != 0).then_some(place);
        let Some(mut index) = index.checked_sub(12) else {
            return Ok(some(little(map, index as usize * 4, 4)?));
        };
        for level in 1..=3_u32 {
            let span = each.pow(level);
            if index >= span {
                index -= span;
                continue;
            }
            let mut place = little(map, (11 + level as usize) * 4, 4)?;
            for below in (0..level).rev() {
                if place == 0 {
                    return Ok(None);
                }
                let entry = index / each.pow(below) % each;
                place = little(&self.block(place)?, entry as usize * 4, 4)?;
            }
            return Ok(some(place));
        }
        Ok(None)
    }
}
