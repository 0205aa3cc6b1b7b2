//! What the [judge](super::judge) says.

use std::time::Duration;

use serde::{Serialize, Serializer};
use strum::IntoStaticStr;

use super::cause::Cause;
use super::phases::Phase;
use super::progress::PhaseTime;
use crate::error::Kind;

/// How many lines of QEMU's log a verdict carries. It says little, and its last words last.
const QEMU_LINES: usize = 5;

/// Who said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, Serialize)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "lowercase")]
pub enum Source {
    /// The guest's serial console.
    Console,
    /// The installer's log port.
    #[strum(serialize = "log port")]
    LogPort,
    /// The log of our own server.
    #[strum(serialize = "server")]
    ServerLog,
    /// QEMU, or libvirt of it.
    #[strum(serialize = "QEMU")]
    QemuLog,
    /// The state of the guest, as libvirt tells it, our own clock, and who stops us.
    #[strum(serialize = "guest")]
    GuestState,
    /// Files on the guest's disk.
    Disk,
}

impl Source {
    /// The name, in texts for people.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A line that a verdict rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Who said it.
    pub source: Source,
    /// When it came, since the guest was started.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub at: Duration,
    /// The line itself.
    pub text: String,
}

impl Seen {
    /// What was said at this time.
    pub fn new(source: Source, at: Duration, text: &str) -> Seen {
        Seen {
            source,
            at,
            text: text.trim().to_owned(),
        }
    }
}

/// A time in seconds, to the millisecond.
pub fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(to_the_millisecond(*time))
}

/// A time in seconds.
pub fn to_the_millisecond(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

/// The same of what may not be known.
pub fn seconds_if_known<S: Serializer>(
    time: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => seconds(time, serializer),
        None => serializer.serialize_none(),
    }
}

/// A script section of a kickstart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Section {
    /// Its header: `%post --erroronfail`.
    pub header: String,
    /// The line of the header, from 1.
    pub line: u64,
    /// Whether ozr added it, for the template.
    pub added: bool,
}

/// A script that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Script {
    /// The line that the installer named. ozr adds only behind the author's lines, so it is the
    /// line in the user's file, too, unless the script comes from an `%include`.
    pub line: Option<u64>,
    /// The section at that line, if there is one.
    pub section: Option<Section>,
    /// The end of what it printed, as far as the installer shows it.
    pub log: Vec<String>,
}

/// Whose disk is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FullDisk {
    /// The guest's: it is too small.
    Guest,
    /// The host's file system that the guest's disk is on.
    Host,
}

/// Why an install failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The cause.
    pub cause: Cause,
    /// One sentence: what failed, how far it got, and what to do.
    pub sentence: String,
    /// How far it got.
    pub phase: Phase,
    /// When it was decided, since the guest was started.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub at: Duration,
    /// What it rests on, in the order in which it came.
    pub seen: Vec<Seen>,
    /// The script, if one failed.
    pub script: Option<Script>,
    /// The packages that are named, if it is about packages.
    pub packages: Vec<String>,
    /// The repositories that were asked, if it is about packages.
    pub repositories: Vec<String>,
    /// Which disk is full, if one is.
    pub full_disk: Option<FullDisk>,
    /// The last lines of the console, oldest first, each once.
    pub console: Vec<String>,
}

impl Verdict {
    /// A verdict of which there is no more to say.
    pub fn new(
        cause: Cause,
        sentence: String,
        phase: Phase,
        at: Duration,
        seen: Vec<Seen>,
    ) -> Verdict {
        Verdict {
            cause,
            sentence,
            phase,
            at,
            seen,
            script: None,
            packages: Vec::new(),
            repositories: Vec::new(),
            full_disk: None,
            console: Vec::new(),
        }
    }

    /// libvirt or QEMU failed, as they say in `words`, and there is nothing of the guest to judge.
    pub fn of_the_hypervisor(words: &str) -> Verdict {
        let (cause, phase, at) = (Cause::HypervisorFailed, Phase::PoweredOn, Duration::ZERO);
        let seen = vec![Seen::new(Source::QemuLog, at, words)];
        Verdict::new(cause, words.to_owned(), phase, at, seen)
    }

    /// A guest that did all that a good install does, the last of it `last`, and left an empty disk.
    pub fn of_an_empty_disk(last: Option<&PhaseTime>) -> Verdict {
        let sentence = "the installer was done, but the disk holds no partition with contents and no file system: check the partitioning commands of the kickstart and what its scripts do to the disk";
        let (phase, at) = last.map_or((Phase::PoweredOn, Duration::ZERO), |last| {
            (last.phase, last.began + last.lasted)
        });
        let seen = vec![Seen::new(Source::GuestState, at, "the disk is empty")];
        Verdict::new(Cause::StorageFailed, sentence.to_owned(), phase, at, seen)
    }

    /// A disk with a good install, the last phase of which was `last`, that could not be sealed.
    /// `left` is what is still there.
    pub fn of_an_unsealed_image(
        sentence: String,
        left: &[String],
        last: Option<&PhaseTime>,
    ) -> Verdict {
        let (phase, at) = last.map_or((Phase::PoweredOn, Duration::ZERO), |last| {
            (last.phase, last.began + last.lasted)
        });
        let left = left.iter();
        let seen = left.map(|left| Seen::new(Source::GuestState, at, left));
        let seen = seen.collect();
        Verdict::new(Cause::SealFailed, sentence, phase, at, seen)
    }

    /// An image that failed its boot test, as `sentence` says, after an install whose last phase was
    /// `last`.
    pub fn of_a_boot_test(sentence: String, last: Option<&PhaseTime>) -> Verdict {
        let (phase, at) = last.map_or((Phase::PoweredOn, Duration::ZERO), |last| {
            (last.phase, last.began + last.lasted)
        });
        Verdict::new(Cause::BootTestFailed, sentence, phase, at, Vec::new())
    }

    /// What the exit status says.
    pub fn kind(&self) -> Kind {
        match self.full_disk {
            Some(FullDisk::Host) => Kind::Host,
            _ => self.cause.kind(),
        }
    }

    /// Adds the end of QEMU's log, where the cause lies below the guest.
    pub fn add_qemu_log(&mut self, log: &str) {
        let below = matches!(
            self.cause,
            Cause::GuestKilled | Cause::HypervisorFailed | Cause::NoBootOutput
        );
        if !below && self.full_disk != Some(FullDisk::Host) {
            return;
        }
        // libvirt begins the log with the command line, and remarks that ozr's guests always are
        // `tainted`: they run as root, or with a CPU of the host's.
        let telling = |line: &&str| {
            let line = line.trim();
            let command = line.starts_with('-') || line.ends_with('\\');
            !line.is_empty() && !command && !line.contains(" is tainted: ")
        };
        let lines: Vec<&str> = log.lines().filter(telling).collect();
        for line in &lines[lines.len().saturating_sub(QEMU_LINES)..] {
            self.seen.push(Seen::new(Source::QemuLog, self.at, line));
        }
    }

    /// Changes every text in it, to hide what may not be shown.
    #[must_use]
    pub fn map_texts(mut self, change: impl Fn(&str) -> String) -> Verdict {
        let script = self.script.iter_mut();
        let texts = script
            .flat_map(|script| script.log.iter_mut())
            .chain(self.seen.iter_mut().map(|seen| &mut seen.text))
            .chain(&mut self.packages)
            .chain(&mut self.repositories)
            .chain(&mut self.console)
            .chain([&mut self.sentence]);
        for text in texts {
            *text = change(text);
        }
        if let Some(section) = self.script.iter_mut().flat_map(|s| &mut s.section).next() {
            section.header = change(&section.header);
        }
        self
    }
}

/// How an install ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It succeeded; what the user should know nevertheless.
    Success {
        /// One sentence each.
        notes: Vec<String>,
    },
    /// It failed.
    Failure(Box<Verdict>),
}

/// The judgement. It is made once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// How the install ended.
    pub outcome: Outcome,
    /// Whether the guest still runs, as far as is known, and must be destroyed.
    pub stop_guest: bool,
    /// What made a failure certain: the first line that tells of it, the guest's end, or a limit.
    pub decisive: Option<Seen>,
}

impl Decision {
    /// An installer waits for its kickstart, as it was to.
    pub fn waiting() -> Decision {
        Decision {
            outcome: Outcome::Success { notes: Vec::new() },
            stop_guest: true,
            decisive: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_qemus_log_only_what_qemu_said_is_seen() {
        let mut verdict = Verdict {
            cause: Cause::GuestKilled,
            sentence: String::new(),
            phase: Phase::Kernel,
            at: Duration::ZERO,
            seen: Vec::new(),
            script: None,
            packages: Vec::new(),
            repositories: Vec::new(),
            full_disk: None,
            console: Vec::new(),
        };
        verdict.add_qemu_log(
            "2026-11-23 20:29:38.8+0000: starting up libvirt version: 9.0.0\n\
             LC_ALL=C \\\n/usr/bin/qemu-system-x86_64 \\\n-name guest=x \\\n-msg timestamp=on\n\
             2026-11-23 20:29:38.9+0000: Domain id=1 is tainted: high-privileges\n\n\
             qemu-system-x86_64: terminating on signal 15\n",
        );
        let seen: Vec<&str> = verdict.seen.iter().map(|seen| &*seen.text).collect();
        assert_eq!(seen.len(), 2, "{seen:?}");
        assert!(seen[1].ends_with("terminating on signal 15"), "{seen:?}");
    }
}
