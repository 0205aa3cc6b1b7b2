//! Texts that say that something failed, and how sure they are of it.

use super::patterns::{Channel, Meaning, Origin, Pattern, Text};

/// What failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureKind {
    /// The guest could not get the kickstart.
    KickstartUnreachable,
    /// The installer refused the kickstart.
    KickstartRejected,
    /// The guest's network did not come up, or a server could not be reached.
    NetworkFailed,
    /// The installer's second stage could not be loaded.
    Stage2Unavailable,
    /// The guest could not boot, for a reason it did not say.
    BootFailed,
    /// Too little memory.
    OutOfMemory,
    /// The kernel gave up.
    KernelPanic,
    /// Partitioning failed: no disk, or too small a one.
    StorageFailed,
    /// Packages or their repositories are missing or broken.
    PackagesFailed,
    /// The boot loader could not be installed.
    BootLoaderFailed,
    /// A `%pre` or `%post` script with `--erroronfail` failed.
    ScriptFailed,
    /// One of our scripts, which carry out what the template adds, failed.
    TemplateFailed,
    /// The installer asked something that nobody is there to answer.
    QuestionAsked,
    /// The installer failed in another way.
    InstallerFailed,
    /// The guest finished shutting down but could not switch itself off.
    PoweroffFailed,
    /// The guest powered off before the install was finished.
    Unfinished,
    /// QEMU crashed, or somebody stopped the guest.
    GuestKilled,
    /// The time limit was reached.
    TimedOut,
    /// The user interrupted the build.
    Interrupted,
}

impl FailureKind {
    /// The name in machine-readable output.
    pub fn name(self) -> &'static str {
        match self {
            FailureKind::KickstartUnreachable => "kickstart-unreachable",
            FailureKind::KickstartRejected => "kickstart-rejected",
            FailureKind::NetworkFailed => "network-failed",
            FailureKind::Stage2Unavailable => "stage2-unavailable",
            FailureKind::BootFailed => "boot-failed",
            FailureKind::OutOfMemory => "out-of-memory",
            FailureKind::KernelPanic => "kernel-panic",
            FailureKind::StorageFailed => "storage-failed",
            FailureKind::PackagesFailed => "packages-failed",
            FailureKind::BootLoaderFailed => "boot-loader-failed",
            FailureKind::ScriptFailed => "script-failed",
            FailureKind::TemplateFailed => "template-failed",
            FailureKind::QuestionAsked => "question-asked",
            FailureKind::InstallerFailed => "installer-failed",
            FailureKind::PoweroffFailed => "poweroff-failed",
            FailureKind::Unfinished => "unfinished",
            FailureKind::GuestKilled => "guest-killed",
            FailureKind::TimedOut => "timed-out",
            FailureKind::Interrupted => "interrupted",
        }
    }

    /// What the user can do about it, as the end of a message.
    pub fn hint(self) -> Option<&'static str> {
        Some(match self {
            FailureKind::KickstartUnreachable => {
                "check that the guest's network reaches this host (`--network`), or use `--deliver initrd`"
            }
            FailureKind::KickstartRejected => {
                "correct the kickstart; pykickstart's `ksvalidator` names what the release does not know"
            }
            FailureKind::NetworkFailed => {
                "check `--network`, the `network` line of the kickstart, and that the mirror can be reached from the guest"
            }
            FailureKind::Stage2Unavailable => {
                "check that the install tree is complete and readable (images/install.img), and that the guest has enough memory"
            }
            FailureKind::BootFailed => "look at the end of the console log",
            FailureKind::OutOfMemory => "give the guest more memory with `--memory`",
            FailureKind::KernelPanic => {
                "look at the end of the console log; more memory (`--memory`) or `--accel tcg` may help"
            }
            FailureKind::StorageFailed => {
                "check the partitioning commands of the kickstart, or give a larger disk with `--disk-size`"
            }
            FailureKind::PackagesFailed => {
                "check the `url` and `repo` lines and the names in %packages; `--ignoremissing` skips packages that do not exist"
            }
            FailureKind::BootLoaderFailed => {
                "check the `bootloader` line, and that `--firmware` and the partitions fit together (`reqpart`)"
            }
            FailureKind::ScriptFailed => {
                "run the script by hand; a `--log` on its section shows its output"
            }
            FailureKind::TemplateFailed => {
                "correct the template; the end of the console log shows what the command printed"
            }
            FailureKind::QuestionAsked => "add what the installer asked for to the kickstart",
            FailureKind::InstallerFailed => "look at the end of the console log",
            FailureKind::PoweroffFailed => "look at the end of the console log",
            FailureKind::Unfinished => {
                "look for a script of the kickstart that shuts the machine down, and at the end of the console log"
            }
            FailureKind::TimedOut => {
                "raise the limit with `--timeout`, or look at where it stopped"
            }
            FailureKind::GuestKilled => {
                "start the build again; `dmesg` tells whether the host ran out of memory"
            }
            FailureKind::Interrupted => return None,
        })
    }
}

/// What our own scripts in the guest put before what they say (`kickstart/shell`).
pub const OURS: &str = "ozr: ";

/// How sure a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certainty {
    /// The install has failed.
    Fatal,
    /// The install has failed unless something else follows soon: a question that nobody
    /// answers, a dead pane that is not the end of a shutdown.
    Stall,
    /// The cause, should the install fail; it may recover.
    Suspect,
}

/// What a failure text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// What failed.
    pub kind: FailureKind,
    /// How sure that is.
    pub certainty: Certainty,
}

use Channel::{Both, Console, Log};
use FailureKind::*;
use Text::{Between, Contains, Is, Starts};

const fn fatal(
    channel: Channel,
    text: Text,
    kind: FailureKind,
    origin: Origin,
    sample: &'static str,
) -> Pattern {
    row(channel, text, kind, Certainty::Fatal, origin, sample)
}

const fn stall(text: Text, kind: FailureKind, origin: Origin, sample: &'static str) -> Pattern {
    row(Console, text, kind, Certainty::Stall, origin, sample)
}

const fn suspect(text: Text, kind: FailureKind, origin: Origin, sample: &'static str) -> Pattern {
    row(Console, text, kind, Certainty::Suspect, origin, sample)
}

const fn row(
    channel: Channel,
    text: Text,
    kind: FailureKind,
    certainty: Certainty,
    origin: Origin,
    sample: &'static str,
) -> Pattern {
    Pattern {
        text,
        channel,
        meaning: Meaning::Failure(Found { kind, certainty }),
        origin,
        sample,
    }
}

const KERNEL: Origin = Origin("Linux", "all", "kernel/panic.c");
const OOM: Origin = Origin("Linux", "all", "mm/oom_kill.c");
const KICKSTART: Origin = Origin("anaconda", "EL 8 and later", "pyanaconda/kickstart.py");
const PYKICKSTART: Origin = Origin("pykickstart", "all", "errors.py, parser.py");
const STARTUP: Origin = Origin("anaconda", "EL 8 and later", "startup_utils.py");
const EXCEPTION: Origin = Origin("anaconda", "EL 7 and later", "pyanaconda/exception.py");
const ERRORS: Origin = Origin("anaconda", "EL 7 and later", "pyanaconda/errors.py");
const SUMMARY: Origin = Origin("anaconda", "EL 7 and later", "ui/tui/hubs/summary.py");
const PROGRESS: Origin = Origin("anaconda", "EL 7 and later", "ui/tui/spokes (progress)");
const SIMPLELINE: Origin = Origin("simpleline", "EL 7 and later", "prompts");
const MEH: Origin = Origin("python-meh", "EL 7 and later", "meh/ui/text.py");
const TMUX: Origin = Origin("tmux", "EL 7 and later", "remain-on-exit");
const CMDLINE6: Origin = Origin("anaconda", "EL 6", "cmdline.py");
const LOADER: Origin = Origin("anaconda", "EL 6", "loader/init.c");
const LOADER_KS: Origin = Origin(
    "anaconda",
    "EL 6",
    "loader/kickstart.c, loader/urlinstall.c",
);
const YUM: Origin = Origin("anaconda", "EL 7", "anaconda-yum, yumpayload.py");
const FETCH_KS: Origin = Origin(
    "anaconda",
    "EL 7 and later",
    "dracut/fetch-kickstart-net.sh, -disk",
);
const PARSE_KS: Origin = Origin(
    "anaconda",
    "EL 7 and later",
    "dracut/parse-anaconda-kickstart.sh",
);
const LIB: Origin = Origin("anaconda", "EL 7 and later", "dracut/anaconda-lib.sh");
const REPORT: Origin = Origin(
    "anaconda",
    "EL 9 and later",
    "dracut/anaconda-error-reporting.sh",
);
const INITQUEUE: Origin = Origin(
    "dracut",
    "EL 7 and later",
    "dracut-initqueue.sh, hook names",
);
const EMERGENCY: Origin = Origin(
    "dracut",
    "EL 7 and later",
    "dracut-emergency.sh, dracut-lib.sh",
);
const SHUTDOWN: Origin = Origin(
    "dracut",
    "EL 7 and later",
    "modules.d/99shutdown/shutdown.sh",
);
const CURL: Origin = Origin("curl", "all", "man curl, EXIT CODES");

/// The texts. The first that matches a line counts, so the more telling stand first. Not here,
/// though they look like failures: `Call Trace:` (the kernel prints it for warnings too),
/// `CRIT` and `Traceback` in the log (handled exceptions), `Error code N running the kickstart
/// script` (a `%post` without `--erroronfail`; see `ENDINGS`), `Unknown command:` and its kin
/// outside anaconda's own block (a script can print anything).
#[rustfmt::skip]
pub static FAILURES: &[Pattern] = &[
    // The kernel.
    fatal(Console, Contains("Kernel panic - not syncing"), KernelPanic, KERNEL, "[    3.1] Kernel panic - not syncing: VFS: Unable to mount root fs"),
    suspect(Contains("Initramfs unpacking failed: write error"), OutOfMemory, Origin("Linux", "all", "init/initramfs.c"), "[    1.0] Initramfs unpacking failed: write error"),
    suspect(Contains("Out of memory: Kill"), OutOfMemory, OOM, "[  200.5] Out of memory: Killed process 1741 (anaconda) total-vm:1kB"),

    // The kickstart is refused.
    fatal(Console, Contains("An error occurred during reading the kickstart file"), KickstartRejected, KICKSTART, "An error occurred during reading the kickstart file:"),
    fatal(Both, Between("The following problem occurred on line ", "of the kickstart file"), KickstartRejected, PYKICKSTART, "The following problem occurred on line 3 of the kickstart file:"),
    fatal(Console, Contains("error was found while parsing the kickstart configuration file"), KickstartRejected, CMDLINE6, "The following error was found while parsing the kickstart configuration file:"),
    fatal(Console, Starts("Unable to open input kickstart file"), KickstartRejected, PYKICKSTART, "Unable to open input kickstart file: Error opening file"),
    fatal(Console, Between("Kickstart file ", " is missing."), KickstartUnreachable, STARTUP, "Kickstart file /run/install/ks.cfg is missing."),

    // Anaconda stops. The particular before the general: several can stand in one block.
    fatal(Console, Contains("There was an error running the kickstart script at line"), ScriptFailed, ERRORS, "There was an error running the kickstart script at line 12.  This is a fatal error and installation will be aborted."),
    fatal(Console, Contains("error occurred while installing the boot loader"), BootLoaderFailed, ERRORS, "The following error occurred while installing the boot loader. The system will not be bootable."),
    fatal(Console, Contains("The following error occurred while installing"), PackagesFailed, ERRORS, "The following error occurred while installing the payload. This is a fatal error and installation will be aborted."),
    fatal(Console, Contains("The following mandatory spokes are not completed"), QuestionAsked, SUMMARY, "The following mandatory spokes are not completed:"),
    fatal(Log, Between("CmdlineError: ", "mandatory spokes are not completed"), QuestionAsked, SUMMARY, "CmdlineError: The following mandatory spokes are not completed:"),
    fatal(Log, Starts("CmdlineError: "), InstallerFailed, EXCEPTION, "CmdlineError: Missing package: nosuch"),
    fatal(Console, Contains("error populating transaction after"), PackagesFailed, YUM, "error populating transaction after 10 retries"),
    fatal(Console, Contains("MB of memory to install, but you only have"), OutOfMemory, STARTUP, "Rocky Linux requires 1070 MB of memory to install, but you only have 512 MB on this machine."),
    fatal(Console, Contains("The installation was stopped due to"), InstallerFailed, EXCEPTION, "The installation was stopped due to an error which occurred while running in non-interactive cmdline mode."),
    fatal(Console, Contains("Running in cmdline mode, no interactive debugging allowed"), InstallerFailed, EXCEPTION, "Running in cmdline mode, no interactive debugging allowed."),
    fatal(Console, Contains("An unknown error has occured"), InstallerFailed, EXCEPTION, "An unknown error has occured, look at the /tmp/anaconda-tb* file(s) for more details"),
    fatal(Console, Contains("An unknown error has occurred"), InstallerFailed, MEH, "An unknown error has occurred"),
    fatal(Console, Is("Hardware error occurred"), InstallerFailed, EXCEPTION, "Hardware error occurred"),
    fatal(Console, Starts("anaconda halting due to nokill flag"), InstallerFailed, Origin("anaconda", "EL 7 and later", "anaconda.py"), "anaconda halting due to nokill flag."),
    fatal(Console, Contains("install exited abnormally"), InstallerFailed, LOADER, "install exited abnormally [1/1] -- received signal 15"),
    fatal(Console, Starts("Can't have a question in command line mode"), QuestionAsked, CMDLINE6, "Can't have a question in command line mode!"),
    fatal(Console, Starts("Command line mode requires all choices to be specified"), QuestionAsked, CMDLINE6, "Command line mode requires all choices to be specified in a kickstart configuration file."),
    fatal(Console, Between("In interactive step ", "can't continue"), QuestionAsked, CMDLINE6, "In interactive step network, can't continue"),

    // Somebody would have to answer.
    stall(Contains("Pane is dead"), InstallerFailed, TMUX, "Pane is dead (status 1, Mon Nov 23 10:00:00 2026)"),
    stall(Between("Installation complete", "to quit"), QuestionAsked, PROGRESS, "Installation complete. Press ENTER to quit:"),
    stall(Starts("Please make a selection from the above"), QuestionAsked, SIMPLELINE, "Please make a selection from the above ['b' to begin installation, 'q' to quit,"),
    stall(Starts("Please make your choice from above"), QuestionAsked, SIMPLELINE, "Please make your choice from above ['q' to quit | 'b' to begin installation |"),
    stall(Starts("Enter 'b' to ignore the warning"), QuestionAsked, SUMMARY, "Enter 'b' to ignore the warning and attempt to install anyway."),
    stall(Contains("Would you like to ignore"), QuestionAsked, ERRORS, "Would you like to ignore this and continue with installation?"),
    stall(Starts("Press ENTER to "), QuestionAsked, SIMPLELINE, "Press ENTER to continue:"),
    stall(Starts("Hit ENTER to continue"), QuestionAsked, MEH, "Hit ENTER to continue"),
    stall(Starts("What do you want to do now?"), InstallerFailed, MEH, "What do you want to do now?"),
    stall(Starts("Please insert CDROM"), Stage2Unavailable, FETCH_KS, "Please insert CDROM containing 'ks.cfg'..."),
    stall(Contains("Please enter passphrase for disk"), QuestionAsked, Origin("systemd", "all", "cryptsetup"), "Please enter passphrase for disk vda2"),
    stall(Contains("The system will be rebooted when you press Ctrl-C"), InstallerFailed, LOADER, "The system will be rebooted when you press Ctrl-C or Ctrl-Alt-Delete."),

    // The initramfs. Its retries can recover, until dracut gives up.
    suspect(Contains("failed to fetch kickstart"), KickstartUnreachable, FETCH_KS, "dracut-initqueue[607]: Warning: failed to fetch kickstart from http://192.0.2.1/ks"),
    suspect(Contains("unknown network kickstart URL"), KickstartUnreachable, FETCH_KS, "Warning: unknown network kickstart URL: gopher://x"),
    suspect(Starts("Can't get kickstart from"), KickstartUnreachable, FETCH_KS, "Warning: Can't get kickstart from /dev/sr0:/ks.cfg"),
    suspect(Between("can't find /", "!"), KickstartUnreachable, PARSE_KS, "Warning: can't find /ks.cfg!"),
    suspect(Contains("ks.cfg.done"), KickstartUnreachable, INITQUEUE, "Warning: /lib/dracut/hooks/initqueue/finished/kickstart.sh: \"[ -e /tmp/ks.cfg.done ]\""),
    suspect(Contains("Failed to retrieve"), KickstartUnreachable, LOADER_KS, "Failed to retrieve http://192.0.2.1/ks.cfg."),
    suspect(Contains("finished/nm.sh"), NetworkFailed, INITQUEUE, "Warning: /lib/dracut/hooks/initqueue/finished/nm.sh: \"[ -f /tmp/nm.done ]\""),
    suspect(Contains("failed to fetch stage2"), Stage2Unavailable, LIB, "dracut-initqueue[1133]: Warning: anaconda: failed to fetch stage2 from http://192.0.2.1/os"),
    suspect(Contains("has no suitable runtime"), Stage2Unavailable, LIB, "Warning: boot.iso has no suitable runtime"),
    suspect(Between("Invalid value for 'inst.", "': "), Stage2Unavailable, LIB, "Warning: Invalid value for 'inst.repo': None"),
    suspect(Contains("finished/devexists-\\x2fdev\\x2froot.sh"), Stage2Unavailable, INITQUEUE, "Warning: /lib/dracut/hooks/initqueue/finished/devexists-\\x2fdev\\x2froot.sh: \"[ -e \"/dev/root\" ]\""),
    suspect(Contains("missing inst.stage2 or inst.repo boot parameters"), Stage2Unavailable, REPORT, "Warning: missing inst.stage2 or inst.repo boot parameters on the"),
    suspect(Contains("Media check failed!"), Stage2Unavailable, Origin("anaconda", "EL 7 and later", "dracut/anaconda-diskroot"), "Media check failed! We do not recommend using this medium."),
    suspect(Contains("curl: ("), NetworkFailed, CURL, "curl: (7) Failed to connect to 192.0.2.1 port 80: No route to host"),
    suspect(Contains("starting timeout scripts"), BootFailed, INITQUEUE, "Warning: dracut-initqueue timeout - starting timeout scripts"),
    fatal(Console, Contains("Could not boot."), BootFailed, EMERGENCY, "dracut-initqueue[574]: Warning: Could not boot."),
    fatal(Console, Contains("Boot has failed. To debug this issue add"), BootFailed, EMERGENCY, "Boot has failed. To debug this issue add \"rd.shell rd.debug\" to the kernel command line."),
    fatal(Console, Contains("Entering emergency mode"), BootFailed, EMERGENCY, "Entering emergency mode. Exit the shell to continue."),
    fatal(Console, Contains("Give root password for maintenance"), BootFailed, Origin("util-linux", "all", "sulogin.c"), "Give root password for maintenance"),
    fatal(Console, Contains("Press Enter for maintenance"), BootFailed, Origin("util-linux", "all", "sulogin.c"), "Press Enter for maintenance"),

    // Our own scripts, which then fail with `--erroronfail`.
    suspect(Starts(OURS), TemplateFailed, Origin("ozr", "all", "kickstart/shell: fail"), "ozr: command \"x\" failed with exit status 3"),

    // A traceback on the console, before anaconda can handle it.
    suspect(Starts("Traceback (most recent call last)"), InstallerFailed, Origin("Python", "all", "traceback.py"), "Traceback (most recent call last):"),
    suspect(Between("File \"/sbin/anaconda\", line ", ", in "), InstallerFailed, Origin("Python", "all", "traceback.py"), "  File \"/sbin/anaconda\", line 1156, in <module>"),

    // tmux's session has ended. So it does at the end of a good install, too.
    suspect(Is("[terminated]"), InstallerFailed, Origin("tmux", "EL 7 and later", "client.c"), "[terminated]"),

    // The other end.
    fatal(Console, Contains("dracut Warning: poweroff failed!"), PoweroffFailed, SHUTDOWN, "[  355.7] dracut Warning: poweroff failed!"),
    fatal(Console, Contains("dracut Warning: reboot failed!"), PoweroffFailed, SHUTDOWN, "[  355.7] dracut Warning: reboot failed!"),
];

/// Words inside a failure's message that tell what failed more exactly than the text that led
/// to it. Tried in this order.
static DETAILS: &[(&str, FailureKind)] = &[
    ("error running the kickstart script", ScriptFailed),
    // What is named in a list of spokes (`title` of anaconda's ui/tui/spokes).
    ("Installation Destination", StorageFailed),
    ("Installation source", PackagesFailed),
    ("Software selection", PackagesFailed),
    ("mandatory spokes are not completed", QuestionAsked),
    ("of the kickstart file", KickstartRejected),
    ("boot loader", BootLoaderFailed),
    ("bootloader", BootLoaderFailed),
    ("grub", BootLoaderFailed),
    ("Missing package", PackagesFailed),
    ("groups or modules are", PackagesFailed),
    ("Failed to download the following packages", PackagesFailed),
    ("DNF error", PackagesFailed),
    ("Payload error", PackagesFailed),
    ("Error setting up base repository", PackagesFailed),
    ("Error setting up software source", PackagesFailed),
    ("error occurred during the transaction", PackagesFailed),
    ("Error in POSTIN scriptlet", PackagesFailed),
    ("free space", StorageFailed),
    ("enough space", StorageFailed),
    ("partition scheme", StorageFailed),
    ("usable disks", StorageFailed),
    ("storage configuration", StorageFailed),
];

/// What failed, by the words of its message.
pub fn kind_of_message(message: &str) -> Option<FailureKind> {
    let message = message.to_ascii_lowercase();
    DETAILS
        .iter()
        .find(|(words, _)| message.contains(&words.to_ascii_lowercase()))
        .map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_is_read_as_what_it_is() {
        for pattern in FAILURES {
            pattern.check_sample(FAILURES);
        }
    }

    #[test]
    fn messages_tell_more() {
        for (message, kind) in [
            (
                "There was an error running the kickstart script at line 4.",
                Some(ScriptFailed),
            ),
            ("Failed to write GRUB configuration", Some(BootLoaderFailed)),
            (
                "CmdlineError: Missing package: nosuch",
                Some(PackagesFailed),
            ),
            ("not enough free space on disks", Some(StorageFailed)),
            ("something else", None),
        ] {
            assert_eq!(kind_of_message(message), kind, "{message:?}");
        }
    }

    #[test]
    fn names_are_unique() {
        let kinds = [
            KickstartUnreachable,
            KickstartRejected,
            NetworkFailed,
            Stage2Unavailable,
            BootFailed,
            OutOfMemory,
            KernelPanic,
            StorageFailed,
            PackagesFailed,
            BootLoaderFailed,
            ScriptFailed,
            TemplateFailed,
            QuestionAsked,
            InstallerFailed,
            PoweroffFailed,
            Unfinished,
            GuestKilled,
            TimedOut,
            Interrupted,
        ];
        let names: std::collections::BTreeSet<&str> = kinds.iter().map(|k| k.name()).collect();
        assert_eq!(names.len(), kinds.len());
    }
}
