//! One kickstart, with what it includes, as one release reads it.

use std::cell::OnceCell;

use super::report::{Checked, Named};
use crate::diagnostic::Diagnostic;
use crate::kickstart::mask::mask;
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

    // Passwords are hidden: findings end up in logs of builds, which many read.
    let masked: Vec<OnceCell<String>> = vec![OnceCell::new(); texts.len()];
    for finding in &mut findings {
        if let Some(number) = place(finding) {
            let text = &texts[number].text;
            let masked = masked[number].get_or_init(|| mask(text, &[]));
            let number = finding.line;
            if let (Some(line), Some(masked)) = (line(text, number), line(masked, number)) {
                finding.conceal(line, masked);
            }
        }
    }
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

/// A line by its number, from 1, as diagnostics count them.
fn line(text: &str, number: usize) -> Option<&str> {
    text.split('\n')
        .nth(number - 1)
        .map(|line| line.trim_end_matches('\r'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Severity;
    use crate::language::{Included, NoIncludes};

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

    #[test]
    fn passwords_are_not_shown() {
        let text = "rootpw --iscrypted hunter2 hunter3\nuser --password=hunter2 --frob=1\n";
        let file = check(text, "a.ks", Version::Rhel(9), &NoIncludes, &[]);
        assert!(file.findings.len() >= 2, "{:?}", file.findings);
        for finding in &file.findings {
            assert!(!finding.to_string().contains("hunter"), "{finding}");
        }
    }
}
