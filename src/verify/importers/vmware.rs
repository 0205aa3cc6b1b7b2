//! vSphere: OVAs and VMDKs.

use anyhow::Result;

use super::{archive, descriptor, facts, files, structure};
use crate::machine::Firmware;
use crate::verify::archive::Archive;
use crate::verify::facts::{Kind, Packing, Vmdk, of_head};
use crate::verify::{Findings, Question};

const MAKE: &str = "`ozr convert` with `--format ova` or `vmdk` makes what vSphere takes";

/// What the descriptor's format of a streamOptimized disk ends in.
const STREAM_OPTIMIZED: &str = "#streamOptimized";

/// Says what vSphere would.
pub(super) fn judge(question: &Question<'_>, findings: &mut Findings<'_>) -> Result<()> {
    let Some((kind, _)) = facts(question, findings)? else {
        return Ok(());
    };
    match kind {
        Kind::Tar => {
            let archive = archive(question, Packing::None, findings)?;
            ova(&archive, question, findings);
        }
        Kind::Vmdk(vmdk) => {
            disk(question.name, &vmdk, findings);
            findings.boot(&vmdk.beginning, vmdk.size, question.firmware);
        }
        other => findings.error(
            format!(
                "it is {}, and vSphere imports OVAs and streamOptimized VMDKs",
                other.name()
            ),
            MAKE,
        ),
    }
    Ok(())
}

/// What is wrong with a VMDK.
pub(super) fn disk(name: &str, vmdk: &Vmdk, findings: &mut Findings<'_>) {
    if !vmdk.is_stream_optimized || vmdk.create_type != "streamOptimized" {
        let is = match vmdk.create_type.as_str() {
            "" => "of no kind that it says",
            kind => kind,
        };
        findings.error(
            format!("{name} is a VMDK that is {is}, not streamOptimized"),
            "`qemu-img convert -O vmdk` needs `-o subformat=streamOptimized`; `ozr convert` makes it so",
        );
    }
    if vmdk.adapter == "ide" {
        findings.warn(
            format!("{name} says that it is an IDE disk"),
            "`qemu-img` needs `-o adapter_type=lsilogic`",
        );
    }
}

fn ova(archive: &Archive, question: &Question<'_>, findings: &mut Findings<'_>) {
    let Some(descriptor) = descriptor(archive, findings) else {
        return;
    };
    if let Some(member) = archive.ending(".ovf").next() {
        structure(&member.text(), findings);
    }
    files(&descriptor, archive, findings);
    manifest(archive, findings);
    if !descriptor
        .systems
        .iter()
        .any(|system| system.starts_with("vmx-"))
    {
        findings.error(
            "the descriptor names no version of VMware's hardware",
            "write a VirtualSystemType such as vmx-18",
        );
    }
    let claimed = match descriptor.firmware.as_deref() {
        Some("efi") => Firmware::Uefi,
        _ => Firmware::Bios,
    };
    if question
        .firmware
        .is_some_and(|firmware| firmware != claimed)
    {
        findings.error(
            format!(
                "the descriptor says that the machine starts by {}",
                claimed.name()
            ),
            "",
        );
    }
    for described in &descriptor.disks {
        if !described.format.ends_with(STREAM_OPTIMIZED) {
            findings.error(
                format!(
                    "the descriptor says that a disk's format is {:?}",
                    described.format
                ),
                "vSphere imports streamOptimized disks",
            );
        }
        let file = descriptor
            .files
            .iter()
            .find(|file| file.id == described.file);
        let Some(member) = file.and_then(|file| archive.member(&file.href)) else {
            continue;
        };
        match of_head(&member.head) {
            Kind::Vmdk(vmdk) => {
                disk(&member.name, &vmdk, findings);
                if described.bytes() != Some(vmdk.size) {
                    findings.error(
                        format!(
                            "the descriptor gives {} a capacity that is not the {} bytes of its disk",
                            member.name, vmdk.size
                        ),
                        "",
                    );
                }
                findings.boot(&vmdk.beginning, vmdk.size, Some(claimed));
            }
            other => findings.error(
                format!("{} is {}, no VMDK", member.name, other.name()),
                MAKE,
            ),
        }
    }
}

/// Compares the digests of the manifest.
fn manifest(archive: &Archive, findings: &mut Findings<'_>) {
    let Some(manifest) = archive.ending(".mf").next() else {
        findings.warn(
            "there is no manifest (.mf) in the archive, so nobody sees that it is damaged",
            "",
        );
        return;
    };
    let text = manifest.text();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let parts = line.split_once('(').and_then(|(digest, rest)| {
            let (name, value) = rest.split_once(')')?;
            Some((digest.trim(), name, value.trim_start_matches('=').trim()))
        });
        let Some((digest, name, value)) = parts else {
            findings.error(
                format!("the manifest has a line that is none: {line:?}"),
                "",
            );
            continue;
        };
        match (archive.member(name), digest) {
            (None, _) => findings.error(
                format!("the manifest names {name}, which is not in the archive"),
                "",
            ),
            (Some(member), "SHA256") if !member.sha256.eq_ignore_ascii_case(value) => {
                findings.error(
                    format!("{name} has not the digest that the manifest gives"),
                    "",
                );
            }
            (Some(_), "SHA256") => {}
            (Some(_), other) => findings.note(format!("the {other} of {name} was not compared")),
        }
    }
}
