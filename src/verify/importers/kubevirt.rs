//! KubeVirt: containerDisks (its user guide, "Disks and Volumes"), and images that CDI imports.

use std::io::{BufReader, Read, Seek};

use anyhow::Result;
use serde_json::Value;

use super::{archive, beginning, facts, qcow2};
use crate::machine::DiskFormat;
use crate::verify::archive::{self as tar, Archive, Member};
use crate::verify::facts::{Kind, Packing, of_head, unpacked_head};
use crate::verify::{Findings, Question};

const MAKE: &str = "`ozr convert` with `--format containerdisk` makes what KubeVirt takes";

/// QEMU's user in KubeVirt's pods.
const QEMU: u64 = 107;

/// Says what KubeVirt would.
pub(super) async fn judge(question: &Question<'_>, findings: &mut Findings<'_>) -> Result<()> {
    let Some((kind, head)) = facts(question, findings)? else {
        return Ok(());
    };
    let format = match kind {
        Kind::Tar => {
            let archive = archive(question, Packing::None, findings)?;
            return container(&archive, question, findings);
        }
        Kind::Packed(packing @ (Packing::Gzip | Packing::Xz)) => {
            let head = unpacked_head(question.file, packing)?;
            match of_head(&head) {
                Kind::Qcow2(header) => qcow2(question.name, &header, findings),
                Kind::Raw => findings.boot(&head, 0, question.firmware),
                other => findings.error(format!("what is packed in it is {}", other.name()), MAKE),
            }
            return Ok(());
        }
        Kind::Raw => {
            let size = question.file.metadata()?.len();
            findings.boot(&head, size, question.firmware);
            return Ok(());
        }
        Kind::Qcow2(header) => {
            qcow2(question.name, &header, findings);
            DiskFormat::Qcow2
        }
        Kind::Vmdk(_) => DiskFormat::Vmdk,
        Kind::FixedVhd(_) | Kind::DynamicVhd => DiskFormat::Vpc,
        Kind::Vhdx => DiskFormat::Vhdx,
        other => {
            findings.error(
                format!(
                    "it is {}, and KubeVirt takes containerDisks and disk images",
                    other.name()
                ),
                MAKE,
            );
            return Ok(());
        }
    };
    match beginning(question, format).await {
        Ok((beginning, size)) => findings.boot(&beginning, size, question.firmware),
        Err(error) => findings.error(format!("the disk cannot be read: {error:#}"), MAKE),
    }
    Ok(())
}

/// An OCI archive whose one layer has one disk below `/disk`.
fn container(
    archive: &Archive,
    question: &Question<'_>,
    findings: &mut Findings<'_>,
) -> Result<()> {
    if archive.member("oci-layout").is_none() {
        findings.error(
            "it is a tar archive without oci-layout, so no OCI archive",
            "`skopeo copy` makes one of images of other kinds",
        );
        return Ok(());
    }
    let Some(index) = json(archive, "index.json", findings) else {
        return Ok(());
    };
    let manifests = index["manifests"].as_array().map_or(&[][..], Vec::as_slice);
    for entry in manifests {
        let Some(manifest) = blob(archive, entry, findings) else {
            continue;
        };
        let Ok(manifest) = serde_json::from_slice::<Value>(&manifest.head) else {
            findings.error("a manifest of the image is no JSON", "");
            continue;
        };
        let config = blob(archive, &manifest["config"], findings);
        if config.is_none_or(|config| serde_json::from_slice::<Value>(&config.head).is_err()) {
            findings.error("the image has no configuration that can be read", "");
        }
        let layers = manifest["layers"].as_array().map_or(&[][..], Vec::as_slice);
        if layers.len() != 1 {
            findings.warn(
                format!(
                    "the image has {} layers, and a containerDisk has one",
                    layers.len()
                ),
                "build it `FROM scratch`",
            );
        }
        let mut disks = Vec::new();
        for layer in layers {
            if let Some(member) = blob(archive, layer, findings) {
                disks.extend(layer_disks(question, member, findings)?);
            }
        }
        judge_disks(&disks, findings);
    }
    if manifests.is_empty() {
        findings.error("the archive has no image", "");
    }
    Ok(())
}

fn json(archive: &Archive, name: &str, findings: &mut Findings<'_>) -> Option<Value> {
    let value = archive
        .member(name)
        .map(|member| serde_json::from_slice(&member.head));
    match value {
        Some(Ok(value)) => Some(value),
        _ => {
            findings.error(format!("there is no {name} that can be read"), "");
            None
        }
    }
}

/// The member that a descriptor names, if it has its digest and size.
fn blob<'a>(
    archive: &'a Archive,
    descriptor: &Value,
    findings: &mut Findings<'_>,
) -> Option<&'a Member> {
    let digest = descriptor["digest"].as_str().unwrap_or_default();
    let sha256 = digest.strip_prefix("sha256:").unwrap_or_default();
    let Some(member) = archive.member(&format!("blobs/sha256/{sha256}")) else {
        findings.error(format!("the archive has no {digest:?}, which it needs"), "");
        return None;
    };
    if member.sha256 != sha256 || descriptor["size"].as_u64() != Some(member.size) {
        findings.error(
            format!("{digest} has another digest or size than it is said to have"),
            "",
        );
    }
    Some(member)
}

/// The files of a layer.
fn layer_disks(
    question: &Question<'_>,
    layer: &Member,
    findings: &mut Findings<'_>,
) -> Result<Vec<Member>> {
    let packing = match of_head(&layer.head) {
        Kind::Packed(packing) => packing,
        _ => Packing::None,
    };
    let mut file = question.file.try_clone()?;
    file.seek(std::io::SeekFrom::Start(layer.place))?;
    let stored = BufReader::with_capacity(1 << 20, file).take(layer.size);
    let inside = tar::read_stream(tar::unpacked(stored, packing)?);
    if let Some(fault) = &inside.fault {
        findings.error(format!("a layer cannot be read to its end: {fault}"), "");
    }
    let files = inside.members.into_iter().filter(|member| member.is_file);
    Ok(files.collect())
}

fn judge_disks(files: &[Member], findings: &mut Findings<'_>) {
    let disks: Vec<&Member> = files
        .iter()
        .filter(|file| file.name.starts_with("disk/"))
        .collect();
    match disks.as_slice() {
        [] => findings.error("there is no file below /disk in the image", MAKE),
        [_] => {}
        _ => findings.error(
            format!(
                "there are {} files below /disk, and KubeVirt takes one",
                disks.len()
            ),
            "",
        ),
    }
    if files.len() > disks.len() {
        findings.warn(
            "the image holds more than its disk",
            "build it `FROM scratch`",
        );
    }
    for disk in disks {
        match of_head(&disk.head) {
            Kind::Qcow2(header) => qcow2(&disk.name, &header, findings),
            Kind::Raw => findings.boot(&disk.head, disk.size, None),
            other => findings.error(
                format!(
                    "{} is {}, and a containerDisk holds qcow2 or plain images",
                    disk.name,
                    other.name()
                ),
                MAKE,
            ),
        }
        let (mode, user, group) = disk.owner;
        let readable = mode & 0o004 != 0
            || (user == QEMU && mode & 0o400 != 0)
            || (group == QEMU && mode & 0o040 != 0);
        if !readable {
            findings.error(
                format!("QEMU, user and group {QEMU} in KubeVirt's pods, cannot read {} (mode {mode:o}, {user}:{group})", disk.name),
                "give it to 107:107, mode 0440",
            );
        }
    }
}
