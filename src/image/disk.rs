//! The guest's disk: its creation, and the room that it and its images need.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use super::qemu_img;
use crate::error::{Kind, fail};
use crate::machine::DiskFormat;
use crate::state::OwnedDir;

/// Images hold password hashes and host keys: they are the user's alone. So are console logs, in
/// which a script can have printed anything.
pub const PRIVATE: u32 = 0o600;

/// Name of the disk with a number, from 0 on, in the work directory.
pub fn name(disk: usize) -> String {
    match disk {
        0 => "disk.qcow2".to_owned(),
        more => format!("disk-{}.qcow2", more + 1),
    }
}

/// Below this an install of the smallest release would not fit: a minimal EL install takes about
/// 1.2 GiB, downloads included.
const LEAST_SPACE: u64 = 1 << 30;

/// What disks take on which nothing is installed: their tables, file systems without files, and what the guest says.
const LEAST_EMPTY: u64 = 64 << 20;

/// Creates disks of these sizes in bytes in the work directory, thin, in qcow2: its metadata knows what
/// the guest has discarded, whatever the file system can do. The files themselves. `filled` says whether a system
/// is to be installed there.
///
/// # Errors
///
/// If there is no room to speak of, or `qemu-img` fails.
pub async fn create(work: &OwnedDir, sizes: &[u64], filled: bool) -> Result<Vec<File>> {
    let first = sizes.first().copied().unwrap_or_default();
    let (least, purpose) = match filled {
        true => (LEAST_SPACE, "an install"),
        false => (LEAST_EMPTY, "a try"),
    };
    ensure_space(work.path(), least.min(first), purpose)?;
    let mut disks = Vec::new();
    for (number, size) in sizes.iter().enumerate() {
        let name = name(number);
        qemu_img::create(work, &name, *size)
            .await
            .context("creating the guest's disk")?;
        let disk = work.file(&name, false)?;
        // It will hold password hashes and keys.
        disk.set_permissions(Permissions::from_mode(PRIVATE))
            .context("setting the mode of the guest's disk")?;
        disks.push(disk);
    }
    Ok(disks)
}

/// Copies an image of this format into the work directory, as the disk with this number; the file itself.
///
/// # Errors
///
/// If there is no room, or `qemu-img` fails.
pub async fn copy_of(
    work: &OwnedDir,
    disk: usize,
    (image, format): (&File, DiskFormat),
) -> Result<File> {
    let name = name(disk);
    qemu_img::convert(
        (image, format),
        (work, &name, DiskFormat::Qcow2),
        &[],
        false,
    )
    .await
    .context("copying the image")?;
    let disk = work.file(&name, false)?;
    disk.set_permissions(Permissions::from_mode(PRIVATE))
        .context("setting the mode of the guest's disk")?;
    Ok(disk)
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
pub fn ensure_space(directory: &Path, needed: u64, purpose: &str) -> Result<()> {
    let available = available_space(directory)?;
    if available >= needed {
        return Ok(());
    }
    fail!(
        Kind::Host,
        "only {} are free in {}, and {purpose} needs about {}; free some space or choose another place with `--output-dir`",
        human(available),
        directory.display(),
        human(needed)
    );
}

/// The sum of sizes, which may be what others claim.
pub fn total(sizes: impl Iterator<Item = u64>) -> u64 {
    sizes.fold(0, u64::saturating_add)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::kind_of;

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
}
