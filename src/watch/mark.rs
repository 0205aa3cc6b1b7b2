//! Finds the completion mark in the guest's raw output.

use std::collections::VecDeque;

/// Looks for one word in a stream of bytes.
///
/// Only bytes that can be part of the word count: whatever else stands between them (line
/// breaks of an 80-column terminal, spaces, padding of a redraw) is passed over. The word is
/// random, so nothing else can spell it.
#[derive(Debug)]
pub struct MarkFinder {
    mark: Vec<u8>,
    window: VecDeque<u8>,
    found: bool,
}

impl MarkFinder {
    /// Looks for `mark`; an empty one is never found.
    pub fn new(mark: &str) -> Self {
        MarkFinder {
            mark: mark.bytes().filter(|b| counts(*b)).collect(),
            window: VecDeque::with_capacity(mark.len() + 1),
            found: false,
        }
    }

    /// Takes the next bytes, free of escape sequences; true when they complete the mark for the
    /// first time.
    pub fn take(&mut self, bytes: &[u8]) -> bool {
        if self.found || self.mark.is_empty() {
            return false;
        }
        for byte in bytes.iter().copied().filter(|b| counts(*b)) {
            if self.window.len() == self.mark.len() {
                self.window.pop_front();
            }
            self.window.push_back(byte);
            if self.window.iter().eq(self.mark.iter()) {
                self.found = true;
                return true;
            }
        }
        false
    }
}

fn counts(byte: u8) -> bool {
    byte.is_ascii_graphic()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_once_across_chunks_and_line_breaks() {
        let mut finder = MarkFinder::new("ozr-done-4f6a");
        assert!(!finder.take(b"noise ozr-do"));
        assert!(!finder.take(b"\r\n"));
        assert!(finder.take(b"ne-4f6a"));
        assert!(!finder.take(b"ozr-done-4f6a"), "found already");
    }

    #[test]
    fn nothing_else_is_the_mark() {
        let mut finder = MarkFinder::new("ozr-done-4f6a");
        assert!(!finder.take(b"ozr-done-4f6bozr-done-4f6"));
        assert!(!MarkFinder::new("").take(b"anything"));
    }
}
