//! The system that is installed on disks: its file systems laid together as its fstab says, and its
//! files by their paths.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::fstab::{self, Entry};
use super::tree::{Attribute, FileTree, Kind, Metadata, Readable};
use super::volumes::{Volume, Volumes};

/// Most links on the way to a file, as Linux has it.
const MOST_LINKS: usize = 40;

/// Most bytes of an fstab.
const MOST_FSTAB: u64 = 1 << 20;

/// Most directories whose place is remembered.
const MOST_REMEMBERED: usize = 4096;

/// Files of which a system's root has one.
const RELEASES: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];

/// What every root here has, beside one of those.
const FSTAB: &str = "etc/fstab";

/// What is encrypted, and what it is called when it is open.
const CRYPTTAB: &str = "/etc/crypttab";

/// An installed system.
#[allow(missing_debug_implementations)] // file systems have none
pub struct System {
    /// What its disks hold.
    pub volumes: Volumes,
    /// Where its file systems are mounted, the root first.
    pub mounts: Vec<Mount>,
    /// What its fstab mounts that cannot be read: where, and why.
    pub unreadable: Vec<(PathBuf, String)>,
    /// Those of them without which the system starts all the same (`nofail`, `noauto`).
    pub optional: Vec<PathBuf>,
    /// Where file systems are mounted that were not unmounted: what their logs hold may be missing.
    pub unclean: Vec<PathBuf>,
    directories: HashMap<PathBuf, Option<PathBuf>>,
}

/// A file system at its place.
#[allow(missing_debug_implementations)] // file systems have none
pub struct Mount {
    /// Where it is mounted.
    pub at: PathBuf,
    /// Which volume it is on, by its number.
    pub volume: usize,
    /// The subvolume of a Btrfs.
    pub subvolume: Option<PathBuf>,
    pub(super) tree: Box<dyn Readable>,
}

impl System {
    /// The system on volumes.
    ///
    /// # Errors
    /// There is none, or its root cannot be read: each volume that could not be read is named.
    pub fn find(volumes: Volumes) -> Result<System> {
        let mut troubles = volumes.troubles.clone();
        let mut root = None;
        for (number, volume) in volumes.all.iter().enumerate() {
            if volumes.opened(volume).is_some() {
                continue;
            }
            match root_on(number, volume) {
                Ok(None) => {}
                Ok(found) => {
                    root = found;
                    break;
                }
                Err(why) => troubles.push(format!("{}: {why:#}", volume.name())),
            }
        }
        let Some(root) = root else {
            let why = if troubles.is_empty() {
                String::new()
            } else {
                format!(" ({})", troubles.join("; "))
            };
            bail!(
                "no installed system was found: no file system has an os-release and an fstab{why}"
            );
        };
        let mut system = System {
            volumes,
            mounts: vec![root],
            unreadable: Vec::new(),
            optional: Vec::new(),
            unclean: Vec::new(),
            directories: HashMap::new(),
        };
        let table = system.read(&Path::new("/").join(FSTAB), MOST_FSTAB)?;
        let mut entries = fstab::parse(&String::from_utf8_lossy(&table));
        entries.retain(|entry| entry.is_of_a_disk() && entry.at != Path::new("/"));
        // What lies in another is mounted after it.
        entries.sort_by_key(|entry| entry.at.components().count());
        for entry in entries {
            match system.mount(&entry) {
                Ok(mount) => system.mounts.push(mount),
                Err(why) => {
                    if entry.is_optional() {
                        system.optional.push(entry.at.clone());
                    }
                    system.unreadable.push((entry.at, format!("{why:#}")));
                }
            }
        }
        for mount in &mut system.mounts {
            if !mount.tree.was_unmounted()? {
                system.unclean.push(mount.at.clone());
            }
        }
        Ok(system)
    }

    /// What of its fstab cannot be read, and need not be there: where, and why.
    pub fn missing(&self) -> Vec<(PathBuf, String)> {
        let unreadable = self.unreadable.iter();
        let missing = unreadable.filter(|(at, _)| self.optional.contains(at));
        missing.cloned().collect()
    }

    fn mount(&mut self, entry: &Entry) -> Result<Mount> {
        let mut all = self.volumes.all.iter();
        let number = all.position(|volume| volume.is(&entry.spec));
        let number = number.or_else(|| self.named_by_crypttab(&entry.spec));
        let number = number.with_context(|| format!("{} is not on the disk", entry.spec))?;
        let volume = &self.volumes.all[number];
        let tree = volume
            .open(entry.subvolume())
            .with_context(|| format!("{} ({})", entry.spec, volume.name()))?;
        Ok(Mount {
            at: entry.at.clone(),
            volume: number,
            subvolume: entry.subvolume().map(Path::to_owned),
            tree,
        })
    }

    /// The volume that was encrypted and is open, by the name that crypttab(5) has for it.
    fn named_by_crypttab(&mut self, spec: &str) -> Option<usize> {
        let name = spec.strip_prefix("/dev/mapper/")?;
        let table = self.read(Path::new(CRYPTTAB), MOST_FSTAB).ok()?;
        let table = String::from_utf8_lossy(&table);
        let lines = table.lines().map(str::split_whitespace);
        let device = lines
            .filter_map(|mut fields| Some((fields.next()?, fields.next()?)))
            .find_map(|(named, device)| (named == name).then_some(device))?;
        let encrypted = self.volumes.named(device)?;
        self.volumes.opened(encrypted)
    }

    /// What is known of a file; none if there is none. Of a link, what is known of the link itself.
    ///
    /// # Errors
    /// It lies where it cannot be read.
    pub fn metadata(&mut self, path: &Path) -> Result<Option<Metadata>> {
        let Some(place) = self.place(path, false)? else {
            return Ok(None);
        };
        let (mount, within) = self.mount_of(&place)?;
        mount.tree.metadata(&within)
    }

    /// What kind of file it is, and its bytes; none if there is none. Of a link, what the link itself is.
    ///
    /// # Errors
    /// It lies where it cannot be read.
    pub fn kind(&mut self, path: &Path) -> Result<Option<(Kind, u64)>> {
        match self.place(path, false)? {
            Some(place) => self.kind_at(&place),
            None => Ok(None),
        }
    }

    /// A file's content, links followed.
    ///
    /// # Errors
    /// There is none, it is no regular file, it has more than `most` bytes, or cannot be read.
    pub fn read(&mut self, path: &Path, most: u64) -> Result<Vec<u8>> {
        let mut read = || {
            let (place, size) = self.find_file(path)?.ok_or_else(missing)?;
            ensure!(size <= most, "it has {size} bytes, more than {most}");
            let mut content = vec![0; usize::try_from(size)?];
            let length = self.read_at(&place, 0, &mut content)?;
            content.truncate(length);
            anyhow::Ok(content)
        };
        read().with_context(|| format!("reading {} of the image", path.display()))
    }

    /// Where a regular file is, links followed, and how many bytes it has; none if there is none.
    ///
    /// # Errors
    /// It is no regular file, or lies where it cannot be read.
    pub fn find_file(&mut self, path: &Path) -> Result<Option<(PathBuf, u64)>> {
        let Some(place) = self.place(path, true)? else {
            return Ok(None);
        };
        let (kind, size) = self.kind_at(&place)?.ok_or_else(missing)?;
        ensure!(kind == Kind::File, "it is no regular file");
        Ok(Some((place, size)))
    }

    /// Fills `into` with the content of a file that [`System::find_file`] found, from a place on, as far as it
    /// goes; how far that is.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read_at(&mut self, file: &Path, at: u64, into: &mut [u8]) -> Result<usize> {
        let (mount, path) = self.mount_of(file)?;
        mount.tree.read(&path, at, into)
    }

    /// The names in a directory, links followed, sorted; none if there is no such directory.
    ///
    /// # Errors
    /// It is no directory, or lies where it cannot be read.
    pub fn read_dir(&mut self, path: &Path) -> Result<Option<Vec<PathBuf>>> {
        let Some(place) = self.place(path, true)? else {
            return Ok(None);
        };
        let (mount, within) = self.mount_of(&place)?;
        let names = mount.tree.read_dir(&within);
        let mut names =
            names.with_context(|| format!("listing {} of the image", path.display()))?;
        names.sort();
        Ok(Some(names))
    }

    /// Where a link leads.
    ///
    /// # Errors
    /// It is none, or lies where it cannot be read.
    pub fn read_link(&mut self, path: &Path) -> Result<PathBuf> {
        let place = self.place(path, false)?.ok_or_else(missing)?;
        let (mount, within) = self.mount_of(&place)?;
        mount.tree.read_link(&within)
    }

    /// The extended attributes of a file; of a link, those of the link itself.
    ///
    /// # Errors
    /// There is none, or it lies where it cannot be read.
    pub fn attributes(&mut self, path: &Path) -> Result<Vec<Attribute>> {
        let place = self.place(path, false)?.ok_or_else(missing)?;
        let (mount, within) = self.mount_of(&place)?;
        mount.tree.attributes(&within)
    }

    fn kind_at(&mut self, place: &Path) -> Result<Option<(Kind, u64)>> {
        let (mount, path) = self.mount_of(place)?;
        mount.tree.kind(&path)
    }

    /// The file system that a path without links lies in, and the path within.
    fn mount_of(&mut self, path: &Path) -> Result<(&mut Mount, PathBuf)> {
        let within = |at: &Path| path.strip_prefix(at).ok().map(|_| at.components().count());
        let mounts = self.mounts.iter().enumerate();
        let deepest = mounts
            .filter_map(|(number, mount)| Some((within(&mount.at)?, number)))
            .max()
            .context("a path is not absolute")?;
        for (at, why) in &self.unreadable {
            if within(at).is_some_and(|depth| depth > deepest.0) {
                bail!("{} cannot be read: {why}", at.display());
            }
        }
        let mount = &mut self.mounts[deepest.1];
        let path = Path::new("/").join(path.strip_prefix(&mount.at)?);
        Ok((mount, path))
    }

    /// Where a path leads through links, the last one as `follow` says; none if there is nothing.
    fn place(&mut self, path: &Path, follow: bool) -> Result<Option<PathBuf>> {
        let root = Path::new("/");
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return self.walk(root.to_owned(), path, follow);
        };
        let directory = match self.directories.get(parent) {
            Some(known) => known.clone(),
            None => {
                let directory = self.walk(root.to_owned(), parent, true)?;
                if self.directories.len() < MOST_REMEMBERED {
                    self.directories
                        .insert(parent.to_owned(), directory.clone());
                }
                directory
            }
        };
        match directory {
            Some(directory) => self.walk(directory, Path::new(name), follow),
            None => Ok(None),
        }
    }

    fn walk(&mut self, mut at: PathBuf, path: &Path, follow: bool) -> Result<Option<PathBuf>> {
        let mut rest: VecDeque<OsString> = names(path);
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                at.pop();
                continue;
            }
            let next = at.join(name);
            let Some((kind, _)) = self.kind_at(&next)? else {
                return Ok(None);
            };
            match kind {
                Kind::Link if follow || !rest.is_empty() => {
                    links += 1;
                    ensure!(links <= MOST_LINKS, "too many links lead to it");
                    let (mount, within) = self.mount_of(&next)?;
                    let target = mount.tree.read_link(&within)?;
                    if target.is_absolute() {
                        at = PathBuf::from("/");
                    }
                    for name in names(&target).into_iter().rev() {
                        rest.push_front(name);
                    }
                }
                Kind::Directory => at = next,
                _ if rest.is_empty() => at = next,
                _ => return Ok(None),
            }
        }
        Ok(Some(at))
    }
}

fn missing() -> anyhow::Error {
    anyhow!("there is no such file")
}

/// The names of a path, `..` among them.
fn names(path: &Path) -> VecDeque<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    names.collect()
}

/// The root of a system on a volume, if there is one: of a Btrfs that has none itself, in a subvolume at
/// its top, as the installer makes them.
fn root_on(number: usize, volume: &Volume) -> Result<Option<Mount>> {
    let kind = volume
        .contents
        .as_ref()
        .map(|contents| contents.kind.as_str());
    let holds_files = !matches!(kind, None | Some("swap" | "LVM2_member" | "vfat"));
    if volume.device.is_ok() && !holds_files {
        return Ok(None);
    }
    let mut tree = volume.open(None)?;
    let mount = |tree, subvolume| Mount {
        at: PathBuf::from("/"),
        volume: number,
        subvolume,
        tree,
    };
    if is_root(&mut *tree, Path::new("/"))? {
        return Ok(Some(mount(tree, None)));
    }
    if kind == Some("btrfs") {
        for name in tree.read_dir(Path::new("/"))? {
            if is_root(&mut *tree, &Path::new("/").join(&name))? {
                let tree = volume.open(Some(&name))?;
                return Ok(Some(mount(tree, Some(name))));
            }
        }
    }
    Ok(None)
}

fn is_root(tree: &mut dyn FileTree, top: &Path) -> Result<bool> {
    let mut there = |name: &str| anyhow::Ok(tree.kind(&top.join(name))?.is_some());
    Ok(there(FSTAB)? && (there(RELEASES[0])? || there(RELEASES[1])?))
}
