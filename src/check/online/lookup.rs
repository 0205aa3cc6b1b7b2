//! Reads every repository that was found, and says what of them is wrong.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::packages::{Wanted, fits};
use super::probe::Probing;
use super::references::{Place, Role};
use super::verdict::{Verdict, no_answer, of_fault};
use crate::mirror::repodata::{self, Contents, Query, Unreadable};
use crate::mirror::{Access, Disc, IsoSource, Sum, shown};

/// A repository that is there.
#[derive(Debug, Clone)]
pub struct Repository {
    /// Its address.
    pub base: Url,
    /// Under which conditions it is used.
    pub access: Access,
    /// Where it is named.
    pub places: Vec<Place>,
}

/// What came of reading one.
#[derive(Debug)]
pub struct Read {
    /// What it has, if it could be read.
    pub contents: Option<Contents>,
    /// What is wrong with it.
    pub verdicts: Vec<Verdict>,
}

/// Fetches repositories at once and reads one at a time, until `deadline`, which is so many seconds away. The results are
/// in the order of the repositories.
pub async fn read_all(
    probing: &Probing,
    repositories: &[Repository],
    wanted: &[Wanted],
    deadline: Instant,
    seconds: f64,
) -> Vec<Read> {
    let query = Arc::new(Query::new(wanted.iter().map(|wanted| wanted.name.as_str())));
    let mut readers = JoinSet::new();
    for (index, repository) in repositories.iter().enumerate() {
        let (probing, repository, query) =
            (probing.clone(), repository.clone(), Arc::clone(&query));
        readers.spawn(async move {
            let reading = repodata::read(
                &probing.mirror,
                &repository.base,
                query,
                deadline.into_std(),
            );
            let (contents, verdicts) = match timeout_at(deadline, reading).await {
                Ok(Ok(contents)) => {
                    let verdicts = judge(&probing, &repository.base, &contents);
                    (Some(contents), verdicts)
                }
                Ok(Err(why)) => (None, Vec::from_iter(unreadable(&why, repository.access))),
                Err(_) => {
                    let what = format!("the metadata of {}", shown(&repository.base));
                    (None, vec![no_answer(&what, seconds)])
                }
            };
            (index, Read { contents, verdicts })
        });
    }
    let mut all = readers.join_all().await;
    all.sort_by_key(|(index, _)| *index);
    all.into_iter().map(|(_, read)| read).collect()
}

/// What the repositories of an installation disc of this host have, within so long; nothing where they cannot be
/// read, which whoever installs from it tells.
pub async fn read_disc(
    probing: &Probing,
    disc: &Url,
    wanted: &[Wanted],
    limit: Duration,
) -> Option<Vec<Contents>> {
    disc.to_file_path().ok()?;
    let query = Query::new(wanted.iter().map(|wanted| wanted.name.as_str()));
    let source = IsoSource {
        url: disc.clone(),
        sum: Sum::Beside,
        key: None,
    };
    let deadline = Instant::now() + limit;
    let iso = probing.mirror.look_at(&source).await.ok()?;
    let reading = tokio::task::spawn_blocking(move || {
        let disc = Disc::look(&iso)?;
        let paths = disc.repositories.iter().map(|(_, path)| path);
        paths
            .map(|path| repodata::disc::read(&iso, path, &query, deadline.into_std()))
            .collect::<anyhow::Result<Vec<_>>>()
    });
    timeout_at(deadline, reading).await.ok()?.ok()?.ok()
}

fn unreadable(why: &Unreadable, access: Access) -> Option<Verdict> {
    match why {
        Unreadable::Mirror(fault) => of_fault(fault, Role::Repository, access),
        Unreadable::Content { .. } => Some(Verdict::error(
            "KS204",
            why.to_string(),
            "try again later, or take another mirror",
        )),
    }
}

/// What a repository tells of itself by its packages.
fn judge(probing: &Probing, base: &Url, contents: &Contents) -> Vec<Verdict> {
    let mut wrong = Vec::new();
    let arches = &contents.packages.arches;
    if let Some(arch) = probing.known.arch
        && !arches.is_empty()
        && !arches.iter().any(|name| fits(arch, name))
    {
        let found: Vec<&str> = arches.iter().map(String::as_str).collect();
        wrong.push(Verdict::error(
            "KS206",
            format!(
                "the packages of {} are for {}, none for {arch}",
                shown(base),
                found.join(", ")
            ),
            "take the repository of the guest's architecture",
        ));
    }
    let releases = &contents.packages.releases;
    if let Some((major, _, _)) = probing.known.expected()
        && !releases.is_empty()
        && !releases.contains(&major)
    {
        let found: Vec<String> = releases.iter().map(u32::to_string).collect();
        wrong.push(Verdict::error(
            "KS205",
            format!(
                "{} is a repository of release {}, but {} is wanted",
                shown(base),
                found.join(", "),
                probing.known.name()
            ),
            "take the repository of the release, or name the release that is meant",
        ));
    }
    wrong
}
