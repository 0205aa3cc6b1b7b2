//! What a partition or volume holds, seen from its signature (util-linux 2.40, `libblkid/src/superblocks`;
//! the names are blkid's).

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::bytes::{big, little, text, uuid};
use super::device::Device;

/// How much is looked at, in bytes: every signature here stands within it, Btrfs' the latest.
const BEGINNING: usize = 128 << 10;

/// What a partition or volume holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// Its name, as blkid has it: `ext4`, `xfs`, `LVM2_member`, `crypto_LUKS`.
    pub kind: String,
    /// Its label.
    pub label: Option<String>,
    /// Its UUID, or what stands for one (`0000-0000` of a FAT).
    pub uuid: Option<String>,
    /// How many bytes the file system has, where that is known: of ext, XFS and Btrfs.
    pub size: Option<u64>,
}

/// Kinds that are told by their signature alone: its place, the signature, the name.
const SIGNATURES: [(usize, &[u8], &str); 18] = [
    (0, b"XFSB", "xfs"),
    (0x1_0040, b"_BHRfS_M", "btrfs"),
    (0, b"LUKS\xba\xbe", "crypto_LUKS"),
    (3, b"NTFS    ", "ntfs"),
    (3, b"-FVE-FS-", "BitLocker"),
    (3, b"EXFAT   ", "exfat"),
    (54, b"FAT1", "vfat"),
    (82, b"FAT32", "vfat"),
    (4086, b"SWAPSPACE2", "swap"),
    (0x8001, b"CD001", "iso9660"),
    (0, b"hsqs", "squashfs"),
    (1024, b"\xe2\xe1\xf5\xe0", "erofs"),
    (1024, b"\x10\x20\xf5\xf2", "f2fs"),
    (4096, b"\xfc\x4e\x2b\xa9", "linux_raid_member"),
    (0, b"\xfc\x4e\x2b\xa9", "linux_raid_member"),
    (8, b"Stratis", "stratis"),
    (520, b"!Stra0tis\x86\xff\x02^\x41rh", "stratis"),
    (4096, b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca", "bcachefs"),
];

/// Where LVM's label may stand: at the beginning of one of the first four sectors.
const LVM_LABELS: [usize; 4] = [0, 512, 1024, 1536];

/// What a device holds; none if nothing is known there.
///
/// # Errors
/// The device cannot be read.
pub fn look(device: &Device) -> Result<Option<Contents>> {
    let bytes = device.beginning(0, BEGINNING)?;
    let at = |place: usize, length: usize| bytes.get(place..)?.get(..length);
    let there = |place: usize, signature: &[u8]| at(place, signature.len()) == Some(signature);
    if LVM_LABELS.iter().any(|label| there(*label, b"LABELONE")) {
        return Ok(Some(named("LVM2_member")));
    }
    if there(0x438, b"\x53\xef") {
        return Ok(Some(Contents {
            kind: ext(&bytes).to_owned(),
            label: at(0x478, 16).and_then(text),
            uuid: at(0x468, 16).and_then(uuid),
            size: ext_size(&bytes),
        }));
    }
    let known = SIGNATURES.iter().find(|known| there(known.0, known.1));
    let Some((place, _, kind)) = known else {
        return Ok(None);
    };
    let mut contents = named(kind);
    let serial = |place| {
        let serial = at(place, 4)?;
        let [a, b, c, d] = serial else { return None };
        Some(format!("{d:02X}{c:02X}-{b:02X}{a:02X}"))
    };
    (contents.label, contents.uuid) = match (*kind, *place) {
        ("xfs", _) => (at(108, 12).and_then(text), at(32, 16).and_then(uuid)),
        ("btrfs", _) => (
            at(0x1_012b, 256).and_then(text),
            at(0x1_0020, 16).and_then(uuid),
        ),
        ("crypto_LUKS", _) => (None, at(168, 40).and_then(text)),
        ("vfat", 54) => (fat_label(at(43, 11)), serial(39)),
        ("vfat", _) => (fat_label(at(71, 11)), serial(67)),
        ("swap", _) => (at(1052, 16).and_then(text), at(1036, 16).and_then(uuid)),
        _ => (None, None),
    };
    contents.size = match *kind {
        // `sb_blocksize` and `sb_dblocks` (Linux, `fs/xfs/libxfs/xfs_format.h`).
        "xfs" => big(&bytes, 4, 4)
            .and_then(|block| Ok(block.checked_mul(big(&bytes, 8, 8)?)))
            .unwrap_or(None),
        // `total_bytes` (Linux, `include/uapi/linux/btrfs_tree.h`).
        "btrfs" => little(&bytes, 0x1_0070, 8).ok(),
        _ => None,
    };
    Ok(Some(contents))
}

fn named(kind: &str) -> Contents {
    Contents {
        kind: kind.to_owned(),
        label: None,
        uuid: None,
        size: None,
    }
}

/// Blocks and how large they are (Linux, Documentation/filesystems/ext4/super.rst).
fn ext_size(bytes: &[u8]) -> Option<u64> {
    let field = |at| little(bytes, at, 4).ok();
    // Wider numbers of blocks only with the feature.
    let high = match field(0x460)? & 0x80 {
        0 => 0,
        _ => field(0x550)?,
    };
    let shift = u32::try_from(field(0x418)?).ok()?.checked_add(10)?;
    (high << 32 | field(0x404)?).checked_mul(1_u64.checked_shl(shift)?)
}

fn fat_label(field: Option<&[u8]>) -> Option<String> {
    field.and_then(text).filter(|label| label != "NO NAME")
}

/// Which of the three it is, by their features as blkid tells them apart: a journal, and features that
/// ext3 does not know.
fn ext(bytes: &[u8]) -> &'static str {
    let feature = |at| little(bytes, at, 4).unwrap_or(0);
    let (compatible, incompatible, read_only) = (feature(0x45c), feature(0x460), feature(0x464));
    if incompatible & !0x16 != 0 || read_only & !0x7 != 0 {
        "ext4"
    } else if compatible & 0x4 != 0 {
        "ext3"
    } else {
        "ext2"
    }
}
