//! The machine that an image is for, in the words of those who run it.

use crate::distro::{Arch, Product, Release};
use crate::machine::Firmware;

/// A machine.
#[derive(Debug, Clone)]
pub struct Hardware {
    /// What is installed, if it is known.
    pub release: Option<Release>,
    /// The processors' kind.
    pub arch: Arch,
    /// How it starts.
    pub firmware: Firmware,
    /// How many processors it has.
    pub vcpus: u32,
    /// Its memory in MiB.
    pub memory_mib: u64,
}

impl Hardware {
    /// What an appliance gets when nobody says: what the distributions' own have.
    pub const USUAL_VCPUS: u32 = 2;
    /// The memory of such a one, in MiB.
    pub const USUAL_MEMORY_MIB: u64 = 2048;

    /// The release that RHEL's hypervisors would see, by its major number.
    fn rhel_major(&self) -> Option<u32> {
        let release = self.release?;
        (release.product() != Product::Fedora).then(|| release.major())
    }

    /// The version of VMware's virtual hardware: the one that image-builder chooses for the release,
    /// which is the oldest that its kernel is supported on.
    pub fn vmware_version(&self) -> u32 {
        match self.rhel_major() {
            // ESXi 6.7 U2, which is the first with what 8 is certified for.
            Some(..=8) => 15,
            // ESXi 7.0 U1.
            Some(9) => 18,
            // ESXi 8.0 U2.
            Some(_) => 21,
            None => 19,
        }
    }

    /// VMware's name of the guest, as OVF has it (`VirtualMachineGuestOsIdentifier` of the vSphere
    /// API; there is none of RHEL 10 in what these hardware versions know).
    pub fn vmware_guest(&self) -> String {
        let arm = if self.arch == Arch::Aarch64 {
            "arm"
        } else {
            ""
        };
        let Some(release) = self.release else {
            return format!("{arm}other5xLinux64Guest").replace("armo", "armO");
        };
        let major = release.major();
        let name = match release.product() {
            Product::Rocky => "rockylinux_64Guest".to_owned(),
            Product::AlmaLinux => "almalinux_64Guest".to_owned(),
            Product::Fedora => "fedora64Guest".to_owned(),
            Product::OracleLinux => format!("oracleLinux{}_64Guest", major.min(9)),
            Product::CentOs | Product::CentOsStream => {
                format!("centos{}_64Guest", major.min(9))
            }
            _ => format!("rhel{}_64Guest", major.min(9)),
        };
        match arm {
            "" => name,
            // Those that there are for ARM are named after the family.
            _ => match release.product() {
                Product::Fedora => "armFedora64Guest".to_owned(),
                Product::Rhel => "armRhel9_64Guest".to_owned(),
                _ => "armOther5xLinux64Guest".to_owned(),
            },
        }
    }

    /// VMware's name of the guest in a .vmx file.
    pub fn vmx_guest(&self) -> String {
        let name = match self.release.map(Release::product) {
            Some(Product::Rocky) => "rockylinux-64",
            Some(Product::AlmaLinux) => "almalinux-64",
            Some(Product::Fedora) => "fedora-64",
            Some(_) => "rhel9-64",
            None => "other5xlinux-64",
        };
        match self.arch {
            Arch::Aarch64 => format!("arm-{name}"),
            _ => name.to_owned(),
        }
    }

    /// VirtualBox's name of the guest.
    pub fn virtualbox_guest(&self) -> &'static str {
        match (self.release.map(Release::product), self.arch) {
            (_, Arch::Aarch64) => "Linux_arm64",
            (Some(Product::Fedora), _) => "Fedora_64",
            (Some(Product::OracleLinux), _) => "Oracle_64",
            (Some(_), _) => "RedHat_64",
            (None, _) => "Linux_64",
        }
    }

    /// The number of the guest's system in CIM (DSP1001's `OperatingSystem.OSType`): RHEL, 64 bit;
    /// or Linux, 64 bit.
    pub fn cim_os(&self) -> u32 {
        match self.rhel_major() {
            Some(_) => 80,
            None => 101,
        }
    }

    /// The architecture as Go, OCI, Vagrant and AWS name it.
    pub fn go_arch(&self) -> &'static str {
        match self.arch {
            Arch::X86_64 => "amd64",
            Arch::Aarch64 => "arm64",
            Arch::I386 => "386",
            Arch::Armv7l => "arm",
            other => other.name(),
        }
    }

    /// Whether it starts by UEFI.
    pub fn is_uefi(&self) -> bool {
        self.firmware == Firmware::Uefi
    }
}

/// A machine for tests of what describes machines.
#[cfg(test)]
pub fn sample() -> Hardware {
    Hardware {
        release: "Rocky-9"
            .parse::<crate::options::ReleaseName>()
            .unwrap()
            .release,
        arch: Arch::X86_64,
        firmware: Firmware::Uefi,
        vcpus: 2,
        memory_mib: 2048,
    }
}
