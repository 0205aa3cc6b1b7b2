//! oVirt and OLVM: OVAs with a qcow2.

use anyhow::Result;

use super::{archive, descriptor, facts, files, qcow2};
use crate::verify::facts::{Kind, Packing, of_head};
use crate::verify::{Findings, Question};

const MAKE: &str = "`ozr convert` with `--format ovirt` makes what oVirt takes";

/// Says what oVirt would (`OvfOvaReader` of its engine).
pub(super) fn judge(question: &Question<'_>, findings: &mut Findings<'_>) -> Result<()> {
    let Some((kind, _)) = facts(question, findings)? else {
        return Ok(());
    };
    if kind != Kind::Tar {
        findings.error(
            format!("it is {}, and oVirt imports OVAs", kind.name()),
            MAKE,
        );
        return Ok(());
    }
    let archive = archive(question, Packing::None, findings)?;
    let Some(descriptor) = descriptor(&archive, findings) else {
        return Ok(());
    };
    files(&descriptor, &archive, findings);
    for disk in &descriptor.disks {
        let file = descriptor.files.iter().find(|file| file.id == disk.file);
        let Some(member) = file.and_then(|file| archive.member(&file.href)) else {
            continue;
        };
        match of_head(&member.head) {
            Kind::Qcow2(header) => {
                qcow2(&member.name, &header, findings);
                if disk.volume_format != "COW" {
                    findings.error(
                        format!(
                            "{} is a qcow2, and its volume-format is {:?}",
                            member.name, disk.volume_format
                        ),
                        "oVirt knows a qcow2 by `ovf:volume-format=\"COW\"`",
                    );
                }
                // Without units oVirt counts bytes, or GiB in what older engines wrote.
                let capacity = disk.capacity.unwrap_or(0);
                if disk.bytes() != Some(header.size) && capacity << 30 != header.size {
                    findings.error(
                        format!("the descriptor gives {} a capacity that is not the {} bytes of its disk", member.name, header.size),
                        "",
                    );
                }
            }
            other => findings.error(
                format!(
                    "the disk {} is {}, and oVirt's own OVAs hold qcow2 images",
                    member.name,
                    other.name()
                ),
                MAKE,
            ),
        }
    }
    Ok(())
}
