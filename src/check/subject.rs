//! What a file is, and which release it names itself.

use std::ops::Range;

use crate::language::Version;
use crate::language::table::Language;

/// Most commands that a text must have to be taken for a kickstart: a word such as `user` begins
/// lines of other files, too, but not two of them.
const MIN_COMMANDS: usize = 2;

/// Whether a file is a template and not a kickstart: it begins with `<`, in whatever encoding.
pub fn is_template(bytes: &[u8]) -> bool {
    // Byte order marks, and the other half of UTF-16's white space.
    let skipped = |byte: &u8| {
        byte.is_ascii_whitespace() || matches!(byte, 0 | 0xef | 0xbb | 0xbf | 0xfe | 0xff)
    };
    bytes.iter().find(|byte| !skipped(byte)) == Some(&b'<')
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
                Version::ALL.last().copied()
            } else {
                Version::from_name(name)
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
        ] {
            assert_eq!(is_template(bytes), expected, "{bytes:?}");
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
