//! Removes what dead builds have left: their guests, their directories, their entries in the
//! register. What lives, what is not ours and what a user asked to keep is not touched.

use std::path::Path;

use anyhow::Context;

use super::register::{Entry, Register, Registered};
use super::workdir;
use crate::error::{Classify, Kind};
use crate::host::{self, Connection, Host, HostOptions};
use crate::ui::event::Reporter;

/// Removes what dead builds have left, before a build that will use `work_dir`. What was kept
/// there goes, too: the new build takes its place.
///
/// # Errors
/// Host: the register cannot be read, or what was left in `work_dir`'s name cannot be removed.
/// What other builds left is only warned about.
pub fn before_build(
    register: &Register,
    work_dir: &Path,
    reporter: &Reporter,
) -> anyhow::Result<()> {
    for build in register.builds().kind(Kind::Host)? {
        let in_our_place = build.entry.work_dir == work_dir;
        if build.is_alive() || (build.entry.kept && !in_our_place) {
            continue;
        }
        let (pid, name) = (build.entry.pid, build.entry.name.clone());
        reporter.note(format!(
            "removing what process {pid} left of an earlier build of `{name}`"
        ));
        match remove(build) {
            Err(error) if in_our_place => return Err(error),
            Err(error) => reporter.warn(format!(
                "what is left of the build `{name}` could not be removed: {error:#}"
            )),
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Removes all that a dead build left, and then its entry.
///
/// # Errors
/// Host: something cannot be removed; the entry stays for the next try.
pub fn remove(build: Registered) -> anyhow::Result<()> {
    let entry = &build.entry;
    if let Some(uri) = &entry.connection {
        remove_guest(entry, uri)
            .with_context(|| format!("removing the guest `{}`", entry.domain))
            .kind(Kind::Host)?;
    }
    host::remove_abandoned(&entry.runtime_dir)?;
    workdir::remove_dead(&entry.work_dir, &entry.id).kind(Kind::Host)?;
    build.forget().kind(Kind::Host)
}

/// Removes the guest from a libvirt daemon, which outlives us and has perhaps ended it already.
fn remove_guest(entry: &Entry, uri: &str) -> anyhow::Result<()> {
    let host = Host::open(&HostOptions {
        connection: Connection::Uri(uri.to_owned()),
        runtime_dir: entry.runtime_dir.clone(),
        capability_cache: entry.runtime_dir.clone(),
        libvirt_networks: false,
    })?;
    let is_its = host
        .find(&entry.domain)?
        .and_then(|found| found.marker)
        .is_some_and(|marker| marker.build_id == entry.id);
    if is_its {
        host.remove_leftover(&entry.domain)?;
    }
    Ok(())
}
