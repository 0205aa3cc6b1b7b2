//! `timings.json`: how long what took, in a build that failed (`docs/verdict.md`).

use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;

use crate::image::manifest::timestamp;
use crate::watch::progress::PhaseTime;
use crate::watch::verdict::seconds;

/// Times the steps of an attempt.
#[derive(Debug)]
pub struct Timings {
    started: SystemTime,
    steps: Vec<Step>,
    last: Instant,
}

#[derive(Debug, Serialize)]
struct Step {
    name: &'static str,
    #[serde(rename = "seconds", serialize_with = "seconds")]
    lasted: Duration,
}

#[derive(Serialize)]
struct Document<'a> {
    started: String,
    steps: &'a [Step],
    phases: Vec<Phase>,
}

#[derive(Serialize)]
struct Phase {
    name: &'static str,
    #[serde(serialize_with = "seconds")]
    began: Duration,
    #[serde(rename = "seconds", serialize_with = "seconds")]
    lasted: Duration,
}

impl Timings {
    /// Begins now.
    pub fn begin() -> Timings {
        Timings {
            started: SystemTime::now(),
            steps: Vec::new(),
            last: Instant::now(),
        }
    }

    /// When it began.
    pub fn started(&self) -> SystemTime {
        self.started
    }

    /// A step is done, which began when the one before was done.
    pub fn done(&mut self, name: &'static str) {
        let now = Instant::now();
        let lasted = now - std::mem::replace(&mut self.last, now);
        self.steps.push(Step { name, lasted });
    }

    /// The file: the steps before the guest ran, and its phases.
    ///
    /// # Errors
    /// None that is known.
    pub fn json(&self, phases: &[PhaseTime]) -> anyhow::Result<String> {
        let document = Document {
            started: timestamp(self.started),
            steps: &self.steps,
            phases: phases
                .iter()
                .map(|time| Phase {
                    name: time.phase.name(),
                    began: time.began,
                    lasted: time.lasted,
                })
                .collect(),
        };
        Ok(serde_json::to_string_pretty(&document)? + "\n")
    }
}
