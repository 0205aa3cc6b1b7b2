//! What a success needs, and what of it is missing.

use std::time::Duration;

use super::Judge;
use super::suspects::Suspect;
use crate::options::Deliver;
use crate::watch::cause::Cause;
use crate::watch::phases::Phase;

impl Judge {
    /// Whether the install is done, as far as the guest shows it.
    pub(super) fn finished(&self) -> bool {
        if self.expectations.mark {
            self.marked
        } else {
            self.saw(Phase::PostScripts..=Phase::PostScripts)
        }
    }

    /// What is missing for a success.
    pub(super) fn missing(&self, in_order: bool) -> Option<(Cause, String)> {
        if let Some(missing) = self.missing_kickstart() {
            return Some(missing);
        }
        if self.finished() {
            return (!in_order).then(|| {
                let sentence = "the install finished, but the guest did not shut down in order";
                (Cause::GuestKilled, sentence.to_owned())
            });
        }
        let best = self.suspects.best();
        let because = self.because(best);
        if !self.saw(Phase::Installer..=Phase::PostScripts) {
            let cause = best.map_or(Cause::Stage2Unavailable, |suspect| suspect.cause);
            let sentence = format!(
                "the guest fetched the kickstart, but the installer never started{because}"
            );
            return Some((cause, sentence));
        }
        let cause = best.map_or(Cause::InstallerFailed, |suspect| suspect.cause);
        let far = as_noun(self.furthest());
        let sentence =
            format!("the guest powered off without finishing; it came as far as {far}{because}");
        Some((cause, sentence))
    }

    fn because(&self, suspect: Option<&Suspect>) -> String {
        let told = suspect.map(|suspect| format!(": {}", self.suspects.told(suspect)));
        told.unwrap_or_default()
    }

    fn saw(&self, phases: std::ops::RangeInclusive<Phase>) -> bool {
        self.progress
            .phases(Duration::ZERO)
            .iter()
            .any(|time| phases.contains(&time.phase))
    }

    /// The last phase before the guest shut down.
    pub(super) fn furthest(&self) -> Phase {
        self.progress
            .phases(Duration::ZERO)
            .iter()
            .rev()
            .map(|time| time.phase)
            .find(|phase| *phase != Phase::ShuttingDown)
            .unwrap_or_else(|| self.progress.phase())
    }

    /// Whether the guest never had the kickstart, and how far it came without.
    pub(super) fn missing_kickstart(&self) -> Option<(Cause, String)> {
        let (had, verb) = match self.expectations.delivery {
            Some(Deliver::Http) => (self.fetched, "fetched"),
            Some(Deliver::Initrd) => (self.has_kickstart, "found"),
            None => return None,
        };
        if had {
            return None;
        }
        let far = match self.furthest() {
            Phase::PoweredOn => "nothing at all came from its console",
            Phase::Kernel => "its kernel started, and no sign of the installer followed",
            Phase::Initramfs => "it came as far as the initramfs",
            Phase::Stage2 => "the installer's system started without it",
            _ => "the installer started without it",
        };
        let best = self.suspects.best();
        let cause = match self.furthest() {
            Phase::PoweredOn => Cause::NoBootOutput,
            // What kept the guest from booting, or from the network, it names itself.
            _ => best
                .filter(|best| {
                    best.is_telling()
                        && matches!(best.cause, Cause::OutOfMemory | Cause::NetworkFailed)
                })
                .map_or(Cause::KickstartUnreachable, |best| best.cause),
        };
        let sentence = format!(
            "the guest never {verb} the kickstart; {far}{}",
            self.because(best)
        );
        Some((cause, sentence))
    }
}

/// The phase, to follow "as far as".
fn as_noun(phase: Phase) -> &'static str {
    match phase {
        Phase::PoweredOn | Phase::Kernel => "the kernel",
        Phase::Initramfs => "the initramfs",
        Phase::Stage2 | Phase::Installer => "the start of the installer",
        other => other.doing(),
    }
}
