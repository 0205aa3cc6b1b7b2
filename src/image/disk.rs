//! The guest's disk while it is being installed.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use super::{qemu_img, space};
use crate::options::Format;

/// Below this an install of the smallest release would not fit: a minimal EL install takes about
/// 1.2 GiB, downloads included.
const LEAST_SPACE: u64 = 1 << 30;

/// Creates the disk of `size` bytes at `path`, thin, in qcow2: its metadata knows what the guest
/// has discarded, whatever the file system can do.
///
/// # Errors
///
/// If there is no room to speak of, or `qemu-img` fails.
pub async fn create(path: &Path, size: u64) -> Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    space::ensure(directory, LEAST_SPACE.min(size), "an install")?;
    qemu_img::create(path, Format::Qcow2, size)
        .await
        .context("creating the guest's disk")?;
    // It will hold password hashes and keys.
    fs::set_permissions(path, Permissions::from_mode(0o600))
        .context("setting the mode of the guest's disk")
}
