//! Asks libvirt now and then what the guest has read and written, on a thread of its own: a daemon
//! that hangs must not keep anybody from reading the guest's console.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, timeout};

use crate::host::{Counters, Gauge};

/// How often to ask. The shortest limit for a guest without progress is three minutes.
const INTERVAL: Duration = Duration::from_secs(5);

/// How long an answer that is under way is waited for at the end. An answer takes milliseconds; a
/// daemon that hangs does not give one.
const PATIENCE: Duration = Duration::from_millis(500);

/// A guest's counters.
#[derive(Debug)]
pub struct Counting {
    ask: Sender<()>,
    answers: UnboundedReceiver<Option<Counters>>,
    asked: Instant,
    waiting: bool,
}

impl Counting {
    /// Starts the thread that asks; none where there is no thread to be had, because an install
    /// can do without.
    pub fn start(gauge: Gauge) -> Option<Self> {
        let (ask, wishes) = channel();
        let (answer, answers) = unbounded_channel();
        std::thread::Builder::new()
            .name("ozr-counters".to_owned())
            .spawn(move || serve(gauge, &wishes, &answer))
            .ok()?;
        Some(Counting {
            ask,
            answers,
            asked: Instant::now(),
            waiting: false,
        })
    }

    /// Asks, if it is time to and no answer is due.
    pub fn ask_if_due(&mut self) {
        if !self.waiting && self.asked.elapsed() >= INTERVAL {
            self.asked = Instant::now();
            self.waiting = self.ask.send(()).is_ok();
        }
    }

    /// The next answer; none if the guest gave none. Waits for ever when nothing was asked. Cancel
    /// safe.
    pub async fn next(&mut self) -> Option<Counters> {
        match self.answers.recv().await {
            Some(answer) => {
                self.waiting = false;
                answer
            }
            None => std::future::pending().await,
        }
    }

    /// Lets go of the guest.
    pub async fn stop(mut self) {
        drop(self.ask);
        // Ends when the thread has let go of it.
        let gone = async { while self.answers.recv().await.is_some() {} };
        let _ = timeout(PATIENCE, gone).await;
    }
}

fn serve(gauge: Gauge, wishes: &Receiver<()>, answer: &UnboundedSender<Option<Counters>>) {
    while wishes.recv().is_ok() {
        if answer.send(gauge.read().ok()).is_err() {
            return;
        }
    }
}
