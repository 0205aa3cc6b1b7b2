//! What a boot test does, decided before anything is touched.

use std::path::PathBuf;
use std::time::Duration;

use super::seed::Seed;
use crate::distro::{Arch, VirtioModel};
use crate::error::{Kind, fail, failed};
use crate::host::Accel;
use crate::machine::{Board, DiskBus, DiskFormat, Firmware, Network};
use crate::options::declared::{self, Check};
use crate::options::{BootTestOptions, Purpose};
use crate::secrets::{Secret, Secrets};
use crate::tdl;
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

/// How long nothing may come behind the login prompt until the boot is over. Units that start beside it fail within
/// a second.
const SILENCE: Duration = Duration::from_secs(3);

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
    /// What is checked of it, and with what.
    pub wanted: Wanted,
    /// What else is wanted.
    pub options: BootTestOptions,
    /// How many guests may run at a time.
    pub max_guests: Option<u32>,
    /// What opens the image's encrypted file systems, in the order in which it is tried.
    pub passphrases: Vec<Secret>,
    /// What no log may hold.
    pub secrets: Secrets,
}

/// How often each passphrase is typed: of several encrypted file systems each may ask for it.
const ANSWERS: u32 = 4;

/// The machine of a boot test, but for its firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Its architecture.
    pub arch: Arch,
    /// What runs its CPUs.
    pub accel: Accel,
    /// What its board has beside firmware.
    pub board: Board,
    /// Which virtio its kernel speaks.
    pub virtio: VirtioModel,
    /// What its disks are plugged into.
    pub disk_bus: DiskBus,
    /// Model of its network card.
    pub nic_model: String,
    /// The network that it is on.
    pub network: Network,
    /// Its other network cards: networks and models.
    pub more_nics: Vec<(Network, String)>,
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
    /// Whether it is the one in which declared checks are made: the first of all.
    pub fn is_first(self) -> bool {
        self.read && self.number == 1
    }

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
        self.options.memory.map_or(MEMORY_MIB, |memory| memory.0)
    }

    /// CPUs of each guest.
    pub fn vcpus(&self) -> u32 {
        self.options.vcpus.unwrap_or(VCPUS)
    }

    /// How many times slower than on hardware the guest is.
    pub fn slowness(&self) -> u32 {
        match self.machine.accel {
            Accel::Tcg => EMULATED,
            _ => 1,
        }
    }

    /// What a good boot shows, and within which time.
    pub fn expectations(&self) -> Expectations {
        let factor = self.slowness();
        let whole = self.options.timeout.map(|timeout| timeout.0);
        let patterns =
            |of: &[crate::options::TextPattern]| of.iter().map(|one| one.0.clone()).collect();
        Expectations {
            ready: self.ready.clone(),
            allowed_failed: patterns(&self.options.allow_failed),
            allowed_denied: patterns(&self.options.allow_denied),
            answers: ANSWERS * self.passphrases.len() as u32,
            limits: Limits {
                whole: whole.unwrap_or(TIMEOUT * factor),
                first_output: FIRST_OUTPUT * factor,
                silence: SILENCE * factor,
            },
        }
    }
}

/// What is checked of a boot, and with what.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The checks that are declared.
    pub checks: Vec<Check>,
    /// How the guest is asked what only it can tell.
    pub way: Way,
    /// A NoCloud seed that the guest finds.
    pub seed: Option<Seed>,
    /// How many bytes the disk is to have.
    pub grow_to: Option<u64>,
}

/// How the guest is asked.
#[derive(Debug, Clone, Default)]
pub enum Way {
    /// By its QEMU guest agent.
    #[default]
    Agent,
    /// By a login on its serial console.
    Login {
        /// The user.
        user: String,
        /// The user's password.
        password: Secret,
    },
    /// By cloud-init, which finds the questions on the seed.
    Seed,
}

impl Wanted {
    /// What the options ask for; their files are read.
    ///
    /// # Errors
    /// Input: a file cannot be read, or is not what it should be.
    pub fn read(options: &BootTestOptions) -> anyhow::Result<Wanted> {
        let mut checks = options.check.clone();
        for file in &options.checks {
            checks.extend(declared::read(file)?);
        }
        let seed = Seed::read(&options.seed)?;
        let way = match (&options.login, &options.login_password) {
            (Some(user), Some(source)) => Way::Login {
                user: user_of(user)?,
                password: source.read("password", Purpose::Known)?,
            },
            (Some(_), None) => fail!(
                Kind::Input,
                "a login on the console needs a password: say where it is with --login-password file:PATH, env:NAME or prompt"
            ),
            (None, Some(_)) => fail!(
                Kind::Input,
                "--login-password needs to know whose password it is: name the user with --login"
            ),
            (None, None) if seed.is_some() => Way::Seed,
            (None, None) => Way::Agent,
        };
        let asks = checks.iter().any(|check| check.what.is_inside());
        let is_full = seed.as_ref().is_some_and(|seed| !seed.has_room());
        if asks && is_full && matches!(way, Way::Seed) {
            fail!(
                Kind::Input,
                "the checks are run by the vendor-data of the seed, and it has vendor-data of its own: \
                 move that into user-data, or let a login run the checks (--login)"
            );
        }
        let grow_to = options.grow_to.as_ref().map(|text| tdl::parse_size(text));
        let grow_to = grow_to
            .transpose()
            .map_err(|reason| failed!(Kind::Input, "--grow-to: {reason}; {}", tdl::SIZE_HELP))?;
        Ok(Wanted {
            checks,
            way,
            seed,
            grow_to: grow_to.flatten(),
        })
    }

    /// Whether something is checked that only the running guest can tell.
    pub fn asks_inside(&self) -> bool {
        self.checks.iter().any(|check| check.what.is_inside())
    }

    /// Whether the guest needs a port for its agent.
    pub fn needs_agent(&self) -> bool {
        self.asks_inside() && matches!(self.way, Way::Agent)
    }

    /// What no log may hold.
    pub fn add_secrets(&self, secrets: &mut Secrets) {
        if let Way::Login { password, .. } = &self.way {
            secrets.add(password.reveal());
        }
    }
}

fn user_of(user: &str) -> anyhow::Result<String> {
    let plain = |c: char| c.is_alphanumeric() || "._-$@".contains(c);
    if user.is_empty() || user.starts_with('-') || !user.chars().all(plain) {
        fail!(Kind::Input, "--login: {user:?} is no name of a user");
    }
    Ok(user.to_owned())
}

/// What a boot must reach, by the options.
pub fn ready(options: &BootTestOptions) -> Ready {
    match &options.target {
        Some(target) if target.contains('.') => Ready::Target(target.clone()),
        Some(target) => Ready::Target(format!("{target}.target")),
        None => Ready::Prompt,
    }
}
