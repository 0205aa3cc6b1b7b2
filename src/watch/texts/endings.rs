//! How a machine ends, and signs that belong to no phase.

use super::pattern::{Channel, Meaning, Origin, Pattern, Text, origin, row};

const REBOOT: Origin = origin("Linux", "EL 7 and later", "kernel/reboot.c");
const SYS: Origin = origin("Linux", "EL 6, EL 7", "kernel/sys.c");
const LOADER: Origin = origin("anaconda", "EL 6", "loader/shutdown.c");
const SHUTDOWN: Origin = origin("dracut", "EL 7 and later", "99shutdown/shutdown.sh");
const SCRIPTS: Origin = origin("anaconda", "EL 7 and later", "core/kickstart/scripts.py");
const KICKSTART: Origin = origin("anaconda", "EL 8 and later", "kickstart.py");

use Channel::{Both, Console, Log};
use Meaning::{CannotPowerOff, Halted, HasKickstart, Note, PowerDown, Reboot, ScriptOutput};
use Text::{Between, Contains, Is, Starts};

/// What ozr's own scripts in the guest put before what they say (`kickstart/shell`).
pub const OURS: &str = "ozr: ";

/// The texts.
#[rustfmt::skip]
pub static ENDINGS: &[Pattern] = &[
    row(Console, Contains("reboot: Power down"), PowerDown, REBOOT, "[  814.9] reboot: Power down"),
    row(Console, Is("Power down"), PowerDown, SYS, "[  814.9] Power down."),
    row(Console, Contains("reboot: Restarting system"), Reboot, REBOOT, "[  814.9] reboot: Restarting system"),
    row(Console, Is("Restarting system"), Reboot, SYS, "[  814.9] Restarting system."),
    row(Console, Contains("reboot: System halted"), Halted, REBOOT, "[  814.9] reboot: System halted"),
    row(Console, Is("System halted"), Halted, SYS, "[  814.9] System halted."),
    row(Console, Is("powering off system"), PowerDown, LOADER, "powering off system"),
    row(Console, Is("rebooting system"), Reboot, LOADER, "rebooting system"),
    row(Console, Is("halting system"), Halted, LOADER, "halting system"),
    row(Console, Contains("dracut Warning: poweroff failed!"), CannotPowerOff, SHUTDOWN, "[  355.7] dracut Warning: poweroff failed!"),
    row(Console, Contains("dracut Warning: reboot failed!"), CannotPowerOff, SHUTDOWN, "[  355.7] dracut Warning: reboot failed!"),
    row(Console, Contains("dracut Warning: halt failed!"), CannotPowerOff, SHUTDOWN, "[  355.7] dracut Warning: halt failed!"),
    row(Console, Starts("shutdown:/#"), CannotPowerOff, SHUTDOWN, "shutdown:/# "),
    row(Both, Is("Running pre-installation scripts"), HasKickstart, origin("anaconda", "EL 7 and later", "startup, installation.py"), "12:00:01 Running pre-installation scripts"),
    row(Console, Contains("Starting automated install"), HasKickstart, origin("anaconda", "EL 7 and later", "ui/tui/hubs/summary.py"), "Starting automated install..."),
    row(Log, Contains("startup_utils: Parsing kickstart: "), HasKickstart, origin("anaconda", "EL 8 and later", "startup_utils.py"), "startup_utils: Parsing kickstart: /run/install/ks.cfg"),
    row(Log, Contains("Found a kickstart file: "), HasKickstart, origin("anaconda", "EL 9 and later", "anaconda.py"), "main: Found a kickstart file: /run/install/ks.cfg"),
    row(Log, Between("Error code ", " running the kickstart script at line "), Note, SCRIPTS, "Error code 1 running the kickstart script at line 27"),
    row(Console, Starts("Some warnings occurred during reading the kickstart file"), Note, KICKSTART, "Some warnings occurred during reading the kickstart file:"),
    row(Console, Starts(OURS), ScriptOutput, origin("ozr", "all", "kickstart/shell: fail"), "ozr: command \"x\" failed with exit status 3"),
    row(Console, Contains("Starting Media check on "), Meaning::MediaCheck, origin("dracut", "EL 7 and later", "90dmsquash-live/checkisomd5@.service"), "         Starting Media check on /dev/sr0..."),
    row(Console, Starts("Press [Esc] to abort check"), Meaning::MediaCheck, origin("isomd5sum", "all", "checkisomd5.c"), "Press [Esc] to abort check."),
];
