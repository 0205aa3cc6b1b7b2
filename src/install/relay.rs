//! Which addresses the guest gets: their own, or ones of our server that lead there.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use url::Url;

use super::plan::Plan;
use crate::check::online::references::{self, Role};
use crate::check::online::seen_from_here;
use crate::check::online::variables::Known;
use crate::host;
use crate::kickstart::additions::Replaced;
use crate::language::{NoIncludes, Reading, Version};
use crate::machine::{Network, UserNetwork};
use crate::mirror::{Access, Mirror, Obstacle, Reach, Shelf, Via, public, shown};
use crate::options::Relay;
use crate::serve::{Server, Upstream};
use crate::ui::event::Reporter;

/// How long DNS and servers may take to tell whether the guest gets to an address. A resolver that
/// does not answer is left after 5 s for the next one (resolv.conf(5)).
const PATIENCE: Duration = Duration::from_secs(12);

/// How the guest gets to the addresses of the template and of the kickstart.
#[derive(Debug)]
pub struct Reaches {
    template: HashMap<Url, (Reach, Option<Via>)>,
    /// Of the author's kickstart, from its end to its beginning.
    kickstart: Vec<Written>,
    /// The tree among the template's.
    tree: Option<Url>,
    /// The guest's network, if it has one for itself.
    network: Option<UserNetwork>,
}

/// An address in the author's kickstart.
#[derive(Debug)]
struct Written {
    span: Range<usize>,
    url: Url,
    /// What our server can stand for, and what stays behind it.
    relayable: Option<(Url, String)>,
    reach: Reach,
    /// How it leads to what is kept of it, if anything is.
    kept: Option<Via>,
    /// What it is to the installer.
    role: Role,
}

impl Reaches {
    /// Asks how the guest gets to all of them.
    pub async fn of(plan: &Plan, mirror: &Mirror) -> Reaches {
        let tree = plan.tree.iter().cloned();
        let mut template: Vec<(Url, Access)> = tree.map(|tree| (tree, Access::PLAIN)).collect();
        template.extend(plan.repositories().map(|repository| {
            let access = Access {
                verified: repository.sslverify,
                ..Access::PLAIN
            };
            (repository.url.url().clone(), access)
        }));
        let known = known(plan);
        let network = known.user_network;
        let mut kickstart = Vec::new();
        for (target, span) in addresses(plan, &known) {
            // A password in a kickstart is known to the guest.
            kickstart.push((public(&target.urls[0]), target, span));
        }

        let mut asked = JoinSet::new();
        let written = kickstart
            .iter()
            .map(|(url, target, _)| (url.clone(), target.access));
        // A kickstart often names what the template does.
        let questions: HashSet<(Url, Access)> = template.iter().cloned().chain(written).collect();
        for (url, access) in questions {
            let mirror = mirror.clone();
            asked.spawn(async move {
                let obstacle = mirror.obstacle(&url, access, network);
                let obstacle = tokio::time::timeout(PATIENCE, obstacle).await;
                ((url, access), obstacle.ok().flatten())
            });
        }
        let obstacles: HashMap<_, _> = asked.join_all().await.into_iter().collect();
        let obstacle = |url: &Url, access| obstacles.get(&(url.clone(), access)).copied().flatten();

        let mut written: Vec<Written> = kickstart
            .into_iter()
            .map(|(url, target, span)| {
                let kept = kept(plan, mirror, &target, &span);
                let relayable = match (plan.options.verbatim, kept) {
                    (true, _) => None,
                    // Our own list stands for one of mirrors.
                    (false, Some(Via::MirrorList | Via::MetaLink)) => Some((url.clone(), "")),
                    (false, _) => target.relayable(&plan.answers.text[span.clone()]),
                };
                let relay = relayable.as_ref().map_or(Relay::Never, |_| plan.relay);
                let kept = kept.filter(|_| relayable.is_some());
                Written {
                    reach: with_cache(Reach::of(obstacle(&url, target.access), relay), kept),
                    relayable: relayable.map(|(base, rest)| (base, rest.to_owned())),
                    span,
                    url,
                    kept,
                    role: target.role,
                }
            })
            .collect();
        written.sort_by_key(|written| Reverse(written.span.start));
        let template = template.into_iter().map(|(url, access)| {
            let is_kept = mirror.keeps_packages() && is_fetched_alike(&url, access);
            let kept = is_kept.then_some(Via::Direct);
            let reach = with_cache(Reach::of(obstacle(&url, access), plan.relay), kept);
            (url, (reach, kept))
        });
        Reaches {
            template: template.collect(),
            kickstart: written,
            tree: plan.tree.clone(),
            network,
        }
    }

    /// Makes sure that the cache has a state of each repository whose address is one.
    ///
    /// # Errors
    /// Input: it has none.
    pub async fn check_kept(&self, mirror: &Mirror) -> anyhow::Result<()> {
        for written in &self.kickstart {
            if let (Some(via), Some((base, rest)), Role::Repository) =
                (written.kept, &written.relayable, written.role)
                && rest.is_empty()
            {
                let here = seen_from_here(base, self.network);
                mirror.check_repository(&here, via).await?;
            }
        }
        for (url, _) in self
            .template
            .iter()
            .filter(|(url, _)| Some(*url) != self.tree.as_ref())
        {
            let here = seen_from_here(url, self.network);
            mirror.check_repository(&here, Via::Direct).await?;
        }
        Ok(())
    }

    /// The trees and repositories that the guest asks without the cache, as this host sees them.
    pub(super) fn past_the_cache(&self) -> impl Iterator<Item = Url> {
        let template = self.template.iter();
        let template = template.filter_map(|(url, (_, kept))| kept.is_none().then_some(url));
        let written = self.kickstart.iter().filter(|written| {
            written.kept.is_none() && matches!(written.role, Role::Source | Role::Repository)
        });
        let all = template.chain(written.map(|written| &written.url));
        all.map(|url| seen_from_here(url, self.network))
    }

    /// Whether something goes through our server.
    pub fn need_server(&self) -> bool {
        let written = self.kickstart.iter().map(|written| &written.reach);
        let template = self.template.values().map(|(reach, _)| reach);
        let mut all = template.chain(written);
        all.any(|reach| matches!(reach, Reach::Relayed(_)))
    }
}

/// How an address of the kickstart leads to what is kept, if it is to be kept: a tree or repository that is not
/// written into the installed system.
fn kept(
    plan: &Plan,
    mirror: &Mirror,
    target: &references::Target,
    span: &Range<usize>,
) -> Option<Via> {
    let is_known = target.via == Via::Direct || target.urls.len() == 1;
    let has_packages = matches!(target.role, Role::Source | Role::Repository);
    let mut commands = plan.answers.outline().commands();
    let command = commands.find(|command| command.span.contains(&span.start));
    let stays = command.is_some_and(|command| command.has_flag("install"));
    let is_kept = mirror.keeps_packages()
        && is_known
        && has_packages
        && !stays
        && is_fetched_alike(&target.urls[0], target.access);
    is_kept.then_some(target.via)
}

/// Whether we get from an address what the guest would get.
fn is_fetched_alike(url: &Url, access: Access) -> bool {
    let is_web = matches!(url.scheme(), "http" | "https");
    is_web && !access.own_ways && (access.verified || url.scheme() == "http")
}

/// What is kept goes through our server, too.
fn with_cache(reach: Reach, kept: Option<Via>) -> Reach {
    match (reach, kept) {
        (Reach::Direct, Some(_)) => Reach::Relayed(Obstacle::Cached),
        (reach, _) => reach,
    }
}

/// What is known of what addresses mean.
pub(super) fn known(plan: &Plan) -> Known {
    Known {
        release: Some(plan.release),
        version: None,
        arch: Some(plan.arch),
        user_network: match plan.working_network() {
            Network::User => Some(host::user_network()),
            Network::Libvirt(_) | Network::Bridge(_) => None,
        },
    }
}

/// The addresses in the author's kickstart that the installer asks for, and where they stand.
pub(super) fn addresses(plan: &Plan, known: &Known) -> Vec<(references::Target, Range<usize>)> {
    let Some(version) = Version::of(plan.release) else {
        return Vec::new();
    };
    let (text, name) = (&plan.answers.text, &plan.answers.name);
    let reading = Reading::new(text, name, version, &NoIncludes);
    let found = references::collect(Some(&reading), None, known);
    let targets = found.targets.into_iter();
    targets
        // A script means the guest that it runs in.
        .filter(|(target, _)| target.role != Role::Download)
        .flat_map(|(target, places)| {
            let spans = places.into_iter().map(|place| place.span);
            spans.map(move |span| (target.clone(), span))
        })
        .collect()
}

/// Hands the guest addresses that it can reach.
#[derive(Debug, Clone, Copy)]
pub struct Relaying<'a> {
    /// How the guest gets to each.
    pub reaches: &'a Reaches,
    /// Our server, if there is one.
    pub server: Option<&'a Server>,
    /// What asks the mirror.
    pub mirror: &'a Mirror,
    /// What is told of it.
    pub reporter: &'a Reporter,
}

impl Relaying<'_> {
    /// The address at which the guest reaches `url` of the template, which is called `name` in the
    /// server's log; and what is to stand in its place where the guest has noted it.
    ///
    /// # Errors
    /// The address is not supported.
    pub fn address(&self, name: &str, url: &Url) -> anyhow::Result<(Url, Vec<Replaced>)> {
        let reach = self.reaches.template.get(url).copied();
        let (reach, kept) = reach.unwrap_or((Reach::Direct, None));
        let Some(relayed) = self.relayed(name, url, url, reach, kept)? else {
            return Ok((url.clone(), Vec::new()));
        };
        // A password in a template is not known to the guest.
        let replaced = relayed.replaced(public(url).as_str());
        Ok((relayed.address, replaced))
    }

    /// The author's kickstart with addresses that the guest can reach, and what they stand for.
    ///
    /// # Errors
    /// An address is not supported.
    pub fn kickstart(&self, author: &str) -> anyhow::Result<(String, Vec<Replaced>)> {
        let mut text = author.to_string();
        let mut replaced = Vec::new();
        for written in &self.reaches.kickstart {
            let (base, rest) = match &written.relayable {
                Some((base, rest)) => (base, rest.as_str()),
                None => (&written.url, ""),
            };
            let relayed =
                self.relayed("kickstart", &written.url, base, written.reach, written.kept)?;
            if let Some(relayed) = relayed {
                let span = written.span.start..written.span.end - rest.len();
                replaced.extend(relayed.replaced(&text[span.clone()]));
                text.replace_range(span, relayed.address.as_str());
            }
        }
        Ok((text, replaced))
    }

    /// Our address of `base` where `url` goes through our server.
    fn relayed(
        &self,
        name: &str,
        url: &Url,
        base: &Url,
        reach: Reach,
        kept: Option<Via>,
    ) -> anyhow::Result<Option<Relayed>> {
        match (reach, self.server) {
            (Reach::Relayed(reason), Some(server)) => {
                let message = format!("passing {} on to the guest: {reason}", shown(url));
                self.reporter.detail(message);
                let Some(via) = kept else {
                    let address = server.add_relay(name, self.mirror.upstream(base)?);
                    return Ok(Some(Relayed {
                        root: address.clone(),
                        address,
                        stands_for: base.clone(),
                    }));
                };
                let here = seen_from_here(base, self.reaches.network);
                let (here, rest) = match via {
                    Via::Direct => self.mirror.root_of(&here),
                    Via::MirrorList | Via::MetaLink => (here, String::new()),
                };
                let mut stands_for = base.clone();
                stands_for.set_path(here.path());
                let shelf = self.mirror.shelf(&here, via);
                let upstream: Arc<dyn Upstream> = Arc::<Shelf>::clone(&shelf);
                let root = server.add_relay(name, upstream);
                let address = shelf.served_at(&root);
                Ok(Some(Relayed {
                    address: match via {
                        Via::Direct => root.join(&rest)?,
                        Via::MirrorList | Via::MetaLink => address,
                    },
                    root,
                    stands_for,
                }))
            }
            (Reach::Blocked(reason), _) => {
                self.reporter.warn(format!(
                    "the guest may not get to {}: {reason}, and ozr is not to pass it on, or cannot",
                    shown(url)
                ));
                Ok(None)
            }
            _ => Ok(None),
        }
    }
}

/// What stands in the place of an address.
struct Relayed {
    address: Url,
    /// What our server has, the address below it, and what that is.
    root: Url,
    stands_for: Url,
}

impl Relayed {
    /// What gives the `author`'s address back, however the installer has noted ours: as it was, without a slash at
    /// its end, or a part of it.
    fn replaced(&self, author: &str) -> Vec<Replaced> {
        let of = |address: &str, author: &str| Replaced {
            address: address.to_owned(),
            author: author.to_owned(),
        };
        let bare = |text: &str| text.trim_end_matches('/').to_owned();
        let mut all = vec![of(self.address.as_str(), author)];
        let root = public(&self.stands_for);
        for (address, author) in [(&self.address, author), (&self.root, root.as_str())] {
            let (address, author) = (bare(address.as_str()), bare(author));
            if all.iter().all(|one| one.address != address) {
                all.push(of(&address, &author));
            }
        }
        all
    }
}
