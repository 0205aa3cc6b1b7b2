//! ISO 9660 with Rock Ridge or Joliet: what is on an installation disc.
//!
//! ECMA-119 (4th edition); Rock Ridge by IEEE P1281 and P1282; Joliet by its specification of 1995. Only what
//! distributions write is read: no interleaved files, no directories moved up because they lay too deep. (The
//! crates that read these have a release candidate's promises or read everything into memory; this is what
//! is needed of them, over the [`Device`] that all of `disk` has.)

use std::io::Write;

use anyhow::{Context, Result, bail, ensure};

use super::bytes::{little, slice, text};
use super::device::Device;

/// Bytes of a sector, and of a block on every disc that is read.
pub const SECTOR: u64 = 2048;

/// The first descriptor's sector.
const FIRST: u64 = 16;
/// Most descriptors that are looked at; discs have three or four.
const MOST_DESCRIPTORS: u64 = 64;

/// Kinds of descriptors.
const PRIMARY: u8 = 1;
const SUPPLEMENTARY: u8 = 2;
const TERMINATOR: u8 = 255;

/// The identifier of all of them.
const IDENTIFIER: &[u8] = b"CD001";

/// Joliet's escape sequences, by which a supplementary descriptor is one of its own.
const JOLIET: [&[u8]; 3] = [b"%/@", b"%/C", b"%/E"];

/// Largest directory that is read, in bytes: 50,000 packages with long names.
const MOST_DIRECTORY: u64 = 16 << 20;
/// Most pieces of a file. One has just under 4 GiB.
const MOST_PIECES: usize = 64;
/// Most areas that the names of one file are continued in.
const MOST_CONTINUED: usize = 8;
/// Bytes that are copied at once.
const PIECE: u64 = 1 << 20;

/// Flags of a directory record.
const IS_DIRECTORY: u8 = 0x02;
const CONTINUES: u8 = 0x80;

/// A disc.
#[derive(Debug)]
pub struct Iso {
    device: Device,
    /// What is it called, as udev names it in `/dev/disk/by-label`.
    label: String,
    /// How long it is, by its own account, in bytes.
    size: u64,
    /// Where its primary descriptor is, in bytes.
    primary_at: u64,
    /// What applications keep in its primary descriptor.
    application_use: Vec<u8>,
    /// The root directories: with Rock Ridge or plain, then Joliet's.
    roots: Vec<(Record, Names)>,
}

/// How a tree's names are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    /// In ASCII with a version, or by Rock Ridge, behind so many bytes of each system use area.
    Plain(usize),
    /// In UCS-2, most significant byte first.
    Joliet,
}

/// A file or directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    is_directory: bool,
    /// Where it is, and its bytes there.
    pieces: Vec<(u64, u64)>,
}

impl Record {
    /// How long it is, in bytes.
    pub fn size(&self) -> u64 {
        self.pieces
            .iter()
            .fold(0, |sum, (_, length)| length.saturating_add(sum))
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.is_directory
    }
}

impl Iso {
    /// The disc on a device.
    ///
    /// # Errors
    /// It holds none, or a broken one.
    pub fn open(device: Device) -> Result<Iso> {
        let mut primary = None;
        let mut joliet = None;
        for sector in FIRST..FIRST + MOST_DESCRIPTORS {
            let at = sector * SECTOR;
            let Ok(bytes) = device.bytes(at, SECTOR as usize) else {
                break;
            };
            if slice(&bytes, 1, IDENTIFIER.len())? != IDENTIFIER {
                break;
            }
            let escape = slice(&bytes, 88, 3)?;
            match bytes[0] {
                TERMINATOR => break,
                PRIMARY if primary.is_none() => primary = Some((at, bytes)),
                SUPPLEMENTARY if joliet.is_none() && JOLIET.contains(&escape) => {
                    joliet = Some(bytes);
                }
                _ => {}
            }
        }
        let (primary_at, primary) = primary.context("there is no ISO 9660 file system in it")?;
        let block = little(&primary, 128, 2)?;
        ensure!(block == SECTOR, "its blocks have {block} bytes");
        let label = text(slice(&primary, 40, 32)?).unwrap_or_default();
        let root = record(slice(&primary, 156, 34)?)?.context("it has no root directory")?;
        let skip = rock_ridge(&device, &root.0)?;
        let mut roots = vec![(root.0, Names::Plain(skip))];
        let mut of_joliet = None;
        if let Some(joliet) = &joliet
            && let Some((root, _)) = record(slice(joliet, 156, 34)?)?
        {
            roots.push((root, Names::Joliet));
            of_joliet = Some(ucs2(slice(joliet, 40, 32)?).trim().to_owned());
        }
        Ok(Iso {
            label: udev_label(label, of_joliet),
            size: little(&primary, 80, 4)? * SECTOR,
            primary_at,
            application_use: slice(&primary, 883, 512)?.to_vec(),
            roots,
            device,
        })
    }

    /// The volume's label, as udev has it.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// How long the disc is by its own account, in bytes: a file may be longer.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Where the 512 bytes are that applications may use (ECMA-119, 8.4.32), and what they hold.
    pub fn application_use(&self) -> (u64, &[u8]) {
        (self.primary_at + 883, &self.application_use)
    }

    /// The file or directory at a path without a slash before it, if there is one.
    ///
    /// # Errors
    /// The disc cannot be read there.
    pub fn find(&self, path: &str) -> Result<Option<Record>> {
        for (root, names) in &self.roots {
            if let Some(found) = self.find_from(root, *names, path)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn find_from(&self, root: &Record, names: Names, path: &str) -> Result<Option<Record>> {
        let mut at = root.clone();
        for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
            if !at.is_directory || part == ".." {
                return Ok(None);
            }
            match self.child(&at, names, part)? {
                Some(child) => at = child,
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    /// The entry of a directory with this name.
    fn child(&self, directory: &Record, names: Names, name: &str) -> Result<Option<Record>> {
        let length = directory.size();
        ensure!(length <= MOST_DIRECTORY, "a directory is too large");
        let mut whole: Option<Record> = None;
        let mut done = 0;
        for (start, length) in &directory.pieces {
            // Records do not cross the ends of sectors.
            for at in (0..*length).step_by(SECTOR as usize) {
                done += 1;
                ensure!(done * SECTOR <= MOST_DIRECTORY, "a directory is too large");
                let sector = self
                    .device
                    .bytes(start + at, SECTOR.min(length - at) as usize)?;
                let mut rest = &sector[..];
                while let Some(bytes) = record_bytes(rest) {
                    rest = &rest[bytes.len()..];
                    let Some((found, continues)) = record(bytes)? else {
                        break;
                    };
                    if self.has_name(bytes, names, name)? {
                        let file = whole.get_or_insert_with(Record::default);
                        ensure!(
                            file.pieces.len() < MOST_PIECES,
                            "a file has too many pieces"
                        );
                        file.is_directory = found.is_directory;
                        file.pieces.extend(found.pieces);
                        if !continues {
                            return Ok(whole);
                        }
                    }
                }
            }
        }
        Ok(whole)
    }

    /// Whether a directory record has this name.
    fn has_name(&self, bytes: &[u8], names: Names, name: &str) -> Result<bool> {
        let length = little(bytes, 32, 1)? as usize;
        let written = slice(bytes, 33, length)?;
        // The directory itself and the one above it.
        if matches!(written, [0] | [1]) {
            return Ok(false);
        }
        let Names::Plain(skip) = names else {
            return Ok(without_version(&ucs2(written)) == name);
        };
        let system_use = 33 + length + (length + 1) % 2;
        let area = bytes.get(system_use + skip..).unwrap_or_default();
        let written = String::from_utf8_lossy(written);
        Ok(match self.rock_ridge_name(area)? {
            Some(found) => found == name.as_bytes(),
            None => without_version(&written).eq_ignore_ascii_case(name),
        })
    }

    /// The name in a system use area (`NM` of Rock Ridge), if there is one.
    fn rock_ridge_name(&self, area: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut name: Option<Vec<u8>> = None;
        let mut area = area.to_vec();
        for _ in 0..=MOST_CONTINUED {
            let mut next = None;
            let mut rest = &area[..];
            while let Some((kind, fields)) = entry(rest) {
                rest = &rest[4 + fields.len()..];
                match kind {
                    b"NM" if !fields.is_empty() => {
                        name.get_or_insert_default().extend(&fields[1..]);
                        // A name has 255 bytes at most.
                        ensure!(
                            name.as_ref().is_none_or(|name| name.len() < 1024),
                            "a name is too long"
                        );
                    }
                    b"CE" => {
                        let block = little(fields, 0, 4)?;
                        let (offset, length) = (little(fields, 8, 4)?, little(fields, 16, 4)?);
                        ensure!(length <= SECTOR, "a name is too long");
                        next = Some((block * SECTOR + offset, length));
                    }
                    b"ST" => break,
                    _ => {}
                }
            }
            match next {
                Some((at, length)) => area = self.device.bytes(at, length as usize)?,
                None => return Ok(name),
            }
        }
        bail!("a name is continued too often")
    }

    /// Reads a file of at most `limit` bytes; none if there is none.
    ///
    /// # Errors
    /// It is larger or a directory, or cannot be read.
    pub fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let mut bytes = Vec::new();
        let copied = self.copy(path, &mut bytes, limit)?;
        Ok(copied.map(|_| bytes))
    }

    /// Writes a file of at most `limit` bytes to `into`; its length, or none if there is none.
    ///
    /// # Errors
    /// It is larger or a directory, or cannot be read or written.
    pub fn copy(&self, path: &str, into: &mut impl Write, limit: u64) -> Result<Option<u64>> {
        let Some(file) = self.find(path)? else {
            return Ok(None);
        };
        ensure!(!file.is_directory, "{path} is a directory");
        let size = file.size();
        ensure!(size <= limit, "{path} is larger than {limit} bytes");
        for (start, length) in &file.pieces {
            for at in (0..*length).step_by(PIECE as usize) {
                let piece = PIECE.min(length - at) as usize;
                let bytes = self.device.bytes(start + at, piece);
                into.write_all(&bytes.with_context(|| format!("reading {path}"))?)?;
            }
        }
        Ok(Some(size))
    }
}

/// The bytes of the first of several directory records; none at the end of a sector's.
fn record_bytes(bytes: &[u8]) -> Option<&[u8]> {
    let length = usize::from(*bytes.first()?);
    (length > 0).then(|| bytes.get(..length)).flatten()
}

/// A directory record, and whether the next one has more of the file; none where it is too short to be one.
fn record(bytes: &[u8]) -> Result<Option<(Record, bool)>> {
    if bytes.len() < 34 {
        return Ok(None);
    }
    let attributes = little(bytes, 1, 1)?;
    let start = (little(bytes, 2, 4)? + attributes) * SECTOR;
    let record = Record {
        is_directory: bytes[25] & IS_DIRECTORY != 0,
        pieces: vec![(start, little(bytes, 10, 4)?)],
    };
    Ok(Some((record, bytes[25] & CONTINUES != 0)))
}

/// How many bytes of each system use area come before its entries (`SP` in the root's own record); zero
/// without Rock Ridge, where no entries are found.
fn rock_ridge(device: &Device, root: &Record) -> Result<usize> {
    let Some((start, _)) = root.pieces.first() else {
        return Ok(0);
    };
    let sector = device.bytes(*start, SECTOR as usize);
    let sector = sector.context("the root directory cannot be read")?;
    let own = record_bytes(&sector).unwrap_or_default();
    let Some((b"SP", fields)) = own.get(34..).and_then(entry) else {
        return Ok(0);
    };
    Ok(usize::from(fields.get(2).copied().unwrap_or_default()))
}

/// The first entry of a system use area: its signature, and what is behind length and version.
fn entry(area: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::from(*area.get(2)?);
    let whole = area.get(..length)?;
    Some((whole.get(..2)?, whole.get(4..)?))
}

/// A name without the version behind it, and the dot of an empty ending.
fn without_version(name: &str) -> &str {
    let name = name.split_once(';').map_or(name, |(name, _)| name);
    name.strip_suffix('.').unwrap_or(name)
}

fn ucs2(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2);
    let units: Vec<u16> = units
        .map(|unit| u16::from_be_bytes([unit[0], unit[1]]))
        .collect();
    String::from_utf16_lossy(&units)
        .trim_end_matches('\0')
        .to_owned()
}

/// The label as udev has it: Joliet's, unless that is the beginning of the primary one (util-linux 2.23 to
/// 2.41, libblkid/src/superblocks/iso9660.c).
fn udev_label(primary: String, joliet: Option<String>) -> String {
    match joliet {
        Some(joliet) if !joliet.is_empty() && !primary.starts_with(&joliet) => joliet,
        _ => primary,
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// A disc that xorriso writes; none where it is not installed.
    fn disc(label: &str, options: &[&str]) -> Option<Vec<u8>> {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        std::fs::create_dir_all(tree.join("images/pxeboot")).unwrap();
        std::fs::write(tree.join(".treeinfo"), "[general]\n").unwrap();
        std::fs::write(tree.join("images/pxeboot/vmlinuz"), vec![7; 5000]).unwrap();
        // More than a sector of names, some of which take an area of their own.
        for number in 0..60 {
            let name = format!("{number}-{}", "x".repeat(190));
            std::fs::write(tree.join("images").join(name), number.to_string()).unwrap();
        }
        let out = dir.path().join("disc.iso");
        let made = Command::new("xorriso")
            .args(["-as", "mkisofs", "-quiet", "-V", label])
            .args(options)
            .arg("-o")
            .args([&out, &tree])
            .status();
        if !made.is_ok_and(|status| status.success()) {
            eprintln!("skipped: no xorriso");
            return None;
        }
        Some(std::fs::read(out).unwrap())
    }

    fn open(bytes: Vec<u8>) -> Iso {
        Iso::open(Device::of_bytes(bytes)).unwrap()
    }

    #[test]
    fn files_are_found_by_the_names_of_each_kind() {
        for options in [&["-R"][..], &["-R", "-J", "-joliet-long"], &["-J"]] {
            let Some(bytes) = disc("A label 9.0", options) else {
                return;
            };
            let length = bytes.len() as u64;
            let iso = open(bytes);
            assert_eq!(iso.label(), "A label 9.0");
            assert!(iso.size() <= length && iso.size() > SECTOR * FIRST);
            let text = iso.read(".treeinfo", 100).unwrap().unwrap();
            assert_eq!(text, b"[general]\n", "{options:?}");
            let kernel = iso.read("images/pxeboot/vmlinuz", 5000).unwrap();
            assert_eq!(kernel.unwrap(), [7; 5000]);
            assert!(iso.read("images/pxeboot/vmlinuz", 4999).is_err());
            assert!(iso.read("images", 4999).is_err());
            assert!(iso.find("images").unwrap().unwrap().is_directory());
            for absent in [
                "nothing",
                "images/vmlinuz",
                ".treeinfo/x",
                "images/../.treeinfo",
            ] {
                assert_eq!(iso.find(absent).unwrap(), None, "{absent}");
            }
            if options.contains(&"-R") {
                let long = format!("images/59-{}", "x".repeat(190));
                assert_eq!(iso.read(&long, 9).unwrap().unwrap(), b"59");
            }
        }
        let Some(bytes) = disc("PLAIN", &[]) else {
            return;
        };
        let kernel = open(bytes).read("images/pxeboot/vmlinuz", 5000).unwrap();
        assert_eq!(kernel.unwrap(), [7; 5000]);
    }

    #[test]
    fn labels_are_those_of_udev() {
        let label = |primary: &str, joliet: Option<&str>| {
            udev_label(primary.to_owned(), joliet.map(str::to_owned))
        };
        assert_eq!(label("A_B", None), "A_B");
        assert_eq!(
            label("Rocky-9-6-x86_64-dvd", Some("Rocky-9-6-x86_64")),
            "Rocky-9-6-x86_64-dvd"
        );
        assert_eq!(label("CDROM", Some("Other")), "Other");
        assert_eq!(label("CDROM", Some("")), "CDROM");
    }

    #[test]
    fn what_is_cut_off_or_damaged_is_an_error() {
        assert!(Iso::open(Device::of_bytes(Vec::new())).is_err());
        assert!(Iso::open(Device::of_bytes(vec![0; 1 << 16])).is_err());
        let Some(bytes) = disc("X", &["-R"]) else {
            return;
        };
        let read = |bytes: Vec<u8>| -> Result<Option<Vec<u8>>> {
            Iso::open(Device::of_bytes(bytes))?.read("images/pxeboot/vmlinuz", 1 << 20)
        };
        for length in (0..bytes.len()).step_by(SECTOR as usize) {
            if let Ok(Some(kernel)) = read(bytes[..length].to_vec()) {
                assert_eq!(kernel, [7; 5000]);
            }
        }
        // A root directory that claims to have 4 GiB.
        let mut large = bytes.clone();
        large[0x8000 + 156 + 10..][..4].fill(0xff);
        let found = read(large);
        assert!(matches!(found, Err(_) | Ok(Some(_))), "{found:?}");
        // Names that are continued in themselves.
        for at in 0x8000..bytes.len().min(0x20000) {
            if bytes[at..].starts_with(b"CE\x1c\x01") {
                let mut ring = bytes.clone();
                ring[at..at + 4].copy_from_slice(b"XX\x1c\x01");
                let _ = read(ring);
            }
        }
    }
}
