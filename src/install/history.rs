//! How long earlier builds of a template took, kept in the state directory: for estimates only.
//! What is missing or broken there is as if there had been no build. From it: how far an install is, and how long it will
//! go on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::plan::Plan;
use crate::hex;
use crate::host::Accel;
use crate::state::OwnedDir;
use crate::watch::phases::Phase;
use crate::watch::progress::Progress;
use crate::watch::verdict::to_the_millisecond;

/// Name of the directory in the state directory.
const DIRECTORY: &str = "history";

/// How many builds are kept: enough for a median that one strange build does not move, few enough
/// to follow a mirror or a machine that has become faster.
const KEPT: usize = 5;

/// The largest file that is read; five builds take some two thousand bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// The longest time of a part that is believed, in seconds: a month.
const MAX_SECONDS: f64 = 31.0 * 86_400.0;

/// The version of the files; others are ignored.
const SCHEMA: u32 = 1;

/// The earlier builds like one.
#[derive(Debug, Clone)]
pub struct History {
    dir: PathBuf,
    name: String,
    about: About,
}

/// What makes builds alike. The kickstart counts by its file's name, not by its text: it is edited
/// between builds, which changes how long they take by little, while two kickstarts for the same
/// template differ by much. The accelerator changes everything by a factor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct About {
    template: String,
    release: String,
    arch: String,
    kickstart: String,
    accelerator: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    schema: u32,
    about: About,
    /// The newest last.
    builds: Vec<Build>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Build {
    finished: String,
    /// In seconds.
    phases: BTreeMap<Phase, f64>,
    finishing: f64,
}

impl History {
    /// That of builds like `plan`, in the state directory `state`.
    pub fn of(plan: &Plan, accel: Accel, state: &Path) -> History {
        let kickstart = Path::new(&plan.kickstart.name);
        let kickstart = kickstart.file_name().unwrap_or(kickstart.as_os_str());
        let about = About {
            template: plan.template.name.clone(),
            release: plan.release.to_string(),
            arch: plan.arch.to_string(),
            kickstart: kickstart.to_string_lossy().into_owned(),
            accelerator: accel.to_string(),
        };
        History::at(state, about)
    }

    fn at(state: &Path, about: About) -> History {
        // Serialising texts does not fail.
        let key = serde_json::to_vec(&about).unwrap_or_default();
        History {
            dir: state.join(DIRECTORY),
            name: format!("{}.json", &hex::sha256(&key)[..32]),
            about,
        }
    }

    /// What the earlier builds let expect.
    pub fn forecast(&self) -> Forecast {
        let builds: Vec<Times> = self.read().iter().filter_map(Build::times).collect();
        Forecast::of(&builds)
    }

    fn read(&self) -> Vec<Build> {
        let text = OwnedDir::open(&self.dir).and_then(|dir| dir.read(&self.name, MAX_BYTES + 1));
        let text = text.unwrap_or_default();
        if text.len() as u64 > MAX_BYTES {
            return Vec::new();
        }
        match serde_json::from_slice::<Document>(&text) {
            Ok(document) if document.schema == SCHEMA && document.about == self.about => {
                document.builds
            }
            _ => Vec::new(),
        }
    }

    /// Adds a build that has just succeeded. Of two that end at once, one may be forgotten.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub fn add(&self, times: &Times) -> anyhow::Result<()> {
        let mut builds = self.read();
        builds.retain(|build| build.times().is_some());
        builds.push(Build::new(times));
        let surplus = builds.len().saturating_sub(KEPT);
        builds.drain(..surplus);
        let document = Document {
            schema: SCHEMA,
            about: self.about.clone(),
            builds,
        };
        let text = serde_json::to_string_pretty(&document)? + "\n";
        OwnedDir::create(&self.dir, 0o700)
            .and_then(|dir| dir.replace(&self.name, text.as_bytes()))
            .with_context(|| format!("writing {} in {}", self.name, self.dir.display()))
    }
}

impl Build {
    fn new(times: &Times) -> Build {
        let part = |(phase, lasted): (&Phase, &Duration)| (*phase, to_the_millisecond(*lasted));
        Build {
            finished: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            phases: times.phases.iter().map(part).collect(),
            finishing: to_the_millisecond(times.finishing),
        }
    }

    /// None if it makes no sense.
    fn times(&self) -> Option<Times> {
        let span = |seconds: f64| {
            let believable = (0.0..=MAX_SECONDS).contains(&seconds);
            believable.then(|| Duration::from_secs_f64(seconds))
        };
        let part = |(phase, seconds): (&Phase, &f64)| Some((*phase, span(*seconds)?));
        Some(Times {
            phases: self.phases.iter().map(part).collect::<Option<_>>()?,
            finishing: span(self.finishing)?,
        })
    }
}

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
    use crate::watch::progress::Progress;
    use crate::watch::signal::Signal;

    fn about(kickstart: &str) -> About {
        About {
            template: "rocky".to_owned(),
            release: "Rocky Linux 9.4".to_owned(),
            arch: "x86_64".to_owned(),
            kickstart: kickstart.to_owned(),
            accelerator: "kvm".to_owned(),
        }
    }

    fn times(seconds: u64) -> Times {
        Times {
            phases: [(Phase::Packages, Duration::from_secs(seconds))].into(),
            finishing: Duration::from_millis(1_500),
        }
    }

    fn remaining(history: &History) -> Option<Duration> {
        let progress = Progress::default();
        history.forecast().remaining(&progress, Duration::ZERO)
    }

    #[test]
    fn the_newest_builds_of_the_same_kind_are_kept() {
        let state = tempfile::tempdir().unwrap();
        let history = History::at(state.path(), about("web.ks"));
        assert_eq!(remaining(&history), None);
        for seconds in [900, 800, 60, 70, 80, 90, 100] {
            history.add(&times(seconds)).unwrap();
        }
        assert_eq!(remaining(&history), Some(Duration::from_millis(81_500)));
        assert_eq!(history.read().len(), KEPT);
        let other = History::at(state.path(), about("db.ks"));
        assert_eq!(remaining(&other), None);
        let files = std::fs::read_dir(state.path().join(DIRECTORY)).unwrap();
        assert_eq!(files.count(), 1, "nothing is left aside");
    }

    #[test]
    fn what_is_broken_is_ignored_and_replaced() {
        let state = tempfile::tempdir().unwrap();
        let history = History::at(state.path(), about("web.ks"));
        history.add(&times(60)).unwrap();
        let good = std::fs::read_to_string(history.dir.join(&history.name)).unwrap();
        for broken in [
            String::new(),
            "{".to_owned(),
            "[]".to_owned(),
            good[..good.len() / 2].to_owned(),
            good.replace("\"schema\": 1", "\"schema\": 2"),
            good.replace("60.0", "-1.0"),
            good.replace("60.0", "1e300"),
            good.replace("\"packages\"", "\"sleeping\""),
            good.replace("web.ks", "other.ks"),
            " ".repeat(MAX_BYTES as usize + 1),
        ] {
            std::fs::write(history.dir.join(&history.name), &broken).unwrap();
            assert_eq!(remaining(&history), None, "{broken:.200}");
            history.add(&times(30)).unwrap();
            assert_eq!(remaining(&history), Some(Duration::from_millis(31_500)));
        }
    }

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn with_packages(packages: u64, post: u64, finishing: u64) -> Times {
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
        let forecast = Forecast::of(&[
            with_packages(60, 20, 10),
            with_packages(900, 0, 10),
            with_packages(5, 20, 10),
        ]);
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
