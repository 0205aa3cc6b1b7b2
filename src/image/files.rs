//! All files of the system in an image, streamed from the process that reads disks ([`super::reader`]) to
//! the one that makes archives of them: neither holds a file, or the image, in memory.
//!
//! The stream has one message for what comes, then one for each file, which its data follows, then one that
//! says that this was all. Each message is its length (32 bits, least significant byte first) and JSON.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};

use super::reader::{self, Image, Question};
use crate::disk::device::Device;
use crate::disk::system::System;
use crate::disk::tree::{self, Inode};
use crate::disk::volumes::Volumes;
use crate::disk::walk::{Walk, Walked};
use crate::error::{Classify, Kind};
use crate::process;

/// How much of a file is read at a time, in bytes: whole extents of a packed Btrfs.
const CHUNK: usize = 1 << 20;

/// Most bytes that the files of an image may have by their own words, holes among them: 1 PiB. Some
/// readers of archives know no holes.
const MOST_APPARENT: u64 = 1 << 50;

/// How many times the size of the disk its files may have in data: packed file systems and files that share
/// their blocks have some, files made to fill a disk have more.
const MOST_TIMES: u64 = 16;

/// Longest message, in bytes: a file with all of the attributes and pieces that there can be.
const LONGEST_MESSAGE: usize = 16 << 20;

/// How long the process that reads may be silent: longer than a slow disk is.
const PATIENCE: Duration = Duration::from_secs(300);

/// How often the other end is asked whether anybody waits for it any more.
const INTERVAL: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 200_000_000,
};

/// Bytes of names, links and values.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Bytes(#[serde(with = "super::base64")] pub Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

impl Bytes {
    fn of(path: PathBuf) -> Bytes {
        use std::os::unix::ffi::OsStringExt;
        Bytes(path.into_os_string().into_vec())
    }

    /// The path that they are.
    pub fn path(&self) -> &Path {
        use std::os::unix::ffi::OsStrExt;
        Path::new(std::ffi::OsStr::from_bytes(&self.0))
    }
}

/// A file of the system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its absolute path.
    pub path: Bytes,
    /// Its type and permissions, as stat(2) has them.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// When its content changed: seconds since 1970, and nanoseconds.
    pub modified: (i64, u32),
    /// Of a regular file: its bytes.
    pub size: u64,
    /// Of a regular file: where it has data, in order; all else are zeroes.
    pub data: Vec<Range<u64>>,
    /// Of a device file: its numbers.
    pub device: (u32, u32),
    /// Its extended attributes, ACLs as Linux shows them among them.
    pub attributes: Vec<(String, Bytes)>,
    /// Where it leads, if it is a symbolic link.
    pub target: Option<Bytes>,
    /// The other name that came before, of which this is one more.
    pub link_to: Option<Bytes>,
}

impl Entry {
    /// What kind of file it is.
    pub fn kind(&self) -> tree::Kind {
        tree::Kind::of(self.mode)
    }

    /// How many bytes of data follow it.
    pub fn stored(&self) -> u64 {
        self.data.iter().map(|range| range.end - range.start).sum()
    }

    /// Whether parts of it are holes.
    pub fn is_sparse(&self) -> bool {
        self.stored() != self.size
    }
}

/// What comes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beginning {
    /// Where file systems are mounted, and of which kind they are; the root first.
    pub mounts: Vec<(PathBuf, String)>,
    /// Where some are that could not be read and may be missing, and why.
    pub missing: Vec<(PathBuf, String)>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Message {
    Begin(Beginning),
    File(Entry),
    /// How many files there were.
    End(u64),
}

/// Writes all files of the system on a disk. Names of one file of which `apart`, at most 64 patterns, has one
/// and not the other are files of their own: there are archives that have one of them only.
///
/// # Errors
/// Not everything can be read; it cannot be written.
pub(super) fn write(disks: &[Device], apart: &[String], out: &mut dyn Write) -> Result<()> {
    let mut system = System::find(Volumes::find(disks)?)?;
    let mounts = system.mounts.iter().map(|mount| {
        let contents = system.volumes.all[mount.volume].contents.as_ref();
        let kind = contents.map_or(String::new(), |contents| contents.kind.clone());
        (mount.at.clone(), kind)
    });
    let beginning = Beginning {
        mounts: mounts.collect(),
        missing: system.missing(),
    };
    send(out, &Message::Begin(beginning))?;
    let patterns = apart.to_vec();
    let mut walk = Walk::begin(&mut system, move |path| sides(&patterns, path))?;
    let mut buffer = vec![0; CHUNK];
    let (mut files, mut apparent, mut stored) = (0, 0_u64, 0_u64);
    let size = disks.iter().map(Device::size).fold(0, u64::saturating_add);
    let most = size.saturating_mul(MOST_TIMES);
    while let Some(file) = walk.next_file()? {
        let mut data = Vec::new();
        if tree::Kind::of(file.inode.mode) == tree::Kind::File && file.link_to.is_none() {
            apparent = apparent.saturating_add(file.inode.size);
            ensure!(
                apparent <= MOST_APPARENT,
                "the files of the image have more than {MOST_APPARENT} bytes, up to {}",
                file.path.display()
            );
            data = find_data(&mut walk, &file)?;
        }
        let entry = entry_of(&file, data);
        stored += entry.stored();
        ensure!(
            stored <= most,
            "the files of the image have more than {MOST_TIMES} times the bytes of its disk"
        );
        files += 1;
        let pieces = entry.data.clone();
        send(out, &Message::File(entry))?;
        for range in pieces {
            let mut at = range.start;
            while at < range.end {
                let most = (range.end - at).min(CHUNK as u64) as usize;
                let length = walk.read(&file, at, &mut buffer[..most])?;
                ensure!(length == most, "{} ends too early", file.path.display());
                out.write_all(&buffer[..most])?;
                at += most as u64;
            }
        }
    }
    send(out, &Message::End(files))?;
    Ok(out.flush()?)
}

fn send(out: &mut dyn Write, message: &Message) -> Result<()> {
    let text = serde_json::to_vec(message)?;
    ensure!(
        text.len() <= LONGEST_MESSAGE,
        "a file has too many attributes"
    );
    out.write_all(&(text.len() as u32).to_le_bytes())?;
    Ok(out.write_all(&text)?)
}

fn entry_of(file: &Walked, data: Vec<Range<u64>>) -> Entry {
    let inode: &Inode = &file.inode;
    let attributes = inode.attributes.iter();
    let attributes = attributes.map(|(name, value)| (name.clone(), Bytes(value.clone())));
    Entry {
        path: Bytes::of(file.path.clone()),
        mode: inode.mode,
        uid: inode.uid,
        gid: inode.gid,
        modified: inode.modified,
        size: data.last().map_or(0, |_| inode.size),
        data,
        device: inode.device,
        attributes: attributes.collect(),
        target: inode.target.clone().map(Bytes::of),
        link_to: file.link_to.clone().map(Bytes::of),
    }
}

/// Where a file has data. Only one that takes less than it is long can have holes.
fn find_data(walk: &mut Walk<'_>, file: &Walked) -> Result<Vec<Range<u64>>> {
    let size = file.inode.size;
    let piece = |start: u64| std::iter::once(start..size).collect();
    if size == 0 || file.inode.allocated >= size {
        return Ok(piece(0));
    }
    match walk.data(file)? {
        // A file of nothing but a hole is one that ends there.
        Some(data) if data.is_empty() => Ok(piece(size)),
        Some(data) => Ok(data),
        // In too many pieces: written whole.
        None => Ok(piece(0)),
    }
}

/// Whether a path is one of a pattern, or below it: a path whose names may be `*`, for any one name.
pub fn is_of(pattern: &str, path: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let mut names = path.as_os_str().as_bytes().split(|byte| *byte == b'/');
    let mut wanted = pattern.as_bytes().split(|byte| *byte == b'/');
    wanted.all(|wanted| match names.next() {
        Some(name) => name == wanted || wanted == b"*" && !name.is_empty(),
        None => false,
    })
}

/// Of which patterns a path is, a bit for each.
fn sides(patterns: &[String], path: &Path) -> u64 {
    let is_of = |all: u64, (index, pattern): (usize, &String)| match is_of(pattern, path) {
        true => all | 1_u64.rotate_left(index as u32),
        false => all,
    };
    patterns.iter().enumerate().fold(0, is_of)
}

/// The stream ended before all was said; why, its writer has said.
#[derive(Debug, thiserror::Error)]
#[error("the list of the image's files ended too early")]
struct EndedEarly;

/// The files of an image, as they come.
pub struct Files<'a> {
    stream: BufReader<Patient<'a>>,
    /// What comes.
    pub beginning: Beginning,
    seen: u64,
}

impl fmt::Debug for Files<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Files({} seen)", self.seen)
    }
}

impl Files<'_> {
    fn begin(stream: File, stop: &AtomicBool) -> Result<Files<'_>> {
        let patient = Patient { stream, stop };
        let mut files = Files {
            stream: BufReader::with_capacity(CHUNK, patient),
            beginning: Beginning {
                mounts: Vec::new(),
                missing: Vec::new(),
            },
            seen: 0,
        };
        match files.receive()? {
            Message::Begin(beginning) => files.beginning = beginning,
            _ => bail!(EndedEarly),
        }
        Ok(files)
    }

    fn receive(&mut self) -> Result<Message> {
        let mut length = [0; 4];
        self.fill(&mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        ensure!(length <= LONGEST_MESSAGE, "a message is too long");
        let mut text = vec![0; length];
        self.fill(&mut text)?;
        serde_json::from_slice(&text).context("reading the list of the image's files")
    }

    fn fill(&mut self, into: &mut [u8]) -> Result<()> {
        self.stream.read_exact(into).map_err(|error| {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                return EndedEarly.into();
            }
            anyhow::Error::from(error)
        })
    }

    /// The next file, whose [data](Files::data) has to be taken then; none behind the last.
    ///
    /// # Errors
    /// The stream ended early.
    pub fn next_file(&mut self) -> Result<Option<Entry>> {
        match self.receive()? {
            Message::File(entry) => {
                self.seen += 1;
                Ok(Some(entry))
            }
            Message::End(files) if files == self.seen => Ok(None),
            _ => bail!(EndedEarly),
        }
    }

    /// Gives each some of the data of a file.
    ///
    /// # Errors
    /// The stream ended early; theirs.
    pub fn data(&mut self, entry: &Entry, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut left = entry.stored();
        let mut buffer = vec![0; left.min(CHUNK as u64) as usize];
        while left > 0 {
            let some = left.min(CHUNK as u64) as usize;
            self.fill(&mut buffer[..some])?;
            each(&buffer[..some])?;
            left -= some as u64;
        }
        Ok(())
    }
}

/// A pipe that is read until nobody waits for it any more, or the other end hangs.
struct Patient<'a> {
    stream: File,
    stop: &'a AtomicBool,
}

impl Read for Patient<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(io::Error::other("interrupted"));
            }
            let mut ready = [PollFd::new(&self.stream, PollFlags::IN)];
            if poll(&mut ready, Some(&INTERVAL))? > 0 {
                return self.stream.read(into);
            }
            if Instant::now() > deadline {
                let silent = PATIENCE.as_secs();
                return Err(io::Error::other(format!("nothing came for {silent} s")));
            }
        }
    }
}

/// Has `program`, [`reader::OWN_PROGRAM`], read all files of the system on the disks of a machine, plain or
/// qcow2, that no guest uses, and gives them to `take`. For `apart` see `write`.
///
/// # Errors
/// Not all of it can be read; those of `take`.
pub async fn read<T: Send + 'static>(
    program: &Path,
    disks: &[File],
    apart: Vec<String>,
    take: impl FnOnce(&mut Files<'_>) -> Result<T> + Send + 'static,
) -> Result<T> {
    let mut command = reader::command(program, &Image::all(disks), &Question::Files(apart))?;
    let taken = process::stream(&mut command, |stream, stop| {
        let mut files = Files::begin(stream, stop)?;
        take(&mut files)
    });
    let (taken, ended) = taken.await?;
    // What it is that cannot be read, is the matter of whoever named the image.
    let ended = ended.context("reading the image's files").kind(Kind::Input);
    match taken {
        Ok(taken) => ended.map(|()| taken),
        // Why it did, the process has said.
        Err(error) if error.is::<EndedEarly>() => ended.and(Err(error)),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_what_is_below_them() {
        for (pattern, path, expected) in [
            ("/boot", "/boot", true),
            ("/boot", "/boot/x/y", true),
            ("/boot", "/bootx", false),
            ("/boot/*", "/boot", false),
            ("/boot/*", "/boot/x", true),
            ("/a/*/c", "/a/b/c/d", true),
            ("/a/*/c", "/a/b/d", false),
            ("/a/*/c", "/a/c", false),
        ] {
            assert_eq!(
                is_of(pattern, Path::new(path)),
                expected,
                "{pattern} {path}"
            );
        }
    }
}
