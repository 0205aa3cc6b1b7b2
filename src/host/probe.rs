//! What this host has and lacks for running guests, for `ozr doctor`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::accel::KvmFacts;
use crate::distro::Arch;

/// Where firmware descriptors lie, the first found under a name standing (QEMU's
/// `docs/interop/firmware.json`).
const FIRMWARE_DIRECTORIES: [&str; 2] = ["/etc/qemu/firmware", "/usr/share/qemu/firmware"];
/// Where RHEL keeps the QEMU that it supports, which is not in the search path.
const RHEL_QEMU: &str = "/usr/libexec/qemu-kvm";

/// Facts about this host.
#[derive(Debug, Clone)]
pub struct Probe {
    /// QEMU's program for the asked architecture.
    pub qemu: Option<PathBuf>,
    /// Descriptors of UEFI firmware that libvirt can choose for unsigned kernels.
    pub uefi: Vec<PathBuf>,
    /// Whether that QEMU has user networking (SLIRP); RHEL's has not.
    pub user_network: bool,
    /// What KVM can do.
    pub kvm: KvmFacts,
    /// CPUs that this process may use.
    pub cpus: usize,
    /// Memory in MiB: all, and what new programs can have.
    pub memory_mib: Option<(u64, u64)>,
}

impl Probe {
    /// Looks at this host, without libvirt. Takes milliseconds.
    pub fn take(arch: Arch) -> Self {
        let qemu = find_qemu(arch);
        Probe {
            user_network: qemu.as_deref().is_some_and(has_user_network),
            qemu,
            uefi: find_uefi(arch),
            kvm: KvmFacts::probe(),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: fs::read_to_string("/proc/meminfo")
                .ok()
                .and_then(|text| memory(&text)),
        }
    }
}

fn find_qemu(arch: Arch) -> Option<PathBuf> {
    let name = format!(
        "qemu-system-{}",
        match arch {
            Arch::I386 => "i386",
            Arch::Armv7l => "arm",
            // One program for both byte orders.
            Arch::Ppc64 | Arch::Ppc64le => "ppc64",
            other => other.name(),
        }
    );
    let native = arch.name() == env::consts::ARCH;
    env::split_paths(&env::var_os("PATH").unwrap_or_default())
        .map(|directory| directory.join(&name))
        .chain(native.then(|| PathBuf::from(RHEL_QEMU)))
        .find(|path| path.is_file())
}

/// QEMU lists the kinds of networks that it was built with, a line each. One that cannot be asked
/// is taken to have it: libvirt will tell.
fn has_user_network(qemu: &Path) -> bool {
    let output = Command::new(qemu)
        .args(["-machine", "none", "-netdev", "help"])
        .output();
    output.map_or(true, |output| {
        !output.status.success()
            || output
                .stdout
                .split(|byte| *byte == b'\n')
                .any(|line| line == b"user")
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Descriptor {
    interface_types: Vec<String>,
    targets: Vec<Target>,
    #[serde(default)]
    features: Vec<String>,
}

#[derive(Deserialize)]
struct Target {
    architecture: String,
}

/// Whether a descriptor is of firmware that starts kernels signed by nobody.
fn suits(descriptor: &str, arch: Arch) -> bool {
    let Ok(descriptor) = serde_json::from_str::<Descriptor>(descriptor) else {
        return false;
    };
    let has = |feature: &str| descriptor.features.iter().any(|other| other == feature);
    descriptor.interface_types.iter().any(|kind| kind == "uefi")
        && descriptor
            .targets
            .iter()
            .any(|target| target.architecture == arch.libvirt_name())
        && !has("enrolled-keys")
        && !has("secure-boot")
}

fn find_uefi(arch: Arch) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = FIRMWARE_DIRECTORIES
        .iter()
        .filter_map(|directory| fs::read_dir(Path::new(directory)).ok())
        .flat_map(|entries| entries.flatten())
        .map(|entry| entry.path())
        .filter(|path| fs::read_to_string(path).is_ok_and(|text| suits(&text, arch)))
        .collect();
    found.sort();
    found
}

/// Total and available memory in MiB, from `/proc/meminfo`.
fn memory(text: &str) -> Option<(u64, u64)> {
    /// The file counts in KiB.
    const KIB_PER_MIB: u64 = 1024;
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        let kib: u64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
        Some(kib / KIB_PER_MIB)
    };
    Some((field("MemTotal:")?, field("MemAvailable:")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_counted_in_mebibytes() {
        let text = "MemTotal:       2048000 kB\nMemFree: 1 kB\nMemAvailable:    1024000 kB\n";
        assert_eq!(memory(text), Some((2000, 1000)));
        assert_eq!(memory("MemTotal: x kB"), None);
    }

    #[test]
    fn only_firmware_without_enforced_signatures_suits() {
        let descriptor = |arch: &str, kind: &str, features: &str| {
            format!(
                r#"{{"interface-types":["{kind}"],"targets":[{{"architecture":"{arch}","machines":["pc-q35-*"]}}],"features":[{features}]}}"#
            )
        };
        let cases = [
            (descriptor("x86_64", "uefi", r#""acpi-s3""#), true),
            (descriptor("aarch64", "uefi", ""), false),
            (descriptor("x86_64", "bios", ""), false),
            (descriptor("x86_64", "uefi", r#""secure-boot""#), false),
            ("{".to_owned(), false),
        ];
        for (text, want) in cases {
            assert_eq!(suits(&text, Arch::X86_64), want, "{text}");
        }
    }

    #[test]
    fn this_host_has_cpus_and_memory() {
        let probe = Probe::take(Arch::X86_64);
        let (total, available) = probe.memory_mib.unwrap();
        assert!(probe.cpus >= 1 && total >= available && available > 0);
    }
}
