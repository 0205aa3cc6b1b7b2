use super::*;

const EMULATED: Limits = Limits {
    everywhere: None,
    emulated: true,
};

/// The limit of the initramfs, in most tests the one that counts.
fn initramfs() -> Duration {
    Limits::default().of(Step::Phase(Phase::Initramfs))
}

fn at(second: u64) -> Duration {
    Duration::from_secs(second)
}

fn package(done: u64) -> Signal {
    Signal::Package {
        done,
        total: 9,
        verifying: false,
    }
}

fn download(percent: u8) -> Signal {
    Signal::Download {
        percent,
        bytes: None,
        total: None,
    }
}

/// A watch in `phase`, entered at second 0.
fn in_phase(phase: Phase) -> StallWatch {
    let mut watch = StallWatch::new(Limits::default());
    watch.signal(at(0), &Signal::Phase(phase), phase);
    watch
}

#[test]
fn every_step_has_a_limit_unless_the_user_sets_one() {
    for step in Phase::ALL
        .iter()
        .copied()
        .map(Step::Phase)
        .chain([Step::MediaCheck, Step::PreparingTransaction])
    {
        let limit = Limits::default().of(step);
        assert!(limit >= at(180), "{step:?}");
        // A TCG guest runs 5 to 20 times slower.
        assert_eq!(EMULATED.of(step), limit * 6);
        for emulated in [false, true] {
            let set = Limits {
                everywhere: Some(at(8)),
                emulated,
            };
            assert_eq!(set.of(step), at(8));
        }
        assert!(!step.doing().is_empty());
    }
    let packages = Step::Phase(Phase::Packages);
    assert_eq!(EMULATED.of(packages), at(90 * 60));
}

/// 300 bytes of broadcast a second reach any threshold in the end.
#[test]
fn growth_is_judged_by_the_interval() {
    let mut watch = in_phase(Phase::Initramfs);
    for second in (0..7200).step_by(5) {
        watch.counters(at(second), 0, second * 300);
    }
    assert_eq!(watch.deadline(), initramfs());
    // A slow transfer is progress, and so is one that comes in bursts.
    for rate in [5000, 1_000_000] {
        let mut watch = in_phase(Phase::Initramfs);
        for second in (0..=600).step_by(5) {
            watch.counters(at(second), second * rate / 2, second * rate / 2);
        }
        assert!(
            watch.deadline() >= at(600) - INTERVAL + initramfs(),
            "{rate}"
        );
    }
    let mut watch = in_phase(Phase::Initramfs);
    watch.counters(at(40), 0, NOTEWORTHY_BYTES);
    assert_eq!(watch.deadline(), at(40) + initramfs());
    // Of a daemon that did not answer for long, what it counts is meant by the minute, too.
    watch.counters(at(40 + 1200), 0, 3 * NOTEWORTHY_BYTES);
    assert_eq!(watch.deadline(), at(40) + initramfs());
}

#[test]
fn progress_in_each_phase_moves_the_deadline() {
    for (phase, signals) in [
        (Phase::Downloading, [download(1), download(2)]),
        (Phase::Packages, [package(1), package(2)]),
        (
            Phase::Storage,
            [
                Signal::Tasks { done: 1, total: 9 },
                Signal::Tasks { done: 2, total: 9 },
            ],
        ),
    ] {
        let mut watch = in_phase(phase);
        let limit = Limits::default().of(Step::Phase(phase));
        for (minute, signal) in [(1, &signals[0]), (2, &signals[1])] {
            watch.signal(at(minute * 60), signal, phase);
            assert_eq!(watch.deadline(), at(minute * 60) + limit, "{phase:?}");
        }
        // The same again is no progress.
        watch.signal(at(180), &signals[1], phase);
        assert_eq!(watch.deadline(), at(120) + limit, "{phase:?}");
        assert_eq!(watch.exceeded(at(119) + limit), None);
        assert_eq!(watch.exceeded(at(120) + limit), Some(limit));
    }
}

#[test]
fn a_transaction_is_prepared_until_the_first_package() {
    let mut watch = in_phase(Phase::Downloading);
    watch.signal(at(1), &Signal::Phase(Phase::Packages), Phase::Packages);
    assert_eq!(watch.step(), Step::PreparingTransaction);
    watch.signal(at(2), &Signal::Tasks { done: 3, total: 9 }, Phase::Packages);
    assert_eq!(watch.step(), Step::PreparingTransaction);
    watch.signal(at(3), &package(1), Phase::Packages);
    assert_eq!(watch.step(), Step::Phase(Phase::Packages));
    watch.signal(at(4), &Signal::Phase(Phase::Packages), Phase::Packages);
    assert_eq!(watch.step(), Step::Phase(Phase::Packages));
}

#[test]
fn a_media_check_lasts_until_the_next_phase() {
    let mut watch = in_phase(Phase::Initramfs);
    watch.signal(at(1), &Signal::MediaCheck, Phase::Initramfs);
    watch.signal(at(2), &Signal::Phase(Phase::Initramfs), Phase::Initramfs);
    assert_eq!(watch.step(), Step::MediaCheck);
    watch.signal(at(3), &Signal::Phase(Phase::Stage2), Phase::Stage2);
    assert_eq!(watch.step(), Step::Phase(Phase::Stage2));
}

#[test]
fn only_new_lines_and_noteworthy_bytes_are_progress() {
    let mut watch = in_phase(Phase::Initramfs);
    for (second, line) in [
        (1, "waiting for a"),
        (2, "waiting for b"),
        (3, "waiting for a"),
    ] {
        watch.line(at(second), line);
    }
    assert_eq!(watch.deadline(), at(2) + initramfs());
    watch.counters(at(4), 1000, 1000);
    assert_eq!(watch.deadline(), at(2) + initramfs());
    watch.counters(at(5), 1000, NOTEWORTHY_BYTES);
    assert_eq!(watch.deadline(), at(5) + initramfs());
    // A counter that starts over (a reset guest) is none.
    watch.counters(at(6), 0, 0);
    assert_eq!(watch.deadline(), at(5) + initramfs());
}
