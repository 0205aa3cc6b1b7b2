//! Tells what goes on in a guest: its phases, how far it is, what was noticed, why it failed.

use std::collections::HashSet;
use std::time::Duration;

use super::history::Forecast;
use crate::secrets::Secrets;
use crate::ui::event::{self, Decisive, Event, Judged, Reporter};
use crate::watch::cause::Cause;
use crate::watch::judge::Judge;
use crate::watch::phases::Phase;
use crate::watch::progress::Progress;
use crate::watch::signal::Signal;
use crate::watch::verdict::{Decision, Outcome, Seen};
use crate::watch::witness::End;

/// Progress is told at most this often: packages come many a second.
const AT_MOST: Duration = Duration::from_secs(1);

/// And at least this often, so that whoever reads sees that it lives.
const AT_LEAST: Duration = Duration::from_secs(10);

/// How many texts are told of one install. dracut alone complains twice a second for minutes.
const MAX_NOTICED: usize = 200;

/// Reports an install. Times count from the guest's start.
#[derive(Debug)]
pub struct Reporting<'a> {
    reporter: &'a Reporter,
    forecast: Forecast,
    secrets: Secrets,
    phase: Phase,
    /// How many phases were told of.
    phases: usize,
    told: Option<event::Progress>,
    texts: HashSet<String>,
}

impl<'a> Reporting<'a> {
    /// Of a guest that is about to start.
    pub fn new(reporter: &'a Reporter, forecast: Forecast, secrets: Secrets) -> Self {
        Reporting {
            reporter,
            forecast,
            secrets,
            phase: Phase::PoweredOn,
            phases: 1,
            told: None,
            texts: HashSet::new(),
        }
    }

    /// Tells what is new since it was called last. `judge` has seen all until `now`.
    pub fn news(&mut self, now: Duration, judge: &mut Judge) {
        for (signal, seen) in judge.take_noticed() {
            self.signal(&signal, &seen);
        }
        // One that was over before this was called is told, too.
        let phases = judge.progress().phases(now);
        for entered in phases.iter().skip(self.phases) {
            self.phase = entered.phase;
            self.reporter.event(Event::Phase(entered.phase));
        }
        self.phases = phases.len();
        self.progress(now, judge);
    }

    /// How much of the build is done.
    pub fn percent(&self, progress: &Progress) -> u8 {
        self.forecast.percent(progress)
    }

    fn progress(&mut self, now: Duration, judge: &Judge) {
        let progress = judge.progress();
        let since = match &self.told {
            Some(told) if told.phase == self.phase => now.saturating_sub(told.elapsed),
            _ => AT_LEAST,
        };
        if since < AT_MOST {
            return;
        }
        let in_phase = progress.phases(now).last().map(|phase| phase.lasted);
        let news = event::Progress {
            phase: self.phase,
            percent: self.percent(progress),
            packages: progress.packages(),
            download: progress.download(),
            elapsed: now,
            remaining: self
                .forecast
                .remaining(progress, in_phase.unwrap_or_default()),
        };
        let changed = self.told.as_ref().is_none_or(|told| {
            (told.percent, told.packages, told.download)
                != (news.percent, news.packages, news.download)
        });
        if changed || since >= AT_LEAST {
            self.told = Some(news.clone());
            self.reporter.event(Event::Progress(news));
        }
    }

    fn signal(&mut self, signal: &Signal, seen: &Seen) {
        let text = self.secrets.hide(&seen.text);
        if self.texts.len() >= MAX_NOTICED || !self.texts.insert(text.clone()) {
            return;
        }
        let source = seen.source;
        self.reporter.event(match signal {
            Signal::Failure(found) if found.cause == Cause::QuestionAsked => {
                Event::Question { source, text }
            }
            Signal::Failure(found) => Event::ErrorText {
                source,
                text,
                cause: found.cause,
                fatal: signal.decides(),
            },
            _ => Event::ScriptOutput { text },
        });
    }

    /// Tells that the guest runs no more.
    pub fn ended(&self, how: End, detail: Option<&str>) {
        self.reporter.event(Event::GuestEnded {
            how,
            detail: detail.map(|detail| self.secrets.hide(detail)),
        });
    }

    /// Tells why it failed, if it did.
    pub fn decision(&self, now: Duration, decision: &Decision) {
        let (Outcome::Failure(verdict), Some(decisive)) = (&decision.outcome, &decision.decisive)
        else {
            return;
        };
        self.reporter.event(Event::Verdict(Judged {
            cause: verdict.cause,
            title: verdict.cause.title(),
            sentence: self.secrets.hide(&verdict.sentence),
            phase: verdict.phase,
            exit_status: verdict.kind().exit_status(),
            retry: verdict.cause.retry(),
            decisive: Decisive {
                source: decisive.source,
                text: self.secrets.hide(&decisive.text),
                age: now.saturating_sub(decisive.at),
            },
        }));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::ui::event::Sink;
    use crate::watch::witness::Witness;

    #[derive(Default)]
    struct Phases(Mutex<Vec<Phase>>);

    impl Sink for Phases {
        fn take(&self, event: Event) {
            if let Event::Phase(phase) = event {
                self.0.lock().unwrap().push(phase);
            }
        }
    }

    /// Both lines are read at once where the guest is quick or this host is busy.
    #[test]
    fn a_phase_that_was_over_at_once_is_told() {
        let told = Arc::new(Phases::default());
        let reporter = Reporter::new(told.clone());
        let mut reporting = Reporting::new(&reporter, Forecast::default(), Secrets::default());
        let mut judge = Judge::default();
        for lines in [
            &["Configuring installed system", "Generating initramfs"][..],
            &[],
            &["Running post-installation scripts"],
        ] {
            for line in lines {
                judge.witness(Duration::ZERO, Witness::Console(line));
            }
            reporting.news(Duration::ZERO, &mut judge);
        }
        assert_eq!(
            *told.0.lock().unwrap(),
            [
                Phase::Kernel,
                Phase::Configuring,
                Phase::BuildingInitramfs,
                Phase::PostScripts
            ]
        );
    }
}
