//! Puts together the message of a failure, which anaconda spreads over several lines.

use super::line::{body, printed_by, without_meter};

/// What ends anaconda's own messages (EL 7 and later, exception.py and kickstart.py).
const LAST_LINE: &str = "The installer will now terminate.";

/// What stands before the reason in cmdline mode.
const REASON: &str = "The exact error message is:";

/// What anaconda puts before the reason, which says nothing (cmdline mode).
const NON_INTERACTIVE: &str = "Non interactive installation failed:";

/// A message longer than this is cut; the console log has it whole.
const MAX_MESSAGE: usize = 600;

/// How many lines can belong to a message: the longest known is a list of missing packages.
const MAX_LINES: usize = 40;

/// The lines of a failure, as they come.
#[derive(Debug, Default)]
pub struct Block {
    lines: Vec<String>,
    /// The program that printed the headline, where the line names one: its other lines belong
    /// to the message, and no others.
    by: Option<String>,
    log: Option<String>,
    complete: bool,
    /// A prompt has come: nothing behind it belongs to the message.
    ended: bool,
}

impl Block {
    /// Takes a line with a failure text.
    pub fn headline(&mut self, line: &str) {
        // The line may have come as a line of an open block already.
        if self.lines.last().map(String::as_str) != Some(body(line)) {
            if self.lines.is_empty() {
                self.by = printed_by(line).map(str::to_owned);
            }
            self.push(line);
        }
    }

    /// Takes a console line that came after the headline.
    pub fn console_line(&mut self, line: &str) {
        if body(line).eq_ignore_ascii_case(LAST_LINE) {
            // A log record alone opens a block too; the console's comes later, and whole.
            self.complete |= !self.lines.is_empty();
            return;
        }
        // systemd, the kernel and rules between dialogs are no part of a message.
        let foreign = match &self.by {
            Some(by) => printed_by(line) != Some(by),
            None => {
                let bracket = line.starts_with('[') && !line.starts_with("[Errno ");
                bracket || line.trim_start().starts_with("===")
            }
        };
        self.ended |= body(line).starts_with("Press ENTER to ");
        if !self.lines.is_empty() && !self.complete && !self.ended && !foreign {
            self.push(line);
        }
    }

    /// Takes what the log says of the failure.
    pub fn log_message(&mut self, message: &str) {
        self.log.get_or_insert_with(|| message.to_owned());
    }

    fn push(&mut self, line: &str) {
        let text = without_meter(body(line));
        let text = text.trim_start();
        if self.lines.len() < MAX_LINES && !text.is_empty() {
            self.lines.push(text.to_owned());
        }
    }

    /// The lines so far, without what stands before their texts.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Whether the last line has come.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// The message, on one line: the reason where one is given, else everything.
    pub fn message(&self) -> String {
        let reason = self.reason();
        let text = if reason.is_empty() {
            match &self.log {
                Some(log) => log.split_whitespace().collect::<Vec<_>>().join(" "),
                None => join(&self.lines),
            }
        } else {
            reason
        };
        let mut text = without_meter(text.trim()).trim().to_owned();
        if let Some((at, _)) = text.char_indices().nth(MAX_MESSAGE) {
            text.truncate(at);
            text.push('\u{2026}');
        }
        text
    }

    /// What follows [`REASON`], or the lines after a headline that only introduces them.
    fn reason(&self) -> String {
        let start = self
            .lines
            .iter()
            .position(|line| line.trim_end().eq_ignore_ascii_case(REASON))
            .map(|at| at + 1);
        let start = start.unwrap_or_else(|| {
            usize::from(self.lines.len() > 1 && self.lines[0].starts_with("An error occurred"))
        });
        let text = join(&self.lines[start.min(self.lines.len())..]);
        match text.trim().strip_prefix(NON_INTERACTIVE) {
            Some(rest) if rest.trim_matches(['.', ' ']).is_empty() => String::new(),
            Some(rest) => rest.trim().to_owned(),
            None => text,
        }
    }

    /// Whether anaconda announced a reason and gave none.
    pub fn gives_no_reason(&self) -> bool {
        self.log.is_none() && self.reason().is_empty()
    }
}

/// Lines in one: wrapped text with spaces, the items of a list ("... not completed:", then an
/// item a line) with commas. Text is wrapped at 80 columns, so that only its last line is short.
fn join(lines: &[String]) -> String {
    const SHORT: usize = 50;
    let mut text = String::new();
    let mut in_list = false;
    for (at, line) in lines.iter().enumerate() {
        if let Some(before) = at.checked_sub(1).map(|before| &lines[before]) {
            let is_item =
                in_list && before.len() < SHORT && before.ends_with(char::is_alphanumeric);
            text.push_str(if is_item { ", " } else { " " });
        }
        text.push_str(line);
        in_list |= line.ends_with(':');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(lines: &[&str]) -> Block {
        let mut block = Block::default();
        block.headline(lines[0]);
        for line in &lines[1..] {
            block.console_line(line);
        }
        block
    }

    #[test]
    fn the_reason_is_taken_from_the_block_and_joined() {
        let block = block(&[
            "The installation was stopped due to an error in cmdline mode.",
            "The exact error message is:",
            "[   10.1] unrelated kernel line",
            "Non interactive installation failed: a text that goes",
            "on in the next line.",
            LAST_LINE,
            "not part of it",
        ]);
        assert!(block.is_complete());
        assert_eq!(block.message(), "a text that goes on in the next line.");
    }

    #[test]
    fn only_lines_of_the_program_that_speaks_belong_to_its_message() {
        let block = block(&[
            "[   49.0] dracut-initqueue[1552]: The following problem occurred on line 10 of the kickstart file:",
            "[   49.1] systemd[1]: Started x.",
            "[   49.1] dracut-initqueue[1552]: Unknown command: nosuchcommand",
            "100  9986  100  9986    0     0   436k      0 --:--:-- --:--:-- --:--:--  464k",
        ]);
        assert_eq!(
            block.message(),
            "The following problem occurred on line 10 of the kickstart file: Unknown command: nosuchcommand"
        );
    }

    #[test]
    fn an_empty_reason_is_known_as_such() {
        let mut block = block(&[
            "The installation was stopped due to incomplete spokes.",
            "The exact error message is:",
            "Non interactive installation failed: .",
            LAST_LINE,
        ]);
        assert!(block.gives_no_reason());
        block.log_message("CmdlineError: Missing package:\nnosuch");
        assert!(!block.gives_no_reason());
        assert_eq!(block.message(), "CmdlineError: Missing package: nosuch");
    }

    #[test]
    fn items_of_a_list_are_set_apart() {
        let block = block(&[
            "The following mandatory spokes are not completed:",
            "Root password",
            "User creation",
        ]);
        assert_eq!(
            block.message(),
            "The following mandatory spokes are not completed: Root password, User creation"
        );
    }

    #[test]
    fn messages_are_bounded() {
        let mut block = block(&["An unknown error has occurred"]);
        for n in 0..1000 {
            block.console_line(&format!("line {n} {}", "x".repeat(200)));
        }
        assert!(block.message().chars().count() <= MAX_MESSAGE + 1);
    }
}
