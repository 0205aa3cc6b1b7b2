//! How a guest's life ends, as seen by whoever waits for it.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use crate::watch::witness::End;

/// The end of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestEnd {
    /// Why.
    pub cause: End,
    /// More about it, for a person: the signal that killed QEMU, libvirt's word.
    pub detail: Option<String>,
}

#[derive(Debug, Clone, Default)]
struct Progress {
    end: Option<GuestEnd>,
    gone: bool,
}

/// The life of one guest: told by libvirt's threads, waited for by ours.
#[derive(Debug)]
pub(super) struct Life {
    progress: watch::Sender<Progress>,
    destroying: AtomicBool,
    lost: AtomicBool,
    no_space: AtomicBool,
}

impl Life {
    pub(super) fn new() -> Self {
        Life {
            progress: watch::Sender::new(Progress::default()),
            destroying: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            no_space: AtomicBool::new(false),
        }
    }

    /// From now on, the guest's end is our own doing.
    pub(super) fn destroying(&self) {
        self.destroying.store(true, Ordering::SeqCst);
    }

    /// Notes that the guest runs no more. The first cause stands: what follows it (libvirt
    /// ending QEMU after a shutdown) is its consequence.
    pub(super) fn end(&self, cause: End, detail: Option<String>) {
        let cause = if self.destroying.load(Ordering::SeqCst) {
            End::Killed
        } else {
            cause
        };
        self.progress.send_if_modified(|progress| {
            let first = progress.end.is_none();
            if first {
                progress.end = Some(GuestEnd { cause, detail });
            }
            first
        });
    }

    /// Notes that QEMU has exited: its files are closed.
    pub(super) fn gone(&self) {
        self.progress.send_if_modified(|progress| {
            let news = !progress.gone;
            progress.gone = true;
            news
        });
    }

    pub(super) fn is_gone(&self) -> bool {
        self.progress.borrow().gone
    }

    /// Notes that the file system of its disk has no room.
    pub(super) fn no_space(&self) {
        self.no_space.store(true, Ordering::SeqCst);
    }

    /// What it means that its disk could not be read or written.
    pub(super) fn disk_error(&self) -> End {
        if self.no_space.load(Ordering::SeqCst) {
            End::HostDiskFull
        } else {
            End::HostDiskError
        }
    }

    /// Notes that the daemon which knew of it went away.
    pub(super) fn lose(&self, why: &str) {
        self.lost.store(true, Ordering::SeqCst);
        self.end(End::ConnectionLost, Some(why.to_owned()));
        self.gone();
    }

    /// Whether we cannot know if it ended, for want of a daemon to ask.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::SeqCst)
    }

    /// Waits for the first sign of the end.
    pub(super) async fn ended(&self) -> GuestEnd {
        self.wait(|progress| progress.end.is_some()).await
    }

    /// Waits until QEMU has exited.
    pub(super) async fn finished(&self) -> GuestEnd {
        self.wait(|progress| progress.end.is_some() && progress.gone)
            .await
    }

    async fn wait(&self, enough: impl FnMut(&Progress) -> bool) -> GuestEnd {
        let mut receiver = self.progress.subscribe();
        // The sender lives in `self`, so waiting cannot fail; an end is there when it succeeds.
        let progress = receiver.wait_for(enough).await.map(|now| now.clone());
        progress
            .ok()
            .and_then(|progress| progress.end)
            .unwrap_or(GuestEnd {
                cause: End::Crashed,
                detail: None,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_cause_stands_and_gone_comes_later() {
        let life = Life::new();
        life.end(End::ByGuest, None);
        life.end(End::Crashed, Some("signal 15".to_owned()));
        assert_eq!(life.ended().await.cause, End::ByGuest);
        assert!(!life.is_gone());
        life.gone();
        assert_eq!(life.finished().await.cause, End::ByGuest);
    }

    #[tokio::test]
    async fn a_disk_without_room_is_told_from_a_broken_one() {
        let life = Life::new();
        assert_eq!(life.disk_error(), End::HostDiskError);
        life.no_space();
        life.end(life.disk_error(), None);
        assert_eq!(life.ended().await.cause, End::HostDiskFull);
    }

    #[tokio::test]
    async fn what_is_lost_while_it_is_ended_is_lost() {
        let life = Life::new();
        life.destroying();
        life.lose("the libvirt daemon ended");
        assert!(life.is_lost());
        assert_eq!(life.finished().await.cause, End::Killed);
    }

    #[tokio::test]
    async fn what_we_destroy_did_not_fail() {
        let life = Life::new();
        life.destroying();
        life.end(End::Crashed, None);
        assert_eq!(life.ended().await.cause, End::Killed);
    }
}
