//! The guest of a boot test: an overlay on the image, and a machine without an installer's kernel.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use anyhow::Context;

use super::plan::{Boot, BootPlan, Way};
use super::questions;
use crate::error::{Classify, Kind};
use crate::host::{DiskSpec, DomainSpec, Mac, NicSpec, domain_name};
use crate::image::qemu_img;
use crate::install::place::Place;
use crate::install::record::SERIAL_LOG;
use crate::machine::{DiskFormat, Network};

/// Name of the overlay of the disk with a number, from 0 on, in the work directory, beside the image of a
/// build: QEMU's user is let in to both.
pub fn overlay(disk: usize) -> String {
    match disk {
        0 => "overlay.qcow2".to_owned(),
        more => format!("overlay-{}.qcow2", more + 1),
    }
}

/// Name of the variables that UEFI keeps, which libvirt makes beside the disk.
const NVRAM: &str = "nvram.fd";

/// Name of the packets of the guest's network card, in the work directory.
pub const CAPTURE: &str = "boot-test.pcap";

/// Name of the seed's disk, in the work directory.
const SEED: &str = "seed.img";

/// How much of the mark the machine's id has.
const MARK_OF_ID: usize = 8;

/// Overlays hold what a system writes at its first boot: host keys among it.
const PRIVATE: u32 = 0o600;

/// Makes fresh overlays, the first of `size` bytes if that is given, and the disk of the seed, whose questions are
/// answered behind `mark`; removes what the boot before has left.
///
/// # Errors
/// Host: they cannot be made. Input: an image is not of the format that it is said to be.
pub async fn lay_over(
    plan: &BootPlan,
    place: &Place,
    mark: &str,
    size: Option<u64>,
) -> anyhow::Result<()> {
    let work = place.work.dir();
    remove_overlays(plan, place)?;
    for name in [NVRAM, CAPTURE, SEED] {
        work.remove_file(name)
            .context("removing what the boot before has left")
            .kind(Kind::Host)?;
    }
    for (disk, image) in plan.images().enumerate() {
        let name = overlay(disk);
        // The system's disk alone grows.
        let size = size.filter(|_| disk == 0);
        qemu_img::create_overlay(work, &name, (image, plan.format), size)
            .await
            .with_context(|| format!("laying an overlay on {}", image.display()))
            .kind(Kind::Host)?;
        work.file(&name, false)
            .and_then(|file| file.set_permissions(Permissions::from_mode(PRIVATE)))
            .context("setting the mode of the overlay")
            .kind(Kind::Host)?;
    }
    if let Some(seed) = &plan.wanted.seed {
        let asks = matches!(plan.wanted.way, Way::Seed) && plan.wanted.asks_inside();
        let script = asks.then(|| questions::script(&plan.wanted.checks, mark));
        // Another machine each time, as clouds give their clones ids of their own.
        let disk = seed.disk(&format!("ozr-{}", &mark[..MARK_OF_ID]), script.as_deref());
        let disk = disk.kind(Kind::Host)?;
        work.replace(SEED, &disk)
            .context("writing the disk of the seed")
            .kind(Kind::Host)?;
    }
    let capture = work.file(CAPTURE, true);
    capture
        .map(drop)
        .context("keeping the guest's packets")
        .kind(Kind::Host)
}

/// Removes the overlays of a boot.
///
/// # Errors
/// Host: one cannot be removed.
pub fn remove_overlays(plan: &BootPlan, place: &Place) -> anyhow::Result<()> {
    for disk in 0..plan.images().count() {
        let removed = place.work.dir().remove_file(overlay(disk));
        removed
            .context("removing the overlay of a boot")
            .kind(Kind::Host)?;
    }
    Ok(())
}

/// The guest that boots it: another machine each time, with an address and (libvirt's choice) a UUID of
/// its own.
///
/// # Errors
/// When the kernel gives no random bytes.
pub fn domain(plan: &BootPlan, place: &Place, boot: Boot) -> anyhow::Result<DomainSpec> {
    let machine = &plan.machine;
    let more_nics = machine.more_nics.iter().map(|(network, model)| {
        anyhow::Ok(NicSpec {
            network: network.clone(),
            model: model.clone(),
            mac: Mac::random()?,
        })
    });
    let more_nics = more_nics.collect::<Result<_, _>>()?;
    let seed = plan.wanted.seed.iter().map(|_| DiskSpec {
        path: place.work.join(SEED),
        format: DiskFormat::Raw,
        backing: None,
        bus: machine.disk_bus,
    });
    let disks = plan.images().enumerate().map(|(disk, image)| DiskSpec {
        path: place.work.join(&overlay(disk)),
        format: DiskFormat::Qcow2,
        backing: Some((image.clone(), plan.format)),
        bus: machine.disk_bus,
    });
    let mut disks = disks.chain(seed);
    Ok(DomainSpec {
        name: domain_name(&plan.name, &place.id),
        title: format!("{} (boot test)", plan.name),
        arch: machine.arch,
        accel: machine.accel,
        virtio: machine.virtio,
        vcpus: plan.vcpus(),
        memory_mib: plan.memory_mib(),
        firmware: boot.firmware,
        board: machine.board.clone(),
        boot: None,
        disk: disks.next().context("there is no image")?,
        more_disks: disks.collect(),
        discs: Vec::new(),
        agent: plan.wanted.needs_agent(),
        handover: false,
        network: machine.network.clone(),
        nic_model: machine.nic_model.clone(),
        mac: Mac::random()?,
        more_nics,
        // QEMU of another user's may be confined to what libvirt knows of.
        capture: (machine.network == Network::User && place.connection.runs_as_us())
            .then(|| place.work.join(CAPTURE)),
        console_log: place.work.join(&boot.name()).join(SERIAL_LOG),
        build_id: place.id.clone(),
    })
}
