//! Whether the firmware finds something to start.

use super::{Check, at_command, at_option, has_any, missing, running, runs};
use crate::check::rules::Rule;
use crate::check::setting::Setting;
use crate::diagnostic::{Diagnostic, Severity};
use crate::distro::Arch;
use crate::language::Reading;
use crate::language::reading::Entry;
use crate::machine::Firmware;

/// KS120 to KS126.
pub const RULES: &[Rule] = &[
    Rule {
        id: "KS120",
        title: "no EFI system partition",
        explanation: "\
            A machine with UEFI starts from a FAT file system at `/boot/efi`. The lines lay out \
            the disk by hand and make none, so the installer's storage checker refuses the layout \
            (anaconda, modules/storage/checker: \"For a UEFI installation, you must include an \
            EFI System Partition on a GPT-formatted disk, mounted at /boot/efi\").\n\n\
            Add `reqpart`, which makes what the platform needs (RHEL 7.1 and later), or \
            `part /boot/efi --fstype=efi --size=600`. This is judged only where the firmware is \
            known to be UEFI.",
    },
    Rule {
        id: "KS121",
        title: "no /boot that the boot loader can read",
        explanation: "\
            The root file system is a logical volume or is encrypted, and there is no `/boot` on a \
            partition. GRUB starts from partitions, software RAID and btrfs only (anaconda, \
            bootloader/grub2.py, stage2_device_types; RHEL 6's GRUB from partitions and RAID 1 \
            only), so the storage checker refuses the layout: \"bootable partitions cannot be on \
            an lvmlv\".\n\n\
            Add `part /boot --size=1024`, or `reqpart --add-boot`. It is an error where the \
            firmware is known, else a warning.",
    },
    Rule {
        id: "KS122",
        title: "no BIOS boot partition on a GPT disk",
        explanation: "\
            On a GPT disk GRUB for BIOS has no place for its core image unless there is a \
            partition of type `biosboot`, and the storage checker refuses the layout (anaconda, \
            bootloader/grub2.py: \"Your BIOS-based system needs a special partition to boot from a \
            GPT disk label\"). The disk becomes GPT where `clearpart --disklabel=gpt` or \
            `inst.gpt` says so, and by default from Fedora 37 and RHEL 10 on.\n\n\
            Add `reqpart`, or `part biosboot --fstype=biosboot --size=1`. It is an error where the \
            firmware is known to be BIOS and the kickstart asks for GPT, a warning where GPT is \
            only the release's default, and nothing is said where the firmware is not known.",
    },
    Rule {
        id: "KS123",
        title: "no boot loader is installed",
        explanation: "\
            `bootloader --location=none` or `bootloader --disabled` installs no boot loader. That \
            is right for containers and for disks that somebody else's loader starts; any other \
            image does not boot.\n\n\
            Delete the option, unless that is what is meant.",
    },
    Rule {
        id: "KS124",
        title: "no bootloader command",
        explanation: "\
            Without `bootloader` the installer chooses everything by itself: the loader goes to \
            the first disk, waits the release's default time at its menu and passes the \
            installer's own console to the installed kernel. The image boots.\n\n\
            Write `bootloader --timeout=1 --append=\"…\"` to have it decided by the kickstart \
            rather than by the machine that built it.",
    },
    Rule {
        id: "KS125",
        title: "no serial console",
        explanation: "\
            The kernel command line of the image names no serial console, so `virsh console` and \
            the consoles of clouds stay empty and nobody sees why an image does not come up.\n\n\
            Add `console=tty0 console=ttyS0,115200n8` to `bootloader --append` (`ttyAMA0` on \
            aarch64, `hvc0` on ppc64le). The installer hands its own serial console on to the \
            image, so nothing is said where `ozr install` runs it.",
    },
    Rule {
        id: "KS126",
        title: "no PReP boot partition",
        explanation: "\
            On POWER the firmware starts the boot loader from a PReP partition. The lines lay out \
            the disk by hand and make none, so the storage checker refuses the layout: \"For a PPC \
            installation, you must include a PReP Boot Partition\" (anaconda, \
            modules/storage/platform.py, IPSeriesPPC; \"You must include at least one PReP boot \
            partition\" before).\n\n\
            Add `reqpart` (RHEL 7.1 and later), or `part prepboot --fstype=prepboot --size=8`. This \
            is judged only where the architecture is known to be ppc64 or ppc64le.",
    },
];

/// The rules at work.
pub const CHECKS: &[Check] = &[
    no_efi_partition,
    unreadable_boot,
    no_biosboot,
    no_prep,
    no_loader,
    no_bootloader,
    no_console,
];

/// Whether the lines lay out the disk by themselves: no command makes what the firmware needs.
fn by_hand(reading: &Reading) -> bool {
    reading.complete
        && runs(reading, "part")
        && !has_any(reading, &["autopart", "reqpart", "mount"])
        && !running(reading, "part").any(|entry| {
            let arguments = entry.arguments();
            arguments.has("--onpart") || arguments.has("--noformat")
        })
}

/// Whether the boot loader is not installed by the installer, or not for this machine.
fn loader_is_left_out(reading: &Reading) -> bool {
    reading.last("bootloader").is_some_and(|entry| {
        let arguments = entry.arguments();
        arguments.value("--location") == Some("none") || arguments.has("--disabled")
    })
}

fn mounts<'a>(reading: &'a Reading, name: &'a str, place: &'a str) -> Option<&'a Entry> {
    running(reading, name).find(|entry| entry.arguments().first() == Some(place))
}

/// Whether the first argument or the file system of any partition is this.
fn has_partition(reading: &Reading, what: &str) -> bool {
    running(reading, "part").any(|entry| {
        let arguments = entry.arguments();
        arguments.first() == Some(what) || arguments.value("--fstype") == Some(what)
    })
}

/// The line of the root file system.
fn root(reading: &Reading) -> Option<&Entry> {
    ["part", "raid", "logvol", "btrfs"]
        .into_iter()
        .find_map(|name| mounts(reading, name, "/"))
}

fn no_efi_partition(reading: &Reading, setting: &Setting, findings: &mut Vec<Diagnostic>) {
    if setting.firmware != Some(Firmware::Uefi)
        || !by_hand(reading)
        || loader_is_left_out(reading)
        || has_partition(reading, "/boot/efi")
        || has_partition(reading, "efi")
    {
        return;
    }
    let message = "the layout has no EFI system partition, which a machine with UEFI starts from";
    let finding = match root(reading) {
        Some(entry) => at_command(reading, Severity::Error, entry, message),
        None => missing(reading, Severity::Error, message),
    };
    let help = if reading.version == crate::language::Version::Rhel(6) {
        "add `part /boot/efi --fstype=efi --size=200`"
    } else {
        "add `reqpart`, or `part /boot/efi --fstype=efi --size=600`"
    };
    findings.push(finding.id("KS120").help(help));
}

fn unreadable_boot(reading: &Reading, setting: &Setting, findings: &mut Vec<Diagnostic>) {
    if !by_hand(reading) || loader_is_left_out(reading) {
        return;
    }
    let boot = ["part", "raid", "btrfs"]
        .into_iter()
        .find_map(|name| mounts(reading, name, "/boot"));
    if boot.is_some_and(|entry| !entry.arguments().has("--encrypted")) {
        return;
    }
    let on_volume = mounts(reading, "logvol", "/boot").or_else(|| mounts(reading, "logvol", "/"));
    let encrypted = boot.or_else(|| root(reading));
    let encrypted = encrypted.filter(|entry| entry.arguments().has("--encrypted"));
    // s390x has a loader of its own, and on POWER it is Open Firmware that reads the disk.
    let grub = !matches!(setting.arch, Some(Arch::S390x));
    let Some(entry) = on_volume.or(encrypted).filter(|_| grub) else {
        return;
    };
    let severity = match setting.firmware {
        Some(_) => Severity::Error,
        None => Severity::Warning,
    };
    let kind = if on_volume.is_some() {
        "a logical volume"
    } else {
        "an encrypted partition"
    };
    let message = format!("/boot is on {kind}, which the boot loader cannot read");
    findings.push(
        at_command(reading, severity, entry, message)
            .id("KS121")
            .help("add `part /boot --size=1024`"),
    );
}

fn no_biosboot(reading: &Reading, setting: &Setting, findings: &mut Vec<Diagnostic>) {
    let x86 = matches!(setting.arch, None | Some(Arch::X86_64 | Arch::I386));
    if setting.firmware != Some(Firmware::Bios)
        || !x86
        || !by_hand(reading)
        || loader_is_left_out(reading)
        || has_partition(reading, "biosboot")
    {
        return;
    }
    let help = "add `reqpart`, or `part biosboot --fstype=biosboot --size=1`";
    let asked = reading
        .last("clearpart")
        .filter(|entry| entry.arguments().value("--disklabel") == Some("gpt"));
    if let Some(entry) = asked {
        let message = "the disk is to be GPT, and there is no partition that a BIOS can start from";
        findings.push(
            at_option(reading, Severity::Error, entry, "--disklabel", message)
                .id("KS122")
                .help(help),
        );
        return;
    }
    let label = reading.last("clearpart");
    let label = label.and_then(|entry| entry.arguments().value("--disklabel"));
    if label.is_some() || !setting.version.since(10, 37) {
        return;
    }
    if let Some(entry) = root(reading) {
        let message = format!(
            "{} makes GPT disks, and there is no partition that a BIOS can start from",
            setting.version
        );
        findings.push(
            at_command(reading, Severity::Warning, entry, message)
                .id("KS122")
                .help(help),
        );
    }
}

fn no_prep(reading: &Reading, setting: &Setting, findings: &mut Vec<Diagnostic>) {
    if !matches!(setting.arch, Some(Arch::Ppc64 | Arch::Ppc64le))
        || !by_hand(reading)
        || loader_is_left_out(reading)
        || ["prepboot", "PPC PReP Boot", "PReP Boot"]
            .iter()
            .any(|name| has_partition(reading, name))
    {
        return;
    }
    let message =
        "the layout has no PReP partition, which the firmware starts the boot loader from";
    let finding = match root(reading) {
        Some(entry) => at_command(reading, Severity::Error, entry, message),
        None => missing(reading, Severity::Error, message),
    };
    let help = "add `reqpart`, or `part prepboot --fstype=prepboot --size=8`";
    findings.push(finding.id("KS126").help(help));
}

fn no_loader(reading: &Reading, _setting: &Setting, findings: &mut Vec<Diagnostic>) {
    let Some(entry) = reading.last("bootloader") else {
        return;
    };
    if !loader_is_left_out(reading) {
        return;
    }
    let option = if entry.arguments().has("--disabled") {
        "--disabled"
    } else {
        "--location"
    };
    let message = "no boot loader is installed, so the image does not boot by itself";
    findings.push(
        at_option(reading, Severity::Warning, entry, option, message)
            .id("KS123")
            .help("delete the option, unless the image is for a container"),
    );
}

fn no_bootloader(reading: &Reading, _setting: &Setting, findings: &mut Vec<Diagnostic>) {
    if has_any(reading, &["bootloader", "zipl"]) || !reading.complete {
        return;
    }
    let message = "there is no `bootloader`, so the installer decides all about it";
    findings.push(
        missing(reading, Severity::Note, message)
            .id("KS124")
            .help("add a line such as `bootloader --timeout=1`"),
    );
}

fn no_console(reading: &Reading, setting: &Setting, findings: &mut Vec<Diagnostic>) {
    let serial = [
        "console=ttyS",
        "console=ttyAMA",
        "console=hvc",
        "console=ttysclp",
    ];
    let Some(entry) = running(reading, "bootloader").next_back() else {
        return;
    };
    if setting.adds_serial_console
        || loader_is_left_out(reading)
        || reading
            .texts
            .iter()
            .any(|text| serial.iter().any(|console| text.text.contains(console)))
    {
        return;
    }
    let message = "the kernel command line of the image names no serial console";
    findings.push(
        at_command(reading, Severity::Note, entry, message)
            .id("KS125")
            .help("add `console=tty0 console=ttyS0,115200n8` to `--append`"),
    );
}

#[cfg(test)]
mod tests {
    use super::super::testing::{alone, found, severity};
    use super::*;
    use crate::language::Version::{Fedora, Rhel};

    fn with(version: crate::language::Version, firmware: Firmware) -> Setting {
        Setting {
            firmware: Some(firmware),
            ..Setting::alone(version)
        }
    }

    #[test]
    fn uefi_needs_its_partition() {
        let uefi = with(Rhel(9), Firmware::Uefi);
        let text = "part / --size=9\n";
        let expected = [(Severity::Error, "part".to_string())];
        assert_eq!(found(text, &uefi, "KS120"), expected);
        assert_eq!(
            severity(text, &with(Rhel(9), Firmware::Bios), "KS120"),
            None
        );
        assert_eq!(alone(text, Rhel(9), "KS120"), None);
        for text in [
            "part / --size=9\nreqpart\n",
            "part / --size=9\npart /boot/efi --fstype=efi --size=200\n",
            "autopart\n",
            "part / --size=9\nbootloader --location=none\n",
            "part / --size=9\n%include /tmp/x\n",
            "part / --onpart=vda1\n",
        ] {
            assert_eq!(found(text, &uefi, "KS120"), [], "{text}");
        }
    }

    #[test]
    fn the_loader_reads_partitions() {
        let lvm = "part pv.1 --size=9\nvolgroup v pv.1\nlogvol / --vgname=v --name=r --size=9\n";
        let bios = with(Rhel(9), Firmware::Bios);
        assert_eq!(severity(lvm, &bios, "KS121"), Some(Severity::Error));
        assert_eq!(alone(lvm, Rhel(9), "KS121"), Some(Severity::Warning));
        let good = format!("{lvm}part /boot --size=1024\n");
        assert_eq!(severity(&good, &bios, "KS121"), None);
        let encrypted = "part / --size=9 --encrypted\n";
        assert_eq!(severity(encrypted, &bios, "KS121"), Some(Severity::Error));
        assert_eq!(severity("part / --size=9\n", &bios, "KS121"), None);
        let s390x = Setting {
            arch: Some(Arch::S390x),
            ..bios
        };
        assert_eq!(severity(lvm, &s390x, "KS121"), None);
    }

    #[test]
    fn gpt_with_a_bios_needs_a_place_for_the_loader() {
        let gpt = "clearpart --all --disklabel=gpt\npart / --size=9\n";
        let plain = "clearpart --all\npart / --size=9\n";
        let bios = |version| with(version, Firmware::Bios);
        let expected = [(Severity::Error, "--disklabel=gpt".to_string())];
        assert_eq!(found(gpt, &bios(Rhel(9)), "KS122"), expected);
        assert_eq!(severity(gpt, &with(Rhel(9), Firmware::Uefi), "KS122"), None);
        assert_eq!(severity(plain, &bios(Rhel(9)), "KS122"), None);
        for version in [Rhel(10), Fedora(37)] {
            let found = severity(plain, &bios(version), "KS122");
            assert_eq!(found, Some(Severity::Warning));
        }
        let good = format!("{gpt}part biosboot --fstype=biosboot --size=1\n");
        assert_eq!(severity(&good, &bios(Rhel(9)), "KS122"), None);
    }

    #[test]
    fn power_needs_a_prep_partition() {
        let power = Setting {
            arch: Some(Arch::Ppc64le),
            ..Setting::alone(Rhel(9))
        };
        assert_eq!(
            severity("part / --size=9\n", &power, "KS126"),
            Some(Severity::Error)
        );
        assert_eq!(alone("part / --size=9\n", Rhel(9), "KS126"), None);
        for text in [
            "part / --size=9\nreqpart\n",
            "part / --size=9\npart prepboot --size=8 --fstype=prepboot\n",
            "part / --size=9\npart None --size=8 --fstype=\"PPC PReP Boot\"\n",
            "autopart\n",
        ] {
            assert_eq!(severity(text, &power, "KS126"), None, "{text}");
        }
    }

    #[test]
    fn a_loader_is_installed() {
        let text = "bootloader --location=none\n";
        let expected = [(Severity::Warning, "--location=none".to_string())];
        assert_eq!(found(text, &Setting::alone(Rhel(9)), "KS123"), expected);
        assert_eq!(alone("bootloader --timeout=1\n", Rhel(9), "KS123"), None);
        assert_eq!(alone("text\n", Rhel(9), "KS124"), Some(Severity::Note));
        assert_eq!(alone("bootloader\n", Rhel(9), "KS124"), None);
    }

    #[test]
    fn the_image_has_a_serial_console() {
        let text = "bootloader --timeout=1\n";
        assert_eq!(alone(text, Rhel(9), "KS125"), Some(Severity::Note));
        let served = Setting {
            adds_serial_console: true,
            ..Setting::alone(Rhel(9))
        };
        assert_eq!(severity(text, &served, "KS125"), None);
        let text = "bootloader --append=\"console=ttyS0\"\n";
        assert_eq!(alone(text, Rhel(9), "KS125"), None);
    }
}
