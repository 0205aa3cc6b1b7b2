//! Finds what dead builds have left, for `ozr gc`: by the register, and what no register tells of by
//! the marks on runtime directories and guests.

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::register::{Entry, Register, Registered};
use super::runtime::{self, Abandoned};
use super::sweep::{self, Daemons};
use super::{directories, slots, workdir};
use crate::error::{Classify, Kind};
use crate::host::{self, Connection, Marker};

/// What one dead build, or another dead process of ours, left.
#[derive(Debug)]
pub enum Leftover {
    /// A build of which all is known.
    Build(Box<Registered>),
    /// A runtime directory that was no build's, or not yet; locked if it can be.
    Directory(PathBuf, Option<File>),
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
    pub elsewhere: Vec<Entry>,
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
        for left in runtime::abandoned(&place) {
            match left {
                Abandoned::Build(build) if known.insert(build.entry.id.clone()) => {
                    found.leftovers.push(Leftover::Build(build));
                }
                Abandoned::Build(_) => {}
                Abandoned::Nameless(path, lock) => {
                    found.leftovers.push(Leftover::Directory(path, lock));
                }
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

/// Removes the small files of dead builds that nobody needs to be told of.
pub fn sweep_files(state_dir: &Path) {
    Register::at(state_dir).sweep();
    slots::sweep(state_dir);
}

impl Leftover {
    /// Whether the user asked to keep it.
    pub fn kept(&self) -> bool {
        match self {
            Leftover::Build(build) => build.entry.kept,
            Leftover::Directory(..) => false,
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
            Leftover::Directory(path, _) => path.display().to_string(),
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
            Leftover::Directory(..) => return None,
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
            Leftover::Build(build) => sweep::remove_patiently(*build, daemons),
            Leftover::Directory(path, _lock) => host::remove_abandoned(&path, None),
            Leftover::Guest { uri, name, marker } => {
                daemons.open(&uri)?.remove_leftover(&name, &marker.build_id)
            }
        }
    }
}

/// What of a dead build is there, in the words of the command's output.
fn things(entry: &Entry, daemons: &Daemons) -> Vec<String> {
    let mut things = Vec::new();
    if let Some(uri) = &entry.connection {
        let guest = format!("guest {} on {uri}", entry.domain);
        match daemons.has_guest(uri, entry) {
            Ok(true) => things.push(guest),
            Ok(false) => {}
            Err(_) => things.push(format!("perhaps {guest}, which does not answer")),
        }
    }
    for pid in qemus(entry) {
        things.push(format!("process {pid}"));
    }
    if entry.runtime_dir.exists() {
        things.push(entry.runtime_dir.display().to_string());
    }
    if workdir::is_left(&entry.work_dir, &entry.id) {
        things.push(entry.work_dir.display().to_string());
    } else if let Some(mount) = sweep::missing_mount(entry) {
        things.push(format!(
            "perhaps {}, but {} is not mounted",
            entry.work_dir.display(),
            mount.display()
        ));
    }
    things
}

fn qemus(entry: &Entry) -> Vec<i32> {
    let of = Some((entry.work_dir.as_path(), entry.pid));
    host::abandoned_processes(&entry.runtime_dir, of)
        .unwrap_or_default()
        .into_iter()
        .map(|pid| pid.as_raw_nonzero().get())
        .collect()
}
