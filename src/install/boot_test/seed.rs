//! A NoCloud seed: a small FAT labelled `CIDATA`, on which cloud-init finds what a cloud would tell it
//! (cloud-init's documentation, "NoCloud").

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};

use crate::error::{Classify, Kind, fail};
use crate::input;

/// The files of a seed.
const NAMES: [&str; 4] = [USER_DATA, META_DATA, NETWORK, VENDOR_DATA];
const USER_DATA: &str = "user-data";
const META_DATA: &str = "meta-data";
const NETWORK: &str = "network-config";
const VENDOR_DATA: &str = "vendor-data";

/// What user-data is where nobody wants anything.
const NOTHING: &[u8] = b"#cloud-config\n{}\n";

/// Largest file of a seed, in bytes; clouds take 64 KiB at most.
const MOST_BYTES: u64 = 1 << 20;

/// Room on the disk beside the files, in bytes: tables, the root directory, what clusters waste.
const ROOM: usize = 512 << 10;

/// The label of the file system, as FAT holds it: 11 bytes.
const LABEL: [u8; 11] = *b"CIDATA     ";

/// The files of a seed, by their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed(BTreeMap<&'static str, Vec<u8>>);

impl Seed {
    /// Reads files that are called as those of a seed are (`user-data`, `user-data.yaml`), and those in
    /// directories; none if none is named.
    ///
    /// # Errors
    /// Input: one is called otherwise or cannot be read, or two are for the same.
    pub fn read(paths: &[PathBuf]) -> anyhow::Result<Option<Seed>> {
        let mut files = BTreeMap::new();
        for path in paths {
            let found: Vec<(&'static str, PathBuf)> = match path.is_dir() {
                true => {
                    let inside = NAMES.map(|name| (name, path.join(name)));
                    inside
                        .into_iter()
                        .filter(|(_, file)| file.is_file())
                        .collect()
                }
                false => name_of(path)
                    .map(|name| (name, path.clone()))
                    .into_iter()
                    .collect(),
            };
            if found.is_empty() {
                let (what, names) = match path.is_dir() {
                    true => ("has no file called", NAMES.join(", ")),
                    false => ("is not called", NAMES.join(", ")),
                };
                fail!(Kind::Input, "--seed: {} {what} {names}", path.display());
            }
            for (name, file) in found {
                let content = input::read_bounded(&file, MOST_BYTES)
                    .with_context(|| format!("reading {} of the seed", file.display()))
                    .kind(Kind::Input)?;
                if files.insert(name, content).is_some() {
                    fail!(Kind::Input, "--seed: there are two files for {name}");
                }
            }
        }
        Ok((!paths.is_empty()).then_some(Seed(files)))
    }

    /// Whether there is room for a script: vendor-data is not the user's.
    pub fn has_room(&self) -> bool {
        !self.0.contains_key(VENDOR_DATA)
    }

    /// The disk: with this id of the machine where the seed gives none, and a script that cloud-init runs
    /// when all else is done.
    ///
    /// # Errors
    /// None that is known: it is written to memory.
    pub fn disk(&self, instance: &str, script: Option<&str>) -> anyhow::Result<Vec<u8>> {
        let mut files = self.0.clone();
        files.entry(USER_DATA).or_insert_with(|| NOTHING.to_vec());
        let id = format!("instance-id: {instance}\n");
        files.entry(META_DATA).or_insert_with(|| id.into_bytes());
        if let Some(script) = script {
            files.insert(VENDOR_DATA, script.as_bytes().to_vec());
        }
        write(&files).context("making the disk of the seed")
    }
}

fn name_of(path: &Path) -> Option<&'static str> {
    let file = path.file_name()?.to_str()?;
    let is = |name: &&'static str| file.split_once('.').map_or(file, |(stem, _)| stem) == *name;
    NAMES.into_iter().find(is)
}

fn write(files: &BTreeMap<&str, Vec<u8>>) -> anyhow::Result<Vec<u8>> {
    const MIB: usize = 1 << 20;
    let length: usize = files.values().map(Vec::len).sum();
    let mut disk = vec![0; (length + ROOM).next_multiple_of(MIB)];
    let options = FormatVolumeOptions::new().volume_label(LABEL);
    fatfs::format_volume(Cursor::new(&mut disk), options)?;
    let system = FileSystem::new(Cursor::new(&mut disk), FsOptions::new())?;
    for (name, content) in files {
        system.root_dir().create_file(name)?.write_all(content)?;
    }
    system.unmount()?;
    Ok(disk)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::contents;
    use crate::disk::device::Device;
    use crate::disk::tree;

    #[test]
    fn a_seed_is_read_and_written() {
        let dir = tempfile::tempdir().unwrap();
        let user = dir.path().join("user-data.yaml");
        std::fs::write(&user, "#cloud-config\nhostname: a\n").unwrap();
        let inner = dir.path().join("seed");
        std::fs::create_dir(&inner).unwrap();
        std::fs::write(inner.join("network-config"), "version: 2\n").unwrap();
        std::fs::write(inner.join("README"), "").unwrap();
        assert_eq!(Seed::read(&[]).unwrap(), None);
        let seed = Seed::read(&[user.clone(), inner.clone()]).unwrap().unwrap();
        assert!(seed.has_room());
        let disk = Device::of_bytes(seed.disk("i-1", Some("#!/bin/sh\n")).unwrap());
        let found = contents::look(&disk).unwrap().unwrap();
        assert_eq!(
            (found.kind.as_str(), found.label.as_deref()),
            ("vfat", Some("CIDATA"))
        );
        let mut tree = tree::open(&disk, &found, None).unwrap();
        let mut names = tree.read_dir(Path::new("/")).unwrap();
        names.sort();
        assert_eq!(
            names,
            ["meta-data", "network-config", "user-data", "vendor-data"].map(PathBuf::from)
        );
        let mut content = [0; 64];
        let length = tree.read(Path::new("/meta-data"), 0, &mut content).unwrap();
        assert_eq!(&content[..length], b"instance-id: i-1\n");

        for (paths, says) in [
            (vec![dir.path().to_owned()], "has no file called"),
            (vec![inner.join("README")], "is not called"),
            (vec![dir.path().join("user-data")], "reading"),
            (vec![user.clone(), user], "two files for user-data"),
        ] {
            let error = format!("{:#}", Seed::read(&paths).unwrap_err());
            assert!(error.contains(says), "{error}");
        }
    }
}
