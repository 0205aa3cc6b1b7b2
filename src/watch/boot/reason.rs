//! Why a boot test fails: a fixed vocabulary.

use serde::Serialize;
use strum::{Display, IntoStaticStr, VariantArray};

/// Why a boot test failed. The names are part of the interface (`docs/boot-test.md`).
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Display,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Reason {
    /// Nothing came from the serial console.
    NoOutput,
    /// The firmware or the boot loader found nothing to start.
    NothingBootable,
    /// The kernel gave up.
    KernelPanic,
    /// The initramfs or systemd ended in a shell for an administrator.
    EmergencyMode,
    /// The guest reboots again and again.
    RebootLoop,
    /// A passphrase is asked for that is not known, or is not the right one.
    PassphraseAsked,
    /// Units failed that may not.
    FailedUnits,
    /// SELinux denied something.
    SelinuxDenials,
    /// A declared check, or one that every image has to pass, failed.
    CheckFailed,
    /// Two clones of the image have something in common that must differ.
    ClonesAlike,
    /// The guest switched itself off.
    GuestEnded,
    /// The time limit was reached first.
    TimedOut,
    /// The image's own bytes were changed.
    ImageChanged,
}

impl Reason {
    /// Every reason.
    pub const ALL: &[Reason] = Reason::VARIANTS;

    /// Its name.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// What to do about it, as the end of a sentence.
    pub fn hint(self) -> &'static str {
        match self {
            Reason::NoOutput => {
                "look at the screenshot: the disk may not be bootable with this firmware, or the kernel's command line lacks a console= for the serial port"
            }
            Reason::NothingBootable => {
                "check that the image has a boot loader for this firmware (--firmware)"
            }
            Reason::KernelPanic => "look at the end of the console log",
            Reason::EmergencyMode => {
                "look at the console log for the device or file system that did not come: root= and /etc/fstab are the usual places"
            }
            Reason::RebootLoop => "look at the console log for what comes before each reboot",
            Reason::PassphraseAsked => {
                "say where the passphrase of the image's encrypted file systems is with --luks-passphrase"
            }
            Reason::FailedUnits => {
                "look at the console log, mend the units, or name those that may fail with --allow-failed"
            }
            Reason::SelinuxDenials => {
                "label the files (restorecon, or `touch /.autorelabel`), or allow what is denied with --allow-denied"
            }
            Reason::CheckFailed => "look at what the check found",
            Reason::ClonesAlike => "remove from the image what each machine must make for itself",
            Reason::GuestEnded => "look at the end of the console log",
            Reason::TimedOut => {
                "raise the limit with --timeout, or look at where the boot stopped; --target waits for a target of systemd's instead of a login prompt"
            }
            Reason::ImageChanged => "nobody else may use the image while it is tested",
        }
    }
}
