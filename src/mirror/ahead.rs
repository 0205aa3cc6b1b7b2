//! What the last build of a name took, fetched while the guest boots.
//!
//! Of each package that it took, the newest that is listed now: what the guest will most likely ask for. It is a guess,
//! so it fails unseen, and is not in the accounts of what the guest took unless that asks for it.

use std::collections::HashMap;

use percent_encoding::percent_decode_str;
use tokio::task::JoinSet;
use url::Url;

use super::lists::Via;
use super::locked::Lock;
use super::obtain::{Store, Want};
use super::place::Source;
use super::repository::{Known, Repository};
use super::verify::{self, Expect};
use crate::packages::version::compare_evr;

/// Downloads at a time. What the guest asks for meanwhile, such as stage 2, is to come first.
const AT_ONCE: usize = 2;

/// Most bytes, as a multiple of what the last build took: packages that have grown more are left to the guest.
const MOST: u64 = 2;

/// What releases of modular packages have in them (`modulemd-tools`): which stream the guest takes is not known.
const MODULAR: &str = ".module";

/// Fetches until it is dropped.
#[derive(Debug)]
pub struct Ahead {
    _task: JoinSet<()>,
}

/// A package by its name and architecture.
type NameArch = (String, String);

/// A package that is to be fetched.
struct Chosen<'a> {
    evr: &'a str,
    source: &'a Source,
    href: &'a str,
    known: &'a Known,
}

/// Begins to fetch what a build took, as far as it is in these repositories.
pub(super) fn begin(store: &Store, repositories: Vec<(Url, Via)>, last: &Lock) -> Ahead {
    let mut task = JoinSet::new();
    let wanted: HashMap<NameArch, String> = last
        .files
        .iter()
        .filter_map(|file| {
            let name = file.url.rsplit(['/', '#']).next()?.strip_suffix(".rpm")?;
            let name = percent_decode_str(name).decode_utf8().ok()?;
            let (name, _, arch) = parts(&name)?;
            Some(((name.to_owned(), arch.to_owned()), file.sha256.clone()))
        })
        .collect();
    let packages = last.files.iter().filter(|file| file.url.ends_with(".rpm"));
    let bytes = packages.map(|file| file.bytes).fold(0, u64::saturating_add);
    let may = store.locked.is_none() && !store.fetcher.offline && !store.refetch;
    if may && !wanted.is_empty() {
        let store = store.clone();
        task.spawn(async move {
            fetch(&store, repositories, &wanted, bytes.saturating_mul(MOST)).await;
        });
    }
    Ahead { _task: task }
}

async fn fetch(
    store: &Store,
    places: Vec<(Url, Via)>,
    wanted: &HashMap<NameArch, String>,
    most: u64,
) {
    let mut repositories = Vec::new();
    for (url, via) in places {
        let source = store.source(&url, via);
        // One that cannot be had is spoken of when the guest asks for it.
        if let Ok(repository) = store.repository(&source, "").await {
            repositories.push((source, repository));
        }
    }
    let all = repositories.iter().map(|(source, one)| (source, &**one));
    let mut left = most;
    let mut running = JoinSet::new();
    for want in choose(all, wanted) {
        let bytes = want.bytes.unwrap_or(u64::MAX);
        if store.is_here(&want) || bytes > left {
            continue;
        }
        left -= bytes;
        if running.len() == AT_ONCE {
            running.join_next().await;
        }
        let store = store.clone();
        running.spawn(async move { store.fetch_ahead(&want).await });
    }
    running.join_all().await;
}

/// What is to be fetched, in the order of its names.
fn choose<'a>(
    repositories: impl Iterator<Item = (&'a Source, &'a Repository)>,
    wanted: &HashMap<NameArch, String>,
) -> Vec<Want> {
    let mut best: HashMap<(&str, &str), Chosen<'_>> = HashMap::new();
    for (source, repository) in repositories {
        for (href, package, known) in repository.packages() {
            let Some((name, evr, arch)) = parts(package) else {
                continue;
            };
            let taken = wanted.get(&(name.to_owned(), arch.to_owned()));
            let is_it = taken.is_some_and(|sha256| *sha256 == known.checksum.hex);
            let is_usable = verify::is_known(&known.checksum);
            if taken.is_none() || !is_usable || evr.contains(MODULAR) && !is_it {
                continue;
            }
            let before = best.get(&(name, arch));
            if before.is_none_or(|before| compare_evr(before.evr, evr).is_lt()) {
                let chosen = Chosen {
                    evr,
                    source,
                    href,
                    known,
                };
                best.insert((name, arch), chosen);
            }
        }
    }
    let mut chosen: Vec<_> = best.into_iter().collect();
    chosen.sort_unstable_by_key(|(name, _)| *name);
    let wants = chosen.into_iter().map(|(_, chosen)| Want {
        checksum: Some(chosen.known.checksum.clone()),
        bytes: chosen.known.bytes,
        ..Want::of(chosen.source.place(chosen.href), Expect::Guest)
    });
    wants.collect()
}

/// `NAME-VERSION-RELEASE.ARCH` in its parts.
fn parts(package: &str) -> Option<(&str, &str, &str)> {
    let (rest, arch) = package.rsplit_once('.')?;
    let release = rest.rfind('-')?;
    let version = rest[..release].rfind('-')?;
    Some((&rest[..version], &rest[version + 1..], arch))
}
