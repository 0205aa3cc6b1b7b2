//! A plain image, packed as it is written: `raw.zst` and `raw.xz`.

use std::fmt;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::Arc;

use anyhow::{Context, Result};

use super::packed::{Codec, Packed};
use super::pool::Pool;
use super::spread::{Piece, Writer};

/// Writes the stream.
pub struct StreamWriter {
    packed: Packed<BufWriter<File>>,
    size: u64,
}

impl fmt::Debug for StreamWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamWriter of {} bytes", self.size)
    }
}

impl StreamWriter {
    /// Of a disk of `size` bytes, into an empty file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(file: File, size: u64, codec: Codec, pool: &Pool) -> Result<StreamWriter> {
        let packed = Packed::begin(BufWriter::new(file), codec, pool)?;
        Ok(StreamWriter { packed, size })
    }
}

impl Writer for StreamWriter {
    fn take(&mut self, piece: &Arc<Piece>) -> Result<()> {
        let hole = piece.at - self.packed.length();
        self.packed.write_zeroes(hole)?;
        self.packed
            .write_all(&piece.bytes)
            .context("packing a plain image")
    }

    fn end(&mut self) -> Result<()> {
        self.packed.write_zeroes(self.size - self.packed.length())?;
        self.packed.end()
    }
}
