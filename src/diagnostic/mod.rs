//! Findings about a text that a person wrote: where, what, and what to do.
//!
//! Parsers make [`Diagnostic`]s from byte offsets into a [`Source`]; the layout with the caret is
//! made in [`layout`] once, so that templates, kickstarts and configuration files all read alike.

pub mod layout;

use std::fmt;
use std::ops::Range;

use layout::Colours;

use crate::printable;

/// Longest part of an offending line that is shown, in characters: a line of a megabyte
/// (base64 in one piece) must not flood a terminal.
const MAX_SHOWN: usize = 160;

/// A text and the name under which its author knows it (a path, or `<stdin>`).
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The name shown in messages.
    pub name: &'a str,
    /// The whole text.
    pub text: &'a str,
}

/// Where the lines of a text start, and how many characters stand before places in it: made once,
/// it finds line and column of any byte without reading the text, or a long line of it, again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines {
    starts: Vec<usize>,
    /// Characters before each block of [`BLOCK`] bytes.
    characters: Vec<usize>,
}

/// Bytes of which the characters are counted at once.
const BLOCK: usize = 256;

/// How many characters begin in these bytes of UTF-8.
fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

impl Lines {
    /// The lines of a text.
    pub fn of(text: &str) -> Lines {
        let behind = text.match_indices('\n').map(|(at, _)| at + 1);
        let mut before = 0;
        let blocks = text.as_bytes().chunks(BLOCK).map(|block| {
            before += characters(block);
            before
        });
        Lines {
            characters: std::iter::once(0).chain(blocks).collect(),
            starts: std::iter::once(0).chain(behind).collect(),
        }
    }

    /// The number of the line that a byte is in, from 1.
    pub fn number(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset)
    }

    /// The bytes of a line of `text`, counted from 1, without its line feed.
    pub fn span(&self, text: &str, number: usize) -> Option<Range<usize>> {
        let start = *self.starts.get(number.checked_sub(1)?)?;
        let end = self.starts.get(number).map_or(text.len(), |next| next - 1);
        Some(start..end)
    }

    /// Line and column of a byte, both from 1, the column in characters. An offset past the end
    /// means the end.
    pub fn position(&self, text: &str, offset: usize) -> (usize, usize) {
        let offset = floor_char_boundary(text, offset);
        let before = |offset: usize| {
            let block = offset / BLOCK;
            self.characters[block] + characters(&text.as_bytes()[block * BLOCK..offset])
        };
        let number = self.number(offset);
        (number, before(offset) - before(self.starts[number - 1]) + 1)
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, strum::Display)]
#[strum(serialize_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Works, but probably not as meant.
    Warning,
    /// Refused.
    Error,
}

/// A change of a text: the bytes `span` give way to `text`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Which bytes of the text; empty to insert.
    pub span: Range<usize>,
    /// What stands there afterwards.
    pub text: String,
}

/// One finding, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The rule that found it (`KS101`), where it has a name to be explained and allowed by.
    pub id: Option<&'static str>,
    /// Name of the text.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Line of the end of the place.
    pub end_line: usize,
    /// Column behind the end of the place.
    pub end_column: usize,
    /// One sentence that names the cause.
    pub message: String,
    /// What is allowed, or what to do.
    pub help: Option<String>,
    /// How the text came to be read: "included at line 3 of main.ks", the nearest first.
    pub notes: Vec<String>,
    /// The certain fix, if there is one: edits of the same text.
    pub fix: Vec<Edit>,
    whole_file: bool,
    excerpt: String,
    /// Where the excerpt begins in the text, in bytes.
    excerpt_start: usize,
    caret_start: usize,
    caret_width: usize,
}

impl Diagnostic {
    /// A refusal of the bytes `span` of `source`. Offsets past the end mean the end.
    pub fn error(source: Source<'_>, span: Range<usize>, message: impl Into<String>) -> Self {
        Self::of(Severity::Error, source, span, message)
    }

    /// A warning about the bytes `span` of `source`.
    pub fn warning(source: Source<'_>, span: Range<usize>, message: impl Into<String>) -> Self {
        Self::of(Severity::Warning, source, span, message)
    }

    /// Something worth knowing about the bytes `span` of `source`.
    pub fn note(source: Source<'_>, span: Range<usize>, message: impl Into<String>) -> Self {
        Self::of(Severity::Note, source, span, message)
    }

    /// A finding of the given severity.
    pub fn of(
        severity: Severity,
        source: Source<'_>,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> Self {
        Self::within(severity, source, &Lines::of(source.text), span, message)
    }

    /// A finding of the given severity in a text whose lines are known, as they should be where
    /// there may be thousands of findings.
    pub fn within(
        severity: Severity,
        source: Source<'_>,
        lines: &Lines,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> Self {
        let text = source.text;
        let start = floor_char_boundary(text, span.start);
        let end = floor_char_boundary(text, span.end.max(start));
        let (line, column) = lines.position(text, start);
        let (end_line, end_column) = lines.position(text, end);
        let of_line = lines.span(text, line).unwrap_or_default();
        let line_text = text[of_line.clone()].trim_end_matches('\r');
        let width = text[start..end.min(of_line.end)]
            .chars()
            .take(MAX_SHOWN)
            .count();
        // A window around the caret where the line is too long to be shown whole.
        let is_long = line_text.chars().nth(MAX_SHOWN).is_some();
        let caret_start = match is_long {
            true => (column - 1).min(MAX_SHOWN / 2 - 1),
            false => column - 1,
        };
        let before = text[of_line.start..start].char_indices().rev();
        let skipped = before
            .take(caret_start)
            .last()
            .map_or(start - of_line.start, |(at, _)| at);
        let excerpt: String = line_text[skipped.min(line_text.len())..]
            .chars()
            .take(MAX_SHOWN)
            .map(shown)
            .collect();
        let left = excerpt.chars().count().saturating_sub(caret_start);
        Diagnostic {
            severity,
            id: None,
            file: source.name.to_string(),
            line,
            column,
            end_line,
            end_column,
            message: message.into(),
            help: None,
            notes: Vec::new(),
            fix: Vec::new(),
            whole_file: false,
            caret_start,
            caret_width: width.min(left).max(1),
            excerpt_start: of_line.start + skipped,
            excerpt,
        }
    }

    /// A finding about a text as a whole, which no line of it shows: it cannot be read, say.
    pub fn of_file(severity: Severity, name: &str, message: impl Into<String>) -> Self {
        let source = Source { name, text: "" };
        Diagnostic {
            whole_file: true,
            ..Self::of(severity, source, 0..0, message)
        }
    }

    /// Whether it is about the text as a whole; line and column are 1 then.
    pub fn is_about_whole_file(&self) -> bool {
        self.whole_file
    }

    /// Names the rule that found it.
    #[must_use]
    pub fn id(mut self, id: &'static str) -> Self {
        self.id = Some(id);
        self
    }

    /// Adds an edit to the certain fix.
    #[must_use]
    pub fn fix(mut self, span: Range<usize>, text: impl Into<String>) -> Self {
        self.fix.push(Edit {
            span,
            text: text.into(),
        });
        self
    }

    /// All of it in one line: message, place, remedy.
    pub fn in_one_line(&self) -> String {
        let id = self.id.map(|id| format!(" [{id}]")).unwrap_or_default();
        let place = match self.whole_file {
            true => self.file.clone(),
            false => format!("{}:{}", self.file, self.line),
        };
        let help = self.help.as_deref().unwrap_or_default();
        let help = if help.is_empty() {
            String::new()
        } else {
            format!("; {help}")
        };
        format!("{place}: {}{help}{id}", self.message)
    }

    /// The offending line as it is shown, and where the carets stand under it, in characters.
    pub fn excerpt(&self) -> (&str, Range<usize>) {
        let carets = self.caret_start..self.caret_start + self.caret_width;
        (&self.excerpt, carets)
    }

    /// Shows `*` for each character at a secret place of the text that it is about.
    pub fn hide(&mut self, text: &str, is_secret: impl Fn(usize) -> bool) {
        let line = text.get(self.excerpt_start..).unwrap_or_default();
        let places = line.char_indices().map(|(at, _)| self.excerpt_start + at);
        let characters = self.excerpt.chars().zip(places);
        self.excerpt = characters
            .map(|(c, at)| if is_secret(at) { '*' } else { c })
            .collect();
    }

    /// Adds what is allowed, or what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// A character as it is shown.
fn shown(c: char) -> char {
    match c {
        '\t' => ' ',
        // A byte that is no UTF-8, as `kickstart::scan` decodes it.
        '\u{10fe00}'..='\u{10feff}' => char::REPLACEMENT_CHARACTER,
        c if printable::is_active(c) => ' ',
        c => c,
    }
}

/// `str::floor_char_boundary`, which is newer than our oldest Rust.
fn floor_char_boundary(text: &str, index: usize) -> usize {
    let mut index = index.min(text.len());
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        layout::write(self, &Colours::OFF, f)
    }
}

impl std::error::Error for Diagnostic {}

/// A text with the edits of findings about it made, and how many findings were fixed.
///
/// Everything else stays as it is, byte for byte. Of findings whose edits overlap the first one
/// counts: the other is found again in what comes out, if it is still there. The findings must be
/// those of this text, not of one that includes it or that it includes.
pub fn apply_fixes(text: &str, findings: &[Diagnostic]) -> (String, usize) {
    let mut edits: Vec<&Edit> = Vec::new();
    let mut fixed = 0;
    for finding in findings.iter().filter(|finding| !finding.fix.is_empty()) {
        // The same line may be removed for two reasons.
        if finding.fix.iter().all(|edit| edits.contains(&edit)) {
            fixed += 1;
            continue;
        }
        let clashes = |edit: &Edit| {
            let beyond = text.get(edit.span.clone()).is_none();
            beyond || edits.iter().any(|other| overlap(edit, other))
        };
        if !finding.fix.iter().any(clashes) {
            edits.extend(&finding.fix);
            fixed += 1;
        }
    }
    // Insertions at one place stay in their order.
    edits.sort_by_key(|edit| (edit.span.start, edit.span.end));
    let mut made = String::with_capacity(text.len() + 64);
    let mut at = 0;
    for edit in edits {
        made.push_str(&text[at..edit.span.start]);
        made.push_str(&edit.text);
        at = edit.span.end;
    }
    made.push_str(&text[at..]);
    (made, fixed)
}

fn overlap(one: &Edit, other: &Edit) -> bool {
    one.span.start < other.span.end && other.span.start < one.span.end
        || (one.span.start > other.span.start && one.span.end < other.span.end)
        || (other.span.start > one.span.start && other.span.end < one.span.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_line_with_a_caret() {
        let source = Source {
            name: "a.tdl",
            text: "<disk>\n  <size>10E</size>\n</disk>\n",
        };
        let at = source.text.find("10E").unwrap();
        let finding = Diagnostic::error(source, at..at + 3, "disk size `10E` has no known unit")
            .help("write a number and a unit such as `10G`");
        assert_eq!(
            finding.to_string(),
            "error: disk size `10E` has no known unit\n --> a.tdl:2:9\n  |\n2 |   <size>10E</size>\n  |         ^^^\n  = help: write a number and a unit such as `10G`"
        );
    }

    #[test]
    fn the_lines_of_a_text_are_found_at_once() {
        let long = "äbc\n".repeat(200) + &"é€x".repeat(300);
        for text in ["", "a", "a\n", "ä\n\nb\r\nc", "\n\n", &long] {
            let lines = Lines::of(text);
            for offset in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
                let before = text[..offset].rsplit('\n').next().unwrap_or_default();
                let line = text[..offset].matches('\n').count() + 1;
                let expected = (line, before.chars().count() + 1);
                assert_eq!(lines.position(text, offset), expected, "{offset}");
            }
            for (index, line) in text.split('\n').enumerate() {
                assert_eq!(&text[lines.span(text, index + 1).unwrap()], line);
            }
            assert_eq!(lines.span(text, 0), None);
            assert_eq!(lines.span(text, text.split('\n').count() + 1), None);
        }
    }

    #[test]
    fn survives_offsets_that_are_off() {
        let source = Source {
            name: "x",
            text: "äö\nü",
        };
        for start in 0..10 {
            for end in 0..10 {
                let shown = Diagnostic::error(source, start..end, "m").to_string();
                assert!(shown.contains('^'), "{shown}");
            }
        }
    }

    #[test]
    fn a_huge_line_is_shown_as_a_window() {
        let text = format!("{}!{}", "a".repeat(5000), "b".repeat(5000));
        let source = Source {
            name: "x",
            text: &text,
        };
        let shown = Diagnostic::error(source, 5000..5001, "m").to_string();
        assert!(shown.len() < 1000);
        let lines: Vec<&str> = shown.lines().collect();
        let caret = lines[4].find('^').unwrap();
        assert_eq!(&lines[3][caret..=caret], "!");
    }

    fn finding(text: &str) -> Diagnostic {
        Diagnostic::error(Source { name: "t", text }, 0..0, "m")
    }

    #[test]
    fn nothing_else_is_touched() {
        for (text, span, with, expected) in [
            ("a\r\nb\r\nc", 3..6, "", "a\r\nc"),
            ("\u{feff}text\n", 0..3, "", "text\n"),
            ("ä ö ü", 3..5, "x", "ä x ü"),
            ("a", 1..1, "\nb", "a\nb"),
            ("a\t \n\n", 0..1, "b", "b\t \n\n"),
        ] {
            let findings = [finding(text).fix(span, with), finding(text)];
            assert_eq!(apply_fixes(text, &findings), (expected.to_string(), 1));
        }
        let text = "a\r\n\0\u{b}b";
        assert_eq!(apply_fixes(text, &[finding(text)]), (text.to_string(), 0));
    }

    #[test]
    fn edits_that_overlap_are_not_mixed() {
        let text = "abcdef";
        let findings = [
            finding(text).fix(1..3, "X"),
            finding(text).fix(2..4, "Y"),
            finding(text).fix(3..4, "Z").fix(6..6, "!"),
            finding(text).fix(1..3, "X"),
            finding(text).fix(9..10, "far"),
        ];
        assert_eq!(apply_fixes(text, &findings), ("aXZef!".to_string(), 3));
    }

    #[test]
    fn insertions_at_one_place_keep_their_order() {
        let text = "ab";
        let findings = [finding(text).fix(1..1, "1"), finding(text).fix(1..1, "2")];
        assert_eq!(apply_fixes(text, &findings), ("a12b".to_string(), 2));
        let findings = [finding(text).fix(1..2, ""), finding(text).fix(1..1, "2")];
        assert_eq!(apply_fixes(text, &findings), ("a2".to_string(), 2));
    }
}
