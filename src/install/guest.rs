//! From a plan to a guest: the domain, its kernel command line, who must read what.

use std::path::PathBuf;

use anyhow::{anyhow, bail};
use url::Url;

use super::handover::Handover;
use super::place::Place;
use super::plan::{NIC_MODEL, Plan};
use super::prepare::Prepared;
use super::record::SERIAL_LOG;
use crate::distro::{BootInput, CDROM, InstallerSource, KickstartPlace};
use crate::error::{Classify, Kind, failed};
use crate::host::{
    Accel, DirectBoot, DiskSpec, DomainSpec, Mac, NicSpec, domain_name, finished_name,
};
use crate::image::disk;
use crate::machine::{Board, DiskFormat};

/// The kernel's command line.
fn command_line(plan: &Plan, prepared: &Prepared, handover: &Handover) -> anyhow::Result<String> {
    // A source that the kickstart names stands: `inst.repo=` would overrule it.
    let named = plan.answers.name_source();
    let source = match (&prepared.discs, &handover.tree) {
        (Some(discs), tree) => InstallerSource::Disc {
            label: &discs.first.label,
            repo: match discs.first.has_packages() {
                _ if named => None,
                true => Some(CDROM),
                false => tree.as_ref().map(Url::as_str),
            },
        },
        (None, Some(tree)) if named => InstallerSource::Stage2(tree),
        (None, Some(tree)) => InstallerSource::Repo(tree),
        (None, None) => bail!("there is no source to install from"),
    };
    let kickstart = handover.kickstart.as_ref();
    let kickstart = kickstart.map_or(KickstartPlace::Initrd, KickstartPlace::Url);
    let driver_disk = plan.answers.need_driver_disk();
    boot_options(plan, prepared, kickstart, source, driver_disk)
}

fn boot_options(
    plan: &Plan,
    prepared: &Prepared,
    kickstart: KickstartPlace<'_>,
    source: InstallerSource<'_>,
    driver_disk: bool,
) -> anyhow::Result<String> {
    plan.release
        .boot_options(&BootInput {
            kickstart,
            source,
            arch: plan.arch,
            sealed: !plan.seal.is_empty(),
            driver_disk,
            emulated: prepared.accel == Accel::Tcg,
            kernelparam: plan.template.os.kernelparam.as_deref(),
        })
        .kind(Kind::Input)
}

/// The board of a guest that installs. The kernels of install trees are signed for the distribution's own
/// shim, which a kernel that is booted directly comes without: UEFI would refuse it. What is installed is
/// the same.
fn installing(board: &Board) -> Board {
    match board.secure_boot {
        false => board.clone(),
        true => Board {
            secure_boot: false,
            firmware_files: None,
            tpm: board.tpm,
        },
    }
}

/// The guest that installs.
///
/// # Errors
/// Input: the command line is too long, or the template's kernelparam is not one line; the MAC
/// address is not one.
pub fn domain(
    plan: &Plan,
    place: &Place,
    prepared: &Prepared,
    handover: &Handover,
) -> anyhow::Result<DomainSpec> {
    let boot = DirectBoot {
        kernel: prepared.tree.kernel.path.clone(),
        initrd: handover.initrd.clone(),
        cmdline: command_line(plan, prepared, handover)?,
    };
    booting(plan, place, prepared, boot)
}

/// The address of the network card of a guest whose state is saved, where the user has named none: it is the
/// same each time, and no other guest is on its network.
pub(super) const SAVED_MAC: &str = "52:54:00:6f:7a:72";

/// A guest whose state is saved: the installer of `tree`, with the kickstart that is in `initrd`. Nothing of what
/// the author wrote is in it.
///
/// # Errors
/// As [`domain`].
pub fn saved_domain(
    plan: &Plan,
    place: &Place,
    prepared: &Prepared,
    tree: &Url,
    initrd: PathBuf,
) -> anyhow::Result<DomainSpec> {
    let source = InstallerSource::Stage2(tree);
    let boot = DirectBoot {
        kernel: prepared.tree.kernel.path.clone(),
        initrd,
        cmdline: boot_options(plan, prepared, KickstartPlace::Initrd, source, false)?,
    };
    let mut spec = booting(plan, place, prepared, boot)?;
    if plan.guest.mac.is_none() {
        spec.mac = SAVED_MAC.parse().map_err(|why: String| anyhow!(why))?;
    }
    spec.handover = true;
    Ok(spec)
}

fn booting(
    plan: &Plan,
    place: &Place,
    prepared: &Prepared,
    boot: DirectBoot,
) -> anyhow::Result<DomainSpec> {
    let mac = |option: &str, text: &Option<String>| match text {
        Some(text) => text
            .parse::<Mac>()
            .map_err(|reason| failed!(Kind::Input, "{option}: {reason}")),
        None => Mac::random(),
    };
    let more_nics = plan.guest.more_nics.iter().map(|nic| {
        anyhow::Ok(NicSpec {
            network: nic.network.clone(),
            model: nic.model.clone().unwrap_or_else(|| NIC_MODEL.to_owned()),
            mac: mac("--network", &nic.mac)?,
        })
    });
    let more_nics = more_nics.collect::<Result<_, _>>()?;
    let disk = |number| DiskSpec {
        path: place.work.join(&disk::name(number)),
        format: DiskFormat::Qcow2,
        backing: None,
        bus: plan.guest.disk_bus,
    };
    if let Some(discs) = &prepared.discs {
        discs.check_unchanged()?;
    }
    let discs = prepared.discs.iter().flat_map(|discs| &discs.images);
    Ok(DomainSpec {
        name: domain_name(&plan.name, &place.id),
        title: plan.name.clone(),
        arch: plan.arch,
        accel: prepared.accel,
        virtio: plan.release.virtio_model(),
        vcpus: plan.guest.vcpus,
        memory_mib: plan.guest.memory_mib,
        firmware: plan.guest.firmware,
        board: installing(&plan.guest.board),
        boot: Some(boot),
        disk: disk(0),
        more_disks: (1..plan.guest.disks.len()).map(disk).collect(),
        discs: discs.map(|image| image.file.path.clone()).collect(),
        agent: false,
        handover: false,
        network: plan.guest.network.clone(),
        nic_model: plan.guest.nic_model.clone(),
        mac: mac("--mac-address", &plan.guest.mac)?,
        more_nics,
        // QEMU's own copy of the console; ours is made of what is read from it.
        console_log: place.work.join(SERIAL_LOG),
        capture: None,
        build_id: place.id.clone(),
    })
}

/// The same guest with the finished images as its disks, if libvirt boots one of the formats: what
/// [`bootable_xml`] takes.
///
/// [`bootable_xml`]: crate::host::bootable_xml
pub fn finished_domain(plan: &Plan, spec: &DomainSpec) -> Option<DomainSpec> {
    let (paths, format) = plan.output.bootable()?;
    let mut disks = paths.into_iter().map(|path| DiskSpec {
        path: path.to_path_buf(),
        format,
        backing: None,
        bus: spec.disk.bus,
    });
    Some(DomainSpec {
        name: finished_name(&plan.name),
        board: plan.guest.board.clone(),
        boot: None,
        disk: disks.next()?,
        more_disks: disks.collect(),
        discs: Vec::new(),
        console_log: plan.output.console_log.clone(),
        ..spec.clone()
    })
}
