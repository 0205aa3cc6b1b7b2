//! The builds there were, kept in the state directory: how each ended, how long its parts took, and where its images
//! went. For estimates, for `ozr history` and for finding what a build's name means. What is missing or broken there
//! is as if there had been no build.
//!
//! From it: how far an install is, and how long it will go on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::plan::Plan;
use crate::hex;
use crate::host::Accel;
use crate::input::Identity;
use crate::state::OwnedDir;
use crate::state::lock_file::LockFile;
use crate::watch::phases::Phase;
use crate::watch::progress::Progress;
use crate::watch::verdict::to_the_millisecond;

/// Name of the directory in the state directory.
const DIRECTORY: &str = "history";

/// How many builds of a kind are kept: more than three months of nights.
const KEPT: usize = 100;

/// Of how many good builds a median is taken: enough that one strange build does not move it, few enough
/// to follow a mirror or a machine that has become faster.
const OF_MEDIAN: usize = 5;

/// The largest file that is read; a build takes some two thousand bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Most files that are read to find the builds of a name.
const MAX_FILES: usize = 10_000;

/// The longest time of a part that is believed, in seconds: a month.
const MAX_SECONDS: f64 = 31.0 * 86_400.0;

/// The version of the files; others are ignored.
const SCHEMA: u32 = 2;

/// Held while a file is read and replaced.
const LOCK: &str = "lock";

/// How long it may be held by others: each of them writes one small file.
const LOCK_LIMIT: Duration = Duration::from_secs(10);

/// The verdict on a build that left an image.
pub const GOOD: &str = "good";

/// The earlier builds like one.
#[derive(Debug, Clone)]
pub struct History {
    dir: PathBuf,
    name: String,
    about: About,
}

/// What makes builds alike. The kickstart counts by its file's name, not by its text: it is edited
/// between builds, which changes how long they take by little, while two kickstarts for the same
/// template differ by much.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct About {
    template: String,
    release: String,
    arch: String,
    kickstart: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    schema: u32,
    about: About,
    /// The newest last.
    builds: Vec<Build>,
}

/// A build that has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Build {
    /// What names it.
    pub id: String,
    /// The image's name.
    pub name: String,
    /// When it began (RFC 3339, UTC).
    pub started: String,
    /// When it ended (RFC 3339, UTC).
    pub finished: String,
    /// From its beginning to its end, in seconds.
    pub seconds: f64,
    /// [`GOOD`], or why there is no image: the name of a cause, or of what is at fault.
    pub verdict: String,
    /// The same in a sentence, if it failed.
    pub message: Option<String>,
    /// What ran the guest's CPUs, if it came so far. It changes how long everything takes by a factor.
    pub accelerator: Option<String>,
    /// How long each phase lasted, in seconds.
    pub phases: BTreeMap<Phase, f64>,
    /// From the guest's end to the finished image, in seconds.
    pub finishing: Option<f64>,
    /// Its images.
    pub images: Vec<ImageFile>,
    /// Its manifest.
    pub manifest: Option<PathBuf>,
    /// A digest of the secrets that it was given, with its id for a salt; none if it was given none.
    #[serde(default)]
    pub secrets: Option<String>,
}

/// An image that a build left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFile {
    /// Where.
    pub path: PathBuf,
    /// Its length in bytes.
    pub size: u64,
    /// What shows that it was written to since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
}

impl ImageFile {
    /// The one at `path`, if it is there.
    pub fn at(path: &Path) -> Option<ImageFile> {
        let there = path.metadata().ok()?;
        Some(ImageFile {
            path: path.to_owned(),
            size: there.len(),
            identity: Some(Identity::of(&there)),
        })
    }
}

impl History {
    /// That of builds like `plan`, in the state directory `state`.
    pub fn of(plan: &Plan, state: &Path) -> History {
        let kickstart = Path::new(&plan.answers.name);
        let kickstart = kickstart.file_name().unwrap_or(kickstart.as_os_str());
        let about = About {
            template: plan.template.name.clone(),
            release: plan.release.to_string(),
            arch: plan.arch.to_string(),
            kickstart: kickstart.to_string_lossy().into_owned(),
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

    /// What the earlier builds let expect of one whose CPUs are run so.
    pub fn forecast(&self, accel: Accel) -> Forecast {
        let builds = self.read();
        Forecast::of(&latest(&builds, Some(&accel.to_string())))
    }

    fn read(&self) -> Vec<Build> {
        let dir = OwnedDir::open(&self.dir);
        match dir.ok().and_then(|dir| document(&dir, &self.name)) {
            Some(document) if document.about == self.about => document.builds,
            _ => Vec::new(),
        }
    }

    /// Adds a build that has just ended.
    ///
    /// # Errors
    /// The state directory cannot be written.
    pub fn add(&self, build: Build) -> anyhow::Result<()> {
        let writing = || -> anyhow::Result<()> {
            let dir = OwnedDir::create(&self.dir, 0o700)?;
            let _lock = LockFile::take_blocking(&dir, LOCK, LOCK_LIMIT)?;
            let mut builds = self.read();
            builds.push(build);
            let surplus = builds.len().saturating_sub(KEPT);
            builds.drain(..surplus);
            let document = Document {
                schema: SCHEMA,
                about: self.about.clone(),
                builds,
            };
            let text = serde_json::to_string_pretty(&document)? + "\n";
            Ok(dir.replace(&self.name, text.as_bytes())?)
        };
        writing().with_context(|| format!("writing {} in {}", self.name, self.dir.display()))
    }
}

fn document(dir: &OwnedDir, name: &str) -> Option<Document> {
    let text = dir.read(name, MAX_BYTES + 1).ok()?;
    if text.len() as u64 > MAX_BYTES {
        return None;
    }
    let mut document: Document = serde_json::from_slice(&text).ok()?;
    document.builds.retain(Build::is_believable);
    (document.schema == SCHEMA).then_some(document)
}

/// Builds that are alike, the newest last.
pub type Alike = Vec<Build>;

/// All builds that are known in the state directory `state`, those that are alike together.
///
/// # Errors
/// The directory cannot be read, or is not ozr's own.
pub fn all(state: &Path) -> anyhow::Result<Vec<Alike>> {
    let path = state.join(DIRECTORY);
    let reading = || format!("reading {}", path.display());
    let opened = crate::state::owned_dir::found(OwnedDir::open(&path));
    let Some(dir) = opened.with_context(reading)? else {
        return Ok(Vec::new());
    };
    let mut names = dir.names().with_context(reading)?;
    names.sort();
    let names = names.iter().filter_map(|name| name.to_str());
    let names = names.filter(|name| name.ends_with(".json")).take(MAX_FILES);
    Ok(names
        .filter_map(|name| Some(document(&dir, name)?.builds))
        .collect())
}

/// The build of this id, if it is known in the state directory `state`.
pub fn find(state: &Path, id: &str) -> Option<Build> {
    let mut builds = all(state).ok()?.into_iter().flatten();
    builds.find(|build| build.id == id)
}

/// The times of the newest good builds.
fn latest(builds: &[Build], accelerator: Option<&str>) -> Vec<Times> {
    let alike = builds.iter().rev();
    let alike = alike.filter(|build| build.accelerator.as_deref() == accelerator);
    alike.filter_map(Build::times).take(OF_MEDIAN).collect()
}

/// How long each phase of builds like the last of `builds` takes: the medians of the good ones before it. None where
/// there are too few to tell.
pub fn medians(builds: &[Build]) -> Option<BTreeMap<Phase, Duration>> {
    /// Of fewer the one in the middle says little.
    const FEWEST: usize = 3;
    let (last, before) = builds.split_last()?;
    let times = latest(before, last.accelerator.as_deref());
    let Forecast(Some(times)) = (times.len() >= FEWEST).then(|| Forecast::of(&times))? else {
        return None;
    };
    Some(times.phases)
}

impl Build {
    /// Whether it left an image.
    pub fn is_good(&self) -> bool {
        self.verdict == GOOD
    }

    /// What is written down of how long its parts took.
    pub fn set_times(&mut self, times: &Times) {
        let part = |(phase, lasted): (&Phase, &Duration)| (*phase, to_the_millisecond(*lasted));
        self.phases = times.phases.iter().map(part).collect();
        self.finishing = Some(to_the_millisecond(times.finishing));
    }

    fn is_believable(&self) -> bool {
        let all = self.phases.values().chain(&self.finishing);
        all.chain([&self.seconds])
            .all(|seconds| (0.0..=MAX_SECONDS).contains(seconds))
    }

    /// None if it did not come to its end.
    fn times(&self) -> Option<Times> {
        if !self.is_good() || !self.is_believable() {
            return None;
        }
        let span = |(phase, seconds): (&Phase, &f64)| (*phase, Duration::from_secs_f64(*seconds));
        Some(Times {
            phases: self.phases.iter().map(span).collect(),
            finishing: Duration::from_secs_f64(self.finishing?),
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

/// A build in which nothing is absent, for tests.
#[cfg(test)]
pub fn sample() -> Build {
    Build {
        id: "0123456789abcdef".to_owned(),
        name: "web".to_owned(),
        started: "2026-11-30T02:10:00Z".to_owned(),
        finished: "2026-11-30T02:20:00Z".to_owned(),
        seconds: 600.0,
        verdict: GOOD.to_owned(),
        message: Some("m".to_owned()),
        accelerator: Some("kvm".to_owned()),
        phases: [(Phase::Packages, 60.0)].into(),
        finishing: Some(1.5),
        images: vec![ImageFile {
            path: "/srv/web.qcow2".into(),
            size: 1,
            identity: None,
        }],
        manifest: Some("/srv/web.manifest.json".into()),
        secrets: None,
    }
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
        }
    }

    fn build(seconds: u64) -> Build {
        let mut build = sample();
        build.set_times(&Times {
            phases: [(Phase::Packages, Duration::from_secs(seconds))].into(),
            finishing: Duration::from_millis(1_500),
        });
        build
    }

    fn remaining(history: &History) -> Option<Duration> {
        let progress = Progress::default();
        let forecast = history.forecast(Accel::Kvm);
        forecast.remaining(&progress, Duration::ZERO)
    }

    #[test]
    fn the_newest_builds_of_the_same_kind_are_kept() {
        let state = tempfile::tempdir().unwrap();
        let history = History::at(state.path(), about("web.ks"));
        assert_eq!(remaining(&history), None);
        for seconds in [900, 800, 60, 70, 80, 90, 100] {
            history.add(build(seconds)).unwrap();
        }
        assert_eq!(remaining(&history), Some(Duration::from_millis(81_500)));
        // Those that failed, and those of another accelerator, take another time.
        for odd in [
            Build {
                verdict: "disk-full".to_owned(),
                ..build(1)
            },
            Build {
                accelerator: Some("tcg".to_owned()),
                ..build(5000)
            },
        ] {
            history.add(odd).unwrap();
        }
        assert_eq!(remaining(&history), Some(Duration::from_millis(81_500)));
        assert_eq!(history.read().len(), 9);
        let other = History::at(state.path(), about("db.ks"));
        assert_eq!(remaining(&other), None);
        for _ in 0..KEPT + 3 {
            other.add(build(7)).unwrap();
        }
        let all = all(state.path()).unwrap();
        let mut counts: Vec<usize> = all.iter().map(Vec::len).collect();
        counts.sort_unstable();
        assert_eq!(counts, [9, KEPT]);
        let files = std::fs::read_dir(state.path().join(DIRECTORY)).unwrap();
        assert_eq!(files.count(), 3, "nothing is left aside but the lock");
        let nothing = tempfile::tempdir().unwrap();
        assert!(super::all(nothing.path()).unwrap().is_empty());
    }

    #[test]
    fn what_is_broken_is_ignored_and_replaced() {
        let state = tempfile::tempdir().unwrap();
        let history = History::at(state.path(), about("web.ks"));
        history.add(build(60)).unwrap();
        let good = std::fs::read_to_string(history.dir.join(&history.name)).unwrap();
        for broken in [
            String::new(),
            "{".to_owned(),
            "[]".to_owned(),
            good[..good.len() / 2].to_owned(),
            good.replace("\"schema\": 2", "\"schema\": 3"),
            good.replace("60.0", "-1.0"),
            good.replace("60.0", "1e300"),
            good.replace("\"packages\"", "\"sleeping\""),
            good.replace("web.ks", "other.ks"),
            " ".repeat(MAX_BYTES as usize + 1),
        ] {
            std::fs::write(history.dir.join(&history.name), &broken).unwrap();
            assert_eq!(remaining(&history), None, "{broken:.200}");
            history.add(build(30)).unwrap();
            assert_eq!(remaining(&history), Some(Duration::from_millis(31_500)));
        }
    }

    #[test]
    fn of_builds_that_end_at_once_none_is_forgotten() {
        let state = tempfile::tempdir().unwrap();
        let history = History::at(state.path(), about("web.ks"));
        std::thread::scope(|scope| {
            for number in 0..8 {
                let history = &history;
                scope.spawn(move || history.add(build(number)).unwrap());
            }
        });
        assert_eq!(history.read().len(), 8);
    }

    #[test]
    fn a_median_is_of_several_good_builds_before() {
        let of = |all: &[u64]| {
            let builds: Vec<Build> = all.iter().map(|seconds| build(*seconds)).collect();
            medians(&builds).map(|medians| medians[&Phase::Packages].as_secs())
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[10, 10, 90]), None);
        assert_eq!(of(&[10, 12, 900, 90]), Some(12));
        assert_eq!(of(&[500, 10, 10, 10, 10, 10, 90]), Some(10));
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
