//! The guest's disk: its creation, and what becomes of it, the finished image with its sidecars and
//! its checksum. All of it by descriptors: what is published is the file that QEMU wrote.

use std::fs::{File, Permissions};
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use rustix::fs::{AtFlags, Mode, OFlags, SeekFrom, seek, unlinkat};
use sha2::{Digest, Sha256};

use super::output::OutputPaths;
use super::publish::{self, Finished};
use super::qemu_img;
use crate::error::{Kind, fail};
use crate::hex;
use crate::options::{Compress, Format};
use crate::state::OwnedDir;

/// Images hold password hashes and host keys: they are the user's alone. So are console logs, in
/// which a script can have printed anything.
const PRIVATE: u32 = 0o600;

/// Manifests, checksums and domain XML hold no secrets; the umask may still take some of this.
const PUBLIC: u32 = 0o644;

/// Name of the disk in the work directory.
pub const NAME: &str = "disk.qcow2";

/// Below this an install of the smallest release would not fit: a minimal EL install takes about
/// 1.2 GiB, downloads included.
const LEAST_SPACE: u64 = 1 << 30;

/// Creates the disk of `size` bytes in the work directory, thin, in qcow2: its metadata knows what
/// the guest has discarded, whatever the file system can do. The file itself.
///
/// # Errors
///
/// If there is no room to speak of, or `qemu-img` fails.
pub async fn create(work: &OwnedDir, size: u64) -> Result<File> {
    ensure_space(work.path(), LEAST_SPACE.min(size), "an install")?;
    qemu_img::create(work, NAME, Format::Qcow2, size)
        .await
        .context("creating the guest's disk")?;
    let disk = work.file(NAME, false)?;
    // It will hold password hashes and keys.
    disk.set_permissions(Permissions::from_mode(PRIVATE))
        .context("setting the mode of the guest's disk")?;
    Ok(disk)
}

/// A finished image that has no name yet.
#[derive(Debug)]
pub struct Image<'a> {
    work: &'a OwnedDir,
    name: String,
    file: File,
    /// The file's length in bytes.
    pub size: u64,
    /// The size of the disk that a guest sees, in bytes.
    pub virtual_size: u64,
    /// The SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

/// What lies beside an image.
#[derive(Debug)]
pub struct Sidecars<'a> {
    /// The manifest, as JSON.
    pub manifest: &'a str,
    /// A domain that boots the image, as libvirt's XML.
    pub domain_xml: &'a str,
    /// Name of the console log in the work directory.
    pub console_log: &'a str,
    /// Name of the kickstart as it was served, secrets masked, in the work directory.
    pub kickstart: &'a str,
    /// What the image is made of, as JSON, and where that goes.
    pub sboms: Vec<(String, &'a Path)>,
}

/// Makes the image from the guest's qcow2 `disk` in the work directory. The guest must be
/// gone. Without compression the disk becomes the image as it is; otherwise it is converted.
///
/// # Errors
///
/// If the disk stands on another image, if there is no room (kind [`Kind::Host`]), or if
/// `qemu-img` fails.
pub async fn finish<'a>(
    work: &'a OwnedDir,
    disk: &File,
    format: Format,
    compress: Compress,
) -> Result<Image<'a>> {
    let info = qemu_img::info(work, NAME, Format::Qcow2)
        .await
        .context("looking at the finished disk")?;
    if !info.is_standalone() {
        bail!("the finished disk needs another file beside it, which an image must not");
    }
    let as_it_is = format == Format::Qcow2 && compress == Compress::None;
    let (name, file) = if as_it_is {
        (NAME.to_owned(), disk.try_clone()?)
    } else {
        ensure_space(work.path(), info.actual_size, "converting the image")?;
        let name = format!("image.{}", format.name());
        qemu_img::convert(work, (NAME, Format::Qcow2), (&name, format), compress)
            .await
            .context("converting the finished disk")?;
        let file = work.file(&name, false)?;
        (name, file)
    };
    file.set_permissions(Permissions::from_mode(PRIVATE))
        .context("setting the mode of the image")?;
    let (sha256, size) = sha256(&file).await?;
    Ok(Image {
        work,
        name,
        file,
        size,
        virtual_size: info.virtual_size,
        sha256,
    })
}

impl Image<'_> {
    /// Gives the image and its sidecars their names, all or none. With `replace` they take those of
    /// files that are there.
    ///
    /// # Errors
    ///
    /// If a file cannot be written; nothing has changed then. Of kind [`Kind::Input`], if a file
    /// is there and is not to be replaced.
    pub fn publish(
        self,
        output: &OutputPaths,
        sidecars: &Sidecars<'_>,
        replace: bool,
    ) -> Result<()> {
        if replace {
            publish::check_unused(&output.image)?;
        }
        let work = self.work.as_fd();
        // The XML may have been asked for in another file system, where no rename gets it.
        let beside = output.xml.parent().filter(|dir| *dir != output.dir);
        let beside = beside.map(|dir| {
            let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::open(dir, flags, Mode::empty())
                .with_context(|| format!("opening {}", dir.display()))
        });
        let beside = beside.transpose()?;
        let xml_dir = beside.as_ref().map_or(work, AsFd::as_fd);
        let xml_name = format!(".ozr-{}.xml", hex::random()?);
        let sum = sum_line(&self.sha256, &output.image);
        let xml = write(xml_dir, &xml_name, sidecars.domain_xml)?;
        let manifest = write(work, "manifest.json", sidecars.manifest)?;
        let checksum = write(work, "sha256", &sum)?;
        let console_log = self.work.file(sidecars.console_log, false)?;
        let kickstart = self.work.file(sidecars.kickstart, false)?;
        let mut files = vec![
            (work, self.name.as_str(), &self.file, &output.image),
            (xml_dir, &xml_name, &xml, &output.xml),
            (
                work,
                sidecars.console_log,
                &console_log,
                &output.console_log,
            ),
            (work, sidecars.kickstart, &kickstart, &output.kickstart),
            (work, "manifest.json", &manifest, &output.manifest),
            (work, "sha256", &checksum, &output.checksum),
        ];
        let sboms = sidecars.sboms.iter().enumerate();
        let sboms = sboms.map(|(number, (json, to))| {
            let name = format!("sbom-{number}.json");
            let file = write(work, &name, json)?;
            anyhow::Ok((name, file, to.to_path_buf()))
        });
        let sboms: Vec<(String, File, PathBuf)> = sboms.collect::<Result<_>>()?;
        files.extend(
            sboms
                .iter()
                .map(|(name, file, to)| (work, name.as_str(), file, to)),
        );
        let finished = files.into_iter().map(|(dir, from, file, to)| Finished {
            dir,
            from,
            file,
            to: to.clone(),
            replace,
        });
        let published = publish::publish(&finished.collect::<Vec<_>>());
        // What is left there: an old file, or the new one.
        let _ = unlinkat(xml_dir, &xml_name, AtFlags::empty());
        published
    }
}

/// Writes a new file.
fn write(dir: BorrowedFd<'_>, name: &str, content: &str) -> Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let write = || {
        let file = rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(PUBLIC))?;
        let mut file = File::from(file);
        file.write_all(content.as_bytes())?;
        std::io::Result::Ok(file)
    };
    write().with_context(|| format!("writing {name}"))
}

/// The line of `sha256sum` for an image: names with backslashes or line breaks are escaped.
fn sum_line(sha256: &str, image: &Path) -> String {
    let name = image
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let mark = if name.contains(['\\', '\n', '\r']) {
        "\\"
    } else {
        ""
    };
    let name = name
        .replace('\\', "\\\\")
        .replace('\n', "\\n")
        .replace('\r', "\\r");
    format!("{mark}{sha256}  {name}\n")
}

/// The room, in bytes, that an ordinary user has on the file system of `directory`.
///
/// # Errors
///
/// If the directory cannot be reached.
pub fn available_space(directory: &Path) -> Result<u64> {
    let stat = rustix::fs::statvfs(directory)
        .with_context(|| format!("asking for free space in {}", directory.display()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Makes sure that there is room for `needed` bytes.
///
/// # Errors
///
/// Of kind [`Kind::Host`], if there is not.
fn ensure_space(directory: &Path, needed: u64, purpose: &str) -> Result<()> {
    let available = available_space(directory)?;
    if available >= needed {
        return Ok(());
    }
    fail!(
        Kind::Host,
        "only {} are free in {}, and {purpose} needs about {}; free some space or choose \
             another place with `--output-dir`",
        human(available),
        directory.display(),
        human(needed)
    )
}

/// A size for people, in binary units.
pub fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

/// Large enough for the disk's read-ahead, small enough for the processor's cache.
const BUFFER: usize = 1 << 20;

/// The checksum of a file, in hexadecimal, and its length in bytes. Works in a thread of its
/// own, which stops when the future is dropped.
///
/// # Errors
///
/// If the file cannot be read.
pub async fn sha256(file: &File) -> Result<(String, u64)> {
    struct StopOnDrop(Arc<AtomicBool>);
    impl Drop for StopOnDrop {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let guard = StopOnDrop(Arc::new(AtomicBool::new(false)));
    let (stop, file) = (Arc::clone(&guard.0), file.try_clone()?);
    tokio::task::spawn_blocking(move || hash(&file, &stop))
        .await
        .context("computing a checksum")?
}

fn hash(file: &File, stop: &AtomicBool) -> Result<(String, u64)> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::kind_of;

    #[test]
    fn names_in_checksums_are_escaped_as_sha256sum_does() {
        assert_eq!(sum_line("00", Path::new("/o/a b.qcow2")), "00  a b.qcow2\n");
        assert_eq!(sum_line("00", Path::new("/o/a\\b")), "\\00  a\\\\b\n");
    }

    #[test]
    fn sizes_are_readable() {
        assert_eq!(human(0), "0 B");
        assert_eq!(human(1536), "1.5 KiB");
        assert_eq!(human(10 << 30), "10.0 GiB");
        assert_eq!(human(u64::MAX), "16.0 EiB");
    }

    #[test]
    fn too_little_room_is_the_hosts_fault() {
        let here = std::env::temp_dir();
        ensure_space(&here, 0, "nothing").unwrap();
        let error = ensure_space(&here, u64::MAX, "everything").unwrap_err();
        assert_eq!(kind_of(&error), Some(Kind::Host));
        assert!(
            error
                .to_string()
                .contains("everything needs about 16.0 EiB")
        );
    }

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
}
