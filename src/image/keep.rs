//! Images of several nights under names of their own (`NAME-DATE-BUILDID`), links that lead to the last good one, and
//! the removal of the oldest: `docs/nightly.md`.
//!
//! Only what is ozr's own is removed: files beside a manifest of a build of this name, that bear its name and that builds
//! leave, and no image that a virtual machine uses.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, fsync, renameat, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::manifest::{self, Manifest};
use super::output::OutputPaths;
use super::publish;
use crate::hex;

/// Digits of a build's id in a name.
const ID_DIGITS: usize = 8;

/// How names of manifests end.
const MANIFEST: &str = ".manifest.json";

/// Most entries of a directory that are looked at.
const MAX_ENTRIES: usize = 100_000;

/// What stands behind an image's name in the name under which it is kept: the date, in UTC, and the beginning of the
/// build's id.
pub fn mark(build_id: &str) -> String {
    let now = manifest::timestamp(std::time::SystemTime::now());
    let date = now.split('T').next().unwrap_or_default();
    let id = build_id.get(..ID_DIGITS).unwrap_or(build_id);
    format!("{date}-{id}")
}

/// Whether `text` is what [`mark`] makes of some build's id.
fn is_mark(text: &str) -> bool {
    let shape = "dddd-dd-dd-xxxxxxxx";
    text.len() == shape.len()
        && text
            .bytes()
            .zip(shape.bytes())
            .all(|(byte, kind)| match kind {
                b'd' => byte.is_ascii_digit(),
                b'x' => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
                other => byte == other,
            })
}

/// Refuses links that cannot get their names: where one is to be there may be nothing, or a link of this user's; with
/// `replace` a file, too.
///
/// # Errors
/// Input: see above.
pub fn check(links: &OutputPaths, replace: bool) -> Result<()> {
    for (what, path) in links.published() {
        let is_link = path
            .symlink_metadata()
            .is_ok_and(|there| there.is_symlink());
        publish::check_replaceable(what, path, replace || is_link)?;
    }
    Ok(())
}

/// Makes the links lead to the files of a set that was published, each at once: the images first, the checksums last.
///
/// # Errors
/// A link cannot be made. Those before lead to the new files, those behind to the old ones.
pub fn switch(links: &OutputPaths, kept: &OutputPaths) -> Result<()> {
    let dir = open(&links.dir)?;
    let pairs = links.published().into_iter().zip(kept.published());
    let mut pairs: Vec<(&Path, &Path)> = pairs.map(|((_, link), (_, file))| (link, file)).collect();
    pairs.sort_by_key(|(link, _)| *link == links.checksum);
    for (link, file) in pairs {
        let made = |path: &Path| format!("making the link {}", path.display());
        let is_there = file.symlink_metadata().is_ok();
        let (Some(name), Some(target)) = (link.file_name(), file.file_name()) else {
            continue;
        };
        // What was asked for elsewhere has one name.
        if link == file || link.parent() != Some(&*links.dir) {
            continue;
        }
        if !is_there {
            // An earlier build left it, and this one did not.
            let is_link = link
                .symlink_metadata()
                .is_ok_and(|there| there.is_symlink());
            if is_link {
                unlinkat(&dir, name, AtFlags::empty()).with_context(|| made(link))?;
            }
            continue;
        }
        let aside = format!(".ozr-{}", hex::random()?);
        symlinkat(target, &dir, &*aside).with_context(|| made(link))?;
        let renamed = renameat(&dir, &*aside, &dir, name);
        if renamed.is_err() {
            let _ = unlinkat(&dir, &*aside, AtFlags::empty());
        }
        renamed.with_context(|| made(link))?;
    }
    fsync(&dir).with_context(|| format!("writing {} to disk", links.dir.display()))
}

/// A build that is kept.
#[derive(Debug)]
struct Kept {
    /// What its files' names begin with.
    stem: String,
    manifest: Manifest,
}

/// Removes what is kept of the oldest builds of a name, but for the newest `keep`. What was removed, and what could not
/// be: a sentence each.
///
/// # Errors
/// The directory cannot be read.
pub fn prune(links: &OutputPaths, name: &str, keep: usize) -> Result<Pruned> {
    let dir = open(&links.dir)?;
    let mut all = builds(&dir, links, name)?;
    all.sort_by(|one, other| other.manifest.finished.cmp(&one.manifest.finished));
    let current = std::fs::read_link(&links.manifest).ok();
    let mut pruned = Pruned::default();
    for old in all.into_iter().skip(keep) {
        let manifest = format!("{}{MANIFEST}", old.stem);
        if current.as_deref() == Some(Path::new(&manifest)) {
            continue;
        }
        match remove(&dir, links, &old) {
            Ok(()) => pruned.removed.push(old.stem),
            Err(error) => pruned.left.push(format!("{} stays: {error:#}", old.stem)),
        }
    }
    Ok(pruned)
}

/// What came of pruning.
#[derive(Debug, Default)]
pub struct Pruned {
    /// What the names of the removed files began with.
    pub removed: Vec<String>,
    /// What stays, and why.
    pub left: Vec<String>,
}

/// The builds of a name that are kept in a directory.
fn builds(dir: &OwnedFd, links: &OutputPaths, name: &str) -> Result<Vec<Kept>> {
    let mut kept = Vec::new();
    for entry in names(dir, &links.dir)? {
        let stem = entry.strip_suffix(MANIFEST);
        let mark = stem.and_then(|stem| stem.strip_prefix(&*links.stem)?.strip_prefix('-'));
        let (Some(stem), Some(mark)) = (stem, mark.filter(|mark| is_mark(mark))) else {
            continue;
        };
        if !is_own_file(dir, &entry) {
            continue;
        }
        let Ok(manifest) = manifest::read(&links.dir.join(&entry)) else {
            continue;
        };
        if manifest.name == name
            && manifest
                .build_id
                .starts_with(&mark[mark.len() - ID_DIGITS..])
        {
            kept.push(Kept {
                stem: stem.to_owned(),
                manifest,
            });
        }
    }
    Ok(kept)
}

/// Removes what a build left, its manifest last: it says that the rest is ozr's.
fn remove(dir: &OwnedFd, links: &OutputPaths, old: &Kept) -> Result<()> {
    let prefix = format!("{}.", old.stem);
    let images: Vec<&str> = old
        .manifest
        .images
        .iter()
        .map(|image| &*image.file)
        .collect();
    let is_its = |file: &str| file.starts_with(&prefix) || file == old.stem;
    for image in images.iter().filter(|image| is_its(image)) {
        publish::check_unused(&links.dir.join(image))?;
    }
    let mut files: Vec<String> = Vec::new();
    for entry in names(dir, &links.dir)? {
        let ending = entry.strip_prefix(&prefix);
        let is_paper = ending.is_some_and(OutputPaths::is_paper) && !entry.ends_with(MANIFEST);
        let is_image = images.contains(&&*entry) && is_its(&entry);
        if (is_paper || is_image) && is_own_file(dir, &entry) {
            files.push(entry);
        }
    }
    files.sort_by_key(|file| !images.contains(&&**file));
    files.push(format!("{}{MANIFEST}", old.stem));
    for file in files {
        match unlinkat(dir, &*file, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error).with_context(|| format!("removing {file}")),
        }
    }
    Ok(())
}

/// Whether a name is that of a regular file of this user's.
fn is_own_file(dir: &OwnedFd, name: &str) -> bool {
    let there = statat(dir, name, AtFlags::SYMLINK_NOFOLLOW);
    there.is_ok_and(|there| {
        FileType::from_raw_mode(there.st_mode) == FileType::RegularFile
            && there.st_uid == rustix::process::geteuid().as_raw()
    })
}

fn names(dir: &OwnedFd, path: &Path) -> Result<Vec<String>> {
    let reading = || format!("reading {}", path.display());
    let entries = Dir::read_from(dir).with_context(reading)?.take(MAX_ENTRIES);
    let mut names = Vec::new();
    for entry in entries {
        // ozr's own names are UTF-8.
        if let Ok(name) = entry.with_context(reading)?.file_name().to_str() {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

fn open(path: &Path) -> Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
        .with_context(|| format!("opening {}", path.display()))
}

/// Where a link leads, by its own directory; the path itself if it is none.
pub fn target(path: &Path) -> PathBuf {
    match std::fs::read_link(path) {
        Ok(target) if target.parent() == Some(Path::new("")) => path.with_file_name(target),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs::File;

    use super::*;
    use crate::options::Format;

    struct Place {
        directory: tempfile::TempDir,
        links: OutputPaths,
    }

    impl Place {
        fn new() -> Place {
            let directory = tempfile::tempdir().unwrap();
            let formats = [Format::Qcow2, Format::RawZst];
            let links = OutputPaths::new(Some(directory.path()), "web", &formats, None, None);
            Place {
                directory,
                links: links.unwrap(),
            }
        }

        /// A set of a day, published; what its names begin with.
        fn build(&self, day: u32, name: &str) -> OutputPaths {
            let kept = self
                .links
                .renamed(&format!("web-2026-11-{day}-0000aa{day}"));
            for (_, path) in kept.published() {
                std::fs::write(path, day.to_string()).unwrap();
            }
            let mut manifest = manifest::sample();
            name.clone_into(&mut manifest.name);
            manifest.build_id = format!("0000aa{day}ffff");
            manifest.finished = format!("2026-11-{day}T02:00:00Z");
            let first = manifest.images[0].clone();
            let images = kept.images.iter().map(|image| manifest::File {
                file: crate::image::set::file_name(&image.path),
                ..first.clone()
            });
            manifest.images = images.collect();
            std::fs::write(&kept.manifest, manifest.to_json().unwrap()).unwrap();
            switch(&self.links, &kept).unwrap();
            kept
        }

        fn names(&self) -> Vec<String> {
            let all = std::fs::read_dir(self.directory.path()).unwrap();
            let names = all.map(|entry| entry.unwrap().file_name().into_string().unwrap());
            let mut names: Vec<String> = names.collect();
            names.sort();
            names
        }

        fn kept(&self) -> Vec<String> {
            let names = self.names().into_iter();
            let manifests =
                names.filter(|name| name.starts_with("web-") && name.ends_with(MANIFEST));
            manifests.map(|name| name[12..14].to_owned()).collect()
        }
    }

    #[test]
    fn links_lead_to_the_last_build_and_the_oldest_go() {
        let place = Place::new();
        for day in 11..16 {
            place.build(day, "web");
            let image = std::fs::read_to_string(&place.links.image).unwrap();
            assert_eq!(image, day.to_string());
        }
        let count = place.links.published().len();
        assert_eq!(place.names().len(), 6 * count, "{:?}", place.names());
        // What others put there, and what is another's build.
        let stranger = place.directory.path().join("web-2026-11-11-0000aa11.notes");
        std::fs::write(&stranger, "mine").unwrap();
        let hooks = place
            .directory
            .path()
            .join("web-2026-11-12-0000aa12.hooks.log");
        std::fs::write(&hooks, "what a hook printed").unwrap();
        place.build(20, "other");
        let pruned = prune(&place.links, "web", 3).unwrap();
        assert_eq!(
            pruned.removed,
            ["web-2026-11-12-0000aa12", "web-2026-11-11-0000aa11"]
        );
        assert_eq!(place.kept(), ["13", "14", "15", "20"]);
        assert!(stranger.exists());
        assert_eq!(place.names().len(), 5 * count + 1, "{:?}", place.names());
        assert!(prune(&place.links, "web", 3).unwrap().removed.is_empty());
    }

    #[test]
    fn what_the_links_lead_to_and_what_is_used_stays() {
        let place = Place::new();
        let first = place.build(11, "web");
        let second = place.build(12, "web");
        place.build(13, "web");
        switch(&place.links, &first).unwrap();
        let file = File::options()
            .read(true)
            .write(true)
            .open(&second.image)
            .unwrap();
        // As QEMU locks an image; of another process, for one's own locks are no obstacle.
        let mut holder = std::process::Command::new("python3")
            .args(["-c", "import fcntl,sys; f=open(sys.argv[1],'r+b'); fcntl.lockf(f,fcntl.LOCK_EX); print('held',flush=True); sys.stdin.read()"])
            .arg(&second.image)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut said = std::io::BufReader::new(holder.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut said, &mut line).unwrap();
        drop(file);
        let pruned = prune(&place.links, "web", 1).unwrap();
        drop(holder.stdin.take());
        holder.wait().unwrap();
        assert_eq!(pruned.removed, [""; 0]);
        assert!(pruned.left[0].contains("is in use"), "{:?}", pruned.left);
        assert_eq!(place.kept(), ["11", "12", "13"]);
        assert_eq!(prune(&place.links, "web", 1).unwrap().removed.len(), 1);
    }

    #[test]
    fn marks_are_told_from_other_names() {
        assert!(is_mark(&mark("0123456789abcdef")));
        for other in [
            "",
            "2026-11-30",
            "2026-11-30-0123456",
            "2026-11-30-0123456g",
            "x2026-11-30-0123456",
        ] {
            assert!(!is_mark(other), "{other}");
        }
    }

    #[test]
    fn a_file_in_the_place_of_a_link_is_replaced_by_wish_only() {
        let place = Place::new();
        std::fs::write(&place.links.image, "mine").unwrap();
        let error = check(&place.links, false).unwrap_err();
        assert!(error.to_string().contains("--force"), "{error}");
        check(&place.links, true).unwrap();
        place.build(11, "web");
        check(&place.links, false).unwrap();
        assert_eq!(
            target(&place.links.image).file_name(),
            Some(OsStr::new("web-2026-11-11-0000aa11.qcow2"))
        );
        std::fs::remove_file(&place.links.manifest).unwrap();
        std::fs::create_dir(&place.links.manifest).unwrap();
        assert!(check(&place.links, true).is_err());
    }
}
