//! The INI dialect of install trees and of Oz's configuration: what Python's `ConfigParser` writes and
//! reads.
//!
//! Trees in the field hold comment lines that start with `;` (productmd's warnings), keys that
//! are paths, empty values, sections in any order and, rarely, `key: value`. A reader of our own
//! is smaller than the quirks of a general crate and gives line and column for each finding.

use std::ops::Range;

use crate::diagnostic::{Diagnostic, Source};

/// One `key = value` line.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// The section that it is in.
    pub section: &'a str,
    /// What stands before the `=`.
    pub key: &'a str,
    /// What stands behind it.
    pub value: &'a str,
    /// Where the value stands in the text, for findings; the key where the value is empty.
    pub span: Range<usize>,
}

/// Every section name and every entry, in the order of the text.
#[derive(Debug, Default)]
pub struct Ini<'a> {
    /// The names of the sections.
    pub sections: Vec<&'a str>,
    /// The entries of all sections.
    pub entries: Vec<Entry<'a>>,
}

impl<'a> Ini<'a> {
    /// The value of a key; the last one stands, as in Python's reader. Empty values are absent.
    pub fn get(&self, section: &str, key: &str) -> Option<&Entry<'a>> {
        self.entries
            .iter()
            .rfind(|entry| entry.section == section && entry.key.eq_ignore_ascii_case(key))
            .filter(|entry| !entry.value.is_empty())
    }

    /// The entries of a section.
    pub fn section<'s>(&'s self, section: &'s str) -> impl Iterator<Item = &'s Entry<'a>> {
        self.entries
            .iter()
            .filter(move |entry| entry.section == section)
    }
}

/// Reads a text.
///
/// # Errors
/// A line that is neither comment, section, `key = value` nor the continuation of a value.
pub fn read<'a>(source: Source<'a>) -> Result<Ini<'a>, Diagnostic> {
    let mut ini = Ini::default();
    let mut section = None;
    let mut offset = 0;
    for raw in source.text.split_inclusive('\n') {
        let start = offset;
        offset += raw.len();
        let line = raw.trim();
        // The byte order mark is no white space to Rust.
        let line = if start == 0 {
            line.trim_start_matches('\u{feff}')
        } else {
            line
        };
        let span = span_of(source.text, line);
        if line.is_empty() || line.starts_with([';', '#']) {
            continue;
        }
        if let Some(bad) = line.find(|c: char| c.is_control() && c != '\t') {
            let at = span.start + bad;
            return Err(Diagnostic::error(
                source,
                at..at + 1,
                "a control character in a text of settings",
            ));
        }
        if let Some(rest) = line.strip_prefix('[') {
            let Some(name) = rest.strip_suffix(']').map(str::trim) else {
                return Err(
                    Diagnostic::error(source, span, "a section header without its `]`")
                        .help("write `[section]`"),
                );
            };
            section = Some(name);
            ini.sections.push(name);
            continue;
        }
        let Some(section) = section else {
            return Err(
                Diagnostic::error(source, span, "text before the first `[section]`")
                    .help("settings stand in a section: write `[section]` above them"),
            );
        };
        // A path may hold `:`, so `=` is looked for first.
        let Some(separator) = line.find('=').or_else(|| line.find(':')) else {
            if raw.starts_with([' ', '\t']) && !ini.entries.is_empty() {
                // The rest of a long value: nothing that is read here is ever that long.
                continue;
            }
            return Err(
                Diagnostic::error(source, span, "neither a section nor a setting")
                    .help("write `key = value`"),
            );
        };
        let key = line[..separator].trim();
        let value = line[separator + 1..].trim();
        if key.is_empty() {
            return Err(Diagnostic::error(source, span, "a value without its key"));
        }
        let shown = if value.is_empty() { key } else { value };
        ini.entries.push(Entry {
            section,
            key,
            value,
            span: span_of(source.text, shown),
        });
    }
    Ok(ini)
}

/// Where a part of a text stands in it.
fn span_of(text: &str, part: &str) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    start..start + part.len()
}
