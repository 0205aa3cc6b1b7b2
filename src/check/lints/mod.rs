//! What makes an unattended install wait, fail, or end as a bad image, although the language
//! allows it: rules KS101 to KS198, one file per topic.
//!
//! The facts are anaconda's and kickstart's, read in the sources that each explanation names; how
//! bad it is depends on the release and on the [`Setting`].

pub mod accounts;
pub mod boot;
pub mod commands;
pub mod disks;
pub mod ending;
pub mod hygiene;
pub mod includes;
pub mod layout;
pub mod localization;
pub mod network;
pub mod packages;
pub mod passwords;
pub mod questions;
pub mod scripts;
pub mod shell;
pub mod source;
pub mod volumes;

use super::rules::Rule;
use super::setting::Setting;
use crate::diagnostic::{Diagnostic, Severity};
use crate::kickstart::outline::SectionKind;
use crate::language::Reading;
use crate::language::reading::{Entry, SectionEntry};

/// A rule at work: looks at a kickstart and adds what it finds.
pub type Check = fn(&Reading, &Setting, &mut Vec<Diagnostic>);

/// What one file looks for, and how.
pub type Topic = (&'static [Rule], &'static [Check]);

/// All of them.
pub const TOPICS: [Topic; 16] = [
    (layout::RULES, layout::CHECKS),
    (volumes::RULES, volumes::CHECKS),
    (disks::RULES, disks::CHECKS),
    (boot::RULES, boot::CHECKS),
    (accounts::RULES, accounts::CHECKS),
    (passwords::RULES, passwords::CHECKS),
    (source::RULES, source::CHECKS),
    (network::RULES, network::CHECKS),
    (includes::RULES, includes::CHECKS),
    (ending::RULES, ending::CHECKS),
    (questions::RULES, questions::CHECKS),
    (scripts::RULES, scripts::CHECKS),
    (commands::RULES, commands::CHECKS),
    (packages::RULES, packages::CHECKS),
    (hygiene::RULES, hygiene::CHECKS),
    (localization::RULES, localization::CHECKS),
];

/// Everything that the rules find.
pub fn find(reading: &Reading, setting: &Setting) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    // Of a text without anything in it there is one thing to say, and the language says it.
    if reading.commands.is_empty() && reading.sections.is_empty() && reading.complete {
        return findings;
    }
    for (_, checks) in TOPICS {
        for check in checks {
            check(reading, setting, &mut findings);
        }
    }
    findings
}

/// A finding about something that is nowhere: about the kickstart as a whole.
///
/// Where an include was not followed it may be there, so it is a note at most.
fn missing(reading: &Reading, severity: Severity, message: impl Into<String>) -> Diagnostic {
    let severity = if reading.complete {
        severity
    } else {
        Severity::Note
    };
    Diagnostic::of_file(severity, &reading.texts[0].name, message)
}

/// A finding about a command's name.
fn at_command(
    reading: &Reading,
    severity: Severity,
    entry: &Entry,
    message: impl Into<String>,
) -> Diagnostic {
    let span = entry.command.words[0].span.clone();
    reading.finding(severity, entry.text, span, message)
}

/// A finding about an option of a command; about its name if the option is not there.
fn at_option(
    reading: &Reading,
    severity: Severity,
    entry: &Entry,
    option: &str,
    message: impl Into<String>,
) -> Diagnostic {
    let span = entry
        .arguments()
        .span(option)
        .unwrap_or_else(|| entry.command.words[0].span.clone());
    reading.finding(severity, entry.text, span, message)
}

/// A finding about the header of a section.
fn at_section(
    reading: &Reading,
    severity: Severity,
    entry: &SectionEntry,
    message: impl Into<String>,
) -> Diagnostic {
    let span = entry.section.header[0].span.clone();
    reading.finding(severity, entry.text, span, message)
}

/// Whether a command of this name runs: it stands there, and the release does not ignore it.
fn runs(reading: &Reading, name: &str) -> bool {
    running(reading, name).next().is_some()
}

/// The commands of this name that the release runs.
fn running<'a>(reading: &'a Reading, name: &'a str) -> impl DoubleEndedIterator<Item = &'a Entry> {
    let all = reading.commands_named(name);
    all.filter(|entry| entry.arguments.is_some())
}

/// Whether a command of any of these names stands there, whether its line is right or not.
fn has_any(reading: &Reading, names: &[&str]) -> bool {
    reading
        .commands
        .iter()
        .any(|entry| names.contains(&entry.name))
}

/// The body of a section.
fn body<'a>(reading: &'a Reading, entry: &SectionEntry) -> &'a str {
    &reading.texts[entry.text].text[entry.section.body.clone()]
}

/// Whether a section is a script for a shell.
fn is_shell(entry: &SectionEntry) -> bool {
    let arguments = entry.arguments.as_ref();
    let interpreter = arguments.and_then(|arguments| arguments.value("--interpreter"));
    entry.section.kind.is_script() && interpreter.is_none_or(|program| program.ends_with("sh"))
}

/// Whether a script runs before the disks are looked at, and so may change what there is.
fn has_pre(reading: &Reading) -> bool {
    let mut sections = reading.sections.iter();
    sections.any(|entry| entry.section.kind == SectionKind::Pre)
}

/// The commands that install a ready file system instead of packages.
const IMAGE_SOURCES: [&str; 4] = ["liveimg", "ostreesetup", "ostreecontainer", "bootc"];

/// Whether a text has places to be filled in by a tool, so that what stands there says nothing.
fn is_template(text: &str) -> bool {
    text.starts_with('$')
        && !text[1..].contains('$')
        && text[1..].starts_with(|c: char| c.is_alphabetic() || c == '{' || c == '_')
        || text.starts_with("@@")
        || (text.len() > 2 && text.starts_with('@') && text.ends_with('@'))
        || text.contains("{{")
        || text.contains("${")
        || text.contains("<%")
}

#[cfg(test)]
mod testing {
    //! Table tests of rules: a kickstart, and what is found in it.

    use super::*;
    use crate::language::{NoIncludes, Version};

    /// The findings of one rule: how bad each is, and the words that it points at.
    pub fn found(text: &str, setting: &Setting, id: &str) -> Vec<(Severity, String)> {
        let reading = Reading::new(text, "t.ks", setting.version, &NoIncludes);
        find(&reading, setting)
            .into_iter()
            .filter(|finding| finding.id == Some(id))
            .map(|finding| {
                assert!(finding.help.is_some(), "{finding}");
                assert!(!finding.message.ends_with('.'), "{finding}");
                let (excerpt, carets) = finding.excerpt();
                let pointed = excerpt.chars().skip(carets.start).take(carets.len());
                let pointed = if finding.is_about_whole_file() {
                    String::new()
                } else {
                    pointed.collect()
                };
                (finding.severity, pointed)
            })
            .collect()
    }

    /// How bad the first finding of a rule is.
    pub fn severity(text: &str, setting: &Setting, id: &str) -> Option<Severity> {
        let found = found(text, setting, id);
        found.into_iter().next().map(|(severity, _)| severity)
    }

    /// [`severity`] where nothing but the version is known.
    pub fn alone(text: &str, version: Version, id: &str) -> Option<Severity> {
        severity(text, &Setting::alone(version), id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distro::Arch;
    use crate::kickstart::builtin;
    use crate::language::{NoIncludes, Version};
    use crate::machine::{DiskBus, Firmware};

    #[test]
    fn nothing_is_found_in_the_built_in_kickstarts() {
        for builtin in builtin::all() {
            let text = builtin.render(Some("secret!")).unwrap();
            let name = builtin.name;
            let digits = name.rsplit('-').next().unwrap_or_default();
            let version = match name.split('-').next() {
                Some("fedora") => Version::Fedora(digits.parse().unwrap_or(40)),
                _ => Version::Rhel(digits.parse().unwrap()),
            };
            let reading = Reading::new(&text, name, version, &NoIncludes);
            let mut setting = Setting {
                adds_source: true,
                adds_cmdline: true,
                ..Setting::alone(version)
            };
            assert_eq!(find(&reading, &setting), [], "{name}");
            setting = Setting {
                arch: Some(Arch::X86_64),
                firmware: Some(Firmware::Bios),
                disk_bus: Some(DiskBus::Virtio),
                disk_bytes: Some(10 << 30),
                new_guest: true,
                adds_ending: true,
                adds_serial_console: true,
                ..setting
            };
            assert_eq!(find(&reading, &setting), [], "{name}");
        }
    }

    #[test]
    fn places_to_be_filled_in() {
        for text in [
            "$default_password",
            "@KSTEST_X@",
            "{{ x }}",
            "${X}",
            "@@X@@",
        ] {
            assert!(is_template(text), "{text}");
        }
        for text in ["$6$ab$cd", "a@b", "", "@", "x"] {
            assert!(!is_template(text), "{text}");
        }
    }
}
