//! Every rule that a finding can name, for `ozr explain`, SARIF and `allow`: `docs/rules.md`.

use std::sync::LazyLock;

use crate::distro::nearest;

/// The rules in the order of their ids, each with a heading `## KS101: its title`.
const TEXT: &str = include_str!("../../docs/rules.md");

/// A rule: what its id means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// `KS101`: stands in every finding, in `allow` comments and in the configuration file, and
    /// never changes its meaning.
    pub id: &'static str,
    /// A few words, without a full stop.
    pub title: &'static str,
    /// Why it matters and what to do, in paragraphs that an empty line parts.
    pub explanation: &'static str,
}

/// Most ids that are suggested for one that does not exist.
const MAX_SIMILAR: usize = 3;

/// Every rule, in the order of the ids.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
        let rule = |text: &'static str| {
            let (heading, explanation) = text.split_once('\n')?;
            let (id, title) = heading.split_once(": ")?;
            Some(Rule {
                id,
                title,
                explanation: explanation.trim(),
            })
        };
        TEXT.split("\n## ").skip(1).filter_map(rule).collect()
    });
    RULES.iter()
}

/// The rule of that id, in any case.
pub fn find(id: &str) -> Option<&'static Rule> {
    all().find(|rule| rule.id.eq_ignore_ascii_case(id.trim()))
}

/// Ids that are written like `id`, the nearest first.
pub fn similar(id: &str) -> Vec<&'static str> {
    let digits = id.trim_matches(|c: char| !c.is_ascii_digit());
    if let Some(rule) = find(&format!("KS{digits:0>3}")) {
        return vec![rule.id];
    }
    let known: Vec<&str> = all().map(|rule| rule.id).collect();
    nearest::some(id.trim(), &known, MAX_SIMILAR)
}

/// Whether a rule's findings say that the mirror cannot be used, though the input may be right.
pub fn is_of_mirror(id: &str) -> bool {
    matches!(id, "KS205" | "KS206" | "KS207") || may_pass(id)
}

/// Whether a rule's finding may be gone a moment later: a mirror that comes back, or is being
/// synchronised. Another release, another architecture and a refused certificate stay.
pub fn may_pass(id: &str) -> bool {
    const OF_A_MOMENT: [&str; 6] = ["KS201", "KS202", "KS203", "KS204", "KS209", "KS213"];
    OF_A_MOMENT.contains(&id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_distinct_sorted_and_those_of_findings() {
        let ids: Vec<&str> = all().map(|rule| rule.id).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
        let files = walkdir::WalkDir::new(source).into_iter().flatten();
        let mut named = BTreeSet::new();
        for file in files.filter(|file| file.file_type().is_file()) {
            let text = std::fs::read_to_string(file.path()).unwrap_or_default();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for (at, _) in code.match_indices("\"KS") {
                let id = code.get(at + 1..at + 7).and_then(|id| id.strip_suffix('"'));
                named.extend(id.map(str::to_string));
            }
        }
        let named: Vec<&String> = named.iter().collect();
        assert_eq!(named, ids);
    }

    #[test]
    fn every_rule_is_explained() {
        for rule in all() {
            assert!(
                !rule.title.is_empty() && !rule.title.ends_with('.'),
                "{}",
                rule.id
            );
            assert!(rule.explanation.trim_end().ends_with('.'), "{}", rule.id);
            assert!(rule.explanation.len() > 100, "{}", rule.id);
        }
    }

    #[test]
    fn rules_are_found_by_their_ids_and_by_similar_ones() {
        assert_eq!(find("ks003").map(|rule| rule.id), Some("KS003"));
        assert_eq!(find("KS999"), None);
        assert!(similar("KS0033").contains(&"KS003"));
        assert_eq!(similar("3"), ["KS003"]);
        assert!(similar("zzz").is_empty());
    }
}
