//! The packages that are installed in a system, read from its RPM database without RPM.
//!
//! RPM has kept its headers in three kinds of files: Berkeley DB (to EL8), SQLite (EL9 and later, Fedora), and
//! its own ndb (openSUSE). Each gives headers, which are the same everywhere.

mod berkeley;
pub mod changelog;
mod header;
mod ndb;
mod openpgp;
pub mod origin;
mod sqlite;
mod sqlite_log;
pub mod version;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::disk::system::System;
use header::Header;

/// Where databases are: Fedora 36 and later, then everybody else.
const DIRECTORIES: [&str; 2] = ["/usr/lib/sysimage/rpm", "/var/lib/rpm"];

/// Most bytes of a database. Those of installed desktops have about 100 MiB.
const MOST_BYTES: u64 = 192 << 20;

/// Most packages of a database; all of Fedora are some 70,000.
const MOST_PACKAGES: usize = 100_000;

/// An installed package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its epoch, if it has one: 0 and none sort alike, but are written differently.
    pub epoch: Option<u32>,
    /// Its version.
    pub version: String,
    /// Its release.
    pub release: String,
    /// Its architecture; keys, which RPM keeps as packages (`gpg-pubkey`), have none.
    pub arch: Option<String>,
    /// The bytes of its files.
    pub size: u64,
    /// Who made it.
    pub vendor: Option<String>,
    /// The id of the key that it is signed with, 16 hexadecimal digits.
    pub signing_key: Option<String>,
    /// The SHA-256 of its RPM header, in hexadecimal, as `%{SHA256HEADER}` of `rpm -q` has it; none of
    /// packages that were made without (before RPM 4.14).
    pub header_sha256: Option<String>,
    /// The id of the repository that it was installed from, if dnf or yum have noted it.
    pub repository: Option<String>,
    /// The file name of the source package that it was built from.
    pub source_rpm: Option<String>,
    /// Its licence, as it says itself.
    pub license: Option<String>,
    /// What it is, in a line.
    pub summary: Option<String>,
    /// When it was built, in seconds since 1970.
    pub built: Option<u32>,
    /// When it was installed, in seconds since 1970.
    pub installed: Option<u32>,
}

impl Package {
    /// Its name as `rpm -q` has it, with its epoch: `openssl-1:3.0.7-24.el9.x86_64`.
    pub fn nevra(&self) -> String {
        let arch = self.arch.iter().map(|arch| format!(".{arch}"));
        let arch: String = arch.collect();
        format!("{}-{}{arch}", self.name, self.evr())
    }

    /// Epoch, version and release, as RPM writes them: `1:3.0.7-24.el9`.
    pub fn evr(&self) -> String {
        let epoch = self.epoch.filter(|epoch| *epoch != 0);
        let epoch = epoch.map_or_else(String::new, |epoch| format!("{epoch}:"));
        format!("{epoch}{}-{}", self.version, self.release)
    }
}

/// What is done with each header of a database, as it is there.
type Take<'a> = dyn FnMut(&[u8]) -> Result<()> + 'a;

/// What is done with each header of a database.
type TakeHeader<'a> = dyn FnMut(&Header<'_>) -> Result<()> + 'a;

/// A kind of database: its file, and how headers are got out of its content.
struct Kind {
    file: &'static str,
    headers: fn(&[u8], &mut Take<'_>) -> Result<()>,
}

const KINDS: [Kind; 3] = [
    Kind {
        file: "rpmdb.sqlite",
        headers: sqlite::headers,
    },
    Kind {
        file: "Packages.db",
        headers: ndb::headers,
    },
    Kind {
        file: "Packages",
        headers: berkeley::headers,
    },
];

/// The packages of a system, sorted by name and version; none if it has no RPM database.
///
/// # Errors
/// The database cannot be read, or is broken.
pub fn of(system: &mut System) -> Result<Option<Vec<Package>>> {
    let mut packages = Vec::new();
    let found = headers(system, &mut |header| {
        packages.push(header.package()?);
        Ok(())
    })?;
    packages.sort();
    Ok(found.then_some(packages))
}

/// Does something with each header of a system's RPM database; whether there is one.
fn headers(system: &mut System, take: &mut TakeHeader<'_>) -> Result<bool> {
    for directory in DIRECTORIES.map(Path::new) {
        for kind in &KINDS {
            let file = directory.join(kind.file);
            if system.find_file(&file)?.is_none() {
                continue;
            }
            let (content, log) = with_log(system, &file)?;
            parse(kind, content, &log, take)
                .with_context(|| format!("reading the RPM database {}", file.display()))?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// The content of a database, and of SQLite's log beside it; nothing where there is none.
fn with_log(system: &mut System, file: &Path) -> Result<(Vec<u8>, Vec<u8>)> {
    let content = system.read(file, MOST_BYTES)?;
    let mut log = file.as_os_str().to_owned();
    log.push("-wal");
    let log = match system.find_file(Path::new(&log))? {
        Some(_) => system.read(Path::new(&log), MOST_BYTES)?,
        None => Vec::new(),
    };
    Ok((content, log))
}

fn parse(kind: &Kind, mut content: Vec<u8>, log: &[u8], take: &mut TakeHeader<'_>) -> Result<()> {
    // Only SQLite has one.
    sqlite_log::apply(&mut content, log)?;
    let (mut count, mut bytes) = (0, 0);
    (kind.headers)(&content, &mut |blob| {
        // Places in a file can be named again and again.
        bytes += blob.len();
        ensure!(
            count < MOST_PACKAGES && bytes <= content.len(),
            "it names the same place twice"
        );
        count += 1;
        take(&Header::open(blob).context("a header is broken")?)
    })
}

/// The packages in the content of a database's file, by its name, and in what is in SQLite's log beside it;
/// for tests and fuzzing.
///
/// # Errors
/// It is broken, or no such file is known.
pub fn of_file(name: &str, content: Vec<u8>, log: &[u8]) -> Result<Vec<Package>> {
    let kind = KINDS.iter().find(|kind| kind.file == name);
    let mut packages = Vec::new();
    let kind = kind.context("no such database is known")?;
    parse(kind, content, log, &mut |header| {
        packages.push(header.package()?);
        Ok(())
    })?;
    packages.sort();
    Ok(packages)
}

/// A package in which nothing is absent, for tests.
#[cfg(test)]
pub fn sample(name: &str, epoch: Option<u32>) -> Package {
    Package {
        name: name.to_owned(),
        epoch,
        version: "1.2~rc1+git^4".to_owned(),
        release: "3.el9".to_owned(),
        arch: Some("x86_64".to_owned()),
        size: 5,
        vendor: Some("Example Corp".to_owned()),
        signing_key: Some("702d426d350d275d".to_owned()),
        header_sha256: Some("0".repeat(64)),
        repository: Some("baseos".to_owned()),
        source_rpm: Some(format!("{name}-1.2-3.el9.src.rpm")),
        license: Some("GPLv2+ and MIT".to_owned()),
        summary: Some("A summary".to_owned()),
        built: Some(1),
        installed: Some(2),
    }
}
