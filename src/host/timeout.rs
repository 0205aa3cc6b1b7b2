//! Calls that may never return, waited for no longer than is reasonable.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Calls `work` on a thread of its own and returns what it returns; none if it takes longer than
/// `limit`, or if there can be no thread. It is not stopped then: what it returns is dropped.
pub fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new()
        .name("patience".to_owned())
        .spawn(move || {
            // Whoever waited may have gone.
            let _ = sender.send(work());
        })
        .ok()?;
    receiver.recv_timeout(limit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_is_left_behind() {
        assert_eq!(within(Duration::from_secs(60), || 7), Some(7));
        let (sender, receiver) = mpsc::channel::<()>();
        let hangs = move || receiver.recv().is_ok();
        assert_eq!(within(Duration::from_millis(1), hangs), None);
        drop(sender);
    }
}
