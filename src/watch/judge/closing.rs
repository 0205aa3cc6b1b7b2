//! How a case is closed, also when no text has decided it: the guest is gone, stands still, or time
//! is up.

use std::time::Duration;

use super::Judge;
use super::suspects::Suspect;
use crate::watch::cause::Cause;
use crate::watch::hub::Item;
use crate::watch::line;
use crate::watch::phases::Phase;
use crate::watch::texts::cause_of_last_words;
use crate::watch::verdict::{Decision, FullDisk, Outcome, Seen, Source, Verdict};
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
        let best = self.suspects.best().cloned();
        let (what, best) = match wait.cause {
            // A question that follows an error is about that.
            Cause::QuestionAsked => (
                "the installer waits for an answer",
                best.filter(Suspect::is_telling),
            ),
            // Of what it died, an earlier text may tell.
            Cause::InstallerFailed => ("the installer died", best),
            _ => ("the installer waits for an answer", None),
        };
        if let Some(best) = best {
            let sentence = format!("{what}: {}", best.text());
            return Some(self.fail(best.cause, sentence, vec![best.seen, wait.seen], true));
        }
        let open: Vec<String> = self.hub.incomplete().map(Item::text).collect();
        let sentence = match open.is_empty() {
            true => format!("{what}: {}", line::body(&wait.seen.text)),
            false => format!("{what}: {}", open.join(", ")),
        };
        Some(self.fail(wait.cause, sentence, vec![wait.seen], true))
    }

    /// It is done, but does not go away.
    pub(super) fn decide_lingering(&mut self) -> Option<Decision> {
        let lingering = self.lingering.take()?;
        self.decisive = Some(lingering.seen.clone());
        if self.marked && self.missing_kickstart().is_none() {
            let how = match lingering.halted {
                true => "halted instead of switching itself off",
                false => "shut down, but could not switch itself off",
            };
            let note = format!("the guest {how}, and was switched off by ozr");
            self.notes.push(note);
            return Some(self.succeed(true));
        }
        if lingering.halted {
            let mut decision = self.ended(End::ByGuest);
            decision.stop_guest = true;
            return Some(decision);
        }
        let sentence = match self.expectations.mark {
            true => {
                "the guest shut down before the install was finished, and could not switch itself off"
            }
            false => "the guest shut down, but could not switch itself off",
        };
        let seen = vec![lingering.seen];
        Some(self.fail(Cause::PoweroffFailed, sentence.to_owned(), seen, true))
    }

    /// The guest is gone, or cannot go on.
    pub(super) fn ended(&mut self, end: End) -> Decision {
        if let Some(decision) = self.ended_by_the_host(end) {
            return decision;
        }
        if let Some(decision) = self.decide_fatal(false) {
            return decision;
        }
        let sign = self.last_sign(end);
        let doing = self.while_doing();
        if end == End::Crashed {
            let words = self.last_words.as_ref();
            let what = words.map_or("the virtual machine crashed", |seen| seen.text.as_str());
            let cause = cause_of_last_words(what).unwrap_or(Cause::GuestKilled);
            let sentence = format!("{what} {doing}");
            let mut verdict = self.verdict(cause, sentence, vec![sign]);
            verdict.full_disk = (cause == Cause::DiskFull).then_some(FullDisk::Host);
            return self.close(verdict, false);
        }
        if end == End::Killed && !self.in_order {
            let sentence = format!("the virtual machine was stopped from outside {doing}");
            return self.fail(Cause::GuestKilled, sentence, vec![sign], false);
        }
        let in_order = self.in_order || end == End::ByGuest;
        if let Some((cause, sentence)) = self.missing(in_order) {
            let mut seen = self.supporting(cause);
            self.decisive = Some(sign.clone());
            seen.push(sign);
            let phase = self.furthest();
            let verdict = self.verdict(cause, sentence, seen);
            return self.close(Verdict { phase, ..verdict }, false);
        }
        self.succeed(false)
    }

    /// What is the host's fault hides what the guest says of it: its disk answers with errors.
    fn ended_by_the_host(&mut self, end: End) -> Option<Decision> {
        let what = match end {
            End::HostDiskFull => "QEMU could not write the guest's disk",
            End::HostDiskError => "QEMU could not read or write the guest's disk",
            End::ConnectionLost => "the connection to libvirt was lost",
            End::ByGuest | End::Gone | End::Killed | End::Crashed => return None,
        };
        let detail = self.last_words.as_ref();
        let detail = detail.map_or(String::new(), |seen| format!(" ({})", seen.text));
        let sentence = format!("{what}{detail} {}", self.while_doing());
        let seen = vec![self.last_sign(end)];
        if end != End::HostDiskFull {
            return Some(self.fail(Cause::HypervisorFailed, sentence, seen, true));
        }
        let sentence = format!("{sentence}: the file system of the output directory is full");
        let hint = "make room on the host, and start the build again";
        let mut verdict = self.verdict_with(Cause::DiskFull, sentence, Some(hint), seen);
        verdict.full_disk = Some(FullDisk::Host);
        Some(self.close(verdict, true))
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
        let cause = match self.marked {
            true => Cause::PoweroffFailed,
            false => Cause::Stalled,
        };
        self.gave_out(cause, lead)
    }

    /// Nothing decided it until now. Where a text has told the cause, the cause is what failed.
    fn gave_out(&mut self, otherwise: Cause, lead: String) -> Decision {
        let told = self.decide_fatal(true);
        if let Some(decision) = told.or_else(|| self.decide_standstill()) {
            return decision;
        }
        let (cause, why) = if let Some((missing, why)) = self.missing_kickstart() {
            (missing, format!(": {why}"))
        } else if self.marked {
            let why = ": the install finished, but the guest did not shut down";
            (otherwise, why.to_owned())
        } else if let Some(best) = self.suspects.best()
            // The installer handles many a traceback, and outlives it.
            && (best.is_telling() || self.progress.phase() < Phase::Stage2)
        {
            (best.cause, format!(": {}", best.text()))
        } else {
            (otherwise, String::new())
        };
        let sentence = lead + &why;
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
        let sign = match end {
            End::ByGuest | End::Gone => &self.switched_off,
            _ => &self.last_words,
        };
        sign.clone()
            .unwrap_or_else(|| self.seen(Source::GuestState, how))
    }

    pub(super) fn supporting(&self, cause: Cause) -> Vec<Seen> {
        let suspects = self.suspects.supporting(cause);
        suspects.map(|suspect| suspect.seen.clone()).collect()
    }

    pub(super) fn succeed(&mut self, stop_guest: bool) -> Decision {
        self.decided = true;
        let notes = std::mem::take(&mut self.notes);
        Decision {
            outcome: Outcome::Success { notes },
            stop_guest,
            decisive: None,
        }
    }

    /// Closes the case with a failure, of which there is no more to say.
    pub(super) fn fail(
        &mut self,
        cause: Cause,
        sentence: String,
        seen: Vec<Seen>,
        stop_guest: bool,
    ) -> Decision {
        let verdict = self.verdict(cause, sentence, seen);
        self.close(verdict, stop_guest)
    }

    /// A verdict that ends with what its cause suggests.
    pub(super) fn verdict(&mut self, cause: Cause, sentence: String, seen: Vec<Seen>) -> Verdict {
        self.verdict_with(cause, sentence, cause.hint(), seen)
    }

    /// A verdict that ends with what to do about it.
    pub(super) fn verdict_with(
        &mut self,
        cause: Cause,
        mut sentence: String,
        hint: Option<&str>,
        seen: Vec<Seen>,
    ) -> Verdict {
        if let Some(hint) = hint {
            sentence = format!("{}; {hint}", sentence.trim_end_matches(['.', ' ', ':']));
        }
        let mut verdict = Verdict::new(cause, sentence, self.progress.phase(), self.now, seen);
        for text in self.tail.drain(..) {
            let body = line::body(&text);
            if !verdict
                .console
                .iter()
                .any(|known| line::body(known) == body)
            {
                verdict.console.push(text);
            }
        }
        verdict.full_disk = (cause == Cause::DiskFull).then_some(FullDisk::Guest);
        let about_packages = matches!(
            cause,
            Cause::SourceUnavailable | Cause::SoftwareMissing | Cause::DownloadFailed
        );
        if about_packages {
            verdict.repositories = std::mem::take(&mut self.expectations.repositories);
        }
        verdict
    }

    pub(super) fn close(&mut self, verdict: Verdict, stop_guest: bool) -> Decision {
        self.decided = true;
        // Where no line did it, the guest's end or our own clock did, just now.
        let decisive = self.decisive.take();
        let decisive = decisive.or_else(|| Some(self.seen(Source::GuestState, &verdict.sentence)));
        Decision {
            outcome: Outcome::Failure(Box::new(verdict)),
            stop_guest,
            decisive,
        }
    }
}

fn in_words(limit: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(limit.as_secs()))
}
