//! Texts after which nothing more comes unless somebody answers. They count when nothing follows.

use super::pattern::{Certainty, Channel, Origin, Pattern, Text, failure, origin};
use crate::watch::cause::Cause::{
    self, InstallerFailed, KickstartUnreachable, OutOfMemory, QuestionAsked,
};

const TMUX: Origin = origin("tmux", "EL 7 and later", "server-fn.c");
const MEH: Origin = origin("python-meh", "EL 7 and later", "meh/ui/text.py");
const PROGRESS: Origin = origin(
    "anaconda",
    "EL 7 and later",
    "ui/tui/spokes/progress.py, installation_progress.py",
);
const SIMPLELINE: Origin = origin("simpleline", "EL 7 and later", "simpleline.py, prompt.py");
const SUMMARY: Origin = origin("anaconda", "EL 7 and later", "ui/tui/hubs/summary.py");
const ERRORS: Origin = origin("anaconda", "EL 7 and later", "errors.py");
const ASK: Origin = origin(
    "anaconda",
    "EL 7 and later",
    "ui/tui/spokes/askvnc.py, askrd.py",
);
const CRYPTSETUP: Origin = origin("systemd", "all", "src/cryptsetup");
const LOADER: Origin = origin("anaconda", "EL 6", "loader/init.c");
const GENRULES: Origin = origin(
    "anaconda",
    "EL 7 and later",
    "dracut/anaconda-ks-genrules.sh",
);

use Text::{Between, Both as Holds, Contains, Starts};

const fn wait(text: Text, cause: Cause, origin: Origin, sample: &'static str) -> Pattern {
    failure(
        Channel::Console,
        Certainty::Standstill,
        text,
        cause,
        origin,
        sample,
    )
}

/// The texts.
#[rustfmt::skip]
pub static STANDSTILL: &[Pattern] = &[
    wait(Contains("Pane is dead"), InstallerFailed, TMUX, "Pane is dead (status 1, Mon Nov 23 10:00:00 2026)"),
    wait(Between("Installation complete", "to quit"), QuestionAsked, PROGRESS, "Installation complete. Press ENTER to quit:"),
    wait(Contains("Please make a selection from the above"), QuestionAsked, SIMPLELINE, "Please make a selection from the above ['b' to begin installation, 'q' to quit,"),
    wait(Contains("Please make your choice from above"), QuestionAsked, SIMPLELINE, "Please make your choice from above ['q' to quit | 'b' to begin installation |"),
    wait(Contains("Please make your choice from the above"), QuestionAsked, SIMPLELINE, "  Please make your choice from the above list: "),
    wait(Starts("Enter 'b' to ignore the warning"), QuestionAsked, SUMMARY, "Enter 'b' to ignore the warning and attempt to install anyway."),
    wait(Contains("Would you like to ignore"), QuestionAsked, ERRORS, "Would you like to ignore this and continue with installation?"),
    wait(Contains("Please respond 'yes' or 'no'"), QuestionAsked, SIMPLELINE, "Please respond 'yes' or 'no': "),
    wait(Starts("Press ENTER to "), QuestionAsked, SIMPLELINE, "Press ENTER to continue:"),
    wait(Starts("Hit ENTER to continue"), QuestionAsked, MEH, "Hit ENTER to continue"),
    wait(Starts("What do you want to do now?"), InstallerFailed, MEH, "What do you want to do now?"),
    wait(Contains("Would you like to use VNC"), QuestionAsked, ASK, "the disk layout. Would you like to use VNC mode instead?"),
    wait(Contains("Would you like to use RDP"), QuestionAsked, ASK, "Would you like to use RDP mode instead?"),
    wait(Contains("Would you like to start VNC to connect"), QuestionAsked, ASK, "X was unable to start on your machine. Would you like to start VNC to connect"),
    wait(Holds("1) ", "Start VNC"), QuestionAsked, ASK, " 1) Start VNC"),
    wait(Holds(") ", "Use text mode"), QuestionAsked, ASK, " 2) Use text mode"),
    wait(Starts("Please insert CDROM"), KickstartUnreachable, GENRULES, "Please insert CDROM containing 'ks.cfg'..."),
    wait(Contains("Please enter passphrase for disk"), QuestionAsked, CRYPTSETUP, "Please enter passphrase for disk vda2"),
    wait(Starts("Please unlock disk "), QuestionAsked, CRYPTSETUP, "Please unlock disk luks-1: "),
    wait(Starts("You do not have enough RAM"), OutOfMemory, origin("anaconda", "EL 6", "anaconda"), "You do not have enough RAM to install CentOS on this machine."),
    wait(Contains("The system will be rebooted when you press Ctrl-C"), InstallerFailed, LOADER, "The system will be rebooted when you press Ctrl-C or Ctrl-Alt-Delete."),
];
