//! The disk within a file: a plain one or a qcow2 as it is, what other formats and archives hold as a plain disk
//! in a temporary file without a name.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use tar::EntryType;

use super::archive::{HEAD, unpacked};
use super::facts::{Kind, Packing, of_head, unpacked_head};
use super::inside::{self, Machine};
use super::{Findings, Importer, Question};
use crate::disk::bytes::is_zero;
use crate::formats::gcp;
use crate::image::qemu_img;
use crate::machine::DiskFormat;

/// The largest disk that is unpacked, in bytes.
const LARGEST: u64 = 128 << 30;

/// Most members of an archive that are looked at.
const MOST_MEMBERS: usize = 64;

/// Where temporary files are, unless TMPDIR says otherwise: `/tmp` is memory on many systems.
const TEMPORARY: &str = "/var/tmp";

/// Pieces in which a disk is copied, in bytes; those of zeroes are left out.
const PIECE: usize = 64 << 10;

/// Looks into the disk that a file is or holds. What cannot be looked into is a note.
pub(super) async fn look(
    importer: Importer,
    kind: Kind,
    question: &Question<'_>,
    findings: &mut Findings<'_>,
) {
    match disk(importer, kind, question).await {
        Ok(Some((machine, disk))) => inside::look(machine, &disk, question, findings).await,
        Ok(None) => findings.note("what is inside was not looked at: no disk is found in it"),
        Err(error) => findings.note(format!("what is inside was not looked at: {error:#}")),
    }
}

async fn disk(
    importer: Importer,
    kind: Kind,
    question: &Question<'_>,
) -> Result<Option<(Machine, File)>> {
    let found = match kind {
        Kind::Tar => in_archive(&mut stream(question.file, Packing::None)?, true)?,
        Kind::Packed(packing) => packed(question.file, packing)?,
        kind => Some((kind, question.file.try_clone()?)),
    };
    let Some((kind, file)) = found else {
        return Ok(None);
    };
    let Some(machine) = Machine::of(importer).or_else(|| of_box(&kind)) else {
        return Ok(None);
    };
    let format = match kind {
        Kind::Vmdk(_) => DiskFormat::Vmdk,
        Kind::Vhdx => DiskFormat::Vhdx,
        Kind::DynamicVhd => DiskFormat::Vpc,
        Kind::Raw | Kind::FixedVhd(_) | Kind::Qcow2(_) => return Ok(Some((machine, file))),
        _ => return Ok(None),
    };
    let info = qemu_img::info(&file, format).await?;
    ensure!(info.is_standalone(), "its disk stands on another file");
    let plain = room_for(info.virtual_size)?;
    qemu_img::to_raw((&file, format), &plain).await?;
    Ok(Some((machine, plain)))
}

/// The machine of a box, by the format that its provider has.
fn of_box(kind: &Kind) -> Option<Machine> {
    match kind {
        Kind::Qcow2(_) => Some(Machine::Libvirt),
        Kind::Vmdk(vmdk) if vmdk.is_stream_optimized => Some(Machine::VirtualBox),
        Kind::Vmdk(_) => Some(Machine::VmwareDesktop),
        Kind::Vhdx | Kind::DynamicVhd => Some(Machine::HyperV),
        _ => None,
    }
}

fn stream(file: &File, packing: Packing) -> Result<Box<dyn Read>> {
    let mut file = file.try_clone()?;
    file.rewind()?;
    unpacked(BufReader::with_capacity(1 << 20, file), packing)
}

/// What is packed: an archive with a disk, or a disk.
fn packed(file: &File, packing: Packing) -> Result<Option<(Kind, File)>> {
    let kind = of_head(&unpacked_head(file, packing)?);
    let mut stream = stream(file, packing)?;
    match kind {
        Kind::Tar => in_archive(&mut stream, true),
        kind @ (Kind::Raw | Kind::Qcow2(_)) => {
            // How large it is nobody says.
            let disk = copy(&mut stream, None)?;
            Ok(Some((kind, disk)))
        }
        _ => Ok(None),
    }
}

/// The first disk in an archive; in those of OCI, in a layer.
fn in_archive(stream: &mut dyn Read, with_layers: bool) -> Result<Option<(Kind, File)>> {
    let mut archive = tar::Archive::new(stream);
    for entry in archive.entries()?.take(MOST_MEMBERS) {
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        if !(kind.is_file() || kind == EntryType::GNUSparse) {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let name = name.trim_start_matches("./");
        let size = entry.size();
        let mut head = Vec::new();
        entry.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
        let kind = of_head(&head);
        let mut whole = head.as_slice().chain(entry);
        match kind {
            Kind::Qcow2(_) | Kind::Vmdk(_) | Kind::Vhdx | Kind::DynamicVhd => {
                return Ok(Some((kind, copy(&mut whole, Some(size))?)));
            }
            Kind::Raw if name == gcp::MEMBER || name.starts_with("disk/") => {
                return Ok(Some((kind, copy(&mut whole, Some(size))?)));
            }
            Kind::Tar | Kind::Packed(_) if with_layers && name.starts_with("blobs/") => {
                let packing = match kind {
                    Kind::Packed(packing) => packing,
                    _ => Packing::None,
                };
                let found = in_archive(&mut *unpacked(whole, packing)?, false);
                if let Ok(Some(found)) = found {
                    return Ok(Some(found));
                }
            }
            _ => {}
        }
    }
    Ok(None)
}

/// A temporary file for so many bytes, if there is room for them.
fn room_for(size: u64) -> Result<File> {
    ensure!(
        size <= LARGEST,
        "its disk has more than {} GiB",
        LARGEST >> 30
    );
    let dir = std::env::var_os("TMPDIR").map_or_else(|| PathBuf::from(TEMPORARY), PathBuf::from);
    let shown = dir.display();
    let file = tempfile::tempfile_in(&dir);
    let file = file.with_context(|| format!("making a temporary file in {shown}"))?;
    let system = rustix::fs::fstatvfs(file.as_fd())?;
    let free = system.f_bavail.saturating_mul(system.f_frsize);
    ensure!(
        size < free,
        "its disk has {size} bytes, for which there is no room in {shown} (TMPDIR)"
    );
    file.set_len(size)?;
    Ok(file)
}

/// Copies a disk of `size` bytes, or as far as there is room, into a temporary file.
fn copy(from: &mut dyn Read, size: Option<u64>) -> Result<File> {
    let file = room_for(size.unwrap_or(0))?;
    let system = rustix::fs::fstatvfs(file.as_fd())?;
    let room = system.f_bavail.saturating_mul(system.f_frsize) / 2;
    let most = size.unwrap_or(LARGEST);
    let mut piece = vec![0; PIECE];
    let (mut at, mut written) = (0_u64, 0);
    loop {
        let length = fill(from, &mut piece).context("unpacking its disk")?;
        if length == 0 {
            file.set_len(at)?;
            return Ok(file);
        }
        if !is_zero(&piece[..length]) {
            written += length as u64;
            ensure!(
                size.is_some() || written < room,
                "there is no room for its disk"
            );
            file.write_all_at(&piece[..length], at)?;
        }
        at += length as u64;
        ensure!(at <= most, "its disk has more than {most} bytes");
    }
}

/// Reads until the buffer is full, or there is no more.
fn fill(from: &mut dyn Read, into: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match from.read(&mut into[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
