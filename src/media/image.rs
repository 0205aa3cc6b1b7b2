//! The image as it lies on a medium: packed, so that it goes quickly over a network and off a disc; read
//! whole once, so that it is known how large its disk is and that it can be unpacked.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::disk::bytes::is_zero;
use crate::error::{Classify, Kind, fail};
use crate::formats::packed::{Codec, Packed};
use crate::formats::pool::Pool;
use crate::hex;
use crate::metal::HEAD;
use crate::metal::papers::Paper;
use crate::metal::refusal;
use crate::metal::source::Source;
use crate::metal::table::Table;
use crate::ui::event::{Event, Reporter, Transfer};

/// Bytes that are read at a time.
const PIECE: usize = 4 << 20;

/// How often it is told how far it is.
const TOLD: Duration = Duration::from_millis(250);

/// Its name on a medium, if it is packed here.
const PACKED: &str = "image.raw.zst";

/// Its name there, if it came packed and its own name has other characters than these.
const UNNAMED: &str = "image.raw.packed";

/// An image that is ready.
#[derive(Debug)]
pub struct Image {
    /// Its file.
    pub at: PathBuf,
    /// The name that the file is to have on the medium.
    pub name: String,
    /// The SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// The size of the disk in it, in bytes.
    pub size: u64,
    /// Bytes of the sectors in which its partition table counts, if it has one.
    pub sector: Option<u64>,
}

/// What is asked of the image, and where it is.
#[derive(Debug)]
pub struct Reading<'a> {
    /// The digest that its file must have, if it is a stream.
    pub expected: Option<&'a Paper>,
    /// Whether its last partition must be one that can grow.
    pub grow: bool,
    /// Its file.
    pub original: &'a Path,
    /// Where it is packed.
    pub work: &'a Path,
}

/// Reads an image, and packs it unless it is packed, until it is told to `stop`.
///
/// # Errors
/// Input: it cannot be read, is cut short, or has another digest. Host: there is no room. Interrupted.
pub fn prepare(
    mut source: Source,
    reading: &Reading<'_>,
    stop: &AtomicBool,
    reporter: &Reporter,
) -> Result<Image> {
    let Reading {
        expected,
        grow,
        original,
        work,
    } = *reading;
    let name = source.name.clone();
    let is_packed = source.disk().is_none();
    let total = source.size;
    let mut head = vec![0; HEAD];
    let length = source.next(&mut head)?;
    head.truncate(length);
    if head.is_empty() {
        fail!(Kind::Input, "{name} is empty: there is nothing to write");
    }
    let table = Table::of(&head).with_context(|| format!("looking at {name}"));
    let table = table.kind(Kind::Input)?;
    let sector = table.sector();
    if grow {
        // What cannot be grown is to be said now, and not at the machine.
        let fitted = table.fit(head.clone(), u64::MAX >> 1, true);
        fitted.kind(Kind::Input)?;
    }
    let mut packing = match is_packed {
        true => None,
        false => Some(Packing::begin(&work.join(PACKED)).kind(Kind::Host)?),
    };
    let begun = Instant::now();
    let (mut size, mut told): (u64, Option<Instant>) = (0, None);
    let mut piece = head;
    while !piece.is_empty() {
        if stop.load(Ordering::Relaxed) {
            fail!(Kind::Interrupted, "interrupted: nothing was written");
        }
        size += piece.len() as u64;
        if let Some(packing) = &mut packing {
            packing.put(&piece).kind(Kind::Host)?;
        }
        if told.is_none_or(|told| told.elapsed() >= TOLD) {
            told = Some(Instant::now());
            let doing = "reading the image";
            let transfer = Transfer::new(&name, doing, size, total, begun.elapsed());
            reporter.event(Event::Transfer(transfer));
        }
        piece.resize(PIECE, 0);
        let length = source.next(&mut piece)?;
        piece.truncate(length);
    }
    if let Some(needed) = table.disk_size().filter(|needed| size < *needed) {
        return Err(refusal::cut_short(&name, size, needed));
    }
    let (at, on_medium, sha256) = match packing {
        Some(packing) => {
            let sha256 = packing.end().kind(Kind::Host)?;
            (work.join(PACKED), PACKED.to_owned(), sha256)
        }
        None => {
            let digest = source.digest()?.unwrap_or_default();
            if let Some(paper) = expected.filter(|paper| paper.sha256 != digest) {
                return Err(refusal::differs(&name, &digest, paper, Kind::Input));
            }
            (original.to_owned(), name_of(original), digest)
        }
    };
    Ok(Image {
        at,
        name: on_medium,
        sha256,
        size,
        sector,
    })
}

/// The name on the medium of a file that is packed: its own, if every file system and address takes it.
fn name_of(original: &Path) -> String {
    let name = original.file_name().and_then(|name| name.to_str());
    let plain = |name: &&str| {
        !name.starts_with(['.', '-'])
            && name.len() <= 64
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    name.filter(plain).unwrap_or(UNNAMED).to_owned()
}

/// An image that is being packed.
struct Packing {
    packed: Packed<Summed<BufWriter<File>>>,
    /// How many zeroes came since it was last written to.
    zeroes: u64,
}

impl Packing {
    fn begin(at: &Path) -> Result<Packing> {
        let file = File::options().write(true).create_new(true).open(at);
        let file = file.with_context(|| format!("creating {}", at.display()))?;
        let out = Summed {
            out: BufWriter::new(file),
            digest: Sha256::new(),
        };
        Ok(Packing {
            packed: Packed::begin(out, Codec::Zstd, &Pool::start())?,
            zeroes: 0,
        })
    }

    fn put(&mut self, piece: &[u8]) -> Result<()> {
        if is_zero(piece) {
            self.zeroes += piece.len() as u64;
            return Ok(());
        }
        self.put_zeroes()?;
        Ok(self.packed.write_all(piece)?)
    }

    /// All that are due: a block that is zero throughout is packed once.
    fn put_zeroes(&mut self) -> Result<()> {
        self.packed.write_zeroes(mem::take(&mut self.zeroes))
    }

    fn end(mut self) -> Result<String> {
        self.put_zeroes()?;
        self.packed.end()?;
        Ok(hex::encode(self.packed.out().digest.clone().finalize()))
    }
}

/// What is written through it, summed.
struct Summed<W> {
    out: W,
    digest: Sha256,
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.digest.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_every_medium_takes() {
        assert_eq!(name_of(Path::new("/a/web-9.4.raw.xz")), "web-9.4.raw.xz");
        for name in ["/a/b c.xz", "/a/-x", "/a/ä.gz", "/"] {
            assert_eq!(name_of(Path::new(name)), UNNAMED);
        }
    }
}
