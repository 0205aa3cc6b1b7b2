//! Packed metadata as a stream of its contents. What it is packed with is told by its first
//! bytes: names say it too, but mirrors have been seen to unpack what they serve.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::time::Instant;

use flate2::bufread::MultiGzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};

/// Most bytes that one file is unpacked to. Fedora's list of 75,000 packages has 200 MB; a file
/// that unpacks to more than this is an attack, or nothing that can be searched in a moment.
pub const MAX_UNPACKED: u64 = 512 << 20;

/// Most memory for unpacking xz, in bytes: `xz -9` takes 65 MiB to unpack.
const XZ_MEMORY: u64 = 128 << 20;

/// Largest window of zstd, as a power of two: what the zstd program itself takes by default.
const ZSTD_WINDOW_LOG: u32 = 27;

/// Size of the buffers, in bytes.
const BUFFER: usize = 128 << 10;

/// Opens a file and unpacks it while it is read. Reading fails past `limit` bytes, and after
/// `deadline`, when nobody waits for it any more.
///
/// # Errors
/// The file cannot be opened, or is packed with something else.
pub fn open(path: &Path, limit: u64, deadline: Instant) -> io::Result<Box<dyn BufRead>> {
    stream(
        BufReader::with_capacity(BUFFER, File::open(path)?),
        limit.min(MAX_UNPACKED),
        deadline,
    )
}

/// Unpacks a stream as [`open`] does.
///
/// # Errors
/// It is packed with something else.
pub fn stream(
    mut packed: impl BufRead + 'static,
    limit: u64,
    deadline: Instant,
) -> io::Result<Box<dyn BufRead>> {
    let head = packed.fill_buf()?;
    let unpacked: Box<dyn Read> = if head.starts_with(&[0x1f, 0x8b]) {
        Box::new(MultiGzDecoder::new(packed))
    } else if head.starts_with(b"\xfd7zXZ\0") {
        let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)?;
        Box::new(XzDecoder::new_stream(packed, stream))
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG)?;
        Box::new(decoder)
    } else if head.trim_ascii_start().starts_with(b"<") || head.starts_with(b"\xef\xbb\xbf") {
        Box::new(packed)
    } else {
        return Err(io::Error::other("it is neither XML nor gzip, xz or zstd"));
    };
    Ok(Box::new(BufReader::with_capacity(
        BUFFER,
        Limited {
            inner: unpacked,
            left: limit,
            limit,
            deadline,
        },
    )))
}

/// Fails where `Read::take` would pretend that the text ends.
struct Limited<R> {
    inner: R,
    left: u64,
    limit: u64,
    deadline: Instant,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if Instant::now() > self.deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let count = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            io::Error::other(format!("it unpacks to more than {} bytes", self.limit))
        })?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn unpacked(packed: Vec<u8>, limit: u64) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        let deadline = Instant::now() + std::time::Duration::from_secs(60);
        stream(Cursor::new(packed), limit, deadline)?.read_to_end(&mut all)?;
        Ok(all)
    }

    #[test]
    fn every_packing_gives_the_same_text() {
        let text = b"<metadata>a text of some length</metadata>".repeat(100);
        let xz = {
            let mut packed = Vec::new();
            liblzma::bufread::XzEncoder::new(&text[..], 6)
                .read_to_end(&mut packed)
                .unwrap();
            packed
        };
        for packed in [
            text.clone(),
            gzip(&text),
            xz,
            zstd::encode_all(&text[..], 3).unwrap(),
        ] {
            assert_eq!(unpacked(packed, MAX_UNPACKED).unwrap(), text);
        }
    }

    #[test]
    fn bombs_and_other_files_are_refused() {
        let bomb = gzip(&vec![b'<'; 1 << 20]);
        assert!(bomb.len() < 2000);
        let error = unpacked(bomb.clone(), 1000).unwrap_err().to_string();
        assert_eq!(error, "it unpacks to more than 1000 bytes");
        assert_eq!(unpacked(bomb, 1 << 20).unwrap().len(), 1 << 20);
        let error = unpacked(b"BZh91AY".to_vec(), 1000).unwrap_err().to_string();
        assert!(error.contains("neither XML nor gzip"), "{error}");
        assert!(unpacked(gzip(b"<a/>")[..10].to_vec(), 1000).is_err());
    }
}
