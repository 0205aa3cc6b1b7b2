//! What a text alone proves: consoles and logs as they are kept, drawn in a terminal.

use super::*;
use crate::watch::logport::LogPort;

/// What a kept console proves.
fn proven(text: &str) -> Option<Cause> {
    let mut judge = Judge::new(Expectations::new(false, None), Limits::default());
    let mut console = Console::new(None);
    let mut outputs = console.feed(text.replace('\n', "\r\n").as_bytes());
    outputs.extend(console.settle());
    let decision = outputs.iter().find_map(|output| match output {
        Output::Line(line) => judge.witness(at(0), Witness::Console(line)),
        Output::Mark => None,
    });
    match decision.or_else(|| judge.proven())?.outcome {
        Outcome::Failure(verdict) => Some(verdict.cause),
        Outcome::Success { .. } => None,
    }
}

#[test]
fn a_good_install_proves_nothing_by_its_text() {
    for text in [
        "Starting automated install...",
        "Installing bash.x86_64 (1/2)\nRunning post-installation scripts\n[terminated]\n",
        "[ 1.0] Call Trace:\n[FAILED] Failed to start Something.\n",
        "Installation complete. Press ENTER to quit:\n[  OK  ] Stopped Anaconda.\n",
        "==> qemu: Timeout waiting for SSH.\n",
        "curl: (7) Failed connect\nWarning: failed to fetch kickstart from http://192.0.2.1/k\n\
         Starting installer, one moment...\nInstalling a.noarch (1/2)\n",
    ] {
        assert_eq!(proven(text), None, "{text:?}");
    }
}

#[test]
fn each_failure_is_told_by_its_text() {
    for (text, cause) in [
        (
            "Warning: failed to fetch kickstart from http://192.0.2.1/ks\n",
            Cause::KickstartUnreachable,
        ),
        (
            "Configuring storage\n[terminated]\n",
            Cause::InstallerFailed,
        ),
        ("dracut Warning: poweroff failed!\n", Cause::PoweroffFailed),
        (
            "error and installation will be aborted\n\
             There was an error running the kickstart script at line 24.  This is a fatal\n\
             error and installation will be aborted.\n\nPress ENTER to exit: ",
            Cause::ScriptFailed,
        ),
        (
            "the disk layout. Would you like to use\nVNC mode instead?\n\n1) Start VNC\n\
             2) Use text mode\n\nPlease make a selection from the above: ",
            Cause::QuestionAsked,
        ),
        (
            "storage configuration failed: not enough free space on disks\n\
             5) [!] Installation Destination\n       (Kickstart insufficient)\n\
             Please make your choice from above ['q' to quit | ",
            Cause::StorageFailed,
        ),
        (
            "The installation was stopped due to an error\nThe exact error message is:\n\n\
             The following mandatory spokes are not completed:\nInstallation source\n\
             Software selection.\n\nThe installer will now terminate.\n",
            Cause::SourceUnavailable,
        ),
        (
            "Installing a.noarch (1/2)\nRunning in cmdline mode, no interactive debugging allowed.\n\
             The exact error message is:\n\ninstalling package x needs 9MB more space on the / \
             filesystem.\n\nThe installer will now terminate.\n",
            Cause::DiskFull,
        ),
        (
            "CentOS Linux 8 requires 1070 MB of memory to install, but you only have 900 MB on\n\
             this machine.\n",
            Cause::OutOfMemory,
        ),
        (
            "[  140.1] dracut-initqueue[3]: Warning: dracut-initqueue timeout - starting timeout \
             scripts\nEntering emergency mode. Exit the shell to continue.\ndracut:/# ",
            Cause::Stage2Unavailable,
        ),
        (
            "The media check is complete, the result is: FAIL.\n",
            Cause::MediaCheckFailed,
        ),
        (
            "Starting installer, one moment...\n[FAILED] Failed to start Anaconda.\n\
             You are in emergency mode. After logging in, type\n",
            Cause::InstallerFailed,
        ),
    ] {
        assert_eq!(proven(text), Some(cause), "{text:?}");
    }
}

#[test]
fn the_log_alone_tells_that_the_installer_failed() {
    let mut judge = Judge::new(Expectations::new(false, None), Limits::default());
    let log = "10:00:00,000 INFO anaconda:anaconda: progress: Installing boot loader\n\
               10:00:01,000 INFO anaconda:anaconda: threading: Thread Failed: AnaInstallThread (1)\n";
    for record in LogPort::default().feed(log.as_bytes()) {
        assert_eq!(judge.witness(at(0), Witness::Log(&record)), None);
    }
    let Some(Outcome::Failure(verdict)) = judge.proven().map(|decision| decision.outcome) else {
        panic!("no verdict");
    };
    assert_eq!(verdict.cause, Cause::InstallerFailed);
    assert_eq!(verdict.seen[0].source, Source::LogPort);
}
