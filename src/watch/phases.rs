//! The phases of an install.

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

/// How far an install has come. Ordered: an install never goes back.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Deserialize,
    Serialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Phase {
    /// The guest runs, and nothing came from its console.
    #[serde(rename = "power-on")]
    #[strum(serialize = "power-on")]
    PoweredOn,
    /// The kernel, or the firmware before it, has spoken.
    Kernel,
    /// The initramfs: network, kickstart, stage 2.
    Initramfs,
    /// systemd of the installer's own system (stage 2).
    #[strum(serialize = "stage2")]
    Stage2,
    /// Anaconda has started.
    Installer,
    /// Anaconda gets ready: package metadata, dependencies, disks.
    Preparing,
    /// Partitions and file systems are made.
    Storage,
    /// Packages are fetched.
    Downloading,
    /// Packages are installed.
    Packages,
    /// The boot loader is installed.
    BootLoader,
    /// The installed system is configured.
    Configuring,
    /// The installed system's initramfs is made.
    BuildingInitramfs,
    /// The `%post` scripts run.
    PostScripts,
    /// The guest shuts down.
    ShuttingDown,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: &[Phase] = Phase::VARIANTS;

    /// The name in manifests.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// What the guest does in this phase, to follow "while" in a sentence; what is going on, as a
    /// step of the build that a user watches, where that is said otherwise; and the share of an
    /// install, in percent, that is done when this phase begins. The share is estimated from typical
    /// network installs; a bar needs an order of magnitude, not a promise.
    #[rustfmt::skip]
    fn facts(self) -> (&'static str, Option<&'static str>, u8) {
        match self {
            Phase::PoweredOn => ("nothing had come from its console", Some("switching the guest on"), 0),
            Phase::Kernel => ("its kernel was starting", Some("booting the installer's kernel"), 1),
            Phase::Initramfs => ("its initramfs was loading the installer", Some("loading the installer"), 2),
            Phase::Stage2 => ("the installer's system was starting", Some("starting the installer's system"), 5),
            Phase::Installer => ("the installer was starting", Some("starting the installer"), 8),
            Phase::Preparing => ("the installer was getting ready", Some("preparing the installation"), 10),
            Phase::Storage => ("partitioning the disk", None, 17),
            Phase::Downloading => ("downloading packages", None, 20),
            Phase::Packages => ("installing packages", None, 40),
            Phase::BootLoader => ("installing the boot loader", None, 80),
            Phase::Configuring => ("configuring the installed system", None, 85),
            Phase::BuildingInitramfs => ("generating the initramfs", None, 88),
            Phase::PostScripts => ("running the %post scripts", None, 94),
            Phase::ShuttingDown => ("shutting down", Some("shutting the guest down"), 99),
        }
    }

    /// What the guest does in this phase, to follow "while" in a sentence.
    pub fn doing(self) -> &'static str {
        self.facts().0
    }

    /// What is going on in this phase, as a step of the build that a user watches.
    pub fn title(self) -> &'static str {
        let (doing, title, _) = self.facts();
        title.unwrap_or(doing)
    }

    /// The share of an install, in percent, that is done when this phase begins.
    pub fn percent_at_start(self) -> u8 {
        self.facts().2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_ordered_and_named_once() {
        for pair in Phase::ALL.windows(2) {
            assert!(pair[0] < pair[1]);
            assert!(pair[0].percent_at_start() < pair[1].percent_at_start());
            assert_ne!(pair[0].name(), pair[1].name());
        }
        for phase in Phase::ALL.iter().copied() {
            let json = serde_json::to_string(&phase).unwrap();
            assert_eq!(json, format!("\"{}\"", phase.name()));
            assert_eq!(phase.name().parse(), Ok(phase));
        }
    }
}
