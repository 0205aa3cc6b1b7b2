//! For the tests of rules: lines, versions, and what the installer says.

use super::super::table::in_run;
use super::super::{NoIncludes, Reading, Version};
use crate::diagnostic::Severity;

/// Holds texts against the expected verdicts, written `A RHEL6-RHEL7, R RHEL8+ F40`: accepted,
/// warned about (`D`) or refused (`R`) by each of the versions, which are written as in the table.
pub fn hold(table: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for (text, expected) in table {
        for group in expected.split(", ") {
            let (letter, runs) = group.split_once(' ').expect(group);
            for run in runs.split(' ') {
                let mut versions = Version::ALL
                    .into_iter()
                    .filter(|&v| in_run(run, v))
                    .peekable();
                assert!(versions.peek().is_some(), "{run}");
                for version in versions {
                    let reading = Reading::new(&format!("{text}\n"), "t.ks", version, &NoIncludes);
                    let finding = reading.findings.first();
                    let found = match finding.map(|finding| finding.severity) {
                        Some(Severity::Error) => "R",
                        Some(_) => "D",
                        None => "A",
                    };
                    if found != letter {
                        wrong.push(format!("{version}: {found}, not {letter}: {text:?}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
