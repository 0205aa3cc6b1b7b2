//! The disk that an image is written to: looked at, claimed for this alone, and known by its descriptor.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::Context;
use rustix::fs::{Advice, FallocateFlags, Mode, OFlags};
use rustix::io::Errno;

use super::HEAD;
use super::mark;
use super::usage::BlockDevice;
use crate::error::{Classify, Kind, fail, failed};

/// Bytes that are zeroed by one call: seconds on a slow disk, after which a signal is heard.
const MOST_ZEROED: u64 = 256 << 20;

/// Bytes of zeroes below which writing them is no slower than asking the disk.
const LEAST_ZEROED: u64 = 1 << 20;

/// What O_DIRECT asks of places, lengths and memory: the largest sectors and pages.
const ALIGNMENT: usize = 4096;

/// A disk as it was found, which is only read.
#[derive(Debug)]
pub struct Candidate {
    /// Its path, links followed.
    pub path: PathBuf,
    /// The open file.
    pub file: File,
    /// Its size, in bytes.
    pub size: u64,
    /// Bytes of its sectors; of a file none.
    pub sector: Option<u64>,
    identity: Identity,
}

/// What a disk is, whatever its path comes to mean.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    /// Its number, or a file's device and inode.
    numbers: (u64, u64),
    /// Counted up by the kernel for each disk that is attached (Linux 5.15).
    sequence: Option<String>,
}

impl Candidate {
    /// Looks at the disk at a path: a block device, or with `to_file` a regular file.
    ///
    /// # Errors
    /// Input: it is not there, none of these, or in use: by whom, and how to end that.
    pub fn look(path: &Path, to_file: bool) -> anyhow::Result<Candidate> {
        let opening = || format!("opening {}", path.display());
        // Links, as below /dev/disk/by-id, are followed once, and what they lead to is shown.
        let path = fs::canonicalize(path)
            .with_context(opening)
            .kind(Kind::Input)?;
        let kind = fs::metadata(&path)
            .with_context(opening)
            .kind(Kind::Input)?;
        let shown = path.display();
        if kind.file_type().is_file() && !to_file {
            fail!(
                Kind::Input,
                "{shown} is a file and no block device: name a disk such as /dev/sdb, or say --to-file if the file is meant"
            );
        }
        if kind.file_type().is_block_device() && to_file {
            fail!(
                Kind::Input,
                "{shown} is a block device, and --to-file is for files: leave it out"
            );
        }
        if !kind.file_type().is_file() && !kind.file_type().is_block_device() {
            fail!(
                Kind::Input,
                "{shown} is no block device: name a disk such as /dev/sdb (`lsblk -d` lists them)"
            );
        }
        if !to_file {
            check_unused(&path, kind.rdev())?;
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(
            rustix::fs::open(&path, flags, Mode::empty())
                .with_context(opening)
                .kind(Kind::Input)?,
        );
        let identity = identity(&file, to_file).with_context(opening)?;
        let (size, sector) = measure(&file, to_file)
            .with_context(|| format!("asking for the size of {shown}"))
            .kind(Kind::Host)?;
        if size == 0 {
            fail!(
                Kind::Input,
                "{shown} has no size: put a medium into it, or give a file its size (`truncate -s`)"
            );
        }
        Ok(Candidate {
            path,
            file,
            size,
            sector,
            identity,
        })
    }

    /// The block device that it is, if it is one.
    pub fn device(&self) -> Option<BlockDevice> {
        let device = BlockDevice::of(self.identity.numbers.0);
        self.sector.map(|_| device)
    }

    /// Whether an open file is the same.
    pub fn is(&self, file: &File) -> io::Result<bool> {
        let metadata = file.metadata()?;
        let numbers = match metadata.file_type().is_block_device() {
            true => (metadata.rdev(), 0),
            false => (metadata.dev(), metadata.ino()),
        };
        Ok(numbers == self.identity.numbers)
    }

    /// Opens it to be written, for this process alone, and looks once more whether it is what it was and
    /// nobody uses it.
    ///
    /// # Errors
    /// Input: it is not, or somebody does. Host: it cannot be opened.
    pub fn claim(self) -> anyhow::Result<Target> {
        let (path, to_file) = (self.path, self.sector.is_none());
        let shown = path.display().to_string();
        let mut flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        // Of a block device: nobody else holds it, and nobody can mount it or its partitions from now on.
        flags.set(OFlags::EXCL, !to_file);
        let file = match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::BUSY) => fail!(
                Kind::Input,
                "{shown} is in use, perhaps mounted in another namespace: `lsblk {shown}` and `fuser -v {shown}` tell by whom"
            ),
            Err(Errno::ROFS | Errno::ACCESS | Errno::PERM) => fail!(
                Kind::Input,
                "{shown} may not be written: become root, or take its write protection off"
            ),
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("opening {shown} to write"))
                    .kind(Kind::Host);
            }
        };
        let asked = || format!("looking at {shown}");
        let identity = identity(&file, to_file).with_context(asked)?;
        let (size, _) = measure(&file, to_file)
            .with_context(asked)
            .kind(Kind::Host)?;
        if identity != self.identity || size != self.size {
            fail!(
                Kind::Input,
                "{shown} has become another disk meanwhile: look at it, and begin again"
            );
        }
        if !to_file {
            check_unused(&path, identity.numbers.0)?;
        } else {
            file.try_lock().map_err(|_| {
                failed!(
                    Kind::Input,
                    "{shown} is locked: another program writes it; wait for that"
                )
            })?;
        }
        Ok(Target {
            name: shown,
            size,
            sector: self.sector,
            file,
            zeroing: AtomicU8::new(0),
        })
    }
}

fn identity(file: &File, to_file: bool) -> anyhow::Result<Identity> {
    let metadata = file.metadata().kind(Kind::Host)?;
    let kind = metadata.file_type();
    if kind.is_file() != to_file || kind.is_block_device() == to_file {
        fail!(
            Kind::Input,
            "it has become something else meanwhile: look at it, and begin again"
        );
    }
    Ok(match to_file {
        true => Identity {
            numbers: (metadata.dev(), metadata.ino()),
            sequence: None,
        },
        false => Identity {
            numbers: (metadata.rdev(), 0),
            sequence: BlockDevice::of(metadata.rdev()).says("diskseq"),
        },
    })
}

fn check_unused(path: &Path, number: u64) -> anyhow::Result<()> {
    let device = BlockDevice::of(number);
    if let Some(obstacle) = device.obstacle().kind(Kind::Host)? {
        fail!(Kind::Input, "{obstacle}");
    }
    if device.says("ro").is_some_and(|ro| ro != "0") {
        let path = path.display();
        fail!(
            Kind::Input,
            "{path} is read-only: take its write protection off (`blockdev --setrw {path}`), or name another disk"
        );
    }
    Ok(())
}

/// Size and bytes of a sector.
fn measure(mut file: &File, to_file: bool) -> io::Result<(u64, Option<u64>)> {
    let size = file.seek(SeekFrom::End(0))?;
    let sector = match to_file {
        true => None,
        false => Some(u64::from(rustix::fs::ioctl_blksszget(file)?)),
    };
    Ok((size, sector))
}

/// A disk that is open to be written, by nobody else.
#[derive(Debug)]
pub struct Target {
    /// Its path, for people.
    pub name: String,
    /// Its size, in bytes.
    pub size: u64,
    /// Bytes of its sectors; of a file none.
    pub sector: Option<u64>,
    file: File,
    /// How many of [`ZEROING`] it cannot do.
    zeroing: AtomicU8,
}

/// How ranges are zeroed without writing each byte. Both promise zeroes, as discarding does not: the kernel
/// refuses the first where the disk does not promise them (fallocate(2) of a block device, since Linux 4.9;
/// BLKZEROOUT is the second).
const ZEROING: [FallocateFlags; 2] = [
    FallocateFlags::PUNCH_HOLE.union(FallocateFlags::KEEP_SIZE),
    FallocateFlags::ZERO_RANGE.union(FallocateFlags::KEEP_SIZE),
];

impl Target {
    /// Writes bytes at a place.
    ///
    /// # Errors
    /// The disk does not take them.
    pub fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, at)
    }

    /// Makes a range zero, whatever was there; with holes where the disk can. `pause` is asked between calls
    /// that take long, and may end it.
    ///
    /// # Errors
    /// The disk does not take it, or those of `pause`.
    pub fn zero(
        &self,
        mut at: u64,
        mut length: u64,
        mut pause: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        while length > 0 {
            pause()?;
            let now = length.min(MOST_ZEROED);
            if now < LEAST_ZEROED || !self.zero_by_asking(at, now) {
                self.write_zeroes(at, now)?;
            }
            (at, length) = (at + now, length - now);
        }
        Ok(())
    }

    fn zero_by_asking(&self, at: u64, length: u64) -> bool {
        loop {
            let way = self.zeroing.load(Ordering::Relaxed);
            let Some(flags) = ZEROING.get(usize::from(way)) else {
                return false;
            };
            match rustix::fs::fallocate(&self.file, *flags, at, length) {
                Ok(()) => return true,
                // Not aligned to the disk's sectors.
                Err(Errno::INVAL) => return false,
                Err(_) => self.zeroing.store(way + 1, Ordering::Relaxed),
            }
        }
    }

    fn write_zeroes(&self, mut at: u64, mut length: u64) -> io::Result<()> {
        let zeroes = vec![0; HEAD.min(length as usize)];
        while length > 0 {
            let now = length.min(zeroes.len() as u64);
            self.write(at, &zeroes[..now as usize])?;
            (at, length) = (at + now, length - now);
        }
        Ok(())
    }

    /// Takes what was on the disk out of its beginning and end, where partition tables and RAIDs are looked
    /// for, and says in its first sector that it is not whole.
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn begin(&self) -> io::Result<()> {
        let part = (HEAD as u64).min(self.size);
        self.write_zeroes(self.size - part, part)?;
        self.mark()?;
        let after = mark::sector().len() as u64;
        self.write_zeroes(after, part.saturating_sub(after))?;
        self.sync()
    }

    /// Says in the first sector that the disk is not whole.
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn mark(&self) -> io::Result<()> {
        let sector = mark::sector();
        let most = sector.len().min(self.size as usize);
        self.write(0, &sector[..most])?;
        self.sync()
    }

    /// Waits until all that was written is on the disk.
    ///
    /// # Errors
    /// It does not get there.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Whether the disk gives back its own contents from now on, not what the kernel still remembers of
    /// them. Of some file systems' files the kernel can only be asked to forget.
    pub fn bypass_cache(&self, bypass: bool) -> bool {
        let _ = rustix::fs::fadvise(&self.file, 0, None, Advice::DontNeed);
        let Ok(mut flags) = rustix::fs::fcntl_getfl(&self.file) else {
            return false;
        };
        flags.set(OFlags::DIRECT, bypass);
        rustix::fs::fcntl_setfl(&self.file, flags).is_ok()
    }

    /// Reads a range back.
    ///
    /// # Errors
    /// The disk does not give it.
    pub fn read(&self, at: u64, into: &mut Aligned, length: usize) -> io::Result<()> {
        let first = at - at % ALIGNMENT as u64;
        let before = (at - first) as usize;
        let span = (before + length).next_multiple_of(ALIGNMENT);
        into.start = before;
        into.length = length;
        let buffer = into.room(span);
        let mut got = 0;
        while got < before + length {
            match self.file.read_at(&mut buffer[got..], first + got as u64) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => got += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Memory that O_DIRECT can read into.
#[derive(Debug, Default)]
pub struct Aligned {
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl Aligned {
    fn room(&mut self, length: usize) -> &mut [u8] {
        if self.memory.len() < length + ALIGNMENT {
            self.memory = vec![0; length + ALIGNMENT];
        }
        let skip = self.memory.as_ptr().align_offset(ALIGNMENT);
        &mut self.memory[skip..skip + length]
    }

    /// What was read last.
    pub fn bytes(&self) -> &[u8] {
        let skip = self.memory.as_ptr().align_offset(ALIGNMENT);
        &self.memory[skip + self.start..][..self.length]
    }
}
