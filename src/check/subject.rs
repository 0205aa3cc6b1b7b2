//! What a file is, and which release it names itself.

use std::ops::Range;

use crate::diagnostic::{Diagnostic, Source};
use crate::kickstart::outline::{Item, SectionKind};
use crate::kickstart::scan;
use crate::language::Version;
use crate::language::table::Language;

/// Most commands that a text must have to be taken for a kickstart: a word such as `user` begins
/// lines of other files, too, but not two of them.
const MIN_COMMANDS: usize = 2;

/// Whether a file is a TDL template and not a kickstart: it begins with `<` (but not with ERB's
/// `<%`), in whatever encoding.
pub fn is_template(bytes: &[u8]) -> bool {
    // Byte order marks, and the other half of UTF-16's white space.
    let skipped = |byte: &u8| {
        byte.is_ascii_whitespace() || matches!(byte, 0 | 0xef | 0xbb | 0xbf | 0xfe | 0xff)
    };
    let mut said = bytes.iter().filter(|byte| !skipped(byte));
    said.next() == Some(&b'<') && said.next() != Some(&b'%')
}

/// What lines of template languages begin with that no kickstart's can; the installer refuses
/// such a line as an unknown command, and such a package.
const UNRENDERED: [(&str, &str); 5] = [
    ("{%", "a Jinja template"),
    ("{#", "a Jinja template"),
    ("{{", "a Jinja, Go or Mustache template"),
    ("<%", "an ERB template"),
    ("$", "a Cheetah template, as Cobbler has them"),
];

/// Says that the text is a template of a kickstart, where that is certain: a line of its command
/// section or of `%packages` begins as in a template language. Everything else that could be said
/// of it follows from that.
pub fn unrendered(text: &str, name: &str) -> Option<Diagnostic> {
    // What scripts hold is theirs.
    let outline = scan::scan_all(text, name).0;
    let mut lines = outline.items.iter().flat_map(|item| {
        let span = match item {
            Item::Section(section) if section.kind == SectionKind::Packages => section.body.clone(),
            Item::Command(_) | Item::Broken(_) => item.span(),
            _ => 0..0,
        };
        let mut at = span.start;
        text[span].split_inclusive('\n').map(move |line| {
            let start = at + line.len() - line.trim_start().len();
            at += line.len();
            (start, line.trim())
        })
    });
    lines.find_map(|(start, line)| {
        let (_, kind) = UNRENDERED.iter().find(|(begin, _)| {
            let rest = line.strip_prefix(begin);
            rest.is_some_and(|rest| {
                *begin != "$" || rest.starts_with(|c: char| c.is_alphabetic() || c == '{')
            })
        })?;
        let message = format!("this is {kind}, which no installer reads");
        let source = Source { name, text };
        let finding = Diagnostic::error(source, start..start + line.len(), message).id("KS014");
        Some(finding.help("render it first, and check what comes out"))
    })
}

/// Whether a file whose name does not say it is a kickstart: it has `%packages`, or lines that
/// begin with commands, and no `[section]` of other configuration files.
pub fn looks_like_kickstart(text: &str) -> bool {
    let newest = |versions: [Version; 2]| versions.map(Language::of);
    let languages = newest([Version::Rhel(7), Version::Rhel(10)]);
    let mut commands: Vec<&str> = Vec::new();
    for line in text.lines() {
        let word = line.split_whitespace().next().unwrap_or_default();
        if word == "%packages" {
            return true;
        }
        if word.starts_with('[') {
            return false;
        }
        // `lang = de` is another language's line.
        let assigned = line[word.len()..].trim_start().starts_with('=');
        let known = languages
            .iter()
            .any(|language| language.get(word).is_some());
        if known && !assigned && !commands.contains(&word) {
            commands.push(word);
        }
    }
    commands.len() >= MIN_COMMANDS
}

/// What a line `#version=` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionLine {
    /// A version that is known.
    Known(Version),
    /// Something else, and where it stands.
    Unknown(Range<usize>),
}

/// What the file's first `#version=` line says. `DEVEL`, which the installer writes on
/// development trees, is the newest Fedora, as it is for pykickstart (3.78, `versionFromFile`).
pub fn version_line(text: &str) -> Option<VersionLine> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if let Some(value) = line.strip_prefix("#version=") {
            let name = value.trim();
            let version = if name == "DEVEL" {
                Version::all().last()
            } else {
                Version::from_label(name)
            };
            let at = start + line.len() - value.len();
            let span = at..at + value.trim_end().len();
            return Some(version.map_or(VersionLine::Unknown(span), VersionLine::Known));
        }
        start += line.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_begin_with_a_bracket() {
        let utf16: Vec<u8> = "\u{feff} <template/>"
            .encode_utf16()
            .flat_map(u16::to_be_bytes)
            .collect();
        for (bytes, expected) in [
            (b"<template>".as_slice(), true),
            (b" \n<?xml?>", true),
            (b"\xef\xbb\xbf<template>", true),
            (&utf16, true),
            (b"text\n<a>", false),
            (b"# <a>", false),
            (b"", false),
            (b"<%#\nkind: provision\n-%>\n", false),
        ] {
            assert_eq!(is_template(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn templates_of_kickstarts_are_told() {
        for (text, expected) in [
            ("text\n{% if x %}\nreboot\n{% endif %}\n", Some("Jinja")),
            ("{# base #}\ntext\n", Some("Jinja")),
            ("text\n{{- if .X }}\n", Some("Go")),
            ("<%#\nname: x\n-%>\ntext\n", Some("ERB")),
            ("text\n<% if 'x' %>\n", Some("ERB")),
            ("text\n$SNIPPET('network_config')\n", Some("Cheetah")),
            ("%packages\n@core\n{% for p in ps %}\n%end\n", Some("Jinja")),
            ("text\nrootpw {{ pw }}\n", None),
            (
                "text\n%post\ncat >x <<E\n{% if x %}\n<%= y %>\n$HOME/x\nE\n%end\n",
                None,
            ),
            ("# {% if %}\ntext\n", None),
        ] {
            let found = unrendered(text, "t.ks").map(|finding| finding.message);
            let kind = expected
                .is_none_or(|kind| found.as_deref().is_some_and(|text| text.contains(kind)));
            assert!(
                kind && found.is_some() == expected.is_some(),
                "{text}: {found:?}"
            );
        }
    }

    #[test]
    fn kickstarts_are_told_from_other_configuration_files() {
        assert!(looks_like_kickstart("# ks\ninstall\nlang en_US\n"));
        assert!(looks_like_kickstart("%packages\n"));
        assert!(!looks_like_kickstart(
            "[main]\nlang en_US\ntimezone UTC\n%packages\n"
        ));
        assert!(!looks_like_kickstart("lang = de\ntimezone=UTC\nuser = x\n"));
        assert!(!looks_like_kickstart("text\nsome prose\n"));
        assert!(!looks_like_kickstart(""));
    }

    #[test]
    fn the_version_line_is_read_as_pykickstart_reads_it() {
        use VersionLine::{Known, Unknown};
        for (text, expected) in [
            ("#version=RHEL9\n", Some(Known(Version::Rhel(9)))),
            (
                "text\r\n#version=F43\r\n#version=F29",
                Some(Known(Version::Fedora(43))),
            ),
            ("#version=DEVEL\n", Some(Known(Version::Fedora(46)))),
            ("\n#version=RHEL5\n", Some(Unknown(10..15))),
            ("# version=RHEL9\n #version=RHEL9\n", None),
            ("", None),
        ] {
            assert_eq!(version_line(text), expected, "{text:?}");
        }
    }
}
