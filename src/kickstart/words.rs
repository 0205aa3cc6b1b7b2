//! A line into words, as the installer does it.
//!
//! pykickstart splits every line with Python's `shlex.split(line, comments=True)` (POSIX rules):
//! `'...'` is literal, `"..."` knows `\"` and `\\`, a backslash outside quotes takes the next
//! character as it is, and an unquoted `#` starts a comment **even inside a word**, so that
//! `rootpw a#b` sets the password `a`. A line never continues on the next one.
//!
//! Before that it takes kickstarts apart with `splitlines`, `strip` and `split` of Python's `str`,
//! which know more white space than Unicode's property does.

use std::ops::Range;

/// One word of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// The word without its quotes and escapes.
    pub text: String,
    /// Where it stands in the text, with its quotes and escapes, in bytes.
    pub span: Range<usize>,
}

impl Word {
    /// The option name without dashes, if the word is an option: `name` of `--name=value`.
    pub fn option_name(&self) -> Option<&str> {
        let rest = self.text.strip_prefix("--")?;
        let name = rest.split('=').next().unwrap_or_default();
        (!name.is_empty()).then_some(name)
    }

    /// The value after `=`, if the word is an option that has one.
    pub fn option_value(&self) -> Option<&str> {
        self.option_name()?;
        self.text.split_once('=').map(|(_, value)| value)
    }
}

/// Why a line could not be split; the place is in bytes of the whole text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SplitError {
    /// A quote was opened here and never closed on this line.
    UnclosedQuote(Range<usize>),
    /// The backslash here is the last character of the text.
    NothingEscaped(Range<usize>),
}

/// Whether an unquoted `#` starts a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comments {
    /// As in commands and section headers.
    Allowed,
    /// As in the `%end` and `%include` lines of a section's body.
    Literal,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Between,
    Word,
    Quoted(char),
}

/// Splits `line`, which starts at byte `offset` of the whole text and still has its line end.
///
/// # Errors
/// An unclosed quote, or a backslash with nothing after it.
pub fn split(line: &str, offset: usize, comments: Comments) -> Result<Vec<Word>, SplitError> {
    let mut words = Vec::new();
    let mut state = State::Between;
    let mut text = String::new();
    let mut start = 0;
    let mut opened = 0;
    let mut chars = line.char_indices();
    while let Some((at, c)) = chars.next() {
        // White space and comments end a word; everything else makes or continues one.
        if !matches!(state, State::Quoted(_)) {
            let comment = c == '#' && comments == Comments::Allowed;
            if comment || matches!(c, ' ' | '\t' | '\r' | '\n') {
                if state == State::Word {
                    words.push(Word {
                        text: std::mem::take(&mut text),
                        span: offset + start..offset + at,
                    });
                }
                state = State::Between;
                if comment {
                    break;
                }
                continue;
            }
            if state == State::Between {
                start = at;
                state = State::Word;
            }
        }
        match (state, c) {
            (State::Quoted(quote), c) if c == quote => state = State::Word,
            (State::Quoted('\''), c) => text.push(c),
            (_, '\\') => {
                let Some((_, escaped)) = chars.next() else {
                    return Err(SplitError::NothingEscaped(offset + at..offset + at + 1));
                };
                // Within double quotes only the quote and the backslash can be escaped.
                if matches!(state, State::Quoted(_)) && !matches!(escaped, '"' | '\\') {
                    text.push('\\');
                }
                text.push(escaped);
            }
            (State::Quoted(_), c) => text.push(c),
            (_, quote @ ('\'' | '"')) => {
                opened = at;
                state = State::Quoted(quote);
            }
            (_, c) => text.push(c),
        }
    }
    match state {
        State::Quoted(_) => Err(SplitError::UnclosedQuote(
            offset + opened..offset + line.trim_end().len().max(opened + 1),
        )),
        State::Word => {
            words.push(Word {
                text,
                span: offset + start..offset + line.len(),
            });
            Ok(words)
        }
        State::Between => Ok(words),
    }
}

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
pub fn split_blanks(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|word| !word.is_empty())
}

/// The first of [`split_blanks`], or nothing.
pub fn first_word(text: &str) -> &str {
    split_blanks(text).next().unwrap_or_default()
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

    fn texts(line: &str) -> Vec<String> {
        split(line, 0, Comments::Allowed)
            .unwrap()
            .into_iter()
            .map(|word| word.text)
            .collect()
    }

    // The right column is what Python 3.11's `shlex.split(line, comments=True)` answered.
    #[test]
    fn splits_as_python_does() {
        let table: &[(&str, &[&str])] = &[
            ("rootpw a#b c\n", &["rootpw", "a"]),
            ("a 'b # c' d", &["a", "b # c", "d"]),
            (r#"a "b \" \\ \n" c"#, &["a", r#"b " \ \n"#, "c"]),
            (r"a '\' b", &["a", r"\", "b"]),
            (r"a\ b c", &["a b", "c"]),
            ("a'b'\"c\"d", &["abcd"]),
            ("'' a \"\"", &["", "a", ""]),
            ("a \\\n", &["a", "\n"]),
            ("  # all comment", &[]),
            ("a\u{a0}b", &["a\u{a0}b"]),
            ("a''#x", &["a"]),
            ("''#x", &[""]),
        ];
        for (line, expected) in table {
            assert_eq!(&texts(line), expected, "{line:?}");
        }
    }

    #[test]
    fn words_know_where_they_stand() {
        let line = "user --name='ä b' x\n";
        let words = split(line, 100, Comments::Allowed).unwrap();
        let raw: Vec<&str> = words
            .iter()
            .map(|word| &line[word.span.start - 100..word.span.end - 100])
            .collect();
        assert_eq!(raw, ["user", "--name='ä b'", "x"]);
        assert_eq!(words[1].option_name(), Some("name"));
        assert_eq!(words[1].option_value(), Some("ä b"));
    }

    #[test]
    fn broken_lines_name_the_place() {
        assert_eq!(
            split("a 'b c\n", 10, Comments::Allowed),
            Err(SplitError::UnclosedQuote(12..16))
        );
        assert_eq!(
            split("a \\", 0, Comments::Allowed),
            Err(SplitError::NothingEscaped(2..3))
        );
        assert!(split("%end # don't\n", 0, Comments::Literal).is_err());
        assert!(split("%end # don't\n", 0, Comments::Allowed).is_ok());
    }

    // What Python 3.11 answered.
    #[test]
    fn space_is_that_of_python() {
        let all = (0..=u32::from(char::MAX)).filter_map(char::from_u32);
        assert_eq!(all.filter(|c| is_space(*c)).count(), 29);
        assert!(!is_space('\u{200b}') && !is_space('\u{feff}') && is_space('\u{a0}'));
        assert_eq!(trim(" \u{1f}a b\u{3000}\n"), "a b");
        assert_eq!(trim_start("\u{1f} a "), "a ");
        let split: Vec<&str> = split_blanks("\u{a0}%end\u{2003}x\u{1c}").collect();
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
