//! Which disks are named, and what becomes of what is on them.

use super::{Check, at_command, at_option, has_any, missing, running};
use crate::check::rules::Rule;
use crate::check::setting::Setting;
use crate::diagnostic::{Diagnostic, Severity};
use crate::language::Reading;
use crate::language::reading::Entry;
use crate::language::{Version, values};
use crate::machine::DiskBus;

/// KS110 to KS114.
pub const RULES: &[Rule] = &[
    Rule {
        id: "KS110",
        title: "a disk is named that the machine does not have",
        explanation: "\
            The kickstart names a disk by the kernel's name, and that name depends on the bus: \
            `sda` on SCSI, SATA, USB and (since RHEL 6) IDE, `vda` on virtio, `xvda` on Xen, \
            `nvme0n1` on NVMe. Where the name does not exist the installer reports \"Disk \
            \"sda\" given in clearpart command does not exist\" (anaconda, kickstart.py and \
            modules/storage, every release) and waits or gives up.\n\n\
            It is an error where ozr knows the bus (from the template's or the command's disk \
            bus), and a note where it does not. Name no disk: a machine that has one disk needs \
            no name, and `bootloader --boot-drive`, `ignoredisk --only-use` and `--ondisk` can go. \
            Or write a path below /dev/disk/by-path or by-id.",
    },
    Rule {
        id: "KS111",
        title: "several disks, and none is chosen",
        explanation: "\
            The machine has more than one disk, and neither `ignoredisk --only-use` nor \
            `--ondisk` nor `clearpart --drives` says which one to install on. The installer may \
            clear and use all of them, a data or seed disk among them, and automatic partitioning \
            spreads a volume group over several disks.\n\n\
            Write `ignoredisk --only-use=DISK`. This is judged only where the number of disks is \
            known.",
    },
    Rule {
        id: "KS112",
        title: "no clearpart",
        explanation: "\
            Without `clearpart`, or with `clearpart --none`, the installer keeps all partitions \
            that it finds. On a blank disk that makes no difference; on one that was used before \
            there is not enough free space, the storage screen is not complete, and the installer \
            waits in text mode or gives up in cmdline mode.\n\n\
            Write `clearpart --all --initlabel`, unless partitions are meant to be kept \
            (`--onpart`, `mount`), which makes this a note.",
    },
    Rule {
        id: "KS113",
        title: "no zerombr",
        explanation: "\
            `zerombr` initialises disks without a valid partition table. RHEL 6 asks \"Would you \
            like to initialize this drive?\" for each blank disk without it (anaconda 13, \
            storage/devicetree.py, questionInitializeDisk), and waits: an error there. Later \
            releases leave an unformatted disk alone unless `clearpart --initlabel` or `zerombr` \
            says otherwise: a warning.\n\n\
            Add a line `zerombr`. It takes no argument from RHEL 6 on. Where partitions are kept \
            it is a note.",
    },
    Rule {
        id: "KS114",
        title: "the installer asks which disks to use",
        explanation: "\
            `ignoredisk --interactive` opens the screen on which a person chooses disks (RHEL 6 \
            and 7; RHEL 8 and Fedora 29 to 33 ignore the option with a warning, later ones refuse \
            it). Nobody answers in an unattended install.\n\n\
            Name the disk with `ignoredisk --only-use=DISK`, or delete the line.",
    },
];

/// The rules at work.
pub const CHECKS: &[Check] = &[named, none_chosen, no_clearpart, no_zerombr, interactive];

/// Commands and options that name disks.
const NAMING: [(&str, &[&str]); 9] = [
    ("clearpart", &["--drives", "--list"]),
    ("ignoredisk", &["--drives", "--only-use"]),
    ("part", &["--ondisk", "--onpart"]),
    ("bootloader", &["--boot-drive", "--driveorder"]),
    ("zipl", &[]),
    ("autopart", &[]),
    ("mount", &[]),
    ("logvol", &[]),
    ("btrfs", &[]),
];

/// The bus that the kernel's name of a disk tells.
#[derive(Clone, Copy, PartialEq)]
enum Named {
    Scsi,
    Virtio,
    /// `hda`: the old IDE driver, which RHEL 6 and later do not have.
    OldIde,
    Xen,
    Nvme,
}

fn named_bus(disk: &str) -> Option<Named> {
    let disk = disk.strip_prefix("/dev/").unwrap_or(disk);
    let letters = |rest: &str| {
        let name = rest.trim_end_matches(|c: char| c.is_ascii_digit());
        (1..=2).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase())
    };
    for (prefix, bus) in [
        ("sd", Named::Scsi),
        ("vd", Named::Virtio),
        ("hd", Named::OldIde),
        ("xvd", Named::Xen),
    ] {
        if disk.strip_prefix(prefix).is_some_and(letters) {
            return Some(bus);
        }
    }
    disk.starts_with("nvme").then_some(Named::Nvme)
}

fn fits(named: Named, bus: DiskBus) -> bool {
    match bus {
        DiskBus::Virtio => named == Named::Virtio,
        DiskBus::Scsi | DiskBus::Sata | DiskBus::Ide => named == Named::Scsi,
    }
}

/// Every disk that a command names, with the option that does.
fn names(entry: &Entry) -> Vec<(&'static str, &str)> {
    let Some((_, options)) = NAMING.iter().find(|(name, _)| *name == entry.name) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for option in *options {
        let value = entry.arguments().value(option).unwrap_or_default();
        found.extend(
            values::list(value)
                .into_iter()
                .map(|disk| (*option, disk.trim())),
        );
    }
    found
}

fn named(reading: &Reading, setting: &Setting, findings: &mut Vec<Diagnostic>) {
    for entry in &reading.commands {
        let mut said = Vec::new();
        for (option, disk) in names(entry) {
            let Some(bus) = named_bus(disk) else {
                continue;
            };
            if said.contains(&option) {
                continue;
            }
            let (severity, message) = match setting.disk_bus {
                Some(given) if fits(bus, given) => continue,
                Some(given) => (
                    Severity::Error,
                    format!(
                        "`{}` names the disk `{disk}`, which a machine with a {} disk does not have",
                        entry.name,
                        given.name()
                    ),
                ),
                None if bus == Named::OldIde => (
                    Severity::Warning,
                    format!("`{disk}` is a name that no kernel of this release gives a disk"),
                ),
                None => (
                    Severity::Note,
                    format!(
                        "`{}` names the disk `{disk}`, which exists on one kind of bus only",
                        entry.name
                    ),
                ),
            };
            said.push(option);
            let help = match setting.disk_bus {
                Some(DiskBus::Virtio) => "leave the name out, or write `vda`",
                Some(_) => "leave the name out, or write `sda`",
                None => "leave the name out: a machine with one disk needs none",
            };
            let finding = at_option(reading, severity, entry, option, message);
            findings.push(finding.id("KS110").help(help));
        }
    }
}

fn none_chosen(reading: &Reading, setting: &Setting, findings: &mut Vec<Diagnostic>) {
    let Some(disks) = setting.disks.filter(|disks| *disks > 1) else {
        return;
    };
    let chosen = reading.commands.iter().any(|entry| {
        let arguments = entry.arguments();
        ["--only-use", "--drives", "--ondisk", "--onpart"]
            .iter()
            .any(|option| arguments.has(option))
            || entry.name == "mount"
    });
    if chosen || !reading.complete {
        return;
    }
    let message =
        format!("the machine has {disks} disks, and the kickstart does not say which one to use");
    findings.push(
        missing(reading, Severity::Warning, message)
            .id("KS111")
            .help("add `ignoredisk --only-use=DISK`"),
    );
}

/// Whether partitions that are on the disk are kept on purpose.
fn keeps_partitions(reading: &Reading) -> bool {
    let keeps = |entry: &Entry| {
        let arguments = entry.arguments();
        arguments.has("--onpart") || arguments.has("--noformat") || arguments.has("--useexisting")
    };
    has_any(reading, &["mount"]) || running(reading, "part").any(keeps)
}

fn no_clearpart(reading: &Reading, _setting: &Setting, findings: &mut Vec<Diagnostic>) {
    let help = "write `clearpart --all --initlabel`";
    match reading.last("clearpart") {
        None if reading.complete && keeps_partitions(reading) => {
            let message = "there is no `clearpart`: the partitions that the kickstart names must be there already";
            findings.push(
                missing(reading, Severity::Note, message).id("KS112").help(
                    "make them in a `%pre`, or write `clearpart` and let the installer do it",
                ),
            );
        }
        Some(entry) => {
            let arguments = entry.arguments();
            let clears = [
                "--all",
                "--linux",
                "--list",
                "--drives",
                "--cdl",
                "--initlabel",
            ];
            let kept = keeps_partitions(reading);
            if kept
                || entry.arguments.is_none()
                || clears.iter().any(|option| arguments.has(option))
            {
                return;
            }
            let message =
                "`clearpart` removes no partition here, so a disk that was used before has no room";
            let finding = at_command(reading, Severity::Warning, entry, message);
            findings.push(finding.id("KS112").help(help));
        }
        None if reading.complete => {
            let message = "there is no `clearpart`, so a disk that was used before has no room for the system";
            findings.push(
                missing(reading, Severity::Warning, message)
                    .id("KS112")
                    .help(help),
            );
        }
        None => {}
    }
}

fn no_zerombr(reading: &Reading, setting: &Setting, findings: &mut Vec<Diagnostic>) {
    if has_any(reading, &["zerombr"]) {
        return;
    }
    let (severity, message) = if keeps_partitions(reading) {
        let message = "there is no `zerombr`: the disk must have a partition table already";
        (Severity::Note, message)
    } else if setting.version == Version::Rhel(6) {
        let message =
            "there is no `zerombr`, so the installer asks whether to initialise a blank disk";
        (Severity::Error, message)
    } else if reading.complete {
        let message =
            "there is no `zerombr`, so a disk without a partition table may be left alone";
        (Severity::Warning, message)
    } else {
        return;
    };
    findings.push(
        missing(reading, severity, message)
            .id("KS113")
            .help("add a line `zerombr`"),
    );
}

fn interactive(reading: &Reading, setting: &Setting, findings: &mut Vec<Diagnostic>) {
    if setting.version.since(8, 29) {
        return;
    }
    for entry in running(reading, "ignoredisk") {
        if entry.arguments().has("--interactive") {
            let message = "`ignoredisk --interactive` makes the installer ask which disks to use";
            findings.push(
                at_option(reading, Severity::Error, entry, "--interactive", message)
                    .id("KS114")
                    .help("name the disk with `--only-use`, or delete the line"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{alone, found, severity};
    use super::*;
    use crate::language::Version::{Fedora, Rhel};

    #[test]
    fn names_of_disks_depend_on_the_bus() {
        let on = |disk_bus| Setting {
            disk_bus,
            ..Setting::alone(Rhel(9))
        };
        let cases = [
            (
                "ignoredisk --only-use=sda\n",
                "--only-use=sda",
                Some(DiskBus::Virtio),
            ),
            (
                "part / --size=1 --ondisk=hda\n",
                "--ondisk=hda",
                Some(DiskBus::Ide),
            ),
            (
                "bootloader --boot-drive vda\n",
                "--boot-drive vda",
                Some(DiskBus::Sata),
            ),
            (
                "clearpart --all --drives=vda,sda\n",
                "--drives=vda,sda",
                Some(DiskBus::Virtio),
            ),
            (
                "part / --size=1 --ondisk /dev/nvme0n1\n",
                "--ondisk /dev/nvme0n1",
                Some(DiskBus::Scsi),
            ),
        ];
        for (text, pointed, bus) in cases {
            let expected = [(Severity::Error, pointed.to_string())];
            assert_eq!(found(text, &on(bus), "KS110"), expected, "{text}");
            assert_ne!(severity(text, &on(None), "KS110"), Some(Severity::Error));
        }
        for (text, bus) in [
            ("ignoredisk --only-use=vda\n", DiskBus::Virtio),
            ("ignoredisk --only-use=sda\n", DiskBus::Sata),
            ("ignoredisk --only-use=disk/by-id/x\n", DiskBus::Virtio),
            ("clearpart --all\n", DiskBus::Virtio),
        ] {
            assert_eq!(found(text, &on(Some(bus)), "KS110"), [], "{text}");
        }
        let text = "ignoredisk --only-use=sda\n";
        assert_eq!(alone(text, Rhel(9), "KS110"), Some(Severity::Note));
    }

    #[test]
    fn one_of_several_disks_must_be_chosen() {
        let with = |disks| Setting {
            disks: Some(disks),
            ..Setting::alone(Rhel(9))
        };
        let text = "clearpart --all\nautopart\n";
        assert_eq!(severity(text, &with(2), "KS111"), Some(Severity::Warning));
        assert_eq!(severity(text, &with(1), "KS111"), None);
        let text = "ignoredisk --only-use=sda\nautopart\n";
        assert_eq!(severity(text, &with(2), "KS111"), None);
    }

    #[test]
    fn the_disk_is_cleared() {
        assert_eq!(
            alone("autopart\n", Rhel(9), "KS112"),
            Some(Severity::Warning)
        );
        assert_eq!(alone("clearpart --all\n", Rhel(9), "KS112"), None);
        for id in ["KS112", "KS113"] {
            assert_eq!(
                alone("mount /dev/vda1 /\n", Rhel(9), id),
                Some(Severity::Note)
            );
        }
        assert_eq!(alone("%include /tmp/x\n", Rhel(9), "KS112"), None);
        let expected = [(Severity::Warning, "clearpart".to_string())];
        let setting = Setting::alone(Rhel(9));
        assert_eq!(found("clearpart --none\n", &setting, "KS112"), expected);
    }

    #[test]
    fn a_blank_disk_is_initialised() {
        for (version, expected) in [
            (Rhel(6), Severity::Error),
            (Rhel(7), Severity::Warning),
            (Fedora(40), Severity::Warning),
        ] {
            assert_eq!(alone("autopart\n", version, "KS113"), Some(expected));
            assert_eq!(alone("zerombr\n", version, "KS113"), None);
        }
    }

    #[test]
    fn nobody_chooses_disks() {
        for version in [Rhel(6), Rhel(7)] {
            let text = "ignoredisk --interactive\n";
            assert_eq!(alone(text, version, "KS114"), Some(Severity::Error));
        }
        assert_eq!(alone("ignoredisk --interactive\n", Rhel(8), "KS114"), None);
    }
}
