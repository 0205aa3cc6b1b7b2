//! Passphrases of what a kickstart encrypts: those that it gives, and one that is filled in.

use std::collections::BTreeSet;

use super::outline::{Command, Outline};
use super::scan::scan_all;

/// Commands that encrypt what they make, with `--encrypted` (pykickstart). A `btrfs` has no passphrase of
/// its own.
const ENCRYPTING: [&str; 5] = ["autopart", "part", "partition", "raid", "logvol"];

/// A passphrase that was filled in, for who has to take it out again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filled {
    /// The line, from 1.
    pub line: usize,
    /// The length of what was put into it, in bytes.
    pub length: usize,
}

/// What the text that is put into a line begins with.
pub const OPTION: &str = " --passphrase=";

fn is_encrypting(command: &Command) -> bool {
    ENCRYPTING.contains(&command.name())
}

/// The passphrases that a kickstart gives, each once.
pub fn passphrases(outline: &Outline) -> BTreeSet<String> {
    let commands = outline.commands().filter(|command| is_encrypting(command));
    commands
        .filter_map(|command| command.option("passphrase"))
        .filter(|passphrase| !passphrase.is_empty())
        .map(str::to_owned)
        .collect()
}

/// Whether a command encrypts and says with no passphrase.
fn lacks(command: &Command) -> bool {
    is_encrypting(command) && command.has_flag("encrypted") && !command.has_flag("passphrase")
}

/// The kickstart with the passphrase in each line that encrypts without one.
pub fn fill(text: &str, passphrase: &str) -> (String, Vec<Filled>) {
    let (outline, _) = scan_all(text, "");
    let mut filled_in = text.to_owned();
    let mut filled = Vec::new();
    let lacking: Vec<&Command> = outline
        .commands()
        .filter(|command| lacks(command))
        .collect();
    // As Python's shlex reads words, and so the installer.
    let option = format!("{OPTION}'{}'", passphrase.replace('\'', "'\"'\"'"));
    for command in lacking.into_iter().rev() {
        // Behind the command's name: the end of a line may be a comment.
        filled_in.insert_str(command.words[0].span.end, &option);
        filled.push(Filled {
            line: command.line,
            length: option.len(),
        });
    }
    (filled_in, filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kickstart::words::{Comments, split};

    #[test]
    fn passphrases_of_what_is_encrypted() {
        let text = "part / --encrypted --passphrase='a b'\nautopart --passphrase=c\nlogvol / --passphrase c\nuser --passphrase=no\n";
        let (outline, _) = scan_all(text, "k");
        assert!(passphrases(&outline).into_iter().eq(["a b", "c"]));
    }

    #[test]
    fn a_passphrase_is_filled_in_where_one_is_missing() {
        let text = "# part --encrypted\npart / --size=1 --encrypted # here\npart /a --size=1 --encrypted --passphrase=x\n\
                    part /b --size=1\n  autopart --encrypted\n%post\npart / --encrypted\n%end\n";
        for passphrase in ["plain", "it's \"a\" \\ b", "tür $x #y"] {
            let (made, filled) = fill(text, passphrase);
            let lines: Vec<usize> = filled.iter().map(|filled| filled.line).collect();
            assert_eq!(lines, [5, 2]);
            let (outline, findings) = scan_all(&made, "k");
            assert!(findings.is_empty());
            let given: Vec<&str> = outline
                .commands()
                .filter_map(|command| command.option("passphrase"))
                .collect();
            assert_eq!(given, [passphrase, "x", passphrase]);
            // What was filled in is as long as is said.
            let mut back = made.clone();
            for filled in &filled {
                let line = back.lines().nth(filled.line - 1).unwrap().to_owned();
                let at = line.find(OPTION).unwrap();
                let rest = format!("{}{}", &line[..at], &line[at + filled.length..]);
                back = back.replacen(&line, &rest, 1);
            }
            assert_eq!(back, text);
            let words = split(made.lines().nth(1).unwrap(), 0, Comments::Allowed);
            assert_eq!(words.unwrap().len(), 5);
        }
        let without = "part / --size=1\n";
        assert_eq!(fill(without, "x"), (without.to_owned(), Vec::new()));
    }
}
