//! What a line of the guest says.

use super::phases::Phase;
use super::texts::{Certainty, Found, Meaning};

/// A typed event, read from one line of the console or one record of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// Anaconda started (`anaconda VERSION for PRODUCT started.`).
    Started {
        /// Anaconda's version, with its release.
        version: String,
        /// The product, with its version.
        product: String,
    },
    /// A phase began.
    Phase(Phase),
    /// The check of the medium began.
    MediaCheck,
    /// A step of the package transaction.
    Package {
        /// How many steps are done, this one included.
        done: u64,
        /// How many steps there are.
        total: u64,
        /// The package.
        name: String,
        /// Whether it is being verified, after all were installed.
        verifying: bool,
    },
    /// The download of packages goes on.
    Download {
        /// Packages to fetch.
        packages: u64,
        /// Percent of their bytes.
        percent: u8,
        /// Bytes fetched, as exactly as the installer says it.
        bytes: Option<u64>,
        /// Bytes to fetch. May grow (DNF 5).
        total: Option<u64>,
    },
    /// A live image or an ostree is being copied, which has no packages.
    Copied {
        /// Percent of it.
        percent: u8,
    },
    /// Tasks of the installer's queue done, of how many (log only, EL 8 and later).
    Tasks {
        /// Tasks done.
        done: u64,
        /// Tasks in all.
        total: u64,
    },
    /// A question, an error text, or a text that may explain one.
    Failure(Found),
    /// One of ozr's own scripts says something.
    ScriptOutput(String),
    /// The kernel powers the machine off.
    PowerDown,
    /// The kernel restarts the machine.
    Reboot,
    /// The kernel halted the machine; the guest stays.
    Halted,
    /// Everything is unmounted, but the machine does not switch itself off.
    CannotPowerOff,
    /// The installer has the kickstart.
    HasKickstart,
    /// Worth telling the user at the end, though all went well.
    Note(String),
}

impl Signal {
    /// What a text means, in a line with this body.
    pub fn of(meaning: Meaning, body: &str) -> Signal {
        match meaning {
            Meaning::Phase(phase) => Signal::Phase(phase),
            Meaning::Failure(found) => Signal::Failure(found),
            Meaning::MediaCheck => Signal::MediaCheck,
            Meaning::PowerDown => Signal::PowerDown,
            Meaning::Reboot => Signal::Reboot,
            Meaning::Halted => Signal::Halted,
            Meaning::CannotPowerOff => Signal::CannotPowerOff,
            Meaning::HasKickstart => Signal::HasKickstart,
            Meaning::ScriptOutput => Signal::ScriptOutput(body.to_owned()),
            Meaning::Note => Signal::Note(body.to_owned()),
        }
    }

    /// Whether it tells of a failure, and not only of the reason of one.
    pub fn is_failure(&self) -> bool {
        match self {
            Signal::Failure(found) => found.certainty != Certainty::Reason,
            _ => false,
        }
    }

    /// Whether it can decide an install, and not only explain how it ends.
    pub fn decides(&self) -> bool {
        match self {
            Signal::Failure(found) => {
                !matches!(found.certainty, Certainty::Suspect(_) | Certainty::Reason)
            }
            _ => false,
        }
    }
}
