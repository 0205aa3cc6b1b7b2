//! Puts together the message of a failure, which anaconda spreads over several lines, and reads what
//! it names: a script's line and output, packages.

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

/// How many lines of a script's output a verdict carries.
const MAX_OUTPUT: usize = 20;

/// How many packages a verdict names.
const MAX_PACKAGES: usize = 50;

/// What stands before the line of a script (EL 7 and later, errors.py).
const SCRIPT: &str = "error running the kickstart script at line ";

/// What stands before a script's output (EL 7 and later, errors.py).
const DETAILS: &str = "The details of this error are:";

/// How lines begin that come behind a script's output: anaconda's prompt, and what tmux says of an installer that
/// has ended.
const AFTER_DETAILS: [&str; 2] = ["Press ENTER to ", "Pane is dead ("];

/// What stands before the names of packages: anaconda's dnf_manager.py and yumpayload.py, libdnf.
/// Where two fit, the first counts.
const NAMES: [&str; 11] = [
    "missing packages: ",
    "Missing packages: ",
    "missing groups or modules: ",
    "missing groups: ",
    "Failed to download the following packages: ",
    "No match for argument: ",
    "Missing package: ",
    "no such package ",
    "scriptlet in rpm package ",
    "You have specified that the package '",
    "The package '",
];

/// The line of the kickstart script that a message names.
pub fn script_line(message: &str) -> Option<u64> {
    let (_, rest) = message.split_once(SCRIPT)?;
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    rest[..digits].parse().ok()
}

/// What anaconda logs of a script that failed (EL 7 and later, core/kickstart/scripts.py): its exit
/// status and its line.
pub fn script_error(text: &str) -> Option<(&str, u64)> {
    let rest = text.strip_prefix("Error code ")?;
    let (status, line) = rest.split_once(" running the kickstart script at line ")?;
    Some((status, line.trim_end_matches('.').parse().ok()?))
}

/// The end of the script's output that a message shows, a line each.
pub fn script_output(lines: &[String]) -> Vec<String> {
    // The sentence before it is wrapped, wherever the words happen to end.
    let start = lines.iter().position(|line| {
        let end = line.trim_end();
        end.ends_with(DETAILS) || end.ends_with("error are:") || end == "are:"
    });
    let output = start.map_or(&[][..], |at| &lines[at + 1..]);
    let ends = |line: &String| AFTER_DETAILS.iter().any(|words| line.starts_with(words));
    let end = output.iter().position(ends).unwrap_or(output.len());
    let output = &output[..end];
    output[output.len().saturating_sub(MAX_OUTPUT)..].to_vec()
}

/// The packages that a message names.
pub fn packages(message: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for before in NAMES {
        for (at, _) in message.match_indices(before) {
            let rest = &message[at + before.len()..];
            // Names end where the sentence does; lists are set apart by commas.
            for word in rest.split(", ") {
                let name = word
                    .split([' ', '\'', ';', '\n'])
                    .next()
                    .unwrap_or_default();
                let mut name = name.trim_end_matches(['.', ',', ':']);
                // `perl(Foo)` is a name; the end of a message in parentheses is none.
                if !name.contains('(') {
                    name = name.trim_end_matches(')');
                }
                if name.is_empty() || names.len() == MAX_PACKAGES {
                    break;
                }
                if !names.iter().any(|known| known == name) {
                    names.push(name.to_owned());
                }
                if name.len() < word.trim_end_matches('.').len() {
                    break;
                }
            }
        }
    }
    names
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

    #[test]
    fn packages_are_named() {
        for (message, names) in [
            (
                "Some packages, groups or modules are missing. Problems in request: missing packages: a, b-c.",
                &["a", "b-c"][..],
            ),
            ("CmdlineError: Missing package: nosuch", &["nosuch"]),
            (
                "No match for argument: x No match for argument: y",
                &["x", "y"],
            ),
            (
                "Error in POSTIN scriptlet in rpm package kernel-core",
                &["kernel-core"],
            ),
            (
                "The transaction failed (Error in POSTIN scriptlet in rpm package corp)",
                &["corp"],
            ),
            ("No match for argument: perl(Foo)", &["perl(Foo)"]),
            (
                "You have specified that the package 'p' should be installed.  This package does not exist.",
                &["p"],
            ),
            (
                "Failed to download the following packages: a-1.rpm, b-2.rpm.",
                &["a-1.rpm", "b-2.rpm"],
            ),
            ("something else", &[]),
        ] {
            assert_eq!(packages(message), names, "{message:?}");
        }
    }

    #[test]
    fn scripts_have_a_line_and_an_output() {
        let message =
            "There was an error running the kickstart script at line 24.  This is a fatal";
        assert_eq!(script_line(message), Some(24));
        assert_eq!(script_line("at line 24"), None);
        let lines = [
            message,
            "error and installation will be aborted.  The details of this error are:",
            "+ false",
            "no",
            "Press ENTER to exit:",
        ];
        let lines = lines.map(str::to_owned);
        assert_eq!(script_output(&lines), ["+ false", "no"]);
        let mut dead = lines.clone();
        dead[4] = "Pane is dead (status 1, Mon Nov 30 12:46:59 2026)".to_owned();
        assert_eq!(script_output(&dead), ["+ false", "no"]);
        assert_eq!(script_output(&lines[..1]), [""; 0]);
        let text = "Error code 127 running the kickstart script at line 103";
        assert_eq!(script_error(text), Some(("127", 103)));
        assert_eq!(script_error("Error code x"), None);
    }
}
