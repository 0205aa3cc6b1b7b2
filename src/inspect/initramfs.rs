//! Which kernel modules an initramfs holds. Pure: a stream in, names out.
//!
//! An initramfs is one or more cpio archives of the `newc` form, each as it is or packed, with zeroes between
//! them (Linux, Documentation/driver-api/early-userspace/buffer-format.rst). dracut puts microcode into a first
//! one that is not packed.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Read};

use anyhow::{Context, Result, bail, ensure};

/// Most bytes that are unpacked: with all modules and firmware an initramfs has some hundred MiB.
const MOST_UNPACKED: u64 = 2 << 30;

/// Most entries; a rescue image has some ten thousand.
const MOST_ENTRIES: usize = 200_000;

/// Longest name of an entry, in bytes (`PATH_MAX`).
const LONGEST_NAME: usize = 4096;

/// Most modules that are remembered; a kernel has some five thousand.
const MOST_MODULES: usize = 20_000;

/// What an archive begins with: without and with checksums.
const MAGICS: [&[u8]; 2] = [b"070701", b"070702"];

/// The name of an archive's last entry.
const TRAILER: &[u8] = b"TRAILER!!!";

/// Bytes of an entry's header.
const HEADER: usize = 110;

/// The modules in an initramfs, by the names that `lsmod` gives them.
///
/// # Errors
/// It is none, is damaged, or is packed in a way that is not read.
pub fn modules(stream: impl Read) -> Result<BTreeSet<String>> {
    let mut modules = BTreeSet::new();
    let mut stream = Stream::new(BufReader::with_capacity(1 << 16, stream));
    let plain = archives(&mut stream, &mut modules)?;
    if stream.ahead.is_empty() {
        ensure!(plain > 0, "it is empty");
        return Ok(modules);
    }
    let beginning = stream.ahead.clone();
    let unpacked = match unpacked(&beginning, BufReader::with_capacity(1 << 16, stream)) {
        Ok(unpacked) => unpacked,
        // What follows an archive is no business of the kernel's either.
        Err(_) if plain > 0 => return Ok(modules),
        Err(why) => return Err(why),
    };
    let mut inner = Stream::new(unpacked);
    match archives(&mut inner, &mut modules)? {
        0 => bail!("what is packed in it is no cpio archive"),
        _ => Ok(modules),
    }
}

/// Reads archives that are not packed, and the zeroes between them; how many there were.
fn archives(stream: &mut Stream<impl Read>, modules: &mut BTreeSet<String>) -> Result<usize> {
    let mut count = 0;
    loop {
        match stream.look_ahead() {
            Ok(()) if MAGICS.contains(&&stream.ahead[..]) => archive(stream, modules)?,
            // Behind an archive there may be padding that no packer wrote.
            Err(why) if count == 0 => return Err(why),
            _ => return Ok(count),
        }
        count += 1;
    }
}

/// A stream, and what of it was looked at.
struct Stream<R> {
    rest: io::Take<R>,
    ahead: Vec<u8>,
}

impl<R: Read> Stream<R> {
    fn new(stream: R) -> Self {
        Stream {
            rest: stream.take(MOST_UNPACKED),
            ahead: Vec::new(),
        }
    }

    /// Skips zeroes, and looks at as many bytes as a magic has; none at the end.
    fn look_ahead(&mut self) -> Result<()> {
        let mut byte = [0];
        while self.ahead.len() < MAGICS[0].len() {
            if self.rest.read(&mut byte).context("it is damaged")? == 0 {
                break;
            }
            if byte != [0] || !self.ahead.is_empty() {
                self.ahead.extend(byte);
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Stream<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.ahead.is_empty() {
            return self.rest.read(into);
        }
        let count = into.len().min(self.ahead.len());
        into[..count].copy_from_slice(&self.ahead[..count]);
        self.ahead.drain(..count);
        Ok(count)
    }
}

/// What a packed archive holds, told by its beginning.
fn unpacked<'a>(beginning: &[u8], stream: impl BufRead + 'a) -> Result<Box<dyn Read + 'a>> {
    let unpacked: Box<dyn Read> = match beginning {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(stream)),
        [0xfd, b'7', b'z', b'X', ..] => {
            // As much as the highest level needs.
            let decoder = liblzma::stream::Stream::new_stream_decoder(128 << 20, 0)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(stream, decoder))
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let mut decoder = zstd::Decoder::with_buffer(stream)?;
            // `zstd --ultra` with the largest window that the kernel unpacks.
            decoder.window_log_max(27)?;
            Box::new(decoder)
        }
        [0x02, 0x21, 0x4c, 0x18, ..] => Box::new(lz4_flex::frame::FrameDecoder::new(stream)),
        [b'B', b'Z', b'h', ..] => bail!("it is packed by bzip2, which is not read"),
        [0x89, b'L', b'Z', b'O', ..] => bail!("it is packed by lzop, which is not read"),
        [0x5d, 0, 0, ..] => bail!("it is packed by lzma, which is not read"),
        _ => bail!("it is no cpio archive, and packed by nothing that is known"),
    };
    // It is looked at byte by byte.
    Ok(Box::new(BufReader::with_capacity(1 << 16, unpacked)))
}

/// Reads an archive to the end of its last entry.
fn archive(stream: &mut impl Read, modules: &mut BTreeSet<String>) -> Result<()> {
    for _ in 0..MOST_ENTRIES {
        let mut header = [0; HEADER];
        stream.read_exact(&mut header).context("it is cut off")?;
        ensure!(
            MAGICS.iter().any(|magic| header.starts_with(magic)),
            "an entry of it is damaged"
        );
        let (size, length) = (number(&header, 6)?, number(&header, 11)? as usize);
        ensure!(
            (1..=LONGEST_NAME).contains(&length),
            "an entry of it has a name of {length} bytes"
        );
        let mut name = vec![0; length];
        stream.read_exact(&mut name).context("it is cut off")?;
        skip(stream, padding((HEADER + length) as u64))?;
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        skip(stream, size + padding(size))?;
        if name == TRAILER {
            return Ok(());
        }
        if modules.len() < MOST_MODULES {
            modules.extend(module(name));
        }
    }
    bail!("it has more than {MOST_ENTRIES} entries");
}

/// A field of a header: eight hexadecimal digits behind the magic.
fn number(header: &[u8; HEADER], field: usize) -> Result<u64> {
    let digits = &header[6 + 8 * field..][..8];
    let digits = std::str::from_utf8(digits).ok();
    let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let value = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    value.context("an entry of it is damaged")
}

/// Bytes to the next multiple of four.
fn padding(length: u64) -> u64 {
    length.next_multiple_of(4) - length
}

fn skip(stream: &mut impl Read, length: u64) -> Result<()> {
    let skipped = io::copy(&mut stream.by_ref().take(length), &mut io::sink());
    ensure!(skipped.context("it is damaged")? == length, "it is cut off");
    Ok(())
}

/// The module that a file is: `kernel/drivers/nvme/host/nvme-core.ko.xz` is `nvme_core`.
fn module(path: &[u8]) -> Option<String> {
    let name = path.rsplit(|byte| *byte == b'/').next()?;
    name_of(std::str::from_utf8(name).ok()?)
}

/// The module of a file's name, packed or not.
pub fn name_of(file: &str) -> Option<String> {
    let (name, ending) = file.split_once(".ko")?;
    let packed = ["", ".xz", ".gz", ".zst"].contains(&ending);
    (packed && !name.is_empty()).then(|| name.replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn cpio(names: &[(&str, usize)]) -> Vec<u8> {
        let mut archive = Vec::new();
        for (name, size) in names.iter().chain(&[("TRAILER!!!", 0)]) {
            let mut fields = [0; 13];
            (fields[6], fields[11]) = (*size, name.len() + 1);
            archive.extend_from_slice(b"070701");
            for field in fields {
                write!(archive, "{field:08x}").unwrap();
            }
            archive.extend_from_slice(name.as_bytes());
            archive.push(0);
            archive.resize(archive.len().next_multiple_of(4), 0);
            archive.resize((archive.len() + size).next_multiple_of(4), b'x');
        }
        archive
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn xz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 0);
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn archives_of_every_form_are_read() {
        let early = {
            let mut early = cpio(&[
                ("early_cpio", 2),
                ("kernel/x86/microcode/GenuineIntel.bin", 5001),
            ]);
            early.resize(early.len().next_multiple_of(512), 0);
            early
        };
        let main = cpio(&[
            (".", 0),
            (
                "usr/lib/modules/5.14/kernel/drivers/block/virtio_blk.ko.xz",
                70_001,
            ),
            (
                "usr/lib/modules/5.14/kernel/drivers/nvme/host/nvme-core.ko",
                3,
            ),
            ("usr/lib/modules/5.14/modules.dep", 9),
            ("usr/lib/x.koala", 1),
        ]);
        let packed = [
            main.clone(),
            gzip(&main),
            xz(&main),
            zstd::encode_all(&main[..], 3).unwrap(),
        ];
        for packed in packed {
            for whole in [packed.clone(), [early.clone(), packed].concat()] {
                let found = modules(&whole[..]).unwrap();
                let found: Vec<&str> = found.iter().map(String::as_str).collect();
                assert_eq!(found, ["nvme_core", "virtio_blk"]);
            }
        }
        // Padding behind a packed one, and a second archive behind a plain one.
        let padded = [gzip(&main), vec![0; 300]].concat();
        assert_eq!(modules(&padded[..]).unwrap().len(), 2);
        let twice = [main.clone(), cpio(&[("a/virtio_scsi.ko", 0)])].concat();
        assert_eq!(modules(&twice[..]).unwrap().len(), 3);
    }

    /// What cpio, gzip, xz, zstd and lz4 wrote.
    #[test]
    fn files_of_the_programs_are_read() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds/initramfs");
        for name in ["plain", "gzip", "xz", "zstd", "lz4", "early"] {
            let file = std::fs::File::open(format!("{directory}/{name}")).unwrap();
            let found: Vec<String> = modules(file).unwrap().into_iter().collect();
            assert_eq!(found, ["nvme_core", "virtio_blk"], "{name}");
        }
    }

    #[test]
    fn what_is_none_is_an_error() {
        let whole = cpio(&[("a.ko", 100)]);
        let long = [&whole[..94], b"ffffffff", &whole[102..]].concat();
        for (bytes, says) in [
            (&b""[..], "empty"),
            (&[0; 100], "empty"),
            (b"hello, world", "no cpio"),
            (b"BZh9", "bzip2"),
            (&whole[..60], "cut off"),
            (&whole[..150], "cut off"),
            (&long, "a name of"),
            (&gzip(b"hello"), "no cpio"),
            (&gzip(&whole)[..40], "incomplete"),
        ] {
            let error = format!("{:#}", modules(bytes).unwrap_err());
            assert!(error.contains(says), "{error} {says}");
        }
    }
}
