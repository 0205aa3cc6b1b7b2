//! The guest of a boot test: an overlay on the image, and a machine without an installer's kernel.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use anyhow::Context;

use super::plan::{Boot, BootPlan};
use crate::error::{Classify, Kind};
use crate::host::{DiskSpec, DomainSpec, Mac, domain_name};
use crate::image::qemu_img;
use crate::install::place::Place;
use crate::install::record::SERIAL_LOG;
use crate::machine::{DiskFormat, Network};

/// Name of the overlay in the work directory, beside the image of a build: QEMU's user is let in to
/// both.
pub const OVERLAY: &str = "overlay.qcow2";

/// Name of the variables that UEFI keeps, which libvirt makes beside the disk.
const NVRAM: &str = "nvram.fd";

/// Name of the packets of the guest's network card, in the work directory.
pub const CAPTURE: &str = "boot-test.pcap";

/// Overlays hold what a system writes at its first boot: host keys among it.
const PRIVATE: u32 = 0o600;

/// Makes a fresh overlay, and removes what the boot before has left.
///
/// # Errors
/// Host: it cannot be made. Input: the image is not of the format that it is said to be.
pub async fn lay_over(plan: &BootPlan, place: &Place) -> anyhow::Result<()> {
    let work = place.work.dir();
    for name in [OVERLAY, NVRAM, CAPTURE] {
        work.remove_file(name)
            .context("removing the overlay of the boot before")
            .kind(Kind::Host)?;
    }
    qemu_img::create_overlay(work, OVERLAY, (&plan.image, plan.format))
        .await
        .with_context(|| format!("laying an overlay on {}", plan.image.display()))
        .kind(Kind::Host)?;
    work.file(OVERLAY, false)
        .and_then(|file| file.set_permissions(Permissions::from_mode(PRIVATE)))
        .context("setting the mode of the overlay")
        .kind(Kind::Host)?;
    let capture = work.file(CAPTURE, true);
    capture
        .map(drop)
        .context("keeping the guest's packets")
        .kind(Kind::Host)
}

/// The guest that boots it: another machine each time, with an address and (libvirt's choice) a UUID of
/// its own.
///
/// # Errors
/// When the kernel gives no random bytes.
pub fn domain(plan: &BootPlan, place: &Place, boot: Boot) -> anyhow::Result<DomainSpec> {
    let machine = &plan.machine;
    Ok(DomainSpec {
        name: domain_name(&plan.name, &place.id),
        title: format!("{} (boot test)", plan.name),
        arch: machine.arch,
        accel: machine.accel,
        virtio: machine.virtio,
        vcpus: plan.vcpus(),
        memory_mib: plan.memory_mib(),
        firmware: boot.firmware,
        boot: None,
        disk: DiskSpec {
            path: place.work.join(OVERLAY),
            format: DiskFormat::Qcow2,
            backing: Some(plan.image.clone()),
            bus: machine.disk_bus,
        },
        network: machine.network.clone(),
        nic_model: machine.nic_model.clone(),
        mac: Mac::random()?,
        // QEMU of another user's may be confined to what libvirt knows of.
        capture: (machine.network == Network::User && place.connection.runs_as_us())
            .then(|| place.work.join(CAPTURE)),
        console_log: place.work.join(&boot.name()).join(SERIAL_LOG),
        build_id: place.id.clone(),
    })
}
