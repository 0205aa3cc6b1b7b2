//! The files of a system's configuration: all below `/etc`, each by what it holds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::disk::system::System;
use crate::disk::tree::{Kind, Metadata};
use crate::hex;

/// Where they are.
const ROOT: &str = "/etc";

/// Most files. RHEL with all of its packages has some 10,000.
const MOST_FILES: usize = 100_000;

/// Most bytes of a file, and of all: SELinux's policy has 30 MB, all of `/etc` 50.
const MOST_BYTES: u64 = 64 << 20;
const MOST_BYTES_OF_ALL: u64 = 512 << 20;

/// Deepest directory.
const DEEPEST: usize = 64;

/// A file, by what can be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// What kind of file it is.
    pub kind: Kind,
    /// Its permissions.
    pub mode: u32,
    /// Its owner and group.
    pub owner: (u32, u32),
    /// The SHA-256 of its content, in hexadecimal, with the UUIDs in it left out, which are others in every
    /// build (fstab has them); where a link leads.
    pub content: String,
}

/// The files of a system, by their paths.
///
/// # Errors
/// One cannot be read, or there are too many.
pub fn of(system: &mut System) -> Result<BTreeMap<String, Held>> {
    let mut files = BTreeMap::new();
    let mut bytes = 0;
    let mut directories = vec![(PathBuf::from(ROOT), 0)];
    while let Some((directory, depth)) = directories.pop() {
        ensure!(depth < DEEPEST, "{} lies too deep", directory.display());
        for name in system.read_dir(&directory)?.unwrap_or_default() {
            let path = directory.join(name);
            let Some(metadata) = system.metadata(&path)? else {
                continue;
            };
            let looked = held(system, &path, &metadata, &mut bytes);
            let held = looked.with_context(|| format!("reading {}", path.display()))?;
            ensure!(
                files.len() < MOST_FILES,
                "{ROOT} has more than {MOST_FILES} files"
            );
            files.insert(path.to_string_lossy().into_owned(), held);
            if metadata.kind == Kind::Directory {
                directories.push((path, depth + 1));
            }
        }
    }
    Ok(files)
}

fn held(system: &mut System, path: &Path, metadata: &Metadata, bytes: &mut u64) -> Result<Held> {
    let content = match metadata.kind {
        Kind::File => {
            *bytes += metadata.size;
            ensure!(
                *bytes <= MOST_BYTES_OF_ALL,
                "all files of {ROOT} have more than {MOST_BYTES_OF_ALL} bytes"
            );
            hex::sha256(without_uuids(system.read(path, MOST_BYTES)?))
        }
        Kind::Link => system.read_link(path)?.to_string_lossy().into_owned(),
        Kind::Directory | Kind::Special => String::new(),
    };
    Ok(Held {
        kind: metadata.kind,
        mode: metadata.mode,
        owner: (metadata.uid, metadata.gid),
        content,
    })
}

/// Blanks the digits of UUIDs.
pub fn without_uuids(mut content: Vec<u8>) -> Vec<u8> {
    /// Lengths of the parts of a UUID, between dashes (RFC 9562).
    const PARTS: [usize; 5] = [8, 4, 4, 4, 12];
    const LENGTH: usize = 36;
    let dash = |at: usize| {
        PARTS
            .iter()
            .scan(0, |end, part| {
                *end += part + 1;
                Some(*end - 1)
            })
            .any(|end| end == at && at < LENGTH)
    };
    let is_uuid = |text: &[u8]| {
        let mut bytes = text.iter().enumerate();
        bytes.all(|(at, byte)| match dash(at) {
            true => *byte == b'-',
            false => byte.is_ascii_hexdigit(),
        })
    };
    let mut at = 0;
    while at + LENGTH <= content.len() {
        match is_uuid(&content[at..at + LENGTH]) {
            true => {
                content[at..at + LENGTH].fill(b'-');
                at += LENGTH;
            }
            false => at += 1,
        }
    }
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_blanked_and_nothing_else() {
        let uuid = "11111111-2222-3333-4444-5555555abcde";
        let blank = "-".repeat(36);
        for (text, blanked) in [
            (
                format!("UUID={uuid} / ext4\n"),
                format!("UUID={blank} / ext4\n"),
            ),
            (format!("{uuid}{uuid}"), format!("{blank}{blank}")),
            (
                "11111111-2222-3333-4444-5555555abcdg".to_owned(),
                "11111111-2222-3333-4444-5555555abcdg".to_owned(),
            ),
            (uuid[..35].to_owned(), uuid[..35].to_owned()),
            (String::new(), String::new()),
        ] {
            let result = without_uuids(text.clone().into_bytes());
            assert_eq!(String::from_utf8(result).unwrap(), blanked, "{text}");
        }
    }
}
