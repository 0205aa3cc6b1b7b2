//! What lies on the disks of a machine: partitions, logical volumes, and what they hold.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};

use super::contents::{self, Contents};
use super::device::Device;
use super::luks;
use super::lvm;
use super::partitions::{self, Partition};
use super::tree::{self, Readable};

/// What can hold a file system.
#[derive(Debug, Clone)]
pub struct Volume {
    /// What it is.
    pub place: Place,
    /// What is on it; else why that is not read.
    pub device: std::result::Result<Device, String>,
    /// What it holds; none if that is not known.
    pub contents: Option<Contents>,
}

/// What a volume is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A disk without a partition table, by its number from 0 on.
    Disk(usize),
    /// A partition of the disk with a number.
    Partition(usize, Partition),
    /// A logical volume, by its name below `/dev/mapper`.
    Logical(String),
    /// What was encrypted and is open, by the UUID of the LUKS that it lies in.
    Opened(String),
}

impl Volume {
    /// The file system on it; `subvolume` is what `mount -o subvol=` takes of a Btrfs.
    ///
    /// # Errors
    /// It holds none, or one that is not read.
    pub fn open(&self, subvolume: Option<&Path>) -> Result<Box<dyn Readable>> {
        let device = self.device.as_ref().map_err(|why| anyhow!(why.clone()))?;
        let contents = self.contents.as_ref();
        let contents = contents.context("what it holds is not known")?;
        tree::open(device, contents, subvolume)
    }

    /// How messages name it.
    pub fn name(&self) -> String {
        match &self.place {
            Place::Disk(0) => "the disk".to_owned(),
            Place::Disk(disk) => format!("disk {}", disk + 1),
            Place::Partition(0, partition) => format!("partition {}", partition.number),
            Place::Partition(disk, partition) => {
                format!("partition {} of disk {}", partition.number, disk + 1)
            }
            Place::Logical(name) => format!("/dev/mapper/{name}"),
            // As the installer names it, and systemd where no crypttab does.
            Place::Opened(uuid) => format!("/dev/mapper/luks-{uuid}"),
        }
    }

    /// Whether it is a LUKS, open or not.
    pub fn is_encrypted(&self) -> bool {
        let contents = self.contents.as_ref();
        contents.is_some_and(|contents| contents.kind == luks::KIND)
    }

    /// Whether this is what fstab's first field, `mount` or `root=` names so (libblkid's tags, and the
    /// names of udev).
    pub fn is(&self, spec: &str) -> bool {
        let spec = spec.replace('"', "");
        let contents = self.contents.as_ref();
        let partition = match &self.place {
            Place::Partition(_, partition) => Some(partition),
            _ => None,
        };
        let tags = [
            ("uuid", contents.and_then(|c| c.uuid.as_ref())),
            ("partuuid", partition.and_then(|p| p.uuid.as_ref())),
            ("label", contents.and_then(|c| c.label.as_ref())),
            ("partlabel", partition.and_then(|p| p.name.as_ref())),
        ];
        for (tag, known) in tags {
            let wanted = spec
                .strip_prefix(&format!("{}=", tag.to_uppercase()))
                .or(spec.strip_prefix(&format!("/dev/disk/by-{tag}/")));
            if let Some(wanted) = wanted {
                let same = |known: &String| match tag.ends_with("uuid") {
                    true => known.eq_ignore_ascii_case(wanted),
                    false => known == wanted,
                };
                return known.is_some_and(same);
            }
        }
        match &self.place {
            Place::Logical(name) => {
                spec.strip_prefix("/dev/mapper/") == Some(name)
                    || spec.strip_prefix("/dev/").is_some_and(|path| {
                        let path: Vec<String> = path
                            .split('/')
                            .map(|part| part.replace('-', "--"))
                            .collect();
                        path.join("-") == *name && path.len() == 2
                    })
            }
            Place::Partition(disk, partition) => {
                ["sd", "vd", "hd", "xvd", "nvme"].iter().any(|bus| {
                    let letter = char::from(b'a' + (*disk).min(25) as u8);
                    let name = match *bus {
                        "nvme" => format!("nvme{disk}n1p{}", partition.number),
                        bus => format!("{bus}{letter}{}", partition.number),
                    };
                    spec.strip_prefix("/dev/") == Some(&name)
                })
            }
            Place::Opened(_) => spec == self.name(),
            Place::Disk(_) => false,
        }
    }
}

/// What lies on disks.
#[derive(Debug, Default)]
pub struct Volumes {
    /// The kinds of the disks' partition tables, in the disks' order.
    pub tables: Vec<Option<partitions::Kind>>,
    /// All volumes, those that others lie on among them.
    pub all: Vec<Volume>,
    /// What could not be read, in words.
    pub troubles: Vec<String>,
}

impl Volumes {
    /// Those on disks.
    ///
    /// # Errors
    /// A disk cannot be read, or its partition table is broken.
    pub fn find(disks: &[Device]) -> Result<Volumes> {
        let mut volumes = Volumes::default();
        for (number, disk) in disks.iter().enumerate() {
            let whole = contents::look(disk)?;
            let table = partitions::read(disk)?;
            // A FAT begins as a partition table does; so may a boot loader before an ext.
            let parted = table.filter(|table| !table.partitions.is_empty() || whole.is_none());
            volumes.tables.push(parted.as_ref().map(|table| table.kind));
            let Some(table) = parted else {
                volumes.add(Place::Disk(number), Ok(disk.clone()));
                continue;
            };
            for partition in table.partitions {
                let device = disk.part(partition.start, partition.size);
                volumes.add(Place::Partition(number, partition), Ok(device));
            }
        }
        volumes.open_encrypted(0);
        let is_member = |volume: &&Volume| {
            let contents = volume.contents.as_ref();
            contents.is_some_and(|contents| contents.kind == "LVM2_member")
        };
        let members = volumes.all.iter().filter(is_member);
        let members: Vec<Device> = members.filter_map(|m| m.device.clone().ok()).collect();
        let (logical, troubles) = lvm::volumes(&members);
        volumes.troubles.extend(troubles);
        let before = volumes.all.len();
        for volume in logical {
            let keys = disks.first().map(|disk| Arc::clone(disk.keys()));
            let device = volume.device.clone();
            let device = device.map(|device| device.with_keys(keys.unwrap_or_default()));
            volumes.add(Place::Logical(volume.mapper_name()), device);
        }
        volumes.open_encrypted(before);
        Ok(volumes)
    }

    /// Opens what is encrypted and has a key, of the volumes from one on.
    fn open_encrypted(&mut self, from: usize) {
        let closed: Vec<Volume> = self.all[from..].to_vec();
        for volume in closed.iter().filter(|volume| volume.is_encrypted()) {
            let uuid = volume.contents.as_ref().and_then(|c| c.uuid.clone());
            let (Ok(device), Some(uuid)) = (&volume.device, uuid) else {
                continue;
            };
            match luks::open(device) {
                Ok(Some(opened)) => self.add(Place::Opened(uuid), Ok(opened)),
                Ok(None) => {}
                Err(why) => self.troubles.push(format!("{}: {why:#}", volume.name())),
            }
        }
    }

    /// What lies in a LUKS, by its number, if that is open.
    pub fn opened(&self, encrypted: &Volume) -> Option<usize> {
        let uuid = encrypted.contents.as_ref()?.uuid.as_ref()?;
        let is_in = |volume: &Volume| matches!(&volume.place, Place::Opened(of) if of == uuid);
        self.all
            .iter()
            .position(is_in)
            .filter(|_| encrypted.is_encrypted())
    }

    fn add(&mut self, place: Place, device: std::result::Result<Device, String>) {
        let found = device.as_ref().ok().map(contents::look).transpose();
        let mut volume = Volume {
            place,
            device,
            contents: None,
        };
        match found {
            Ok(contents) => volume.contents = contents.flatten(),
            Err(why) => {
                let name = volume.name();
                self.troubles.push(format!("{name}: {why:#}"));
            }
        }
        self.all.push(volume);
    }

    /// The volume that fstab, `mount` or `root=` names so.
    pub fn named(&self, spec: &str) -> Option<&Volume> {
        self.all.iter().find(|volume| volume.is(spec))
    }
}
