//! The commands of a shell script, as far as its text shows them: no shell, but one that knows
//! quotes, comments, here-documents, substitutions and what stands between commands.

use std::ops::Range;

/// What joins a command to the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joint {
    /// A line end, `;`, a bracket, or the end of the script.
    End,
    /// `&&`
    And,
    /// `||`
    Or,
    /// `|`
    Pipe,
    /// `&`
    Background,
}

/// One command with its words.
#[derive(Debug)]
pub struct Command<'a> {
    /// Words as written, with their quotes; redirections are words, too. Assignments and words
    /// such as `then` and `sudo` before the command are left out.
    pub words: Vec<&'a str>,
    /// Where the words stand, in bytes of the text that the script is part of.
    pub span: Range<usize>,
    /// What stands before it.
    pub before: Joint,
    /// What stands behind it.
    pub after: Joint,
    /// A word such as `if` or `while` asks for its status.
    pub is_condition: bool,
    /// It stands in `$(…)`: the first word of the command around it.
    pub within: Option<&'a str>,
}

/// Deepest nesting of substitutions that is followed.
const MAX_DEPTH: usize = 16;

/// Words before a command that ask for its status.
const CONDITIONS: [&str; 5] = ["if", "elif", "while", "until", "!"];

/// Words before a command that do nothing to it.
const PREFIXES: [&str; 10] = [
    "then", "do", "else", "{", "time", "sudo", "exec", "command", "nohup", "env",
];

impl<'a> Command<'a> {
    /// The name of the program, without its folder.
    pub fn name(&self) -> &'a str {
        let first = self.words.first().copied().unwrap_or_default();
        first.rsplit('/').next().unwrap_or_default()
    }

    /// The words behind the name, without redirections and quotes around them.
    pub fn arguments(&self) -> impl Iterator<Item = &'a str> {
        let words = self.words.iter().skip(1).copied();
        words
            .filter(|word| {
                !word
                    .trim_start_matches(|c: char| c.is_ascii_digit())
                    .starts_with(['<', '>', '&'])
            })
            .map(|word| word.trim_matches(['"', '\'']))
    }

    /// Whether a short option such as `f` is among the words, or one of the long ones.
    pub fn has(&self, short: char, long: &[&str]) -> bool {
        self.arguments().any(|word| match word.strip_prefix("--") {
            Some(name) => long.contains(&name.split('=').next().unwrap_or_default()),
            None => word.starts_with('-') && word.contains(short),
        })
    }

    /// Whether its output or input is redirected with this sign.
    pub fn is_redirected(&self, sign: char) -> bool {
        self.words
            .iter()
            .any(|word| !word.starts_with(['"', '\'']) && word.contains(sign))
    }
}

/// The commands of `script`, which begins at byte `offset` of a text, in their order; those of a
/// substitution come before the command that has it.
pub fn commands(script: &str, offset: usize) -> Vec<Command<'_>> {
    let mut reader = Reader {
        script,
        offset,
        at: 0,
        documents: Vec::new(),
        found: Vec::new(),
    };
    reader.list(None, None, 0);
    reader.found
}

struct Reader<'a> {
    script: &'a str,
    offset: usize,
    at: usize,
    /// The words that end the here-documents of this line.
    documents: Vec<String>,
    found: Vec<Command<'a>>,
}

/// Longest expansion, in bytes: one that never ends must not be searched again and again.
const MAX_EXPANSION: usize = 256;

/// Behind the first `close` in the text.
fn end_of(text: &str, close: &str) -> Option<usize> {
    let near = &text.as_bytes()[..text.len().min(MAX_EXPANSION)];
    let mut places = near.windows(close.len());
    Some(places.position(|part| part == close.as_bytes())? + close.len())
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.script.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a str {
        self.script.get(self.at..).unwrap_or_default()
    }

    /// Reads commands up to `close`.
    fn list(&mut self, close: Option<u8>, within: Option<&'a str>, depth: usize) {
        let mut words: Vec<Range<usize>> = Vec::new();
        let mut before = Joint::End;
        loop {
            let Some(byte) = self.peek() else {
                self.end(&mut words, &mut before, Joint::End, within);
                return;
            };
            if Some(byte) == close {
                self.at += 1;
                self.end(&mut words, &mut before, Joint::End, within);
                return;
            }
            let rest = self.rest();
            let (joint, length) = match byte {
                b' ' | b'\t' | b'\r' => {
                    self.at += 1;
                    continue;
                }
                b'\\' if rest.starts_with("\\\n") => {
                    self.at += 2;
                    continue;
                }
                b'#' => {
                    self.at += rest.find('\n').unwrap_or(rest.len());
                    continue;
                }
                b'\n' => {
                    self.end(&mut words, &mut before, Joint::End, within);
                    self.at += 1;
                    self.skip_documents();
                    continue;
                }
                b';' | b'(' | b')' => (Joint::End, 1),
                b'&' if rest.starts_with("&&") => (Joint::And, 2),
                b'&' if !rest.starts_with("&>") => (Joint::Background, 1),
                b'|' if rest.starts_with("||") => (Joint::Or, 2),
                b'|' => (Joint::Pipe, 1 + usize::from(rest.starts_with("|&"))),
                _ => {
                    let start = self.at;
                    let first = words.first().map(|word| &self.script[word.clone()]);
                    self.word(close, first, depth);
                    words.push(start..self.at);
                    continue;
                }
            };
            self.at += length;
            // What stands behind `&&` and the like may stand on the next line.
            let empty = words.is_empty();
            self.end(&mut words, &mut before, joint, within);
            if joint != Joint::End && !empty {
                while self.peek().is_some_and(|byte| byte.is_ascii_whitespace())
                    && self.documents.is_empty()
                {
                    self.at += 1;
                }
            }
        }
    }

    /// Reads one word; `first` is the command's.
    fn word(&mut self, close: Option<u8>, first: Option<&'a str>, depth: usize) {
        let start = self.at;
        if self.rest().starts_with("<<") && !self.rest().starts_with("<<<") {
            self.document();
            return;
        }
        let mut quoted = false;
        while let Some(byte) = self.peek() {
            let rest = self.rest();
            let first = || first.unwrap_or(&self.script[start..self.at]);
            match byte {
                b'\\' => self.at += 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
                b'"' => {
                    quoted = !quoted;
                    self.at += 1;
                }
                b'\'' if !quoted => {
                    self.at += 2 + rest[1..].find('\'').unwrap_or(rest.len().saturating_sub(2))
                }
                b'$' if rest.starts_with("$((") => self.at += end_of(rest, "))").unwrap_or(3),
                b'$' if rest.starts_with("${") => self.at += end_of(rest, "}").unwrap_or(2),
                b'$' if rest.starts_with("$(") && depth < MAX_DEPTH => {
                    let first = first();
                    self.at += 2;
                    self.list(Some(b')'), Some(first), depth + 1);
                }
                b'`' if close != Some(b'`') && depth < MAX_DEPTH => {
                    let first = first();
                    self.at += 1;
                    self.list(Some(b'`'), Some(first), depth + 1);
                }
                _ if quoted => self.at += rest.chars().next().map_or(1, char::len_utf8),
                b' ' | b'\t' | b'\r' | b'\n' | b';' | b'|' | b'(' | b')' => break,
                // `2>&1` and `>&2` are words.
                b'&' if !self.script[start..self.at].ends_with(['>', '<'])
                    && !rest.starts_with("&>") =>
                {
                    break;
                }
                b'`' if close == Some(b'`') => break,
                _ => self.at += rest.chars().next().map_or(1, char::len_utf8),
            }
        }
        self.at = self.at.min(self.script.len());
        // Whatever it was, it must not be read for ever.
        if self.at == start {
            self.at += 1;
        }
    }

    /// Reads `<<WORD`.
    fn document(&mut self) {
        let rest = self.rest();
        let word = rest[2..]
            .trim_start_matches('-')
            .trim_start_matches([' ', '\t']);
        let end = word.find(|c: char| c.is_whitespace() || ";|&<>)".contains(c));
        let word = &word[..end.unwrap_or(word.len())];
        self.documents.push(word.replace(['\'', '"', '\\'], ""));
        self.at = self.offset_of(word) + word.len();
    }

    fn offset_of(&self, part: &str) -> usize {
        part.as_ptr().addr() - self.script.as_ptr().addr()
    }

    /// Behind a line end: leaves out the here-documents that the line opened.
    fn skip_documents(&mut self) {
        for end in std::mem::take(&mut self.documents) {
            let rest = self.rest();
            let mut length = 0;
            for line in rest.split_inclusive('\n') {
                length += line.len();
                if line.trim() == end {
                    break;
                }
            }
            self.at += length;
        }
    }

    fn end(
        &mut self,
        words: &mut Vec<Range<usize>>,
        before: &mut Joint,
        after: Joint,
        within: Option<&'a str>,
    ) {
        let places = std::mem::take(words);
        let stood = std::mem::replace(before, after);
        let mut is_condition = false;
        let is_assignment = |word: &str| {
            let name = word.split('=').next().unwrap_or_default();
            word.contains('=')
                && !name.is_empty()
                && name.chars().all(|c| c.is_alphanumeric() || c == '_')
        };
        let rest = places.iter().position(|place| {
            let word = &self.script[place.clone()];
            is_condition |= CONDITIONS.contains(&word);
            !(CONDITIONS.contains(&word) || PREFIXES.contains(&word) || is_assignment(word))
        });
        // A lone assignment is a command of its own, with the status of its substitution.
        let Some((first, last)) = rest.and_then(|rest| Some((rest, places.last()?))) else {
            return;
        };
        self.found.push(Command {
            words: places[first..]
                .iter()
                .map(|place| &self.script[place.clone()])
                .collect(),
            span: self.offset + places[0].start..self.offset + last.end,
            before: stood,
            after,
            is_condition,
            within,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each command with its words joined, and what joins it to the next.
    fn read(script: &str) -> Vec<(String, Joint)> {
        let found = commands(script, 0);
        found
            .iter()
            .map(|command| (command.words.join(" "), command.after))
            .collect()
    }

    #[test]
    fn commands_are_told_apart() {
        use Joint::{And, Background, End, Or, Pipe};
        for (script, expected) in [
            ("a b; c\n", vec![("a b", End), ("c", End)]),
            (
                "a && b || c | d & e",
                vec![
                    ("a", And),
                    ("b", Or),
                    ("c", Pipe),
                    ("d", Background),
                    ("e", End),
                ],
            ),
            ("a \\\n  b # c\n#d\n", vec![("a b", End)]),
            ("a 'x; y' \"z | w\"", vec![("a 'x; y' \"z | w\"", End)]),
            ("a 2>&1 >&2 &>x\n", vec![("a 2>&1 >&2 &>x", End)]),
            (
                "cat <<E >x\nread y\nE\nb",
                vec![("cat <<E >x", End), ("b", End)],
            ),
            ("X=1 sudo a", vec![("a", End)]),
            (
                "a $(b | c) \"$(d)\" `e`",
                vec![
                    ("b", Pipe),
                    ("c", End),
                    ("d", End),
                    ("e", End),
                    ("a $(b | c) \"$(d)\" `e`", End),
                ],
            ),
            ("V=$(a)\n", vec![("a", End)]),
            ("a ||\n  b\n", vec![("a", Or), ("b", End)]),
            (
                "if ! a; then b; fi",
                vec![("a", End), ("b", End), ("fi", End)],
            ),
            ("a $((1 | 2)) ${x%|*}", vec![("a $((1 | 2)) ${x%|*}", End)]),
            ("", vec![]),
        ] {
            let expected: Vec<_> = expected
                .into_iter()
                .map(|(words, joint)| (words.to_string(), joint))
                .collect();
            assert_eq!(read(script), expected, "{script}");
        }
        let found = commands("x\nV=$(rpm -q kernel)", 10);
        assert_eq!(
            (found[1].within, found[1].span.clone()),
            (Some("V="), 16..29)
        );
        assert!(commands("while read a; do b; done", 0)[0].is_condition);
    }

    #[test]
    fn whatever_stands_there_is_read_to_its_end() {
        for script in [
            "'", "\"$(", "`", "$((", "${", "<<", "<<<", "\\", "a\\", "((((", "é'ü", "&", "|",
            "<<E\n", "$(`$(`",
        ] {
            let _ = commands(script, 0);
        }
        let deep = "$(".repeat(10_000);
        assert!(!commands(&deep, 0).is_empty());
        let open = "${x $((y ".repeat(10_000);
        assert!(!commands(&open, 0).is_empty());
    }
}
