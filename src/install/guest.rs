//! From a plan to a guest: the domain, its kernel command line, who must read what.

use std::path::{Path, PathBuf};

use url::Url;

use super::plan::Plan;
use crate::distro::{BootInput, InstallerSource, KickstartPlace};
use crate::error::{Classify, Kind};
use crate::host::{
    Accel, Chipset, DirectBoot, DiskFormat, DiskSpec, DomainSpec, Mac, domain_name, finished_name,
};
use crate::options::Deliver;

/// What the guest boots with.
#[derive(Debug)]
pub struct Boot<'a> {
    /// The installer's kernel.
    pub kernel: &'a Path,
    /// Its initrd, the kickstart within if it is delivered so.
    pub initrd: &'a Path,
    /// Where the guest finds the kickstart, if it is delivered by HTTP.
    pub kickstart: Option<&'a Url>,
    /// Where the guest finds the install tree.
    pub tree: &'a Url,
}

/// The kernel's command line.
///
/// # Errors
/// Input: it is too long, or the template's kernelparam is not one line.
pub fn command_line(plan: &Plan, boot: &Boot<'_>) -> anyhow::Result<String> {
    // A source that the kickstart names stands: `inst.repo=` would overrule it.
    let source = match plan.kickstart.outline.source() {
        Some(_) => InstallerSource::Stage2(boot.tree),
        None => InstallerSource::Repo(boot.tree),
    };
    let kickstart = match (plan.deliver, boot.kickstart) {
        (Deliver::Http, Some(url)) => KickstartPlace::Url(url),
        _ => KickstartPlace::Initrd,
    };
    plan.release
        .boot_options(&BootInput {
            kickstart,
            source,
            arch: plan.arch,
            driver_disk: plan.kickstart.outline.last("driverdisk").is_some(),
            kernelparam: plan.template.os.kernelparam.as_deref(),
        })
        .kind(Kind::Input)
}

/// The guest that installs.
///
/// # Errors
/// Input: see [`command_line`]; the MAC address is not one.
pub fn domain(
    plan: &Plan,
    accel: Accel,
    boot: &Boot<'_>,
    disk: PathBuf,
    console_log: PathBuf,
    build_id: &str,
) -> anyhow::Result<DomainSpec> {
    let mac = match &plan.guest.mac {
        Some(text) => text.parse::<Mac>().map_err(|reason| {
            crate::error::failure(Kind::Input, format!("--mac-address: {reason}"))
        })?,
        None => Mac::random()?,
    };
    Ok(DomainSpec {
        name: domain_name(&plan.name),
        title: plan.name.clone(),
        arch: plan.arch,
        accel,
        chipset: if plan.guest.legacy_virtio {
            Chipset::Legacy
        } else {
            Chipset::Modern
        },
        vcpus: plan.guest.vcpus,
        memory_mib: plan.guest.memory_mib,
        firmware: plan.guest.firmware,
        boot: Some(DirectBoot {
            kernel: boot.kernel.to_path_buf(),
            initrd: boot.initrd.to_path_buf(),
            cmdline: command_line(plan, boot)?,
        }),
        disk: DiskSpec {
            path: disk,
            format: DiskFormat::Qcow2,
            bus: plan.guest.disk_bus,
        },
        network: plan.guest.network.clone(),
        nic_model: plan.guest.nic_model.clone(),
        mac,
        console_log,
        build_id: build_id.to_string(),
    })
}

/// The same guest with the finished image as its disk: what [`bootable_xml`] takes.
///
/// [`bootable_xml`]: crate::host::bootable_xml
pub fn finished_domain(plan: &Plan, spec: &DomainSpec) -> DomainSpec {
    DomainSpec {
        name: finished_name(&plan.name),
        boot: None,
        disk: DiskSpec {
            path: plan.output.image.clone(),
            format: match plan.format {
                crate::options::Format::Qcow2 => DiskFormat::Qcow2,
                crate::options::Format::Raw => DiskFormat::Raw,
            },
            bus: spec.disk.bus,
        },
        console_log: plan.output.console_log.clone(),
        ..spec.clone()
    }
}
