//! Findings for people, and the count at the end.

use super::{Checked, Tally};
use crate::diagnostic::Severity;
use crate::diagnostic::layout::{self, Colours};

/// The findings that are at least as bad as `least`, with an empty line behind each.
pub fn findings(files: &[Checked], least: Severity, colours: &Colours) -> String {
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

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn findings_read_like_a_compilers() {
        let files = [samples::checked(), samples::clean()];
        assert_eq!(
            findings(&files, Severity::Note, &Colours::OFF),
            "error[KS002]: `install` was removed in RHEL 9\n --> ks/a b.ks:2:1\n  |\n2 | install\n  | ^^^^^^^\n  \
             = help: delete the line\n\n\
             warning[KS011]: `--isUtc` is deprecated\n --> ks/a b.ks:3:18\n  |\n3 | timezone Etc/UTC --isUtc\n  \
             |                  ^^^^^^^\n\n\
             error[KS001]: unknown command\n --> ks/part.ks:2:1\n  |\n2 | frobnicate --all\n  | ^^^^^^^^^^\n  \
             = note: included at line 4 of ks/a b.ks\n\n"
        );
        let errors = findings(&files, Severity::Error, &Colours::OFF);
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
}
