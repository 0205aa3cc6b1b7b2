//! Partitions, arrays and volumes that the installer refuses to make.

use std::collections::HashSet;

use super::{Check, at_option, is_template, running};
use crate::check::rules::Rule;
use crate::check::setting::Setting;
use crate::diagnostic::{Diagnostic, Severity};
use crate::kickstart::words::Word;
use crate::language::Reading;
use crate::language::reading::Entry;

/// KS106 to KS109 and KS116.
pub const RULES: &[Rule] = &[
    Rule {
        id: "KS106",
        title: "a file system that does not exist",
        explanation: "\
            The installer can make the file systems that blivet knows (ext4, xfs, vfat, swap, efi, \
            biosboot, prepboot and a few more), and this is none of them. It stops before anything \
            is installed: \"The \"ext5\" file system type is not supported\" (anaconda, \
            modules/storage/partitioning/custom/custom_partitioning.py; kickstart.py of RHEL 6 and \
            7).\n\n\
            Correct the name, or leave the option out: the release has a default.",
    },
    Rule {
        id: "KS107",
        title: "a partition, array or volume that is defined twice",
        explanation: "\
            Two lines make a member, array, volume group or volume of one name. The installer \
            stops: \"PV partition \"pv.01\" is defined multiple times\", \"The volume group name \
            \"vg\" is already in use\" (anaconda, custom_partitioning.py; kickstart.py of RHEL 6 \
            and 7).\n\n\
            Give each a name of its own, or delete one of the lines. Two mount points that are \
            equal are no error: the later line takes the place of the earlier one, and KS012 warns.",
    },
    Rule {
        id: "KS108",
        title: "an array with too few members",
        explanation: "\
            A RAID level needs so many members: 0, 1 and 10 two, 4 and 5 three, 6 four. With fewer \
            the installer stops: \"RAID level raid1 requires that device have at least 2 members\" \
            (blivet, devices/raid.py, _validate_raid_level; devicelibs/raid.py).\n\n\
            Add members, or use another level. On a guest with one disk an array has little sense.",
    },
    Rule {
        id: "KS109",
        title: "encryption without a passphrase",
        explanation: "\
            `--encrypted` needs a passphrase, and no line has one (the first `--passphrase` holds \
            for later lines, too). In text mode the installer asks for it, in cmdline mode it gives \
            up (anaconda, ui/tui/spokes/storage.py; \"Encryption requested for LUKS device … but no \
            encryption key specified for this device\", storage checker, verify_luks_devices_have_\
            key).\n\n\
            Add `--passphrase=TEXT`, and change it when the image is used (`cryptsetup \
            luksChangeKey`): everybody who has the kickstart has the passphrase.",
    },
    Rule {
        id: "KS116",
        title: "`part --noformat` without `--onpart`",
        explanation: "\
            `--noformat` keeps a partition that is there, and `--onpart` says which. Without it \
            the installer stops: \"part --noformat must also use the --onpart option\" (anaconda, \
            custom_partitioning.py; kickstart.py of RHEL 6 and 7).\n\n\
            Leave `--noformat` out, so that the partition is made, or add `--onpart=PARTITION`.",
    },
];

/// The rules at work.
pub const CHECKS: &[Check] = &[
    unknown_file_system,
    defined_twice,
    few_members,
    no_passphrase,
    noformat,
];

/// Names of formats that blivet finds (formats/__init__.py, get_format: their types, names and
/// udev's names), of all releases; a few may be switched off in one.
const FILE_SYSTEMS: [&str; 43] = [
    "ext2",
    "ext3",
    "ext4",
    "ext4dev",
    "xfs",
    "swap",
    "vfat",
    "msdos",
    "fat",
    "fat16",
    "fat32",
    "exfat",
    "efi",
    "efi system partition",
    "btrfs",
    "biosboot",
    "bios boot",
    "prepboot",
    "ppc prep boot",
    "appleboot",
    "apple bootstrap",
    "macefi",
    "linux hfs+ esp",
    "hfs",
    "hfs+",
    "hfsplus",
    "gfs2",
    "jfs",
    "reiserfs",
    "nilfs2",
    "f2fs",
    "udf",
    "ntfs",
    "ntfs-3g",
    "tmpfs",
    "lvmpv",
    "mdmember",
    "luks",
    "stratis",
    "iso9660",
    "nfs",
    "nfs4",
    "none",
];

/// Where lines name file systems.
const NAMING: [(&str, &str); 5] = [
    ("part", "--fstype"),
    ("raid", "--fstype"),
    ("logvol", "--fstype"),
    ("autopart", "--fstype"),
    ("mount", "--reformat"),
];

/// Whether the first word of the line alone says what is made, whatever `--fstype` has.
fn is_decided(entry: &Entry) -> bool {
    const DECIDED: [&str; 5] = ["swap", "appleboot", "prepboot", "biosboot", "/boot/efi"];
    let first = entry.arguments().first().unwrap_or_default();
    entry.arguments().has("--thinpool") || DECIDED.contains(&first) || is_member(first)
}

fn unknown_file_system(reading: &Reading, _: &Setting, findings: &mut Vec<Diagnostic>) {
    for (command, option) in NAMING {
        for entry in running(reading, command) {
            let Some(name) = entry.arguments().filled(option) else {
                continue;
            };
            let known = FILE_SYSTEMS.contains(&name.to_ascii_lowercase().as_str());
            if known || is_decided(entry) || is_template(name) {
                continue;
            }
            let message = format!("the installer knows no file system `{name}`");
            let finding = at_option(reading, Severity::Error, entry, option, message);
            let help = "write ext4, xfs, vfat or swap, or leave the option out";
            findings.push(finding.id("KS106").help(help));
        }
    }
}

/// Whether a name stands for a piece of an array, a volume group or a btrfs volume.
fn is_member(name: &str) -> bool {
    ["pv.", "raid.", "btrfs."]
        .iter()
        .any(|start| name.starts_with(start))
}

/// What a line makes that must have a name of its own, and where the name stands; members of
/// arrays are used here and made elsewhere.
fn made(entry: &Entry) -> Option<(String, &Word)> {
    let arguments = entry.arguments();
    if ["--useexisting", "--noformat"]
        .iter()
        .any(|option| arguments.has(option))
    {
        return None;
    }
    let first = arguments.positionals().next()?;
    let name = match entry.name {
        "part" | "raid" if is_member(&first.text) => format!("member {}", first.text),
        "raid" => format!(
            "array {}",
            arguments.filled("--device")?.trim_start_matches("md")
        ),
        "volgroup" => format!("group {}", first.text),
        "logvol" => format!(
            "volume {} of {}",
            arguments.filled("--name")?,
            arguments.filled("--vgname")?
        ),
        _ => return None,
    };
    (!is_template(&name)).then_some((name, first))
}

fn defined_twice(reading: &Reading, _: &Setting, findings: &mut Vec<Diagnostic>) {
    let mut seen = HashSet::new();
    for entry in reading
        .commands
        .iter()
        .filter(|entry| entry.arguments.is_some())
    {
        let Some((name, word)) = made(entry) else {
            continue;
        };
        if seen.contains(&name) {
            let shown = name.split(' ').nth(1).unwrap_or_default();
            let message =
                format!("`{shown}` is defined a second time, which the installer refuses");
            let finding = reading.finding(Severity::Error, entry.text, word.span.clone(), message);
            let help = "give it a name of its own, or delete one of the lines";
            findings.push(finding.id("KS107").help(help));
        }
        seen.insert(name);
    }
}

/// The fewest members of a level (blivet, devicelibs/raid.py).
fn least_members(level: &str) -> usize {
    match level.to_ascii_lowercase().trim_start_matches("raid") {
        "0" | "1" | "10" => 2,
        "4" | "5" => 3,
        "6" => 4,
        // `linear`, `single`, `dup`.
        _ => 1,
    }
}

fn few_members(reading: &Reading, _: &Setting, findings: &mut Vec<Diagnostic>) {
    for (command, options) in [
        ("raid", ["--level"].as_slice()),
        ("btrfs", &["--data", "--metadata"]),
    ] {
        for entry in running(reading, command) {
            let arguments = entry.arguments();
            if ["--useexisting", "--noformat", "--subvol"]
                .iter()
                .any(|option| arguments.has(option))
            {
                continue;
            }
            let start = format!("{command}.");
            // Argparse does not take all of them for arguments.
            let words = entry.command.words[1..].iter();
            let members = words.filter(|word| word.text.starts_with(&start)).count();
            for option in options {
                let level = arguments.filled(option).unwrap_or_default();
                let least = least_members(level);
                // Members may be named by their disks: then nothing was counted.
                if members == 0 || members >= least {
                    continue;
                }
                let message =
                    format!("level {level} needs {least} members, and there are {members}");
                let finding = at_option(reading, Severity::Error, entry, option, message);
                findings.push(
                    finding
                        .id("KS108")
                        .help("add members, or use another level"),
                );
                break;
            }
        }
    }
}

fn no_passphrase(reading: &Reading, _: &Setting, findings: &mut Vec<Diagnostic>) {
    const ENCRYPTING: [&str; 4] = ["autopart", "part", "raid", "logvol"];
    let lines = || {
        ENCRYPTING
            .into_iter()
            .flat_map(|name| reading.commands_named(name))
    };
    // A line that was refused may have had one.
    let given = lines().any(|entry| {
        entry
            .arguments
            .as_ref()
            .is_none_or(|arguments| arguments.filled("--passphrase").is_some())
    });
    let Some(entry) = lines().find(|entry| entry.arguments().has("--encrypted")) else {
        return;
    };
    if given || !reading.complete {
        return;
    }
    let message = "nothing gives the passphrase of the encryption, so the installer asks for it";
    let finding = at_option(reading, Severity::Error, entry, "--encrypted", message);
    findings.push(finding.id("KS109").help("add `--passphrase=TEXT`"));
}

fn noformat(reading: &Reading, _: &Setting, findings: &mut Vec<Diagnostic>) {
    for entry in running(reading, "part") {
        let arguments = entry.arguments();
        if arguments.has("--noformat") && !arguments.has("--onpart") {
            let message = "`--noformat` keeps a partition, and no `--onpart` says which";
            let finding = at_option(reading, Severity::Error, entry, "--noformat", message);
            let help = "leave `--noformat` out, or add `--onpart=PARTITION`";
            findings.push(finding.id("KS116").help(help));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{alone, found};
    use super::*;
    use crate::language::Version::{Fedora, Rhel};

    #[test]
    fn what_the_installer_refuses() {
        let arrays = "part raid.1 --size=1\npart raid.2 --size=1\npart raid.3 --size=1\n";
        for (text, id, refused) in [
            ("part / --size=1 --fstype=ext5\n", "KS106", true),
            ("part / --size=1 --fstype=xfs\n", "KS106", false),
            (
                "part prepboot --size=1 --fstype=\"PPC PReP Boot\"\n",
                "KS106",
                false,
            ),
            ("part / --size=1 --fstype={{x}}\n", "KS106", false),
            ("mount /dev/vda1 / --reformat=zfs\n", "KS106", true),
            ("mount /dev/vda1 / --reformat\n", "KS106", false),
            ("part pv.1 --size=1\npart pv.1 --size=2\n", "KS107", true),
            (
                "part pv.1 --size=1\npart pv.2 --size=2\nvolgroup a pv.1\nvolgroup a pv.2\n",
                "KS107",
                true,
            ),
            (
                "part pv.1 --size=1\npart pv.2 --size=2\nvolgroup a pv.1 pv.2\n",
                "KS107",
                false,
            ),
            ("part swap --size=1\npart swap --size=2\n", "KS107", false),
            (
                "logvol / --vgname=a --name=r --size=1\nlogvol /x --vgname=a --name=r --size=1\n",
                "KS107",
                true,
            ),
            (
                "logvol / --vgname=a --name=r --size=1\nlogvol /x --vgname=b --name=r --size=1\n",
                "KS107",
                false,
            ),
            ("raid / --level=1 --device=md0 raid.1\n", "KS108", true),
            (
                "raid / --level=RAID5 --device=md0 raid.1 raid.2\n",
                "KS108",
                true,
            ),
            (
                "raid / --level=1 --device=md0 raid.1 raid.2\n",
                "KS108",
                false,
            ),
            (
                "raid / --level=6 --device=md0 raid.1 raid.2 raid.3\n",
                "KS108",
                true,
            ),
            (
                "raid / --level=1 --device=md0 --useexisting\n",
                "KS108",
                false,
            ),
            ("part / --size=1 --noformat\n", "KS116", true),
            ("part / --noformat --onpart=vda1\n", "KS116", false),
        ] {
            let text = format!("{}{text}", if id == "KS108" { arrays } else { "" });
            for version in [Rhel(7), Rhel(9), Fedora(40)] {
                let expected = refused.then_some(Severity::Error);
                // The command came later.
                if version != Rhel(7) || !text.starts_with("mount") {
                    assert_eq!(alone(&text, version, id), expected, "{text} {version}");
                }
            }
        }
    }

    #[test]
    fn encryption_needs_a_passphrase() {
        let setting = Setting::alone(Rhel(9));
        for (text, pointed) in [
            ("autopart --encrypted\n", Some("--encrypted")),
            ("part / --size=1 --encrypted\n", Some("--encrypted")),
            ("autopart --encrypted --passphrase=x\n", None),
            (
                "part / --size=1 --encrypted --passphrase=x\npart /x --size=1 --encrypted\n",
                None,
            ),
            ("autopart --encrypted\n%include http://m/x\n", None),
            ("autopart\n", None),
        ] {
            let expected: Vec<_> = pointed
                .map(|text| (Severity::Error, text.to_string()))
                .into_iter()
                .collect();
            assert_eq!(found(text, &setting, "KS109"), expected, "{text}");
        }
    }
}
