//! Where the image and what lies beside it are.

use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use strum::VariantArray;

use super::publish;
use crate::error::{Kind, fail};
use crate::machine::DiskFormat;
use crate::options::{Format, InstallOptions, SbomFormat, Signer};

/// Endings by which people name formats of disks, archives, media. Whoever names one expects it.
const ENDINGS: [&str; 17] = [
    "qcow2", "raw", "vmdk", "vdi", "vhd", "vhdx", "vpc", "qed", "iso", "ova", "ovf", "box", "tar",
    "gz", "xz", "zst", "bz2",
];

/// Endings that say that a file is a disk image, and not of which format.
const ANY_FORMAT: [&str; 2] = ["img", "dsk"];

/// The finished image and its companions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputPaths {
    /// The directory that holds them all, absolute.
    pub dir: PathBuf,
    /// What the companions' names begin with: the image's file name without its extension.
    pub stem: String,
    /// The image, the first of them.
    pub image: PathBuf,
    /// All images in the order of the disks and the formats; block maps and the like among them.
    pub images: Vec<ImagePath>,
    /// What was built from what, in JSON.
    pub manifest: PathBuf,
    /// Which files came of which inputs, as in-toto and SLSA have it.
    pub provenance: PathBuf,
    /// What the guest said.
    pub console_log: PathBuf,
    /// A libvirt domain that boots the image.
    pub xml: PathBuf,
    /// The digests of all images, as `sha256sum -c` reads them.
    pub checksum: PathBuf,
    /// The kickstart as it was served, with secrets masked.
    pub kickstart: PathBuf,
    /// What explains a failed build: a directory.
    pub failed: PathBuf,
    /// What a boot test saw: a directory.
    pub boot_test: PathBuf,
    /// What the image is made of, in each format that is asked for.
    pub sboms: Vec<(SbomFormat, PathBuf)>,
    /// What it was installed from, file by file, if that is known.
    pub lock: Option<PathBuf>,
    /// Oz's list of the packages, if it is asked for.
    pub icicle: Option<PathBuf>,
    /// Detached signatures.
    pub signatures: Vec<Signature>,
}

/// Where a detached signature is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Who makes it.
    pub by: Signer,
    /// Whether it is of the checksums; else of the provenance.
    pub of_checksums: bool,
    /// Where it is.
    pub path: PathBuf,
}

/// Where an image of a disk is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImagePath {
    /// Which disk it is of, from 0 on.
    pub disk: usize,
    /// What its name ends in, by its format.
    pub ending: &'static str,
    /// Where it is.
    pub path: PathBuf,
}

impl OutputPaths {
    /// Paths for an image called `name` of a machine with so many disks, as the options have it.
    ///
    /// # Errors
    /// Those of [`OutputPaths::new`].
    pub fn of(options: &InstallOptions, name: &str, disks: usize) -> anyhow::Result<Self> {
        let formats = options.formats();
        let mut paths = OutputPaths::new(
            options.output_dir.as_deref(),
            name,
            &formats,
            options.output.as_deref(),
            options.xml.as_deref(),
        )?;
        let bus = options.disk_bus.unwrap_or_default();
        for disk in 1..disks {
            paths.add_disk(disk, &bus.device(disk), &formats);
        }
        for signer in &options.sign {
            paths.add_signatures(signer, true);
        }
        if options.generate_icicle {
            paths.icicle = Some(match &options.icicle {
                Some(file) => std::path::absolute(file)
                    .with_context(|| format!("finding the directory of {}", file.display()))?,
                None => paths.dir.join(format!("{}.icicle.xml", paths.stem)),
            });
        }
        for format in &options.sbom {
            if !paths.sboms.iter().any(|(other, _)| other == format) {
                let file = format!("{}.{}", paths.stem, format.ending());
                paths.sboms.push((*format, paths.dir.join(file)));
            }
        }
        Ok(paths)
    }

    /// Paths for an image called `name` of these formats, at least one, in `dir`; or for the image
    /// `file` where one is named.
    ///
    /// # Errors
    /// `file` has no file name, or there are several formats for it; a path cannot be made absolute.
    pub fn new(
        dir: Option<&Path>,
        name: &str,
        formats: &[Format],
        file: Option<&Path>,
        xml: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let first = formats.first().copied().unwrap_or_default();
        if let (Some(file), 2..) = (file, formats.len()) {
            bail!(
                "{} is one file, and --format names {}: name a directory with --output-dir, and the images with --name",
                file.display(),
                formats.len()
            );
        }
        let image = match file {
            Some(file) => file.to_path_buf(),
            None => dir
                .unwrap_or(Path::new("."))
                .join(format!("{name}.{}", first.ending())),
        };
        let image = std::path::absolute(&image)
            .with_context(|| format!("finding the directory of {}", image.display()))?;
        let (Some(dir), Some(file_name)) = (image.parent(), image.file_name()) else {
            bail!("{} names no file to write the image to", image.display());
        };
        let file_name = file_name.to_string_lossy().into_owned();
        // Only endings of disk images are cut: `rocky-9.4` is a whole name.
        let endings = ["qcow2", "raw", first.ending()].into_iter();
        let stem = endings
            .chain(ANY_FORMAT)
            .filter_map(|ending| file_name.strip_suffix(ending)?.strip_suffix('.'))
            .find(|stem| !stem.is_empty())
            .unwrap_or(&file_name)
            .to_owned();
        let beside = |ending: &str| dir.join(format!("{stem}.{ending}"));
        let mut images = vec![ImagePath {
            disk: 0,
            ending: first.ending(),
            path: image.clone(),
        }];
        for ending in formats.iter().flat_map(|format| format.endings()) {
            if images.iter().all(|other| other.ending != *ending) {
                images.push(ImagePath {
                    disk: 0,
                    ending,
                    path: beside(ending),
                });
            }
        }
        Ok(OutputPaths {
            manifest: beside("manifest.json"),
            provenance: beside("provenance.json"),
            console_log: beside("console.log"),
            xml: match xml {
                Some(xml) => std::path::absolute(xml)
                    .with_context(|| format!("finding the directory of {}", xml.display()))?,
                None => beside("xml"),
            },
            checksum: beside("CHECKSUM"),
            kickstart: beside("served.ks"),
            failed: beside("failed"),
            boot_test: beside("boot-test"),
            sboms: Vec::new(),
            lock: None,
            icicle: None,
            signatures: Vec::new(),
            dir: dir.to_path_buf(),
            stem,
            image,
            images,
        })
    }

    /// Adds the lock file.
    pub fn add_lock(&mut self) {
        self.lock = Some(self.dir.join(format!("{}.lock", self.stem)));
    }

    /// Adds the images of one disk more, which the guest calls `device`.
    pub fn add_disk(&mut self, disk: usize, device: &str, formats: &[Format]) {
        for ending in formats.iter().flat_map(|format| format.endings_of_more()) {
            let path = self.dir.join(format!("{}.{device}.{ending}", self.stem));
            if self.images.iter().all(|other| other.path != path) {
                self.images.push(ImagePath { disk, ending, path });
            }
        }
    }

    /// The same under names that begin with `stem`, in the same directory. What was asked for by a name of its own
    /// keeps it, and so do the directories, of which there is one for all builds of a name.
    #[must_use]
    pub fn renamed(&self, stem: &str) -> OutputPaths {
        let path = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let rest = name.strip_prefix(&self.stem);
            let rest = rest.filter(|rest| rest.is_empty() || rest.starts_with('.'));
            match rest {
                Some(rest) if path.parent() == Some(&*self.dir) => {
                    self.dir.join(format!("{stem}{rest}"))
                }
                _ => path.to_owned(),
            }
        };
        let images = self.images.iter().map(|image| ImagePath {
            path: path(&image.path),
            ..image.clone()
        });
        let sboms = self.sboms.iter();
        let signatures = self.signatures.iter().map(|one| Signature {
            path: path(&one.path),
            ..one.clone()
        });
        OutputPaths {
            dir: self.dir.clone(),
            stem: stem.to_owned(),
            image: path(&self.image),
            images: images.collect(),
            manifest: path(&self.manifest),
            provenance: path(&self.provenance),
            console_log: path(&self.console_log),
            xml: path(&self.xml),
            checksum: path(&self.checksum),
            kickstart: path(&self.kickstart),
            failed: self.failed.clone(),
            boot_test: self.boot_test.clone(),
            sboms: sboms.map(|(format, sbom)| (*format, path(sbom))).collect(),
            lock: self.lock.as_deref().map(path),
            icicle: self.icicle.as_deref().map(path),
            signatures: signatures.collect(),
        }
    }

    /// The files that appear when a build is good, with what each is called.
    pub fn published(&self) -> Vec<(&'static str, &Path)> {
        let mut all = self.named();
        all.retain(|(_, path)| *path != self.failed && *path != self.boot_test);
        all
    }

    /// Whether what a build leaves beside its images may have a name that ends so, behind the image's name and a dot.
    pub fn is_paper(ending: &str) -> bool {
        const PAPERS: [&str; 11] = [
            "lock",
            "hooks.log",
            "provenance.json",
            "console.log",
            "xml",
            "CHECKSUM",
            "served.ks",
            "icicle.xml",
            "manifest.json",
            "spdx.json",
            "cdx.json",
        ];
        // With the signatures of some.
        PAPERS.iter().any(|paper| {
            let rest = ending.strip_prefix(paper);
            rest.is_some_and(|rest| {
                rest.is_empty() || rest.starts_with('.') && !rest[1..].contains('.')
            })
        })
    }

    /// The images that libvirt boots, one for each disk, and their format; none if there is none among
    /// the formats.
    pub fn bootable(&self) -> Option<(Vec<&Path>, DiskFormat)> {
        let formats = [("qcow2", DiskFormat::Qcow2), ("raw", DiskFormat::Raw)];
        let (first, format) = self.images.iter().find_map(|image| {
            let (_, format) = formats.iter().find(|(known, _)| *known == image.ending)?;
            Some((image, *format))
        })?;
        let all = self.images.iter();
        let all = all.filter(|image| image.ending == first.ending);
        Some((all.map(|image| image.path.as_path()).collect(), format))
    }

    /// The file name of the first image.
    pub fn image_name(&self) -> String {
        let name = self.image.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Adds what a signer writes into files of its own, of the checksums and, if there is one, of the `provenance`.
    /// GnuPG puts its signature of the checksums around them.
    pub fn add_signatures(&mut self, signer: &Signer, provenance: bool) {
        let checksums = !matches!(signer, Signer::Gpg(_));
        let signed = [
            (&self.checksum, true, checksums),
            (&self.provenance, false, provenance),
        ];
        let signatures = signed
            .into_iter()
            .filter(|(_, _, is_signed)| *is_signed)
            .map(|(of, of_checksums, _)| {
                let mut path = of.clone().into_os_string();
                path.push(format!(".{}", signer.ending()));
                Signature {
                    by: signer.clone(),
                    of_checksums,
                    path: path.into(),
                }
            });
        self.signatures.extend(signatures.collect::<Vec<_>>());
    }

    /// Where signatures of these checksums would be that are none of this output: those that are there are of
    /// others.
    pub fn other_signatures(&self) -> Vec<PathBuf> {
        let all = Signer::OF_CHECKSUMS.iter().map(|ending| {
            let mut path = self.checksum.clone().into_os_string();
            path.push(format!(".{ending}"));
            PathBuf::from(path)
        });
        all.filter(|path| self.signatures.iter().all(|own| own.path != *path))
            .collect()
    }

    /// The images' paths, without block maps and the like.
    pub fn paths(&self) -> Vec<PathBuf> {
        let is_image = |ending: &str| {
            let mut formats = Format::VARIANTS.iter();
            formats.any(|format| format.ending() == ending)
        };
        let images = self.images.iter().filter(|image| is_image(image.ending));
        images.map(|image| image.path.clone()).collect()
    }

    /// Everything that a build leaves, the images first, with what each is called.
    pub fn named(&self) -> Vec<(&'static str, &Path)> {
        let images = self.images.iter();
        let images = images.map(|image| ("the image", image.path.as_path()));
        let others: [(&'static str, &Path); 6] = [
            ("the image's XML", &self.xml),
            ("the manifest", &self.manifest),
            ("the provenance", &self.provenance),
            ("the checksums", &self.checksum),
            ("the console log", &self.console_log),
            ("the served kickstart", &self.kickstart),
        ];
        let sboms = self.sboms.iter();
        let sboms = sboms.map(|(_, path)| ("the SBOM", path.as_path()));
        let signatures = self.signatures.iter();
        let signatures = signatures.map(|one| ("the signature", one.path.as_path()));
        let icicle = self
            .icicle
            .iter()
            .map(|path| ("the ICICLE", path.as_path()));
        let lock = self.lock.iter();
        let lock = lock.map(|path| ("the lock file", path.as_path()));
        let directories: [(&'static str, &Path); 2] = [
            ("the directory of a failed build", &self.failed),
            ("the directory of a boot test", &self.boot_test),
        ];
        images
            .chain(others)
            .chain(sboms)
            .chain(icicle)
            .chain(lock)
            .chain(signatures)
            .chain(directories)
            .collect()
    }

    /// Refuses outputs that cannot get their names, before anything is spent on the build. With
    /// `replace` they may take those of files that are there.
    ///
    /// # Errors
    /// Input: a name is taken, or cannot be.
    pub fn check(&self, replace: bool) -> anyhow::Result<()> {
        self.check_images(replace)?;
        for (what, path) in self.named() {
            // The directories are made when a build has failed, and when an image was booted.
            if path != self.failed && path != self.boot_test {
                publish::check_replaceable(what, path, replace)?;
            }
        }
        for (option, path) in [("-x", Some(&self.xml)), ("-i", self.icicle.as_ref())] {
            let dir = path.and_then(|path| path.parent());
            let beside = dir.filter(|dir| *dir != self.dir);
            if let Some(missing) = beside.filter(|dir| !dir.is_dir()) {
                let missing = missing.display();
                fail!(Kind::Input, "there is no directory {missing} for {option}");
            }
        }
        Ok(())
    }

    /// The same for the images, their checksums and what is signed of them alone.
    ///
    /// # Errors
    /// Input: a name is taken, or cannot be.
    pub fn check_images(&self, replace: bool) -> anyhow::Result<()> {
        for ImagePath { path: image, .. } in &self.images {
            publish::check_replaceable("the image", image, replace)?;
            if replace {
                publish::check_unused(image)?;
            }
        }
        for signature in &self.signatures {
            publish::check_replaceable("the signature", &signature.path, replace)?;
        }
        publish::check_replaceable("the checksums", &self.checksum, replace)
    }

    /// What is wrong with the image's ending for a format: an error where it names another one.
    ///
    /// # Errors
    /// Input: see above.
    pub fn check_ending(&self, format: Format) -> anyhow::Result<Option<String>> {
        let file_name = self.image.file_name().unwrap_or_default();
        let file_name = file_name.to_string_lossy().to_ascii_lowercase();
        let (file, expected) = (self.image.display(), format.ending());
        if file_name.ends_with(&format!(".{expected}")) {
            return Ok(None);
        }
        let ending = Path::new(&file_name).extension().and_then(OsStr::to_str);
        let ending = ending.unwrap_or_default();
        let plain = ["qcow2", "raw"];
        if plain.contains(&ending) && plain.contains(&expected) {
            return Ok(Some(format!(
                "{file} will be a {expected} image in spite of its ending: --format {ending} makes the other"
            )));
        }
        if ENDINGS.contains(&ending) {
            fail!(
                Kind::Input,
                "{file} would not be what its ending names, for the format is {}: name it .{expected}, or choose another --format",
                format.name()
            );
        }
        Ok(None)
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
            &[Format::Qcow2],
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
        assert_eq!(paths.checksum, Path::new("/o/rocky-9.4.CHECKSUM"));
    }

    #[test]
    fn an_ending_names_the_format() {
        let of = |file: &str| paths("/o", "x", Some(file)).check_ending(Format::Qcow2);
        for file in ["/o/x.vmdk", "/o/x.VDI", "/o/x.qcow2.gz"] {
            let error = of(file).unwrap_err().to_string();
            assert!(error.contains("name it .qcow2"), "{error}");
        }
        let gcp = |file: &str| paths("/o", "x", Some(file)).check_ending(Format::Gcp);
        assert_eq!(gcp("/o/x.tar.gz").unwrap(), None);
        assert!(gcp("/o/x.raw").is_err());
        assert!(of("/o/x.raw").unwrap().unwrap().contains("--format raw"));
        for file in ["/o/x.qcow2", "/o/x.img", "/o/x.dsk", "/o/rocky-9.4", "/o/x"] {
            assert_eq!(of(file).unwrap(), None);
        }
    }

    #[test]
    fn formats_have_names_of_their_own() {
        let formats = Format::VARIANTS;
        let paths = OutputPaths::new(Some(Path::new("/o")), "x", formats, None, None).unwrap();
        let mut names: Vec<&Path> = paths.named().into_iter().map(|(_, path)| path).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(names.contains(&Path::new("/o/x.libvirt.box")), "{names:?}");
        assert_eq!(
            paths.bootable(),
            Some((vec![Path::new("/o/x.qcow2")], DiskFormat::Qcow2))
        );
        let error = OutputPaths::new(None, "x", formats, Some(Path::new("/o/x")), None);
        assert!(error.unwrap_err().to_string().contains("--output-dir"));
        // One image and its block map.
        let raw = OutputPaths::new(None, "x", &[Format::Raw], Some(Path::new("/o/y.img")), None);
        let images = raw.unwrap().images;
        assert_eq!(images[0].path, Path::new("/o/y.img"));
        assert_eq!(images[1].path, Path::new("/o/y.raw.bmap"));
    }

    #[test]
    fn each_disk_has_its_images() {
        let formats = [Format::Raw, Format::Qcow2, Format::Aws, Format::Ova];
        let mut paths = OutputPaths::new(Some(Path::new("/o")), "x", &formats, None, None).unwrap();
        paths.add_disk(1, "vdb", &formats);
        let names = paths.images.iter().map(|image| image.path.as_path());
        let expected = [
            "x.raw",
            "x.raw.bmap",
            "x.qcow2",
            "x.aws.sh",
            "x.ova",
            "x.vdb.raw",
            "x.vdb.raw.bmap",
            "x.vdb.qcow2",
        ];
        assert!(names.eq(expected.map(|name| Path::new("/o").join(name))));
        let raw = vec![Path::new("/o/x.raw"), Path::new("/o/x.vdb.raw")];
        assert_eq!(paths.bootable(), Some((raw, DiskFormat::Raw)));
        assert_eq!(paths.paths().len(), 5);
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
