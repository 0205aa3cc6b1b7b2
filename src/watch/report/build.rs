//! A build that is over, as CI systems want to know it.

use std::time::{Duration, SystemTime};

use crate::error::Kind;
use crate::watch::progress::PhaseTime;
use crate::watch::verdict::Verdict;

/// A build that is over. No text of it holds a secret.
#[derive(Debug)]
pub struct BuildReport<'a> {
    /// The image's name, or what else is known of it.
    pub name: &'a str,
    /// When it began.
    pub started: SystemTime,
    /// How long it took.
    pub lasted: Duration,
    /// How long each phase of the install took, if it came so far.
    pub phases: &'a [PhaseTime],
    /// How it ended.
    pub how: How<'a>,
}

/// How a build ended.
#[derive(Debug)]
pub enum How<'a> {
    /// There is an image.
    Done {
        /// Its path.
        image: &'a str,
    },
    /// There is none.
    Failed {
        /// What the exit status says.
        kind: Kind,
        /// The sentence that ozr ended with.
        sentence: &'a str,
        /// The judgement, if a guest was to run.
        verdict: Option<&'a Verdict>,
    },
}

/// The kind of a failure in a word: the cause of the vocabulary, or what the exit status says.
pub(super) fn word(kind: Kind, verdict: Option<&Verdict>) -> &'static str {
    match (verdict, kind) {
        (Some(verdict), _) => verdict.cause.name(),
        (None, Kind::Build) => "build-failed",
        (None, Kind::Input) => "wrong-input",
        (None, Kind::Host) => "unfit-host",
        (None, Kind::Mirror) => "unusable-mirror",
        (None, Kind::Interrupted) => "interrupted",
    }
}
