//! What an image is: its disk, and the system that is installed on it. Read offline, nothing is booted.
//!
//! The types here are what `ozr inspect --format json` writes; `docs/inspect.md` describes them, and a test
//! compares the two.

mod accounts;
mod boot;
pub mod drivers;
pub mod initramfs;
mod release;
mod services;
mod storage;
mod text;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::disk::device::Device;
use crate::disk::system::System;
use crate::disk::volumes::Volumes;
use crate::packages::{self, Package, origin};

pub use accounts::{Password, User};
pub use boot::{BootEntry, Firmware, Kernel};
pub use release::{Release, Selinux};
pub use storage::{Filesystem, Mount, Partition, Storage, Unreadable, Volume};

/// The version of the schema. Raised when a field changes its meaning or goes away.
pub const SCHEMA: u32 = 1;

/// What an image is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inspection {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The disk; of a machine with several, the first.
    pub storage: Storage,
    /// The other disks of a machine with several.
    #[serde(default)]
    pub more_disks: Vec<Storage>,
    /// Firmware that finds a boot loader on the disk.
    pub firmware: Vec<Firmware>,
    /// The system that is installed on it; none if there is none, or none that can be read.
    pub system: Option<Installed>,
    /// What could not be told, in words.
    pub troubles: Vec<String>,
}

/// An installed system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Installed {
    /// Which distribution it is.
    pub release: Release,
    /// The architecture of its programs, as RPM names it.
    pub arch: Option<String>,
    /// Its name (`/etc/hostname`).
    pub hostname: Option<String>,
    /// Where its file systems are mounted.
    pub mounts: Vec<Mount>,
    /// What its fstab mounts that cannot be read.
    pub unreadable: Vec<Unreadable>,
    /// Its kernels.
    pub kernels: Vec<Kernel>,
    /// What its boot loader offers.
    pub boot_entries: Vec<BootEntry>,
    /// The target that it boots to.
    pub default_target: Option<String>,
    /// The units that are enabled.
    pub services: Vec<String>,
    /// The accounts that have a shell.
    pub users: Vec<User>,
    /// SELinux, as configured.
    pub selinux: Option<Selinux>,
    /// The packages; none if there is no RPM database.
    pub packages: Option<Vec<Package>>,
}

/// Looks at the disks of a machine.
///
/// # Errors
/// There is none, one cannot be read, or its partition table is broken.
pub fn look(disks: &[Device]) -> Result<Inspection> {
    let disk = disks.first().context("there is no disk")?;
    let volumes = Volumes::find(disks)?;
    let mut troubles = volumes.troubles.clone();
    let firmware = boot::firmware(disk, &volumes, &mut troubles);
    let storage = Storage::of(0, disk, &volumes);
    let more_disks = disks.iter().enumerate().skip(1);
    let more_disks = more_disks
        .map(|(number, disk)| Storage::of(number, disk, &volumes))
        .collect();
    let system = match System::find(volumes) {
        Ok(mut system) => Some(installed(&mut system, &mut troubles)),
        Err(why) => {
            troubles.push(format!("{why:#}"));
            None
        }
    };
    Ok(Inspection {
        schema: SCHEMA,
        storage,
        more_disks,
        firmware,
        system,
        troubles,
    })
}

/// Looks at the partitions of a machine's first disk and what they hold, and no further.
///
/// # Errors
/// There is none, one cannot be read, or its partition table is broken.
pub fn storage(disks: &[Device]) -> Result<Storage> {
    let disk = disks.first().context("there is no disk")?;
    Ok(Storage::of(0, disk, &Volumes::find(disks)?))
}

fn installed(system: &mut System, troubles: &mut Vec<String>) -> Installed {
    // One part that cannot be read does not hide the others.
    let unclean = system.unclean.iter();
    troubles.extend(unclean.map(|at| {
        let at = at.display();
        format!("the file system of {at} was not unmounted: its last changes may be missing")
    }));
    let mut told = Told { system, troubles };
    let mut packages = told.of("its packages", packages::of);
    if let Some(packages) = &mut packages {
        let origins = told.of("where its packages are from", origin::of);
        origin::add(&origins, packages);
    }
    Installed {
        release: told.of("its release", release::release),
        arch: told.of("its architecture", release::arch),
        hostname: told.of("its name", release::hostname),
        mounts: storage::mounts(told.system),
        unreadable: storage::unreadable(told.system),
        kernels: told.of("its kernels", boot::kernels),
        boot_entries: told.of("its boot entries", boot::entries),
        default_target: told.of("its default target", services::default_target),
        services: told.of("its services", services::enabled),
        users: told.of("its users", accounts::users),
        selinux: told.of("its SELinux mode", release::selinux),
        packages,
    }
}

struct Told<'a> {
    system: &'a mut System,
    troubles: &'a mut Vec<String>,
}

impl Told<'_> {
    /// What is told of a system; nothing, and why, if that fails.
    fn of<T: Default>(&mut self, what: &str, tell: fn(&mut System) -> Result<T>) -> T {
        tell(self.system).unwrap_or_else(|why| {
            self.troubles.push(format!("{what}: {why:#}"));
            T::default()
        })
    }
}

/// A value in which nothing is absent, for tests.
#[cfg(test)]
pub fn sample() -> Inspection {
    let text = || "x".to_owned();
    let some = || Some(text());
    let filesystem = || {
        Some(Filesystem {
            kind: text(),
            label: some(),
            uuid: some(),
            size: Some(1),
        })
    };
    Inspection {
        schema: SCHEMA,
        storage: Storage {
            size: 1,
            table: Some(crate::disk::partitions::Kind::Gpt),
            filesystem: filesystem(),
            partitions: vec![Partition {
                number: 1,
                start: 1,
                size: 1,
                kind: text(),
                type_name: some(),
                uuid: some(),
                name: some(),
                filesystem: filesystem(),
            }],
            volumes: vec![Volume {
                path: text(),
                size: Some(1),
                filesystem: filesystem(),
                unreadable: some(),
            }],
        },
        more_disks: Vec::new(),
        firmware: vec![Firmware::Uefi],
        system: Some(Installed {
            release: Release {
                id: some(),
                version_id: some(),
                name: some(),
                cpe: some(),
                variant_id: some(),
            },
            arch: some(),
            hostname: some(),
            mounts: vec![Mount {
                at: text(),
                on: text(),
                kind: text(),
                subvolume: some(),
            }],
            unreadable: vec![Unreadable {
                at: text(),
                why: text(),
            }],
            kernels: vec![Kernel {
                version: text(),
                image: true,
                initramfs: true,
            }],
            boot_entries: vec![BootEntry {
                title: some(),
                linux: text(),
                arguments: text(),
            }],
            default_target: some(),
            services: vec![text()],
            users: vec![User {
                name: text(),
                uid: 0,
                home: text(),
                shell: text(),
                password: Password::Set,
                authorized_keys: 1,
            }],
            selinux: Some(Selinux {
                mode: text(),
                policy: some(),
            }),
            packages: Some(vec![packages::sample("x", Some(1))]),
        }),
        troubles: vec![text()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_names_every_field_and_no_other() {
        crate::documented::compare(&sample(), include_str!("../../docs/inspect.md"));
    }
}
