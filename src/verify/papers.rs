//! Whether an image is what its papers say: `ozr verify` without `--for`.
//!
//! The checksums name its digest, the provenance those of all papers, and the manifest what is inside. A key
//! must have signed the first two, if any is named; then nothing is believed that it has not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Deserialize;

use super::signed::Paper;
use super::{Findings, Question};
use crate::diagnostic::Diagnostic;
use crate::hex;
use crate::image::checksum;
use crate::image::manifest::{self, MOST_BYTES, Manifest};
use crate::image::reader::{self, Image};
use crate::image::seal::Proof;
use crate::input::read_bounded;
use crate::inspect::{Inspection, Storage};
use crate::metal::papers::digest_in;
use crate::options::TrustedKey;
use crate::packages::Package;

/// Most of what differs that is named.
const MOST_NAMED: usize = 5;

/// Files that hold checksums of all that is in a directory.
const COMMON: [&str; 2] = ["CHECKSUM", "SHA256SUMS"];

/// The part of a provenance that is read here.
#[derive(Deserialize)]
struct Statement {
    subject: Vec<Subject>,
}

#[derive(Deserialize)]
struct Subject {
    name: String,
    digest: BTreeMap<String, String>,
}

impl Statement {
    fn digest(&self, name: &str) -> Option<&str> {
        let subject = self.subject.iter().find(|subject| subject.name == name)?;
        subject.digest.get("sha256").map(String::as_str)
    }
}

/// Looks at an image and at what lies beside it.
///
/// # Errors
/// A file cannot be read.
pub async fn verify(
    path: &Path,
    question: &Question<'_>,
    keys: &[TrustedKey],
) -> Result<Vec<Diagnostic>> {
    let mut findings = Findings {
        name: question.name,
        all: Vec::new(),
    };
    let name = path.file_name().unwrap_or_default();
    let name = name.to_string_lossy().into_owned();
    let (sha256, _) = checksum::sha256(question.file).await?;
    let place = |name: String| path.with_file_name(name);
    let checksums = find(&name, "CHECKSUM", place, MOST_BYTES)?;
    let checksums = match checksums {
        Some(paper) => Some(paper),
        None => COMMON
            .iter()
            .find_map(|name| Paper::read(path.with_file_name(name), MOST_BYTES).transpose())
            .transpose()?,
    };
    let provenance = find(&name, "provenance.json", place, MOST_BYTES)?;
    let manifest = find(&name, "manifest.json", place, MOST_BYTES)?;
    if checksums.is_none() && provenance.is_none() && manifest.is_none() {
        findings.error(
            "nothing beside it says what it should be",
            "put its CHECKSUM, provenance or manifest beside it",
        );
        return Ok(findings.all);
    }

    // What is believed from here on was signed, if keys are named.
    let checksums = believed(checksums, keys, &mut findings).await;
    if let Some((paper, text)) = &checksums {
        let expected = digest_in(text.as_bytes(), &name);
        digest(&paper.name(), expected.as_deref(), &sha256, &mut findings);
    }
    let provenance = believed(provenance, keys, &mut findings).await;
    let statement = provenance.and_then(|(paper, text)| {
        let statement = serde_json::from_str::<Statement>(&text);
        let statement = statement.map_err(|error| {
            let name = paper.name();
            findings.error(format!("{name} is no provenance: {error}"), "");
        });
        Some((paper, statement.ok()?))
    });
    if let Some((paper, statement)) = &statement {
        let expected = statement.digest(&name);
        digest(&paper.name(), expected, &sha256, &mut findings);
        papers(path, &name, statement, &mut findings);
    }
    let Some(manifest) = manifest else {
        findings.note("there is no manifest beside it, so what is inside was not compared");
        return Ok(findings.all);
    };
    let named = manifest.name();
    if !keys.is_empty() {
        let vouched = statement.as_ref().and_then(|(_, all)| all.digest(&named));
        if vouched != Some(hex::sha256(&manifest.text).as_str()) {
            findings.error(
                format!(
                    "nothing that is signed vouches for {named}, so what is inside was not compared"
                ),
                "put the provenance and its signature beside it",
            );
            return Ok(findings.all);
        }
    }
    match serde_json::from_str::<Manifest>(&manifest.text) {
        Ok(manifest) => inside(&name, &sha256, &manifest, question, &mut findings).await,
        Err(error) => findings.error(format!("{named} is no manifest: {error}"), ""),
    }
    Ok(findings.all)
}

/// A paper of an image by the image's name, whose endings may be several.
fn find(
    name: &str,
    ending: &str,
    place: impl Fn(String) -> PathBuf,
    most: u64,
) -> Result<Option<Paper>> {
    for stem in manifest::stems(name) {
        if let Some(paper) = Paper::read(place(format!("{stem}.{ending}")), most)? {
            return Ok(Some(paper));
        }
    }
    Ok(None)
}

/// What of a paper is to be believed: what a key has signed, or all of it where no key is named.
async fn believed(
    paper: Option<Paper>,
    keys: &[TrustedKey],
    findings: &mut Findings<'_>,
) -> Option<(Paper, String)> {
    let paper = paper?;
    let name = paper.name();
    if keys.is_empty() {
        if paper.has_signature() {
            findings.note(format!(
                "the signature of {name} was not looked at: name the keys that you trust with --key"
            ));
        }
        let text = paper.text.clone();
        return Some((paper, text));
    }
    match paper.signed(keys).await {
        Ok((text, key)) => {
            let key = match key {
                TrustedKey::Gpg(file) | TrustedKey::Ssh(file) => file.display().to_string(),
                TrustedKey::Cosign(key) => key.clone(),
            };
            findings.note(format!("{name} is signed by a key of {key}"));
            Some((paper, text))
        }
        Err(error) => {
            findings.error(
                format!("{name} is not signed by a key that is trusted: {error:#}"),
                "",
            );
            None
        }
    }
}

fn digest(by: &str, expected: Option<&str>, found: &str, findings: &mut Findings<'_>) {
    match expected {
        Some(expected) if expected == found => {
            findings.note(format!("its digest is that of {by}"));
        }
        Some(expected) => findings.error(
            format!("its SHA-256 is {found}, and {by} names {expected}"),
            "it was changed after it was made, or damaged on its way: get it again",
        ),
        None => findings.error(format!("{by} does not name it"), ""),
    }
}

/// Compares what lies beside the image with the provenance; other images are asked for by themselves.
fn papers(path: &Path, image: &str, statement: &Statement, findings: &mut Findings<'_>) {
    const PAPERS: [&str; 5] = [".json", ".xml", ".log", ".ks", ".bmap"];
    for subject in &statement.subject {
        let name = subject.name.as_str();
        let is_plain = Path::new(name).file_name().is_some_and(|file| file == name);
        let is_paper = PAPERS.iter().any(|ending| name.ends_with(ending));
        let beside = path.with_file_name(name);
        if name == image || !is_plain || !is_paper || !beside.is_file() {
            continue;
        }
        let Some(expected) = statement.digest(name) else {
            continue;
        };
        match read_bounded(&beside, MOST_BYTES) {
            Ok(bytes) if hex::sha256(&bytes) == expected => {}
            Ok(_) => findings.error(
                format!("{name} beside it is not the one that the provenance names"),
                "",
            ),
            Err(error) => findings.note(format!("{name} was not looked at: {error}")),
        }
    }
}

/// Compares what is inside with the manifest.
async fn inside(
    name: &str,
    sha256: &str,
    manifest: &Manifest,
    question: &Question<'_>,
    findings: &mut Findings<'_>,
) {
    let entry = manifest.images.iter().find(|image| image.file == name);
    digest(
        "the manifest",
        entry.map(|image| image.sha256.as_str()),
        sha256,
        findings,
    );
    if manifest.disks.len() > 1 {
        return findings
            .note("it is of a machine with several disks: what is inside was not compared");
    }
    let file = std::slice::from_ref(question.file);
    let keys = question.keys(question.file, findings).await;
    let inspection = match reader::inspect(question.program, file, &keys).await {
        Ok(inspection) => inspection,
        Err(error) => {
            return findings.note(format!("what is inside was not compared: {error:#}"));
        }
    };
    compare(manifest, &inspection, findings);
    if manifest.seal.items.is_empty() {
        return;
    }
    let items = manifest.seal.items.iter().cloned().collect();
    let question_of_seal = reader::Question::Unsealed(items);
    let images = Image::opened(file, &keys);
    let proof = reader::ask::<Proof>(question.program, &images, &question_of_seal).await;
    match proof {
        Ok(Proof { left, unproved }) => {
            for why in unproved {
                findings.note(format!(
                    "whether it is sealed was not looked at everywhere: {why}"
                ));
            }
            for one in left.iter().take(MOST_NAMED) {
                findings.error(
                    format!("the manifest says that it is sealed, and {one}"),
                    "it was started, or changed, after it was made",
                );
            }
        }
        Err(error) => findings.note(format!("whether it is sealed was not looked at: {error:#}")),
    }
}

fn compare(manifest: &Manifest, inspection: &Inspection, findings: &mut Findings<'_>) {
    // What lies in something encrypted, was seen where that was open.
    let open = |storage: &Storage| {
        let volumes = storage.volumes.iter().map(|volume| volume.path.clone());
        volumes
            .filter(|path| path.starts_with("/dev/mapper/luks-"))
            .collect::<Vec<_>>()
    };
    let expected_open = manifest.storage.as_ref().map(open);
    let all = expected_open.is_none_or(|expected| expected == open(&inspection.storage));
    let parts = |storage: &Storage| {
        let volumes = all.then(|| storage.volumes.clone());
        (storage.partitions.clone(), volumes)
    };
    if let Some(expected) = &manifest.storage {
        match parts(expected) == parts(&inspection.storage) {
            true => findings.note("its partitions are those of the manifest"),
            false => findings.error("its partitions are not those of the manifest", ""),
        }
    }
    let Some(expected) = &manifest.packages else {
        return;
    };
    let found = inspection.system.as_ref();
    let Some(found) = found.and_then(|system| system.packages.as_ref()) else {
        let why = inspection.troubles.join("; ");
        return findings.note(format!("its packages were not compared: {why}"));
    };
    let differing = differing(expected, found);
    if differing.is_empty() {
        let count = found.len();
        return findings.note(format!("its {count} packages are those of the manifest"));
    }
    let more = match differing.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let named: Vec<String> = differing.into_iter().take(MOST_NAMED).collect();
    let named = named.join(", ");
    findings.error(
        format!("its packages are not those of the manifest: {named}{more}"),
        "",
    );
}

/// What differs between packages that are expected and found, in words.
fn differing(expected: &[Package], found: &[Package]) -> Vec<String> {
    // Where a package is from is not told by a sealed image.
    let plain = |packages: &[Package]| -> Vec<Package> {
        let packages = packages.iter().cloned();
        let packages = packages.map(|package| Package {
            repository: None,
            ..package
        });
        packages.collect()
    };
    let (expected, found) = (plain(expected), plain(found));
    let name =
        |package: &Package| format!("{}-{}-{}", package.name, package.version, package.release);
    let missing = expected.iter().filter(|package| !found.contains(package));
    let missing = missing.map(|package| format!("{} is missing or another", name(package)));
    let added = found.iter().filter(|package| {
        let mut named = expected.iter().map(name);
        !expected.contains(package) && !named.any(|known| known == name(package))
    });
    missing
        .chain(added.map(|package| format!("{} was added", name(package))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::sample;

    #[test]
    fn packages_that_differ_are_named() {
        let mut from_elsewhere = sample("a", None);
        from_elsewhere.repository = None;
        assert!(differing(&[sample("a", None)], &[from_elsewhere]).is_empty());
        let mut other = sample("a", None);
        other.header_sha256 = None;
        let named = differing(&[sample("a", None)], &[other, sample("b", None)]);
        assert_eq!(
            named,
            [
                "a-1.2~rc1+git^4-3.el9 is missing or another",
                "b-1.2~rc1+git^4-3.el9 was added"
            ]
        );
    }
}
