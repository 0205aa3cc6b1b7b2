//! The terminal below lines that are drawn over. The cursor waits at their beginning: when the terminal gets narrower it
//! breaks them into more rows, which nobody counts, and all that is below the cursor is theirs.

use std::io;
use std::sync::Mutex;

use console::Term;
use indicatif::{ProgressDrawTarget, TermLike};

use crate::panics::lock;

/// Clears from the cursor to the end of the screen (ECMA-48, ED).
const CLEAR_BELOW: &str = "\r\x1b[J";

/// Standard error, drawn to at most so many times a second.
pub fn stderr(hz: u8) -> ProgressDrawTarget {
    let screen = Screen::new(Term::buffered_stderr());
    ProgressDrawTarget::term_like_with_hz(Box::new(screen), hz)
}

/// A terminal whose cursor is at the beginning of what was drawn, and, as indicatif sees it, at the end.
#[derive(Debug)]
struct Screen {
    term: Term,
    /// The columns that were written since the cursor was there.
    written: Mutex<usize>,
}

impl Screen {
    fn new(term: Term) -> Screen {
        Screen {
            term,
            written: Mutex::new(0),
        }
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        self.term.size().1
    }

    fn height(&self) -> u16 {
        self.term.size().0
    }

    // It is only moved within what was drawn, to clear it.
    fn move_cursor_up(&self, _rows: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _rows: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _columns: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _columns: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        *lock(&self.written) += console::measure_text_width(text);
        self.term.write_str(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.term.write_str(CLEAR_BELOW)
    }

    /// Rows are filled up to their end.
    fn flush(&self) -> io::Result<()> {
        let written = std::mem::take(&mut *lock(&self.written));
        let rows = written.div_ceil(usize::from(self.width()).max(1));
        self.term.move_cursor_up(rows.saturating_sub(1))?;
        self.term.write_str("\r")?;
        self.term.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, read_to_string};

    use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

    use super::*;

    #[test]
    fn the_cursor_waits_at_the_beginning_and_what_is_below_is_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("terminal");
        let file = File::create(&path).unwrap();
        let screen = Screen::new(Term::read_write_pair(File::open(&path).unwrap(), file));
        let width = usize::from(screen.width());
        let lines =
            MultiProgress::with_draw_target(ProgressDrawTarget::term_like(Box::new(screen)));
        let bar = |text: &str| {
            let style = ProgressStyle::with_template(text).unwrap();
            let bar = lines.add(ProgressBar::no_length().with_style(style));
            bar.tick();
            bar
        };
        let drawn = || read_to_string(&path).unwrap();
        let row = |text: &str| format!("{text:width$}");
        let _one = bar("one");
        assert_eq!(drawn(), row("one") + "\r");
        let _two = bar("two");
        let both = row("one") + &row("two") + "\x1b[1A\r";
        assert!(
            drawn().ends_with(&format!("{CLEAR_BELOW}{both}")),
            "{:?}",
            drawn()
        );
        lines.clear().unwrap();
        assert!(
            drawn().ends_with(&format!("{CLEAR_BELOW}\r")),
            "{:?}",
            drawn()
        );
    }
}
