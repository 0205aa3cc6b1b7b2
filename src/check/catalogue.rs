//! Every rule that a finding can name, for `ozr explain`, SARIF and `allow`.
//!
//! The rules of each part are listed beside the code that applies them; here they are put
//! together.

use super::{host, language_rules, lints, online, suppressions};
use crate::distro::nearest;

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
    [language_rules::RULES]
        .into_iter()
        .chain(lints::TABLES)
        .chain([suppressions::RULES, online::catalogue::RULES, host::RULES])
        .flatten()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_distinct_sorted_and_well_formed() {
        let ids: Vec<&str> = all().map(|rule| rule.id).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
        for id in ids {
            let digits = id.strip_prefix("KS").unwrap_or_default();
            assert!(digits.len() == 3 && digits.parse::<u16>().is_ok(), "{id}");
        }
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
