//! What lamxfs does not give of XFS' inodes: owners, times and extended attributes (XFS Algorithms and
//! Data Structures, 3rd edition; Linux' `fs/xfs/libxfs/xfs_format.h`, `xfs_da_format.h`).
//!
//! They are read as they lie on the volume, where they are older than the log of a file system that was not
//! unmounted: then they are not known.

use std::cell::OnceCell;
use std::ops::Range;

use anyhow::{Context, Result, bail, ensure};

use super::acl;
use super::bytes::{big, slice};
use super::device::Device;
use super::tree::{Attribute, Inode, Kind, add_data};
use super::xfs_log;

/// Most blocks of attributes of one file, and most extents that they lie in. Linux writes one or two.
const MOST_BLOCKS: u64 = 1024;
const MOST_EXTENTS: u64 = 1024;

/// How leaves of attributes are marked, in version 5 and 4.
const LEAVES: [u64; 2] = [0x3bee, 0xfbee];

/// Flags of an attribute: its value is with it; it is a name space of its own; it is not whole.
const LOCAL: u64 = 0x01;
const ROOT: u64 = 0x02;
const SECURE: u64 = 0x04;
const PARENT: u64 = 0x08;
const INCOMPLETE: u64 = 0x80;

/// Flag of an inode: its times are in nanoseconds from the earliest that 32 bits of seconds had.
const BIGTIME: u64 = 1 << 3;

/// How an inode says that its content is within it, and that its extents are.
const LOCAL_FORMAT: u64 = 1;
const EXTENTS_FORMAT: u64 = 2;

/// Flag of an inode: its counts of extents are wide.
const WIDE_COUNTS: u64 = 1 << 4;

/// A volume's inodes.
#[derive(Debug)]
pub struct Inodes {
    device: Device,
    block: u64,
    inode_size: u64,
    inodes_per_block_bits: u64,
    group_blocks: u64,
    group_bits: u64,
    groups: u64,
    /// Whether its structures have checksums and describe themselves.
    fifth: bool,
    /// The log: its first block, and how many there are.
    log: (u64, u64),
    /// Whether it was unmounted, once that was looked at.
    unmounted: OnceCell<bool>,
}

/// A run of blocks of a file.
struct Extent {
    offset: u64,
    start: u64,
    count: u64,
}

impl Inodes {
    /// Those of the file system on a device.
    ///
    /// # Errors
    /// There is none, or it is broken.
    pub fn open(device: Device) -> Result<Inodes> {
        let superblock = device.bytes(0, 512)?;
        let number = |at, width| big(&superblock, at, width);
        let inodes = Inodes {
            block: number(4, 4)?,
            inode_size: number(104, 2)?,
            inodes_per_block_bits: number(123, 1)?,
            group_blocks: number(84, 4)?,
            group_bits: number(124, 1)?,
            groups: number(88, 4)?,
            fifth: number(100, 2)? & 0xf == 5,
            log: (number(48, 8)?, number(96, 4)?),
            unmounted: OnceCell::new(),
            device,
        };
        ensure!(
            (512..=65536).contains(&inodes.block)
                && (256..=2048).contains(&inodes.inode_size)
                && inodes.inodes_per_block_bits <= 8
                && inodes.group_bits < 32,
            "XFS cannot be read: its superblock is broken"
        );
        Ok(inodes)
    }

    /// Where a block is that is named by its group and its place in it, in bytes.
    fn place(&self, block: u64) -> Result<u64> {
        let (group, within) = (
            block >> self.group_bits,
            block & ((1 << self.group_bits) - 1),
        );
        ensure!(group < self.groups, "XFS is broken: beyond its groups");
        let place = (group * self.group_blocks).checked_add(within);
        let place = place.and_then(|block| block.checked_mul(self.block));
        place.context("XFS is broken: beyond its groups")
    }

    /// Whether it was unmounted: all that is in the log is in its place.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn was_unmounted(&self) -> Result<bool> {
        if let Some(known) = self.unmounted.get() {
            return Ok(*known);
        }
        let (first, count) = self.log;
        let size = count.checked_mul(self.block);
        let size = size.context("XFS is broken: its log is too large")?;
        let unmounted = xfs_log::is_closed(&self.device, self.place(first)?, size)?;
        Ok(*self.unmounted.get_or_init(|| unmounted))
    }

    fn inode(&self, number: u64) -> Result<Vec<u8>> {
        ensure!(
            self.was_unmounted()?,
            "XFS was not unmounted, so owners, times and attributes are not known"
        );
        let bits = self.inodes_per_block_bits;
        let within = (number & ((1 << bits) - 1)) * self.inode_size;
        let at = self.place(number >> bits)? + within;
        let inode = self.device.bytes(at, self.inode_size as usize)?;
        ensure!(inode.starts_with(b"IN"), "XFS is broken: an inode");
        Ok(inode)
    }

    /// Owner and group, and when the content changed, in seconds since 1970.
    ///
    /// # Errors
    /// There is no such inode, or it cannot be read.
    pub fn owner_and_time(&self, number: u64) -> Result<((u32, u32), i64)> {
        let inode = self.inode(number)?;
        Ok((owner(&inode)?, modified(&inode)?.0))
    }

    /// All of an inode, but for where a link leads that does not fit into it.
    ///
    /// # Errors
    /// There is no such inode, or it cannot be read.
    pub fn whole(&self, number: u64) -> Result<Inode> {
        let inode = self.inode(number)?;
        let (uid, gid) = owner(&inode)?;
        let (mode, size) = (big(&inode, 2, 2)? as u32, big(&inode, 56, 8)?);
        let third = big(&inode, 4, 1)? >= 3;
        let core = if third { 176 } else { 100 };
        let (format, device) = (big(&inode, 5, 1)?, big(&inode, core, 4)?);
        let is_inside = Kind::of(mode) == Kind::Link && format == LOCAL_FORMAT;
        let target = is_inside.then(|| slice(&inode, core, usize::try_from(size)?));
        let old = big(&inode, 4, 1)? == 1;
        Ok(Inode {
            mode,
            uid,
            gid,
            size,
            modified: modified(&inode)?,
            links: if old {
                big(&inode, 6, 2)?
            } else {
                big(&inode, 16, 4)?
            } as u32,
            allocated: big(&inode, 64, 8)?.saturating_mul(self.block),
            device: ((device >> 18) as u32, (device & 0x3_ffff) as u32),
            attributes: self.attributes_of(&inode)?,
            target: target.transpose()?.map(super::path_of),
        })
    }

    /// Where the content of an inode has data, in order; none if that is not told here: its extents are too
    /// many for the inode.
    ///
    /// # Errors
    /// There is no such inode, or it cannot be read.
    pub fn data(&self, number: u64, size: u64) -> Result<Option<Vec<Range<u64>>>> {
        let inode = self.inode(number)?;
        if big(&inode, 5, 1)? != EXTENTS_FORMAT {
            return Ok(None);
        }
        let third = big(&inode, 4, 1)? >= 3;
        let count = match third && big(&inode, 120, 8)? & WIDE_COUNTS != 0 {
            true => big(&inode, 24, 8)?,
            false => big(&inode, 76, 4)?,
        };
        ensure!(count <= MOST_EXTENTS, "XFS is broken: an inode");
        let records = slice(&inode, if third { 176 } else { 100 }, count as usize * 16)?;
        let mut data = Vec::new();
        for (record, extent) in records.chunks_exact(16).zip(extents(records)?) {
            let is_written = big(record, 0, 1)? & 0x80 == 0;
            let at = |block: u64| block.saturating_mul(self.block);
            let piece = at(extent.offset)..at(extent.offset + extent.count);
            if is_written && !add_data(&mut data, piece, size) {
                return Ok(None);
            }
        }
        Ok(Some(data))
    }

    /// The extended attributes of an inode.
    ///
    /// # Errors
    /// There is no such inode, or they cannot be read.
    pub fn attributes(&self, number: u64) -> Result<Vec<Attribute>> {
        self.attributes_of(&self.inode(number)?)
    }

    fn attributes_of(&self, inode: &[u8]) -> Result<Vec<Attribute>> {
        let mut found = self.raw_attributes(inode)?;
        for (name, value) in &mut found {
            if let Some((known, acl)) = acl::of_xfs(name, value)? {
                (*name, *value) = (known.to_owned(), acl);
            }
        }
        Ok(found)
    }

    fn raw_attributes(&self, inode: &[u8]) -> Result<Vec<Attribute>> {
        let third = big(inode, 4, 1)? >= 3;
        let core = if third { 176 } else { 100 };
        let fork = big(inode, 82, 1)? as usize * 8;
        if fork == 0 {
            return Ok(Vec::new());
        }
        let fork = inode.get(core + fork..);
        let fork = fork.context("XFS is broken: an inode")?;
        let wide = third && big(inode, 120, 8)? & WIDE_COUNTS != 0;
        let count = if wide {
            big(inode, 76, 4)?
        } else {
            big(inode, 80, 2)?
        };
        match big(inode, 83, 1)? {
            1 => short(fork),
            2 => {
                ensure!(count <= MOST_EXTENTS, "XFS is broken: attributes");
                let records = slice(fork, 0, count as usize * 16)?;
                self.leaves(&extents(records)?)
            }
            3 => bail!("attributes of XFS in a tree of extents are not read"),
            _ => bail!("XFS is broken: attributes"),
        }
    }

    /// The attributes in blocks of their own.
    fn leaves(&self, extents: &[Extent]) -> Result<Vec<Attribute>> {
        let mut found = Vec::new();
        let mut seen = 0;
        for extent in extents {
            for index in 0..extent.count {
                seen += 1;
                ensure!(seen <= MOST_BLOCKS, "XFS is broken: attributes");
                let at = self.place(extent.start + index)?;
                let block = self.device.bytes(at, self.block as usize)?;
                let magic = big(&block, 8, 2)?;
                // Others are nodes above them, and values, which their entries lead to.
                if LEAVES.contains(&magic) {
                    self.leaf(&block, extents, &mut found)?;
                }
            }
        }
        Ok(found)
    }

    fn leaf(&self, block: &[u8], extents: &[Extent], found: &mut Vec<Attribute>) -> Result<()> {
        let (count, entries) = if self.fifth {
            (big(block, 56, 2)?, 80)
        } else {
            (big(block, 12, 2)?, 32)
        };
        for index in 0..count as usize {
            let entry = slice(block, entries + index * 8, 8)?;
            let (at, flags) = (big(entry, 4, 2)? as usize, big(entry, 6, 1)?);
            let Some(prefix) = space(flags) else {
                continue;
            };
            let (name, value) = if flags & LOCAL != 0 {
                let (value, name) = (big(block, at, 2)? as usize, big(block, at + 2, 1)? as usize);
                let value = slice(block, at + 3 + name, value)?.to_vec();
                (slice(block, at + 3, name)?, value)
            } else {
                let (first, length) = (big(block, at, 4)?, big(block, at + 4, 4)?);
                let name = big(block, at + 8, 1)? as usize;
                let value = self.remote(first, length as usize, extents)?;
                (slice(block, at + 9, name)?, value)
            };
            found.push((format!("{prefix}{}", String::from_utf8_lossy(name)), value));
        }
        Ok(())
    }

    /// A value in blocks of its own, which have heads in version 5.
    fn remote(&self, first: u64, length: usize, extents: &[Extent]) -> Result<Vec<u8>> {
        ensure!(length <= 65536, "XFS is broken: attributes");
        let head = if self.fifth { 56 } else { 0 };
        let mut value = Vec::with_capacity(length);
        for index in first.. {
            if value.len() >= length {
                break;
            }
            let within = |e: &&Extent| index >= e.offset && index - e.offset < e.count;
            let extent = extents.iter().find(within);
            let extent = extent.context("XFS is broken: attributes")?;
            let at = self.place(extent.start + (index - extent.offset))?;
            let block = self.device.bytes(at, self.block as usize)?;
            let more = (length - value.len()).min(block.len() - head);
            value.extend_from_slice(slice(&block, head, more)?);
        }
        Ok(value)
    }
}

fn owner(inode: &[u8]) -> Result<(u32, u32)> {
    Ok((big(inode, 8, 4)? as u32, big(inode, 12, 4)? as u32))
}

/// When the content changed: seconds since 1970, and nanoseconds.
fn modified(inode: &[u8]) -> Result<(i64, u32)> {
    const SECOND: u64 = 1_000_000_000;
    let wide = big(inode, 4, 1)? >= 3 && big(inode, 120, 8)? & BIGTIME != 0;
    if wide {
        let time = big(inode, 40, 8)?;
        let seconds = (time / SECOND) as i64 + i64::from(i32::MIN);
        return Ok((seconds, (time % SECOND) as u32));
    }
    let seconds = i64::from(big(inode, 40, 4)? as i32);
    Ok((seconds, big(inode, 44, 4)? as u32))
}

/// Attributes within the inode.
fn short(fork: &[u8]) -> Result<Vec<Attribute>> {
    let mut found = Vec::new();
    let mut at = 4;
    for _ in 0..big(fork, 2, 1)? {
        let (name, value) = (big(fork, at, 1)? as usize, big(fork, at + 1, 1)? as usize);
        let flags = big(fork, at + 2, 1)?;
        let text = String::from_utf8_lossy(slice(fork, at + 3, name)?);
        let content = slice(fork, at + 3 + name, value)?;
        if let Some(prefix) = space(flags) {
            found.push((format!("{prefix}{text}"), content.to_vec()));
        }
        at += 3 + name + value;
    }
    Ok(found)
}

/// The name space of an attribute; none if it is none that anybody asks for.
fn space(flags: u64) -> Option<&'static str> {
    if flags & (PARENT | INCOMPLETE) != 0 {
        None
    } else if flags & SECURE != 0 {
        Some("security.")
    } else if flags & ROOT != 0 {
        Some("trusted.")
    } else {
        Some("user.")
    }
}

fn extents(records: &[u8]) -> Result<Vec<Extent>> {
    let extent = |record: &[u8]| {
        let (high, low) = (big(record, 0, 8)?, big(record, 8, 8)?);
        anyhow::Ok(Extent {
            offset: high >> 9 & ((1 << 54) - 1),
            start: (high & 0x1ff) << 43 | low >> 21,
            count: low & ((1 << 21) - 1),
        })
    };
    records.chunks_exact(16).map(extent).collect()
}
