//! What of a system's files decides how it is started elsewhere: taken as they pass by.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::disk::tree::Kind;
use crate::image::files::{Beginning, Entry, is_of};

/// Files whose content is wanted.
const KEPT: [&str; 7] = [
    "/etc/default/grub",
    "/etc/locale.conf",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/shadow",
    "/etc/vconsole.conf",
    "/usr/lib/os-release",
];

/// Most bytes of one of them.
const MOST: u64 = 256 << 10;

/// A link that is wanted: to the time zone.
const ZONE: &str = "/etc/localtime";

/// What is remembered to be there: patterns of what starts the system.
const THERE: [&str; 11] = [
    "/boot/efi/EFI/*/*",
    "/boot/vmlinuz-*",
    "/etc/systemd/system/*",
    "/etc/systemd/user/*",
    "/etc/wsl-distribution.conf",
    "/etc/wsl.conf",
    "/usr/lib/systemd/systemd",
    "/usr/libexec/wsl-first-start",
    "/usr/lib/grub/*",
    "/usr/lib/systemd/system/*",
    "/usr/lib/systemd/user/*",
];

/// Most names that are remembered: some hundred units and as many of a boot loader.
const MOST_THERE: usize = 1 << 14;

/// What is known of a system.
#[derive(Debug, Default)]
pub struct Facts {
    /// What its root is.
    pub root_kind: String,
    /// Bytes of its files.
    pub bytes: u64,
    /// When its os-release was made: a time for what is added, the same for each archive of it.
    pub modified: i64,
    kept: BTreeMap<&'static str, (Entry, Vec<u8>)>,
    there: BTreeSet<String>,
    zone: Option<String>,
}

impl Facts {
    /// Of what is about to come.
    pub fn of(beginning: &Beginning) -> Facts {
        let root = beginning.mounts.first();
        Facts {
            root_kind: root.map_or(String::new(), |(_, kind)| kind.clone()),
            ..Facts::default()
        }
    }

    /// Looks at a file; whether its content is wanted ([`Facts::keep`]).
    pub fn look(&mut self, entry: &Entry) -> bool {
        self.bytes += entry.stored();
        let path = entry.path.path();
        if THERE.iter().any(|pattern| matches(pattern, path)) && self.there.len() < MOST_THERE {
            self.there.insert(path.to_string_lossy().into_owned());
        }
        if path == Path::new("/usr/lib/os-release") {
            self.modified = entry.modified.0;
        }
        if path == Path::new(ZONE) {
            let target = entry.target.as_ref();
            self.zone = target.map(|target| target.path().to_string_lossy().into_owned());
        }
        entry.kind() == Kind::File && entry.size <= MOST && kept(path).is_some()
    }

    /// Keeps some of the content of a file that is wanted.
    pub fn keep(&mut self, entry: &Entry, bytes: &[u8]) {
        if let Some(path) = kept(entry.path.path()) {
            let kept = self.kept.entry(path);
            let (_, content) = kept.or_insert_with(|| (entry.clone(), Vec::new()));
            content.extend_from_slice(bytes);
        }
    }

    /// A file that was kept.
    pub fn file(&self, path: &str) -> Option<&(Entry, Vec<u8>)> {
        self.kept.get(path)
    }

    /// The text of a file that was kept; empty if there is none.
    pub fn text(&self, path: &str) -> String {
        let file = self.file(path);
        file.map_or(String::new(), |(_, content)| {
            String::from_utf8_lossy(content).into_owned()
        })
    }

    /// The value of a shell variable in a file that was kept.
    pub fn value(&self, path: &str, key: &str) -> Option<String> {
        let text = self.text(path);
        let mut lines = text.lines().map(str::trim);
        let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        let value = value.trim().trim_matches(['"', '\'']);
        (!value.is_empty()).then(|| value.to_owned())
    }

    /// A value of its os-release.
    pub fn release(&self, key: &str) -> Option<String> {
        let mut places = ["/etc/os-release", "/usr/lib/os-release"].into_iter();
        places.find_map(|place| self.value(place, key))
    }

    /// Its time zone, as `Europe/Berlin`.
    pub fn zone(&self) -> Option<&str> {
        let (_, zone) = self.zone.as_ref()?.split_once("/zoneinfo/")?;
        Some(zone)
    }

    /// Whether something that is remembered has a name like this.
    pub fn has(&self, pattern: &str) -> bool {
        let mut there = self.there.iter();
        there.any(|path| matches(pattern, Path::new(path)))
    }

    /// The password's hash of a user as its shadow(5) has it.
    pub fn password(&self, user: &str) -> Option<String> {
        let shadow = self.text("/etc/shadow");
        let mut lines = shadow.lines();
        let hash = lines.find_map(|line| line.strip_prefix(user)?.strip_prefix(':'))?;
        Some(hash.split(':').next().unwrap_or_default().to_owned())
    }
}

fn kept(path: &Path) -> Option<&'static str> {
    KEPT.into_iter().find(|kept| Path::new(kept) == path)
}

/// Whether a path is what a pattern names, in which a last `*` may stand for the rest of a name.
fn matches(pattern: &str, path: &Path) -> bool {
    let names = path.components().count();
    if pattern.matches('/').count() + 1 != names {
        return false;
    }
    let (directory, begins) = pattern.rsplit_once('/').unwrap_or(("", pattern));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let fits = match begins.strip_suffix('*') {
        Some(begins) => name.starts_with(begins),
        None => name == begins,
    };
    fits && is_of(directory, path.parent().unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_files_of_a_directory() {
        for (pattern, path, expected) in [
            ("/boot/vmlinuz-*", "/boot/vmlinuz-5.14", true),
            ("/boot/vmlinuz-*", "/boot/x/vmlinuz-5", false),
            ("/boot/efi/EFI/*/*", "/boot/efi/EFI/rocky/shimx64.efi", true),
            (
                "/boot/efi/EFI/*/shim*",
                "/boot/efi/EFI/rocky/grubx64.efi",
                false,
            ),
            ("/a/b", "/a/b", true),
            ("/a/b", "/a/b/c", false),
        ] {
            assert_eq!(
                matches(pattern, Path::new(path)),
                expected,
                "{pattern} {path}"
            );
        }
    }
}
