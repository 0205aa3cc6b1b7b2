//! Why an install fails: the fixed vocabulary of verdicts.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use crate::error::Kind;

/// The cause of a failed install. Exactly one is given; the names are part of the interface.
///
/// The order is the one in which an install needs things: what had to come first explains what
/// did not come after.
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
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Cause {
    /// The guest could not get the kickstart.
    KickstartUnreachable,
    /// The installer refused the kickstart.
    KickstartRejected,
    /// The guest's network did not come up, or leads nowhere.
    NetworkFailed,
    /// The installer's second stage could not be loaded.
    #[serde(rename = "stage2-unavailable")]
    #[strum(serialize = "stage2-unavailable")]
    Stage2Unavailable,
    /// The package source could not be set up.
    SourceUnavailable,
    /// Packages or groups do not exist, or cannot be installed together.
    SoftwareMissing,
    /// Packages could not be fetched.
    DownloadFailed,
    /// rpm failed, or a scriptlet of a package did.
    TransactionFailed,
    /// Partitioning failed: no disk, or too small a one.
    StorageFailed,
    /// A script failed.
    ScriptFailed,
    /// The boot loader could not be installed.
    BootLoaderFailed,
    /// What makes the image one machine's own could not be taken out of it.
    SealFailed,
    /// The installer asked something that nobody is there to answer.
    QuestionAsked,
    /// The installer failed in another way, or ended before it was done.
    InstallerFailed,
    /// Too little memory in the guest.
    OutOfMemory,
    /// A disk is full: the guest's own, or the host's below it.
    DiskFull,
    /// The installation medium is damaged.
    MediaCheckFailed,
    /// The guest's kernel gave up.
    KernelPanic,
    /// Nothing bootable, or nothing at all came from the guest.
    NoBootOutput,
    /// The guest did not get through with shutting down.
    PoweroffFailed,
    /// The image was made, and failed its boot test.
    BootTestFailed,
    /// The install made no progress for longer than any good one does.
    Stalled,
    /// The time limit of the whole install was reached.
    TimedOut,
    /// QEMU crashed, or somebody ended the guest.
    GuestKilled,
    /// libvirt or QEMU could not do its work.
    HypervisorFailed,
    /// The user stopped the build.
    Interrupted,
}

/// What is known of a cause: a table of `causes.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Facts {
    title: String,
    hint: Option<String>,
    #[serde(default)]
    retry: bool,
    explanation: String,
}

static FACTS: LazyLock<BTreeMap<Cause, Facts>> = LazyLock::new(|| {
    toml::from_str(include_str!("causes.toml")).expect("causes.toml is well-formed")
});

impl Cause {
    /// Every cause, in order.
    pub const ALL: &[Cause] = Cause::VARIANTS;

    /// The name, as in `verdict.json` and `ozr explain NAME`.
    pub fn name(self) -> &'static str {
        self.into()
    }

    fn facts(self) -> &'static Facts {
        &FACTS[&self]
    }

    /// What it means, in a few words.
    pub fn title(self) -> &'static str {
        &self.facts().title
    }

    /// What the user can do about it, as the end of a message.
    pub fn hint(self) -> Option<&'static str> {
        self.facts().hint.as_deref()
    }

    /// What it means and how to mend it, at length: lines of at most 100 columns.
    pub fn explanation(self) -> &'static str {
        &self.facts().explanation
    }

    /// Whether the whole build, done again with the same input, may succeed.
    pub fn retry(self) -> bool {
        self.facts().retry
    }

    /// What the exit status says. A full disk of the host's is the host's fault; see
    /// [`Verdict::kind`](super::verdict::Verdict::kind).
    pub fn kind(self) -> Kind {
        match self {
            Cause::HypervisorFailed => Kind::Host,
            Cause::Interrupted => Kind::Interrupted,
            _ => Kind::Build,
        }
    }

    /// Whether it is one of loading the installer, which an install has survived once the
    /// installer's own system runs.
    pub fn of_the_initramfs(self) -> bool {
        matches!(
            self,
            Cause::KickstartUnreachable | Cause::NetworkFailed | Cause::Stage2Unavailable
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Cause::*;
    use super::*;

    #[test]
    fn the_names_are_one_vocabulary() {
        for pair in Cause::ALL.windows(2) {
            assert!(pair[0] < pair[1], "{pair:?}");
        }
        for cause in Cause::ALL.iter().copied() {
            assert_eq!(cause.name().parse(), Ok(cause));
            let json = serde_json::to_string(&cause).unwrap();
            assert_eq!(json, format!("\"{cause}\""));
        }
        assert!("stage-2".parse::<Cause>().is_err());
    }

    #[test]
    fn every_cause_is_explained() {
        for cause in Cause::ALL.iter().copied() {
            let lines: Vec<&str> = cause.explanation().lines().collect();
            assert!((5..=12).contains(&lines.len()), "{cause}: {}", lines.len());
            assert!(lines.iter().all(|line| line.len() <= 100), "{cause}");
        }
    }

    #[test]
    fn what_the_input_causes_is_not_tried_again() {
        for cause in [
            KickstartRejected,
            SoftwareMissing,
            StorageFailed,
            ScriptFailed,
            QuestionAsked,
            Interrupted,
            TimedOut,
        ] {
            assert!(!cause.retry(), "{cause}");
        }
    }
}
