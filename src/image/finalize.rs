//! From the guest's disk to the finished image and its company.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::checksum;
use super::output::OutputPaths;
use super::publish::{self, Finished};
use super::qemu_img;
use super::space;
use crate::options::{Compress, Format};

/// Images hold password hashes and host keys: they are the user's alone. So are console logs, in
/// which a script can have printed anything.
const PRIVATE: u32 = 0o600;

/// Manifests, checksums and domain XML hold no secrets; the umask may still take some of this.
const PUBLIC: u32 = 0o644;

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
pub struct Sidecars<'a> {
    /// The manifest, as JSON.
    pub manifest: &'a str,
    /// A domain that boots the image, as libvirt's XML.
    pub domain_xml: &'a str,
    /// The console log, in the work directory.
    pub console_log: &'a Path,
    /// The kickstart as it was served, secrets masked, in the work directory.
    pub kickstart: &'a Path,
}

/// Makes the image from the guest's qcow2 disk in the work directory `work`. The guest must be
/// gone. Without compression the disk becomes the image as it is; otherwise it is converted.
///
/// # Errors
///
/// If the disk stands on another image, if there is no room (kind [`Kind::Host`](crate::error::Kind::Host)), or if
/// `qemu-img` fails.
pub async fn finish(work: &Path, disk: &Path, format: Format, compress: Compress) -> Result<Image> {
    let info = qemu_img::info(disk, Format::Qcow2)
        .await
        .context("looking at the finished disk")?;
    if !info.is_standalone() {
        bail!("the finished disk needs another file beside it, which an image must not");
    }
    let as_it_is = format == Format::Qcow2 && compress == Compress::None;
    let path = if as_it_is {
        disk.to_owned()
    } else {
        space::ensure(work, info.actual_size, "converting the image")?;
        let path = work.join(format!("image.{}", format.name()));
        qemu_img::convert((disk, Format::Qcow2), (&path, format), compress)
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
    /// Gives the image and its company their names, all or none. With `force` they replace what
    /// has those names.
    ///
    /// # Errors
    ///
    /// If a file cannot be written; nothing has changed then. Of kind [`Kind::Input`](crate::error::Kind::Input), if a file
    /// is there and is not to be replaced.
    pub fn publish(self, output: &OutputPaths, company: &Sidecars<'_>, force: bool) -> Result<()> {
        let aside = |name: &str, content: &str| {
            let path = self.work.join(name);
            fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
            anyhow::Ok(path)
        };
        // The XML may have been asked for in another file system, where no rename gets it.
        let xml_directory = output.xml.parent().unwrap_or(Path::new("/"));
        let xml_aside = if xml_directory == output.dir {
            self.work.clone()
        } else {
            xml_directory.to_owned()
        };
        let xml = tempfile::Builder::new()
            .prefix(".ozr-")
            .suffix(".xml")
            .permissions(fs::Permissions::from_mode(PUBLIC))
            .tempfile_in(&xml_aside)
            .with_context(|| format!("writing a file in {}", xml_aside.display()))?
            .into_temp_path();
        fs::write(&xml, company.domain_xml)
            .with_context(|| format!("writing {}", xml.display()))?;
        let file = |from: PathBuf, to: &Path| Finished {
            from,
            to: to.to_owned(),
            replace: force,
        };
        let files = [
            file(self.path.clone(), &output.image),
            file(xml.to_path_buf(), &output.xml),
            file(company.console_log.to_owned(), &output.console_log),
            file(company.kickstart.to_owned(), &output.kickstart),
            file(aside("manifest.json", company.manifest)?, &output.manifest),
            file(
                aside("sha256", &sum_line(&self.sha256, &output.image))?,
                &output.checksum,
            ),
        ];
        publish::publish(&output.dir, &files)
        // What is left at the XML's temporary name, an old file perhaps, goes with `xml`.
    }
}

/// The line of `sha256sum` for an image: names with backslashes or line breaks are escaped.
fn sum_line(sha256: &str, image: &Path) -> String {
    let name = image
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let mark = if name.contains(['\\', '\n', '\r']) {
        "\\"
    } else {
        ""
    };
    let name = name
        .replace('\\', "\\\\")
        .replace('\n', "\\n")
        .replace('\r', "\\r");
    format!("{mark}{sha256}  {name}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_checksums_are_escaped_as_sha256sum_does() {
        assert_eq!(sum_line("00", Path::new("/o/a b.qcow2")), "00  a b.qcow2\n");
        assert_eq!(sum_line("00", Path::new("/o/a\\b")), "\\00  a\\\\b\n");
    }
}
