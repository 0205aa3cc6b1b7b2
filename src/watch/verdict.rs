//! What the [judge](super::judge) is told, and what it says.

use std::time::Duration;

use super::failures::FailureKind;
use super::logport::Record;
use super::phases::Phase;

/// How the kickstart gets to the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Over HTTP: our server sees it fetched.
    Http,
    /// In an extra initrd: the installer's own signs must do.
    Initrd,
}

/// What a good install shows.
#[derive(Debug, Clone)]
pub struct Expectations {
    /// Whether the kickstart prints the completion mark. A kickstart served untouched does not;
    /// then the last phase must have been reached.
    pub mark: bool,
    /// How the kickstart gets to the guest.
    pub delivery: Delivery,
}

/// How the guest ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The guest shut itself down (libvirt: `SHUTDOWN` from the guest).
    ByGuest,
    /// It is gone, and who ended it is not known (a reset with `on_reboot=destroy`, for one).
    Gone,
    /// Somebody else destroyed it.
    Killed,
    /// QEMU died.
    Crashed,
}

/// Something that was witnessed.
#[derive(Debug, Clone, Copy)]
pub enum Witness<'a> {
    /// A line of the console.
    Console(&'a str),
    /// The completion mark came on the console.
    Mark,
    /// A record of the log port.
    Log(&'a Record),
    /// Our server handed the kickstart to the guest, whole.
    KickstartFetched,
    /// What the hypervisor says of the guest's end, which is to follow.
    LastWords(&'a str),
    /// The guest ended.
    Ended(End),
    /// The time limit, which is given, was reached.
    TimedOut(Duration),
    /// The user wants to stop.
    Interrupted,
}

/// Why an install failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What failed.
    pub kind: FailureKind,
    /// One sentence: what failed, how far it got, and what to do.
    pub sentence: String,
    /// How far it got.
    pub phase: Phase,
    /// The last lines of the console, oldest first, each once.
    pub evidence: Vec<String>,
}

/// How an install ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It succeeded; what the user should know nevertheless.
    Success {
        /// One sentence each.
        notes: Vec<String>,
    },
    /// It failed.
    Failure(Failure),
}

/// The judgement. It is made once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// How the install ended.
    pub outcome: Outcome,
    /// Whether the guest still runs, as far as is known, and must be destroyed.
    pub stop_guest: bool,
}
