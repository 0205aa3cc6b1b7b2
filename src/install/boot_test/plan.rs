//! What a boot test does, decided before anything is touched.

use std::path::PathBuf;
use std::time::Duration;

use crate::distro::{Arch, VirtioModel};
use crate::host::Accel;
use crate::machine::{DiskBus, DiskFormat, Firmware, Network};
use crate::options::BootTestOptions;
use crate::secrets::Secrets;
use crate::watch::boot::{Expectations, Limits, Ready};

/// Memory of a guest in MiB when nobody says otherwise: what the smallest machines of clouds have with
/// which these systems are run.
const MEMORY_MIB: u64 = 2048;

/// CPUs of a guest when nobody says otherwise: a boot's services are started side by side.
const VCPUS: u32 = 2;

/// The longest boot when nobody says otherwise. A boot under KVM takes half a minute, with a first
/// relabelling by SELinux some minutes.
const TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// How long nothing at all may come. Firmware and boot loader need some seconds; a kernel that says
/// nothing until the login prompt (`quiet`) all the boot.
const FIRST_OUTPUT: Duration = Duration::from_secs(120);

/// How many times slower software emulation is.
const EMULATED: u32 = 3;

/// A boot test, decided.
#[derive(Debug, Clone)]
pub struct BootPlan {
    /// The name of what is tested, for people and for the guests' names.
    pub name: String,
    /// The image, absolute. It is only read.
    pub image: PathBuf,
    /// The images of the machine's other disks, absolute.
    pub more_images: Vec<PathBuf>,
    /// Their format.
    pub format: DiskFormat,
    /// The machine that it is for.
    pub machine: Machine,
    /// With which firmware it is booted, one boot for each.
    pub firmware: Vec<Firmware>,
    /// How many clones are compared, of the first firmware; fewer than two for none.
    pub clones: u32,
    /// What a boot must show.
    pub ready: Ready,
    /// What else is wanted.
    pub options: BootTestOptions,
    /// How many guests may run at a time.
    pub max_guests: Option<u32>,
    /// What no log may hold.
    pub secrets: Secrets,
}

/// The machine of a boot test, but for its firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Its architecture.
    pub arch: Arch,
    /// What runs its CPUs.
    pub accel: Accel,
    /// Which virtio its kernel speaks.
    pub virtio: VirtioModel,
    /// What its disks are plugged into.
    pub disk_bus: DiskBus,
    /// Model of its network card.
    pub nic_model: String,
    /// The network that it is on.
    pub network: Network,
}

/// One boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Boot {
    /// Which boot with this firmware it is, from 1.
    pub number: u32,
    /// The firmware.
    pub firmware: Firmware,
    /// Whether it is shut down in order at its end and read: it is one of the clones, or is asked for its
    /// health.
    pub read: bool,
}

impl Boot {
    /// Its name in reports and files: `bios-1`.
    pub fn name(self) -> String {
        format!("{}-{}", self.firmware.name(), self.number)
    }
}

impl BootPlan {
    /// The images of all disks, in order.
    pub fn images(&self) -> impl Iterator<Item = &PathBuf> {
        std::iter::once(&self.image).chain(&self.more_images)
    }

    /// The boots, in order.
    pub fn boots(&self) -> Vec<Boot> {
        let mut boots = Vec::new();
        for (index, firmware) in self.firmware.iter().copied().enumerate() {
            let clones = if index == 0 { self.clones.max(1) } else { 1 };
            boots.extend((1..=clones).map(|number| Boot {
                number,
                firmware,
                read: index == 0,
            }));
        }
        boots
    }

    /// Memory of each guest in MiB.
    pub fn memory_mib(&self) -> u64 {
        self.options.memory.unwrap_or(MEMORY_MIB)
    }

    /// CPUs of each guest.
    pub fn vcpus(&self) -> u32 {
        self.options.vcpus.unwrap_or(VCPUS)
    }

    /// What a good boot shows, and within which time.
    pub fn expectations(&self) -> Expectations {
        let factor = if self.machine.accel == Accel::Tcg {
            EMULATED
        } else {
            1
        };
        let whole = self.options.timeout.map(|timeout| timeout.0);
        let patterns =
            |of: &[crate::options::TextPattern]| of.iter().map(|one| one.0.clone()).collect();
        Expectations {
            ready: self.ready.clone(),
            allowed_failed: patterns(&self.options.allow_failed),
            allowed_denied: patterns(&self.options.allow_denied),
            limits: Limits {
                whole: whole.unwrap_or(TIMEOUT * factor),
                first_output: FIRST_OUTPUT * factor,
            },
        }
    }
}

/// What a boot must reach, by the options.
pub fn ready(options: &BootTestOptions) -> Ready {
    match &options.target {
        Some(target) if target.contains('.') => Ready::Target(target.clone()),
        Some(target) => Ready::Target(format!("{target}.target")),
        None => Ready::Prompt,
    }
}
