//! Removes what dead builds have left: their guests, their processes, their directories, their
//! entries in the register. What lives, what is not ours and what a user asked to keep is not
//! touched.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};

use super::mounts::mount_of;
use super::register::{Entry, Register, Registered};
use super::{runtime, slots, workdir};
use crate::error::{Classify, Kind, failure};
use crate::host::{self, Connection, Host, HostOptions, timeout};
use crate::ui::event::Reporter;

/// How long removing what others left may hold up a build: a daemon or a network file system that
/// hangs is not that build's business. What is sound is removed within a second.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long what one build left may take to be removed where that is all there is to do: longer
/// than a daemon may take to answer, so that it is said what hangs.
const LONGEST: Duration = Duration::from_secs(90);

/// Removes what dead builds have left, before a build that will use `work_dir`. What was kept
/// there goes, too: the new build takes its place.
///
/// # Errors
/// Host: the register cannot be read, or what was left in `work_dir`'s name cannot be removed.
/// What other builds left is only warned about.
pub fn before_build(
    register: &Register,
    state_dir: &Path,
    work_dir: &Path,
    reporter: &Reporter,
) -> anyhow::Result<()> {
    register.sweep();
    slots::sweep(state_dir);
    let dead = register.builds().kind(Kind::Host)?;
    let dead = dead
        .into_iter()
        .filter(|build| !build.is_alive() && !build.entry.is_elsewhere());
    let (ours, others): (Vec<_>, Vec<_>) = dead.partition(|build| build.entry.work_dir == work_dir);
    let daemons = Daemons::default();
    for build in ours {
        tell(&build.entry, reporter);
        let name = build.entry.name.clone();
        remove_patiently(build, &daemons)
            .with_context(|| format!("removing what is left of an earlier build of `{name}`"))
            .kind(Kind::Host)?;
    }
    let mut others: Vec<_> = others
        .into_iter()
        .filter(|build| !build.entry.kept)
        .collect();
    if others.is_empty() {
        return Ok(());
    }
    // What needs no daemon does not wait for one.
    others.sort_by_key(|build| build.entry.connection.is_some());
    let late = Arc::new(AtomicBool::new(false));
    let removing = {
        let (late, reporter) = (Arc::clone(&late), reporter.clone());
        move || remove_others(others, &daemons, &late, &reporter)
    };
    if timeout::within(PATIENCE, removing).is_none() {
        late.store(true, Ordering::SeqCst);
        reporter.warn(format!(
            "what earlier builds left could not be removed within {} s: `ozr gc` says what hinders it",
            PATIENCE.as_secs()
        ));
    }
    Ok(())
}

fn remove_others(
    builds: Vec<Registered>,
    daemons: &Daemons,
    late: &AtomicBool,
    reporter: &Reporter,
) {
    for build in builds {
        if late.load(Ordering::SeqCst) {
            return;
        }
        if let Some(mount) = missing_mount(&build.entry) {
            reporter.detail(format!(
                "what is left of the build `{}` stays: {} is not mounted",
                build.entry.name,
                mount.display()
            ));
            continue;
        }
        tell(&build.entry, reporter);
        let name = build.entry.name.clone();
        if let Err(error) = remove(build, daemons)
            && !late.load(Ordering::SeqCst)
        {
            reporter.warn(format!(
                "what is left of the build `{name}` could not be removed: {error:#}; `ozr gc` tries again"
            ));
        }
    }
}

fn tell(entry: &Entry, reporter: &Reporter) {
    reporter.note(format!(
        "removing what process {} left of an earlier build of `{}`",
        entry.pid, entry.name
    ));
}

/// [`remove`], on a thread that is left behind if it hangs.
///
/// # Errors
/// As [`remove`]; it took too long.
pub fn remove_patiently(build: Registered, daemons: &Daemons) -> anyhow::Result<()> {
    let daemons = daemons.clone();
    timeout::within(LONGEST, move || remove(build, &daemons)).unwrap_or_else(|| {
        Err(failure(
            Kind::Host,
            format!("it takes longer than {} s", LONGEST.as_secs()),
        ))
    })
}

/// Removes all that a dead build left, and then its entry.
///
/// # Errors
/// Host: something cannot be removed; the entry stays for the next try.
pub fn remove(build: Registered, daemons: &Daemons) -> anyhow::Result<()> {
    let entry = &build.entry;
    if !runtime::is_place_of(entry) {
        return Err(failure(
            Kind::Host,
            format!(
                "its entry in the register names {}, which is no runtime directory of that build",
                entry.runtime_dir.display()
            ),
        ));
    }
    if let Some(uri) = &entry.connection {
        daemons
            .open(uri)
            .and_then(|host| host.remove_leftover(&entry.domain, &entry.id))
            .with_context(|| format!("removing the guest `{}`", entry.domain))
            .kind(Kind::Host)?;
    }
    host::remove_abandoned(&entry.runtime_dir, Some((&entry.work_dir, entry.pid)))?;
    let left = || -> anyhow::Result<()> {
        if let Some(mount) = missing_mount(entry) {
            bail!(
                "{} is on a file system that is not mounted on {}",
                entry.work_dir.display(),
                mount.display()
            );
        }
        workdir::remove_dead(&entry.work_dir, &entry.id)
    };
    left().kind(Kind::Host)?;
    build.forget().kind(Kind::Host)
}

/// Where the file system of the build's work directory would be mounted, if it is not.
pub fn missing_mount(entry: &Entry) -> Option<&Path> {
    let is_there = entry.mount.as_os_str().is_empty()
        || entry.work_dir.exists()
        || mount_of(&entry.work_dir) == entry.mount;
    (!is_there).then_some(entry.mount.as_path())
}

/// The libvirt daemons that have guests of dead builds. Each is opened once: one that hangs is
/// waited for once, however many builds it had. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Daemons(Arc<Mutex<HashMap<String, Opened>>>);

/// A daemon, or why it does not answer.
type Opened = Result<Arc<Host>, String>;

impl Daemons {
    /// Opens a daemon, if it is not open.
    ///
    /// # Errors
    /// Host: it does not answer, or did not.
    pub fn open(&self, uri: &str) -> anyhow::Result<Arc<Host>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = known.entry(uri.to_owned()).or_insert_with(|| {
            let host = Host::open(&HostOptions {
                connection: Connection::Uri(uri.to_owned()),
                // Of the driver in the process itself.
                runtime_dir: "/nonexistent".into(),
                capability_cache: "/nonexistent".into(),
                libvirt_networks: false,
            });
            host.map(Arc::new).map_err(|error| format!("{error:#}"))
        });
        opened
            .clone()
            .map_err(|message| failure(Kind::Host, message))
    }

    /// Whether the build's guest is there.
    ///
    /// # Errors
    /// Host: the daemon does not answer.
    pub fn has_guest(&self, uri: &str, entry: &Entry) -> anyhow::Result<bool> {
        let found = self.open(uri)?.find(&entry.domain)?;
        Ok(found
            .and_then(|found| found.marker)
            .is_some_and(|marker| marker.build_id == entry.id))
    }
}
