//! One kickstart, with what it includes, as one release reads it.

use super::report::{Checked, Named};
use super::setting::Setting;
use crate::language::{Includes, Reading, Version};

/// Checks a kickstart of which nothing else is known, and that its author knows as `name`. `allow`
/// are ids of rules whose findings are not wanted.
pub fn check(
    text: &str,
    name: &str,
    version: Version,
    includes: &dyn Includes,
    allow: &[String],
) -> Checked {
    check_in(text, name, &Setting::alone(version), includes, allow)
}

/// Checks a kickstart in its setting.
pub fn check_in(
    text: &str,
    name: &str,
    setting: &Setting,
    includes: &dyn Includes,
    allow: &[String],
) -> Checked {
    let reading = Reading::new(text, name, setting.version, includes);
    let findings = super::kickstart(&reading, setting, allow);
    let texts: Vec<Named> = reading
        .texts
        .into_iter()
        .map(|text| Named {
            name: text.name,
            text: text.text,
        })
        .collect();
    Checked {
        name: name.to_string(),
        texts,
        findings,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Diagnostic;
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
            .filter(|finding| finding.id < Some("KS1"))
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
        // What the installer refuses cannot be allowed.
        let allow = ["ks001".to_string(), "KS195".to_string()];
        let allowed = check(text, "a.ks", Version::Rhel(9), &Part, &allow).findings;
        let has = |findings: &[Diagnostic], id| findings.iter().any(|f| f.id == Some(id));
        assert!(has(&file.findings, "KS195") && !has(&allowed, "KS195"));
        assert!(has(&allowed, "KS001"));
    }
}
