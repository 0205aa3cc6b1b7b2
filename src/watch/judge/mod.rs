//! Decides whether an install has succeeded, and if not, why.
//!
//! That the guest went away proves nothing: after an error in cmdline mode anaconda sleeps for
//! 180 s, exits, and the kickstart's `poweroff` is carried out as after a good install
//! (anaconda `exception.py`, `exitHandler`). Success is: the guest had our kickstart, the
//! completion mark came, no failure text came before it, and the guest shut down in order.
//!
//! Witnesses are weighed: what had to come first explains what did not come after, a later error
//! does not hide the first, and a text of the initramfs counts no more once the installer runs.
//!
//! Times are handed in, counted from the start of the guest; nothing here reads a clock. The
//! caller hands in what it witnesses, in order, and calls [`Judge::tick`] when
//! [`Judge::deadline`] has come. Before [`Witness::Ended`] it drains console and log port.

mod closing;
mod fatal;
mod missing;
mod suspects;

use std::collections::VecDeque;
use std::time::Duration;

use self::fatal::Fatal;
use self::suspects::Suspects;
use super::cause::Cause;
use super::hub::Hub;
use super::logport::Record;
use super::phases::Phase;
use super::programs::Programs;
use super::progress::Progress;
use super::signal::Signal;
use super::stall::{Limits, StallWatch};
use super::texts::{Certainty, Found, PRINTED, cause_of_message};
use super::verdict::{Decision, Seen, Source};
use super::witness::{Expectations, Witness};
use super::{line, message, signal};
use crate::options::Until;

/// How long to wait after a failure text for the rest of its message. It is printed at one go,
/// but through tmux and an emulated serial port; anaconda then waits 180 s, we must not.
pub const SETTLE: Duration = Duration::from_secs(3);

/// How long nothing may follow a question, a dead pane or a failed power-off before it counts.
/// Nobody is there to answer; this only lets a dialog be drawn to its end, and a guest that shuts
/// down say so.
pub const UNANSWERED: Duration = Duration::from_secs(2);

/// How many lines of the console a verdict carries: about one screen, and a bit.
pub const EVIDENCE: usize = 30;

/// How many lines a verdict rests on, at most.
const MAX_SEEN: usize = 40;

/// How many notes are kept: a kickstart has a handful of scripts.
const MAX_NOTES: usize = 20;

/// How many signals wait to be told, at most. They are taken after each line.
const MAX_NOTICED: usize = 64;

/// A line this long may go on in the next one: anaconda wraps its text at 80 columns, between
/// words.
const WRAPPED: usize = 50;

/// How many lines of a traceback are kept together.
const MAX_TRACEBACK: usize = 60;

/// Something that will count unless the install goes on.
#[derive(Debug)]
struct Standstill {
    cause: Cause,
    seen: Seen,
    until: Duration,
}

/// The guest is done, but does not go away.
#[derive(Debug)]
struct Lingering {
    halted: bool,
    seen: Seen,
    until: Duration,
}

/// What the log port says of a script that failed.
#[derive(Debug, Clone)]
struct ScriptError {
    status: String,
    line: u64,
}

/// The judge of one install.
#[derive(Debug, Default)]
pub struct Judge {
    expectations: Expectations,
    progress: Progress,
    stall: StallWatch,
    tail: VecDeque<String>,
    hub: Hub,
    in_hub: bool,
    programs: Programs,
    script_error: Option<ScriptError>,
    /// A traceback whose last line has not come yet.
    traceback: Option<Seen>,
    /// The last line, if it may go on in the next one and tells of no failure by itself.
    unfinished: Option<String>,
    fetched: bool,
    has_kickstart: bool,
    /// The installer has said that it goes on with what it has read.
    parsed: bool,
    marked: bool,
    in_order: bool,
    fatal: Option<Fatal>,
    standstill: Option<Standstill>,
    lingering: Option<Lingering>,
    suspects: Suspects,
    notes: Vec<String>,
    our_words: Option<Seen>,
    switched_off: Option<Seen>,
    last_words: Option<Seen>,
    noticed: Vec<(Signal, Seen)>,
    /// What made the decision certain, where a line did.
    decisive: Option<Seen>,
    now: Duration,
    decided: bool,
}

impl Judge {
    /// A judge who has seen nothing.
    pub fn new(expectations: Expectations, limits: Limits) -> Self {
        Judge {
            expectations,
            stall: StallWatch::new(limits),
            ..Judge::default()
        }
    }

    /// How far the install has come.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The texts about failures, and what scripts of ozr's say, that came since this was called
    /// last: worth telling, whatever they will be judged to mean.
    pub fn take_noticed(&mut self) -> Vec<(Signal, Seen)> {
        std::mem::take(&mut self.noticed)
    }

    /// When [`Judge::tick`] wants to be called, if nothing is witnessed before.
    pub fn deadline(&self) -> Option<Duration> {
        let fatal = self.fatal.as_ref().map(|fatal| fatal.until);
        let standstill = self.standstill.as_ref().map(|wait| wait.until);
        let lingering = self.lingering.as_ref().map(|lingering| lingering.until);
        [fatal, standstill, lingering, Some(self.stall.deadline())]
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
        self.now = now;
        if self.fatal.as_ref().is_some_and(|fatal| fatal.until <= now) {
            return self.decide_fatal(true);
        }
        if self.lingering.as_ref().is_some_and(|l| l.until <= now) {
            return self.decide_fatal(true).or_else(|| self.decide_lingering());
        }
        if self.standstill.as_ref().is_some_and(|w| w.until <= now) {
            return self.decide_standstill();
        }
        let limit = self.stall.exceeded(now)?;
        Some(self.stalled(limit))
    }

    /// Takes what was witnessed; the decision, if that makes one.
    pub fn witness(&mut self, now: Duration, witness: Witness<'_>) -> Option<Decision> {
        if self.decided {
            return None;
        }
        self.now = now;
        match witness {
            Witness::Console(line) => self.console(line),
            Witness::Log(record) => self.log(record),
            Witness::Mark => {
                self.marked = true;
                self.has_kickstart = true;
                self.go_on(&Signal::Phase(Phase::PostScripts));
            }
            Witness::Resumed => {
                self.fetched = true;
                self.has_kickstart = true;
                self.progress.signal(now, &Signal::Phase(Phase::Preparing));
                let phase = self.progress.phase();
                self.stall
                    .signal(now, &Signal::Phase(Phase::Preparing), phase);
            }
            Witness::KickstartFetched => {
                self.fetched = true;
                self.suspects.forget_kickstart();
                self.go_on(&Signal::Phase(Phase::Initramfs));
            }
            Witness::Refused(line) => {
                if let Some(cause) = suspects::cause_of_refusal(line) {
                    let seen = self.seen(Source::ServerLog, line);
                    self.suspects
                        .add(Found::new(cause, Certainty::Suspect(2)), seen);
                }
            }
            Witness::Counters { written, received } => self.stall.counters(now, written, received),
            Witness::LastWords(words) => {
                self.last_words = Some(self.seen(Source::QemuLog, words));
            }
            Witness::Ended(end) => return Some(self.ended(end)),
            Witness::TimedOut(limit) => return Some(self.timed_out(limit)),
            Witness::Interrupted(by) => {
                let sentence = format!("interrupted by {by} {}", self.while_doing());
                let came = self.seen(Source::GuestState, &format!("{by} came"));
                return Some(self.fail(Cause::Interrupted, sentence, vec![came], true));
            }
        }
        if self
            .fatal
            .as_ref()
            .is_some_and(|fatal| fatal.block.is_complete())
        {
            return self.decide_fatal(true);
        }
        if self.is_far_enough() {
            return Some(self.succeed(true));
        }
        self.tick(now)
    }

    /// Whether a trial has come as far as it was to, and nothing speaks against it.
    fn is_far_enough(&self) -> bool {
        let phase = self.progress.phase();
        let reached = match self.expectations.until {
            Some(Until::Parsed) => self.parsed,
            Some(Until::Ready) => phase >= Phase::Storage,
            Some(Until::Partitioned) => phase >= Phase::Downloading,
            Some(Until::Packages) => phase >= Phase::BootLoader,
            Some(Until::End) | None => false,
        };
        // A failed installer shuts down, too.
        let undecided = self.fatal.is_none() && self.standstill.is_none();
        reached && undecided && phase < Phase::ShuttingDown
    }

    fn seen(&self, source: Source, text: &str) -> Seen {
        Seen::new(source, self.now, text)
    }

    fn console(&mut self, line: &str) {
        self.progress.spoke(self.now);
        self.stall.line(self.now, line::body(line));
        if self.tail.len() == EVIDENCE {
            self.tail.pop_front();
        }
        self.tail.push_back(line.to_owned());
        if line.starts_with(PRINTED) {
            // It may be anything, and its command has succeeded.
            return;
        }
        if self.hub.line(line) {
            self.in_hub = true;
            return;
        }
        if std::mem::take(&mut self.in_hub) {
            self.read_hub();
        }
        let mut seen = self.seen(Source::Console, line);
        if self.follow_traceback(line, &mut seen) {
            return;
        }
        let mut signals = signal::of_line(line);
        let before = self.unfinished.take();
        if !signals.iter().any(Signal::is_failure) {
            if let Some(before) = before {
                // A text that was wrapped: only what neither line says alone is new.
                let joined = signal::of_line(&format!("{before} {}", line.trim_start()));
                signals.extend(joined.into_iter().filter(Signal::is_failure));
            }
            self.unfinished = (line.len() >= WRAPPED).then(|| line.to_owned());
        }
        if let Some(fatal) = &mut self.fatal {
            fatal.block.console_line(line);
            fatal.saw(seen.clone());
        }
        for signal in signals {
            self.signal(&signal, line, &seen);
        }
    }

    /// Puts the lines of a traceback together, to be seen as one; whether more is to come.
    fn follow_traceback(&mut self, line: &str, seen: &mut Seen) -> bool {
        if line.starts_with("Traceback (most recent call last)") {
            self.traceback = Some(seen.clone());
            return true;
        }
        let Some(traceback) = &mut self.traceback else {
            return false;
        };
        let add = |traceback: &mut Seen| {
            traceback.text.push('\n');
            traceback.text.push_str(line.trim_end());
        };
        if line.starts_with([' ', '\t']) && traceback.text.lines().count() < MAX_TRACEBACK {
            add(traceback);
            return true;
        }
        let name = line.split(':').next().unwrap_or_default();
        let of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_');
        if !name.is_empty() && name.chars().all(of_name) {
            add(traceback);
            *seen = traceback.clone();
        }
        let head = signal::of_line(&traceback.text);
        if let Some(traceback) = self.traceback.take() {
            for signal in head.iter().filter(|signal| !signal.decides()) {
                self.signal(signal, &traceback.text, &traceback);
            }
        }
        false
    }

    /// The hub is drawn: what it shows as incomplete, and why.
    fn read_hub(&mut self) {
        let texts: Vec<String> = self.hub.incomplete().map(|item| item.text()).collect();
        for text in texts {
            if let Some(cause) = cause_of_message(&text) {
                let seen = self.seen(Source::Console, &format!("[!] {text}"));
                self.suspects
                    .add(Found::new(cause, Certainty::Suspect(0)), seen);
            }
        }
    }

    fn log(&mut self, record: &Record) {
        self.programs.take(record);
        let text = record.said().text;
        let seen = self.seen(Source::LogPort, text);
        for signal in signal::of_record(record) {
            self.signal(&signal, text, &seen);
        }
    }

    fn signal(&mut self, signal: &Signal, text: &str, seen: &Seen) {
        let worth_telling = matches!(signal, Signal::Failure(_) | Signal::ScriptOutput);
        if worth_telling && self.noticed.len() < MAX_NOTICED {
            self.noticed.push((signal.clone(), seen.clone()));
        }
        match signal {
            Signal::Failure(found) => self.failure(*found, text, seen),
            Signal::CannotPowerOff | Signal::Halted => {
                self.in_order = true;
                self.go_on(signal);
                let until = self.now + UNANSWERED;
                self.lingering.get_or_insert_with(|| Lingering {
                    halted: *signal == Signal::Halted,
                    seen: seen.clone(),
                    until,
                });
            }
            Signal::PowerDown | Signal::Reboot => {
                self.in_order = true;
                self.switched_off.get_or_insert_with(|| seen.clone());
                self.go_on(signal);
            }
            Signal::ScriptOutput => self.our_words = Some(seen.clone()),
            Signal::HasKickstart => self.has_kickstart = true,
            Signal::Note => {
                let note = self.described(line::body(text));
                if self.notes.len() < MAX_NOTES && !self.notes.contains(&note) {
                    self.notes.push(note);
                }
            }
            Signal::Phase(_)
            | Signal::Started(_)
            | Signal::MediaCheck
            | Signal::Package { .. }
            | Signal::Download { .. }
            | Signal::Copied { .. }
            | Signal::Tasks { .. } => self.go_on(signal),
        }
    }

    /// A note, with the section whose script it is about.
    fn described(&mut self, note: &str) -> String {
        let Some((status, line)) = message::script_error(note) else {
            return note.to_owned();
        };
        let status = status.to_owned();
        self.script_error = Some(ScriptError { status, line });
        let sections = &self.expectations.sections;
        match sections.iter().find(|section| section.line == line) {
            Some(section) => format!("{note} ({})", section.header),
            None if sections.is_empty() => note.to_owned(),
            // Its own scripts are read as one text, with one count of lines (kickstart.py,
            // appendPostScripts).
            None => format!(
                "{note} of another file: no script of the kickstart begins there, but one of an included file or of the installer's own"
            ),
        }
    }

    fn failure(&mut self, found: Found, text: &str, seen: &Seen) {
        match found.certainty {
            Certainty::Fatal | Certainty::Vague => self.fatal(found, text, seen),
            // What is done needs no answer, save one to the question at its end.
            Certainty::Standstill if self.finished() && found.cause != Cause::QuestionAsked => {}
            Certainty::Standstill => {
                let until = self.now + UNANSWERED;
                if let Some(fatal) = &mut self.fatal {
                    // The dialog with the failure ends here.
                    fatal.until = fatal.until.min(until);
                    return;
                }
                self.standstill.get_or_insert_with(|| Standstill {
                    cause: found.cause,
                    seen: seen.clone(),
                    until,
                });
            }
            Certainty::Reason | Certainty::Suspect(_) => {
                let phase = self.progress.phase();
                let early = found.of_initramfs || found.cause.of_the_initramfs();
                let survived = early && phase >= Phase::Stage2;
                // Metadata are transferred, too, and their errors told by others.
                let metadata = found.cause == Cause::DownloadFailed
                    && found.certainty == Certainty::Reason
                    && phase < Phase::Downloading;
                if !survived && !metadata {
                    self.suspects.add(found, seen.clone());
                }
            }
        }
    }

    /// The install goes on: what looked like the end was none.
    fn go_on(&mut self, signal: &Signal) {
        self.standstill = None;
        if let Signal::Phase(phase) = signal {
            self.parsed |= *phase >= Phase::Preparing;
        }
        // The log and the console tell the same phases, each at its own pace: only a new one
        // shows that the initramfs has recovered. One that gives up shuts down, too.
        if let Some(phase) = self.progress.signal(self.now, signal)
            && (Phase::Stage2..Phase::ShuttingDown).contains(&phase)
        {
            self.suspects.forget_mended(phase);
        }
        let phase = self.progress.phase();
        self.stall.signal(self.now, signal, phase);
    }

    fn while_doing(&self) -> String {
        format!("while {}", self.progress.phase().doing())
    }
}

#[cfg(test)]
mod tests;
