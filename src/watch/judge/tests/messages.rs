//! Failures that the installer reports.

use super::*;

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
fn evidence_is_the_end_of_the_console_each_line_once() {
    let many: String = (0..100).map(|n| format!("line {n}\n")).collect();
    let again = "[ 1.0] dracut: same\n[ 2.0] dracut: same\n";
    let failed = failure(OVER_HTTP, &format!("{many}{again}<interrupt>"));
    assert_eq!(failed.console.len(), EVIDENCE - 1);
    assert_eq!(failed.console[0], "line 72");
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

/// Anaconda puts a full stop behind the output in cmdline mode.
#[test]
fn the_output_of_a_script_is_given_as_it_was_printed() {
    let failed = failure(
        OVER_HTTP,
        &format!(
            "{UP_TO_POST}
            The installation was stopped due to an error in cmdline mode.
            The exact error message is:
            There was an error running the kickstart script at line 9.  This is a fatal error
            and installation will be aborted.  The details of this error are:
            first.
            about to fail.
            The installer will now terminate."
        ),
    );
    let script = failed.script.unwrap();
    assert_eq!(script.log, ["first.", "about to fail"]);
}

/// The hub only says that something is not complete; what, its screen and the log port say.
#[test]
fn a_reason_outranks_the_hub_that_follows_from_it() {
    let hub = "1) [x] Language settings                 2) [!] Software selection
        |       (English (United States))                (Error checking software
        |                                                selection)
        The installation was stopped due to an error
        The exact error message is:
        The following mandatory spokes are not completed:
        Software selection.
        The installer will now terminate.";
    let start = "<fetched>\nStarting automated install...\n";
    let failed = failure(OVER_HTTP, &format!("{start}{hub}"));
    assert_eq!(failed.cause, Cause::SoftwareMissing);
    let says = "installer reported: Software selection (Error checking software selection) (";
    assert!(failed.sentence.starts_with(says), "{}", failed.sentence);
    let log = "log: 10:00:00,000 WARNING anaconda:packaging: #012 Problem: conflicting requests#012  - nothing provides libx >= 2 needed by y-1-1.noarch\n";
    let failed = failure(OVER_HTTP, &format!("{start}{log}{hub}"));
    assert_eq!(failed.cause, Cause::SoftwareMissing);
    let says = "installer reported: nothing provides libx >= 2 needed by y-1-1.noarch \
                (not completed: Software selection); ";
    assert!(failed.sentence.starts_with(says), "{}", failed.sentence);
    assert_eq!(failed.seen[0].source, Source::LogPort);
}

#[test]
fn a_question_of_the_hub_is_about_what_it_marks() {
    let failed = failure(
        OVER_HTTP,
        "<fetched>
        Starting automated install...
        1) [!] Root password                     2) [!] User creation
        Please make a selection from the above ['b' to begin installation, 'q' to quit,
        <quiet>",
    );
    assert_eq!(failed.cause, Cause::QuestionAsked);
    let says = "the installer waits for an answer: Root password, User creation; ";
    assert!(failed.sentence.starts_with(says), "{}", failed.sentence);
}

#[test]
fn a_reason_on_the_console_is_found_before_the_message() {
    let failed = failure(
        OVER_HTTP,
        "<fetched>
        Starting automated install.......Saving storage configuration...
        .Failed to save storage configuration
        ......No big enough free space on disks for automatic partitioning
        The installation was stopped due to an error
        The exact error message is:
        The following mandatory spokes are not completed:
        Installation Destination.
        The installer will now terminate.",
    );
    assert_eq!(failed.cause, Cause::StorageFailed);
    let says = "installer reported: No big enough free space on disks for automatic partitioning (";
    assert!(failed.sentence.starts_with(says), "{}", failed.sentence);
}

#[test]
fn a_repository_is_named_with_its_address_and_status() {
    let failed = failure(
        OVER_HTTP,
        "<fetched>
        Starting automated install...
        log: 10:00:00,000 INFO anaconda:librepo: Error during transfer: Status code: 404 for http://192.0.2.1/x/repodata/repomd.xml (IP: 192.0.2.1)
        log: 10:00:00,000 WARNING anaconda:dnf: Errors during downloading metadata for repository 'x':#012  - Status code: 404 for http://192.0.2.1/x/repodata/repomd.xml (IP: 192.0.2.1)
        log: 10:00:01,000 ERR anaconda:anaconda: ui.tui.hubs.summary: CmdlineError: The following mandatory spokes are not completed:#012Installation source
        <quiet>",
    );
    assert_eq!(failed.cause, Cause::SourceUnavailable);
    let says = "installer reported: Errors during downloading metadata for repository 'x': - Status code: 404 for http://192.0.2.1/x/repodata/repomd.xml (IP: 192.0.2.1) (not completed: Installation source); ";
    assert!(failed.sentence.starts_with(says), "{}", failed.sentence);
}

fn with_sections(sections: &[(&str, u64)]) -> Expectations {
    let sections = sections.iter().map(|(header, line)| Section {
        header: (*header).to_owned(),
        line: *line,
        added: false,
    });
    Expectations {
        sections: sections.collect(),
        ..OVER_HTTP
    }
}

/// On the console a `%pre` that fails is a traceback of the installer and no more.
#[test]
fn a_script_before_the_install_is_named_with_its_status_and_output() {
    let failed = failure(
        with_sections(&[("%pre --erroronfail", 21)]),
        "<fetched>
        Starting installer, one moment...
        log: 10:00:00,000 INFO anaconda:program: Running... /bin/sh /tmp/ks-script-a
        log: 10:00:00,000 INFO anaconda:program: checking the build network
        log: 10:00:00,000 DEBUG anaconda:program: Return code: 3
        log: 10:00:00,000 ERR anaconda:anaconda: kickstart.script: Error code 3 running the kickstart script at line 21
        Traceback (most recent call last):
        pyanaconda.errors.ScriptError
        <quiet>",
    );
    assert_eq!(failed.cause, Cause::ScriptFailed);
    let says = "the script at line 21 of the kickstart (%pre --erroronfail) failed with exit status 3: checking the build network; ";
    assert!(failed.sentence.starts_with(says), "{}", failed.sentence);
    assert_eq!(failed.script.unwrap().log, ["checking the build network"]);
    let text = "Traceback (most recent call last):\npyanaconda.errors.ScriptError";
    assert!(
        failed.seen.iter().any(|seen| seen.text == text),
        "{:?}",
        failed.seen
    );
}

#[test]
fn the_boot_loaders_own_words_are_given() {
    let module = "log: 10:00:00,000 WARNING org.fedoraproject.Anaconda.Modules.Storage";
    let failed = failure(
        OVER_HTTP,
        &format!(
            "{UP_TO_POST}
            {module}:INFO:program:Running in chroot '/mnt/sysroot'... grub2-install --no-floppy /dev/vda
            {module}:INFO:program:grub2-install: error: will not proceed with blocklists.
            {module}:DEBUG:program:Return code: 1
            The following error occurred while installing the boot loader. The system will not be bootable. Would you like to ignore this and continue with installation?
            boot loader install failed
            <quiet>"
        ),
    );
    assert_eq!(failed.cause, Cause::BootLoaderFailed);
    let says =
        "installer reported: grub2-install: error: will not proceed with blocklists (The following";
    assert!(failed.sentence.starts_with(says), "{}", failed.sentence);
}

#[test]
fn a_script_that_is_none_of_the_kickstarts_is_not_said_to_be() {
    let story = |line: u32| {
        format!(
            "{UP_TO_POST}
            log: 10:00:00,000 ERR anaconda:anaconda: kickstart.script: Error code 127 running the kickstart script at line {line}
            <mark>\n<shutdown by guest>"
        )
    };
    let notes = |line| match judge(with_sections(&[("%post", 40)]), &story(line))
        .unwrap()
        .0
        .outcome
    {
        Outcome::Success { notes } => notes.concat(),
        Outcome::Failure(verdict) => panic!("{verdict:?}"),
    };
    assert_eq!(
        notes(40),
        "Error code 127 running the kickstart script at line 40 (%post)"
    );
    assert!(
        notes(103).contains("line 103 of another file: "),
        "{}",
        notes(103)
    );
}

#[test]
fn no_progress_meter_is_a_message() {
    let failed = failure(
        OVER_HTTP,
        &format!(
            "{UP_TO_POST}
            There was an error running the kickstart script at line 24.  This is a fatal error
            and installation will be aborted.  The details of this error are:
              % Total    % Received % Xferd  Average Speed   Time    Time     Time  Current
                                             Dload  Upload   Total   Spent    Left  Speed
              0     0    0     0    0     0      0      0 --:--:-- --:--:-- --:--:--     0
            curl: (22) The requested URL returned error: 404
            Press ENTER to exit:
            <quiet>"
        ),
    );
    let says = "the kickstart script at line 24 failed: curl: (22) The requested URL returned error: 404; ";
    assert!(failed.sentence.starts_with(says), "{}", failed.sentence);
    let log = failed.script.unwrap().log;
    assert_eq!(log, ["curl: (22) The requested URL returned error: 404"]);
}
