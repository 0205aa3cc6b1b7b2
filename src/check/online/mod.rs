//! `ozr check --online`: tries every address of a kickstart and a template, and looks up the
//! packages that they name.
//!
//! ```text
//! mod         the order of things; verdicts become findings
//! references  which addresses there are (pure)     variables  $releasever and the like
//! probe       what is at one address (mirror::lists)
//! lookup      reads repositories (mirror::repodata)
//! packages    what is wanted, what is missing      candidates what an install may choose among (pure)
//! verdict     a failed request in words
//! ```

pub mod candidates;
pub mod packages;
pub mod references;

pub mod variables;

mod lookup;
mod probe;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use url::Url;

use crate::diagnostic::{Diagnostic, Severity, Source};
use crate::distro::{Arch, Release};
use crate::kickstart::outline::SectionKind;
use crate::language::Reading;
use crate::language::reading::SectionEntry;
use crate::machine::UserNetwork;
use crate::mirror::repodata::Contents;
use crate::mirror::{Mirror, MirrorOptions, Obstacle, Reach, RetryPolicy, shown};
use crate::options::Relay;
use crate::tdl::{self, Template};
use crate::ui::event::Reporter;
use lookup::Repository;
use packages::Wanted;
use probe::{Probing, Seen};
use references::{Place, References, Role, Target};
use variables::{Known, Untried};
use verdict::{Verdict, no_answer};

pub use variables::seen_from_here;

/// How long the check may take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// For all addresses together, which are tried at once. 5 s: a mirror that has not answered
    /// by then is not worth waiting for in an editor.
    pub answer: Duration,
    /// For the metadata of all repositories together, of which only what has changed is fetched.
    /// 30 s: Fedora's 20 MB with 8 Mbit/s.
    pub metadata: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            answer: Duration::from_secs(5),
            metadata: Duration::from_secs(30),
        }
    }
}

/// Requests for one address that may fail for reasons that pass (503, a broken connection).
/// Three with short pauses fit into the time.
const TRIES: u32 = 3;
/// Addresses that are tried at the same time: each may take 2 MiB for what is read there.
const TRIED_AT_ONCE: usize = 32;
/// The pause before the second.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause, whatever the server asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A template and its text.
#[derive(Debug, Clone, Copy)]
pub struct TemplateText<'a> {
    /// What it says.
    pub template: &'a Template,
    /// Its name and text, as it was decoded.
    pub source: Source<'a>,
}

/// What is to be checked.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// A kickstart with what it includes.
    pub reading: Option<&'a Reading>,
    /// The template that it is installed with.
    pub template: Option<TemplateText<'a>>,
    /// The release that is installed; where it is not known, the reading's version stands for it.
    pub release: Option<Release>,
    /// The guest's architecture, if it is known.
    pub arch: Option<Arch>,
    /// The installer's ISO image, if there is one; only one of this host is looked into.
    pub disc: Option<&'a Url>,
}

/// What is known of the guest's ways.
#[derive(Debug, Clone, Copy)]
pub struct GuestView {
    /// Its network, if it is on user networking.
    pub network: Option<UserNetwork>,
    /// What ozr's server passes on.
    pub relay: Relay,
    /// The kickstart is served as it is, so that nothing in it can be replaced.
    pub verbatim: bool,
}

/// How it is to be checked.
#[derive(Debug, Clone, Copy)]
pub struct Means<'a> {
    /// The guest; where it is not known, its view is taken to be this host's.
    pub guest: Option<GuestView>,
    /// How mirrors are reached, and the cache.
    pub mirror: &'a MirrorOptions,
    /// How long it may take.
    pub limits: Limits,
    /// What is told of downloads.
    pub reporter: &'a Reporter,
}

/// Tries every address and looks up every name. Findings have the ids KS201 to KS216.
/// To be called within a runtime with several threads; names that are still being resolved when
/// time is up are left to a thread, so shut the runtime down without waiting for those.
///
/// # Errors
/// A certificate or key that cannot be read, a cache that cannot be made: nothing was tried.
pub async fn check(subject: &Subject<'_>, means: &Means<'_>) -> anyhow::Result<Vec<Diagnostic>> {
    let known = Known {
        release: subject.release,
        version: subject.reading.map(|reading| reading.version),
        arch: subject.arch,
        user_network: means.guest.and_then(|guest| guest.network),
    };
    let template = subject.template.map(|template| template.template);
    let references = references::collect(subject.reading, template, &known);
    let wanted = if references.is_image {
        Vec::new()
    } else {
        packages::wanted(subject.reading, template)
    };
    let mut findings = Findings::new(subject);
    findings.untried(&references);
    let disc = subject.disc.filter(|_| references.takes_disc());
    let probing = match references.targets.is_empty() && disc.is_none() {
        true => None,
        false => Some(probing(means, known)?),
    };
    let seen = match &probing {
        Some(probing) => try_all(probing, &references, means).await,
        None => Vec::new(),
    };
    for ((target, places), seen) in references.targets.iter().zip(&seen) {
        for place in places {
            match findings.blocked(target, place, seen, means.guest) {
                Some(verdicts) => findings.extend(place, &verdicts),
                None => findings.extend(place, &seen.verdicts),
            }
        }
    }
    let probing = probing.as_ref();
    let on_disc = async {
        match (probing, disc) {
            (Some(probing), Some(disc)) if !wanted.is_empty() => {
                lookup::read_disc(probing, disc, &wanted, means.limits.metadata).await
            }
            _ => None,
        }
    };
    let on_disc = on_disc.await;
    look_up(
        probing,
        means,
        &references,
        &seen,
        &wanted,
        on_disc,
        &mut findings,
    )
    .await;
    Ok(findings.finish())
}

fn probing(means: &Means<'_>, known: Known) -> anyhow::Result<Probing> {
    let patience = &means.mirror.patience;
    let options = MirrorOptions {
        patience: RetryPolicy {
            tries: patience.tries.min(TRIES),
            first_pause: patience.first_pause.min(FIRST_PAUSE),
            longest_pause: patience.longest_pause.min(LONGEST_PAUSE),
            ..patience.clone()
        },
        ..means.mirror.clone()
    };
    let mirror = Mirror::following_all(options, means.reporter.clone())?;
    Ok(Probing { mirror, known })
}

/// Tries all targets, many at once; the results are in their order.
async fn try_all(probing: &Probing, references: &References, means: &Means<'_>) -> Vec<Seen> {
    let (limit, knows_guest) = (means.limits.answer, means.guest.is_some());
    let deadline = Instant::now() + limit;
    let mut tries = JoinSet::new();
    let room = Arc::new(Semaphore::new(TRIED_AT_ONCE));
    for (index, (target, _)) in references.targets.iter().enumerate() {
        let (probing, target, room) = (probing.clone(), target.clone(), Arc::clone(&room));
        tries.spawn(async move {
            let _room = timeout_at(deadline, room.acquire()).await;
            let (obstacle, seen) = tokio::join!(
                timeout_at(deadline, async {
                    match knows_guest {
                        true => probing.obstacle(&target).await,
                        false => None,
                    }
                }),
                timeout_at(deadline, probing.examine(&target)),
            );
            let mut seen =
                seen.unwrap_or_else(|_| Seen::with(no_answer(&name(&target), limit.as_secs_f64())));
            seen.obstacle = obstacle.ok().flatten();
            (index, seen)
        });
    }
    let mut all = tries.join_all().await;
    all.sort_by_key(|(index, _)| *index);
    all.into_iter().map(|(_, seen)| seen).collect()
}

fn name(target: &Target) -> String {
    target.urls.first().map(shown).unwrap_or_default()
}

/// Reads the repositories and compares what is wanted with what they have. Without
/// addresses there is nothing to read.
async fn look_up(
    probing: Option<&Probing>,
    means: &Means<'_>,
    references: &References,
    seen: &[Seen],
    wanted: &[Wanted],
    on_disc: Option<Vec<Contents>>,
    findings: &mut Findings<'_>,
) {
    if wanted.is_empty() {
        return;
    }
    let mut repositories: Vec<Repository> = Vec::new();
    let mut hidden: Option<(Place, String)> = references.hidden.first().cloned();
    for ((target, at), seen) in references.targets.iter().zip(seen) {
        let has_packages = matches!(target.role, Role::Source | Role::Repository);
        let is_source = has_packages || target.role == Role::InstallTree;
        // A tree that is only booted has no repository, and hides none.
        let is_missing = seen.repositories.is_empty() && (has_packages || seen.is_unread());
        if is_source && is_missing {
            hidden = hidden.or_else(|| unread(at, name(target)));
        }
        for base in &seen.repositories {
            match repositories.iter_mut().find(|known| known.base == *base) {
                Some(known) => known.places.extend(at.iter().cloned()),
                None => repositories.push(Repository {
                    base: base.clone(),
                    access: target.access,
                    places: at.clone(),
                }),
            }
        }
    }
    let limit = means.limits.metadata;
    let deadline = Instant::now() + limit;
    let reads = match probing {
        Some(probing) => {
            lookup::read_all(
                probing,
                &repositories,
                wanted,
                deadline,
                limit.as_secs_f64(),
            )
            .await
        }
        None => Vec::new(),
    };
    if on_disc.is_none() {
        // A `cdrom` beside a `url` may be what the installer takes, too.
        let mut unread = references.on_disc.iter();
        let unread = unread.find(|(place, _)| references.takes_disc() || place.text.is_some());
        hidden = hidden.or_else(|| unread.cloned());
    }
    let mut contents = on_disc.unwrap_or_default();
    for (read, Repository { base, places, .. }) in reads.into_iter().zip(&repositories) {
        for place in places {
            findings.extend(place, &read.verdicts);
        }
        match read.contents {
            Some(read) => contents.push(read),
            None => hidden = hidden.or_else(|| unread(places, shown(base))),
        }
    }
    let at_first = |why: &str| (wanted[0].place.clone(), why.to_string());
    if !findings.complete() {
        let why = "an included text that was not read may name more repositories";
        hidden.get_or_insert_with(|| at_first(why));
    }
    if contents.is_empty() {
        hidden.get_or_insert_with(|| at_first("no repository is named"));
    }
    match hidden {
        Some((place, why)) => {
            let message = format!("packages and groups were not looked up: {why}");
            let verdict = Verdict::of(Severity::Note, "KS212", message, "");
            findings.extend(&place, &[verdict]);
        }
        None => {
            for (place, verdict) in packages::missing(wanted, &contents) {
                findings.extend(&place, &[verdict]);
            }
        }
    }
}

fn unread(places: &[Place], what: String) -> Option<(Place, String)> {
    Some((places.first()?.clone(), format!("{what} could not be read")))
}

/// Verdicts with their places.
struct Findings<'a> {
    subject: Subject<'a>,
    /// The template without secrets: findings quote it.
    template: String,
    all: Vec<(Option<usize>, Diagnostic)>,
}

impl<'a> Findings<'a> {
    fn new(subject: &Subject<'a>) -> Findings<'a> {
        let template = subject.template.map(|template| template.source.text);
        Findings {
            subject: *subject,
            template: tdl::mask(template.unwrap_or_default()),
            all: Vec::new(),
        }
    }

    /// Whether everything that the kickstart includes was read. If not, repositories may be named
    /// elsewhere.
    fn complete(&self) -> bool {
        self.subject.reading.is_none_or(|reading| reading.complete)
    }

    /// What to say of an address of the kickstart that the guest does not get to, whatever was
    /// seen of it from here.
    fn blocked(
        &self,
        target: &Target,
        place: &Place,
        seen: &Seen,
        guest: Option<GuestView>,
    ) -> Option<Vec<Verdict>> {
        let (guest, obstacle, text) = (guest?, seen.obstacle?, place.text?);
        let reading = self.subject.reading?;
        let mut severity = Severity::Warning;
        let mut help = "write an address that the guest reaches, too";
        match (target.role, obstacle) {
            // A script means the guest that it runs in.
            (Role::Download, Obstacle::Loopback) => return Some(Vec::new()),
            (Role::Download, Obstacle::Name | Obstacle::OwnNetwork) => {}
            (Role::Download, _) => return None,
            // Nothing is known of the network of a guest without a template.
            (_, Obstacle::Loopback) if self.subject.template.is_none() => {
                help = "`ozr install` passes it on; any other installer looks on its own loopback";
            }
            _ if self.subject.template.is_none() => return None,
            _ => {
                let written = &reading.texts[text].text[place.span.clone()];
                let is_served = text == 0 && !guest.verbatim;
                let relay = match target.relayable(written) {
                    Some(_) if is_served => guest.relay,
                    _ => Relay::Never,
                };
                if !matches!(Reach::of(Some(obstacle), relay), Reach::Blocked(_)) {
                    return None;
                }
                // A script before the installation may have started something in the guest.
                let is_pre = |entry: &SectionEntry| entry.section.kind == SectionKind::Pre;
                if obstacle.is_certain() && !reading.sections.iter().any(is_pre) {
                    severity = Severity::Error;
                }
            }
        }
        let message = format!(
            "the guest does not get to {} by itself: {obstacle}",
            name(target)
        );
        Some(vec![Verdict::of(severity, "KS215", message, help)])
    }

    fn untried(&mut self, references: &References) {
        for (place, why) in &references.untried {
            let verdict = match why {
                Untried::GuestOnly => continue,
                Untried::Unknown(why) => Verdict::of(
                    Severity::Note,
                    "KS214",
                    format!("this address was not tried: {why}"),
                    "",
                ),
                Untried::Wrong(why) => Verdict::error(
                    "KS201",
                    format!("this is no address: {why}"),
                    "write it whole, such as `https://host/path/`",
                ),
            };
            self.extend(place, &[verdict]);
        }
    }

    fn extend(&mut self, place: &Place, verdicts: &[Verdict]) {
        for verdict in verdicts {
            let (severity, span, message) = (
                verdict.severity,
                place.span.clone(),
                verdict.message.clone(),
            );
            let made = match (place.text, self.subject.reading, self.subject.template) {
                (Some(text), Some(reading), _) => reading.finding(severity, text, span, message),
                (None, _, Some(template)) => {
                    let source = Source {
                        name: template.source.name,
                        text: &self.template,
                    };
                    Diagnostic::of(severity, source, span, message)
                }
                _ => continue,
            };
            let mut finding = made.id(verdict.id);
            finding.help.clone_from(&verdict.help);
            self.all.push((place.text, finding));
        }
    }

    /// In the order of the texts, the template last. One address can be a tree and a repository,
    /// with the same to say of both.
    fn finish(mut self) -> Vec<Diagnostic> {
        self.all.sort_by_key(|(text, finding)| {
            let text = text.unwrap_or(usize::MAX);
            (text, finding.line, finding.column, finding.id)
        });
        self.all.dedup();
        self.all.into_iter().map(|(_, finding)| finding).collect()
    }
}
