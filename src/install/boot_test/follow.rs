//! Follows a guest that boots: feeds the judge with what its console says, hands that to the recorder,
//! and tells the user how far it is.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FallocateFlags, fallocate};
use tokio::time::{Instant, MissedTickBehavior, sleep_until, timeout};

use super::questions::{self, Answer};
use crate::blocking;
use crate::error::{Classify, Kind, fail};
use crate::host::{Guest, Port};
use crate::install::record::{Recorder, Track};
use crate::install::run::Cancellation;
use crate::secrets::{Secret, Secrets};
use crate::ui::event::{Event, Reporter};
use crate::watch::boot::{Decision, Judge, Milestone};
use crate::watch::console::{Console, Output};
use crate::watch::witness::End;

/// How long the console must be silent before an unfinished line (a prompt) is looked at.
const QUIET: Duration = Duration::from_secs(1);

/// How much of the guest's packets is kept, in bytes: it asks for an address early.
pub const MOST_PACKETS: u64 = 8 << 20;

/// How often is looked after how much that is.
const PULSE: Duration = Duration::from_secs(1);

/// How long the console may stay open when the guest is gone. libvirt closes it at once.
const DRAIN: Duration = Duration::from_secs(2);

/// How long after the power button the keys for a reboot are pressed, to which systemd does not listen while
/// it shuts down: a guest that heeds the button says so within moments, and loses nothing by them.
const POWER_BUTTON: Duration = Duration::from_secs(3);

/// How long the guest may take to read what is typed.
const TYPING: Duration = Duration::from_secs(30);

/// Pause while it reads.
const KEYS: Duration = Duration::from_millis(20);

/// How long a picture of the screen may take; QEMU needs some tens of milliseconds.
const SCREENSHOT_PATIENCE: Duration = Duration::from_secs(1);

/// Follows one guest.
pub struct Follower<'a> {
    pub guest: &'a Arc<Guest>,
    pub console: Port,
    pub recorder: &'a Recorder,
    pub cancellation: &'a Cancellation,
    pub secrets: &'a Secrets,
    /// What opens encrypted file systems, in the order in which it is tried.
    pub passphrases: &'a [Secret],
    /// How often a passphrase was typed.
    pub answered: u32,
    pub reporter: &'a Reporter,
    /// When its CPUs were started.
    pub started: Instant,
    pub terminal: Console,
    /// The packets of its network card, if they are kept.
    pub capture: Option<File>,
    /// How much of the judge's milestones was told.
    pub told: Option<Milestone>,
    /// What answers to checks have before them on the console.
    pub mark: String,
    /// The answers that came so far.
    pub answers: BTreeMap<usize, Answer>,
}

/// What came of listening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// What was listened for.
    It,
    /// Nothing of it within the time.
    Nothing,
    /// The guest's end.
    End,
}

impl Follower<'_> {
    /// Follows the guest until the judge has decided. The guest itself is left to the caller.
    ///
    /// # Errors
    /// Host: QEMU or libvirt failed. Somebody asked to stop.
    pub async fn until_decided(&mut self, judge: &mut Judge) -> anyhow::Result<Decision> {
        let mut pulse = pulse();
        let mut unsettled: Option<Instant> = None;
        let mut end: Option<Instant> = None;
        let mut open = true;
        loop {
            let now = self.started.elapsed();
            self.tell(judge, now);
            if let Some(decision) = judge.decision(now) {
                return Ok(decision);
            }
            if end.is_some_and(|patience| !open || Instant::now() >= patience) {
                return Ok(judge.ended(now));
            }
            let deadline = self.started + judge.deadline();
            let wake = end.map_or(deadline, |patience| patience.min(deadline));
            tokio::select! {
                biased;
                why = self.cancellation.wanted() => {
                    return Err(crate::install::run::interrupted(why));
                }
                () = sleep_until(wake) => {}
                _ = pulse.tick() => self.limit_capture(),
                piece = heard(self.recorder, &mut self.console), if open => match piece {
                    Some(bytes) => {
                        judge.heard(self.started.elapsed());
                        unsettled = Some(Instant::now() + QUIET);
                        let output = self.terminal.feed(&bytes);
                        self.recorder.put(Track::ConsoleBytes, bytes);
                        self.lines(judge, output);
                    }
                    None => {
                        open = false;
                        unsettled = None;
                        let output = self.terminal.settle();
                        self.lines(judge, output);
                    }
                },
                () = sleep_until(unsettled.unwrap_or(wake)), if unsettled.is_some() => {
                    unsettled = None;
                    let output = self.terminal.settle();
                    self.lines(judge, output);
                    self.answer(judge).await?;
                }
                ended = self.guest.ended(), if end.is_none() => {
                    check_end(ended.cause, ended.detail.as_deref())?;
                    end = Some(Instant::now() + DRAIN);
                }
            }
        }
    }

    /// Has the guest shut itself down in order, and waits until it has, for at most `limit`: whether it has.
    /// The power button is pressed, and the keys for a reboot where that brings nothing (a kernel without
    /// its driver). What the guest says is recorded.
    ///
    /// # Errors
    /// Host: QEMU or libvirt failed. Somebody asked to stop.
    pub async fn shut_down(&mut self, judge: &mut Judge, limit: Duration) -> anyhow::Result<bool> {
        let pressed = tokio::task::block_in_place(|| self.guest.press_power_button());
        if let Err(error) = pressed.kind(Kind::Host) {
            return self.unless_ended(error).await.map(|()| true);
        }
        let begun = Instant::now();
        let mut keys = Some(begun + POWER_BUTTON);
        let reboots = judge.reboots();
        let mut pulse = pulse();
        let mut open = true;
        loop {
            if judge.reboots() > reboots {
                // Everything is unmounted.
                return Ok(true);
            }
            tokio::select! {
                biased;
                why = self.cancellation.wanted() => {
                    return Err(crate::install::run::interrupted(why));
                }
                () = sleep_until(begun + limit) => return Ok(false),
                _ = pulse.tick() => self.limit_capture(),
                () = sleep_until(keys.unwrap_or(begun)), if keys.is_some() => {
                    keys = None;
                    let pressed =
                        tokio::task::block_in_place(|| self.guest.press_ctrl_alt_delete());
                    if let Err(error) = pressed.kind(Kind::Host) {
                        return self.unless_ended(error).await.map(|()| true);
                    }
                }
                piece = heard(self.recorder, &mut self.console), if open => match piece {
                    Some(bytes) => {
                        let output = self.terminal.feed(&bytes);
                        self.recorder.put(Track::ConsoleBytes, bytes);
                        self.lines(judge, output);
                    }
                    None => open = false,
                },
                ended = self.guest.ended() => {
                    check_end(ended.cause, ended.detail.as_deref())?;
                    return Ok(true);
                }
            }
        }
    }

    /// How the guest ended, if that is why it could not be asked for something.
    ///
    /// # Errors
    /// Host: it did not end by itself; `error`, if it has not ended.
    pub async fn unless_ended(&self, error: anyhow::Error) -> anyhow::Result<()> {
        // libvirt's event may come later than its refusal.
        match tokio::time::timeout(DRAIN, self.guest.ended()).await {
            Ok(ended) => check_end(ended.cause, ended.detail.as_deref()),
            Err(_) => Err(error),
        }
    }

    /// Listens until a line comes that `wanted` says yes to, for at most `limit`.
    ///
    /// # Errors
    /// Host: QEMU or libvirt failed. Somebody asked to stop.
    pub async fn listen(
        &mut self,
        judge: &mut Judge,
        limit: Duration,
        mut wanted: impl FnMut(&str) -> bool,
    ) -> anyhow::Result<Heard> {
        let until = Instant::now().checked_add(limit);
        let mut pulse = pulse();
        let mut unsettled: Option<Instant> = None;
        loop {
            let output = tokio::select! {
                biased;
                why = self.cancellation.wanted() => {
                    return Err(crate::install::run::interrupted(why));
                }
                () = sleep_until(until.unwrap_or(self.started)), if until.is_some() => {
                    return Ok(Heard::Nothing);
                }
                _ = pulse.tick() => {
                    self.limit_capture();
                    continue;
                }
                piece = heard(self.recorder, &mut self.console) => match piece {
                    Some(bytes) => {
                        unsettled = Some(Instant::now() + QUIET);
                        let output = self.terminal.feed(&bytes);
                        self.recorder.put(Track::ConsoleBytes, bytes);
                        output
                    }
                    None => {
                        if let Ok(ended) = timeout(DRAIN, self.guest.ended()).await {
                            check_end(ended.cause, ended.detail.as_deref())?;
                        }
                        return Ok(Heard::End);
                    }
                },
                () = sleep_until(unsettled.unwrap_or(self.started)), if unsettled.is_some() => {
                    unsettled = None;
                    self.terminal.settle()
                }
            };
            // All of it is recorded, also behind what was wanted.
            let mut found = false;
            for line in self.lines(judge, output) {
                found = found || wanted(&line);
            }
            if found {
                return Ok(Heard::It);
            }
        }
    }

    /// Types a text on the console. What the guest does not take within [`TYPING`] is left out.
    ///
    /// # Errors
    /// As [`Follower::listen`].
    pub async fn type_in(&mut self, judge: &mut Judge, text: &str) -> anyhow::Result<()> {
        let mut rest = text.as_bytes();
        let until = Instant::now() + TYPING;
        while !rest.is_empty() && Instant::now() < until {
            let taken = self.console.write(rest);
            rest = &rest[taken..];
            if taken == 0 && self.listen(judge, KEYS, |_| false).await? == Heard::End {
                break;
            }
        }
        Ok(())
    }

    /// Types a passphrase where one is asked for.
    async fn answer(&mut self, judge: &mut Judge) -> anyhow::Result<()> {
        if self.answered >= judge.asked() || self.passphrases.is_empty() {
            return Ok(());
        }
        let next = self.answered as usize % self.passphrases.len();
        self.answered = judge.asked();
        self.reporter
            .detail("boot test: typing the passphrase that is asked for");
        let typed = format!("{}\r", self.passphrases[next].reveal());
        self.type_in(judge, &typed).await
    }

    /// The guest's screen, if it has one.
    pub async fn screenshot(&self) -> Option<Vec<u8>> {
        let guest = self.guest.observer();
        blocking::within_async(SCREENSHOT_PATIENCE, move || guest.screenshot().ok()).await?
    }

    /// The judge hears what was said; everybody else without secrets.
    fn lines(&mut self, judge: &mut Judge, output: Vec<Output>) -> Vec<String> {
        let now = self.started.elapsed();
        let mut record = String::new();
        let mut lines = Vec::new();
        for item in output {
            let Output::Line(line) = item else {
                continue;
            };
            let shown = self.secrets.hide(&line);
            match questions::answer(&shown, &self.mark) {
                Some((number, answer)) => drop(self.answers.insert(number, answer)),
                // What a check says is no sign of the system's.
                None => judge.line(now, &shown),
            }
            record.push_str(&shown);
            record.push('\n');
            self.reporter.event(Event::Console(shown.clone()));
            lines.push(shown);
        }
        self.recorder.put(Track::ConsoleLines, record.into_bytes());
        lines
    }

    /// A guest may send without end: of its packets the first are kept.
    fn limit_capture(&self) {
        let Some(capture) = &self.capture else {
            return;
        };
        let length = capture.metadata().map_or(0, |meta| meta.len());
        if length > MOST_PACKETS {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            // A file system that cannot do that keeps more.
            let punched = fallocate(capture, flags, MOST_PACKETS, length - MOST_PACKETS);
            tracing::debug!(?punched, "leaving out what else the guest sent");
        }
    }

    fn tell(&mut self, judge: &Judge, now: Duration) {
        let Some((milestone, _)) = judge.milestones().last() else {
            return;
        };
        if self.told < Some(*milestone) {
            self.told = Some(*milestone);
            let seconds = now.as_secs_f64();
            let text = format!("boot test: {} after {seconds:.1} s", milestone.title());
            self.reporter.detail(text);
        }
    }
}

fn pulse() -> tokio::time::Interval {
    let mut pulse = tokio::time::interval(PULSE);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Skip);
    pulse
}

/// The next bytes of the console, when there is room to record them.
async fn heard(recorder: &Recorder, port: &mut Port) -> Option<Vec<u8>> {
    recorder.room().await;
    port.read().await
}

/// Whether a guest's end is its own doing.
fn check_end(end: End, detail: Option<&str>) -> anyhow::Result<()> {
    let what = match end {
        End::ByGuest | End::Gone => return Ok(()),
        End::Killed => "somebody else ended the guest of the boot test",
        End::Crashed => "QEMU of the boot test's guest died",
        End::HostDiskFull => "the file system below the work directory is full",
        End::HostDiskError => "the overlay of the boot test's guest cannot be read or written",
        End::ConnectionLost => "the connection to libvirt was lost during the boot test",
    };
    let detail = detail.map_or(String::new(), |detail| format!(" ({detail})"));
    fail!(
        Kind::Host,
        "{what}{detail}: look at the host's journal and at the storage, then test again"
    );
}
