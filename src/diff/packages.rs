//! What is different in the packages.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::packages::changelog::Entry;
use crate::packages::{Package, version};

/// What is different in the packages.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Packages {
    /// How many there were.
    pub old: usize,
    /// How many there are.
    pub new: usize,
    /// Names of those that came, with version and architecture.
    pub added: Vec<String>,
    /// Names of those that went.
    pub removed: Vec<String>,
    /// Those of a higher version.
    pub upgraded: Vec<Step>,
    /// Those of a lower version.
    pub downgraded: Vec<Step>,
    /// Those of the same version with another content.
    pub rebuilt: Vec<Step>,
    /// The CVE ids in the changelogs' new entries, sorted.
    pub cves: Vec<String>,
}

/// A package that is another now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// Its architecture.
    pub arch: Option<String>,
    /// What it is built from: packages of one source share their changelog.
    pub source_rpm: Option<String>,
    /// Epoch, version and release that it had.
    pub old: String,
    /// Epoch, version and release that it has.
    pub new: String,
    /// When the old one was built, in seconds since 1970.
    #[serde(skip)]
    pub old_built: Option<u32>,
    /// The entries of its changelog that came with it, the newest first.
    pub changelog: Vec<Entry>,
    /// The CVE ids in them, sorted.
    pub cves: Vec<String>,
}

/// Packages by name and architecture: several where several may be installed (kernels, keys).
type Installed<'a> = BTreeMap<(&'a str, Option<&'a str>), Vec<&'a Package>>;

fn by_name(packages: &[Package]) -> Installed<'_> {
    let mut installed = Installed::new();
    for package in packages {
        let key = (package.name.as_str(), package.arch.as_deref());
        installed.entry(key).or_default().push(package);
    }
    installed
}

/// Whether two packages of the same name, version and architecture are the same, by what both tell.
fn is_same(one: &Package, other: &Package) -> bool {
    match (&one.header_sha256, &other.header_sha256) {
        (Some(one), Some(other)) => one == other,
        _ => one.built == other.built,
    }
}

impl Packages {
    /// Compares the packages of two images.
    pub fn between(old: &[Package], new: &[Package]) -> Packages {
        let (before, now) = (by_name(old), by_name(new));
        let mut found = Packages {
            old: old.len(),
            new: new.len(),
            ..Packages::default()
        };
        let names: BTreeSet<_> = before.keys().chain(now.keys()).collect();
        let none = Vec::new();
        for name in names {
            let old = before.get(name).unwrap_or(&none);
            let new = now.get(name).unwrap_or(&none);
            if let ([old], [new]) = (old.as_slice(), new.as_slice()) {
                found.compare(old, new);
                continue;
            }
            // Of several, each version is a package of its own.
            let same =
                |one: &Package, other: &Package| version::compare_packages(one, other).is_eq();
            for package in new {
                match old.iter().find(|old| same(old, package)) {
                    Some(old) => found.compare(old, package),
                    None => found.added.push(package.nevra()),
                }
            }
            let gone = old
                .iter()
                .filter(|old| !new.iter().any(|new| same(old, new)));
            found.removed.extend(gone.map(|package| package.nevra()));
        }
        found
    }

    fn compare(&mut self, old: &Package, new: &Package) {
        let steps = match version::compare_packages(old, new) {
            Ordering::Less => &mut self.upgraded,
            Ordering::Greater => &mut self.downgraded,
            Ordering::Equal if is_same(old, new) => return,
            Ordering::Equal => &mut self.rebuilt,
        };
        steps.push(Step {
            name: new.name.clone(),
            arch: new.arch.clone(),
            source_rpm: new.source_rpm.clone(),
            old: old.evr(),
            new: new.evr(),
            old_built: old.built,
            changelog: Vec::new(),
            cves: Vec::new(),
        });
    }

    /// Whether there is no difference.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && !self.has_steps()
    }

    /// Whether a package is another.
    pub fn has_steps(&self) -> bool {
        self.steps().next().is_some()
    }

    fn steps(&self) -> impl Iterator<Item = &Step> {
        let steps = self.upgraded.iter().chain(&self.downgraded);
        steps.chain(&self.rebuilt)
    }

    /// The names of all packages that are others: as they were, and as they are.
    pub fn names_of_steps(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        let steps = self.steps();
        steps
            .map(|step| (step.nevra(&step.old), step.nevra(&step.new)))
            .unzip()
    }

    /// Adds what the packages say of their changes: entries that the earlier one does not have, or, where its
    /// changelog is not known, those since it was built.
    pub fn explain(
        &mut self,
        old: Option<&BTreeMap<String, Vec<Entry>>>,
        new: &BTreeMap<String, Vec<Entry>>,
    ) {
        let mut all = BTreeSet::new();
        let steps = self.upgraded.iter_mut().chain(&mut self.downgraded);
        for step in steps.chain(&mut self.rebuilt) {
            let Some(entries) = new.get(&step.nevra(&step.new)) else {
                continue;
            };
            let before = old.map(|old| old.get(&step.nevra(&step.old)));
            let is_new = |entry: &&Entry| match before {
                Some(before) => !before.is_some_and(|before| before.contains(entry)),
                None => step.old_built.is_some_and(|built| entry.time > built),
            };
            step.changelog = entries.iter().filter(is_new).cloned().collect();
            let cves = step.changelog.iter().flat_map(|entry| cves(&entry.text));
            step.cves = cves.collect::<BTreeSet<_>>().into_iter().collect();
            all.extend(step.cves.iter().cloned());
        }
        self.cves = all.into_iter().collect();
    }
}

impl Step {
    fn nevra(&self, evr: &str) -> String {
        let arch = self.arch.iter().map(|arch| format!(".{arch}"));
        format!("{}-{evr}{}", self.name, arch.collect::<String>())
    }
}

/// The CVE ids in a text (`CVE-` year `-` at least four digits).
fn cves(text: &str) -> impl Iterator<Item = String> + '_ {
    const PREFIX: &str = "CVE-";
    text.match_indices(PREFIX).filter_map(|(at, _)| {
        let rest = &text[at + PREFIX.len()..];
        let (year, number) = rest.split_once('-')?;
        let end = number
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(number.len());
        let is_year = year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit());
        (is_year && end >= 4).then(|| format!("{PREFIX}{year}-{}", &number[..end]))
    })
}
