//! The image that is written: a raw or qcow2 file, or a raw stream, packed or not, from a file, standard
//! input or an address.
//!
//! qcow2 is read by [`crate::disk::qcow2`], not by qemu-img or qemu-nbd: it needs nothing but ozr on the
//! machine that writes, reads the file that was opened and never another one that an image names, and
//! gives the disk in its order, as the digest and the withheld beginning want it.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::disk::device::Device;
use crate::disk::{image_file, qcow2};
use crate::error::{Classify, Kind};
use crate::hex;
use crate::panics::lock;

/// Memory that unpacking xz may take, in bytes; `xz -9` asks for 65 MiB.
const MOST_XZ: u64 = 256 << 20;

/// How large pieces of what is packed are read, in bytes.
const BUFFER: usize = 256 << 10;

/// How images begin that are packed.
const PACKED: [(&[u8], Packing); 3] = [
    (b"\x28\xb5\x2f\xfd", Packing::Zstd),
    (b"\xfd7zXZ\x00", Packing::Xz),
    (b"\x1f\x8b", Packing::Gzip),
];

/// How many bytes tell what something is.
const BEGINNING: usize = 32;

#[derive(Debug, Clone, Copy)]
enum Packing {
    Zstd,
    Xz,
    Gzip,
}

/// An image.
pub struct Source {
    /// Its name, for people.
    pub name: String,
    /// The size of the disk in it, in bytes, where that is known.
    pub size: Option<u64>,
    /// How many bytes come, packed or not, where that is known, if it is a stream.
    pub length: Option<u64>,
    /// Whose fault it is if it cannot be read.
    pub fault: Kind,
    content: Content,
}

enum Content {
    Disk(Device, u64),
    Stream(Box<dyn Read + Send>, Input),
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Source({})", self.name)
    }
}

impl Source {
    /// The image in an open file.
    ///
    /// # Errors
    /// It cannot be read, or is of a form that is not known.
    pub fn file(name: &Path, file: File) -> Result<Source> {
        let name = name.display().to_string();
        let beginning = beginning(&mut &file)?;
        io::Seek::rewind(&mut &file)?;
        if packing(&beginning).is_some() {
            let length = file.metadata()?.len();
            return Source::stream(name, file, Some(length), Kind::Input);
        }
        let disk = image_file::open(file)?;
        Ok(Source {
            name,
            size: Some(disk.size()),
            length: None,
            fault: Kind::Input,
            content: Content::Disk(disk, 0),
        })
    }

    /// The image in a stream, of `length` bytes if that is known.
    ///
    /// # Errors
    /// It cannot be read, or is of a form that does not go by stream.
    pub fn stream(
        name: String,
        stream: impl Read + Send + 'static,
        length: Option<u64>,
        fault: Kind,
    ) -> Result<Source> {
        let input = Input::new(Box::new(stream));
        let start = beginning(&mut input.clone())?;
        let packing = packing(&start);
        let size = length.filter(|_| packing.is_none());
        let all = BufReader::with_capacity(BUFFER, io::Cursor::new(start).chain(input.clone()));
        let mut plain: Box<dyn Read + Send> = match packing {
            None => Box::new(all),
            Some(Packing::Gzip) => Box::new(flate2::bufread::MultiGzDecoder::new(all)),
            Some(Packing::Zstd) => Box::new(zstd::Decoder::with_buffer(all)?),
            Some(Packing::Xz) => {
                let flags = liblzma::stream::CONCATENATED;
                let decoder = liblzma::stream::Stream::new_stream_decoder(MOST_XZ, flags)?;
                Box::new(liblzma::bufread::XzDecoder::new_stream(all, decoder))
            }
        };
        let start = beginning(&mut plain).context("unpacking it")?;
        if start.starts_with(qcow2::MAGIC) {
            bail!(
                "it is a qcow2 image, whose parts are not in the disk's order, so that it cannot come packed or as a stream: name its file, unpacked"
            );
        }
        if let Some(format) = image_file::foreign(&start) {
            bail!("{format} images are not read; make it one with `qemu-img convert -O qcow2`");
        }
        let plain = Box::new(io::Cursor::new(start).chain(plain));
        Ok(Source {
            name,
            size,
            length,
            fault,
            content: Content::Stream(plain, input),
        })
    }

    /// What is known of the disk without taking anything from a stream.
    pub fn disk(&self) -> Option<&Device> {
        match &self.content {
            Content::Disk(disk, _) => Some(disk),
            Content::Stream(..) => None,
        }
    }

    /// How many bytes of a stream have come, for whoever wants to know while it is read.
    pub fn came(&self) -> Option<Arc<AtomicU64>> {
        match &self.content {
            Content::Disk(..) => None,
            Content::Stream(_, input) => Some(Arc::clone(&input.came)),
        }
    }

    /// The next bytes of the disk: as many as there is room for, or fewer at its end.
    ///
    /// # Errors
    /// It cannot be read, or is broken.
    pub fn next(&mut self, into: &mut [u8]) -> Result<usize> {
        let read = match &mut self.content {
            Content::Disk(disk, at) => {
                let left = disk.size() - *at;
                let length = into.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                disk.read(*at, &mut into[..length]).map(|()| {
                    *at += length as u64;
                    length
                })
            }
            Content::Stream(plain, _) => fill(plain, into).map_err(Into::into),
        };
        let reading = || format!("reading {}", self.name);
        read.with_context(reading).kind(self.fault)
    }

    /// The digest of a stream that has ended, as it came, in hexadecimal; none of what is no stream.
    ///
    /// # Errors
    /// What follows the image cannot be read.
    pub fn digest(self) -> Result<Option<String>> {
        match self.content {
            Content::Disk(..) => Ok(None),
            Content::Stream(plain, mut input) => {
                drop(plain);
                let reading = || format!("reading {}", self.name);
                let rest = io::copy(&mut input, &mut io::sink());
                rest.with_context(reading).kind(self.fault)?;
                let digest = lock(&input.raw).digest.clone();
                Ok(Some(hex::encode(digest.finalize())))
            }
        }
    }
}

/// What comes in, counted and summed.
#[derive(Clone)]
struct Input {
    raw: Arc<Mutex<Raw>>,
    came: Arc<AtomicU64>,
}

struct Raw {
    from: Box<dyn Read + Send>,
    digest: Sha256,
}

impl Input {
    fn new(from: Box<dyn Read + Send>) -> Input {
        Input {
            raw: Arc::new(Mutex::new(Raw {
                from,
                digest: Sha256::new(),
            })),
            came: Arc::default(),
        }
    }
}

impl Read for Input {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut raw = lock(&self.raw);
        let read = raw.from.read(into)?;
        raw.digest.update(&into[..read]);
        self.came.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// The first bytes of something.
fn beginning(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; BEGINNING];
    let length = fill(from, &mut bytes)?;
    bytes.truncate(length);
    Ok(bytes)
}

/// Reads until there is no more room, or no more to read.
fn fill(from: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < into.len() {
        match from.read(&mut into[got..]) {
            Ok(0) => break,
            Ok(read) => got += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

fn packing(beginning: &[u8]) -> Option<Packing> {
    let known = PACKED
        .iter()
        .find(|(magic, _)| beginning.starts_with(magic));
    known.map(|(_, packing)| *packing)
}
