//! Partition tables: GPT (UEFI Specification 2.10, section 5.3) and MBR with logical partitions.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::bytes::{guid, little, slice};
use super::device::Device;

/// Bytes of a sector that an MBR counts in.
const SECTOR: u64 = 512;

/// Sectors in which a GPT may count: disks of 4096 bytes a sector are rare, but there are some.
const SECTORS: [u64; 2] = [SECTOR, 4096];

/// Most entries of a partition table; a GPT has room for 128, and a guest can write any number.
const MOST_PARTITIONS: u64 = 256;

/// Types of an MBR's partitions that hold logical ones.
const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];

/// Type of the MBR's partition that protects a GPT.
const PROTECTIVE: u8 = 0xee;

/// What kind of table a disk has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A GUID partition table.
    Gpt,
    /// A PC's master boot record.
    Mbr,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// Its number, as Linux counts: 1 and up, logical ones of an MBR from 5.
    pub number: u32,
    /// Where it begins, in bytes.
    pub start: u64,
    /// How long it is, in bytes.
    pub size: u64,
    /// Its type: the GUID of a GPT, two hexadecimal digits of an MBR.
    pub kind: String,
    /// Its own UUID (PARTUUID); of an MBR's partition as Linux makes it up.
    pub uuid: Option<String>,
    /// Its name in a GPT (PARTLABEL).
    pub name: Option<String>,
    /// Whether an MBR says that a BIOS boots from it.
    pub active: bool,
}

/// A partition table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Of which kind it is.
    pub kind: Kind,
    /// Its partitions, in its order.
    pub partitions: Vec<Partition>,
}

/// The partition table of a disk, if it has one.
///
/// # Errors
/// The disk cannot be read, or the table is broken.
pub fn read(disk: &Device) -> Result<Option<Table>> {
    let first = disk.beginning(0, SECTOR as usize)?;
    if first.get(510..) != Some(&[0x55, 0xaa]) {
        return Ok(None);
    }
    let protects = slice(&first, 446, 64)?
        .chunks_exact(16)
        .any(|entry| entry[4] == PROTECTIVE);
    for sector in SECTORS {
        let header = disk.beginning(sector, SECTOR as usize)?;
        if header.starts_with(b"EFI PART") || protects && sector == SECTOR {
            let table = gpt(disk, &header, sector).or_else(|why| {
                // The copy at the disk's end.
                let last = disk.size().saturating_sub(sector);
                let copy = disk.beginning(last, SECTOR as usize)?;
                gpt(disk, &copy, sector).map_err(|_| why)
            });
            match table {
                Ok(partitions) => {
                    let kind = Kind::Gpt;
                    return Ok(Some(Table { kind, partitions }));
                }
                // Perhaps one of larger sectors.
                Err(_) if !header.starts_with(b"EFI PART") => {}
                Err(why) => return Err(why),
            }
        }
    }
    let partitions = mbr(disk, &first)?;
    let kind = Kind::Mbr;
    Ok(Some(Table { kind, partitions }))
}

fn gpt(disk: &Device, header: &[u8], sector: u64) -> Result<Vec<Partition>> {
    const BROKEN: &str = "the GUID partition table is broken";
    ensure!(header.starts_with(b"EFI PART"), BROKEN);
    let length = little(header, 12, 4)? as usize;
    ensure!((92..=512).contains(&length), BROKEN);
    let mut summed = slice(header, 0, length)?.to_vec();
    summed[16..20].fill(0);
    ensure!(crc32(&summed) == little(header, 16, 4)?, BROKEN);
    let place = little(header, 72, 8)?.checked_mul(sector);
    let (count, size) = (little(header, 80, 4)?, little(header, 84, 4)?);
    ensure!(
        (128..=4096).contains(&size) && count <= MOST_PARTITIONS,
        BROKEN
    );
    let entries = disk.bytes(place.unwrap_or(u64::MAX), (count * size) as usize)?;
    ensure!(crc32(&entries) == little(header, 88, 4)?, BROKEN);
    let mut partitions = Vec::new();
    for (entry, number) in entries.chunks_exact(size as usize).zip(1..) {
        let Some(kind) = guid(entry) else {
            continue;
        };
        let (first, last) = (little(entry, 32, 8)?, little(entry, 40, 8)?);
        let start = first.checked_mul(sector);
        let sectors = (last.saturating_add(1)).saturating_sub(first);
        let Some(start) = start.filter(|_| sectors > 0) else {
            continue;
        };
        partitions.push(Partition {
            number,
            start,
            size: sectors.saturating_mul(sector),
            kind,
            uuid: guid(&entry[16..32]),
            name: utf16(&entry[56..128]),
            active: false,
        });
    }
    Ok(partitions)
}

fn crc32(bytes: &[u8]) -> u64 {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    u64::from(sum.sum())
}

/// A name in UTF-16 that ends at the first zero; none if it is empty.
fn utf16(field: &[u8]) -> Option<String> {
    let units = field
        .chunks_exact(2)
        .map(|b| u16::from_le_bytes([b[0], b[1]]));
    let name: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
    (!name.is_empty()).then(|| String::from_utf16_lossy(&name))
}

/// An entry of an MBR, in bytes.
struct Entry {
    kind: u8,
    active: bool,
    start: u64,
    size: u64,
}

fn entries(sector: &[u8]) -> Result<Vec<Entry>> {
    let table = slice(sector, 446, 64)?.chunks_exact(16);
    let entry = |entry: &[u8]| {
        anyhow::Ok(Entry {
            kind: entry[4],
            active: entry[0] == 0x80,
            start: little(entry, 8, 4)? * SECTOR,
            size: little(entry, 12, 4)? * SECTOR,
        })
    };
    table.map(entry).collect()
}

fn mbr(disk: &Device, first: &[u8]) -> Result<Vec<Partition>> {
    let id = little(first, 440, 4)?;
    let partition = |number: u32, start: u64, entry: &Entry| Partition {
        number,
        start,
        size: entry.size,
        kind: format!("{:02x}", entry.kind),
        uuid: (id != 0).then(|| format!("{id:08x}-{number:02x}")),
        name: None,
        active: entry.active,
    };
    let mut partitions = Vec::new();
    let mut extended = None;
    for (entry, number) in entries(first)?.iter().zip(1..) {
        if entry.kind != 0 && entry.size > 0 {
            partitions.push(partition(number, entry.start, entry));
        }
        if EXTENDED.contains(&entry.kind) {
            extended = Some(entry.start);
        }
    }
    // Each logical partition has a table of its own, with its entry and one that leads to the next.
    let base = extended;
    let mut number = 5;
    while let (Some(base), Some(at)) = (base, extended)
        && u64::from(number) < MOST_PARTITIONS
    {
        let Ok(sector) = disk.bytes(at, SECTOR as usize) else {
            break;
        };
        if sector.get(510..) != Some(&[0x55, 0xaa]) {
            break;
        }
        extended = None;
        for entry in entries(&sector)? {
            if EXTENDED.contains(&entry.kind) {
                extended = extended.or(Some(base + entry.start));
            } else if entry.kind != 0 && entry.size > 0 {
                partitions.push(partition(number, at + entry.start, &entry));
                number += 1;
            }
        }
        // A chain that goes back never ends.
        extended = extended.filter(|next| *next > at);
    }
    Ok(partitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Result<Option<Table>> {
        read(&Device::of_bytes(bytes.to_vec()))
    }

    fn starts(bytes: &[u8]) -> Vec<(u32, u64)> {
        let table = of(bytes).unwrap().unwrap();
        let partitions = table.partitions.iter();
        partitions.map(|p| (p.number, p.start / SECTOR)).collect()
    }

    fn set_entry(bytes: &mut [u8], table: usize, index: usize, kind: u8, start: u32) {
        let at = table * 512 + 446 + index * 16;
        bytes[at + 4] = kind;
        bytes[at + 8..at + 12].copy_from_slice(&start.to_le_bytes());
        bytes[at + 12..at + 16].copy_from_slice(&8_u32.to_le_bytes());
        bytes[table * 512 + 510..table * 512 + 512].copy_from_slice(&[0x55, 0xaa]);
    }

    #[test]
    fn logical_partitions_are_found_and_their_chain_ends() {
        let mut disk = vec![0; 1 << 16];
        assert_eq!(of(&disk).unwrap(), None);
        set_entry(&mut disk, 0, 0, 0x83, 8);
        set_entry(&mut disk, 0, 3, 0x05, 16);
        set_entry(&mut disk, 16, 0, 0x8e, 1);
        set_entry(&mut disk, 16, 1, 0x05, 32);
        set_entry(&mut disk, 48, 0, 0x83, 2);
        assert_eq!(starts(&disk), [(1, 8), (4, 16), (5, 17), (6, 50)]);
        set_entry(&mut disk, 48, 1, 0x05, 0);
        assert_eq!(starts(&disk).len(), 4, "a chain that goes back");
    }

    #[test]
    fn hostile_tables_are_errors_or_empty() {
        let mut disk = vec![0; 4096];
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        assert!(starts(&disk).is_empty());
        set_entry(&mut disk, 0, 0, 0x83, u32::MAX);
        assert_eq!(starts(&disk), [(1, 0xffff_ffff)]);
        disk[512..520].copy_from_slice(b"EFI PART");
        assert!(of(&disk).is_err(), "a header without a length");
        disk[512 + 8..1024].fill(0xff);
        assert!(of(&disk).is_err());
        assert_eq!(of(&[0x55; 100]).unwrap(), None);
    }
}
