//! Texts of anaconda, and of what runs it, that tell of a failure.

use super::Certainty::{Fatal, Reason, Standstill, Suspect, Vague};
use super::Channel::{Both, Console, Log};
use super::Text::{Between, Both as Holds, Contains, Is, Starts};
use super::{Origin, Pattern, Text, failure};
use crate::watch::cause::Cause::{
    self, BootLoaderFailed, DiskFull, DownloadFailed, InstallerFailed, KickstartRejected,
    KickstartUnreachable, OutOfMemory, QuestionAsked, ScriptFailed, SoftwareMissing,
    SourceUnavailable, StorageFailed, TransactionFailed,
};

const EXCEPTION: Origin = "anaconda, EL 7 and later: exception.py";
const ERRORS: Origin = "anaconda, EL 7 and later: errors.py";
const SUMMARY: Origin = "anaconda, EL 7 and later: ui/tui/hubs/summary.py";
const STARTUP: Origin = "anaconda, EL 7 and later: startup_utils.py";
const ANACONDA: Origin = "anaconda, EL 7 and later: anaconda.py";
const CMDLINE6: Origin = "anaconda, EL 6: cmdline.py";
const YUM6: Origin = "anaconda, EL 6: yuminstall.py";
const STORAGE6: Origin = "anaconda, EL 6: kickstart.py, storage/__init__.py";
const LOADER: Origin = "anaconda, EL 6: loader/init.c";
const YUM: Origin = "anaconda, EL 7: anaconda-yum, yumpayload.py";
const MEH: Origin = "python-meh, EL 7 and later: meh/ui/text.py";
const STORAGE: Origin = "anaconda, EL 7 and later: ui/lib/storage.py, ui/tui/spokes/storage.py";
const PAYLOAD: Origin = "anaconda, EL 7 and later: payload: manager.py; ui/tui/spokes/software.py";
const THREADING: Origin = "anaconda, EL 7 and later: threading.py";
const COREDUMP: Origin = "systemd, EL 7 and later: src/coredump";
const TRACEBACK: Origin = "Python, all: traceback.py";
const TMUX: Origin = "tmux, EL 7 and later: client.c, server-fn.c";

const fn fatal(text: Text, cause: Cause, origin: Origin, sample: &'static str) -> Pattern {
    failure(Console, Fatal, text, cause, origin, sample)
}

/// Something stopped the installer; the message that follows says what.
const fn vague(text: Text, cause: Cause, origin: Origin, sample: &'static str) -> Pattern {
    failure(Console, Vague, text, cause, origin, sample)
}

/// What failed. The particular before the general: several can stand in one block.
#[rustfmt::skip]
pub static INSTALLER: &[Pattern] = &[
    // Scripts.
    fatal(Contains("There was an error running the kickstart script at line"), ScriptFailed, ERRORS, "There was an error running the kickstart script at line 12.  This is a fatal error and installation will be aborted."),
    fatal(Contains("There was an error running the scriptlet"), ScriptFailed, STORAGE6, "There was an error running the scriptlet.  You may examine the output in /tmp/ks-script-x.log."),
    fatal(Contains("pyanaconda.errors.ScriptError"), ScriptFailed, ERRORS, "pyanaconda.errors.ScriptError: /tmp/ks-script-x"),

    // The boot loader.
    fatal(Contains("error occurred while installing the boot loader"), BootLoaderFailed, ERRORS, "The following error occurred while installing the boot loader. The system will not be bootable."),
    fatal(Contains("There was an error installing the bootloader"), BootLoaderFailed, "anaconda, EL 6: bootloader.py", "There was an error installing the bootloader.  The system may not be bootable."),
    fatal(Contains("No bootloader will be installed because of an error"), BootLoaderFailed, "anaconda, EL 6: bootloader.py", "No bootloader will be installed because of an error"),

    fatal(Contains("Installation was stopped due to an error installing the boot loader"), BootLoaderFailed, ERRORS, "Installation was stopped due to an error installing the boot loader. The exact error message is:"),

    // Packages.
    vague(Contains("The following error occurred while installing"), TransactionFailed, ERRORS, "The following error occurred while installing the payload. This is a fatal error and installation will be aborted."),
    failure(Both, Fatal, Contains("Error in POSTIN scriptlet in rpm package"), TransactionFailed, "dnf, EL 8 and later: dnf/yum/rpmtrans.py", "Error in POSTIN scriptlet in rpm package kernel-core"),
    fatal(Contains("error populating transaction after"), DownloadFailed, YUM, "error populating transaction after 10 retries"),
    fatal(Contains("Not enough disk space to download the packages"), DiskFull, "anaconda, EL 8 and later: payload/dnf", "Not enough disk space to download the packages; size 1.2 GiB."),
    fatal(Contains("insufficient disk space:"), DiskFull, YUM, "insufficient disk space: 500 MiB needed"),
    fatal(Starts("Unable to read package metadata"), SourceUnavailable, YUM6, "Unable to read package metadata. This may be due to a missing repodata directory."),
    fatal(Starts("Cannot retrieve repository metadata"), SourceUnavailable, YUM6, "Cannot retrieve repository metadata (repomd.xml) for repository: anaconda-x."),
    fatal(Holds("You have specified that the package", "should be installed"), SoftwareMissing, YUM, "You have specified that the package 'nosuch' should be installed.  This package does not exist."),
    fatal(Holds("You have specified that the group", "should be installed"), SoftwareMissing, YUM, "You have specified that the group 'nosuch' should be installed.  This group does not exist."),
    failure(Log, Fatal, Holds("base repo ", " not valid"), SourceUnavailable, "anaconda, EL 7, EL 8: payload/__init__.py", "base repo (http://192.0.2.1/os) not valid -- removing it"),
    fatal(Contains("The following software marked for installation has errors"), SoftwareMissing, "anaconda, EL 7 and later: yumpayload.py, dnf_manager.py", "The following software marked for installation has errors."),

    fatal(Holds("The package '", "' is required for this installation"), SoftwareMissing, ERRORS, "The package 'kernel' is required for this installation. This package does not exist."),
    fatal(Holds("The group '", "' is required for this installation"), SoftwareMissing, ERRORS, "The group 'core' is required for this installation. This group does not exist."),
    fatal(Contains("Some packages, groups or modules are broken, the installation"), SoftwareMissing, ERRORS, "Some packages, groups or modules are broken, the installation will be aborted."),
    fatal(Contains("Stream was not specified for a module without a default"), SoftwareMissing, ERRORS, "Stream was not specified for a module without a default stream. This is"),
    fatal(Contains("Multiple streams have been specified for a single module"), SoftwareMissing, ERRORS, "Multiple streams have been specified for a single module. This is"),
    failure(Console, Suspect(0), Contains("Some packages, groups or modules are missing"), SoftwareMissing, ERRORS, "Some packages, groups or modules are missing."),
    fatal(Contains("tried to mount the installation image, but cannot find it"), SourceUnavailable, ERRORS, "The installer has tried to mount the installation image, but cannot find it on"),

    // Disks.
    fatal(Contains("The following errors occurred with your partitioning"), StorageFailed, ERRORS, "The following errors occurred with your partitioning:"),
    fatal(Contains("no valid devices were found on which"), StorageFailed, ERRORS, "An error has occurred - no valid devices were found on which to create new file"),
    fatal(Contains("There is a problem with your existing storage"), StorageFailed, ERRORS, "There is a problem with your existing storage configuration: x"),
    fatal(Contains("An error occurred while resizing the device"), StorageFailed, ERRORS, "An error occurred while resizing the device vda1."),
    fatal(Contains("storage configuration failed:"), StorageFailed, "anaconda, EL 7: ui/tui/spokes/storage.py", "storage configuration failed: x"),
    fatal(Contains("Could not allocate requested partitions"), StorageFailed, STORAGE6, "Could not allocate requested partitions:"),
    fatal(Starts("Automatic partitioning errors"), StorageFailed, STORAGE6, "Automatic Partitioning Errors"),
    fatal(Is("No usable disks have been found"), StorageFailed, STORAGE6, "No usable disks have been found."),
    fatal(Contains("An error was encountered while activating your storage configuration"), StorageFailed, ERRORS, "An error was encountered while activating your storage configuration."),

    // Questions.
    vague(Contains("The following mandatory spokes are not completed"), QuestionAsked, SUMMARY, "The following mandatory spokes are not completed:"),
    failure(Log, Vague, Holds("CmdlineError: ", "mandatory spokes are not completed"), QuestionAsked, SUMMARY, "CmdlineError: The following mandatory spokes are not completed:"),
    fatal(Starts("Can't have a question in command line mode"), QuestionAsked, CMDLINE6, "Can't have a question in command line mode!"),
    fatal(Starts("Command line mode requires all choices to be specified"), QuestionAsked, CMDLINE6, "Command line mode requires all choices to be specified in a kickstart configuration file."),
    fatal(Between("In interactive step ", "can't continue"), QuestionAsked, CMDLINE6, "In interactive step network, can't continue"),

    // Memory.
    fatal(Contains("of memory to install, but you only have"), OutOfMemory, STARTUP, "Rocky Linux requires 1070 MB of memory to install, but you only have 512 MB on this machine."),

    // It stops, and says why, or does not.
    failure(Log, Vague, Starts("CmdlineError: "), InstallerFailed, EXCEPTION, "CmdlineError: Missing package: nosuch"),
    vague(Contains("The installation was stopped due to"), InstallerFailed, EXCEPTION, "The installation was stopped due to an error which occurred while running in non-interactive cmdline mode."),
    vague(Contains("Running in cmdline mode, no interactive debugging allowed"), InstallerFailed, EXCEPTION, "Running in cmdline mode, no interactive debugging allowed."),
    vague(Contains("An unknown error has occured"), InstallerFailed, EXCEPTION, "An unknown error has occured, look at the /tmp/anaconda-tb* file(s) for more details"),
    vague(Contains("An unknown error has occurred"), InstallerFailed, MEH, "An unknown error has occurred"),
    fatal(Contains("Installation was stopped due to an incompatibility with"), InstallerFailed, ERRORS, "Installation was stopped due to an incompatibility with the current version of the"),
    fatal(Contains("Unable to encrypt password: unsupported algorithm"), InstallerFailed, ERRORS, "Unable to encrypt password: unsupported algorithm x"),
    fatal(Is("Hardware error occurred"), InstallerFailed, EXCEPTION, "Hardware error occurred"),
    fatal(Contains("seems to be a problem with your hardware"), InstallerFailed, EXCEPTION, "There seems to be a problem with your hardware."),
    fatal(Starts("anaconda halting due to nokill flag"), InstallerFailed, ANACONDA, "anaconda halting due to nokill flag."),
    fatal(Starts("anaconda must be run as root"), InstallerFailed, ANACONDA, "anaconda must be run as root."),
    fatal(Contains("install exited abnormally"), InstallerFailed, LOADER, "install exited abnormally [1/1] -- received signal 15"),
    failure(Both, Fatal, Contains("Anaconda crashed on signal"), InstallerFailed, EXCEPTION, "Anaconda crashed on signal 11"),
    failure(Both, Fatal, Holds("(anaconda) of user ", " dumped core"), InstallerFailed, COREDUMP, "Process 1741 (anaconda) of user 0 dumped core."),

    // What the hub of text mode shows beside a spoke, and the log says of it, before either asks;
    // `crate::watch::hub` reads the hub itself.
    failure(Both, Suspect(0), Contains("Failed to save storage configuration"), StorageFailed, STORAGE, "Failed to save storage configuration"),
    failure(Both, Suspect(0), Contains("Failed to save boot loader configuration"), StorageFailed, STORAGE, "Failed to save boot loader configuration"),
    failure(Console, Suspect(0), Contains("Error setting up base repository"), SourceUnavailable, PAYLOAD, "Error setting up base repository"),
    failure(Console, Suspect(0), Contains("Error setting up software source"), SourceUnavailable, PAYLOAD, "Error setting up software source"),
    failure(Console, Suspect(0), Contains("Error setting up repositories"), SourceUnavailable, PAYLOAD, "Error setting up repositories"),
    failure(Console, Suspect(0), Contains("Error downloading package metadata"), SourceUnavailable, PAYLOAD, "Error downloading package metadata..."),
    failure(Log, Suspect(0), Starts("Payload setup error"), SourceUnavailable, PAYLOAD, "Payload setup error: x"),
    failure(Log, Suspect(0), Starts("Thread Failed: AnaInstallThread"), InstallerFailed, THREADING, "Thread Failed: AnaInstallThread (139813624719040)"),
    failure(Log, Suspect(1), Starts("Running kickstart %%onerror script"), InstallerFailed, EXCEPTION, "Running kickstart %%onerror script(s)"),
    failure(Log, Suspect(1), Starts("Running kickstart %%traceback script"), InstallerFailed, EXCEPTION, "Running kickstart %%traceback script(s)"),

    // A traceback on the console, before anaconda can handle it, or of a module that it then
    // handles.
    failure(Console, Suspect(1), Starts("Traceback (most recent call last)"), InstallerFailed, TRACEBACK, "Traceback (most recent call last):"),
    failure(Console, Suspect(1), Holds("File \"/", "sbin/anaconda\", line "), InstallerFailed, TRACEBACK, "  File \"/sbin/anaconda\", line 1156, in <module>"),

    // tmux's session has ended. So it does at the end of a good install, too.
    failure(Console, Suspect(2), Is("[terminated]"), InstallerFailed, TMUX, "[terminated]"),
    failure(Console, Suspect(2), Is("[exited]"), InstallerFailed, TMUX, "[exited]"),
    failure(Console, Suspect(2), Is("[server exited unexpectedly]"), InstallerFailed, TMUX, "[server exited unexpectedly]"),
];

const KICKSTART_PY: Origin = "anaconda, EL 7 and later: kickstart.py";
const PYKICKSTART: Origin = "pykickstart, all: errors.py, parser.py";

/// The kickstart is refused, or is not there.
#[rustfmt::skip]
pub static KICKSTART: &[Pattern] = &[
    failure(Both, Fatal, Contains("An error occurred during reading the kickstart file"), KickstartRejected, KICKSTART_PY, "An error occurred during reading the kickstart file:"),
    failure(Both, Fatal, Holds("The following problem occurred on line ", "of the kickstart file"), KickstartRejected, PYKICKSTART, "The following problem occurred on line 3 of the kickstart file:"),
    failure(Console, Fatal, Contains("error was found while parsing the kickstart configuration file"), KickstartRejected, CMDLINE6, "The following error was found while parsing the kickstart configuration file:"),
    failure(Both, Fatal, Starts("Unable to open input kickstart file"), KickstartRejected, PYKICKSTART, "Unable to open input kickstart file: Error opening file"),
    failure(Console, Fatal, Between("Section %", " does not end with %end."), KickstartRejected, PYKICKSTART, "Section %post does not end with %end."),
    failure(Console, Fatal, Starts("Unknown kickstart section: "), KickstartRejected, PYKICKSTART, "Unknown kickstart section: %frob"),
    failure(Console, Fatal, Contains("pykickstart.errors.Kickstart"), KickstartRejected, PYKICKSTART, "pykickstart.errors.KickstartParseError: The thing on line 3"),
    failure(Both, Fatal, Between("Kickstart file ", " is missing."), KickstartUnreachable, STARTUP, "Kickstart file /run/install/ks.cfg is missing."),
];

const PROGRESS: Origin =
    "anaconda, EL 7 and later: ui/tui/spokes/progress.py, installation_progress.py";
const SIMPLELINE: Origin = "simpleline, EL 7 and later: simpleline.py, prompt.py";
const ASK: Origin = "anaconda, EL 7 and later: ui/tui/spokes/askvnc.py, askrd.py";
const CRYPTSETUP: Origin = "systemd, all: src/cryptsetup";
const GENRULES: Origin = "anaconda, EL 7 and later: dracut/anaconda-ks-genrules.sh";

const fn wait(text: Text, cause: Cause, origin: Origin, sample: &'static str) -> Pattern {
    failure(Console, Standstill, text, cause, origin, sample)
}

/// Nothing more comes unless somebody answers: these count when nothing follows.
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
    wait(Starts("You do not have enough RAM"), OutOfMemory, "anaconda, EL 6: anaconda", "You do not have enough RAM to install CentOS on this machine."),
    wait(Contains("The system will be rebooted when you press Ctrl-C"), InstallerFailed, LOADER, "The system will be rebooted when you press Ctrl-C or Ctrl-Alt-Delete."),
];

const BLIVET: Origin = "blivet, EL 7 and later: partitioning.py, errors.py";
const STORAGE_TASK: Origin = "anaconda, EL 8 and later: modules/storage/partitioning: base_partitioning.py, automatic/utils.py";
const DISK_NAMES: Origin = "anaconda, EL 7 and later: kickstart.py, storage/utils.py";
const LIBDNF: Origin = "libdnf, EL 8 and later: libdnf/goal, repo";
const LIBREPO: Origin = "librepo, EL 8 and later: librepo/downloader.c";
const RPM: Origin = "rpm, all: lib/rpmprob.c, rpmscript.c";

const fn reason(text: Text, cause: Cause, origin: Origin, sample: &'static str) -> Pattern {
    failure(Both, Reason, text, cause, origin, sample)
}

/// The reasons of what the installer reports later, and then in general words.
#[rustfmt::skip]
pub static REASONS: &[Pattern] = &[
    reason(Starts("Storage configuration has failed: "), StorageFailed, STORAGE_TASK, "Storage configuration has failed: No big enough free space on disks for automatic partitioning"),
    reason(Contains("free space on disks"), StorageFailed, BLIVET, "No big enough free space on disks for automatic partitioning"),
    reason(Contains("Unable to allocate requested partition scheme"), StorageFailed, BLIVET, "Unable to allocate requested partition scheme."),
    reason(Between("Disk \"", "does not exist."), StorageFailed, DISK_NAMES, "Disk \"sdb\" given in ignoredisk command does not exist."),
    reason(Contains("nothing provides "), SoftwareMissing, LIBDNF, "Problem: conflicting requests\n  - nothing provides libx >= 2 needed by y-1-1.noarch"),
    reason(Holds("Problem", "\n  - "), SoftwareMissing, LIBDNF, "Problem: conflicting requests\n  - package a-1-1.noarch conflicts with b provided by b-1-1.noarch"),
    reason(Starts("Errors during downloading metadata for repository '"), SourceUnavailable, LIBDNF, "Errors during downloading metadata for repository 'x':\n  - Status code: 404 for http://192.0.2.1/x/repodata/repomd.xml (IP: 192.0.2.1)"),
    reason(Holds("Error: ", "Failed to download metadata for repo '"), SourceUnavailable, LIBDNF, "PayloadError: Failed to download metadata for repo 'x': Cannot download repomd.xml"),
    reason(Starts("Error during transfer: "), DownloadFailed, LIBREPO, "Error during transfer: Status code: 404 for http://192.0.2.1/x.rpm (IP: 192.0.2.1)"),
    reason(Holds("installing package ", "on the / filesystem"), DiskFull, RPM, "installing package kernel-core-5-1.x86_64 needs 60MB more space on the / filesystem"),
    reason(Contains("scriptlet failed, exit status"), TransactionFailed, RPM, "warning: %post(kernel-5-1.x86_64) scriptlet failed, exit status 1"),
];
