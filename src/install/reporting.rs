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
            told: None,
            texts: HashSet::new(),
        }
    }

    /// Tells what is new since it was called last. `judge` has seen all until `now`.
    pub fn news(&mut self, now: Duration, judge: &mut Judge) {
        for (signal, seen) in judge.take_noticed() {
            self.signal(&signal, &seen);
        }
        let phase = judge.progress().phase();
        if phase != self.phase {
            self.phase = phase;
            self.reporter.event(Event::Phase(phase));
        }
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
