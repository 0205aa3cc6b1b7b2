//! Findings about a text that a person wrote: where, what, and what to do.
//!
//! Parsers make [`Diagnostic`]s from byte offsets into a [`Source`]; the layout with the caret is
//! made in [`layout`] once, so that templates, kickstarts and configuration files all read alike.

pub mod layout;

use std::fmt;
use std::ops::Range;

use layout::Colours;

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

impl Source<'_> {
    /// Line and column of a byte, both from 1, the column in characters. An offset past the end
    /// means the end.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let offset = floor_char_boundary(self.text, offset.min(self.text.len()));
        let before = &self.text[..offset];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (
            before.matches('\n').count() + 1,
            before[line_start..].chars().count() + 1,
        )
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Works, but probably not as meant.
    Warning,
    /// Refused.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        })
    }
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
    /// The certain remedy, if there is one: edits of the same text.
    pub fix: Vec<Edit>,
    whole_file: bool,
    excerpt: String,
    caret_start: usize,
    caret_width: usize,
}

impl Diagnostic {
    /// A refusal of the bytes `span` of `source`. Offsets past the end mean the end.
    pub fn error(source: Source<'_>, span: Range<usize>, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, source, span, message)
    }

    /// A warning about the bytes `span` of `source`.
    pub fn warning(source: Source<'_>, span: Range<usize>, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, source, span, message)
    }

    /// Something worth knowing about the bytes `span` of `source`.
    pub fn note(source: Source<'_>, span: Range<usize>, message: impl Into<String>) -> Self {
        Self::new(Severity::Note, source, span, message)
    }

    /// A finding of the given severity.
    pub fn of(
        severity: Severity,
        source: Source<'_>,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> Self {
        Self::new(severity, source, span, message)
    }

    /// A finding about a text as a whole, which no line of it shows: it cannot be read, say.
    pub fn of_file(severity: Severity, name: &str, message: impl Into<String>) -> Self {
        let source = Source { name, text: "" };
        Diagnostic {
            whole_file: true,
            ..Self::new(severity, source, 0..0, message)
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

    /// Adds an edit to the certain remedy.
    #[must_use]
    pub fn fix(mut self, span: Range<usize>, text: impl Into<String>) -> Self {
        self.fix.push(Edit {
            span,
            text: text.into(),
        });
        self
    }

    /// The offending line as it is shown, and where the carets stand under it, in characters.
    pub fn excerpt(&self) -> (&str, Range<usize>) {
        let carets = self.caret_start..self.caret_start + self.caret_width;
        (&self.excerpt, carets)
    }

    /// Adds what is allowed, or what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    fn new(
        severity: Severity,
        source: Source<'_>,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> Self {
        let text = source.text;
        let start = floor_char_boundary(text, span.start.min(text.len()));
        let end = floor_char_boundary(text, span.end.clamp(start, text.len()));
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..]
            .find('\n')
            .map_or(text.len(), |newline| start + newline);
        let line_text = text[line_start..line_end].trim_end_matches('\r');
        let (line, column) = source.position(start);
        let (end_line, end_column) = source.position(end);
        let width = text[start..end.min(line_end)].chars().count().max(1);

        let (excerpt, caret_start, caret_width) = window(line_text, column - 1, width);
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
            caret_width,
            excerpt,
        }
    }

    /// Hides the secrets of its line: `masked` is shown in place of `line`, and what the message
    /// quotes of one and not of the other is not quoted.
    pub fn conceal(&mut self, line: &str, masked: &str) {
        if line == masked {
            return;
        }
        let (line_length, masked_length) = (line.chars().count(), masked.chars().count());
        let (start, width) = (self.column - 1, self.caret_width);
        let same_before = line
            .chars()
            .zip(masked.chars())
            .take_while(|(a, b)| a == b)
            .count();
        let pairs = line.chars().rev().zip(masked.chars().rev());
        let same_behind = pairs.take_while(|(a, b)| a == b).count();
        let (start, width) = if start + width <= same_before {
            (start, width)
        } else if start >= line_length.saturating_sub(same_behind) {
            ((start + masked_length).saturating_sub(line_length), width)
        } else {
            // Something of what is hidden: from there on.
            let start = start.min(same_before);
            (start, masked_length - start)
        };
        (self.excerpt, self.caret_start, self.caret_width) = window(masked, start, width);
        let shown = |text: &str| {
            let mut quoted = String::new();
            for (place, part) in text.split('`').enumerate() {
                let hidden = place % 2 == 1 && line.contains(part) && !masked.contains(part);
                quoted.push_str(if place > 0 { "`" } else { "" });
                quoted.push_str(if hidden { "***" } else { part });
            }
            quoted
        };
        let (message, help) = (shown(&self.message), self.help.as_deref().map(shown));
        (self.message, self.help) = (message, help);
    }
}

/// The part of a line that is shown, and place and width of the carets under it: all of the line,
/// or a window around the carets when it is too long.
fn window(line: &str, start: usize, width: usize) -> (String, usize, usize) {
    let skipped = if line.chars().count() > MAX_SHOWN {
        (start + 1).saturating_sub(MAX_SHOWN / 2)
    } else {
        0
    };
    let excerpt: String = line
        .chars()
        .skip(skipped)
        .take(MAX_SHOWN)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let start = start - skipped;
    let room = excerpt.chars().count().saturating_sub(start);
    (excerpt, start, width.min(room).max(1))
}

/// `str::floor_char_boundary`, which is newer than our oldest Rust.
fn floor_char_boundary(text: &str, mut index: usize) -> usize {
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
    fn secrets_of_the_line_are_hidden() {
        let text = "user --name=a --password=hunter2 --frob";
        let masked = "user --name=a *** --frob";
        let source = Source { name: "x", text };
        for (quoted, carets) in [
            ("--name=a", "--name=a"),
            ("--frob", "--frob"),
            ("--password=hunter2", "*** --frob"),
            ("hunter2", "*** --frob"),
        ] {
            let at = text.find(quoted).unwrap();
            let message = format!("`{quoted}` of `user` is wrong");
            let mut finding = Diagnostic::error(source, at..at + quoted.len(), message)
                .help(format!("no `{quoted}`"));
            finding.conceal(text, masked);
            let (excerpt, range) = finding.excerpt();
            assert_eq!(excerpt, masked);
            assert_eq!(&excerpt[range], carets);
            let shown = finding.to_string();
            assert!(!shown.contains("hunter2"), "{shown}");
            assert!(shown.contains("`user`"), "{shown}");
            assert_eq!(finding.column, at + 1);
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
}
