//! SHA-256 of large sparse files, and `NAME.CHECKSUM`: sizes and digests of all images of a build, as
//! the distributions' mirrors have them and `sha256sum -c` reads them.

use std::borrow::Cow;
use std::fmt::Write;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use rustix::fs::{SeekFrom, seek};
use sha2::{Digest, Sha256};

use crate::{blocking, hex};

/// Large enough for the disk's read-ahead, small enough for the processor's cache.
const BUFFER: usize = 1 << 20;

/// The checksum of a file, in hexadecimal, and its length in bytes. Works in a thread of its
/// own, which stops when the future is dropped.
///
/// # Errors
///
/// If the file cannot be read.
pub async fn sha256(file: &File) -> Result<(String, u64)> {
    let file = file.try_clone()?;
    blocking::stoppable(move |stop| hash(&file, stop)).await
}

/// The same, in this thread.
///
/// # Errors
///
/// Those of [`sha256`]; `stop` was set.
pub fn hash(file: &File, stop: &AtomicBool) -> Result<(String, u64)> {
    let reading = || "reading the image for its checksum";
    let length = file.metadata().with_context(reading)?.len();
    let mut digest = Sha256::new();
    let mut buffer = vec![0; BUFFER];
    let zeroes = vec![0; BUFFER];
    let mut at = 0;
    while at < length {
        // Holes are not read; they still count as the zeroes that they are.
        let data = next_data(file, at, length);
        while at < data {
            stopped(stop)?;
            let size = (data - at).min(BUFFER as u64);
            digest.update(&zeroes[..size as usize]);
            at += size;
        }
        let hole = next_hole(file, at, length);
        while at < hole {
            stopped(stop)?;
            let size = (hole - at).min(BUFFER as u64) as usize;
            file.read_exact_at(&mut buffer[..size], at)
                .with_context(reading)?;
            digest.update(&buffer[..size]);
            at += size as u64;
        }
    }
    Ok((hex::encode(digest.finalize()), length))
}

fn stopped(stop: &AtomicBool) -> Result<()> {
    if stop.load(Ordering::Relaxed) {
        bail!("interrupted");
    }
    Ok(())
}

/// Where the next data is, from `at` on; at once where the file system knows no holes.
fn next_data(file: &File, at: u64, length: u64) -> u64 {
    match seek(file, SeekFrom::Data(at)) {
        Ok(data) => data.min(length),
        // ENXIO: only a hole is left.
        Err(rustix::io::Errno::NXIO) => length,
        Err(_) => at,
    }
}

/// Where the data at `at` ends.
fn next_hole(file: &File, at: u64, length: u64) -> u64 {
    match seek(file, SeekFrom::Hole(at)) {
        Ok(hole) if hole > at => hole.min(length),
        _ => length,
    }
}

/// The text of `NAME.CHECKSUM` for these files: name, length in bytes, SHA-256 in hexadecimal.
pub fn text<'a>(files: impl IntoIterator<Item = (Cow<'a, str>, u64, &'a str)>) -> String {
    let mut text = String::new();
    for (name, size, sha256) in files {
        // As sha256sum does: names with backslashes or line breaks are escaped, and marked.
        let escaped = name
            .replace('\\', "\\\\")
            .replace('\n', "\\n")
            .replace('\r', "\\r");
        let mark = if escaped == name { "" } else { "\\" };
        let _ = writeln!(text, "# {escaped}: {size} bytes");
        let _ = writeln!(text, "{mark}SHA256 ({escaped}) = {sha256}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn holes_count_as_zeroes() {
        let directory = tempfile::tempdir().unwrap();
        let [sparse, full] = ["sparse", "full"].map(|name| directory.path().join(name));
        let mut bytes = vec![0_u8; 5 << 20];
        bytes[3 << 20..][..4].copy_from_slice(b"data");
        std::fs::write(&full, &bytes).unwrap();
        let file = File::create(&sparse).unwrap();
        file.set_len(5 << 20).unwrap();
        file.write_all_at(b"data", 3 << 20).unwrap();
        let expected = hex::sha256(&bytes);
        for path in [&sparse, &full] {
            let file = File::open(path).unwrap();
            assert_eq!(sha256(&file).await.unwrap(), (expected.clone(), 5 << 20));
        }
    }

    #[test]
    fn names_are_escaped_as_sha256sum_does() {
        let of = |name: &'static str| text([(Cow::from(name), 7, "00")]);
        assert_eq!(
            of("a b.qcow2"),
            "# a b.qcow2: 7 bytes\nSHA256 (a b.qcow2) = 00\n"
        );
        assert_eq!(of("a\\b"), "# a\\\\b: 7 bytes\n\\SHA256 (a\\\\b) = 00\n");
    }

    #[test]
    fn who_is_told_to_stop_computes_no_checksum() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("image");
        // Of a hole, and of data.
        std::fs::File::create(&path)
            .unwrap()
            .set_len(1 << 20)
            .unwrap();
        for content in [None, Some("data")] {
            if let Some(content) = content {
                std::fs::write(&path, content).unwrap();
            }
            let file = File::open(&path).unwrap();
            hash(&file, &AtomicBool::new(false)).unwrap();
            let error = hash(&file, &AtomicBool::new(true)).unwrap_err();
            assert_eq!(error.to_string(), "interrupted");
        }
    }
}
