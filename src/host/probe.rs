//! What this host has and lacks for running guests (`ozr doctor`), and which accelerator runs their
//! CPUs.

use std::env;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::distro::Arch;
use crate::error::{Kind, fail};
use crate::machine::AccelChoice;

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
    /// Descriptors of UEFI firmware that has keys and starts what they have signed alone.
    pub secure_boot: Vec<PathBuf>,
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
            uefi: find_uefi(arch, false),
            secure_boot: find_uefi(arch, true),
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

/// Whether a descriptor is of firmware that starts what is `signed` alone, or of one that starts kernels signed by
/// nobody.
fn suits(descriptor: &str, arch: Arch, signed: bool) -> bool {
    let Ok(descriptor) = serde_json::from_str::<Descriptor>(descriptor) else {
        return false;
    };
    let has = |feature: &str| descriptor.features.iter().any(|other| other == feature);
    descriptor.interface_types.iter().any(|kind| kind == "uefi")
        && descriptor
            .targets
            .iter()
            .any(|target| target.architecture == arch.libvirt_name())
        && has("enrolled-keys") == signed
        && has("secure-boot") == signed
}

fn find_uefi(arch: Arch, signed: bool) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = FIRMWARE_DIRECTORIES
        .iter()
        .filter_map(|directory| fs::read_dir(Path::new(directory)).ok())
        .flat_map(|entries| entries.flatten())
        .map(|entry| entry.path())
        .filter(|path| fs::read_to_string(path).is_ok_and(|text| suits(&text, arch, signed)))
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

/// The device through which programs use KVM.
const KVM_DEVICE: &str = "/dev/kvm";

/// What runs the guest's CPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "lowercase")]
pub enum Accel {
    /// The host's CPU, through KVM.
    Kvm,
    /// QEMU's software emulation (TCG), five to twenty times slower.
    Tcg,
}

impl Accel {
    /// The `type` of a libvirt domain.
    pub fn domain_type(self) -> &'static str {
        match self {
            Accel::Kvm => "kvm",
            Accel::Tcg => "qemu",
        }
    }
}

/// What was found out about KVM. Every `Err` is a reason in words, for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvmFacts {
    /// The architecture of the host's CPUs, as the kernel names it.
    pub host_arch: String,
    /// Whether the CPU offers virtualisation to this operating system. `/dev/kvm` may exist and
    /// open without it (nested guests, some sandboxes) and then runs no operating system.
    pub cpu: Result<(), String>,
    /// Whether whoever starts QEMU may use KVM.
    pub device: Result<(), String>,
}

impl KvmFacts {
    /// Asks this host, for a QEMU that runs as this user.
    pub fn probe() -> Self {
        KvmFacts {
            host_arch: std::env::consts::ARCH.to_owned(),
            cpu: cpu_flag(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default()),
            device: usable_device(Path::new(KVM_DEVICE)),
        }
    }

    /// Why KVM cannot run a guest of `arch` here, or nothing if it can.
    pub fn obstacle(&self, arch: Arch) -> Option<String> {
        let same = match arch {
            Arch::I386 => matches!(self.host_arch.as_str(), "x86" | "x86_64" | "i686"),
            Arch::Armv7l => self.host_arch == "arm",
            // Rust names both byte orders `powerpc64`.
            Arch::Ppc64 | Arch::Ppc64le => self.host_arch == "powerpc64",
            other => self.host_arch == other.name(),
        };
        if !same {
            return Some(format!(
                "the guest is {arch} and this host is {}",
                self.host_arch
            ));
        }
        self.cpu.clone().and_then(|()| self.device.clone()).err()
    }
}

/// Looks for the virtualisation flag of x86 CPUs; on other architectures the device alone tells.
fn cpu_flag(cpuinfo: &str) -> Result<(), String> {
    if !cfg!(any(target_arch = "x86", target_arch = "x86_64")) {
        return Ok(());
    }
    let found = cpuinfo
        .lines()
        .filter(|line| line.starts_with("flags"))
        .flat_map(str::split_ascii_whitespace)
        .any(|flag| flag == "vmx" || flag == "svm");
    if found {
        Ok(())
    } else {
        Err("the CPU offers no virtualisation (no vmx or svm flag in /proc/cpuinfo)".to_owned())
    }
}

fn usable_device(path: &Path) -> Result<(), String> {
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(format!(
            "{} does not exist (is the kvm module loaded?)",
            path.display()
        )),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Err(format!(
            "{} may not be opened by this user (add the user to the group `kvm`)",
            path.display()
        )),
        Err(error) => Err(format!("{} cannot be opened: {error}", path.display())),
    }
}

/// Chooses the accelerator for a guest of `arch`, with one line for the user where it is software
/// emulation and KVM was hoped for.
///
/// # Errors
/// [`Kind::Host`] when KVM was demanded and cannot run the guest.
pub fn choose(
    choice: AccelChoice,
    facts: &KvmFacts,
    arch: Arch,
) -> anyhow::Result<(Accel, Option<String>)> {
    match (choice, facts.obstacle(arch)) {
        (AccelChoice::Tcg, _) => Ok((Accel::Tcg, None)),
        (_, None) => Ok((Accel::Kvm, None)),
        (AccelChoice::Auto, Some(why)) => {
            let slow = "using software emulation, which is many times slower than KVM";
            Ok((Accel::Tcg, Some(format!("{slow}: {why}"))))
        }
        (AccelChoice::Kvm, Some(why)) => fail!(
            Kind::Host,
            "KVM cannot run this guest: {why}; use --accel auto or --accel tcg"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::kind_of;

    #[test]
    fn memory_is_counted_in_mebibytes() {
        let text = "MemTotal:       2048000 kB\nMemFree: 1 kB\nMemAvailable:    1024000 kB\n";
        assert_eq!(memory(text), Some((2000, 1000)));
        assert_eq!(memory("MemTotal: x kB"), None);
    }

    #[test]
    fn firmware_suits_by_whether_it_enforces_signatures() {
        let descriptor = |arch: &str, kind: &str, features: &str| {
            format!(
                r#"{{"interface-types":["{kind}"],"targets":[{{"architecture":"{arch}","machines":["pc-q35-*"]}}],"features":[{features}]}}"#
            )
        };
        let keys = r#""secure-boot","enrolled-keys""#;
        let cases = [
            (descriptor("x86_64", "uefi", r#""acpi-s3""#), true, false),
            (descriptor("aarch64", "uefi", ""), false, false),
            (descriptor("x86_64", "bios", ""), false, false),
            // Nobody's keys are in it: it suits neither.
            (
                descriptor("x86_64", "uefi", r#""secure-boot""#),
                false,
                false,
            ),
            (descriptor("x86_64", "uefi", keys), false, true),
            (descriptor("aarch64", "uefi", keys), false, false),
            ("{".to_owned(), false, false),
        ];
        for (text, unsigned, signed) in cases {
            assert_eq!(suits(&text, Arch::X86_64, false), unsigned, "{text}");
            assert_eq!(suits(&text, Arch::X86_64, true), signed, "{text}");
        }
    }

    #[test]
    fn this_host_has_cpus_and_memory() {
        let probe = Probe::take(Arch::X86_64);
        let (total, available) = probe.memory_mib.unwrap();
        assert!(probe.cpus >= 1 && total >= available && available > 0);
    }

    fn facts(cpu: bool, device: bool) -> KvmFacts {
        let say = |yes: bool, why: &str| if yes { Ok(()) } else { Err(why.to_owned()) };
        KvmFacts {
            host_arch: "x86_64".to_owned(),
            cpu: say(cpu, "no flag"),
            device: say(device, "no device"),
        }
    }

    #[test]
    fn the_choice_follows_the_facts() {
        use AccelChoice::{Auto, Kvm, Tcg};
        let cases = [
            // choice, cpu, device, arch, accelerator, warning holds
            (Auto, true, true, Arch::X86_64, Some(Accel::Kvm), None),
            (Auto, true, true, Arch::I386, Some(Accel::Kvm), None),
            (Kvm, true, true, Arch::X86_64, Some(Accel::Kvm), None),
            (Tcg, true, true, Arch::X86_64, Some(Accel::Tcg), None),
            (Tcg, false, false, Arch::X86_64, Some(Accel::Tcg), None),
            (
                Auto,
                false,
                true,
                Arch::X86_64,
                Some(Accel::Tcg),
                Some("no flag"),
            ),
            (
                Auto,
                true,
                false,
                Arch::X86_64,
                Some(Accel::Tcg),
                Some("no device"),
            ),
            (
                Auto,
                true,
                true,
                Arch::Aarch64,
                Some(Accel::Tcg),
                Some("aarch64"),
            ),
            (Kvm, false, true, Arch::X86_64, None, None),
            (Kvm, true, false, Arch::X86_64, None, None),
            (Kvm, true, true, Arch::S390x, None, None),
        ];
        for (choice, cpu, device, arch, want, warning) in cases {
            let case = format!("{choice:?} cpu={cpu} device={device} {arch}");
            match choose(choice, &facts(cpu, device), arch) {
                Ok((accel, told)) => {
                    assert_eq!(Some(accel), want, "{case}");
                    match warning {
                        Some(part) => assert!(told.unwrap().contains(part), "{case}"),
                        None => assert_eq!(told, None, "{case}"),
                    }
                }
                Err(error) => {
                    assert_eq!(want, None, "{case}");
                    assert_eq!(kind_of(&error), Some(Kind::Host), "{case}");
                }
            }
        }
    }

    #[test]
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    fn only_whole_flags_count() {
        assert!(cpu_flag("model name : vmx\nflags\t\t: fpu vmx sse\n").is_ok());
        assert!(cpu_flag("flags\t\t: fpu svm\n").is_ok());
        assert!(cpu_flag("model name\t: svm\nflags\t\t: fpu svm_lock\n").is_err());
        assert!(cpu_flag("").is_err());
    }

    #[test]
    fn a_missing_device_is_named() {
        let why = usable_device(Path::new("/nonexistent/kvm")).unwrap_err();
        assert!(why.contains("/nonexistent/kvm does not exist"), "{why}");
    }
}
