//! Reads qcow2 images (QEMU's docs/interop/qcow2.rst): versions 2 and 3, plain, zlib and zstd clusters.
//! Images that need another file beside them are refused: whoever wrote the image would choose it.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};

use super::bytes::big;
use super::device::Device;

/// How images begin.
pub const MAGIC: &[u8] = b"QFI\xfb";

/// Most entries of the first table: a disk of 16 TiB in clusters of 64 KiB has 32768.
const MOST_L1: u64 = 1 << 20;

/// Most bytes of second tables and of unpacked clusters that are kept, each.
const MOST_KEPT: usize = 8 << 20;

/// Bits of an entry that hold a place in the file.
const PLACE: u64 = 0x00ff_ffff_ffff_fe00;

/// In an entry of a second table: the cluster is compressed; all its bytes are zero.
const COMPRESSED: u64 = 1 << 62;
const ZERO: u64 = 1;

/// Features that a reader must know: the image was not closed well (harmless to one who reads), it is
/// broken, it has another file for its data, its compression is named, its entries are longer.
const DIRTY: u64 = 1;
const COMPRESSION: u64 = 1 << 3;

/// What the clusters are packed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    Zlib,
    Zstd,
}

/// An image that is read.
#[derive(Debug)]
pub struct Image {
    /// Bytes of the disk.
    pub size: u64,
    file: File,
    cluster_bits: u32,
    l1: Vec<u64>,
    packing: Packing,
    /// What is seen where this image holds nothing.
    below: Option<Device>,
    tables: Mutex<Kept<u64>>,
    unpacked: Mutex<Kept<u8>>,
}

/// Blocks of the file that are asked for again, by their place.
#[derive(Debug)]
struct Kept<T>(HashMap<u64, Vec<T>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Kept(HashMap::new())
    }
}

impl<T> Kept<T> {
    /// The block at a place, got if it is not here.
    fn get(&mut self, at: u64, get: impl FnOnce() -> Result<Vec<T>>) -> Result<&[T]> {
        if !self.0.contains_key(&at) {
            let block = get()?;
            let most = MOST_KEPT / size_of_val(block.as_slice()).max(1);
            if self.0.len() >= most.max(1) {
                self.0.clear();
            }
            self.0.insert(at, block);
        }
        self.0.get(&at).map(Vec::as_slice).context("nothing kept")
    }
}

/// The disk in an image.
///
/// # Errors
/// Those of [`Image::open`].
pub fn open(file: File) -> Result<Device> {
    device_of(Image::open(file)?)
}

/// The disk in an image that stands on the disk `below`, whatever file the image names for it.
///
/// # Errors
/// Those of [`Image::open`]; it stands on none.
pub fn open_over(file: File, below: Device) -> Result<Device> {
    device_of(Image::read_header(file, Some(below))?)
}

fn device_of(image: Image) -> Result<Device> {
    Ok(Device::new(image.size, move |at, into| {
        image.read(at, into)
    }))
}

impl Image {
    /// Opens an image.
    ///
    /// # Errors
    /// It is no such image, broken, encrypted, or needs another file.
    pub fn open(file: File) -> Result<Image> {
        Image::read_header(file, None)
    }

    fn read_header(file: File, below: Option<Device>) -> Result<Image> {
        let mut header = vec![0; 112];
        let length = read_up_to(&file, 0, &mut header)?;
        header.truncate(length);
        ensure!(header.starts_with(MAGIC), "it is no qcow2 image");
        let version = big(&header, 4, 4)?;
        ensure!(
            matches!(version, 2 | 3),
            "qcow2 version {version} is not known"
        );
        let stands_alone = big(&header, 8, 8)? == 0;
        ensure!(
            stands_alone || below.is_some(),
            "the image stands on another one, which is not read; join them with `qemu-img convert`"
        );
        ensure!(
            !stands_alone || below.is_none(),
            "the image stands on no other one"
        );
        let cluster_bits = big(&header, 20, 4)? as u32;
        ensure!(
            (9..=21).contains(&cluster_bits),
            "its cluster size is broken"
        );
        let size = big(&header, 24, 8)?;
        ensure!(big(&header, 32, 4)? == 0, "the image is encrypted");
        let (count, at) = (big(&header, 36, 4)?, big(&header, 40, 8)?);
        let mut packing = Packing::Zlib;
        if version == 3 {
            let features = big(&header, 72, 8)?;
            if features & COMPRESSION != 0 {
                packing = match big(&header, 104, 1)? {
                    0 => Packing::Zlib,
                    1 => Packing::Zstd,
                    other => bail!("its compression ({other}) is not known"),
                };
            }
            let unknown = features & !(DIRTY | COMPRESSION);
            ensure!(
                unknown == 0,
                "it has features that are not read ({unknown:#x})"
            );
        }
        // An entry of the first table stands for a second table, which is one cluster of entries.
        let span = 1_u64 << (2 * cluster_bits - 3);
        let needed = size.div_ceil(span);
        ensure!(
            needed <= count && needed <= MOST_L1,
            "its first table is too small or too large"
        );
        let l1 = table(&file, at, needed as usize)?;
        Ok(Image {
            size,
            file,
            cluster_bits,
            l1,
            packing,
            below,
            tables: Mutex::default(),
            unpacked: Mutex::default(),
        })
    }

    /// Reads bytes of the disk.
    ///
    /// # Errors
    /// They cannot be read, or are not there.
    pub fn read(&self, mut at: u64, mut into: &mut [u8]) -> Result<()> {
        while !into.is_empty() {
            let within = (at & (self.cluster_size() - 1)) as usize;
            let length = into.len().min(self.cluster_size() as usize - within);
            let (now, rest) = into.split_at_mut(length);
            self.read_cluster(at, within, now)?;
            at += length as u64;
            into = rest;
        }
        Ok(())
    }

    fn cluster_size(&self) -> u64 {
        1 << self.cluster_bits
    }

    /// Whether the disk has data in the cluster of a place, and for how many bytes from there on the
    /// answer holds.
    ///
    /// # Errors
    /// The tables cannot be read.
    pub fn holds_data(&self, at: u64) -> Result<(bool, u64)> {
        let span = self.cluster_bits * 2 - 3;
        let first = usize::try_from(at >> span)?;
        if self.l1.get(first).is_some_and(|entry| entry & PLACE == 0) {
            return Ok((false, (1 << span) - (at & ((1 << span) - 1))));
        }
        let entry = self.entry(at)?;
        let is_zero = entry & COMPRESSED == 0 && (entry & PLACE == 0 || entry & ZERO != 0);
        let length = self.cluster_size() - (at & (self.cluster_size() - 1));
        Ok((!is_zero, length))
    }

    /// The entry of the second table for the cluster of a place; 0 where there is none.
    fn entry(&self, at: u64) -> Result<u64> {
        let cluster = at >> self.cluster_bits;
        let entries = self.cluster_bits - 3;
        let first = usize::try_from(cluster >> entries)?;
        let second = (cluster & ((1 << entries) - 1)) as usize;
        let place = self.l1.get(first).context("beyond the first table")? & PLACE;
        if place == 0 {
            return Ok(0);
        }
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let table = tables.get(place, || table(&self.file, place, 1 << entries))?;
        table
            .get(second)
            .copied()
            .context("beyond the second table")
    }

    /// Fills `into` from within the cluster of a place on.
    fn read_cluster(&self, at: u64, within: usize, into: &mut [u8]) -> Result<()> {
        let entry = self.entry(at)?;
        if entry & COMPRESSED != 0 {
            let mut unpacked = self.unpacked.lock().unwrap_or_else(PoisonError::into_inner);
            let bytes = unpacked.get(entry, || self.unpack(entry))?;
            into.copy_from_slice(super::bytes::slice(bytes, within, into.len())?);
            return Ok(());
        }
        let place = entry & PLACE;
        if place == 0 || entry & ZERO != 0 {
            let below = self.below.as_ref().filter(|_| entry & ZERO == 0);
            return read_below(below, at, into);
        }
        // The last cluster of a file need not be whole.
        let length = read_up_to(&self.file, place + within as u64, into)?;
        into[length..].fill(0);
        Ok(())
    }

    /// The bytes of a compressed cluster.
    fn unpack(&self, entry: u64) -> Result<Vec<u8>> {
        // How many bits the place has: what is left counts the further sectors of 512 bytes.
        let bits = 62 - (self.cluster_bits - 8);
        let place = entry & ((1 << bits) - 1);
        let sectors = (entry & (COMPRESSED - 1)) >> bits;
        let length = (sectors + 1) * 512 - (place & 511);
        let mut packed = vec![0; usize::try_from(length)?];
        let length = read_up_to(&self.file, place, &mut packed)?;
        let packed = &packed[..length];
        let mut bytes = vec![0; self.cluster_size() as usize];
        let read = match self.packing {
            Packing::Zlib => flate2::read::DeflateDecoder::new(packed).read_exact(&mut bytes),
            Packing::Zstd => zstd::stream::read::Decoder::new(packed)
                .and_then(|mut decoder| decoder.read_exact(&mut bytes)),
        };
        read.context("unpacking a cluster of the image")?;
        Ok(bytes)
    }
}

/// Fills `into` from the disk below, and with zeroes where there is none.
fn read_below(below: Option<&Device>, at: u64, into: &mut [u8]) -> Result<()> {
    let there = below.map_or(0, |below| below.size().saturating_sub(at));
    let length = usize::try_from(there).unwrap_or(usize::MAX).min(into.len());
    let (covered, beyond) = into.split_at_mut(length);
    beyond.fill(0);
    below.map_or(Ok(()), |below| below.read(at.min(below.size()), covered))
}

/// A table of `count` places at a place of the file.
fn table(file: &File, at: u64, count: usize) -> Result<Vec<u64>> {
    let mut bytes = vec![0; count * 8];
    file.read_exact_at(&mut bytes, at)
        .context("reading a table of the image")?;
    bytes
        .chunks_exact(8)
        .map(|entry| big(entry, 0, 8))
        .collect()
}

/// Fills `into` as far as the file goes; how far that is.
fn read_up_to(file: &File, at: u64, into: &mut [u8]) -> Result<usize> {
    let mut length = 0;
    while length < into.len() {
        match file.read_at(&mut into[length..], at.saturating_add(length as u64)) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("reading the image"),
        }
    }
    Ok(length)
}
