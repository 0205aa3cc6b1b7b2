//! What importers' guests need inside: told by what `ozr inspect` reads of the image, in a process of
//! its own.

use super::{Findings, Importer, Question};
use crate::image::reader;
use crate::inspect::Inspection;
use crate::inspect::Installed;

/// Agents, of which one of each group makes a guest what its importer expects: for whom, the
/// packages, what they are for.
const AGENTS: [(Importer, &[&str], &str); 4] = [
    (
        Importer::Azure,
        &["WALinuxAgent", "cloud-init"],
        "provisions the machine: user, keys, host name",
    ),
    (
        Importer::Aws,
        &["cloud-init"],
        "takes keys and user data from the metadata",
    ),
    (
        Importer::Kubevirt,
        &["cloud-init"],
        "takes keys and user data from KubeVirt's volume",
    ),
    (
        Importer::Kubevirt,
        &["qemu-guest-agent"],
        "tells addresses and freezes file systems",
    ),
];

/// Begins of the names of disks that are others on other machines.
const MOVING_DISKS: [&str; 5] = ["/dev/sd", "/dev/vd", "/dev/xvd", "/dev/hd", "/dev/nvme"];

/// Looks into the disk of a file that is plain, with or without a VHD's footer, or a qcow2.
pub(super) async fn look(importer: Importer, question: &Question<'_>, findings: &mut Findings<'_>) {
    match reader::inspect(question.program, std::slice::from_ref(question.file)).await {
        Ok(inspection) => judge(importer, &inspection, findings),
        Err(error) => findings.note(format!("what is inside was not looked at: {error:#}")),
    }
}

fn judge(importer: Importer, inspection: &Inspection, findings: &mut Findings<'_>) {
    let Some(system) = &inspection.system else {
        let why = match inspection.troubles.as_slice() {
            [] => "no system is on it".to_owned(),
            troubles => troubles.join("; "),
        };
        return findings.note(format!("what is inside was not looked at: {why}"));
    };
    agents(importer, system, findings);
    for entry in &system.boot_entries {
        let mut arguments = entry.arguments.split_whitespace();
        let root = arguments.find_map(|argument| argument.strip_prefix("root="));
        if let Some(root) =
            root.filter(|root| MOVING_DISKS.iter().any(|disk| root.starts_with(disk)))
        {
            findings.warn(
                format!(
                    "the kernel's root={root} names a disk that has another name on other machines"
                ),
                "name it by its UUID: `grubby --update-kernel=ALL --args=root=UUID=...`",
            );
            break;
        }
    }
    let has_serial_console = |arguments: &str| arguments.contains("console=tty");
    let entries = &system.boot_entries;
    if matches!(importer, Importer::Azure | Importer::Aws)
        && !entries.is_empty()
        && !entries
            .iter()
            .any(|entry| has_serial_console(&entry.arguments))
    {
        findings.warn(
            "the kernel's arguments name no console, so the cloud's serial console stays empty",
            "add `console=ttyS0` (`console=ttyAMA0` on ARM) to `bootloader --append` of the kickstart",
        );
    }
    for kernel in system.kernels.iter().filter(|kernel| !kernel.initramfs) {
        findings.warn(
            format!(
                "the kernel {} has no initramfs, so it finds no disk that needs a module",
                kernel.version
            ),
            "run `dracut -f` for it",
        );
    }
    let storage = &inspection.storage;
    let partitions = storage
        .partitions
        .iter()
        .map(|partition| &partition.filesystem);
    let volumes = storage.volumes.iter().map(|volume| &volume.filesystem);
    let mut all = partitions.chain(volumes).flatten();
    if importer == Importer::Azure && all.any(|filesystem| filesystem.kind == "swap") {
        findings.warn(
            "there is swap space on the disk, which Azure's document forbids on the disk of the system",
            "leave it out of the kickstart; the agent makes it on the temporary disk",
        );
    }
}

fn agents(importer: Importer, system: &Installed, findings: &mut Findings<'_>) {
    let Some(packages) = &system.packages else {
        return findings
            .note("which agents are installed is not known: the packages cannot be read");
    };
    for (whose, names, purpose) in AGENTS {
        let installed = packages
            .iter()
            .any(|package| names.contains(&package.name.as_str()));
        if whose == importer && !installed {
            findings.warn(
                format!("{} is not installed, which {purpose}", names.join(" or ")),
                "add it to %packages of the kickstart",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What is found in a system with these packages and kernel arguments.
    fn found(importer: Importer, packages: &[&str], arguments: &str, kind: &str) -> Vec<String> {
        let package = |name: &&str| {
            json!({ "name": name, "version": "1", "release": "1", "epoch": null, "arch": "x86_64",
                "size": 1, "vendor": null, "signing_key": null, "source_rpm": null, "license": null,
                "summary": null, "built": null, "installed": null })
        };
        let system = json!({
            "release": { "id": "rocky", "version_id": "9", "name": "Rocky", "cpe": null, "variant_id": null },
            "arch": null, "hostname": null, "mounts": [], "unreadable": [], "services": [], "users": [],
            "kernels": [{ "version": "5.14", "image": true, "initramfs": true }],
            "boot_entries": [{ "title": null, "linux": "/vmlinuz", "arguments": arguments }],
            "default_target": null, "selinux": null,
            "packages": packages.iter().map(package).collect::<Vec<_>>(),
        });
        let partition = json!({ "number": 1, "start": 0, "size": 1, "type": "83", "type_name": null,
            "uuid": null, "name": null,
            "filesystem": { "kind": kind, "label": null, "uuid": null } });
        let inspection = json!({
            "schema": 1, "firmware": [], "system": system, "troubles": [],
            "storage": { "size": 1, "table": null, "filesystem": null, "partitions": [partition], "volumes": [] },
        });
        let inspection: Inspection = serde_json::from_value(inspection).unwrap();
        let mut findings = Findings {
            name: "x",
            all: Vec::new(),
        };
        judge(importer, &inspection, &mut findings);
        findings
            .all
            .into_iter()
            .map(|finding| finding.message)
            .collect()
    }

    #[test]
    fn guests_have_what_their_importers_expect() {
        let good = "root=UUID=1 console=ttyS0";
        assert_eq!(
            found(Importer::Azure, &["WALinuxAgent"], good, "xfs"),
            [""; 0]
        );
        for (importer, packages, arguments, kind, says) in [
            (Importer::Azure, &["bash"][..], good, "xfs", "WALinuxAgent"),
            (Importer::Azure, &["WALinuxAgent"], good, "swap", "swap"),
            (
                Importer::Aws,
                &["cloud-init"],
                "root=UUID=1",
                "xfs",
                "console",
            ),
            (
                Importer::Aws,
                &["cloud-init"],
                "root=/dev/vda2 console=ttyS0",
                "xfs",
                "root=/dev/vda2",
            ),
            (
                Importer::Kubevirt,
                &["cloud-init"],
                good,
                "xfs",
                "qemu-guest-agent",
            ),
        ] {
            let found = found(importer, packages, arguments, kind);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(says), "{found:?}");
        }
    }
}
