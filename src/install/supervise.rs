//! Follows a running install: feeds the judge with what is witnessed, hands it to the recorder, and
//! tells the user how far it is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, MissedTickBehavior, sleep_until};

use super::cancel::Cancellation;
use super::counting::Counting;
use super::estimate::Forecast;
use super::live::Live;
use super::record::{Recorder, Track};
use super::reporting::Reporting;
use crate::host::{Counters, EndCause, Guest, GuestEnd, Port};
use crate::secrets::Secrets;
use crate::serve::head::Method;
use crate::serve::{Access, Resource};
use crate::ui::event::{Event, Noticed, Reporter};
use crate::watch::console::{Console, Output};
use crate::watch::judge::Judge;
use crate::watch::logport::{LogPort, Record};
use crate::watch::progress::PhaseTime;
use crate::watch::stall::Limits;
use crate::watch::verdict::Decision;
use crate::watch::witness::{End, Expectations, Witness};

/// How long the console must be silent before an unfinished line (a prompt) is looked at.
const QUIET: Duration = Duration::from_secs(1);

/// How often to look around when nothing comes: progress is told, counters are asked for.
const PULSE: Duration = Duration::from_secs(1);

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
}

/// What an install must show, and how long it may take.
#[derive(Debug)]
pub struct Supervision {
    /// What success looks like.
    pub expectations: Expectations,
    /// The completion mark, if one will come.
    pub mark: Option<String>,
    /// Longest time of the whole install.
    pub timeout: Duration,
    /// Longest time of each of its steps without progress.
    pub limits: Limits,
    /// Where the guest's disk is, to tell a full file system from a broken one.
    pub disk: PathBuf,
    /// What the console's log must not hold.
    pub secrets: Secrets,
    /// Whether somebody wants to stop.
    pub stop: Cancellation,
    /// Where others see how far it is.
    pub live: Live,
    /// How long it will take, by earlier builds.
    pub forecast: Forecast,
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

/// Follows the guest until the judge has decided. The guest itself is left to the caller.
///
/// # Errors
/// None that is known.
pub async fn supervise(
    guest: &Guest,
    senses: Channels,
    terms: Supervision,
    recorder: &Recorder,
    reporter: &Reporter,
) -> anyhow::Result<Supervised> {
    let mut supervisor = Supervisor {
        started: Instant::now(),
        judge: Judge::new(terms.expectations, terms.limits),
        console: Console::new(terms.mark.as_deref()),
        log_port: LogPort::default(),
        recorder,
        reporting: Reporting::new(reporter, terms.forecast, terms.secrets.clone()),
        secrets: terms.secrets,
        disk: terms.disk,
        live: terms.live,
        relayed: 0,
        reporter,
    };
    let mut counting = Counting::start(guest.gauge());
    let decision = supervisor
        .run(guest, senses, terms.timeout, &terms.stop, &mut counting)
        .await;
    if let Some(counting) = counting {
        counting.stop().await;
    }
    let decision = decision?;
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

struct Supervisor<'a> {
    started: Instant,
    judge: Judge,
    console: Console,
    log_port: LogPort,
    recorder: &'a Recorder,
    secrets: Secrets,
    disk: PathBuf,
    live: Live,
    /// Bytes that the guest took from our server.
    relayed: u64,
    reporting: Reporting<'a>,
    reporter: &'a Reporter,
}

impl Supervisor<'_> {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    async fn run(
        &mut self,
        guest: &Guest,
        mut senses: Channels,
        timeout: Duration,
        stop: &Cancellation,
        counting: &mut Option<Counting>,
    ) -> anyhow::Result<Decision> {
        let deadline = self.started + timeout;
        let mut pulse = tokio::time::interval(PULSE);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let (mut console_open, mut log_open) = (true, true);
        let mut unsettled: Option<Instant> = None;
        let mut end: Option<(GuestEnd, Instant)> = None;
        loop {
            if let Some((ended, patience)) = &end
                && ((!console_open && !log_open) || Instant::now() >= *patience)
            {
                // An access that ended with the guest may have come after its last words.
                if let Some(accesses) = &mut senses.accesses {
                    while let Ok(access) = accesses.try_recv() {
                        if let Some(decision) = self.access(&access) {
                            return Ok(decision);
                        }
                    }
                }
                return self.ended(ended);
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
                    let now = self.now();
                    self.judge.witness(now, Witness::TimedOut(timeout))
                }
                why = stop.wanted() => {
                    let now = self.now();
                    self.judge.witness(now, Witness::Interrupted(why))
                }
                () = sleep_until(tick.unwrap_or(deadline)), if tick.is_some() => {
                    let now = self.now();
                    self.judge.tick(now)
                }
                _ = pulse.tick() => {
                    if let Some(counting) = counting {
                        counting.ask_if_due();
                    }
                    None
                }
                counters = next_counters(counting) => self.counters(counters),
                piece = heard(self.recorder, &mut senses.console), if console_open => match piece {
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
                piece = heard(self.recorder, &mut senses.log_port), if log_open => match piece {
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
                access = next_access(&mut senses.accesses) => match access {
                    Some(access) => self.access(&access),
                    None => {
                        senses.accesses = None;
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
                        EndCause::ConnectionLost => LOST_DRAIN,
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
            self.live.progress(progress, percent);
            if let Some(decision) = decision {
                return Ok(decision);
            }
        }
    }

    /// The judge hears what was said; everybody else without secrets. A password may be a word
    /// that the judge looks for.
    fn console_output(&mut self, output: Vec<Output>) -> Option<Decision> {
        let mut decision = None;
        let mut record = String::new();
        for item in output {
            let now = self.now();
            let decided = match item {
                Output::Mark => {
                    self.reporting.noticed(Noticed::Mark);
                    self.judge.witness(now, Witness::Mark)
                }
                Output::Line(line) => {
                    let shown = self.secrets.hide(&line);
                    record.push_str(&shown);
                    record.push('\n');
                    self.reporter.event(Event::Console(shown));
                    self.judge.witness(now, Witness::Console(&line))
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
            lines.push_str(&self.secrets.hide(&record.to_string()));
            lines.push('\n');
            let now = self.now();
            let decided = self.judge.witness(now, Witness::Log(record));
            decision = decision.or(decided);
        }
        self.recorder.put(Track::LogPortLines, lines.into_bytes());
        decision
    }

    fn access(&mut self, access: &Access) -> Option<Decision> {
        let now = self.now();
        self.relayed = self.relayed.saturating_add(access.bytes);
        let answered = access.method == Some(Method::Get) && (200..300).contains(&access.status);
        match &access.resource {
            Resource::Kickstart if answered && access.complete => {
                self.reporting.noticed(Noticed::KickstartFetched);
                self.judge.witness(now, Witness::KickstartFetched)
            }
            Resource::Kickstart if answered => {
                let line = format!("kickstart: cut off after {} bytes", access.bytes);
                self.judge.witness(now, Witness::Refused(&line))
            }
            Resource::Relay { name, path } if access.status >= 400 => {
                let line = format!("{name}/{path}: status {}", access.status);
                self.judge.witness(now, Witness::Refused(&line))
            }
            _ => None,
        }
    }

    fn ended(&mut self, end: &GuestEnd) -> anyhow::Result<Decision> {
        let how = match end.cause {
            EndCause::Shutdown => End::ByGuest,
            EndCause::Destroyed => End::Killed,
            EndCause::Crashed | EndCause::Failed => End::Crashed,
            EndCause::DiskFull => End::HostDiskFull,
            EndCause::DiskError if is_full(&self.disk) => End::HostDiskFull,
            EndCause::DiskError => End::HostDiskError,
            EndCause::ConnectionLost => End::ConnectionLost,
        };
        self.reporting.ended(how, end.detail.as_deref());
        let now = self.now();
        if let Some(words) = &end.detail {
            // Decides nothing by itself.
            let _ = self.judge.witness(now, Witness::LastWords(words));
        }
        self.judge
            .witness(now, Witness::Ended(how))
            .context("judging an install that was judged already")
    }

    fn counters(&mut self, counters: Option<Counters>) -> Option<Decision> {
        let counters = counters?;
        // What comes through our server comes over the network, too: the larger one is all.
        let received = counters.network.map_or(0, |(received, _)| received);
        let now = self.now();
        self.judge.witness(
            now,
            Witness::Counters {
                written: counters.disk_written,
                received: received.max(self.relayed),
            },
        )
    }
}

/// Whether the file system of `file` has no room worth the name.
fn is_full(file: &Path) -> bool {
    rustix::fs::statvfs(file)
        .is_ok_and(|system| system.f_bavail.saturating_mul(system.f_frsize) < FULL)
}

async fn next_counters(counting: &mut Option<Counting>) -> Option<Counters> {
    match counting {
        Some(counting) => counting.next().await,
        None => std::future::pending().await,
    }
}

/// The next bytes of a port, when there is room to record them.
async fn heard(recorder: &Recorder, port: &mut Port) -> Option<Vec<u8>> {
    recorder.room().await;
    port.read().await
}

async fn next_access(accesses: &mut Option<UnboundedReceiver<Access>>) -> Option<Access> {
    match accesses {
        Some(accesses) => accesses.recv().await,
        None => std::future::pending().await,
    }
}
