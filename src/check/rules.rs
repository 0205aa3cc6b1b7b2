//! Every rule that a finding can name, for `ozr explain`, SARIF and `allow`.
//!
//! The rules of each part are listed beside the code that applies them; here they are put
//! together.

use std::sync::LazyLock;

use super::{host, lints, online, suppressions};
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
    static SORTED: LazyLock<Vec<&'static Rule>> = LazyLock::new(|| {
        let lints = lints::TOPICS.into_iter().map(|(rules, _)| rules);
        let others = [
            LANGUAGE,
            suppressions::RULES,
            online::catalogue::RULES,
            host::RULES,
        ];
        let mut rules: Vec<&Rule> = lints.chain(others).flatten().collect();
        rules.sort_by_key(|rule| rule.id);
        rules
    });
    SORTED.iter().copied()
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

/// KS001 to KS014: what the installer's parser refuses or warns about, as found in
/// [`crate::language`].
const LANGUAGE: &[Rule] = &[
    Rule {
        id: "KS001",
        title: "unknown command",
        explanation: "\
            The line begins with a word that is no command of this release's installer. The \
            installer stops at it before anything is installed, and the machine reboots or \
            waits.\n\n\
            Often the command is misspelt, or belongs to a newer or older release, or a line was \
            broken in two: kickstarts have no line continuation, so a backslash at the end of a \
            line joins nothing and the next line is read as a command of its own.\n\n\
            Correct the name, or delete the line. `ozr diff-releases` shows which commands came \
            and went between two releases.",
    },
    Rule {
        id: "KS002",
        title: "command that was removed",
        explanation: "\
            The release's installer knows the command only to refuse it: it did something in \
            older releases and was removed. The installation ends at this line before anything \
            is installed.\n\n\
            The best known is `install`, which every kickstart of RHEL 7 and before begins with \
            and which RHEL 9 refuses. Where the command did nothing any more, delete the line \
            (`ozr check --fix` does it); where it has a successor, such as `authselect` for \
            `authconfig`, write that one.",
    },
    Rule {
        id: "KS003",
        title: "unknown option",
        explanation: "\
            The command has no option of that name in this release. The installer refuses the \
            line, even if the option was valid one release before or comes with the next.\n\n\
            Options may be shortened as long as the rest is unambiguous (`--s` for `--size`), so \
            an option that is the beginning of several ones is refused, too. Write options in \
            full: what is unambiguous today need not be so in the next release.",
    },
    Rule {
        id: "KS004",
        title: "value that is not accepted",
        explanation: "\
            The option or argument takes values of a certain kind, such as a whole number, one \
            of a list of words, or a mount point beginning with `/`, and this is none of them. \
            The installer refuses the line.\n\n\
            An option that takes no value at all is refused with one (`--grow=1`), and one that \
            needs a value is refused without. A value that begins with `-` must be joined to its \
            option: `--opts=-x`.",
    },
    Rule {
        id: "KS005",
        title: "something required is missing",
        explanation: "\
            The command needs an option or argument that the line does not have, such as \
            `--name` of `user` or the mount point of `part`. The installer refuses the line.\n\n\
            Which options are required depends on the release and sometimes on the other options \
            of the line: `part --resize` needs `--onpart` and `--size`.",
    },
    Rule {
        id: "KS006",
        title: "arguments that do not belong there",
        explanation: "\
            The line has words that belong to no option and that the command does not take. The \
            installer refuses the line.\n\n\
            Usual causes are a space in a value that is not quoted (`--hostname=my host`), an \
            option without its dashes, and two commands on one line. Quote values with spaces: \
            `--gecos=\"Jane Doe\"`.",
    },
    Rule {
        id: "KS007",
        title: "options that contradict each other or a rule of the command",
        explanation: "\
            Each option is valid, but the installer refuses them together or asks for more than \
            single options can say. For example `part` with `--noformat` and `--mkfsoptions`, \
            `url` with two kinds of addresses, `logvol` with both `--size` and `--percent`, or \
            btrfs on a release that has none.\n\n\
            The message names what contradicts what; leave one of the two out.",
    },
    Rule {
        id: "KS008",
        title: "commands that exclude each other",
        explanation: "\
            Two commands of the kickstart decide the same thing in different ways, and the \
            installer refuses the second one: `autopart` beside `part`, `raid`, `volgroup` or \
            `logvol`; `mount` beside any of these; `ostreesetup` beside `ostreecontainer` or \
            `bootc`.\n\n\
            Keep the one that describes what you want. Look into included files, too: the \
            finding's notes say how an included file came to be read.",
    },
    Rule {
        id: "KS009",
        title: "broken structure",
        explanation: "\
            The text cannot be divided into commands and sections as the installer does it: a \
            section without `%end`, an `%end` without a section, an unknown section, a quote \
            that is not closed, an `%include` without a file, a byte order mark at the \
            beginning, or bytes that are not UTF-8.\n\n\
            The installer gives up at the first of these. ozr reads on, so further findings of \
            the same file are real ones. A line that begins with a section's name inside a \
            script (in a here-document, for example) counts as the beginning of that section: \
            indenting it does not help, so write it differently.",
    },
    Rule {
        id: "KS010",
        title: "deprecated command",
        explanation: "\
            The release's installer reads the command, warns that it is deprecated, and in most \
            cases does nothing with it. The installation goes on; a later release refuses the \
            line.\n\n\
            Delete it where it does nothing any more, or use its successor now: both work from \
            the release on that deprecates the old one.",
    },
    Rule {
        id: "KS011",
        title: "deprecated option",
        explanation: "\
            The release's installer accepts the option with a warning. It may have no effect \
            already, and a later release refuses the line.\n\n\
            Use the option that took its place, such as `--utc` for `timezone --isUtc`, or leave \
            it out.",
    },
    Rule {
        id: "KS012",
        title: "defined twice",
        explanation: "\
            Two lines define the same thing: a mount point, a user, a group, a network device, a \
            repository, a volume. The installer warns and takes both or the last, depending on \
            the command, which is seldom what was meant.\n\n\
            Often one of the two stands in an included file. Delete one, or give it a name of \
            its own.",
    },
    Rule {
        id: "KS013",
        title: "line of %packages that is not understood",
        explanation: "\
            The body of `%packages` has one package, glob, group (`@name`), environment \
            (`@^name`) or module stream (`@module:stream`) on a line; a `-` before it leaves it \
            out, and `#` begins a comment. This line is none of these, or says two things that \
            exclude each other, such as `--nodefaults` with `--optional`.\n\n\
            The installer refuses the whole kickstart because of it, some releases with a \
            message that names no line.",
    },
    Rule {
        id: "KS014",
        title: "a template that was not rendered",
        explanation: "\
            Lines begin as in a template language: Jinja's and Ansible's `{% if %}`, ERB's `<% %>` \
            as in Foreman, Go's `{{ if }}`, Cheetah's `$SNIPPET(…)` as in Cobbler. The installer \
            reads kickstarts only, and stops at the first such line.\n\n\
            Let the tool that owns the template render it (`ansible`, `hammer`, `cobbler profile \
            dumpvars`, …), and check and install what comes out. Nothing else is said of such a \
            file, because it would be about lines that are not there yet.",
    },
];

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
