//! What counts as a success.

use super::*;

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
                stop_guest: false,
                decisive: None
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
fn without_a_mark_the_last_phase_counts() {
    let verbatim = Expectations::new(false, Some(Deliver::Http));
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
    let initrd = Expectations::new(true, Some(Deliver::Initrd));
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
    let verbatim = Expectations::new(false, Some(Deliver::Http));
    let failed = failure(verbatim, &format!("{UP_TO_POST}{end}"));
    assert_eq!(failed.cause, Cause::PoweroffFailed);
    // What failed first is the cause.
    let story =
        format!("{UP_TO_POST}Running in cmdline mode, no interactive debugging allowed.\n{end}");
    assert_eq!(failure(OVER_HTTP, &story).cause, Cause::InstallerFailed);
}

/// What was mended explains no later failure.
#[test]
fn errors_that_were_mended_are_forgotten() {
    let story = UP_TO_POST.replace(
        "Starting automated install...",
        "Starting automated install...
        Failed to save storage configuration
        Error setting up base repository
        Traceback (most recent call last):",
    );
    let failed = failure(OVER_HTTP, &format!("{story}<timeout>"));
    assert_eq!(failed.cause, Cause::TimedOut);
    let (early, _) = story.split_once("Configuring storage").unwrap();
    let failed = failure(OVER_HTTP, &format!("{early}<timeout>"));
    assert_eq!(failed.cause, Cause::SourceUnavailable);
}

#[test]
fn what_a_command_printed_is_no_word_of_the_installers() {
    let said = "Kernel panic - not syncing: Attempted to kill init!";
    let story = |before: &str| format!("{UP_TO_POST}\n{before}{said}\n<mark>\n<shutdown by guest>");
    let outcome = |story: &str| judge(OVER_HTTP, story).unwrap().0.outcome;
    let success = Outcome::Success { notes: vec![] };
    assert_eq!(outcome(&story(PRINTED)), success);
    assert_ne!(outcome(&story("")), success);
}
