//! Whatever comes from the log port, its reader, the tables of texts and the judge take it without
//! a panic, what is read does not depend on how the stream is cut, and no record holds what a
//! terminal would obey.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use ozr::options::Deliver;
use ozr::watch::judge::Judge;
use ozr::watch::logport::{LogPort, Record};
use ozr::watch::report;
use ozr::watch::signal;
use ozr::watch::stall::Limits;
use ozr::watch::verdict::Outcome;
use ozr::watch::witness::{End, Expectations, Witness};

fn records(bytes: &[u8], piece: usize) -> Vec<Record> {
    let mut port = LogPort::default();
    let mut all = Vec::new();
    for piece in bytes.chunks(piece) {
        all.extend(port.feed(piece));
    }
    all.extend(port.finish());
    all
}

// The first byte says how the rest is cut, and how much time passes between two records.
fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else {
        return;
    };
    let all = records(rest, usize::from(*first).max(1));
    assert_eq!(all, records(rest, rest.len().max(1)));
    let expectations = Expectations::new(true, Some(Deliver::Initrd));
    let mut judge = Judge::new(expectations, Limits::default());
    let mut now = Duration::ZERO;
    let mut decision = None;
    for record in &all {
        let forbidden = |c: char| c.is_control() && c != '\t';
        assert!(!record.to_string().contains(forbidden), "{record:?}");
        let _ = signal::of_record(record);
        let percent = judge.progress().percent();
        now += Duration::from_millis(u64::from(*first));
        decision = decision.or(judge.witness(now, Witness::Log(record)));
        assert!(judge.progress().percent() >= percent);
    }
    let decision = decision.or_else(|| judge.witness(now, Witness::Ended(End::Gone)));
    let Some(decision) = decision else {
        panic!("an install that ended was not judged");
    };
    if let Outcome::Failure(verdict) = decision.outcome {
        assert!(!verdict.sentence.is_empty());
        assert!(report::json(&verdict).is_ok());
        assert!(report::text(&verdict).starts_with(&verdict.sentence));
    }
});
