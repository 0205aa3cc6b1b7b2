//! Which disks are named, and what becomes of what is on them.

use super::{Check, at_command, at_option, has_any, has_pre, missing, running};
use crate::check::rules::Rule;
use crate::check::setting::Setting;
use crate::diagnostic::{Diagnostic, Severity};
use crate::language::Reading;
use crate::language::reading::Entry;
use crate::language::{Version, values};
use crate::machine::DiskBus;

/// KS110 and KS112 to KS115.
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
            It is an error where the machine is a guest of `ozr install`, whose only disk is `vda` \
            or `sda` by its bus, and a note elsewhere. Alternatives (`nvme0n1|sda|vda`) and \
            patterns (`vd*`) are tried in turn, and one that fits is enough. A drive of \
            `bootloader --driveorder` that is not there is only logged (anaconda, rhel7-branch \
            kickstart.py; modules/storage/bootloader/execution.py, _apply_drive_order). `ignoredisk \
            --drives` that names the only disk leaves none.\n\n\
            Name no disk: a machine that has one disk needs no name, and `bootloader --boot-drive`, \
            `ignoredisk --only-use` and `--ondisk` can go. Or write a path below /dev/disk/by-path \
            or by-id, or alternatives.",
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
    Rule {
        id: "KS115",
        title: "something is kept that a new disk does not have",
        explanation: "\
            A guest of `ozr install` starts with a blank disk, and the line names a partition, \
            volume or array that is on it already: `--onpart`, `--noformat`, `--useexisting`, \
            `mount`, `clearpart --list`. The installer stops: \"Partition \"vda1\" given in part \
            command does not exist\" and the like (anaconda, kickstart.py; \
            modules/storage/partitioning/custom/custom_partitioning.py). A `%pre` can make them, \
            so with one nothing is said.\n\n\
            Let the installer make what it needs: `part MOUNTPOINT --size=…` without `--onpart`.",
    },
];

/// The rules at work.
pub const CHECKS: &[Check] = &[named, kept, no_clearpart, no_zerombr, interactive];

/// Commands and options that name disks; every name must be there (anaconda, kickstart.py of
/// RHEL 6 and 7; modules/storage/kickstart.py, get_device_names; bootloader: "Requested boot
/// drive"). `--driveorder` is none of them.
const NAMING: [(&str, &[&str]); 4] = [
    ("clearpart", &["--drives", "--list"]),
    ("ignoredisk", &["--drives", "--only-use"]),
    ("part", &["--ondisk", "--onpart"]),
    ("bootloader", &["--boot-drive"]),
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

/// The only disk of a guest with this bus.
fn only_disk(bus: DiskBus) -> &'static str {
    match bus {
        DiskBus::Virtio => "vda",
        DiskBus::Scsi | DiskBus::Sata | DiskBus::Ide => "sda",
    }
}

/// Whether a guest with the only disk `own` has what `spec` names: a name, a pattern, or several
/// with `|` between them (anaconda, device_matches, RHEL 7 and later). Nothing where that cannot
/// be known: a path, a label, a name that is no kernel's.
fn exists(spec: &str, own: &str) -> Option<bool> {
    let mut known = true;
    for name in spec.split('|') {
        let name = name.trim();
        let name = name.strip_prefix("/dev/").unwrap_or(name);
        let is_pattern = name.contains(['*', '?', '[']);
        let fits = match glob::Pattern::new(name) {
            // With the number of a partition it is on that disk.
            Ok(pattern) => pattern.matches(own) || pattern.matches(&format!("{own}1")),
            Err(_) => false,
        } || !is_pattern && name.trim_end_matches(|c: char| c.is_ascii_digit()) == own;
        if fits {
            return Some(true);
        }
        known &= match is_pattern {
            true => ["sd", "vd", "hd", "xvd", "nvme"]
                .iter()
                .any(|start| name.starts_with(start)),
            false => named_bus(name).is_some(),
        };
    }
    known.then_some(false)
}

/// Every disk that a command names, with the option that does.
fn names(entry: &Entry) -> impl Iterator<Item = (&'static str, &str)> {
    let of = NAMING.iter().find(|(name, _)| *name == entry.name);
    let options = of.map_or([].as_slice(), |(_, options)| *options);
    options.iter().flat_map(move |option| {
        let value = entry.arguments().value(option).unwrap_or_default();
        let disks = values::list(value).into_iter();
        disks.map(move |disk| (*option, disk.trim()))
    })
}

fn named(reading: &Reading, setting: &Setting, findings: &mut Vec<Diagnostic>) {
    for entry in &reading.commands {
        let mut said = Vec::new();
        for (option, disk) in names(entry) {
            if said.contains(&option) {
                continue;
            }
            let (severity, message) = match (setting.disk_bus.map(only_disk), named_bus(disk)) {
                (Some(own), _) => match exists(disk, own) {
                    Some(true) if (entry.name, option) == ("ignoredisk", "--drives") => {
                        let message = format!("`ignoredisk` leaves out `{disk}`, the only disk");
                        (Severity::Error, message)
                    }
                    Some(false) => {
                        let message = format!(
                            "`{}` names the disk `{disk}`, and the guest has only `{own}`",
                            entry.name
                        );
                        (Severity::Error, message)
                    }
                    _ => continue,
                },
                (None, Some(Named::OldIde)) => {
                    let message =
                        format!("`{disk}` is a name that no kernel of this release gives a disk");
                    (Severity::Warning, message)
                }
                (None, Some(_)) => {
                    let message = format!(
                        "`{}` names the disk `{disk}`, which exists on one kind of bus only",
                        entry.name
                    );
                    (Severity::Note, message)
                }
                (None, None) => continue,
            };
            said.push(option);
            let help = match setting.disk_bus.map(only_disk) {
                Some(own) => format!("leave the name out, or write `{own}`"),
                None => "leave the name out: a machine with one disk needs none".to_string(),
            };
            let finding = at_option(reading, severity, entry, option, message);
            findings.push(finding.id("KS110").help(help));
        }
    }
}

fn kept(reading: &Reading, setting: &Setting, findings: &mut Vec<Diagnostic>) {
    if !setting.new_guest || !reading.complete || has_pre(reading) {
        return;
    }
    for entry in &reading.commands {
        let options: &[&str] = match entry.name {
            "part" => &["--onpart"],
            "raid" | "volgroup" | "logvol" | "btrfs" => &["--useexisting", "--noformat"],
            "clearpart" => &["--list"],
            "mount" if entry.arguments.is_some() => {
                // `mount none /mnt/x` and the like need no disk.
                let is_device = entry.arguments().first().is_some_and(|device| {
                    device.starts_with("/dev/") || named_bus(device).is_some()
                });
                if is_device {
                    let message = "`mount` takes a partition that a new guest's disk does not have";
                    let finding = at_command(reading, Severity::Error, entry, message);
                    findings.push(finding.id("KS115").help("write `part` lines instead"));
                }
                continue;
            }
            _ => continue,
        };
        if let Some(option) = options.iter().find(|option| entry.arguments().has(option)) {
            let message =
                format!("`{option}` names what a new guest's disk, which is blank, does not have");
            let finding = at_option(reading, Severity::Error, entry, option, message);
            let help = "leave the option out, so that the installer makes it";
            findings.push(finding.id("KS115").help(help));
        }
    }
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
    fn what_is_not_known_to_be_missing_is_no_error() {
        let guest = Setting {
            disk_bus: Some(DiskBus::Virtio),
            new_guest: true,
            ..Setting::alone(Rhel(9))
        };
        for text in [
            "bootloader --driveorder=sda,hda\n",
            "ignoredisk --only-use=nvme0n1|sda|vda\n",
            "ignoredisk --only-use=nvme*|vd*\n",
            "ignoredisk --only-use=sda|disk/by-id/x\n",
            "clearpart --all --drives=/dev/vd?\n",
            "part / --size=1 --ondisk=dm-0\n",
        ] {
            assert_eq!(found(text, &guest, "KS110"), [], "{text}");
        }
        for text in [
            "ignoredisk --only-use=vda,vdb\n",
            "ignoredisk --only-use=sd*|hd*\n",
            "ignoredisk --only-use=nvme0n1|sda\n",
            "ignoredisk --drives=vda\n",
            "ignoredisk --drives=vdb\n",
            "bootloader --boot-drive=vdb\n",
            "part / --size=1 --ondisk=vdb\n",
        ] {
            assert_eq!(
                severity(text, &guest, "KS110"),
                Some(Severity::Error),
                "{text}"
            );
        }
    }

    #[test]
    fn a_new_disk_is_blank() {
        let guest = Setting {
            disk_bus: Some(DiskBus::Virtio),
            new_guest: true,
            ..Setting::alone(Rhel(9))
        };
        for text in [
            "part / --onpart=vda1\n",
            "mount /dev/vda1 /\n",
            "volgroup vg --useexisting\n",
            "clearpart --list=vda1\n",
        ] {
            assert_eq!(
                severity(text, &guest, "KS115"),
                Some(Severity::Error),
                "{text}"
            );
            assert_eq!(alone(text, Rhel(9), "KS115"), None, "{text}");
            let made = format!("{text}%pre\nparted /dev/vda mklabel gpt\n%end\n");
            assert_eq!(found(&made, &guest, "KS115"), [], "{text}");
        }
        assert_eq!(found("part / --size=1\n", &guest, "KS115"), []);
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
