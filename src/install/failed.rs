//! The end of an attempt that failed: what is shown and kept of it, and what is left running.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::attempt::Attempt;
use super::evidence::{self, Gathered};
use crate::blocking;
use crate::error::{Classify, Kind, kind_of};
use crate::host::Guest;
use crate::image::{installed, reader};
use crate::process::quote;
use crate::ui::event::Event;
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

/// An install that failed once a guest was to run.
#[derive(Debug, thiserror::Error)]
#[error("{sentence}")]
pub struct InstallFailed {
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
            sentence: verdict.sentence.clone(),
            verdict: Box::new(verdict),
            phases: Vec::new(),
            kept: None,
        };
        failed.with_kind(kind)
    }

    fn with_kind(self, kind: Kind) -> anyhow::Error {
        let error: Result<Infallible, _> = Err(self);
        let Err(error) = error.kind(kind);
        error
    }
}

impl Attempt<'_> {
    /// What to say of an attempt of which there is nothing to judge: libvirt or QEMU failed.
    ///
    /// # Errors
    /// An error that is neither's, as it is.
    pub(super) fn verdict_of(&self, error: anyhow::Error) -> anyhow::Result<Verdict> {
        if kind_of(&error).unwrap_or(Kind::Host) != Kind::Host {
            return Err(error);
        }
        let words = self.handover.secrets.hide(&format!("{error:#}"));
        Ok(Verdict::of_the_hypervisor(&words))
    }

    /// Ends the attempt: shows and keeps what explains it, and leaves the guest only to a user who
    /// asked for it. The error that says why. `verdict` holds no secrets.
    pub(super) async fn fail(&self, mut verdict: Verdict) -> anyhow::Error {
        let reporter = self.reporter;
        // Whoever interrupts a build knows why it ends.
        if verdict.cause != Cause::Interrupted && !verdict.console.is_empty() {
            reporter.note("the last lines of the console:");
            for line in &verdict.console {
                reporter.event(Event::Evidence(line.clone()));
            }
        }
        let screenshot = self.screenshot().await;
        self.save_qemu_log(&mut verdict);
        if verdict.full_disk == Some(FullDisk::Host) && !self.plan.options.keep {
            self.make_room().await;
        }
        let gathered = tokio::task::block_in_place(|| self.gather(&verdict, screenshot));
        self.end_guest().await;
        let kept = match gathered {
            Ok(gathered) => {
                self.add_disk_logs(&gathered).await;
                let place = self.place;
                gathered.publish(place.work.dir(), &self.plan.output, &place.id)
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
            sentence,
            verdict: Box::new(verdict),
            phases: self.phases().to_vec(),
            kept: kept.ok(),
        };
        failed.with_kind(kind)
    }

    /// What explains a full file system needs room there, which the unfinished disk has taken.
    async fn make_room(&self) {
        self.end_guest().await;
        // It is removed with the work directory otherwise.
        for disk in &self.prepared.disks {
            let _ = disk.set_len(0);
        }
    }

    /// The guest's screen, if it still has one.
    async fn screenshot(&self) -> Option<Vec<u8>> {
        let guest = self.guest.as_ref().filter(|_| self.still_runs)?.observer();
        blocking::within_async(SCREENSHOT_PATIENCE, move || guest.screenshot().ok()).await?
    }

    /// Only the embedded driver's log is where we can read it.
    fn save_qemu_log(&self, verdict: &mut Verdict) {
        let log = self.prepared.host.qemu_log(&self.spec.name);
        let Some(Ok(log)) = log.map(std::fs::read) else {
            return;
        };
        let text = self.handover.secrets.hide(&String::from_utf8_lossy(&log));
        verdict.add_qemu_log(&text);
        let work = self.place.work.dir();
        if let Err(error) = work.replace(evidence::QEMU_LOG, text.as_bytes()) {
            self.missing(&error.into());
        }
    }

    /// Gathers what there is. Whatever part cannot be had, the others are.
    fn gather(&self, verdict: &Verdict, screenshot: Option<Vec<u8>>) -> anyhow::Result<Gathered> {
        let secrets = &self.handover.secrets;
        let gathered = Gathered::from(self.place.work.dir(), secrets, &mut |error| {
            self.missing(&error);
        })?;
        let versions = self.versions_json().map(|text| secrets.hide(&text));
        let texts = [
            (evidence::VERDICT, Ok(report::text(verdict))),
            (evidence::VERDICT_JSON, report::json(verdict)),
            (evidence::TIMINGS, self.timings_json()),
            (evidence::VERSIONS, versions),
        ];
        let texts = texts.map(|(name, text)| text.and_then(|text| gathered.add(name, text)));
        let picture = screenshot.map_or(Ok(()), |png| gathered.add(evidence::SCREENSHOT, png));
        for result in texts.into_iter().chain([picture]) {
            if let Err(error) = result {
                self.missing(&error);
            }
        }
        Ok(gathered)
    }

    /// What the installer has left on the disk, if the guest came so far and is gone.
    async fn add_disk_logs(&self, gathered: &Gathered) {
        let storing = |time: &PhaseTime| time.phase >= Phase::Configuring;
        let stays = self.plan.options.keep && self.still_runs;
        let mut disks = self.prepared.disks.iter();
        let emptied = disks.all(|disk| disk.metadata().is_ok_and(|disk| disk.len() == 0));
        if stays || emptied || !self.phases().iter().any(storing) {
            return;
        }
        if let Err(error) = self.fetch_disks(&self.spec).await {
            if !self.cancellation.is_wanted() {
                self.missing(&error);
            }
            return;
        }
        let program = Path::new(reader::OWN_PROGRAM);
        let Ok(keys) = self.open_disks().await else {
            return;
        };
        let added = match installed::logs(program, &self.prepared.disks, &keys).await {
            Ok(logs) => gathered.add_logs(&logs, &self.handover.secrets),
            Err(error) => Err(error),
        };
        if let Err(error) = added {
            self.missing(&error);
        }
    }

    async fn end_guest(&self) {
        if self.plan.options.keep {
            let left = self.guest.as_ref().filter(|_| self.still_runs);
            if let Some(guest) = left {
                guest.leave();
            }
            let reporter = self.reporter;
            for note in self.notes_of_keeping(left) {
                reporter.note(note);
            }
            self.prepared.host.keep_files();
            if let Err(error) = self.place.keep() {
                reporter.warn(format!("nothing could be kept: {error:#}"));
            }
            return;
        }
        let Some(guest) = &self.guest else {
            return;
        };
        if let Err(error) = tokio::task::block_in_place(|| guest.destroy()) {
            self.reporter.warn(format!(
                "the guest could not be ended: {error:#}; the next build does it, or `ozr gc`"
            ));
        }
        // Until QEMU is gone, libvirt writes into the directories that we are about to remove.
        let _ = tokio::time::timeout(END_PATIENCE, guest.finished()).await;
    }

    fn missing(&self, error: &anyhow::Error) {
        self.reporter.warn(format!(
            "a part of what explains the failure is missing: {error:#}"
        ));
    }

    /// What `--keep` has left, and how to reach and to remove it: one sentence each. `guest` still runs.
    fn notes_of_keeping(&self, guest: Option<&Arc<Guest>>) -> Vec<String> {
        let host = &self.prepared.host;
        let files = quote(&self.place.work.path().to_string_lossy());
        let removal = "`ozr gc --kept` removes it all".to_owned();
        let Some(guest) = guest else {
            return vec![format!("the guest's files were left in {files}"), removal];
        };
        let name = guest.name();
        let virsh = format!("virsh -c '{}'", host.uri());
        let sockets = guest.sockets();
        let console = match &sockets.console {
            // `virsh console` of libvirt 9.0 knows pseudo terminals only.
            Some(socket) => format!(
                "socat -,rawer,escape=0x1d UNIX-CONNECT:{}",
                quote(&socket.to_string_lossy())
            ),
            None => format!("{virsh} console {name}"),
        };
        let screen = match &sockets.screen {
            Some(socket) => format!("vncviewer {}", quote(&socket.to_string_lossy())),
            None => format!("virt-viewer -c '{}' {name}", host.uri()),
        };
        vec![
            format!("the guest was left running; its files are in {files}"),
            format!("its console: `{console}` (Ctrl-] ends it)"),
            format!("its screen: `{screen}`, or as a picture `{virsh} screenshot {name}`"),
            removal,
        ]
    }
}
