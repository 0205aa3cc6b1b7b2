//! What came of a boot test: `boot-test.json` (`docs/boot-test.md`).

use std::time::Duration;

use serde::Serialize;

use super::identity::{Identities, Likeness};
use crate::watch::boot::{Milestone, Reason};
use crate::watch::verdict::{Seen, seconds};

/// The version of the schema. Raised when a field changes its meaning or goes away.
pub const SCHEMA: u32 = 1;

/// What came of a boot test. No text of it holds a secret.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The version of ozr.
    pub ozr_version: &'static str,
    /// The name of what was tested.
    pub name: String,
    /// The SHA-256 of the image's file, before and after.
    pub sha256: String,
    /// Whether all of it is as it must be.
    pub passed: bool,
    /// Why not: the first reason.
    pub reason: Option<Reason>,
    /// One sentence: how it ended.
    pub sentence: String,
    /// Each boot.
    pub boots: Vec<BootReport>,
    /// What was compared of the clones, if there were several.
    pub clones: Option<ClonesReport>,
    /// What the user should know nevertheless. One sentence each.
    pub notes: Vec<String>,
}

/// One boot.
#[derive(Debug, Clone, Serialize)]
pub struct BootReport {
    /// Its name, with which its files begin: `bios-1`.
    pub name: String,
    /// The firmware.
    pub firmware: &'static str,
    /// Why it failed, if it did.
    pub reason: Option<Reason>,
    /// One sentence: how it ended.
    pub sentence: String,
    /// How long the guest ran, in seconds.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub lasted: Duration,
    /// When it came how far.
    pub milestones: Vec<Reached>,
    /// The release of the kernel that ran, if the console named it.
    pub kernel: Option<String>,
    /// What the judgement rests on.
    pub seen: Vec<Seen>,
    /// Whether it obeyed the power button, if that was pressed.
    pub shut_down: Option<bool>,
    /// What was checked on what it wrote.
    pub checks: Vec<Check>,
    /// What it has made for itself, if that was read.
    pub identities: Option<Identities>,
    /// The last lines of the console, if it failed.
    pub console: Vec<String>,
}

/// A milestone.
#[derive(Debug, Clone, Serialize)]
pub struct Reached {
    /// Which.
    pub milestone: Milestone,
    /// When, since the guest was started.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub at: Duration,
}

/// A check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was checked.
    pub name: String,
    /// Whether it is as it must be; none if it could not be told.
    pub passed: Option<bool>,
    /// What was found.
    pub found: String,
}

/// The comparison of clones.
#[derive(Debug, Clone, Serialize)]
pub struct ClonesReport {
    /// How many were booted.
    pub count: u32,
    /// What was compared, and what came of it.
    pub compared: Vec<Likeness>,
}

/// A boot test that failed.
#[derive(Debug, thiserror::Error)]
#[error("{}", report.sentence)]
pub struct BootTestFailed {
    /// All that came of it.
    pub report: Box<Report>,
}

impl Report {
    /// As JSON, with a line feed at its end.
    ///
    /// # Errors
    /// None that is known.
    pub fn json(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::boot_test::identity::Identity;
    use crate::watch::report::tests::fields;
    use crate::watch::verdict::Source;

    fn report() -> Report {
        let boot = BootReport {
            name: "bios-1".to_owned(),
            firmware: "bios",
            reason: Some(Reason::FailedUnits),
            sentence: "a.service failed".to_owned(),
            lasted: Duration::from_secs(40),
            milestones: vec![Reached {
                milestone: Milestone::Ready,
                at: Duration::from_secs(30),
            }],
            kernel: Some("5.14.0".to_owned()),
            seen: vec![Seen::new(Source::Console, Duration::ZERO, "x")],
            shut_down: Some(true),
            checks: vec![Check {
                name: "it is so".to_owned(),
                passed: None,
                found: "nothing".to_owned(),
            }],
            identities: Some(Identities {
                found: vec![Identity {
                    name: "machine-id".to_owned(),
                    value: "a".to_owned(),
                }],
                ..Identities::default()
            }),
            console: vec!["last".to_owned()],
        };
        Report {
            schema: SCHEMA,
            ozr_version: "0",
            name: "web".to_owned(),
            sha256: "a".to_owned(),
            passed: false,
            reason: Some(Reason::FailedUnits),
            sentence: "it failed".to_owned(),
            boots: vec![boot],
            clones: Some(ClonesReport {
                count: 2,
                compared: vec![Likeness {
                    name: "machine-id".to_owned(),
                    differs: Some(true),
                    found: "a / b".to_owned(),
                }],
            }),
            notes: Vec::new(),
        }
    }

    /// Every field and every reason is documented, and every documented one is there.
    #[test]
    fn the_schema_is_documented() {
        let text = include_str!("../../../docs/boot-test.md");
        let documented = |text: &str| -> Vec<String> {
            let names = text.lines().filter_map(|line| {
                let (name, _) = line.strip_prefix("| `")?.split_once('`')?;
                Some(name.to_owned())
            });
            let mut names: Vec<String> = names.collect();
            names.sort();
            names
        };
        let (before, rest) = text.split_once("\n## Clones\n").unwrap();
        let mut reasons: Vec<String> = Reason::ALL
            .iter()
            .map(|one| one.name().to_owned())
            .collect();
        reasons.sort();
        assert_eq!(documented(before), reasons);
        let (_, schema) = rest.split_once("| field |").unwrap();
        let mut found = Vec::new();
        let json = serde_json::from_str(&report().json().unwrap()).unwrap();
        fields("", &json, &mut found);
        found.sort();
        assert_eq!(documented(schema), found);
    }
}
