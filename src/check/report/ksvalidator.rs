//! The layout of ksvalidator (pykickstart 3.78, `tools/ksvalidator.py`), for editors that parse it.
//!
//! ksvalidator names each file on stdout, says what is wrong with lines on stderr as it goes, and
//! what made it give up on stdout when all files are done. The same findings go the same ways
//! here, though ozr gives nothing up.

use super::Checked;
use crate::diagnostic::{Diagnostic, Severity};
use crate::printable;

/// Findings at which ksvalidator gives a file up: its structure, and the body of `%packages`.
const GIVES_UP: [&str; 2] = ["KS009", "KS013"];

/// A piece of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// For stdout.
    Out(String),
    /// For stderr.
    Err(String),
}

/// The output in its order. Notes are left out: ksvalidator has nothing like them.
pub fn render(files: &[Checked]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut last = String::new();
    for file in files {
        pieces.push(Piece::Out(format!(
            "\nChecking kickstart file {}\n\n",
            printable::line(&file.name)
        )));
        for finding in &file.findings {
            let is_last = finding.id.is_some_and(|id| GIVES_UP.contains(&id));
            match (finding.severity, is_last) {
                (Severity::Note, _) => {}
                (_, true) => last.push_str(&problem(finding)),
                (_, false) => pieces.push(Piece::Err(problem(finding))),
            }
        }
    }
    if !last.is_empty() {
        pieces.push(Piece::Out(last));
    }
    pieces
}

fn problem(finding: &Diagnostic) -> String {
    let (line, message) = (finding.line, printable::line(&finding.message));
    match finding.id {
        Some("KS010") => format!("Ignoring deprecated command on line {line}:  {message}\n"),
        Some("KS011") => format!("Ignoring deprecated option on line {line}: {message}\n"),
        _ if finding.is_about_whole_file() => {
            format!("General error in input file:  {message}\n")
        }
        _ => format!(
            "The following problem occurred on line {line} of the kickstart file:\n\n{message}\n\n"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use crate::diagnostic::Source;

    #[test]
    fn each_finding_goes_where_ksvalidator_says_it() {
        let source = Source {
            name: "x.ks",
            text: "text\n%post\n",
        };
        let unclosed = Checked {
            name: "x\n\u{202e}.ks".into(),
            findings: vec![
                Diagnostic::error(source, 5..10, "`%post` is not closed by `%end`").id("KS009"),
            ],
            texts: Vec::new(),
        };
        let out = |text: &str| Piece::Out(text.to_string());
        let err = |text: &str| Piece::Err(text.to_string());
        assert_eq!(
            render(&[unclosed, samples::checked()]),
            [
                out("\nChecking kickstart file x\\n\\u{202e}.ks\n\n"),
                out("\nChecking kickstart file ks/a b.ks\n\n"),
                err(
                    "The following problem occurred on line 2 of the kickstart file:\n\n\
                     `install` was removed in RHEL 9\n\n"
                ),
                err("Ignoring deprecated option on line 3: `--isUtc` is deprecated\n"),
                err(
                    "The following problem occurred on line 2 of the kickstart file:\n\nunknown command\n\n"
                ),
                out(
                    "The following problem occurred on line 2 of the kickstart file:\n\n\
                     `%post` is not closed by `%end`\n\n"
                ),
            ]
        );
    }
}
