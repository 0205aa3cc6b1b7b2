//! Calls that may never return, waited for no longer than is reasonable: each on a thread of its
//! own, which nobody waits for, not even the end of the process, as it would for tokio's threads.

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

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

/// The same for tasks, which must not block.
pub async fn within_async<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (sender, receiver) = oneshot::channel();
    start(work, move |result| drop(sender.send(result))).ok()?;
    tokio::time::timeout(limit, receiver).await.ok()?.ok()
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
