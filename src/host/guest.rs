//! What a guest is to those who follow it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

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
    /// Where it is handed its kickstart, if its state is one that is saved.
    pub handover: Option<Port>,
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

/// The files and sockets of a guest, by what they are for: other ones take their place where its state is
/// loaded again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GuestPaths(pub BTreeMap<String, PathBuf>);

/// The state of a guest, saved.
#[derive(Debug, Clone)]
pub struct SavedGuest {
    /// The file.
    pub file: PathBuf,
    /// libvirt's name of the guest.
    pub name: String,
    /// What its files and sockets were.
    pub paths: GuestPaths,
}

/// What a guest has done since it started, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Written to its disk.
    pub written: u64,
    /// Received over its network; QEMU's user networking does not count.
    pub received: u64,
}
