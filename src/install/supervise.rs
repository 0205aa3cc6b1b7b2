//! Follows a running install: feeds the judge with what is witnessed, hands it to the recorder, and
//! tells the user how far it is.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, MissedTickBehavior, sleep, sleep_until};

use super::attempt::Attempt;
use super::record::{Recorder, Track};
use super::reporting::Reporting;
use super::warm::Listener;
use crate::blocking;
use crate::host::{Accel, Counters, Guest, GuestEnd, Observer, Port};
use crate::serve::head::Method;
use crate::serve::{Access, Resource};
use crate::ui::event::Event;
use crate::watch::console::{Console, Output};
use crate::watch::judge::Judge;
use crate::watch::logport::{LogPort, Record};
use crate::watch::progress::PhaseTime;
use crate::watch::stall::Limits;
use crate::watch::verdict::Decision;
use crate::watch::witness::{End, Expectations, Witness};

/// How long the console must be silent before an unfinished line (a prompt) is looked at.
const QUIET: Duration = Duration::from_secs(1);

/// How often to look around when nothing comes: progress is told.
const PULSE: Duration = Duration::from_secs(1);

/// How often to ask libvirt what the guest has read and written. The shortest limit for a guest
/// without progress is three minutes.
const COUNT: Duration = Duration::from_secs(5);

/// How long its answer is waited for at the end. One takes milliseconds; a daemon that hangs does
/// not give one.
const LAST_COUNT: Duration = Duration::from_millis(500);

/// How long the ports may stay open when the guest is gone. libvirt closes them at once; only one
/// whose connection hangs does not. A verdict is out within five seconds.
const DRAIN: Duration = Duration::from_secs(2);

/// The same where the daemon went away with them: what it had sent is here already.
const LOST_DRAIN: Duration = Duration::from_millis(300);

/// A file system with fewer bytes left than this is full: QEMU asks for clusters of 64 KiB and
/// for tables, and others may have freed a little since.
const FULL: u64 = 16 << 20;

/// What a build listens to.
#[derive(Debug)]
pub struct Channels {
    /// The serial console.
    pub console: Port,
    /// The installer's log port.
    pub log_port: Port,
    /// What the guest took from our server.
    pub accesses: Option<UnboundedReceiver<Access>>,
    /// Where an installer says that it waits for its kickstart: it is followed until then.
    pub handover: Option<Port>,
}

/// Which part of an install is followed.
#[derive(Debug)]
pub struct Course {
    /// What success looks like.
    pub expectations: Expectations,
    /// Whether it begins with an installer that has taken its kickstart.
    pub resumed: bool,
}

/// What came of it.
#[derive(Debug)]
pub struct Supervised {
    /// The judgement.
    pub decision: Decision,
    /// How long each phase took.
    pub phases: Vec<PhaseTime>,
    /// The installer's version and product, if it named them.
    pub installer: Option<String>,
}

struct Supervisor<'a> {
    attempt: &'a Attempt<'a>,
    started: Instant,
    judge: Judge,
    console: Console,
    log_port: LogPort,
    waiting: Listener,
    recorder: &'a Recorder,
    reporting: Reporting<'a>,
    /// Bytes that our server sent.
    relayed: u64,
}

impl Attempt<'_> {
    /// Follows the guest until the judge has decided. The guest itself is left to the caller.
    ///
    /// # Errors
    /// None that is known.
    pub(super) async fn supervise(
        &self,
        guest: &Guest,
        channels: Channels,
        recorder: &Recorder,
        course: Course,
    ) -> anyhow::Result<Supervised> {
        let limits = Limits {
            everywhere: self.plan.options.stall_limit.map(|limit| limit.0),
            emulated: self.spec.accel == Accel::Tcg,
        };
        let secrets = self.handover.secrets.clone();
        let mut supervisor = Supervisor {
            attempt: self,
            started: Instant::now(),
            judge: Judge::new(course.expectations, limits),
            console: Console::new(self.handover.mark.as_deref()),
            waiting: Listener::default(),
            log_port: LogPort::default(),
            recorder,
            reporting: Reporting::new(
                self.reporter,
                self.history().forecast(self.spec.accel),
                secrets,
            ),
            relayed: 0,
        };
        if course.resumed {
            let _ = supervisor.witness(Witness::Resumed);
        }
        let decision = supervisor.run(guest, channels).await?;
        let now = supervisor.now();
        supervisor.reporting.news(now, &mut supervisor.judge);
        supervisor.reporting.decision(now, &decision);
        let progress = supervisor.judge.progress();
        Ok(Supervised {
            phases: progress.phases(now),
            installer: progress.installer().map(str::to_owned),
            decision,
        })
    }
}

impl Supervisor<'_> {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn witness(&mut self, witness: Witness<'_>) -> Option<Decision> {
        let now = self.now();
        self.judge.witness(now, witness)
    }

    async fn run(&mut self, guest: &Guest, mut channels: Channels) -> anyhow::Result<Decision> {
        let (timeout, stop) = (self.attempt.plan.timeout, self.attempt.cancellation);
        let deadline = self.started + timeout;
        let mut pulse = tokio::time::interval(PULSE);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let observer = Arc::new(guest.observer());
        let mut counters = pin!(next_counters(&observer));
        let (mut console_open, mut log_open) = (true, true);
        let mut unsettled: Option<Instant> = None;
        let mut end: Option<(GuestEnd, Instant)> = None;
        let decision = 'watching: loop {
            if let Some((ended, patience)) = &end
                && ((!console_open && !log_open) || Instant::now() >= *patience)
            {
                // An access that ended with the guest may have come after its last words.
                if let Some(accesses) = &mut channels.accesses {
                    while let Ok(access) = accesses.try_recv() {
                        if let Some(decision) = self.access(&access) {
                            break 'watching Ok(decision);
                        }
                    }
                }
                break self.ended(ended);
            }
            let tick = self
                .judge
                .deadline()
                .map(|deadline| self.started + deadline);
            let decision = tokio::select! {
                // The limits first: a guest that babbles without end must not outrun them. Then
                // what the guest says, before that it is gone.
                biased;
                () = sleep_until(deadline), if end.is_none() => {
                    self.witness(Witness::TimedOut(timeout))
                }
                why = stop.wanted() => self.witness(Witness::Interrupted(why)),
                () = sleep_until(tick.unwrap_or(deadline)), if tick.is_some() => {
                    let now = self.now();
                    self.judge.tick(now)
                }
                _ = pulse.tick() => None,
                counted = &mut counters => {
                    counters.set(next_counters(&observer));
                    counted.and_then(|counted| self.counters(&counted))
                }
                piece = heard(self.recorder, &mut channels.console), if console_open => match piece {
                    Some(bytes) => {
                        unsettled = Some(Instant::now() + QUIET);
                        let output = self.console.feed(&bytes);
                        self.recorder.put(Track::ConsoleBytes, bytes);
                        self.console_output(output)
                    }
                    None => {
                        console_open = false;
                        unsettled = None;
                        let output = self.console.settle();
                        self.console_output(output)
                    }
                },
                piece = heard(self.recorder, &mut channels.log_port), if log_open => match piece {
                    Some(bytes) => {
                        let records = self.log_port.feed(&bytes);
                        self.recorder.put(Track::LogPortBytes, bytes);
                        self.log_records(&records)
                    }
                    None => {
                        log_open = false;
                        let last = self.log_port.finish();
                        self.log_records(last.as_slice())
                    }
                },
                piece = next_piece(&mut channels.handover) => match piece {
                    Some(bytes) if self.waiting.is_ready(&bytes) => Some(Decision::waiting()),
                    Some(_) => None,
                    None => {
                        channels.handover = None;
                        None
                    }
                },
                access = next_access(&mut channels.accesses) => match access {
                    Some(access) => self.access(&access),
                    None => {
                        channels.accesses = None;
                        None
                    }
                },
                () = sleep_until(unsettled.unwrap_or(deadline)), if unsettled.is_some() => {
                    unsettled = None;
                    let output = self.console.settle();
                    self.console_output(output)
                }
                ended = guest.ended(), if end.is_none() => {
                    let drain = match ended.cause {
                        End::ConnectionLost => LOST_DRAIN,
                        _ => DRAIN,
                    };
                    end = Some((ended, Instant::now() + drain));
                    None
                }
                // Wakes up for the check above when the ports stay open.
                () = sleep_until(end.as_ref().map_or(deadline, |(_, patience)| *patience)),
                    if end.is_some() => None,
            };
            let now = self.now();
            self.reporting.news(now, &mut self.judge);
            let progress = self.judge.progress();
            let percent = self.reporting.percent(progress);
            self.attempt.place.live.progress(progress, percent);
            if let Some(decision) = decision {
                break Ok(decision);
            }
        };
        if Arc::strong_count(&observer) > 1 {
            // An answer is under way, and the connection is in use until it is there.
            let _ = tokio::time::timeout(LAST_COUNT, counters).await;
        }
        decision
    }

    /// The judge hears what was said; everybody else without secrets. A password may be a word
    /// that the judge looks for.
    fn console_output(&mut self, output: Vec<Output>) -> Option<Decision> {
        let mut decision = None;
        let mut record = String::new();
        for item in output {
            let decided = match item {
                Output::Mark => {
                    self.attempt.reporter.event(Event::Mark);
                    self.witness(Witness::Mark)
                }
                Output::Line(line) => {
                    let shown = self.attempt.handover.secrets.hide(&line);
                    record.push_str(&shown);
                    record.push('\n');
                    self.attempt.reporter.event(Event::Console(shown));
                    self.witness(Witness::Console(&line))
                }
            };
            decision = decision.or(decided);
        }
        let record = record.into_bytes();
        self.recorder.put(Track::ConsoleLines, record);
        decision
    }

    fn log_records(&mut self, records: &[Record]) -> Option<Decision> {
        let mut decision = None;
        let mut lines = String::new();
        for record in records {
            lines.push_str(&self.attempt.handover.secrets.hide(&record.to_string()));
            lines.push('\n');
            let decided = self.witness(Witness::Log(record));
            decision = decision.or(decided);
        }
        self.recorder.put(Track::LogPortLines, lines.into_bytes());
        decision
    }

    fn access(&mut self, access: &Access) -> Option<Decision> {
        self.relayed = self.relayed.saturating_add(access.bytes);
        let answered = access.method == Some(Method::Get) && (200..300).contains(&access.status);
        match &access.resource {
            Resource::Kickstart if answered && access.complete => {
                self.attempt.reporter.event(Event::KickstartFetched);
                self.witness(Witness::KickstartFetched)
            }
            Resource::Kickstart if answered => {
                let line = format!("kickstart: cut off after {} bytes", access.bytes);
                self.witness(Witness::Refused(&line))
            }
            Resource::Relay { name, path } if access.status >= 400 => {
                let line = format!("{name}/{path}: status {}", access.status);
                self.witness(Witness::Refused(&line))
            }
            _ => None,
        }
    }

    fn ended(&mut self, end: &GuestEnd) -> anyhow::Result<Decision> {
        let how = match end.cause {
            End::HostDiskError if is_full(&self.attempt.spec.disk.path) => End::HostDiskFull,
            how => how,
        };
        self.reporting.ended(how, end.detail.as_deref());
        if let Some(words) = &end.detail {
            // Decides nothing by itself.
            let _ = self.witness(Witness::LastWords(words));
        }
        self.witness(Witness::Ended(how))
            .context("judging an install that was judged already")
    }

    fn counters(&mut self, counters: &Counters) -> Option<Decision> {
        self.witness(progress(counters, self.relayed))
    }
}

/// Whether the file system of `file` has no room worth the name.
fn is_full(file: &Path) -> bool {
    rustix::fs::statvfs(file)
        .is_ok_and(|system| system.f_bavail.saturating_mul(system.f_frsize) < FULL)
}

/// The counters as a sign of progress. QEMU's user networking counts nothing, so what the guest
/// takes from our server, `relayed` bytes, is counted, too; where that came over a network that
/// does count, the larger number is all.
fn progress(counters: &Counters, relayed: u64) -> Witness<'static> {
    Witness::Counters {
        written: counters.written,
        received: counters.received.max(relayed),
    }
}

/// The guest's counters, when it is time to ask for them again; none if it gave none. One that hangs
/// is waited for, so that no more than one does.
async fn next_counters(observer: &Arc<Observer>) -> Option<Counters> {
    sleep(COUNT).await;
    let observer = Arc::clone(observer);
    blocking::within_async(Duration::MAX, move || observer.counters().ok())
        .await
        .flatten()
}

/// The next bytes of a port, when there is room to record them.
async fn heard(recorder: &Recorder, port: &mut Port) -> Option<Vec<u8>> {
    recorder.room().await;
    port.read().await
}

async fn next_piece(port: &mut Option<Port>) -> Option<Vec<u8>> {
    match port {
        Some(port) => port.read().await,
        None => std::future::pending().await,
    }
}

async fn next_access(accesses: &mut Option<UnboundedReceiver<Access>>) -> Option<Access> {
    match accesses {
        Some(accesses) => accesses.recv().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::options::Deliver;

    /// QEMU's user networking counts nothing, and a guest in its initramfs writes nothing: only our
    /// server sees that a second stage of a gigabyte comes in.
    #[test]
    fn what_the_guest_takes_from_our_server_is_progress() {
        const MANY: u64 = 1 << 20;
        for (relayed, received, expected) in [
            (0, 0, false),
            (MANY, 0, true),
            (2 * (MANY / 5), 0, true),
            (0, MANY, true),
            // What our server sent is in what the network brought: it is not counted twice.
            (MANY / 5, MANY / 5, false),
        ] {
            let counters = Counters {
                received,
                ..Counters::default()
            };
            let expectations = Expectations::new(true, Some(Deliver::Http));
            let mut judge = Judge::new(expectations, Limits::default());
            let deadline = judge.deadline();
            let decision = judge.witness(Duration::from_secs(1), progress(&counters, relayed));
            assert!(decision.is_none());
            assert_eq!(
                judge.deadline() > deadline,
                expected,
                "{relayed} {received}"
            );
        }
    }
}
