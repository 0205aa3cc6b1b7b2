//! Lines that are added to a kickstart, in the way in which it is written.

/// The line end that a text uses: that of its first line.
fn line_end(text: &str) -> &'static str {
    match text.find(['\n', '\r']) {
        Some(at) if text[at..].starts_with("\r\n") => "\r\n",
        _ => "\n",
    }
}

/// A line to be inserted at byte `at` of a text, where a line begins or the text ends.
pub fn line_at(text: &str, at: usize, line: &str) -> String {
    let end = line_end(text);
    let starts_line = at == 0 || text[..at].ends_with(['\n', '\r', '\u{feff}']);
    if starts_line {
        format!("{line}{end}")
    } else {
        // The text has no line end at its end, and gets none.
        format!("{end}{line}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_as_the_text_does() {
        assert_eq!(line_at("a\r\nb\r\n", 3, "x"), "x\r\n");
        assert_eq!(line_at("a\nb", 3, "x"), "\nx");
        assert_eq!(line_at("", 0, "x"), "x\n");
        assert_eq!(line_at("\u{feff}", 3, "x"), "x\n");
    }
}
