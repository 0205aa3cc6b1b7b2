//! What ext4-view does not give of the inodes of ext2, ext3 and ext4: numbers, links, devices and extended
//! attributes. So the way to a file's inode is gone a second time (Linux' Documentation/filesystems/ext4).
//!
//! They are read as they lie on the volume, where they are older than the journal of a file system that was
//! not unmounted: then they are not known.

use std::ops::{ControlFlow, Range};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::acl;
use super::bytes::{little, slice};
use super::device::Device;
use super::tree::{Attribute, Inode, add_data};

/// The superblock's place and size, in bytes.
const SUPERBLOCK: (u64, usize) = (1024, 1024);

/// The inode of the root directory.
pub const ROOT: u64 = 2;

/// Most bytes of a directory: some ten thousand names.
const MOST_DIRECTORY: u64 = 16 << 20;

/// Deepest tree of extents that Linux makes.
const DEEPEST: u64 = 5;

/// Flags of an inode: its blocks are in extents; its content is in the inode; it is encrypted.
const EXTENTS: u64 = 0x8_0000;
const INLINE: u64 = 0x1000_0000;
const ENCRYPTED: u64 = 0x800;

/// Most blocks of an extent that was written to; those beyond are of one that is there for later.
const WRITTEN: u64 = 32768;

/// Longest link, in bytes (`PATH_MAX`).
const LONGEST_LINK: usize = 4096;

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
    system.attributes(&system.inode(number)?)
}

/// The entries of a directory by its number, without `.` and `..`, each with its inode's number.
///
/// # Errors
/// It is no directory; the file system is broken or was not unmounted.
pub fn list(device: &Device, number: u64) -> Result<Vec<(PathBuf, u64)>> {
    let system = System::open(device)?;
    let mut found = Vec::new();
    system.entries(&system.inode(number)?, |name, inode| {
        if name != b"." && name != b".." {
            found.push((super::path_of(name), inode));
        }
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

/// An inode by its number.
///
/// # Errors
/// There is none; the file system is broken or was not unmounted.
pub fn inode(device: &Device, number: u64) -> Result<Inode> {
    let system = System::open(device)?;
    let inode = system.inode(number)?;
    let field = |at, width| little(&inode, at, width);
    let mode = field(0, 2)? as u32;
    let wide = |low, high| anyhow::Ok((field(low, 2)? | field(high, 2)? << 16) as u32);
    let seconds = i64::from(field(0x10, 4)? as u32 as i32);
    // Inodes of 128 bytes have no more of a time than whole seconds.
    let more = match inode.len() >= 0x8c && field(0x80, 2)? >= 12 {
        true => field(0x88, 4)?,
        false => 0,
    };
    let (old, new) = (field(0x28, 4)?, field(0x2c, 4)?);
    let device = match old {
        0 => (
            (new >> 8 & 0xfff) as u32,
            (new & 0xff | new >> 12 & 0xf_ff00) as u32,
        ),
        old => ((old >> 8 & 0xff) as u32, (old & 0xff) as u32),
    };
    Ok(Inode {
        mode,
        uid: wide(0x02, 0x78)?,
        gid: wide(0x18, 0x7a)?,
        size: size(&inode)?,
        modified: (seconds + ((more as i64 & 3) << 32), (more >> 2) as u32),
        links: field(0x1a, 2)? as u32,
        allocated: (field(0x1c, 4)? | field(0x74, 2)? << 32) * 512,
        device,
        attributes: system.attributes(&inode)?,
        target: system.target(&inode)?,
    })
}

/// Fills `into` with the content of an inode by its number from a place on, as far as it goes; how far that
/// is.
///
/// # Errors
/// There is none; the file system is broken or was not unmounted.
pub fn read(device: &Device, number: u64, at: u64, into: &mut [u8]) -> Result<usize> {
    let system = System::open(device)?;
    system.read(&system.inode(number)?, at, into)
}

/// Where the content of an inode has data, in order; none if it is in too many pieces.
///
/// # Errors
/// There is none; the file system is broken or was not unmounted.
pub fn data(device: &Device, number: u64, size: u64) -> Result<Option<Vec<Range<u64>>>> {
    let system = System::open(device)?;
    let inode = system.inode(number)?;
    let (mut data, mut index) = (Vec::new(), 0);
    while index * system.block < size {
        let (place, count) = system.run(&inode, index)?;
        let piece = index * system.block..(index + count) * system.block;
        if place.is_some() && !add_data(&mut data, piece, size) {
            return Ok(None);
        }
        index += count;
    }
    Ok(Some(data))
}

/// How many bytes the content of an inode has. Directories have something else in the upper half.
fn size(inode: &[u8]) -> Result<u64> {
    let low = little(inode, 4, 4)?;
    match little(inode, 0, 2)? & 0xf000 {
        0x8000 => Ok(low | little(inode, 0x6c, 4)? << 32),
        _ => Ok(low),
    }
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

    /// The attributes of an inode.
    fn attributes(&self, inode: &[u8]) -> Result<Vec<Attribute>> {
        let mut found = Vec::new();
        if inode.len() > 128 {
            let start = 128 + little(inode, 128, 2)? as usize;
            let within = inode.get(start..).unwrap_or_default();
            if within.len() > 4 && little(within, 0, 4)? == MAGIC {
                entries(&within[4..], &within[4..], &mut found)?;
            }
        }
        let block = little(inode, 0x68, 4)? | little(inode, 0x76, 2)? << 32;
        if block != 0 {
            let block = self.block(block)?;
            ensure!(
                little(&block, 0, 4)? == MAGIC,
                "a block of attributes is broken"
            );
            entries(&block[32..], &block, &mut found)?;
        }
        for (name, value) in &mut found {
            if name.starts_with(acl::PREFIX) {
                *value = acl::of_ext(value)?;
            }
        }
        Ok(found)
    }

    /// Where a link leads; none of what is no link.
    fn target(&self, inode: &[u8]) -> Result<Option<PathBuf>> {
        if little(inode, 0, 2)? & 0xf000 != 0xa000 {
            return Ok(None);
        }
        let size = usize::try_from(size(inode)?)?;
        ensure!(size <= LONGEST_LINK, "a link is too long");
        let mut target = vec![0; size];
        // A short one is where other files say which blocks they are.
        if size < 60 && little(inode, 0x20, 4)? & EXTENTS == 0 {
            target.copy_from_slice(slice(inode, 0x28, size)?);
        } else {
            self.read(inode, 0, &mut target)?;
        }
        Ok(Some(super::path_of(&target)))
    }

    /// The inode of a name in a directory.
    fn look_up(&self, directory: &[u8], name: &[u8]) -> Result<u64> {
        let mut found = None;
        self.entries(directory, |there, inode| {
            if there != name {
                return ControlFlow::Continue(());
            }
            found = Some(inode);
            ControlFlow::Break(())
        })?;
        found.context("there is no such file")
    }

    /// Goes through a directory until that is enough.
    fn entries(
        &self,
        directory: &[u8],
        mut each: impl FnMut(&[u8], u64) -> ControlFlow<()>,
    ) -> Result<()> {
        ensure!(
            little(directory, 0, 2)? & 0xf000 == 0x4000,
            "it is no directory"
        );
        let size = size(directory)?;
        ensure!(size <= MOST_DIRECTORY, "a directory is too large");
        ensure!(
            little(directory, 0x20, 4)? & INLINE == 0,
            "directories within inodes are not read"
        );
        for index in 0..size.div_ceil(self.block) {
            let Some(place) = self.place(directory, index)? else {
                continue;
            };
            let block = self.block(place)?;
            let mut at = 0;
            while at + 8 <= block.len() {
                let (inode, length) = (little(&block, at, 4)?, little(&block, at + 4, 2)?);
                let name = little(&block, at + 6, 1)? as usize;
                if inode != 0 && each(slice(&block, at + 8, name)?, inode).is_break() {
                    return Ok(());
                }
                at += (length as usize).max(8);
            }
        }
        Ok(())
    }

    /// Which block of the device a block of a file is; none for a hole.
    fn place(&self, inode: &[u8], index: u64) -> Result<Option<u64>> {
        Ok(self.run(inode, index)?.0)
    }

    /// The same, and for how many blocks of the file it goes on like that, at least one.
    fn run(&self, inode: &[u8], index: u64) -> Result<(Option<u64>, u64)> {
        let map = slice(inode, 0x28, 60)?;
        if little(inode, 0x20, 4)? & EXTENTS == 0 {
            return Ok((self.mapped(map, index)?, 1));
        }
        let mut node = map.to_vec();
        let mut end = u64::from(u32::MAX) + 1;
        ensure!(index < end, "a file is too large");
        for _ in 0..=DEEPEST {
            ensure!(
                little(&node, 0, 2)? == 0xf30a,
                "a tree of extents is broken"
            );
            let count = little(&node, 2, 2)? as usize;
            let leaf = little(&node, 6, 2)? == 0;
            let mut found = None;
            for entry in node
                .get(12..)
                .unwrap_or_default()
                .chunks_exact(12)
                .take(count)
            {
                let first = little(entry, 0, 4)?;
                if first > index {
                    end = end.min(first);
                    break;
                }
                found = Some((first, entry));
            }
            let Some((first, entry)) = found else {
                return Ok((None, end - index));
            };
            if leaf {
                let (within, length) = (index - first, little(entry, 4, 2)?);
                let is_written = length <= WRITTEN;
                let length = if is_written { length } else { length - WRITTEN };
                if within >= length {
                    return Ok((None, end - index));
                }
                let start = little(entry, 8, 4)? | little(entry, 6, 2)? << 32;
                return Ok((is_written.then_some(start + within), length - within));
            }
            node = self.block(little(entry, 4, 4)? | little(entry, 8, 2)? << 32)?;
        }
        bail!("a tree of extents is broken")
    }

    /// Fills `into` with the content of a file from a place on, as far as it goes; how far that is.
    fn read(&self, inode: &[u8], at: u64, into: &mut [u8]) -> Result<usize> {
        let flags = little(inode, 0x20, 4)?;
        ensure!(flags & INLINE == 0, "files within inodes are not read");
        ensure!(flags & ENCRYPTED == 0, "it is encrypted, which is not read");
        let length = size(inode)?.saturating_sub(at).min(into.len() as u64) as usize;
        let mut done = 0;
        while done < length {
            let (index, within) = (
                (at + done as u64) / self.block,
                (at + done as u64) % self.block,
            );
            let (place, count) = self.run(inode, index)?;
            let some = count.saturating_mul(self.block).saturating_sub(within);
            let some = some.min((length - done) as u64) as usize;
            let part = &mut into[done..done + some];
            match place {
                Some(place) => {
                    let place = place.checked_mul(self.block);
                    let place = place.context("a number is too large")?;
                    self.device.read(place + within, part)?;
                }
                None => part.fill(0),
            }
            done += some;
        }
        Ok(length)
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
