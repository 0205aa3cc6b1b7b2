//! What is wrong with one line, before it has a place in a file; and remedies that are certain: lines
//! that do nothing, and options that have another name.

use std::ops::Range;

use super::Version;
use super::table::Language;
use crate::diagnostic::{Diagnostic, Edit, Severity};
use crate::kickstart::outline::{Item, Outline};

/// Ids of what the language itself says; explained in [`crate::check::rules`].
pub mod id {
    /// A command that the version does not have.
    pub const UNKNOWN_COMMAND: &str = "KS001";
    /// A command that the version refuses by name.
    pub const REMOVED_COMMAND: &str = "KS002";
    /// An option that the command does not have in this version.
    pub const UNKNOWN_OPTION: &str = "KS003";
    /// A value that the option does not take.
    pub const BAD_VALUE: &str = "KS004";
    /// An option, argument or value that is needed.
    pub const MISSING: &str = "KS005";
    /// An argument that the command does not take.
    pub const UNEXPECTED: &str = "KS006";
    /// Options that contradict each other or the command.
    pub const CONTRADICTION: &str = "KS007";
    /// Commands that cannot stand in the same kickstart.
    pub const CONFLICT: &str = "KS008";
    /// Sections, quotes, encoding, includes.
    pub const STRUCTURE: &str = "KS009";
    /// A command that is ignored.
    pub const DEPRECATED_COMMAND: &str = "KS010";
    /// An option that is ignored, or will be.
    pub const DEPRECATED_OPTION: &str = "KS011";
    /// Something that is declared twice.
    pub const DUPLICATE: &str = "KS012";
    /// A line of `%packages`.
    pub const PACKAGES: &str = "KS013";
}

/// One thing that is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Error: the installer refuses the line; warning: it says something and goes on.
    pub severity: Severity,
    /// The rule, one of [`id`].
    pub id: &'static str,
    /// Where, in bytes of the text; the command's name if unset.
    pub span: Option<Range<usize>>,
    /// One sentence that names the cause.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

/// Whether the installer refuses a line that has these problems.
pub fn refuse(problems: &[Problem]) -> bool {
    let is_error = |problem: &Problem| problem.severity == Severity::Error;
    problems.iter().any(is_error)
}

impl Problem {
    /// The installer refuses the line.
    pub fn error(id: &'static str, message: impl Into<String>) -> Problem {
        Problem {
            severity: Severity::Error,
            id,
            span: None,
            message: message.into(),
            help: None,
        }
    }

    /// The installer says something and goes on.
    pub fn warning(id: &'static str, message: impl Into<String>) -> Problem {
        Problem {
            severity: Severity::Warning,
            ..Problem::error(id, message)
        }
    }

    /// Names the place; none leaves it at the command's name.
    #[must_use]
    pub fn at(mut self, span: Option<Range<usize>>) -> Problem {
        self.span = span.or(self.span);
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }
}

/// Commands that can be deleted where a version ignores or refuses them: they did nothing that
/// their absence does not do. `install` is what an installer does anyway; the others were for
/// hardware that is found without them, or for programs that are gone.
const USELESS: [&str; 12] = [
    "autostep",
    "deviceprobe",
    "device",
    "dmraid",
    "install",
    "key",
    "langsupport",
    "monitor",
    "mouse",
    "multipath",
    "skipx",
    "unsupported_hardware",
];

/// Options that only changed their name.
const RENAMED: [(&str, &str, &str); 3] = [
    ("timezone", "--isUtc", "--utc"),
    ("%packages", "--instLangs", "--inst-langs"),
    ("%packages", "--excludeWeakdeps", "--exclude-weakdeps"),
];

/// The edit that mends what is found at the bytes `span` of a text, if there is one that changes
/// nothing else.
pub fn remedy(
    version: Version,
    finding: &Diagnostic,
    text: &str,
    outline: &Outline,
    span: &Range<usize>,
) -> Option<Edit> {
    let index = outline
        .items
        .partition_point(|item| item.span().end <= span.start);
    let item = outline.items.get(index)?;
    let name = match item {
        Item::Command(command) => command.name(),
        Item::Section(section) => section.header[0].text.as_str(),
        _ => return None,
    };
    match finding.id? {
        id::REMOVED_COMMAND | id::DEPRECATED_COMMAND | id::UNKNOWN_COMMAND
            if USELESS.contains(&name) =>
        {
            Some(Edit {
                span: item.span(),
                text: String::new(),
            })
        }
        id::DEPRECATED_OPTION | id::UNKNOWN_OPTION => {
            let raw = text.get(span.clone())?;
            let written = raw.split('=').next().unwrap_or_default();
            let (_, old, new) = RENAMED
                .iter()
                .find(|(command, old, _)| *command == name && *old == written)?;
            Language::of(version).get(name)?.option(new)?;
            Some(Edit {
                span: span.start..span.start + old.len(),
                text: (*new).to_string(),
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::{NoIncludes, Reading};

    /// The text with all that can be mended mended.
    fn mended(text: &str, version: Version) -> String {
        let reading = Reading::new(text, "t.ks", version, &NoIncludes);
        crate::diagnostic::apply_fixes(text, &reading.findings).0
    }

    #[test]
    fn lines_that_do_nothing_are_deleted() {
        use Version::{Fedora, Rhel};
        for (text, version, expected) in [
            ("install\ntext\n", Rhel(9), "text\n"),
            (
                "text\r\ninstall # os\r\nlang C\r\n",
                Rhel(8),
                "text\r\nlang C\r\n",
            ),
            ("text\nmonitor --hsync=1", Rhel(9), "text\n"),
            ("\u{feff}install\ntext\n", Fedora(40), "text\n"),
            ("autostep\n", Rhel(9), ""),
            ("install\n", Rhel(7), "install\n"),
            ("authconfig --x\n", Rhel(10), "authconfig --x\n"),
            (
                "btrfs none --label=x a\n",
                Rhel(9),
                "btrfs none --label=x a\n",
            ),
            ("frobnicate\n", Rhel(9), "frobnicate\n"),
        ] {
            assert_eq!(mended(text, version), expected, "{version} {text:?}");
        }
    }

    #[test]
    fn options_get_their_new_names() {
        use Version::{Fedora, Rhel};
        for (text, version, expected) in [
            ("timezone UTC --isUtc\n", Rhel(10), "timezone UTC --utc\n"),
            ("timezone --isUtc UTC\n", Fedora(40), "timezone --utc UTC\n"),
            ("timezone UTC --isUtc\n", Rhel(7), "timezone UTC --isUtc\n"),
            (
                "%packages --instLangs=en --excludeWeakdeps\n%end\n",
                Fedora(40),
                "%packages --inst-langs=en --exclude-weakdeps\n%end\n",
            ),
            (
                "%packages --excludeWeakdeps\n%end\n",
                Rhel(10),
                "%packages --exclude-weakdeps\n%end\n",
            ),
            (
                "%packages --excludeWeakdeps\n%end\n",
                Rhel(8),
                "%packages --excludeWeakdeps\n%end\n",
            ),
            (
                "timezone UTC \"--isUtc\"\n",
                Rhel(10),
                "timezone UTC \"--isUtc\"\n",
            ),
        ] {
            assert_eq!(mended(text, version), expected, "{version} {text:?}");
        }
    }

    #[test]
    fn the_last_section_is_closed() {
        use Version::Rhel;
        for (text, expected) in [
            ("%post\nx\n", "%post\nx\n%end\n"),
            ("%post\r\nx", "%post\r\nx\r\n%end"),
            ("%post\nx\n%packages\n%end\n", "%post\nx\n%packages\n%end\n"),
            ("%frob\nx\n", "%frob\nx\n"),
        ] {
            assert_eq!(mended(text, Rhel(9)), expected, "{text:?}");
        }
    }
}
