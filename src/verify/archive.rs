//! What is in a tar archive, plain or packed by gzip, xz or zstd: read once, from its beginning to
//! its end, of each member only the beginning kept.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use tar::{EntryType, GnuExtSparseHeader, Header};

use super::facts::Packing;
use crate::hex;

/// How much of a member's beginning is kept, in bytes: the headers of all formats, a descriptor, the
/// first grain of a VMDK.
pub const HEAD: usize = 256 << 10;

/// Most members; the archives of importers have a handful.
const MOST_MEMBERS: usize = 64;

/// Most members of an archive of a whole system; those of desktops have some 300,000.
const MOST_FILES: usize = 1 << 20;

/// Most bytes of all their names together; those of desktops have some 30 MiB.
const MOST_NAMES: usize = 128 << 20;

/// Most bytes that an archive may hold unpacked: 128 GiB, minutes of reading. Files made to waste
/// time have more.
const MOST_BYTES: u64 = 128 << 30;

/// Longest name, in bytes, that has a header of its own, and longest record of pax.
const LONGEST_NAME: u64 = 64 << 10;

/// A member.
#[derive(Debug, Clone, Default)]
pub struct Member {
    /// Its name, without `./`.
    pub name: String,
    /// Its size in bytes, holes counted.
    pub size: u64,
    /// Whether it is a file.
    pub is_file: bool,
    /// Where it leads, if it is a symbolic link.
    pub link: Option<String>,
    /// Whether it is a sparse one of GNU's old form.
    pub is_sparse: bool,
    /// Where what is stored of it begins in the archive, unpacked, in bytes.
    pub place: u64,
    /// Mode, user, group.
    pub owner: (u32, u64, u64),
    /// Its beginning, of at most [`HEAD`] bytes.
    pub head: Vec<u8>,
    /// The SHA-256 of what is stored of it, in hexadecimal.
    pub sha256: String,
}

impl Member {
    /// Its beginning as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.head).into_owned()
    }
}

/// An archive.
#[derive(Debug, Default)]
pub struct Archive {
    /// The members, in their order.
    pub members: Vec<Member>,
    /// Whether a header is of GNU's old form.
    pub is_gnu: bool,
    /// Whether there are headers of pax.
    pub has_pax: bool,
    /// Why it could not be read to its end.
    pub fault: Option<String>,
}

impl Archive {
    /// The member of that name.
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    /// The files whose names end so, in any case.
    pub fn ending<'a>(&'a self, ending: &'a str) -> impl Iterator<Item = &'a Member> {
        let files = self.members.iter().filter(|member| member.is_file);
        files.filter(move |member| member.name.to_ascii_lowercase().ends_with(ending))
    }
}

/// Reads an archive. What is wrong with it is in its [`Archive::fault`].
///
/// # Errors
/// The file cannot be read at all.
pub fn read(file: &File, packing: Packing) -> Result<Archive> {
    let mut file = file.try_clone()?;
    file.rewind().context("reading the archive")?;
    let stream = BufReader::with_capacity(1 << 20, file);
    Ok(read_stream(unpacked(stream, packing)?))
}

/// The same of an archive that holds the files of a system: of the first of those that have one of the names
/// `contents` the beginning and the digest, of all others that they are there.
///
/// # Errors
/// The file cannot be read at all.
pub fn read_tree(file: &File, packing: Packing, contents: &[&str]) -> Result<Archive> {
    let mut file = file.try_clone()?;
    file.rewind().context("reading the archive")?;
    let stream = BufReader::with_capacity(1 << 20, file);
    let plain = unpacked(stream, packing)?;
    Ok(read_members(plain, MOST_FILES, Some(contents)))
}

/// The same as [`read`] of a stream that is not packed any more.
pub fn read_stream(plain: impl Read) -> Archive {
    read_members(plain, MOST_MEMBERS, None)
}

fn read_members(plain: impl Read, most: usize, contents: Option<&[&str]>) -> Archive {
    let mut archive = Archive::default();
    let mut reader = Reader {
        plain: plain.take(MOST_BYTES),
        most,
        contents,
        kept: 0,
        names: 0,
    };
    if let Err(error) = reader.read_all(&mut archive) {
        archive.fault = Some(format!("{error:#}"));
    }
    archive
}

/// What a packed stream holds.
///
/// # Errors
/// It cannot be begun.
pub fn unpacked<'a>(stream: impl Read + 'a, packing: Packing) -> Result<Box<dyn Read + 'a>> {
    Ok(match packing {
        Packing::None => Box::new(stream),
        Packing::Gzip => Box::new(flate2::read::MultiGzDecoder::new(stream)),
        Packing::Xz => {
            // As much as the highest level needs.
            let limit = 128 << 20;
            let flags = liblzma::stream::CONCATENATED;
            let decoder = liblzma::stream::Stream::new_stream_decoder(limit, flags)?;
            Box::new(liblzma::read::XzDecoder::new_stream(stream, decoder))
        }
        Packing::Zstd => Box::new(zstd::Decoder::new(stream)?),
    })
}

/// What GNU's and pax's own headers say of the next member.
#[derive(Default)]
struct Next {
    name: Option<String>,
    link: Option<String>,
    size: Option<u64>,
}

struct Reader<'a, R> {
    plain: io::Take<R>,
    /// Most members.
    most: usize,
    /// Whose content is of interest; without it everybody's.
    contents: Option<&'a [&'a str]>,
    /// How many contents are kept already.
    kept: usize,
    /// The bytes of all names.
    names: usize,
}

impl<R: Read> Reader<'_, R> {
    fn read_all(&mut self, archive: &mut Archive) -> Result<()> {
        let mut next = Next::default();
        loop {
            let Some(header) = self.header()? else {
                // Whatever follows belongs to the packed stream: its checksum is compared so.
                io::copy(&mut self.plain, &mut io::sink()).context("it is damaged")?;
                if self.plain.limit() == 0 {
                    bail!(
                        "it holds more than {} GiB, which is not read",
                        MOST_BYTES >> 30
                    );
                }
                return Ok(());
            };
            let size = header.entry_size().context("a size is no number")?;
            match header.entry_type() {
                kind @ (EntryType::GNULongName | EntryType::GNULongLink) => {
                    let name = self.small(size)?;
                    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
                    let name = Some(String::from_utf8_lossy(name).into_owned());
                    match kind {
                        EntryType::GNULongName => next.name = name,
                        _ => next.link = name,
                    }
                }
                EntryType::XHeader | EntryType::XGlobalHeader => {
                    archive.has_pax = true;
                    let records = self.small(size)?;
                    for record in tar::PaxExtensions::new(&records).flatten() {
                        match (record.key(), record.value()) {
                            (Ok("path"), Ok(path)) => next.name = Some(path.to_owned()),
                            (Ok("linkpath"), Ok(path)) => next.link = Some(path.to_owned()),
                            (Ok("size"), Ok(size)) => next.size = size.parse().ok(),
                            _ => {}
                        }
                    }
                }
                _ => {
                    archive.is_gnu |= header.as_gnu().is_some();
                    if archive.members.len() == self.most {
                        bail!("it has more than {} members", self.most);
                    }
                    let next = std::mem::take(&mut next);
                    archive.members.push(Member::default());
                    let member = self.member(&header, next.size.unwrap_or(size), next);
                    // What is known of the last one is kept: it may be cut off.
                    if let Some(last) = archive.members.last_mut() {
                        *last = member?;
                    }
                }
            }
        }
    }

    /// The next header; none at the archive's end.
    fn header(&mut self) -> Result<Option<Header>> {
        let mut header = Header::new_old();
        self.plain
            .read_exact(header.as_mut_bytes())
            .context("it ends where a header should be")?;
        if header.as_bytes().iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let bytes = header.as_bytes();
        let sum = bytes[..148].iter().chain(&bytes[156..]);
        let sum = sum.map(|byte| u32::from(*byte)).sum::<u32>() + 8 * u32::from(b' ');
        if header.cksum().ok() != Some(sum) {
            bail!("it is no tar archive, or a header is damaged");
        }
        Ok(Some(header))
    }

    /// All of a small member.
    fn small(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > LONGEST_NAME {
            bail!("a header has {size} bytes");
        }
        let mut bytes = vec![0; size as usize];
        self.plain.read_exact(&mut bytes).context("it is cut off")?;
        self.skip_padding(size)?;
        Ok(bytes)
    }

    fn skip_padding(&mut self, size: u64) -> Result<()> {
        let padding = size.checked_next_multiple_of(512).unwrap_or(size) - size;
        io::copy(&mut self.plain.by_ref().take(padding), &mut io::sink())?;
        Ok(())
    }

    fn member(&mut self, header: &Header, stored: u64, next: Next) -> Result<Member> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let name = next.name.unwrap_or_else(|| text(&header.path_bytes()));
        let kind = header.entry_type();
        let link = || next.link.or_else(|| Some(text(&header.link_name_bytes()?)));
        let mut member = Member {
            name: plain(&name).to_owned(),
            size: stored,
            is_file: kind.is_file() || kind == EntryType::GNUSparse,
            is_sparse: kind == EntryType::GNUSparse,
            link: kind.is_symlink().then(link).flatten(),
            owner: (
                header.mode().unwrap_or(0),
                header.uid().unwrap_or(0),
                header.gid().unwrap_or(0),
            ),
            ..Member::default()
        };
        self.names += member.name.len() + member.link.as_ref().map_or(0, String::len);
        if self.names > MOST_NAMES {
            bail!("its names have more than {} MiB", MOST_NAMES >> 20);
        }
        let is_of_interest = |name: &str| match self.contents {
            Some(names) => self.kept < MOST_MEMBERS && names.contains(&name),
            None => true,
        };
        if !is_of_interest(&member.name) {
            let passed = io::copy(&mut self.plain.by_ref().take(stored), &mut io::sink());
            if passed.context("it is damaged")? < stored {
                bail!("it is cut off in {}", member.name);
            }
            self.skip_padding(stored)?;
            return Ok(member);
        }
        self.kept += 1;
        // Where stored bytes belong: pieces of the file, in their order.
        let mut pieces = vec![(0, stored)];
        if member.is_sparse {
            (pieces, member.size) = self.sparse(header)?;
        }
        member.place = MOST_BYTES - self.plain.limit();
        let mut digest = Sha256::new();
        let mut buffer = vec![0; 1 << 16];
        let mut left = stored;
        let mut pieces = pieces.into_iter();
        let mut piece = pieces.next();
        while left > 0 {
            let most = left.min(buffer.len() as u64) as usize;
            let most = match piece {
                Some((_, length)) if length > 0 => most.min(length as usize),
                _ => most,
            };
            let read = self
                .plain
                .read(&mut buffer[..most])
                .context("it is damaged")?;
            if read == 0 {
                bail!("it is cut off in {}", member.name);
            }
            digest.update(&buffer[..read]);
            if let Some((at, length)) = &mut piece {
                keep(&mut member.head, *at, &buffer[..read]);
                *at += read as u64;
                *length = length.saturating_sub(read as u64);
                if *length == 0 {
                    piece = pieces.next();
                }
            }
            left -= read as u64;
        }
        member.sha256 = hex::encode(digest.finalize());
        self.skip_padding(stored)?;
        Ok(member)
    }

    /// The first pieces of a sparse member, and its size.
    fn sparse(&mut self, header: &Header) -> Result<(Vec<(u64, u64)>, u64)> {
        let gnu = header.as_gnu().context("a sparse member is not GNU's")?;
        let size = gnu.real_size().context("a size is no number")?;
        let mut pieces = Vec::new();
        // Only what the beginning needs.
        let mut add = |sparse: &[tar::GnuSparseHeader]| -> Result<()> {
            for piece in sparse.iter().filter(|piece| !piece.is_empty()) {
                let at = piece.offset().context("a place is no number")?;
                if at < HEAD as u64 && pieces.len() < HEAD / 512 {
                    pieces.push((at, piece.length().context("a length is no number")?));
                }
            }
            Ok(())
        };
        add(&gnu.sparse)?;
        let mut is_extended = gnu.is_extended();
        while is_extended {
            let mut more = GnuExtSparseHeader::new();
            self.plain
                .read_exact(more.as_mut_bytes())
                .context("it is cut off")?;
            add(more.sparse())?;
            is_extended = more.is_extended();
        }
        Ok((pieces, size))
    }
}

/// A name without `./` and the like at its beginning, and without the `/` of directories.
fn plain(name: &str) -> &str {
    name.trim_start_matches("./").trim_end_matches('/')
}

/// Keeps what is of the beginning.
fn keep(head: &mut Vec<u8>, at: u64, bytes: &[u8]) {
    let Some(at) = usize::try_from(at).ok().filter(|at| *at < HEAD) else {
        return;
    };
    let end = (at + bytes.len()).min(HEAD);
    if head.len() < end {
        head.resize(end, 0);
    }
    head[at..end].copy_from_slice(&bytes[..end - at]);
}
