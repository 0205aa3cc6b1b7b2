//! Partitions, arrays and volumes that the installer refuses to make.

use std::collections::HashSet;

use super::{Lint, Linter, has_option, is_placeholder};
use crate::diagnostic::Severity::Error;
use crate::kickstart::words::Word;
use crate::language::reading::Entry;

/// KS106 to KS109 and KS116.
pub const LINTS: &[Lint] = &[
    unknown_file_system,
    defined_twice,
    few_members,
    no_passphrase,
    noformat,
];

/// Options of lines that make nothing: what they name is there.
pub const EXISTING: [&str; 2] = ["--useexisting", "--noformat"];

/// Names of formats that blivet finds (formats/__init__.py, get_format: their types, names and
/// udev's names), of all releases; a few may be switched off in one.
const FILE_SYSTEMS: &str = "ext2,ext3,ext4,ext4dev,xfs,swap,vfat,msdos,fat,fat16,fat32,exfat,efi,\
    efi system partition,btrfs,biosboot,bios boot,prepboot,ppc prep boot,appleboot,apple bootstrap,\
    macefi,linux hfs+ esp,hfs,hfs+,hfsplus,gfs2,jfs,reiserfs,nilfs2,f2fs,udf,ntfs,ntfs-3g,tmpfs,\
    lvmpv,mdmember,luks,stratis,iso9660,nfs,nfs4,none";

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
    let first = entry.arguments().first_word().unwrap_or_default();
    entry.arguments().has("--thinpool") || DECIDED.contains(&first) || is_member(first)
}

fn unknown_file_system(linter: &mut Linter<'_>) {
    for (command, option) in NAMING {
        for entry in linter.running(command) {
            let Some(name) = entry.arguments().filled(option) else {
                continue;
            };
            let lower = name.to_ascii_lowercase();
            let known = FILE_SYSTEMS.split(',').any(|known| known == lower);
            if !known && !is_decided(entry) && !is_placeholder(name) {
                let message = format!("the installer knows no file system `{name}`");
                let help = "write ext4, xfs, vfat or swap, or leave the option out";
                linter.at((entry, option), Error, "KS106", message, help);
            }
        }
    }
}

/// Whether a name stands for a piece of an array, a volume group or a btrfs volume.
pub fn is_member(name: &str) -> bool {
    let mut starts = ["pv.", "raid.", "btrfs."].iter();
    starts.any(|start| name.starts_with(start))
}

/// What a line makes that must have a name of its own (its kind, the group that it is in, its name),
/// and the line's first word. Members of arrays are used here and made elsewhere.
fn made(entry: &Entry) -> Option<([&str; 3], &Word)> {
    if has_option(entry, &EXISTING) {
        return None;
    }
    let arguments = entry.arguments();
    let first = arguments.words().next()?;
    let thing = match entry.name {
        "part" | "raid" if is_member(&first.text) => ["member", "", &first.text],
        "raid" => [
            "array",
            "",
            arguments.filled("--device")?.trim_start_matches("md"),
        ],
        "volgroup" => ["group", "", &first.text],
        "logvol" => [
            "volume",
            arguments.filled("--vgname")?,
            arguments.filled("--name")?,
        ],
        _ => return None,
    };
    (!thing.iter().any(|name| is_placeholder(name))).then_some((thing, first))
}

fn defined_twice(linter: &mut Linter<'_>) {
    let mut seen = HashSet::new();
    for entry in &linter.reading.commands {
        if let Some((thing, word)) = made(entry)
            && !seen.insert(thing)
        {
            let [_, _, name] = thing;
            let message = format!("`{name}` is defined a second time, which the installer refuses");
            let help = "give it a name of its own, or delete one of the lines";
            linter.at((entry.text, &word.span), Error, "KS107", message, help);
        }
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

fn few_members(linter: &mut Linter<'_>) {
    for (command, start, options) in [
        ("raid", "raid.", ["--level"].as_slice()),
        ("btrfs", "btrfs.", &["--data", "--metadata"]),
    ] {
        for entry in linter.running(command) {
            // Argparse does not take all of them for arguments.
            let words = entry.command.words[1..].iter();
            let members = words.filter(|word| word.text.starts_with(start)).count();
            let level = |option: &&str| entry.arguments().filled(option).unwrap_or_default();
            let mut options = options.iter();
            let option = options.find(|option| members < least_members(level(option)));
            // Members may be named by their disks: then nothing was counted.
            if let Some(option) = option
                && members > 0
                && !has_option(entry, &["--useexisting", "--noformat", "--subvol"])
            {
                let (level, least) = (level(option), least_members(level(option)));
                let message =
                    format!("level {level} needs {least} members, and there are {members}");
                let help = "add members, or use another level";
                linter.at((entry, *option), Error, "KS108", message, help);
            }
        }
    }
}

fn no_passphrase(linter: &mut Linter<'_>) {
    if !linter.reading.complete || linter.setting.adds_passphrase {
        return;
    }
    // In the order in which the installer runs them: it takes the first passphrase for all lines
    // behind it (anaconda, custom_partitioning.py, _get_passphrase).
    let commands = ["autopart", "part", "raid", "logvol"].into_iter();
    let reading = linter.reading;
    for entry in commands.flat_map(|name| reading.commands_named(name)) {
        // A line that was refused may have had one.
        if entry.arguments.is_none() {
            return;
        }
        if !entry.arguments().has("--encrypted") {
            continue;
        }
        if entry.arguments().filled("--passphrase").is_none() {
            let message = "neither this line nor one before it gives a passphrase, so the installer asks for it";
            let help = match linter.setting.new_guest {
                true => {
                    "name a file that holds it: `--luks-passphrase file:PATH`, or add `--passphrase=TEXT`"
                }
                false => "add `--passphrase=TEXT`",
            };
            linter.at((entry, "--encrypted"), Error, "KS109", message, help);
        }
        return;
    }
}

fn noformat(linter: &mut Linter<'_>) {
    for entry in linter.running("part") {
        let arguments = entry.arguments();
        if arguments.has("--noformat") && !arguments.has("--onpart") {
            let message = "`--noformat` keeps a partition, and no `--onpart` says which";
            let help = "leave `--noformat` out, or add `--onpart=PARTITION`";
            linter.at((entry, "--noformat"), Error, "KS116", message, help);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{alone, found};
    use crate::check::Setting;
    use crate::diagnostic::Severity;
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
            (
                "part / --size=1 --encrypted\npart /x --size=1 --encrypted --passphrase=x\n",
                Some("--encrypted"),
            ),
            (
                "logvol / --vgname=a --name=b --size=1 --encrypted\n\
                 part pv.1 --size=1 --encrypted --passphrase=x\n",
                None,
            ),
            ("part / --bogus\npart /x --size=1 --encrypted\n", None),
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
