//! The phases of an install, and the texts that show that one began.

use super::patterns::{Channel, Meaning, Origin, Pattern, Text};

/// How far an install has come. Ordered: an install never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// The guest runs, and nothing came from its console.
    PoweredOn,
    /// The kernel, or the firmware before it, has spoken.
    Kernel,
    /// The initramfs: network, kickstart, stage 2.
    Initramfs,
    /// systemd of the installer's own system (stage 2).
    Stage2,
    /// Anaconda has started.
    Installer,
    /// Anaconda gets ready: package metadata, dependencies, disks.
    Preparing,
    /// Partitions and file systems are made.
    Storage,
    /// Packages are fetched.
    Downloading,
    /// Packages are installed.
    Packages,
    /// The boot loader is installed.
    BootLoader,
    /// The installed system is configured.
    Configuring,
    /// The installed system's initramfs is made.
    BuildingInitramfs,
    /// The `%post` scripts run.
    PostScripts,
    /// The guest shuts down.
    ShuttingDown,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Phase; 14] = [
        Phase::PoweredOn,
        Phase::Kernel,
        Phase::Initramfs,
        Phase::Stage2,
        Phase::Installer,
        Phase::Preparing,
        Phase::Storage,
        Phase::Downloading,
        Phase::Packages,
        Phase::BootLoader,
        Phase::Configuring,
        Phase::BuildingInitramfs,
        Phase::PostScripts,
        Phase::ShuttingDown,
    ];

    /// The name in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Phase::PoweredOn => "power-on",
            Phase::Kernel => "kernel",
            Phase::Initramfs => "initramfs",
            Phase::Stage2 => "stage2",
            Phase::Installer => "installer",
            Phase::Preparing => "preparing",
            Phase::Storage => "storage",
            Phase::Downloading => "downloading",
            Phase::Packages => "packages",
            Phase::BootLoader => "boot-loader",
            Phase::Configuring => "configuring",
            Phase::BuildingInitramfs => "building-initramfs",
            Phase::PostScripts => "post-scripts",
            Phase::ShuttingDown => "shutting-down",
        }
    }

    /// What the guest does in this phase, to follow "while" in a sentence.
    pub fn doing(self) -> &'static str {
        match self {
            Phase::PoweredOn => "nothing had come from its console",
            Phase::Kernel => "its kernel was starting",
            Phase::Initramfs => "its initramfs was loading the installer",
            Phase::Stage2 => "the installer's system was starting",
            Phase::Installer => "the installer was starting",
            Phase::Preparing => "the installer was getting ready",
            Phase::Storage => "partitioning the disk",
            Phase::Downloading => "downloading packages",
            Phase::Packages => "installing packages",
            Phase::BootLoader => "installing the boot loader",
            Phase::Configuring => "configuring the installed system",
            Phase::BuildingInitramfs => "generating the initramfs",
            Phase::PostScripts => "running the %post scripts",
            Phase::ShuttingDown => "shutting down",
        }
    }

    /// What is going on in this phase, as a step of the build that a user watches.
    pub fn title(self) -> &'static str {
        match self {
            Phase::PoweredOn => "switching the guest on",
            Phase::Kernel => "booting the installer's kernel",
            Phase::Initramfs => "loading the installer",
            Phase::Stage2 => "starting the installer's system",
            Phase::Installer => "starting the installer",
            Phase::Preparing => "preparing the installation",
            Phase::ShuttingDown => "shutting the guest down",
            other => other.doing(),
        }
    }

    /// The share of an install, in percent, that is done when this phase begins. Estimated from
    /// typical network installs; a bar needs an order of magnitude, not a promise.
    pub fn percent_at_start(self) -> u8 {
        match self {
            Phase::PoweredOn => 0,
            Phase::Kernel => 1,
            Phase::Initramfs => 2,
            Phase::Stage2 => 5,
            Phase::Installer => 8,
            Phase::Preparing => 10,
            Phase::Storage => 17,
            Phase::Downloading => 20,
            Phase::Packages => 40,
            Phase::BootLoader => 80,
            Phase::Configuring => 85,
            Phase::BuildingInitramfs => 88,
            Phase::PostScripts => 94,
            Phase::ShuttingDown => 99,
        }
    }
}

const fn phase(text: Text, to: Phase, origin: Origin, sample: &'static str) -> Pattern {
    Pattern {
        text,
        channel: Channel::Both,
        meaning: Meaning::Phase(to),
        origin,
        sample,
    }
}

const fn console(text: Text, to: Phase, origin: Origin, sample: &'static str) -> Pattern {
    Pattern {
        text,
        channel: Channel::Console,
        meaning: Meaning::Phase(to),
        origin,
        sample,
    }
}

use Text::{Contains, Is, Starts};

const KERNEL: Origin = Origin("Linux", "all", "init/main.c");
const DRACUT: Origin = Origin("dracut", "all", "modules.d/98dracut-systemd");
const STAGE2: Origin = Origin("anaconda", "EL 7 and later", "data/systemd/anaconda.target");
const LOADER: Origin = Origin("anaconda", "EL 6", "loader/init.c, loader/loader.c");
const MAIN: Origin = Origin("anaconda", "EL 7 and later", "anaconda.py");
const HUB: Origin = Origin("anaconda", "EL 7 and later", "ui/tui/hubs/summary.py");
const INSTALL7: Origin = Origin("anaconda", "EL 7", "pyanaconda/install.py");
const INSTALL: Origin = Origin("anaconda", "EL 7 and later", "pyanaconda/installation.py");
const PAYLOAD: Origin = Origin(
    "anaconda",
    "EL 7 and later",
    "payload: yumpayload.py, dnf_manager.py, transaction_progress.py",
);
const INSTALL6: Origin = Origin(
    "anaconda",
    "EL 6",
    "yuminstall.py, kickstart.py, cmdline.py",
);
const EXIT: Origin = Origin("anaconda", "EL 7 and later", "anaconda.py exitHandler");

/// The texts that show a phase, by phase. Lines are compared without time stamps, the names of
/// those who print them, and progress dots (see [`super::patterns::body`]).
#[rustfmt::skip]
pub static PHASES: &[Pattern] = &[
    console(Starts("Linux version "), Phase::Kernel, KERNEL, "[    0.000000] Linux version 5.14.0-1.el9.x86_64 (builder) #1 SMP"),
    console(Starts("Command line: "), Phase::Kernel, KERNEL, "[    0.000000] Command line: inst.text"),
    console(Starts("Run /init as init process"), Phase::Initramfs, KERNEL, "[    1.9] Run /init as init process"),
    console(Contains("running in initrd"), Phase::Initramfs, Origin("systemd", "all", "src/core/main.c"), "[    2.1] systemd[1]: Running in initrd."),
    console(Contains("running in initial ram disk"), Phase::Initramfs, Origin("systemd", "EL 7, EL 8", "src/core/main.c"), "[    2.1] systemd[1]: Running in initial RAM disk."),
    console(Contains("(initramfs)"), Phase::Initramfs, DRACUT, "Welcome to Rocky Linux 9.4 dracut-057 (Initramfs)!"),
    console(Contains("dracut-initqueue"), Phase::Initramfs, DRACUT, "         Starting dracut-initqueue hook..."),
    console(Text::Ends("installer..."), Phase::Initramfs, Origin("anaconda", "EL 7 and later", "dracut/parse-anaconda-options.sh"), "Loading Rocky Linux 9.4 x86_64 installer..."),
    console(Starts("Greetings."), Phase::Initramfs, LOADER, "Greetings."),
    console(Starts("anaconda installer init version"), Phase::Initramfs, LOADER, "anaconda installer init version 13.21.263 starting"),
    console(Contains("switched root"), Phase::Stage2, Origin("systemd", "all", "initrd-switch-root.service"), "[    9.1] systemd[1]: Successfully switched root from /sysroot."),
    console(Contains("switching root"), Phase::Stage2, Origin("systemd", "all", "src/core/main.c"), "[    9.0] systemd[1]: Switching root."),
    console(Starts("running install..."), Phase::Stage2, LOADER, "running install..."),
    console(Contains("target Anaconda System Services"), Phase::Stage2, STAGE2, "[  OK  ] Reached target Anaconda System Services."),
    console(Starts("Starting installer, one moment"), Phase::Installer, MAIN, "Starting installer, one moment..."),
    // `Meaning::Started` of the version line stands for `Installer` too.
    console(Contains("Starting automated install"), Phase::Preparing, HUB, "Starting automated install....."),
    console(Contains("Checking software selection"), Phase::Preparing, HUB, "Checking software selection"),
    console(Contains("Saving storage configuration"), Phase::Preparing, Origin("anaconda", "EL 8 and later", "ui/lib/storage.py"), "Starting automated install...Saving storage configuration..."),
    console(Contains("Generating updated storage configuration"), Phase::Preparing, Origin("anaconda", "EL 7", "ui/tui/spokes/storage.py"), "Generating updated storage configuration"),
    console(Contains("Checking storage configuration"), Phase::Preparing, Origin("anaconda", "EL 7 and later", "ui/lib/storage.py"), ".....Checking storage configuration..."),
    phase(Is("Setting up the installation environment"), Phase::Storage, INSTALL, "Setting up the installation environment"),
    phase(Is("Configuring storage"), Phase::Storage, INSTALL, "Configuring storage"),
    phase(Starts("Creating disklabel on "), Phase::Storage, INSTALL, "Creating disklabel on /dev/vda"),
    phase(Text::Between("Creating ", " on /dev/"), Phase::Storage, INSTALL, "Creating xfs on /dev/vda1"),
    console(Starts("Formatting "), Phase::Storage, INSTALL6, "Formatting / file system"),
    phase(Is("Installing the software"), Phase::Downloading, Origin("anaconda", "EL 10", "pyanaconda/installation.py"), "Installing the software"),
    phase(Is("Installing"), Phase::Downloading, Origin("anaconda", "EL 8, EL 9", "pyanaconda/installation.py"), "Installing."),
    phase(Is("Starting package installation process"), Phase::Downloading, PAYLOAD, "Starting package installation process"),
    phase(Is("Downloading packages"), Phase::Downloading, PAYLOAD, "Downloading packages"),
    phase(Is("Preparing transaction from installation source"), Phase::Packages, PAYLOAD, "Preparing transaction from installation source"),
    console(Starts("Starting install process"), Phase::Packages, INSTALL6, "Starting install process.  This may take several minutes..."),
    phase(Is("Installing boot loader"), Phase::BootLoader, INSTALL, "Installing boot loader"),
    console(Is("Installing bootloader"), Phase::BootLoader, INSTALL6, "Installing bootloader."),
    phase(Is("Importing certificates"), Phase::Configuring, Origin("anaconda", "EL 10", "pyanaconda/installation.py"), "Importing certificates"),
    phase(Is("Configuring installed system"), Phase::Configuring, INSTALL, "Configuring installed system"),
    phase(Is("Writing network configuration"), Phase::Configuring, INSTALL, "Writing network configuration"),
    phase(Is("Configuring Red Hat subscription"), Phase::Configuring, INSTALL, "Configuring Red Hat subscription"),
    phase(Is("Creating users"), Phase::Configuring, INSTALL, "Creating users"),
    phase(Is("Configuring addons"), Phase::Configuring, INSTALL, "Configuring addons"),
    phase(Is("Generating initramfs"), Phase::BuildingInitramfs, INSTALL, "Generating initramfs"),
    phase(Is("Setting up kexec"), Phase::BuildingInitramfs, INSTALL, "Setting up kexec"),
    phase(Is("Storing configuration files and kickstarts"), Phase::BuildingInitramfs, INSTALL, "Storing configuration files and kickstarts"),
    phase(Is("Running post-installation scripts"), Phase::PostScripts, INSTALL7, "Running post-installation scripts"),
    console(Is("Running post-install scripts"), Phase::PostScripts, INSTALL6, "Running post-install scripts"),
    phase(Starts("Running... systemctl --no-wall "), Phase::ShuttingDown, EXIT, "Running... systemctl --no-wall poweroff"),
    console(Contains("Stopped Anaconda."), Phase::ShuttingDown, Origin("systemd", "EL 7 and later", "anaconda.service"), "[  OK  ] Stopped Anaconda."),
    console(Contains("target System Shutdown"), Phase::ShuttingDown, Origin("systemd", "EL 9 and later", "shutdown.target"), "[  OK  ] Reached target System Shutdown."),
    console(Is("[  OK  ] Reached target Shutdown"), Phase::ShuttingDown, Origin("systemd", "EL 7, EL 8", "shutdown.target"), "[  OK  ] Reached target Shutdown."),
    console(Starts("sending termination signals"), Phase::ShuttingDown, Origin("anaconda", "EL 6", "loader/shutdown.c"), "sending termination signals...done"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_ordered_and_named_once() {
        for pair in Phase::ALL.windows(2) {
            assert!(pair[0] < pair[1]);
            assert!(pair[0].percent_at_start() < pair[1].percent_at_start());
            assert_ne!(pair[0].name(), pair[1].name());
        }
    }

    #[test]
    fn each_text_shows_its_phase() {
        for pattern in PHASES {
            pattern.check_sample(PHASES);
        }
    }

    #[test]
    fn every_phase_after_power_on_has_a_text() {
        for phase in &Phase::ALL[1..] {
            let meaning = Meaning::Phase(*phase);
            assert!(PHASES.iter().any(|p| p.meaning == meaning), "{phase:?}");
        }
    }
}
