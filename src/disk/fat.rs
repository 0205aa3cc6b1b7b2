//! FAT, which firmware boots from.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use fatfs::{DateTime, Dir, FileSystem, FsOptions};

use super::device::Device;
use super::tree::{Attribute, FileTree, Inode, Kind, Metadata, Node, Nodes};

/// Most entries of a directory. A chain of clusters can be a ring.
const MOST_ENTRIES: usize = 65536;

/// Modes that Linux gives to what is on a FAT, which has none (`fmask` and `dmask` of root's umask).
const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_755;

/// A file system.
#[allow(missing_debug_implementations)] // fatfs has none
pub struct Fat(FileSystem<Reader>);

impl Fat {
    /// The file system on a device.
    ///
    /// # Errors
    /// There is none, or it is broken.
    pub fn open(device: Device) -> Result<Fat> {
        let reader = Reader { device, at: 0 };
        let system = FileSystem::new(reader, FsOptions::new().update_accessed_date(false));
        Ok(Fat(system.context("opening a FAT")?))
    }

    fn dir(&self, path: &str) -> io::Result<Dir<'_, Reader>> {
        let root = self.0.root_dir();
        if path.is_empty() {
            return Ok(root);
        }
        root.open_dir(path)
    }
}

/// A path as the library takes it.
fn relative(path: &Path) -> Result<&str> {
    let path = path.strip_prefix("/").context("a path is not absolute")?;
    path.to_str().context("FAT has no such names")
}

/// A time without a zone, in seconds since 1970 as if it were UTC. Days by the civil calendar, whose
/// years begin in March (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn seconds(time: DateTime) -> i64 {
    let (date, time) = (time.date, time.time);
    let (month, day) = (i64::from(date.month), i64::from(date.day));
    let year = i64::from(date.year) - i64::from(month <= 2);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719_468;
    let (hour, min, sec) = (
        i64::from(time.hour),
        i64::from(time.min),
        i64::from(time.sec),
    );
    days * 86_400 + hour * 3600 + min * 60 + sec
}

impl Nodes for Fat {
    fn root(&mut self) -> Result<Node> {
        Ok(Node::Path)
    }

    fn entries(&mut self, directory: &Path, _node: Node) -> Result<Vec<(PathBuf, Node)>> {
        let names = self.read_dir(directory)?.into_iter();
        Ok(names.map(|name| (name, Node::Path)).collect())
    }

    fn inode(&mut self, path: &Path, _node: Node) -> Result<Inode> {
        let found = self.metadata(path)?.context("there is no such file")?;
        let kind = match found.kind {
            Kind::Directory => DIRECTORY,
            _ => FILE,
        };
        Ok(Inode {
            mode: kind & !0o7777 | found.mode,
            uid: found.uid,
            gid: found.gid,
            size: found.size,
            modified: (found.modified, 0),
            links: 1,
            allocated: found.size,
            device: (0, 0),
            attributes: Vec::new(),
            target: None,
        })
    }

    fn data(&mut self, _node: Node, size: u64) -> Result<Option<Vec<Range<u64>>>> {
        // It has no holes.
        Ok(Some(std::iter::once(0..size).collect()))
    }

    fn read_node(&mut self, path: &Path, _node: Node, at: u64, into: &mut [u8]) -> Result<usize> {
        self.read(path, at, into)
    }
}

impl FileTree for Fat {
    fn was_unmounted(&mut self) -> Result<bool> {
        // It has no log.
        Ok(true)
    }

    fn kind(&mut self, path: &Path) -> Result<Option<(Kind, u64)>> {
        let metadata = self.metadata(path)?;
        Ok(metadata.map(|metadata| (metadata.kind, metadata.size)))
    }

    fn metadata(&mut self, path: &Path) -> Result<Option<Metadata>> {
        let path = relative(path)?;
        if path.is_empty() {
            return Ok(Some(Metadata::new(DIRECTORY, (0, 0), 0, 0)));
        }
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let Ok(parent) = self.dir(parent) else {
            return Ok(None);
        };
        for entry in parent.iter().take(MOST_ENTRIES) {
            let entry = entry?;
            // Names of both forms count, in upper and lower case.
            let is = |other: String| other.to_lowercase() == name.to_lowercase();
            if is(entry.file_name()) || is(entry.short_file_name()) {
                let mode = if entry.is_dir() { DIRECTORY } else { FILE };
                let modified = seconds(entry.modified());
                return Ok(Some(Metadata::new(mode, (0, 0), entry.len(), modified)));
            }
        }
        Ok(None)
    }

    fn read(&mut self, path: &Path, at: u64, into: &mut [u8]) -> Result<usize> {
        let mut file = self.0.root_dir().open_file(relative(path)?)?;
        // A place beyond the end becomes the end.
        if file.seek(SeekFrom::Start(at))? < at {
            return Ok(0);
        }
        let mut length = 0;
        while length < into.len() {
            let more = file.read(&mut into[length..])?;
            if more == 0 {
                break;
            }
            length += more;
        }
        Ok(length)
    }

    fn read_dir(&mut self, path: &Path) -> Result<Vec<PathBuf>> {
        let mut names = Vec::new();
        for entry in self.dir(relative(path)?)?.iter() {
            let name = entry?.file_name();
            if name != "." && name != ".." {
                names.push(PathBuf::from(name));
            }
            ensure!(names.len() < MOST_ENTRIES, "a directory is too large");
        }
        Ok(names)
    }

    fn read_link(&mut self, _path: &Path) -> Result<PathBuf> {
        bail!("FAT has no links")
    }

    fn attributes(&mut self, _path: &Path) -> Result<Vec<Attribute>> {
        Ok(Vec::new())
    }
}

/// A device as the library reads it.
struct Reader {
    device: Device,
    at: u64,
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let room = self.device.size().saturating_sub(self.at);
        let length = room.min(into.len() as u64) as usize;
        let read = self.device.read(self.at, &mut into[..length]);
        read.map_err(io::Error::other)?;
        self.at += length as u64;
        Ok(length)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.device.size().checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| io::Error::other("beyond the device"))?;
        Ok(self.at)
    }
}

/// The library wants it; nothing here is ever written.
impl Write for Reader {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
