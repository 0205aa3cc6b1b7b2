//! How far an install is, and how long it will go on, by how long earlier ones took.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::watch::phases::Phase;
use crate::watch::progress::Progress;

/// How long the parts of a build took.
#[derive(Debug, Clone, PartialEq)]
pub struct Times {
    /// Each phase that was seen.
    pub phases: BTreeMap<Phase, Duration>,
    /// From the guest's end to the finished image.
    pub finishing: Duration,
}

/// What earlier builds let expect; nothing, if there were none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Forecast(Option<Times>);

impl Forecast {
    /// Of these earlier builds: the median of each part, so that one build on a busy day, or one
    /// that found everything in a cache, changes nothing.
    pub fn of(builds: &[Times]) -> Self {
        if builds.is_empty() {
            return Forecast(None);
        }
        let of_phase = |phase: Phase| {
            let seen = builds.iter();
            let lasted = seen.map(|times| times.phases.get(&phase).copied().unwrap_or_default());
            (phase, median(lasted.collect()))
        };
        let times = Times {
            phases: Phase::ALL.iter().copied().map(of_phase).collect(),
            finishing: median(builds.iter().map(|times| times.finishing).collect()),
        };
        let whole = times.phases.values().sum::<Duration>() + times.finishing;
        Forecast((!whole.is_zero()).then_some(times))
    }

    /// How much of the build is done, in percent. Never decreases as the install goes on; at most
    /// 99, because only the finished image is all.
    pub fn percent(&self, progress: &Progress) -> u8 {
        let Some(times) = &self.0 else {
            return progress.percent();
        };
        let phase = progress.phase();
        let before: Duration = times.phases.range(..phase).map(|(_, lasts)| *lasts).sum();
        let done = before + times.of(phase).mul_f64(progress.part());
        let whole = times.phases.values().sum::<Duration>() + times.finishing;
        ((done.as_secs_f64() / whole.as_secs_f64() * 100.0) as u8).min(99)
    }

    /// How long the build will go on, if earlier ones let tell. `in_phase` is how long the present
    /// phase has lasted.
    pub fn remaining(&self, progress: &Progress, in_phase: Duration) -> Option<Duration> {
        let times = self.0.as_ref()?;
        let phase = progress.phase();
        let expected = times.of(phase);
        // What is counted tells more than the clock.
        let rest = match progress.part() > 0.0 {
            true => expected.mul_f64(1.0 - progress.part()),
            false => expected.saturating_sub(in_phase),
        };
        let later = times
            .phases
            .range(phase..)
            .filter(|(later, _)| **later > phase);
        let later: Duration = later.map(|(_, lasts)| *lasts).sum();
        Some(rest + later + times.finishing)
    }
}

impl Times {
    fn of(&self, phase: Phase) -> Duration {
        self.phases.get(&phase).copied().unwrap_or_default()
    }
}

fn median(mut values: Vec<Duration>) -> Duration {
    values.sort_unstable();
    // Of an even number, the lower of the two in the middle.
    let middle = values.len().saturating_sub(1) / 2;
    values.get(middle).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::signal::Signal;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn times(packages: u64, post: u64, finishing: u64) -> Times {
        Times {
            phases: [
                (Phase::PoweredOn, seconds(10)),
                (Phase::Packages, seconds(packages)),
                (Phase::PostScripts, seconds(post)),
            ]
            .into(),
            finishing: seconds(finishing),
        }
    }

    fn package(done: u64) -> Signal {
        Signal::Package {
            done,
            total: 100,
            verifying: false,
        }
    }

    #[test]
    fn the_shares_are_those_of_earlier_builds() {
        // 10 s, 60 s, 20 s and 10 s: seconds are percent.
        let forecast = Forecast::of(&[times(60, 20, 10), times(900, 0, 10), times(5, 20, 10)]);
        let mut progress = Progress::default();
        assert_eq!(forecast.percent(&progress), 0);
        assert_eq!(forecast.remaining(&progress, seconds(4)), Some(seconds(96)));
        // Longer than ever, and nothing is counted: what comes later is left.
        assert_eq!(
            forecast.remaining(&progress, seconds(99)),
            Some(seconds(90))
        );
        let mut last = 0;
        for done in 0..=100 {
            progress.signal(seconds(10), &package(done));
            let percent = forecast.percent(&progress);
            assert!(percent >= last, "{done}: {percent} < {last}");
            last = percent;
        }
        // 5 % of the packages' time is for verifying them.
        assert_eq!(last, 67);
        assert_eq!(forecast.remaining(&progress, seconds(1)), Some(seconds(33)));
        progress.signal(seconds(80), &Signal::Phase(Phase::PostScripts));
        assert_eq!(forecast.percent(&progress), 70);
        progress.signal(seconds(90), &Signal::Phase(Phase::ShuttingDown));
        assert_eq!(forecast.percent(&progress), 90);
        assert_eq!(forecast.remaining(&progress, seconds(1)), Some(seconds(10)));
    }

    #[test]
    fn without_earlier_builds_nothing_is_promised() {
        let nothing = Times {
            phases: BTreeMap::new(),
            finishing: Duration::ZERO,
        };
        for forecast in [Forecast::of(&[]), Forecast::of(&[nothing])] {
            let mut progress = Progress::default();
            progress.signal(seconds(1), &Signal::Phase(Phase::Packages));
            assert_eq!(forecast.percent(&progress), progress.percent());
            assert_eq!(forecast.remaining(&progress, seconds(1)), None);
        }
    }
}
