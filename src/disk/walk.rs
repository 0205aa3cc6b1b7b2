//! All files of an installed system, one after the other, as its fstab lays its file systems together:
//! what an archive of it is made from.
//!
//! Each directory comes before what is in it, names in the order of their bytes, so that two walks of one
//! disk are the same.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::vec::IntoIter;

use anyhow::{Context, Result, bail, ensure};

use super::system::System;
use super::tree::{Inode, Kind, Node};

/// Longest name, in bytes (`NAME_MAX`).
const LONGEST_NAME: usize = 255;

/// Longest path, in bytes (`PATH_MAX`).
const LONGEST_PATH: usize = 4096;

/// Deepest directory: as deep as a path can be with names of some letters.
const DEEPEST: usize = 512;

/// Most files: RHEL with all of its packages has less than a million.
const MOST_FILES: u64 = 8 << 20;

/// The directory in which the checks of ext leave what they find: part of the file system and not of the
/// system.
const LOST: &str = "lost+found";

/// A file.
#[derive(Debug)]
pub struct Walked {
    /// Its path in the system.
    pub path: PathBuf,
    /// What is known of it.
    pub inode: Inode,
    /// Another name of it that came before.
    pub link_to: Option<PathBuf>,
    mount: usize,
    within: PathBuf,
    node: Node,
}

/// A walk through a system.
#[allow(missing_debug_implementations)] // systems have none
pub struct Walk<'a> {
    system: &'a mut System,
    directories: Vec<Directory>,
    /// Numbers of the directories that were entered: a broken file system can lead back to one.
    entered: HashSet<(usize, (u64, u64))>,
    /// Where files with several names were seen first.
    seen: HashMap<(usize, (u64, u64), u64), PathBuf>,
    files: u64,
    side: Box<Side>,
}

/// On which side of a border a path lies: names on different sides are files of their own.
type Side = dyn Fn(&Path) -> u64;

/// A directory, and what is still to come in it.
struct Directory {
    mount: usize,
    path: PathBuf,
    within: PathBuf,
    entries: IntoIter<(PathBuf, Node)>,
}

impl<'a> Walk<'a> {
    /// Begins at the root. Names of one file on different sides of what `side` tells apart are files of
    /// their own.
    ///
    /// # Errors
    /// Not everything of the system can be read: a file system that its fstab needs is missing, or one was
    /// not unmounted.
    pub fn begin(
        system: &'a mut System,
        side: impl Fn(&Path) -> u64 + 'static,
    ) -> Result<Walk<'a>> {
        let mut unreadable = system.unreadable.iter();
        if let Some((at, why)) = unreadable.find(|(at, _)| !system.optional.contains(at)) {
            bail!("{} cannot be read: {why}", at.display());
        }
        if let Some(at) = system.unclean.first() {
            bail!(
                "the file system at {} was not unmounted, so owners and attributes of its files are not known; boot the image once and shut it down",
                at.display()
            );
        }
        Ok(Walk {
            system,
            directories: Vec::new(),
            entered: HashSet::new(),
            seen: HashMap::new(),
            files: 0,
            side: Box::new(side),
        })
    }

    /// The next file; none behind the last.
    ///
    /// # Errors
    /// A file system is broken, or is none that any system has.
    pub fn next_file(&mut self) -> Result<Option<Walked>> {
        let mut walked = loop {
            let Some(directory) = self.directories.last_mut() else {
                if self.files > 0 {
                    return Ok(None);
                }
                break self.top_of(0, PathBuf::from("/"))?;
            };
            let Some((name, node)) = directory.entries.next() else {
                self.directories.pop();
                continue;
            };
            if directory.within == Path::new("/") && name == Path::new(LOST) {
                continue;
            }
            check_name(&name).with_context(|| format!("in {}", directory.path.display()))?;
            let path = directory.path.join(&name);
            let (mount, within) = (directory.mount, directory.within.join(&name));
            ensure!(
                path.as_os_str().len() <= LONGEST_PATH,
                "a path is longer than {LONGEST_PATH} bytes"
            );
            // The last of several at one place hides the others.
            let mounted = self.system.mounts.iter();
            if let Some(mount) = mounted.skip(1).rposition(|mount| mount.at == path) {
                break self.top_of(mount + 1, path)?;
            }
            break self.look(mount, path, within, node)?;
        };
        self.files += 1;
        ensure!(
            self.files <= MOST_FILES,
            "the image has more than {MOST_FILES} files"
        );
        let number = walked.node.number().map(|number| (walked.mount, number));
        match (Kind::of(walked.inode.mode), number) {
            (Kind::Directory, number) => {
                let is_new = number.is_none_or(|number| self.entered.insert(number));
                ensure!(is_new, "{} leads back to itself", walked.path.display());
                self.enter(&walked)?;
            }
            (_, Some((mount, number))) if walked.inode.links > 1 => {
                let key = (mount, number, (self.side)(&walked.path));
                match self.seen.get(&key) {
                    Some(first) => walked.link_to = Some(first.clone()),
                    None => {
                        self.seen.insert(key, walked.path.clone());
                    }
                }
            }
            _ => {}
        }
        Ok(Some(walked))
    }

    /// Where a regular file has data, in order; all else are zeroes. None if that is not known.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn data(&mut self, file: &Walked) -> Result<Option<Vec<Range<u64>>>> {
        let tree = &mut self.system.mounts[file.mount].tree;
        let data = tree.data(file.node, file.inode.size);
        data.with_context(|| format!("reading {} of the image", file.path.display()))
    }

    /// Fills `into` with a regular file's content from a place on, as far as it goes; how far that is.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(&mut self, file: &Walked, at: u64, into: &mut [u8]) -> Result<usize> {
        let tree = &mut self.system.mounts[file.mount].tree;
        let read = tree.read_node(&file.within, file.node, at, into);
        read.with_context(|| format!("reading {} of the image", file.path.display()))
    }

    fn top_of(&mut self, mount: usize, path: PathBuf) -> Result<Walked> {
        let node = self.system.mounts[mount].tree.root()?;
        self.look(mount, path, PathBuf::from("/"), node)
    }

    fn look(&mut self, mount: usize, path: PathBuf, within: PathBuf, node: Node) -> Result<Walked> {
        let inode = self.system.mounts[mount].tree.inode(&within, node);
        let inode = inode.with_context(|| format!("looking at {} of the image", path.display()))?;
        Ok(Walked {
            path,
            inode,
            link_to: None,
            mount,
            within,
            node,
        })
    }

    fn enter(&mut self, directory: &Walked) -> Result<()> {
        let path = &directory.path;
        ensure!(
            self.directories.len() < DEEPEST,
            "{} is deeper than {DEEPEST} directories",
            path.display()
        );
        let tree = &mut self.system.mounts[directory.mount].tree;
        let entries = tree.entries(&directory.within, directory.node);
        let mut entries =
            entries.with_context(|| format!("listing {} of the image", path.display()))?;
        entries.sort_by(|one, other| one.0.as_os_str().cmp(other.0.as_os_str()));
        self.directories.push(Directory {
            mount: directory.mount,
            path: path.clone(),
            within: directory.within.clone(),
            entries: entries.into_iter(),
        });
        Ok(())
    }
}

/// A name that no kernel would have made would be another path where it is unpacked.
fn check_name(name: &Path) -> Result<()> {
    let bytes = name.as_os_str().as_bytes();
    let is_name = !bytes.is_empty()
        && bytes.len() <= LONGEST_NAME
        && !matches!(bytes, b"." | b"..")
        && !bytes.iter().any(|byte| matches!(byte, b'/' | 0));
    ensure!(is_name, "{name:?} is no name of a file");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names() {
        for name in ["a", "...", "with blank", "ä"] {
            check_name(Path::new(name)).unwrap();
        }
        let long = "x".repeat(256);
        for name in ["", ".", "..", "a/b", "/", "../x", "a\0b", &long] {
            check_name(Path::new(name)).unwrap_err();
        }
    }
}
