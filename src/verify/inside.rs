//! What importers' guests need inside: told by what is read of the image, in a process of its own.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::{Findings, Importer, Question};
use crate::disk::fstab;
use crate::image::look::{self, Answer, Request};
use crate::image::reader::{self, Image};
use crate::inspect::drivers::{Drivers, Place};
use crate::inspect::{Inspection, Installed};

/// What a disk's guest runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Machine {
    Azure,
    Gcp,
    Aws,
    Vmware,
    Ovirt,
    Kubevirt,
    /// Vagrant's providers have machines of their own.
    Libvirt,
    VirtualBox,
    VmwareDesktop,
    HyperV,
}

impl Machine {
    /// The importer's, where it has one kind alone.
    pub(super) fn of(importer: Importer) -> Option<Machine> {
        Some(match importer {
            Importer::Azure => Machine::Azure,
            Importer::Gcp => Machine::Gcp,
            Importer::Aws => Machine::Aws,
            Importer::Vmware => Machine::Vmware,
            Importer::Ovirt => Machine::Ovirt,
            Importer::Kubevirt => Machine::Kubevirt,
            Importer::Vagrant | Importer::Wsl => return None,
        })
    }
}

/// Agents, of which one of each group makes a guest what its importer expects: for whom, the
/// packages, what they are for.
const AGENTS: [(Machine, &[&str], &str); 7] = [
    (
        Machine::Azure,
        &["WALinuxAgent", "cloud-init"],
        "provisions the machine: user, keys, host name",
    ),
    (
        Machine::Gcp,
        &["google-guest-agent", "cloud-init"],
        "takes keys and user data from the metadata",
    ),
    (
        Machine::Aws,
        &["cloud-init"],
        "takes keys and user data from the metadata",
    ),
    (
        Machine::Vmware,
        &["open-vm-tools"],
        "tells addresses, and shuts the machine down in order",
    ),
    (
        Machine::Ovirt,
        &["qemu-guest-agent", "ovirt-guest-agent-common"],
        "tells addresses and freezes file systems",
    ),
    (
        Machine::Kubevirt,
        &["cloud-init"],
        "takes keys and user data from KubeVirt's volume",
    ),
    (
        Machine::Kubevirt,
        &["qemu-guest-agent"],
        "tells addresses and freezes file systems",
    ),
];

/// Drivers of a machine's disk, of which one of each group must be in the kernel or its initramfs, or the root
/// file system is not found: Microsoft, "Prepare a Red Hat-based virtual machine for Azure"; Google, "Operating
/// system details"; AWS, "NVMe volumes on Nitro instances"; what ozr's own descriptors have.
const DISKS: [(Machine, &[&str], &str); 11] = [
    (Machine::Azure, &["hv_vmbus"], "Hyper-V's bus"),
    (Machine::Azure, &["hv_storvsc"], "Hyper-V's disks"),
    (
        Machine::Gcp,
        &["virtio_scsi"],
        "disks of the older machine types",
    ),
    (Machine::Gcp, &["nvme"], "disks of the newer machine types"),
    (Machine::Aws, &["nvme"], "disks of Nitro machines"),
    (
        Machine::Vmware,
        &["vmw_pvscsi", "mptspi"],
        "VMware's SCSI disks",
    ),
    (
        Machine::Ovirt,
        &["virtio_scsi", "virtio_blk"],
        "virtio disks",
    ),
    (
        Machine::Kubevirt,
        &["virtio_blk", "virtio_scsi"],
        "virtio disks",
    ),
    (Machine::Libvirt, &["virtio_blk"], "virtio disks"),
    (
        Machine::VmwareDesktop,
        &["vmw_pvscsi", "mptspi", "ahci"],
        "VMware's disks",
    ),
    (Machine::HyperV, &["hv_storvsc"], "Hyper-V's disks"),
];

/// Drivers of a machine's network card, of which one of each group must be somewhere.
const NETWORKS: [(Machine, &[&str], &str); 10] = [
    (Machine::Azure, &["hv_netvsc"], "Hyper-V's network"),
    (
        Machine::Gcp,
        &["virtio_net"],
        "the network of the older machine types",
    ),
    (
        Machine::Gcp,
        &["gve"],
        "the network of the newer machine types",
    ),
    (Machine::Aws, &["ena"], "the network of Nitro machines"),
    (Machine::Vmware, &["vmxnet3"], "VMware's network"),
    (Machine::Ovirt, &["virtio_net"], "virtio's network"),
    (Machine::Kubevirt, &["virtio_net"], "virtio's network"),
    (Machine::Libvirt, &["virtio_net"], "virtio's network"),
    (
        Machine::VirtualBox,
        &["e1000", "virtio_net"],
        "VirtualBox' network",
    ),
    (Machine::HyperV, &["hv_netvsc"], "Hyper-V's network"),
];

/// Begins of the names of disks that are others on other machines.
const MOVING_DISKS: [&str; 5] = ["/dev/sd", "/dev/vd", "/dev/xvd", "/dev/hd", "/dev/nvme"];

const FSTAB: &str = "/etc/fstab";
/// Most bytes of an fstab.
const MOST_FSTAB: u64 = 1 << 20;

/// Looks into a disk that is plain, with or without a VHD's footer, or a qcow2.
pub(super) async fn look(
    machine: Machine,
    disk: &File,
    question: &Question<'_>,
    findings: &mut Findings<'_>,
) {
    let program = question.program;
    let keys = question.keys(disk, findings).await;
    let images = Image::opened(std::slice::from_ref(disk), &keys);
    match reader::inspect(program, std::slice::from_ref(disk), &keys).await {
        Ok(inspection) => {
            if judge(machine, &inspection, findings) {
                let fstab = Request::Read {
                    path: PathBuf::from(FSTAB),
                    most: MOST_FSTAB,
                };
                let answers = look::look(program, &images, vec![fstab]).await;
                if let Some(Answer::Content(text)) =
                    answers.ok().and_then(|all| all.into_iter().next())
                {
                    mounts(&String::from_utf8_lossy(&text), findings);
                }
                drivers(machine, program, &images, findings).await;
            }
        }
        Err(error) => findings.note(format!("what is inside was not looked at: {error:#}")),
    }
}

async fn drivers(
    machine: Machine,
    program: &Path,
    images: &[Image<'_>],
    findings: &mut Findings<'_>,
) {
    let groups = DISKS.iter().chain(&NETWORKS);
    let names = groups
        .filter(|group| group.0 == machine)
        .flat_map(|group| group.1);
    let names: Vec<String> = names.map(|name| (*name).to_owned()).collect();
    if names.is_empty() {
        return;
    }
    let question = reader::Question::Drivers(names);
    match reader::ask::<Vec<Drivers>>(program, images, &question).await {
        Ok(kernels) => kernels
            .iter()
            .for_each(|kernel| judge_drivers(machine, kernel, findings)),
        Err(error) => findings.note(format!("the drivers were not looked at: {error:#}")),
    }
}

/// Whether each group has a driver where it is needed.
fn judge_drivers(machine: Machine, kernel: &Drivers, findings: &mut Findings<'_>) {
    let version = &kernel.kernel;
    let place = |name: &&str| kernel.places.get(*name).copied().unwrap_or(Place::Nowhere);
    let missing = |groups: &'static [(Machine, &'static [&'static str], &'static str)],
                   enough: &[Place]| {
        let groups = groups.iter().filter(|group| group.0 == machine);
        let missing =
            groups.filter(|group| !group.1.iter().any(|name| enough.contains(&place(name))));
        missing.collect::<Vec<_>>()
    };
    match &kernel.unknown {
        Some(why) => findings.note(format!(
            "the drivers in the initramfs of the kernel {version} are not known: {why}"
        )),
        None => {
            for (_, names, what) in missing(&DISKS, &[Place::Builtin, Place::Initramfs]) {
                findings.rule(
                    "VF101",
                    format!(
                        "the initramfs of the kernel {version} lacks {}, without which {what} are not found",
                        names.join(" or ")
                    ),
                    &format!(
                        "put `add_drivers+=\" {} \"` into a file of /etc/dracut.conf.d and run `dracut -f --kver {version}`",
                        names[0]
                    ),
                );
            }
        }
    }
    let anywhere = [Place::Builtin, Place::Initramfs, Place::Root];
    for (_, names, what) in missing(&NETWORKS, &anywhere) {
        findings.rule(
            "VF102",
            format!(
                "the kernel {version} has no {}, the driver of {what}",
                names.join(" or ")
            ),
            "install the package with the kernel's modules (kernel-modules, kernel-modules-core)",
        );
    }
}

/// Whether fstab names disks by names that are others elsewhere.
fn mounts(text: &str, findings: &mut Findings<'_>) {
    let moving = fstab::parse(text).into_iter();
    let moving = moving.filter(|entry| is_moving(&entry.spec));
    let needed = |entry: &fstab::Entry| {
        !entry
            .options
            .iter()
            .any(|option| option == "nofail" || option == "noauto")
    };
    for entry in moving.filter(needed) {
        findings.rule(
            "VF103",
            format!(
                "fstab mounts {} by the name {}, which is another on other machines",
                entry.at.display(),
                entry.spec
            ),
            "name it by UUID= or LABEL=, as `blkid` shows them",
        );
    }
}

fn is_moving(name: &str) -> bool {
    MOVING_DISKS.iter().any(|disk| name.starts_with(disk))
}

/// Judges what is known of the system; whether there is one.
fn judge(machine: Machine, inspection: &Inspection, findings: &mut Findings<'_>) -> bool {
    let Some(system) = &inspection.system else {
        let why = match inspection.troubles.as_slice() {
            [] => "no system is on it".to_owned(),
            troubles => troubles.join("; "),
        };
        findings.note(format!("what is inside was not looked at: {why}"));
        return false;
    };
    agents(machine, system, findings);
    for entry in &system.boot_entries {
        let mut arguments = entry.arguments.split_whitespace();
        let root = arguments.find_map(|argument| argument.strip_prefix("root="));
        if let Some(root) = root.filter(|root| is_moving(root)) {
            findings.rule(
                "VF104",
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
    if matches!(machine, Machine::Azure | Machine::Aws | Machine::Gcp)
        && !entries.is_empty()
        && !entries
            .iter()
            .any(|entry| has_serial_console(&entry.arguments))
    {
        findings.rule(
            "VF105",
            "the kernel's arguments name no console, so the cloud's serial console stays empty".to_owned(),
            "add `console=ttyS0` (`console=ttyAMA0` on ARM) to `bootloader --append` of the kickstart",
        );
    }
    for kernel in system.kernels.iter().filter(|kernel| !kernel.initramfs) {
        findings.rule(
            "VF106",
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
    if machine == Machine::Azure && all.any(|filesystem| filesystem.kind == "swap") {
        findings.rule(
            "VF107",
            "there is swap space on the disk, which Azure's document forbids on the disk of the system".to_owned(),
            "leave it out of the kickstart; the agent makes it on the temporary disk",
        );
    }
    true
}

fn agents(machine: Machine, system: &Installed, findings: &mut Findings<'_>) {
    let Some(packages) = &system.packages else {
        return findings
            .note("which agents are installed is not known: the packages cannot be read");
    };
    for (whose, names, purpose) in AGENTS {
        let installed = packages
            .iter()
            .any(|package| names.contains(&package.name.as_str()));
        if whose == machine && !installed {
            findings.rule(
                "VF108",
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
    fn found(machine: Machine, packages: &[&str], arguments: &str, kind: &str) -> Vec<String> {
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
            "filesystem": { "kind": kind, "label": null, "uuid": null, "size": null } });
        let inspection = json!({
            "schema": 1, "firmware": [], "system": system, "troubles": [], "more_disks": [],
            "storage": { "size": 1, "table": null, "filesystem": null, "partitions": [partition], "volumes": [] },
        });
        let inspection: Inspection = serde_json::from_value(inspection).unwrap();
        let mut findings = Findings {
            name: "x",
            all: Vec::new(),
        };
        assert!(judge(machine, &inspection, &mut findings));
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
            found(Machine::Azure, &["WALinuxAgent"], good, "xfs"),
            [""; 0]
        );
        for (machine, packages, arguments, kind, says) in [
            (Machine::Azure, &["bash"][..], good, "xfs", "WALinuxAgent"),
            (Machine::Azure, &["WALinuxAgent"], good, "swap", "swap"),
            (Machine::Gcp, &[], good, "swap", "google-guest-agent"),
            (Machine::Vmware, &[], good, "xfs", "open-vm-tools"),
            (Machine::Ovirt, &[], good, "xfs", "qemu-guest-agent"),
            (
                Machine::Aws,
                &["cloud-init"],
                "root=UUID=1",
                "xfs",
                "console",
            ),
            (
                Machine::Aws,
                &["cloud-init"],
                "root=/dev/vda2 console=ttyS0",
                "xfs",
                "root=/dev/vda2",
            ),
            (
                Machine::Kubevirt,
                &["cloud-init"],
                good,
                "xfs",
                "qemu-guest-agent",
            ),
        ] {
            let found = found(machine, packages, arguments, kind);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(says), "{found:?}");
        }
    }

    fn said(judge: impl FnOnce(&mut Findings<'_>)) -> Vec<(Option<&'static str>, String)> {
        let mut findings = Findings {
            name: "x",
            all: Vec::new(),
        };
        judge(&mut findings);
        let all = findings.all.into_iter();
        all.map(|finding| (finding.id, finding.message)).collect()
    }

    #[test]
    fn drivers_are_where_they_are_needed() {
        let kernel = |places: &[(&str, Place)], unknown: Option<&str>| Drivers {
            kernel: "5.14".to_owned(),
            places: places
                .iter()
                .map(|(name, place)| ((*name).to_owned(), *place))
                .collect(),
            unknown: unknown.map(str::to_owned),
        };
        let of =
            |machine, kernel: &Drivers| said(|findings| judge_drivers(machine, kernel, findings));
        let good = [("nvme", Place::Builtin), ("ena", Place::Root)];
        assert_eq!(of(Machine::Aws, &kernel(&good, None)), []);
        let either = [("mptspi", Place::Initramfs), ("vmxnet3", Place::Initramfs)];
        assert_eq!(of(Machine::Vmware, &kernel(&either, None)), []);
        let found = of(Machine::Aws, &kernel(&[("nvme", Place::Root)], None));
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!((found[0].0, found[1].0), (Some("VF101"), Some("VF102")));
        assert!(
            found[0]
                .1
                .contains("lacks nvme, without which disks of Nitro"),
            "{found:?}"
        );
        let found = of(
            Machine::Aws,
            &kernel(&good[1..], Some("it is packed by lzma")),
        );
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].1.contains("are not known: it is packed by lzma"),
            "{found:?}"
        );
    }

    #[test]
    fn disks_are_mounted_by_names_that_stay() {
        let text = "UUID=1 / xfs defaults 0 0\n/dev/mapper/rl-home /home xfs defaults 0 0\n\
                    /dev/sdb1 /data xfs nofail 0 0\n/dev/vda1 /boot xfs defaults 0 0\n/dev/sda2 none swap sw 0 0\n";
        let found = said(|findings| mounts(text, findings));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[0].1.contains("mounts /boot by the name /dev/vda1"),
            "{found:?}"
        );
    }
}
