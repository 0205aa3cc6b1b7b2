//! The signals that ask a command to stop.

use std::sync::Arc;

use anyhow::Context;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

use crate::blocking;
use crate::error::{Classify, Kind, fail};
use crate::install::run::{Cancellation, Canceller, stop};
use crate::panics;
use crate::ui::event::Reporter;

/// What a command works in that hears signals meanwhile: its own thread, and one more.
///
/// # Errors
/// Host: there can be no thread.
pub fn runtime() -> anyhow::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("starting threads")
        .kind(Kind::Host)
}

/// Hears signals from now on: what the first one, or a defect of ozr's own, asks of what runs; and a
/// task that ends at the second.
///
/// # Errors
/// Host: the system refuses.
pub fn cancellation(
    runtime: &Runtime,
    reporter: &Reporter,
) -> anyhow::Result<(Cancellation, JoinHandle<()>)> {
    let (stopper, stop) = stop();
    let stopper = Arc::new(stopper);
    let defect = Arc::clone(&stopper);
    panics::then(move || defect.stop("a defect of ozr"));
    let signals = {
        let _inside = runtime.enter();
        Signals::listen().kind(Kind::Host)?
    };
    let impatience = runtime.spawn(signals.stop_then_wait(stopper, reporter.clone()));
    Ok((stop, impatience))
}

/// Does `work`, unless a second signal comes, which is what `impatience` waits for. Dropping the work destroys its
/// guest and removes what is unfinished; `left` says what of it is lost by that.
///
/// # Errors
/// Those of the work. Interrupted: by the second signal.
pub async fn unless_twice<T>(
    impatience: &mut JoinHandle<()>,
    left: &str,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    tokio::select! {
        biased;
        done = work => done,
        _ = impatience => fail!(Kind::Interrupted, "interrupted twice: the guest and everything unfinished are removed{left}"),
    }
}

/// What is lost of an install that is interrupted twice.
pub const NO_VERDICT: &str = ", perhaps without a verdict";

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
    async fn stop_then_wait(mut self, stopper: Arc<Canceller>, reporter: Reporter) {
        let name = self.next().await;
        reporter.note(format!(
            "{name}: stopping; once more stops without a verdict"
        ));
        stopper.stop(name);
        blocking::stop();
        self.next().await;
    }
}
