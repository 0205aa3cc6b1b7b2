//! The judge of a boot.

use std::collections::VecDeque;
use std::time::Duration;

use glob::Pattern;
use serde::Serialize;
use strum::{Display, IntoStaticStr};

use super::Reason;
use super::signs::{self, Sign, allows, sign_of};
use crate::watch::verdict::{Seen, Source};

/// How long the last words of a boot that has failed are waited for: a panic's lines come within
/// milliseconds, a shell's within a second.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The longest wait for that silence.
const LONGEST_NOISE: Duration = Duration::from_secs(60);

/// How often a guest may reboot: SELinux' first relabelling does once, and so does an update of firmware
/// settings.
const MOST_REBOOTS: u32 = 2;

/// How many of the last lines are kept.
const LAST_LINES: usize = 20;

/// How many failed units and denials are kept. More explain nothing.
const MOST_SEEN: usize = 64;

/// Targets as systemd shows them by their descriptions alone (before release 248).
const DESCRIPTIONS: [(&str, &str); 3] = [
    ("multi-user.target", "Multi-User System"),
    ("graphical.target", "Graphical Interface"),
    ("basic.target", "Basic System"),
];

/// What a boot must reach.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Ready {
    /// The login prompt on the serial console.
    #[default]
    Prompt,
    /// A target of systemd's, by its name.
    Target(String),
}

/// How long what may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Until the boot is done.
    pub whole: Duration,
    /// Until the first byte comes.
    pub first_output: Duration,
    /// How long the console must be silent behind the login prompt until the boot is taken for done: units that start
    /// beside it may still fail.
    pub silence: Duration,
}

/// What a good boot shows.
#[derive(Debug, Clone)]
pub struct Expectations {
    /// What it must reach.
    pub ready: Ready,
    /// Units that may fail.
    pub allowed_failed: Vec<Pattern>,
    /// Denials that are no failure.
    pub allowed_denied: Vec<Pattern>,
    /// How often a passphrase may be asked for: each time it is answered.
    pub answers: u32,
    /// How long it may take.
    pub limits: Limits,
}

/// How far a boot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Display, IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Milestone {
    /// The console said something: the firmware or the boot loader.
    Output,
    /// The kernel speaks.
    Kernel,
    /// The first process of the system speaks.
    Init,
    /// It has reached what it must.
    Ready,
}

impl Milestone {
    /// How far that is, in words.
    pub fn title(self) -> &'static str {
        match self {
            Milestone::Output => "the firmware or the boot loader",
            Milestone::Kernel => "the kernel",
            Milestone::Init => "the system's services",
            Milestone::Ready => "the end",
        }
    }
}

/// The judgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Why it failed, if it did.
    pub reason: Option<Reason>,
    /// One sentence, without what to do.
    pub sentence: String,
    /// What it rests on.
    pub seen: Vec<Seen>,
}

/// Judges a boot.
#[derive(Debug)]
pub struct Judge {
    expectations: Expectations,
    milestones: Vec<(Milestone, Duration)>,
    kernel: Option<String>,
    failed: Vec<Seen>,
    denied: Vec<Seen>,
    fatal: Option<(Reason, Seen)>,
    reboots: u32,
    /// How often a passphrase was asked for.
    asked: u32,
    last_line: Duration,
    lines: VecDeque<String>,
}

impl Judge {
    /// Of a guest that is about to start.
    pub fn new(expectations: Expectations) -> Self {
        Judge {
            expectations,
            milestones: Vec::new(),
            kernel: None,
            failed: Vec::new(),
            denied: Vec::new(),
            fatal: None,
            reboots: 0,
            asked: 0,
            last_line: Duration::ZERO,
            lines: VecDeque::with_capacity(LAST_LINES),
        }
    }

    /// Bytes came, of whatever kind.
    pub fn heard(&mut self, at: Duration) {
        self.reached(Milestone::Output, at);
    }

    /// A line came, without escape sequences.
    pub fn line(&mut self, at: Duration, line: &str) {
        self.last_line = at;
        if self.lines.len() == LAST_LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(line.to_owned());
        let seen = || Seen::new(Source::Console, at, line);
        match sign_of(line) {
            None => {}
            Some(Sign::Kernel(release)) => {
                self.kernel = release.or(self.kernel.take());
                self.reached(Milestone::Kernel, at);
            }
            Some(Sign::Init) => self.reached(Milestone::Init, at),
            Some(Sign::Target(target)) => {
                self.reached(Milestone::Init, at);
                if matches!(&self.expectations.ready, Ready::Target(name) if is_target(name, &target))
                {
                    self.reached(Milestone::Ready, at);
                }
            }
            Some(Sign::Prompt) => {
                self.reached(Milestone::Init, at);
                if self.expectations.ready == Ready::Prompt {
                    self.reached(Milestone::Ready, at);
                }
            }
            Some(Sign::FailedUnit(unit)) => {
                self.reached(Milestone::Init, at);
                if !allows(&self.expectations.allowed_failed, &unit)
                    && self.failed.len() < MOST_SEEN
                {
                    self.failed.push(Seen::new(Source::Console, at, &unit));
                }
            }
            Some(Sign::Denial(record)) => {
                let allowed = allows(&self.expectations.allowed_denied, &record);
                if !allowed && self.denied.len() < MOST_SEEN {
                    self.denied.push(Seen::new(Source::Console, at, &record));
                }
            }
            Some(Sign::Passphrase) => {
                self.reached(Milestone::Init, at);
                self.asked += 1;
                if self.asked > self.expectations.answers {
                    self.fatal.get_or_insert((Reason::PassphraseAsked, seen()));
                }
            }
            Some(Sign::Reboot) => {
                self.reboots += 1;
                if self.reboots > MOST_REBOOTS {
                    self.fatal.get_or_insert((Reason::RebootLoop, seen()));
                }
            }
            Some(Sign::Fatal(reason)) => {
                self.fatal.get_or_insert((reason, seen()));
            }
        }
    }

    /// The judgement, as soon as there is one.
    pub fn decision(&self, now: Duration) -> Option<Decision> {
        if let Some((reason, seen)) = &self.fatal {
            let over = now >= seen.at + LAST_WORDS;
            return over
                .then(|| self.failure(*reason, fatal_sentence(*reason, seen), vec![seen.clone()]));
        }
        if let Some(ready) = self.at(Milestone::Ready) {
            let over = now >= self.last_line + self.expectations.limits.silence
                || now >= ready + LONGEST_NOISE;
            return over.then(|| self.of_a_boot_that_is_done(ready));
        }
        let Limits {
            whole,
            first_output,
            ..
        } = self.expectations.limits;
        if self.milestones.is_empty() && now >= first_output.min(whole) {
            let seconds = now.as_secs();
            let sentence = format!("nothing came from the serial console within {seconds} s");
            return Some(self.failure(Reason::NoOutput, sentence, Vec::new()));
        }
        (now >= whole).then(|| {
            let wanted = match &self.expectations.ready {
                Ready::Prompt => "no login prompt came",
                Ready::Target(name) => &format!("{name} was not reached"),
            };
            let far = self.milestones.last().map_or("", |(far, _)| far.title());
            let seconds = whole.as_secs();
            let sentence = format!("{wanted} within {seconds} s; the boot came as far as {far}");
            self.failure(Reason::TimedOut, sentence, self.failed.clone())
        })
    }

    /// When there will be a judgement if nothing comes any more.
    pub fn deadline(&self) -> Duration {
        let Limits {
            whole,
            first_output,
            ..
        } = self.expectations.limits;
        match (&self.fatal, self.at(Milestone::Ready)) {
            (Some((_, seen)), _) => seen.at + LAST_WORDS,
            (None, Some(ready)) => {
                (self.last_line + self.expectations.limits.silence).min(ready + LONGEST_NOISE)
            }
            (None, None) if self.milestones.is_empty() => first_output.min(whole),
            (None, None) => whole,
        }
    }

    /// The judgement of a guest that has gone: it switched itself off, or had failed before.
    pub fn ended(&self, now: Duration) -> Decision {
        match &self.fatal {
            Some((reason, seen)) => {
                self.failure(*reason, fatal_sentence(*reason, seen), vec![seen.clone()])
            }
            None => {
                let sentence = format!(
                    "the guest switched itself off after {:.1} s",
                    now.as_secs_f64()
                );
                self.failure(Reason::GuestEnded, sentence, Vec::new())
            }
        }
    }

    /// The judgement of a boot that was found good before, with what came since.
    pub fn at_last(&self, now: Duration) -> Decision {
        match self.at(Milestone::Ready) {
            Some(ready) if self.fatal.is_none() => self.of_a_boot_that_is_done(ready),
            _ => self.ended(now),
        }
    }

    /// When it came how far.
    pub fn milestones(&self) -> &[(Milestone, Duration)] {
        &self.milestones
    }

    /// The release of the kernel that ran, if the console named it.
    pub fn kernel(&self) -> Option<&str> {
        self.kernel.as_deref()
    }

    /// How often a passphrase was asked for.
    pub fn asked(&self) -> u32 {
        self.asked
    }

    /// How often the guest has rebooted.
    pub fn reboots(&self) -> u32 {
        self.reboots
    }

    /// The last lines of the console.
    pub fn last_lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    fn at(&self, milestone: Milestone) -> Option<Duration> {
        let mut reached = self.milestones.iter();
        reached
            .find(|(there, _)| *there == milestone)
            .map(|(_, at)| *at)
    }

    fn reached(&mut self, milestone: Milestone, at: Duration) {
        if self
            .milestones
            .last()
            .is_none_or(|(last, _)| *last < milestone)
        {
            self.milestones.push((milestone, at));
        }
    }

    fn of_a_boot_that_is_done(&self, ready: Duration) -> Decision {
        for (seen, reason, what) in [
            (&self.failed, Reason::FailedUnits, "failed"),
            (&self.denied, Reason::SelinuxDenials, "SELinux denials"),
        ] {
            let Some(first) = seen.first() else {
                continue;
            };
            let more = match seen.len() {
                1 => String::new(),
                all => format!(" and {} more", all - 1),
            };
            let sentence = match reason {
                Reason::FailedUnits => format!("the system is up, but {}{more} {what}", first.text),
                _ => format!("the system is up, but with {what}: {}{more}", first.text),
            };
            return self.failure(reason, sentence, seen.clone());
        }
        Decision {
            reason: None,
            sentence: format!("the system was up after {:.1} s", ready.as_secs_f64()),
            seen: Vec::new(),
        }
    }

    fn failure(&self, reason: Reason, sentence: String, seen: Vec<Seen>) -> Decision {
        Decision {
            reason: Some(reason),
            sentence,
            seen,
        }
    }
}

fn fatal_sentence(reason: Reason, seen: &Seen) -> String {
    let what = match reason {
        Reason::KernelPanic => "the kernel gave up",
        Reason::EmergencyMode => "the system ended in emergency mode",
        Reason::RebootLoop => "the guest reboots again and again",
        Reason::PassphraseAsked => "the system asks for a passphrase",
        _ => "there is nothing to boot",
    };
    format!("{what}: {}", seen.text)
}

/// Whether what systemd shows of a target is the one of this name.
fn is_target(name: &str, shown: &str) -> bool {
    let described = DESCRIPTIONS
        .iter()
        .any(|(of, text)| *of == name && *text == shown);
    let first = shown.split(" - ").next().unwrap_or(shown);
    described || first == name || signs::shortened_from(first, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(ready: Ready) -> Judge {
        Judge::new(Expectations {
            ready,
            allowed_failed: vec![Pattern::new("fine.service").unwrap()],
            allowed_denied: Vec::new(),
            answers: 1,
            limits: Limits {
                whole: Duration::from_secs(100),
                first_output: Duration::from_secs(20),
                silence: Duration::from_secs(3),
            },
        })
    }

    fn after(judge: &mut Judge, lines: &[&str]) -> Option<Reason> {
        for (second, line) in (1..).zip(lines) {
            let at = Duration::from_secs(second);
            judge.heard(at);
            judge.line(at, line);
            assert_eq!(judge.decision(at), None, "{line}");
        }
        let deadline = judge.deadline();
        judge.decision(deadline).unwrap().reason
    }

    #[test]
    fn a_passphrase_is_asked_for_as_often_as_it_is_answered() {
        let seconds = Duration::from_secs;
        let prompt =
            "Please enter passphrase for disk QEMU_HARDDISK (luks-1): (press TAB for no echo) ";
        let mut asked = judge(Ready::Prompt);
        asked.line(seconds(1), prompt);
        // What was typed shows in the line that is over.
        asked.line(seconds(2), &format!("{prompt}********"));
        assert_eq!((asked.asked(), asked.decision(seconds(9))), (1, None));
        asked.line(
            seconds(3),
            "Please enter passphrase for disk luks-1: [    3.2] random: crng init done",
        );
        let decision = asked.decision(seconds(9)).unwrap();
        assert_eq!(decision.reason, Some(Reason::PassphraseAsked));
    }

    #[test]
    fn a_boot_is_judged_by_what_it_shows() {
        let failed = "[FAILED] Failed to start a.service - A.";
        let fine = "[FAILED] Failed to start fine.service - A.";
        let denied = "[ 1.0] audit: avc:  denied  { read }";
        let reboot = "[ 9.0] reboot: Restarting system";
        for (lines, reason) in [
            (&["[ 0.0] Linux version 1", "web login:"][..], None),
            (&[fine, "web login:"], None),
            (&[reboot, "web login:"], None),
            (&[], Some(Reason::NoOutput)),
            (&["SeaBIOS"], Some(Reason::TimedOut)),
            (&[failed], Some(Reason::TimedOut)),
            (&[failed, "web login:"], Some(Reason::FailedUnits)),
            // What fails behind the prompt counts, too.
            (&["web login:", failed], Some(Reason::FailedUnits)),
            (&[denied, "web login:"], Some(Reason::SelinuxDenials)),
            (&[reboot, reboot, reboot], Some(Reason::RebootLoop)),
            (
                &["[ 1.0] Kernel panic - not syncing: x", "more"],
                Some(Reason::KernelPanic),
            ),
            (&["You are in emergency mode."], Some(Reason::EmergencyMode)),
        ] {
            assert_eq!(after(&mut judge(Ready::Prompt), lines), reason, "{lines:?}");
        }
    }

    #[test]
    fn a_target_may_be_waited_for_by_any_of_its_names() {
        let target = || judge(Ready::Target("multi-user.target".to_owned()));
        for shown in [
            "multi-user.target - Multi-User System",
            "Multi-User System",
            "multi-u…User System",
        ] {
            let line = format!("[  OK  ] Reached target {shown}.");
            assert_eq!(after(&mut target(), &[&line]), None, "{shown}");
        }
        let lines = ["web login:", "[  OK  ] Reached target basic.target."];
        assert_eq!(after(&mut target(), &lines), Some(Reason::TimedOut));
    }

    #[test]
    fn what_a_boot_came_to_is_told() {
        let mut judge = judge(Ready::Prompt);
        let lines = [
            "[ 0.0] Linux version 5.14.0-1.el9 (x)",
            "[ 1.0] x",
            "[  OK  ] Started y.",
            "a login:",
        ];
        assert_eq!(after(&mut judge, &lines), None);
        let reached: Vec<_> = judge
            .milestones()
            .iter()
            .map(|(m, at)| (*m, at.as_secs()))
            .collect();
        let expected = [
            (Milestone::Output, 1),
            (Milestone::Kernel, 1),
            (Milestone::Init, 3),
            (Milestone::Ready, 4),
        ];
        assert_eq!(reached, expected);
        assert_eq!(judge.kernel(), Some("5.14.0-1.el9"));
        assert_eq!(judge.last_lines().count(), 4);
    }

    #[test]
    fn a_guest_that_goes_has_failed() {
        let mut judge = judge(Ready::Prompt);
        let now = Duration::from_secs(5);
        assert_eq!(judge.ended(now).reason, Some(Reason::GuestEnded));
        judge.line(now, "[ 1.0] Kernel panic - not syncing: x");
        assert_eq!(judge.ended(now).reason, Some(Reason::KernelPanic));
    }
}
