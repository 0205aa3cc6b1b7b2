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
use crate::mirror::{InstallTree, Mirror, REPOMD, TreeInfo, beside, public, shown, with_slash};

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
    /// Whether the address leads to a list of mirrors only.
    is_list: bool,
}

/// All that are named, in order: the source, those of the kickstart, those of the template.
pub(super) async fn of(
    plan: &Plan,
    mirror: &Mirror,
    tree: &InstallTree,
    discs: Option<&Discs>,
) -> Vec<Repository> {
    let network = known(plan).user_network;
    let mut asked = JoinSet::new();
    let on_disc = discs.filter(|discs| discs.first.has_packages() && takes_disc(plan));
    let on_disc = on_disc.map(of_disc).unwrap_or_default();
    for (index, named) in named(plan, mirror, tree).await.into_iter().enumerate() {
        let mirror = mirror.clone();
        asked.spawn(async move { (index, ask(named, network, &mirror).await) });
    }
    let mut all = asked.join_all().await;
    all.sort_by_key(|(index, _)| *index);
    let asked = all.into_iter().map(|(_, repository)| repository);
    on_disc.into_iter().chain(asked).collect()
}

/// Whether packages come from the disc, if it has any.
fn takes_disc(plan: &Plan) -> bool {
    let source = plan.kickstart.outline.source();
    source.is_none_or(|(_, line)| line.name() == CDROM)
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

async fn named(plan: &Plan, mirror: &Mirror, tree: &InstallTree) -> Vec<Named> {
    let known = known(plan);
    let mut all = Vec::new();
    if plan.kickstart.outline.source().is_none()
        && let Some(url) = &plan.tree
    {
        // The treeinfo that is known is an ISO image's where there is one.
        let info = tree.treeinfo.as_ref().filter(|_| plan.isos.is_empty());
        all.extend(of_tree(url, info));
    }
    for (target, span) in addresses(plan, &known) {
        let Some(url) = target.urls.first() else {
            continue;
        };
        let url = public(url);
        if target.role == Role::Source && target.via == Via::Direct {
            let seen = seen_from_here(&url, known.user_network);
            let described = timeout(PATIENCE, mirror.describe(&seen)).await;
            let info = described.ok().and_then(Result::ok).flatten();
            all.extend(of_tree(&url, info.as_ref()));
        } else if matches!(target.role, Role::Source | Role::Repository) {
            let mut commands = plan.kickstart.outline.commands();
            let command = commands.find(|command| command.span.contains(&span.start));
            let name = command.and_then(|command| command.option("name"));
            all.push(Named {
                name: name.map(str::to_owned),
                url,
                is_list: target.via != Via::Direct,
            });
        }
    }
    let ids = repository_ids(plan.repositories().map(|one| one.name.as_str()));
    for (repository, id) in plan.repositories().zip(ids) {
        all.push(Named {
            name: Some(format!("{ID_PREFIX}{id}")),
            url: repository.url.url().clone(),
            is_list: false,
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
            is_list: false,
        })
    });
    let mut all: Vec<Named> = variants.collect();
    if all.is_empty() {
        all.push(Named {
            name: Some(BASE.to_owned()),
            url: with_slash(tree),
            is_list: false,
        });
    }
    all
}

/// What a repository says of its state; nothing where it cannot be asked.
async fn ask(named: Named, network: Option<UserNetwork>, mirror: &Mirror) -> Repository {
    let state = async {
        let file = mirror
            .repomd(&seen_from_here(&named.url, network))
            .await
            .ok()?;
        let text = std::fs::read(&file.path).ok()?;
        let revision = repomd::parse(&text).ok()?.revision;
        Some((file.sha256, revision))
    };
    let state = match named.is_list {
        true => None,
        false => timeout(PATIENCE, state).await.ok().flatten(),
    };
    let (repomd_sha256, revision) = state.unzip();
    Repository {
        name: named.name,
        url: shown(&named.url),
        revision: revision.flatten(),
        repomd_sha256,
    }
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
