//! Every rule that a finding can name, for `ozr explain`, SARIF and `allow`: `docs/rules.md`.
//!
//! Findings that somebody has seen are allowed by a comment: `# ozr: allow KS101, KS205`. It stands
//! at the end of the line that it is about, or in the comment right above it. Findings about the
//! kickstart as a whole have no line: for them it stands in any comment before the first command.
//! What the installer refuses by its language cannot be allowed.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

use crate::diagnostic::{Diagnostic, Severity};
use crate::input;
use crate::language::Reading;
use crate::language::reading::Text;

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
    input::near(id.trim(), &known, MAX_SIMILAR)
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

/// What the comments of one text allow.
#[derive(Debug, Default)]
struct Allowed {
    /// Ids by the line that they are about.
    lines: HashMap<usize, Vec<String>>,
    /// Ids for the text as a whole.
    whole: Vec<String>,
}

/// One id in a comment.
struct Mark<'a> {
    id: &'a str,
    span: Range<usize>,
}

/// Leaves out what comments or `allow` allow, and adds a warning for each id that no rule has.
pub fn without_allowed(
    reading: &Reading,
    mut findings: Vec<Diagnostic>,
    allow: &[String],
) -> Vec<Diagnostic> {
    let mut strange = Vec::new();
    let mut allowed: HashMap<&str, Allowed> = HashMap::new();
    for (number, text) in reading.texts.iter().enumerate() {
        let made = comments(text, |mark| {
            let message = format!("no rule has the id `{}`", mark.id);
            let finding = reading.finding(Severity::Warning, number, mark.span.clone(), message);
            let help = match similar(mark.id).first() {
                Some(near) => format!("did you mean `{near}`?"),
                None => "ids are written `KS101`; `ozr explain` lists them".to_string(),
            };
            strange.push(finding.id("KS199").help(help));
        });
        allowed.entry(&text.name).or_insert(made);
    }
    let is_allowed = |finding: &Diagnostic| {
        let Some(id) = finding.id else {
            return false;
        };
        if id.starts_with("KS0") && finding.severity == Severity::Error {
            return false;
        }
        let names = |ids: &[String]| is_named(id, ids);
        let commented = allowed.get(finding.file.as_str()).is_some_and(|comments| {
            if finding.is_about_whole_file() {
                return names(&comments.whole);
            }
            comments
                .lines
                .get(&finding.line)
                .is_some_and(|ids| names(ids))
        });
        commented || names(allow)
    };
    findings.extend(strange);
    findings.retain(|finding| !is_allowed(finding));
    findings
}

/// The findings without those of rules that `allow` names.
pub fn without(mut findings: Vec<Diagnostic>, allow: &[String]) -> Vec<Diagnostic> {
    findings.retain(|finding| !finding.id.is_some_and(|id| is_named(id, allow)));
    findings
}

fn is_named(id: &str, ids: &[String]) -> bool {
    ids.iter().any(|allowed| allowed.eq_ignore_ascii_case(id))
}

fn comments(text: &Text, mut strange: impl FnMut(&Mark<'_>)) -> Allowed {
    let mut allowed = Allowed::default();
    if !text.text.contains("ozr:") {
        return allowed;
    }
    let mut above: Vec<String> = Vec::new();
    let mut before_commands = true;
    let mut start = 0;
    for (index, line) in text.text.split_inclusive('\n').enumerate() {
        let code = line.trim_start_matches('\u{feff}').trim();
        let is_comment = code.starts_with('#');
        before_commands &= is_comment || code.is_empty();
        if !is_comment && !above.is_empty() {
            let ids = std::mem::take(&mut above);
            if !code.is_empty() {
                allowed.lines.entry(index + 1).or_default().extend(ids);
            }
        }
        for mark in marks(line, start) {
            if find(mark.id).is_none() {
                strange(&mark);
                continue;
            }
            let id = mark.id.to_string();
            if before_commands {
                allowed.whole.push(id.clone());
            }
            if is_comment {
                above.push(id);
            } else {
                allowed.lines.entry(index + 1).or_default().push(id);
            }
        }
        start += line.len();
    }
    allowed
}

/// The ids that a line's comment allows, with their places; the line starts at byte `offset`.
fn marks(line: &str, offset: usize) -> Vec<Mark<'_>> {
    let ids = || {
        let (before, comment) = line.rsplit_once('#')?;
        let rest = comment.trim_start().strip_prefix("ozr:")?;
        let rest = rest.trim_start().strip_prefix("allow")?;
        (rest.is_empty() || rest.starts_with([' ', '\t', ':', '\r', '\n'])).then_some(())?;
        debug_assert!(line.len() >= before.len() + rest.len());
        Some(rest)
    };
    let Some(ids) = ids() else {
        return Vec::new();
    };
    let mut at = offset + line.len() - ids.len();
    let mut found = Vec::new();
    for part in ids.split([',', ' ', '\t', ':', '\r', '\n']) {
        if !part.is_empty() {
            found.push(Mark {
                id: part,
                span: at..at + part.len(),
            });
        }
        at += part.len() + 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::check::Setting;
    use crate::language::{NoIncludes, Version};

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
            for (at, _) in code.match_indices(['"']) {
                let id = code.get(at + 1..at + 7).and_then(|id| id.strip_suffix('"'));
                let is_of_a_rule = |id: &&str| {
                    (id.starts_with("KS") || id.starts_with("VF"))
                        && id[2..].bytes().all(|byte| byte.is_ascii_digit())
                };
                named.extend(id.filter(is_of_a_rule).map(str::to_string));
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

    /// Ids and lines of what is left, notes aside.
    fn left(text: &str, allow: &[&str]) -> Vec<(&'static str, usize)> {
        let version = Version::Rhel(9);
        let reading = Reading::new(text, "t.ks", version, &NoIncludes);
        let allow: Vec<String> = allow.iter().map(ToString::to_string).collect();
        crate::check::kickstart(reading, &Setting::alone(version), Vec::new(), &allow)
            .findings
            .into_iter()
            .filter(|finding| finding.severity > Severity::Note)
            .map(|finding| (finding.id.unwrap_or("-"), finding.line))
            .collect()
    }

    const REST: &str = "text\nclearpart --all\nzerombr\nautopart\ntimezone UTC\n\
                        rootpw --lock\nsshkey --username=root k\npoweroff\ncdrom\n\
                        %packages\n@core\n%end\n";

    #[test]
    fn on_the_line_or_above_it() {
        assert_eq!(left(REST, &[]), []);
        for line in [
            "firstboot --enable # ozr: allow KS172",
            "# ozr: allow KS172\nfirstboot --enable",
            "#ozr:allow ks172\n# because\nfirstboot --enable",
            "# ozr: allow KS101, KS172 KS103\nfirstboot --enable",
        ] {
            assert_eq!(left(&format!("{REST}{line}\n"), &[]), [], "{line}");
        }
        for (line, number) in [
            ("firstboot --enable # ozr: allow KS101", 13),
            ("# ozr: allow KS172\n\nfirstboot --enable", 15),
            ("firstboot --enable\n# ozr: allow KS172", 13),
            ("# ozr: allow KS172\nlang C\nfirstboot --enable", 15),
        ] {
            let found = left(&format!("{REST}{line}\n"), &[]);
            assert_eq!(found, [("KS172", number)], "{line}");
        }
        let text = format!("{REST}%post # ozr: allow KS180\nx\n%end\n");
        assert_eq!(left(&text, &[]), []);
    }

    #[test]
    fn the_kickstart_as_a_whole() {
        let text = REST.replace("--all\nzerombr\n", "--linux\n");
        assert_eq!(left(&text, &[]), [("KS113", 1)]);
        assert_eq!(left(&text, &["ks113"]), []);
        assert_eq!(
            left(&format!("# x\n\n# ozr: allow KS113\n\n{text}"), &[]),
            []
        );
        // Below the first command it is about a line.
        assert_eq!(
            left(&format!("{text}# ozr: allow KS113\n"), &[]),
            [("KS113", 1)]
        );
    }

    #[test]
    fn the_language_cannot_be_allowed() {
        let text = format!("{REST}# ozr: allow KS001\nbogus\n");
        assert_eq!(left(&text, &["KS001"]), [("KS001", 14)]);
        let text = format!("{REST}# ozr: allow KS012\nsshkey --username=root k\n");
        assert_eq!(left(&text, &[]), []);
    }

    #[test]
    fn unknown_ids_are_told() {
        let text = format!("{REST}# ozr: allow KS1722, nonsense\n");
        assert_eq!(left(&text, &[]), [("KS199", 13), ("KS199", 13)]);
        let reading = Reading::new(&text, "t.ks", Version::Rhel(9), &NoIncludes);
        let found = without_allowed(&reading, Vec::new(), &[]);
        let (excerpt, carets) = found[0].excerpt();
        assert_eq!(&excerpt[carets], "KS1722");
        assert!(
            found[0]
                .help
                .as_deref()
                .is_some_and(|help| help.contains("KS172"))
        );
    }

    #[test]
    fn other_comments_mean_nothing() {
        for line in [
            "# ozr allow KS1",
            "# ozr: allowed KS1",
            "# ozr: deny KS1",
            "ozr: allow KS1",
        ] {
            assert!(marks(line, 0).is_empty(), "{line}");
        }
        assert!(marks("# ozr: allow", 0).is_empty());
    }
}
