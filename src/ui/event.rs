//! Things worth telling a person or a program, independent of how they are shown. As JSON they are
//! what `docs/progress.md` describes for programs.
//!
//! How far an install is comes from here in words, too.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::diagnostic::Diagnostic;
use crate::watch::cause::Cause;
use crate::watch::phases::Phase;
use crate::watch::progress::Counted;
use crate::watch::verdict::{Source, seconds, seconds_if_known};
use crate::watch::witness::End;

/// Something that happened. No event carries a secret: what holds one is masked before.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The build of an image began.
    BuildStarted {
        /// Name of the image and of the guest.
        name: String,
        /// The release, as people call it.
        release: String,
        /// The build's id, the mark on all that it makes.
        id: String,
    },
    /// Something is another than when the image was built that is there.
    Changed(#[serde(serialize_with = "as_text")] String),
    /// The image that is there is what would come of the build, and is kept.
    Kept {
        /// Its name.
        name: String,
        /// The id of the build that made it.
        id: String,
        /// When that was done (RFC 3339, UTC).
        finished: String,
    },
    /// A step of the build began ("fetching the kernel and initrd").
    Step(#[serde(serialize_with = "as_text")] String),
    /// The install entered a phase.
    Phase(#[serde(serialize_with = "with_title")] Phase),
    /// How far the install is.
    Progress(Progress),
    /// How far a disk is written.
    Transfer(Transfer),
    /// Why the install failed.
    Verdict(Judged),
    /// A detail below a step, shown with `-v`.
    Detail(#[serde(serialize_with = "as_text")] String),
    /// Something the user should know, though all is well.
    Note(#[serde(serialize_with = "as_text")] String),
    /// Something that works, but probably not as meant.
    Warning(#[serde(serialize_with = "as_text")] String),
    /// Something failed, and the command goes on with the rest.
    Error(#[serde(serialize_with = "as_text")] String),
    /// A finding in a template, kickstart or configuration file.
    Finding(#[serde(serialize_with = "as_finding")] Diagnostic),
    /// A line of the guest's console, shown with `-vv`.
    Console(#[serde(serialize_with = "as_text")] String),
    /// One of the last lines of a guest that failed.
    Evidence(#[serde(serialize_with = "as_text")] String),
    /// So many events were left out here: whoever reads them was too slow.
    Lost {
        /// How many.
        count: u64,
    },
    /// The command ends: the last event.
    Ended(Ended),
    /// Our server handed out the whole kickstart.
    KickstartFetched,
    /// The installer asks what the kickstart does not answer.
    Question {
        /// Who says it.
        source: Source,
        /// The line.
        text: String,
    },
    /// A text that tells of a failure.
    ErrorText {
        /// Who says it.
        source: Source,
        /// The line.
        text: String,
        /// The cause that the text suggests.
        cause: Cause,
        /// Whether it decides the install, if nothing contradicts it.
        fatal: bool,
    },
    /// A script that ozr added says something.
    ScriptOutput {
        /// The line.
        text: String,
    },
    /// The completion mark: all scripts of the kickstart are done.
    Mark,
    /// The guest runs no more.
    GuestEnded {
        /// How.
        how: End,
        /// What the hypervisor says of it.
        detail: Option<String>,
    },
}

fn as_text<S: Serializer>(text: &str, to: S) -> Result<S::Ok, S::Error> {
    let mut fields = to.serialize_map(Some(1))?;
    fields.serialize_entry("text", text)?;
    fields.end()
}

fn with_title<S: Serializer>(phase: &Phase, to: S) -> Result<S::Ok, S::Error> {
    let mut fields = to.serialize_map(Some(2))?;
    fields.serialize_entry("phase", phase)?;
    fields.serialize_entry("title", phase.title())?;
    fields.end()
}

fn as_finding<S: Serializer>(finding: &Diagnostic, to: S) -> Result<S::Ok, S::Error> {
    let mut fields = to.serialize_map(None)?;
    fields.serialize_entry("severity", &finding.severity.to_string())?;
    fields.serialize_entry("id", &finding.id)?;
    fields.serialize_entry("file", &finding.file)?;
    fields.serialize_entry("line", &finding.line)?;
    fields.serialize_entry("column", &finding.column)?;
    fields.serialize_entry("text", &finding.message)?;
    fields.serialize_entry("help", &finding.help)?;
    fields.end()
}

/// How far an install is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// The phase.
    pub phase: Phase,
    /// How much is done, in percent. Never decreases within one attempt; 100 is never reached:
    /// that is what the end says.
    pub percent: u8,
    /// Packages installed.
    pub packages: Option<Counted>,
    /// Bytes of packages downloaded.
    pub download: Option<Counted>,
    /// Since the build began.
    #[serde(serialize_with = "seconds")]
    pub elapsed: Duration,
    /// How long it will go on, from earlier builds like this one; none where there were none.
    #[serde(serialize_with = "seconds_if_known")]
    pub remaining: Option<Duration>,
}

/// How far a disk is written, or read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Transfer {
    /// The image.
    pub name: String,
    /// What goes on, in words.
    pub doing: &'static str,
    /// Bytes so far.
    pub done: u64,
    /// Bytes in all, if that is known.
    pub total: Option<u64>,
    /// How much of it is done, in percent, if that is known.
    pub percent: Option<u8>,
    /// Since it began.
    #[serde(serialize_with = "seconds")]
    pub elapsed: Duration,
    /// How long it will go on, at the rate of before.
    #[serde(serialize_with = "seconds_if_known")]
    pub remaining: Option<Duration>,
}

impl Transfer {
    /// `done` of `total` bytes after `elapsed`.
    pub fn new(
        name: &str,
        doing: &'static str,
        done: u64,
        total: Option<u64>,
        elapsed: Duration,
    ) -> Self {
        let total = total.filter(|total| *total > 0);
        let part = total.map(|total| (done as f64 / total as f64).min(1.0));
        // At the very beginning there is no rate.
        let known = part.filter(|part| *part > 0.01);
        Transfer {
            name: name.to_owned(),
            doing,
            done,
            total,
            percent: part.map(|part| (part * 100.0) as u8),
            elapsed,
            remaining: known.map(|part| elapsed.mul_f64((1.0 - part) / part)),
        }
    }

    /// Bytes of how many: `120/3400 MiB`.
    pub fn count(&self) -> String {
        match self.total {
            Some(total) => bytes(Counted {
                done: self.done,
                total,
            }),
            None => format!("{:.0} MiB", self.done as f64 / MIB),
        }
    }

    /// Percent, bytes, what is left: `43%, 120/340 MiB, about 3 min left`.
    pub fn words(&self) -> String {
        let parts = [
            self.percent.map(|percent| format!("{percent}%")),
            Some(self.count()),
            self.remaining.map(remaining),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// Why an install failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Judged {
    /// The cause.
    pub cause: Cause,
    /// The cause in a few words.
    pub title: &'static str,
    /// What failed, how far it got, and what to do.
    pub sentence: String,
    /// How far it got.
    pub phase: Phase,
    /// The exit status that follows from it.
    pub exit_status: u8,
    /// Whether the same build may succeed another time.
    pub retry: bool,
    /// What decided it.
    pub decisive: Decisive,
}

/// What decided an install: a line, the guest's end, a limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decisive {
    /// Who said it.
    pub source: Source,
    /// What.
    pub text: String,
    /// How long ago it was read. Programs are told when that was.
    #[serde(skip)]
    pub age: Duration,
}

/// How a command ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Ended {
    /// The exit status of the process.
    pub exit_status: u8,
    /// The image.
    #[serde(serialize_with = "as_shown")]
    pub image: Option<PathBuf>,
    /// Why there is none, if an install failed.
    pub cause: Option<Cause>,
    /// The same in one sentence.
    pub message: Option<String>,
    /// Where what explains it is kept.
    #[serde(serialize_with = "as_shown")]
    pub evidence: Option<PathBuf>,
}

/// A path as people see it: JSON has no other bytes than UTF-8.
fn as_shown<S: Serializer>(path: &Option<PathBuf>, to: S) -> Result<S::Ok, S::Error> {
    let shown = path.as_ref().map(|path| path.display().to_string());
    shown.serialize(to)
}

/// Takes events. Implementations must not block for long: events come from threads that feed
/// the guest's console.
pub trait Sink: Send + Sync {
    /// Takes one event.
    fn take(&self, event: Event);
}

/// Hands every event to each of several sinks, in their order.
pub struct Several(Vec<Arc<dyn Sink>>);

impl fmt::Debug for Several {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Several")
    }
}

impl Several {
    /// Of these sinks.
    pub fn new(sinks: Vec<Arc<dyn Sink>>) -> Self {
        Several(sinks)
    }
}

impl Sink for Several {
    fn take(&self, event: Event) {
        let Some((last, others)) = self.0.split_last() else {
            return;
        };
        for sink in others {
            sink.take(event.clone());
        }
        last.take(event);
    }
}

/// A handle through which every layer reports; cheap to clone.
#[derive(Clone)]
pub struct Reporter(Arc<dyn Sink>);

impl Reporter {
    /// Reports to `sink`.
    pub fn new(sink: Arc<dyn Sink>) -> Self {
        Reporter(sink)
    }

    /// Reports to nobody.
    pub fn silent() -> Self {
        Reporter(Arc::new(Several(Vec::new())))
    }

    /// The same, and to another sink, too.
    #[must_use]
    pub fn and(&self, other: Arc<dyn Sink>) -> Self {
        Reporter(Arc::new(Several::new(vec![Arc::clone(&self.0), other])))
    }

    /// Reports an event.
    pub fn event(&self, event: Event) {
        self.0.take(event);
    }

    /// Reports that a step of the build began.
    pub fn step(&self, message: impl Into<String>) {
        self.event(Event::Step(message.into()));
    }

    /// Reports a detail.
    pub fn detail(&self, message: impl Into<String>) {
        self.event(Event::Detail(message.into()));
    }

    /// Reports something the user should know.
    pub fn note(&self, message: impl Into<String>) {
        self.event(Event::Note(message.into()));
    }

    /// Reports something that is probably not as meant.
    pub fn warn(&self, message: impl Into<String>) {
        self.event(Event::Warning(message.into()));
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reporter")
    }
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const MIB: f64 = (1 << 20) as f64;

impl Progress {
    /// Percent, packages, what is left: `43%, 212/412 packages, about 3 min left`.
    pub fn words(&self) -> String {
        let unit = if self.phase == Phase::Packages {
            " packages"
        } else {
            ""
        };
        let parts = [
            Some(format!("{}%", self.percent)),
            self.count().map(|count| count + unit),
            self.remaining.map(remaining),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// How many are done of what is counted in this phase: packages, or bytes of them.
    pub fn count(&self) -> Option<String> {
        match self.phase {
            Phase::Downloading => self.download.map(bytes),
            Phase::Packages => {
                let Counted { done, total } = self.packages?;
                Some(format!("{done}/{total}"))
            }
            _ => None,
        }
    }
}

/// Bytes of how many: `12.0/340 MiB`.
fn bytes(counted: Counted) -> String {
    let mib = |bytes: u64| {
        let mib = bytes as f64 / MIB;
        match mib < 99.95 {
            true => format!("{mib:.1}"),
            false => format!("{mib:.0}"),
        }
    };
    format!("{}/{} MiB", mib(counted.done), mib(counted.total))
}

/// What is left, no more exactly than it is known: `about 3 min left`.
pub fn remaining(span: Duration) -> String {
    let seconds = span.as_secs();
    // Half minutes count as whole ones.
    let minutes = (seconds + MINUTE / 2) / MINUTE;
    match minutes {
        0 => "less than 1 min left".to_owned(),
        1..60 => format!("about {minutes} min left"),
        _ => format!("about {} h {} min left", minutes / 60, minutes % 60),
    }
}

/// A time that has passed, as a watch shows it: `4:05`, `1:02:33`.
pub fn elapsed(span: Duration) -> String {
    let seconds = span.as_secs();
    let (hours, minutes) = (seconds / HOUR, seconds % HOUR / MINUTE);
    let seconds = seconds % MINUTE;
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        hours => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes() {
        let of = Duration::from_secs;
        assert_eq!(elapsed(of(0)), "0:00");
        assert_eq!(elapsed(of(245)), "4:05");
        assert_eq!(elapsed(of(3753)), "1:02:33");
        assert_eq!(remaining(of(29)), "less than 1 min left");
        assert_eq!(remaining(of(30)), "about 1 min left");
        assert_eq!(remaining(of(170)), "about 3 min left");
        assert_eq!(remaining(of(3 * 3600 + 65)), "about 3 h 1 min left");
        let counted = |done, total| Counted { done, total };
        assert_eq!(bytes(counted(1 << 19, 340 << 20)), "0.5/340 MiB");
    }

    #[test]
    fn only_what_is_known_is_said() {
        let mut of = Progress {
            phase: Phase::Packages,
            percent: 43,
            packages: None,
            download: None,
            elapsed: Duration::from_secs(60),
            remaining: None,
        };
        assert_eq!(of.words(), "43%");
        of.packages = Some(Counted {
            done: 212,
            total: 412,
        });
        of.remaining = Some(Duration::from_secs(180));
        assert_eq!(of.words(), "43%, 212/412 packages, about 3 min left");
        of.phase = Phase::Downloading;
        of.download = Some(Counted {
            done: 3 << 20,
            total: 100 << 20,
        });
        assert_eq!(of.words(), "43%, 3.0/100 MiB, about 3 min left");
        of.phase = Phase::BootLoader;
        assert_eq!(of.words(), "43%, about 3 min left");
    }
}
