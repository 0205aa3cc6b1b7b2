//! One attempt at an install: the steps, in order.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::estimate::Times;
use super::evidence;
use super::failed::{self, InstallFailed};
use super::guest::{self, Boot};
use super::history::History;
use super::manifest::{self, Facts};
use super::offer::Offer;
use super::place::Place;
use super::plan::Plan;
use super::prepare::Ground;
use super::run::Finished;
use super::slots::{Slot, Wish};
use super::stop::Stop;
use super::supervise::{Senses, Supervised, Terms, supervise};
use crate::error::{Classify, Kind};
use crate::host::{self, Accel, DomainSpec, Guest, Started};
use crate::image::finalize::{self, Company};
use crate::mirror::shown;
use crate::options::Deliver;
use crate::ui::event::Reporter;
use crate::watch::stall::Limits;
use crate::watch::verdict::Outcome;
use crate::watch::witness::{Delivery, Expectations};

/// Makes an image, or tells why there is none. What it made in the build's place is left there;
/// the guest is gone, unless it was to be kept.
///
/// # Errors
/// Whatever ended it, with its kind: an [`InstallFailed`] once a guest was to run.
pub async fn run(
    plan: &Plan,
    place: &Place,
    stop: &Stop,
    reporter: &Reporter,
) -> anyhow::Result<Finished> {
    let started = SystemTime::now();
    let mut ground = stop.or(Ground::take(plan, place, reporter)).await?;
    let mut offer = Offer::make(plan, place, &mut ground, reporter)?;
    let spec = domain(plan, place, &ground, &offer)?;
    let wish = Wish {
        memory_mib: spec.memory_mib,
        at_most: plan.max_guests,
    };
    place.live.waiting();
    let slot = stop
        .or(Slot::take(&place.state_dir, &place.id, wish, reporter))
        .await
        .kind(Kind::Host)?;
    let (guest, supervised) =
        install(plan, place, &ground, &mut offer, &spec, stop, reporter).await?;
    let decided = Instant::now();
    let still_runs = supervised.decision.stop_guest;
    let notes = match &supervised.decision.outcome {
        Outcome::Success { notes } => notes,
        Outcome::Failure(verdict) => {
            let verdict = verdict.as_ref().clone();
            let verdict = verdict.map_texts(|text| offer.secrets.hide(text));
            let end = failed::End {
                plan,
                place,
                host: &ground.host,
                offer: &offer,
                guest: &guest,
                still_runs,
            };
            return Err(end.with(verdict, reporter).await);
        }
    };
    if still_runs {
        // It has unmounted everything, and does not go away by itself.
        tokio::task::block_in_place(|| guest.destroy()).kind(Kind::Host)?;
    }
    for note in notes {
        reporter.note(note);
    }
    // QEMU has closed the disk when the guest is finished; nobody asks our server any more.
    guest.finished().await;
    drop(guest);
    drop(slot);
    drop(offer.server.take());

    reporter.step("finishing the image");
    place.live.finishing();
    let work = &place.work;
    let finish = finalize::finish(work.path(), &ground.disk, plan.format, plan.compress);
    let image = stop.or(finish).await?;
    let versions = ground.host.versions()?;
    let manifest = manifest::describe(&Facts {
        plan,
        spec: &spec,
        tree: &ground.tree,
        image: &image,
        supervised: &supervised,
        hypervisor: format!("QEMU {} by libvirt {}", versions.qemu, versions.libvirt),
        notes,
        started,
    })?;
    let company = Company {
        manifest: &manifest,
        domain_xml: &host::bootable_xml(&guest::finished_domain(plan, &spec)),
        console_log: &work.join(evidence::CONSOLE_LOG),
        kickstart: &offer.kept_kickstart,
    };
    image.publish(&plan.output, &company, plan.request.options.force)?;
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
    })
}

fn domain(
    plan: &Plan,
    place: &Place,
    ground: &Ground,
    offer: &Offer,
) -> anyhow::Result<DomainSpec> {
    let boot = Boot {
        kernel: &ground.tree.kernel.path,
        initrd: &offer.initrd,
        kickstart: offer.kickstart.as_ref(),
        tree: &offer.tree,
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

/// Runs the installer until it has ended, or until it is clear how it will.
async fn install(
    plan: &Plan,
    place: &Place,
    ground: &Ground,
    offer: &mut Offer,
    spec: &DomainSpec,
    stop: &Stop,
    reporter: &Reporter,
) -> anyhow::Result<(Arc<Guest>, Supervised)> {
    reporter.step(format!(
        "starting the guest: {} CPUs, {} MiB, {}, {}",
        spec.vcpus,
        spec.memory_mib,
        spec.accel,
        spec.firmware.name()
    ));
    let keep = plan.request.options.keep;
    let Started {
        guest,
        console,
        log_port,
    } = tokio::task::block_in_place(|| ground.host.start(spec, keep))
        .map_err(|error| InstallFailed::to_start(&error))?;
    place.depends_on(guest.survival());
    let guest = Arc::new(guest);
    place.live.guest(&guest, spec.accel);
    if let Ok(xml) = guest.live_xml() {
        let kept = place.work.join(evidence::DOMAIN);
        evidence::write_private(&kept, &offer.secrets.hide(&xml))?;
    }
    guest.resume().kind(Kind::Host)?;
    let terms = Terms {
        expectations: Expectations {
            mark: offer.mark.is_some(),
            delivery: match plan.deliver {
                Deliver::Http => Delivery::Http,
                Deliver::Initrd => Delivery::Initrd,
            },
            sections: offer.sections.clone(),
            repositories: repositories(plan),
        },
        mark: offer.mark.clone(),
        timeout: plan.timeout,
        limits: match (plan.stall_limit, spec.accel) {
            (Some(limit), _) => Limits::everywhere(limit),
            (None, Accel::Kvm) => Limits::default(),
            (None, Accel::Tcg) => Limits::for_software_emulation(),
        },
        disk: ground.disk.clone(),
        secrets: offer.secrets.clone(),
        stop: stop.clone(),
        live: place.live.clone(),
        forecast: History::of(plan, spec.accel, &place.state_dir).forecast(),
    };
    let senses = Senses {
        console,
        log_port,
        accesses: offer.accesses.take(),
    };
    let log = place.work.join(evidence::CONSOLE_LOG);
    let supervised = supervise(&guest, senses, terms, &log, reporter).await?;
    Ok((guest, supervised))
}

/// Where the packages come from, for people: without credentials.
fn repositories(plan: &Plan) -> Vec<String> {
    let more = plan.repositories().map(|repository| repository.url.url());
    std::iter::once(&plan.tree).chain(more).map(shown).collect()
}
