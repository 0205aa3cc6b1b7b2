//! What a guest is to those who follow it.

use std::path::PathBuf;

use super::{Guest, Port};

/// A guest that was created and waits, paused, with both ports connected.
#[derive(Debug)]
pub struct Started {
    /// The guest.
    pub guest: Guest,
    /// What its serial console says.
    pub console: Port,
    /// What anaconda writes to its log port.
    pub log_port: Port,
    /// Why its QEMU runs as root, if it does: one sentence.
    pub warning: Option<String>,
}

/// Sockets of a guest whose QEMU runs as us; none where a daemon chooses its own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GuestSockets {
    /// Its serial console, one reader at a time.
    pub console: Option<PathBuf>,
    /// Its screen, by VNC.
    pub screen: Option<PathBuf>,
}

/// What a guest has done since it started, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Written to its disk.
    pub written: u64,
    /// Received over its network; QEMU's user networking does not count.
    pub received: u64,
}
