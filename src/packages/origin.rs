//! From which repository each package was installed, as the system's package manager has noted it: RPM
//! itself does not know.
//!
//! * dnf 5: `nevras.toml` of its system state (libdnf5 5.2, `libdnf5/system/state.cpp`);
//! * dnf 4: its history (libdnf 0.69, `libdnf/transaction/sql/create.sql`);
//! * yum: a directory for each package (yum 3.4, `yum/rpmsack.py`, `RPMDBAdditionalData`).

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::sqlite::{self, Value};
use super::{MOST_PACKAGES, Package, sqlite_log, with_log};
use crate::disk::system::System;

/// Where they are.
const DNF5: &str = "/usr/lib/sysimage/libdnf5/nevras.toml";
const DNF4: &str = "/var/lib/dnf/history.sqlite";
const YUM: &str = "/var/lib/yum/yumdb";

/// Most bytes of dnf 5's list: a line for each package.
const MOST_LIST: u64 = 16 << 20;

/// Most bytes of a repository's id.
const MOST_ID: u64 = 1024;

/// What dnf calls the system itself, from which nothing is installed.
const SYSTEM: &str = "@System";

/// The ids of repositories by package: `NAME-VERSION-RELEASE.ARCH`.
pub type Origins = HashMap<String, String>;

/// What is noted in a system; nothing if it has no package manager's notes.
///
/// # Errors
/// They cannot be read, or are broken.
pub fn of(system: &mut System) -> Result<Origins> {
    let mut origins = Origins::new();
    let reading = |file: &str| format!("reading {file}");
    // The latest one last: its answers stand.
    if system.read_dir(Path::new(YUM))?.is_some() {
        yum(system, &mut origins).with_context(|| reading(YUM))?;
    }
    if system.find_file(Path::new(DNF4))?.is_some() {
        let (mut content, log) = with_log(system, Path::new(DNF4))?;
        sqlite_log::apply(&mut content, &log)
            .and_then(|()| dnf4(&content, &mut origins))
            .with_context(|| reading(DNF4))?;
    }
    if system.find_file(Path::new(DNF5))?.is_some() {
        let text = system.read(Path::new(DNF5), MOST_LIST)?;
        dnf5(&String::from_utf8_lossy(&text), &mut origins).with_context(|| reading(DNF5))?;
    }
    Ok(origins)
}

/// Names the repository of each package that is known.
pub fn add(origins: &Origins, packages: &mut [Package]) {
    for package in packages {
        let Some(arch) = &package.arch else { continue };
        let (name, version, release) = (&package.name, &package.version, &package.release);
        let origin = origins.get(&format!("{name}-{version}-{release}.{arch}"));
        package.repository = package.repository.take().or_else(|| origin.cloned());
    }
}

fn dnf5(text: &str, origins: &mut Origins) -> Result<()> {
    #[derive(Deserialize)]
    struct State {
        #[serde(default)]
        nevras: HashMap<String, Nevra>,
    }
    #[derive(Deserialize)]
    struct Nevra {
        #[serde(default)]
        from_repo: String,
    }
    let state: State = toml::from_str(text)?;
    for (nevra, noted) in state.nevras {
        // NAME-[EPOCH:]VERSION-RELEASE.ARCH; names have dashes, too.
        let mut parts = nevra.rsplitn(3, '-');
        let (release, version, name) = (parts.next(), parts.next(), parts.next());
        let (Some(release), Some(version), Some(name)) = (release, version, name) else {
            continue;
        };
        let version = version.split_once(':').map_or(version, |(_, rest)| rest);
        if !noted.from_repo.is_empty() {
            origins.insert(format!("{name}-{version}-{release}"), noted.from_repo);
        }
    }
    Ok(())
}

fn dnf4(content: &[u8], origins: &mut Origins) -> Result<()> {
    let text = |value: &Value<'_>| match value {
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    };
    let mut repositories = HashMap::new();
    sqlite::table(content, "repo", &["id", "repoid"], &mut |row| {
        if let [Value::Number(id), name] = row {
            repositories.insert(*id, text(name));
        }
        Ok(())
    })?;
    // The latest transaction in which each item came from somewhere.
    let mut items: HashMap<i64, (i64, i64)> = HashMap::new();
    let columns = ["id", "item_id", "repo_id"];
    sqlite::table(content, "trans_item", &columns, &mut |row| {
        if let [
            Value::Number(number),
            Value::Number(item),
            Value::Number(repo),
        ] = row
            && repositories.get(repo).is_some_and(|name| name != SYSTEM)
        {
            let latest = items.entry(*item).or_insert((*number, *repo));
            *latest = (*latest).max((*number, *repo));
        }
        Ok(())
    })?;
    let mut latest: HashMap<String, i64> = HashMap::new();
    let columns = ["item_id", "name", "version", "release", "arch"];
    sqlite::table(content, "rpm", &columns, &mut |row| {
        let [Value::Number(item), name, version, release, arch] = row else {
            return Ok(());
        };
        let Some((number, repo)) = items.get(item) else {
            return Ok(());
        };
        let [name, version, release, arch] = [name, version, release, arch].map(text);
        let package = format!("{name}-{version}-{release}.{arch}");
        let before = latest.insert(package.clone(), *number);
        if before.is_none_or(|before| before <= *number)
            && let Some(repository) = repositories.get(repo)
        {
            origins.insert(package, repository.clone());
        }
        Ok(())
    })
}

fn yum(system: &mut System, origins: &mut Origins) -> Result<()> {
    for letter in system.read_dir(Path::new(YUM))?.unwrap_or_default() {
        let letter = Path::new(YUM).join(letter);
        for package in system.read_dir(&letter)?.unwrap_or_default() {
            if origins.len() >= MOST_PACKAGES {
                return Ok(());
            }
            let file = letter.join(&package).join("from_repo");
            // DIGEST-NAME-VERSION-RELEASE-ARCH
            let name = package.to_string_lossy().into_owned();
            let name = name
                .split_once('-')
                .and_then(|(_, rest)| rest.rsplit_once('-'));
            let Some((name, arch)) =
                name.filter(|_| system.find_file(&file).is_ok_and(|f| f.is_some()))
            else {
                continue;
            };
            let id = system.read(&file, MOST_ID)?;
            let id = String::from_utf8_lossy(&id).trim().to_owned();
            origins.insert(format!("{name}.{arch}"), id);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dnf_5_has_noted() {
        let text = "version = \"1.0\"\n[nevras]\n\"a-b-2:1.0-3.fc44.x86_64\" = {from_repo=\"fedora\"}\n\
            \"c-1-2.noarch\" = {from_repo=\"\"}\n";
        let mut origins = Origins::new();
        dnf5(text, &mut origins).unwrap();
        assert_eq!(
            origins,
            [("a-b-1.0-3.fc44.x86_64".to_owned(), "fedora".to_owned())].into()
        );
        dnf5("version = \"1.0\"\n", &mut origins).unwrap();
        dnf5("[nevras", &mut origins).unwrap_err();
    }

    #[test]
    fn a_package_has_the_repository_of_its_own_release() {
        let mut packages = [
            super::super::sample("a", Some(1)),
            super::super::sample("b", None),
        ];
        for package in &mut packages {
            package.repository = None;
        }
        let known = "a-1.2~rc1+git^4-3.el9.x86_64".to_owned();
        add(&[(known, "appstream".to_owned())].into(), &mut packages);
        assert_eq!(packages[0].repository.as_deref(), Some("appstream"));
        assert_eq!(packages[1].repository, None);
    }
}
