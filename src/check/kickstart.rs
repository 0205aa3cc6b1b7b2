//! One kickstart, with what it includes, as it is reported.

use super::report::{Checked, Named};
use super::setting::Setting;
use crate::diagnostic::Diagnostic;
use crate::language::Reading;

/// Everything that is wrong with a kickstart, as [`super::kickstart()`] finds it, with its texts.
pub fn checked(
    reading: Reading,
    setting: &Setting,
    more: Vec<Diagnostic>,
    allow: &[String],
) -> Checked {
    let findings = super::kickstart(&reading, setting, more, allow);
    let texts: Vec<Named> = reading
        .texts
        .into_iter()
        .map(|text| Named {
            name: text.name,
            text: text.text,
        })
        .collect();
    Checked {
        name: texts
            .first()
            .map(|text| text.name.clone())
            .unwrap_or_default(),
        texts,
        findings,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::{Included, Includes, Version};

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
        let version = Version::Rhel(9);
        let text = "install\n%include part.ks\nnosuch\n%post\n";
        let check = |allow: &[String]| {
            let reading = Reading::new(text, "a.ks", version, &Part);
            checked(reading, &Setting::alone(version), Vec::new(), allow)
        };
        let file = check(&[]);
        let places: Vec<(&str, usize, &str)> = file
            .findings
            .iter()
            .filter_map(|finding| Some((finding.file.as_str(), finding.line, finding.id?)))
            .filter(|(_, _, id)| id.starts_with("KS0"))
            .collect();
        assert_eq!(
            places,
            [
                ("a.ks", 1, "KS002"),
                ("a.ks", 3, "KS001"),
                ("a.ks", 4, "KS009"),
                ("part.ks", 1, "KS001"),
            ]
        );
        assert_eq!((file.name.as_str(), file.texts.len()), ("a.ks", 2));
        let hazards: Vec<String> = file
            .findings
            .iter()
            .filter_map(|finding| finding.id.filter(|id| !id.starts_with("KS0")))
            .map(str::to_string)
            .collect();
        assert!(!hazards.is_empty());
        assert_eq!(check(&hazards).findings.len(), places.len());
    }
}
