//! `versions.json`: what a failed build used, with versions (`docs/verdict.md`).

use serde::Serialize;

use super::plan::Plan;
use crate::host::{Accel, Versions};
use crate::mirror::{InstallTree, shown};

/// Where a system says what it is (os-release(5)).
const OS_RELEASE: &str = "/etc/os-release";

#[derive(Serialize)]
struct Document<'a> {
    ozr: &'static str,
    libvirt: Option<&'a str>,
    qemu: Option<&'a str>,
    kernel: String,
    os: Option<String>,
    accelerator: String,
    release: String,
    installer: Option<String>,
    tree: Tree,
}

#[derive(Serialize)]
struct Tree {
    url: String,
    name: Option<String>,
    version: Option<String>,
    timestamp: Option<f64>,
}

/// The file.
///
/// # Errors
/// None that is known.
pub fn json(
    plan: &Plan,
    tree: &InstallTree,
    accel: Accel,
    hypervisor: Option<&Versions>,
    installer: Option<&str>,
) -> anyhow::Result<String> {
    let uname = rustix::system::uname();
    let kernel = [uname.sysname(), uname.release(), uname.machine()];
    let info = tree.treeinfo.as_ref();
    let document = Document {
        ozr: env!("CARGO_PKG_VERSION"),
        libvirt: hypervisor.map(|versions| versions.libvirt.as_str()),
        qemu: hypervisor.map(|versions| versions.qemu.as_str()),
        kernel: kernel.map(|part| part.to_string_lossy()).join(" "),
        os: std::fs::read_to_string(OS_RELEASE)
            .ok()
            .as_deref()
            .and_then(pretty_name),
        accelerator: accel.to_string(),
        release: format!("{} {}", plan.release, plan.arch),
        installer: installer.map(str::to_owned),
        tree: Tree {
            url: shown(&tree.url),
            name: info.and_then(|info| info.family.clone()),
            version: info.and_then(|info| info.version.clone()),
            timestamp: info.and_then(|info| info.timestamp),
        },
    };
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

/// What os-release(5) calls fit for people.
fn pretty_name(os_release: &str) -> Option<String> {
    let line = os_release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(line.trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_say_what_they_are() {
        let text = "ID=x\nPRETTY_NAME=\"Standin Linux 9\"\n";
        assert_eq!(pretty_name(text).unwrap(), "Standin Linux 9");
        assert_eq!(pretty_name("ID=x\n"), None);
    }
}
