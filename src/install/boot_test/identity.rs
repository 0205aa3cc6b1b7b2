//! What a machine has made for itself at its first boot, read from the overlay of a clone that was shut
//! down: no two machines may have any of it in common.

use std::path::Path;

use serde::Serialize;

use super::dhcp::ClientIds;
use crate::hex;
use crate::image::look::{Answer, Entry, Request, look};
use crate::image::reader::{Image, OWN_PROGRAM};

/// Most bytes of a file that holds an identity. A host key has some hundred, a lease some thousand.
const MOST_BYTES: u64 = 64 << 10;

/// Where OpenSSH keeps host keys; the public ones name the private.
const SSH: &str = "/etc/ssh";

/// Where DHCP clients keep their identifiers: NetworkManager's secret for them, and the leases of
/// dhclient (RHEL 7), in which `default-duid` stands.
const NETWORK_MANAGER: &str = "/var/lib/NetworkManager";
const DHCLIENT: &str = "/var/lib/dhclient";

/// The machine's id, of which systemd and NetworkManager also make DHCP identifiers.
const MACHINE_ID: &str = "/etc/machine-id";

/// Single files that hold something of one machine, and what it is called.
const FILES: [(&str, &str); 6] = [
    (MACHINE_ID, "machine-id"),
    ("/var/lib/dbus/machine-id", "D-Bus machine-id"),
    ("/var/lib/systemd/random-seed", "random seed"),
    (
        "/var/lib/systemd/credential.secret",
        "secret of systemd's credentials",
    ),
    ("/etc/iscsi/initiatorname.iscsi", "iSCSI initiator name"),
    ("/etc/nvme/hostid", "NVMe host id"),
];

/// Where a boot's id stands in a journal (systemd's `journal-def.h`: `tail_entry_boot_id`), behind its
/// magic.
const JOURNAL_MAGIC: &[u8] = b"LPKSHHRH";
const BOOT_ID: std::ops::Range<usize> = 56..72;

/// Largest journal that is read, in bytes: a new one has 8 MiB.
const MOST_JOURNAL: u64 = 32 << 20;

/// What a clone has made for itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Identities {
    /// Each, by what it is called; secrets as digests.
    pub found: Vec<Identity>,
    /// What could not be read, and why.
    pub unknown: Vec<String>,
    /// The journal of the boot, as it was written to the disk.
    #[serde(skip)]
    pub journal: Option<Vec<u8>>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// What it is called: `machine-id`, `SSH host key ssh_host_rsa_key.pub`.
    pub name: String,
    /// The value, or the SHA-256 of it.
    pub value: String,
}

/// What came of comparing one identity of all clones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Likeness {
    /// What was compared.
    pub name: String,
    /// Whether every clone has another; none if that cannot be told.
    pub differs: Option<bool>,
    /// What was found.
    pub found: String,
}

/// Reads the identities in the overlays of a boot.
///
/// # Errors
/// They hold no system that can be read.
pub async fn read(images: &[Image<'_>]) -> anyhow::Result<Identities> {
    let program = Path::new(OWN_PROGRAM);
    let mut requests: Vec<Request> = FILES.iter().map(|(path, _)| whole(path)).collect();
    requests.extend([SSH, NETWORK_MANAGER, DHCLIENT].map(|dir| Request::List(dir.into())));
    let answers = look(program, images, requests).await?;
    let mut identities = Identities::default();
    let mut machine_id = None;
    for ((path, name), answer) in FILES.iter().zip(&answers) {
        match answer {
            Answer::Content(content) => {
                let value = identities.add(name, content);
                if *path == MACHINE_ID {
                    machine_id = value;
                }
            }
            Answer::Unknown(why) => identities.unknown.push(format!("{name}: {why}")),
            _ => {}
        }
    }
    let mut more = Vec::new();
    for (dir, answer) in [SSH, NETWORK_MANAGER, DHCLIENT]
        .iter()
        .zip(&answers[FILES.len()..])
    {
        match answer {
            Answer::Entries(entries) => {
                more.extend(entries.iter().filter_map(|entry| of_entry(dir, entry)))
            }
            Answer::Unknown(why) => identities.unknown.push(format!("{dir}: {why}")),
            _ => {}
        }
    }
    let mut requests: Vec<Request> = more.iter().map(|(path, _)| whole(path)).collect();
    if let Some(id) = &machine_id {
        requests.push(Request::Read {
            path: format!("/var/log/journal/{id}/system.journal").into(),
            most: MOST_JOURNAL,
        });
    }
    let answers = look(program, images, requests).await?;
    for ((_, name), answer) in more.iter().zip(&answers) {
        match answer {
            Answer::Content(content) => drop(identities.add(name, content)),
            Answer::Unknown(why) => identities.unknown.push(format!("{name}: {why}")),
            _ => {}
        }
    }
    match answers.into_iter().nth(more.len()) {
        Some(Answer::Content(journal)) => identities.add_journal(journal),
        Some(Answer::Unknown(why)) => identities.unknown.push(format!("journal: {why}")),
        _ => {}
    }
    Ok(identities)
}

fn whole(path: impl AsRef<Path>) -> Request {
    Request::Read {
        path: path.as_ref().to_path_buf(),
        most: MOST_BYTES,
    }
}

/// The path of an entry that holds an identity, and what it is called.
fn of_entry(dir: &str, entry: &Entry) -> Option<(String, String)> {
    let name = entry.path.as_str();
    let what = match dir {
        SSH if name.starts_with("ssh_host_") && name.ends_with(".pub") => "SSH host key",
        NETWORK_MANAGER if name == "secret_key" => "DHCP and IPv6 secret",
        NETWORK_MANAGER | DHCLIENT if name.contains("dhclient") => "DHCP client identifier in",
        _ => return None,
    };
    let shown = match what {
        "DHCP and IPv6 secret" => "DHCP and IPv6 secret of NetworkManager".to_owned(),
        what => format!("{what} {}", name.trim_end_matches(".pub")),
    };
    Some((format!("{dir}/{name}"), shown))
}

impl Identities {
    /// Adds what a file holds; the text, where it is one that names rather than proves. Empty files hold
    /// nothing yet.
    fn add(&mut self, name: &str, content: &[u8]) -> Option<String> {
        let text = String::from_utf8_lossy(content);
        let value = if name.starts_with("DHCP client") {
            let mut duids = text.lines().filter(|line| line.contains("-duid "));
            duids.next()?.trim().to_owned()
        } else if name.starts_with("SSH host key") {
            // The last word is a remark: the host's name.
            text.split_whitespace()
                .take(2)
                .collect::<Vec<_>>()
                .join(" ")
        } else if ["seed", "secret", "Secret"]
            .iter()
            .any(|word| name.contains(word))
        {
            format!("sha256:{}", hex::sha256(content))
        } else {
            text.trim().to_owned()
        };
        if content.is_empty() || value.is_empty() || value == "uninitialized" {
            return None;
        }
        self.found.push(Identity {
            name: name.to_owned(),
            value: value.clone(),
        });
        Some(value)
    }

    /// Adds what the guest called itself to DHCP servers.
    pub fn add_dhcp(&mut self, ids: ClientIds) {
        let named = [("DHCP identity", ids.v4), ("DHCPv6 identity", ids.v6)];
        let found = named.into_iter().filter_map(|(name, value)| {
            value.map(|value| Identity {
                name: name.to_owned(),
                value,
            })
        });
        self.found.extend(found);
    }

    fn add_journal(&mut self, journal: Vec<u8>) {
        if let Some(id) = journal
            .get(BOOT_ID)
            .filter(|_| journal.starts_with(JOURNAL_MAGIC))
        {
            let value: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
            self.found.push(Identity {
                name: "boot id".to_owned(),
                value,
            });
        }
        self.journal = Some(journal);
    }

    fn value(&self, name: &str) -> Option<&str> {
        let mut found = self.found.iter();
        found
            .find(|one| one.name == name)
            .map(|one| one.value.as_str())
    }
}

/// Compares the identities of clones. Each host key is compared by itself.
pub fn compare(clones: &[&Identities]) -> Vec<Likeness> {
    let mut names: Vec<&str> = Vec::new();
    for identity in clones.iter().flat_map(|clone| &clone.found) {
        if !names.contains(&identity.name.as_str()) {
            names.push(&identity.name);
        }
    }
    let mut compared: Vec<Likeness> = names.iter().map(|name| likeness(name, clones)).collect();
    // What must be there, and is not, is said: it has not passed.
    for (wanted, kind) in [
        ("machine-id", "no clone has an id in /etc/machine-id"),
        (
            "SSH host key",
            "no clone has made host keys: there is no sshd in the image, or it did not start",
        ),
        (
            "DHCP identity",
            "no clone asked a DHCP server, or its packets were not seen (only with user networking, and where QEMU runs as the user)",
        ),
        (
            "boot id",
            "no journal on the disk names it; the kernel draws it anew at each boot",
        ),
    ] {
        if !names.iter().any(|name| name.starts_with(wanted)) {
            compared.push(Likeness {
                name: wanted.to_owned(),
                differs: None,
                found: kind.to_owned(),
            });
        }
    }
    compared
}

fn likeness(name: &str, clones: &[&Identities]) -> Likeness {
    let values: Vec<Option<&str>> = clones.iter().map(|clone| clone.value(name)).collect();
    let there: Vec<&str> = values.iter().copied().flatten().collect();
    let mut distinct = there.clone();
    distinct.sort_unstable();
    distinct.dedup();
    let (differs, found) = if distinct.len() < there.len() {
        (
            Some(false),
            format!("the same in two clones: {}", shortened(there[0])),
        )
    } else if there.len() < values.len() {
        (
            None,
            format!("only {} of {} clones have one", there.len(), values.len()),
        )
    } else {
        let shown: Vec<String> = there.iter().map(|value| shortened(value)).collect();
        (Some(true), shown.join(" / "))
    };
    Likeness {
        name: name.to_owned(),
        differs,
        found,
    }
}

/// The end of a value, which tells it from others: keys begin alike.
fn shortened(value: &str) -> String {
    const SHOWN: usize = 40;
    let count = value.chars().count();
    match count > SHOWN {
        true => format!("…{}", value.chars().skip(count - SHOWN).collect::<String>()),
        false => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clone(values: &[(&str, &str)]) -> Identities {
        let mut identities = Identities::default();
        for (name, value) in values {
            identities.add(name, value.as_bytes());
        }
        identities
    }

    fn differs(one: &[(&str, &str)], other: &[(&str, &str)], name: &str) -> Option<Option<bool>> {
        let (one, other) = (clone(one), clone(other));
        let compared = compare(&[&one, &other]);
        let found = compared.iter().find(|likeness| likeness.name == name);
        found.map(|likeness| likeness.differs)
    }

    #[test]
    fn each_identity_is_compared_by_itself() {
        let rsa = "SSH host key ssh_host_rsa_key";
        let ed = "SSH host key ssh_host_ed25519_key";
        let one = [
            ("machine-id", "a\n"),
            (rsa, "ssh-rsa AAAA one@a"),
            (ed, "ssh-ed25519 BBBB x"),
        ];
        let other = [
            ("machine-id", "b\n"),
            (rsa, "ssh-rsa AAAA two@b"),
            (ed, "ssh-ed25519 CCCC x"),
        ];
        assert_eq!(differs(&one, &other, "machine-id"), Some(Some(true)));
        // The remark behind a key does not make it another.
        assert_eq!(differs(&one, &other, rsa), Some(Some(false)));
        assert_eq!(differs(&one, &other, ed), Some(Some(true)));
    }

    #[test]
    fn what_is_not_there_has_not_passed() {
        let one = [("machine-id", "a")];
        assert_eq!(
            differs(&one, &[("machine-id", "uninitialized\n")], "machine-id"),
            Some(None)
        );
        assert_eq!(differs(&[], &[], "machine-id"), Some(None));
        assert_eq!(differs(&one, &one, "SSH host key"), Some(None));
        assert_eq!(differs(&one, &one, "boot id"), Some(None));
        assert_eq!(differs(&one, &one, "machine-id"), Some(Some(false)));
    }

    #[test]
    fn secrets_are_digests_and_duids_are_picked_out() {
        let found = clone(&[
            ("random seed", "s3cret"),
            (
                "DHCP client identifier in dhclient6-eth0.leases",
                "lease {\n}\ndefault-duid \"\\000\\001\";\n",
            ),
        ]);
        assert!(found.found[0].value.starts_with("sha256:"), "{found:?}");
        assert_eq!(found.found[1].value, "default-duid \"\\000\\001\";");
    }

    #[test]
    fn a_journal_names_its_boot() {
        let mut journal = JOURNAL_MAGIC.to_vec();
        journal.resize(BOOT_ID.start, 0);
        journal.extend([0xab; 16]);
        journal.resize(200, 0);
        let mut found = Identities::default();
        found.add_journal(journal);
        assert_eq!(found.value("boot id"), Some("ab".repeat(16).as_str()));
    }
}
