//! One kickstart, with what it includes, as one release reads it.

use super::report::{Checked, Named};
use crate::diagnostic::Diagnostic;
use crate::language::{Includes, Reading, Version};

/// Checks a kickstart that its author knows as `name`. `allow` are ids of rules whose findings
/// are not wanted.
pub fn check(
    text: &str,
    name: &str,
    version: Version,
    includes: &dyn Includes,
    allow: &[String],
) -> Checked {
    let reading = Reading::new(text, name, version, includes);
    let mut findings = reading.findings.clone();
    findings.retain(|finding| !is_allowed(finding, allow));
    let texts: Vec<Named> = reading
        .texts
        .into_iter()
        .map(|text| Named {
            name: text.name,
            text: text.text,
        })
        .collect();
    let place = |finding: &Diagnostic| texts.iter().position(|text| text.name == finding.file);
    findings.sort_by_key(|finding| (place(finding), finding.line, finding.column));
    Checked {
        name: name.to_string(),
        texts,
        findings,
    }
}

fn is_allowed(finding: &Diagnostic, allow: &[String]) -> bool {
    finding
        .id
        .is_some_and(|id| allow.iter().any(|allowed| allowed.eq_ignore_ascii_case(id)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Severity;
    use crate::language::Included;

    #[test]
    fn findings_come_in_the_order_of_their_places() {
        struct Part;
        impl Includes for Part {
            fn find(&self, _target: &str, _from: &str) -> Included {
                Included::Text {
                    name: "part.ks".into(),
                    text: "frobnicate\n".into(),
                }
            }
        }
        let text = "install\n%include part.ks\nnosuch\n%post\n";
        let file = check(text, "a.ks", Version::Rhel(9), &Part, &[]);
        let places: Vec<(&str, usize, Option<&str>)> = file
            .findings
            .iter()
            .map(|finding| (finding.file.as_str(), finding.line, finding.id))
            .collect();
        assert_eq!(
            places,
            [
                ("a.ks", 1, Some("KS002")),
                ("a.ks", 3, Some("KS001")),
                ("a.ks", 4, Some("KS009")),
                ("part.ks", 1, Some("KS001")),
            ]
        );
        assert_eq!(file.texts.len(), 2);
        let allow = ["ks001".to_string(), "KS009".to_string()];
        let file = check(text, "a.ks", Version::Rhel(9), &Part, &allow);
        assert_eq!(file.findings.len(), 1);
        assert_eq!(file.findings[0].severity, Severity::Error);
    }
}
