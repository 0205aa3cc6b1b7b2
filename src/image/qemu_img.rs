//! `qemu-img`, with typed options and answers. The format of every file is named: an image's
//! content is the guest's, and must never be guessed at.

use std::os::fd::{AsFd, AsRawFd};

use anyhow::{Context, Result};
use serde::Deserialize;
use tokio::process::Command;

use crate::options::{Compress, Format};
use crate::process;
use crate::state::OwnedDir;

/// The most requests that `qemu-img convert -m` works on at a time.
const MAX_COROUTINES: usize = 16;

/// What `qemu-img info` tells of an image.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Info {
    /// QEMU's name of the format.
    pub format: String,
    /// The size of the disk that the guest sees, in bytes.
    pub virtual_size: u64,
    /// What the file takes on its file system, in bytes.
    pub actual_size: u64,
    /// The image that this one stands on.
    pub backing_filename: Option<String>,
    /// A backing file's name without its `json:` form; older releases give only this one.
    pub full_backing_filename: Option<String>,
    /// What only this format has.
    pub format_specific: Option<FormatSpecific>,
}

/// What only one format has.
#[derive(Debug, Clone, Deserialize)]
pub struct FormatSpecific {
    /// The details.
    pub data: FormatDetails,
}

/// Details of a format; what a format does not have is absent.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FormatDetails {
    /// The qcow2 version: `1.1` for version 3.
    pub compat: Option<String>,
    /// The qcow2 compression type, if it is not `zlib`.
    pub compression_type: Option<String>,
    /// An external file with the data of a qcow2 image.
    pub data_file: Option<String>,
}

impl Info {
    /// Whether the image needs no other file.
    pub fn is_standalone(&self) -> bool {
        let data_file = self
            .format_specific
            .as_ref()
            .and_then(|specific| specific.data.data_file.as_ref());
        self.backing_filename.is_none()
            && self.full_backing_filename.is_none()
            && data_file.is_none()
    }
}

/// Creates the empty image `name` of `size` bytes in `dir`, which takes no room yet.
///
/// Metadata is not preallocated. That would make scattered small writes faster (60,000 of
/// 16 KiB, each to a new cluster: 1.2 s against 10.2 s), but the finished file would be as long
/// as the disk (holes included) for whoever copies, hashes or uploads it. Lazy refcounts gain
/// nothing with the guest's `cache=unsafe`.
///
/// # Errors
///
/// If `qemu-img` fails.
pub async fn create(dir: &OwnedDir, name: &str, format: Format, size: u64) -> Result<()> {
    process::output(
        qemu_img(dir)
            .args(["create", "-q", "-f", format.name(), name])
            .arg(size.to_string()),
    )
    .await
    .map(drop)
}

/// In the directory itself, whatever its path has come to mean.
fn qemu_img(dir: &OwnedDir) -> Command {
    let mut command = process::command("qemu-img");
    // Of the child, which has all our descriptors until it becomes qemu-img.
    command.current_dir(format!("/proc/self/fd/{}", dir.as_fd().as_raw_fd()));
    command
}

/// Asks about the image `name` in `dir`.
///
/// # Errors
///
/// If `qemu-img` fails, or gives an answer that is not understood.
pub async fn info(dir: &OwnedDir, name: &str, format: Format) -> Result<Info> {
    let mut command = qemu_img(dir);
    command.args(["info", "--output=json", "-f", format.name(), name]);
    let json = process::output(&mut command).await?;
    serde_json::from_slice(&json).with_context(|| format!("reading what qemu-img says of {name}"))
}

/// Converts an image in `dir`, with as many requests in flight as there are processors. Zeroes become
/// holes.
///
/// # Errors
///
/// If `qemu-img` fails; `target` is then not complete.
pub async fn convert(
    dir: &OwnedDir,
    source: (&str, Format),
    target: (&str, Format),
    compression: Compress,
) -> Result<()> {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut command = qemu_img(dir);
    command
        // `-W`: the target has no reader that needs its blocks in order.
        .args(["convert", "-q", "-W", "-m"])
        .arg(processors.clamp(4, MAX_COROUTINES).to_string())
        .args(["-f", source.1.name(), "-O", target.1.name()]);
    if compression != Compress::None {
        command
            .args(["-c", "-o"])
            .arg(format!("compression_type={}", compression.name()));
    }
    process::output(command.arg(source.0).arg(target.0))
        .await
        .map(drop)
}
