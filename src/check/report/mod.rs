//! Findings as text: for people, for programs, for code hosts, for editors.
//!
//! Everything here is pure: [`Checked`] files in, text out.
//!
//! * [`human`]: like a compiler's messages; [`summary`]: the count at the end.
//! * [`json`]: one object for each finding; `docs/check-json.md`.
//! * [`sarif`]: a SARIF 2.1.0 log.
//! * [`ksvalidator`]: the layout of pykickstart's ksvalidator.

pub mod sarif;

use serde::Serialize;

use super::rules;
use crate::diagnostic::layout::{self, Colours};
use crate::diagnostic::{Diagnostic, Lines, Severity};
use crate::printable;

/// A file that was checked.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    /// The name that its author knows it by.
    pub name: String,
    /// Its text and those that it includes; none if it could not be read. They are only asked for
    /// the places of fixes.
    pub texts: Vec<Named>,
    /// What was found in it and in what it includes.
    pub findings: Vec<Diagnostic>,
}

/// A text with its name.
#[derive(Debug, Clone)]
pub struct Named {
    /// The name that findings call it by.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// A change of a text, of those that together are a fix, with its place in lines and columns from
/// 1, in characters, and in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct PlacedEdit<'a> {
    pub line: usize,
    pub column: usize,
    pub end_line: usize,
    pub end_column: usize,
    pub start_byte: usize,
    pub end_byte: usize,
    pub text: &'a str,
}

impl Checked {
    /// What was found where the text is not known, or has no places to be fixed.
    pub fn of(name: &str, findings: Vec<Diagnostic>) -> Checked {
        Checked {
            name: name.to_string(),
            texts: Vec::new(),
            findings,
        }
    }

    /// The finding's fix, each edit with its place; nothing if the text is not known.
    pub fn placed_fix<'a>(&self, finding: &'a Diagnostic) -> Vec<PlacedEdit<'a>> {
        let Some(text) = self.texts.iter().find(|text| text.name == finding.file) else {
            return Vec::new();
        };
        let lines = Lines::of(&text.text);
        let fix = finding.fix.iter().map(|edit| {
            let (line, column) = lines.position(&text.text, edit.span.start);
            let (end_line, end_column) = lines.position(&text.text, edit.span.end);
            PlacedEdit {
                line,
                column,
                end_line,
                end_column,
                start_byte: edit.span.start,
                end_byte: edit.span.end,
                text: &edit.text,
            }
        });
        fix.collect()
    }
}

/// How many findings of which kind there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// What the installer refuses, or what makes it wait.
    pub errors: usize,
    /// What works, but probably not as meant.
    pub warnings: usize,
    /// Files that were checked.
    pub files: usize,
    /// Files with an error or a warning.
    pub affected: usize,
    /// Findings whose fix is certain.
    pub fixable: usize,
}

impl Tally {
    /// Counts.
    pub fn of(files: &[Checked]) -> Tally {
        let mut tally = Tally {
            files: files.len(),
            ..Tally::default()
        };
        for file in files {
            let (errors, warnings) = (tally.errors, tally.warnings);
            for finding in &file.findings {
                match finding.severity {
                    Severity::Error => tally.errors += 1,
                    Severity::Warning => tally.warnings += 1,
                    Severity::Note => {}
                }
                tally.fixable += usize::from(!finding.fix.is_empty());
            }
            tally.affected += usize::from((errors, warnings) != (tally.errors, tally.warnings));
        }
        tally
    }

    /// Whether the check ends well; `strict` counts warnings as errors.
    pub fn passes(&self, strict: bool) -> bool {
        self.errors == 0 && !(strict && self.warnings > 0)
    }
}

/// The findings that are at least as bad as `least`, with an empty line behind each.
pub fn human(files: &[Checked], least: Severity, colours: &Colours) -> String {
    let mut text = String::new();
    for finding in files.iter().flat_map(|file| &file.findings) {
        if finding.severity >= least {
            // Writing into a string does not fail.
            let _ = layout::write(finding, colours, &mut text);
            text.push_str("\n\n");
        }
    }
    text
}

/// The line at the end: "2 errors, 1 warning in 3 files; 1 can be fixed with --fix".
pub fn summary(tally: &Tally) -> String {
    let counts = [(tally.errors, "error"), (tally.warnings, "warning")];
    let counts: Vec<String> = counts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| counted(count, what))
        .collect();
    let files = match tally.affected {
        0 => counted(tally.files, "file"),
        affected if affected == tally.files => counted(affected, "file"),
        affected => format!("{affected} of {}", counted(tally.files, "file")),
    };
    let counts = if counts.is_empty() {
        "no errors".to_string()
    } else {
        counts.join(", ")
    };
    match tally.fixable {
        0 => format!("{counts} in {files}\n"),
        fixable => format!("{counts} in {files}; {fixable} can be fixed with --fix\n"),
    }
}

/// `1 error`, `2 errors`
pub fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// A finding for programs.
#[derive(Debug, Serialize)]
struct Finding<'a> {
    checked: &'a str,
    file: &'a str,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
    severity: String,
    id: Option<&'a str>,
    title: Option<&'a str>,
    message: &'a str,
    help: Option<&'a str>,
    notes: &'a [String],
    fix: Vec<PlacedEdit<'a>>,
}

/// The findings of all files, in their order, for programs: one JSON object on a line for each.
pub fn json(files: &[Checked]) -> String {
    let mut text = String::new();
    for file in files {
        for finding in &file.findings {
            let finding = Finding {
                checked: &file.name,
                file: &finding.file,
                line: finding.line,
                column: finding.column,
                end_line: finding.end_line,
                end_column: finding.end_column,
                severity: finding.severity.to_string(),
                id: finding.id,
                title: finding.id.and_then(rules::find).map(|rule| rule.title),
                message: &finding.message,
                help: finding.help.as_deref(),
                notes: &finding.notes,
                fix: file.placed_fix(finding),
            };
            // Maps with keys that are no strings are all that serde_json refuses.
            if let Ok(line) = serde_json::to_string(&finding) {
                text.push_str(&line);
                text.push('\n');
            }
        }
    }
    text
}

/// Findings at which ksvalidator gives a file up: its structure, and the body of `%packages`.
const GIVES_UP: [&str; 2] = ["KS009", "KS013"];

/// A piece of the output in the layout of [`ksvalidator`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// For stdout.
    Out(String),
    /// For stderr.
    Err(String),
}

/// The layout of ksvalidator (pykickstart 3.78, `tools/ksvalidator.py`), for editors that parse it.
///
/// ksvalidator names each file on stdout, says what is wrong with lines on stderr as it goes, and
/// what made it give up on stdout when all files are done. The same findings go the same ways
/// here, though ozr gives nothing up. Notes are left out: ksvalidator has nothing like them.
pub fn ksvalidator(files: &[Checked]) -> Vec<Piece> {
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
pub(super) mod samples {
    use super::*;
    use crate::diagnostic::Source;

    /// A file with an error that can be fixed, a warning, and an error in an included file.
    pub(crate) fn checked() -> Checked {
        let main = Named {
            name: "ks/a b.ks".into(),
            text: "text\ninstall\ntimezone Etc/UTC --isUtc\n".into(),
        };
        let part = Named {
            name: "ks/part.ks".into(),
            text: "\nfrobnicate --all\n".into(),
        };
        let source = |named: &'static str, text| Source { name: named, text };
        let main_source = source("ks/a b.ks", &main.text);
        let removed = Diagnostic::error(main_source, 5..12, "`install` was removed in RHEL 9")
            .id("KS002")
            .help("delete the line")
            .fix(5..13, "");
        let deprecated =
            Diagnostic::warning(main_source, 30..37, "`--isUtc` is deprecated").id("KS011");
        let mut unknown =
            Diagnostic::error(source("ks/part.ks", &part.text), 1..11, "unknown command")
                .id("KS001");
        unknown.notes.push("included at line 4 of ks/a b.ks".into());
        Checked {
            name: main.name.clone(),
            findings: vec![removed, deprecated, unknown],
            texts: vec![main, part],
        }
    }

    /// A file without findings.
    pub(crate) fn clean() -> Checked {
        Checked {
            name: "clean.ks".into(),
            ..Checked::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Source;

    #[test]
    fn findings_are_counted() {
        let tally = Tally::of(&[samples::checked(), samples::clean()]);
        assert_eq!(
            tally,
            Tally {
                errors: 2,
                warnings: 1,
                files: 2,
                affected: 1,
                fixable: 1
            }
        );
        assert!(!tally.passes(false));
        let only_warnings = Tally { errors: 0, ..tally };
        assert!(only_warnings.passes(false));
        assert!(!only_warnings.passes(true));
    }

    #[test]
    fn remedies_know_their_places() {
        let file = samples::checked();
        let placed = file.placed_fix(&file.findings[0]);
        assert_eq!(placed.len(), 1);
        assert_eq!((placed[0].line, placed[0].column), (2, 1));
        assert_eq!((placed[0].end_line, placed[0].end_column), (3, 1));
    }

    #[test]
    fn findings_read_like_a_compilers() {
        let files = [samples::checked(), samples::clean()];
        assert_eq!(
            human(&files, Severity::Note, &Colours::OFF),
            "error[KS002]: `install` was removed in RHEL 9\n --> ks/a b.ks:2:1\n  |\n2 | install\n  | ^^^^^^^\n  \
             = help: delete the line\n\n\
             warning[KS011]: `--isUtc` is deprecated\n --> ks/a b.ks:3:18\n  |\n3 | timezone Etc/UTC --isUtc\n  \
             |                  ^^^^^^^\n\n\
             error[KS001]: unknown command\n --> ks/part.ks:2:1\n  |\n2 | frobnicate --all\n  | ^^^^^^^^^^\n  \
             = note: included at line 4 of ks/a b.ks\n\n"
        );
        let errors = human(&files, Severity::Error, &Colours::OFF);
        assert!(!errors.contains("warning"), "{errors}");
        assert_eq!(errors.matches("error[").count(), 2);
    }

    #[test]
    fn the_count_is_a_sentence() {
        let tally = |errors, warnings, files, affected, fixable| {
            summary(&Tally {
                errors,
                warnings,
                files,
                affected,
                fixable,
            })
        };
        assert_eq!(
            tally(2, 1, 3, 3, 1),
            "2 errors, 1 warning in 3 files; 1 can be fixed with --fix\n"
        );
        assert_eq!(tally(1, 0, 1, 1, 0), "1 error in 1 file\n");
        assert_eq!(tally(0, 3, 9, 2, 0), "3 warnings in 2 of 9 files\n");
        assert_eq!(tally(0, 0, 9, 0, 0), "no errors in 9 files\n");
    }

    #[test]
    fn one_object_for_each_finding() {
        let text = json(&[samples::checked(), samples::clean()]);
        let findings: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(findings.len(), 3);
        assert_eq!(
            findings[0],
            serde_json::json!({
                "checked": "ks/a b.ks", "file": "ks/a b.ks",
                "line": 2, "column": 1, "end_line": 2, "end_column": 8,
                "severity": "error", "id": "KS002", "title": "command that was removed",
                "message": "`install` was removed in RHEL 9", "help": "delete the line",
                "notes": [],
                "fix": [{
                    "line": 2, "column": 1, "end_line": 3, "end_column": 1,
                    "start_byte": 5, "end_byte": 13, "text": "",
                }],
            })
        );
        assert_eq!(findings[2]["checked"], "ks/a b.ks");
        assert_eq!(findings[2]["file"], "ks/part.ks");
        assert_eq!(
            findings[2]["notes"],
            serde_json::json!(["included at line 4 of ks/a b.ks"])
        );
        assert_eq!(findings[2]["help"], serde_json::Value::Null);
    }

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
            ksvalidator(&[unclosed, samples::checked()]),
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
