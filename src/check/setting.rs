//! What is known of the surroundings of a kickstart: on it depends what is wrong with it.

use crate::distro::{Arch, Release};
use crate::kickstart::outline::Outline;
use crate::language::Version;
use crate::machine::{DiskBus, Firmware};
use crate::options::Deliver;

/// The surroundings of a kickstart. What is not known is `None`, and what nobody adds is `false`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Whose language it is read in.
    pub version: Version,
    /// The release that is installed.
    pub release: Option<Release>,
    /// The guest's architecture.
    pub arch: Option<Arch>,
    /// What starts the guest.
    pub firmware: Option<Firmware>,
    /// What the guest's disk is plugged into.
    pub disk_bus: Option<DiskBus>,
    /// Size of the guest's disk in bytes.
    pub disk_bytes: Option<u64>,
    /// The machine is a guest that ozr makes: one disk, which is blank, and no medium.
    pub new_guest: bool,
    /// How the kickstart gets to the guest.
    pub deliver: Option<Deliver>,
    /// `poweroff` is appended where the kickstart would not end by itself.
    pub adds_ending: bool,
    /// The installer is told of a source on its command line (`inst.repo=`).
    pub adds_source: bool,
    /// The installer runs without questions (`inst.cmdline`).
    pub adds_cmdline: bool,
    /// The installer's kernel, and so the installed one, has a serial console.
    pub adds_serial_console: bool,
}

impl Setting {
    /// A kickstart of which nothing else is known.
    pub fn alone(version: Version) -> Setting {
        Setting {
            version,
            release: None,
            arch: None,
            firmware: None,
            disk_bus: None,
            disk_bytes: None,
            new_guest: false,
            deliver: None,
            adds_ending: false,
            adds_source: false,
            adds_cmdline: false,
            adds_serial_console: false,
        }
    }

    /// What the kernel command line of [`Release::boot_options`] gives the installer: all of a
    /// template that is known before options are.
    pub fn of_boot(
        release: Release,
        kickstart: &Outline,
        kernelparam: Option<&str>,
    ) -> Option<Setting> {
        // The template's own words stand last and overrule.
        let overruled = kernelparam.unwrap_or_default().split_whitespace();
        let asks = overruled.into_iter().any(|word| {
            matches!(
                word,
                "inst.graphical" | "inst.vnc" | "inst.rdp" | "graphical" | "vnc"
            )
        });
        Some(Setting {
            release: Some(release),
            // The tree is given as a source only where the kickstart names none.
            adds_source: kickstart.source().is_none(),
            adds_cmdline: !asks,
            adds_serial_console: true,
            ..Setting::alone(Version::of(release)?)
        })
    }
}
