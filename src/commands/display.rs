//! How an install or a write is shown: what `--progress` asks for, made of what `ui` has.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Classify, Kind, fail, inner_of, is_reported, kind_of, reported};
use crate::install::failed::InstallFailed;
use crate::options::{EventsTo, InstallOptions, Progress};
use crate::panics;
use crate::ui::event::{Ended, Event, Reporter, Several, Sink};
use crate::ui::json_lines::{self, JsonLines};
use crate::ui::live::{self, Live};
use crate::ui::printer::{self, Color, Printer, Verbosity};
use crate::ui::queue::{Clock, Queue, Show};

/// The display of one command.
#[derive(Debug)]
pub struct Display {
    reporter: Reporter,
    /// Whether standard error is for programs.
    for_programs: bool,
}

impl Display {
    /// Opens the display, before anything else is done; without `files` and descriptors only what
    /// standard error is for.
    ///
    /// # Errors
    /// Input: two ways to use standard error; a file or descriptor that cannot be written. Host:
    /// no threads.
    pub fn open(
        wishes: &[Progress],
        files: bool,
        verbosity: Verbosity,
        color: Color,
    ) -> anyhow::Result<Self> {
        let clock = Clock::start();
        let ways = wishes.iter().filter(|wish| uses_stderr(wish));
        let mut ways: Vec<&Progress> = ways.collect();
        ways.dedup();
        if ways.len() > 1 {
            fail!(
                Kind::Input,
                "--progress names two ways for standard error: give one of auto, live, plain, json and none, and json=FILE beside it"
            );
        }
        let way = ways.first().copied().unwrap_or(&Progress::Auto);
        let console = verbosity >= Verbosity::Console;
        let for_programs = matches!(way, Progress::Json(_));
        let first: Box<dyn Show> = match way {
            Progress::Json(_) => {
                let out = Box::new(std::io::stderr());
                let name = "standard error".to_owned();
                Box::new(JsonLines::new(out, name, console, Reporter::silent()))
            }
            way => {
                let printer = Printer::new(verbosity, color);
                let readable = [Verbosity::Normal, Verbosity::Verbose].contains(&verbosity);
                match way {
                    Progress::None => Box::new(printer.without_steps()),
                    Progress::Auto if readable && live::is_possible() => {
                        Box::new(Live::new(printer, clock))
                    }
                    Progress::Live if live::is_possible() => Box::new(Live::new(printer, clock)),
                    _ => Box::new(printer),
                }
            }
        };
        let first = queue(first, clock)?;
        let complaints = Reporter::new(Arc::clone(&first));
        let mut sinks = vec![first];
        for wish in wishes.iter().filter(|_| files) {
            if let Some((out, name)) = events_out(wish)? {
                let lines = JsonLines::new(out, name, console, complaints.clone());
                sinks.push(queue(Box::new(lines), clock)?);
            }
        }
        Ok(Display {
            reporter: Reporter::new(Arc::new(Several::new(sinks))),
            for_programs,
        })
    }

    /// Opens the display that the options ask for; where they are wrong the one that was `given` on the command
    /// line, without files.
    ///
    /// # Errors
    /// As [`Display::open`].
    pub fn of(
        given: &[Progress],
        options: &anyhow::Result<InstallOptions>,
        verbosity: Verbosity,
        color: Color,
    ) -> anyhow::Result<Self> {
        let wishes = options.as_ref().map_or(given, |options| &options.progress);
        Display::open(wishes, options.is_ok(), verbosity, color)
    }

    /// What everything is reported to.
    pub fn reporter(&self) -> &Reporter {
        &self.reporter
    }

    /// Shows how the command ended, and prints its result.
    ///
    /// # Errors
    /// That of `result`, of which only the exit status is left if all of it was shown.
    pub fn end(self, result: anyhow::Result<Vec<PathBuf>>) -> anyhow::Result<()> {
        self.end_after(result, None)
    }

    /// The same where something went wrong after the images were there.
    ///
    /// # Errors
    /// That of `result`, else `trouble`.
    pub fn end_after(
        self,
        result: anyhow::Result<Vec<PathBuf>>,
        trouble: Option<anyhow::Error>,
    ) -> anyhow::Result<()> {
        let kind_of_trouble = |error: &anyhow::Error| kind_of(error).unwrap_or(Kind::Hook);
        let ended = match &result {
            Ok(finished) => Ended {
                image: finished.first().cloned(),
                exit_status: trouble
                    .as_ref()
                    .map_or(0, |error| kind_of_trouble(error).exit_status()),
                message: trouble.as_ref().map(|error| format!("{error:#}")),
                ..Ended::default()
            },
            Err(error) => {
                let failed = inner_of::<InstallFailed>(error);
                // What a task that panicked says of itself may quote anything.
                let said = is_reported(error) || (panics::seen() && failed.is_none());
                let kind = kind_of(error).filter(|_| !panics::seen());
                Ended {
                    exit_status: kind.unwrap_or(Kind::Build).exit_status(),
                    image: None,
                    cause: failed.map(|failed| failed.verdict.cause),
                    message: (!said).then(|| format!("{error:#}")),
                    evidence: failed.and_then(|failed| failed.kept.clone()),
                }
            }
        };
        self.reporter.event(Event::Ended(ended));
        match result {
            Ok(finished) => {
                for image in &finished {
                    printer::print_result(&image.display().to_string());
                }
                match trouble {
                    Some(error) if self.for_programs => Err(reported(kind_of_trouble(&error))),
                    Some(error) => Err(error),
                    None => Ok(()),
                }
            }
            Err(error) if self.for_programs => {
                Err(reported(kind_of(&error).unwrap_or(Kind::Build)))
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether it says what standard error is for.
fn uses_stderr(wish: &Progress) -> bool {
    match wish {
        Progress::Json(EventsTo::Stderr) => true,
        Progress::Json(_) => false,
        Progress::Auto | Progress::Live | Progress::Plain | Progress::None => true,
    }
}

/// Where events go beside standard error, and its name; none for other wishes.
fn events_out(wish: &Progress) -> anyhow::Result<Option<(Box<dyn Write + Send>, String)>> {
    let (file, name) = match wish {
        Progress::Json(EventsTo::File(path)) => {
            (json_lines::open_file(path), path.display().to_string())
        }
        Progress::Json(EventsTo::Descriptor(number)) => (
            json_lines::open_descriptor(*number),
            format!("descriptor {number}"),
        ),
        _ => return Ok(None),
    };
    Ok(Some((Box::new(file.kind(Kind::Input)?), name)))
}

fn queue(show: Box<dyn Show>, clock: Clock) -> anyhow::Result<Arc<dyn Sink>> {
    let queue = Queue::start(show, clock).kind(Kind::Host)?;
    Ok(Arc::new(queue))
}
