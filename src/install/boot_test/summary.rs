//! A boot test as JUnit XML and as Markdown, for CI systems.

use std::time::{Duration, SystemTime};

use super::report::{BootReport, ClonesReport, Report};
use crate::error::Kind;
use crate::printable;
use crate::watch::boot::Reason;
use crate::watch::report::junit::{self, Case, Outcome, Trouble};

/// A boot test that is over.
#[derive(Debug)]
pub struct Summary<'a> {
    /// The name of what was tested.
    pub name: &'a str,
    /// When it began.
    pub started: SystemTime,
    /// How long it took.
    pub lasted: Duration,
    /// What came of it.
    pub report: Option<&'a Report>,
    /// Why nothing came of it.
    pub error: Option<(Kind, String)>,
}

impl Summary<'_> {
    /// As JUnit XML: a test for each boot, for each of its checks, one for the clones, one for what is said of the whole.
    pub fn junit(&self) -> String {
        let mut cases: Vec<Case> = Vec::new();
        if let Some(report) = self.report {
            for boot in &report.boots {
                cases.push(of_boot(self.name, boot));
                cases.extend(of_checks(self.name, boot));
            }
            cases.extend(
                report
                    .clones
                    .iter()
                    .map(|clones| of_clones(self.name, clones)),
            );
            if report.reason == Some(Reason::ImageChanged) {
                cases.push(Case {
                    name: format!("{} unchanged", self.name),
                    class: "ozr.boot-test",
                    lasted: Duration::ZERO,
                    outcome: Outcome::Failed(Trouble {
                        word: Reason::ImageChanged.name(),
                        sentence: report.sentence.clone(),
                        text: report.sentence.clone(),
                        output: Vec::new(),
                    }),
                });
            }
        }
        cases.extend(self.error.iter().map(|(kind, sentence)| Case {
            name: self.name.to_owned(),
            class: "ozr.boot-test",
            lasted: self.lasted,
            outcome: Outcome::Error(Trouble {
                word: junit::word_of(*kind),
                sentence: sentence.clone(),
                text: sentence.clone(),
                output: Vec::new(),
            }),
        }));
        junit::suite(self.started, self.lasted, &[], &cases)
    }

    /// As Markdown: how it ended, and a table of the boots.
    pub fn markdown(&self) -> String {
        let cell = |text: &str| printable::line(text).replace('|', "\\|");
        let (mark, sentence) = match (&self.error, self.report) {
            (Some((_, sentence)), _) => ("❌", sentence.as_str()),
            (None, Some(report)) if report.passed => ("✅", report.sentence.as_str()),
            (None, report) => ("❌", report.map_or("", |report| report.sentence.as_str())),
        };
        let mut text = format!(
            "### {mark} boot test of {}\n\n{}\n",
            cell(self.name),
            cell(sentence)
        );
        let Some(report) = self.report else {
            return text;
        };
        text.push_str("\n| boot | result | seconds | found |\n| --- | --- | --- | --- |\n");
        for boot in &report.boots {
            let result = boot.reason.map_or("passed", Reason::name);
            let seconds = boot.lasted.as_secs_f64();
            text.push_str(&format!(
                "| {} | {result} | {seconds:.1} | {} |\n",
                boot.name,
                cell(&boot.sentence)
            ));
        }
        if let Some(clones) = &report.clones {
            text.push_str("\n| of the clones | differs | found |\n| --- | --- | --- |\n");
            for one in &clones.compared {
                let differs = match one.differs {
                    Some(true) => "yes",
                    Some(false) => "**no**",
                    None => "not known",
                };
                text.push_str(&format!(
                    "| {} | {differs} | {} |\n",
                    cell(&one.name),
                    cell(&one.found)
                ));
            }
        }
        text
    }
}

fn of_boot(name: &str, boot: &BootReport) -> Case {
    Case {
        name: format!("{name} {}", boot.name),
        class: "ozr.boot-test",
        lasted: boot.lasted,
        outcome: match boot.reason {
            None => Outcome::Passed(boot.sentence.clone()),
            Some(reason) => {
                let seen = boot
                    .seen
                    .iter()
                    .map(|seen| format!("{:.3} s  {}", seen.at.as_secs_f64(), seen.text));
                let lines: Vec<String> =
                    std::iter::once(boot.sentence.clone()).chain(seen).collect();
                Outcome::Failed(Trouble {
                    word: reason.name(),
                    sentence: boot.sentence.clone(),
                    text: lines.join("\n"),
                    output: boot.console.clone(),
                })
            }
        },
    }
}

fn of_checks<'a>(name: &'a str, boot: &'a BootReport) -> impl Iterator<Item = Case> + 'a {
    boot.checks.iter().map(move |check| Case {
        name: format!("{name} {}: {}", boot.name, check.name),
        class: "ozr.boot-test",
        lasted: Duration::ZERO,
        outcome: match check.passed {
            Some(false) => Outcome::Failed(Trouble {
                word: Reason::CheckFailed.name(),
                sentence: format!("not true is that {}: {}", check.name, check.found),
                text: check.found.clone(),
                output: Vec::new(),
            }),
            Some(true) => Outcome::Passed(check.found.clone()),
            None => Outcome::Passed(format!("not known: {}", check.found)),
        },
    })
}

fn of_clones(name: &str, clones: &ClonesReport) -> Case {
    let lines = clones.compared.iter().map(|one| {
        let differs = match one.differs {
            Some(true) => "differs",
            Some(false) => "THE SAME",
            None => "not known",
        };
        format!("{}: {differs}: {}", one.name, one.found)
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    let alike = clones.compared.iter().any(|one| one.differs == Some(false));
    Case {
        name: format!("{name} clones"),
        class: "ozr.boot-test",
        lasted: Duration::ZERO,
        outcome: match alike {
            true => Outcome::Failed(Trouble {
                word: Reason::ClonesAlike.name(),
                sentence: "clones have in common what must differ".to_owned(),
                text,
                output: Vec::new(),
            }),
            false => Outcome::Passed(text),
        },
    }
}
