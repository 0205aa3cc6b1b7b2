//! What a release needs of the guest: memory, firmware, devices, console.

use std::fmt;

use super::{Arch, Generation, Release};
use crate::machine::Firmware;

/// Which virtio the installer's kernel speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VirtioModel {
    /// virtio 1.0, as QEMU gives it to devices on PCI Express.
    Modern,
    /// Only the older one: libvirt's `virtio-transitional`, on a conventional PCI bus.
    Transitional,
}

/// The serial console of an architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SerialConsole {
    /// The device's name in the guest.
    pub device: &'static str,
    /// Its speed in bit/s, where it has one.
    pub speed: Option<u32>,
}

/// As the value of `console=`: `ttyS0,115200`.
impl fmt::Display for SerialConsole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.speed {
            Some(speed) => write!(f, "{},{speed}", self.device),
            None => f.write_str(self.device),
        }
    }
}

/// The serial console of QEMU's default machine for `arch`.
pub fn serial_console(arch: Arch) -> SerialConsole {
    const SPEED: Option<u32> = Some(115_200);
    let (device, speed) = match arch {
        Arch::I386 | Arch::X86_64 => ("ttyS0", SPEED),
        Arch::Aarch64 | Arch::Armv7l => ("ttyAMA0", SPEED),
        Arch::Ppc64 | Arch::Ppc64le => ("hvc0", None),
        Arch::S390x => ("ttysclp0", None),
    };
    SerialConsole { device, speed }
}

impl Release {
    /// The firmware when nobody asks for another. BIOS wherever the architecture has one: every
    /// release up to RHEL 10 and Fedora 44 installs on it, and its images start on more hosts.
    pub fn default_firmware(self, arch: Arch) -> Firmware {
        match arch {
            Arch::I386 | Arch::X86_64 => Firmware::Bios,
            Arch::Aarch64 | Arch::Armv7l => Firmware::Uefi,
            Arch::Ppc64 | Arch::Ppc64le | Arch::S390x => Firmware::Bios,
        }
    }

    /// Least memory in MiB with which the installer works from a mirror, where it keeps stage 2
    /// in memory.
    pub fn minimum_memory_mib(self) -> u32 {
        match self.generation() {
            // RHEL 6's technology limits: 1 GB for every architecture. (Its loader puts
            // install.img, 130 MB, into RAM from 512 MB on.)
            Generation::El6 => 1024,
            // RHEL 7's installation guide: 1.5 GiB over HTTP, HTTPS or FTP.
            Generation::El7 => 1536,
            // RHEL 8's and 9's installation guides: 3 GiB over HTTP, HTTPS or FTP, and so says
            // libosinfo (resources of "network-install"). Anaconda itself asks for less, 320 MiB
            // and 750 MiB for stage 2 (startup_utils.py), and runs out of it while unpacking.
            // RHEL 10 has a larger stage 2 of the same kind, and fits.
            Generation::El8 | Generation::El9 | Generation::El10 => 3072,
            // Fedora's release notes: 2 GB; with Fedora 41's DNF 5, and stage 2 near 1 GiB, as RHEL.
            Generation::Fedora(..=40) => 2048,
            Generation::Fedora(_) => 3072,
        }
    }

    /// Which virtio devices the kernel finds. RHEL 6 never learned virtio 1.0, RHEL 7 learned it
    /// in an update, 7.3 at the latest.
    pub fn virtio_model(self) -> VirtioModel {
        match (self.generation(), self.minor) {
            (Generation::El6, _) | (Generation::El7, Some(..=2)) => VirtioModel::Transitional,
            _ => VirtioModel::Modern,
        }
    }

    /// Whether its installer's initramfs can mount an image and work in it, as sealing and customising do: dracut's
    /// can. RHEL 6's installer has none; its first program is a loader of its own (anaconda 13.21: loader/init.c).
    pub fn can_work_in_images(self) -> bool {
        self.generation() != Generation::El6
    }

    /// Whether its installer can wait for its kickstart and be saved so, as `ozr warm` does: those that `docs/try.md`
    /// names.
    pub fn can_wait_for_answers(self) -> bool {
        !matches!(self.generation(), Generation::El6 | Generation::El7)
    }

    /// Whether the installer writes its log to the virtio-serial port
    /// `org.fedoraproject.anaconda.log.0`: since Fedora 14 and RHEL 7.
    pub fn has_log_port(self) -> bool {
        self.generation() != Generation::El6
    }
}

/// The package whose settings make dracut put the drivers of all machines into an initramfs
/// (`hostonly="no"`; dracut.spec), in RHEL 7 and later and in Fedora.
pub const PORTABLE_PACKAGE: &str = "dracut-config-generic";

impl Release {
    /// The package that makes the image's initramfs one for all machines; none where it is one anyway, as
    /// RHEL 6's dracut makes it unless it is told otherwise (`-H`).
    pub fn portable_package(self) -> Option<&'static str> {
        (self.generation() != Generation::El6).then_some(PORTABLE_PACKAGE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn needs_of_each_generation() {
        for (name, version, memory, virtio, log_port) in [
            ("RHEL-6", "10", 1024, VirtioModel::Transitional, false),
            ("RHEL-7", "1", 1536, VirtioModel::Transitional, true),
            ("RHEL-7", "9", 1536, VirtioModel::Modern, true),
            ("CentOS-7", "7", 1536, VirtioModel::Modern, true),
            ("Rocky-8", "10", 3072, VirtioModel::Modern, true),
            ("Rocky-9", "9", 3072, VirtioModel::Modern, true),
            ("Rocky", "10", 3072, VirtioModel::Modern, true),
            ("Fedora", "40", 2048, VirtioModel::Modern, true),
            ("Fedora", "44", 3072, VirtioModel::Modern, true),
        ] {
            let release = Release::from_names(name, version).unwrap();
            assert_eq!(release.minimum_memory_mib(), memory, "{release}");
            assert_eq!(release.virtio_model(), virtio, "{release}");
            assert_eq!(release.has_log_port(), log_port, "{release}");
        }
    }

    #[test]
    fn console_and_firmware_of_each_architecture() {
        let release = Release::from_names("RHEL", "9").unwrap();
        for (arch, console, firmware) in [
            (Arch::I386, "ttyS0,115200", Firmware::Bios),
            (Arch::X86_64, "ttyS0,115200", Firmware::Bios),
            (Arch::Aarch64, "ttyAMA0,115200", Firmware::Uefi),
            (Arch::Armv7l, "ttyAMA0,115200", Firmware::Uefi),
            (Arch::Ppc64, "hvc0", Firmware::Bios),
            (Arch::Ppc64le, "hvc0", Firmware::Bios),
            (Arch::S390x, "ttysclp0", Firmware::Bios),
        ] {
            assert_eq!(serial_console(arch).to_string(), console);
            assert_eq!(release.default_firmware(arch), firmware);
        }
    }
}
