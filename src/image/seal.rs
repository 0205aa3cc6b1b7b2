//! Sealing: what is taken out of an image so that its clones are machines of their own, by what
//! commands, and whether it is out.
//!
//! The items stand in `seal.toml`. Commands and check come from that one table; who runs the commands
//! (a guest: `install/finish.rs`) and who checks (a process that reads the image) have nothing
//! else in common.

use std::collections::BTreeSet;
use std::fmt::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::{Context, Result, bail};
use glob::{MatchOptions, Pattern};
use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::disk::device::Device;
use crate::disk::system::System;
use crate::disk::tree::Kind;
use crate::disk::volumes::Volumes;
use crate::printable;

/// The table of items.
pub const TEXT: &str = include_str!("seal.toml");

/// Largest file whose lines are looked at, in bytes. Connection profiles have some hundred.
const MOST_PROFILE: u64 = 1 << 20;

/// Most files that are named of one item.
const MOST_NAMED: usize = 20;

/// Files in a directory that a pattern is compared with; a hostile image has any number.
const MOST_ENTRIES: usize = 100_000;

/// Something that sealing takes out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// Its name, for options and manifests.
    pub name: String,
    /// What it is, for people.
    pub what: String,
    #[serde(default)]
    absent: Vec<String>,
    #[serde(default)]
    empty: Vec<String>,
    #[serde(default)]
    lines: Vec<Lines>,
}

/// Lines that are taken out of files.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lines {
    files: String,
    /// A regular expression that `sed -E` and the crate `regex` read alike.
    matching: String,
}

/// Something that was not taken out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsealed {
    /// The item's name.
    pub item: String,
    /// The file; what cannot be printed is replaced.
    pub path: String,
    /// What is wrong with it, after its name: `is there`, `is not empty`.
    pub why: String,
}

/// What it came to, when it was looked at whether an image is sealed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// What was not taken out.
    pub left: Vec<Unsealed>,
    /// Where it could not be looked at, why, and what may be there; a sentence for each.
    pub unproved: Vec<String>,
}

impl Item {
    /// The files that it is about, as patterns.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        let lines = self.lines.iter().map(|lines| &lines.files);
        let all = self.absent.iter().chain(&self.empty).chain(lines);
        all.map(String::as_str)
    }
}

static ITEMS: LazyLock<Vec<Item>> = LazyLock::new(|| {
    #[derive(Deserialize)]
    struct Table {
        item: Vec<Item>,
    }
    let table: Table = toml::from_str(TEXT).expect("seal.toml is well-formed");
    table.item
});

/// All that can be sealed, in order.
pub fn items() -> &'static [Item] {
    &ITEMS
}

impl fmt::Display for Unsealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unsealed { item, path, why } = self;
        write!(f, "{} {why} ({item})", printable::line(path))
    }
}

/// Commands for `/bin/sh` that seal the system whose root is `root`, whatever of it is there; they use
/// the functions of `install/finish_inside.sh`. Files are emptied and written where they are: SELinux
/// labels stay right.
pub fn commands(items: &[&Item], root: &str) -> String {
    let mut script = String::new();
    for item in items {
        for pattern in &item.absent {
            let _ = match pattern.strip_suffix("**") {
                Some(dir) => writeln!(script, "take_within {root}{dir}"),
                None => writeln!(script, "take_out {root}{pattern}"),
            };
        }
        for pattern in &item.empty {
            let _ = writeln!(script, "make_empty {root}{pattern}");
        }
        for Lines { files, matching } in &item.lines {
            let _ = writeln!(script, "take_lines '{matching}' {root}{files}");
        }
    }
    script
}

/// A part of a system that cannot be looked at.
struct Blind {
    place: PathBuf,
    why: String,
    /// What may be there.
    items: BTreeSet<String>,
}

impl Blind {
    /// Those of a system: what lies in a log or cannot be read may be what is looked for.
    fn of(system: &System) -> Vec<Blind> {
        let unreadable = system.unreadable.iter();
        let unreadable = unreadable.map(|(at, why)| (at, format!("cannot be read: {why}")));
        let unclean = system.unclean.iter();
        let unclean = unclean.map(|at| (at, "was not unmounted".to_owned()));
        let all = unreadable.chain(unclean).map(|(at, why)| Blind {
            place: at.clone(),
            why,
            items: BTreeSet::new(),
        });
        all.collect()
    }

    /// Whether what a pattern of `seal.toml` means may lie there.
    fn may_hold(&self, pattern: &str) -> bool {
        let mut parts = Path::new(pattern).iter().skip(1);
        self.place.iter().skip(1).all(|name| {
            parts.next().is_some_and(|part| {
                let pattern = Pattern::new(&part.to_string_lossy());
                part == "**" || pattern.is_ok_and(|part| part.matches(&name.to_string_lossy()))
            })
        })
    }
}

/// What of the items is not taken out of the system on these disks, as far as its file systems can be read.
///
/// # Errors
/// A disk or the root of the system on it cannot be read: then nothing is proved.
pub fn prove(disks: &[Device], names: &BTreeSet<String>) -> Result<Proof> {
    let mut system = System::find(Volumes::find(disks)?)?;
    let mut blind = Blind::of(&system);
    if let Some(root) = blind.iter().find(|blind| blind.place == Path::new("/")) {
        bail!("{} {}", root.place.display(), root.why);
    }
    let mut proof = Proof::default();
    for item in items().iter().filter(|item| names.contains(&item.name)) {
        let left = look_at(item, &mut system, &mut blind);
        let left = left.with_context(|| format!("looking for {}", item.what))?;
        proof.left.extend(
            left.into_iter()
                .take(MOST_NAMED)
                .map(|(path, why)| Unsealed {
                    item: item.name.clone(),
                    path: path.to_string_lossy().into_owned(),
                    why: why.to_owned(),
                }),
        );
    }
    for Blind { place, why, items } in blind.iter().filter(|blind| !blind.items.is_empty()) {
        let items: Vec<&str> = items.iter().map(String::as_str).collect();
        proof.unproved.push(format!(
            "{} {why}; not looked for there: {}",
            place.display(),
            items.join(", ")
        ));
    }
    Ok(proof)
}

fn look_at(
    item: &Item,
    system: &mut System,
    blind: &mut [Blind],
) -> Result<Vec<(PathBuf, &'static str)>> {
    let mut is_seen = |pattern: &str| {
        let mut hidden = blind.iter_mut().filter(|blind| blind.may_hold(pattern));
        let hidden = hidden
            .next()
            .map(|blind| blind.items.insert(item.name.clone()));
        hidden.is_none()
    };
    let mut found = Vec::new();
    for pattern in item.absent.iter().filter(|pattern| is_seen(pattern)) {
        found.extend(
            matching(system, pattern)?
                .into_iter()
                .map(|path| (path, "is there")),
        );
    }
    for pattern in item.empty.iter().filter(|pattern| is_seen(pattern)) {
        for path in matching(system, pattern)? {
            if system.metadata(&path)?.is_some_and(|meta| meta.size > 0) {
                found.push((path, "is not empty"));
            }
        }
    }
    for lines in item.lines.iter().filter(|lines| is_seen(&lines.files)) {
        let regex = Regex::new(&lines.matching)?;
        for path in matching(system, &lines.files)? {
            let content = system.read(&path, MOST_PROFILE)?;
            let content = String::from_utf8_lossy(&content);
            if content.lines().any(|line| regex.is_match(line)) {
                found.push((path, "names the build's network card"));
            }
        }
    }
    Ok(found)
}

/// The files and directories of a system that a pattern of `seal.toml` matches, links left out.
fn matching(system: &mut System, pattern: &str) -> Result<Vec<PathBuf>> {
    let all = Pattern::new("*").expect("a pattern");
    let mut places = vec![PathBuf::from("/")];
    for part in Path::new(pattern).iter().skip(1) {
        let part = part.to_string_lossy();
        let wild = match part.as_ref() {
            "**" => Some(all.clone()),
            part if part.contains(['*', '?', '[']) => Some(Pattern::new(part)?),
            _ => None,
        };
        let mut next = Vec::new();
        for place in places {
            match &wild {
                None => next.push(place.join(part.as_ref())),
                Some(wild) => next.extend(entries(system, &place, wild)?),
            }
        }
        places = next;
    }
    let mut found = Vec::new();
    for place in places {
        let meta = system.metadata(&place)?;
        if meta.is_some_and(|meta| meta.kind != Kind::Link) {
            found.push(place);
        }
    }
    Ok(found)
}

fn entries(system: &mut System, dir: &Path, pattern: &Pattern) -> Result<Vec<PathBuf>> {
    let kind = system.metadata(dir)?.map(|meta| meta.kind);
    if kind != Some(Kind::Directory) {
        return Ok(Vec::new());
    }
    let names = system.read_dir(dir)?.unwrap_or_default();
    anyhow::ensure!(
        names.len() <= MOST_ENTRIES,
        "{} has {} entries",
        dir.display(),
        names.len()
    );
    let options = MatchOptions::new();
    let fits = |name: &PathBuf| pattern.matches_path_with(name, options);
    Ok(names
        .into_iter()
        .filter(fits)
        .map(|name| dir.join(name))
        .collect())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use super::*;
    use crate::disk::image_file;

    /// The functions that the commands use, without what is for a guest only.
    fn functions() -> &'static str {
        let inside = include_str!("../install/finish_inside.sh");
        let end = inside.find("# Gives back").expect("the functions");
        &inside[..end]
    }

    /// A file for each pattern, hidden ones where that is meant.
    fn planted(pattern: &str) -> String {
        let dir = pattern.replace("**", ".hidden/deep");
        let digits = dir.replace("[0-9]", "7");
        digits.replace('*', "x.7").replace('?', "y")
    }

    /// A tree with an installed system, and in it something for each pattern of these items.
    fn plant<'a>(root: &Path, items: impl IntoIterator<Item = &'a Item>) -> Vec<(String, String)> {
        let write = |path: &str, content: &str| {
            let path = root.join(&path[1..]);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        write("/etc/os-release", "ID=standin\n");
        write("/etc/fstab", "");
        write("/etc/motd", "mine");
        let mut all = Vec::new();
        for item in items {
            for pattern in item.files() {
                let path = planted(pattern);
                let content = match item.lines.iter().any(|lines| lines.files == pattern) {
                    true => "id=a\nuuid=0-a\nmac-address=0a:1b:2c:3d:4e:5f\nUUID=\"x\"\nend",
                    false => "secret",
                };
                write(&path, content);
                all.push((item.name.clone(), path));
            }
        }
        all
    }

    fn look(root: &Path) -> Vec<Unsealed> {
        let proof = prove_tree(root);
        assert_eq!(proof.unproved, [] as [String; 0]);
        proof.left
    }

    fn prove_tree(root: &Path) -> Proof {
        let image = tempfile::NamedTempFile::new().unwrap();
        image.as_file().set_len(64 << 20).unwrap();
        let mut make = Command::new("mkfs.ext4");
        make.args(["-q", "-F", "-d"]).arg(root).arg(image.path());
        assert!(make.status().unwrap().success());
        let disk = image_file::open(image.reopen().unwrap()).unwrap();
        let names = items().iter().map(|item| item.name.clone()).collect();
        prove(&[disk], &names).unwrap()
    }

    #[test]
    fn whatever_is_planted_is_found_and_taken_out() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let planted = plant(root, items());
        std::os::unix::fs::symlink("/etc/machine-id", root.join("root/.link_history")).unwrap();
        let found = look(root);
        for (item, path) in &planted {
            let top = path
                .find("/.hidden")
                .map_or(path.as_str(), |end| &path[..end + 8]);
            assert!(
                found
                    .iter()
                    .any(|found| found.item == *item && found.path == top),
                "{item}: {path} was not found in {found:?}"
            );
        }
        assert_eq!(found.len(), planted.len());

        let all: Vec<&Item> = items().iter().collect();
        let script = functions().to_owned() + &commands(&all, root.to_str().unwrap());
        let status = Command::new("sh").args(["-c", &script]).status().unwrap();
        assert!(status.success());
        assert_eq!(look(root), []);
        assert_eq!(fs::read_to_string(root.join("etc/motd")).unwrap(), "mine");
        assert_eq!(fs::read_to_string(root.join("etc/machine-id")).unwrap(), "");
        let profile = "etc/NetworkManager/system-connections/x.7.nmconnection";
        let profile = fs::read_to_string(root.join(profile)).unwrap();
        assert_eq!(profile, "id=a\nUUID=\"x\"\nend");
        assert!(root.join("root/.link_history").symlink_metadata().is_ok());
    }

    #[test]
    fn what_is_taken_out_is_overwritten_and_what_has_another_name_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let logs = root.join("var/log/anaconda/within");
        fs::create_dir_all(&logs).unwrap();
        fs::create_dir(root.join("tmp")).unwrap();
        for file in ["tmp/.x", "var/log/anaconda/within/a.log", "var/log/wtmp"] {
            fs::write(root.join(file), "secret").unwrap();
        }
        fs::write(root.join("mine"), "mine").unwrap();
        fs::hard_link(root.join("mine"), root.join("tmp/same")).unwrap();
        let held = ["tmp/.x", "var/log/anaconda/within/a.log", "var/log/wtmp"]
            .map(|file| fs::File::open(root.join(file)).unwrap());
        let all: Vec<&Item> = items().iter().collect();
        let script = functions().to_owned() + &commands(&all, root.to_str().unwrap());
        let status = Command::new("sh").args(["-c", &script]).status().unwrap();
        assert!(status.success());
        assert!(!logs.exists() && !root.join("tmp/.x").exists());
        for file in held {
            let text = std::io::read_to_string(file).unwrap();
            assert!(text.bytes().all(|byte| byte == 0), "{text}");
        }
        assert_eq!(fs::read_to_string(root.join("mine")).unwrap(), "mine");
    }

    #[test]
    fn many_files_take_few_programs_whatever_their_names_are() {
        let dir = tempfile::tempdir().unwrap();
        let (root, log) = (dir.path().join("root"), dir.path().join("log"));
        let place = root.join("var/tmp/a b");
        fs::create_dir_all(&place).unwrap();
        for number in 0..3000 {
            fs::write(place.join(format!("-n\n{number} '\"")), "secret").unwrap();
        }
        fs::create_dir_all(root.join("etc/ssh")).unwrap();
        for number in 0..1000 {
            fs::write(root.join(format!("etc/ssh/ssh_host_{number}\n")), "secret").unwrap();
        }
        let held = fs::File::open(place.join("-n\n2999 '\"")).unwrap();
        // Stands before the real one, and notes that it was called.
        let bin = dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        for program in ["shred", "rm", "stat"] {
            let path = bin.join(program);
            let text = format!(
                "#!/bin/sh\necho >>{}\nexec /usr/bin/{program} \"$@\"\n",
                log.display()
            );
            fs::write(&path, text).unwrap();
            fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
        }
        let path = format!("PATH={}:", bin.display());
        let script = functions().replacen("PATH=", &path, 1);
        let all: Vec<&Item> = items().iter().collect();
        let script = script + &commands(&all, root.to_str().unwrap());
        let status = Command::new("sh").args(["-c", &script]).status().unwrap();
        assert!(status.success());
        assert_eq!(fs::read_dir(root.join("var/tmp")).unwrap().count(), 0);
        assert_eq!(fs::read_dir(root.join("etc/ssh")).unwrap().count(), 0);
        let text = std::io::read_to_string(held).unwrap();
        assert!(text.bytes().all(|byte| byte == 0), "{text}");
        let programs = fs::read_to_string(log).unwrap().lines().count();
        assert!((4..100).contains(&programs), "{programs}");
    }

    #[test]
    fn each_item_alone_is_found_and_no_other() {
        for item in items() {
            let dir = tempfile::tempdir().unwrap();
            let planted = plant(dir.path(), [item]);
            let found = look(dir.path());
            assert_eq!(found.len(), planted.len(), "{found:?}");
            assert!(
                found.iter().all(|found| found.item == item.name),
                "{found:?}"
            );
            // Taking out all others leaves it as it is.
            let others: Vec<&Item> = items().iter().filter(|one| one.name != item.name).collect();
            let script = functions().to_owned() + &commands(&others, dir.path().to_str().unwrap());
            let status = Command::new("sh").args(["-c", &script]).status().unwrap();
            assert!(status.success());
            assert_eq!(look(dir.path()), found, "{}", item.name);
        }
    }

    /// What lies beside what cannot be read is proved, and what may lie in it is named.
    #[test]
    fn what_cannot_be_read_hides_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let planted = plant(dir.path(), items());
        let mount = |at: &str| format!("/dev/mapper/luks{} {at} xfs defaults 0 0\n", at.len());
        let table = ["/var/log", "/home", "/srv"].map(mount).concat();
        fs::write(dir.path().join("etc/fstab"), table).unwrap();
        let proof = prove_tree(dir.path());
        let is_hidden = |path: &str| path.starts_with("/var/log/") || path.starts_with("/home/");
        let seen = planted.iter().filter(|(_, path)| !is_hidden(path)).count();
        assert_eq!(proof.left.len(), seen, "{:?}", proof.left);
        assert!(!proof.left.iter().any(|left| is_hidden(&left.path)));
        assert_eq!(
            proof.unproved,
            [
                "/home cannot be read: /dev/mapper/luks5 is not on the disk; not looked for there: shell-history",
                "/var/log cannot be read: /dev/mapper/luks8 is not on the disk; not looked for there: cloud-init, installer, logs",
            ]
        );
    }

    #[test]
    fn a_disk_without_a_system_proves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("x");
        fs::write(&image, vec![0; 1 << 20]).unwrap();
        let disk = image_file::open(fs::File::open(image).unwrap()).unwrap();
        assert!(prove(&[disk], &BTreeSet::new()).is_err());
    }

    #[test]
    fn patterns_are_fit_for_a_shell() {
        for item in items() {
            for file in item.files() {
                let fit = |c: char| c.is_ascii_alphanumeric() || "/._-*?[]".contains(c);
                assert!(file.starts_with('/') && file.chars().all(fit), "{file}");
                assert_eq!(
                    file.find("**").unwrap_or(file.len() - 2),
                    file.len() - 2,
                    "{file}"
                );
            }
            for lines in &item.lines {
                assert!(!lines.matching.contains(['\'', '/']), "{}", lines.matching);
            }
        }
    }
}
