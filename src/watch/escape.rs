//! Cuts a terminal stream into text, line feeds and escape sequences.
//!
//! The grammar is ECMA-48's (sections 5.4 and 5.6). Sequences are collected whole, however the
//! stream was cut into chunks, and with bounds: a guest can send anything.

/// The longest control sequence worth having; tmux and systemd stay below 32 bytes.
const MAX_SEQUENCE: usize = 64;

/// The longest string sequence (window titles and the like) that is waited out. Line noise can
/// look like the start of one, and must not swallow the rest of an install.
const MAX_STRING: usize = 4096;

/// A piece of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token<'a> {
    /// Printable bytes and controls that neither feed a line nor start a sequence: a part of the
    /// chunk, not a copy.
    Text(&'a [u8]),
    /// A control that moves to the next line (LF, VT or FF).
    LineFeed(u8),
    /// A whole control or escape sequence, with its ESC.
    Sequence(&'a [u8]),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    /// After ESC, and after intermediates that follow it.
    Escape,
    /// After `ESC [`.
    Control,
    /// In an OSC, DCS, APC, PM or SOS string; true right after an ESC (maybe its terminator).
    String(bool),
}

/// The cutter; keeps what of a sequence has come so far.
#[derive(Debug, Default)]
pub struct Tokenizer {
    state: State,
    sequence: Vec<u8>,
    string_length: usize,
}

impl Tokenizer {
    /// Cuts one chunk and hands each token to `take`. String sequences are never shown and
    /// yield nothing.
    pub fn cut(&mut self, chunk: &[u8], mut take: impl FnMut(Token<'_>)) {
        let mut text = 0;
        for (at, &byte) in chunk.iter().enumerate() {
            let plain = self.state == State::Ground && !matches!(byte, 0x0a..=0x0c | 0x1b);
            if plain {
                continue;
            }
            if text < at {
                take(Token::Text(&chunk[text..at]));
            }
            text = at + 1;
            self.special(&chunk[at..=at], &mut take);
        }
        if text < chunk.len() {
            take(Token::Text(&chunk[text..]));
        }
    }

    /// Takes one byte, as the part of the stream that it is.
    fn special(&mut self, part: &[u8], take: &mut impl FnMut(Token<'_>)) {
        let byte = part[0];
        match (self.state, byte) {
            // A line feed ends a string that was none, and acts at once anywhere else.
            (State::String(_), 0x0a) => {
                self.state = State::Ground;
                take(Token::LineFeed(byte));
            }
            (State::String(_), 0x07 | 0x18 | 0x1a) | (State::String(true), b'\\') => {
                self.state = State::Ground;
            }
            (State::String(_), _) => {
                self.string_length += 1;
                self.state = if self.string_length > MAX_STRING {
                    State::Ground
                } else {
                    State::String(byte == 0x1b)
                };
            }
            (_, 0x0a..=0x0c) => take(Token::LineFeed(byte)),
            (_, 0x1b) => {
                self.sequence.clear();
                self.sequence.push(byte);
                self.state = State::Escape;
            }
            (_, 0x18 | 0x1a) => self.state = State::Ground,
            // Other controls inside a sequence act as if they stood before it.
            (_, 0x00..=0x1f) => take(Token::Text(part)),
            (State::Escape, b'[') if self.sequence.len() == 1 => {
                self.sequence.push(byte);
                self.state = State::Control;
            }
            (State::Escape, b']' | b'P' | b'X' | b'^' | b'_') if self.sequence.len() == 1 => {
                self.string_length = 0;
                self.state = State::String(false);
            }
            (State::Escape, 0x20..=0x2f) | (State::Control, 0x20..=0x3f) => {
                self.sequence.push(byte);
                if self.sequence.len() > MAX_SEQUENCE {
                    self.state = State::Ground;
                }
            }
            (_, 0x30..=0x7e) => {
                self.sequence.push(byte);
                self.state = State::Ground;
                take(Token::Sequence(&self.sequence));
            }
            // DEL and bytes above ASCII have no place in a sequence: it was noise.
            (_, _) => {
                self.state = State::Ground;
                take(Token::Text(part));
            }
        }
    }
}

/// The text without escape sequences and control characters, as a log line would show it.
pub fn plain(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    Tokenizer::default().cut(text.as_bytes(), |token| match token {
        Token::Text(part) => bytes.extend(part),
        Token::LineFeed(_) => bytes.push(b'\n'),
        Token::Sequence(_) => {}
    });
    // Those of ECMA-48's C1 set, two bytes each in UTF-8, among them.
    let shown = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    let text = String::from_utf8_lossy(&bytes);
    text.chars().filter(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(chunks: &[&[u8]]) -> Vec<String> {
        let mut tokenizer = Tokenizer::default();
        let mut all = Vec::new();
        for chunk in chunks {
            tokenizer.cut(chunk, |token| {
                all.push(match token {
                    Token::Text(t) => format!("T{}", String::from_utf8_lossy(t)),
                    Token::LineFeed(_) => "N".to_owned(),
                    Token::Sequence(s) => format!("S{}", String::from_utf8_lossy(&s[1..])),
                });
            });
        }
        all
    }

    #[test]
    fn sequences_come_whole_wherever_the_chunks_end() {
        let stream = b"a\x1b[1;31mb\x1b(B\n\x1bMc\x1b]0;title\x07d";
        let whole = tokens(&[stream]);
        assert_eq!(
            whole,
            ["Ta", "S[1;31m", "Tb", "S(B", "N", "SM", "Tc", "Td"].map(String::from)
        );
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(tokens(&bytes), whole);
    }

    #[test]
    fn an_unfinished_string_cannot_swallow_the_stream() {
        assert_eq!(tokens(&[b"\x1b]0;never ended\nshown"]), ["N", "Tshown"]);
        let mut long = b"\x1bP".to_vec();
        long.resize(MAX_STRING + 10, b'x');
        assert!(!tokens(&[&long]).is_empty());
        let mut long = b"\x1b[".to_vec();
        long.resize(MAX_SEQUENCE + 10, b'0');
        assert!(!tokens(&[&long]).is_empty());
    }

    #[test]
    fn plain_text_has_neither_colours_nor_controls() {
        assert_eq!(plain("\x1b[0;32m  OK  \x1b[0m done\r\x07"), "  OK   done");
        assert_eq!(plain("a\x7fb\u{9b}31m\tc\n"), "ab31m\tc\n");
    }
}
