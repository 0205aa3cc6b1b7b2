//! Distributions for WSL 2.4.4 and later: Microsoft's "Build a Custom Linux Distribution for WSL", and what its tool
//! for WSL's own list looks at (microsoft/WSL, `distributions/validate-modern.py`). WSL unpacks nearly any archive, so
//! that what is inside is a warning at most.

use std::collections::{HashMap, VecDeque};

use anyhow::Result;

use super::facts;
use crate::diagnostic::Source;
use crate::formats::wsl::MASKED;
use crate::ini::{self, Ini};
use crate::verify::archive::{self, Archive, Member};
use crate::verify::facts::{Kind, Packing};
use crate::verify::{Findings, Question};

const DISTRIBUTION: &str = "etc/wsl-distribution.conf";
const SETTINGS: &str = "etc/wsl.conf";
const PASSWD: &str = "etc/passwd";
const SHADOW: &str = "etc/shadow";

/// What WSL reads of the first, by that page, in small letters.
const KEYS: [(&str, &str); 7] = [
    ("oobe", "command"),
    ("oobe", "defaultname"),
    ("oobe", "defaultuid"),
    ("shortcut", "enabled"),
    ("shortcut", "icon"),
    ("windowsterminal", "enabled"),
    ("windowsterminal", "profiletemplate"),
];

/// Largest icon and profile, in bytes, by the same page.
const LARGEST_ICON: u64 = 10 << 20;

/// Most links that lead from one file to another, as in Linux.
const MOST_LINKS: usize = 40;

/// Where units are enabled.
const UNITS: [&str; 3] = [
    "etc/systemd/system/",
    "usr/lib/systemd/system/",
    "usr/local/lib/systemd/system/",
];

/// Says what WSL would.
pub(super) fn judge(question: &Question<'_>, findings: &mut Findings<'_>) -> Result<()> {
    let Some((kind, _)) = facts(question, findings)? else {
        return Ok(());
    };
    let packing = match kind {
        Kind::Tar => Packing::None,
        Kind::Packed(packing) => packing,
        other => {
            findings.error(
                format!(
                    "it is {}, and WSL takes a tar archive, packed by gzip or xz most often",
                    other.name()
                ),
                "`ozr convert` makes one with `--format wsl`",
            );
            return Ok(());
        }
    };
    if packing == Packing::Zstd {
        findings.warn(
            "it is packed by zstd, which WSL's documentation does not name",
            "pack it by gzip, which all versions know, or by xz",
        );
    }
    if !question.name.ends_with(".wsl") {
        findings.note("its name does not end in .wsl, so Explorer does not install it: `wsl --install --from-file` does");
    }
    let contents = [DISTRIBUTION, SETTINGS, PASSWD, SHADOW];
    let archive = archive::read_tree(question.file, packing, &contents)?;
    if let Some(fault) = &archive.fault {
        findings.error(
            format!("the archive cannot be read to its end: {fault}"),
            "compare its checksum with its maker's, and fetch or make it again",
        );
        return Ok(());
    }
    let tree = Tree::of(&archive);
    distribution(&tree, findings);
    settings(&tree, findings);
    accounts(&tree, findings);
    for shell in ["/bin/sh", "/bin/bash"] {
        if tree.resolve(shell).is_none() {
            findings.warn(
                format!("there is no {shell} in it"),
                "is the archive that of a system's root?",
            );
        }
    }
    if tree.members.contains_key("etc/resolv.conf") {
        findings.warn(
            "it has an /etc/resolv.conf",
            "leave it out: WSL writes its own",
        );
    }
    if let Some(kernel) = tree
        .members
        .keys()
        .find(|name| name.starts_with("boot/vmlinuz-"))
    {
        findings.note(format!(
            "/{kernel} only takes room: WSL has a kernel of its own"
        ));
    }
    units(&tree, findings);
    Ok(())
}

/// The files of a system, by their names without the first `/`.
struct Tree<'a> {
    members: HashMap<&'a str, &'a Member>,
}

impl<'a> Tree<'a> {
    fn of(archive: &'a Archive) -> Tree<'a> {
        // The last one of a name stands, as for whoever unpacks it.
        let members = archive.members.iter();
        let members = members.map(|member| (member.name.trim_start_matches('/'), member));
        Tree {
            members: members.collect(),
        }
    }

    /// What a path leads to through links; none if there is nothing.
    fn resolve(&self, path: &str) -> Option<&'a Member> {
        let mut rest: VecDeque<&str> = path.split('/').collect();
        let mut at: Vec<&str> = Vec::new();
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            match name {
                "" | "." => continue,
                ".." => {
                    at.pop();
                    continue;
                }
                name => at.push(name),
            }
            let member = self.members.get(at.join("/").as_str());
            if let Some(target) = member.and_then(|member| member.link.as_deref()) {
                links += 1;
                if links > MOST_LINKS {
                    return None;
                }
                at.pop();
                if target.starts_with('/') {
                    at.clear();
                }
                target
                    .split('/')
                    .rev()
                    .for_each(|name| rest.push_front(name));
            }
        }
        self.members.get(at.join("/").as_str()).copied()
    }

    /// A file of settings, if it is there and can be read; its owner and mode are looked at.
    fn text(&self, name: &str, findings: &mut Findings<'_>) -> Option<String> {
        let member = self.members.get(name)?;
        let (mode, uid, gid) = member.owner;
        if !matches!(mode & 0o7777, 0o644 | 0o664) || (uid, gid) != (0, 0) {
            findings.warn(
                format!(
                    "/{name} has the mode {:o} and the owner {uid}:{gid}",
                    mode & 0o7777
                ),
                "it belongs to root and everybody reads it: 0644, 0:0",
            );
        }
        Some(member.text())
    }
}

/// `/etc/wsl-distribution.conf`.
fn distribution(tree: &Tree<'_>, findings: &mut Findings<'_>) {
    let Some(text) = tree.text(DISTRIBUTION, findings) else {
        return findings.warn(
            format!("there is no /{DISTRIBUTION}"),
            "it names the distribution and what makes its user; without it `wsl --install --from-file` needs a --name",
        );
    };
    let Some(ini) = read(DISTRIBUTION, &text, findings) else {
        return;
    };
    for entry in &ini.entries {
        let key = (entry.section, entry.key.to_ascii_lowercase());
        if !KEYS.contains(&(key.0, key.1.as_str())) {
            findings.warn(
                format!(
                    "/{DISTRIBUTION} has a key that WSL does not read: {}.{}",
                    entry.section, entry.key
                ),
                "",
            );
        }
    }
    let value = |section: &str, key: &str| ini.get(section, key).map(|entry| entry.value);
    if value("oobe", "defaultName").is_none() {
        findings.warn(
            format!("/{DISTRIBUTION} has no oobe.defaultName"),
            "without it `wsl --install --from-file` needs a --name",
        );
    }
    if let Some(uid) = value("oobe", "defaultUid")
        && uid.parse::<u32>().is_err()
    {
        findings.warn(format!("oobe.defaultUid is {uid}, which is no number"), "");
    }
    let command = value("oobe", "command").and_then(|command| command.split_whitespace().next());
    if let Some(command) = command.filter(|command| command.starts_with('/')) {
        match tree.resolve(command) {
            None => findings.warn(
                format!("oobe.command is {command}, which is not in the archive"),
                "a command that fails keeps everybody from the shell",
            ),
            Some(member) if member.owner.0 & 0o111 == 0 => findings.warn(
                format!(
                    "oobe.command is {command}, which cannot be run: its mode is {:o}",
                    member.owner.0 & 0o7777
                ),
                "a command that fails keeps everybody from the shell",
            ),
            Some(_) => {}
        }
    }
    for (section, key) in [("shortcut", "icon"), ("windowsterminal", "profileTemplate")] {
        let Some(path) = value(section, key) else {
            continue;
        };
        match tree.resolve(path) {
            None => findings.warn(
                format!("{section}.{key} is {path}, which is not in the archive"),
                "",
            ),
            Some(member) if member.size > LARGEST_ICON => findings.warn(
                format!("{section}.{key} is {path}, which has {} bytes", member.size),
                "10 MiB are the most",
            ),
            Some(_) => {}
        }
    }
}

/// `/etc/wsl.conf`, which need not be there.
fn settings(tree: &Tree<'_>, findings: &mut Findings<'_>) {
    let Some(text) = tree.text(SETTINGS, findings) else {
        return;
    };
    let Some(ini) = read(SETTINGS, &text, findings) else {
        return;
    };
    let systemd = ini.get("boot", "systemd").map(|entry| entry.value);
    if systemd.is_some_and(|value| value.eq_ignore_ascii_case("true"))
        && tree.resolve("/sbin/init").is_none()
    {
        findings.warn(
            format!("/{SETTINGS} says boot.systemd=true, and there is no /sbin/init"),
            "install systemd, or leave the setting out",
        );
    }
}

fn read<'a>(name: &'a str, text: &'a str, findings: &mut Findings<'_>) -> Option<Ini<'a>> {
    let ini = ini::read(Source { name, text });
    ini.map_err(|why| findings.warn(format!("/{name} cannot be read: {}", why.message), ""))
        .ok()
}

/// Whom the system knows.
fn accounts(tree: &Tree<'_>, findings: &mut Findings<'_>) {
    let Some(passwd) = tree.text(PASSWD, findings) else {
        return findings.warn(format!("there is no /{PASSWD}"), "WSL looks for root in it");
    };
    let of_root = passwd
        .lines()
        .find(|line| line.split(':').nth(2) == Some("0"));
    if of_root.and_then(|line| line.split(':').next()) != Some("root") {
        findings.warn(format!("in /{PASSWD} the user 0 is not root"), "");
    }
    let shadow = tree.members.get(SHADOW).map(|member| member.text());
    let has_hash = |line: &&str| {
        let hash = line.split(':').nth(1).unwrap_or_default();
        !hash.is_empty() && !hash.starts_with(['!', '*'])
    };
    if let Some(line) = shadow.iter().flat_map(|text| text.lines()).find(has_hash) {
        let who = line.split(':').next().unwrap_or_default();
        findings.warn(
            format!("/{SHADOW} has the hash of a password, that of {who}"),
            "put a `*` there: WSL logs its users in without, and the file goes to everybody",
        );
    }
}

/// Units that do harm there, enabled and not masked.
fn units(tree: &Tree<'_>, findings: &mut Findings<'_>) {
    let mut found: Vec<&str> = Vec::new();
    for name in tree.members.keys() {
        let within = UNITS.iter().find_map(|place| name.strip_prefix(place));
        let Some((by, unit)) = within.and_then(|within| within.split_once('/')) else {
            continue;
        };
        let mask = format!("etc/systemd/system/{unit}");
        let mask = tree.members.get(mask.as_str());
        let is_masked = mask.is_some_and(|mask| mask.link.as_deref() == Some("/dev/null"));
        if by.ends_with(".wants") && MASKED.contains(&unit) && !is_masked && !found.contains(&unit)
        {
            found.push(unit);
        }
    }
    found.sort_unstable();
    for unit in found {
        findings.warn(
            format!("{unit} is enabled, which does harm below WSL"),
            &format!("mask it: link /etc/systemd/system/{unit} to /dev/null"),
        );
    }
}
