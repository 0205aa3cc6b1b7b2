//! What the manifest beside an image tells of it, whichever version of ozr wrote that.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::distro::Release;
use crate::error::{Classify, Kind};
use crate::image::manifest::MOST_BYTES;
use crate::input;

/// What is known of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// The address of the install tree that it was made of; none where that was an ISO image.
    pub tree: Option<String>,
    /// The manifest's path.
    pub from: String,
    /// The package that would make its initramfs one for all machines, if it is not installed.
    pub lacks: Option<&'static str>,
}

#[derive(Deserialize)]
struct Manifest {
    tree: Tree,
    release: Option<Named>,
    packages: Option<Vec<Package>>,
}

#[derive(Deserialize)]
struct Tree {
    url: String,
    /// What it was installed from, if that was no tree.
    #[serde(default)]
    isos: Vec<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    version: String,
}

#[derive(Deserialize)]
struct Package {
    name: String,
}

/// The manifest beside the image `NAME.ENDING`, `NAME.manifest.json`; none if there is none.
///
/// # Errors
/// Input: it cannot be read, or is none.
pub fn look(image: &Path) -> Result<Option<Beside>> {
    let mut stem = image.to_path_buf();
    while stem.extension().is_some() {
        stem.set_extension("");
        let mut path = stem.clone().into_os_string();
        path.push(".manifest.json");
        let path = PathBuf::from(path);
        if path.is_file() {
            let shown = path.display().to_string();
            let told = input::read_bounded(&path, MOST_BYTES).map_err(anyhow::Error::from);
            let told = told.and_then(|text| read(&text, shown.clone()));
            let told = told.with_context(|| format!("reading {shown}"));
            return told.map(Some).kind(Kind::Input);
        }
    }
    Ok(None)
}

fn read(text: &[u8], from: String) -> Result<Beside> {
    let manifest: Manifest = serde_json::from_slice(text)?;
    let release = manifest
        .release
        .and_then(|named| Release::from_names(&named.name, &named.version).ok());
    let package = release.and_then(Release::portable_package);
    let lacks = package.filter(|package| {
        let packages = manifest.packages.as_ref();
        packages.is_some_and(|all| all.iter().all(|each| each.name != *package))
    });
    Ok(Beside {
        tree: Some(manifest.tree.url).filter(|_| manifest.tree.isos.is_empty()),
        from,
        lacks,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_tells_the_tree_and_what_is_missing() {
        let lacks = |version: &str, packages: &str| {
            let text = format!(
                r#"{{"tree":{{"url":"http://m/os/"}},"release":{{"name":"Rocky","version":"{version}"}}{packages}}}"#
            );
            let told = read(text.as_bytes(), "m".to_owned()).unwrap();
            assert_eq!(told.tree.unwrap(), "http://m/os/");
            told.lacks
        };
        let package = "dracut-config-generic";
        let with = |name: &str| format!(r#","packages":[{{"name":"{name}","size":1}}]"#);
        assert_eq!(lacks("9", &with("bash")), Some(package));
        assert_eq!(lacks("9", &with(package)), None);
        // Not known, or of no use.
        assert_eq!(lacks("9", ""), None);
        assert_eq!(lacks("9", r#","packages":null"#), None);
        read(b"{}", "m".to_owned()).unwrap_err();
    }

    #[test]
    fn it_lies_beside_images_of_any_ending() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let text = r#"{"tree":{"url":"http://m/"}}"#;
        std::fs::write(at("web-9.4.manifest.json"), text).unwrap();
        for name in ["web-9.4.qcow2", "web-9.4.raw.zst"] {
            assert_eq!(look(&at(name)).unwrap().unwrap().tree.unwrap(), "http://m/");
        }
        assert_eq!(look(&at("other.qcow2")).unwrap(), None);
    }
}
