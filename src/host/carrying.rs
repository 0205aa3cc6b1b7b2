//! How far a guest's files are on their way to another host, or back.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Shared by who carries and who watches.
#[derive(Debug, Default)]
pub struct Carrying {
    done: AtomicU64,
    total: AtomicU64,
    stopped: AtomicBool,
}

impl Carrying {
    /// So many bytes more are to be carried.
    pub(super) fn expect(&self, bytes: u64) {
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many bytes more were carried.
    pub(super) fn carried(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes carried so far, and in all.
    pub fn bytes(&self) -> (u64, u64) {
        let read = |bytes: &AtomicU64| bytes.load(Ordering::Relaxed);
        (read(&self.done), read(&self.total))
    }

    /// Asks whoever carries to give up.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Whether nobody waits for it any more.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }
}
