//! White space and lines as Python's `str` sees them: pykickstart takes kickstarts apart with
//! `splitlines`, `strip` and `split`, which know more white space than Unicode's property does.

/// Where `str.splitlines()` ends a line, beside `\r\n`.
const LINE_ENDS: [char; 10] = [
    '\n', '\r', '\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{2028}', '\u{2029}',
];

/// `str.isspace()` of one character.
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// `str.strip()`
pub fn trim(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// `str.lstrip()`
pub fn trim_start(text: &str) -> &str {
    text.trim_start_matches(is_space)
}

/// `str.split()`
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

/// The first of [`words`], or nothing.
pub fn first_word(text: &str) -> &str {
    words(text).next().unwrap_or_default()
}

/// `str.splitlines(True)`: the lines with their ends.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let line = &rest[..first_line(rest)?];
        rest = &rest[line.len()..];
        Some(line)
    })
}

/// The length of the first line with its end, in bytes; none of an empty text.
pub fn first_line(text: &str) -> Option<usize> {
    if text.is_empty() {
        return None;
    }
    Some(match text.find(LINE_ENDS) {
        None => text.len(),
        Some(at) if text[at..].starts_with("\r\n") => at + 2,
        Some(at) => at + text[at..].chars().next().map_or(0, char::len_utf8),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // What Python 3.11 answered.
    #[test]
    fn space_is_that_of_python() {
        let all = (0..=u32::from(char::MAX)).filter_map(char::from_u32);
        assert_eq!(all.filter(|c| is_space(*c)).count(), 29);
        assert!(!is_space('\u{200b}') && !is_space('\u{feff}') && is_space('\u{a0}'));
        assert_eq!(trim(" \u{1f}a b\u{3000}\n"), "a b");
        assert_eq!(trim_start("\u{1f} a "), "a ");
        let split: Vec<&str> = words("\u{a0}%end\u{2003}x\u{1c}").collect();
        assert_eq!(split, ["%end", "x"]);
        assert_eq!(first_word(" \t"), "");
    }

    #[test]
    fn lines_end_where_python_ends_them() {
        let text = "a\r\nb\rc\n\u{b}d\u{2028}e\u{1f}f\u{85}";
        let split: Vec<&str> = lines(text).collect();
        assert_eq!(
            split,
            [
                "a\r\n",
                "b\r",
                "c\n",
                "\u{b}",
                "d\u{2028}",
                "e\u{1f}f\u{85}"
            ]
        );
        assert_eq!(lines("").count(), 0);
    }
}
