//! The repositories that the installer takes packages from, and the state of each as it is when the
//! install begins: the papers name it.
//!
//! The guest asks for itself, a moment later; a mirror that changes in between shows as packages that the
//! state here does not have.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;
use url::Url;

use super::isos::Discs;
use super::plan::Plan;
use super::relay::{addresses, known};
use crate::check::online::references::{Role, Via};
use crate::check::online::seen_from_here;
use crate::distro::CDROM;
use crate::hex;
use crate::image::manifest::Repository;
use crate::kickstart::compose::ID_PREFIX;
use crate::kickstart::script::repository_ids;
use crate::machine::UserNetwork;
use crate::mirror::repodata::repomd;
use crate::mirror::repodata::repomd::RepoMd;
use crate::mirror::{Mirror, REPOMD, TreeInfo, beside, lists, public, shown, with_slash};

/// How long a mirror may take to tell the state of a repository: the build does not need it.
const PATIENCE: Duration = Duration::from_secs(12);

/// What the installer calls the repository that a tree is (anaconda 25 to 44,
/// `pyanaconda/core/constants.py`, `BASE_REPO_NAME`).
const BASE: &str = "anaconda";

/// Largest `repomd.xml` that is read out of an image, in bytes: they have a few KB.
const MAX_REPOMD: u64 = 1 << 20;

/// A repository, before it was asked.
struct Named {
    name: Option<String>,
    url: Url,
    /// How the address leads there.
    via: Via,
    /// The tree that has it, if it is not named itself.
    tree: Option<Url>,
}

/// Where a repository on the network is, as this host sees it.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its address.
    pub url: Url,
    /// How that leads there.
    pub via: Via,
    /// The address by which it is named: its own, or its tree's.
    pub written: Url,
}

/// A repository that was asked.
#[derive(Debug)]
pub struct Asked {
    /// Where it is; none of one on a disc.
    pub place: Option<Place>,
    /// What the papers say of it.
    pub about: Repository,
    /// What it has, if it told; of a list of mirrors, what the first of them has.
    pub listed: Option<Listed>,
}

/// What a repository has.
#[derive(Debug)]
pub struct Listed {
    /// Its address, as this host sees it.
    pub base: Url,
    /// Its lists.
    pub list: RepoMd,
}

/// All that are named, in order: the source, those of the kickstart, those of the template.
pub(super) async fn of(
    plan: &Plan,
    mirror: &Mirror,
    info: Option<&TreeInfo>,
    discs: Option<&Discs>,
) -> Vec<Asked> {
    let network = known(plan).user_network;
    let mut asked = JoinSet::new();
    let on_disc = discs.filter(|discs| discs.first.has_packages() && takes_disc(plan));
    let on_disc = on_disc.map(of_disc).unwrap_or_default();
    for (index, named) in named(plan, mirror, info).await.into_iter().enumerate() {
        let mirror = mirror.clone();
        asked.spawn(async move { (index, ask(named, network, &mirror).await) });
    }
    let mut all = asked.join_all().await;
    all.sort_by_key(|(index, _)| *index);
    let asked = all.into_iter().map(|(_, repository)| repository);
    let on_disc = on_disc.into_iter().map(|about| Asked {
        place: None,
        about,
        listed: None,
    });
    on_disc.chain(asked).collect()
}

/// Whether packages come from the disc, if it has any.
pub(super) fn takes_disc(plan: &Plan) -> bool {
    !plan.answers.name_source() || plan.answers.name_disc()
}

/// The repositories on a disc, and the state of each.
fn of_disc(discs: &Discs) -> Vec<Repository> {
    let image = discs.images.first();
    let iso = image.and_then(|image| image.contents().ok());
    let base = discs.first.info.variant.as_deref();
    let all = discs.first.repositories.iter();
    let is_only = discs.first.repositories.len() == 1;
    all.map(|(name, path)| {
        let place = format!("{path}/{REPOMD}");
        let text = iso
            .as_ref()
            .and_then(|iso| iso.read(&place, MAX_REPOMD).ok().flatten());
        let is_base = is_only || Some(name.as_str()) == base;
        let path = path.trim_start_matches("./");
        Repository {
            name: Some(if is_base { BASE } else { name }.to_owned()),
            url: format!("{CDROM}:{path}"),
            revision: text
                .as_deref()
                .and_then(|text| repomd::parse(text).ok()?.revision),
            repomd_sha256: text.map(hex::sha256),
        }
    })
    .collect()
}

async fn named(plan: &Plan, mirror: &Mirror, info: Option<&TreeInfo>) -> Vec<Named> {
    let known = known(plan);
    let mut all = Vec::new();
    if !plan.answers.name_source()
        && let Some(url) = &plan.tree
    {
        // The treeinfo that is known is an ISO image's where there is one.
        let info = info.filter(|_| plan.isos.is_empty());
        all.extend(of_tree(url, info));
    }
    for (target, span) in addresses(plan, &known) {
        let Some(url) = target.urls.first() else {
            continue;
        };
        let url = public(url);
        if target.role == Role::Source && target.via == Via::Direct {
            let is_known =
                |tree: &Url| plan.isos.is_empty() && with_slash(tree) == with_slash(&url);
            if plan.tree.as_ref().is_some_and(is_known) && info.is_some() {
                all.extend(of_tree(&url, info));
                continue;
            }
            let seen = seen_from_here(&url, known.user_network);
            let described = timeout(PATIENCE, mirror.describe(&seen)).await;
            let info = described.ok().and_then(Result::ok).flatten();
            all.extend(of_tree(&url, info.as_ref()));
        } else if matches!(target.role, Role::Source | Role::Repository) {
            let mut commands = plan.answers.outline().commands();
            let command = commands.find(|command| command.span.contains(&span.start));
            let name = command.and_then(|command| command.option("name"));
            all.push(Named {
                name: name.map(str::to_owned),
                url,
                via: target.via,
                tree: None,
            });
        }
    }
    let ids = repository_ids(plan.repositories().map(|one| one.name.as_str()));
    for (repository, id) in plan.repositories().zip(ids) {
        all.push(Named {
            name: Some(format!("{ID_PREFIX}{id}")),
            url: repository.url.url().clone(),
            via: Via::Direct,
            tree: None,
        });
    }
    all
}

/// The repositories of a tree, as the installer calls them: that of the variant that the tree is has
/// the name of all base repositories.
fn of_tree(tree: &Url, info: Option<&TreeInfo>) -> Vec<Named> {
    let variants = info.map_or(&[][..], |info| &info.repositories);
    let base = info.and_then(|info| info.variant.as_deref());
    let variants = variants.iter().filter_map(|variant| {
        let is_base = variants.len() == 1 || Some(variant.name.as_str()) == base;
        let name = if is_base { BASE } else { &variant.name };
        Some(Named {
            name: Some(name.to_owned()),
            url: beside(tree, &variant.path)?,
            via: Via::Direct,
            tree: Some(tree.clone()),
        })
    });
    let mut all: Vec<Named> = variants.collect();
    if all.is_empty() {
        all.push(Named {
            name: Some(BASE.to_owned()),
            url: with_slash(tree),
            via: Via::Direct,
            tree: Some(tree.clone()),
        });
    }
    all
}

/// What a repository says of its state; nothing where it cannot be asked.
async fn ask(named: Named, network: Option<UserNetwork>, mirror: &Mirror) -> Asked {
    let asking = async {
        let base = match named.via {
            Via::Direct => seen_from_here(&named.url, network),
            via => {
                let list = seen_from_here(&named.url, network);
                let first = first_of_list(&list, via, mirror).await?;
                seen_from_here(&first, network)
            }
        };
        let file = mirror.repomd(&base).await.ok()?;
        let text = std::fs::read(&file.path).ok()?;
        let list = repomd::parse(&text).ok()?;
        Some((file.sha256, Listed { base, list }))
    };
    let asked = timeout(PATIENCE, asking).await.ok().flatten();
    let (sha256, listed) = asked.unzip();
    // Which one of a list the guest takes is not known.
    let is_it = named.via == Via::Direct;
    let revision = listed
        .as_ref()
        .and_then(|listed| listed.list.revision.clone());
    Asked {
        place: Some(Place {
            url: seen_from_here(&named.url, network),
            via: named.via,
            written: seen_from_here(named.tree.as_ref().unwrap_or(&named.url), network),
        }),
        about: Repository {
            name: named.name,
            url: shown(&named.url),
            revision: revision.filter(|_| is_it),
            repomd_sha256: sha256.filter(|_| is_it),
        },
        listed,
    }
}

/// The first mirror of a list that ozr can ask.
async fn first_of_list(url: &Url, via: Via, mirror: &Mirror) -> Option<Url> {
    let bytes = mirror.fetch(url, lists::MAX_BYTES).await.ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let all = match via {
        Via::MetaLink => lists::metalink(&text),
        _ => lists::mirror_list(&text),
    };
    let mut urls = all
        .ok()?
        .into_iter()
        .filter_map(|text| Url::parse(&text).ok());
    urls.find(|url| matches!(url.scheme(), "http" | "https"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mirror::treeinfo;

    #[test]
    fn repositories_of_a_tree_are_called_as_the_installer_calls_them() {
        let tree = Url::parse("http://m/9/BaseOS/x86_64/os").unwrap();
        let of = |text: &str| -> Vec<(String, String)> {
            let info = treeinfo::parse(text, "t").unwrap();
            let all = of_tree(&tree, Some(&info)).into_iter();
            all.map(|named| (named.name.unwrap_or_default(), named.url.into()))
                .collect()
        };
        let own = |name: &str, url: &str| (name.to_owned(), url.to_owned());
        let text = "[general]\narch = x86_64\nvariant = BaseOS\n[variant-AppStream]\n\
            repository = ../../../AppStream/x86_64/os\n[variant-BaseOS]\nrepository = .\n";
        assert_eq!(
            of(text),
            [
                own("AppStream", "http://m/9/AppStream/x86_64/os/"),
                own("anaconda", "http://m/9/BaseOS/x86_64/os/"),
            ]
            .into_iter()
            .rev()
            .collect::<Vec<_>>()
        );
        let text = "[general]\narch = x86_64\nvariant = Server\n";
        assert_eq!(of(text), [own("anaconda", "http://m/9/BaseOS/x86_64/os/")]);
    }
}
