//! How a case is closed when no text has decided it: the guest is gone, stands still, or time is
//! up.

use std::time::Duration;

use super::Judge;
use crate::watch::cause::Cause;
use crate::watch::phases::Phase;
use crate::watch::texts::cause_of_last_words;
use crate::watch::verdict::{Decision, FullDisk, Outcome, Seen, Source};
use crate::watch::witness::End;

impl Judge {
    /// What the texts so far prove by themselves, if nothing else is known and nothing more
    /// comes. For a text that was kept from an install that nobody watched.
    pub fn proven(&mut self) -> Option<Decision> {
        if self.decided {
            return None;
        }
        if let Some(decision) = self.decide_fatal(true) {
            return Some(decision);
        }
        if self.lingering.as_ref().is_some_and(|l| !l.halted) {
            return self.decide_lingering();
        }
        if self.standstill.is_some() {
            return self.decide_standstill();
        }
        let best = self.suspects.best().cloned()?;
        // tmux's session, and a module's traceback, may end so in a good install, too.
        let in_between = (Phase::Installer..Phase::PostScripts).contains(&self.furthest());
        if best.cause == Cause::InstallerFailed && !best.is_telling() && !in_between {
            return None;
        }
        let sentence = format!("{}: {}", best.cause.title(), best.text());
        Some(self.fail(best.cause, sentence, vec![best.seen], true))
    }

    /// It stands still.
    pub(super) fn decide_standstill(&mut self) -> Option<Decision> {
        let wait = self.standstill.take()?;
        self.decisive = Some(wait.seen.clone());
        let text = crate::watch::line::body(&wait.seen.text).to_owned();
        // A question that follows an error is about that.
        let named = self
            .suspects
            .best()
            .filter(|best| best.is_telling())
            .cloned();
        let open: Vec<String> = self.hub.incomplete().map(|item| item.text()).collect();
        let text = if open.is_empty() {
            text
        } else {
            open.join(", ")
        };
        if wait.cause == Cause::QuestionAsked
            && let Some(best) = named
        {
            let sentence = format!("the installer waits for an answer: {}", best.text());
            return Some(self.fail(best.cause, sentence, vec![best.seen, wait.seen], true));
        }
        if wait.cause != Cause::InstallerFailed {
            let sentence = format!("the installer waits for an answer: {text}");
            return Some(self.fail(wait.cause, sentence, vec![wait.seen], true));
        }
        // The installer is dead; of what, an earlier text may tell.
        let best = self.suspects.best().cloned();
        Some(match best {
            Some(best) => {
                let sentence = format!("the installer died: {}", best.text());
                self.fail(best.cause, sentence, vec![best.seen, wait.seen], true)
            }
            None => {
                let sentence = format!("the installer died: {text}");
                self.fail(wait.cause, sentence, vec![wait.seen], true)
            }
        })
    }

    /// It is done, but does not go away.
    pub(super) fn decide_lingering(&mut self) -> Option<Decision> {
        let lingering = self.lingering.take()?;
        self.decisive = Some(lingering.seen.clone());
        let what = if lingering.halted {
            "the guest halted instead of switching itself off, and was switched off by ozr"
        } else {
            "the guest shut down, but could not switch itself off, and was switched off by ozr"
        };
        if self.marked && self.missing_kickstart().is_none() {
            self.decided = true;
            let mut notes = std::mem::take(&mut self.notes);
            notes.push(what.to_owned());
            return Some(Decision {
                outcome: Outcome::Success { notes },
                stop_guest: true,
                decisive: None,
            });
        }
        if lingering.halted {
            let mut decision = self.ended(End::ByGuest);
            decision.stop_guest = true;
            return Some(decision);
        }
        let sentence = if self.expectations.mark {
            "the guest shut down before the install was finished, and could not switch itself off"
        } else {
            "the guest shut down, but could not switch itself off"
        };
        Some(self.fail(
            Cause::PoweroffFailed,
            sentence.to_owned(),
            vec![lingering.seen],
            true,
        ))
    }

    /// The guest is gone, or cannot go on.
    pub(super) fn ended(&mut self, end: End) -> Decision {
        if let Some(decision) = self.ended_by_the_host(end) {
            return decision;
        }
        if let Some(decision) = self.decide_fatal(false) {
            return decision;
        }
        let in_order = self.in_order || end == End::ByGuest;
        let doing = self.while_doing();
        if end == End::Crashed {
            let words = vec![self.last_sign(end)];
            let what = self.last_words.as_ref().map(|seen| seen.text.clone());
            let cause = what.as_deref().and_then(cause_of_last_words);
            let what = what.as_deref().unwrap_or("the virtual machine crashed");
            let sentence = format!("{what} {doing}");
            let cause = cause.unwrap_or(Cause::GuestKilled);
            let mut decision = self.fail(cause, sentence, words, false);
            if cause == Cause::DiskFull {
                on_the_host(&mut decision);
            }
            return decision;
        }
        if end == End::Killed && !self.in_order {
            let sentence = format!("the virtual machine was stopped from outside {doing}");
            let sign = self.last_sign(end);
            return self.fail(Cause::GuestKilled, sentence, vec![sign], false);
        }
        if let Some((cause, sentence)) = self.missing(in_order) {
            let mut seen = self.supporting(cause);
            let sign = self.last_sign(end);
            self.decisive = Some(sign.clone());
            seen.push(sign);
            let phase = self.furthest();
            let mut decision = self.fail(cause, sentence, seen, false);
            if let Outcome::Failure(verdict) = &mut decision.outcome {
                verdict.phase = phase;
            }
            return decision;
        }
        self.decided = true;
        Decision {
            outcome: Outcome::Success {
                notes: std::mem::take(&mut self.notes),
            },
            stop_guest: false,
            decisive: None,
        }
    }

    /// What is the host's fault hides what the guest says of it: its disk answers with errors.
    fn ended_by_the_host(&mut self, end: End) -> Option<Decision> {
        let doing = self.while_doing();
        let detail = self.last_words.as_ref();
        let detail = detail.map_or(String::new(), |seen| format!(" ({})", seen.text));
        let (cause, sentence) = match end {
            End::HostDiskFull => (
                Cause::DiskFull,
                format!(
                    "QEMU could not write the guest's disk{detail} {doing}: the file system of the output directory is full"
                ),
            ),
            End::HostDiskError => (
                Cause::HypervisorFailed,
                format!("QEMU could not read or write the guest's disk{detail} {doing}"),
            ),
            End::ConnectionLost => (
                Cause::HypervisorFailed,
                format!("the connection to libvirt was lost{detail} {doing}"),
            ),
            End::ByGuest | End::Gone | End::Killed | End::Crashed => return None,
        };
        let seen = vec![self.last_sign(end)];
        Some(if cause == Cause::DiskFull {
            let hint = "make room on the host, and start the build again";
            let mut decision = self.fail_with(cause, &sentence, hint, seen, true);
            on_the_host(&mut decision);
            decision
        } else {
            self.fail(cause, sentence, seen, true)
        })
    }

    /// The time limit of the whole install was reached.
    pub(super) fn timed_out(&mut self, limit: Duration) -> Decision {
        let lead = format!(
            "timed out after {} in phase {}",
            in_words(limit),
            self.progress.phase().name()
        );
        self.gave_out(Cause::TimedOut, lead)
    }

    /// It made no progress for the limit of the step.
    pub(super) fn stalled(&mut self, limit: Duration) -> Decision {
        let lead = format!(
            "no progress for {} while {}",
            in_words(limit),
            self.stall.step().doing()
        );
        if self.marked {
            return self.gave_out(Cause::PoweroffFailed, lead);
        }
        self.gave_out(Cause::Stalled, lead)
    }

    /// Nothing decided it until now. Where a text has told the cause, the cause is what failed.
    fn gave_out(&mut self, otherwise: Cause, lead: String) -> Decision {
        if let Some(decision) = self.decide_fatal(true) {
            return decision;
        }
        if let Some(decision) = self.decide_standstill() {
            return decision;
        }
        let mut cause = otherwise;
        let mut sentence = lead;
        if let Some((missing, why)) = self.missing_kickstart() {
            sentence = format!("{sentence}: {why}");
            cause = missing;
        } else if self.marked {
            sentence += ": the install finished, but the guest did not shut down";
        } else if let Some(best) = self.suspects.best()
            // The installer handles many a traceback, and outlives it.
            && (best.is_telling() || self.progress.phase() < Phase::Stage2)
        {
            sentence = format!("{sentence}: {}", best.text());
            cause = best.cause;
        }
        let mut seen = self.supporting(cause);
        seen.push(self.seen(Source::GuestState, &sentence));
        self.fail(cause, sentence, seen, true)
    }

    /// What showed that the guest is gone, or cannot go on.
    fn last_sign(&self, end: End) -> Seen {
        let how = match end {
            End::ByGuest => "the guest switched itself off",
            End::Gone => "the guest is gone",
            End::Killed => "the virtual machine was stopped from outside",
            End::Crashed => "the virtual machine crashed",
            End::HostDiskFull => "QEMU stopped the guest: there is no room for its disk",
            End::HostDiskError => "QEMU stopped the guest: its disk cannot be read or written",
            End::ConnectionLost => "the connection to libvirt was lost",
        };
        let by_itself = matches!(end, End::ByGuest | End::Gone);
        let sign = if by_itself {
            &self.switched_off
        } else {
            &self.last_words
        };
        sign.clone()
            .unwrap_or_else(|| self.seen(Source::GuestState, how))
    }

    fn supporting(&self, cause: Cause) -> Vec<Seen> {
        let suspects = self.suspects.supporting(cause);
        suspects.map(|suspect| suspect.seen.clone()).collect()
    }
}

fn on_the_host(decision: &mut Decision) {
    if let Outcome::Failure(verdict) = &mut decision.outcome {
        verdict.full_disk = Some(FullDisk::Host);
    }
}

fn in_words(limit: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(limit.as_secs()))
}
