//! The disk: partitions, volumes, and where they are mounted.

use serde::{Deserialize, Serialize};

use crate::disk::contents::Contents;
use crate::disk::device::Device;
use crate::disk::partitions;
use crate::disk::system::System;
use crate::disk::volumes::{self, Place, Volumes};

/// Types of partitions, by the GUID of a GPT or the number of an MBR (UEFI Specification 2.10, section
/// 5.3.3; the Discoverable Partitions Specification; util-linux' lists).
const KINDS: [(&str, &str); 17] = [
    ("c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "EFI system"),
    ("21686148-6449-6e6f-744e-656564454649", "BIOS boot"),
    ("0fc63daf-8483-4772-8e79-3d69d8477de4", "Linux filesystem"),
    ("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f", "Linux swap"),
    ("e6d6d379-f507-44c2-a23c-238f2a3df928", "Linux LVM"),
    ("a19d880f-05fc-4d3b-a006-743f0f84911e", "Linux RAID"),
    ("ca7d7ccb-63ed-4c53-861c-1742536059cc", "LUKS"),
    (
        "bc13c2ff-59e6-4262-a352-b275fd6f7172",
        "Linux extended boot",
    ),
    (
        "4f68bce3-e8cd-4db1-96e7-fbcaf984b709",
        "Linux root (x86-64)",
    ),
    ("b921b045-1df0-41c3-af44-4c6f280d3fae", "Linux root (ARM64)"),
    ("9e1a2d38-c612-4316-aa26-8b49521e5a8b", "PowerPC PReP boot"),
    ("83", "Linux filesystem"),
    ("82", "Linux swap"),
    ("8e", "Linux LVM"),
    ("ef", "EFI system"),
    ("41", "PowerPC PReP boot"),
    ("05", "extended"),
];

/// The disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storage {
    /// The size of the disk that a guest sees, in bytes.
    pub size: u64,
    /// Its partition table: `gpt`, `mbr` or none.
    pub table: Option<partitions::Kind>,
    /// What is on it, if it has no table.
    pub filesystem: Option<Filesystem>,
    /// Its partitions.
    pub partitions: Vec<Partition>,
    /// The logical volumes of LVM, and what was encrypted and is open; of a machine with several disks they stand
    /// with the first.
    pub volumes: Vec<Volume>,
}

/// What a partition or volume holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filesystem {
    /// Its kind, as blkid names it: `xfs`, `swap`, `LVM2_member`, `crypto_LUKS`.
    pub kind: String,
    /// Its label.
    pub label: Option<String>,
    /// Its UUID.
    pub uuid: Option<String>,
    /// How many bytes it has; none if that is not known.
    pub size: Option<u64>,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// Its number.
    pub number: u32,
    /// Where it begins, in bytes.
    pub start: u64,
    /// How long it is, in bytes.
    pub size: u64,
    /// Its type: the GUID of a GPT, two hexadecimal digits of an MBR.
    #[serde(rename = "type")]
    pub kind: String,
    /// What that means, if it is known.
    pub type_name: Option<String>,
    /// Its PARTUUID.
    pub uuid: Option<String>,
    /// Its name in a GPT.
    pub name: Option<String>,
    /// What it holds; none if that is not known.
    pub filesystem: Option<Filesystem>,
}

/// A logical volume, or what was encrypted and is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its path: `/dev/mapper/rl-root`.
    pub path: String,
    /// How long it is, in bytes; none if it is not read.
    pub size: Option<u64>,
    /// What it holds; none if that is not known.
    pub filesystem: Option<Filesystem>,
    /// Why it is not read, if it is not.
    pub unreadable: Option<String>,
}

/// A file system at its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Where it is mounted.
    pub at: String,
    /// What it is on: a partition, a logical volume, the disk.
    pub on: String,
    /// Its kind.
    pub kind: String,
    /// The subvolume of a Btrfs.
    pub subvolume: Option<String>,
}

/// What fstab mounts that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    /// Where it would be mounted.
    pub at: String,
    /// Why it cannot be read.
    pub why: String,
}

impl Storage {
    /// The file system on what a [`Mount`] is on, if that is here.
    pub fn filesystem_on(&self, on: &str) -> Option<&Filesystem> {
        let mut partitions = self.partitions.iter();
        let mut volumes = self.volumes.iter();
        match partitions.find(|partition| format!("partition {}", partition.number) == on) {
            Some(partition) => partition.filesystem.as_ref(),
            None => match volumes.find(|volume| volume.path == on) {
                Some(volume) => volume.filesystem.as_ref(),
                None if on == "the disk" => self.filesystem.as_ref(),
                None => None,
            },
        }
    }

    /// The storage of the disk with this number, from 0 on.
    pub(super) fn of(number: usize, disk: &Device, volumes: &Volumes) -> Storage {
        let mut storage = Storage {
            size: disk.size(),
            table: volumes.tables.get(number).copied().flatten(),
            filesystem: None,
            partitions: Vec::new(),
            volumes: Vec::new(),
        };
        for volume in &volumes.all {
            let filesystem = volume.contents.as_ref().map(filesystem);
            match &volume.place {
                Place::Disk(disk) if *disk == number => storage.filesystem = filesystem,
                Place::Partition(disk, partition) if *disk == number => {
                    storage.partitions.push(with(partition, filesystem));
                }
                Place::Disk(_) | Place::Partition(..) => {}
                Place::Logical(_) | Place::Opened(_) if number == 0 => {
                    storage.volumes.push(Volume {
                        path: volume.name(),
                        size: volume.device.as_ref().ok().map(Device::size),
                        filesystem,
                        unreadable: volume.device.as_ref().err().cloned(),
                    })
                }
                Place::Logical(_) | Place::Opened(_) => {}
            }
        }
        storage
    }
}

fn filesystem(contents: &Contents) -> Filesystem {
    Filesystem {
        kind: contents.kind.clone(),
        label: contents.label.clone(),
        uuid: contents.uuid.clone(),
        size: contents.size,
    }
}

fn with(partition: &partitions::Partition, filesystem: Option<Filesystem>) -> Partition {
    let known = KINDS.iter().find(|(kind, _)| *kind == partition.kind);
    Partition {
        number: partition.number,
        start: partition.start,
        size: partition.size,
        kind: partition.kind.clone(),
        type_name: known.map(|(_, name)| (*name).to_owned()),
        uuid: partition.uuid.clone(),
        name: partition.name.clone(),
        filesystem,
    }
}

/// Whether a volume is a partition of a type.
pub(super) fn is_of_type(volume: &volumes::Volume, name: &str) -> bool {
    let Place::Partition(_, partition) = &volume.place else {
        return false;
    };
    KINDS.contains(&(partition.kind.as_str(), name))
}

pub(super) fn mounts(system: &System) -> Vec<Mount> {
    let mount = |mount: &crate::disk::system::Mount| {
        let volume = &system.volumes.all[mount.volume];
        let contents = volume.contents.as_ref();
        Mount {
            at: mount.at.to_string_lossy().into_owned(),
            on: volume.name(),
            kind: contents.map_or_else(String::new, |contents| contents.kind.clone()),
            subvolume: mount
                .subvolume
                .as_ref()
                .map(|subvolume| subvolume.to_string_lossy().into_owned()),
        }
    };
    system.mounts.iter().map(mount).collect()
}

pub(super) fn unreadable(system: &System) -> Vec<Unreadable> {
    let unreadable = system.unreadable.iter();
    let unreadable = unreadable.map(|(at, why)| Unreadable {
        at: at.to_string_lossy().into_owned(),
        why: why.clone(),
    });
    unreadable.collect()
}
