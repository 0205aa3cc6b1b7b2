//! Initial file systems with something of ours in them: a second archive behind the installer's own.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use cpio::newc::{Builder, ModeFileType, trailer};
use flate2::Compression;
use flate2::write::GzEncoder;

/// A file of an initial file system: its name, its permissions and its content; a directory if the name
/// ends with `/`. A directory that may be a link in the initrd must not be named: the kernel would put a
/// directory in its place.
pub type InitrdFile<'a> = (&'a str, u32, &'a [u8]);

/// The kernel looks for the next archive at multiples of four bytes and skips zeros in between
/// (Linux `init/initramfs.c`; `Documentation/driver-api/early-userspace/buffer-format.rst`).
const ALIGNMENT: u64 = 4;

/// Writes to `copy` (which must not exist) the initrd with a second archive behind it that holds
/// the files. Only the owner can read it: kickstarts hold passwords.
///
/// The bytes of the initrd are not read by us where the file system can share or copy them
/// itself (`io::copy` between files is `copy_file_range`, which makes reflinks on XFS and btrfs).
///
/// # Errors
/// Anything that goes wrong with the files; nothing is left at `copy` then.
pub fn extend(initrd: &Path, copy: &Path, files: &[InitrdFile<'_>]) -> anyhow::Result<()> {
    extend_by(initrd, copy, |target| archive(target, files)?.flush())
}

/// The same with an archive that is packed with gzip, which every kernel with an initrd of its own
/// distribution can unpack: for what goes over a network, or onto a disc.
///
/// # Errors
/// As for [`extend`].
pub fn extend_packed(initrd: &Path, copy: &Path, files: &[InitrdFile<'_>]) -> anyhow::Result<()> {
    extend_by(initrd, copy, |target| {
        let packer = GzEncoder::new(target, Compression::default());
        archive(packer, files)?.finish()?.flush()
    })
}

fn extend_by(
    initrd: &Path,
    copy: &Path,
    write: impl FnOnce(BufWriter<File>) -> io::Result<()>,
) -> anyhow::Result<()> {
    let mut source =
        File::open(initrd).with_context(|| format!("opening the initrd {}", initrd.display()))?;
    let target = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(copy)
        .with_context(|| format!("creating {}", copy.display()))?;
    begin(&mut source, target)
        .and_then(write)
        .inspect_err(|_| {
            // It is ours, and half an initrd is of no use; the first error is the one to tell.
            let _ = std::fs::remove_file(copy);
        })
        .with_context(|| format!("writing {}", copy.display()))
}

/// The initrd, up to where the next archive begins.
fn begin(source: &mut File, mut target: File) -> io::Result<BufWriter<File>> {
    io::copy(source, &mut target)?;
    let length = target.stream_position()?;
    let mut target = BufWriter::new(target);
    let padding = length.next_multiple_of(ALIGNMENT) - length;
    target.write_all(&vec![0; padding as usize])?;
    Ok(target)
}

/// An archive of the files.
fn archive<W: Write>(target: W, files: &[InitrdFile<'_>]) -> io::Result<W> {
    // The root directory comes along with its mode, because an archive made elsewhere with
    // another mode would change it for all services of the initrd (lorax: dbus fails then).
    let mut target = directory(".", 1, 0o755).write(target, 0).finish()?;
    for (number, (name, mode, content)) in (2..).zip(files) {
        if let Some(name) = name.strip_suffix('/') {
            target = directory(name, number, *mode).write(target, 0).finish()?;
            continue;
        }
        let size = u32::try_from(content.len()).map_err(io::Error::other)?;
        let mut file = Builder::new(name)
            .ino(number)
            .mode(*mode)
            .set_mode_file_type(ModeFileType::Regular)
            .write(target, size);
        file.write_all(content)?;
        target = file.finish()?;
    }
    trailer(target)
}

fn directory(name: &str, number: u32, mode: u32) -> Builder {
    let directory = Builder::new(name).ino(number).nlink(2).mode(mode);
    directory.set_mode_file_type(ModeFileType::Directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cpio::newc::Reader;
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_kernel_finds_the_second_archive() {
        for (length, kickstart) in [(0, ""), (1, "a"), (2, "ab"), (3, "abc"), (4096, "text\n")] {
            let folder = tempfile::tempdir().unwrap();
            let (initrd, copy) = (folder.path().join("i"), folder.path().join("c"));
            std::fs::write(&initrd, vec![7; length]).unwrap();
            extend(&initrd, &copy, &[("ks.cfg", 0o600, kickstart.as_bytes())]).unwrap();

            let mode = std::fs::metadata(&copy).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            let bytes = std::fs::read(&copy).unwrap();
            assert_eq!(bytes[..length], vec![7; length]);
            let start = length.next_multiple_of(4);
            assert!(bytes[length..start].iter().all(|byte| *byte == 0));

            let root = Reader::new(&bytes[start..]).unwrap();
            assert_eq!((root.entry().name(), root.entry().mode()), (".", 0o040_755));
            let mut file = Reader::new(root.finish().unwrap()).unwrap();
            assert_eq!(file.entry().name(), "ks.cfg");
            assert_eq!(file.entry().mode(), 0o100_600);
            let mut content = String::new();
            file.read_to_string(&mut content).unwrap();
            assert_eq!(content, kickstart);
            let end = Reader::new(file.finish().unwrap()).unwrap();
            assert!(end.entry().is_trailer());
        }
    }

    #[test]
    fn a_packed_archive_holds_directories_and_files() {
        let folder = tempfile::tempdir().unwrap();
        let (initrd, copy) = (folder.path().join("i"), folder.path().join("c"));
        std::fs::write(&initrd, [7; 8]).unwrap();
        let files: [InitrdFile<'_>; 2] = [("a/", 0o755, b""), ("a/b", 0o700, b"text")];
        extend_packed(&initrd, &copy, &files).unwrap();
        let packed = std::fs::read(&copy).unwrap();
        let mut plain = Vec::new();
        let mut unpacked = flate2::read::GzDecoder::new(&packed[8..]);
        unpacked.read_to_end(&mut plain).unwrap();
        let root = Reader::new(&plain[..]).unwrap();
        let directory = Reader::new(root.finish().unwrap()).unwrap();
        let entry = directory.entry();
        assert_eq!((entry.name(), entry.mode()), ("a", 0o040_755));
        let mut file = Reader::new(directory.finish().unwrap()).unwrap();
        assert_eq!(file.entry().mode(), 0o100_700);
        let mut content = String::new();
        file.read_to_string(&mut content).unwrap();
        assert_eq!(content, "text");
    }

    #[test]
    fn nothing_is_overwritten_or_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("c");
        // A directory opens, and cannot be read.
        assert!(extend(folder.path(), &copy, &[("x", 0o600, b"x")]).is_err());
        assert!(!copy.exists());
        std::fs::write(&copy, "mine").unwrap();
        let initrd = folder.path().join("i");
        std::fs::write(&initrd, "x").unwrap();
        assert!(extend(&initrd, &copy, &[("x", 0o600, b"x")]).is_err());
        assert_eq!(std::fs::read_to_string(&copy).unwrap(), "mine");
    }
}
