//! What the disk of a guest that is gone says: whether anything was installed, and the installer's logs.
//!
//! Anaconda copies its logs to `/var/log/anaconda` of the installed system before `%post` and at
//! its end. What the guest had not written to its disk by then is not there: a kernel keeps new
//! files in memory for up to half a minute.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::reader::{self, Image, Question};
use crate::disk::contents;
use crate::disk::device::Device;
use crate::disk::luks::Key;
use crate::disk::partitions;
use crate::disk::tree::{FileTree, Kind};
use crate::disk::volumes::Volumes;

/// Where the logs are, seen from the root and from a `/var` of its own.
const PLACES: [&str; 2] = ["var/log/anaconda", "log/anaconda"];

/// Most logs, and most bytes of all of them. An install writes some twenty, of a few MiB at most.
const MOST_LOGS: usize = 64;
const MOST_BYTES: u64 = 48 << 20;

/// How much of a partition is looked at for its contents, in bytes: every file system, volume and
/// boot loader has something there (btrfs the latest, at 64 KiB).
const BEGINNING: usize = 128 << 10;

/// The partition tables of other machines than PCs, and where they are (util-linux 2.38,
/// `libblkid/src/partitions`: Apple's, and the volume labels of DASDs in EBCDIC).
const OTHER_TABLES: [(usize, &[u8]); 4] = [
    (0, b"ER"),
    (8192, b"\xe5\xd6\xd3\xf1"),
    (8192, b"\xd3\xd5\xe7\xf1"),
    (8192, b"\xc3\xd4\xe2\xf1"),
];

/// A log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// Its file name: letters, digits, dots, dashes and underscores.
    pub name: String,
    /// Its content.
    #[serde(with = "super::base64")]
    pub content: Vec<u8>,
}

/// Whether one of the disks that no guest uses holds a partition with contents, or a file system. Asks
/// `program`, [`reader::OWN_PROGRAM`].
///
/// # Errors
/// It cannot be told.
pub async fn has_contents(program: &Path, disks: &[File]) -> anyhow::Result<bool> {
    reader::ask(program, &Image::all(disks), &Question::Contents).await
}

/// The installer's logs on disks that no guest uses, also where `keys` open them; none if there are none, or if
/// they are where they cannot be read. Asks `program`, [`reader::OWN_PROGRAM`].
///
/// # Errors
/// A disk cannot be read.
pub async fn logs(program: &Path, disks: &[File], keys: &[Key]) -> anyhow::Result<Vec<Log>> {
    reader::ask(program, &Image::opened(disks, keys), &Question::Logs).await
}

/// Whether one of the disks holds a partition with contents, or something else that is known.
///
/// # Errors
/// One cannot be read.
pub(super) fn is_used(disks: &[Device]) -> anyhow::Result<bool> {
    for disk in disks {
        if holds_something(disk)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn holds_something(disk: &Device) -> anyhow::Result<bool> {
    let whole = disk.beginning(0, BEGINNING)?;
    let known = |(at, signature): &(usize, &[u8])| {
        let there = whole.get(*at..);
        there.is_some_and(|there| there.starts_with(signature))
    };
    if OTHER_TABLES.iter().any(known) || contents::look(disk)?.is_some() {
        return Ok(true);
    }
    let table = partitions::read(disk)?;
    for partition in table.iter().flat_map(|table| &table.partitions) {
        let beginning = disk.beginning(partition.start, BEGINNING)?;
        if beginning.iter().any(|byte| *byte != 0) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The installer's logs on disks, as far as they can be read.
///
/// # Errors
/// A disk cannot be read.
pub(super) fn find_logs(disks: &[Device]) -> anyhow::Result<Vec<Log>> {
    for volume in Volumes::find(disks)?.all {
        let Ok(mut tree) = volume.open(None) else {
            continue;
        };
        let top = PathBuf::from("/");
        // The subvolumes of a Btrfs are directories at its top.
        let below = match volume.contents {
            Some(contents) if contents.kind == "btrfs" => tree.read_dir(&top).unwrap_or_default(),
            _ => Vec::new(),
        };
        let below = below.iter().map(|name| top.join(name));
        let tops: Vec<PathBuf> = std::iter::once(top.clone()).chain(below).collect();
        for place in tops
            .iter()
            .flat_map(|top| PLACES.map(|place| top.join(place)))
        {
            let found = logs_in(&mut *tree, &place);
            if !found.is_empty() {
                return Ok(found);
            }
        }
    }
    Ok(Vec::new())
}

/// The logs in a directory, as far as they can be read.
fn logs_in(tree: &mut dyn FileTree, place: &Path) -> Vec<Log> {
    let mut room = MOST_BYTES;
    let names = tree.read_dir(place).unwrap_or_default();
    let logs = names.iter().take(MOST_LOGS).filter_map(|name| {
        let path = place.join(name);
        let name = name.to_str()?;
        let fit = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let (kind, size) = tree.kind(&path).ok()??;
        if name.starts_with('.') || !name.chars().all(fit) || kind != Kind::File || size > room {
            return None;
        }
        let mut content = vec![0; size as usize];
        let length = tree.read(&path, 0, &mut content).ok()?;
        content.truncate(length);
        room -= size;
        let name = name.to_owned();
        Some(Log { name, content })
    });
    logs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::tree::{Attribute, Metadata};

    #[test]
    fn a_disk_is_in_use_if_a_partition_or_the_whole_holds_something() {
        let used = |bytes: &[u8]| is_used(&[Device::of_bytes(bytes.to_vec())]).unwrap();
        let mut disk = vec![0_u8; 1 << 20];
        assert!(!used(&disk), "all zeroes");
        disk[..8].copy_from_slice(b"garbage!");
        assert!(!used(&disk), "no table");
        disk[510..512].copy_from_slice(&[0x55, 0xaa]);
        assert!(!used(&disk), "a table without a partition");
        disk[446 + 4] = 0x83;
        disk[446 + 8] = 16;
        disk[446 + 13] = 4;
        assert!(!used(&disk), "an empty partition");
        disk[16 * 512 + BEGINNING - 1] = 1;
        assert!(used(&disk));
        for (at, signature) in OTHER_TABLES {
            let mut disk = vec![0; 1 << 20];
            disk[at..at + signature.len()].copy_from_slice(signature);
            assert!(used(&disk), "{at}");
        }
        assert!(!used(&[0; 4096]), "smaller than all");
    }

    /// A directory of files with their kinds and sizes.
    struct Directory(Vec<(&'static str, Kind, u64)>);

    impl FileTree for Directory {
        fn was_unmounted(&mut self) -> anyhow::Result<bool> {
            Ok(true)
        }

        fn kind(&mut self, path: &Path) -> anyhow::Result<Option<(Kind, u64)>> {
            let mut files = self.0.iter();
            let found = files.find(|(name, ..)| path == Path::new("/logs").join(name));
            Ok(found.map(|(_, kind, size)| (*kind, *size)))
        }

        fn metadata(&mut self, _: &Path) -> anyhow::Result<Option<Metadata>> {
            anyhow::bail!("kind and size say all")
        }

        fn read(&mut self, _: &Path, _: u64, into: &mut [u8]) -> anyhow::Result<usize> {
            Ok(into.len())
        }

        fn read_dir(&mut self, _: &Path) -> anyhow::Result<Vec<PathBuf>> {
            Ok(self.0.iter().map(|(name, ..)| name.into()).collect())
        }

        fn read_link(&mut self, _: &Path) -> anyhow::Result<PathBuf> {
            anyhow::bail!("no link")
        }

        fn attributes(&mut self, _: &Path) -> anyhow::Result<Vec<Attribute>> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn logs_are_files_with_plain_names_within_bounds() {
        let mut tree = Directory(vec![
            (".hidden", Kind::File, 1),
            ("a b", Kind::File, 1),
            ("ks-script-0_a.log", Kind::File, 10),
            ("link.log", Kind::Link, 1),
            ("pipe.log", Kind::Special, 0),
            ("storage", Kind::Directory, 1),
            ("huge.log", Kind::File, MOST_BYTES - 9),
            ("rest.log", Kind::File, MOST_BYTES - 10),
            ("more.log", Kind::File, 1),
            ("empty.log", Kind::File, 0),
        ]);
        let logs = logs_in(&mut tree, Path::new("/logs"));
        let logs = logs
            .iter()
            .map(|log| (log.name.as_str(), log.content.len() as u64));
        assert!(logs.eq([
            ("ks-script-0_a.log", 10),
            ("rest.log", MOST_BYTES - 10),
            ("empty.log", 0),
        ]));
    }
}
