//! The texts that show that a phase began, how a machine ends, and signs that belong to no phase.

use super::Channel::{Both, Console, Log};
use super::Text::{self, Between, Contains, Ends, Is, Starts};
use super::{Origin, Pattern, row};
use crate::watch::phases::Phase;
use crate::watch::signal::Signal::{
    self, CannotPowerOff, Halted, HasKickstart, Note, PowerDown, Reboot, ScriptOutput,
};

const fn phase(text: Text, to: Phase, origin: Origin, sample: &'static str) -> Pattern {
    row(Both, text, Signal::Phase(to), origin, sample)
}

const fn console(text: Text, to: Phase, origin: Origin, sample: &'static str) -> Pattern {
    row(Console, text, Signal::Phase(to), origin, sample)
}

const KERNEL: Origin = "Linux, all: init/main.c";
const DRACUT: Origin = "dracut, all: modules.d/98dracut-systemd";
const STAGE2: Origin = "anaconda, EL 7 and later: data/systemd/anaconda.target";
const LOADER: Origin = "anaconda, EL 6: loader/init.c, loader/loader.c";
const MAIN: Origin = "anaconda, EL 7 and later: anaconda.py";
const HUB: Origin = "anaconda, EL 7 and later: ui/tui/hubs/summary.py";
const INSTALL7: Origin = "anaconda, EL 7: pyanaconda/install.py";
const INSTALL: Origin = "anaconda, EL 7 and later: pyanaconda/installation.py";
const PAYLOAD: Origin =
    "anaconda, EL 7 and later: payload: yumpayload.py, dnf_manager.py, transaction_progress.py";
const INSTALL6: Origin = "anaconda, EL 6: yuminstall.py, kickstart.py, cmdline.py";
const EXIT: Origin = "anaconda, EL 7 and later: anaconda.py exitHandler";

/// The texts that show a phase, by phase. Lines are compared without time stamps, the names of
/// those who print them, and progress dots (see [`crate::watch::line::body`]).
#[rustfmt::skip]
pub static PHASES: &[Pattern] = &[
    console(Starts("Linux version "), Phase::Kernel, KERNEL, "[    0.000000] Linux version 5.14.0-1.el9.x86_64 (builder) #1 SMP"),
    console(Starts("Command line: "), Phase::Kernel, KERNEL, "[    0.000000] Command line: inst.text"),
    console(Starts("Run /init as init process"), Phase::Initramfs, KERNEL, "[    1.9] Run /init as init process"),
    console(Contains("running in initrd"), Phase::Initramfs, "systemd, all: src/core/main.c", "[    2.1] systemd[1]: Running in initrd."),
    console(Contains("running in initial ram disk"), Phase::Initramfs, "systemd, EL 7, EL 8: src/core/main.c", "[    2.1] systemd[1]: Running in initial RAM disk."),
    // Of a boot loader that starts the installer.
    console(Starts("Welcome to GRUB"), Phase::Kernel, "GRUB, 2: grub-core/kern/main.c", "Welcome to GRUB!"),
    console(Contains("(initramfs)"), Phase::Initramfs, DRACUT, "Welcome to Rocky Linux 9.4 dracut-057 (Initramfs)!"),
    console(Contains("dracut-initqueue"), Phase::Initramfs, DRACUT, "         Starting dracut-initqueue hook..."),
    console(Ends("installer..."), Phase::Initramfs, "anaconda, EL 7 and later: dracut/parse-anaconda-options.sh", "Loading Rocky Linux 9.4 x86_64 installer..."),
    console(Starts("Greetings."), Phase::Initramfs, LOADER, "Greetings."),
    console(Starts("anaconda installer init version"), Phase::Initramfs, LOADER, "anaconda installer init version 13.21.263 starting"),
    console(Contains("switched root"), Phase::Stage2, "systemd, all: initrd-switch-root.service", "[    9.1] systemd[1]: Successfully switched root from /sysroot."),
    console(Contains("switching root"), Phase::Stage2, "systemd, all: src/core/main.c", "[    9.0] systemd[1]: Switching root."),
    console(Starts("running install..."), Phase::Stage2, LOADER, "running install..."),
    console(Between("Welcome to ", "!"), Phase::Stage2, "systemd, all: src/core/main.c", "Welcome to Rocky Linux 9.4 (Blue Onyx)!"),
    console(Contains("target Anaconda System Services"), Phase::Stage2, STAGE2, "[  OK  ] Reached target Anaconda System Services."),
    console(Starts("Starting installer, one moment"), Phase::Installer, MAIN, "Starting installer, one moment..."),
    // The version line stands for `Installer` too; see `crate::watch::forms`.
    console(Contains("Starting automated install"), Phase::Preparing, HUB, "Starting automated install....."),
    console(Contains("Checking software selection"), Phase::Preparing, HUB, "Checking software selection"),
    console(Contains("Saving storage configuration"), Phase::Preparing, "anaconda, EL 8 and later: ui/lib/storage.py", "Starting automated install...Saving storage configuration..."),
    console(Contains("Generating updated storage configuration"), Phase::Preparing, "anaconda, EL 7: ui/tui/spokes/storage.py", "Generating updated storage configuration"),
    console(Contains("Checking storage configuration"), Phase::Preparing, "anaconda, EL 7 and later: ui/lib/storage.py", ".....Checking storage configuration..."),
    phase(Is("Setting up the installation environment"), Phase::Storage, INSTALL, "Setting up the installation environment"),
    phase(Is("Configuring storage"), Phase::Storage, INSTALL, "Configuring storage"),
    phase(Starts("Creating disklabel on "), Phase::Storage, INSTALL, "Creating disklabel on /dev/vda"),
    phase(Between("Creating ", " on /dev/"), Phase::Storage, INSTALL, "Creating xfs on /dev/vda1"),
    phase(Is("Running pre-installation tasks"), Phase::Storage, INSTALL, "Running pre-installation tasks"),
    console(Starts("Formatting "), Phase::Storage, INSTALL6, "Formatting / file system"),
    phase(Is("Installing the software"), Phase::Downloading, "anaconda, EL 10: pyanaconda/installation.py", "Installing the software"),
    phase(Is("Installing"), Phase::Downloading, "anaconda, EL 8, EL 9: pyanaconda/installation.py", "Installing."),
    phase(Is("Starting package installation process"), Phase::Downloading, PAYLOAD, "Starting package installation process"),
    phase(Is("Downloading packages"), Phase::Downloading, PAYLOAD, "Downloading packages"),
    phase(Is("Preparing transaction from installation source"), Phase::Packages, PAYLOAD, "Preparing transaction from installation source"),
    console(Starts("Starting install process"), Phase::Packages, INSTALL6, "Starting install process.  This may take several minutes..."),
    phase(Is("Installing boot loader"), Phase::BootLoader, INSTALL, "Installing boot loader"),
    console(Is("Installing bootloader"), Phase::BootLoader, INSTALL6, "Installing bootloader."),
    phase(Is("Importing certificates"), Phase::Configuring, "anaconda, EL 10: pyanaconda/installation.py", "Importing certificates"),
    phase(Is("Configuring installed system"), Phase::Configuring, INSTALL, "Configuring installed system"),
    phase(Is("Writing network configuration"), Phase::Configuring, INSTALL, "Writing network configuration"),
    phase(Is("Configuring Red Hat subscription"), Phase::Configuring, INSTALL, "Configuring Red Hat subscription"),
    phase(Is("Creating users"), Phase::Configuring, INSTALL, "Creating users"),
    phase(Is("Configuring addons"), Phase::Configuring, INSTALL, "Configuring addons"),
    phase(Starts("Performing post-installation setup tasks"), Phase::Packages, PAYLOAD, "Performing post-installation setup tasks"),
    phase(Starts("Joining realm: "), Phase::Configuring, INSTALL7, "Joining realm: example.org"),
    phase(Is("Creating snapshots"), Phase::Configuring, INSTALL, "Creating snapshots"),
    phase(Is("Generating initramfs"), Phase::BuildingInitramfs, INSTALL, "Generating initramfs"),
    phase(Is("Setting up kexec"), Phase::BuildingInitramfs, INSTALL, "Setting up kexec"),
    phase(Is("Storing configuration files and kickstarts"), Phase::BuildingInitramfs, INSTALL, "Storing configuration files and kickstarts"),
    phase(Is("Running post-installation scripts"), Phase::PostScripts, INSTALL7, "Running post-installation scripts"),
    console(Is("Running post-install scripts"), Phase::PostScripts, INSTALL6, "Running post-install scripts"),
    phase(Starts("Running... systemctl --no-wall "), Phase::ShuttingDown, EXIT, "Running... systemctl --no-wall poweroff"),
    console(Contains("Stopped Anaconda."), Phase::ShuttingDown, "systemd, EL 7 and later: anaconda.service", "[  OK  ] Stopped Anaconda."),
    console(Contains("target System Shutdown"), Phase::ShuttingDown, "systemd, EL 9 and later: shutdown.target", "[  OK  ] Reached target System Shutdown."),
    console(Is("[  OK  ] Reached target Shutdown"), Phase::ShuttingDown, "systemd, EL 7, EL 8: shutdown.target", "[  OK  ] Reached target Shutdown."),
    console(Starts("sending termination signals"), Phase::ShuttingDown, "anaconda, EL 6: loader/shutdown.c", "sending termination signals...done"),
];

const REBOOT: Origin = "Linux, EL 7 and later: kernel/reboot.c";
const SYS: Origin = "Linux, EL 6, EL 7: kernel/sys.c";
const SHUTDOWN6: Origin = "anaconda, EL 6: loader/shutdown.c";
const SHUTDOWN: Origin = "dracut, EL 7 and later: 99shutdown/shutdown.sh";
const SCRIPTS: Origin = "anaconda, EL 7 and later: core/kickstart/scripts.py";
const KICKSTART: Origin = "anaconda, EL 8 and later: kickstart.py";

/// What ozr's own scripts in the guest put before what they say (`kickstart/shell`).
pub const OURS: &str = "ozr: ";

/// The ends, and signs of no phase.
#[rustfmt::skip]
pub static ENDINGS: &[Pattern] = &[
    row(Console, Contains("reboot: Power down"), PowerDown, REBOOT, "[  814.9] reboot: Power down"),
    row(Console, Is("Power down"), PowerDown, SYS, "[  814.9] Power down."),
    row(Console, Contains("reboot: Restarting system"), Reboot, REBOOT, "[  814.9] reboot: Restarting system"),
    row(Console, Is("Restarting system"), Reboot, SYS, "[  814.9] Restarting system."),
    row(Console, Contains("reboot: System halted"), Halted, REBOOT, "[  814.9] reboot: System halted"),
    row(Console, Is("System halted"), Halted, SYS, "[  814.9] System halted."),
    row(Console, Is("powering off system"), PowerDown, SHUTDOWN6, "powering off system"),
    row(Console, Is("rebooting system"), Reboot, SHUTDOWN6, "rebooting system"),
    row(Console, Is("halting system"), Halted, SHUTDOWN6, "halting system"),
    row(Console, Contains("dracut Warning: poweroff failed!"), CannotPowerOff, SHUTDOWN, "[  355.7] dracut Warning: poweroff failed!"),
    row(Console, Contains("dracut Warning: reboot failed!"), CannotPowerOff, SHUTDOWN, "[  355.7] dracut Warning: reboot failed!"),
    row(Console, Contains("dracut Warning: halt failed!"), CannotPowerOff, SHUTDOWN, "[  355.7] dracut Warning: halt failed!"),
    row(Console, Starts("shutdown:/#"), CannotPowerOff, SHUTDOWN, "shutdown:/# "),
    row(Both, Is("Running pre-installation scripts"), HasKickstart, "anaconda, EL 7 and later: startup, installation.py", "12:00:01 Running pre-installation scripts"),
    row(Console, Contains("Starting automated install"), HasKickstart, "anaconda, EL 7 and later: ui/tui/hubs/summary.py", "Starting automated install..."),
    row(Log, Contains("startup_utils: Parsing kickstart: "), HasKickstart, "anaconda, EL 8 and later: startup_utils.py", "startup_utils: Parsing kickstart: /run/install/ks.cfg"),
    row(Log, Contains("Found a kickstart file: "), HasKickstart, "anaconda, EL 9 and later: anaconda.py", "main: Found a kickstart file: /run/install/ks.cfg"),
    row(Log, Between("Error code ", " running the kickstart script at line "), Note, SCRIPTS, "Error code 1 running the kickstart script at line 27"),
    row(Console, Starts("Some warnings occurred during reading the kickstart file"), Note, KICKSTART, "Some warnings occurred during reading the kickstart file:"),
    row(Console, Starts(OURS), ScriptOutput, "ozr, all: kickstart/shell: fail", "ozr: command \"x\" failed with exit status 3"),
    row(Console, Contains("Starting Media check on "), Signal::MediaCheck, "dracut, EL 7 and later: 90dmsquash-live/checkisomd5@.service", "         Starting Media check on /dev/sr0..."),
    row(Console, Starts("Press [Esc] to abort check"), Signal::MediaCheck, "isomd5sum, all: checkisomd5.c", "Press [Esc] to abort check."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_after_power_on_has_a_text() {
        for phase in &Phase::ALL[1..] {
            let meaning = Signal::Phase(*phase);
            assert!(PHASES.iter().any(|p| p.meaning == meaning), "{phase:?}");
        }
    }
}
