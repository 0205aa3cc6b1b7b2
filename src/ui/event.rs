//! Things worth telling a person, independent of how they are shown.

use std::fmt;
use std::sync::Arc;

use crate::diagnostic::Diagnostic;

/// Something that happened. No event carries a secret: what holds one is masked before.
#[derive(Debug, Clone)]
pub enum Event {
    /// A step of the build began ("fetching the kernel and initrd").
    Step(String),
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
}

/// Takes events. Implementations must not block for long: events come from threads that feed
/// the guest's console.
pub trait Sink: Send + Sync {
    /// Takes one event.
    fn take(&self, event: Event);
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
        struct Nobody;
        impl Sink for Nobody {
            fn take(&self, _event: Event) {}
        }
        Reporter(Arc::new(Nobody))
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
