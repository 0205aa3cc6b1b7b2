//! A run of bytes that can be read: a disk, a partition, a logical volume.

use std::fmt;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};

use super::luks::Key;

/// Reads bytes from a place on: as many as there is room for, or it is an error.
pub type Source = dyn Fn(u64, &mut [u8]) -> Result<()> + Send + Sync;

/// Most bytes of one structure. The largest are the tables of a file system's beginning.
const MOST_BYTES: usize = 16 << 20;

/// A run of bytes that can be read.
#[derive(Clone)]
pub struct Device {
    source: Arc<Source>,
    size: u64,
    keys: Arc<[Key]>,
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({} bytes)", self.size)
    }
}

impl Device {
    /// `size` bytes of a source.
    pub fn new(
        size: u64,
        source: impl Fn(u64, &mut [u8]) -> Result<()> + Send + Sync + 'static,
    ) -> Device {
        let source = Arc::new(source);
        let keys = Arc::default();
        Device { source, size, keys }
    }

    /// The same with what opens the encrypted that lies on it, at whatever depth.
    pub fn with_keys(mut self, keys: Arc<[Key]>) -> Device {
        self.keys = keys;
        self
    }

    /// What opens the encrypted that lies on it.
    pub(super) fn keys(&self) -> &Arc<[Key]> {
        &self.keys
    }

    /// Bytes in memory.
    pub fn of_bytes(bytes: Vec<u8>) -> Device {
        Device::new(bytes.len() as u64, move |at, into| {
            let from = super::bytes::slice(&bytes, usize::try_from(at)?, into.len())?;
            into.copy_from_slice(from);
            Ok(())
        })
    }

    /// How many bytes there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Fills `into` from a place on.
    ///
    /// # Errors
    /// Some of it lies beyond the end, or cannot be read.
    pub fn read(&self, at: u64, into: &mut [u8]) -> Result<()> {
        let end = at.checked_add(into.len() as u64);
        let end = end.context("reading beyond the end")?;
        ensure!(end <= self.size, "reading beyond the end");
        (self.source)(at, into)
    }

    /// So many bytes from a place on, at most 16 MiB.
    ///
    /// # Errors
    /// As for [`Device::read`]; or they are too many.
    pub fn bytes(&self, at: u64, length: usize) -> Result<Vec<u8>> {
        ensure!(length <= MOST_BYTES, "a structure is too large");
        let mut bytes = vec![0; length];
        self.read(at, &mut bytes)?;
        Ok(bytes)
    }

    /// At most so many bytes from a place on: fewer at the end.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn beginning(&self, at: u64, most: usize) -> Result<Vec<u8>> {
        let length = self.size.saturating_sub(at).min(most as u64);
        self.bytes(at, length as usize)
    }

    /// A part of it, as far as it goes: images are cut short, and tables lie.
    pub fn part(&self, start: u64, size: u64) -> Device {
        let source = Arc::clone(&self.source);
        let size = size.min(self.size.saturating_sub(start));
        // No place within the part lies beyond the whole.
        let part = Device::new(size, move |at, into| source(start + at, into));
        part.with_keys(Arc::clone(&self.keys))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_ends_where_the_whole_does() {
        let device = Device::of_bytes((0..10).collect());
        let part = device.part(6, 100);
        assert_eq!(part.size(), 4);
        assert_eq!(part.bytes(1, 3).unwrap(), [7, 8, 9]);
        part.bytes(1, 4).unwrap_err();
        part.bytes(u64::MAX, 2).unwrap_err();
        assert_eq!(part.beginning(2, 100).unwrap(), [8, 9]);
        assert_eq!(device.part(11, 1).size(), 0);
        device.part(0, 10).bytes(0, MOST_BYTES + 1).unwrap_err();
    }
}
