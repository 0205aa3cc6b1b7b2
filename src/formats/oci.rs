//! A system's files as a container image: an OCI archive of one layer, without what only a machine needs.

use std::fs::File;
use std::time::SystemTime;

use anyhow::Result;
use serde_json::json;

use super::container::{self, Image, Layer};
use super::facts::Facts;
use super::trees::Finished;
use crate::image::manifest::timestamp;

/// Where programs are, as the distributions' own container images have it.
const SEARCH_PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Writes the image whose layer is in `layer` into an empty file.
///
/// # Errors
/// It cannot be written.
pub fn write(
    facts: &Facts,
    archive: &Finished,
    layer: File,
    into: File,
    (name, arch): (&str, &str),
) -> Result<()> {
    let created = timestamp(SystemTime::now());
    let mut labels = serde_json::Map::new();
    for (label, value) in [
        ("title", Some(name.to_owned())),
        ("created", Some(created.clone())),
        ("version", facts.release("VERSION_ID")),
        ("description", facts.release("PRETTY_NAME")),
        ("url", facts.release("HOME_URL")),
    ] {
        if let Some(value) = value {
            labels.insert(format!("org.opencontainers.image.{label}"), json!(value));
        }
    }
    let config = json!({
        "created": created,
        "architecture": arch,
        "os": "linux",
        "config": { "Env": [SEARCH_PATH], "Cmd": ["/bin/bash"], "Labels": labels },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", archive.unpacked_sha256)] },
        "history": [{
            "created": created,
            "created_by": "ozr",
            "comment": "the files of an installed system, without kernel and boot loader",
        }],
    });
    // Names of repositories have no capitals.
    let reference = format!("{}:latest", name.to_lowercase());
    let image = Image {
        config,
        arch,
        reference: Some(reference),
    };
    let layer = Layer {
        file: layer,
        sha256: archive.sha256.clone(),
        size: archive.size,
    };
    container::write(&image, layer, into)
}
