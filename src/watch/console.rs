//! The guest's serial console: bytes in, lines out, as a terminal of 80 by 24 would show them.
//!
//! Anaconda's text mode runs inside tmux on the serial port (`anaconda-tmux@.service`), which
//! draws with cursor movement, scroll regions and a status bar; the kernel, dracut and systemd
//! write to the same port. A line is handed out once, when the cursor has left it, when what
//! holds it is about to be erased, or, unfinished, by [`Console::settle`].

use std::collections::VecDeque;

use vt100::Parser;

use super::escape::{Token, Tokenizer};
use crate::panics;

/// The size that the installer assumes for a serial console whose size nobody told it.
const ROWS: u16 = 24;
const COLUMNS: u16 = 80;

/// A line that goes on for longer is cut: nothing that is looked for is this long.
const MAX_LINE: usize = 8 * 1024;

/// Text is drawn in pieces of so many bytes, which can scroll a row away at most once.
const PIECE: usize = COLUMNS as usize;

/// How many of systemd's running jobs are remembered, so that each is shown once and not with
/// every frame of its animation. It shows a handful at a time.
const MAX_JOBS: usize = 16;

/// What came out of the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A line of text, wrapped rows joined, without trailing blanks. Never empty.
    Line(String),
    /// The completion mark was seen (once per console).
    Mark,
}

/// Counts the rows that the terminal scrolled away.
#[derive(Debug, Default)]
struct Scrolls(usize);

impl vt100::Callbacks for Scrolls {
    fn on_scroll(&mut self, _row: vt100::capture::RowContents<'_>, _alternate: bool) {
        self.0 += 1;
    }
}

/// The console's state.
pub struct Console {
    tokenizer: Tokenizer,
    /// The first bytes of a character whose others have not come yet. The terminal (vte 0.15)
    /// swallows a character behind one that comes in parts, if an ill-formed one follows.
    begun: Vec<u8>,
    terminal: Parser<Scrolls>,
    /// What was last handed out of each row. It outlives an erased screen, so that a redraw of
    /// the same text is no news.
    shown: Vec<Option<String>>,
    /// The rows in which something was written since they were last looked at.
    written: Vec<bool>,
    /// The last row of the scroll region.
    region_bottom: u16,
    /// The head of a line so long that it scrolled away before it ended.
    carry: String,
    jobs: VecDeque<String>,
    mark: MarkFinder,
}

impl std::fmt::Debug for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Console").finish_non_exhaustive()
    }
}

fn terminal() -> Parser<Scrolls> {
    Parser::new_with_callbacks(
        Parser::<()>::DEFAULT_ROWS,
        Parser::<()>::DEFAULT_COLS,
        0,
        Scrolls::default(),
    )
}

impl Console {
    /// A blank console that looks for `mark`.
    pub fn new(mark: Option<&str>) -> Self {
        Console {
            tokenizer: Tokenizer::default(),
            begun: Vec::new(),
            terminal: terminal(),
            shown: vec![None; usize::from(ROWS)],
            written: vec![false; usize::from(ROWS)],
            region_bottom: ROWS - 1,
            carry: String::new(),
            jobs: VecDeque::with_capacity(MAX_JOBS),
            mark: MarkFinder::new(mark.unwrap_or_default()),
        }
    }

    /// Takes the next bytes. What comes out does not depend on how the stream is cut.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Output> {
        let mut out = Vec::new();
        let mut tokenizer = std::mem::take(&mut self.tokenizer);
        tokenizer.cut(bytes, |token| self.token(token, &mut out));
        self.tokenizer = tokenizer;
        out
    }

    /// Hands out what stands unfinished on the screen. For a pause in the output: a prompt has
    /// no line feed. A line that goes on afterwards comes again, whole, unless only progress
    /// dots were added.
    pub fn settle(&mut self) -> Vec<Output> {
        let mut out = Vec::new();
        self.collect(ROWS, &mut out);
        out
    }

    fn token(&mut self, token: Token<'_>, out: &mut Vec<Output>) {
        match token {
            Token::Text(text) => {
                if self.mark.take(text) {
                    out.push(Output::Mark);
                }
                let mut bytes = std::mem::take(&mut self.begun);
                bytes.extend_from_slice(text);
                self.text(&bytes, out);
            }
            Token::LineFeed(byte) => {
                self.begun.clear();
                self.draw(&[byte], out);
                self.collect(self.cursor_row() as u16, out);
            }
            Token::Sequence(sequence) => {
                self.begun.clear();
                self.sequence(sequence, out);
            }
        }
    }

    /// Draws the characters of a text. Bytes that are none are left out, as the terminal does.
    fn text(&mut self, bytes: &[u8], out: &mut Vec<Output>) {
        for part in bytes.utf8_chunks() {
            let mut rest = part.valid();
            while !rest.is_empty() {
                let mut end = PIECE.min(rest.len());
                while !rest.is_char_boundary(end) {
                    end -= 1;
                }
                let (piece, behind) = rest.split_at(end);
                let first = self.cursor_row();
                let scrolled = self.draw(piece.as_bytes(), out);
                let last = self.cursor_row();
                self.written[first.saturating_sub(scrolled).min(last)..=last].fill(true);
                rest = behind;
            }
            self.begun.clear();
            let may_go_on = |error: std::str::Utf8Error| error.error_len().is_none();
            if std::str::from_utf8(part.invalid()).is_err_and(may_go_on) {
                self.begun.extend_from_slice(part.invalid());
            }
        }
    }

    fn sequence(&mut self, sequence: &[u8], out: &mut Vec<Output>) {
        match sequence {
            // Reset, and the sequences that erase, insert, delete or scroll whole rows, or
            // change to the other screen: what is on the screen may be gone afterwards.
            [0x1b, b'c']
            | [0x1b, b'[', .., b'J' | b'L' | b'M' | b'S' | b'T']
            | [0x1b, b'[', b'?', .., b'4' | b'7' | b'9', b'h' | b'l'] => {
                self.collect(ROWS, out);
            }
            _ => {}
        }
        if let [0x1b, b'[', parameters @ .., b'r'] = sequence
            && !parameters.starts_with(b"?")
        {
            self.region_bottom = region_bottom(parameters);
        }
        self.draw(sequence, out);
    }

    /// Lets the terminal draw, and follows what it scrolled; by how many rows.
    fn draw(&mut self, bytes: &[u8], out: &mut Vec<Output>) -> usize {
        let bottom = self.cursor_row() == usize::from(self.region_bottom);
        // The row that would scroll away, if it was not handed out yet.
        let top = (bottom && self.written[0]).then(|| self.row(0));
        let top_wraps = self.wraps(0);
        // The bytes are the guest's. Should they meet a defect of the terminal emulator, the
        // screen is lost, and the build goes on.
        let drawn = panics::expected(|| self.terminal.process(bytes));
        if drawn.is_err() {
            self.terminal = terminal();
            self.region_bottom = ROWS - 1;
            return 0;
        }
        let scrolled = std::mem::take(&mut self.terminal.callbacks_mut().0);
        if scrolled == 0 {
            return 0;
        }
        if let Some(text) = top {
            self.hold(&text);
            if !top_wraps {
                let line = std::mem::take(&mut self.carry);
                self.hand_out(line, out);
            }
        } else if !top_wraps {
            self.carry.clear();
        }
        let region = 0..=usize::from(self.region_bottom);
        let scrolled = scrolled.min(region.end() + 1);
        let shown = &mut self.shown[region.clone()];
        shown[..scrolled].fill(None);
        shown.rotate_left(scrolled);
        let written = &mut self.written[region];
        written[..scrolled].fill(false);
        written.rotate_left(scrolled);
        scrolled
    }

    /// Hands out the lines above row `below` that were not handed out yet.
    fn collect(&mut self, below: u16, out: &mut Vec<Output>) {
        let mut row = 0;
        while row < below {
            let first = row;
            while self.wraps(row) && row + 1 < ROWS {
                row += 1;
            }
            let rows = first..row + 1;
            row += 1;
            // The rest of this line is still being written.
            if row > below {
                break;
            }
            let written = &mut self.written[usize::from(first)..usize::from(row)];
            if !written.contains(&true) {
                continue;
            }
            written.fill(false);
            let texts: Vec<String> = rows.map(|row| self.row(row)).collect();
            if !self.is_news(first, &texts) {
                continue;
            }
            let mut line = if first == 0 {
                std::mem::take(&mut self.carry)
            } else {
                String::new()
            };
            line.extend(texts.iter().map(String::as_str));
            for (slot, text) in self.shown[usize::from(first)..].iter_mut().zip(texts) {
                *slot = Some(text);
            }
            self.hand_out(line, out);
        }
    }

    /// Whether the rows from `first` on hold something that was not handed out before; if they
    /// hold what a redraw brought there from another row, that is noted.
    fn is_news(&mut self, first: u16, texts: &[String]) -> bool {
        let first = usize::from(first);
        let here = first..first + texts.len();
        if texts.iter().all(|text| text.trim_end().is_empty()) {
            return false;
        }
        let slots = &self.shown[here.clone()];
        if slots
            .iter()
            .zip(texts)
            .all(|(slot, text)| slot.as_deref() == Some(text))
        {
            return false;
        }
        // Rows that held something else before were drawn over.
        let drawn_over = slots.iter().all(Option::is_some);
        let moved = drawn_over
            && texts.iter().all(|text| {
                self.shown.iter().enumerate().any(|(row, slot)| {
                    !here.contains(&row) && slot.as_deref() == Some(text.as_str())
                })
            });
        let dots_only = slots.iter().zip(texts).all(|(slot, text)| {
            slot.as_deref().is_some_and(|old| {
                text.strip_prefix(old.trim_end_matches('.'))
                    .is_some_and(|rest| rest.bytes().all(|b| b == b'.'))
            })
        });
        if moved || dots_only {
            for (slot, text) in self.shown[here].iter_mut().zip(texts) {
                *slot = Some(text.clone());
            }
            return false;
        }
        true
    }

    fn hand_out(&mut self, mut line: String, out: &mut Vec<Output>) {
        // The terminal shows controls of ECMA-48's C1 set as characters.
        line.retain(|c| !c.is_control());
        line.truncate(line.trim_end().len());
        if line.is_empty() || line.bytes().all(|b| b == b'.') || is_tmux_status(&line) {
            return;
        }
        if let Some(job) = running_job(&line) {
            if self.jobs.iter().any(|known| known == job) {
                return;
            }
            if self.jobs.len() == MAX_JOBS {
                self.jobs.pop_front();
            }
            self.jobs.push_back(job.to_owned());
        }
        out.push(Output::Line(line));
    }

    fn hold(&mut self, text: &str) {
        let room = MAX_LINE.saturating_sub(self.carry.len());
        self.carry.extend(text.chars().take(room));
    }

    /// The text of a row: to its full width where it wraps, else without trailing blanks.
    fn row(&self, row: u16) -> String {
        let screen = self.terminal.screen();
        let mut text = String::with_capacity(usize::from(COLUMNS));
        for column in 0..COLUMNS {
            match screen.cell(row, column) {
                Some(cell) if cell.has_contents() => text.push_str(cell.contents()),
                Some(cell) if cell.is_wide_continuation() => {}
                _ => text.push(' '),
            }
        }
        if !self.wraps(row) {
            text.truncate(text.trim_end().len());
        }
        text
    }

    fn cursor_row(&self) -> usize {
        usize::from(self.terminal.screen().cursor_position().0)
    }

    fn wraps(&self, row: u16) -> bool {
        self.terminal.screen().row_wrapped(row)
    }
}

/// Looks for one word in a stream of bytes.
///
/// Only bytes that can be part of the word count: whatever else stands between them (line
/// breaks of an 80-column terminal, spaces, padding of a redraw) is passed over. The word is
/// random, so nothing else can spell it.
#[derive(Debug)]
struct MarkFinder {
    mark: Vec<u8>,
    /// The last bytes that count: as many as the mark has, but one.
    tail: Vec<u8>,
    found: bool,
}

impl MarkFinder {
    /// Looks for `mark`; an empty one is never found.
    fn new(mark: &str) -> Self {
        MarkFinder {
            mark: mark.bytes().filter(u8::is_ascii_graphic).collect(),
            tail: Vec::new(),
            found: false,
        }
    }

    /// Takes the next bytes, free of escape sequences; true when they complete the mark for the
    /// first time.
    fn take(&mut self, bytes: &[u8]) -> bool {
        if self.found || self.mark.is_empty() {
            return false;
        }
        self.tail
            .extend(bytes.iter().filter(|byte| byte.is_ascii_graphic()));
        let mut windows = self.tail.windows(self.mark.len());
        self.found = windows.any(|window| window == self.mark);
        let surplus = (self.tail.len() + 1).saturating_sub(self.mark.len());
        self.tail.drain(..surplus);
        self.found
    }
}

/// The last row, counted from 0, of the region that `CSI parameters r` (DECSTBM) sets.
fn region_bottom(parameters: &[u8]) -> u16 {
    let mut numbers = std::str::from_utf8(parameters)
        .unwrap_or_default()
        .split(';')
        .map(|number| number.parse::<u16>().unwrap_or(0));
    let top = numbers.next().unwrap_or(0).max(1);
    let bottom = match numbers.next() {
        None | Some(0) => ROWS,
        Some(bottom) => bottom.min(ROWS),
    };
    if top < bottom { bottom - 1 } else { ROWS - 1 }
}

/// tmux's status bar: `[anaconda]1:main* 2:shell  3:log …`.
fn is_tmux_status(line: &str) -> bool {
    line.strip_prefix("[anaconda]")
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// The job that a frame of systemd's animation names: `[ ***  ] (1 of 2) A start job is running
/// for Anaconda (9s / 1min 30s)`, without the changing ends.
fn running_job(line: &str) -> Option<&str> {
    let (_, job) = line
        .strip_prefix('[')?
        .split_once(']')
        .filter(|(stars, _)| {
            stars.contains('*') && stars.bytes().all(|b| b == b'*' || b == b' ')
        })?;
    let start = job.find(" job is running for ")?;
    Some(job[start..].split(" (").next().unwrap_or(job))
}

#[cfg(test)]
#[path = "console_tests.rs"]
mod tests;
