//! What a file is: told by its content, as importers tell it.

use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};

use super::archive::HEAD;
use super::archive::unpacked;
use crate::disk::qcow2::MAGIC as QCOW2;
use crate::formats::source::UNIT;
use crate::formats::vhd;
use crate::formats::vmdk::{AT_END, MAGIC, SECTOR};

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Packing {
    None,
    Gzip,
    Xz,
    Zstd,
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// QEMU's qcow2.
    Qcow2(Qcow2),
    /// VMware's disk with grains.
    Vmdk(Vmdk),
    /// VMware's descriptor, whose data is in other files.
    VmdkDescriptor,
    /// Microsoft's VHDX.
    Vhdx,
    /// A dynamic or differencing VHD.
    DynamicVhd,
    /// A VHD of fixed size.
    FixedVhd(Footer),
    /// Something that is packed.
    Packed(Packing),
    /// A tar archive.
    Tar,
    /// None of these: a plain disk perhaps.
    Raw,
}

/// What a qcow2 says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qcow2 {
    /// 2 or 3.
    pub version: u32,
    /// Bytes of the disk.
    pub size: u64,
    /// Whether it stands on another file.
    pub is_standalone: bool,
    /// Whether its clusters are packed by zstd.
    pub is_zstd: bool,
}

/// What a VMDK says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vmdk {
    /// Bytes of the disk.
    pub size: u64,
    /// Whether its grains are packed and have markers.
    pub is_stream_optimized: bool,
    /// The `createType` of its descriptor.
    pub create_type: String,
    /// The `ddb.adapterType` of its descriptor.
    pub adapter: String,
    /// The `ddb.uuid.image` of its descriptor.
    pub uuid: String,
    /// The disk's first bytes, if they are in the first grain that is stored.
    pub beginning: Vec<u8>,
    /// Whether the directory is said only at the file's end.
    pub ends_with_footer: bool,
}

/// What a VHD's footer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footer {
    /// Bytes of the disk.
    pub size: u64,
    /// Whether the checksum is right.
    pub is_whole: bool,
    /// The kind of disk: 2 for one of fixed size.
    pub kind: u32,
}

impl Kind {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Qcow2(_) => "a qcow2 image",
            Kind::Vmdk(_) => "a VMDK",
            Kind::VmdkDescriptor => "the descriptor of a VMDK",
            Kind::Vhdx => "a VHDX",
            Kind::DynamicVhd => "a dynamic VHD",
            Kind::FixedVhd(_) => "a fixed VHD",
            Kind::Packed(Packing::Gzip) => "packed by gzip",
            Kind::Packed(Packing::Xz) => "packed by xz",
            Kind::Packed(_) => "packed by zstd",
            Kind::Tar => "a tar archive",
            Kind::Raw => "a plain file",
        }
    }
}

/// What a file is by its first bytes, [`HEAD`] of them if it has as many.
pub fn of_head(head: &[u8]) -> Kind {
    let has = |at: usize, magic: &[u8]| head.get(at..).is_some_and(|head| head.starts_with(magic));
    if has(0, QCOW2) {
        return Kind::Qcow2(qcow2(head));
    }
    if has(0, MAGIC) {
        return Kind::Vmdk(vmdk(head));
    }
    if has(0, b"# Disk DescriptorFile") || has(0, b"COWD") {
        return Kind::VmdkDescriptor;
    }
    if has(0, b"vhdxfile") {
        return Kind::Vhdx;
    }
    if has(0, vhd::COOKIE) {
        return Kind::DynamicVhd;
    }
    for (magic, packing) in [
        (&[0x1f, 0x8b][..], Packing::Gzip),
        (b"\xfd7zXZ\0", Packing::Xz),
        (b"\x28\xb5\x2f\xfd", Packing::Zstd),
    ] {
        if has(0, magic) {
            return Kind::Packed(packing);
        }
    }
    match has(257, b"ustar") {
        true => Kind::Tar,
        false => Kind::Raw,
    }
}

/// What a file is, and its first bytes.
///
/// # Errors
/// It cannot be read.
pub fn of_file(file: &File) -> Result<(Kind, Vec<u8>)> {
    let length = file.metadata().context("looking at the file")?.len();
    let mut head = vec![0; length.min(HEAD as u64) as usize];
    file.read_exact_at(&mut head, 0)
        .context("reading the file")?;
    let kind = match of_head(&head) {
        Kind::Raw if length >= 512 => {
            let mut footer = [0; vhd::FOOTER];
            file.read_exact_at(&mut footer, length - 512)
                .context("reading the file")?;
            match footer.starts_with(vhd::COOKIE) {
                true => Kind::FixedVhd(fixed_vhd(&footer)),
                false => Kind::Raw,
            }
        }
        other => other,
    };
    Ok((kind, head))
}

/// The first bytes of what a packed file holds.
///
/// # Errors
/// It is damaged.
pub fn unpacked_head(file: &File, packing: Packing) -> Result<Vec<u8>> {
    use std::io::{Read, Seek};

    let mut file = file.try_clone()?;
    file.rewind()?;
    let mut head = Vec::new();
    unpacked(file, packing)?
        .take(HEAD as u64)
        .read_to_end(&mut head)
        .context("unpacking the file")?;
    Ok(head)
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes
        .get(at..at + 4)
        .and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u32::from_be_bytes)
}

fn be64(bytes: &[u8], at: usize) -> u64 {
    u64::from(be32(bytes, at)) << 32 | u64::from(be32(bytes, at + 4))
}

fn le64(bytes: &[u8], at: usize) -> u64 {
    be64(bytes, at).swap_bytes()
}

fn fixed_vhd(footer: &[u8; vhd::FOOTER]) -> Footer {
    Footer {
        size: be64(footer, 48),
        is_whole: be32(footer, 64) == vhd::checksum(footer),
        kind: be32(footer, 60),
    }
}

/// The header of a qcow2 (QEMU's `docs/interop/qcow2.txt`).
fn qcow2(head: &[u8]) -> Qcow2 {
    let version = be32(head, 4);
    let incompatible = if version >= 3 { be64(head, 72) } else { 0 };
    Qcow2 {
        version,
        size: be64(head, 24),
        // A backing file, or an external data file.
        is_standalone: be64(head, 8) == 0 && incompatible & 1 << 2 == 0,
        is_zstd: incompatible & 1 << 3 != 0,
    }
}

/// The header of a VMDK, as [`crate::formats::vmdk`] writes it, and its descriptor.
fn vmdk(head: &[u8]) -> Vmdk {
    let flags = be32(head, 8).swap_bytes();
    let place = |at: usize| {
        let sectors = usize::try_from(le64(head, at)).ok();
        sectors.and_then(|sectors| sectors.checked_mul(SECTOR as usize))
    };
    let descriptor = place(28).and_then(|start| {
        let rest = head.get(start..)?;
        Some(&rest[..place(36)?.min(rest.len())])
    });
    let descriptor = String::from_utf8_lossy(descriptor.unwrap_or_default()).into_owned();
    let value = |key: &str| {
        let mut lines = descriptor.lines();
        let value = lines.find_map(|line| {
            let (name, value) = line.split_once('=')?;
            (name.trim() == key).then(|| value.trim().trim_matches('"').to_owned())
        });
        value.unwrap_or_default()
    };
    let is_stream_optimized = flags & (1 << 16 | 1 << 17) == (1 << 16 | 1 << 17);
    let beginning = place(64).filter(|_| is_stream_optimized);
    Vmdk {
        size: le64(head, 12).saturating_mul(SECTOR),
        is_stream_optimized,
        create_type: value("createType"),
        adapter: value("ddb.adapterType"),
        uuid: value("ddb.uuid.image"),
        beginning: beginning.map_or_else(Vec::new, |at| first_grain(head, at)),
        ends_with_footer: le64(head, 56) == AT_END,
    }
}

/// The first grain that is stored, if it is that of the disk's beginning.
fn first_grain(head: &[u8], at: usize) -> Vec<u8> {
    use std::io::Read;

    let Some(marker) = head.get(at..).filter(|marker| marker.len() > 12) else {
        return Vec::new();
    };
    let mut grain = Vec::new();
    if le64(marker, 0) == 0 {
        let mut stream = flate2::read::ZlibDecoder::new(&marker[12..]).take(UNIT);
        // As far as it goes: whoever imports it reads the rest.
        let _ = stream.read_to_end(&mut grain);
    }
    grain
}
