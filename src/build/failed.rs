//! The end of an attempt that failed: what is shown and kept of it, and what is left running.

use std::path::PathBuf;
use std::time::Duration;

use super::evidence;
use super::offer::Offer;
use super::place::Place;
use super::plan::Plan;
use super::prepare::DISK;
use crate::error::{Classify, Kind};
use crate::host::{self, Guest, Host};
use crate::ui::event::{Event, Reporter};
use crate::watch::cause::Cause;
use crate::watch::report;
use crate::watch::verdict::{FullDisk, Verdict};

/// How long a guest of a failed build may take to be gone, after it was ended. QEMU gives its
/// memory back to the kernel, gigabytes perhaps.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// An install that failed once a guest was to run.
#[derive(Debug, thiserror::Error)]
#[error("{sentence}")]
pub struct InstallFailed {
    /// Why.
    pub cause: Cause,
    /// One sentence: what failed and what to do.
    sentence: String,
    /// The judgement, if there was something to judge.
    pub verdict: Option<Box<Verdict>>,
    /// Where what explains it is kept.
    pub kept: Option<PathBuf>,
}

impl InstallFailed {
    /// The guest could not be started.
    pub fn to_start(error: &anyhow::Error) -> anyhow::Error {
        let failed = InstallFailed {
            cause: Cause::HypervisorFailed,
            sentence: format!("{error:#}"),
            verdict: None,
            kept: None,
        };
        let kind = crate::error::kind_of(error).unwrap_or(Kind::Host);
        with_kind(failed, kind)
    }
}

fn with_kind(failed: InstallFailed, kind: Kind) -> anyhow::Error {
    match Err::<(), _>(failed).kind(kind) {
        Err(error) => error,
        Ok(()) => unreachable!("an error stays one"),
    }
}

/// What is there at the end.
#[derive(Debug)]
pub struct End<'a> {
    /// What was built.
    pub plan: &'a Plan,
    /// Where.
    pub place: &'a Place,
    /// By whom.
    pub host: &'a Host,
    /// What the guest was handed.
    pub offer: &'a Offer,
    /// The guest.
    pub guest: &'a Guest,
    /// Whether it still runs.
    pub still_runs: bool,
}

/// Gives back the room that the guest's disk takes: what explains that there was none needs some.
async fn make_room(place: &Place, guest: &Guest) {
    // Whether it can be ended is looked at later; a disk that is left goes with its directory.
    if tokio::task::block_in_place(|| guest.destroy()).is_ok() {
        let _ = tokio::time::timeout(END_PATIENCE, guest.finished()).await;
        let _ = std::fs::remove_file(place.work.join(DISK));
    }
}

impl End<'_> {
    /// Ends the attempt: shows and keeps what explains it, and leaves the guest only to a user who
    /// asked for it. The error that says why.
    pub async fn with(self, mut verdict: Verdict, reporter: &Reporter) -> anyhow::Error {
        let End {
            plan,
            place,
            host,
            offer,
            guest,
            still_runs,
        } = self;
        for line in &verdict.console {
            reporter.event(Event::Evidence(line.clone()));
        }
        // Only the embedded driver's log is where we can read it.
        if let Some(log) = guest.qemu_log()
            && let Ok(log) = std::fs::read(log)
        {
            let text = offer.secrets.hide(&String::from_utf8_lossy(&log));
            verdict.add_qemu_log(&text);
            let kept = evidence::write_private(&place.work.join(evidence::QEMU_LOG), &text);
            if let Err(error) = kept {
                reporter.warn(format!("QEMU's log could not be kept: {error:#}"));
            }
        }
        if verdict.full_disk == Some(FullDisk::Host) && !plan.request.options.keep {
            make_room(place, guest).await;
        }
        let kept = report::json(&verdict).and_then(|json| {
            let verdict = [
                (evidence::VERDICT_JSON, json),
                (evidence::VERDICT, report::text(&verdict)),
            ];
            evidence::keep(&place.work, &plan.output, &verdict)
        });
        let sentence = &verdict.sentence;
        if plan.request.options.keep {
            let files = place.work.path().display();
            reporter.note(if still_runs {
                guest.leave();
                format!(
                    "the guest was left running: `virsh -c '{}' console {}`; its files are in {files}",
                    host.uri(),
                    host::domain_name(&plan.name)
                )
            } else {
                format!("the guest's files were left in {files}")
            });
            if let Err(error) = place.keep() {
                reporter.warn(format!("nothing could be kept: {error:#}"));
            }
        } else {
            if let Err(error) = tokio::task::block_in_place(|| guest.destroy()) {
                reporter.warn(format!(
                    "the guest could not be ended: {error:#}; the next build does it, or `ozr gc`"
                ));
            }
            // Until QEMU is gone, libvirt writes into the directories that we are about to remove.
            let _ = tokio::time::timeout(END_PATIENCE, guest.finished()).await;
        }
        let sentence = match &kept {
            Ok(kept) => format!("{sentence} (what explains it is in {})", kept.display()),
            Err(error) => format!("{sentence} (what explains it could not be kept: {error:#})"),
        };
        let kind = verdict.kind();
        let failed = InstallFailed {
            cause: verdict.cause,
            sentence,
            verdict: Some(Box::new(verdict)),
            kept: kept.ok(),
        };
        with_kind(failed, kind)
    }
}
