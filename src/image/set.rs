//! What a build or a conversion leaves: the images, what lies beside them, their checksums. They get
//! their names together, by descriptors: what is published is the file that was written.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{AtFlags, Mode, OFlags, unlinkat};

use super::checksum;
use super::publish::{self, Finished};
use crate::hex;
use crate::state::OwnedDir;

/// Manifests, checksums and domain XML hold no secrets; the umask may still take some of this.
const PUBLIC: u32 = 0o644;

/// A finished image, in the work directory.
#[derive(Debug)]
pub struct Image<'a> {
    /// Its name there.
    pub at: &'a str,
    /// Its file.
    pub file: &'a File,
    /// Where it is to be.
    pub to: PathBuf,
}

/// Where something beside the images comes from.
#[derive(Debug)]
pub enum From<'a> {
    /// This text.
    Text(&'a str),
    /// A file of this name in the work directory.
    File(&'a str),
}

impl From<'_> {
    /// The SHA-256 of its content, in hexadecimal; `work` is the work directory.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn sha256(&self, work: &OwnedDir) -> Result<String> {
        match self {
            From::Text(text) => Ok(hex::sha256(text)),
            From::File(name) => {
                let (sha256, _) = checksum::sha256(&work.file(name, false)?).await?;
                Ok(sha256)
            }
        }
    }
}

/// The name of a file, without directories.
pub fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Gives the images, what lies `beside` them and their `checksums` their names, all or none. With
/// `replace` they take those of files that are there.
///
/// # Errors
///
/// If a file cannot be written; nothing has changed then. Of kind
/// [`Kind::Input`](crate::error::Kind::Input), if a file is there and is not to be replaced.
pub fn publish(
    work: &OwnedDir,
    images: &[Image<'_>],
    beside: &[(From<'_>, &Path)],
    checksums: (&str, &Path),
    replace: bool,
) -> Result<()> {
    if replace {
        for image in images {
            publish::check_unused(&image.to)?;
        }
    }
    // The images first and the checksums last, as `publish` has it.
    let sums = (From::Text(checksums.0), checksums.1);
    let others = beside.iter().chain([&sums]);
    let others = others
        .map(|(from, to)| Other::new(work, from, to))
        .collect::<Result<Vec<_>>>()?;
    let images = images.iter().map(|image| Finished {
        dir: work.as_fd(),
        from: image.at,
        file: image.file,
        to: image.to.clone(),
        replace,
    });
    let finished: Vec<Finished<'_>> = images
        .chain(others.iter().map(|other| Finished {
            dir: other.dir(work),
            from: &other.name,
            file: &other.file,
            to: other.to.to_path_buf(),
            replace,
        }))
        .collect();
    let published = publish::publish(&finished);
    for other in &others {
        if let Some(dir) = &other.elsewhere {
            // What was not placed, or was taken back, or is the file that was replaced.
            let _ = unlinkat(dir, other.name.as_str(), AtFlags::empty());
        }
    }
    published
}

/// Something beside the images.
struct Other<'a> {
    /// The directory that it is in, if that is not the work directory.
    elsewhere: Option<OwnedFd>,
    name: String,
    file: File,
    to: &'a Path,
}

impl<'a> Other<'a> {
    fn new(work: &OwnedDir, from: &From<'_>, to: &'a Path) -> Result<Self> {
        let (elsewhere, name, file) = match from {
            From::File(name) => (None, (*name).to_owned(), work.file(name, false)?),
            From::Text(text) => {
                // It may have been asked for in another file system, where no rename gets it.
                let parent = to.parent().filter(|dir| Some(*dir) != work.path().parent());
                let elsewhere = parent.map(|dir| {
                    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
                    rustix::fs::open(dir, flags, Mode::empty())
                        .with_context(|| format!("opening {}", dir.display()))
                });
                let elsewhere = elsewhere.transpose()?;
                let name = format!(".ozr-{}", hex::random()?);
                let dir = elsewhere.as_ref().map_or(work.as_fd(), AsFd::as_fd);
                let file = write(dir, &name, text)
                    .with_context(|| format!("writing what is to be {}", to.display()))?;
                (elsewhere, name, file)
            }
        };
        Ok(Other {
            elsewhere,
            name,
            file,
            to,
        })
    }

    fn dir<'b>(&'b self, work: &'b OwnedDir) -> BorrowedFd<'b> {
        self.elsewhere.as_ref().map_or(work.as_fd(), AsFd::as_fd)
    }
}

/// Writes a new file.
fn write(dir: BorrowedFd<'_>, name: &str, content: &str) -> std::io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(PUBLIC))?;
    let mut file = File::from(file);
    file.write_all(content.as_bytes())?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_where_a_new_file_is_to_be_stays_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("theirs"), "precious").unwrap();
        std::os::unix::fs::symlink("theirs", path("link")).unwrap();
        std::os::unix::fs::symlink("none", path("dangling")).unwrap();
        let dir = File::open(directory.path()).unwrap();
        for name in ["theirs", "link", "dangling"] {
            write(dir.as_fd(), name, "ours").unwrap_err();
        }
        write(dir.as_fd(), "new", "ours").unwrap();
        let read = |name: &str| std::fs::read_to_string(path(name)).ok();
        assert_eq!(read("theirs").as_deref(), Some("precious"));
        assert_eq!(read("new").as_deref(), Some("ours"));
        assert_eq!(read("none"), None);
    }
}
