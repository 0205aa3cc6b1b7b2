//! KubeVirt's containerDisk (its user guide, "Disks and Volumes"): a container image from scratch
//! whose one layer holds the disk below `/disk`, for user and group 107, QEMU's there. As an OCI
//! archive (OCI Image Format Specification 1.1; `oci-archive:` of skopeo and podman).

use std::fs::File;
use std::io::{BufWriter, Seek, Write};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::digested::Digested;
use super::package::{Package, add};
use super::packed::{Codec, Packed};
use super::pool::Pool;
use super::tarball::{Form, Tarball};
use crate::hex;
use crate::image::checksum;
use crate::image::manifest::timestamp;

/// QEMU's user and group in KubeVirt's pods.
const QEMU: u64 = 107;

/// Writes the archive into `into`; `layer` is an empty file for what it holds.
///
/// # Errors
/// It cannot be written.
pub fn write(package: &Package<'_>, into: File, mut layer: File, pool: &Pool) -> Result<()> {
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
    let config = config.to_string();
    let layer_is = descriptor("layer.v1.tar+gzip", &sha256, size);
    let config_sha256 = hex::sha256(&config);
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("config.v1+json", &config_sha256, config.len() as u64),
        "layers": [layer_is],
    });
    let manifest = manifest.to_string();
    let manifest_sha256 = hex::sha256(&manifest);
    let mut entry = descriptor("manifest.v1+json", &manifest_sha256, manifest.len() as u64);
    entry["platform"] = json!({ "architecture": package.hardware.go_arch(), "os": "linux" });
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [entry],
    });
    let mut tarball = Tarball::begin(BufWriter::new(into), Form::Ustar);
    add(
        &mut tarball,
        "oci-layout",
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )?;
    add(&mut tarball, "index.json", &index.to_string())?;
    tarball.directory("blobs")?;
    tarball.directory("blobs/sha256")?;
    let blob = |sha256: &str| format!("blobs/sha256/{sha256}");
    add(&mut tarball, &blob(&manifest_sha256), &manifest)?;
    add(&mut tarball, &blob(&config_sha256), &config)?;
    layer.rewind().context("reading a layer")?;
    tarball.file(&blob(&sha256), size, &mut layer)?;
    tarball.end()?.flush().context("writing a container image")
}

fn descriptor(kind: &str, sha256: &str, size: u64) -> Value {
    json!({
        "mediaType": format!("application/vnd.oci.image.{kind}"),
        "digest": format!("sha256:{sha256}"),
        "size": size,
    })
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
