//! One attempt at an install: the steps, in order.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use url::Url;

use super::carry;
use super::customize;
use super::documents::Timings;
use super::evidence::{self, Removed};
use super::finish::Sealed;
use super::guest;
use super::handover::Handover;
use super::history::History;
use super::history::Times;
use super::place::Place;
use super::plan::{Aim, Plan};
use super::prepare::Prepared;
use super::record::Recorder;
use super::remarks::Remarks;
use super::run::Cancellation;
use super::run::Finished;
use super::start;
use super::supervise::{Channels, Course, Supervised};
use super::warm::Resumed;
use crate::disk::luks::{Key, Keys};
use crate::error::{Classify, Kind, failed};
use crate::formats::make::{self, Original};
use crate::host::{self, DomainSpec, Guest, Started, Versions};
use crate::image::reader::Image;
use crate::image::set::{self, From};
use crate::image::{disk, installed, keep, reader};
use crate::machine::DiskFormat;
use crate::mirror::shown;
use crate::options::Until;
use crate::packages::origin::Origins;
use crate::state::slots::{Slot, SlotRequest};
use crate::ui::event::Reporter;
use crate::watch::verdict::{Outcome, Verdict};
use crate::watch::witness::Expectations;

/// How long the record of the console may take to be written when the guest has said all. A disk
/// that hangs must not keep the verdict from the user.
const RECORD_PATIENCE: Duration = Duration::from_secs(1);

/// How long QEMU may take to exit once the guest has switched itself off. It flushes its disk: as
/// much as the host's memory holds of it, to a slow or a remote file system.
pub(super) const EXIT_LIMIT: Duration = Duration::from_secs(600);

/// An attempt, and what it has so far.
#[derive(Debug)]
pub struct Attempt<'a> {
    pub(super) plan: &'a Plan,
    pub(super) place: &'a Place,
    /// What was found and remarked so far.
    pub(super) remarks: &'a Remarks,
    pub(super) cancellation: &'a Cancellation,
    pub(super) reporter: &'a Reporter,
    /// What it stands on.
    pub(super) prepared: Prepared,
    /// What the guest is handed.
    pub(super) handover: Handover,
    /// What the guest is.
    pub(super) spec: DomainSpec,
    /// How long it took to get so far.
    pub(super) timings: Timings,
    /// The guest, once there is one.
    pub(super) guest: Option<Arc<Guest>>,
    /// Whether it still runs when the attempt ends.
    pub(super) still_runs: bool,
    /// The versions of libvirt and QEMU, if they could be asked.
    pub(super) hypervisor: Option<Versions>,
    /// How it went, once it was followed to its end.
    pub(super) supervised: Option<Supervised>,
    /// Where the packages are from.
    pub(super) origins: Origins,
    /// What opens the encrypted on the installed disks, once they are installed.
    pub(super) keys: Vec<Key>,
}

/// Makes an image, or tells why there is none. What it made in the build's place is left there;
/// the guest is gone, unless it was to be kept.
///
/// # Errors
/// Whatever ended it, with its kind: an [`InstallFailed`](super::failed::InstallFailed) once a guest was to run.
pub async fn run(
    plan: &Plan,
    place: &Place,
    remarks: &Remarks,
    cancellation: &Cancellation,
    reporter: &Reporter,
) -> anyhow::Result<Finished> {
    let mut attempt = Attempt::prepare(plan, place, remarks, cancellation, reporter).await?;
    if plan.dry_run {
        return Ok(Finished {
            told: Some(attempt.would_do()?),
            ..Finished::default()
        });
    }
    let slot = attempt.wait_for_room().await?;
    if plan.only_packages {
        let sealed = attempt.seal().await?;
        let sealed = sealed.map_err(|verdict| failed!(Kind::Build, "{}", verdict.sentence))?;
        return Ok(Finished {
            told: attempt.icicle(&sealed, None).map(|(text, _)| text),
            ..Finished::default()
        });
    }
    let installed = match (&plan.base, plan.aim) {
        (Some(_), _) => Ok(Ok(Vec::new())),
        (None, Aim::Image | Aim::Trial(_)) => attempt.install().await,
        (None, Aim::State) => attempt.save_state().await,
    };
    let verdict = match installed {
        Ok(Ok(notes)) if plan.aim != Aim::Image => match attempt.end_trial(&notes).await {
            Ok(finished) => return Ok(finished),
            Err(verdict) => *verdict,
        },
        Ok(Ok(notes)) => {
            drop(slot);
            match attempt.make_good().await {
                Ok(Ok(sealed)) => return attempt.finish(&notes, &sealed).await,
                Ok(Err(verdict)) => *verdict,
                Err(error) => attempt.verdict_of(error)?,
            }
        }
        Ok(Err(verdict)) => verdict,
        Err(error) => attempt.verdict_of(error)?,
    };
    Err(attempt.fail(verdict).await)
}

impl<'a> Attempt<'a> {
    /// Gets ready what the guest needs.
    async fn prepare(
        plan: &'a Plan,
        place: &'a Place,
        remarks: &'a Remarks,
        cancellation: &'a Cancellation,
        reporter: &'a Reporter,
    ) -> anyhow::Result<Attempt<'a>> {
        let mut timings = Timings::begin();
        let mut prepared = cancellation
            .or(Prepared::take(plan, place, reporter))
            .await?;
        timings.done("getting-ready");
        let handover = Handover::make(plan, place, &mut prepared, reporter);
        let handover = cancellation.or(handover).await?;
        let spec = guest::domain(plan, place, &prepared, &handover)?;
        timings.done("offering");
        Ok(Attempt {
            plan,
            place,
            remarks,
            cancellation,
            reporter,
            prepared,
            handover,
            spec,
            timings,
            guest: None,
            still_runs: false,
            hypervisor: None,
            supervised: None,
            origins: Origins::new(),
            keys: Vec::new(),
        })
    }

    /// Waits until the guest may run.
    async fn wait_for_room(&mut self) -> anyhow::Result<Slot> {
        let request = SlotRequest {
            memory_mib: self.prepared.host.memory_here(&self.spec),
            at_most: self.plan.options.max_guests,
        };
        self.place.live.waiting();
        let (state_dir, id) = (&self.place.state_dir, &self.place.id);
        let slot = Slot::take(state_dir, id, request, self.reporter);
        let slot = self.cancellation.or(slot).await.kind(Kind::Host)?;
        self.timings.done("waiting-for-room");
        Ok(slot)
    }

    /// Runs the installer until it has ended: what the user should know of a success, or why it
    /// failed, without secrets.
    ///
    /// # Errors
    /// What libvirt says.
    async fn install(&mut self) -> anyhow::Result<Result<Vec<String>, Verdict>> {
        let _ahead = self.fetch_ahead();
        let mut resumed = false;
        let started = match self.resume().await? {
            Resumed::Loaded(started) => {
                resumed = true;
                *started
            }
            Resumed::Failed(verdict) => return Ok(Err(*verdict)),
            Resumed::Not => self.boot().await?,
        };
        self.timings.done("starting-guest");
        let mut channels = self.take_guest(started);
        channels.handover = None;
        channels.accesses = self.handover.accesses.take();
        let course = Course {
            expectations: self.expectations(),
            resumed,
        };
        let result = self.decide(channels, course).await?;
        if result.is_ok() {
            self.end_good_guest().await?;
        }
        Ok(result)
    }

    /// Boots the guest, paused.
    async fn boot(&self) -> anyhow::Result<Started> {
        self.announce(&self.spec);
        self.start(&self.spec, self.plan.options.keep).await
    }

    pub(super) fn announce(&self, spec: &DomainSpec) {
        self.reporter.step(format!(
            "starting the guest: {} CPUs, {} MiB, {}, {}",
            spec.vcpus,
            spec.memory_mib,
            spec.accel,
            spec.firmware.name()
        ));
    }

    /// Takes care of a guest from now on; what it is heard by.
    pub(super) fn take_guest(&mut self, started: Started) -> Channels {
        if let Some(why) = started.warning {
            self.reporter.warn(why);
        }
        let guest = Arc::new(started.guest);
        self.place.depends_on(guest.survival());
        self.place.live.started(&guest, self.spec.accel);
        self.guest = Some(guest);
        // Now: at the end the daemon may not answer any more.
        self.hypervisor = tokio::task::block_in_place(|| self.prepared.host.versions()).ok();
        Channels {
            console: started.console,
            log_port: started.log_port,
            accesses: None,
            handover: started.handover,
        }
    }

    /// Follows the guest until it is decided how it ends: what the user should know of a success, or why it
    /// failed, without secrets.
    pub(super) async fn decide(
        &mut self,
        channels: Channels,
        course: Course,
    ) -> anyhow::Result<Result<Vec<String>, Verdict>> {
        let Some(guest) = self.guest.clone() else {
            unreachable!("whoever follows a guest has one");
        };
        // Only a failure of libvirt's leaves it in doubt.
        self.still_runs = true;
        let supervised = self.follow(&guest, channels, course).await?;
        let decision = &supervised.decision;
        self.still_runs = decision.stop_guest;
        let secrets = &self.handover.secrets;
        let result = match &decision.outcome {
            Outcome::Success { notes } => Ok(notes.iter().map(|n| secrets.hide(n)).collect()),
            Outcome::Failure(verdict) => {
                let verdict = verdict.as_ref().clone();
                Err(verdict.map_texts(|text| secrets.hide(text)))
            }
        };
        self.supervised = Some(supervised);
        Ok(result)
    }

    /// Waits until the guest of a good install is gone.
    async fn end_good_guest(&self) -> anyhow::Result<()> {
        let Some(guest) = &self.guest else {
            return Ok(());
        };
        if self.still_runs {
            // It has unmounted everything, and does not go away by itself.
            tokio::task::block_in_place(|| guest.destroy()).kind(Kind::Host)?;
        }
        // QEMU has closed the disk when the guest is finished.
        let exited = async {
            let exited = tokio::time::timeout(EXIT_LIMIT, guest.finished()).await;
            exited.map_err(|_| {
                let limit = EXIT_LIMIT.as_secs();
                anyhow!("the guest switched itself off, but QEMU has not exited in {limit} s: look at the storage below the output directory")
            })
        };
        self.cancellation.or(exited).await.kind(Kind::Host)?;
        self.fetch_disks(&self.spec).await
    }

    /// Brings what a guest that is gone has written back into the files of its disks, if it ran on another host.
    pub(super) async fn fetch_disks(&self, spec: &DomainSpec) -> anyhow::Result<()> {
        let (host, place) = (&self.prepared.host, self.place);
        carry::fetch(host, place, self.cancellation, self.reporter, spec).await
    }

    /// Ends a trial that came as far as it was to.
    async fn end_trial(&mut self, notes: &[String]) -> Result<Finished, Box<Verdict>> {
        if self.plan.aim == Aim::Trial(Until::End) {
            self.has_installed().await?;
        }
        drop(self.guest.take());
        self.still_runs = false;
        for note in notes {
            self.reporter.note(note);
        }
        Ok(Finished {
            phases: self.phases().to_vec(),
            ..Finished::default()
        })
    }

    /// Starts a guest, paused; `keep` leaves it when it is dropped.
    pub(super) async fn start(&self, spec: &DomainSpec, keep: bool) -> anyhow::Result<Started> {
        start::start(
            &self.prepared.host,
            self.place,
            self.cancellation,
            self.reporter,
            (spec, keep),
        )
        .await
    }

    /// Runs the installer until it has ended, or until it is clear how it will.
    async fn follow(
        &self,
        guest: &Guest,
        channels: Channels,
        course: Course,
    ) -> anyhow::Result<Supervised> {
        if let Ok(xml) = guest.live_xml() {
            let xml = self.handover.secrets.hide(&xml);
            let kept = self
                .place
                .work
                .dir()
                .replace(evidence::DOMAIN, xml.as_bytes());
            if let Err(error) = kept {
                let reporter = self.reporter;
                reporter.warn(format!("keeping {}: {error}", evidence::DOMAIN));
            }
        }
        let recorder = Recorder::begin(self.place.work.path(), self.reporter);
        // One that was loaded runs since it has taken its kickstart.
        let runs = match course.resumed {
            true => Ok(()),
            false => guest.resume().kind(Kind::Host),
        };
        let supervised = match runs {
            Ok(()) => self.supervise(guest, channels, &recorder, course).await,
            Err(error) => Err(error),
        };
        // Only a disk that hangs is not waited for.
        recorder.flush(RECORD_PATIENCE).await;
        supervised
    }

    /// What success looks like, and what helps to explain a failure.
    pub(super) fn expectations(&self) -> Expectations {
        let (plan, handover) = (self.plan, &self.handover);
        let mut expectations = Expectations::new(handover.mark.is_some(), Some(plan.deliver));
        if let Aim::Trial(until) = plan.aim {
            expectations.until = Some(until);
        }
        expectations.read_kickstart(&handover.served, &plan.answers.text);
        // For people: without credentials.
        for address in &mut expectations.repositories {
            *address = Url::parse(address).map_or_else(|_| address.clone(), |url| shown(&url));
        }
        let tree = plan.tree.as_ref().filter(|_| !plan.answers.name_source());
        let more = plan.repositories().map(|repository| repository.url.url());
        let known = tree.into_iter().chain(more).map(shown);
        expectations.repositories.extend(known);
        expectations
    }

    pub(super) fn history(&self) -> History {
        History::of(self.plan, &self.place.state_dir)
    }

    /// Makes sure that a guest that has done all that a good install does has installed something.
    async fn has_installed(&self) -> Result<(), Box<Verdict>> {
        let program = Path::new(reader::OWN_PROGRAM);
        match installed::has_contents(program, &self.prepared.disks).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                let last = self.supervised.as_ref().and_then(|all| all.phases.last());
                Err(Box::new(Verdict::of_an_empty_disk(last)))
            }
            Err(error) => {
                let reporter = self.reporter;
                reporter.warn(format!(
                    "whether the disk holds anything is not known: {error:#}"
                ));
                Ok(())
            }
        }
    }

    /// What opens the encrypted on the disks of a guest that is gone, as far as the build knows passphrases.
    ///
    /// # Errors
    /// The user stops the build.
    pub(super) async fn open_disks(&self) -> anyhow::Result<Vec<Key>> {
        let program = Path::new(reader::OWN_PROGRAM);
        let disks = Image::all(&self.prepared.disks);
        let passphrases = self.plan.passphrases();
        let opening = reader::keys(program, &disks, &passphrases);
        let opened = self.cancellation.or(async { Ok(opening.await) }).await?;
        // What cannot be read for it is named where it is to be read.
        let opened = opened.unwrap_or_else(|error| Keys {
            closed: vec![format!("{error:#}")],
            ..Keys::default()
        });
        for why in &opened.closed {
            let why = self.handover.secrets.hide(why);
            self.reporter.detail(format!("what is encrypted: {why}"));
        }
        Ok(opened.keys)
    }

    /// Makes an image that is good of the disk of a guest that has installed it, or says why it is
    /// none.
    async fn make_good(&mut self) -> anyhow::Result<Result<Sealed, Box<Verdict>>> {
        if let Err(verdict) = self.has_installed().await {
            return Ok(Err(verdict));
        }
        drop(self.guest.take());
        self.still_runs = false;
        self.keys = self.open_disks().await?;
        // Sealing takes the history out that says it.
        self.read_origins().await?;
        let sealed = match self.seal().await? {
            Ok(sealed) => sealed,
            Err(verdict) => return Ok(Err(Box::new(verdict))),
        };
        let booted = self.test_boot().await?;
        Ok(booted.map(|()| sealed).map_err(Box::new))
    }

    /// Makes the image of the disk of a guest that is gone.
    async fn finish(mut self, notes: &[String], sealed: &Sealed) -> anyhow::Result<Finished> {
        let decided = Instant::now();
        let (plan, place, reporter) = (self.plan, self.place, self.reporter);
        for note in notes {
            reporter.note(note);
        }
        // Nobody asks our server any more.
        drop(self.handover.server.take());
        place.live.finishing();
        reporter.step("finishing the image");
        let (work, order) = (place.work.dir(), plan.order());
        let conversion = async {
            let mut originals = Vec::new();
            for (number, disk) in self.prepared.disks.iter().enumerate() {
                let (disk, own) = (disk.try_clone()?, disk::name(number));
                originals.push(Original::open(disk, DiskFormat::Qcow2, Some(own)).await?);
            }
            make::make(work, originals, &order).await
        };
        let conversion = self.cancellation.or(conversion).await?;
        let contents = async { anyhow::Ok(self.contents().await) };
        let contents = match self.cancellation.or(contents).await? {
            Ok(contents) => Some(contents),
            Err(error) if !plan.needs_packages() => {
                reporter.note(format!(
                    "the manifest lists no packages: reading those of the image failed: {error:#}"
                ));
                None
            }
            Err(error) => return Err(error.context("telling what the image is made of")),
        };
        let fingerprint = match self.prepared.gathered.take() {
            None => None,
            Some(gathered) => {
                let packages = contents.as_ref().map(|contents| &*contents.packages);
                let whole = gathered.whole(&self.prepared.mirror, packages);
                let whole = self.cancellation.or(async { Ok(whole.await) });
                Some(whole.await?.0)
            }
        };
        self.report_cache(contents.as_ref());
        let manifest = self.manifest(&conversion, sealed, contents.as_ref(), fingerprint)?;
        let sboms = contents
            .as_ref()
            .map(|contents| self.sboms(&conversion, contents));
        let sboms = sboms.transpose()?.unwrap_or_default();
        let icicle = self.icicle(sealed, contents.as_ref());
        let lock = self.lock()?;
        let output = &plan.output;
        let xml = guest::finished_domain(plan, &self.spec);
        let xml = xml.map(|domain| host::bootable_xml(&domain));
        let xml = xml.iter().map(|xml| (From::Text(xml), &*output.xml));
        let kickstart = (From::File(evidence::KICKSTART), &*output.kickstart);
        let mut beside: Vec<(From<'_>, &Path)> = xml
            .chain([
                (From::File(evidence::CONSOLE_LOG), &*output.console_log),
                (From::Text(&manifest), &*output.manifest),
            ])
            // Nobody was served one for an image that was there.
            .chain(plan.base.is_none().then_some(kickstart))
            .chain(sboms.iter().map(|(json, to)| (From::Text(json), *to)))
            .chain(icicle.iter().map(|(xml, to)| (From::Text(xml), *to)))
            .chain(lock.iter().map(|(text, to)| (From::Text(text), *to)))
            .collect();
        let mut subjects = conversion.digests(output);
        for (from, to) in &beside {
            subjects.push((set::file_name(to), from.sha256(work).await?));
        }
        let provenance = self.provenance(&subjects, contents.as_ref())?;
        beside.push((From::Text(&provenance), &output.provenance));
        let (checksums, signatures) = self.sign(&conversion, &provenance).await?;
        let signed = signatures.iter();
        beside.extend(signed.map(|(text, to)| (From::Text(text), *to)));
        let outdated = plan.base.as_ref();
        let outdated = outdated.and_then(|_| customize::outdated_kickstart(output));
        if let Some(base) = &plan.base {
            base.check_untouched().await?;
        }
        conversion.publish(work, output, &beside, &checksums, plan.options.replaces())?;
        if let Some(outdated) = outdated
            && let Err(error) = std::fs::remove_file(outdated)
        {
            reporter.note(format!("{} stays: {error}", outdated.display()));
        }
        if let Some((links, keep)) = &plan.kept {
            keep::switch(links, output)?;
            match keep::prune(links, &plan.name, *keep) {
                Ok(pruned) => {
                    for removed in &pruned.removed {
                        reporter.detail(format!("removed {removed}: {keep} builds are kept"));
                    }
                    for left in &pruned.left {
                        reporter.note(left);
                    }
                }
                // The new image is as good.
                Err(error) => reporter.note(format!("older builds stay: {error:#}")),
            }
        }
        conversion.report(output, reporter);
        self.tidy_cache();
        // An older failure of the same name is no news any more. What else is there is no fault of
        // this build's.
        match evidence::remove(&plan.output) {
            Ok(Removed::All) => {}
            Ok(Removed::ButOthers { names, .. }) => reporter.note(format!(
                "{} stays, for it holds what ozr did not write: {names}",
                plan.output.failed.display()
            )),
            Err(error) => reporter.note(format!("what an earlier failure left stays: {error:#}")),
        }
        let phases = self.phases().to_vec();
        let times = Times {
            phases: phases
                .iter()
                .map(|time| (time.phase, time.lasted))
                .collect(),
            finishing: decided.elapsed(),
        };
        Ok(Finished {
            images: plan.output.paths(),
            phases,
            took: Some((self.spec.accel, times)),
            runtime: Some(Arc::clone(&place.runtime)),
            ..Finished::default()
        })
    }
}
