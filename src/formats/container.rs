//! Container images of one layer as OCI archives (OCI Image Format Specification 1.1; `oci-archive:` of skopeo
//! and podman).

use std::fs::File;
use std::io::{BufWriter, Seek, Write};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::package::add;
use super::tarball::{Form, Tarball};
use crate::hex;

/// A layer: a tar archive, packed by gzip.
#[derive(Debug)]
pub struct Layer {
    /// Its file.
    pub file: File,
    /// The SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// The file's bytes.
    pub size: u64,
}

/// A container image, but for its layer.
#[derive(Debug)]
pub struct Image<'a> {
    /// Its configuration.
    pub config: Value,
    /// The processors that it is for, in Go's words.
    pub arch: &'a str,
    /// What it is called where it is loaded, if it has a name.
    pub reference: Option<String>,
}

/// Writes an image into an empty file.
///
/// # Errors
/// It cannot be written, or the layer not read.
pub fn write(image: &Image<'_>, mut layer: Layer, into: File) -> Result<()> {
    let config = image.config.to_string();
    let layer_is = descriptor("layer.v1.tar+gzip", &layer.sha256, layer.size);
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
    entry["platform"] = json!({ "architecture": image.arch, "os": "linux" });
    if let Some(reference) = &image.reference {
        entry["annotations"] = json!({ "org.opencontainers.image.ref.name": reference });
    }
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
    layer.file.rewind().context("reading a layer")?;
    tarball.file(&blob(&layer.sha256), layer.size, &mut layer.file)?;
    tarball.end()?.flush().context("writing a container image")
}

fn descriptor(kind: &str, sha256: &str, size: u64) -> Value {
    json!({
        "mediaType": format!("application/vnd.oci.image.{kind}"),
        "digest": format!("sha256:{sha256}"),
        "size": size,
    })
}
