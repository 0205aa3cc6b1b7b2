//! Which disks are named, and what becomes of what is on them.

use super::{Lint, Linter, first_option, has_option};
use crate::diagnostic::Severity::{Error, Note, Warning};
use crate::language::{Version, values};

/// KS110 and KS112 to KS115.
pub const LINTS: &[Lint] = &[named, kept, no_clearpart, no_zerombr, interactive];

/// Commands and options that name disks; every name must be there (anaconda, kickstart.py of
/// RHEL 6 and 7; modules/storage/kickstart.py, get_device_names; bootloader: "Requested boot
/// drive"). `--driveorder` is none of them.
const NAMING: [(&str, &[&str]); 4] = [
    ("clearpart", &["--drives", "--list"]),
    ("ignoredisk", &["--drives", "--only-use"]),
    ("part", &["--ondisk", "--onpart"]),
    ("bootloader", &["--boot-drive"]),
];

/// What the kernel's names of disks begin with: SCSI, virtio, the old IDE driver (which RHEL 6
/// and later do not have), Xen, NVMe.
const PREFIXES: [&str; 5] = ["sd", "vd", "hd", "xvd", "nvme"];

/// What a name begins with that the kernel gives to disks on one kind of bus.
fn bus_prefix(disk: &str) -> Option<&'static str> {
    let disk = disk.strip_prefix("/dev/").unwrap_or(disk);
    PREFIXES.into_iter().find(|prefix| {
        let rest = disk.strip_prefix(prefix);
        let name = rest.map(|rest| rest.trim_end_matches(|c: char| c.is_ascii_digit()));
        let letters = |name: &str| {
            (1..=2).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase())
        };
        name.is_some_and(|name| *prefix == "nvme" || letters(name))
    })
}

/// Whether a guest with the disks `own` has what `spec` names: a name, a pattern, or several
/// with `|` between them (anaconda, device_matches, RHEL 7 and later). Nothing where that cannot
/// be known: a path, a label, a name that is no kernel's.
fn exists(spec: &str, own: &[String]) -> Option<bool> {
    let mut known = true;
    for name in spec.split('|') {
        let name = name.trim();
        let name = name.strip_prefix("/dev/").unwrap_or(name);
        let is_pattern = name.contains(['*', '?', '[']);
        // With the number of a partition it is on that disk.
        let matches = |pattern: glob::Pattern| {
            let mut own = own.iter();
            own.any(|own| pattern.matches(own) || pattern.matches(&format!("{own}1")))
        };
        let disk = name.trim_end_matches(|c: char| c.is_ascii_digit());
        if glob::Pattern::new(name).is_ok_and(matches)
            || !is_pattern && own.iter().any(|own| own == disk)
        {
            return Some(true);
        }
        known &= match is_pattern {
            true => PREFIXES.iter().any(|start| name.starts_with(start)),
            false => bus_prefix(name).is_some(),
        };
    }
    known.then_some(false)
}

fn named(linter: &mut Linter<'_>) {
    let disks = linter.setting.disks;
    let own: Option<Vec<String>> = linter
        .setting
        .disk_bus
        .map(|bus| (0..disks).map(|disk| bus.device(disk)).collect());
    let shown = own.as_ref().map(|own| shown(own));
    let help = match &shown {
        Some(own) if disks == 1 => format!("leave the name out, or write {own}"),
        Some(own) => format!("write one of {own}, or give the guest one disk more (`--disk`)"),
        None => "leave the name out: a machine with one disk needs none".to_string(),
    };
    for entry in &linter.reading.commands {
        let name = entry.name;
        let options = NAMING.iter().find(|(of, _)| *of == name);
        for option in options.map_or([].as_slice(), |(_, options)| options) {
            let named = values::list(entry.arguments().value(option).unwrap_or_default());
            let found = named.into_iter().find_map(|disk| match &own {
                Some(own) => match exists(disk, own)? {
                    true if (name, *option) == ("ignoredisk", "--drives") && disks == 1 => Some((
                        Error,
                        format!("`ignoredisk` leaves out `{disk}`, the only disk"),
                    )),
                    true => None,
                    false => Some((
                        Error,
                        format!(
                            "`{name}` names the disk `{disk}`, and the guest has only {}",
                            self::shown(own)
                        ),
                    )),
                },
                None => Some(match bus_prefix(disk)? {
                    "hd" => (
                        Warning,
                        format!("`{disk}` is a name that no kernel of this release gives a disk"),
                    ),
                    _ => (
                        Note,
                        format!(
                            "`{name}` names the disk `{disk}`, which exists on one kind of bus only"
                        ),
                    ),
                }),
            });
            if let Some((severity, message)) = found {
                linter.at((entry, *option), severity, "KS110", message, &help);
            }
        }
    }
}

/// Names of disks for people.
fn shown(disks: &[String]) -> String {
    match disks {
        [only] => format!("`{only}`"),
        [first, .., last] => format!("`{first}` to `{last}`"),
        [] => String::new(),
    }
}

fn kept(linter: &mut Linter<'_>) {
    if !linter.setting.new_guest || !linter.reading.complete || linter.has_pre() {
        return;
    }
    for entry in &linter.reading.commands {
        let options: &[&str] = match entry.name {
            "part" => &["--onpart"],
            "raid" | "volgroup" | "logvol" | "btrfs" => &["--useexisting", "--noformat"],
            "clearpart" => &["--list"],
            "mount" => {
                // `mount none /mnt/x` and the like need no disk.
                let is_device =
                    |device: &str| device.starts_with("/dev/") || bus_prefix(device).is_some();
                if entry.arguments().first().is_some_and(is_device) {
                    let message = "`mount` takes a partition that a new guest's disk does not have";
                    let help = "write `part` lines instead";
                    linter.at(entry, Error, "KS115", message, help);
                }
                continue;
            }
            _ => continue,
        };
        if let Some(option) = first_option(entry, options) {
            let message =
                format!("`{option}` names what a new guest's disk, which is blank, does not have");
            let help = "leave the option out, so that the installer makes it";
            linter.at((entry, option), Error, "KS115", message, help);
        }
    }
}

/// Whether partitions that are on the disk are kept on purpose.
fn keeps_partitions(linter: &Linter<'_>) -> bool {
    let keeps = |entry| has_option(entry, &["--onpart", "--noformat", "--useexisting"]);
    linter.has_any(&["mount"]) || linter.running("part").any(keeps)
}

fn no_clearpart(linter: &mut Linter<'_>) {
    const CLEARING: [&str; 6] = [
        "--all",
        "--linux",
        "--list",
        "--drives",
        "--cdl",
        "--initlabel",
    ];
    let keeps = keeps_partitions(linter);
    let help = "write `clearpart --all --initlabel`";
    match linter.reading.last("clearpart") {
        Some(entry) if keeps || entry.arguments.is_none() || has_option(entry, &CLEARING) => {}
        Some(entry) => {
            let message =
                "`clearpart` removes no partition here, so a disk that was used before has no room";
            linter.at(entry, Warning, "KS112", message, help);
        }
        None if !linter.reading.complete => {}
        None if keeps => {
            let message = "there is no `clearpart`: the partitions that the kickstart names must be there already";
            let help = "make them in a `%pre`, or write `clearpart` and let the installer do it";
            linter.missing(Note, "KS112", message, help);
        }
        None => {
            let message = "there is no `clearpart`, so a disk that was used before has no room for the system";
            linter.missing(Warning, "KS112", message, help);
        }
    }
}

/// Whether `clearpart` makes a partition table on a disk without one, as it does since RHEL 7
/// (blivet 0.61 to 3, `should_clear`).
fn clears_blank_disks(linter: &Linter<'_>) -> bool {
    let line = linter.reading.last("clearpart");
    line.is_some_and(|entry| has_option(entry, &["--all", "--initlabel"]))
}

fn no_zerombr(linter: &mut Linter<'_>) {
    if linter.has_any(&["zerombr"]) {
        return;
    }
    let (severity, message) = if keeps_partitions(linter) {
        (
            Note,
            "there is no `zerombr`: the disk must have a partition table already",
        )
    } else if linter.setting.version == Version::Rhel(6) {
        (
            Error,
            "there is no `zerombr`, so the installer asks whether to initialise a blank disk",
        )
    } else if clears_blank_disks(linter) {
        (
            Note,
            "there is no `zerombr`: in this release `clearpart` does it for a blank disk",
        )
    } else if linter.reading.complete {
        (
            Warning,
            "there is no `zerombr`, so a disk without a partition table may be left alone",
        )
    } else {
        return;
    };
    linter.missing(severity, "KS113", message, "add a line `zerombr`");
}

fn interactive(linter: &mut Linter<'_>) {
    // The installer of RHEL 7 has no such screen any more.
    let (severity, does) = match linter.setting.version {
        version if version.since(8, 29) => return,
        Version::Rhel(6) => (Error, "makes the installer ask"),
        _ => (Warning, "may make the installer ask"),
    };
    for entry in linter.running("ignoredisk") {
        if entry.arguments().has("--interactive") {
            let message = format!("`ignoredisk --interactive` {does} which disks to use");
            let help = "name the disk with `--only-use`, or delete the line";
            linter.at((entry, "--interactive"), severity, "KS114", message, help);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{alone, found, severity};
    use crate::check::Setting;
    use crate::diagnostic::Severity;
    use crate::language::Version::{Fedora, Rhel};
    use crate::machine::DiskBus;

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
    fn names_of_several_disks() {
        let guest = Setting {
            disk_bus: Some(DiskBus::Scsi),
            disks: 3,
            new_guest: true,
            ..Setting::alone(Rhel(9))
        };
        for text in [
            "ignoredisk --only-use=sda,sdc\n",
            "ignoredisk --drives=sdb\n",
            "clearpart --all --drives=sd?\n",
            "part /srv --size=1 --ondisk=/dev/sdb\n",
            "bootloader --boot-drive=sda\n",
        ] {
            assert_eq!(found(text, &guest, "KS110"), [], "{text}");
        }
        for text in [
            "ignoredisk --only-use=sda,sdd\n",
            "part /srv --size=1 --ondisk=vdb\n",
        ] {
            let found = severity(text, &guest, "KS110");
            assert_eq!(found, Some(Severity::Error), "{text}");
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
        for (text, version, expected) in [
            ("clearpart --all\n", Rhel(6), Severity::Error),
            ("clearpart --all\n", Rhel(7), Severity::Note),
            ("clearpart --none --initlabel\n", Rhel(9), Severity::Note),
            ("clearpart --linux\n", Rhel(9), Severity::Warning),
        ] {
            assert_eq!(alone(text, version, "KS113"), Some(expected), "{text}");
        }
    }

    #[test]
    fn nobody_chooses_disks() {
        for (version, expected) in [(Rhel(6), Severity::Error), (Rhel(7), Severity::Warning)] {
            let text = "ignoredisk --interactive\n";
            assert_eq!(alone(text, version, "KS114"), Some(expected));
        }
        assert_eq!(alone("ignoredisk --interactive\n", Rhel(8), "KS114"), None);
    }
}
