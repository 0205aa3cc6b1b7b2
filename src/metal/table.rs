//! Partition tables for the disk that they come to: a GPT's second header at the disk's end (UEFI
//! Specification 2.10, section 5.3), the MBR that protects it, the last partition grown.

use anyhow::{Result, bail, ensure};

use super::gpt::{Gpt, SECTORS};
use super::mbr;
use crate::disk::bytes::slice;
use crate::disk::device::Device;

/// Bytes of a sector that an MBR counts in.
pub(super) const SECTOR: usize = 512;

/// Where partitions end that are grown: at a multiple of this, as they begin.
pub(super) const ALIGNMENT: u64 = 1 << 20;

/// Type of the MBR's partition that protects a GPT.
pub(super) const PROTECTIVE: u8 = 0xee;

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

/// What is said of a table that contradicts itself.
pub(super) const BROKEN: &str = "the image's partition table is broken";

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
            Table::Gpt(gpt) => gpt.disk_size(),
            Table::None | Table::Mbr => None,
        }
    }

    /// Bytes of the sectors in which it counts, if there is one.
    pub fn sector(&self) -> Option<u64> {
        match self {
            Table::None => None,
            Table::Mbr => Some(SECTOR as u64),
            Table::Gpt(gpt) => Some(gpt.sector as u64),
        }
    }

    /// Whether it is seen on a disk of such sectors, in bytes.
    ///
    /// # Errors
    /// It is not, and what to do.
    pub fn check_sector(&self, disk: u64) -> Result<()> {
        let Some(ours) = self.sector() else {
            return Ok(());
        };
        ensure!(
            ours == disk,
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
            Table::Mbr if grow => mbr::grow(head, size),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::bytes::little;
    use crate::disk::partitions;
    use crate::metal::HEAD;
    use crate::metal::gpt::crc32;

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
