//! How a finding is laid out for people: like a compiler's messages, with or without colours.
//!
//! There is one layout. `Display` is the same without colours.

use std::fmt;

use anstyle::{AnsiColor, Style};

use super::{Diagnostic, Severity};
use crate::printable;

/// The colours of the parts of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colours {
    error: Style,
    warning: Style,
    note: Style,
    message: Style,
    frame: Style,
}

impl Colours {
    /// No colours at all, as for a file.
    pub const OFF: Colours = Colours {
        error: Style::new(),
        warning: Style::new(),
        note: Style::new(),
        message: Style::new(),
        frame: Style::new(),
    };

    /// The colours of rustc, which are readable on dark and on light terminals.
    pub const ON: Colours = Colours {
        error: AnsiColor::BrightRed.on_default().bold(),
        warning: AnsiColor::Yellow.on_default().bold(),
        note: AnsiColor::Green.on_default().bold(),
        message: Style::new().bold(),
        frame: AnsiColor::BrightBlue.on_default().bold(),
    };

    /// On or off.
    pub fn of(coloured: bool) -> Colours {
        if coloured { Colours::ON } else { Colours::OFF }
    }

    /// The colour of a severity.
    pub fn severity(&self, severity: Severity) -> Style {
        match severity {
            Severity::Error => self.error,
            Severity::Warning => self.warning,
            Severity::Note => self.note,
        }
    }
}

/// Writes a finding without a line end behind it.
///
/// # Errors
/// Those of the formatter.
pub fn write(
    finding: &Diagnostic,
    colours: &Colours,
    out: &mut impl fmt::Write,
) -> Result<(), fmt::Error> {
    let severity = colours.severity(finding.severity);
    let Colours { message, frame, .. } = colours;
    write!(out, "{severity}{}", finding.severity)?;
    if let Some(id) = finding.id {
        write!(out, "[{id}]")?;
    }
    let text = printable::line(&finding.message);
    write!(out, "{severity:#}{message}: {text}{message:#}")?;
    let file = printable::line(&finding.file);
    let margin = if finding.whole_file {
        write!(out, "\n {frame}-->{frame:#} {file}")?;
        " ".to_string()
    } else {
        let number = finding.line.to_string();
        let margin = " ".repeat(number.len());
        let (excerpt, carets) = finding.excerpt();
        let (before, under) = (" ".repeat(carets.start), "^".repeat(carets.len()));
        write!(
            out,
            "\n{margin}{frame}-->{frame:#} {file}:{}:{}",
            finding.line, finding.column
        )?;
        write!(out, "\n{margin} {frame}|{frame:#}")?;
        write!(out, "\n{frame}{number} |{frame:#} {excerpt}")?;
        write!(
            out,
            "\n{margin} {frame}|{frame:#} {before}{severity}{under}{severity:#}"
        )?;
        margin
    };
    let mut remark = |kind: &str, text: &str| {
        let text = printable::line(text);
        write!(
            out,
            "\n{margin} {frame}={frame:#} {message}{kind}{message:#}: {text}"
        )
    };
    for note in &finding.notes {
        remark("note", note)?;
    }
    if let Some(help) = &finding.help {
        remark("help", help)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Source;

    fn finding() -> Diagnostic {
        let source = Source {
            name: "a.ks",
            text: "text\ninstall\n",
        };
        let mut finding = Diagnostic::error(source, 5..12, "`install` was removed").id("KS002");
        finding.notes.push("included at line 3 of main.ks".into());
        finding.help("delete the line")
    }

    fn coloured(finding: &Diagnostic) -> String {
        let mut text = String::new();
        write(finding, &Colours::ON, &mut text).unwrap();
        text
    }

    #[test]
    fn colours_change_nothing_but_the_colours() {
        let plain = "error[KS002]: `install` was removed\n --> a.ks:2:1\n  |\n2 | install\n  | ^^^^^^^\n  \
                     = note: included at line 3 of main.ks\n  = help: delete the line";
        assert_eq!(finding().to_string(), plain);
        let coloured = coloured(&finding());
        assert!(
            coloured.starts_with("\u{1b}[1m\u{1b}[91merror[KS002]\u{1b}[0m"),
            "{coloured:?}"
        );
        assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
        assert!(coloured.ends_with("delete the line"));
    }

    #[test]
    fn a_finding_about_a_whole_file_has_no_excerpt() {
        let finding =
            Diagnostic::of_file(Severity::Error, "x.ks", "it cannot be read").help("look");
        assert_eq!(
            finding.to_string(),
            "error: it cannot be read\n --> x.ks\n  = help: look"
        );
        assert_eq!((finding.line, finding.column), (1, 1));
    }

    #[test]
    fn nothing_found_reaches_the_terminal_as_a_command() {
        let name = "x\u{1b}]0;title\u{7}\nerror: y\u{202e}.ks";
        let finding = Diagnostic::of_file(Severity::Note, name, "a\u{1b}[2Jb");
        assert_eq!(
            finding.to_string(),
            "note: a\\u{1b}[2Jb\n --> x\\u{1b}]0;title\\u{7}\\nerror: y\\u{202e}.ks"
        );
        let source = Source {
            name: "x.ks",
            text: "a\u{202e}b\tc\n",
        };
        let shown = Diagnostic::error(source, 4..5, "m").to_string();
        assert!(shown.contains("1 | a b c\n  |   ^"), "{shown}");
    }
}
