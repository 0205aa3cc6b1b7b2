//! For the tests of rules: lines, versions, and what the installer says.

use super::super::{NoIncludes, Reading, Version};
use crate::diagnostic::Severity;

/// Holds texts against the expected verdicts, written `A RHEL6 RHEL7, R F40`: accepted, warned
/// about (`D`) or refused (`R`) by each of the versions.
pub fn hold(table: &[(&str, &str)]) {
    for (text, expected) in table {
        for group in expected.split(", ") {
            let (letter, versions) = group.split_once(' ').expect(group);
            for name in versions.split(' ') {
                let version = Version::from_name(name).expect(name);
                let reading = Reading::new(&format!("{text}\n"), "t.ks", version, &NoIncludes);
                let first = reading.findings.first();
                let found = match first.map(|finding| finding.severity) {
                    Some(Severity::Error) => "R",
                    Some(_) => "D",
                    None => "A",
                };
                assert_eq!(found, letter, "{name}: {text:?}: {first:?}");
            }
        }
    }
}
