//! What a system needs to be one below Windows (WSL 2.4.4 and later), beside its files: Microsoft's "Build a
//! Custom Linux Distribution for WSL", and its recommendations.

use super::facts::Facts;
use crate::image::files::{Bytes, Entry};

/// Whom the first user is.
const FIRST_USER: u32 = 1000;

/// What WSL runs when the first shell is opened, where there is no user yet.
const FIRST_START: &str = "/usr/libexec/wsl-first-start";
const FIRST_START_TEXT: &str = include_str!("wsl-first-start.sh");

/// Units that do harm there, by the same page and by the tool that looks at what is offered in WSL's own list
/// (microsoft/WSL, `distributions/validate-modern.py`); system's and users' alike.
pub const MASKED: [&str; 11] = [
    "NetworkManager.service",
    "networking.service",
    "systemd-networkd-wait-online.service",
    "systemd-networkd.service",
    "systemd-resolved.service",
    "systemd-tmpfiles-clean.service",
    "systemd-tmpfiles-clean.timer",
    "systemd-tmpfiles-setup-dev-early.service",
    "systemd-tmpfiles-setup-dev.service",
    "systemd-tmpfiles-setup.service",
    "tmp.mount",
];

/// A file of its own and its content.
pub type Added = (Entry, Vec<u8>);

/// What is added to the files of a system that is called `name`. What the image has of its own stays.
pub fn added(facts: &Facts, name: &str) -> Vec<Added> {
    let passwd = facts.text("/etc/passwd");
    let is_first = |line: &str| line.split(':').nth(2) == Some(&*FIRST_USER.to_string());
    let has_user = passwd.lines().any(is_first);
    let now = facts.modified;
    let mut added = Vec::new();
    let mut add = |path: &str, mode: u32, text: &str| {
        if !facts.has(path) {
            added.push((
                own(path, mode, now, text.len() as u64),
                text.as_bytes().to_vec(),
            ));
        }
    };
    let command = match has_user {
        true => String::new(),
        false => {
            add(FIRST_START, 0o100_755, FIRST_START_TEXT);
            format!("command = {FIRST_START}\n")
        }
    };
    add(
        "/etc/wsl-distribution.conf",
        0o100_644,
        &format!("[oobe]\n{command}defaultUid = {FIRST_USER}\ndefaultName = {name}\n"),
    );
    let systemd = facts.has("/usr/lib/systemd/systemd");
    add(
        "/etc/wsl.conf",
        0o100_644,
        &format!("[boot]\nsystemd={systemd}\n"),
    );
    for (of, to) in [
        ("system", "/etc/systemd/system"),
        ("user", "/etc/systemd/user"),
    ] {
        for unit in MASKED {
            let path = format!("{to}/{unit}");
            if facts.has(&format!("/usr/lib/systemd/{of}/{unit}")) && !facts.has(&path) {
                let mut link = own(&path, 0o120_777, now, 0);
                link.data = Vec::new();
                link.target = Some(Bytes(b"/dev/null".to_vec()));
                added.push((link, Vec::new()));
            }
        }
    }
    if let Some((shadow, content)) = facts.file("/etc/shadow") {
        let content = without_hashes(&String::from_utf8_lossy(content)).into_bytes();
        let size = content.len() as u64;
        let data = std::iter::once(0..size).collect();
        let shadow = Entry {
            size,
            data,
            ..shadow.clone()
        };
        added.push((shadow, content));
    }
    added
}

/// Passwords that nobody has: WSL logs its users in without.
fn without_hashes(shadow: &str) -> String {
    let lines = shadow.lines().map(|line| {
        let mut fields: Vec<&str> = line.split(':').collect();
        match fields.get_mut(1) {
            Some(hash) if !hash.starts_with(['!', '*']) => *hash = "*",
            _ => {}
        }
        fields.join(":") + "\n"
    });
    lines.collect()
}

/// A file of ours, of root.
fn own(path: &str, mode: u32, modified: i64, size: u64) -> Entry {
    Entry {
        path: Bytes(path.as_bytes().to_vec()),
        mode,
        uid: 0,
        gid: 0,
        modified: (modified, 0),
        size,
        data: std::iter::once(0..size).collect(),
        device: (0, 0),
        attributes: Vec::new(),
        target: None,
        link_to: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_hash_stays() {
        let shadow = "root:$6$a$b:1::::::\nbin:*:1::::::\nx:!!:1::::::\ny::1::::::\n";
        assert_eq!(
            without_hashes(shadow),
            "root:*:1::::::\nbin:*:1::::::\nx:!!:1::::::\ny:*:1::::::\n"
        );
    }
}
