//! The disk in an image's file, raw or qcow2.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, bail, ensure};

use super::device::Device;
use super::qcow2;

/// How images of other formats begin, and what they are called (QEMU's `block/`): none is read.
const OTHERS: [(&[u8], &str); 5] = [
    (b"KDMV", "vmdk"),
    (b"# Disk DescriptorFile", "vmdk"),
    (b"vhdxfile", "vhdx"),
    (b"<<< ", "vdi"),
    (b"conectix", "vhd"),
];

/// The disk of an overlay in qcow2, on the image that it was laid on.
///
/// # Errors
/// As [`open`].
pub fn open_overlay(overlay: File, below: File) -> Result<Device> {
    qcow2::open_over(overlay, open(below)?).context("reading an overlay")
}

/// The disk in a file; what it is, is seen from how it begins.
///
/// # Errors
/// It cannot be read, is broken, or is of a format that is not read.
pub fn open(mut file: File) -> Result<Device> {
    let size = file.seek(SeekFrom::End(0));
    let size = size.context("asking for the size of the image")?;
    ensure!(size > 0, "the image is empty");
    let mut start = [0; 32];
    let length = size.min(start.len() as u64) as usize;
    let start = &mut start[..length];
    file.read_exact_at(start, 0)
        .context("reading the beginning of the image")?;
    if start.starts_with(qcow2::MAGIC) {
        return qcow2::open(file).context("reading a qcow2 image");
    }
    if let Some(name) = foreign(start) {
        bail!("{name} images are not read; make it one with `qemu-img convert -O qcow2`");
    }
    Ok(Device::new(size, move |at, into| {
        file.read_exact_at(into, at).context("reading the image")
    }))
}

/// The format of an image that begins so, if it is one that is not read.
pub fn foreign(beginning: &[u8]) -> Option<&'static str> {
    let known = OTHERS
        .iter()
        .find(|(magic, _)| beginning.starts_with(magic));
    known.map(|(_, name)| *name)
}
