//! Findings as text: for people, for programs, for code hosts, for editors.
//!
//! Everything here is pure: [`Checked`] files in, text out.
//!
//! * [`human`]: like a compiler's messages, and the count at the end.
//! * [`json`]: one object for each finding; `docs/check-json.md`.
//! * [`sarif`]: a SARIF 2.1.0 log.
//! * [`ksvalidator`]: the layout of pykickstart's ksvalidator.

pub mod human;
pub mod json;
pub mod ksvalidator;
pub mod sarif;

use crate::diagnostic::{Diagnostic, Edit, Lines, Severity};

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

/// An edit with its place in lines and columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedEdit<'a> {
    /// Line and column of its beginning, from 1, in characters.
    pub start: (usize, usize),
    /// Line and column behind its end.
    pub end: (usize, usize),
    /// The edit.
    pub edit: &'a Edit,
}

impl Checked {
    /// The finding's fix, each edit with its place; nothing if the text is not known.
    pub fn placed_fix<'a>(&self, finding: &'a Diagnostic) -> Vec<PlacedEdit<'a>> {
        let Some(text) = self.texts.iter().find(|text| text.name == finding.file) else {
            return Vec::new();
        };
        let lines = Lines::of(&text.text);
        let place = |edit: &'a Edit| PlacedEdit {
            start: lines.position(&text.text, edit.span.start),
            end: lines.position(&text.text, edit.span.end),
            edit,
        };
        finding.fix.iter().map(place).collect()
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
        assert_eq!((placed[0].start, placed[0].end), ((2, 1), (3, 1)));
    }
}
