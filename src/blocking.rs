//! Calls that may never return, waited for no longer than is reasonable: each on a thread of its
//! own, which nobody waits for, not even the end of the process, as it would for tokio's threads.
//!
//! And the one place where threads that wait hear that the process is asked to end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::oneshot;

/// How often whoever waits looks whether the process is asked to end: at once, to a person.
pub const INTERVAL: Duration = Duration::from_millis(50);

static STOPPED: AtomicBool = AtomicBool::new(false);

/// Ends what waits for others in this process: a signal asks it to end.
pub fn stop() {
    STOPPED.store(true, Ordering::SeqCst);
}

/// Whether a signal has asked this process to end.
pub fn is_stopped() -> bool {
    STOPPED.load(Ordering::SeqCst)
}

/// Calls `work` and returns what it returns; none if it takes longer than `limit`, or if there
/// can be no thread. It is not stopped then: what it returns is dropped.
pub fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (sender, receiver) = mpsc::channel();
    start(work, move |result| drop(sender.send(result))).ok()?;
    receiver.recv_timeout(limit).ok()
}

/// The same for what is not worth waiting for once the process is asked to end: none then, too.
pub fn within_until_stopped<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (sender, receiver) = mpsc::channel();
    start(work, move |result| drop(sender.send(result))).ok()?;
    let deadline = Instant::now() + limit;
    while !is_stopped() && Instant::now() < deadline {
        match receiver.recv_timeout(INTERVAL) {
            Err(RecvTimeoutError::Timeout) => {}
            other => return other.ok(),
        }
    }
    None
}

/// The same for tasks, which must not block.
pub async fn within_async<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (sender, receiver) = oneshot::channel();
    start(work, move |result| drop(sender.send(result))).ok()?;
    tokio::time::timeout(limit, receiver).await.ok()?.ok()
}

/// Work on a thread of its own that a task waits for, however long it takes; when the task is
/// dropped, the work is told to stop by what it is handed.
///
/// # Errors
/// Those of the work; a defect ended it.
pub async fn stoppable<T: Send + 'static>(
    work: impl FnOnce(&AtomicBool) -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    struct StopOnDrop(Arc<AtomicBool>);
    impl Drop for StopOnDrop {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let guard = StopOnDrop(Arc::new(AtomicBool::new(false)));
    let stop = Arc::clone(&guard.0);
    tokio::task::spawn_blocking(move || work(&stop))
        .await
        .context("a defect ended a thread")?
}

/// `tell` may find nobody left to be told.
fn start<T: 'static>(
    work: impl FnOnce() -> T + Send + 'static,
    tell: impl FnOnce(T) + Send + 'static,
) -> io::Result<()> {
    let thread = thread::Builder::new().name("blocking".to_owned());
    thread.spawn(move || tell(work())).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_hangs_is_left_behind() {
        const LONG: Duration = Duration::from_secs(60);
        const SHORT: Duration = Duration::from_millis(1);
        assert_eq!(within(LONG, || 7), Some(7));
        assert_eq!(within_async(LONG, || 7).await, Some(7));
        let (sender, receiver) = mpsc::channel::<()>();
        assert_eq!(within(SHORT, move || receiver.recv().is_ok()), None);
        let (other, receiver) = mpsc::channel::<()>();
        assert_eq!(
            within_async(SHORT, move || receiver.recv().is_ok()).await,
            None
        );
        drop((sender, other));
    }
}
