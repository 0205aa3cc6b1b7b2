//! A text that says that the install has failed, and the message around it.

use std::time::Duration;

use super::{Judge, MAX_SEEN, SETTLE};
use crate::watch::cause::Cause;
use crate::watch::message::{self, Block};
use crate::watch::phases::Phase;
use crate::watch::programs::{Program, last_words};
use crate::watch::signal::Signal;
use crate::watch::texts::{Certainty, Found, OURS, cause_of_message};
use crate::watch::verdict::{Decision, Script, Section, Seen, Source};

/// What the hub calls those of its items that a failure keeps from being complete (anaconda:
/// ui/tui/spokes, `title`, EL 7 and later).
const OF_SPOKES: [(&str, Cause); 3] = [
    ("Installation source", Cause::SourceUnavailable),
    ("Software selection", Cause::SoftwareMissing),
    ("Installation Destination", Cause::StorageFailed),
];

/// A failure text, whose message may still be coming.
#[derive(Debug)]
pub struct Fatal {
    cause: Cause,
    vague: bool,
    phase: Phase,
    /// The message.
    pub block: Block,
    seen: Vec<Seen>,
    /// When it is complete, whatever comes.
    pub until: Duration,
}

impl Fatal {
    /// Takes a line that belongs to it, or follows it.
    pub fn saw(&mut self, seen: Seen) {
        let known = self.seen.iter().any(|known| known.text == seen.text);
        if self.seen.len() < MAX_SEEN && !known && !seen.text.is_empty() {
            self.seen.push(seen);
        }
    }
}

impl Judge {
    pub(super) fn fatal(&mut self, found: Found, text: &str, seen: &Seen) {
        let phase = self.progress.phase();
        let until = self.now + SETTLE;
        let vague = found.certainty == Certainty::Vague;
        let fatal = self.fatal.get_or_insert_with(|| Fatal {
            cause: found.cause,
            vague,
            phase,
            block: Block::default(),
            seen: Vec::new(),
            until,
        });
        if seen.source == Source::LogPort {
            fatal.block.log_message(text);
        } else {
            fatal.block.headline(text);
        }
        fatal.saw(seen.clone());
        // What the first text said in general, a later one may say in particular.
        if fatal.vague && (!vague || fatal.cause == Cause::InstallerFailed) {
            fatal.cause = found.cause;
            fatal.vague = vague;
        }
    }

    pub(super) fn decide_fatal(&mut self, stop_guest: bool) -> Option<Decision> {
        let fatal = self.fatal.take()?;
        self.decisive = fatal.seen.first().cloned();
        if fatal.vague && fatal.cause == Cause::Stage2Unavailable {
            return Some(self.gave_up_booting(fatal, stop_guest));
        }
        let message = fatal.block.message();
        let cause = self.cause_of(&fatal, &message);
        let reason = self.suspects.reason(cause);
        let mut seen = Vec::new();
        if let Some(before) = reason.or(self.suspects.of(cause))
            && !fatal.seen.contains(&before.seen)
        {
            seen.push(before.seen.clone());
        }
        let reason = match cause {
            Cause::BootLoaderFailed => self.programs.failed_boot_loader().map(Program::last_words),
            // What the hub shows beside the item is better than nothing.
            _ => reason
                .or_else(|| self.suspects.best_of(&[cause]).filter(|_| is_hub(&message)))
                .map(|reason| reason.text().trim_start_matches("[!] ").to_owned()),
        };
        let told = with_reason(&message, reason.as_deref());
        seen.extend(fatal.seen.iter().cloned());
        // Of a script of ours, the installer says a line that the kickstart's author never saw.
        let ours = self
            .our_words
            .clone()
            .filter(|_| cause == Cause::ScriptFailed);
        let script =
            (cause == Cause::ScriptFailed).then(|| self.script(&fatal, &message, ours.is_some()));
        let mut verdict = match (&ours, &script) {
            (Some(ours), _) => {
                let said = ours.text.trim_start_matches(OURS);
                seen.push(ours.clone());
                let sentence = format!("what the template adds failed: {said}");
                let hint = "correct the template; the end of the console log shows what the command printed";
                self.verdict_with(cause, sentence, Some(hint), seen)
            }
            (None, Some(script))
                if !self.expectations.sections.is_empty() || script.line.is_some() =>
            {
                let sentence = self.sentence_of_script(script);
                self.verdict(cause, sentence, seen)
            }
            _ => {
                let gives_none = fatal.block.gives_no_reason() && reason.is_none();
                let sentence = sentence(cause, fatal.phase, &told, gives_none);
                self.verdict(cause, sentence, seen)
            }
        };
        verdict.phase = fatal.phase;
        verdict.script = script;
        if matches!(
            cause,
            Cause::SoftwareMissing | Cause::DownloadFailed | Cause::TransactionFailed
        ) {
            verdict.packages = message::packages(&told);
        }
        Some(self.close(verdict, stop_guest))
    }

    /// The most exact cause that the message gives. A later error does not hide the first: what
    /// fails after the kernel ran out of memory failed for that.
    fn cause_of(&self, fatal: &Fatal, message: &str) -> Cause {
        let mut cause = fatal.cause;
        if fatal.vague {
            cause = match cause_of_message(message) {
                Some(particular) => particular,
                // Anaconda of Fedora 25 and before gives no reason for a failed script.
                None if fatal.phase == Phase::PostScripts && fatal.block.gives_no_reason() => {
                    Cause::ScriptFailed
                }
                None => cause,
            };
        }
        // What the hub shows as incomplete, by what was said of it.
        if is_hub(message) {
            let named = OF_SPOKES
                .iter()
                .filter(|(spoke, _)| message.contains(spoke));
            let causes: Vec<Cause> = named.map(|(_, cause)| *cause).collect();
            cause = self
                .suspects
                .best_of(&causes)
                .map_or(cause, |best| best.cause);
        }
        // A disk, a volume group or a partition that is not there is found when storage is set up.
        if cause == Cause::KickstartRejected
            && self.suspects.best_of(&[Cause::StorageFailed]).is_some()
        {
            return Cause::StorageFailed;
        }
        let of_memory = matches!(
            cause,
            Cause::KernelPanic | Cause::InstallerFailed | Cause::TransactionFailed
        );
        if of_memory && self.suspects.of(Cause::OutOfMemory).is_some() {
            return Cause::OutOfMemory;
        }
        cause
    }

    /// dracut's emergency shell, or systemd's. Why, other texts must say.
    fn gave_up_booting(&mut self, fatal: Fatal, stop_guest: bool) -> Decision {
        let message = fatal.block.message();
        let missing = self.missing_kickstart();
        let best = self.suspects.best().cloned();
        let (cause, sentence) = match (best, missing) {
            (Some(best), _) if best.cause == Cause::OutOfMemory => (
                best.cause,
                format!(
                    "the guest has too little memory to load the installer: {}",
                    best.text()
                ),
            ),
            // Hooks that wait name everything that is not there, the kickstart only where it is
            // what is waited for.
            (Some(best), Some((cause, sentence))) if best.cause == cause || !best.is_telling() => {
                (cause, sentence)
            }
            (Some(best), _) => (
                best.cause,
                format!(
                    "the guest could not load the installer: {}",
                    self.suspects.told(&best)
                ),
            ),
            (None, Some(missing)) => missing,
            (None, None) if fatal.phase >= Phase::Stage2 => (
                Cause::InstallerFailed,
                format!("the installer's system could not start: {message}"),
            ),
            (None, None) => (
                Cause::Stage2Unavailable,
                format!("the guest could not load the installer: {message}"),
            ),
        };
        let mut seen = self.supporting(cause);
        seen.extend(fatal.seen);
        let mut verdict = self.verdict(cause, sentence, seen);
        verdict.phase = fatal.phase;
        self.close(verdict, stop_guest)
    }

    fn script(&self, fatal: &Fatal, message: &str, ours: bool) -> Script {
        let known = self.script_error.as_ref().map(|error| error.line);
        let line = message::script_line(message).or(known);
        let sections = &self.expectations.sections;
        let section = sections.iter().find(|section| Some(section.line) == line);
        let logged = self
            .programs
            .failed_script()
            .filter(|_| known.is_some() && known == line);
        let mut log: Vec<String> =
            logged.map_or_else(Vec::new, |program| program.output.iter().cloned().collect());
        if log.is_empty() {
            log = message::script_output(fatal.block.lines());
            if fatal.block.is_complete() {
                end_without_full_stop(&mut log);
            }
        }
        if log.is_empty() {
            log = self.printed_by_scripts();
        }
        let section = section.map(|section| Section {
            added: section.added || ours,
            ..section.clone()
        });
        Script { line, section, log }
    }

    /// Which script failed, how, and its last words.
    fn sentence_of_script(&self, script: &Script) -> String {
        let mut sentence = match (&script.section, script.line) {
            (Some(Section { header, line, .. }), _) => {
                format!("the script at line {line} of the kickstart ({header}) failed")
            }
            (None, Some(line)) => format!("the kickstart script at line {line} failed"),
            (None, None) => "a script of the kickstart failed".to_owned(),
        };
        let error = self
            .script_error
            .as_ref()
            .filter(|error| Some(error.line) == script.line);
        if let Some(error) = error {
            sentence += &format!(" with exit status {}", error.status);
        }
        if let Some(words) = last_words(script.log.iter()) {
            sentence += &format!(": {words}");
        }
        sentence
    }

    /// What came on the console since the scripts began, up to the failure: a script that writes
    /// to it (`--log=/dev/console`).
    fn printed_by_scripts(&self) -> Vec<String> {
        let starts = |line: &String| line.contains("Running p") && line.contains("scripts");
        let Some(start) = self.tail.iter().position(starts) else {
            return Vec::new();
        };
        let printed = self.tail.iter().skip(start + 1);
        printed
            .take_while(|line| {
                !crate::watch::signal::of_line(line)
                    .iter()
                    .any(Signal::is_failure)
            })
            .filter(|line| !line.trim().is_empty())
            .cloned()
            .collect()
    }
}

/// Anaconda ends the message of cmdline mode with a full stop (exception.py), whatever it ends
/// with.
fn end_without_full_stop(log: &mut Vec<String>) {
    let Some(last) = log.pop() else {
        return;
    };
    let last = last.strip_suffix('.').unwrap_or(&last);
    if !last.is_empty() {
        log.push(last.to_owned());
    }
}

/// Whether it is the hub's summary of what is incomplete.
fn is_hub(message: &str) -> bool {
    message.contains("spokes are not completed")
}

/// A message that says only that something failed, led by the reason that was given elsewhere.
fn with_reason(message: &str, reason: Option<&str>) -> String {
    let Some(reason) = reason
        .map(one_line)
        .filter(|reason| !message.contains(reason.as_str()))
    else {
        return message.to_owned();
    };
    let short = message.strip_prefix("CmdlineError: ").unwrap_or(message);
    let short = short
        .strip_prefix("The following mandatory spokes are ")
        .unwrap_or(short);
    match short.trim_end_matches(['.', ' ', ':']) {
        "" => reason,
        short => format!("{reason} ({short})"),
    }
}

/// A reason of some lines on one, and of bounded length.
fn one_line(text: &str) -> String {
    const MAX_REASON: usize = 400;
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ");
    text.trim_end_matches('.')
        .chars()
        .take(MAX_REASON)
        .collect()
}

fn sentence(cause: Cause, phase: Phase, message: &str, gives_no_reason: bool) -> String {
    match cause {
        Cause::KernelPanic => {
            // `---[ end Kernel panic` says it all once more.
            let reason = message.split(" ---[ end").next().unwrap_or_default();
            let reason = reason.trim_start_matches("Kernel panic - not syncing: ");
            format!("the guest's kernel panicked: {reason}")
        }
        Cause::OutOfMemory => format!("the guest ran out of memory: {message}"),
        Cause::NoBootOutput => format!("the guest's firmware found nothing to boot: {message}"),
        Cause::MediaCheckFailed => format!("the installation medium is damaged: {message}"),
        _ if gives_no_reason => format!(
            "the installer stopped while {} and gave no reason",
            phase.doing()
        ),
        _ if (Phase::Storage..Phase::ShuttingDown).contains(&phase) => {
            let message = message.trim_end_matches(['.', ' ', ':']);
            format!("installer reported: {message} (while {})", phase.doing())
        }
        _ => format!("installer reported: {message}"),
    }
}
