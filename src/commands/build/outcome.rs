//! What came of the builds: a table, and reports for CI systems.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::super::columns;
use super::super::diff::beside;
use super::Build;
use crate::diff::Packages;
use crate::image::disk::human;
use crate::options::ReportFormat;
use crate::packages::Package;
use crate::printable;
use crate::ui::event;
use crate::watch::cause::Cause;
use crate::watch::report::junit::{self, Case, Trouble};

/// How a build ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// There is a new image.
    Done,
    /// Nothing else would have come of it: the image that was there stays.
    Unchanged,
    /// There is none, with the exit status that says whose fault it is, and the cause if a guest was to run.
    Failed {
        /// The exit status.
        status: i32,
        /// The cause.
        cause: Option<String>,
    },
    /// A signal ended the process.
    Killed,
    /// Somebody asked it to stop.
    Interrupted,
    /// Another one failed before.
    NotBegun,
}

impl Verdict {
    /// Whether there is the image that there is to be.
    pub fn is_good(&self) -> bool {
        matches!(self, Verdict::Done | Verdict::Unchanged)
    }

    /// Whether the build was tried, and there is no image.
    pub fn is_failure(&self) -> bool {
        matches!(self, Verdict::Failed { .. } | Verdict::Killed)
    }

    /// It, in a word.
    fn word(&self) -> &'static str {
        match self {
            Verdict::Done => "done",
            Verdict::Unchanged => "unchanged",
            Verdict::Killed => "killed",
            Verdict::Interrupted => "interrupted",
            Verdict::NotBegun => "not-begun",
            Verdict::Failed { status, cause } => {
                let cause = cause.as_ref().and_then(|cause| cause.parse::<Cause>().ok());
                match (cause, status) {
                    (Some(cause), _) => cause.name(),
                    (None, 2) => "wrong-input",
                    (None, 3) => "unfit-host",
                    (None, 4) => "unusable-mirror",
                    (None, 5) => "hook-failed",
                    (None, _) => "build-failed",
                }
            }
        }
    }
}

/// What came of a build.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The build's name.
    pub name: String,
    /// How it ended.
    pub verdict: Verdict,
    /// How long it took.
    pub lasted: Duration,
    /// Its images.
    pub images: Vec<PathBuf>,
    /// The size of the first, in bytes.
    pub size: Option<u64>,
    /// How many packages it has, and what of them is not as it was.
    pub packages: Option<(usize, Option<Packages>)>,
    /// Why there is no image.
    pub message: Option<String>,
    /// Where what explains it is kept.
    pub evidence: Option<String>,
}

impl Outcome {
    /// Of a build of which no more is known yet.
    pub fn of(name: &str, verdict: Verdict) -> Outcome {
        Outcome {
            name: name.to_owned(),
            verdict,
            lasted: Duration::ZERO,
            images: Vec::new(),
            size: None,
            packages: None,
            message: None,
            evidence: None,
        }
    }

    /// In a few words: `done in 4:05, 412 packages`.
    pub fn line(&self) -> String {
        let took = event::elapsed(self.lasted);
        match &self.verdict {
            Verdict::Done => {
                let packages = self.packages_words();
                let packages = packages.map(|words| format!(", packages: {words}"));
                format!("done in {took}{}", packages.unwrap_or_default())
            }
            verdict => format!("{} after {took}", verdict.word()),
        }
    }

    fn packages_words(&self) -> Option<String> {
        let (count, changed) = self.packages.as_ref()?;
        let Some(changed) = changed else {
            return Some(count.to_string());
        };
        let numbers = [
            (changed.added.len(), "new"),
            (changed.removed.len(), "gone"),
            (changed.upgraded.len(), "up"),
            (changed.downgraded.len(), "down"),
            (changed.rebuilt.len(), "rebuilt"),
        ];
        let numbers = numbers.iter().filter(|(number, _)| *number > 0);
        let numbers: Vec<String> = numbers
            .map(|(number, what)| format!("{number} {what}"))
            .collect();
        Some(match numbers.is_empty() {
            true => format!("{count}, none changed"),
            false => format!("{count}, {}", numbers.join(", ")),
        })
    }

    fn cells(&self) -> [String; 5] {
        let none = || "-".to_owned();
        let took = match self.lasted.is_zero() {
            true => none(),
            false => event::elapsed(self.lasted),
        };
        [
            self.name.clone(),
            self.verdict.word().to_owned(),
            took,
            self.size.map_or_else(none, human),
            self.packages_words().unwrap_or_else(none),
        ]
    }
}

/// What is there of an earlier build: its packages, and when it was finished.
#[derive(Debug, Clone)]
pub struct Earlier {
    /// When (RFC 3339).
    pub finished: String,
    /// Its packages, if they are known.
    pub packages: Option<Vec<Package>>,
}

/// What is there of an earlier build of this name, by the manifest beside its image.
pub fn earlier(build: &Build) -> Option<Earlier> {
    let manifest = beside(&build.image)?;
    (manifest.name == build.variant.name).then_some(Earlier {
        finished: manifest.finished,
        packages: manifest.packages,
    })
}

/// Adds what the image and its manifest tell.
pub fn weigh(outcome: &mut Outcome, before: Option<&Earlier>) {
    let Some(image) = outcome.images.first() else {
        return;
    };
    outcome.size = image.metadata().ok().map(|about| about.len());
    let packages = beside(image).and_then(|manifest| manifest.packages);
    outcome.packages = packages.map(|now| {
        let earlier = before.and_then(|before| before.packages.as_ref());
        let changed = earlier.map(|earlier| Packages::between(earlier, &now));
        (now.len(), changed)
    });
}

/// All builds, a line for each.
pub fn table(outcomes: &[Outcome]) -> String {
    let titles = ["NAME", "VERDICT", "TIME", "SIZE", "PACKAGES"];
    let mut rows = vec![titles.map(str::to_owned)];
    rows.extend(outcomes.iter().map(Outcome::cells));
    columns(&rows)
}

/// The report of all builds.
pub fn report(
    format: ReportFormat,
    started: SystemTime,
    lasted: Duration,
    outcomes: &[Outcome],
) -> String {
    match format {
        ReportFormat::Junit => {
            let cases: Vec<Case> = outcomes.iter().map(case).collect();
            junit::suite(started, lasted, &[], &cases)
        }
        ReportFormat::Markdown => markdown(outcomes, lasted),
    }
}

fn case(outcome: &Outcome) -> Case {
    let sentence = outcome
        .message
        .clone()
        .unwrap_or_else(|| outcome.verdict.word().to_owned());
    let evidence = outcome.evidence.iter();
    let evidence = evidence.map(|folder| format!("\nwhat explains it is in {folder}"));
    let trouble = Trouble {
        word: outcome.verdict.word(),
        text: format!("{sentence}{}", evidence.collect::<String>()),
        sentence,
        output: Vec::new(),
    };
    let images = outcome
        .images
        .iter()
        .map(|image| image.display().to_string());
    Case {
        name: outcome.name.clone(),
        class: "ozr.build",
        lasted: outcome.lasted,
        outcome: match &outcome.verdict {
            Verdict::Done | Verdict::Unchanged => {
                junit::Outcome::Passed(images.collect::<Vec<_>>().join(", "))
            }
            // Whose input, host or mirror is unfit could not try it.
            Verdict::Failed { status: 1, .. } => junit::Outcome::Failed(trouble),
            _ => junit::Outcome::Error(trouble),
        },
    }
}

fn markdown(outcomes: &[Outcome], lasted: Duration) -> String {
    let count = |verdict| {
        let those = outcomes.iter().filter(|outcome| outcome.verdict == verdict);
        those.count()
    };
    let (all, took) = (outcomes.len(), event::elapsed(lasted));
    let (done, unchanged) = (count(Verdict::Done), count(Verdict::Unchanged));
    let unchanged = match unchanged {
        0 => String::new(),
        number => format!(", {number} unchanged"),
    };
    let mut text = format!(
        "### ozr: {done} of {all} images are built{unchanged}, in {took}\n\n| name | verdict | time | size | packages |\n| --- | --- | ---: | ---: | --- |\n"
    );
    for outcome in outcomes {
        let cells = outcome.cells().map(|cell| escaped(&cell));
        // Writing into a string does not fail.
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text.push('\n');
    for outcome in outcomes {
        if let Some(message) = &outcome.message {
            let _ = writeln!(text, "- {}: {}", escaped(&outcome.name), escaped(message));
        }
    }
    text.push('\n');
    text
}

/// A line without markup.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in printable::line(text).chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '&' => escaped.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c => escaped.push(c),
        }
    }
    escaped
}
