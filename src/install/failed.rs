//! The end of an attempt that failed: what is shown and kept of it, and what is left running.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::evidence::{self, Gathered};
use super::handover::Handover;
use super::kept;
use super::place::Place;
use super::plan::Plan;
use super::prepare::Prepared;
use super::supervise::Supervised;
use super::timings::Timings;
use super::versions;
use crate::error::{Classify, Kind, kind_of};
use crate::host::{self, Guest, Versions};
use crate::image::installed;
use crate::ui::event::{Event, Reporter};
use crate::watch::cause::Cause;
use crate::watch::phases::Phase;
use crate::watch::progress::PhaseTime;
use crate::watch::report;
use crate::watch::verdict::{FullDisk, Verdict};

/// How long a guest of a failed build may take to be gone, after it was ended. QEMU gives its
/// memory back to the kernel, gigabytes perhaps.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// How long a picture of the screen may take. QEMU needs some tens of milliseconds; a libvirt that
/// hangs must not keep the verdict from the user.
const SCREENSHOT_PATIENCE: Duration = Duration::from_secs(1);

/// How long the search for the installer's logs on the guest's disk may take: a fraction of a
/// second, unless the disk is slow. They are worth no more.
const DISK_PATIENCE: Duration = Duration::from_secs(1);

/// An install that failed once a guest was to run.
#[derive(Debug, thiserror::Error)]
#[error("{sentence}")]
pub struct InstallFailed {
    /// Why.
    pub cause: Cause,
    /// One sentence: what failed and what to do.
    sentence: String,
    /// The judgement.
    pub verdict: Box<Verdict>,
    /// How long each phase took.
    pub phases: Vec<PhaseTime>,
    /// Where what explains it is kept.
    pub kept: Option<PathBuf>,
}

impl InstallFailed {
    /// The error of an install that failed of this, and of which nothing is kept.
    pub fn of(verdict: Verdict, kind: Kind) -> anyhow::Error {
        let failed = InstallFailed {
            cause: verdict.cause,
            sentence: verdict.sentence.clone(),
            verdict: Box::new(verdict),
            phases: Vec::new(),
            kept: None,
        };
        failed.with_kind(kind)
    }

    fn with_kind(self, kind: Kind) -> anyhow::Error {
        match Err::<(), _>(self).kind(kind) {
            Err(error) => error,
            Ok(()) => unreachable!("an error stays one"),
        }
    }
}

/// What is there at the end.
#[derive(Debug)]
pub struct End<'a> {
    /// What was built.
    pub plan: &'a Plan,
    /// Where.
    pub place: &'a Place,
    /// On what.
    pub ground: &'a Prepared,
    /// What the guest was handed.
    pub handover: &'a Handover,
    /// How long it took to get so far.
    pub timings: &'a Timings,
    /// The guest, if there was one.
    pub guest: Option<&'a Arc<Guest>>,
    /// Whether it still runs.
    pub still_runs: bool,
    /// The versions of libvirt and QEMU, if they could be asked.
    pub hypervisor: Option<&'a Versions>,
    /// How it went, if it was followed to its end.
    pub supervised: Option<&'a Supervised>,
}

impl End<'_> {
    /// Ends an attempt of which there is nothing to judge: libvirt or QEMU failed. An error that
    /// is neither's is handed back as it is.
    pub async fn of(self, error: anyhow::Error, reporter: &Reporter) -> anyhow::Error {
        let kind = kind_of(&error).unwrap_or(Kind::Host);
        if kind != Kind::Host {
            return error;
        }
        let words = self.handover.secrets.hide(&format!("{error:#}"));
        self.with(Verdict::of_the_hypervisor(&words), reporter)
            .await
    }

    /// Ends the attempt: shows and keeps what explains it, and leaves the guest only to a user who
    /// asked for it. The error that says why. `verdict` holds no secrets.
    pub async fn with(self, mut verdict: Verdict, reporter: &Reporter) -> anyhow::Error {
        if !verdict.console.is_empty() {
            reporter.note("the last lines of the console:");
        }
        for line in &verdict.console {
            reporter.event(Event::Evidence(line.clone()));
        }
        let screenshot = self.screenshot().await;
        self.save_qemu_log(&mut verdict, reporter);
        if verdict.full_disk == Some(FullDisk::Host) && !self.plan.options.keep {
            self.make_room(reporter).await;
        }
        let gathered = tokio::task::block_in_place(|| self.gather(&verdict, screenshot, reporter));
        self.end_guest(reporter).await;
        let kept = match gathered {
            Ok(gathered) => {
                self.add_disk_logs(&gathered, reporter).await;
                gathered.publish(&self.plan.output)
            }
            Err(error) => Err(error),
        };
        let sentence = &verdict.sentence;
        let sentence = match &kept {
            Ok(kept) => format!("{sentence} (what explains it is in {})", kept.display()),
            Err(error) => format!("{sentence} (what explains it could not be kept: {error:#})"),
        };
        let kind = verdict.kind();
        let failed = InstallFailed {
            cause: verdict.cause,
            sentence,
            verdict: Box::new(verdict),
            phases: self.phases().to_vec(),
            kept: kept.ok(),
        };
        failed.with_kind(kind)
    }

    fn phases(&self) -> &[PhaseTime] {
        self.supervised.map_or(&[], |supervised| &supervised.phases)
    }

    /// What explains a full file system needs room there, which the unfinished disk has taken.
    async fn make_room(&self, reporter: &Reporter) {
        self.end_guest(reporter).await;
        // It is removed with the work directory otherwise.
        let _ = std::fs::remove_file(&self.ground.disk);
    }

    /// The guest's screen, if it still has one.
    async fn screenshot(&self) -> Option<Vec<u8>> {
        let guest = Arc::clone(self.guest.filter(|_| self.still_runs)?);
        let (sender, picture) = oneshot::channel();
        // A thread that nobody waits for, not even the end of the process.
        std::thread::spawn(move || sender.send(guest.screenshot().ok()).ok());
        let picture = tokio::time::timeout(SCREENSHOT_PATIENCE, picture).await;
        picture.ok()?.ok()?
    }

    /// Only the embedded driver's log is where we can read it.
    fn save_qemu_log(&self, verdict: &mut Verdict, reporter: &Reporter) {
        let log = self
            .ground
            .host
            .qemu_log(&host::domain_name(&self.plan.name));
        let Some(Ok(log)) = log.map(std::fs::read) else {
            return;
        };
        let text = self.handover.secrets.hide(&String::from_utf8_lossy(&log));
        verdict.add_qemu_log(&text);
        let kept = evidence::write_private(&self.place.work.join(evidence::QEMU_LOG), &text);
        if let Err(error) = kept {
            missing(reporter, &error);
        }
    }

    /// Gathers what there is. Whatever part cannot be had, the others are.
    fn gather(
        &self,
        verdict: &Verdict,
        screenshot: Option<Vec<u8>>,
        reporter: &Reporter,
    ) -> anyhow::Result<Gathered> {
        let secrets = &self.handover.secrets;
        let gathered = Gathered::from(&self.place.work, secrets, &mut |error| {
            missing(reporter, &error);
        })?;
        let versions = versions::json(
            self.plan,
            &self.ground.tree,
            self.ground.accel,
            self.hypervisor,
            self.supervised.and_then(|s| s.installer.as_ref()),
        );
        let texts = [
            (evidence::VERDICT, Ok(report::text(verdict))),
            (evidence::VERDICT_JSON, report::json(verdict)),
            (evidence::TIMINGS, self.timings.json(self.phases())),
            (evidence::VERSIONS, versions.map(|text| secrets.hide(&text))),
        ];
        let texts = texts.map(|(name, text)| text.and_then(|text| gathered.add(name, text)));
        let picture = screenshot.map_or(Ok(()), |png| gathered.add(evidence::SCREENSHOT, png));
        for result in texts.into_iter().chain([picture]) {
            if let Err(error) = result {
                missing(reporter, &error);
            }
        }
        Ok(gathered)
    }

    /// What the installer has left on the disk, if the guest came so far and is gone.
    async fn add_disk_logs(&self, gathered: &Gathered, reporter: &Reporter) {
        let storing = |time: &PhaseTime| time.phase >= Phase::Configuring;
        let stays = self.plan.options.keep && self.still_runs;
        if stays || !self.ground.disk.exists() || !self.phases().iter().any(storing) {
            return;
        }
        let disk = self.ground.disk.clone();
        let (sender, logs) = oneshot::channel();
        std::thread::spawn(move || sender.send(installed::logs(&disk)).ok());
        let added = match tokio::time::timeout(DISK_PATIENCE, logs).await {
            Ok(Ok(logs)) => logs.and_then(|logs| gathered.add_logs(&logs, &self.handover.secrets)),
            // It takes too long.
            _ => Ok(()),
        };
        if let Err(error) = added {
            missing(reporter, &error);
        }
    }

    async fn end_guest(&self, reporter: &Reporter) {
        if self.plan.options.keep {
            let left = self.guest.filter(|_| self.still_runs);
            if let Some(guest) = left {
                guest.leave();
            }
            for note in kept::notes(self.plan, self.place, &self.ground.host, left) {
                reporter.note(note);
            }
            if let Err(error) = self.place.keep() {
                reporter.warn(format!("nothing could be kept: {error:#}"));
            }
            return;
        }
        let Some(guest) = self.guest else {
            return;
        };
        if let Err(error) = tokio::task::block_in_place(|| guest.destroy()) {
            reporter.warn(format!(
                "the guest could not be ended: {error:#}; the next build does it, or `ozr gc`"
            ));
        }
        // Until QEMU is gone, libvirt writes into the directories that we are about to remove.
        let _ = tokio::time::timeout(END_PATIENCE, guest.finished()).await;
    }
}

fn missing(reporter: &Reporter, error: &anyhow::Error) {
    reporter.warn(format!(
        "a part of what explains the failure is missing: {error:#}"
    ));
}
