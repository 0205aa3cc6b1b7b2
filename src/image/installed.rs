//! Reads the disk of a guest that is gone: whether anything was installed, and the installer's logs,
//! without mounting anything.
//!
//! Whatever a disk holds was written by its guest, and file systems are intricate: a superblock can
//! ask for more memory than there is, which ends a process. So a process of its own reads it
//! ([`answer_to`]: `ozr` started once more), within bounds of memory and time; what it
//! cannot read is not known, and no more.
//!
//! Anaconda copies its logs to `/var/log/anaconda` of the installed system before `%post` and at
//! its end. What the guest had not written to its disk by then is not there: a kernel keeps new
//! files in memory for up to half a minute. Read are ext2 to ext4 on plain partitions; there is no
//! kept library for XFS and LVM.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use ext4_view::{Ext4, Ext4Read};
use imago::qcow2::Qcow2;
use imago::{DenyImplicitOpenGate, FormatAccess, FormatDriverBuilder, StorageOpenOptions};
use rustix::process::{Resource, Rlimit, setrlimit};
use strum::{EnumString, IntoStaticStr};

use crate::process;

/// The program that reads disks: this one, whatever its file has become.
pub const OWN_PROGRAM: &str = "/proc/self/exe";

/// The first argument of the process that reads a disk. No user gives it.
const VERB: &str = "--read-disk";

/// Memory of the process that reads, in bytes: the largest log twice, and a file system's tables.
const MOST_MEMORY: u64 = 192 << 20;

/// How long it may compute. A disk of 20 logs takes some hundredths of a second.
const MOST_CPU: Duration = Duration::from_secs(5);

/// How long it may take in all, on a disk that is slow.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where the logs are, seen from the root and from a `/var` of its own.
const PLACES: [&str; 2] = ["/var/log/anaconda", "/log/anaconda"];

/// Bytes of a sector, in which partition tables count. The guests' disks have no other.
const SECTOR: u64 = 512;

/// Most entries of a partition table; it has room for 128, and a guest can write any number.
const MOST_PARTITIONS: u32 = 256;

/// Most logs, and most bytes of all of them. An install writes some twenty, of a few MiB at most.
const MOST_LOGS: usize = 64;
const MOST_BYTES: usize = 48 << 20;

/// How much of a partition is looked at for its contents, in bytes: every file system, volume and
/// boot loader has something there (btrfs the latest, at 64 KiB).
const BEGINNING: usize = 128 << 10;

/// What stands on disks that are in use without a partition table, and where: file systems, LVM,
/// LUKS (util-linux 2.38, `libblkid/src/superblocks`), and the tables of other machines than PCs
/// (`libblkid/src/partitions`: Apple's, and the volume labels of DASDs in EBCDIC).
const SIGNATURES: [(usize, &[u8]); 12] = [
    (0x438, b"\x53\xef"),
    (0, b"XFSB"),
    (0x1_0040, b"_BHRfS_M"),
    (512, b"LABELONE"),
    (0, b"LUKS\xba\xbe"),
    (3, b"NTFS    "),
    (54, b"FAT"),
    (82, b"FAT32"),
    (0, b"ER"),
    (8192, b"\xe5\xd6\xd3\xf1"),
    (8192, b"\xd3\xd5\xe7\xf1"),
    (8192, b"\xc3\xd4\xe2\xf1"),
];

/// A log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Its file name: letters, digits, dots, dashes and underscores.
    pub name: String,
    /// Its content.
    pub content: Vec<u8>,
}

/// What is asked of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Question {
    /// Whether there is a partition with contents, or a file system.
    Contents,
    /// The installer's logs.
    Logs,
}

/// Whether a qcow2 disk that no guest uses holds a partition with contents, or a file system. Asks
/// `program`, [`OWN_PROGRAM`].
///
/// # Errors
/// It cannot be told.
pub async fn has_contents(program: &Path, disk: &File) -> anyhow::Result<bool> {
    Ok(ask(program, disk, Question::Contents).await? == USED)
}

/// The installer's logs on a qcow2 disk that no guest uses; none if there are none, or if they are
/// where they cannot be read. Asks `program`, [`OWN_PROGRAM`].
///
/// # Errors
/// The disk cannot be read.
pub async fn logs(program: &Path, disk: &File) -> anyhow::Result<Vec<Log>> {
    let answer = ask(program, disk, Question::Logs).await?;
    let (mut rest, mut logs) = (answer.as_slice(), Vec::new());
    while !rest.is_empty() {
        let mut header = String::new();
        rest.read_line(&mut header)?;
        let (name, size) = header.trim_end().split_once(' ').context("reading a log")?;
        let (content, next) = rest
            .split_at_checked(size.parse()?)
            .context("reading a log")?;
        logs.push(Log {
            name: name.to_owned(),
            content: content.to_vec(),
        });
        rest = next;
    }
    Ok(logs)
}

async fn ask(program: &Path, disk: &File, question: Question) -> anyhow::Result<Vec<u8>> {
    let mut command = process::command(program);
    command
        .args([VERB, question.into()])
        .stdin(Stdio::from(disk.try_clone()?));
    let answer = tokio::time::timeout(PATIENCE, process::output(&mut command)).await;
    answer
        .with_context(|| format!("no answer within {} s", PATIENCE.as_secs()))
        .and_then(|answer| answer)
        .context("reading the guest's disk")
}

/// The answer to [`Question::Contents`] of a disk that has some.
const USED: &[u8] = b"used";

/// The answer of the process that reads the disk on its standard input, if these arguments are for
/// that.
///
/// # Errors
/// The disk cannot be read.
pub fn answer_to(arguments: impl IntoIterator<Item = OsString>) -> Option<anyhow::Result<Vec<u8>>> {
    let mut arguments = arguments.into_iter();
    if arguments.next()? != VERB {
        return None;
    }
    let question = arguments.next()?.to_str()?.parse().ok()?;
    let answer = || {
        for (resource, most) in [
            (Resource::Data, MOST_MEMORY),
            (Resource::Cpu, MOST_CPU.as_secs()),
            (Resource::Core, 0),
        ] {
            let (current, maximum) = (Some(most), Some(most));
            setrlimit(resource, Rlimit { current, maximum })?;
        }
        let disk = std::io::stdin().as_fd().try_clone_to_owned()?;
        answer(question, File::from(disk))
    };
    Some(answer())
}

/// The answer to a question about a qcow2 disk, in this process.
fn answer(question: Question, disk: File) -> anyhow::Result<Vec<u8>> {
    let file = imago::file::File::from_open_file(disk, StorageOpenOptions::new())?;
    let disk = Qcow2::<imago::file::File>::builder(file)
        .open(DenyImplicitOpenGate::default())
        .context("reading a qcow2 image")?;
    let disk = FormatAccess::new(disk);
    let size = disk.size();
    look(
        question,
        &Disk(Arc::new(move |at, into| Ok(disk.read(into, at)?))),
        size,
    )
}

/// Reads bytes of a disk from a place on.
pub type Read = dyn Fn(u64, &mut [u8]) -> anyhow::Result<()> + Send + Sync;

/// A disk, whatever keeps it.
#[derive(Clone)]
#[allow(missing_debug_implementations)] // a function has nothing to show
pub struct Disk(pub Arc<Read>);

impl Disk {
    /// At most so many bytes from a place on, of a disk of `size` bytes.
    fn beginning(&self, at: u64, size: u64) -> anyhow::Result<Vec<u8>> {
        let length = size.saturating_sub(at).min(BEGINNING as u64);
        let mut bytes = vec![0; length as usize];
        self.0(at, &mut bytes)?;
        Ok(bytes)
    }
}

/// The answer to a question about a disk of `size` bytes.
///
/// # Errors
/// The disk cannot be read.
pub fn look(question: Question, disk: &Disk, size: u64) -> anyhow::Result<Vec<u8>> {
    let mut answer = Vec::new();
    match question {
        Question::Contents => {
            if is_used(disk, size)? {
                answer.extend_from_slice(USED);
            }
        }
        Question::Logs => {
            for log in find_logs(disk)? {
                writeln!(answer, "{} {}", log.name, log.content.len())?;
                answer.extend_from_slice(&log.content);
            }
        }
    }
    Ok(answer)
}

/// Whether a disk of `size` bytes holds a partition with contents, or something else that is known.
fn is_used(disk: &Disk, size: u64) -> anyhow::Result<bool> {
    let whole = disk.beginning(0, size)?;
    let known = |(at, signature): &(usize, &[u8])| {
        let there = whole.get(*at..);
        there.is_some_and(|there| there.starts_with(signature))
    };
    if SIGNATURES.iter().any(known) {
        return Ok(true);
    }
    for start in partitions(disk)? {
        let beginning = disk.beginning(start, size)?;
        if beginning.iter().any(|byte| *byte != 0) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn find_logs(disk: &Disk) -> anyhow::Result<Vec<Log>> {
    for start in partitions(disk)? {
        let disk = disk.clone();
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
    disk: Disk,
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
        Ok(self.disk.0(at, into)?)
    }
}

/// The logs in a directory, as far as they can be read.
fn logs_in(system: &Ext4, place: &str) -> Vec<Log> {
    let Ok(entries) = system.read_dir(place) else {
        return Vec::new();
    };
    let mut room = MOST_BYTES;
    let logs = entries.flatten().take(MOST_LOGS).filter_map(|entry| {
        let name = entry.file_name().as_str().ok()?.to_owned();
        let path = format!("{place}/{name}");
        let fit = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let meta = system.symlink_metadata(path.as_str()).ok()?;
        if name.starts_with('.')
            || !name.chars().all(fit)
            || !meta.file_type().is_regular_file()
            || meta.len() > room as u64
        {
            return None;
        }
        let content = system.read(path.as_str()).ok()?;
        room = room.saturating_sub(content.len());
        Some(Log { name, content })
    });
    logs.collect()
}

/// Where partitions begin, in bytes: of a GPT (UEFI Specification 2.10, section 5.3), else of an
/// MBR, extended ones left out.
fn partitions(disk: &Disk) -> anyhow::Result<Vec<u64>> {
    let read = &disk.0;
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

    fn disk(bytes: &[u8]) -> Disk {
        let bytes = bytes.to_vec();
        Disk(Arc::new(move |at, into| {
            let at = usize::try_from(at)?;
            let part = bytes.get(at..).and_then(|rest| rest.get(..into.len()));
            into.copy_from_slice(part.context("beyond the disk")?);
            Ok(())
        }))
    }

    fn of(bytes: &[u8]) -> anyhow::Result<Vec<u64>> {
        partitions(&disk(bytes))
    }

    #[test]
    fn a_disk_is_in_use_if_a_partition_or_the_whole_holds_something() {
        let used = |bytes: &[u8]| is_used(&disk(bytes), bytes.len() as u64);
        let mut disk = vec![0_u8; 1 << 20];
        assert!(!used(&disk).unwrap(), "all zeroes");
        disk[..8].copy_from_slice(b"garbage!");
        assert!(!used(&disk).unwrap(), "no table");
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        assert!(!used(&disk).unwrap(), "a table without a partition");
        disk[446 + 4] = 0x83;
        disk[446 + 8] = 16;
        assert!(!used(&disk).unwrap(), "an empty partition");
        disk[16 * 512 + BEGINNING - 1] = 1;
        assert!(used(&disk).unwrap());
        for (at, signature) in SIGNATURES {
            let mut disk = vec![0; 1 << 20];
            disk[at..at + signature.len()].copy_from_slice(signature);
            assert!(used(&disk).unwrap(), "{at}");
        }
        assert!(!used(&[0; 4096]).unwrap(), "smaller than all");
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
