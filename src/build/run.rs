//! The steps of a build, in order.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::evidence;
use super::guest::{self, Boot};
use super::manifest::{self, Facts};
use super::offer::Offer;
use super::plan::Plan;
use super::prepare::Ground;
use super::supervise::{Senses, Supervised, Terms, supervise};
use super::workdir::Lease;
use crate::error::{Classify, Kind, failure};
use crate::hex;
use crate::host::{self, Accel, DomainSpec, Guest, Started};
use crate::image::finalize::{self, Company};
use crate::mirror::shown;
use crate::options::Deliver;
use crate::ui::event::{Event, Reporter};
use crate::watch::report;
use crate::watch::stall::Limits;
use crate::watch::verdict::{Outcome, Verdict};
use crate::watch::witness::{Delivery, Expectations};

/// A finished build.
#[derive(Debug)]
pub struct Finished {
    /// The image.
    pub image: PathBuf,
}

/// How long a guest of a failed build may take to be gone, after it was ended. QEMU gives its
/// memory back to the kernel, gigabytes perhaps.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// Builds. Dropping the future ends the build: its guest is destroyed, everything unfinished is
/// removed.
///
/// # Errors
/// Whatever ended the build, with its kind; what is unfinished is removed, and what explains a
/// failed install is kept in `NAME.failed/`.
pub async fn run(plan: Plan, reporter: &Reporter) -> anyhow::Result<Finished> {
    let started = SystemTime::now();
    let mut ground = Ground::take(&plan, reporter).await?;
    let mut offer = Offer::make(&plan, &mut ground, reporter)?;
    let spec = domain(&plan, &ground, &offer)?;
    ground
        .work
        .note(&Lease {
            pid: std::process::id(),
            uri: ground.host.uri(),
            domain: spec.name.clone(),
            runtime_dir: ground.runtime.path().to_path_buf(),
        })
        .kind(Kind::Host)?;
    let (guest, supervised) = install(&plan, &ground, &mut offer, &spec, reporter).await?;
    let still_runs = supervised.decision.stop_guest;
    let notes = match &supervised.decision.outcome {
        Outcome::Success { notes } => notes,
        Outcome::Failure(verdict) => {
            let verdict = verdict.as_ref().clone();
            let verdict = verdict.map_texts(|text| offer.secrets.hide(text));
            return Err(
                end_failed(&plan, ground, &offer, &guest, still_runs, verdict, reporter).await,
            );
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
    drop(offer.server.take());

    reporter.step("finishing the image");
    let (disk, work) = (&ground.disk, &ground.work);
    let image = finalize::finish(work.path(), disk, plan.format, plan.compress).await?;
    let versions = ground.host.versions()?;
    let manifest = manifest::describe(&Facts {
        plan: &plan,
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
        domain_xml: &host::bootable_xml(&guest::finished_domain(&plan, &spec)),
        console_log: &work.join(evidence::CONSOLE_LOG),
        kickstart: &offer.kept_kickstart,
    };
    image.publish(&plan.output, &company, plan.request.options.force)?;
    // An older failure of the same name is no news any more.
    evidence::remove(&plan.output)?;
    Ok(Finished {
        image: plan.output.image.clone(),
    })
}

fn domain(plan: &Plan, ground: &Ground, offer: &Offer) -> anyhow::Result<DomainSpec> {
    let boot = Boot {
        kernel: &ground.tree.kernel.path,
        initrd: &offer.initrd,
        kickstart: offer.kickstart.as_ref(),
        tree: &offer.tree,
    };
    // QEMU's own copy of the console; ours is made of what is read from it.
    let console = ground.work.join("serial.log");
    let build_id = hex::random()?;
    guest::domain(
        plan,
        ground.accel,
        &boot,
        ground.disk.clone(),
        console,
        &build_id,
    )
}

/// Runs the installer until it has ended, or until it is clear how it will.
async fn install(
    plan: &Plan,
    ground: &Ground,
    offer: &mut Offer,
    spec: &DomainSpec,
    reporter: &Reporter,
) -> anyhow::Result<(Guest, Supervised)> {
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
    } = tokio::task::block_in_place(|| ground.host.start(spec, keep))?;
    if let Ok(xml) = guest.live_xml() {
        let kept = ground.work.join(evidence::DOMAIN);
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
    };
    let senses = Senses {
        console,
        log_port,
        accesses: offer.accesses.take(),
    };
    let log = ground.work.join(evidence::CONSOLE_LOG);
    let supervised = supervise(&guest, senses, terms, &log, reporter).await?;
    Ok((guest, supervised))
}

/// Ends a failed build: shows and keeps what explains it, and leaves the guest only to a user who
/// asked for it. The error that says why.
async fn end_failed(
    plan: &Plan,
    mut ground: Ground,
    offer: &Offer,
    guest: &Guest,
    still_runs: bool,
    mut verdict: Verdict,
    reporter: &Reporter,
) -> anyhow::Error {
    for line in &verdict.console {
        reporter.event(Event::Evidence(line.clone()));
    }
    // Only the embedded driver's log is where we can read it.
    if let Some(log) = guest.qemu_log()
        && let Ok(log) = std::fs::read(log)
    {
        let text = offer.secrets.hide(&String::from_utf8_lossy(&log));
        verdict.add_qemu_log(&text);
        let kept = evidence::write_private(&ground.work.join(evidence::QEMU_LOG), &text);
        if let Err(error) = kept {
            reporter.warn(format!("QEMU's log could not be kept: {error:#}"));
        }
    }
    let kept = report::json(&verdict).and_then(|json| {
        let verdict = [
            (evidence::VERDICT_JSON, json),
            (evidence::VERDICT, report::text(&verdict)),
        ];
        evidence::keep(&ground.work, &plan.output, &verdict)
    });
    let sentence = &verdict.sentence;
    if plan.request.options.keep {
        let files = ground.work.path().display();
        reporter.note(if still_runs {
            guest.leave();
            format!(
                "the guest was left running: `virsh -c '{}' console {}`; its files are in {files}",
                ground.host.uri(),
                host::domain_name(&plan.name)
            )
        } else {
            format!("the guest's files were left in {files}")
        });
        ground.runtime.keep();
        ground.work.keep();
    } else {
        if let Err(error) = tokio::task::block_in_place(|| guest.destroy()) {
            reporter.warn(format!("the guest could not be ended: {error:#}"));
        }
        // Until QEMU is gone, libvirt writes into the directories that we are about to remove.
        let _ = tokio::time::timeout(END_PATIENCE, guest.finished()).await;
    }
    let sentence = match kept {
        Ok(kept) => format!("{sentence} (what explains it is in {})", kept.display()),
        Err(error) => format!("{sentence} (what explains it could not be kept: {error:#})"),
    };
    failure(verdict.kind(), sentence)
}

/// Where the packages come from, for people: without credentials.
fn repositories(plan: &Plan) -> Vec<String> {
    let more = plan.repositories().map(|repository| repository.url.url());
    std::iter::once(&plan.tree).chain(more).map(shown).collect()
}
