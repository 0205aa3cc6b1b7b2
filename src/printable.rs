//! Text of others, fit to be printed: names, paths, messages that quote what they found.
//!
//! A terminal obeys control characters (ECMA-48's C0 and C1, with which every sequence begins),
//! lines of a log can be forged with line feeds, and Unicode's directional formatting (its annex 9)
//! makes text read as what it is not. They are shown as Rust writes them: `\n`, `\u{202e}`.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Whether a character is shown as an escape: it does something instead of being seen. Tabs are
/// harmless.
pub fn is_active(c: char) -> bool {
    (c.is_control() && c != '\t')
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// The text as one line.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, is_active)
}

/// The text with its line feeds.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| is_active(c) && c != '\n')
}

/// At most so many characters of the text, and dots where there are more.
pub fn short(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_string(),
    }
}

fn escaped(text: &str, active: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&active) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            // Writing into a string does not fail.
            '\n' | '\r' | '\0' if active(c) => drop(write!(shown, "{}", c.escape_debug())),
            c if active(c) => drop(write!(shown, "{}", c.escape_unicode())),
            c => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_shown_and_what_is_read_stays() {
        for (text, as_line, as_lines) in [
            (
                "/a b/ä-名前.ks\t1",
                "/a b/ä-名前.ks\t1",
                "/a b/ä-名前.ks\t1",
            ),
            ("a\nerror: b", "a\\nerror: b", "a\nerror: b"),
            ("a\r\0", "a\\r\\0", "a\\r\\0"),
            ("\u{1b}]0;x\u{7}", "\\u{1b}]0;x\\u{7}", "\\u{1b}]0;x\\u{7}"),
            ("\u{9b}2J", "\\u{9b}2J", "\\u{9b}2J"),
            ("\u{202e}gnp.exe", "\\u{202e}gnp.exe", "\\u{202e}gnp.exe"),
            ("\u{2067}\u{61c}", "\\u{2067}\\u{61c}", "\\u{2067}\\u{61c}"),
        ] {
            assert_eq!(line(text), as_line);
            assert_eq!(lines(text), as_lines);
        }
    }
}
