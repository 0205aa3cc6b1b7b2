use super::*;
use crate::watch::console::{Console, Output};
use crate::watch::stall;
use crate::watch::verdict::{Script, Section};
use crate::watch::witness::{Delivery, End};

const OVER_HTTP: Expectations = Expectations {
    mark: true,
    delivery: Delivery::Http,
    sections: Vec::new(),
    repositories: Vec::new(),
};

fn at(second: u64) -> Duration {
    Duration::from_secs(second)
}

/// When the line of a story comes, counted from 1.
fn line_at(count: u32) -> Duration {
    Duration::from_millis(100) * count
}

/// Tells a judge a story, ten lines a second: console lines, and in angle brackets what else was
/// witnessed. The decision and when it was made.
fn judge(expectations: Expectations, story: &str) -> Option<(Decision, Duration)> {
    let mut judge = Judge::new(expectations, Limits::default());
    let mut count = 0;
    for line in story.lines().map(str::trim).filter(|l| !l.is_empty()) {
        count += 1;
        let now = line_at(count);
        let record;
        let witness = match line {
            "<fetched>" => Witness::KickstartFetched,
            "<mark>" => Witness::Mark,
            "<shutdown by guest>" => Witness::Ended(End::ByGuest),
            "<gone>" => Witness::Ended(End::Gone),
            "<killed>" => Witness::Ended(End::Killed),
            "<crashed>" => Witness::Ended(End::Crashed),
            "<host disk full>" => Witness::Ended(End::HostDiskFull),
            "<connection lost>" => Witness::Ended(End::ConnectionLost),
            "<timeout>" => Witness::TimedOut(at(3600)),
            "<interrupt>" => Witness::Interrupted,
            "<quiet>" => {
                let deadline = judge.deadline()?;
                let decision = judge.tick(deadline)?;
                return Some((decision, deadline));
            }
            _ => match line.strip_prefix("log: ") {
                Some(line) => {
                    record = Record::parse(line).expect("a record");
                    Witness::Log(&record)
                }
                None => {
                    let refused = line.strip_prefix("server: ").map(Witness::Refused);
                    let words = line.strip_prefix("words: ").map(Witness::LastWords);
                    refused.or(words).unwrap_or(Witness::Console(line))
                }
            },
        };
        if let Some(decision) = judge.witness(now, witness) {
            assert_eq!(judge.deadline(), None);
            assert_eq!(judge.witness(now, Witness::Interrupted), None);
            return Some((decision, now));
        }
    }
    None
}

fn failure(expectations: Expectations, story: &str) -> Verdict {
    match judge(expectations, story).expect("no decision").0.outcome {
        Outcome::Failure(verdict) => *verdict,
        Outcome::Success { .. } => panic!("a success"),
    }
}

const BOOT: &str = "
    [    0.000000] Linux version 5.14.0-1.el9.x86_64
    [    2.000000] systemd[1]: Running in initrd.
";

const UP_TO_POST: &str = "
    [    0.000000] Linux version 5.14.0-1.el9.x86_64
    [    2.000000] systemd[1]: Running in initrd.
    <fetched>
    [    9.0] systemd[1]: Switching root.
    Starting installer, one moment...
    anaconda 34.25.5-1.el9 for Rocky Linux 9.4 started.
    Starting automated install...
    Configuring storage
    Installing bash.x86_64 (1/2)
    Installing zlib.x86_64 (2/2)
    Installing boot loader
    Generating initramfs
    Running post-installation scripts
";

#[test]
fn a_good_install_succeeds() {
    for end in [
        "[ 99.0] reboot: Power down\n<gone>",
        "[ 99.0] reboot: Restarting system\n<killed>",
        "<shutdown by guest>",
    ] {
        let (decision, _) = judge(OVER_HTTP, &format!("{UP_TO_POST}<mark>\n{end}")).unwrap();
        assert_eq!(
            decision,
            Decision {
                outcome: Outcome::Success { notes: vec![] },
                stop_guest: false
            },
            "{end:?}"
        );
    }
}

#[test]
fn a_failed_script_that_may_fail_is_a_note() {
    let story = format!(
        "{UP_TO_POST}
        log: 10:00:00,000 ERR anaconda:anaconda: kickstart: Error code 3 running the kickstart script at line 40
        <mark>\n<shutdown by guest>"
    );
    let Outcome::Success { notes } = judge(OVER_HTTP, &story).unwrap().0.outcome else {
        panic!("a failure");
    };
    assert_eq!(
        notes,
        ["Error code 3 running the kickstart script at line 40"]
    );
}

#[test]
fn a_guest_that_goes_away_has_not_succeeded_by_that() {
    let story = format!("{UP_TO_POST}<shutdown by guest>");
    let failed = failure(OVER_HTTP, &story);
    assert_eq!(failed.cause, Cause::InstallerFailed);
    assert!(
        failed.sentence.starts_with(
            "the guest powered off without finishing; it came as far as running the %post scripts"
        ),
        "{}",
        failed.sentence
    );
    assert!(failed.console.contains(&"Generating initramfs".to_owned()));

    let failed = failure(OVER_HTTP, &format!("{UP_TO_POST}<mark>\n<gone>"));
    assert!(failed.sentence.contains("did not shut down in order"));
    let failed = failure(OVER_HTTP, &format!("{UP_TO_POST}<mark>\n<killed>"));
    assert_eq!(failed.cause, Cause::GuestKilled);
    let failed = failure(OVER_HTTP, &format!("{UP_TO_POST}<mark>\n<crashed>"));
    assert_eq!(failed.cause, Cause::GuestKilled);
}

#[test]
fn a_kickstart_that_was_never_fetched_says_how_far_the_boot_came() {
    let failed = failure(OVER_HTTP, "<shutdown by guest>");
    assert_eq!(failed.cause, Cause::NoBootOutput);
    assert!(
        failed
            .sentence
            .contains("nothing at all came from its console")
    );
    for (story, far) in [
        ("[ 0.0] Linux version 5", "its kernel started"),
        (BOOT, "it came as far as the initramfs"),
        (
            &format!("{BOOT}\nStarting installer, one moment..."),
            "the installer started without it",
        ),
        (
            &format!(
                "{BOOT}\n[ 9.9] dracut-initqueue[9]: Warning: failed to fetch kickstart from http://192.0.2.1/x"
            ),
            "initramfs: failed to fetch kickstart from http://192.0.2.1/x",
        ),
    ] {
        let failed = failure(OVER_HTTP, &format!("{story}\n<shutdown by guest>"));
        assert_eq!(failed.cause, Cause::KickstartUnreachable);
        assert!(
            failed
                .sentence
                .starts_with("the guest never fetched the kickstart; "),
            "{}",
            failed.sentence
        );
        assert!(failed.sentence.contains(far), "{}", failed.sentence);
    }
}

#[test]
fn an_error_block_decides_when_it_is_complete_not_when_the_guest_is_gone() {
    let story = format!(
        "{UP_TO_POST}
        The installation was stopped due to an error which occurred while running in cmdline mode.
        The exact error message is:
        Non interactive installation failed: no space in the inn,
        nor anywhere else.
        The installer will now terminate.
        [  OK  ] Stopped Anaconda."
    );
    let (decision, when) = judge(OVER_HTTP, &story).unwrap();
    assert_eq!(when, line_at(18));
    assert!(decision.stop_guest);
    let Outcome::Failure(failed) = decision.outcome else {
        panic!("a success");
    };
    assert_eq!(failed.cause, Cause::InstallerFailed);
    assert_eq!(failed.phase, Phase::PostScripts);
    assert!(
        failed
            .sentence
            .starts_with("installer reported: no space in the inn, nor anywhere else (while running the %post scripts); "),
        "{}",
        failed.sentence
    );
}

#[test]
fn a_refused_kickstart_is_reported_with_its_line() {
    let failed = failure(
        OVER_HTTP,
        "<fetched>
        Starting installer, one moment...
        An error occurred during reading the kickstart file:
        The following problem occurred on line 7 of the kickstart file:
        Unknown command: frobnicate
        The installer will now terminate.",
    );
    assert_eq!(failed.cause, Cause::KickstartRejected);
    assert!(
        failed.sentence.starts_with(
            "installer reported: The following problem occurred on line 7 of the kickstart file: \
             Unknown command: frobnicate; "
        ),
        "{}",
        failed.sentence
    );
}

#[test]
fn a_message_without_an_end_is_waited_for_and_no_longer() {
    let story = "<fetched>
        Starting installer, one moment...
        The following problem occurred on line 7 of the kickstart file:
        Unknown command: frobnicate
        <quiet>";
    let (decision, when) = judge(OVER_HTTP, story).unwrap();
    assert_eq!(when, line_at(3) + SETTLE);
    let Outcome::Failure(failed) = decision.outcome else {
        panic!("a success");
    };
    assert!(failed.sentence.contains("Unknown command: frobnicate"));
}

#[test]
fn causes_follow_from_the_message() {
    for (message, cause) in [
        (
            "There was an error running the kickstart script at line 9.",
            Cause::ScriptFailed,
        ),
        (
            "CmdlineError: Missing package: nosuch",
            Cause::SoftwareMissing,
        ),
        (
            "Unable to allocate requested partition scheme.",
            Cause::StorageFailed,
        ),
        (
            "The following mandatory spokes are not completed: Root password",
            Cause::QuestionAsked,
        ),
        (
            "The following mandatory spokes are not completed: Installation Destination",
            Cause::StorageFailed,
        ),
        ("", Cause::ScriptFailed),
    ] {
        let story = format!(
            "{UP_TO_POST}
            The installation was stopped due to an error which occurred while running.
            The exact error message is:
            Non interactive installation failed: {message}.
            The installer will now terminate."
        );
        assert_eq!(failure(OVER_HTTP, &story).cause, cause, "{message:?}");
    }
}

#[test]
fn the_log_port_alone_can_decide() {
    let story = "<fetched>
        Starting automated install...
        log: 10:00:00,000 ERR anaconda:anaconda: ui.tui.hubs.summary: CmdlineError: The following mandatory spokes are not completed:#012Root password#012User creation
        <quiet>";
    let failed = failure(OVER_HTTP, story);
    assert_eq!(failed.cause, Cause::QuestionAsked);
    assert!(
        failed
            .sentence
            .contains("not completed: Root password User creation"),
        "{}",
        failed.sentence
    );
}

#[test]
fn questions_count_when_nothing_follows() {
    let prompt = "Please make a selection from the above ['b' to begin installation, 'q' to quit,";
    let asked = format!("<fetched>\nStarting automated install...\n{prompt}\n");
    let failed = failure(OVER_HTTP, &format!("{asked}<quiet>"));
    assert_eq!(failed.cause, Cause::QuestionAsked);
    assert!(failed.sentence.contains("Please make a selection"));
    let goes_on = format!("{asked}{UP_TO_POST}<mark>\n<shutdown by guest>");
    assert!(matches!(
        judge(OVER_HTTP, &goes_on).unwrap().0.outcome,
        Outcome::Success { .. }
    ));
}

#[test]
fn a_dead_pane_is_the_end_unless_the_guest_shuts_down() {
    let failed = failure(
        OVER_HTTP,
        "<fetched>
        Starting installer, one moment...
        Traceback (most recent call last):
        Pane is dead
        <quiet>",
    );
    assert_eq!(failed.cause, Cause::InstallerFailed);
    let story = format!("{UP_TO_POST}<mark>\nPane is dead\n[ 9] reboot: Power down\n<gone>");
    assert!(matches!(
        judge(OVER_HTTP, &story).unwrap().0.outcome,
        Outcome::Success { .. }
    ));
}

#[test]
fn false_alarms_do_not_fail_an_install() {
    let story = UP_TO_POST.replace(
        "Installing boot loader",
        "[   55.0] Call Trace:
        [   55.0]  dump_stack_lvl+0x1/0x2
        Unknown command: printed by a script
        Error: printed by a script
        log: 10:00:00,000 CRIT anaconda:anaconda: exception: Traceback (most recent call last):#012#012 dasbus.error.DBusError: x
        log: 10:00:00,000 WARNING org.fedoraproject.Anaconda.Modules.Storage:DEBUG:x:CmdlineError: y
        log: 10:00:00,000 ERR packaging:Got HTTP 404 Error when downloading [.]treeinfo files
        curl: (22) The requested URL returned error: 404
        Installing boot loader",
    );
    let (decision, _) = judge(OVER_HTTP, &format!("{story}<mark>\n<shutdown by guest>")).unwrap();
    assert!(
        matches!(decision.outcome, Outcome::Success { .. }),
        "{decision:?}"
    );
}

#[test]
fn a_guest_without_its_second_stage_says_why() {
    let story = format!(
        "{BOOT}<fetched>
        [ 9.0] dracut-initqueue[1]: Warning: Downloading 'http://192.0.2.1/images/install.img' failed!
        [ 9.1] dracut-initqueue[1]: Warning: anaconda: failed to fetch stage2 from http://192.0.2.1/os
        [ 99.1] dracut-initqueue[1]: Warning: Could not boot.
        <quiet>"
    );
    let failed = failure(OVER_HTTP, &story);
    assert_eq!(failed.cause, Cause::Stage2Unavailable);
    assert!(
        failed
            .sentence
            .contains("failed to fetch stage2 from http://192.0.2.1/os")
    );
    // The same, and the guest is gone before anything more definite was said.
    let story = format!("{BOOT}<fetched>\n[ 9.0] reboot: Power down\n<gone>");
    let failed = failure(OVER_HTTP, &story);
    assert_eq!(failed.cause, Cause::Stage2Unavailable);
    assert!(failed.sentence.contains("the installer never started"));
}

/// With `rd.emergency=poweroff` it shuts down at once, before its failure is decided.
#[test]
fn an_initramfs_that_gives_up_and_shuts_down_says_why() {
    let end = "[ 28.6] dracut-initqueue[1]: Warning: Could not boot.
        Boot has failed. To debug this issue add \"rd.shell rd.debug\" to the kernel command line.
        [ 29.0] reboot: Power down
        <shutdown by guest>";
    let never = failure(
        OVER_HTTP,
        &format!(
            "{BOOT}
            dracut-initqueue[1]: curl: (7) Failed to connect to 192.0.2.1 port 9 after 7 ms
            dracut-initqueue[1]: Warning: anaconda: failed to fetch kickstart from http://192.0.2.1:9/ks
            {end}"
        ),
    );
    assert_eq!(never.cause, Cause::KickstartUnreachable);
    let says = "the guest never fetched the kickstart; it came as far as the initramfs: \
                anaconda: failed to fetch kickstart from http://192.0.2.1:9/ks; check ";
    assert!(never.sentence.starts_with(says), "{}", never.sentence);
    let stage2 = failure(
        OVER_HTTP,
        &format!(
            "{BOOT}<fetched>
            dracut-initqueue[1]: Warning: anaconda: failed to fetch stage2 from http://192.0.2.1/os
            {end}"
        ),
    );
    assert_eq!(stage2.cause, Cause::Stage2Unavailable);
    let says = "the guest could not load the installer: anaconda: failed to fetch stage2 from";
    assert!(stage2.sentence.starts_with(says), "{}", stage2.sentence);
}

/// The line of the kickstart is one that its author never saw.
#[test]
fn what_the_template_adds_fails_in_the_words_of_our_scripts() {
    let failed = failure(
        OVER_HTTP,
        &format!(
            "{UP_TO_POST}
            ozr: command \"x\" failed with exit status 3
            The installation was stopped due to an error in cmdline mode.
            The exact error message is:
            There was an error running the kickstart script at line 122.  This is a fatal error
            and installation will be aborted.  The details of this error are:
            ozr: command \"x\" failed with exit status 3
            The installer will now terminate."
        ),
    );
    assert_eq!(failed.cause, Cause::ScriptFailed);
    assert!(
        failed.sentence.starts_with(
            "what the template adds failed: command \"x\" failed with exit status 3; correct "
        ),
        "{}",
        failed.sentence
    );
}

#[test]
fn a_kernel_panic_is_named() {
    let story = "[ 1.0] Linux version 5\n[ 2.0] Kernel panic - not syncing: no init found\n<quiet>";
    let failed = failure(OVER_HTTP, story);
    assert_eq!(failed.cause, Cause::KernelPanic);
    assert!(failed.sentence.contains("panicked: no init found;"));
}

#[test]
fn time_and_interruption_end_an_install() {
    let failed = failure(OVER_HTTP, &format!("{UP_TO_POST}<timeout>"));
    assert_eq!(failed.cause, Cause::TimedOut);
    assert!(
        failed
            .sentence
            .starts_with("timed out after 1h in phase post-scripts"),
        "{}",
        failed.sentence
    );
    let failed = failure(OVER_HTTP, "<timeout>");
    assert!(
        failed
            .sentence
            .contains("never fetched the kickstart; nothing at all")
    );
    let failed = failure(OVER_HTTP, &format!("{UP_TO_POST}<interrupt>"));
    assert_eq!(
        failed.sentence,
        "interrupted while running the %post scripts"
    );
}

#[test]
fn without_a_mark_the_last_phase_counts() {
    let verbatim = Expectations::new(false, Delivery::Http);
    let end = "[ 99.0] reboot: Power down\n<gone>";
    let (decision, _) = judge(verbatim.clone(), &format!("{UP_TO_POST}{end}")).unwrap();
    assert!(matches!(decision.outcome, Outcome::Success { .. }));
    let early = UP_TO_POST.replace("Running post-installation scripts", "");
    let failed = failure(verbatim, &format!("{early}{end}"));
    assert_eq!(failed.cause, Cause::InstallerFailed);
    assert!(
        failed
            .sentence
            .contains("as far as generating the initramfs")
    );
}

#[test]
fn with_an_initrd_the_installer_must_show_that_it_has_the_kickstart() {
    let initrd = Expectations::new(true, Delivery::Initrd);
    let story = UP_TO_POST.replace("<fetched>", "") + "<mark>\n<shutdown by guest>";
    let (decision, _) = judge(initrd.clone(), &story).unwrap();
    assert!(matches!(decision.outcome, Outcome::Success { .. }));
    let failed = failure(
        initrd,
        &format!("{BOOT}\nWarning: can't find /ks.cfg!\n<shutdown by guest>"),
    );
    assert!(
        failed.sentence.contains("never found the kickstart")
            && failed.sentence.contains("can't find /ks.cfg!"),
        "{}",
        failed.sentence
    );
}

#[test]
fn evidence_is_the_end_of_the_console_each_line_once() {
    let many: String = (0..100).map(|n| format!("line {n}\n")).collect();
    let again = "[ 1.0] dracut: same\n[ 2.0] dracut: same\n";
    let failed = failure(OVER_HTTP, &format!("{many}{again}<interrupt>"));
    assert_eq!(failed.console.len(), EVIDENCE - 1);
    assert_eq!(failed.console[0], "line 72");
}

#[test]
fn causes_from_the_initramfs_do_not_outlive_it() {
    let story = UP_TO_POST.replace(
        "Installing boot loader",
        "curl: (6) Could not resolve host: in.a.script\nInstalling boot loader",
    );
    let failed = failure(OVER_HTTP, &format!("{story}<timeout>"));
    assert_eq!(failed.cause, Cause::TimedOut);
    let failed = failure(
        OVER_HTTP,
        &format!("{story}<mark>\n[terminated]\n<timeout>"),
    );
    assert_eq!(failed.cause, Cause::TimedOut);
    assert!(
        failed.sentence.contains("did not shut down"),
        "{}",
        failed.sentence
    );
}

#[test]
fn a_message_drawn_by_tmux_is_read() {
    let mut stream = "\x1b[H\x1b[J\x1b[24;1H\x1b[7m[anaconda]1:main* 2:shell\x1b[m".to_owned();
    for text in [
        "Installing boot loader",
        "The installation was stopped due to an error which occurred while running in non-interactive cmdline mode. Since there cannot be any questions in cmdline mode, edit your kickstart file and retry installation.",
        "The exact error message is:",
        "Non interactive installation failed: it was not to be.",
        "The installer will now terminate.",
        "",
    ] {
        stream += &format!("\x1b[1;23r\x1b[23;1H\n\x1b[K{text}\x1b[1;24r\x1b[23;1H");
    }
    let mut console = Console::new(None);
    let mut judge = Judge::new(OVER_HTTP, Limits::default());
    let decision = console
        .feed(stream.as_bytes())
        .iter()
        .find_map(|output| match output {
            Output::Line(line) => judge.witness(at(1), Witness::Console(line)),
            Output::Mark => None,
        })
        .expect("a decision");
    let Outcome::Failure(failed) = decision.outcome else {
        panic!("a success");
    };
    assert_eq!(failed.phase, Phase::BootLoader);
    assert!(
        failed.sentence.starts_with(
            "installer reported: it was not to be (while installing the boot loader); "
        )
    );
}

fn succeeds(story: &str) -> Vec<String> {
    match judge(OVER_HTTP, story).expect("no decision").0.outcome {
        Outcome::Success { notes } => notes,
        Outcome::Failure(verdict) => panic!("{verdict:?}"),
    }
}

/// dracut's shutdown: everything is unmounted, but the machine stays on.
#[test]
fn a_guest_that_cannot_power_off_has_succeeded_with_the_mark_only() {
    for end in [
        "[ 355.7] reboot: Power down\n[ 355.7] dracut Warning: poweroff failed!\n<quiet>",
        "shutdown:/# \n<quiet>",
        "[ 355.7] reboot: System halted\n<quiet>",
    ] {
        let story = format!("{UP_TO_POST}<mark>\n{end}");
        let (decision, _) = judge(OVER_HTTP, &story).unwrap();
        assert!(decision.stop_guest, "it does not go away by itself");
        let notes = succeeds(&story);
        assert!(notes[0].contains("was switched off by ozr"), "{notes:?}");
    }
    let end = "[ 355.7] dracut Warning: poweroff failed!\n<quiet>";
    let failed = failure(OVER_HTTP, &format!("{UP_TO_POST}{end}"));
    assert_eq!(failed.cause, Cause::PoweroffFailed);
    assert!(failed.sentence.contains("before the install was finished"));
    let verbatim = Expectations::new(false, Delivery::Http);
    let failed = failure(verbatim, &format!("{UP_TO_POST}{end}"));
    assert_eq!(failed.cause, Cause::PoweroffFailed);
    // What failed first is the cause.
    let story =
        format!("{UP_TO_POST}Running in cmdline mode, no interactive debugging allowed.\n{end}");
    assert_eq!(failure(OVER_HTTP, &story).cause, Cause::InstallerFailed);
}

#[test]
fn no_progress_is_a_stall_and_progress_is_none() {
    let (decision, when) = judge(OVER_HTTP, &format!("{UP_TO_POST}<quiet>")).unwrap();
    let Outcome::Failure(failed) = decision.outcome else {
        panic!("a success");
    };
    assert_eq!(failed.cause, Cause::Stalled);
    assert_eq!(when, line_at(13) + stall::POST_SCRIPTS);
    assert!(decision.stop_guest);
    let says = "no progress for 1h while running the %post scripts";
    assert!(failed.sentence.starts_with(says), "{}", failed.sentence);
    assert_eq!(failed.seen.last().unwrap().source, Source::GuestState);

    let mut judge = Judge::new(OVER_HTTP, Limits::default());
    judge.witness(at(1), Witness::Console("Linux version 6"));
    judge.witness(at(2), Witness::KickstartFetched);
    for (minute, written) in [(20, 1 << 20), (40, 2 << 20), (60, 3 << 20)] {
        let counters = Witness::Counters {
            written,
            received: 0,
        };
        assert_eq!(judge.witness(at(minute * 60), counters), None);
    }
    let counters = Witness::Counters {
        written: 3 << 20,
        received: 9,
    };
    assert!(judge.witness(at(100 * 60), counters).is_some());
}

#[test]
fn a_stall_is_explained_by_what_came_before() {
    let failed = failure(OVER_HTTP, "<quiet>");
    assert_eq!(failed.cause, Cause::NoBootOutput);
    let story =
        format!("{BOOT}<fetched>\nWarning: anaconda: failed to fetch stage2 from x\n<quiet>");
    assert_eq!(failure(OVER_HTTP, &story).cause, Cause::Stage2Unavailable);
    let failed = failure(OVER_HTTP, &format!("{UP_TO_POST}<mark>\n<quiet>"));
    assert_eq!(failed.cause, Cause::PoweroffFailed);
}

#[test]
fn whose_disk_is_full_is_told() {
    let story = format!("{UP_TO_POST}words: enospc\n<host disk full>");
    let failed = failure(OVER_HTTP, &story);
    assert_eq!(
        (failed.cause, failed.full_disk),
        (Cause::DiskFull, Some(FullDisk::Host))
    );
    assert_eq!(failed.kind(), crate::error::Kind::Host);
    let story = format!(
        "{UP_TO_POST}
        Running in cmdline mode, no interactive debugging allowed.
        The exact error message is:
        [Errno 28] No space left on device: '/mnt/sysroot/x'.
        The installer will now terminate."
    );
    let failed = failure(OVER_HTTP, &story);
    assert_eq!(
        (failed.cause, failed.full_disk),
        (Cause::DiskFull, Some(FullDisk::Guest))
    );
    assert_eq!(failed.kind(), crate::error::Kind::Build);
    let failed = failure(OVER_HTTP, &format!("{UP_TO_POST}<connection lost>"));
    assert_eq!(failed.cause, Cause::HypervisorFailed);
}

#[test]
fn the_first_error_is_the_cause() {
    let story = "[ 1.0] Linux version 5
        [ 1.0] Initramfs unpacking failed: write error
        [ 2.0] Kernel panic - not syncing: VFS: Unable to mount root fs
        <quiet>";
    let failed = failure(OVER_HTTP, story);
    assert_eq!(failed.cause, Cause::OutOfMemory);
    assert_eq!(
        failed.seen[0].text,
        "[ 1.0] Initramfs unpacking failed: write error"
    );
    let story = "<fetched>
        Starting automated install...
        log: 10:00:00,000 ERR anaconda:anaconda: ui.tui.hubs.summary: CmdlineError: The following mandatory spokes are not completed:#012Root password
        The installation was stopped due to an error
        <quiet>";
    assert_eq!(failure(OVER_HTTP, story).cause, Cause::QuestionAsked);
}

#[test]
fn a_script_is_named_with_its_section_and_its_output() {
    let expectations = Expectations {
        sections: vec![Section {
            header: "%post --erroronfail".to_owned(),
            line: 24,
            added: false,
        }],
        ..OVER_HTTP
    };
    let failed = failure(
        expectations,
        &format!(
            "{UP_TO_POST}
            There was an error running the kickstart script at line 24.  This is a fatal error
            and installation will be aborted.  The details of this error are:
            + false
            Press ENTER to exit:
            <quiet>"
        ),
    );
    assert_eq!(failed.cause, Cause::ScriptFailed);
    let Some(Script { line, section, log }) = failed.script else {
        panic!("no script");
    };
    assert_eq!(line, Some(24));
    assert_eq!(section.unwrap().header, "%post --erroronfail");
    assert_eq!(log[0], "+ false");
}

#[test]
fn packages_are_named_with_the_repositories_that_were_asked() {
    let expectations = Expectations {
        repositories: vec!["http://192.0.2.1/os".to_owned()],
        ..OVER_HTTP
    };
    let failed = failure(
        expectations,
        "<fetched>
        Starting automated install...
        The installation was stopped due to an error which occurred while running.
        The exact error message is:
        Non interactive installation failed: Some packages, groups or modules are missing.
        Problems in request:
        missing packages: grub2-nosuch, other.
        The installer will now terminate.",
    );
    assert_eq!(failed.cause, Cause::SoftwareMissing);
    assert_eq!(failed.packages, ["grub2-nosuch", "other"]);
    assert_eq!(failed.repositories, ["http://192.0.2.1/os"]);
    let sources: Vec<Source> = failed.seen.iter().map(|seen| seen.source).collect();
    assert!(sources.iter().all(|source| *source == Source::Console) && sources.len() > 4);
}

#[test]
fn a_text_alone_proves_only_what_it_says() {
    let proven = |story: &str| {
        let mut judge = Judge::new(
            Expectations::new(false, Delivery::Unknown),
            Limits::default(),
        );
        for line in story.lines() {
            if let Some(decision) = judge.witness(at(0), Witness::Console(line.trim())) {
                return Some(decision.outcome);
            }
        }
        judge.proven().map(|decision| decision.outcome)
    };
    for quiet in [
        "Starting automated install...",
        "Installing bash.x86_64 (1/2)\nRunning post-installation scripts\n[terminated]",
        "[ 1.0] Call Trace:\n[FAILED] Failed to start Something.",
        "Installation complete. Press ENTER to quit:\n[  OK  ] Stopped Anaconda.",
    ] {
        assert_eq!(proven(quiet), None, "{quiet:?}");
    }
    for (text, cause) in [
        (
            "Warning: failed to fetch kickstart from http://192.0.2.1/ks",
            Cause::KickstartUnreachable,
        ),
        ("Configuring storage\n[terminated]", Cause::InstallerFailed),
        ("dracut Warning: poweroff failed!", Cause::PoweroffFailed),
        (" 1) Start VNC", Cause::QuestionAsked),
    ] {
        let Some(Outcome::Failure(verdict)) = proven(text) else {
            panic!("no verdict of {text:?}");
        };
        assert_eq!(verdict.cause, cause, "{text:?}");
    }
}

#[test]
fn the_server_tells_what_the_guest_could_not_get() {
    let story = format!(
        "{BOOT}<fetched>
        server: tree/images/product.img: status 404
        server: tree/images/install.img: status 403
        <shutdown by guest>"
    );
    let failed = failure(OVER_HTTP, &story);
    assert_eq!(failed.cause, Cause::Stage2Unavailable);
    assert_eq!(failed.seen.len(), 1);
    assert_eq!(failed.seen[0].source, Source::ServerLog);
    assert_eq!(failed.seen[0].text, "tree/images/install.img: status 403");
    // It has got it elsewhere.
    let story = UP_TO_POST.replace(
        "Starting automated install...",
        "Starting automated install...\nserver: more/repodata/repomd.xml: status 404",
    );
    let failed = failure(OVER_HTTP, &format!("{story}<timeout>"));
    assert_eq!(failed.cause, Cause::TimedOut);
}
