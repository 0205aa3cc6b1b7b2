//! The wish to stop a build: made by a signal, heard wherever the build waits.

use tokio::sync::watch;

use crate::error::{Kind, failure};

/// Asks builds to stop.
#[derive(Debug)]
pub struct Canceller(watch::Sender<Option<&'static str>>);

/// Hears of the wish to stop; cheap to clone.
#[derive(Debug, Clone)]
pub struct Cancellation(watch::Receiver<Option<&'static str>>);

/// A wish that nobody has made yet, and who may make it.
pub fn stop() -> (Canceller, Cancellation) {
    let (sender, receiver) = watch::channel(None);
    (Canceller(sender), Cancellation(receiver))
}

impl Canceller {
    /// Asks to stop; `why` is the signal's name. The first wish stands.
    pub fn stop(&self, why: &'static str) {
        self.0.send_if_modified(|wish| {
            let first = wish.is_none();
            wish.get_or_insert(why);
            first
        });
    }
}

impl Cancellation {
    /// Waits until somebody wants to stop; who (the signal's name). Cancel safe.
    pub async fn wanted(&self) -> &'static str {
        let mut wishes = self.0.clone();
        let wish = wishes.wait_for(Option::is_some).await.map(|wish| *wish);
        match wish {
            Ok(Some(why)) => why,
            // Nobody is left who could want it.
            _ => std::future::pending().await,
        }
    }

    /// Whether somebody wants to stop.
    pub fn is_wanted(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Does `work`, or drops it when somebody wants to stop.
    ///
    /// # Errors
    /// What `work` fails with; [`Kind::Interrupted`].
    pub async fn or<T>(&self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        tokio::select! {
            biased;
            why = self.wanted() => Err(interrupted(why)),
            done = work => done,
        }
    }

    /// The error of work that gave up: that somebody wants to stop, if so.
    pub fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        self.0.borrow().map_or(error, interrupted)
    }
}

/// The error of what was stopped before a guest ran.
pub fn interrupted(why: &str) -> anyhow::Error {
    failure(
        Kind::Interrupted,
        format!("interrupted by {why}: everything unfinished is removed"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_wish_stands_and_late_listeners_hear_it() {
        let (stopper, stop) = stop();
        assert!(!stop.is_wanted());
        stopper.stop("SIGINT");
        stopper.stop("SIGTERM");
        assert_eq!(stop.wanted().await, "SIGINT");
        assert_eq!(stop.clone().wanted().await, "SIGINT");
        drop(stopper);
        assert_eq!(stop.wanted().await, "SIGINT");
    }
}
