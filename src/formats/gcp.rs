//! Google Cloud's disk: one sparse member `disk.raw` in a gzip'd tar archive of GNU's old form, of
//! whole GiB (Google's "Manually import boot disks"; compute-image-tools `gce_export/main.go`).

use std::fmt;
use std::fs::File;
use std::io::BufWriter;
use std::ops::Range;
use std::sync::Arc;

use anyhow::Result;

use super::packed::{Codec, Packed};
use super::pool::Pool;
use super::spread::{Piece, Writer};
use super::tarball::{Form, Tarball};

/// The only name that the member may have.
pub const MEMBER: &str = "disk.raw";

/// Disks have whole GiB.
pub const ALIGNMENT: u64 = 1 << 30;

/// Writes the archive.
pub struct GcpWriter(Tarball<Packed<BufWriter<File>>>);

impl fmt::Debug for GcpWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GcpWriter")
    }
}

impl GcpWriter {
    /// Of a disk of `size` bytes that has data there, into an empty file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(file: File, size: u64, data: &[Range<u64>], pool: &Pool) -> Result<GcpWriter> {
        let packed = Packed::begin(BufWriter::new(file), Codec::Gzip, pool)?;
        let mut tarball = Tarball::begin(packed, Form::OldGnu);
        tarball.begin_sparse(MEMBER, size, data)?;
        Ok(GcpWriter(tarball))
    }
}

impl Writer for GcpWriter {
    fn take(&mut self, piece: &Arc<Piece>) -> Result<()> {
        self.0.data(&piece.bytes)
    }

    fn end(&mut self) -> Result<()> {
        self.0.end_member()?;
        self.0.end()?.end()
    }
}
