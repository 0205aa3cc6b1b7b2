//! `qemu-img`, with typed options and answers. The format of every file is named: an image's
//! content is the guest's, and must never be guessed at.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};
use serde::Deserialize;
use tokio::process::Command;

use crate::machine::DiskFormat;
use crate::process;
use crate::state::OwnedDir;

/// Our end of what a child reads as its standard input, by which qemu-img opens an image whatever
/// its path has come to mean.
const STDIN: &str = "/proc/self/fd/0";

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
    /// The files with the data of a VMDK.
    #[serde(default)]
    pub extents: Vec<Extent>,
}

/// A file with data of a VMDK.
#[derive(Debug, Clone, Deserialize)]
pub struct Extent {
    /// Its path.
    pub filename: String,
}

impl Info {
    /// Whether the image needs no other file.
    pub fn is_standalone(&self) -> bool {
        let details = self.format_specific.as_ref().map(|specific| &specific.data);
        let others = details.is_some_and(|details| {
            let mut extents = details.extents.iter();
            details.data_file.is_some() || extents.any(|extent| extent.filename != STDIN)
        });
        self.backing_filename.is_none() && self.full_backing_filename.is_none() && !others
    }
}

/// Creates the empty qcow2 image `name` of `size` bytes in `dir`, which takes no room yet.
///
/// Metadata is not preallocated. That would make scattered small writes faster (60,000 of
/// 16 KiB, each to a new cluster: 1.2 s against 10.2 s), but the finished file would be as long
/// as the disk (holes included) for whoever copies, hashes or uploads it. Lazy refcounts gain
/// nothing with the guest's `cache=unsafe`.
///
/// # Errors
///
/// If `qemu-img` fails.
pub async fn create(dir: &OwnedDir, name: &str, size: u64) -> Result<()> {
    process::output(
        qemu_img(dir)
            .args(["create", "-q", "-f", DiskFormat::Qcow2.name(), name])
            .arg(size.to_string()),
    )
    .await
    .map(drop)
}

/// Creates the image `name` in `dir`, in qcow2, which stands on the image `backing`, of which it shows
/// everything that is not written to it; of `size` bytes, or as large.
///
/// # Errors
///
/// If `qemu-img` fails: the backing image is not of that format, or not there.
pub async fn create_overlay(
    dir: &OwnedDir,
    name: &str,
    backing: (&Path, DiskFormat),
    size: Option<u64>,
) -> Result<()> {
    let mut command = qemu_img(dir);
    command
        .args(["create", "-q", "-f", DiskFormat::Qcow2.name()])
        .args(["-F", backing.1.name(), "-b"])
        .arg(backing.0)
        .arg(name)
        .args(size.map(|size| size.to_string()));
    process::output(&mut command).await.map(drop)
}

/// In the directory itself, whatever its path has come to mean.
fn qemu_img(dir: &OwnedDir) -> Command {
    let mut command = process::command("qemu-img");
    // Of the child, which has all our descriptors until it becomes qemu-img.
    command.current_dir(format!("/proc/self/fd/{}", dir.as_fd().as_raw_fd()));
    command
}

/// Asks about an image.
///
/// # Errors
///
/// If `qemu-img` fails, or gives an answer that is not understood.
pub async fn info(image: &File, driver: DiskFormat) -> Result<Info> {
    let mut command = process::command("qemu-img");
    command
        .args(["info", "--output=json", "-f", driver.name(), STDIN])
        .stdin(Stdio::from(image.try_clone()?));
    let json = process::output(&mut command).await?;
    serde_json::from_slice(&json).context("reading what qemu-img says of the image")
}

/// Copies an image into the new one `name` in `dir`, with these options of its driver, as many
/// requests in flight as there are processors, and `compressed` or not. Zeroes become holes.
///
/// # Errors
///
/// If `qemu-img` fails; the new image is then not complete.
pub async fn convert(
    (image, driver): (&File, DiskFormat),
    (dir, name, target): (&OwnedDir, &str, DiskFormat),
    options: &[&str],
    compressed: bool,
) -> Result<()> {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut command = qemu_img(dir);
    command
        .stdin(Stdio::from(image.try_clone()?))
        // `-W`: the target has no reader that needs its blocks in order.
        .args(["convert", "-q", "-W", "-m"])
        .arg(processors.clamp(4, MAX_COROUTINES).to_string())
        .args(["-f", driver.name(), "-O", target.name()]);
    if compressed {
        command.arg("-c");
    }
    for option in options {
        command.args(["-o", option]);
    }
    process::output(command.args([STDIN, name])).await.map(drop)
}

/// Writes an image as a plain disk into a file that is there. Zeroes become holes.
///
/// # Errors
///
/// If `qemu-img` fails.
pub async fn to_raw((image, format): (&File, DiskFormat), into: &File) -> Result<()> {
    let place = format!("/proc/{}/fd/{}", std::process::id(), into.as_raw_fd());
    let mut command = process::command("qemu-img");
    command
        .stdin(Stdio::from(image.try_clone()?))
        .args(["convert", "-q", "-f", format.name(), "-O", "raw"])
        .args([STDIN.to_owned(), place]);
    process::output(&mut command).await.map(drop)
}

/// The first bytes of a disk, whatever format its file has: `count` of them, or all.
///
/// # Errors
///
/// If `qemu-img` fails.
pub async fn beginning(image: &File, format: DiskFormat, count: usize) -> Result<Vec<u8>> {
    // It has no name that could be left behind: qemu-img opens our descriptor.
    let mut into = tempfile::tempfile().context("making a file for a disk's beginning")?;
    let place = format!("/proc/{}/fd/{}", std::process::id(), into.as_raw_fd());
    let mut command = process::command("qemu-img");
    command
        .stdin(Stdio::from(image.try_clone()?))
        .args(["dd", "-f", format.name(), "-O", "raw"])
        .args([format!("bs={count}"), "count=1".to_owned()])
        .args([format!("if={STDIN}"), format!("of={place}")]);
    process::output(&mut command).await?;
    let mut bytes = Vec::new();
    into.rewind()?;
    into.take(count as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}
