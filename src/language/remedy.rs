//! Remedies that are certain: lines that do nothing, and options that have another name.

use super::Version;
use super::problem::id;
use super::table::Language;
use crate::diagnostic::{Diagnostic, Edit};
use crate::kickstart::outline::{Item, Outline};
use std::ops::Range;

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
pub fn of(
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
        crate::check::fix::apply(text, &reading.findings).0
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
