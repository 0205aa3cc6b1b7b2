//! Where the image and what lies beside it are.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// The finished image and its companions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputPaths {
    /// The directory that holds them all, absolute.
    pub dir: PathBuf,
    /// What the companions' names begin with: the image's file name without its extension.
    pub stem: String,
    /// The image.
    pub image: PathBuf,
    /// What was built from what, in JSON.
    pub manifest: PathBuf,
    /// What the guest said.
    pub console_log: PathBuf,
    /// A libvirt domain that boots the image.
    pub xml: PathBuf,
    /// The image's digest, as `sha256sum -c` reads it.
    pub checksum: PathBuf,
    /// The kickstart as it was served, with secrets masked.
    pub kickstart: PathBuf,
    /// What explains a failed build: a directory.
    pub failed: PathBuf,
}

impl OutputPaths {
    /// Paths for an image called `name` in `dir`, or for the image `file` where one is named.
    ///
    /// # Errors
    /// `file` has no file name, or a path cannot be made absolute.
    pub fn new(
        dir: Option<&Path>,
        name: &str,
        extension: &str,
        file: Option<&Path>,
        xml: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let image = match file {
            Some(file) => file.to_path_buf(),
            None => dir
                .unwrap_or(Path::new("."))
                .join(format!("{name}.{extension}")),
        };
        let image = std::path::absolute(&image)
            .with_context(|| format!("finding the directory of {}", image.display()))?;
        let (Some(dir), Some(file_name)) = (image.parent(), image.file_name()) else {
            bail!("{} names no file to write the image to", image.display());
        };
        let file_name = file_name.to_string_lossy().into_owned();
        let stem = match Path::new(&file_name).file_stem().and_then(OsStr::to_str) {
            // Only endings of disk images are cut: `rocky-9.4` is a whole name.
            Some(stem)
                if ["qcow2", "raw", "img", "dsk"]
                    .iter()
                    .any(|ending| file_name == format!("{stem}.{ending}")) =>
            {
                stem.to_string()
            }
            _ => file_name.clone(),
        };
        let beside = |ending: &str| dir.join(format!("{stem}.{ending}"));
        Ok(OutputPaths {
            manifest: beside("manifest.json"),
            console_log: beside("console.log"),
            xml: match xml {
                Some(xml) => std::path::absolute(xml)
                    .with_context(|| format!("finding the directory of {}", xml.display()))?,
                None => beside("xml"),
            },
            checksum: dir.join(format!("{file_name}.sha256")),
            kickstart: beside("served.ks"),
            failed: beside("failed"),
            dir: dir.to_path_buf(),
            stem,
            image,
        })
    }

    /// Everything that a finished build leaves, the image last.
    pub fn all(&self) -> [&Path; 6] {
        [
            &self.manifest,
            &self.kickstart,
            &self.console_log,
            &self.xml,
            &self.checksum,
            &self.image,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(dir: &str, name: &str, file: Option<&str>) -> OutputPaths {
        OutputPaths::new(
            Some(Path::new(dir)),
            name,
            "qcow2",
            file.map(Path::new),
            None,
        )
        .unwrap()
    }

    #[test]
    fn names_with_dots_stay_whole() {
        let paths = paths("/o", "rocky-9.4", None);
        assert_eq!(paths.image, Path::new("/o/rocky-9.4.qcow2"));
        assert_eq!(paths.manifest, Path::new("/o/rocky-9.4.manifest.json"));
        assert_eq!(paths.checksum, Path::new("/o/rocky-9.4.qcow2.sha256"));
    }

    #[test]
    fn a_named_file_decides() {
        let paths = paths("/o", "rocky", Some("/srv/x.dsk"));
        assert_eq!(paths.image, Path::new("/srv/x.dsk"));
        assert_eq!(paths.xml, Path::new("/srv/x.xml"));
        let paths = self::paths("/o", "rocky", Some("/srv/v1.2"));
        assert_eq!(paths.console_log, Path::new("/srv/v1.2.console.log"));
    }
}
