//! Things worth telling a person or a program, independent of how they are shown.
//!
//! `docs/progress.md` describes them for programs. Names of phases, causes and sources are texts
//! here: this layer lies below those that know them.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::diagnostic::Diagnostic;

/// Something that happened. No event carries a secret: what holds one is masked before.
#[derive(Debug, Clone)]
pub enum Event {
    /// The build of an image began.
    BuildStarted(BuildStarted),
    /// A step of the build began ("fetching the kernel and initrd").
    Step(String),
    /// The install entered a phase.
    Phase(PhaseEntered),
    /// How far the install is.
    Progress(Progress),
    /// Something that was noticed in what the guest says or does.
    Noticed(Noticed),
    /// Why the install failed.
    Verdict(Judged),
    /// A detail below a step, shown with `-v`.
    Detail(String),
    /// Something the user should know, though all is well.
    Note(String),
    /// Something that works, but probably not as meant.
    Warning(String),
    /// Something failed, and the command goes on with the rest.
    Error(String),
    /// A finding in a template, kickstart or configuration file.
    Finding(Diagnostic),
    /// A line of the guest's console, shown with `-vv`.
    Console(String),
    /// One of the last lines of a guest that failed.
    Evidence(String),
    /// So many events were left out here: whoever reads them was too slow.
    Lost(u64),
    /// The command ends: the last event.
    Ended(Ended),
}

/// What is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildStarted {
    /// Name of the image and of the guest.
    pub name: String,
    /// The release, as people call it.
    pub release: String,
    /// The build's id, the mark on all that it makes.
    pub id: String,
}

/// A phase of the install.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhaseEntered {
    /// Its name, as manifests have it.
    pub name: &'static str,
    /// What goes on in it, for people.
    pub title: &'static str,
}

/// Done, of how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Done so far.
    pub done: u64,
    /// In all, as far as is known yet.
    pub total: u64,
}

/// How far an install is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The phase.
    pub phase: PhaseEntered,
    /// How much is done, in percent. Never decreases within one attempt; 100 is never reached:
    /// that is what the end says.
    pub percent: u8,
    /// Packages installed.
    pub packages: Option<Counted>,
    /// Bytes of packages downloaded.
    pub download: Option<Counted>,
    /// Since the build began.
    pub elapsed: Duration,
    /// How long it will go on, from earlier builds like this one; none where there were none.
    pub remaining: Option<Duration>,
}

/// Something that the guest says or does. What it weighs, the verdict tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Noticed {
    /// Our server handed out the whole kickstart.
    KickstartFetched,
    /// The installer asks what the kickstart does not answer.
    Question {
        /// Who says it: `console`, `log-port`, …
        source: &'static str,
        /// The line.
        text: String,
    },
    /// A text that tells of a failure.
    ErrorText {
        /// Who says it.
        source: &'static str,
        /// The line.
        text: String,
        /// The cause that the text suggests.
        cause: &'static str,
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
        /// How: `by-guest`, `gone`, `killed`, `crashed`, `host-disk-full`, `host-disk-error` or
        /// `connection-lost`.
        how: &'static str,
        /// What the hypervisor says of it.
        detail: Option<String>,
    },
}

/// Why an install failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The cause, out of the vocabulary of `docs/verdict.md`.
    pub cause: &'static str,
    /// The cause in a few words.
    pub title: &'static str,
    /// What failed, how far it got, and what to do.
    pub sentence: String,
    /// How far it got.
    pub phase: PhaseEntered,
    /// The exit status that follows from it.
    pub exit_status: u8,
    /// Whether the same build may succeed another time.
    pub retry: bool,
    /// What decided it.
    pub decisive: Decisive,
}

/// What decided an install: a line, the guest's end, a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decisive {
    /// Who said it.
    pub source: &'static str,
    /// What.
    pub text: String,
    /// How long ago it was read.
    pub age: Duration,
}

/// How a command ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// The exit status of the process.
    pub exit_status: u8,
    /// The image.
    pub image: Option<PathBuf>,
    /// Why there is none, if an install failed.
    pub cause: Option<&'static str>,
    /// The same in one sentence.
    pub message: Option<String>,
    /// Where what explains it is kept.
    pub evidence: Option<PathBuf>,
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
