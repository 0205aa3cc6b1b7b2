//! A build: a place for it, and attempts until one succeeds.

use std::path::PathBuf;

use super::cancel::Cancellation;
use super::place::Place;
use super::plan::Plan;
use super::{attempt, retry};
use crate::ui::event::{BuildStarted, Event, Reporter};
use crate::watch::progress::PhaseTime;

/// A finished build.
#[derive(Debug)]
pub struct Finished {
    /// The image.
    pub image: PathBuf,
    /// How long each phase of the install took.
    pub phases: Vec<PhaseTime>,
}

/// Builds. Dropping the future ends the build, too: its guest is destroyed, everything unfinished
/// is removed; only a verdict is not left then.
///
/// # Errors
/// Whatever ended the build, with its kind; what is unfinished is removed, and what explains a
/// failed install is kept in `NAME.failed/`.
pub async fn run(
    plan: &Plan,
    stop: &Cancellation,
    reporter: &Reporter,
) -> anyhow::Result<Finished> {
    let place = tokio::task::block_in_place(|| Place::take(plan, reporter))?;
    reporter.event(Event::BuildStarted(BuildStarted {
        name: plan.name.clone(),
        release: plan.release.to_string(),
        id: place.id.clone(),
    }));
    let attempts = plan.retries.saturating_add(1);
    for number in 1.. {
        place.live.attempt(number);
        let error = match attempt::run(plan, &place, stop, reporter).await {
            Ok(finished) => return Ok(finished),
            Err(error) => error,
        };
        if number >= attempts || stop.is_wanted() || !retry::may_help(&error) {
            return Err(error);
        }
        retry::wait(&format!("{error:#}"), number, attempts, stop, reporter).await?;
        place.work.empty()?;
    }
    unreachable!("the last attempt returns")
}
