//! The signals that ask a command to stop.

use std::sync::Arc;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::blocking;
use crate::install::run::Canceller;
use crate::ui::event::Reporter;

/// The signals that ask us to stop.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// The system refuses.
    pub fn listen() -> anyhow::Result<Signals> {
        let listen = |kind| signal(kind).context("listening for signals");
        Ok(Signals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// The name of the next one.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hangup.recv() => "SIGHUP",
        }
    }

    /// Asks the build to stop at the first; returns at the second.
    pub async fn stop_then_wait(mut self, stopper: Arc<Canceller>, reporter: Reporter) {
        let name = self.next().await;
        reporter.note(format!(
            "{name}: stopping; once more stops without a verdict"
        ));
        stopper.stop(name);
        blocking::stop();
        self.next().await;
    }
}
