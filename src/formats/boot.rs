//! How a disk can start, by what stands at its beginning: partition tables and boot code.
//!
//! MBR and GPT are those of the UEFI Specification 2.10, section 5; the BIOS boot partition is
//! GRUB's. Everything read is a guest's or a stranger's.

use crate::machine::Firmware;

/// How much of a disk's beginning is looked at, in bytes: the MBR, a GPT with all of its entries,
/// whatever the sectors' size.
pub const BEGINNING: usize = 64 << 10;

/// Bytes of a sector.
const SECTOR: usize = 512;

/// Most entries of a table; it has room for 128.
const MOST_PARTITIONS: u32 = 256;

/// Types of partitions, as they stand on disk (the first three fields little endian).
const ESP: [u8; 16] = [
    0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b,
];
const BIOS_BOOT: [u8; 16] = *b"Hah!IdontNeedEFI";

/// Types of partitions of an MBR: an EFI system partition, and what protects a GPT.
const MBR_ESP: u8 = 0xef;
const MBR_PROTECTIVE: u8 = 0xee;

/// A partition table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// There is none that is known.
    None,
    /// An MBR.
    Mbr,
    /// A GPT, whose second header is in this sector.
    Gpt {
        /// As the first header has it.
        second: u64,
    },
}

/// What stands at a disk's beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Boot {
    /// The partition table.
    pub table: Table,
    /// How many partitions there are.
    pub partitions: u32,
    /// Whether a BIOS finds boot code, and that has a place for what it loads.
    pub bios: bool,
    /// Whether there is an EFI system partition.
    pub uefi: bool,
}

impl Boot {
    /// Looks at a disk's first [`BEGINNING`] bytes, or fewer.
    pub fn of(beginning: &[u8]) -> Boot {
        let nothing = Boot {
            table: Table::None,
            partitions: 0,
            bios: false,
            uefi: false,
        };
        let Some(mbr) = beginning.get(..SECTOR) else {
            return nothing;
        };
        if mbr[510..] != [0x55, 0xaa] {
            return nothing;
        }
        let has_code = mbr[..440].iter().any(|byte| *byte != 0);
        let types: Vec<u8> = (0..4)
            .map(|number| mbr[446 + 16 * number + 4])
            .filter(|kind| *kind != 0)
            .collect();
        if types.contains(&MBR_PROTECTIVE)
            && let Some(gpt) = Gpt::of(beginning)
        {
            return Boot {
                table: Table::Gpt { second: gpt.second },
                partitions: gpt.partitions,
                bios: has_code && gpt.bios_boot,
                uefi: gpt.esp,
            };
        }
        Boot {
            table: Table::Mbr,
            partitions: types.len() as u32,
            bios: has_code && !types.is_empty(),
            uefi: types.contains(&MBR_ESP),
        }
    }

    /// Whether it starts by this firmware.
    pub fn starts_by(&self, firmware: Firmware) -> bool {
        match firmware {
            Firmware::Bios => self.bios,
            Firmware::Uefi => self.uefi,
        }
    }

    /// The firmware that it starts by: BIOS if both do, as then every machine can.
    pub fn firmware(&self) -> Option<Firmware> {
        let both = [Firmware::Bios, Firmware::Uefi];
        both.into_iter().find(|firmware| self.starts_by(*firmware))
    }
}

struct Gpt {
    second: u64,
    partitions: u32,
    esp: bool,
    bios_boot: bool,
}

impl Gpt {
    /// Reads the table where sectors have 512 bytes, as all images have them.
    fn of(beginning: &[u8]) -> Option<Gpt> {
        let header = beginning.get(SECTOR..2 * SECTOR)?;
        if &header[..8] != b"EFI PART" {
            return None;
        }
        let number = |at: usize| {
            let bytes = header[at..at + 8].try_into();
            u64::from_le_bytes(bytes.unwrap_or_default())
        };
        let short = |at: usize| (number(at) & u64::from(u32::MAX)) as u32;
        let (start, count, size) = (number(72), short(80), short(84) as usize);
        if !(128..=4096).contains(&size) || count > MOST_PARTITIONS {
            return None;
        }
        let start = usize::try_from(start).ok()?.checked_mul(SECTOR)?;
        let entries = beginning.get(start..)?.chunks_exact(size);
        let entries: Vec<&[u8]> = entries.take(count as usize).collect();
        let has = |kind: [u8; 16]| entries.iter().any(|entry| entry[..16] == kind);
        let used = entries.iter().filter(|entry| entry[..16] != [0; 16]);
        Some(Gpt {
            second: number(32),
            partitions: used.count() as u32,
            esp: has(ESP),
            bios_boot: has(BIOS_BOOT),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk's beginning with these types in its GPT.
    fn gpt(types: &[[u8; 16]], has_code: bool) -> Vec<u8> {
        let mut disk = vec![0; BEGINNING];
        disk[0] = u8::from(has_code);
        disk[446 + 4] = MBR_PROTECTIVE;
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        disk[512..520].copy_from_slice(b"EFI PART");
        disk[512 + 32] = 99;
        disk[512 + 72] = 2;
        disk[512 + 80] = 128;
        disk[512 + 84] = 128;
        for (number, kind) in types.iter().enumerate() {
            disk[1024 + 128 * number..][..16].copy_from_slice(kind);
        }
        disk
    }

    #[test]
    fn disks_start_as_their_tables_say() {
        let nothing = Boot::of(&[0; BEGINNING]);
        assert_eq!((nothing.table, nothing.firmware()), (Table::None, None));
        let both = Boot::of(&gpt(&[BIOS_BOOT, ESP, [7; 16]], true));
        assert_eq!(both.table, Table::Gpt { second: 99 });
        assert_eq!((both.partitions, both.bios, both.uefi), (3, true, true));
        let uefi = Boot::of(&gpt(&[ESP], true));
        assert_eq!(uefi.firmware(), Some(Firmware::Uefi));
        assert!(!Boot::of(&gpt(&[BIOS_BOOT], false)).bios, "no code");
        let mut mbr = vec![0; 512];
        mbr[0] = 1;
        mbr[450] = 0x83;
        mbr[510..].copy_from_slice(&[0x55, 0xaa]);
        let mbr = Boot::of(&mbr);
        assert_eq!(
            (mbr.table, mbr.firmware()),
            (Table::Mbr, Some(Firmware::Bios))
        );
    }

    #[test]
    fn tables_that_lead_nowhere_are_none() {
        let good = gpt(&[ESP], true);
        for (at, byte) in [
            (512 + 79, 0xff),
            (512 + 80 + 3, 1),
            (512 + 84, 1),
            (512 + 86, 1),
        ] {
            let mut disk = good.clone();
            disk[at] = byte;
            assert!(!Boot::of(&disk).uefi, "{at}");
        }
        for length in 0..2048 {
            Boot::of(&good[..length]);
        }
    }
}
