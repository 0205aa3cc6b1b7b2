//! Failures by standing still, by time, or from outside.

use super::*;

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
        "interrupted by SIGINT while running the %post scripts"
    );
}

#[test]
fn no_progress_is_a_stall_and_progress_is_none() {
    let (decision, when) = judge(OVER_HTTP, &format!("{UP_TO_POST}<quiet>")).unwrap();
    let Outcome::Failure(failed) = decision.outcome else {
        panic!("a success");
    };
    assert_eq!(failed.cause, Cause::Stalled);
    assert_eq!(when, line_at(13) + at(60 * 60));
    assert!(decision.stop_guest);
    let says = "no progress for 1h while running the %post scripts";
    assert!(failed.sentence.starts_with(says), "{}", failed.sentence);
    assert_eq!(failed.seen.last().unwrap().source, Source::GuestState);

    let mut judge = Judge::new(OVER_HTTP, Limits::default());
    judge.witness(at(1), Witness::Console("Linux version 6"));
    judge.witness(at(2), Witness::KickstartFetched);
    for (minute, written) in [(20, 10 << 20), (40, 20 << 20), (60, 30 << 20)] {
        let counters = Witness::Counters {
            written,
            received: 0,
        };
        assert_eq!(judge.witness(at(minute * 60), counters), None);
    }
    let counters = Witness::Counters {
        written: 30 << 20,
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
