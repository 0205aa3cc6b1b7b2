//! Decides whether an install has succeeded.
//!
//! That the guest went away proves nothing: after an error in cmdline mode anaconda sleeps for
//! 180 s, exits, and the kickstart's `poweroff` is carried out as after a good install
//! (anaconda `exception.py`, `exitHandler`). Success is: the guest had our kickstart, the
//! completion mark came, no failure text came before it, and the guest shut down in order.
//!
//! Times are handed in, counted from the start of the guest; nothing here reads a clock. The
//! caller hands in what it witnesses, in order, and calls [`Judge::tick`] when
//! [`Judge::deadline`] has come. Before [`Witness::Ended`] it drains console and log port.

use std::collections::VecDeque;
use std::time::Duration;

use super::failures::{Certainty, FailureKind, OURS, kind_of_message};
use super::logport::Record;
use super::message::Block;
use super::patterns::{self, Signal};
use super::phases::Phase;
use super::progress::Progress;
use super::verdict::{Decision, Delivery, End, Expectations, Failure, Outcome, Witness};

/// How long to wait after a failure text for the rest of its message. It is printed at one go,
/// but through tmux and an emulated serial port; anaconda then waits 180 s.
pub const SETTLE: Duration = Duration::from_secs(5);

/// How long nothing may follow a question or a dead pane before it counts. A scripted dialog
/// goes on by itself; a dead pane may be that of an installer that has just finished.
pub const STALL: Duration = Duration::from_secs(30);

/// How many lines of the console a failure carries: about one screen, and a bit.
pub const EVIDENCE: usize = 30;

/// How many possible causes are remembered. The initramfs repeats the same few.
const MAX_SUSPECTS: usize = 16;

/// How many notes are kept: a kickstart has a handful of scripts.
const MAX_NOTES: usize = 20;

/// A line this long may go on in the next one: anaconda wraps its text at 80 columns, between
/// words.
const WRAPPED: usize = 50;

/// A failure text, whose message may still be coming.
#[derive(Debug)]
struct Fatal {
    kind: FailureKind,
    phase: Phase,
    block: Block,
    until: Duration,
}

/// Something that will count unless the install goes on.
#[derive(Debug)]
struct Stall {
    kind: FailureKind,
    line: String,
    until: Duration,
}

/// The judge of one install.
#[derive(Debug)]
pub struct Judge {
    expectations: Expectations,
    progress: Progress,
    tail: VecDeque<String>,
    fetched: bool,
    has_kickstart: bool,
    marked: bool,
    in_order: bool,
    fatal: Option<Fatal>,
    stall: Option<Stall>,
    suspects: Vec<(FailureKind, String)>,
    notes: Vec<String>,
    last_words: Option<String>,
    decided: bool,
}

impl Judge {
    /// A judge who has seen nothing.
    pub fn new(expectations: Expectations) -> Self {
        Judge {
            expectations,
            progress: Progress::default(),
            tail: VecDeque::with_capacity(EVIDENCE),
            fetched: false,
            has_kickstart: false,
            marked: false,
            in_order: false,
            fatal: None,
            stall: None,
            suspects: Vec::new(),
            notes: Vec::new(),
            last_words: None,
            decided: false,
        }
    }

    /// How far the install has come.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// When [`Judge::tick`] wants to be called, if nothing is witnessed before.
    pub fn deadline(&self) -> Option<Duration> {
        let fatal = self.fatal.as_ref().map(|fatal| fatal.until);
        let stall = self.stall.as_ref().map(|stall| stall.until);
        [fatal, stall]
            .into_iter()
            .flatten()
            .min()
            .filter(|_| !self.decided)
    }

    /// Decides, if a deadline has passed.
    pub fn tick(&mut self, now: Duration) -> Option<Decision> {
        if self.decided {
            return None;
        }
        if self.fatal.as_ref().is_some_and(|fatal| fatal.until <= now) {
            return self.decide_fatal(true);
        }
        if self.stall.as_ref().is_some_and(|stall| stall.until <= now) {
            return self.decide_stall();
        }
        None
    }

    /// Takes what was witnessed; the decision, if that makes one.
    pub fn witness(&mut self, now: Duration, witness: Witness<'_>) -> Option<Decision> {
        if self.decided {
            return None;
        }
        match witness {
            Witness::Console(line) => self.console(now, line),
            Witness::Log(record) => self.log(now, record),
            Witness::Mark => {
                self.marked = true;
                self.has_kickstart = true;
                self.go_on(now, &Signal::Phase(Phase::PostScripts));
            }
            Witness::KickstartFetched => {
                self.fetched = true;
                self.go_on(now, &Signal::Phase(Phase::Initramfs));
            }
            Witness::LastWords(words) => self.last_words = Some(words.to_owned()),
            Witness::Ended(end) => return Some(self.ended(end)),
            Witness::TimedOut(limit) => return Some(self.timed_out(limit)),
            Witness::Interrupted => {
                let sentence = format!("interrupted {}", self.while_doing());
                return Some(self.fail(FailureKind::Interrupted, sentence, None, true));
            }
        }
        if self
            .fatal
            .as_ref()
            .is_some_and(|fatal| fatal.block.is_complete())
        {
            return self.decide_fatal(true);
        }
        self.tick(now)
    }

    fn console(&mut self, now: Duration, line: &str) {
        self.progress.spoke(now);
        let before = self.tail.back().cloned();
        if self.tail.len() == EVIDENCE {
            self.tail.pop_front();
        }
        self.tail.push_back(line.to_owned());
        let mut signals = patterns::read_console(line);
        if !signals.iter().any(is_failure)
            && let Some(before) = before.filter(|before| before.len() >= WRAPPED)
            && !patterns::read_console(&before).iter().any(is_failure)
        {
            // A text that was wrapped: only what neither line says alone is new.
            let joined = patterns::read_console(&format!("{before} {}", line.trim_start()));
            signals.extend(joined.into_iter().filter(is_failure));
        }
        if let Some(fatal) = &mut self.fatal {
            fatal.block.console_line(line);
        }
        for signal in signals {
            self.signal(now, &signal, line, false);
        }
    }

    fn log(&mut self, now: Duration, record: &Record) {
        for signal in patterns::read_log(record) {
            self.signal(now, &signal, patterns::log_text(record), true);
        }
    }

    fn signal(&mut self, now: Duration, signal: &Signal, text: &str, from_log: bool) {
        match signal {
            Signal::Failure(found) => match found.certainty {
                Certainty::Fatal => self.fatal(now, found.kind, text, from_log),
                Certainty::Stall => {
                    self.stall.get_or_insert_with(|| Stall {
                        kind: found.kind,
                        line: patterns::body(text).to_owned(),
                        until: now + STALL,
                    });
                }
                Certainty::Suspect => self.suspect(found.kind, text),
            },
            Signal::PowerDown | Signal::Reboot | Signal::Halted => {
                self.in_order = true;
                self.go_on(now, signal);
            }
            Signal::HasKickstart => self.has_kickstart = true,
            Signal::Note(note) => {
                if self.notes.len() < MAX_NOTES && !self.notes.contains(note) {
                    self.notes.push(note.clone());
                }
            }
            Signal::Phase(_) | Signal::Started { .. } => self.go_on(now, signal),
            Signal::Package { .. } | Signal::Download { .. } | Signal::Tasks { .. } => {
                self.go_on(now, signal);
            }
        }
    }

    /// The install goes on: what looked like the end was none.
    fn go_on(&mut self, now: Duration, signal: &Signal) {
        self.stall = None;
        // The log and the console tell the same phases, each at its own pace: only a new one
        // shows that the initramfs has recovered. One that gives up shuts down, too.
        if let Some(phase) = self.progress.signal(now, signal)
            && (Phase::Stage2..Phase::ShuttingDown).contains(&phase)
        {
            self.suspects.retain(|(kind, _)| !of_the_initramfs(*kind));
        }
    }

    fn fatal(&mut self, now: Duration, kind: FailureKind, text: &str, from_log: bool) {
        let phase = self.progress.phase();
        let fatal = self.fatal.get_or_insert_with(|| Fatal {
            kind,
            phase,
            block: Block::default(),
            until: now + SETTLE,
        });
        if from_log {
            fatal.block.log_message(text);
        } else {
            fatal.block.headline(text);
        }
        // What the first text said in general, a later one may say in particular.
        if matches!(
            fatal.kind,
            FailureKind::InstallerFailed | FailureKind::BootFailed
        ) {
            fatal.kind = kind;
        }
    }

    fn suspect(&mut self, kind: FailureKind, line: &str) {
        if of_the_initramfs(kind) && self.progress.phase() >= Phase::Stage2 {
            return;
        }
        let text = patterns::body(line).to_owned();
        if self.suspects.len() < MAX_SUSPECTS && !self.suspects.iter().any(|(_, t)| *t == text) {
            self.suspects.push((kind, text));
        }
    }

    /// The most telling possible cause: what had to come first explains what did not come after.
    fn cause(&self) -> Option<&(FailureKind, String)> {
        self.suspects.iter().min_by_key(|(kind, text)| {
            // curl names the address, but does not say what was wanted from it.
            (
                text.contains("curl: ("),
                *kind == FailureKind::BootFailed,
                *kind,
            )
        })
    }

    /// Why a script of ours stopped.
    fn said_by_us(&self) -> Option<String> {
        let ours = |(kind, _): &&(FailureKind, String)| *kind == FailureKind::TemplateFailed;
        let (_, text) = self.suspects.iter().rfind(ours)?;
        Some(text.trim_start_matches(OURS).to_owned())
    }

    fn decide_fatal(&mut self, stop_guest: bool) -> Option<Decision> {
        let fatal = self.fatal.take()?;
        let message = fatal.block.message();
        if fatal.kind == FailureKind::BootFailed
            && let Some((kind, text)) = self.cause().cloned()
        {
            let sentence = match self.missing_kickstart() {
                Some((found, sentence)) if found == kind => sentence,
                _ => format!("the guest could not load the installer: {text}"),
            };
            return Some(self.fail(kind, sentence, None, stop_guest));
        }
        let mut kind = fatal.kind;
        if matches!(
            kind,
            FailureKind::InstallerFailed | FailureKind::PackagesFailed | FailureKind::QuestionAsked
        ) {
            kind = match kind_of_message(&message) {
                Some(particular) => particular,
                // Anaconda of Fedora 25 and before gives no reason for a failed script.
                None if fatal.phase == Phase::PostScripts && fatal.block.gives_no_reason() => {
                    FailureKind::ScriptFailed
                }
                None => kind,
            };
        }
        // Of a script of ours, the installer says a line that the kickstart's author never saw.
        let ours = self.said_by_us();
        if kind == FailureKind::ScriptFailed && ours.is_some() {
            kind = FailureKind::TemplateFailed;
        }
        let sentence = match kind {
            FailureKind::KernelPanic => {
                // `---[ end Kernel panic` says it all once more.
                let reason = message.split(" ---[ end").next().unwrap_or_default();
                let reason = reason.trim_start_matches("Kernel panic - not syncing: ");
                format!("the guest's kernel panicked: {reason}")
            }
            FailureKind::BootFailed => format!("the guest could not load the installer: {message}"),
            FailureKind::PoweroffFailed => {
                "the guest shut down, but could not switch itself off".to_owned()
            }
            FailureKind::TemplateFailed => {
                let said = ours.as_deref().unwrap_or(&message);
                format!("what the template adds failed: {said}")
            }
            _ if fatal.block.gives_no_reason() => {
                format!(
                    "the installer stopped while {} and gave no reason",
                    fatal.phase.doing()
                )
            }
            _ if (Phase::Storage..Phase::ShuttingDown).contains(&fatal.phase) => {
                let message = message.trim_end_matches(['.', ' ', ':']);
                format!(
                    "installer reported: {message} (while {})",
                    fatal.phase.doing()
                )
            }
            _ => format!("installer reported: {message}"),
        };
        Some(self.fail(kind, sentence, Some(fatal.phase), stop_guest))
    }

    fn decide_stall(&mut self) -> Option<Decision> {
        let stall = self.stall.take()?;
        let sentence = if stall.kind == FailureKind::QuestionAsked {
            format!("the installer waits for an answer: {}", stall.line)
        } else if let Some((_, text)) = self.cause() {
            format!("the installer died: {text}")
        } else {
            format!("the installer died: {}", stall.line)
        };
        Some(self.fail(stall.kind, sentence, None, true))
    }

    fn ended(&mut self, end: End) -> Decision {
        let in_order = self.in_order || end == End::ByGuest;
        if let Some(decision) = self.decide_fatal(false) {
            return decision;
        }
        let doing = self.while_doing();
        if end == End::Crashed {
            let what = self.last_words.as_deref();
            let sentence = format!("{} {doing}", what.unwrap_or("the virtual machine crashed"));
            return self.fail(FailureKind::GuestKilled, sentence, None, false);
        }
        if end == End::Killed && !self.in_order {
            let sentence = format!("the virtual machine was stopped from outside {doing}");
            return self.fail(FailureKind::GuestKilled, sentence, None, false);
        }
        if let Some((kind, sentence)) = self.missing(in_order) {
            return self.fail(kind, sentence, None, false);
        }
        self.decided = true;
        Decision {
            outcome: Outcome::Success {
                notes: std::mem::take(&mut self.notes),
            },
            stop_guest: false,
        }
    }

    /// What is missing for a success.
    fn missing(&self, in_order: bool) -> Option<(FailureKind, String)> {
        if let Some(missing) = self.missing_kickstart() {
            return Some(missing);
        }
        let started = self.started();
        let finished = if self.expectations.mark {
            self.marked
        } else {
            self.saw(Phase::PostScripts..=Phase::PostScripts)
        };
        if finished {
            return (!in_order).then(|| {
                let sentence = "the install finished, but the guest did not shut down in order";
                (FailureKind::Unfinished, sentence.to_owned())
            });
        }
        if !started {
            let (kind, cause) = match self.cause() {
                Some((kind, text)) => (*kind, format!(": {text}")),
                None => (FailureKind::Stage2Unavailable, String::new()),
            };
            let sentence =
                format!("the guest fetched the kickstart, but the installer never started{cause}");
            return Some((kind, sentence));
        }
        let (kind, cause) = match self.cause() {
            Some((kind, text)) => (*kind, format!(": {text}")),
            None => (FailureKind::Unfinished, String::new()),
        };
        let far = as_noun(self.furthest());
        let sentence =
            format!("the guest powered off without finishing; it came as far as {far}{cause}");
        Some((kind, sentence))
    }

    /// Whether the installer itself has shown up.
    fn started(&self) -> bool {
        self.saw(Phase::Installer..=Phase::PostScripts)
    }

    fn saw(&self, phases: std::ops::RangeInclusive<Phase>) -> bool {
        self.progress
            .phases(Duration::ZERO)
            .iter()
            .any(|time| phases.contains(&time.phase))
    }

    /// The last phase before the guest shut down.
    fn furthest(&self) -> Phase {
        self.progress
            .phases(Duration::ZERO)
            .iter()
            .rev()
            .map(|time| time.phase)
            .find(|phase| *phase != Phase::ShuttingDown)
            .unwrap_or_else(|| self.progress.phase())
    }

    fn missing_kickstart(&self) -> Option<(FailureKind, String)> {
        let had = match self.expectations.delivery {
            Delivery::Http => self.fetched,
            Delivery::Initrd => self.has_kickstart,
        };
        if had {
            return None;
        }
        let verb = match self.expectations.delivery {
            Delivery::Http => "fetched",
            Delivery::Initrd => "found",
        };
        let far = match self.furthest() {
            Phase::PoweredOn => "nothing at all came from its console",
            Phase::Kernel => "its kernel started, and no sign of the installer followed",
            Phase::Initramfs => "it came as far as the initramfs",
            Phase::Stage2 => "the installer's system started without it",
            _ => "the installer started without it",
        };
        let cause = match self.cause() {
            Some((_, text)) => format!(": {text}"),
            None => String::new(),
        };
        Some((
            FailureKind::KickstartUnreachable,
            format!("the guest never {verb} the kickstart; {far}{cause}"),
        ))
    }

    fn timed_out(&mut self, limit: Duration) -> Decision {
        if let Some(decision) = self.decide_fatal(true) {
            return decision;
        }
        if let Some(decision) = self.decide_stall() {
            return decision;
        }
        let limit = humantime::format_duration(Duration::from_secs(limit.as_secs()));
        let phase = self.progress.phase();
        // Where a text has told the cause, the cause is what failed.
        let kind = match self.cause() {
            Some((kind, _)) if !self.marked => *kind,
            _ => FailureKind::TimedOut,
        };
        let mut sentence = format!("timed out after {limit} in phase {}", phase.name());
        if let Some((_, missing)) = self.missing_kickstart() {
            sentence = format!("{sentence}: {missing}");
        } else if self.marked {
            sentence += ": the install finished, but the guest did not shut down";
        } else if let Some((_, text)) = self.cause() {
            sentence = format!("{sentence}: {text}");
        }
        self.fail(kind, sentence, None, true)
    }

    fn while_doing(&self) -> String {
        format!("while {}", self.progress.phase().doing())
    }

    /// Closes the case with a failure in `phase`, or else in the current one.
    fn fail(
        &mut self,
        kind: FailureKind,
        sentence: String,
        phase: Option<Phase>,
        stop_guest: bool,
    ) -> Decision {
        self.decided = true;
        let sentence = match kind.hint() {
            Some(hint) => format!("{}; {hint}", sentence.trim_end_matches(['.', ' ', ':'])),
            None => sentence,
        };
        let mut evidence: Vec<String> = Vec::with_capacity(self.tail.len());
        for line in self.tail.drain(..) {
            if !evidence
                .iter()
                .any(|known| patterns::body(known) == patterns::body(&line))
            {
                evidence.push(line);
            }
        }
        Decision {
            outcome: Outcome::Failure(Failure {
                kind,
                sentence,
                phase: phase.unwrap_or_else(|| self.progress.phase()),
                evidence,
            }),
            stop_guest,
        }
    }
}

/// Whether such a failure is one of loading the installer, which it has survived once it runs.
fn of_the_initramfs(kind: FailureKind) -> bool {
    matches!(
        kind,
        FailureKind::KickstartUnreachable
            | FailureKind::NetworkFailed
            | FailureKind::Stage2Unavailable
            | FailureKind::BootFailed
    )
}

fn is_failure(signal: &Signal) -> bool {
    matches!(signal, Signal::Failure(_))
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

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
