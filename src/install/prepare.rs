//! What an install stands on: libvirt, the installer's files, the guest's disk.

use std::fs::File;
use std::sync::Arc;

use anyhow::Context;
use url::Url;

use super::contents::Contents;
use super::fingerprint::{Found, Gathered};
use super::isos::Discs;
use super::place::Place;
use super::plan::{Aim, Plan};
use super::relay::Reaches;
use super::{repositories, signed};
use crate::error::{Classify, Kind, fail};
use crate::host::{self, Accel, Host, HostOptions};
use crate::image::disk;
use crate::image::manifest::Repository;
use crate::machine::Network;
use crate::mirror::{InstallTree, Locked, Mirror, MirrorOptions, Via, shown};
use crate::state::directories;
use crate::state::runtime_dir::RuntimeDir;
use crate::ui::event::Reporter;

/// What an install stands on.
#[derive(Debug)]
pub struct Prepared {
    /// The installer's kernel and initrd. Keeps them in the cache.
    pub tree: InstallTree,
    /// The ISO images that it is from, if it is.
    pub discs: Option<Discs>,
    /// What the template adds, if anything of it is wanted.
    pub contents: Option<Contents>,
    /// What runs the guest's CPUs.
    pub accel: Accel,
    /// The guest's disks, the files themselves: the system's first.
    pub disks: Vec<File>,
    /// libvirt.
    pub host: Arc<Host>,
    /// What asks the mirror.
    pub mirror: Mirror,
    /// How the guest gets to addresses.
    pub reaches: Reaches,
    /// Addresses of what was fetched for the template's files and commands, and the SHA-256 of each.
    pub fetched: Vec<(String, String)>,
    /// The repositories, as they are now.
    pub repositories: Vec<Repository>,
    /// Those of them that the guest gets through the cache.
    pub kept_places: Vec<(Url, Via)>,
    /// What the image will be made of, as far as it is known; nothing where no image is to be made of it.
    pub gathered: Option<Gathered>,
}

impl Prepared {
    /// Opens libvirt and gets the installer, both at once: either takes seconds when it is cold.
    ///
    /// # Errors
    /// Host: libvirt cannot be used. Mirror: the tree cannot be used.
    pub async fn take(plan: &Plan, place: &Place, reporter: &Reporter) -> anyhow::Result<Prepared> {
        let cache_dir =
            directories::cache_dir(plan.options.cache_dir.as_deref()).kind(Kind::Host)?;
        let mirror = mirror_of(plan, reporter)?;
        check_locked(plan, &mirror)?;
        reporter.step(format!(
            "getting the installer of {} from {}",
            plan.release,
            shown(plan.source())
        ));
        let host_options = HostOptions {
            connection: place.connection.clone(),
            runtime_dir: place.runtime.path().to_path_buf(),
            capability_cache: cache_dir.join("qemu-capabilities"),
            libvirt_networks: std::iter::once(&plan.guest.network)
                .chain(plan.guest.more_nics.iter().map(|nic| &nic.network))
                .any(|network| matches!(network, Network::Libvirt(_))),
            tpm: plan.guest.board.tpm,
            pool: plan.options.storage_pool.clone(),
        };
        let (host, (tree, discs), contents, reaches) = tokio::try_join!(
            open_host(host_options, Arc::clone(&place.runtime)),
            installer(plan, place, &mirror, reporter),
            gather_contents(plan, &mirror),
            async { Ok(Reaches::of(plan, &mirror).await) },
        )?;
        clear_leftovers(plan, &host, reporter)?;
        let facts = host.kvm_facts(plan.arch);
        let (accel, warning) = host::choose(plan.guest.accel, &facts, plan.arch)?;
        if let Some(warning) = warning {
            reporter.warn(warning);
        }
        let disks = match &plan.base {
            None => disk::create(place.work.dir(), &plan.guest.disks, plan.aim.installs()).await?,
            Some(base) => base.copy(place.work.dir()).await?,
        };
        if plan.options.offline {
            reaches.check_kept(&mirror).await?;
        }
        let info = tree.treeinfo.as_ref();
        let asked = repositories::of(plan, &mirror, info, discs.as_ref()).await;
        signed::check(&asked, &reaches, &mirror, reporter).await?;
        let past: Vec<Url> = reaches.past_the_cache().collect();
        let places = asked.iter().filter_map(|asked| asked.place.as_ref());
        let kept_places = places
            .filter(|place| !past.contains(&place.written))
            .map(|place| (place.url.clone(), place.via))
            .collect();
        let repositories = asked.iter().map(|asked| asked.about.clone()).collect();
        let gathered = match plan.base.is_some() || plan.dry_run || plan.aim != Aim::Image {
            true => None,
            false => {
                let images = discs.iter().flat_map(|discs| &discs.images);
                let found = Found {
                    tree: info,
                    isos: images
                        .map(|image| (shown(&image.url), image.file.sha256.clone()))
                        .collect(),
                    contents: contents.as_ref(),
                    repositories: asked,
                };
                let mut gathered = Gathered::of(plan, &mirror, found).await;
                gathered.obtain(&mirror).await;
                Some(gathered)
            }
        };
        let fetched = contents.as_ref().map(|contents| contents.fetched.clone());
        Ok(Prepared {
            fetched: fetched.unwrap_or_default(),
            tree,
            discs,
            contents,
            accel,
            disks,
            host: Arc::new(host),
            mirror,
            reaches,
            repositories,
            kept_places,
            gathered,
        })
    }
}

/// What asks the mirrors of a plan.
///
/// # Errors
/// Input or host: a certificate, a proxy or the cache cannot be used.
pub(super) fn mirror_of(plan: &Plan, reporter: &Reporter) -> anyhow::Result<Mirror> {
    let cache_dir = directories::cache_dir(plan.options.cache_dir.as_deref()).kind(Kind::Host)?;
    let mut mirror = MirrorOptions::of(&plan.options, cache_dir)
        .with_template(Some(plan.source()), &plan.file.dir);
    mirror.packages = plan.package_cache;
    mirror.tree_addresses.clone_from(&plan.tree_addresses);
    mirror.offline = plan.options.offline;
    mirror.repository_keys = signed::keys(plan)?;
    let locked = plan.options.locked.as_deref().map(Locked::read);
    mirror.locked = locked.transpose()?.map(Arc::new);
    Mirror::new(mirror, reporter.clone())
}

/// Makes sure that what a lock file names is here, if it cannot be fetched.
fn check_locked(plan: &Plan, mirror: &Mirror) -> anyhow::Result<()> {
    let Some(locked) = mirror.locked().filter(|_| plan.options.offline) else {
        return Ok(());
    };
    let missing = locked.missing(mirror.cache());
    if missing.is_empty() {
        return Ok(());
    }
    let bytes: u64 = missing.iter().map(|file| file.bytes).sum();
    let named = missing.iter().take(MOST_MISSING);
    let named: Vec<&str> = named.map(|file| file.url.as_str()).collect();
    let more = match missing.len().saturating_sub(MOST_MISSING) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    fail!(
        Kind::Input,
        "the cache has not all of {}: {} files of {} KiB are missing ({}{more}); leave out --offline to fetch them",
        locked.name,
        missing.len(),
        bytes.div_ceil(1024),
        named.join(", ")
    );
}

/// How many missing files are named.
const MOST_MISSING: usize = 5;

/// Opens libvirt on a thread of its own: with a cold cache it asks QEMU for seconds. Should the
/// build end meanwhile, `runtime` goes when the thread is done with it.
pub(super) async fn open_host(
    options: HostOptions,
    runtime: Arc<RuntimeDir>,
) -> anyhow::Result<Host> {
    let (host, _runtime) = tokio::task::spawn_blocking(move || (Host::open(&options), runtime))
        .await
        .context("opening libvirt")?;
    host.kind(Kind::Host)
}

/// The installer: out of the tree, or of the ISO image.
async fn installer(
    plan: &Plan,
    place: &Place,
    mirror: &Mirror,
    reporter: &Reporter,
) -> anyhow::Result<(InstallTree, Option<Discs>)> {
    if plan.isos.is_empty() {
        let layout = plan.release.tree_layout(plan.arch);
        let tree = mirror.install_tree(plan.source(), plan.arch, &layout);
        return Ok((tree.await?, None));
    }
    let (tree, discs) = Discs::take(plan, place, mirror, reporter).await?;
    Ok((tree, Some(discs)))
}

pub(super) async fn gather_contents(
    plan: &Plan,
    mirror: &Mirror,
) -> anyhow::Result<Option<Contents>> {
    if !plan.customize {
        return Ok(None);
    }
    Contents::gather(&plan.template, &plan.file.dir, mirror)
        .await
        .map(Some)
}

/// Removes the guests that dead builds of this name left, and with `-p` those that were kept, or of
/// which it is not known whether their builds live.
fn clear_leftovers(plan: &Plan, host: &Host, reporter: &Reporter) -> anyhow::Result<()> {
    if plan.dry_run {
        return Ok(());
    }
    for (name, marker) in host.marked()? {
        let left = match marker.is_alive() {
            Some(true) => false,
            dead => plan.options.cleanup || (dead.is_some() && !marker.kept),
        };
        if left && name == host::domain_name(&plan.name, &marker.build_id) {
            reporter.note(format!("removing the leftover guest `{name}`"));
            host.remove_leftover(&name, &marker.build_id)?;
        }
    }
    Ok(())
}
