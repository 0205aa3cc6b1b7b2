//! Which addresses the guest gets: their own, or ones of our server that lead there.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::time::Duration;

use tokio::task::JoinSet;
use url::Url;

use super::plan::Plan;
use crate::check::online::references::{self, Role};
use crate::check::online::variables::Known;
use crate::host;
use crate::kickstart::additions::Replaced;
use crate::language::{NoIncludes, Reading, Version};
use crate::machine::Network;
use crate::mirror::{Access, Mirror, Reach, public, shown};
use crate::options::Relay;
use crate::serve::Server;
use crate::ui::event::Reporter;

/// How long DNS and servers may take to tell whether the guest gets to an address. A resolver that
/// does not answer is left after 5 s for the next one (resolv.conf(5)).
const PATIENCE: Duration = Duration::from_secs(12);

/// How the guest gets to the addresses of the template and of the kickstart.
#[derive(Debug)]
pub struct Reaches {
    template: HashMap<Url, Reach>,
    /// Of the author's kickstart, from its end to its beginning.
    kickstart: Vec<Written>,
}

/// An address in the author's kickstart.
#[derive(Debug)]
struct Written {
    span: Range<usize>,
    url: Url,
    /// What our server can stand for, and what stays behind it.
    relayable: Option<(Url, String)>,
    reach: Reach,
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
                let relayable = match plan.options.verbatim {
                    true => None,
                    false => target.relayable(&plan.kickstart.text[span.clone()]),
                };
                let relay = relayable.as_ref().map_or(Relay::Never, |_| plan.relay);
                Written {
                    reach: Reach::of(obstacle(&url, target.access), relay),
                    relayable: relayable.map(|(base, rest)| (base, rest.to_owned())),
                    span,
                    url,
                }
            })
            .collect();
        written.sort_by_key(|written| Reverse(written.span.start));
        let template = template.into_iter().map(|(url, access)| {
            let reach = Reach::of(obstacle(&url, access), plan.relay);
            (url, reach)
        });
        Reaches {
            template: template.collect(),
            kickstart: written,
        }
    }

    /// Whether something goes through our server.
    pub fn need_server(&self) -> bool {
        let written = self.kickstart.iter().map(|written| &written.reach);
        let mut all = self.template.values().chain(written);
        all.any(|reach| matches!(reach, Reach::Relayed(_)))
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
    let (text, name) = (&plan.kickstart.text, &plan.kickstart.name);
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
    /// server's log.
    ///
    /// # Errors
    /// The address is not supported.
    pub fn address(&self, name: &str, url: &Url) -> anyhow::Result<Url> {
        let reach = self.reaches.template.get(url).copied();
        let relayed = self.relayed(name, url, url, reach.unwrap_or(Reach::Direct))?;
        Ok(relayed.unwrap_or_else(|| url.clone()))
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
            let relayed = self.relayed("kickstart", &written.url, base, written.reach)?;
            if let Some(relayed) = relayed {
                let span = written.span.start..written.span.end - rest.len();
                replaced.push(Replaced {
                    address: relayed.to_string(),
                    author: text[span.clone()].to_string(),
                });
                text.replace_range(span, relayed.as_str());
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
    ) -> anyhow::Result<Option<Url>> {
        match (reach, self.server) {
            (Reach::Relayed(reason), Some(server)) => {
                let message = format!("passing {} on to the guest: {reason}", shown(url));
                self.reporter.detail(message);
                Ok(Some(server.add_relay(name, self.mirror.upstream(base)?)))
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
