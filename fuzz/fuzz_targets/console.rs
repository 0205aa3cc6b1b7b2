//! Whatever a guest prints, the console, the tables of texts and the judge take it without a
//! panic, no control character of it survives, and what they make of it does not depend on how
//! the stream is cut.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use ozr::options::Deliver;
use ozr::watch::console::{Console, Output};
use ozr::watch::judge::Judge;
use ozr::watch::logport::LogPort;
use ozr::watch::report;
use ozr::watch::stall::Limits;
use ozr::watch::verdict::{Decision, Outcome};
use ozr::watch::witness::{Expectations, Witness};

/// The first byte says how the rest is cut.
fn follow(bytes: &[u8], piece: usize) -> (Vec<Output>, Option<Decision>) {
    let mut console = Console::new(Some("ozr-done"));
    let mut port = LogPort::default();
    let expectations = Expectations::new(true, Some(Deliver::Http));
    let mut judge = Judge::new(expectations, Limits::default());
    let mut decision = None;
    let mut all = Vec::new();
    for piece in bytes.chunks(piece) {
        let outputs = console.feed(piece);
        for output in &outputs {
            let witness = match output {
                Output::Line(line) => Witness::Console(line),
                Output::Mark => Witness::Mark,
            };
            decision = decision.or(judge.witness(Duration::ZERO, witness));
        }
        all.extend(outputs);
    }
    for record in port.feed(bytes) {
        decision = decision.or(judge.witness(Duration::ZERO, Witness::Log(&record)));
    }
    all.extend(console.settle());
    (all, decision.or_else(|| judge.proven()))
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, rest)) = bytes.split_first() else {
        return;
    };
    let (cut, decision) = follow(rest, usize::from(*first).max(1));
    let (whole, _) = follow(rest, rest.len().max(1));
    assert_eq!(cut, whole);
    for output in &whole {
        if let Output::Line(line) = output {
            assert!(!line.contains(char::is_control), "{line:?}");
        }
    }
    if let Some(Decision { outcome: Outcome::Failure(verdict), .. }) = decision {
        assert!(!verdict.sentence.is_empty());
        assert!(report::json(&verdict).is_ok());
        let text = report::text(&verdict);
        assert!(text.starts_with(&verdict.sentence));
        assert!(!text.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')));
    }
});
