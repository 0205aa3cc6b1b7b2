//! Sealed images, through the real thing: what was planted is out, nothing else is touched; and what cannot be
//! taken out fails the build. (That they boot is in boot_test.rs, guests.rs and install.rs.)

#![allow(clippy::unwrap_used)]

use crate::support::crafted;
use crate::support::disk::Disk;
use crate::support::site::{Site, bootable, kickstart, run};

/// What a script of the kickstart leaves behind: a file for each item, as builds really do.
const PLANT: &str = "\
    echo 0123456789abcdef0123456789abcdef > /etc/machine-id\n\
    mkdir -p /etc/ssh /var/lib/systemd /var/lib/NetworkManager /var/lib/cloud/instances/i-1 /etc/nvme\n\
    mkdir -p /etc/NetworkManager/system-connections /etc/pki/entitlement /var/lib/dnf /var/cache/dnf/r\n\
    mkdir -p /var/log/journal/0123\n\
    for kind in rsa ecdsa ed25519; do echo secret > /etc/ssh/ssh_host_${kind}_key; done\n\
    for file in /var/lib/systemd/random-seed /var/lib/systemd/credential.secret /etc/machine-info \\\n\
        /var/lib/NetworkManager/secret_key /var/lib/cloud/instances/i-1/user-data /etc/nvme/hostid \\\n\
        /etc/pki/entitlement/1.pem /var/log/wtmp /var/log/journal/0123/system.journal \\\n\
        /var/lib/dnf/history.sqlite /var/cache/dnf/r/repomd.xml /tmp/.hidden /root/.bash_history; do\n\
        echo secret > $file\n\
    done\n\
    printf '[connection]\\nid=lan\\nuuid=0a-1b\\n[ethernet]\\nmac-address=52:54:00:12:34:56\\n' \\\n\
        > /etc/NetworkManager/system-connections/lan.nmconnection\n\
    chmod 600 /etc/NetworkManager/system-connections/lan.nmconnection\n\
    echo mine > /etc/motd\n";

/// The items of the seal that [`PLANT`] leaves something of; the installer itself leaves `installer`.
const PLANTED: [&str; 14] = [
    "cloud-init",
    "credential-secret",
    "installer",
    "logs",
    "machine-id",
    "machine-info",
    "network",
    "package-cache",
    "package-history",
    "random-seed",
    "shell-history",
    "ssh-host-keys",
    "storage-ids",
    "subscription",
];

#[test]
fn a_sealed_image_holds_nothing_of_its_build() {
    let Some(site) = Site::new("sealed") else {
        return;
    };
    let text = kickstart(&format!("%post --erroronfail\nset -e\n{PLANT}%end\n"));
    let mut command = site.install(&text);
    command.args(["--seal", "--seal-except", "shell-history"]);
    let outcome = run(command);
    outcome.assert_done();
    let disk = Disk::open(&site.output("qcow2"));
    assert_eq!(disk.text("/etc/machine-id"), "");
    for gone in [
        "/etc/ssh/ssh_host_rsa_key",
        "/etc/ssh/ssh_host_ecdsa_key",
        "/etc/ssh/ssh_host_ed25519_key",
        "/var/lib/systemd/random-seed",
        "/var/lib/systemd/credential.secret",
        "/etc/machine-info",
        "/var/lib/NetworkManager/secret_key",
        "/var/lib/cloud/instances/i-1",
        "/etc/nvme/hostid",
        "/etc/pki/entitlement/1.pem",
        "/var/log/journal/0123",
        "/var/lib/dnf/history.sqlite",
        "/var/cache/dnf/r",
        "/tmp/.hidden",
        // The installer writes these when every script is done.
        "/root/anaconda-ks.cfg",
        "/root/original-ks.cfg",
        "/var/log/anaconda",
    ] {
        assert!(!disk.exists(gone), "{gone} is there");
    }
    assert_eq!(disk.text("/var/log/wtmp"), "");
    let profile = "/etc/NetworkManager/system-connections/lan.nmconnection";
    assert_eq!(disk.text(profile), "[connection]\nid=lan\n[ethernet]\n");
    assert!(
        disk.stat(profile).contains("Mode:  0600"),
        "{}",
        disk.stat(profile)
    );
    // What is left is what was wanted.
    assert_eq!(disk.text("/root/.bash_history"), "secret\n");
    assert_eq!(disk.text("/etc/motd"), "mine\n");
    assert_eq!(disk.text("/etc/hostname"), "test.example.com\n");
    let manifest = std::fs::read_to_string(site.output("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let seal = &manifest["seal"];
    assert_eq!(
        seal["left"],
        serde_json::json!(["hostname", "shell-history"])
    );
    assert!(seal["unproved"].is_null(), "{seal}");
    let items: Vec<&str> = seal["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|item| item.as_str())
        .collect();
    for item in PLANTED {
        assert_eq!(items.contains(&item), item != "shell-history", "{item}");
    }
}

#[test]
#[ignore = "long"]
fn what_cannot_be_taken_out_fails_the_build() {
    if crate::support::is_left_out() {
        return;
    }
    let Some(site) = Site::new("sabotaged") else {
        return;
    };
    // Files that nobody can change or remove; of the installer's, a directory that it writes to later.
    let sabotage = "mkdir -p /var/log/anaconda; echo x > /var/log/anaconda/x\n\
        for file in /etc/machine-id /etc/ssh/ssh_host_rsa_key /var/lib/systemd/random-seed \\\n\
            /var/lib/systemd/credential.secret /etc/machine-info /var/lib/NetworkManager/secret_key \\\n\
            /var/lib/cloud/instances/i-1/user-data /etc/nvme/hostid /etc/pki/entitlement/1.pem /var/log/wtmp \\\n\
            /var/log/anaconda/x /var/lib/dnf/history.sqlite /var/cache/dnf/r/repomd.xml /root/.bash_history; do\n\
            chattr +i $file\n\
        done\n";
    let text = bootable(&format!(
        "%post --erroronfail\nset -e\n{PLANT}{sabotage}%end\n"
    ));
    let mut command = site.install(&text);
    command.arg("--seal");
    let outcome = run(command);
    assert_eq!(outcome.status, 1, "{}", outcome.stderr);
    assert!(
        !site.output("qcow2").exists(),
        "an image that is not sealed was published"
    );
    let verdict = std::fs::read_to_string(site.output("failed").join("verdict.json")).unwrap();
    let verdict: serde_json::Value = serde_json::from_str(&verdict).unwrap();
    assert_eq!(verdict["cause"], "seal-failed");
    let sentence = verdict["sentence"].as_str().unwrap();
    assert!(
        sentence.starts_with("the image is not sealed: "),
        "{sentence}"
    );
    assert!(sentence.contains("--seal-except machine-id"), "{sentence}");
    let seen = verdict["seen"].to_string();
    for item in PLANTED {
        assert!(
            seen.contains(&format!("({item})")),
            "{item} is not named in {seen}"
        );
    }
}

#[test]
#[ignore = "long"]
fn what_the_guest_finds_no_system_on_cannot_be_sealed() {
    if crate::support::is_left_out() {
        return;
    }
    let Some(site) = crafted::site("unsealable", crafted::INSTALL) else {
        return;
    };
    // It installs no system.
    let mut command = site.install(&kickstart(""));
    command.arg("--seal");
    let outcome = run(command);
    assert_eq!(outcome.status, 1, "{}", outcome.stderr);
    let said =
        "the image could not be sealed: no installed system was found on the disk; use --no-seal";
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
}
