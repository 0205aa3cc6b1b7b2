//! Trials: what the installer says of one kickstart after another, in one place.

use super::attempt;
use super::place::Place;
use super::plan::Plan;
use super::remarks::Remarks;
use super::run::{Cancellation, Finished, tell_begun};
use crate::ui::event::Reporter;

/// Tries one kickstart, on a fresh disk: nothing of it is left but, of one that failed, what explains it.
///
/// # Errors
/// Whatever ended it: what `ozr install` says of the same kickstart.
pub async fn run(
    plan: &Plan,
    place: &Place,
    remarks: &Remarks,
    stop: &Cancellation,
    reporter: &Reporter,
) -> anyhow::Result<Finished> {
    tell_begun(plan, place, reporter);
    let tried = attempt::run(plan, place, remarks, stop, reporter).await;
    if !plan.options.keep || tried.is_ok() {
        place.work.empty()?;
    }
    tried
}
