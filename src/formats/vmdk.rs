//! streamOptimized VMDKs (VMware's "Virtual Disk Format 5.0"; open-vmdk `vmdk/sparse.c`): compressed
//! grains in growing order, each grain table behind its grains, the directory and a second header at
//! the end. Little endian.
//!
//! `qemu-img` writes them, too, with one processor, and without what VMware and VirtualBox want to
//! know of the tools and the geometry.

use std::fmt;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};

use crate::disk::bytes::is_zero;

use super::packed;
use super::pool::{Pool, Queue};
use super::source::UNIT;
use super::spread::{Piece, Writer};

/// Bytes of a sector, in which the format counts.
pub const SECTOR: u64 = 512;

/// What a file begins with.
pub const MAGIC: &[u8; 4] = b"KDMV";

/// Where the directory is, if only the header at the end says it.
pub const AT_END: u64 = u64::MAX;

/// Sectors of a grain.
const GRAIN: u64 = UNIT / SECTOR;

/// Grains of a grain table.
const TABLE: usize = 512;

/// Where the descriptor is, and how many sectors it has.
const DESCRIPTOR: (u64, u64) = (1, 20);

/// Where the first grain is, in sectors: at the first whole grain.
const OVERHEAD: u64 = GRAIN;

/// Heads and sectors of the geometry that all firmware takes.
const HEADS: u64 = 255;
const SECTORS: u64 = 63;

/// Kinds of markers.
const GRAIN_TABLE: u32 = 1;
const GRAIN_DIRECTORY: u32 = 2;
const FOOTER: u32 = 3;

/// What a VMDK says of itself.
#[derive(Debug, Clone)]
pub struct Description<'a> {
    /// The name of its file.
    pub file: &'a str,
    /// The disk's UUID, by which VirtualBox knows it.
    pub uuid: &'a str,
    /// The version of VMware's virtual hardware.
    pub hardware: u32,
}

impl Description<'_> {
    /// The descriptor of a disk of so many sectors.
    fn text(&self, capacity: u64) -> Result<String> {
        let cylinders = capacity.div_ceil(HEADS * SECTORS).clamp(1, 65535);
        let Description {
            file,
            uuid,
            hardware,
        } = self;
        let mut id = [0; 4];
        getrandom::fill(&mut id).context("making a content id")?;
        // The two highest mean "none" and "changed".
        let id = u32::from_ne_bytes(id) & 0x7fff_ffff;
        Ok(format!(
            r#"# Disk DescriptorFile
version=1
CID={id:08x}
parentCID=ffffffff
createType="streamOptimized"

# Extent description
RW {capacity} SPARSE "{file}"

# The Disk Data Base
#DDB

ddb.adapterType = "lsilogic"
ddb.geometry.biosCylinders = "{cylinders}"
ddb.geometry.biosHeads = "{HEADS}"
ddb.geometry.biosSectors = "{SECTORS}"
ddb.geometry.cylinders = "{cylinders}"
ddb.geometry.heads = "{HEADS}"
ddb.geometry.sectors = "{SECTORS}"
ddb.toolsInstallType = "4"
ddb.toolsVersion = "2147483647"
ddb.uuid.image = "{uuid}"
ddb.virtualHWVersion = "{hardware}"
"#
        ))
    }
}

/// The header of a disk of so many sectors, whose directory is at `directory`.
fn header(capacity: u64, directory: u64) -> [u8; SECTOR as usize] {
    let mut header = [0; SECTOR as usize];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        header[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(MAGIC);
    put(&3_u32.to_le_bytes()); // version
    // Newlines to be checked, compressed grains, markers.
    put(&(1_u32 | 1 << 16 | 1 << 17).to_le_bytes());
    for sectors in [capacity, GRAIN, DESCRIPTOR.0, DESCRIPTOR.1] {
        put(&sectors.to_le_bytes());
    }
    put(&(TABLE as u32).to_le_bytes());
    // No second directory.
    for sectors in [0, directory, OVERHEAD] {
        put(&sectors.to_le_bytes());
    }
    put(&[0]); // shut down cleanly
    put(b"\n \r\n"); // what text mode would have changed
    put(&1_u16.to_le_bytes()); // deflate
    header
}

/// A grain that holds data.
struct Grain {
    number: u64,
    /// Marker, zlib stream, zeroes up to a sector.
    bytes: Vec<u8>,
}

/// Packs the grains of a piece.
fn pack(piece: &Piece) -> Result<Vec<Grain>> {
    let mut packer = packed::zlib_packer();
    let mut last = Vec::new();
    let grains = piece.bytes.chunks(UNIT as usize).enumerate();
    let grains = grains.filter(|(_, grain)| !is_zero(grain));
    let grains = grains.map(|(number, mut grain)| {
        let number = piece.at / UNIT + number as u64;
        if grain.len() < UNIT as usize {
            // The disk's end: grains are whole.
            last = grain.to_vec();
            last.resize(UNIT as usize, 0);
            grain = &last;
        }
        let mut bytes = (number * GRAIN).to_le_bytes().to_vec();
        bytes.extend([0; 4]);
        packed::zlib(&mut packer, grain, &mut bytes)?;
        let size = (bytes.len() - 12) as u32;
        bytes[8..12].copy_from_slice(&size.to_le_bytes());
        bytes.resize(bytes.len().next_multiple_of(SECTOR as usize), 0);
        Ok(Grain { number, bytes })
    });
    grains.collect()
}

/// Writes a streamOptimized VMDK.
pub struct VmdkWriter {
    file: BufWriter<File>,
    /// Sectors of the disk.
    capacity: u64,
    queue: Queue<Result<Vec<Grain>>>,
    /// The sector that is written next.
    sector: u64,
    /// The grain table that is being filled, and its number.
    table: Option<(usize, Box<[u32; TABLE]>)>,
    /// Where the tables are.
    directory: Vec<u32>,
    populated: Arc<AtomicU64>,
}

impl fmt::Debug for VmdkWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VmdkWriter at sector {}", self.sector)
    }
}

impl VmdkWriter {
    /// Of a disk of `size` bytes, into an empty file. Adds to `populated` the bytes of grains with
    /// data.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(
        file: File,
        size: u64,
        description: &Description<'_>,
        populated: Arc<AtomicU64>,
        pool: &Pool,
    ) -> Result<VmdkWriter> {
        let capacity = size.div_ceil(SECTOR);
        let mut file = BufWriter::with_capacity(1 << 20, file);
        let mut begin = header(capacity, AT_END).to_vec();
        begin.extend(description.text(capacity)?.into_bytes());
        begin.resize((OVERHEAD * SECTOR) as usize, 0);
        file.write_all(&begin).context("writing a VMDK")?;
        let tables = capacity.div_ceil(GRAIN * TABLE as u64);
        Ok(VmdkWriter {
            file,
            capacity,
            queue: pool.queue(),
            sector: OVERHEAD,
            table: None,
            directory: vec![0; tables as usize],
            populated,
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.sector += bytes.len() as u64 / SECTOR;
        self.file.write_all(bytes).context("writing a VMDK")
    }

    /// The sector that is written next, as tables have it.
    fn here(&self) -> Result<u32> {
        let here = u32::try_from(self.sector);
        here.context("the data takes more than the 2 TiB that a VMDK can hold")
    }

    fn write_marker(&mut self, kind: u32, sectors: u64) -> Result<()> {
        let mut marker = sectors.to_le_bytes().to_vec();
        marker.extend([0; 4]);
        marker.extend(kind.to_le_bytes());
        marker.resize(SECTOR as usize, 0);
        self.write(&marker)
    }

    fn write_grains(&mut self, grains: Option<Result<Vec<Grain>>>) -> Result<()> {
        for Grain { number, bytes } in grains.transpose()?.unwrap_or_default() {
            let (table, entry) = (number as usize / TABLE, number as usize % TABLE);
            if self.table.as_ref().is_some_and(|(open, _)| *open != table) {
                self.end_table()?;
            }
            let here = self.here()?;
            let (_, entries) = self
                .table
                .get_or_insert_with(|| (table, Box::new([0; TABLE])));
            entries[entry] = here;
            self.populated.fetch_add(UNIT, Ordering::Relaxed);
            self.write(&bytes)?;
        }
        Ok(())
    }

    fn end_table(&mut self) -> Result<()> {
        let Some((number, entries)) = self.table.take() else {
            return Ok(());
        };
        let bytes: Vec<u8> = entries.iter().flat_map(|at| at.to_le_bytes()).collect();
        self.write_marker(GRAIN_TABLE, bytes.len() as u64 / SECTOR)?;
        self.directory[number] = self.here()?;
        self.write(&bytes)
    }
}

impl Writer for VmdkWriter {
    fn take(&mut self, piece: &Arc<Piece>) -> Result<()> {
        let piece = Arc::clone(piece);
        let oldest = self.queue.push(move || pack(&piece))?;
        self.write_grains(oldest)
    }

    fn end(&mut self) -> Result<()> {
        while let Some(grains) = self.queue.pop()? {
            self.write_grains(Some(grains))?;
        }
        self.end_table()?;
        let entries = self.directory.iter();
        let mut directory: Vec<u8> = entries.flat_map(|at| at.to_le_bytes()).collect();
        directory.resize(directory.len().next_multiple_of(SECTOR as usize), 0);
        self.write_marker(GRAIN_DIRECTORY, directory.len() as u64 / SECTOR)?;
        let place = self.sector;
        self.write(&directory)?;
        self.write_marker(FOOTER, 1)?;
        self.write(&header(self.capacity, place))?;
        // The end of the stream: a marker of nothing.
        self.write(&[0; SECTOR as usize])?;
        self.file.flush().context("writing a VMDK")
    }
}
