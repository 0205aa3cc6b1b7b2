//! What each importer takes.

mod clouds;
mod kubevirt;
mod ovirt;
mod vagrant;
mod vmware;
mod wsl;

use anyhow::Result;

use super::archive::{self, Archive, HEAD};
use super::facts::{self, Kind, Packing, Qcow2};
use super::ovf::{self, Descriptor};
use super::ovf_structure;
use super::{Findings, Importer, Question};
use crate::formats::boot;
use crate::formats::make::Original;
use crate::image::qemu_img;
use crate::machine::DiskFormat;

/// Says what the importer would.
pub(super) async fn judge(
    importer: Importer,
    question: &Question<'_>,
    findings: &mut Findings<'_>,
) -> Result<()> {
    match importer {
        Importer::Azure => clouds::azure(question, findings),
        Importer::Gcp => clouds::gcp(question, findings),
        Importer::Aws => clouds::aws(question, findings),
        Importer::Vmware => vmware::judge(question, findings),
        Importer::Ovirt => ovirt::judge(question, findings),
        Importer::Vagrant => vagrant::judge(question, findings),
        Importer::Kubevirt => kubevirt::judge(question, findings).await,
        Importer::Wsl => wsl::judge(question, findings),
    }
}

/// Reads an archive; what is wrong with it is a finding.
fn archive(
    question: &Question<'_>,
    packing: Packing,
    findings: &mut Findings<'_>,
) -> Result<Archive> {
    let archive = archive::read(question.file, packing)?;
    if let Some(fault) = &archive.fault {
        findings.error(
            format!("the archive cannot be read to its end: {fault}"),
            "compare its checksum with its maker's, and fetch or make it again",
        );
    }
    Ok(archive)
}

/// The first descriptor of an archive, which must be its first member.
fn descriptor(archive: &Archive, findings: &mut Findings<'_>) -> Option<Descriptor> {
    let Some(member) = archive.ending(".ovf").next() else {
        findings.error(
            "there is no descriptor (.ovf) in the archive",
            "an OVA has one, before all else",
        );
        return None;
    };
    if archive.members[0].name != member.name {
        findings.error(
            format!(
                "the archive begins with {}, and an OVA begins with its descriptor",
                archive.members[0].name
            ),
            "pack the .ovf first (DSP0243, 5.1): importers read the archive as a stream",
        );
    }
    read_descriptor(&member.name, &member.head, member.size, findings)
}

/// What a descriptor says.
fn read_descriptor(
    name: &str,
    head: &[u8],
    size: u64,
    findings: &mut Findings<'_>,
) -> Option<Descriptor> {
    if size > HEAD as u64 {
        findings.error(format!("the descriptor {name} has {size} bytes"), "");
        return None;
    }
    match ovf::read(&String::from_utf8_lossy(head)) {
        Err(reason) => {
            findings.error(
                format!("the descriptor {name} cannot be read: {reason}"),
                "",
            );
            None
        }
        Ok(descriptor) => {
            if descriptor.namespace != ovf::NAMESPACE {
                findings.error(
                    format!("the descriptor {name} is none of OVF 1"),
                    "its root must be Envelope of http://schemas.dmtf.org/ovf/envelope/1",
                );
            }
            Some(descriptor)
        }
    }
}

/// Whether a descriptor is built as the schema says, which is not asked of oVirt's.
fn structure(text: &str, findings: &mut Findings<'_>) {
    const HELP: &str = "DMTF's DSP8023 is the schema: `xmllint --schema` compares with it";
    let faults = ovf_structure::faults(text);
    for fault in faults.errors {
        findings.error(
            format!("the descriptor is no OVF by its schema: {fault}"),
            HELP,
        );
    }
    for fault in faults.warnings {
        findings.warn(
            format!("the descriptor is not as its schema has it: {fault}"),
            HELP,
        );
    }
}

/// Whether the files that a descriptor refers to are there, with the sizes that it gives.
fn files(descriptor: &Descriptor, archive: &Archive, findings: &mut Findings<'_>) {
    for file in &descriptor.files {
        match (archive.member(&file.href), file.size) {
            (None, _) => findings.error(
                format!(
                    "the descriptor refers to {}, which is not in the archive",
                    file.href
                ),
                "",
            ),
            (Some(member), Some(size)) if member.size != size => findings.error(
                format!(
                    "the descriptor says that {} has {size} bytes, and it has {}",
                    file.href, member.size
                ),
                "",
            ),
            _ => {}
        }
    }
    for disk in &descriptor.disks {
        if !disk.file.is_empty() && descriptor.files.iter().all(|file| file.id != disk.file) {
            findings.error(
                format!("a disk is in a file `{}` that there is not", disk.file),
                "",
            );
        }
    }
    if descriptor.disks.is_empty() {
        findings.error("the descriptor has no disk", "");
    }
}

/// What is wrong with a qcow2 that must need no other file.
fn qcow2(name: &str, qcow2: &Qcow2, findings: &mut Findings<'_>) {
    if !matches!(qcow2.version, 2 | 3) {
        findings.error(
            format!("{name} is a qcow2 of version {}", qcow2.version),
            "",
        );
    }
    if !qcow2.is_standalone {
        findings.error(
            format!("{name} stands on another file, which nobody has there"),
            "make it whole: `ozr convert`, or `qemu-img convert`, on the host where that file is",
        );
    }
}

/// The first bytes of a disk in a file of its own, as `qemu-img` reads it.
async fn beginning(question: &Question<'_>, format: DiskFormat) -> Result<(Vec<u8>, u64)> {
    let original = Original::open(question.file.try_clone()?, format, None).await?;
    let beginning = qemu_img::beginning(&original.file, format, boot::BEGINNING).await?;
    Ok((beginning, original.virtual_size))
}

/// What the file is, and its first bytes; nothing of an empty one.
fn facts(question: &Question<'_>, findings: &mut Findings<'_>) -> Result<Option<(Kind, Vec<u8>)>> {
    let (kind, head) = facts::of_file(question.file)?;
    if head.is_empty() {
        findings.error("the file is empty", "");
        return Ok(None);
    }
    Ok(Some((kind, head)))
}
