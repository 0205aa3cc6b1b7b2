//! Disks of fixtures/disks, read without mounting them: every file as the kernel has it (the lists were
//! written by the script beside them), and what is broken or hostile as an error.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ozr::disk::device::Device;
use ozr::disk::image_file;
use ozr::disk::system::System;
use ozr::disk::tree::Kind;
use ozr::disk::volumes::{Place, Volumes};
use ozr::disk::walk::Walk;
use ozr::hex;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/disks")
        .join(name)
}

fn disk(name: &str) -> Device {
    image_file::open(File::open(fixture(name)).unwrap()).unwrap()
}

fn system(disk: Device) -> anyhow::Result<System> {
    System::find(Volumes::find(&[disk])?)
}

/// A path as the lists have it: what is no UTF-8 and blanks as `\xNN`.
fn written(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        text.push_str(&chunk.valid().replace(' ', "\\x20"));
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// A line of a list.
fn line(system: &mut System, path: &Path) -> anyhow::Result<String> {
    let metadata = system.metadata(path)?.unwrap();
    let digest = |bytes: &[u8]| hex::sha256(bytes)[..16].to_owned();
    let (kind, content) = match metadata.kind {
        Kind::File => ("file", digest(&system.read(path, 16 << 20)?)),
        Kind::Directory => ("directory", "-".to_owned()),
        Kind::Link => {
            let target = system.read_link(path)?;
            ("link", hex::encode(target.as_os_str().as_bytes()))
        }
        Kind::Special => ("special", "-".to_owned()),
    };
    let size = if metadata.kind == Kind::File {
        metadata.size
    } else {
        0
    };
    let mut attributes = system.attributes(path)?;
    attributes.sort();
    let attributes: Vec<String> = attributes
        .iter()
        .filter(|(name, _)| name.starts_with("security.") || name.starts_with("user."))
        .map(|(name, value)| format!("{name}={}", digest(value)))
        .collect();
    let attributes = if attributes.is_empty() {
        "-".to_owned()
    } else {
        attributes.join(",")
    };
    let (path, mode) = (written(path), metadata.mode);
    let (uid, gid, time) = (metadata.uid, metadata.gid, metadata.modified);
    Ok(format!(
        "{path} {kind} {mode:o} {uid} {gid} {size} {time} {content} {attributes}"
    ))
}

/// Compares a disk with its list.
fn compare(name: &str, unreadable: &[&str]) {
    let system = system(disk(&format!("{name}.qcow2"))).unwrap();
    compare_system(system, name, unreadable);
}

/// Compares a system with a list. What was not written by a kernel (a FAT's directories, an XFS of version 4) has
/// other times.
fn compare_system(mut system: System, name: &str, unreadable: &[&str]) {
    let found: Vec<&Path> = system
        .unreadable
        .iter()
        .map(|(at, _)| at.as_path())
        .collect();
    assert_eq!(found, unreadable.iter().map(Path::new).collect::<Vec<_>>());
    let list = std::fs::read(fixture(&format!("{name}.list.zst"))).unwrap();
    let list = String::from_utf8(zstd::decode_all(list.as_slice()).unwrap()).unwrap();
    for line_there in list.lines() {
        let path = line_there.split(' ').next().unwrap();
        // Bytes that are no UTF-8 are compared by the walk.
        if path.contains("\\xff") || unreadable.contains(&path) {
            continue;
        }
        let path = PathBuf::from(path.replace("\\x20", " "));
        let mut line = line(&mut system, &path).unwrap();
        let mut expected = line_there.to_owned();
        let fat = path.starts_with("/boot/efi") && line.contains(" directory ");
        if fat || name == "mbr" && path.starts_with("/srv") {
            for line in [&mut line, &mut expected] {
                let mut fields: Vec<&str> = line.split(' ').collect();
                fields.remove(6);
                *line = fields.join(" ");
            }
        }
        assert_eq!(line, expected);
    }
    // And nothing else is there.
    let expected: BTreeSet<&str> = list
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    let mut pending = vec![PathBuf::from("/")];
    let mut seen = BTreeSet::new();
    while let Some(path) = pending.pop() {
        seen.insert(written(&path));
        if unreadable.iter().any(|at| path == Path::new(at)) {
            continue;
        }
        if system.metadata(&path).unwrap().unwrap().kind == Kind::Directory {
            let names = system.read_dir(&path).unwrap().unwrap();
            pending.extend(names.iter().map(|name| path.join(name)));
        }
    }
    let seen: BTreeSet<&str> = seen.iter().map(String::as_str).collect();
    assert_eq!(seen, expected);
}

#[test]
fn xfs_and_ext4_on_logical_volumes_are_as_the_kernel_has_them() {
    compare("lvm", &["/srv"]);
}

/// The second physical volume, as LVM wrote it, on a disk of its own: one with a file system in pieces on both, and one
/// in stripes.
#[test]
fn a_volume_group_on_two_disks_is_as_the_kernel_has_it() {
    let whole = disk("lvm.qcow2");
    let volumes = Volumes::find(std::slice::from_ref(&whole)).unwrap().all;
    let fourth = volumes.iter().find_map(|volume| match &volume.place {
        Place::Partition(_, partition) if partition.number == 4 => Some(partition.clone()),
        _ => None,
    });
    let fourth = fourth.unwrap();
    let (start, end) = (fourth.start, fourth.start + fourth.size);
    let second = whole.part(start, fourth.size);
    let first = Device::new(whole.size(), move |at, into| {
        whole.read(at, into)?;
        for (place, byte) in (at..).zip(into) {
            if (start..end).contains(&place) {
                *byte = 0;
            }
        }
        Ok(())
    });
    for disks in [[&first, &second], [&second, &first]] {
        let volumes = Volumes::find(&disks.map(Clone::clone)).unwrap();
        compare_system(System::find(volumes).unwrap(), "lvm", &["/srv"]);
    }
    // One alone has no system that could be taken for the whole.
    for alone in [first, second] {
        let why = format!("{:#}", system(alone).err().unwrap());
        assert!(
            why.contains("physical volume of its group is not here"),
            "{why}"
        );
    }
}

#[test]
fn subvolumes_of_btrfs_are_as_the_kernel_has_them() {
    compare("btrfs", &[]);
}

#[test]
fn logical_partitions_and_old_formats_are_as_the_kernel_has_them() {
    compare("mbr", &["/secret"]);
}

#[test]
fn what_cannot_be_read_is_named_and_never_empty() {
    let mut mbr = system(disk("mbr.qcow2")).unwrap();
    let secret = Path::new("/secret/file");
    let why = format!("{:#}", mbr.metadata(secret).unwrap_err());
    assert_eq!(
        why,
        "/secret cannot be read: /dev/mapper/luks-secret is not on the disk"
    );
    let mut kinds = mbr
        .volumes
        .all
        .iter()
        .filter_map(|volume| volume.contents.as_ref());
    let luks = kinds
        .find(|contents| contents.kind == "crypto_LUKS")
        .unwrap();
    assert!(luks.uuid.is_some());
    // A disk whose only system is encrypted.
    let bytes = vec![0; 1 << 20];
    let why = |bytes: Vec<u8>| system(Device::of_bytes(bytes)).err().unwrap().to_string();
    assert_eq!(
        why(bytes.clone()),
        "no installed system was found: no file system has an os-release and an fstab"
    );
    let mut encrypted = bytes;
    encrypted[..6].copy_from_slice(b"LUKS\xba\xbe");
    assert_eq!(
        why(encrypted),
        "no installed system was found: no file system has an os-release and an fstab (the disk: it is \
         encrypted (LUKS), and no passphrase of it is known)"
    );
}

#[test]
fn links_are_followed_within_the_tree_and_end() {
    let mut system = system(disk("lvm.qcow2")).unwrap();
    let release = system
        .read(Path::new("/etc/../etc/os-release"), 4096)
        .unwrap();
    assert!(release.starts_with(b"ID="));
    assert_eq!(
        system.read(Path::new("/kinds/link"), 4096).unwrap(),
        b"small\n"
    );
    let error = system.read(Path::new("/kinds/loop-a"), 4096).unwrap_err();
    assert!(format!("{error:#}").contains("too many links"), "{error:#}");
    assert_eq!(system.metadata(Path::new("/kinds/link/x")).unwrap(), None);
    assert_eq!(system.metadata(Path::new("/sizes/small/x")).unwrap(), None);
    assert_eq!(system.read_dir(Path::new("/nowhere")).unwrap(), None);
    let error = system.read(Path::new("/sizes/large"), 4096).unwrap_err();
    assert!(format!("{error:#}").contains("more than 4096"), "{error:#}");
}

/// What the kernel had not put in its place yet is read through the logs; what is not read through them is not
/// told.
#[test]
fn file_systems_of_a_killed_guest_are_read_through_their_logs() {
    let mut system = system(disk("killed.qcow2")).unwrap();
    assert_eq!(system.unclean, ["/", "/boot"].map(PathBuf::from));
    for top in ["/", "/boot"].map(Path::new) {
        let names = system.read_dir(&top.join("new")).unwrap().unwrap();
        assert_eq!(names.len(), 99, "{top:?}");
        assert_eq!(system.read(&top.join("new/100"), 100).unwrap(), b"100\n");
        assert_eq!(system.kind(&top.join("new/50")).unwrap(), None);
        let log = system.read(&top.join("var/log/anaconda/anaconda.log"), 1 << 20);
        assert!(log.unwrap().ends_with(b"\n10000\n"));
        let why = format!("{:#}", system.attributes(&top.join("new")).unwrap_err());
        assert!(why.contains("was not unmounted"), "{why}");
    }
    let clean = self::system(disk("lvm.qcow2")).unwrap();
    assert_eq!(clean.unclean, [] as [PathBuf; 0]);
}

/// Images that are cut short, or in which bytes were altered, at many places: an answer or an error, soon.
#[test]
fn broken_images_end_with_an_error() {
    for name in ["lvm", "btrfs", "mbr", "killed"] {
        let whole = disk(&format!("{name}.qcow2"));
        let size = whole.size();
        for part in 1..8 {
            let cut = whole.part(0, size / 8 * part);
            if let Ok(mut system) = system(cut) {
                let _ = system.read(Path::new("/sizes/large"), 1 << 20);
                let _ = system.read_dir(Path::new("/many"));
                walk(&mut system);
            }
        }
        for seed in 0..60_u64 {
            let altered = alter(whole.clone(), seed);
            if let Ok(mut system) = system(altered) {
                for path in ["/sizes/extents", "/kinds/long-link", "/boot/sizes/large"] {
                    let _ = system.read(Path::new(path), 1 << 24);
                }
                let _ = system.read_dir(Path::new("/many"));
                let _ = system.attributes(Path::new("/attributes/many"));
                walk(&mut system);
            }
        }
    }
}

/// Goes through all files as far as that goes, with the beginning of each.
fn walk(system: &mut System) {
    let Ok(mut walk) = Walk::begin(system, |_| 0) else {
        return;
    };
    let mut buffer = vec![0; 1 << 16];
    while let Ok(Some(file)) = walk.next_file() {
        let _ = walk.data(&file);
        let _ = walk.read(&file, 0, &mut buffer);
    }
}

/// A disk in which a byte of some sectors is another one, which ones by the seed.
fn alter(disk: Device, seed: u64) -> Device {
    const SECTOR: u64 = 512;
    Device::new(disk.size(), move |at, into| {
        disk.read(at, into)?;
        for sector in at / SECTOR..=(at + into.len() as u64) / SECTOR {
            let mixed = (sector ^ seed << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mixed = mixed.rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 24;
            let place = sector * SECTOR + (mixed >> 8) % SECTOR;
            if mixed.is_multiple_of(1 << (seed % 8))
                && let Some(byte) = place
                    .checked_sub(at)
                    .and_then(|at| into.get_mut(at as usize))
            {
                *byte ^= (mixed >> 20) as u8 | 1;
            }
        }
        Ok(())
    })
}
