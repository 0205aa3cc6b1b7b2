//! What makes an unattended install wait, fail, or end as a bad image, although the language
//! allows it: rules KS101 to KS198, one file per topic.
//!
//! The facts are anaconda's and kickstart's, read in the sources that `docs/rules.md` names; how
//! bad it is depends on the release and on the [`Setting`].

mod accounts;
mod boot;
mod commands;
mod disks;
mod ending;
mod image;
mod includes;
mod layout;
mod localization;
mod network;
mod passwords;
mod portable;
mod questions;
pub mod scripts;
mod source;
mod volumes;

use std::ops::Range;

use super::Setting;
use crate::diagnostic::{Diagnostic, Severity};
use crate::kickstart::outline::SectionKind;
use crate::language::Reading;
use crate::language::reading::{Entry, PackageLine, SectionEntry};

/// One rule at work, or a few that look at the same lines.
type Lint = fn(&mut Linter<'_>);

/// All of them, by topic.
const TOPICS: [&[Lint]; 15] = [
    layout::LINTS,
    volumes::LINTS,
    disks::LINTS,
    boot::LINTS,
    portable::LINTS,
    accounts::LINTS,
    passwords::LINTS,
    source::LINTS,
    network::LINTS,
    includes::LINTS,
    ending::LINTS,
    questions::LINTS,
    scripts::LINTS,
    image::LINTS,
    localization::LINTS,
];

/// Everything that the rules find.
pub fn find(reading: &Reading, setting: &Setting) -> Vec<Diagnostic> {
    let mut linter = Linter {
        reading,
        setting,
        findings: Vec::new(),
    };
    // Of a text without anything in it there is one thing to say, and the language says it.
    if !(reading.commands.is_empty() && reading.sections.is_empty() && reading.complete) {
        for lint in TOPICS.into_iter().flatten() {
            lint(&mut linter);
        }
    }
    linter.findings
}

/// A kickstart in its setting, and what was found in it so far.
#[derive(Debug)]
struct Linter<'a> {
    reading: &'a Reading,
    setting: &'a Setting,
    findings: Vec<Diagnostic>,
}

impl<'a> Linter<'a> {
    /// The commands of this name that the release runs.
    fn running(&self, name: &'static str) -> impl DoubleEndedIterator<Item = &'a Entry> + use<'a> {
        let all = self.reading.commands_named(name);
        all.filter(|entry| entry.arguments.is_some())
    }

    /// Whether a command of any of these names stands there, whether its line is right or not.
    fn has_any(&self, names: &[&str]) -> bool {
        self.reading
            .commands
            .iter()
            .any(|entry| names.contains(&entry.name))
    }

    /// Every line of `%packages`.
    fn packages(&self) -> impl Iterator<Item = &'a PackageLine> + use<'a> {
        self.reading
            .sections
            .iter()
            .flat_map(|entry| &entry.packages)
    }

    /// The sections of this kind.
    fn sections(&self, kind: SectionKind) -> impl Iterator<Item = &'a SectionEntry> + use<'a> {
        let all = self.reading.sections.iter();
        all.filter(move |entry| entry.section.kind == kind)
    }

    /// The scripts for a shell.
    fn shell_scripts(&self) -> impl Iterator<Item = &'a SectionEntry> + use<'a> {
        self.reading.sections.iter().filter(|entry| is_shell(entry))
    }

    /// The body of a section.
    fn body(&self, entry: &SectionEntry) -> &'a str {
        &self.reading.texts[entry.text].text[entry.section.body.clone()]
    }

    /// Whether a script runs before the disks are looked at, and so may change what there is.
    fn has_pre(&self) -> bool {
        self.sections(SectionKind::Pre).next().is_some()
    }

    fn add(
        &mut self,
        finding: Diagnostic,
        id: &'static str,
        help: impl Into<String>,
    ) -> &mut Diagnostic {
        self.findings.push(finding.id(id).help(help));
        let last = self.findings.len() - 1;
        &mut self.findings[last]
    }

    /// Something is nowhere: a finding about the kickstart as a whole.
    ///
    /// Where an include was not followed it may be there, so it is a note at most.
    fn missing(
        &mut self,
        severity: Severity,
        id: &'static str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> &mut Diagnostic {
        let severity = match self.reading.complete {
            true => severity,
            false => Severity::Note,
        };
        let finding = Diagnostic::of_file(severity, &self.reading.texts[0].name, message);
        self.add(finding, id, help)
    }

    /// Something is wrong at a place.
    fn at(
        &mut self,
        place: impl Into<Spot>,
        severity: Severity,
        id: &'static str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> &mut Diagnostic {
        let Spot(text, span) = place.into();
        let finding = self.reading.finding(severity, text, span, message);
        self.add(finding, id, help)
    }
}

/// Where something is wrong: bytes of a text.
struct Spot(usize, Range<usize>);

impl From<(usize, &Range<usize>)> for Spot {
    fn from((text, span): (usize, &Range<usize>)) -> Spot {
        Spot(text, span.clone())
    }
}

/// A command: its name.
impl From<&Entry> for Spot {
    fn from(entry: &Entry) -> Spot {
        Spot(entry.text, entry.command.words[0].span.clone())
    }
}

/// An option of a command, or the command's name if the option is not there.
impl From<(&Entry, &str)> for Spot {
    fn from((entry, option): (&Entry, &str)) -> Spot {
        let span = entry.arguments().span(option);
        span.map_or_else(|| Spot::from(entry), |span| Spot(entry.text, span))
    }
}

/// A line of `%packages`.
impl From<&PackageLine> for Spot {
    fn from(line: &PackageLine) -> Spot {
        Spot(line.text, line.line.span.clone())
    }
}

/// A section: its header.
impl From<&SectionEntry> for Spot {
    fn from(entry: &SectionEntry) -> Spot {
        Spot(entry.text, entry.section.header[0].span.clone())
    }
}

/// The first of these options that a command has.
fn first_option<'o>(entry: &Entry, options: &[&'o str]) -> Option<&'o str> {
    let mut options = options.iter().copied();
    options.find(|option| entry.arguments().has(option))
}

/// Whether a command has any of these options.
fn has_option(entry: &Entry, options: &[&str]) -> bool {
    first_option(entry, options).is_some()
}

/// Whether a section is a script for a shell.
pub fn is_shell(entry: &SectionEntry) -> bool {
    let arguments = entry.arguments.as_ref();
    let interpreter = arguments.and_then(|arguments| arguments.value("--interpreter"));
    entry.section.kind.is_script() && interpreter.is_none_or(|program| program.ends_with("sh"))
}

/// The commands that install a ready file system instead of packages.
const IMAGE_SOURCES: [&str; 4] = ["liveimg", "ostreesetup", "ostreecontainer", "bootc"];

/// Whether a text has places to be filled in by a tool, so that what stands there says nothing.
fn is_placeholder(text: &str) -> bool {
    text.starts_with('$')
        && !text[1..].contains('$')
        && text[1..].starts_with(|c: char| c.is_alphabetic() || c == '{' || c == '_')
        || text.starts_with("@@")
        || (text.len() > 2 && text.starts_with('@') && text.ends_with('@'))
        || ["{{", "${", "<%"].iter().any(|open| text.contains(open))
}

#[cfg(test)]
mod testing {
    //! Table tests of rules: a kickstart, and what is found in it.

    use super::*;
    use crate::language::{NoIncludes, Version};

    /// The findings of one rule.
    pub fn findings(text: &str, setting: &Setting, id: &str) -> Vec<Diagnostic> {
        let reading = Reading::new(text, "t.ks", setting.version, &NoIncludes);
        let mut findings = find(&reading, setting);
        findings.retain(|finding| finding.id == Some(id));
        findings
    }

    /// The findings of one rule: how bad each is, and the words that it points at.
    pub fn found(text: &str, setting: &Setting, id: &str) -> Vec<(Severity, String)> {
        findings(text, setting, id)
            .into_iter()
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
            let text = builtin.render("secret!").unwrap();
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
            assert!(is_placeholder(text), "{text}");
        }
        for text in ["$6$ab$cd", "a@b", "", "@", "x"] {
            assert!(!is_placeholder(text), "{text}");
        }
    }
}
