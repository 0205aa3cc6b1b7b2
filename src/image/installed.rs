//! Reads the installer's logs from the disk of a failed install, without mounting anything.
//!
//! Anaconda copies its logs to `/var/log/anaconda` of the installed system before `%post` and at
//! its end. What the guest had not written to its disk by then is not there: a kernel keeps new
//! files in memory for up to half a minute. Read are ext2 to ext4 on plain partitions; there is no
//! kept library for XFS and LVM.

use std::path::Path;

use anyhow::{Context, ensure};
use ext4_view::{Ext4, Ext4Read};
use imago::file::File;
use imago::qcow2::Qcow2;
use imago::{DenyImplicitOpenGate, FormatAccess, FormatDriverBuilder, StorageOpenOptions};

/// Where the logs are, seen from the root and from a `/var` of its own.
const PLACES: [&str; 2] = ["/var/log/anaconda", "/log/anaconda"];

/// Bytes of a sector, in which partition tables count. The guests' disks have no other.
const SECTOR: u64 = 512;

/// Most entries of a partition table; it has room for 128, and a guest can write any number.
const MOST_PARTITIONS: u32 = 256;

/// Most logs, and most bytes of one. An install writes some twenty, of a few MiB at most.
const MOST_LOGS: usize = 64;
const LARGEST_LOG: u64 = 32 << 20;

/// A log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Its file name: letters, digits, dots, dashes and underscores.
    pub name: String,
    /// Its content.
    pub content: Vec<u8>,
}

/// The installer's logs on a qcow2 disk that no guest uses; none if there are none, or if they are
/// where they cannot be read.
///
/// # Errors
/// The disk cannot be read.
pub fn logs(disk: &Path) -> anyhow::Result<Vec<Log>> {
    let file = std::fs::File::open(disk).with_context(|| format!("opening {}", disk.display()))?;
    let file = File::from_open_file(file, StorageOpenOptions::new())?;
    let disk = Qcow2::<File>::builder(file)
        .open(DenyImplicitOpenGate::default())
        .context("reading a qcow2 image")?;
    let disk = std::sync::Arc::new(FormatAccess::new(disk));
    for start in partitions(|at, bytes| Ok(disk.read(bytes, at)?))? {
        let disk = std::sync::Arc::clone(&disk);
        let Ok(system) = Ext4::load(Box::new(Partition { disk, start })) else {
            continue;
        };
        for place in PLACES {
            let found = logs_in(&system, place);
            if !found.is_empty() {
                return Ok(found);
            }
        }
    }
    Ok(Vec::new())
}

struct Partition {
    disk: std::sync::Arc<FormatAccess<File>>,
    start: u64,
}

impl Ext4Read for Partition {
    fn read(
        &mut self,
        start_byte: u64,
        into: &mut [u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let at = self
            .start
            .checked_add(start_byte)
            .ok_or("beyond the disk")?;
        Ok(self.disk.read(into, at)?)
    }
}

/// The logs in a directory, as far as they can be read.
fn logs_in(system: &Ext4, place: &str) -> Vec<Log> {
    let Ok(entries) = system.read_dir(place) else {
        return Vec::new();
    };
    let logs = entries.flatten().take(MOST_LOGS).filter_map(|entry| {
        let name = entry.file_name().as_str().ok()?.to_owned();
        let path = format!("{place}/{name}");
        let fit = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let meta = system.symlink_metadata(path.as_str()).ok()?;
        if name.starts_with('.')
            || !name.chars().all(fit)
            || !meta.file_type().is_regular_file()
            || meta.len() > LARGEST_LOG
        {
            return None;
        }
        let content = system.read(path.as_str()).ok()?;
        Some(Log { name, content })
    });
    logs.collect()
}

/// Where partitions begin, in bytes: of a GPT (UEFI Specification 2.10, section 5.3), else of an
/// MBR, extended ones left out.
fn partitions(read: impl Fn(u64, &mut [u8]) -> anyhow::Result<()>) -> anyhow::Result<Vec<u64>> {
    let mut sectors = [0; 2 * SECTOR as usize];
    read(0, &mut sectors)?;
    let (mbr, header) = sectors.split_at(SECTOR as usize);
    if mbr[510..] != [0x55, 0xaa] {
        return Ok(Vec::new());
    }
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .rev()
            .fold(0_u64, |n, b| n << 8 | u64::from(*b))
    };
    let starts: Vec<u64> = if header.starts_with(b"EFI PART") {
        let (table, count, size) = (&header[72..80], &header[80..84], &header[84..88]);
        let (count, size) = (number(count), number(size) as usize);
        ensure!(
            (128..=4096).contains(&size),
            "the partition table is broken"
        );
        let count = count.min(u64::from(MOST_PARTITIONS)) as usize;
        let mut entries = vec![0; count * size];
        let table = number(table).checked_mul(SECTOR);
        read(
            table.context("the partition table is broken")?,
            &mut entries,
        )?;
        entries
            .chunks_exact(size)
            .filter(|entry| entry[..16].iter().any(|byte| *byte != 0))
            .map(|entry| number(&entry[32..40]))
            .collect()
    } else {
        mbr[446..510]
            .chunks_exact(16)
            .filter(|entry| entry[4] != 0)
            .map(|entry| number(&entry[8..12]))
            .collect()
    };
    Ok(starts
        .iter()
        .filter_map(|start| start.checked_mul(SECTOR))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(disk: &[u8]) -> anyhow::Result<Vec<u64>> {
        partitions(|at, bytes| {
            let at = usize::try_from(at)?;
            let part = disk.get(at..).and_then(|rest| rest.get(..bytes.len()));
            bytes.copy_from_slice(part.context("beyond the disk")?);
            Ok(())
        })
    }

    #[test]
    fn hostile_tables_are_errors_or_empty() {
        let mut disk = vec![0; 4096];
        assert!(of(&disk).unwrap().is_empty());
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        assert!(of(&disk).unwrap().is_empty());
        disk[446 + 4] = 0x83;
        disk[446 + 8..446 + 12].fill(0xff);
        assert_eq!(of(&disk).unwrap(), [0xffff_ffff * SECTOR]);
        disk[512..520].copy_from_slice(b"EFI PART");
        assert!(of(&disk).is_err(), "entries without a size");
        disk[512 + 72..512 + 88].fill(0xff);
        assert!(of(&disk).is_err());
        disk[512 + 84..512 + 88].copy_from_slice(&128_u32.to_le_bytes());
        assert!(of(&disk).is_err(), "a table beyond the disk");
    }
}
