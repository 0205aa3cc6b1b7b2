//! Tar archives in the form that each importer reads: GNU's old one, with sparse members, and ustar.

use std::io::{Read, Write};
use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use tar::{EntryType, GnuExtSparseHeader, Header};

/// Bytes of a block: headers and contents are padded to whole ones.
const BLOCK: u64 = 512;

/// Archives are padded to whole records of 20 blocks, as tar(1) does.
const RECORD: u64 = 20 * BLOCK;

/// The largest member that ustar can have, in bytes: 11 octal digits (POSIX.1-2017, pax).
pub const LARGEST_USTAR: u64 = (8 << 30) - 1;

/// Which tar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// POSIX of 1988. Members beyond [`LARGEST_USTAR`] get GNU's binary sizes: the importers of
    /// OVAs read them, and there is no other way.
    Ustar,
    /// GNU before 1.12, which Google Cloud asks for.
    OldGnu,
    /// POSIX of 2001, whose members can have attributes ([`super::pax`]).
    Pax,
}

/// Writes an archive.
#[derive(Debug)]
pub struct Tarball<W> {
    out: W,
    form: Form,
    written: u64,
    mtime: u64,
}

impl<W: Write> Tarball<W> {
    /// Begins an archive.
    pub fn begin(out: W, form: Form) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Tarball {
            out,
            form,
            written: 0,
            mtime: now.map_or(0, |now| now.as_secs()),
        }
    }

    /// The header of a file, not yet with its checksum.
    fn header(&self, name: &str, size: u64) -> Result<Header> {
        let mut header = match self.form {
            Form::Ustar | Form::Pax => Header::new_ustar(),
            Form::OldGnu => Header::new_gnu(),
        };
        header
            .set_path(name)
            .with_context(|| format!("{name:?} is no name for a tar archive"))?;
        header.set_mode(0o644);
        header.set_size(size);
        header.set_mtime(self.mtime);
        header.set_entry_type(EntryType::Regular);
        let owner = header.set_username("root");
        owner
            .and_then(|()| header.set_groupname("root"))
            .context("naming a member's owner")?;
        header.set_uid(0);
        header.set_gid(0);
        Ok(header)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.written += bytes.len() as u64;
        self.out.write_all(bytes).context("writing a tar archive")
    }

    /// Adds a file of `size` bytes.
    ///
    /// # Errors
    /// It cannot be written; there is more or less of it.
    pub fn file(&mut self, name: &str, size: u64, content: &mut impl Read) -> Result<()> {
        let header = self.header(name, size)?;
        self.member(header, size, content)
    }

    /// Adds a file that its reader may only read, and whose owner is `owner`, user and group.
    ///
    /// # Errors
    /// Those of [`Tarball::file`].
    pub fn file_of(
        &mut self,
        (name, mode, owner): (&str, u32, u64),
        size: u64,
        content: &mut impl Read,
    ) -> Result<()> {
        let mut header = self.header(name, size)?;
        header.set_mode(mode);
        header.set_uid(owner);
        header.set_gid(owner);
        let named = header
            .set_username("")
            .and_then(|()| header.set_groupname(""));
        named.context("naming a member's owner")?;
        self.member(header, size, content)
    }

    /// Adds a directory.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn directory(&mut self, name: &str) -> Result<()> {
        let mut header = self.header(&format!("{name}/"), 0)?;
        header.set_entry_type(EntryType::Directory);
        header.set_mode(0o755);
        self.member(header, 0, &mut std::io::empty())
    }

    fn member(&mut self, mut header: Header, size: u64, content: &mut impl Read) -> Result<()> {
        header.set_cksum();
        self.write(header.as_bytes())?;
        let copied = std::io::copy(&mut content.take(size), &mut self.out)
            .context("writing a tar archive")?;
        if copied != size {
            bail!("a file had {copied} bytes while it was packed, and {size} before");
        }
        self.written += copied;
        self.pad(BLOCK)
    }

    /// Begins a sparse file of `size` bytes that has data in these places; [`Tarball::data`]
    /// takes the data, [`Tarball::end_member`] ends it. Only [`Form::OldGnu`] has such.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin_sparse(&mut self, name: &str, size: u64, data: &[Range<u64>]) -> Result<()> {
        let stored = data.iter().map(|range| range.end - range.start).sum();
        let mut header = self.header(name, stored)?;
        header.set_entry_type(EntryType::GNUSparse);
        let gnu = header
            .as_gnu_mut()
            .context("only GNU's tar has sparse files")?;
        gnu.set_real_size(size);
        // A file that ends in a hole has an empty piece at its end.
        let end = size..size;
        let mut pieces = data.iter().chain(std::iter::once(&end));
        for slot in &mut gnu.sparse {
            if let Some(piece) = pieces.next() {
                slot.set_offset(piece.start);
                slot.set_length(piece.end - piece.start);
            }
        }
        let mut pieces = pieces.peekable();
        gnu.set_is_extended(pieces.peek().is_some());
        header.set_cksum();
        self.write(header.as_bytes())?;
        while pieces.peek().is_some() {
            let mut more = GnuExtSparseHeader::new();
            for slot in more.sparse_mut() {
                if let Some(piece) = pieces.next() {
                    slot.set_offset(piece.start);
                    slot.set_length(piece.end - piece.start);
                }
            }
            more.set_is_extended(pieces.peek().is_some());
            self.write(more.as_bytes())?;
        }
        Ok(())
    }

    /// Adds data of the member that was begun.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn data(&mut self, bytes: &[u8]) -> Result<()> {
        self.write(bytes)
    }

    /// Pads a member to whole blocks.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn end_member(&mut self) -> Result<()> {
        self.pad(BLOCK)
    }

    fn pad(&mut self, unit: u64) -> Result<()> {
        let missing = self.written.next_multiple_of(unit) - self.written;
        self.write(&vec![0; missing as usize])
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn end(&mut self) -> Result<&mut W> {
        self.write(&[0; 2 * BLOCK as usize])?;
        self.pad(RECORD)?;
        Ok(&mut self.out)
    }
}
