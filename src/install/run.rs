//! A build: a place for it, and attempts until one succeeds or no further one would help; and the
//! wish to stop it, made by a signal and heard wherever the build waits.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

use super::attempt;
use super::failed::InstallFailed;
use super::fingerprint::secrets;
use super::history::{Build, GOOD, History, ImageFile, Times};
use super::place::{Claim, Place};
use super::plan::Plan;
use super::remarks::Remarks;
use crate::error::{Kind, failed, inner_of, kind_of};
use crate::host::Accel;
use crate::image::manifest::timestamp;
use crate::state::runtime_dir::RuntimeDir;
use crate::ui::event::{Event, Reporter};
use crate::watch::progress::PhaseTime;
use crate::watch::verdict::to_the_millisecond;

/// A finished build.
#[derive(Debug, Default)]
pub struct Finished {
    /// The images, the first of the formats first.
    pub images: Vec<PathBuf>,
    /// How long each phase of the install took.
    pub phases: Vec<PhaseTime>,
    /// What ran the guest's CPUs, and how long its parts took.
    pub took: Option<(Accel, Times)>,
    /// What is to be told, if that was all that was asked: what would have been done, the packages.
    pub told: Option<String>,
    /// The short-lived directory of a build that made an image, for a further build of this process.
    pub runtime: Option<Arc<RuntimeDir>>,
    /// The image was there, and is what would have come of it.
    pub kept: Option<Kept>,
    /// What went wrong with what the user runs after it.
    pub trouble: Option<anyhow::Error>,
}

/// The build whose image was kept.
#[derive(Debug, Clone)]
pub struct Kept {
    /// What names it.
    pub build_id: String,
    /// When it was done (RFC 3339, UTC).
    pub finished: String,
}

/// Builds, perhaps after an `earlier` build of this process; the manifest has the `remarks` so far, which hear what
/// is reported. Dropping the future ends the build, too: its guest is destroyed, everything unfinished is removed;
/// only a verdict is not left then.
///
/// # Errors
/// Whatever ended the build, with its kind; what is unfinished is removed, and what explains a
/// failed install is kept in `NAME.failed/`.
pub async fn run(
    plan: &Plan,
    earlier: Option<Finished>,
    remarks: &Remarks,
    stop: &Cancellation,
    reporter: &Reporter,
) -> anyhow::Result<Finished> {
    let earlier = earlier.and_then(|build| build.runtime);
    let place = tokio::task::block_in_place(|| Place::take(&Claim::of(plan), earlier, reporter))
        .map_err(|error| stop.explain(error))?;
    tell_begun(plan, &place, reporter);
    let begun = (SystemTime::now(), Instant::now());
    let ended = attempts(plan, &place, remarks, stop, reporter).await;
    if plan.base.is_none() && !plan.dry_run {
        note_down(plan, &place, begun, &ended, reporter);
    }
    ended
}

/// Tells that what a plan says begins in its place.
pub(super) fn tell_begun(plan: &Plan, place: &Place, reporter: &Reporter) {
    reporter.event(Event::BuildStarted {
        name: plan.name.clone(),
        release: plan.release.to_string(),
        id: place.id.clone(),
    });
}

/// Makes attempts until one succeeds, or no further one would help.
async fn attempts(
    plan: &Plan,
    place: &Place,
    remarks: &Remarks,
    stop: &Cancellation,
    reporter: &Reporter,
) -> anyhow::Result<Finished> {
    let attempts = plan.retries.saturating_add(1);
    for number in 1.. {
        place.live.attempt(number);
        let error = match attempt::run(plan, place, remarks, stop, reporter).await {
            Ok(finished) => return Ok(finished),
            Err(error) => error,
        };
        if number >= attempts || stop.is_wanted() || !may_help(&error) {
            return Err(error);
        }
        wait_to_retry(&format!("{error:#}"), number, attempts, stop, reporter).await?;
        place.work.empty()?;
    }
    unreachable!("the last attempt returns")
}

/// Adds the build to the history.
fn note_down(
    plan: &Plan,
    place: &Place,
    begun: (SystemTime, Instant),
    ended: &anyhow::Result<Finished>,
    reporter: &Reporter,
) {
    let mut build = Build {
        id: place.id.clone(),
        name: plan.name.clone(),
        started: timestamp(begun.0),
        finished: timestamp(SystemTime::now()),
        seconds: to_the_millisecond(begun.1.elapsed()),
        verdict: GOOD.to_owned(),
        message: None,
        accelerator: None,
        phases: BTreeMap::new(),
        finishing: None,
        images: Vec::new(),
        manifest: None,
        secrets: secrets(plan, &place.id),
    };
    match ended {
        Ok(finished) => {
            if let Some((accel, times)) = &finished.took {
                build.accelerator = Some(accel.to_string());
                build.set_times(times);
            }
            let images = finished.images.iter();
            build.images = images.filter_map(|path| ImageFile::at(path)).collect();
            build.manifest = Some(plan.output.manifest.clone());
        }
        Err(error) => {
            let failed = inner_of::<InstallFailed>(error);
            build.verdict = match failed {
                Some(failed) => failed.verdict.cause.name(),
                None => kind_of(error).unwrap_or(Kind::Build).name(),
            }
            .to_owned();
            build.message = Some(format!("{error:#}"));
            let phases = failed.iter().flat_map(|failed| &failed.phases);
            let phases = phases.map(|time| (time.phase, to_the_millisecond(time.lasted)));
            build.phases = phases.collect();
        }
    }
    if let Err(error) = History::of(plan, &place.state_dir).add(build) {
        // The image is as good without.
        reporter.detail(format!("the build was not noted: {error:#}"));
    }
}

/// How long to wait before the second attempt; twice as long before each further one. A daemon
/// that restarts is back within seconds, a mirror that is being synchronised takes longer.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// The longest wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// Whether the same build may succeed another time: the cause is not in its input.
pub fn may_help(error: &anyhow::Error) -> bool {
    match inner_of::<InstallFailed>(error) {
        Some(failed) => failed.verdict.cause.retry(),
        None => kind_of(error) == Some(Kind::Mirror),
    }
}

/// Says why attempt `number`, counted from 1, failed, and waits until it is time for the next.
///
/// # Errors
/// Somebody asked to stop.
pub async fn wait_to_retry(
    reason: &str,
    number: u32,
    attempts: u32,
    stop: &Cancellation,
    reporter: &Reporter,
) -> anyhow::Result<()> {
    let pause = pause(number);
    reporter.warn(reason);
    reporter.step(format!(
        "trying again in {} s: attempt {} of {attempts}",
        pause.as_secs(),
        number + 1
    ));
    let sleep = async {
        tokio::time::sleep(pause).await;
        Ok(())
    };
    stop.or(sleep).await
}

/// How long to wait before the attempt after the one of this number, counted from 1.
fn pause(attempt: u32) -> Duration {
    let factor = 2u32.saturating_pow(attempt.saturating_sub(1));
    FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE)
}

/// Asks builds to stop.
#[derive(Debug)]
pub struct Canceller(watch::Sender<Option<&'static str>>);

/// Hears of the wish to stop; cheap to clone.
#[derive(Debug, Clone)]
pub struct Cancellation(watch::Receiver<Option<&'static str>>);

/// A wish that nobody has made yet, and who may make it.
pub fn stop() -> (Canceller, Cancellation) {
    let (sender, receiver) = watch::channel(None);
    (Canceller(sender), Cancellation(receiver))
}

impl Canceller {
    /// Asks to stop; `why` is the signal's name. The first wish stands.
    pub fn stop(&self, why: &'static str) {
        self.0.send_if_modified(|wish| {
            let first = wish.is_none();
            wish.get_or_insert(why);
            first
        });
    }
}

impl Cancellation {
    /// Waits until somebody wants to stop; who (the signal's name). Cancel safe.
    pub async fn wanted(&self) -> &'static str {
        let mut wishes = self.0.clone();
        let wish = wishes.wait_for(Option::is_some).await.map(|wish| *wish);
        match wish {
            Ok(Some(why)) => why,
            // Nobody is left who could want it.
            _ => std::future::pending().await,
        }
    }

    /// Whether somebody wants to stop.
    pub fn is_wanted(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Does `work`, or drops it when somebody wants to stop.
    ///
    /// # Errors
    /// What `work` fails with; [`Kind::Interrupted`].
    pub async fn or<T>(&self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        tokio::select! {
            biased;
            why = self.wanted() => Err(interrupted(why)),
            done = work => done,
        }
    }

    /// The error of work that gave up: that somebody wants to stop, if so.
    pub fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        self.0.borrow().map_or(error, interrupted)
    }
}

/// The error of what was stopped before a guest ran.
pub fn interrupted(why: &str) -> anyhow::Error {
    failed!(
        Kind::Interrupted,
        "interrupted by {why}: everything unfinished is removed"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::failure;
    use crate::watch::verdict::Verdict;

    #[test]
    fn only_what_is_not_in_the_input_is_tried_again() {
        assert!(may_help(&failure(Kind::Mirror, "503")));
        for kind in [Kind::Input, Kind::Host, Kind::Interrupted, Kind::Build] {
            assert!(!may_help(&failure(kind, "x")), "{kind:?}");
        }
        let verdict = Verdict::of_the_hypervisor("libvirt: restarting");
        let start = InstallFailed::of(verdict, Kind::Host);
        assert!(may_help(&start));
        assert_eq!(kind_of(&start), Some(Kind::Host));
        assert_eq!(start.to_string(), "libvirt: restarting");
    }

    #[test]
    fn pauses_grow_to_a_limit() {
        let seconds: Vec<u64> = [1, 2, 3, 5, 6, 40, 400]
            .map(|attempt| pause(attempt).as_secs())
            .to_vec();
        assert_eq!(seconds, [5, 10, 20, 80, 120, 120, 120]);
    }

    #[tokio::test]
    async fn the_first_wish_stands_and_late_listeners_hear_it() {
        let (stopper, stop) = stop();
        assert!(!stop.is_wanted());
        stopper.stop("SIGINT");
        stopper.stop("SIGTERM");
        assert_eq!(stop.wanted().await, "SIGINT");
        assert_eq!(stop.clone().wanted().await, "SIGINT");
        drop(stopper);
        assert_eq!(stop.wanted().await, "SIGINT");
    }
}
