//! Hides secrets in raw terminal output: also where control sequences or line ends stand between
//! their letters, as they do where a terminal wrapped a line.

use std::io::{self, Read, Write};

use aho_corasick::AhoCorasick;

use crate::secrets::Secrets;
use crate::watch::escape::{Token, Tokenizer};

/// Bytes read at once.
const PIECE: usize = 256 << 10;

/// Bytes that are held back at most for a secret that may go on in the next piece. More control
/// sequences between two letters of a secret than this are not looked through.
const HELD: usize = 1 << 20;

/// What stands in place of each byte of a secret.
const HIDDEN: u8 = b'*';

/// Copies what a guest wrote, with `*` for every byte of a secret. Memory is bounded.
///
/// # Errors
/// It cannot be read or written.
pub fn copy(from: &mut impl Read, to: &mut impl Write, secrets: &Secrets) -> io::Result<()> {
    let secrets: Vec<Vec<u8>> = secrets.reveal().map(letters_of).collect();
    let longest = secrets.iter().map(Vec::len).max().unwrap_or(0);
    if longest == 0 {
        return io::copy(from, to).map(drop);
    }
    let searcher = AhoCorasick::new(&secrets).map_err(io::Error::other)?;
    // What is held back of the stream, and which of its bytes are secret.
    let (mut held, mut secret): (Vec<u8>, Vec<bool>) = (Vec::new(), Vec::new());
    let mut piece = vec![0; PIECE];
    loop {
        let count = match from.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        held.extend_from_slice(&piece[..count]);
        secret.resize(held.len(), false);
        let mut done = held.len();
        // A secret may also stand in a sequence, a window's title.
        for (letters, places) in [letters(&held), printable(&held)] {
            for found in searcher.find_overlapping_iter(&letters) {
                for place in &places[found.range()] {
                    secret[*place] = true;
                }
            }
            let begun = places.len().checked_sub(longest - 1);
            let safe = begun.map_or(0, |at| places.get(at).copied().unwrap_or(held.len()));
            done = done.min(safe);
        }
        if count == 0 || held.len() > HELD {
            done = held.len();
        }
        let shown: Vec<u8> = held
            .drain(..done)
            .zip(secret.drain(..done))
            .map(|(byte, secret)| if secret { HIDDEN } else { byte })
            .collect();
        to.write_all(&shown)?;
        if count == 0 {
            return Ok(());
        }
    }
}

/// The bytes of a terminal stream that are neither controls nor parts of control sequences, and
/// where each stands.
fn letters(stream: &[u8]) -> (Vec<u8>, Vec<usize>) {
    let mut letters = Vec::with_capacity(stream.len());
    let mut places = Vec::with_capacity(stream.len());
    let start = stream.as_ptr() as usize;
    Tokenizer::default().cut(stream, |token| {
        let Token::Text(text) = token else {
            return;
        };
        // A control inside a sequence is handed out as a copy of itself.
        if matches!(text, [0..=0x1f]) {
            return;
        }
        // A part of the stream.
        let at = text.as_ptr() as usize - start;
        for (index, byte) in text.iter().enumerate() {
            if *byte >= 0x20 && *byte != 0x7f {
                letters.push(*byte);
                places.push(at + index);
            }
        }
    });
    (letters, places)
}

/// All bytes but controls, and where each stands.
fn printable(stream: &[u8]) -> (Vec<u8>, Vec<usize>) {
    let bytes = stream.iter().copied().zip(0..);
    bytes.filter(|(byte, _)| *byte >= 0x20).unzip()
}

fn letters_of(secret: &str) -> Vec<u8> {
    secret.bytes().filter(|byte| *byte >= 0x20).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out a few bytes at a time.
    struct Dripping<'a>(&'a [u8], usize);

    impl Read for Dripping<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(buffer.len()).min(self.0.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn masked(text: &[u8], step: usize, hidden: &[&str]) -> Vec<u8> {
        let mut secrets = Secrets::default();
        for secret in hidden {
            secrets.add(*secret);
        }
        let mut out = Vec::new();
        copy(&mut Dripping(text, step), &mut out, &secrets).unwrap();
        out
    }

    #[test]
    fn secrets_are_hidden_however_the_stream_is_cut() {
        let text = b"\x1b[1mtoken s3cret\x1b[0m, s3c\x1b[24;1H\r\nret and s3cre, s3cr\x1b]0;title\x07et\xff";
        let wanted = b"\x1b[1mtoken ******\x1b[0m, ***\x1b[24;1H\r\n*** and s3cre, ****\x1b]0;title\x07**\xff";
        for step in [1, 2, 3, 7, 1000] {
            let shown = masked(text, step, &["s3cret"]);
            assert_eq!(
                String::from_utf8_lossy(&shown),
                String::from_utf8_lossy(wanted),
                "{step}"
            );
        }
    }

    #[test]
    fn a_windows_title_hides_nothing() {
        let title = b"\x1b]0;s3cret\x07 \x1b]s3cret";
        assert_eq!(
            masked(title, 3, &["s3cret"]),
            b"\x1b]0;******\x07 \x1b]******"
        );
    }

    #[test]
    fn secrets_that_overlap_are_hidden_whole() {
        for step in [1, 5, 100] {
            assert_eq!(masked(b"-abcd-", step, &["abc", "bcd"]), b"-****-");
        }
    }

    #[test]
    fn without_secrets_nothing_changes() {
        let all: Vec<u8> = (0..=255).cycle().take(3 * PIECE).collect();
        assert_eq!(masked(&all, PIECE, &[]), all);
        assert_eq!(masked(&all, PIECE, &["not there"]), all);
    }

    #[test]
    fn what_is_held_back_is_bounded() {
        let controls = b"\x1b[0m".repeat(HELD);
        assert_eq!(masked(&controls, PIECE, &["s3cret"]), controls);
    }
}
