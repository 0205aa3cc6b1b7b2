//! What dead builds have left: their guests, their processes, their directories, their entries in
//! the register. Before a build it is removed; for `ozr gc` it is looked for everywhere, by the
//! register and, where no register tells of it, by the marks on runtime directories and guests. What
//! lives, what is not ours and what a user asked to keep is not touched.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::blocking;
use crate::error::{Classify, Kind, fail, failure};
use crate::host::{self, Connection, Host, HostOptions, Marker};
use crate::panics::lock;
use crate::state::register::{BuildEntry, Register, Registered};
use crate::state::runtime_dir::DeadRuntimeDir;
use crate::state::{directories, runtime_dir, work_dir};
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
pub fn remove_before_build(
    register: &Register,
    work_dir: &Path,
    reporter: &Reporter,
) -> anyhow::Result<()> {
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
    if blocking::within_until_stopped(PATIENCE, removing).is_none() {
        late.store(true, Ordering::SeqCst);
        if !blocking::is_stopped() {
            reporter.warn(format!(
                "what earlier builds left could not be removed within {} s: `ozr gc` says what hinders it",
                PATIENCE.as_secs()
            ));
        }
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
        if let Some(mount) = build.entry.missing_mount() {
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

fn tell(entry: &BuildEntry, reporter: &Reporter) {
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
    let removing = move || remove(build, &daemons);
    blocking::within_until_stopped(LONGEST, removing)
        .unwrap_or_else(|| fail!(Kind::Host, "it takes longer than {} s", LONGEST.as_secs()))
}

/// Removes all that a dead build left, and then its entry.
///
/// # Errors
/// Host: something cannot be removed; the entry stays for the next try.
pub fn remove(build: Registered, daemons: &Daemons) -> anyhow::Result<()> {
    let entry = &build.entry;
    if !runtime_dir::is_place_of(entry) {
        fail!(
            Kind::Host,
            "its entry in the register names {}, which is no runtime directory of that build",
            entry.runtime_dir.display()
        );
    }
    if let Some(uri) = &entry.connection {
        daemons
            .open(uri)
            .and_then(|host| host.remove_leftover(&entry.domain, &entry.id))
            .with_context(|| format!("removing the guest `{}`", entry.domain))
            .kind(Kind::Host)?;
    }
    host::end_processes_left(&entry.runtime_dir, Some((&entry.work_dir, entry.pid)))?;
    runtime_dir::remove_dead(&entry.runtime_dir).kind(Kind::Host)?;
    let left = || -> anyhow::Result<()> {
        if let Some(mount) = entry.missing_mount() {
            bail!(
                "{} is on a file system that is not mounted on {}",
                entry.work_dir.display(),
                mount.display()
            );
        }
        work_dir::remove_dead(&entry.work_dir, &entry.id)
    };
    left().kind(Kind::Host)?;
    build.forget().kind(Kind::Host)
}

/// What one dead build, or another dead process of ours, left.
#[derive(Debug)]
pub enum Leftover {
    /// A build of which all is known.
    Build(Box<Registered>),
    /// A runtime directory that was no build's, or not yet.
    Directory(PathBuf),
    /// A guest on a daemon, known only by its mark.
    Guest {
        /// The daemon.
        uri: String,
        /// Its name there.
        name: String,
        /// What it says of itself.
        marker: Marker,
    },
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// What may be removed, what was kept among it.
    pub leftovers: Vec<Leftover>,
    /// Entries of builds on other machines that share the state directory.
    pub elsewhere: Vec<BuildEntry>,
    /// Where could not be looked, and why.
    pub unseen: Vec<anyhow::Error>,
}

/// Looks for what dead builds left: in the register of `state_dir`, in this user's runtime
/// directories, and on the daemon of `connection` if it is one. Changes nothing.
///
/// # Errors
/// Host: the register cannot be read.
pub fn find(state_dir: &Path, connection: &Connection, daemons: &Daemons) -> anyhow::Result<Found> {
    let mut found = Found::default();
    let mut known = HashSet::new();
    let register = Register::at(state_dir);
    for build in register.builds().kind(Kind::Host)? {
        known.insert(build.entry.id.clone());
        if build.entry.is_elsewhere() {
            found.elsewhere.push(build.entry);
        } else if !build.is_alive() {
            found.leftovers.push(Leftover::Build(Box::new(build)));
        }
    }
    for place in directories::runtime_places() {
        let dead = match runtime_dir::dead(&place) {
            Ok(dead) => dead,
            Err(error) => {
                found.unseen.push(error);
                continue;
            }
        };
        for left in dead {
            match left {
                DeadRuntimeDir::OfBuild(build) if known.insert(build.entry.id.clone()) => {
                    found.leftovers.push(Leftover::Build(build));
                }
                DeadRuntimeDir::OfBuild(_) => {}
                DeadRuntimeDir::Nameless(path) => found.leftovers.push(Leftover::Directory(path)),
            }
        }
    }
    if let Connection::Uri(uri) = connection {
        match guests(uri, &known, daemons) {
            Ok(guests) => found.leftovers.extend(guests),
            Err(error) => found.unseen.push(error),
        }
    }
    Ok(found)
}

/// The guests whose marks say that the process which made them is dead. Those that a register
/// tells of are its business, and of those from other hosts nothing is known.
fn guests(uri: &str, known: &HashSet<String>, daemons: &Daemons) -> anyhow::Result<Vec<Leftover>> {
    let marked = daemons
        .open(uri)?
        .marked()
        .with_context(|| format!("asking {uri} for its guests"))
        .kind(Kind::Host)?;
    let dead = marked.into_iter().filter(|(_, marker)| {
        !known.contains(&marker.build_id) && marker.is_alive() == Some(false)
    });
    Ok(dead
        .map(|(name, marker)| Leftover::Guest {
            uri: uri.to_owned(),
            name,
            marker,
        })
        .collect())
}

impl Leftover {
    /// Whether the user asked to keep it.
    pub fn kept(&self) -> bool {
        match self {
            Leftover::Build(build) => build.entry.kept,
            Leftover::Directory(_) => false,
            Leftover::Guest { marker, .. } => marker.kept,
        }
    }

    /// What it is: whose, and what of it is there.
    pub fn describe(&self, daemons: &Daemons) -> String {
        match self {
            Leftover::Build(build) => {
                let entry = &build.entry;
                let whose = format!("build `{}` of process {}", entry.name, entry.pid);
                match things(entry, daemons).as_slice() {
                    [] => format!("{whose}: its entry in the register"),
                    things => format!("{whose}: {}", things.join(", ")),
                }
            }
            Leftover::Directory(path) => path.display().to_string(),
            Leftover::Guest { uri, name, marker } => {
                format!("guest {name} on {uri} of process {}", marker.pid)
            }
        }
    }

    /// How its guest's console is reached, if it runs.
    pub fn console(&self, daemons: &Daemons) -> Option<String> {
        let (uri, domain) = match self {
            Leftover::Build(build) => {
                let entry = &build.entry;
                let runs = match &entry.connection {
                    Some(uri) => daemons.has_guest(uri, entry).is_ok_and(|there| there),
                    None => !qemus(entry).is_empty(),
                };
                if !runs {
                    return None;
                }
                let uri = entry.connection.clone();
                let uri = uri.unwrap_or_else(|| host::embedded_uri(&entry.runtime_dir));
                (uri, &entry.domain)
            }
            Leftover::Directory(_) => return None,
            Leftover::Guest { uri, name, .. } => (uri.clone(), name),
        };
        Some(format!("virsh -c '{uri}' console {domain}"))
    }

    /// Removes it.
    ///
    /// # Errors
    /// Host: something of it cannot be removed.
    pub fn remove(self, daemons: &Daemons) -> anyhow::Result<()> {
        match self {
            Leftover::Build(build) => remove_patiently(*build, daemons),
            Leftover::Directory(path) => {
                host::end_processes_left(&path, None)?;
                runtime_dir::remove_dead(&path).kind(Kind::Host)
            }
            Leftover::Guest { uri, name, marker } => {
                daemons.open(&uri)?.remove_leftover(&name, &marker.build_id)
            }
        }
    }
}

/// What of a dead build is there, in the words of the command's output.
fn things(entry: &BuildEntry, daemons: &Daemons) -> Vec<String> {
    let mut things = Vec::new();
    if let Some(uri) = &entry.connection {
        let guest = format!("guest {} on {uri}", entry.domain);
        match daemons.has_guest(uri, entry) {
            Ok(true) => things.push(guest),
            Ok(false) => {}
            Err(_) => things.push(format!("perhaps {guest}, which does not answer")),
        }
        // What does not answer is named already.
        let files = daemons
            .open(uri)
            .and_then(|host| host.files_left(&entry.id));
        if let Ok(count @ 1..) = files {
            things.push(format!("{count} files on {uri}"));
        }
    }
    for pid in qemus(entry) {
        things.push(format!("process {pid}"));
    }
    if entry.runtime_dir.exists() {
        things.push(entry.runtime_dir.display().to_string());
    }
    if work_dir::is_left(&entry.work_dir, &entry.id) {
        things.push(entry.work_dir.display().to_string());
    } else if let Some(mount) = entry.missing_mount() {
        things.push(format!(
            "perhaps {}, but {} is not mounted",
            entry.work_dir.display(),
            mount.display()
        ));
    }
    things
}

fn qemus(entry: &BuildEntry) -> Vec<i32> {
    let of = Some((entry.work_dir.as_path(), entry.pid));
    host::processes_left(&entry.runtime_dir, of)
        .unwrap_or_default()
        .into_iter()
        .map(|pid| pid.as_raw_nonzero().get())
        .collect()
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
        let mut known = lock(&self.0);
        let opened = known.entry(uri.to_owned()).or_insert_with(|| {
            let host = Host::open(&HostOptions::of_daemon(uri));
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
    pub fn has_guest(&self, uri: &str, entry: &BuildEntry) -> anyhow::Result<bool> {
        let found = self.open(uri)?.find(&entry.domain)?;
        Ok(found.is_some_and(|marker| marker.build_id == entry.id))
    }
}
