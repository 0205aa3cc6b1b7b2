//! `/etc/fstab` (fstab(5)).

use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// A line of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What is mounted.
    pub spec: String,
    /// Where.
    pub at: PathBuf,
    /// Of which kind it is.
    pub kind: String,
    /// With which options.
    pub options: Vec<String>,
}

impl Entry {
    /// Whether it mounts a file system of a disk into the tree, be it at every boot or when asked for.
    pub fn is_of_a_disk(&self) -> bool {
        let tag = self.spec.split_once('=').map(|(tag, _)| tag);
        let on_disk = matches!(tag, Some("UUID" | "LABEL" | "PARTUUID" | "PARTLABEL"))
            || self.spec.starts_with("/dev/");
        let bound = self.options.iter().any(|o| o == "bind" || o == "rbind");
        on_disk && !bound && self.at.is_absolute() && self.kind != "swap"
    }

    /// Whether a system starts without it.
    pub fn is_optional(&self) -> bool {
        let mut options = self.options.iter();
        options.any(|option| option == "nofail" || option == "noauto")
    }

    /// The subvolume that it mounts of a Btrfs.
    pub fn subvolume(&self) -> Option<&Path> {
        let mut options = self.options.iter();
        options.find_map(|option| option.strip_prefix("subvol=").map(Path::new))
    }
}

/// The lines of a table; those that are none are left out.
pub fn parse(text: &str) -> Vec<Entry> {
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.starts_with('#'));
    let entry = |line: &str| {
        let mut fields = line.split_whitespace();
        Some(Entry {
            spec: unescape(fields.next()?).to_string_lossy().into_owned(),
            at: unescape(fields.next()?),
            kind: fields.next()?.to_owned(),
            options: fields
                .next()
                .unwrap_or("defaults")
                .split(',')
                .map(str::to_owned)
                .collect(),
        })
    };
    lines.filter_map(entry).collect()
}

/// A field, in which a blank is written as `\040`.
fn unescape(field: &str) -> PathBuf {
    let bytes = field.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let octal = field.get(at + 1..at + 4).filter(|_| *byte == b'\\');
        match octal.and_then(|octal| u8::from_str_radix(octal, 8).ok()) {
            Some(byte) => {
                plain.push(byte);
                at += 4;
            }
            None => {
                plain.push(*byte);
                at += 1;
            }
        }
    }
    std::ffi::OsString::from_vec(plain).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mounted_from_disks_is_told_from_the_rest() {
        let table = "# a comment\n\
            UUID=1-2 / xfs defaults 0 0\n\
            /dev/mapper/rl-swap none swap defaults 0 0\n\
            tmpfs /tmp tmpfs size=1G 0 0\n\
            /var/a /var/b none bind 0 0\n\
            LABEL=x /a\\040b btrfs subvol=home,ro\n\
            broken\n";
        let entries = parse(table);
        assert_eq!(entries.len(), 5);
        let of_disks: Vec<&Entry> = entries.iter().filter(|e| e.is_of_a_disk()).collect();
        assert_eq!(of_disks.len(), 2);
        assert_eq!(of_disks[1].at, Path::new("/a b"));
        assert_eq!(of_disks[1].subvolume(), Some(Path::new("home")));
        assert_eq!(of_disks[0].subvolume(), None);
    }
}
