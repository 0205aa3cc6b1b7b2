//! What packages say of their changes.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::disk::system::System;

/// Most entries of a package that are read, the newest: RHEL's kernel has thousands for a minor release, and
/// nobody reads on.
const MOST_ENTRIES: usize = 200;

/// Longest text of an entry in bytes; what goes on is cut.
const LONGEST: usize = 4096;

/// Most bytes of all entries; packages that come when they are used up have none.
const MOST_BYTES: usize = 16 << 20;

/// An entry of a package's changelog.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Entry {
    /// When, in seconds since 1970: RPM has days, and noon for them.
    pub time: u32,
    /// Who, and often the version: `A Name <name@example.org> - 1.2-3`.
    pub author: String,
    /// What.
    pub text: String,
}

/// The changelogs of packages of a system, by their [names](super::Package::nevra), the newest entry first.
///
/// # Errors
/// The database cannot be read, or is broken.
pub fn of(system: &mut System, wanted: &BTreeSet<String>) -> Result<BTreeMap<String, Vec<Entry>>> {
    let (mut changelogs, mut bytes) = (BTreeMap::new(), 0);
    super::headers(system, &mut |header| {
        let name = header.package()?.nevra();
        if bytes > MOST_BYTES || !wanted.contains(&name) {
            return Ok(());
        }
        let entries = header.changelog().take(MOST_ENTRIES);
        let entries = entries.map(|(time, author, text)| Entry {
            time,
            author: cut(author),
            text: cut(text),
        });
        let entries: Vec<Entry> = entries.collect();
        let sizes = entries
            .iter()
            .map(|entry| entry.author.len() + entry.text.len());
        bytes += sizes.sum::<usize>();
        changelogs.insert(name, entries);
        Ok(())
    })?;
    Ok(changelogs)
}

fn cut(mut text: String) -> String {
    if text.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
    text
}
