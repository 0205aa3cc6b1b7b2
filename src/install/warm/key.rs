//! By what a saved installer is found again: everything that makes it what it is, and that QEMU would not notice to be
//! another when it loads the state.

use std::collections::BTreeMap;
use std::path::PathBuf;

use url::Url;

use super::LOADER;
use crate::host::{self, Accel, DirectBoot, DomainSpec, Host};
use crate::install::attempt::Attempt;
use crate::install::guest;
use crate::machine::{Board, Firmware};
use crate::mirror::{Mirror, join, public};

/// What takes the place of the tree's address on a command line: the address of our server has another port each time.
const SOME_TREE: &str = "http://tree.invalid/";

/// What anaconda's initramfs lays over stage 2, if a tree has it (dracut/anaconda-lib.sh, `anaconda_net_root`), and the
/// most bytes of it.
const UPDATES: [&str; 2] = ["images/updates.img", "images/product.img"];
const MAX_UPDATES: u64 = 256 << 20;

/// What a key is made of, by name.
pub(super) type Parts = BTreeMap<String, String>;

/// The key: one digest of all.
pub(super) fn of(parts: &Parts) -> String {
    let all = parts.iter();
    let all: String = all
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect();
    crate::hex::sha256(all)
}

/// The parts by which two keys differ.
pub(super) fn differences<'a>(one: &'a Parts, other: &'a Parts) -> Vec<&'a str> {
    let names = one.keys().chain(other.keys());
    let mut names: Vec<&str> = names
        .filter(|name| one.get(*name) != other.get(*name))
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The parts of the state that an attempt could load; or why there can be none: one clause.
pub(super) async fn parts(attempt: &Attempt<'_>) -> Result<Parts, String> {
    let (plan, prepared) = (attempt.plan, &attempt.prepared);
    let Some(tree) = &plan.tree else {
        return Err("the installer comes from no tree".to_owned());
    };
    let treeinfo = prepared.tree.treeinfo.as_ref();
    let checksum = |path: &str| treeinfo?.checksum(path).map(ToString::to_string);
    let stage2 = checksum(&prepared.tree.stage2_path).ok_or(
        "the tree's .treeinfo has no checksum of the installer's second stage, by which a saved one would be known",
    )?;
    let mut updates = String::new();
    for path in UPDATES {
        let sum = match checksum(path) {
            Some(sum) => sum,
            None => digest(&prepared.mirror, tree, path).await?,
        };
        updates.push_str(&format!("{path} {sum}; "));
    }
    let some_tree = Url::parse(SOME_TREE).map_err(|error| error.to_string())?;
    let spec = guest::saved_domain(plan, attempt.place, prepared, &some_tree, PathBuf::new());
    let spec = spec.map_err(|error| format!("{error:#}"))?;
    let cmdline = spec.boot.as_ref().map(|boot| boot.cmdline.clone());
    let ask = || fingerprint(&prepared.host, &spec);
    let qemu = tokio::task::block_in_place(ask).map_err(|error| format!("{error:#}"))?;
    let parts = [
        ("ozr", env!("CARGO_PKG_VERSION").to_owned()),
        ("loader", crate::hex::sha256(LOADER)),
        ("tree", public(tree).to_string()),
        ("kernel", prepared.tree.kernel.sha256.clone()),
        ("initrd", prepared.tree.initrd.sha256.clone()),
        ("second stage", stage2),
        ("updates", updates),
        ("command line", cmdline.unwrap_or_default()),
        ("QEMU", qemu),
        ("accelerator", spec.accel.to_string()),
        ("CPUs", spec.vcpus.to_string()),
        ("memory", spec.memory_mib.to_string()),
        ("firmware", format!("{:?} {:?}", spec.firmware, spec.board)),
        ("MAC address", spec.mac.to_string()),
        ("devices", crate::hex::sha256(devices(&spec))),
        ("host", host_facts()),
    ];
    let parts = parts.map(|(name, value)| (name.to_owned(), value));
    Ok(parts.into_iter().collect())
}

/// The digest of a file of the tree, or that there is none.
async fn digest(mirror: &Mirror, tree: &Url, path: &str) -> Result<String, String> {
    match mirror.fetch_if_there(&join(tree, path), MAX_UPDATES).await {
        Ok(Some(bytes)) => Ok(crate::hex::sha256(bytes)),
        Ok(None) => Ok("none".to_owned()),
        Err(error) => Err(format!("looking for the tree's {path}: {error:#}")),
    }
}

fn fingerprint(host: &Host, spec: &DomainSpec) -> anyhow::Result<String> {
    host.fingerprint(spec.arch, spec.accel)
        .map(crate::hex::sha256)
}

/// All else that the guest is made of: what the domain is, but for what is another in each build.
fn devices(spec: &DomainSpec) -> String {
    let mut spec = spec.clone();
    spec.name.clear();
    spec.title.clear();
    spec.build_id.clear();
    spec.console_log = PathBuf::new();
    spec.boot = Some(DirectBoot {
        kernel: PathBuf::new(),
        initrd: PathBuf::new(),
        cmdline: String::new(),
    });
    // These have parts of their own.
    (spec.vcpus, spec.memory_mib) = (0, 0);
    (spec.accel, spec.firmware) = (Accel::Tcg, Firmware::Bios);
    spec.board = Board::default();
    if let Ok(mac) = guest::SAVED_MAC.parse() {
        spec.mac = mac;
    }
    // They are plugged in later: of them only the bus is in the state.
    spec.disk.path = PathBuf::new();
    spec.more_disks.clear();
    format!(
        "{spec:?} {:?} {}",
        host::user_network(),
        host::HANDOVER_PORT
    )
}

/// The host's CPU and kernel.
fn host_facts() -> String {
    /// What changes while it runs.
    const CHANGING: [&str; 3] = ["cpu MHz", "bogomips", "BogoMIPS"];
    let kernel = std::fs::read_to_string("/proc/version").unwrap_or_default();
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let first = cpus.split("\n\n").next().unwrap_or_default();
    let lines = first.lines();
    let lines = lines.filter(|line| !CHANGING.iter().any(|name| line.starts_with(name)));
    let facts: String = lines.map(|line| format!("{line}\n")).collect();
    crate::hex::sha256(kernel + &facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_makes_another_key_and_is_named() {
        let names = ["kernel", "memory", "host"];
        let parts: Parts = names
            .map(|name| (name.to_owned(), "1".to_owned()))
            .into_iter()
            .collect();
        assert_eq!(of(&parts), of(&parts.clone()));
        for name in names {
            let mut other = parts.clone();
            other.insert(name.to_owned(), "2".to_owned());
            assert_ne!(of(&other), of(&parts), "{name}");
            assert_eq!(differences(&parts, &other), [name]);
            other.remove(name);
            assert_ne!(of(&other), of(&parts), "{name}");
        }
    }
}
