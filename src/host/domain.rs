//! What a guest is made of and called, and what its architecture makes of that.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::probe::Accel;
use crate::distro::{Arch, VirtioModel};
use crate::hex;
use crate::machine::{Board, DiskBus, DiskFormat, Firmware, FirmwareFiles, Network, letter};

/// What libvirt calls a disk of a bus, by its number from 0 on.
pub(super) fn target_device(bus: DiskBus, disk: usize) -> String {
    match bus {
        // Though every kernel since 2.6.19 says `sda`.
        DiskBus::Ide => format!("hd{}", letter(disk)),
        bus => bus.device(disk),
    }
}

/// A disk of the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskSpec {
    /// Its file, absolute.
    pub path: PathBuf,
    /// The file's layout.
    pub format: DiskFormat,
    /// The image that it stands on, absolute, which is only read, and its layout; none for a disk of its own.
    pub backing: Option<(PathBuf, DiskFormat)>,
    /// What it is plugged into.
    pub bus: DiskBus,
}

/// A network card of the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NicSpec {
    /// Its network.
    pub network: Network,
    /// libvirt's model of it.
    pub model: String,
    /// Its address.
    pub mac: Mac,
}

/// A kernel that is started without the disk's boot loader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectBoot {
    /// The kernel, absolute.
    pub kernel: PathBuf,
    /// Its initial file system, absolute.
    pub initrd: PathBuf,
    /// Its command line.
    pub cmdline: String,
}

/// Everything about a guest that the build decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainSpec {
    /// libvirt's name; see [`domain_name`].
    pub name: String,
    /// One line for people who list guests: the image's real name.
    pub title: String,
    /// The guest's architecture.
    pub arch: Arch,
    /// What runs its CPUs.
    pub accel: Accel,
    /// Which virtio its installer speaks, so how old an x86 machine is: q35 with PCI Express, or
    /// i440fx with PCI.
    pub virtio: VirtioModel,
    /// CPUs.
    pub vcpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// What starts it.
    pub firmware: Firmware,
    /// What else its board has.
    pub board: Board,
    /// The installer's kernel; without it, the disk is booted.
    pub boot: Option<DirectBoot>,
    /// Its disk, with the system.
    pub disk: DiskSpec,
    /// Its other disks, on the same bus.
    pub more_disks: Vec<DiskSpec>,
    /// The ISO images in its CD-ROM drives, absolute; they are only read.
    pub discs: Vec<PathBuf>,
    /// Whether there is a port for its QEMU guest agent.
    pub agent: bool,
    /// Whether it is one whose state is saved: with a port by which it is handed its kickstart, and
    /// with room for its disks, which are plugged in when the state was loaded.
    pub handover: bool,
    /// Its network.
    pub network: Network,
    /// libvirt's model of the network card (`virtio`, `e1000e` …).
    pub nic_model: String,
    /// The network card's address.
    pub mac: Mac,
    /// Its other network cards.
    pub more_nics: Vec<NicSpec>,
    /// Where QEMU writes all that the console said.
    pub console_log: PathBuf,
    /// Where QEMU writes the packets of its network card, in libpcap's format: a file that is there, empty,
    /// beside the disk. Only with user networking, and where QEMU runs as us.
    pub capture: Option<PathBuf>,
    /// Which build this guest belongs to; stands in the domain's metadata.
    pub build_id: String,
}

/// What an architecture's machines have, in libvirt's names. The only place that knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Platform {
    /// Machine type.
    pub(super) machine: &'static str,
    /// `<target type=…>` of the serial port that is the console.
    pub(super) console: Console,
    /// Graphics card, where a screen makes sense.
    pub(super) video: Option<&'static str>,
    /// Elements of `<features>`.
    pub(super) features: &'static [&'static str],
    /// The model of a TPM, where there can be one.
    pub(super) tpm: Option<&'static str>,
    /// What an emulated CPU had better not have: no system needs it, and each is slow to emulate.
    pub(super) slow: &'static [&'static str],
}

/// How a machine's console is said in domain XML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Console {
    /// A `<serial>` with this target, and the console on it.
    Serial(&'static str),
    /// A `<console>` alone with this target.
    Plain(&'static str),
}

impl DomainSpec {
    /// All its disks, in order.
    pub(super) fn disks(&self) -> impl Iterator<Item = &DiskSpec> {
        std::iter::once(&self.disk).chain(&self.more_disks)
    }

    /// All its network cards, in order.
    pub(super) fn nics(&self) -> impl Iterator<Item = NicSpec> {
        let first = NicSpec {
            network: self.network.clone(),
            model: self.nic_model.clone(),
            mac: self.mac,
        };
        std::iter::once(first).chain(self.more_nics.iter().cloned())
    }

    /// The files that a guest is made of, the disk first.
    pub(super) fn files(&self) -> Vec<&Path> {
        let disks = self.disks();
        let mut files: Vec<&Path> = disks
            .flat_map(|disk| {
                let backing = disk.backing.iter().map(|(image, _)| image.as_path());
                std::iter::once(disk.path.as_path()).chain(backing)
            })
            .collect();
        if let Some(own) = self.own_firmware() {
            files.extend([own.code.as_path(), own.vars.as_path()]);
        }
        files.extend(self.capture.as_deref());
        files.extend(self.discs.iter().map(PathBuf::as_path));
        if let Some(boot) = &self.boot {
            files.extend([boot.kernel.as_path(), boot.initrd.as_path()]);
        }
        files
    }

    /// The same guest with other files in the place of these: what `renamed` makes of each.
    pub(super) fn with_files(&self, renamed: impl Fn(&Path) -> PathBuf) -> DomainSpec {
        let mut spec = self.clone();
        let disks = std::iter::once(&mut spec.disk).chain(&mut spec.more_disks);
        let mut files: Vec<&mut PathBuf> = Vec::new();
        for disk in disks {
            files.push(&mut disk.path);
            files.extend(disk.backing.iter_mut().map(|(image, _)| image));
        }
        if let Some(own) = &mut spec.board.firmware_files {
            files.extend([&mut own.code, &mut own.vars]);
        }
        files.extend(&mut spec.capture);
        files.extend(&mut spec.discs);
        if let Some(boot) = &mut spec.boot {
            files.extend([&mut boot.kernel, &mut boot.initrd]);
        }
        for file in files {
            *file = renamed(file);
        }
        spec
    }

    /// What its CD-ROM drives are plugged into: what every installer of the machine's time has drivers for.
    pub(super) fn disc_bus(&self) -> DiskBus {
        match self.platform().machine {
            "pc" => DiskBus::Ide,
            "q35" => DiskBus::Sata,
            _ => DiskBus::Scsi,
        }
    }

    /// UEFI of the user's own, where it starts the guest.
    pub(super) fn own_firmware(&self) -> Option<&FirmwareFiles> {
        let uefi = self.firmware == Firmware::Uefi;
        self.board.firmware_files.as_ref().filter(|_| uefi)
    }

    /// Whether UEFI verifies what it starts.
    pub(super) fn is_secure(&self) -> bool {
        self.board.secure_boot && self.firmware == Firmware::Uefi
    }

    /// What the guest's architecture makes of it.
    pub(super) fn platform(&self) -> Platform {
        let legacy = self.virtio == VirtioModel::Transitional || self.disk.bus == DiskBus::Ide;
        match self.arch {
            Arch::I386 | Arch::X86_64 => Platform {
                machine: if legacy { "pc" } else { "q35" },
                console: Console::Serial("isa-serial"),
                video: Some("vga"),
                features: &["acpi", "apic"],
                tpm: Some("tpm-crb"),
                // With the first two kernel and C library copy and clear memory by `rep movsb` and `rep stosb`, which
                // QEMU emulates byte by byte; never one without the other, which hangs Linux 6.1 in its start. With the
                // third each address takes a fifth level of page tables. An install took 28 % less CPU time without.
                slow: &["erms", "fsrm", "la57"],
            },
            Arch::Aarch64 | Arch::Armv7l => Platform {
                machine: "virt",
                // The board's PL011, `ttyAMA0`.
                console: Console::Serial("system-serial"),
                video: Some("virtio"),
                // libvirt refuses ACPI on ARM without UEFI, whose part it is there.
                features: match self.firmware {
                    Firmware::Uefi => &["acpi"],
                    Firmware::Bios => &[],
                },
                tpm: Some("tpm-tis"),
                slow: &[],
            },
            Arch::Ppc64 | Arch::Ppc64le => Platform {
                machine: "pseries",
                console: Console::Serial("spapr-vio-serial"),
                video: Some("vga"),
                features: &[],
                tpm: Some("tpm-spapr"),
                slow: &[],
            },
            Arch::S390x => Platform {
                machine: "s390-ccw-virtio",
                console: Console::Plain("sclp"),
                video: None,
                features: &[],
                tpm: None,
                slow: &[],
            },
        }
    }
}

/// The prefix that QEMU and libvirt give to their guests.
const QEMU_PREFIX: [u8; 3] = [0x52, 0x54, 0x00];

/// An Ethernet address that a guest may have: unicast, not all zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mac([u8; 6]);

impl Mac {
    /// An address with QEMU's prefix and three random bytes.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn random() -> anyhow::Result<Self> {
        let mut tail = [0; 3];
        getrandom::fill(&mut tail)
            .map_err(|error| anyhow::anyhow!("getting random bytes: {error}"))?;
        let [a, b, c] = QEMU_PREFIX;
        let [d, e, f] = tail;
        Ok(Mac([a, b, c, d, e, f]))
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for Mac {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = |why: &str| {
            Err(format!(
                "`{text}` is not a guest's MAC address: {why}; write it like 52:54:00:12:34:56"
            ))
        };
        let parts: Vec<&str> = text.split([':', '-']).collect();
        let mut bytes = [0; 6];
        if parts.len() != bytes.len() {
            return refuse("it needs six bytes");
        }
        for (byte, part) in bytes.iter_mut().zip(parts) {
            let hex = part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
            match u8::from_str_radix(part, 16) {
                Ok(value) if hex => *byte = value,
                _ => return refuse("each byte is two hexadecimal digits"),
            }
        }
        if bytes[0] & 1 == 1 {
            return refuse("the first byte is odd, which makes it a multicast address");
        }
        if bytes == [0; 6] {
            return refuse("it is all zero");
        }
        Ok(Mac(bytes))
    }
}

/// Longest domain name made here, in bytes: libvirt puts it into file names (`NAME.log`,
/// `NAME_VARS.fd`) and refuses longer paths of unix sockets than 107 bytes.
const MAX_LENGTH: usize = 48;
/// Hexadecimal digits of the digest that keeps altered names apart: 32 bits are plenty for the
/// guests of one host.
const DIGEST_DIGITS: usize = 8;
/// How many characters of a build's id a guest's name ends with.
const ID_CHARS: usize = 6;

/// The name of the guest by which the build `build_id` installs an image: whose it is, for a person
/// who lists guests, and no other build's nor a user's domain, whatever that was defined from.
pub fn domain_name(image_name: &str, build_id: &str) -> String {
    let id: String = build_id.chars().take(ID_CHARS).collect();
    format!(
        "{}-{id}",
        fit("ozr-", image_name, MAX_LENGTH - 1 - ID_CHARS)
    )
}

/// The name of the domain that boots a finished image: the image's own, as far as libvirt can carry
/// it.
pub fn finished_name(image_name: &str) -> String {
    fit("", image_name, MAX_LENGTH)
}

/// libvirt 9.0 makes directory names of the first 20 characters of a domain's name through
/// `mbstowcs(3)`, which fails on non-ASCII names in a program that runs in the C locale, as every
/// Rust program does. Names that hold anything but ASCII letters, digits, `.`, `_` and `-`, or
/// are longer than `most` bytes, are altered and get a digest of the whole name, so that the mapping
/// is stable and two names never share a domain.
fn fit(prefix: &str, name: &str, most: usize) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.chars().all(plain) && prefix.len() + name.len() <= most {
        return format!("{prefix}{name}");
    }
    let digest = hex::sha256(name);
    let room = most - prefix.len() - 1 - DIGEST_DIGITS;
    let readable: String = name
        .chars()
        .map(|c| if plain(c) { c } else { '-' })
        .take(room)
        .collect();
    format!("{prefix}{readable}-{}", &digest[..DIGEST_DIGITS])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for (text, shown) in [
            ("52:54:00:AB:cd:01", "52:54:00:ab:cd:01"),
            ("02-00-00-00-00-01", "02:00:00:00:00:01"),
        ] {
            assert_eq!(text.parse::<Mac>().unwrap().to_string(), shown);
        }
        for text in [
            "",
            "52:54:00:ab:cd",
            "52:54:00:ab:cd:0g",
            "52:54:00:ab:cd:+1",
            "53:54:00:ab:cd:01",
            "00:00:00:00:00:00",
            "5:54:00:ab:cd:001",
        ] {
            assert!(text.parse::<Mac>().is_err(), "{text}");
        }
    }

    #[test]
    fn random_addresses_are_qemus_and_differ() {
        let (one, other) = (Mac::random().unwrap(), Mac::random().unwrap());
        assert!(one.to_string().starts_with("52:54:00:"));
        assert_ne!(one, other);
    }

    const ID: &str = "0123abcdef";

    #[test]
    fn plain_names_stay_readable() {
        let guest = domain_name("rocky9-base_1.2", ID);
        assert_eq!(guest, "ozr-rocky9-base_1.2-0123ab");
        assert_eq!(finished_name("rocky9-base_1.2"), "rocky9-base_1.2");
    }

    #[test]
    fn odd_names_become_plain_short_and_stay_apart() {
        let odd = [
            "a b",
            "a&b",
            "a\"b",
            "ä",
            "a/b",
            "",
            "Rocky 9 <base>",
            "名前",
        ];
        for name in odd {
            let made = domain_name(name, ID);
            assert!(made.is_ascii() && made.len() <= MAX_LENGTH, "{made}");
            assert!(!made.contains(['/', ' ', '&', '"', '<']), "{made}");
            assert_ne!(finished_name(name), made);
        }
        let of = |name: &str| domain_name(name, ID);
        assert_ne!(of("a b"), of("a&b"));
        assert_ne!(of("a b"), domain_name("a b", "another"));
        let long = "x".repeat(300);
        assert_eq!(of(&long).len(), MAX_LENGTH);
        assert_ne!(of(&long), of(&"x".repeat(301)));
        assert_eq!(of("a b"), of("a b"));
    }
}
