//! From the guest's disk to the finished image and its company.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::checksum;
use super::publish::{self, Finished};
use super::qemu_img::{self, Compression, Format};
use super::space;
use crate::error::{Kind, failure};

/// Images hold password hashes and host keys: they are the user's alone. So are console logs, in
/// which a script can have printed anything.
const PRIVATE: u32 = 0o600;

/// Manifests, checksums and domain XML hold no secrets; the umask may still take some of this.
const PUBLIC: u32 = 0o644;

/// Where the image goes, and in what form.
#[derive(Debug, Clone)]
pub struct Target {
    directory: PathBuf,
    image: String,
    stem: String,
    /// The image's format.
    pub format: Format,
    /// The image's compression.
    pub compression: Compression,
    /// Whether an image of that name is replaced.
    pub force: bool,
}

impl Target {
    /// The image `NAME.qcow2` (or `.raw`) in `directory`; or the file `file`, if one is named.
    ///
    /// # Errors
    ///
    /// Of kind [`Kind::Input`], if a raw image is to be compressed, or `file` names no file.
    pub fn new(
        directory: &Path,
        name: &str,
        file: Option<&Path>,
        format: Format,
        compression: Compression,
        force: bool,
    ) -> Result<Self> {
        if format == Format::Raw && compression != Compression::None {
            return Err(failure(
                Kind::Input,
                "a raw image cannot be compressed; leave out `--compress`, or use `--format qcow2`",
            ));
        }
        let (directory, image, stem) = match file {
            None => {
                let image = format!("{name}.{}", format.name());
                (directory.to_owned(), image, name.to_owned())
            }
            Some(file) => {
                let image = file.file_name().and_then(|name| name.to_str());
                let Some(image) =
                    image.filter(|_| !file.as_os_str().as_encoded_bytes().ends_with(b"/"))
                else {
                    return Err(failure(
                        Kind::Input,
                        format!("`{}` names no file for the image", file.display()),
                    ));
                };
                let parent = match file.parent() {
                    Some(parent) if parent != Path::new("") => parent,
                    _ => Path::new("."),
                };
                (parent.to_owned(), image.to_owned(), stem(image).to_owned())
            }
        };
        Ok(Target {
            directory,
            image,
            stem,
            format,
            compression,
            force,
        })
    }

    /// The directory of the image; the work directory belongs in it.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The image.
    pub fn image(&self) -> PathBuf {
        self.directory.join(&self.image)
    }

    /// The image's file name.
    pub fn image_name(&self) -> &str {
        &self.image
    }

    /// A file beside the image, `NAME.SUFFIX`.
    pub fn beside(&self, suffix: &str) -> PathBuf {
        self.directory.join(format!("{}.{suffix}", self.stem))
    }

    /// The file with the image's checksum, as `sha256sum -c` reads it.
    pub fn checksum(&self) -> PathBuf {
        self.directory.join(format!("{}.sha256", self.image))
    }

    /// Refuses early what [`Image::publish`] would refuse in the end.
    ///
    /// # Errors
    ///
    /// Of kind [`Kind::Input`], if the image is there and is not to be replaced.
    pub fn ensure_free(&self) -> Result<()> {
        let image = self.image();
        match fs::symlink_metadata(&image) {
            Ok(found) if found.is_dir() => Err(failure(
                Kind::Input,
                format!(
                    "{} is a directory; name the image otherwise",
                    image.display()
                ),
            )),
            Ok(_) if !self.force => Err(publish::exists(&image)),
            _ => Ok(()),
        }
    }
}

/// The name without the extension of an image, if it has one.
fn stem(image: &str) -> &str {
    match image.rsplit_once('.') {
        Some((stem, "qcow2" | "raw" | "img" | "dsk")) if !stem.is_empty() => stem,
        _ => image,
    }
}

/// A finished image that has no name yet.
#[derive(Debug)]
pub struct Image {
    work: PathBuf,
    path: PathBuf,
    /// The file's length in bytes.
    pub size: u64,
    /// The size of the disk that a guest sees, in bytes.
    pub virtual_size: u64,
    /// The SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

/// What lies beside an image.
#[derive(Debug)]
pub struct Company<'a> {
    /// The manifest, as JSON.
    pub manifest: &'a str,
    /// A domain that boots the image, as libvirt's XML.
    pub domain_xml: &'a str,
    /// The console log, in the work directory.
    pub console_log: &'a Path,
}

/// Makes the image from the guest's qcow2 disk in the work directory `work`. The guest must be
/// gone. Without compression the disk becomes the image as it is; otherwise it is converted.
///
/// # Errors
///
/// If the disk stands on another image, if there is no room (kind [`Kind::Host`]), or if
/// `qemu-img` fails.
pub async fn finish(work: &Path, disk: &Path, target: &Target) -> Result<Image> {
    let info = qemu_img::info(disk, Format::Qcow2)
        .await
        .context("looking at the finished disk")?;
    if !info.is_standalone() {
        bail!("the finished disk needs another file beside it, which an image must not");
    }
    let as_it_is = target.format == Format::Qcow2 && target.compression == Compression::None;
    let path = if as_it_is {
        disk.to_owned()
    } else {
        space::ensure(work, info.actual_size, "converting the image")?;
        let path = work.join(format!("image.{}", target.format.name()));
        qemu_img::convert(
            (disk, Format::Qcow2),
            (&path, target.format),
            target.compression,
        )
        .await
        .context("converting the finished disk")?;
        path
    };
    fs::set_permissions(&path, fs::Permissions::from_mode(PRIVATE))
        .context("setting the mode of the image")?;
    let (sha256, size) = checksum::sha256(&path).await?;
    Ok(Image {
        work: work.to_owned(),
        path,
        size,
        virtual_size: info.virtual_size,
        sha256,
    })
}

impl Image {
    /// Gives the image and its company their names, all or none. Where it is.
    ///
    /// # Errors
    ///
    /// If a file cannot be written; nothing has changed then. Of kind [`Kind::Input`], if the
    /// image is there and is not to be replaced.
    pub fn publish(self, target: &Target, company: &Company<'_>) -> Result<PathBuf> {
        target.ensure_free()?;
        let sums = format!("{}  {}\n", self.sha256, sum_name(&target.image));
        let sums = format!(
            "{}{sums}",
            if needs_escape(&target.image) {
                "\\"
            } else {
                ""
            }
        );
        let aside = |name: &str, content: &str| {
            let path = self.work.join(name);
            fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(PUBLIC)
                .open(&path)
                .and_then(|mut file| file.write_all(content.as_bytes()))
                .with_context(|| format!("writing {}", path.display()))?;
            anyhow::Ok(path)
        };
        let file = |from: PathBuf, to: PathBuf, replace: bool| Finished { from, to, replace };
        let files = [
            file(self.path.clone(), target.image(), target.force),
            file(
                aside("domain.xml", company.domain_xml)?,
                target.beside("xml"),
                true,
            ),
            file(
                company.console_log.to_owned(),
                target.beside("console.log"),
                true,
            ),
            file(
                aside("manifest.json", company.manifest)?,
                target.beside("manifest.json"),
                true,
            ),
            file(aside("sha256", &sums)?, target.checksum(), true),
        ];
        publish::publish(&target.directory, &files)?;
        Ok(target.image())
    }
}

/// A file name as `sha256sum` writes it: backslashes and line breaks escaped.
fn sum_name(name: &str) -> String {
    name.replace('\\', "\\\\")
        .replace('\n', "\\n")
        .replace('\r', "\\r")
}

fn needs_escape(name: &str) -> bool {
    name.contains(['\\', '\n', '\r'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::kind_of;

    fn target(file: Option<&str>, format: Format) -> Result<Target> {
        let file = file.map(Path::new);
        Target::new(
            Path::new("out"),
            "rocky",
            file,
            format,
            Compression::None,
            false,
        )
    }

    #[test]
    fn names_follow_from_the_template_or_the_file() {
        let own = target(None, Format::Qcow2).unwrap();
        assert_eq!(own.image(), Path::new("out/rocky.qcow2"));
        assert_eq!(own.checksum(), Path::new("out/rocky.qcow2.sha256"));
        assert_eq!(own.beside("xml"), Path::new("out/rocky.xml"));
        let raw = target(None, Format::Raw).unwrap();
        assert_eq!(raw.image(), Path::new("out/rocky.raw"));
        let named = target(Some("else/disk.img"), Format::Raw).unwrap();
        assert_eq!(named.image(), Path::new("else/disk.img"));
        assert_eq!(
            named.beside("manifest.json"),
            Path::new("else/disk.manifest.json")
        );
        let here = target(Some("rocky-9.4"), Format::Qcow2).unwrap();
        assert_eq!(here.directory(), Path::new("."));
        assert_eq!(here.beside("xml"), Path::new("./rocky-9.4.xml"));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for error in [
            target(Some(".."), Format::Qcow2).unwrap_err(),
            target(Some("directory/"), Format::Qcow2).unwrap_err(),
            Target::new(
                Path::new("."),
                "x",
                None,
                Format::Raw,
                Compression::Zstd,
                false,
            )
            .unwrap_err(),
        ] {
            assert_eq!(kind_of(&error), Some(Kind::Input), "{error}");
        }
    }

    #[test]
    fn names_in_checksums_are_escaped_as_sha256sum_does() {
        assert_eq!(sum_name("a\\b"), "a\\\\b");
        assert!(needs_escape("a\\b") && !needs_escape("a b"));
    }
}
