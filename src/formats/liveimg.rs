//! The kickstart that has the installer unpack an archive of a system's files onto a machine (`liveimg`).
//!
//! The installer downloads the archive onto the new root, unpacks it with tar, writes fstab, the boot loader
//! and its entries, makes initramfs for the machine, and a machine-id (anaconda 34,
//! `payload/live_image/installation.py`, `storage/bootloader/utils.py`). What it asks for and nobody says
//! would stop it, or be set to its own defaults: so the kickstart says of all that what the image has.

use super::facts::Facts;
use super::trees::Finished;
use crate::distro::Arch;

const TEMPLATE: &str = include_str!("liveimg.ks.in");

const MIB: u64 = 1 << 20;

/// Room for boot loaders and `/boot`, beside the root, in MiB: what `reqpart --add-boot` makes (anaconda's
/// `/boot` of 1 GiB, an EFI system partition of up to 600 MiB).
const BESIDE_ROOT: u64 = 2048;

/// Room that a root has for what is to come, in MiB.
const SPARE: u64 = 1024;

/// Kinds of file systems that a root can have as the image has it.
const KINDS: [&str; 3] = ["btrfs", "ext4", "xfs"];

/// Arguments of a kernel that name disks of the machine that the system was installed on, or its installer.
const OF_A_DISK: [&str; 9] = [
    "root=",
    "rootflags=",
    "resume=",
    "rd.lvm.",
    "rd.luks.",
    "rd.md.",
    "rd.dm.",
    "inst.",
    "BOOT_IMAGE=",
];

/// The kickstart for an archive that is in a file of a name, and what its user should know.
pub fn kickstart(
    facts: &Facts,
    archive: &Finished,
    arch: Arch,
    (name, file, kickstart): (&str, &str, &str),
) -> (String, Vec<String>) {
    let mut notes = Vec::new();
    let efi = facts.has("/boot/efi/EFI/*/shim*") || facts.has("/boot/efi/EFI/*/grub*.efi");
    let bios = facts.has("/usr/lib/grub/i386-pc");
    for (firmware, on, has_it, packages) in [
        ("BIOS", Arch::X86_64, bios, "grub2-pc"),
        ("UEFI", Arch::X86_64, efi, "grub2-efi-x64 and shim-x64"),
        ("UEFI", Arch::Aarch64, efi, "grub2-efi-aa64 and shim-aa64"),
    ] {
        if on == arch && !has_it {
            notes.push(format!(
                "{file} has no boot loader for {firmware}: machines with it will not start; have {packages} among the packages of the image"
            ));
        }
    }
    if !facts.has("/boot/vmlinuz-*") {
        notes.push(format!(
            "{file} has no kernel below /boot: what is installed from it will not start"
        ));
    }
    // The archive lies on the root while it is unpacked.
    let size = (facts.bytes * 5 / 4 + archive.size) / MIB + SPARE;
    let kind = KINDS.into_iter().find(|kind| *kind == facts.root_kind);
    let locale = facts
        .value("/etc/locale.conf", "LANG")
        .filter(|value| is_plain(value));
    let keymap = facts
        .value("/etc/vconsole.conf", "KEYMAP")
        .filter(|value| is_plain(value));
    let zone = facts.zone().filter(|zone| is_plain(zone));
    let release = facts.release("PRETTY_NAME").unwrap_or_default();
    let release: String = release
        .chars()
        .filter(|c| !c.is_control())
        .take(80)
        .collect();
    let values = [
        ("@NAME@", name.to_owned()),
        ("@FILE@", file.to_owned()),
        ("@KS@", kickstart.to_owned()),
        (
            "@RELEASE@",
            if release.is_empty() {
                "its own".to_owned()
            } else {
                release
            },
        ),
        (
            "@LANG@",
            format!("lang {}", locale.as_deref().unwrap_or("en_US.UTF-8")),
        ),
        (
            "@KEYBOARD@",
            format!("keyboard {}", keymap.as_deref().unwrap_or("us")),
        ),
        (
            "@TIMEZONE@",
            format!("timezone {} --utc", zone.unwrap_or("UTC")),
        ),
        ("@ROOTPW@", root_password(facts)),
        ("@FIREWALL@", firewall(facts)),
        ("@FSTYPE@", kind.unwrap_or("ext4").to_owned()),
        ("@SIZE@", size.to_string()),
        ("@NEEDED@", (size + BESIDE_ROOT).to_string()),
        ("@SHA256@", archive.sha256.clone()),
        ("@APPEND@", append(facts)),
    ];
    let mut text = TEMPLATE.to_owned();
    for (mark, value) in values {
        text = match value.is_empty() {
            true => text.replace(&format!("{mark}\n"), "\n").replace(mark, ""),
            false => text.replace(mark, &value),
        };
    }
    (text, notes)
}

/// Whether a word is one in a kickstart and in a shell's here-document.
fn is_plain(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+@/:=,%".contains(c);
    !word.is_empty() && word.chars().all(plain) && !word.starts_with('-')
}

/// The password of root as the image has it: the installer sets one in any case.
fn root_password(facts: &Facts) -> String {
    let hash = facts.password("root").unwrap_or_default();
    let is_hash =
        hash.starts_with('$') && hash.chars().all(|c| is_plain(&c.to_string()) || c == '$');
    match is_hash {
        true => format!("rootpw --iscrypted {hash}"),
        false => "rootpw --lock".to_owned(),
    }
}

/// The installer switches a firewall on that was off, unless it is told to leave it: since RHEL 8.
fn firewall(facts: &Facts) -> String {
    let version = facts.release("VERSION_ID").unwrap_or_default();
    let major = version
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok());
    let known = match facts.release("ID").as_deref() {
        Some("fedora") => 28..=u32::MAX,
        _ => 8..=99,
    };
    match major.is_some_and(|major| known.contains(&major)) {
        true => "firewall --use-system-defaults".to_owned(),
        false => String::new(),
    }
}

/// The kernel's arguments that are of no disk.
fn append(facts: &Facts) -> String {
    let all = facts.value("/etc/default/grub", "GRUB_CMDLINE_LINUX");
    let all = all.unwrap_or_default();
    let kept = all
        .split_whitespace()
        .filter(|word| is_plain(word) && !OF_A_DISK.iter().any(|begins| word.starts_with(begins)));
    match kept.collect::<Vec<_>>().join(" ") {
        kept if kept.is_empty() => kept,
        kept => format!(" --append=\"{kept}\""),
    }
}
