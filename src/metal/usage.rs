//! Who uses a block device, as the kernel tells in sysfs and procfs (sysfs-block(5),
//! proc_pid_mountinfo(5), proc_swaps(5)).

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{major, makedev, minor};

/// Where the kernel tells of devices.
const SYSFS: &str = "/sys";

/// Where sysfs has each block device by its number.
const BY_NUMBER: &str = "dev/block";

/// Where it has each by its name.
const BY_NAME: &str = "class/block";

/// What the running system is made of.
const SYSTEM: [&str; 8] = [
    "/",
    "/usr",
    "/boot",
    "/boot/efi",
    "/efi",
    "/sysroot",
    "/run/initramfs/live",
    "/run/initramfs/isoscan",
];

/// A block device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockDevice {
    /// Where sysfs is.
    sysfs: PathBuf,
    /// Its directory in sysfs.
    directory: PathBuf,
    /// Its number.
    number: u64,
}

impl BlockDevice {
    /// The device of a number (`st_rdev`).
    pub fn of(number: u64) -> BlockDevice {
        BlockDevice::below(Path::new(SYSFS), number)
    }

    fn below(sysfs: &Path, number: u64) -> BlockDevice {
        let name = format!("{}:{}", major(number), minor(number));
        BlockDevice {
            sysfs: sysfs.to_owned(),
            directory: sysfs.join(BY_NUMBER).join(name),
            number,
        }
    }

    /// All that the kernel has, by their names, partitions among them.
    pub fn all() -> Vec<BlockDevice> {
        let names = names(&Path::new(SYSFS).join(BY_NAME));
        let devices = names
            .iter()
            .filter_map(|name| BlockDevice::named(Path::new(SYSFS), name));
        devices.collect()
    }

    fn named(sysfs: &Path, name: &OsStr) -> Option<BlockDevice> {
        let text = fs::read_to_string(sysfs.join(BY_NAME).join(name).join("dev")).ok()?;
        Some(BlockDevice::below(sysfs, parse_number(text.trim())?))
    }

    /// A line that sysfs has of it; none if there is no such file, or nothing in it.
    pub fn says(&self, file: &str) -> Option<String> {
        let text = fs::read_to_string(self.directory.join(file)).ok()?;
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// Its name, as the kernel has it: `sda`, `nvme0n1`, `dm-0`.
    pub fn name(&self) -> String {
        let real = fs::canonicalize(&self.directory).ok();
        let name = real.as_deref().and_then(Path::file_name);
        let name = name.map(|name| name.to_string_lossy().replace('!', "/"));
        name.unwrap_or_else(|| format!("{}:{}", major(self.number), minor(self.number)))
    }

    /// Its path.
    pub fn path(&self) -> PathBuf {
        Path::new("/dev").join(self.name())
    }

    /// The disk whose partition it is, if it is one.
    pub fn disk(&self) -> Option<BlockDevice> {
        self.says("partition")?;
        let real = fs::canonicalize(&self.directory).ok()?;
        BlockDevice::named(&self.sysfs, real.parent()?.file_name()?)
    }

    /// Its model, and its serial number, where it tells them.
    pub fn about(&self) -> (Option<String>, Option<String>) {
        let vendor = self
            .says("device/vendor")
            .filter(|id| !id.starts_with("0x"));
        let model = self.says("device/model").or_else(|| self.says("dm/name"));
        let model = match (vendor, model) {
            (Some(vendor), Some(model)) => Some(format!("{vendor} {model}")),
            (vendor, model) => model.or(vendor),
        };
        let serial = self.says("device/serial").or_else(|| self.says("serial"));
        (model, serial)
    }

    /// What stands on it: its partitions, and the devices that hold it or them, with it first.
    fn stack(&self) -> Vec<BlockDevice> {
        let mut stack = vec![self.clone()];
        let mut at = 0;
        while let Some(device) = stack.get(at).cloned() {
            at += 1;
            for above in device.partitions().into_iter().chain(device.holders()) {
                if !stack.contains(&above) {
                    stack.push(above);
                }
            }
        }
        stack
    }

    fn partitions(&self) -> Vec<BlockDevice> {
        let entries = names(&self.directory).into_iter();
        let is_partition = |name: &OsString| self.directory.join(name).join("partition").exists();
        let names = entries.filter(is_partition);
        let devices = names.filter_map(|name| BlockDevice::named(&self.sysfs, &name));
        devices.collect()
    }

    fn holders(&self) -> Vec<BlockDevice> {
        let names = names(&self.directory.join("holders"));
        let devices = names
            .iter()
            .filter_map(|name| BlockDevice::named(&self.sysfs, name));
        devices.collect()
    }

    /// Why it must not be written, and what to do, if that is so.
    ///
    /// # Errors
    /// The kernel does not tell what is mounted.
    pub fn obstacle(&self) -> Result<Option<String>> {
        let path = format!("/dev/{}", self.name());
        if let Some(disk) = self.disk() {
            let disk = disk.name();
            return Ok(Some(format!(
                "{path} is a partition, and an image is that of a whole disk: name its disk, /dev/{disk}"
            )));
        }
        let mounts = fs::read("/proc/self/mountinfo").context("reading what is mounted")?;
        let mounts = mounts_of(&mounts);
        let stack = self.stack();
        let numbers: HashSet<u64> = stack.iter().map(|device| device.number).collect();
        let used = mounts.iter().filter(|mount| {
            let of_source = number_of(&mount.source);
            numbers.contains(&mount.number) || of_source.is_some_and(|of| numbers.contains(&of))
        });
        let used: Vec<&Mount> = used.collect();
        let system = used
            .iter()
            .find(|mount| SYSTEM.iter().any(|at| mount.at == Path::new(at)));
        if let Some(mount) = system {
            return Ok(Some(format!(
                "{path} is a disk that this system runs on ({} is {}): boot from something else to write it",
                mount.at.display(),
                mount.source.display()
            )));
        }
        if let Some(mount) = used.first() {
            let at = mount.at.display();
            return Ok(Some(format!(
                "{} of {path} is mounted on {at}: unmount it first (`umount {at}`)",
                mount.source.display()
            )));
        }
        let swaps = fs::read("/proc/swaps").unwrap_or_default();
        let swap = swaps_of(&swaps)
            .into_iter()
            .find(|swap| number_of(swap).is_some_and(|of| numbers.contains(&of)));
        if let Some(swap) = swap {
            let swap = swap.display();
            return Ok(Some(format!(
                "{swap} of {path} is swap space in use: end that first (`swapoff {swap}`)"
            )));
        }
        let held = stack.iter().find_map(|device| {
            let holder = device.holders().into_iter().next()?;
            Some((device.name(), holder))
        });
        if let Some((held, holder)) = held {
            let (what, end) = holder.described();
            return Ok(Some(format!(
                "/dev/{held} is a part of {what}: end that first ({end})"
            )));
        }
        // A loop device holds nothing that it is made of: the kernel would let both be written.
        let backing = |name: OsString| {
            let device = BlockDevice::named(&self.sysfs, &name)?;
            let path = PathBuf::from(device.says("loop/backing_file")?);
            number_of(&path)
                .is_some_and(|of| numbers.contains(&of))
                .then(|| (path, device.name()))
        };
        let on_it = names(&self.sysfs.join(BY_NAME))
            .into_iter()
            .find_map(backing);
        Ok(on_it.map(|(path, name)| {
            let path = path.display();
            format!("{path} is what the loop device /dev/{name} is made of: end that first (`losetup -d /dev/{name}`)")
        }))
    }

    /// What a device that stands on others is, and how it is ended.
    fn described(&self) -> (String, String) {
        let name = self.name();
        let Some(mapped) = self.says("dm/name") else {
            return match name.starts_with("md") {
                true => (
                    format!("the RAID /dev/{name}"),
                    format!("`mdadm --stop /dev/{name}`"),
                ),
                false => (format!("/dev/{name}"), "`lsblk` shows it".to_owned()),
            };
        };
        let kind = self.says("dm/uuid").unwrap_or_default();
        let path = format!("/dev/mapper/{mapped}");
        match kind.split('-').next().unwrap_or_default() {
            "LVM" => (
                format!("the logical volume {path}"),
                format!("`lvchange -an {path}`, or `vgchange -an` for its whole group"),
            ),
            "CRYPT" => (
                format!("the encrypted device {path}"),
                format!("`cryptsetup close {mapped}`"),
            ),
            "mpath" => (
                format!("the multipath device {path}"),
                format!("or name {path} itself"),
            ),
            _ => (
                format!("the mapped device {path}"),
                format!("`dmsetup remove {mapped}`"),
            ),
        }
    }
}

/// The names in a directory, in order; none if it cannot be read.
fn names(directory: &Path) -> Vec<OsString> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<OsString> = entries.map(|entry| entry.file_name()).collect();
    names.sort();
    names
}

/// The number of the block device at a path, if there is one.
fn number_of(path: &Path) -> Option<u64> {
    let metadata = fs::metadata(path).ok()?;
    metadata
        .file_type()
        .is_block_device()
        .then(|| metadata.rdev())
}

/// `8:1`, as a device's number.
fn parse_number(text: &str) -> Option<u64> {
    let (major, minor) = text.split_once(':')?;
    Some(makedev(major.parse().ok()?, minor.parse().ok()?))
}

/// Something that is mounted.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    number: u64,
    at: PathBuf,
    /// What the mount was told to mount. Btrfs has a number of no device.
    source: PathBuf,
}

fn mounts_of(mountinfo: &[u8]) -> Vec<Mount> {
    let mount = |line: &[u8]| {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let dash = fields.iter().position(|field| *field == b"-")?;
        Some(Mount {
            number: parse_number(std::str::from_utf8(fields.get(2)?).ok()?)?,
            at: unescaped(fields.get(4)?),
            source: unescaped(fields.get(dash + 2)?),
        })
    };
    let lines = mountinfo.split(|byte| *byte == b'\n');
    lines.filter_map(mount).collect()
}

fn swaps_of(swaps: &[u8]) -> Vec<PathBuf> {
    let lines = swaps.split(|byte| *byte == b'\n').skip(1);
    let first = |line: &[u8]| {
        line.split(|byte| b" \t".contains(byte))
            .next()
            .map(unescaped)
    };
    lines.filter_map(first).collect()
}

/// A path in which white space stands as three octal digits.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| *first == b'\\');
        let code = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|code| u8::from_str_radix(code, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk `sdq` with a partition that `holder` stands on, as sysfs shows them: the holder's files.
    fn disk_held_by(sysfs: &Path, holder: &str, files: &[(&str, &str)]) -> BlockDevice {
        let mut devices = vec![
            ("sdq", "devices/pci/block/sdq", "65:0"),
            ("sdq1", "devices/pci/block/sdq/sdq1", "65:1"),
        ];
        let place = format!("devices/virtual/block/{holder}");
        devices.push((holder, &place, "259:7"));
        let write = |path: PathBuf, text: &str| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        for (name, directory, number) in devices {
            let real = sysfs.join(directory);
            write(real.join("dev"), &format!("{number}\n"));
            for link in [
                sysfs.join(BY_NAME).join(name),
                sysfs.join(BY_NUMBER).join(number),
            ] {
                fs::create_dir_all(link.parent().unwrap()).unwrap();
                std::os::unix::fs::symlink(&real, link).unwrap();
            }
        }
        let partition = sysfs.join("devices/pci/block/sdq/sdq1");
        write(partition.join("partition"), "1\n");
        let place = sysfs.join(place);
        for (file, text) in files {
            write(place.join(file), text);
        }
        let holders = partition.join("holders");
        fs::create_dir_all(&holders).unwrap();
        std::os::unix::fs::symlink(place, holders.join(holder)).unwrap();
        BlockDevice::below(sysfs, makedev(65, 0))
    }

    #[test]
    fn a_disk_is_refused_by_what_stands_on_it() {
        let mapped = |name, uuid| vec![("dm/name", name), ("dm/uuid", uuid)];
        let cases = [
            (
                "dm-7",
                mapped("vg-root", "LVM-x1\n"),
                "the logical volume /dev/mapper/vg-root",
                "lvchange -an /dev/mapper/vg-root",
            ),
            (
                "dm-7",
                mapped("luks-1", "CRYPT-LUKS2-ab-luks-1\n"),
                "the encrypted device /dev/mapper/luks-1",
                "cryptsetup close luks-1",
            ),
            (
                "dm-7",
                mapped("mpatha", "mpath-36\n"),
                "the multipath device /dev/mapper/mpatha",
                "name /dev/mapper/mpatha itself",
            ),
            (
                "dm-7",
                vec![("dm/name", "own")],
                "the mapped device /dev/mapper/own",
                "dmsetup remove own",
            ),
            (
                "md127",
                vec![("md/level", "raid1")],
                "the RAID /dev/md127",
                "mdadm --stop /dev/md127",
            ),
            ("bcache0", vec![], "/dev/bcache0", "lsblk"),
        ];
        for (holder, files, what, end) in cases {
            let sysfs = tempfile::tempdir().unwrap();
            let disk = disk_held_by(sysfs.path(), holder, &files);
            let obstacle = disk.obstacle().unwrap().unwrap();
            for word in ["/dev/sdq1 is a part of", what, end] {
                assert!(obstacle.contains(word), "{word}: {obstacle}");
            }
            let partition = BlockDevice::named(sysfs.path(), OsStr::new("sdq1")).unwrap();
            let obstacle = partition.obstacle().unwrap().unwrap();
            assert!(obstacle.contains("name its disk, /dev/sdq"), "{obstacle}");
        }
    }

    #[test]
    fn mounts_and_swaps_are_read() {
        let text = b"27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n\
            40 27 0:41 /home /mnt/a\\040b rw shared:1 master:2 - btrfs /dev/sdb2 rw\nbroken\n";
        let mounts = mounts_of(text);
        assert_eq!(mounts[0].number, makedev(254, 0));
        assert_eq!(mounts[1].at, Path::new("/mnt/a b"));
        assert_eq!(mounts[1].source, Path::new("/dev/sdb2"));
        assert_eq!(mounts.len(), 2);
        let text = b"Filename\tType\n/dev/sdb3   partition\t10\t0\t-2\n/a\\040b file 1 0 -3\n";
        let swaps = swaps_of(text);
        assert_eq!(swaps[..2], [PathBuf::from("/dev/sdb3"), "/a b".into()]);
        assert_eq!(unescaped(b"a\\9b\\"), Path::new("a\\9b\\"));
    }
}
