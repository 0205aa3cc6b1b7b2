//! What the [judge](super::judge) is told.

use std::time::Duration;

use super::logport::Record;
use super::verdict::Section;

/// How the kickstart gets to the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Over HTTP: our server sees it fetched.
    Http,
    /// In an extra initrd: the installer's own signs must do.
    Initrd,
    /// Nobody knows: only a text is there to be read.
    Unknown,
}

/// What a good install shows, and what helps to explain a bad one.
#[derive(Debug, Clone)]
pub struct Expectations {
    /// Whether the kickstart prints the completion mark. A kickstart served untouched does not;
    /// then the last phase must have been reached.
    pub mark: bool,
    /// How the kickstart gets to the guest.
    pub delivery: Delivery,
    /// The script sections of the kickstart as it is served, so that one of them can be named.
    pub sections: Vec<Section>,
    /// Where the packages come from, for a verdict about them; without credentials.
    pub repositories: Vec<String>,
}

impl Expectations {
    /// Of an install of which nothing else is known.
    pub fn new(mark: bool, delivery: Delivery) -> Self {
        Expectations {
            mark,
            delivery,
            sections: Vec::new(),
            repositories: Vec::new(),
        }
    }
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
    /// QEMU stopped it: the host's file system below the disk is full. It still exists.
    HostDiskFull,
    /// QEMU stopped it: the disk's file cannot be read or written. It still exists.
    HostDiskError,
    /// The connection to libvirt is lost. It may still run.
    ConnectionLost,
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
    /// Our server refused something, could not get it, or could not hand over all of it. One
    /// line: what was asked for (`kickstart`, or `NAME/PATH` of a relay), a colon, how it went.
    Refused(&'a str),
    /// The guest's disk and network counters: bytes written to its disks and received by its
    /// interfaces, since it was started. That they grow is progress, too.
    Counters {
        /// Bytes written.
        written: u64,
        /// Bytes received.
        received: u64,
    },
    /// What the hypervisor says of the guest's end, which is to follow.
    LastWords(&'a str),
    /// The guest ended.
    Ended(End),
    /// The time limit, which is given, was reached.
    TimedOut(Duration),
    /// Somebody wants to stop: the name of the signal.
    Interrupted(&'a str),
}
