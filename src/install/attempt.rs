//! One attempt at an install: the steps, in order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cancel::Cancellation;
use super::estimate::Times;
use super::evidence;
use super::failed::End;
use super::guest::{self, Boot};
use super::handover::Handover;
use super::history::History;
use super::manifest::{self, Facts};
use super::place::Place;
use super::plan::Plan;
use super::prepare::Prepared;
use super::record::Recorder;
use super::run::Finished;
use super::slots::{Slot, SlotRequest};
use super::supervise::{Channels, Supervised, Supervision, supervise};
use super::timings::Timings;
use crate::error::{Classify, Kind};
use crate::host::{self, Accel, DomainSpec, Guest, Started};
use crate::image::finalize::{self, Sidecars};
use crate::mirror::shown;
use crate::options::Deliver;
use crate::ui::event::Reporter;
use crate::watch::stall::Limits;
use crate::watch::verdict::Outcome;
use crate::watch::witness::{Delivery, Expectations};

/// How long the record of the console may take to be written when the guest has said all. A disk
/// that hangs must not keep the verdict from the user.
const RECORD_PATIENCE: Duration = Duration::from_secs(1);

/// Makes an image, or tells why there is none. What it made in the build's place is left there;
/// the guest is gone, unless it was to be kept.
///
/// # Errors
/// Whatever ended it, with its kind: an [`InstallFailed`](super::failed::InstallFailed) once a guest was to run.
pub async fn run(
    plan: &Plan,
    place: &Place,
    stop: &Cancellation,
    reporter: &Reporter,
) -> anyhow::Result<Finished> {
    let mut timings = Timings::begin();
    let mut ground = stop.or(Prepared::take(plan, place, reporter)).await?;
    timings.done("getting-ready");
    let mut handover = Handover::make(plan, place, &mut ground, reporter)?;
    let accesses = handover.accesses.take();
    let spec = domain(plan, place, &ground, &handover)?;
    timings.done("offering");
    let wish = SlotRequest {
        memory_mib: spec.memory_mib,
        at_most: plan.max_guests,
    };
    place.live.waiting();
    let slot = stop
        .or(Slot::take(&place.state_dir, &place.id, wish, reporter))
        .await
        .kind(Kind::Host)?;
    timings.done("waiting-for-room");
    let started = start(plan, &ground, &spec, reporter);
    timings.done("starting-guest");
    let mut end = End {
        plan,
        place,
        ground: &ground,
        handover: &handover,
        timings: &timings,
        guest: None,
        still_runs: false,
        hypervisor: None,
        supervised: None,
    };
    let Started {
        guest,
        console,
        log_port,
    } = match started {
        Ok(started) => started,
        Err(error) => return Err(end.of(error, reporter).await),
    };
    place.depends_on(guest.survival());
    let guest = Arc::new(guest);
    place.live.guest(&guest, spec.accel);
    end.guest = Some(&guest);
    // Now: at the end the daemon may not answer any more.
    let versions = tokio::task::block_in_place(|| ground.host.versions());
    end.hypervisor = versions.as_ref().ok();
    let recorder = Recorder::begin(place.work.path(), reporter);
    let senses = Channels {
        console,
        log_port,
        accesses,
    };
    let terms = terms(plan, place, &ground, &handover, &spec, stop);
    let followed = follow(place, &handover, &guest, senses, terms, &recorder, reporter).await;
    // Only a disk that hangs is not waited for.
    recorder.flush(RECORD_PATIENCE).await;
    let decided = Instant::now();
    let supervised = match followed {
        Ok(supervised) => supervised,
        Err(error) => {
            end.still_runs = true;
            return Err(end.of(error, reporter).await);
        }
    };
    let still_runs = supervised.decision.stop_guest;
    let notes: Vec<String> = match &supervised.decision.outcome {
        Outcome::Success { notes } => notes.iter().map(|n| handover.secrets.hide(n)).collect(),
        Outcome::Failure(verdict) => {
            let verdict = verdict.as_ref().clone();
            let verdict = verdict.map_texts(|text| handover.secrets.hide(text));
            end.still_runs = still_runs;
            end.supervised = Some(&supervised);
            return Err(end.with(verdict, reporter).await);
        }
    };
    if still_runs {
        // It has unmounted everything, and does not go away by itself.
        tokio::task::block_in_place(|| guest.destroy()).kind(Kind::Host)?;
    }
    for note in &notes {
        reporter.note(note);
    }
    // QEMU has closed the disk when the guest is finished; nobody asks our server any more.
    guest.finished().await;
    drop(guest);
    drop(slot);
    drop(handover.server.take());

    place.live.finishing();
    reporter.step("finishing the image");
    let work = &place.work;
    let finish = finalize::finish(work.path(), &ground.disk, plan.format, plan.compress);
    let image = stop.or(finish).await?;
    let versions = versions?;
    let manifest = manifest::describe(&Facts {
        plan,
        spec: &spec,
        tree: &ground.tree,
        image: &image,
        supervised: &supervised,
        hypervisor: format!("QEMU {} by libvirt {}", versions.qemu, versions.libvirt),
        notes: &notes,
        started: timings.started(),
    })?;
    let company = Sidecars {
        manifest: &manifest,
        domain_xml: &host::bootable_xml(&guest::finished_domain(plan, &spec)),
        console_log: &work.join(evidence::CONSOLE_LOG),
        kickstart: &handover.kept_kickstart,
    };
    image.publish(&plan.output, &company, plan.options.force)?;
    // An older failure of the same name is no news any more.
    evidence::remove(&plan.output)?;
    let phases = supervised.phases.iter();
    let times = Times {
        phases: phases.map(|time| (time.phase, time.lasted)).collect(),
        finishing: decided.elapsed(),
    };
    let history = History::of(plan, spec.accel, &place.state_dir);
    if let Err(error) = history.add(&times) {
        // Only the next build's estimate is missing.
        reporter.detail(format!("how long it took was not noted: {error:#}"));
    }
    Ok(Finished {
        image: plan.output.image.clone(),
        phases: supervised.phases,
    })
}

fn domain(
    plan: &Plan,
    place: &Place,
    ground: &Prepared,
    handover: &Handover,
) -> anyhow::Result<DomainSpec> {
    let boot = Boot {
        kernel: &ground.tree.kernel.path,
        initrd: &handover.initrd,
        kickstart: handover.kickstart.as_ref(),
        tree: &handover.tree,
    };
    // QEMU's own copy of the console; ours is made of what is read from it.
    let console = place.work.join("serial.log");
    guest::domain(
        plan,
        ground.accel,
        &boot,
        ground.disk.clone(),
        console,
        &place.id,
    )
}

/// Creates the guest, paused.
fn start(
    plan: &Plan,
    ground: &Prepared,
    spec: &DomainSpec,
    reporter: &Reporter,
) -> anyhow::Result<Started> {
    reporter.step(format!(
        "starting the guest: {} CPUs, {} MiB, {}, {}",
        spec.vcpus,
        spec.memory_mib,
        spec.accel,
        spec.firmware.name()
    ));
    let keep = plan.options.keep;
    tokio::task::block_in_place(|| ground.host.start(spec, keep))
}

fn terms(
    plan: &Plan,
    place: &Place,
    ground: &Prepared,
    handover: &Handover,
    spec: &DomainSpec,
    stop: &Cancellation,
) -> Supervision {
    Supervision {
        expectations: Expectations {
            mark: handover.mark.is_some(),
            delivery: match plan.deliver {
                Deliver::Http => Delivery::Http,
                Deliver::Initrd => Delivery::Initrd,
            },
            sections: handover.sections.clone(),
            repositories: repositories(plan),
        },
        mark: handover.mark.clone(),
        timeout: plan.timeout,
        limits: match (plan.stall_limit, spec.accel) {
            (Some(limit), _) => Limits::everywhere(limit),
            (None, Accel::Kvm) => Limits::default(),
            (None, Accel::Tcg) => Limits::for_software_emulation(),
        },
        disk: ground.disk.clone(),
        secrets: handover.secrets.clone(),
        stop: stop.clone(),
        live: place.live.clone(),
        forecast: History::of(plan, spec.accel, &place.state_dir).forecast(),
    }
}

/// Runs the installer until it has ended, or until it is clear how it will.
async fn follow(
    place: &Place,
    handover: &Handover,
    guest: &Guest,
    senses: Channels,
    terms: Supervision,
    recorder: &Recorder,
    reporter: &Reporter,
) -> anyhow::Result<Supervised> {
    if let Ok(xml) = guest.live_xml() {
        let kept = place.work.join(evidence::DOMAIN);
        if let Err(error) = evidence::write_private(&kept, handover.secrets.hide(&xml)) {
            reporter.warn(format!("{error:#}"));
        }
    }
    guest.resume().kind(Kind::Host)?;
    supervise(guest, senses, terms, recorder, reporter).await
}

/// Where the packages come from, for people: without credentials.
fn repositories(plan: &Plan) -> Vec<String> {
    let more = plan.repositories().map(|repository| repository.url.url());
    std::iter::once(&plan.tree).chain(more).map(shown).collect()
}
