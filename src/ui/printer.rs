//! The only place that prints. Progress and diagnostics go to stderr, results to stdout.

// Every other module is kept from printing by these lints.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io::Write;
use std::sync::Mutex;
use std::time::Instant;

use super::event::{Event, Sink};
use crate::diagnostic::Severity;
use crate::error::finding_of;

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Only errors.
    Quiet,
    /// Warnings too.
    Warnings,
    /// Steps and notes too.
    Normal,
    /// Details too.
    Verbose,
    /// The guest's console too.
    Console,
}

impl Verbosity {
    /// The verbosity of Oz's `-d LEVEL`; what is above the highest level is the highest.
    pub fn of_level(level: u8) -> Self {
        const ALL: [Verbosity; 5] = [
            Verbosity::Quiet,
            Verbosity::Warnings,
            Verbosity::Normal,
            Verbosity::Verbose,
            Verbosity::Console,
        ];
        ALL[usize::from(level).min(ALL.len() - 1)]
    }
}

/// Prints events to stderr, each step with the time since the start.
#[derive(Debug)]
pub struct Printer {
    verbosity: Verbosity,
    started: Instant,
    // One event is one write: lines of several threads never mix.
    out: Mutex<std::io::Stderr>,
}

impl Printer {
    /// A printer that shows what `verbosity` asks for.
    pub fn new(verbosity: Verbosity) -> Self {
        Printer {
            verbosity,
            started: Instant::now(),
            out: Mutex::new(std::io::stderr()),
        }
    }

    fn line(&self, least: Verbosity, text: &str) {
        if self.verbosity < least {
            return;
        }
        let mut out = self
            .out
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        // A closed stderr is no reason to stop a build.
        let _ = out.write_all(format!("{text}\n").as_bytes());
    }
}

impl Sink for Printer {
    fn take(&self, event: Event) {
        match event {
            Event::Step(text) => {
                let seconds = self.started.elapsed().as_secs_f64();
                self.line(Verbosity::Normal, &format!("[{seconds:7.1}s] {text}"));
            }
            Event::Detail(text) => self.line(Verbosity::Verbose, &format!("           {text}")),
            Event::Note(text) => self.line(Verbosity::Normal, &format!("note: {text}")),
            Event::Warning(text) => self.line(Verbosity::Warnings, &format!("warning: {text}")),
            Event::Error(text) => self.line(Verbosity::Quiet, &format!("error: {text}")),
            Event::Finding(finding) => {
                let least = match finding.severity {
                    Severity::Error => Verbosity::Quiet,
                    Severity::Warning => Verbosity::Warnings,
                    Severity::Note => Verbosity::Normal,
                };
                self.line(least, &finding.to_string());
            }
            Event::Evidence(text) => self.line(Verbosity::Quiet, &format!("  | {text}")),
            Event::Console(text) => self.line(Verbosity::Console, &format!("         | {text}")),
        }
    }
}

/// Prints the one sentence of a failed command, or the finding that ended it.
pub fn print_error(error: &anyhow::Error) {
    match finding_of(error) {
        Some(finding) => eprintln!("{finding}"),
        None => eprintln!("error: {error:#}"),
    }
}

/// Prints a result for scripts: one line on stdout. A reader that went away is no error.
pub fn print_result(line: &str) {
    print_text(&format!("{line}\n"));
}

/// Prints a text of several lines to stdout as it is.
pub fn print_text(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
