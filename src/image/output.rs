//! Where the image and what lies beside it are.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::publish;
use crate::error::{Kind, fail, failure};
use crate::options::{Format, InstallOptions, SbomFormat};

/// Endings of what an image is not: other formats of disks, archives, media. Whoever names one
/// expects what the file will not be.
const OTHER_FORMATS: [&str; 13] = [
    "vmdk", "vdi", "vhd", "vhdx", "vpc", "qed", "iso", "ova", "ovf", "gz", "xz", "zst", "bz2",
];

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
    /// What the image is made of, in each format that is asked for.
    pub sboms: Vec<(SbomFormat, PathBuf)>,
}

impl OutputPaths {
    /// Paths for an image called `name`, as the options have it.
    ///
    /// # Errors
    /// Those of [`OutputPaths::new`].
    pub fn of(options: &InstallOptions, name: &str) -> anyhow::Result<Self> {
        let mut paths = OutputPaths::new(
            options.output_dir.as_deref(),
            name,
            options.format.unwrap_or_default().name(),
            options.output.as_deref(),
            options.xml.as_deref(),
        )?;
        for format in &options.sbom {
            if !paths.sboms.iter().any(|(other, _)| other == format) {
                let file = format!("{}.{}", paths.stem, format.ending());
                paths.sboms.push((*format, paths.dir.join(file)));
            }
        }
        Ok(paths)
    }

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
            sboms: Vec::new(),
            dir: dir.to_path_buf(),
            stem,
            image,
        })
    }

    /// Everything that a build leaves, the image first, with what each is called.
    pub fn named(&self) -> Vec<(&'static str, &Path)> {
        let mut named: Vec<(&str, &Path)> = vec![
            ("the image", &self.image),
            ("the image's XML", &self.xml),
            ("the manifest", &self.manifest),
            ("the checksum", &self.checksum),
            ("the console log", &self.console_log),
            ("the served kickstart", &self.kickstart),
        ];
        let sboms = self
            .sboms
            .iter()
            .map(|(_, path)| ("the SBOM", path.as_path()));
        named.extend(sboms);
        named.push(("the directory of a failed build", &self.failed));
        named
    }

    /// Refuses outputs that cannot get their names, before anything is spent on the build. With
    /// `replace` they may take those of files that are there.
    ///
    /// # Errors
    /// Input: a name is taken, or cannot be.
    pub fn check(&self, replace: bool) -> anyhow::Result<()> {
        let mut files = self.named();
        // The directory is made when a build has failed.
        files.pop();
        for (what, path) in files {
            publish::check_replaceable(what, path, replace)?;
        }
        if replace {
            publish::check_unused(&self.image)?;
        }
        let beside = self.xml.parent().filter(|dir| *dir != self.dir);
        if let Some(missing) = beside.filter(|dir| !dir.is_dir()) {
            let message = format!("there is no directory {} for -x", missing.display());
            return Err(failure(Kind::Input, message));
        }
        Ok(())
    }

    /// What is wrong with the image's ending for a format: an error where it names another one
    /// that ozr does not write.
    ///
    /// # Errors
    /// Input: see above.
    pub fn check_ending(&self, format: Format) -> anyhow::Result<Option<String>> {
        let ending = self.image.extension().and_then(OsStr::to_str);
        let ending = ending.unwrap_or_default().to_ascii_lowercase();
        let (file, name) = (self.image.display(), format.name());
        if OTHER_FORMATS.contains(&ending.as_str()) {
            fail!(
                Kind::Input,
                "ozr writes qcow2 and raw images, and {file} would be none of the kind that its ending names: name it .{name}, and make `{ending}` of it afterwards"
            );
        }
        let other = matches!(ending.as_str(), "qcow2" | "raw") && ending != name;
        Ok(other.then(|| {
            format!("{file} will be a {name} image in spite of its ending: --format {ending} makes the other")
        }))
    }
}

/// Refuses a build of whose `outputs` one would be lost in another, or in one of its `inputs`:
/// files are told apart by their names and by their inodes. Each comes with what it is called.
///
/// # Errors
/// Input: two are the same file.
pub fn check_apart(
    outputs: &[(String, PathBuf)],
    inputs: &[(String, PathBuf)],
) -> anyhow::Result<()> {
    let identified = |files: &[(String, PathBuf)]| -> Vec<(String, Identity)> {
        let identify = |(what, path): &(String, PathBuf)| Some((what.clone(), Identity::of(path)?));
        files.iter().filter_map(identify).collect()
    };
    let (outputs, inputs) = (identified(outputs), identified(inputs));
    for (number, (what, file)) in outputs.iter().enumerate() {
        let mut others = outputs[..number].iter().chain(&inputs);
        if let Some((other, _)) = others.find(|(_, other)| file.is(other)) {
            let name = file.place.display();
            fail!(
                Kind::Input,
                "{other} and {what} are the same file, {name}: give each one of its own"
            );
        }
    }
    Ok(())
}

/// What tells a file from others.
struct Identity {
    /// The file itself, which may be a link.
    place: PathBuf,
    /// Where it leads.
    target: PathBuf,
    /// Device and inode of what is there.
    inode: Option<(u64, u64)>,
}

impl Identity {
    /// None of what loses nothing when two write to it: devices and pipes.
    fn of(path: &Path) -> Option<Identity> {
        let there = path.metadata().ok();
        if there
            .as_ref()
            .is_some_and(|meta| !meta.is_file() && !meta.is_dir())
        {
            return None;
        }
        let place = place(path);
        Some(Identity {
            target: path.read_link().map_or(place.clone(), |target| {
                let target = place.parent().unwrap_or(Path::new("/")).join(target);
                target
                    .canonicalize()
                    .unwrap_or_else(|_| self::place(&target))
            }),
            place,
            inode: there.map(|meta| (meta.dev(), meta.ino())),
        })
    }

    fn is(&self, other: &Identity) -> bool {
        let mine = [&self.place, &self.target];
        mine.into_iter()
            .any(|path| [&other.place, &other.target].contains(&path))
            || (self.inode.is_some() && self.inode == other.inode)
    }
}

/// The path without links on the way to the file.
fn place(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    match (path.parent().map(Path::canonicalize), path.file_name()) {
        (Some(Ok(dir)), Some(name)) => dir.join(name),
        _ => path,
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
    fn an_ending_names_the_format() {
        let of = |file: &str| paths("/o", "x", Some(file)).check_ending(Format::Qcow2);
        for file in ["/o/x.vmdk", "/o/x.VDI", "/o/x.qcow2.gz"] {
            let error = of(file).unwrap_err().to_string();
            assert!(error.contains("name it .qcow2"), "{error}");
        }
        assert!(of("/o/x.raw").unwrap().unwrap().contains("--format raw"));
        for file in ["/o/x.qcow2", "/o/x.img", "/o/x.dsk", "/o/rocky-9.4", "/o/x"] {
            assert_eq!(of(file).unwrap(), None);
        }
    }

    #[test]
    fn two_names_of_a_file_are_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["a", "b"] {
            std::fs::write(path(name), "").unwrap();
        }
        std::fs::hard_link(path("a"), path("hard")).unwrap();
        for (target, link) in [("a", "soft"), ("none", "dangling"), (".", "dir")] {
            std::os::unix::fs::symlink(target, path(link)).unwrap();
        }
        let check = |one: &Path, other: &Path| {
            let files = [one, other].map(|path| ("it".to_owned(), path.to_owned()));
            let apart = check_apart(&files, &[]).is_ok();
            assert_eq!(check_apart(&files[..1], &files[1..]).is_ok(), apart);
            apart
        };
        for (one, other, apart) in [
            ("a", "a", false),
            ("a", "./dir/a", false),
            ("a", "hard", false),
            ("soft", "a", false),
            ("soft", "hard", false),
            ("dangling", "none", false),
            ("dangling", "dir/none", false),
            ("none", "dir/none", false),
            ("a", "b", true),
            ("soft", "b", true),
            ("none", "other", true),
        ] {
            assert_eq!(check(&path(one), &path(other)), apart, "{one}, {other}");
        }
        assert!(check(Path::new("/dev/null"), Path::new("/dev/null")));
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
