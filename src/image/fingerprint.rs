//! What an image was made of, so that another build can be known to make the same: `docs/rebuild.md`.
//!
//! The comparison is on the safe side: what is not known is a reason to build.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use crate::packages::version;

/// The version of what ozr itself makes of the same inputs. Raised with every change of ozr that makes another image of
/// them: of what it adds to a kickstart, of the guest that it installs in, of sealing, of a format. Not raised where an
/// input is added to the fingerprint, for that shows by itself.
pub const VERSION: u32 = 2;

/// What an image was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// [`VERSION`].
    pub version: u32,
    /// What is compared as it is: options, digests of files.
    pub inputs: Vec<Input>,
    /// What cannot be compared, in a sentence each.
    pub unknown: Vec<String>,
    /// The repositories, as they were.
    pub repositories: Vec<State>,
    /// The groups and modules that matter, and the digest of each.
    pub groups: Vec<Input>,
    /// The packages on which it depends what is installed: `name-epoch:version-release.arch`, and the beginning of the
    /// digest of its file. None where they could not be told.
    pub candidates: Option<Vec<String>>,
}

/// Something that is compared as it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Input {
    /// What it is.
    pub name: String,
    /// A value, or a digest.
    pub value: String,
}

/// The state of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Its address, without credentials.
    pub url: String,
    /// The digests of its lists of packages, groups and modules.
    pub lists: Vec<String>,
}

/// Why an image is to be built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// What is another, or not known.
    pub kind: Kind,
    /// It, in a sentence.
    pub text: String,
}

/// What is another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// There is no image that could be kept.
    Image,
    /// ozr makes another image of the same.
    Ozr,
    /// An input: a file, an option.
    Input,
    /// A package, a group or a module.
    Package,
    /// It is not known whether it is another.
    Unknown,
}

impl Fingerprint {
    /// Whether all repositories have the lists that they had then.
    pub fn has_the_lists_of(&self, old: &Fingerprint) -> bool {
        let lists = |one: &Fingerprint| -> Vec<Vec<String>> {
            let all = one.repositories.iter();
            all.map(|state| state.lists.clone()).collect()
        };
        old.candidates.is_some() && lists(self) == lists(old)
    }
}

impl Reason {
    /// A reason.
    pub fn new(kind: Kind, text: impl Into<String>) -> Reason {
        Reason {
            kind,
            text: text.into(),
        }
    }
}

/// Most digits of a file's digest that are kept.
const DIGITS: usize = 16;

/// A package as fingerprints have it.
pub fn candidate(nevra: &str, checksum: &str) -> String {
    format!("{nevra} {}", checksum.get(..DIGITS).unwrap_or(checksum))
}

/// What is another, of all but packages.
pub fn compare_inputs(old: &Fingerprint, new: &Fingerprint) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if old.version != new.version {
        reasons.push(Reason::new(
            Kind::Ozr,
            "this ozr makes another image of the same inputs than the one that built it",
        ));
    }
    let different = differences(&old.inputs, &new.inputs);
    let different = different.map(|(name, how)| Reason::new(Kind::Input, format!("{name} {how}")));
    reasons.extend(different);
    let unknown: BTreeSet<&String> = old.unknown.iter().chain(&new.unknown).collect();
    let unknown = unknown.into_iter();
    reasons.extend(unknown.map(|text| Reason::new(Kind::Unknown, text)));
    reasons
}

fn differences<'a>(
    old: &'a [Input],
    new: &'a [Input],
) -> impl Iterator<Item = (&'a str, &'static str)> {
    let map = |all: &'a [Input]| -> BTreeMap<&'a str, &'a str> {
        let all = all.iter();
        all.map(|input| (&*input.name, &*input.value)).collect()
    };
    let (old, new) = (map(old), map(new));
    let names: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
    names.into_iter().filter_map(move |name| {
        let how = match (old.get(name), new.get(name)) {
            (Some(old), Some(new)) if old == new => return None,
            (Some(_), Some(_)) => "is another",
            (Some(_), None) => "is gone",
            (None, _) => "is new",
        };
        Some((name, how))
    })
}

/// What is known of packages beside the fingerprints.
#[derive(Debug, Default)]
pub struct About {
    /// The version of each package that is installed, by name and architecture.
    pub installed: HashMap<String, String>,
    /// Where each candidate is, and why it counts, in words.
    pub candidates: HashMap<String, (String, String)>,
}

/// Which packages, groups and modules are others. What is installed comes first.
pub fn compare_packages(old: &Fingerprint, new: &Fingerprint, about: &About) -> Vec<Reason> {
    let (Some(before), Some(now)) = (&old.candidates, &new.candidates) else {
        return vec![Reason::new(
            Kind::Unknown,
            "which packages would be installed is not known",
        )];
    };
    let different = differences(&old.groups, &new.groups);
    let mut reasons: Vec<(bool, Reason)> = different
        .map(|(name, how)| (false, Reason::new(Kind::Package, format!("{name} {how}"))))
        .collect();
    let (before, now) = (by_name(before), by_name(now));
    let names: BTreeSet<&str> = before.keys().chain(now.keys()).copied().collect();
    let nothing = BTreeMap::new();
    for name in names {
        let (old, new) = (
            before.get(name).unwrap_or(&nothing),
            now.get(name).unwrap_or(&nothing),
        );
        if let Some(text) = difference(name, old, new, about) {
            let is_installed = about.installed.contains_key(name);
            reasons.push((!is_installed, Reason::new(Kind::Package, text)));
        }
    }
    reasons.sort_by_key(|(rank, _)| *rank);
    reasons.into_iter().map(|(_, reason)| reason).collect()
}

/// Versions, each with its whole candidate, by `name.arch`.
type Versions<'a> = BTreeMap<&'a str, &'a str>;

fn by_name(candidates: &[String]) -> BTreeMap<&str, Versions<'_>> {
    let mut all: BTreeMap<&str, Versions<'_>> = BTreeMap::new();
    for candidate in candidates {
        let nevra = candidate.split(' ').next().unwrap_or_default();
        if let Some((name, evr, _)) = split(nevra) {
            all.entry(name).or_default().insert(evr, candidate);
        }
    }
    all
}

/// The name, the version and the architecture of `name-epoch:version-release.arch`.
fn split(nevra: &str) -> Option<(&str, &str, &str)> {
    let (rest, arch) = nevra.rsplit_once('.')?;
    let (before, _) = rest.rsplit_once('-')?;
    let (name, _) = before.rsplit_once('-')?;
    Some((name, &rest[name.len() + 1..], arch))
}

/// What is different in the candidates of a name, if anything is.
fn difference(name: &str, old: &Versions<'_>, new: &Versions<'_>, about: &About) -> Option<String> {
    let newest = |versions: &Versions<'_>| -> Option<String> {
        let all = versions.keys().copied();
        all.max_by(|one, other| version::compare_evr(one, other))
            .map(str::to_owned)
    };
    let fresh = new
        .iter()
        .find(|(evr, whole)| old.get(*evr) != Some(*whole));
    let installed = about.installed.get(name);
    let Some((changed, whole)) = fresh else {
        let gone = old.keys().find(|evr| !new.contains_key(*evr))?;
        return Some(format!("{name} {gone} is in no repository any more"));
    };
    // The newest of the new ones says most.
    let added = newest(
        &new.iter()
            .filter(|(evr, _)| !old.contains_key(*evr))
            .map(|(a, b)| (*a, *b))
            .collect(),
    );
    let whole = added
        .as_deref()
        .and_then(|added| new.get(added))
        .unwrap_or(whole);
    let (repository, why) = about.candidates.get(*whole).cloned().unwrap_or_default();
    let place = if repository.is_empty() {
        String::new()
    } else {
        format!(" in {repository}")
    };
    let candidate = if installed.is_some() || why.is_empty() {
        String::new()
    } else {
        format!(": it is {why}")
    };
    Some(match (added, installed.cloned().or_else(|| newest(old))) {
        (None, _) => format!("{name} {changed} was built anew{place}{candidate}"),
        (Some(added), Some(before)) => format!("{name} {before} → {added}{place}{candidate}"),
        (Some(added), None) => format!("{name} {added} is new{place}{candidate}"),
    })
}

/// One in which nothing is absent, for tests.
#[cfg(test)]
pub fn sample() -> Fingerprint {
    let input = Input {
        name: "the kickstart".to_owned(),
        value: "0".to_owned(),
    };
    Fingerprint {
        version: VERSION,
        inputs: vec![input.clone()],
        unknown: vec!["u".to_owned()],
        repositories: vec![State {
            url: "https://example.org/os/".to_owned(),
            lists: vec!["sha256:0".to_owned()],
        }],
        groups: vec![input],
        candidates: Some(vec!["bash-5.1-1.x86_64 0".to_owned()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(candidates: &[&str]) -> Fingerprint {
        let candidates = candidates.iter().map(|text| (*text).to_owned());
        Fingerprint {
            unknown: Vec::new(),
            candidates: Some(candidates.collect()),
            ..sample()
        }
    }

    #[test]
    fn packages_are_named_with_both_versions_and_the_repository() {
        let old = with(&[
            "ssl-libs-1:3.0.7-1.x86_64 aa",
            "sh-5-1.noarch bb",
            "old-1-1.noarch cc",
        ]);
        let mut about = About::default();
        about
            .installed
            .insert("ssl-libs".to_owned(), "1:3.0.7-1".to_owned());
        for (changed, reasons) in [
            (old.candidates.clone().unwrap(), &[][..]),
            (
                vec![
                    "ssl-libs-1:3.0.7-1.x86_64 aa".to_owned(),
                    "ssl-libs-1:3.0.7-10.x86_64 dd".to_owned(),
                    "ssl-libs-1:3.0.7-9.x86_64 ee".to_owned(),
                    "sh-5-1.noarch bb".to_owned(),
                    "old-1-1.noarch cc".to_owned(),
                ],
                &["ssl-libs 1:3.0.7-1 → 1:3.0.7-10 in baseos"],
            ),
            (
                vec![
                    "ssl-libs-1:3.0.7-1.x86_64 ff".to_owned(),
                    "sh-5-2.noarch bb".to_owned(),
                    "new-1-1.noarch 00".to_owned(),
                ],
                &[
                    "ssl-libs 1:3.0.7-1 was built anew",
                    "new 1-1 is new in extras: it is recommended by sh",
                    "old 1-1 is in no repository any more",
                    "sh 5-1 → 5-2",
                ],
            ),
        ] {
            let mut new = with(&[]);
            new.candidates = Some(changed);
            let place = |repository: &str, why: &str| (repository.to_owned(), why.to_owned());
            about.candidates.insert(
                "ssl-libs-1:3.0.7-10.x86_64 dd".to_owned(),
                place("baseos", "x"),
            );
            about.candidates.insert(
                "new-1-1.noarch 00".to_owned(),
                place("extras", "recommended by sh"),
            );
            let found = compare_packages(&old, &new, &about);
            let texts: Vec<&str> = found.iter().map(|reason| &*reason.text).collect();
            assert_eq!(texts, reasons);
        }
        let unknown = Fingerprint {
            candidates: None,
            ..old.clone()
        };
        assert_eq!(
            compare_packages(&unknown, &old, &about)[0].kind,
            Kind::Unknown
        );
    }

    #[test]
    fn every_difference_is_a_reason() {
        let old = Fingerprint {
            unknown: Vec::new(),
            ..sample()
        };
        assert_eq!(compare_inputs(&old, &old), []);
        let input = |name: &str, value: &str| Input {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        let new = Fingerprint {
            version: VERSION + 1,
            inputs: vec![input("the kickstart", "1"), input("--memory", "2")],
            unknown: vec!["what it fetches is not known".to_owned()],
            ..old.clone()
        };
        let kinds: Vec<(Kind, String)> = compare_inputs(&old, &new)
            .into_iter()
            .map(|one| (one.kind, one.text))
            .collect();
        let texts: Vec<&str> = kinds.iter().skip(1).map(|(_, text)| &**text).collect();
        assert_eq!(kinds[0].0, Kind::Ozr);
        assert_eq!(
            texts,
            [
                "--memory is new",
                "the kickstart is another",
                "what it fetches is not known"
            ]
        );
    }
}
