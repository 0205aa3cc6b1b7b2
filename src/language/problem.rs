//! What is wrong with one line, before it has a place in a file.

use std::ops::Range;

use crate::diagnostic::Severity;

/// Ids of what the language itself says; explained in [`crate::check::rules`].
pub mod id {
    /// A command that the version does not have.
    pub const UNKNOWN_COMMAND: &str = "KS001";
    /// A command that the version refuses by name.
    pub const REMOVED_COMMAND: &str = "KS002";
    /// An option that the command does not have in this version.
    pub const UNKNOWN_OPTION: &str = "KS003";
    /// A value that the option does not take.
    pub const BAD_VALUE: &str = "KS004";
    /// An option, argument or value that is needed.
    pub const MISSING: &str = "KS005";
    /// An argument that the command does not take.
    pub const UNEXPECTED: &str = "KS006";
    /// Options that contradict each other or the command.
    pub const CONTRADICTION: &str = "KS007";
    /// Commands that cannot stand in the same kickstart.
    pub const CONFLICT: &str = "KS008";
    /// Sections, quotes, encoding, includes.
    pub const STRUCTURE: &str = "KS009";
    /// A command that is ignored.
    pub const DEPRECATED_COMMAND: &str = "KS010";
    /// An option that is ignored, or will be.
    pub const DEPRECATED_OPTION: &str = "KS011";
    /// Something that is declared twice.
    pub const DUPLICATE: &str = "KS012";
    /// A line of `%packages`.
    pub const PACKAGES: &str = "KS013";
}

/// One thing that is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Error: the installer refuses the line; warning: it says something and goes on.
    pub severity: Severity,
    /// The rule, one of [`id`].
    pub id: &'static str,
    /// Where, in bytes of the text; the command's name if unset.
    pub span: Option<Range<usize>>,
    /// One sentence that names the cause.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

/// Whether the installer refuses a line that has these problems.
pub fn refuse(problems: &[Problem]) -> bool {
    let is_error = |problem: &Problem| problem.severity == Severity::Error;
    problems.iter().any(is_error)
}

impl Problem {
    /// The installer refuses the line.
    pub fn error(id: &'static str, message: impl Into<String>) -> Problem {
        Problem {
            severity: Severity::Error,
            id,
            span: None,
            message: message.into(),
            help: None,
        }
    }

    /// The installer says something and goes on.
    pub fn warning(id: &'static str, message: impl Into<String>) -> Problem {
        Problem {
            severity: Severity::Warning,
            ..Problem::error(id, message)
        }
    }

    /// Names the place; none leaves it at the command's name.
    #[must_use]
    pub fn at(mut self, span: Option<Range<usize>>) -> Problem {
        self.span = span.or(self.span);
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }
}
