//! A boot test: its boots one after the other, and what is made of them.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::time::Instant;

use super::denials;
use super::dhcp;
use super::evidence::{self, Gathered};
use super::follow::{Follower, MOST_PACKETS};
use super::growth::Growth;
use super::guest::{self, CAPTURE};
use super::health;
use super::identity::{self, Identities};
use super::inside;
use super::plan::{Boot, BootPlan};
use super::report::{BootReport, Check, ClonesReport, Reached, Report, SCHEMA};
use crate::disk::luks::Key;
use crate::error::{Classify, Kind};
use crate::hex;
use crate::host::{Accel, Guest, Host};
use crate::image::checksum;
use crate::image::reader::{self, Image, OWN_PROGRAM};
use crate::install::carry;
use crate::install::evidence as install_evidence;
use crate::install::place::Place;
use crate::install::record::Recorder;
use crate::install::run::Cancellation;
use crate::install::start;
use crate::state::OwnedDir;
use crate::state::slots::{Slot, SlotRequest};
use crate::ui::event::{Event, Reporter};
use crate::watch::boot::{Decision, Judge, Reason};
use crate::watch::console::Console;

/// How long a guest may take to switch itself off after its power button was pressed. systemd gives a
/// service 90 s to stop; most stop within one.
const SHUT_DOWN: Duration = Duration::from_secs(120);

/// How long QEMU may take to exit when its guest was ended.
const END_PATIENCE: Duration = Duration::from_secs(30);

/// How long the record of the console may take to be written when the guest has said all.
const RECORD_PATIENCE: Duration = Duration::from_secs(1);

/// What a boot test stands on.
#[derive(Debug, Clone, Copy)]
pub struct Stage<'a> {
    /// Its place.
    pub place: &'a Place,
    /// libvirt.
    pub host: &'a Arc<Host>,
    /// Who may stop it.
    pub cancellation: &'a Cancellation,
    /// Whom it tells.
    pub reporter: &'a Reporter,
}

/// Tests an image. What was seen is put into `target`. A test that failed is no error here: the report says
/// so.
///
/// # Errors
/// Host: libvirt, QEMU or the file system failed. Somebody asked to stop. Nothing is left then.
pub async fn run(plan: &BootPlan, stage: Stage<'_>, target: &Path) -> anyhow::Result<Report> {
    let work = stage.place.work.dir();
    let gathered = Gathered::begin(work).kind(Kind::Host)?;
    let before = digests(plan, stage).await?;
    let growth = Growth::wanted(plan, stage).await?;
    let mut boots = Vec::new();
    for boot in plan.boots() {
        let report = one_boot(plan, stage, boot, &gathered, growth.as_ref()).await?;
        let failed = report.reason.is_some();
        boots.push(report);
        if failed {
            break;
        }
    }
    let after = digests(plan, stage).await?;
    let report = conclude(plan, boots, &before, &after);
    gathered.publish(work, target, &report.json()?)?;
    Ok(report)
}

/// The SHA-256 of each image's file.
async fn digests(plan: &BootPlan, stage: Stage<'_>) -> anyhow::Result<Vec<String>> {
    let mut digests = Vec::new();
    for path in plan.images() {
        let digest = async {
            let file = std::fs::File::open(path)?;
            anyhow::Ok(checksum::sha256(&file).await?.0)
        };
        let digest = stage.cancellation.or(digest).await;
        let digest = digest
            .with_context(|| format!("reading the image {}", path.display()))
            .kind(Kind::Host)?;
        digests.push(digest);
    }
    Ok(digests)
}

/// What is made of all boots.
fn conclude(
    plan: &BootPlan,
    boots: Vec<BootReport>,
    before: &[String],
    after: &[String],
) -> Report {
    let mut notes = Vec::new();
    for boot in &boots {
        let untold = boot.checks.iter().filter(|check| check.passed.is_none());
        notes.extend(untold.map(|check| {
            format!(
                "{}: whether {} cannot be told: {}",
                boot.name, check.name, check.found
            )
        }));
        let unknown = boot.identities.iter().flat_map(|all| &all.unknown);
        notes.extend(unknown.map(|why| format!("{}: {why}", boot.name)));
    }
    let clones: Vec<&Identities> = boots
        .iter()
        .filter_map(|boot| boot.identities.as_ref())
        .collect();
    let clones = (plan.clones > 1 && clones.len() > 1).then(|| ClonesReport {
        count: plan.clones,
        compared: identity::compare(&clones),
    });
    let mut failures: Vec<(Reason, String)> = Vec::new();
    for boot in &boots {
        failures.extend(boot.reason.map(|reason| (reason, boot.sentence.clone())));
    }
    if let Some(clones) = &clones {
        let untold = clones.compared.iter().filter(|one| one.differs.is_none());
        notes.extend(
            untold.map(|one| format!("the clones' {} is not compared: {}", one.name, one.found)),
        );
        let alike = clones
            .compared
            .iter()
            .filter(|one| one.differs == Some(false));
        let names: Vec<&str> = alike.map(|one| one.name.as_str()).collect();
        if !names.is_empty() {
            let sentence = format!("clones of the image have the same {}", names.join(", "));
            failures.push((Reason::ClonesAlike, sentence));
        }
    }
    if after != before {
        let sentence = "the image itself was changed while it was tested".to_owned();
        failures.push((Reason::ImageChanged, sentence));
    }
    let name = &plan.name;
    let first = failures.into_iter().next();
    let sentence = match &first {
        Some((reason, sentence)) => {
            format!(
                "the boot test of {name} failed ({reason}): {sentence}: {}",
                reason.hint()
            )
        }
        None => format!("{name} passed its boot test"),
    };
    Report {
        schema: SCHEMA,
        ozr_version: env!("CARGO_PKG_VERSION"),
        name: name.clone(),
        sha256: before.first().cloned().unwrap_or_default(),
        passed: first.is_none(),
        reason: first.map(|(reason, _)| reason),
        sentence,
        boots,
        clones,
        notes,
    }
}

/// Boots the image once.
async fn one_boot(
    plan: &BootPlan,
    stage: Stage<'_>,
    boot: Boot,
    gathered: &Gathered,
    growth: Option<&Growth>,
) -> anyhow::Result<BootReport> {
    let Stage {
        place,
        host,
        cancellation,
        reporter,
    } = stage;
    let name = boot.name();
    let mark = hex::random().kind(Kind::Host)?;
    guest::lay_over(plan, place, &mark, growth.map(|growth| growth.size)).await?;
    let spec = guest::domain(plan, place, boot)?;
    let work = place.work.dir();
    work.remove_tree(&name).kind(Kind::Host)?;
    // As the work directory itself: QEMU may run as another user.
    let dir = work.subdir(&name, 0o711).kind(Kind::Host)?;
    let request = SlotRequest {
        memory_mib: host.memory_here(&spec),
        at_most: plan.max_guests,
    };
    let slot = Slot::take(&place.state_dir, &place.id, request, reporter);
    let _slot = cancellation.or(slot).await.kind(Kind::Host)?;
    reporter.step(format!(
        "boot test {name}: {} CPUs, {} MiB, {}, {}",
        spec.vcpus,
        spec.memory_mib,
        spec.accel,
        spec.firmware.name()
    ));
    let started = start::start(host, place, cancellation, reporter, (&spec, false)).await?;
    if let Some(why) = started.warning {
        reporter.warn(why);
    }
    let guest = Arc::new(started.guest);
    place.depends_on(guest.survival());
    place.live.testing(&guest, spec.accel);
    let recorder = Recorder::begin(dir.path(), reporter);
    let mut judge = Judge::new(plan.expectations());
    let mut follower = Follower {
        guest: &guest,
        console: started.console,
        recorder: &recorder,
        cancellation,
        secrets: &plan.secrets,
        passphrases: &plan.passphrases,
        answered: 0,
        reporter,
        started: Instant::now(),
        terminal: Console::new(None),
        capture: spec
            .capture
            .as_ref()
            .and_then(|_| work.file(CAPTURE, false).ok()),
        told: None,
        mark,
        answers: BTreeMap::new(),
    };
    let followed = follow(&mut follower, &mut judge, plan, boot).await;
    let lasted = follower.started.elapsed();
    place.live.tested();
    let ended = end(&guest).await;
    recorder.flush(RECORD_PATIENCE).await;
    let followed = followed?;
    ended?;
    keep(
        gathered,
        &name,
        &dir,
        followed.screenshot.as_deref(),
        reporter,
    );
    let mut report = BootReport {
        name: name.clone(),
        firmware: boot.firmware.name(),
        reason: followed.decision.reason,
        sentence: followed.decision.sentence,
        lasted,
        milestones: judge
            .milestones()
            .iter()
            .map(|(milestone, at)| Reached {
                milestone: *milestone,
                at: *at,
            })
            .collect(),
        kernel: judge.kernel().map(str::to_owned),
        seen: followed.decision.seen,
        shut_down: followed.shut_down,
        checks: followed.checks,
        identities: None,
        console: Vec::new(),
    };
    let read = match report.shut_down {
        Some(true) => {
            carry::fetch(host, place, cancellation, reporter, &spec).await?;
            read_overlay(plan, stage, &mut report, gathered, growth).await?
        }
        _ => false,
    };
    if report.reason.is_none() && !read && boot.is_first() {
        let why = "the guest did not shut itself down in order, or its disk cannot be read";
        report.checks.extend(health::files_not_read(plan, why));
    }
    fail_by_checks(&mut report);
    if report.reason.is_some() {
        report.console = judge
            .last_lines()
            .map(|line| plan.secrets.hide(line))
            .collect();
        reporter.note("the last lines of the console:");
        for line in &report.console {
            reporter.event(Event::Evidence(line.clone()));
        }
    } else {
        reporter.step(format!("boot test {name}: {}", report.sentence));
    }
    guest::remove_overlays(plan, place)?;
    Ok(report)
}

/// What came of following a guest.
struct Followed {
    decision: Decision,
    screenshot: Option<Vec<u8>>,
    checks: Vec<Check>,
    shut_down: Option<bool>,
}

async fn follow(
    follower: &mut Follower<'_>,
    judge: &mut Judge,
    plan: &BootPlan,
    boot: Boot,
) -> anyhow::Result<Followed> {
    if let Err(error) = follower.guest.resume().kind(Kind::Host) {
        follower.unless_ended(error).await?;
    }
    follower.started = Instant::now();
    let mut decision = follower.until_decided(judge).await?;
    let mut checks = Vec::new();
    if decision.reason.is_none() && boot.is_first() && plan.wanted.asks_inside() {
        checks = inside::ask(follower, judge, plan).await?;
        decision = judge.at_last(follower.started.elapsed());
    }
    let hide = |text: &str| plan.secrets.hide(text);
    decision.sentence = hide(&decision.sentence);
    for seen in &mut decision.seen {
        seen.text = hide(&seen.text);
    }
    let screenshot = follower.screenshot().await;
    let factor = if plan.machine.accel == Accel::Tcg {
        2
    } else {
        1
    };
    let shut_down = match decision.reason {
        // What it wrote is on its disk only then.
        None if boot.read => Some(follower.shut_down(judge, SHUT_DOWN * factor).await?),
        _ => None,
    };
    Ok(Followed {
        decision,
        screenshot,
        checks,
        shut_down,
    })
}

/// Ends the guest, whatever became of it, and waits until QEMU has closed its files.
async fn end(guest: &Arc<Guest>) -> anyhow::Result<()> {
    tokio::task::block_in_place(|| guest.destroy()).kind(Kind::Host)?;
    let finished = tokio::time::timeout(END_PATIENCE, guest.finished()).await;
    finished
        .map(drop)
        .with_context(|| format!("QEMU has not exited in {} s", END_PATIENCE.as_secs()))
        .kind(Kind::Host)
}

/// Keeps what was recorded. What cannot be kept is warned about: the judgement stands.
fn keep(
    gathered: &Gathered,
    name: &str,
    dir: &OwnedDir,
    screen: Option<&[u8]>,
    reporter: &Reporter,
) {
    let kept = [
        gathered.take(
            name,
            evidence::CONSOLE_LOG,
            dir,
            install_evidence::CONSOLE_LOG,
        ),
        gathered.take(
            name,
            evidence::CONSOLE_RAW,
            dir,
            install_evidence::CONSOLE_RAW,
        ),
        screen.map_or(Ok(()), |png| gathered.add(name, evidence::SCREENSHOT, png)),
    ];
    for error in kept.into_iter().filter_map(Result::err) {
        reporter.warn(format!(
            "a part of what the boot test saw is missing: {error:#}"
        ));
    }
}

/// Overlays of a plan's images.
fn of_overlays<'a>(overlays: &'a [File], plan: &'a BootPlan, keys: &'a [Key]) -> Vec<Image<'a>> {
    let images = overlays.iter().zip(plan.images());
    images
        .map(|(file, below)| Image {
            file,
            below: Some(below),
            keys,
        })
        .collect()
}

/// Reads what the guest has written: its identities, its journal, what every image has to have right, and what
/// is declared of its files. Whether that was possible: what cannot be read is not known, and no failure.
async fn read_overlay(
    plan: &BootPlan,
    stage: Stage<'_>,
    report: &mut BootReport,
    gathered: &Gathered,
    growth: Option<&Growth>,
) -> anyhow::Result<bool> {
    let work = stage.place.work.dir();
    let count = plan.images().count();
    let overlays = (0..count).map(|disk| work.file(guest::overlay(disk), false));
    let overlays = overlays.collect::<Result<Vec<_>, _>>().kind(Kind::Host)?;
    let read = async {
        let closed = of_overlays(&overlays, plan, &[]);
        let opened = reader::keys(Path::new(OWN_PROGRAM), &closed, &plan.passphrases).await?;
        let images = of_overlays(&overlays, plan, &opened.keys);
        let identities = identity::read(&images).await?;
        let journal = identities.journal.as_deref().unwrap_or_default();
        let kernel = report.kernel.as_deref();
        let health = health::check(&images, plan, kernel, journal).await?;
        let grown = match growth {
            Some(growth) => Some(growth.check(&images).await?),
            None => None,
        };
        anyhow::Ok((identities, health, grown))
    };
    // The wish to stop is an error; what the disk is like is none.
    let read = stage.cancellation.or(async { Ok(read.await) }).await?;
    let (mut identities, health, grown) = match read {
        Ok(read) => read,
        Err(error) => {
            stage.reporter.warn(format!(
                "what the guest of {} wrote cannot be read, and is not checked: {error:#}",
                report.name
            ));
            return Ok(false);
        }
    };
    if let Some(journal) = identities.journal.take()
        && let Err(error) = gathered.add(&report.name, evidence::JOURNAL, &journal)
    {
        stage
            .reporter
            .warn(format!("the journal is not kept: {error:#}"));
    }
    let packets = work.read(CAPTURE, MOST_PACKETS).kind(Kind::Host)?;
    identities.add_dhcp(dhcp::client_ids(&packets));
    report.identities = Some(identities);
    report.checks.extend(health.checks);
    report.checks.extend(grown);
    if let Some((sentence, seen)) = denials::failure(&health.denials, &plan.secrets)
        && report.reason.is_none()
    {
        report.reason = Some(Reason::SelinuxDenials);
        report.sentence = sentence;
        report.seen = seen;
    }
    Ok(true)
}

/// A boot that is good but for its checks fails by the first of them.
fn fail_by_checks(report: &mut BootReport) {
    let mut failed = report
        .checks
        .iter()
        .filter(|check| check.passed == Some(false));
    let (None, Some(first)) = (report.reason, failed.next()) else {
        return;
    };
    let more = match failed.count() {
        0 => String::new(),
        more => format!("; {more} more checks failed"),
    };
    report.reason = Some(Reason::CheckFailed);
    report.sentence = format!("not true is that {}: {}{more}", first.name, first.found);
}
