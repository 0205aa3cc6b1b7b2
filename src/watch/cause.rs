//! Why an install fails: the fixed vocabulary of verdicts.

use std::fmt;

use serde::Serialize;
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::explanations;
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
    EnumString,
    IntoStaticStr,
    Serialize,
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

use Cause::*;

impl Cause {
    /// Every cause, in order.
    pub const ALL: &[Cause] = Cause::VARIANTS;

    /// The name, as in `verdict.json` and `ozr explain NAME`.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// What it means, in a few words.
    pub fn title(self) -> &'static str {
        match self {
            KickstartUnreachable => "the guest could not get the kickstart",
            KickstartRejected => "the installer refused the kickstart",
            NetworkFailed => "the guest's network did not work",
            Stage2Unavailable => "the installer's second stage could not be loaded",
            SourceUnavailable => "the package source could not be used",
            SoftwareMissing => "packages are missing or do not fit together",
            DownloadFailed => "packages could not be downloaded",
            TransactionFailed => "packages could not be installed",
            StorageFailed => "the disk could not be partitioned as asked",
            ScriptFailed => "a script failed",
            BootLoaderFailed => "the boot loader could not be installed",
            QuestionAsked => "the installer asked a question that the kickstart does not answer",
            InstallerFailed => "the installer failed",
            OutOfMemory => "the guest had too little memory",
            DiskFull => "a disk was full",
            MediaCheckFailed => "the installation medium is damaged",
            KernelPanic => "the guest's kernel panicked",
            NoBootOutput => "the guest did not boot",
            PoweroffFailed => "the guest did not shut down",
            Stalled => "the install stopped making progress",
            TimedOut => "the time limit was reached",
            GuestKilled => "the virtual machine was ended from outside",
            HypervisorFailed => "libvirt or QEMU failed",
            Interrupted => "the build was interrupted",
        }
    }

    /// What the user can do about it, as the end of a message.
    pub fn hint(self) -> Option<&'static str> {
        Some(match self {
            KickstartUnreachable => {
                "check that the guest's network reaches this host (`--network`), or use `--deliver initrd`"
            }
            KickstartRejected => {
                "correct the kickstart; `ozr check` names what the release does not know"
            }
            NetworkFailed => {
                "check `--network`, the `network` line of the kickstart, and that the mirror can be reached from the guest"
            }
            Stage2Unavailable => {
                "check that the install tree is complete and readable (images/install.img), and that the guest has enough memory"
            }
            SourceUnavailable => {
                "check that the `url` and `repo` lines lead to directories with repodata/repomd.xml that the guest can reach"
            }
            SoftwareMissing => {
                "check the names in %packages and the `repo` lines; `--ignoremissing` skips packages that do not exist"
            }
            DownloadFailed => "check the mirror, and start the build again",
            TransactionFailed => {
                "look at the end of the console log for the package, and at its scriptlets (`rpm -qp --scripts`)"
            }
            StorageFailed => {
                "check the partitioning commands of the kickstart, or give a larger disk with `--disk-size`"
            }
            ScriptFailed => "run the script by hand; a `--log` on its section shows its output",
            BootLoaderFailed => {
                "check the `bootloader` line, and that `--firmware` and the partitions fit together (`reqpart`)"
            }
            QuestionAsked => "add what the installer asked for to the kickstart",
            InstallerFailed => "look at the end of the console log",
            OutOfMemory => "give the guest more memory with `--memory`",
            DiskFull => "give a larger disk with `--disk-size`, or install less",
            MediaCheckFailed => "fetch the image again and compare its checksum",
            KernelPanic => {
                "look at the end of the console log; more memory (`--memory`) or `--accel tcg` may help"
            }
            NoBootOutput => {
                "check that `--firmware` and the architecture fit the install tree, and the kernel's `console=`"
            }
            PoweroffFailed => "look at the end of the console log",
            Stalled => "look at where it stopped; the guest's screen may show more",
            TimedOut => "raise the limit with `--timeout`, or look at where it stopped",
            GuestKilled => {
                "start the build again; `dmesg` tells whether the host ran out of memory"
            }
            HypervisorFailed => "see the logs of libvirt and QEMU, then start the build again",
            Interrupted => return None,
        })
    }

    /// What it means and how to mend it, at length: lines of at most 100 columns.
    pub fn explanation(self) -> &'static str {
        explanations::of(self)
    }

    /// Whether the whole build, done again with the same input, may succeed: the cause lies in
    /// the network, the mirror or the host, not in the template or the kickstart.
    pub fn retry(self) -> bool {
        matches!(
            self,
            KickstartUnreachable
                | NetworkFailed
                | Stage2Unavailable
                | SourceUnavailable
                | DownloadFailed
                | PoweroffFailed
                | Stalled
                | GuestKilled
                | HypervisorFailed
        )
    }

    /// What the exit status says. A full disk of the host's is the host's fault; see
    /// [`Verdict::kind`](super::verdict::Verdict::kind).
    pub fn kind(self) -> Kind {
        match self {
            HypervisorFailed => Kind::Host,
            Interrupted => Kind::Interrupted,
            _ => Kind::Build,
        }
    }

    /// Whether it is one of loading the installer, which an install has survived once the
    /// installer's own system runs.
    pub fn of_the_initramfs(self) -> bool {
        matches!(
            self,
            KickstartUnreachable | NetworkFailed | Stage2Unavailable
        )
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
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
