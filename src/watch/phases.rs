//! The phases of an install.

use serde::Serialize;
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
    EnumString,
    IntoStaticStr,
    Serialize,
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

    /// What the guest does in this phase, to follow "while" in a sentence.
    pub fn doing(self) -> &'static str {
        match self {
            Phase::PoweredOn => "nothing had come from its console",
            Phase::Kernel => "its kernel was starting",
            Phase::Initramfs => "its initramfs was loading the installer",
            Phase::Stage2 => "the installer's system was starting",
            Phase::Installer => "the installer was starting",
            Phase::Preparing => "the installer was getting ready",
            Phase::Storage => "partitioning the disk",
            Phase::Downloading => "downloading packages",
            Phase::Packages => "installing packages",
            Phase::BootLoader => "installing the boot loader",
            Phase::Configuring => "configuring the installed system",
            Phase::BuildingInitramfs => "generating the initramfs",
            Phase::PostScripts => "running the %post scripts",
            Phase::ShuttingDown => "shutting down",
        }
    }

    /// What is going on in this phase, as a step of the build that a user watches.
    pub fn title(self) -> &'static str {
        match self {
            Phase::PoweredOn => "switching the guest on",
            Phase::Kernel => "booting the installer's kernel",
            Phase::Initramfs => "loading the installer",
            Phase::Stage2 => "starting the installer's system",
            Phase::Installer => "starting the installer",
            Phase::Preparing => "preparing the installation",
            Phase::ShuttingDown => "shutting the guest down",
            other => other.doing(),
        }
    }

    /// The share of an install, in percent, that is done when this phase begins. Estimated from
    /// typical network installs; a bar needs an order of magnitude, not a promise.
    pub fn percent_at_start(self) -> u8 {
        match self {
            Phase::PoweredOn => 0,
            Phase::Kernel => 1,
            Phase::Initramfs => 2,
            Phase::Stage2 => 5,
            Phase::Installer => 8,
            Phase::Preparing => 10,
            Phase::Storage => 17,
            Phase::Downloading => 20,
            Phase::Packages => 40,
            Phase::BootLoader => 80,
            Phase::Configuring => 85,
            Phase::BuildingInitramfs => 88,
            Phase::PostScripts => 94,
            Phase::ShuttingDown => 99,
        }
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
