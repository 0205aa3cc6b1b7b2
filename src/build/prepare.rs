//! What a build stands on: its directories, libvirt, the installer's files.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;

use super::contents::Contents;
use super::directories;
use super::plan::Plan;
use super::runtime::RuntimeDir;
use super::workdir::{self, Lease, WorkDir};
use crate::error::{Classify, Kind, failure};
use crate::host::{self, Accel, Connection, Host, HostOptions};
use crate::image::{disk, publish};
use crate::machine::Network;
use crate::mirror::{Credentials, InstallTree, Mirror, MirrorOptions, shown};
use crate::ui::event::Reporter;

/// Name of the guest's disk in the work directory.
const DISK: &str = "disk.qcow2";

/// What a build stands on. Dropping it removes what is unfinished.
#[derive(Debug)]
pub struct Ground {
    /// The installer's kernel and initrd. Keeps them in the cache.
    pub tree: InstallTree,
    /// What the template adds, if anything of it is wanted.
    pub contents: Option<Contents>,
    /// What runs the guest's CPUs.
    pub accel: Accel,
    /// The guest's disk.
    pub disk: PathBuf,
    /// libvirt.
    pub host: Host,
    /// What asks the mirror.
    pub mirror: Mirror,
    /// Sockets and libvirt's private state. Goes after libvirt is closed.
    pub runtime: Arc<RuntimeDir>,
    /// Everything unfinished, beside where the image will be.
    pub work: WorkDir,
}

impl Ground {
    /// Takes the directories, opens libvirt and gets the installer, the latter two at once: both
    /// take seconds when they are cold.
    ///
    /// # Errors
    /// Input: an output is there already, or cannot be where it should. Host: another build of
    /// this name is running, or libvirt cannot be used. Mirror: the tree cannot be used.
    pub async fn take(plan: &Plan, reporter: &Reporter) -> anyhow::Result<Ground> {
        check_outputs(plan)?;
        std::fs::create_dir_all(&plan.output.dir)
            .map_err(|error| workdir::cannot_write(&plan.output.dir, &error))?;
        let (work, leftover) =
            WorkDir::take(&plan.output.dir, &plan.output.stem).kind(Kind::Host)?;
        if let Some(lease) = &leftover {
            // At once: should this build fail early, nobody would know of that QEMU any more.
            reporter.note(format!(
                "removing what process {} left of an earlier build of `{}`",
                lease.pid, plan.name
            ));
            tokio::task::block_in_place(|| host::remove_abandoned(&lease.runtime_dir))?;
        }
        let runtime = Arc::new(RuntimeDir::create().kind(Kind::Host)?);
        let connection =
            Connection::choose(plan.request.options.connect.as_deref()).kind(Kind::Input)?;
        let cache_dir =
            directories::cache_dir(plan.request.options.cache_dir.as_deref()).kind(Kind::Host)?;
        let mirror = open_mirror(plan, cache_dir.clone(), reporter)?;
        reporter.step(format!(
            "getting the installer of {} from {}",
            plan.release,
            shown(&plan.tree)
        ));
        let host_options = HostOptions {
            connection: connection.clone(),
            runtime_dir: runtime.path().to_path_buf(),
            capability_cache: cache_dir.join("qemu-capabilities"),
            libvirt_networks: matches!(plan.guest.network, Network::Libvirt(_)),
        };
        let layout = plan.release.tree_layout(plan.arch);
        let (host, tree, contents) = tokio::try_join!(
            open_host(host_options, Arc::clone(&runtime)),
            mirror.install_tree(&plan.tree, plan.arch, &layout),
            gather_contents(plan, &mirror),
        )?;
        clear_leftovers(plan, &host, leftover.as_ref(), reporter)?;
        let chosen = host::choose(plan.guest.accel, &host.kvm_facts(plan.arch), plan.arch)?;
        if let Some(warning) = &chosen.warning {
            reporter.warn(warning);
        }
        let disk = work.join(DISK);
        disk::create(&disk, plan.guest.disk_bytes).await?;
        if !connection.runs_as_us() {
            work.let_others_pass()?;
        }
        Ok(Ground {
            tree,
            contents,
            accel: chosen.accel,
            disk,
            host,
            mirror,
            runtime,
            work,
        })
    }
}

/// Refuses to replace what is there, before anything is spent on the build.
///
/// # Errors
/// Input: an output exists, and `--force` is not given.
pub fn check_outputs(plan: &Plan) -> anyhow::Result<()> {
    if plan.request.options.force {
        return Ok(());
    }
    // The image first: it is what a user looks for.
    let existing = plan
        .output
        .all()
        .into_iter()
        .rev()
        .find(|path| path.exists());
    existing.map_or(Ok(()), |path| Err(publish::exists(path)))
}

fn open_mirror(plan: &Plan, cache_dir: PathBuf, reporter: &Reporter) -> anyhow::Result<Mirror> {
    let options = &plan.request.options;
    let mirror_options = MirrorOptions {
        credentials: Credentials {
            cacert: options.cacert.clone(),
            client_cert: options.client_cert.clone(),
            client_key: options.client_key.clone(),
        },
        refetch: options.refetch,
        ..MirrorOptions::new(cache_dir)
    };
    Mirror::new(mirror_options, reporter.clone())
}

/// Opens libvirt on a thread of its own: with a cold cache it asks QEMU for seconds. Should the
/// build end meanwhile, `runtime` goes when the thread is done with it.
async fn open_host(options: HostOptions, runtime: Arc<RuntimeDir>) -> anyhow::Result<Host> {
    let (host, _runtime) = tokio::task::spawn_blocking(move || (Host::open(&options), runtime))
        .await
        .context("opening libvirt")?;
    host.kind(Kind::Host)
}

async fn gather_contents(plan: &Plan, mirror: &Mirror) -> anyhow::Result<Option<Contents>> {
    if !plan.customize || plan.request.options.verbatim {
        return Ok(None);
    }
    let request = &plan.request;
    Contents::gather(&request.template, &request.template_dir, mirror)
        .await
        .map(Some)
}

/// Removes the guest that a killed build of this name left, and with `--cleanup` any of this name.
fn clear_leftovers(
    plan: &Plan,
    host: &Host,
    leftover: Option<&Lease>,
    reporter: &Reporter,
) -> anyhow::Result<()> {
    // A daemon has ended the guest with the process that made it; only what it was told to keep
    // is left.
    if let Some(lease) = leftover
        && lease.uri == host.uri()
        && host.find(&lease.domain)?.is_some()
    {
        host.remove_leftover(&lease.domain)?;
    }
    let name = host::domain_name(&plan.name);
    let Some(existing) = host.find(&name)? else {
        return Ok(());
    };
    if plan.request.options.cleanup {
        reporter.note(format!("removing the leftover guest `{name}`"));
        return host.remove_leftover(&name);
    }
    let state = if existing.active { "runs" } else { "exists" };
    Err(failure(
        Kind::Host,
        format!(
            "a guest `{name}` {state} already on {}: use -p to remove it, or another --name",
            host.uri()
        ),
    ))
}
