//! The only place that prints. Progress and diagnostics go to stderr, results to stdout.

// Every other module is kept from printing by these lints.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io::Write;
use std::sync::Mutex;
use std::time::Instant;

use anstream::{AutoStream, ColorChoice};
use clap::ValueEnum;

use super::event::{Event, Sink};
use crate::diagnostic::layout::{self, Colours};
use crate::diagnostic::{Diagnostic, Severity};
use crate::error::{finding_of, is_reported};

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
    /// The least severity of findings that is shown.
    pub fn least_severity(self) -> Severity {
        match self {
            Verbosity::Quiet => Severity::Error,
            Verbosity::Warnings => Severity::Warning,
            Verbosity::Normal | Verbosity::Verbose | Verbosity::Console => Severity::Note,
        }
    }

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

/// When findings are coloured: `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set; elsewhere if CLICOLOR_FORCE is
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Color {
    /// The colours for stderr.
    pub fn for_stderr(self) -> Colours {
        self.of(AutoStream::choice(&std::io::stderr()))
    }

    /// The colours for stdout.
    pub fn for_stdout(self) -> Colours {
        self.of(AutoStream::choice(&std::io::stdout()))
    }

    fn of(self, choice: ColorChoice) -> Colours {
        Colours::of(match self {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => choice != ColorChoice::Never,
        })
    }
}

/// Prints events to stderr, each step with the time since the start.
#[derive(Debug)]
pub struct Printer {
    verbosity: Verbosity,
    colours: Colours,
    started: Instant,
    // One event is one write: lines of several threads never mix.
    out: Mutex<std::io::Stderr>,
}

impl Printer {
    /// A printer that shows what `verbosity` asks for.
    pub fn new(verbosity: Verbosity, color: Color) -> Self {
        Printer {
            verbosity,
            colours: color.for_stderr(),
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
                if finding.severity >= self.verbosity.least_severity() {
                    self.line(Verbosity::Quiet, &laid_out(&finding, &self.colours));
                }
            }
            Event::Evidence(text) => self.line(Verbosity::Quiet, &format!("  | {text}")),
            Event::Console(text) => self.line(Verbosity::Console, &format!("         | {text}")),
        }
    }
}

/// Prints the one sentence of a failed command, or the finding that ended it; nothing if the
/// command has said it all.
pub fn print_error(error: &anyhow::Error, color: Color) {
    match finding_of(error) {
        _ if is_reported(error) => {}
        Some(finding) => eprintln!("{}", laid_out(finding, &color.for_stderr())),
        None => eprintln!("error: {error:#}"),
    }
}

/// Prints that ozr has met a defect of its own.
pub fn print_defect(sentence: &str) {
    // A closed stderr must not make a second panic of the first.
    let _ = std::io::stderr().write_all(format!("error: {sentence}\n").as_bytes());
}

fn laid_out(finding: &Diagnostic, colours: &Colours) -> String {
    let mut text = String::new();
    // Writing into a string does not fail.
    let _ = layout::write(finding, colours, &mut text);
    text
}

/// Prints a report of several lines to stderr as it is.
pub fn print_report(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Prints a result for scripts: one line on stdout. A reader that went away is no error.
pub fn print_result(line: &str) {
    print_text(&format!("{line}\n"));
}

/// Writes bytes to stdout as they are.
///
/// # Errors
/// Standard output is closed or full.
pub fn print_bytes(bytes: &[u8]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Prints a text of several lines to stdout as it is.
pub fn print_text(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
