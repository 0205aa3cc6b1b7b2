//! Tries what a kickstart or template points at: is it there, and is it what it must be?

use url::Url;

use super::references::{ISO, Role, Target, Via};
use super::variables::{Known, names, resolve, seen_from_here};
use super::verdict::{Verdict, of_fault};
use crate::diagnostic::Severity;
use crate::distro::TreeLayout;
use crate::machine::UserNetwork;
use crate::mirror::lists;
use crate::mirror::{
    Access, Answer, Fault, Mirror, Obstacle, REPOMD, TreeInfo, beside, check_tree, join, public,
    shown, with_slash,
};

/// Most mirrors of a list that are tried before the list is given up: dnf goes through all, but
/// three that cannot be used say that the list is for another release.
const MIRRORS_TRIED: usize = 3;

/// Fewest bytes of an ISO image with an installer: its kernel alone has more.
const SMALLEST_ISO: u64 = 1 << 20;

/// Where trees of most releases keep their installer, for a tree that does not say and a release
/// that is not known.
const USUAL: TreeLayout = TreeLayout {
    kernel: "images/pxeboot/vmlinuz",
    initrd: "images/pxeboot/initrd.img",
    stage2: &["images/install.img", "LiveOS/squashfs.img"],
};

/// How `.treeinfo` calls the families whose versions are those of EL (`[release] name`, and
/// `[general] family` of old trees).
const EL_FAMILIES: [&str; 6] = [
    "Red Hat Enterprise Linux",
    "CentOS",
    "Rocky Linux",
    "AlmaLinux",
    "Oracle Linux",
    "Scientific",
];

/// What it takes to try addresses; cheap to clone.
#[derive(Debug, Clone)]
pub struct Probing {
    /// Asks, and fetches what is read.
    pub mirror: Mirror,
    /// What is known of the guest.
    pub known: Known,
}

/// What was seen at an address.
#[derive(Debug, Default)]
pub struct Seen {
    /// What is wrong with it.
    pub verdicts: Vec<Verdict>,
    /// The repositories that are there.
    pub repositories: Vec<Url>,
    /// What keeps the guest from asking itself.
    pub obstacle: Option<Obstacle>,
}

impl Seen {
    /// Something was seen of which there is but this to say.
    pub fn with(verdict: impl Into<Option<Verdict>>) -> Seen {
        Seen {
            verdicts: verdict.into().into_iter().collect(),
            ..Seen::default()
        }
    }

    /// Whether it could not be looked at.
    pub fn is_unread(&self) -> bool {
        self.has_error() || self.verdicts.iter().any(|verdict| verdict.id == "KS209")
    }

    /// Whether something in it stops the install.
    pub fn has_error(&self) -> bool {
        self.verdicts.iter().any(Verdict::is_error)
    }
}

impl Probing {
    /// What keeps the guest from getting to a target by itself.
    pub async fn obstacle(&self, target: &Target) -> Option<Obstacle> {
        // A password in a kickstart is known to the guest.
        let url = public(target.urls.first()?);
        let network = self.known.user_network;
        self.mirror.obstacle(&url, target.access, network).await
    }

    /// Tries a target.
    pub async fn examine(&self, target: &Target) -> Seen {
        let mut kept: Option<Seen> = None;
        for url in &target.urls {
            let seen = match target.via {
                Via::Direct => self.at(target.role, target.access, url).await,
                Via::MirrorList | Via::MetaLink => match self.listed(target, url).await {
                    Ok(seen) => seen,
                    Err(fault) => self.of_fault(&fault, url, target.role, target.access),
                },
            };
            if !seen.has_error() {
                return seen;
            }
            // Of addresses the first is most likely meant; of lists the last is told.
            if kept.is_none() || target.via != Via::Direct {
                kept = Some(seen);
            }
        }
        kept.unwrap_or_default()
    }

    /// Tries mirrors of one list.
    async fn listed(&self, target: &Target, url: &Url) -> Result<Seen, Fault> {
        let url = &seen_from_here(url, self.known.user_network);
        let bytes = self.mirror.fetch(url, lists::MAX_BYTES).await?;
        let text = String::from_utf8_lossy(&bytes);
        let (what, listed) = match target.via {
            Via::MetaLink => ("metalink", lists::metalink(&text)),
            _ => ("mirror list", lists::mirror_list(&text)),
        };
        let place = shown(url);
        let listed = match listed {
            Ok(listed) => listed,
            Err(why) => {
                return Ok(Seen::with(Verdict::error(
                    "KS213",
                    format!("the {what} {place} names no mirror: {why}"),
                    "check the release, repository and architecture in the address",
                )));
            }
        };
        let usable: Vec<Url> = listed
            .iter()
            .filter_map(|mirror| resolve(mirror, &self.known, false).ok()?.into_iter().next())
            .collect();
        let mut why = "none of them has an http or https address".to_string();
        for mirror in usable.iter().take(MIRRORS_TRIED) {
            let mut seen = self.at(target.role, target.access, mirror).await;
            let error = seen.verdicts.iter().find(|verdict| verdict.is_error());
            match error {
                // Where one mirror has moved to is for the list's keeper.
                None => {
                    seen.verdicts.retain(|verdict| verdict.id != "KS208");
                    return Ok(seen);
                }
                Some(verdict) if matches!(verdict.id, "KS205" | "KS206") => return Ok(seen),
                Some(verdict) => why.clone_from(&verdict.message),
            }
        }
        let tried = usable.len().min(MIRRORS_TRIED);
        let message = format!(
            "of {} mirrors in the {what} {place}, {tried} were tried and none can be used: {why}",
            listed.len()
        );
        let help = "check the release, repository and architecture in the address";
        Ok(Seen::with(if tried == listed.len() {
            Verdict::error("KS213", message, help)
        } else {
            Verdict::warning("KS213", message, help)
        }))
    }

    async fn at(&self, role: Role, access: Access, url: &Url) -> Seen {
        let url = &seen_from_here(url, self.known.user_network);
        let seen = match role {
            Role::InstallTree => self.tree(url, access, true).await,
            Role::Source => self.tree(url, access, false).await,
            Role::Repository => self.repository(url, access).await,
            Role::OsTree => self.ostree(url, access).await,
            ISO => self.iso(url, access).await,
            Role::File(_) | Role::Download => self.file(url, access).await,
        };
        seen.unwrap_or_else(|fault| self.of_fault(&fault, url, role, access))
    }

    /// What a failed request means. Where the guest's network is not the usual one, an address in
    /// the usual one may be meant for this host.
    fn of_fault(&self, fault: &Fault, url: &Url, role: Role, access: Access) -> Seen {
        let mut verdict = of_fault(fault, role, access);
        if let (Some(verdict), Some(network)) = (&mut verdict, self.known.user_network)
            && names(url, UserNetwork::USUAL)
            && network != UserNetwork::USUAL
        {
            verdict.help = Some(format!(
                "if this host is meant: it is {} in the guest's network here, {network}, because \
                 this host has a route into {}",
                network.host(),
                UserNetwork::USUAL
            ));
        }
        Seen::with(verdict)
    }

    async fn file(&self, url: &Url, access: Access) -> Result<Seen, Fault> {
        let answer = self.mirror.ask(url).await?;
        Ok(Seen::with(moved(url, "", &answer, access)))
    }

    async fn iso(&self, url: &Url, access: Access) -> Result<Seen, Fault> {
        let answer = self.mirror.ask(url).await?;
        if let Some(bytes) = answer.bytes.filter(|bytes| *bytes < SMALLEST_ISO) {
            let message = format!("{} is no ISO image: it has {bytes} bytes", shown(url));
            let help = "check the address: an installer's image has hundreds of MiB";
            return Ok(Seen::with(Verdict::error("KS202", message, help)));
        }
        Ok(Seen::with(moved(url, "", &answer, access)))
    }

    async fn ostree(&self, base: &Url, access: Access) -> Result<Seen, Fault> {
        match self.first_of(base, &["config", "summary"], access).await? {
            Ok(seen) => Ok(seen),
            Err(hidden) => {
                let message = format!(
                    "{} is no OSTree repository: it has no `config`",
                    shown(base)
                );
                let help = "the address must be the directory in which `config` lies";
                let verdict = Verdict::error("KS204", message, help);
                self.nothing(base, hidden, verdict).await
            }
        }
    }

    async fn repository(&self, base: &Url, access: Access) -> Result<Seen, Fault> {
        match self.first_of(base, &[REPOMD], access).await? {
            Ok(mut seen) => {
                self.mirror.repomd(base).await?;
                seen.repositories.push(base.clone());
                Ok(seen)
            }
            Err(hidden) => {
                let message = format!("{} is no repository: it has no `{REPOMD}`", shown(base));
                let help = "the address must be the directory in which `repodata` lies, such as `…/AppStream/x86_64/os/`";
                let verdict = Verdict::error("KS204", message, help);
                self.nothing(base, hidden, verdict).await
            }
        }
    }

    /// A tree; with `boots` one that has an installer, else one that has packages.
    async fn tree(&self, base: &Url, access: Access, boots: bool) -> Result<Seen, Fault> {
        if access.ours {
            check_tree(base)?;
        }
        let names = [".treeinfo", "treeinfo"];
        let mut seen = match self.first_of(base, &names, access).await? {
            Ok(seen) => seen,
            Err(hidden) => return self.bare_tree(base, hidden, boots).await,
        };
        let Some(info) = self.mirror.describe(base).await? else {
            return self.bare_tree(base, None, boots).await;
        };
        let wrong = self.mismatches(base, &info);
        seen.verdicts.extend(wrong);
        if seen.has_error() {
            return Ok(seen);
        }
        if boots {
            let missing = self.missing_image(base, Some(&info)).await?;
            seen.verdicts
                .extend(missing.map(|path| no_installer(base, &path)));
        }
        seen.repositories = self.repositories(base, &info).await?;
        if seen.repositories.is_empty() && !boots {
            seen.verdicts.push(Verdict::error(
                "KS204",
                format!("the tree {} has no repository of packages", shown(base)),
                "it is for booting only: name the repositories with `url` and `repo`",
            ));
        }
        Ok(seen)
    }

    /// A tree that says nothing of itself.
    async fn bare_tree(
        &self,
        base: &Url,
        hidden: Option<Fault>,
        boots: bool,
    ) -> Result<Seen, Fault> {
        let repodata = self.is_there(base, REPOMD).await?;
        let missing = self.missing_image(base, None).await?;
        if boots && missing.is_some() || missing.is_some() && !repodata {
            let have = if boots {
                "`.treeinfo` nor `images/pxeboot`"
            } else {
                "`.treeinfo`, `images/pxeboot` nor `repodata`"
            };
            let message = format!("{} is no install tree: it has neither {have}", shown(base));
            let help = "the address must be the directory in which `images` lies, such as `…/BaseOS/x86_64/os/`";
            let verdict = Verdict::error("KS203", message, help);
            return self.nothing(base, hidden, verdict).await;
        }
        Ok(Seen {
            repositories: repodata.then(|| base.clone()).into_iter().collect(),
            ..Seen::default()
        })
    }

    /// What to say of a directory in which nothing was found: perhaps there is none.
    async fn nothing(
        &self,
        base: &Url,
        hidden: Option<Fault>,
        verdict: Verdict,
    ) -> Result<Seen, Fault> {
        match self.mirror.ask(&with_slash(base)).await {
            Err(fault @ Fault::NotFound { .. }) => Err(fault),
            // The whole place is forbidden.
            Err(Fault::Forbidden { .. }) if hidden.is_some() => {
                Err(hidden.unwrap_or(Fault::NotFound { url: shown(base) }))
            }
            _ => Ok(Seen::with(verdict)),
        }
    }

    /// What in a tree is for something else.
    fn mismatches(&self, base: &Url, info: &TreeInfo) -> Vec<Verdict> {
        let mut wrong = Vec::new();
        let place = shown(base);
        if let Some(arch) = self.known.arch
            && !info.is_for(arch)
        {
            let found = info.arch.as_deref().unwrap_or("something else");
            wrong.push(Verdict::error(
                "KS206",
                format!("{place} is a tree for {found}, not for {arch}"),
                "take the tree of the guest's architecture",
            ));
        }
        let (Some((major, minor, fedora)), Some(version)) = (self.known.expected(), &info.version)
        else {
            return wrong;
        };
        // `Rawhide`, `eln`: nothing to compare.
        let Some((found, found_minor)) = numbers(version) else {
            return wrong;
        };
        let family = info.family.as_deref().unwrap_or_default();
        let is_known = EL_FAMILIES.iter().any(|known| family.starts_with(known));
        let is_fedora = family.starts_with("Fedora");
        let is_other_family = is_fedora && !fedora || is_known && fedora;
        let named = format!("{family} {version}");
        let named = named.trim();
        if found != major || is_other_family {
            // Products that are made of a release count their own versions.
            let severity = if is_known || is_fedora {
                Severity::Error
            } else {
                Severity::Warning
            };
            wrong.push(Verdict::of(
                severity,
                "KS205",
                format!(
                    "{place} is a tree of {named}, but {} is wanted",
                    self.known.name()
                ),
                "take the tree of the release, or name the release that is meant",
            ));
        } else if let (Some(minor), Some(other)) = (minor, found_minor)
            && minor != other
        {
            wrong.push(Verdict::warning(
                "KS205",
                format!(
                    "{place} is a tree of {named}, and {} is named",
                    self.known.name()
                ),
                "trees of a major release move on to the next minor one: name the release without it, or take its own tree",
            ));
        }
        wrong
    }

    /// The first of the installer's files that is not in the tree.
    async fn missing_image(
        &self,
        base: &Url,
        info: Option<&TreeInfo>,
    ) -> Result<Option<String>, Fault> {
        let layout = match (self.known.release, self.known.arch) {
            (Some(release), Some(arch)) => release.tree_layout(arch),
            _ => USUAL,
        };
        let named = |path: Option<&String>, usual: &str| {
            path.map_or_else(|| usual.to_string(), Clone::clone)
        };
        let kernel = named(info.and_then(|info| info.kernel.as_ref()), layout.kernel);
        let initrd = named(info.and_then(|info| info.initrd.as_ref()), layout.initrd);
        let stage2: Vec<&str> = match info.and_then(|info| info.stage2.as_deref()) {
            Some(path) => vec![path],
            None => layout.stage2.to_vec(),
        };
        let (has_kernel, has_initrd, has_stage2) = tokio::try_join!(
            self.is_there(base, &kernel),
            self.is_there(base, &initrd),
            async {
                for path in &stage2 {
                    if self.is_there(base, path).await? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        )?;
        Ok(if !has_kernel {
            Some(kernel)
        } else if !has_initrd {
            Some(initrd)
        } else if !has_stage2 {
            stage2.first().map(|path| (*path).to_string())
        } else {
            None
        })
    }

    /// The repositories that a tree has: those of its variants that are there, as anaconda takes
    /// them, or the tree itself.
    async fn repositories(&self, base: &Url, info: &TreeInfo) -> Result<Vec<Url>, Fault> {
        let mut named: Vec<Url> = info
            .repositories
            .iter()
            .filter_map(|variant| beside(base, &variant.path))
            .collect();
        if named.is_empty() {
            named.push(base.clone());
        }
        let mut there = Vec::new();
        for repository in named {
            if self.is_there(&repository, REPOMD).await? && !there.contains(&repository) {
                there.push(repository);
            }
        }
        Ok(there)
    }

    async fn is_there(&self, base: &Url, path: &str) -> Result<bool, Fault> {
        match self.mirror.ask(&join(base, path)).await {
            Ok(_) => Ok(true),
            Err(Fault::NotFound { .. } | Fault::Forbidden { .. }) => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    /// What is seen of the first of the files that is there; if none is, the refusal, where the
    /// server did not say whether there is one.
    async fn first_of(
        &self,
        base: &Url,
        names: &[&str],
        access: Access,
    ) -> Result<Result<Seen, Option<Fault>>, Fault> {
        let mut hidden = None;
        for name in names {
            match self.mirror.ask(&join(base, name)).await {
                Ok(answer) => return Ok(Ok(Seen::with(moved(base, name, &answer, access)))),
                Err(Fault::NotFound { .. }) => {}
                // Some servers forbid all names that begin with a dot.
                Err(fault @ Fault::Forbidden { .. }) => hidden = Some(fault),
                Err(fault) => return Err(fault),
            }
        }
        Ok(Err(hidden))
    }
}

fn no_installer(base: &Url, path: &str) -> Verdict {
    Verdict::error(
        "KS203",
        format!(
            "the tree {} cannot be booted: it has no `{path}`",
            shown(base)
        ),
        "trees such as AppStream have packages but no installer: take the one with `images/pxeboot`, such as `…/BaseOS/x86_64/os/`",
    )
}

/// What to say of an address that redirects: nothing if the server may send elsewhere next time.
fn moved(base: &Url, name: &str, answer: &Answer, access: Access) -> Option<Verdict> {
    let asked_scheme = base.scheme();
    if access.ours && answer.url.scheme() != asked_scheme {
        return Some(Verdict::error(
            "KS208",
            format!(
                "{} redirects to another scheme, {}, where ozr does not follow",
                shown(base),
                shown(&without(&answer.url, name))
            ),
            "write the second address if you trust it",
        ));
    }
    let to = without(answer.moved.as_ref()?, name);
    (shown(&to) != shown(base) && shown(&to) != shown(&with_slash(base))).then(|| {
        Verdict::warning(
            "KS208",
            format!("{} has moved for good to {}", shown(base), shown(&to)),
            "write the new address: the old one may end any day",
        )
    })
}

/// The base of an address that ends with `name`.
fn without(url: &Url, name: &str) -> Url {
    let mut base = url.clone();
    if let Some(path) = url.path().strip_suffix(name)
        && !name.is_empty()
    {
        base.set_path(path);
    }
    base
}

/// Major and minor number of a version.
fn numbers(version: &str) -> Option<(u32, Option<u32>)> {
    let mut parts = version.split(['.', '-', ' ']);
    let major = parts.next()?.parse().ok()?;
    Some((major, parts.next().and_then(|minor| minor.parse().ok())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_can_be_compared() {
        assert_eq!(numbers("9.4"), Some((9, Some(4))));
        assert_eq!(numbers("43"), Some((43, None)));
        assert_eq!(numbers("8-stream"), Some((8, None)));
        assert_eq!(numbers("Rawhide"), None);
        assert_eq!(numbers(""), None);
    }
}
