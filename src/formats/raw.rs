//! A plain image, sparse; with its footer it is a VHD of fixed size.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use anyhow::{Context, Result};

use super::spread::{Piece, Writer};
use super::vhd;

/// Writes a plain image.
#[derive(Debug)]
pub struct RawWriter {
    file: File,
    size: u64,
    is_vhd: bool,
}

impl RawWriter {
    /// Of a disk of `size` bytes, into an empty file.
    pub fn new(file: File, size: u64) -> RawWriter {
        RawWriter {
            file,
            size,
            is_vhd: false,
        }
    }

    /// The same, with the footer of a VHD behind the disk.
    pub fn vhd(file: File, size: u64) -> RawWriter {
        RawWriter {
            file,
            size,
            is_vhd: true,
        }
    }
}

impl Writer for RawWriter {
    fn take(&mut self, piece: &Arc<Piece>) -> Result<()> {
        for data in piece.data() {
            let at = piece.at + data.start as u64;
            self.file
                .write_all_at(&piece.bytes[data], at)
                .context("writing a plain image")?;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        self.file
            .set_len(self.size)
            .context("writing a plain image")?;
        if self.is_vhd {
            let footer = vhd::footer(self.size)?;
            self.file
                .write_all_at(&footer, self.size)
                .context("writing the footer of a VHD")?;
        }
        Ok(())
    }
}
