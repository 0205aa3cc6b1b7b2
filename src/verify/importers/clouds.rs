//! Azure, Google Cloud, AWS.

use anyhow::Result;

use super::{archive, facts};
use crate::formats::{gcp as google, vhd};
use crate::verify::facts::{Kind, Packing};
use crate::verify::{Findings, Question};

const MAKE_VHD: &str = "`ozr convert` with `--format azure` makes what Azure takes";

/// The largest disk of an image that Microsoft's document names, in bytes: 1,023 GB.
const LARGEST_OF_AZURE: u64 = 1023 << 30;

/// Azure: a VHD of fixed size, of whole MiB (Microsoft, "Prepare a Red Hat-based virtual machine for
/// Azure").
pub(super) fn azure(question: &Question<'_>, findings: &mut Findings<'_>) -> Result<()> {
    let Some((kind, head)) = facts(question, findings)? else {
        return Ok(());
    };
    let footer = match kind {
        Kind::FixedVhd(footer) if footer.kind == vhd::FIXED => footer,
        Kind::FixedVhd(_) | Kind::DynamicVhd => {
            findings.error(
                "it is a dynamic VHD, and Azure takes VHDs of fixed size only",
                MAKE_VHD,
            );
            return Ok(());
        }
        other => {
            findings.error(
                format!(
                    "it is {}, and Azure takes VHDs of fixed size only",
                    other.name()
                ),
                MAKE_VHD,
            );
            return Ok(());
        }
    };
    if !footer.is_whole {
        findings.error("the checksum of its footer is wrong", MAKE_VHD);
    }
    let length = question.file.metadata()?.len();
    if footer.size.checked_add(vhd::FOOTER as u64) != Some(length) {
        findings.error(
            format!(
                "its footer says that the disk has {} bytes, and the file has {length} with the footer's 512",
                footer.size
            ),
            MAKE_VHD,
        );
    }
    if footer.size % vhd::ALIGNMENT != 0 {
        findings.error(
            format!("the disk has {} bytes, which are no whole MiB", footer.size),
            "round the plain disk up before it becomes a VHD; `ozr convert` with `--format azure` does",
        );
    }
    if footer.size > LARGEST_OF_AZURE {
        findings.warn(
            format!("the disk has more than {} GiB", LARGEST_OF_AZURE >> 30),
            "Microsoft's document names 1,023 GB as the limit of an image",
        );
    }
    findings.boot(&head, footer.size, question.firmware);
    Ok(())
}

const MAKE_GCP: &str = "`ozr convert` with `--format gcp` makes what Google takes";

/// Google Cloud: `disk.raw` alone in a gzip'd tar archive of GNU's old form (Google, "Manually import
/// boot disks").
pub(super) fn gcp(question: &Question<'_>, findings: &mut Findings<'_>) -> Result<()> {
    let Some((kind, _)) = facts(question, findings)? else {
        return Ok(());
    };
    if kind != Kind::Packed(Packing::Gzip) {
        findings.error(
            format!(
                "it is {}, and Google takes tar archives packed by gzip",
                kind.name()
            ),
            MAKE_GCP,
        );
        return Ok(());
    }
    if !question.name.ends_with(".tar.gz") {
        findings.warn(
            "its name does not end in .tar.gz, as Google asks",
            "rename it",
        );
    }
    let archive = archive(question, Packing::Gzip, findings)?;
    if archive.has_pax {
        findings.error(
            "it has headers of pax, which Google's importer does not take",
            "make it with `tar --format=oldgnu -Sczf`, or by `ozr convert`",
        );
    } else if !archive.is_gnu && !archive.members.is_empty() {
        findings.error("it is no archive of GNU's form", MAKE_GCP);
    }
    // Google's own exporter puts its licences before the disk.
    let others = archive.members.iter();
    let others =
        others.filter(|member| ![google::MEMBER, "manifest.json"].contains(&&*member.name));
    for other in others {
        findings.error(
            format!(
                "it holds {:?}, and Google takes {} alone",
                other.name,
                google::MEMBER
            ),
            MAKE_GCP,
        );
    }
    let Some(disk) = archive.member(google::MEMBER).filter(|disk| disk.is_file) else {
        findings.error(format!("there is no {} in it", google::MEMBER), MAKE_GCP);
        return Ok(());
    };
    if disk.size % google::ALIGNMENT != 0 {
        findings.error(
            format!("the disk has {} bytes, which are no whole GiB", disk.size),
            "round it up before it is packed; `ozr convert` with `--format gcp` does",
        );
    }
    if !disk.is_sparse {
        findings.note(
            "the disk is stored with all its zeroes: `tar -S` would pack and import it faster",
        );
    }
    findings.boot(&disk.head, disk.size, question.firmware);
    Ok(())
}

/// AWS: what `import-snapshot` takes (VM Import/Export User Guide, "Image formats").
pub(super) fn aws(question: &Question<'_>, findings: &mut Findings<'_>) -> Result<()> {
    const MAKE: &str = "`ozr convert` with `--format aws` makes what AWS takes, with the commands";
    let Some((kind, head)) = facts(question, findings)? else {
        return Ok(());
    };
    match kind {
        Kind::Raw => {
            let size = question.file.metadata()?.len();
            if size % 512 != 0 {
                findings.error(format!("a disk of {size} bytes has no whole sectors"), MAKE);
            }
            findings.boot(&head, size, question.firmware);
        }
        Kind::FixedVhd(footer) => findings.boot(&head, footer.size, question.firmware),
        // Its blocks are anywhere.
        Kind::DynamicVhd => {}
        Kind::Vmdk(vmdk) if vmdk.is_stream_optimized => {
            findings.boot(&vmdk.beginning, vmdk.size, question.firmware);
        }
        Kind::Vmdk(_) => findings.error(
            "it is a VMDK that is not streamOptimized, and AWS takes no other",
            MAKE,
        ),
        other => findings.error(
            format!(
                "it is {}, and AWS takes plain disks, VHDs and streamOptimized VMDKs",
                other.name()
            ),
            MAKE,
        ),
    }
    Ok(())
}
