//! Partition tables for the disk that they come to: a GPT's second header at the disk's end (UEFI
//! Specification 2.10, section 5.3), the MBR that protects it, the last partition grown.

use anyhow::{Context, Result, bail, ensure};

use super::HEAD;
use crate::disk::bytes::{guid, little, slice};
use crate::disk::device::Device;

/// Bytes of a sector that an MBR counts in.
const SECTOR: usize = 512;

/// Sectors in which a GPT may count.
const SECTORS: [usize; 2] = [SECTOR, 4096];

/// Where partitions end that are grown: at a multiple of this, as they begin.
const ALIGNMENT: u64 = 1 << 20;

/// Type of the MBR's partition that protects a GPT.
const PROTECTIVE: u8 = 0xee;

/// Types of an MBR's partitions that hold logical ones.
const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];

/// The table at the beginning of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Table {
    /// None: a file system on the whole disk, or nothing that is known.
    None,
    /// An MBR.
    Mbr,
    /// A GPT.
    Gpt(Gpt),
}

/// A GUID partition table, as its first header has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpt {
    /// Bytes of the sectors in which it counts.
    sector: usize,
    /// Bytes of its header that are summed.
    header: usize,
    /// Where the second header is, in sectors.
    second: u64,
    /// Where its entries are, in sectors.
    entries: u64,
    /// How many there are.
    count: usize,
    /// Bytes of each.
    size: usize,
}

/// A partition that was grown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grown {
    /// Its number.
    pub number: usize,
    /// Its size before, in bytes.
    pub from: u64,
    /// Its size now, in bytes.
    pub to: u64,
}

/// What belongs on a disk in place of what the image has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fitted {
    /// The disk's beginning.
    pub head: Vec<u8>,
    /// Further ranges, by their places, in the order in which they are to be written.
    pub others: Vec<(u64, Vec<u8>)>,
    /// What was grown.
    pub grown: Option<Grown>,
}

const BROKEN: &str = "the image's partition table is broken";

impl Table {
    /// The table at the beginning of an image.
    ///
    /// # Errors
    /// It is broken, or does not lie within the first MiB.
    pub fn of(head: &[u8]) -> Result<Table> {
        if head.get(510..512) != Some(&[0x55, 0xaa]) {
            return Ok(Table::None);
        }
        for sector in SECTORS {
            let header = head.get(sector..2 * sector).unwrap_or_default();
            if header.starts_with(b"EFI PART") {
                return Gpt::of(head, sector).map(Table::Gpt);
            }
        }
        let types = slice(head, 446, 64)?.chunks_exact(16);
        ensure!(
            !types.clone().any(|entry| entry[4] == PROTECTIVE),
            "{BROKEN}: its MBR protects a GUID partition table that is not there"
        );
        // A file system's own boot sector is no table: its entries would begin anywhere.
        let is_table = types.clone().any(|entry| entry[4] != 0)
            && types.clone().all(|entry| matches!(entry[0], 0 | 0x80))
            && !is_filesystem(head);
        Ok(if is_table { Table::Mbr } else { Table::None })
    }

    /// The size of the disk that it was made for, in bytes, where it tells: the least that the image
    /// needs.
    pub fn disk_size(&self) -> Option<u64> {
        match self {
            Table::Gpt(gpt) => gpt.second.checked_add(1)?.checked_mul(gpt.sector as u64),
            Table::None | Table::Mbr => None,
        }
    }

    /// Whether it is seen on a disk of such sectors, in bytes.
    ///
    /// # Errors
    /// It is not, and what to do.
    pub fn check_sector(&self, disk: u64) -> Result<()> {
        let ours = match self {
            Table::None => return Ok(()),
            Table::Mbr => SECTOR,
            Table::Gpt(gpt) => gpt.sector,
        };
        ensure!(
            ours as u64 == disk,
            "the image's partition table counts in sectors of {ours} bytes, and the disk has sectors of {disk}: nobody would find its partitions there; take an image that was made for such disks"
        );
        Ok(())
    }

    /// What belongs on a disk of `size` bytes, of which the image brings `head`.
    ///
    /// # Errors
    /// The table does not fit, or nothing can be grown.
    pub fn fit(&self, head: Vec<u8>, size: u64, grow: bool) -> Result<Fitted> {
        match self {
            Table::Gpt(gpt) => gpt.fit(head, size, grow),
            Table::Mbr if grow => grow_in_mbr(head, size),
            Table::None if grow => {
                bail!("the image has no partition table, so that there is no partition to --grow")
            }
            Table::None | Table::Mbr => Ok(Fitted {
                head,
                others: Vec::new(),
                grown: None,
            }),
        }
    }
}

/// Whether a boot sector is that of a file system.
fn is_filesystem(head: &[u8]) -> bool {
    let disk = Device::of_bytes(head.to_vec());
    let known = crate::disk::contents::look(&disk);
    known.is_ok_and(|known| known.is_some_and(|known| known.kind == "vfat" || known.kind == "ntfs"))
}

impl Gpt {
    fn of(head: &[u8], sector: usize) -> Result<Gpt> {
        let header = slice(head, sector, sector)?;
        let number = |at, length| little(header, at, length);
        let gpt = Gpt {
            sector,
            header: number(12, 4)? as usize,
            second: number(32, 8)?,
            entries: number(72, 8)?,
            count: number(80, 4)? as usize,
            size: number(84, 4)? as usize,
        };
        ensure!((92..=sector).contains(&gpt.header), BROKEN);
        let mut summed = slice(header, 0, gpt.header)?.to_vec();
        summed[16..20].fill(0);
        ensure!(u64::from(crc32(&summed)) == number(16, 4)?, BROKEN);
        ensure!(
            (128..=4096).contains(&gpt.size) && gpt.size.is_multiple_of(8) && gpt.count <= 1024,
            BROKEN
        );
        ensure!(
            gpt.entries_at()
                .is_some_and(|at| at >= 2 * sector && at + gpt.entries_length() <= HEAD),
            "the image's partition table does not lie within its first MiB, which is not known here"
        );
        let entries = gpt.entries_of(head).context(BROKEN)?;
        ensure!(u64::from(crc32(entries)) == number(88, 4)?, BROKEN);
        ensure!(gpt.second > gpt.entries, BROKEN);
        Ok(gpt)
    }

    fn entries_at(&self) -> Option<usize> {
        usize::try_from(self.entries).ok()?.checked_mul(self.sector)
    }

    fn entries_length(&self) -> usize {
        self.count * self.size
    }

    fn entries_of<'a>(&self, head: &'a [u8]) -> Option<&'a [u8]> {
        let at = self.entries_at()?;
        head.get(at..at + self.entries_length())
    }

    /// How many sectors the entries take.
    fn entries_sectors(&self) -> u64 {
        self.entries_length().div_ceil(self.sector) as u64
    }

    fn fit(&self, mut head: Vec<u8>, size: u64, grow: bool) -> Result<Fitted> {
        let sector = self.sector as u64;
        let last = (size / sector).saturating_sub(1);
        ensure!(
            last >= self.second,
            "the disk is too small for the image's partition table"
        );
        let second_entries = last - self.entries_sectors();
        let last_usable = second_entries - 1;
        let at = self.entries_at().context(BROKEN)?;
        let entries = head.get_mut(at..at + self.entries_length());
        let entries = entries.context(BROKEN)?;
        let grown = match grow {
            true => Some(self.grow(entries, last_usable)?),
            false => None,
        };
        let (mut ends, entries) = (0, entries.to_vec());
        for entry in entries.chunks_exact(self.size) {
            if guid(entry).is_some() {
                ends = ends.max(little(entry, 40, 8)?);
            }
        }
        ensure!(
            ends <= last_usable,
            "the disk is too small: the image's last partition would lie where the second header of its partition table belongs"
        );
        let mut header = head[self.sector..2 * self.sector].to_vec();
        header[48..56].copy_from_slice(&last_usable.to_le_bytes());
        header[88..92].copy_from_slice(&crc32(&entries).to_le_bytes());
        let first = self.summed(header.clone(), 1, last, self.entries);
        let second = self.summed(header, last, 1, second_entries);
        head[self.sector..2 * self.sector].copy_from_slice(&first);
        protect(&mut head, last);
        let mut others = Vec::new();
        // The second header where the image has it; what a partition holds stays.
        let old = self
            .second
            .saturating_sub(self.entries_sectors())
            .max(ends + 1);
        let old_end = (self.second + 1).min(second_entries);
        if old < old_end {
            let length = (old_end - old) as usize * self.sector;
            others.push((old * sector, vec![0; length]));
        }
        let mut copy = entries;
        copy.resize(self.entries_sectors() as usize * self.sector, 0);
        others.push((second_entries * sector, copy));
        others.push((last * sector, second));
        Ok(Fitted {
            head,
            others,
            grown,
        })
    }

    /// A header that stands at `own`, with the other one and its entries there, in sectors.
    fn summed(&self, mut header: Vec<u8>, own: u64, other: u64, entries: u64) -> Vec<u8> {
        header[24..32].copy_from_slice(&own.to_le_bytes());
        header[32..40].copy_from_slice(&other.to_le_bytes());
        header[72..80].copy_from_slice(&entries.to_le_bytes());
        header[16..20].fill(0);
        let sum = crc32(&header[..self.header]);
        header[16..20].copy_from_slice(&sum.to_le_bytes());
        header
    }

    /// Lets the last partition end where the disk does.
    fn grow(&self, entries: &mut [u8], last_usable: u64) -> Result<Grown> {
        let numbered = entries.chunks_exact_mut(self.size).enumerate();
        let there = numbered.filter(|(_, entry)| guid(entry).is_some());
        let end = |entry: &[u8]| little(entry, 40, 8).unwrap_or(0);
        let last = there.max_by_key(|(_, entry)| end(entry));
        let (index, entry) = last.context("the image has no partition that could --grow")?;
        let (start, from) = (little(entry, 32, 8)?, end(entry));
        let alignment = ALIGNMENT / self.sector as u64;
        let to = ((last_usable + 1) / alignment * alignment)
            .saturating_sub(1)
            .max(from);
        entry[40..48].copy_from_slice(&to.to_le_bytes());
        let bytes = |end: u64| (end + 1).saturating_sub(start) * self.sector as u64;
        Ok(Grown {
            number: index + 1,
            from: bytes(from),
            to: bytes(to),
        })
    }
}

/// Lets the MBR protect the disk up to its `last` sector, or as far as it can count. One that names other
/// partitions, too, is somebody's own work and stays.
fn protect(head: &mut [u8], last: u64) {
    let table = &mut head[446..510];
    let others = table.chunks_exact(16).filter(|entry| entry[4] != 0);
    if others.count() == 1
        && let Some(entry) = table
            .chunks_exact_mut(16)
            .find(|entry| entry[4] == PROTECTIVE)
    {
        let sectors = u32::try_from(last).unwrap_or(u32::MAX);
        entry[12..16].copy_from_slice(&sectors.to_le_bytes());
    }
}

fn grow_in_mbr(mut head: Vec<u8>, size: u64) -> Result<Fitted> {
    let number = |entry: &[u8], at| little(entry, at, 4).unwrap_or(0);
    let end = |entry: &[u8]| number(entry, 8) + number(entry, 12);
    let entries = head[446..510].chunks_exact_mut(16).enumerate();
    let there = entries.filter(|(_, entry)| entry[4] != 0);
    let last = there.max_by_key(|(_, entry)| end(entry));
    let (index, entry) = last.context("the image has no partition that could --grow")?;
    ensure!(
        !EXTENDED.contains(&entry[4]),
        "the image's last partition is a logical one, which is not grown: leave out --grow, and grow it there (`growpart`)"
    );
    let (start, length) = (number(entry, 8), number(entry, 12));
    let alignment = ALIGNMENT / SECTOR as u64;
    // An MBR counts in 32 bits.
    let most = (size / SECTOR as u64).min(u64::from(u32::MAX));
    let to = (most / alignment * alignment)
        .saturating_sub(start)
        .max(length);
    entry[12..16].copy_from_slice(&(to as u32).to_le_bytes());
    let grown = Some(Grown {
        number: index + 1,
        from: length * SECTOR as u64,
        to: to * SECTOR as u64,
    });
    Ok(Fitted {
        head,
        others: Vec::new(),
        grown,
    })
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    sum.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::partitions;

    const MIB: usize = 1 << 20;

    /// An image of 4 MiB with a GPT of one partition, from 1 to 3 MiB, in sectors of 512 bytes.
    fn image() -> Vec<u8> {
        let mut disk = vec![0; 4 * MIB];
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        disk[450] = PROTECTIVE;
        disk[454] = 1;
        let (second, entries) = (4 * 2048 - 1, 128 * 128);
        let mut table = vec![0; entries];
        table[..16].fill(7);
        table[16..32].fill(9);
        table[32..40].copy_from_slice(&2048_u64.to_le_bytes());
        table[40..48].copy_from_slice(&(3 * 2048_u64 - 1).to_le_bytes());
        let mut header = vec![0; SECTOR];
        header[..8].copy_from_slice(b"EFI PART");
        header[12] = 92;
        header[80] = 128;
        header[84] = 128;
        header[88..92].copy_from_slice(&crc32(&table).to_le_bytes());
        let gpt = Gpt {
            sector: SECTOR,
            header: 92,
            second,
            entries: 2,
            count: 128,
            size: 128,
        };
        disk[SECTOR..2 * SECTOR].copy_from_slice(&gpt.summed(header, 1, second, 2));
        disk[2 * SECTOR..][..entries].copy_from_slice(&table);
        disk
    }

    /// The disk of `size` bytes on which it stands.
    fn fitted(mut disk: Vec<u8>, size: usize, grow: bool) -> (Vec<u8>, Option<Grown>) {
        let head = disk[..HEAD].to_vec();
        let table = Table::of(&head).unwrap();
        disk.resize(size, 0);
        let fitted = table.fit(head, size as u64, grow).unwrap();
        for (at, bytes) in &fitted.others {
            disk[*at as usize..][..bytes.len()].copy_from_slice(bytes);
        }
        disk[..HEAD].copy_from_slice(&fitted.head);
        (disk, fitted.grown)
    }

    fn partitions_of(disk: Vec<u8>) -> Vec<(u64, u64)> {
        let table = partitions::read(&Device::of_bytes(disk)).unwrap().unwrap();
        assert_eq!(table.kind, partitions::Kind::Gpt);
        let all = table.partitions.iter();
        all.map(|p| (p.start, p.size)).collect()
    }

    #[test]
    fn the_second_header_stands_at_the_end_of_the_disk() {
        for size in [4 * MIB, 4 * MIB + 5 * SECTOR, 9 * MIB] {
            let (mut disk, _) = fitted(image(), size, false);
            let expected = [(MIB as u64, 2 * MIB as u64)];
            assert_eq!(partitions_of(disk.clone()), expected);
            assert_eq!(
                little(&disk, 446 + 12, 4).unwrap(),
                (size / SECTOR - 1) as u64
            );
            // With the first one gone the copy tells the same.
            disk[SECTOR..2 * SECTOR].fill(0);
            assert_eq!(partitions_of(disk), expected);
        }
    }

    #[test]
    fn the_last_partition_grows_to_whole_mebibytes() {
        let (disk, grown) = fitted(image(), 9 * MIB + SECTOR, true);
        let grown = grown.unwrap();
        let mib = MIB as u64;
        assert_eq!((grown.number, grown.from, grown.to), (1, 2 * mib, 7 * mib));
        assert_eq!(partitions_of(disk), [(mib, 7 * mib)]);
    }

    #[test]
    fn what_is_broken_or_too_large_is_refused() {
        let disk = image();
        let table = Table::of(&disk[..HEAD]).unwrap();
        assert_eq!(table.disk_size(), Some(4 * MIB as u64));
        table.check_sector(512).unwrap();
        table.check_sector(4096).unwrap_err();
        let head = disk[..HEAD].to_vec();
        table
            .fit(head.clone(), 4 * MIB as u64 - 512, false)
            .unwrap_err();
        for at in [SECTOR + 40, 2 * SECTOR + 200] {
            let mut broken = head.clone();
            broken[at] ^= 1;
            assert!(Table::of(&broken).unwrap_err().to_string().contains(BROKEN));
        }
        let mut headless = head;
        headless[SECTOR] = 0;
        Table::of(&headless).unwrap_err();
        assert_eq!(Table::of(&[0; HEAD]).unwrap(), Table::None);
    }

    #[test]
    fn the_last_partition_of_an_mbr_grows_unless_it_is_logical() {
        let mut head = vec![0; HEAD];
        head[510..512].copy_from_slice(&[0x55, 0xaa]);
        head[450] = 0x83;
        head[454..458].copy_from_slice(&2048_u32.to_le_bytes());
        head[458..462].copy_from_slice(&2048_u32.to_le_bytes());
        let table = Table::of(&head).unwrap();
        assert_eq!(table, Table::Mbr);
        let size = 9 * MIB as u64;
        let fitted = table.fit(head.clone(), size, true).unwrap();
        assert_eq!(fitted.grown.unwrap().to, 8 * MIB as u64);
        head[450] = 0x05;
        table.fit(head, size, true).unwrap_err();
    }
}
