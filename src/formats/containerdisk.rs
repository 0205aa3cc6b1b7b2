//! KubeVirt's containerDisk (its user guide, "Disks and Volumes"): a container image from scratch
//! whose one layer holds the disk below `/disk`, for user and group 107, QEMU's there.

use std::fs::File;
use std::io::BufWriter;

use anyhow::Result;
use serde_json::json;

use super::container::{self, Image, Layer};
use super::digested::Digested;
use super::package::Package;
use super::packed::{Codec, Packed};
use super::pool::Pool;
use super::tarball::{Form, Tarball};
use crate::image::checksum;
use crate::image::manifest::timestamp;

/// QEMU's user and group in KubeVirt's pods.
const QEMU: u64 = 107;

/// Writes the archive into `into`; `layer` is an empty file for what it holds.
///
/// # Errors
/// It cannot be written.
pub fn write(package: &Package<'_>, into: File, layer: File, pool: &Pool) -> Result<()> {
    let unpacked = write_layer(package, &layer, pool)?;
    let (sha256, size) = checksum::hash(&layer, package.stop)?;
    let created = timestamp(std::time::SystemTime::now());
    let config = json!({
        "created": created,
        "architecture": package.hardware.go_arch(),
        "os": "linux",
        "config": { "Labels": { "org.opencontainers.image.title": package.name } },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{unpacked}")] },
        "history": [{ "created": created, "created_by": "ozr", "comment": "KubeVirt containerDisk" }],
    });
    let layer = Layer {
        file: layer,
        sha256,
        size,
    };
    let image = Image {
        config,
        arch: package.hardware.go_arch(),
        reference: None,
    };
    container::write(&image, layer, into)
}

/// Writes the layer; the digest of what is packed in it.
fn write_layer(package: &Package<'_>, layer: &File, pool: &Pool) -> Result<String> {
    let (size, mut content) = package.content()?;
    let packed = Packed::begin(BufWriter::new(layer.try_clone()?), Codec::Gzip, pool)?;
    let mut tarball = Tarball::begin(Digested::new(packed), Form::Ustar);
    tarball.directory("disk")?;
    let name = format!("disk/{}.qcow2", package.name);
    tarball.file_of((&name, 0o440, QEMU), size, &mut content)?;
    let digested = tarball.end()?;
    digested.out.end()?;
    Ok(digested.sha256())
}
