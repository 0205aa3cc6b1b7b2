//! Vagrant boxes, for the provider that their metadata names.

use anyhow::Result;
use serde_json::Value;

use super::{archive, facts, qcow2, read_descriptor, vmware};
use crate::verify::archive::Archive;
use crate::verify::facts::{Kind, Packing, of_head};
use crate::verify::{Findings, Question};

/// Says what Vagrant and the box's provider would.
pub(super) fn judge(question: &Question<'_>, findings: &mut Findings<'_>) -> Result<()> {
    let Some((kind, _)) = facts(question, findings)? else {
        return Ok(());
    };
    let packing = match kind {
        Kind::Packed(packing @ (Packing::Gzip | Packing::Xz)) => packing,
        Kind::Tar => Packing::None,
        other => {
            findings.error(
                format!(
                    "it is {}, and a box is a tar archive, packed by gzip most often",
                    other.name()
                ),
                "`ozr convert` makes boxes with `--format vagrant-PROVIDER`",
            );
            return Ok(());
        }
    };
    let archive = archive(question, packing, findings)?;
    let Some(metadata) = archive.member("metadata.json") else {
        findings.error(
            "there is no metadata.json in the box",
            "it names the provider",
        );
        return Ok(());
    };
    let metadata: Value = match serde_json::from_slice(&metadata.head) {
        Ok(metadata) => metadata,
        Err(error) => {
            findings.error(format!("metadata.json is no JSON: {error}"), "");
            return Ok(());
        }
    };
    match metadata["provider"].as_str() {
        Some("libvirt") => libvirt(&archive, &metadata, findings),
        Some("virtualbox") => virtualbox(&archive, findings),
        Some("vmware_desktop" | "vmware_fusion" | "vmware_workstation") => {
            desktop(&archive, findings)
        }
        Some("hyperv") => hyperv(&archive, findings),
        Some(other) => findings.note(format!("what boxes for {other:?} need is not known")),
        None => findings.error("metadata.json names no provider", ""),
    }
    Ok(())
}

fn libvirt(archive: &Archive, metadata: &Value, findings: &mut Findings<'_>) {
    let listed = metadata["disks"].as_array().map(|disks| {
        let paths = disks.iter().filter_map(|disk| disk["path"].as_str());
        paths.map(str::to_owned).collect::<Vec<_>>()
    });
    let is_old = listed.is_none();
    for name in listed.unwrap_or_else(|| vec!["box.img".to_owned()]) {
        let Some(member) = archive.member(&name) else {
            findings.error(format!("there is no {name} in the box"), "");
            continue;
        };
        let Kind::Qcow2(header) = of_head(&member.head) else {
            findings.error(
                format!("{name} is no qcow2"),
                "vagrant-libvirt takes no other",
            );
            continue;
        };
        qcow2(&name, &header, findings);
        let needed = header.size.div_ceil(1 << 30);
        match metadata["virtual_size"].as_u64() {
            Some(said) if said < needed => findings.error(
                format!("virtual_size is {said} GiB, and the disk needs {needed}"),
                "round it up",
            ),
            None if is_old => findings.error(
                "metadata.json has no virtual_size",
                "it is the disk's size in whole GiB",
            ),
            _ => {}
        }
    }
    if is_old && metadata["format"] != "qcow2" {
        findings.error("metadata.json does not say that the format is qcow2", "");
    }
}

fn virtualbox(archive: &Archive, findings: &mut Findings<'_>) {
    let Some(member) = archive.member("box.ovf") else {
        return findings.error("there is no box.ovf in the box", "");
    };
    let Some(descriptor) = read_descriptor(&member.name, &member.head, member.size, findings)
    else {
        return;
    };
    super::structure(&member.text(), findings);
    super::files(&descriptor, archive, findings);
    if descriptor.resources.iter().any(|kind| kind == "32768") {
        findings.error(
            "box.ovf has an item of ResourceType 32768 (NVRAM), which older VirtualBoxes refuse",
            "leave the item out",
        );
    }
    for disk in &descriptor.disks {
        let file = descriptor.files.iter().find(|file| file.id == disk.file);
        let Some(member) = file.and_then(|file| archive.member(&file.href)) else {
            continue;
        };
        match of_head(&member.head) {
            Kind::Vmdk(vmdk) => {
                vmware::disk(&member.name, &vmdk, findings);
                if disk.bytes() != Some(vmdk.size) {
                    findings.error(
                        format!(
                            "box.ovf gives {} a capacity that is not the {} bytes of its disk",
                            member.name, vmdk.size
                        ),
                        "",
                    );
                }
            }
            other => findings.error(format!("{} is {}, no VMDK", member.name, other.name()), ""),
        }
        let images = &descriptor.images;
        if !disk.uuid.is_empty()
            && !images.is_empty()
            && !images.contains(&format!("{{{}}}", disk.uuid))
        {
            findings.error(
                "the disk's UUID is another in VirtualBox's own part of box.ovf",
                "both must be the same",
            );
        }
    }
}

fn desktop(archive: &Archive, findings: &mut Findings<'_>) {
    let Some(vmx) = archive.ending(".vmx").next() else {
        return findings.error("there is no .vmx in the box", "");
    };
    let text = vmx.text();
    let disks = text.lines().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        let value = value.trim().trim_matches('"');
        let is_disk =
            key.trim().to_ascii_lowercase().ends_with(".filename") && value.ends_with(".vmdk");
        is_disk.then(|| value.to_owned())
    });
    let disks: Vec<String> = disks.collect();
    if disks.is_empty() {
        findings.error(format!("{} has no disk", vmx.name), "");
    }
    for name in disks {
        match archive.member(&name).map(|member| of_head(&member.head)) {
            None => findings.error(
                format!("{} names {name}, which is not in the box", vmx.name),
                "",
            ),
            Some(Kind::Vmdk(vmdk)) if vmdk.is_stream_optimized => findings.error(
                format!(
                    "{name} is streamOptimized, which VMware's desktop products cannot write to"
                ),
                "make it monolithicSparse",
            ),
            // The files that a descriptor names are the maker's business.
            Some(Kind::Vmdk(_) | Kind::VmdkDescriptor) => {}
            Some(other) => findings.error(format!("{name} is {}, no VMDK", other.name()), ""),
        }
    }
}

fn hyperv(archive: &Archive, findings: &mut Findings<'_>) {
    let inside = |directory: &str, endings: &[&str]| {
        let mut files = archive.members.iter().filter(|member| member.is_file);
        files.any(|member| {
            let name = member.name.to_ascii_lowercase();
            member.name.starts_with(directory)
                && endings.iter().any(|ending| name.ends_with(ending))
        })
    };
    if !inside("Virtual Machines/", &[".xml", ".vmcx"]) {
        findings.error(
            "there is no machine in `Virtual Machines`",
            "Vagrant looks for a .xml or .vmcx there",
        );
    }
    if !inside("Virtual Hard Disks/", &[".vhdx", ".vhd"]) {
        findings.error(
            "there is no disk in `Virtual Hard Disks`",
            "Vagrant looks for a .vhdx or .vhd there",
        );
    }
    for disk in archive.ending(".vhdx") {
        let kind = of_head(&disk.head);
        if kind != Kind::Vhdx {
            findings.error(format!("{} is {}, no VHDX", disk.name, kind.name()), "");
        }
    }
}
