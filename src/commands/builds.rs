//! The builds that have ended, by their names and ids, and what is still there of each.

use std::path::{Path, PathBuf};

use crate::error::{Classify, Kind, fail};
use crate::image::manifest::{Manifest, read};
use crate::input;
use crate::install::history::{self, Alike, Build};

/// Fewest characters of an id that name a build: fewer might be meant as something else.
const MIN_ID: usize = 4;

/// Most names that are suggested in place of one that is not there.
const MAX_NEAR: usize = 3;

/// What is still there of a build: its manifest, and its first image that `ozr` reads.
#[derive(Debug)]
pub struct Left {
    /// The image, raw or qcow2; none where it was made into other formats only.
    pub image: Option<PathBuf>,
    /// The manifest.
    pub manifest: PathBuf,
}

impl Left {
    /// What is left of a build; nothing where another one has taken its place.
    pub fn of(build: &Build) -> Option<Left> {
        let path = build.manifest.as_ref().filter(|_| build.is_good())?;
        let manifest = read(path).ok()?;
        (manifest.build_id == build.id).then(|| Left {
            image: image(&manifest, path),
            manifest: path.clone(),
        })
    }
}

/// The first image of a manifest that can be read.
fn image(manifest: &Manifest, beside: &Path) -> Option<PathBuf> {
    let is_read = |name: &str| [".qcow2", ".raw"].iter().any(|end| name.ends_with(end));
    let mut images = manifest.images.iter();
    let image = images.find(|image| image.disk == 1 && is_read(&image.file))?;
    let path = beside.with_file_name(&image.file);
    let there = path.metadata().ok()?;
    (there.len() == image.size).then_some(path)
}

/// All builds that are known in a state directory, those that are alike together.
///
/// # Errors
/// Host: they cannot be read.
pub fn all(state_dir: &Path) -> anyhow::Result<Vec<Alike>> {
    history::all(state_dir).kind(Kind::Host)
}

/// Those called `name`, or whose id begins so, the newest last. The name stands above the id.
///
/// # Errors
/// Input: there is none.
pub fn find<'a>(name: &str, all: &'a [Alike]) -> anyhow::Result<Vec<&'a Build>> {
    let builds: Vec<&Build> = all.iter().flatten().collect();
    let by_id = |build: &Build| name.len() >= MIN_ID && build.id.starts_with(name);
    let matching = |is: &dyn Fn(&Build) -> bool| -> Vec<&Build> {
        let mut found: Vec<&Build> = builds.iter().copied().filter(|build| is(build)).collect();
        found.sort_by(|one, other| one.finished.cmp(&other.finished));
        found
    };
    for found in [matching(&|build| build.name == name), matching(&by_id)] {
        if !found.is_empty() {
            return Ok(found);
        }
    }
    let mut names: Vec<&str> = builds.iter().map(|build| build.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let near = input::near(name, &names, MAX_NEAR);
    let near = match near.as_slice() {
        [] => String::new(),
        near => format!("; did you mean `{}`?", near.join("`, `")),
    };
    fail!(
        Kind::Input,
        "no build is known that is called `{name}`{near} (`ozr history` shows them all)"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_is_found_by_its_name_or_its_id() {
        let build = |name: &str, id: &str, finished: &str| Build {
            name: name.to_owned(),
            id: id.to_owned(),
            finished: finished.to_owned(),
            ..history::sample()
        };
        let all = [
            vec![
                build("web", "aaaa1", "2026-11-02"),
                build("web", "aaaa2", "2026-11-01"),
            ],
            vec![
                build("db", "bbbb3", "2026-11-03"),
                build("aaaa", "cccc4", "2026-11-04"),
            ],
        ];
        let of = |name| {
            let found = find(name, &all).map_err(|error| error.to_string())?;
            Ok(found
                .iter()
                .map(|build| build.id.as_str())
                .collect::<Vec<_>>())
        };
        assert_eq!(of("web"), Ok(vec!["aaaa2", "aaaa1"]));
        assert_eq!(of("bbbb3"), Ok(vec!["bbbb3"]));
        assert_eq!(of("aaaa"), Ok(vec!["cccc4"]), "the name stands above");
        assert_eq!(of("aaaa1"), Ok(vec!["aaaa1"]));
        let error: String = of("webb").unwrap_err();
        assert!(error.contains("did you mean `web`"), "{error}");
        assert!(of("bbb").is_err());
    }
}
