//! For the tests of rules: lines, versions, and what the installer says.

use super::super::table::in_run;
use super::super::{NoIncludes, Reading, Version};
use crate::diagnostic::Severity;

/// Holds texts against the expected verdicts, written `A RHEL6-RHEL7, R RHEL8+ F40`: accepted,
/// warned about (`D`) or refused (`R`) by each of the versions, which are written as in the table.
pub fn hold(table: &[(&str, &str)]) {
    for (text, expected) in table {
        for group in expected.split(", ") {
            let (letter, runs) = group.split_once(' ').expect(group);
            for run in runs.split(' ') {
                let mut versions = Version::ALL.into_iter().filter(|&v| in_run(run, v));
                let first = versions.next().expect(run);
                for version in std::iter::once(first).chain(versions) {
                    let reading = Reading::new(&format!("{text}\n"), "t.ks", version, &NoIncludes);
                    let finding = reading.findings.first();
                    let found = match finding.map(|finding| finding.severity) {
                        Some(Severity::Error) => "R",
                        Some(_) => "D",
                        None => "A",
                    };
                    assert_eq!(found, letter, "{version}: {text:?}: {finding:?}");
                }
            }
        }
    }
}
