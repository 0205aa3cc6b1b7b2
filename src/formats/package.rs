//! What importers take whole: a disk and its description in an archive.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use super::hardware::Hardware;
use super::ovf::Disk;
use super::tarball::Tarball;

/// A disk in its file, to be packed.
#[derive(Debug)]
pub struct Part {
    /// The file.
    pub file: File,
    /// The size that the guest sees, in bytes.
    pub capacity: u64,
    /// How much of it holds data, in bytes.
    pub populated: u64,
    /// The disk's UUID.
    pub uuid: String,
}

/// What is packed, and for whom.
#[derive(Debug)]
pub struct Package<'a> {
    /// The image's name.
    pub name: &'a str,
    /// The machine that it is for.
    pub hardware: &'a Hardware,
    /// The disk.
    pub part: &'a Part,
    /// The machine's other disks, for what holds several.
    pub more: &'a [Part],
    /// Set when nobody waits for it any more.
    pub stop: &'a AtomicBool,
}

/// A file that is read from its beginning until nobody waits for it any more.
pub struct Content<'a> {
    file: BufReader<File>,
    stop: &'a AtomicBool,
}

impl fmt::Debug for Content<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Content")
    }
}

impl Read for Content<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.stop.load(Ordering::Relaxed) {
            true => Err(io::Error::other("interrupted")),
            false => self.file.read(into),
        }
    }
}

impl Package<'_> {
    /// All disks, in order.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        std::iter::once(self.part).chain(self.more)
    }

    /// The disk's file and its length.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn content(&self) -> Result<(u64, Content<'_>)> {
        self.content_of(self.part)
    }

    /// The file of one of the disks and its length.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn content_of(&self, part: &Part) -> Result<(u64, Content<'_>)> {
        let mut file = part.file.try_clone()?;
        file.rewind().context("reading a disk to be packed")?;
        let size = file.metadata()?.len();
        let file = BufReader::with_capacity(1 << 20, file);
        let stop = self.stop;
        Ok((size, Content { file, stop }))
    }

    /// What a description says of the disk, whose file of `size` bytes is called `file`.
    pub fn disk<'b>(&'b self, file: &'b str, size: u64) -> Disk<'b> {
        self.part.described(file, size)
    }
}

impl Part {
    /// What a description says of it, whose file of `size` bytes is called `file`.
    pub fn described<'b>(&'b self, file: &'b str, size: u64) -> Disk<'b> {
        Disk {
            file,
            size,
            capacity: self.capacity,
            populated: self.populated,
            uuid: &self.uuid,
        }
    }
}

/// Adds a small file to an archive.
///
/// # Errors
/// It cannot be written.
pub fn add<W: Write>(tarball: &mut Tarball<W>, name: &str, text: &str) -> Result<()> {
    tarball.file(name, text.len() as u64, &mut text.as_bytes())
}
