//! The only place that prints. Progress and diagnostics go to stderr, results to stdout.

// Every other module is kept from printing by these lints.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io::{ErrorKind, Write};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use clap::ValueEnum;
use strum::FromRepr;

use super::event::{Event, Sink};
use super::queue::{Clock, Moment, Show};
use crate::diagnostic::layout::{self, Colours};
use crate::diagnostic::{Diagnostic, Severity};
use crate::error::{finding_of, is_reported};
use crate::panics::lock;
use crate::printable;

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, FromRepr)]
#[repr(u8)]
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
        Verbosity::from_repr(level).unwrap_or(Verbosity::Console)
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
            // `choice` takes a CI's terminal for one with colours, whatever it is.
            Color::Auto => {
                let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
                choice != ColorChoice::Never && !dumb
            }
        })
    }
}

/// How often a phase that lasts is heard of: whoever reads the log of a CI job sees that it lives,
/// and an install of half an hour adds no more than a screen or two.
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);

/// Prints events to stderr, each step with the time since the start.
#[derive(Debug)]
pub struct Printer {
    verbosity: Verbosity,
    colours: Colours,
    steps: bool,
    clock: Clock,
    // One event is one write: lines of several threads never mix.
    out: Mutex<std::io::Stderr>,
    /// When the last step, or sign of life in it, was printed.
    heard: Mutex<Duration>,
}

impl Printer {
    /// A printer that shows what `verbosity` asks for.
    pub fn new(verbosity: Verbosity, color: Color) -> Self {
        Printer {
            verbosity,
            colours: color.for_stderr(),
            steps: true,
            clock: Clock::start(),
            out: Mutex::new(std::io::stderr()),
            heard: Mutex::new(Duration::ZERO),
        }
    }

    /// Leaves out steps and progress, which are shown in another way, or not at all.
    #[must_use]
    pub fn without_steps(self) -> Self {
        Printer {
            steps: false,
            ..self
        }
    }

    fn line(&self, least: Verbosity, text: &str) {
        if self.verbosity < least {
            return;
        }
        let text = printable::line(text);
        self.whole(&text);
    }

    fn whole(&self, text: &str) {
        let mut out = lock(&self.out);
        // A closed stderr is no reason to stop a build.
        let _ = out.write_all(format!("{text}\n").as_bytes());
    }

    /// A sentence, in the colours of findings.
    fn message(&self, severity: Severity, text: &str) {
        if severity >= self.verbosity.least_severity() {
            self.whole(&sentence(severity, text, &self.colours));
        }
    }

    /// Prints one line that says how a build ended.
    pub fn result(&self, text: &str) {
        self.line(Verbosity::Normal, text);
    }

    /// Prints one line that says how one of several builds ended, with the time where steps have it.
    pub fn ended(&self, moment: Moment, text: &str) {
        match self.steps {
            true => self.step(moment, text),
            false => self.result(text),
        }
    }

    fn step(&self, moment: Moment, text: &str) {
        if self.steps {
            *lock(&self.heard) = moment.since_start;
            let seconds = moment.since_start.as_secs_f64();
            self.line(Verbosity::Normal, &format!("[{seconds:7.1}s] {text}"));
        }
    }

    fn sign_of_life(&self, moment: Moment, doing: &str, words: impl Fn() -> String) {
        let heard = *lock(&self.heard);
        // The console is a sign of life, too.
        if self.verbosity < Verbosity::Console && moment.since_start >= heard + SIGN_OF_LIFE {
            self.step(moment, &format!("{doing}: {}", words()));
        }
    }

    /// Prints one event that happened at `moment`.
    pub fn print(&self, moment: Moment, event: Event) {
        match event {
            Event::Step(text) => self.step(moment, &text),
            Event::Phase(phase) => self.step(moment, phase.title()),
            Event::Progress(progress) => {
                self.sign_of_life(moment, progress.phase.title(), || progress.words());
            }
            Event::Transfer(transfer) => {
                self.sign_of_life(moment, transfer.doing, || transfer.words());
            }
            Event::Detail(text) => self.line(Verbosity::Verbose, &format!("           {text}")),
            Event::Note(text) => self.message(Severity::Note, &text),
            Event::Changed(text) => self.line(Verbosity::Normal, &format!("changed: {text}")),
            Event::Kept { name, finished, .. } => self.message(
                Severity::Note,
                &format!("nothing has changed: {name} of {finished} is kept"),
            ),
            Event::Warning(text) => self.message(Severity::Warning, &text),
            Event::Error(text) => self.message(Severity::Error, &text),
            Event::Finding(finding) if finding.severity >= self.verbosity.least_severity() => {
                self.whole(&laid_out(&finding, &self.colours));
            }
            Event::Evidence(text) => self.line(Verbosity::Warnings, &format!("  | {text}")),
            Event::Console(text) => self.line(Verbosity::Console, &format!("         | {text}")),
            Event::Lost { count } => {
                self.line(Verbosity::Warnings, &format!("({count} lines left out)"));
            }
            // What there is to say of them is said by other events, and by the command's end.
            _ => {}
        }
    }
}

impl Sink for Printer {
    fn take(&self, event: Event) {
        self.print(self.clock.now(), event);
    }
}

impl Show for Printer {
    fn show(&mut self, moment: Moment, event: Event) {
        self.print(moment, event);
    }
}

/// Prints the one sentence of a failed command, or the finding that ended it; nothing if the
/// command has said it all.
pub fn print_error(error: &anyhow::Error, color: Color) {
    match finding_of(error) {
        _ if is_reported(error) => {}
        Some(finding) => print_report(&format!("{}\n", laid_out(finding, &color.for_stderr()))),
        None => {
            let text = sentence(Severity::Error, &format!("{error:#}"), &color.for_stderr());
            print_report(&format!("{text}\n"));
        }
    }
}

/// `error: TEXT` and the like, coloured as a finding is.
fn sentence(severity: Severity, text: &str, colours: &Colours) -> String {
    let colour = colours.severity(severity);
    format!("{colour}{severity}{colour:#}: {}", printable::line(text))
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

/// Prints a report of several lines to stderr as it is. A reader that went away, or a full disk,
/// does not change how the command ends.
pub fn print_report(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Prints a result for scripts: one line on stdout.
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

/// Lets `write` write to stdout; what it returns.
pub fn with_stdout<T>(write: impl FnOnce(&mut dyn std::io::Write) -> T) -> T {
    let mut out = std::io::BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
    write(&mut out)
}

/// Prints a text of several lines to stdout as it is. What cannot be written is known to
/// [`unwritten`]; a reader that went away is no error.
pub fn print_text(text: &str) {
    match print_bytes(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            UNWRITTEN.get_or_init(|| error);
        }
        _ => {}
    }
}

/// The first error of [`print_text`] and [`print_result`]: a command that did its work and could
/// not say so has failed.
pub fn unwritten() -> Option<&'static std::io::Error> {
    UNWRITTEN.get()
}

static UNWRITTEN: OnceLock<std::io::Error> = OnceLock::new();
