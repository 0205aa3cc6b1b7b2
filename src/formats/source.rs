//! The disk that is converted: where its data is, and what it is.

use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, bail};
use rustix::fs::{SeekFrom, seek};

use crate::disk::qcow2;
use crate::machine::DiskFormat;

/// The unit in which data is told from holes, in bytes: a cluster of qcow2 and a grain of VMDK, as
/// all writers have them.
pub const UNIT: u64 = 64 << 10;

/// The largest disk that is read, in bytes: 64 TiB, more than any importer takes.
const LARGEST: u64 = 64 << 40;

/// The most pieces that the data of a disk may be in: what a disk of 128 GiB has in which every
/// other unit is a hole. Files made to exhaust memory have more.
const MOST_PIECES: usize = 1 << 20;

/// A disk that is read.
pub struct Source {
    reading: Reading,
    /// What the guest sees, in bytes.
    pub size: u64,
}

enum Reading {
    Raw(File),
    Qcow2(qcow2::Image),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source of {} bytes", self.size)
    }
}

impl Source {
    /// Opens a disk in a file of this format.
    ///
    /// # Errors
    /// The file is not of this format, stands on another file, or cannot be read.
    pub fn open(file: File, driver: DiskFormat) -> Result<Source> {
        let (reading, size) = match driver {
            DiskFormat::Raw => {
                let size = file.metadata().context("looking at the disk")?.len();
                (Reading::Raw(file), size)
            }
            DiskFormat::Qcow2 => {
                let image = qcow2::Image::open(file).context("reading a qcow2 image")?;
                let size = image.size;
                (Reading::Qcow2(image), size)
            }
            other => bail!("{} images are not read directly", other.name()),
        };
        if size > LARGEST {
            bail!("the disk has {size} bytes, and more than {LARGEST} are not read");
        }
        Ok(Source { reading, size })
    }

    /// Where the disk has data, in whole [units](UNIT) (but for its end), in order and apart. All
    /// else are zeroes.
    ///
    /// # Errors
    /// It cannot be read; it is in more pieces than any disk.
    pub fn data(&self) -> Result<Vec<Range<u64>>> {
        let mut all: Vec<Range<u64>> = Vec::new();
        let mut at = 0;
        while at < self.size {
            let (is_data, length) = self.piece(at).context("looking for the disk's data")?;
            let end = at.saturating_add(length).min(self.size);
            if is_data {
                let (start, end) = (at - at % UNIT, end.next_multiple_of(UNIT).min(self.size));
                match all.last_mut() {
                    Some(last) if last.end >= start => last.end = end.max(last.end),
                    _ => all.push(start..end),
                }
                if all.len() > MOST_PIECES {
                    bail!("the disk's data is in more than {MOST_PIECES} pieces");
                }
            }
            at = end;
        }
        Ok(all)
    }

    /// Whether there is data at `at`, and for how many bytes the answer holds.
    fn piece(&self, at: u64) -> Result<(bool, u64)> {
        match &self.reading {
            Reading::Raw(file) => {
                let length = match seek(file, SeekFrom::Data(at)) {
                    Ok(data) if data > at => return Ok((false, data - at)),
                    Ok(_) => seek(file, SeekFrom::Hole(at)).map_or(UNIT, |hole| hole - at),
                    // Only a hole is left.
                    Err(rustix::io::Errno::NXIO) => return Ok((false, self.size - at)),
                    // The file system knows no holes.
                    Err(_) => self.size - at,
                };
                Ok((true, length.max(1)))
            }
            Reading::Qcow2(image) => image.holds_data(at),
        }
    }

    /// Reads bytes of the disk.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn read(&self, into: &mut [u8], at: u64) -> Result<()> {
        match &self.reading {
            Reading::Raw(file) => file.read_exact_at(into, at)?,
            Reading::Qcow2(image) => image.read(at, into)?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_found_in_whole_units() {
        let file = tempfile::tempfile().unwrap();
        let size = 10 * UNIT + 4096;
        file.set_len(size).unwrap();
        for at in [UNIT + 5, 3 * UNIT - 1, 10 * UNIT + 1] {
            file.write_all_at(b"x", at).unwrap();
        }
        let source = Source::open(file, DiskFormat::Raw).unwrap();
        assert_eq!(source.size, size);
        assert_eq!(
            source.data().unwrap(),
            [UNIT..3 * UNIT, 10 * UNIT..size],
            "where the file system knows holes"
        );
        let mut byte = [0];
        source.read(&mut byte, 3 * UNIT - 1).unwrap();
        assert_eq!(&byte, b"x");
    }

    #[test]
    fn a_disk_larger_than_any_is_refused() {
        let file = tempfile::tempfile().unwrap();
        if file.set_len(LARGEST + 1).is_ok() {
            assert!(Source::open(file, DiskFormat::Raw).is_err());
        }
    }
}
