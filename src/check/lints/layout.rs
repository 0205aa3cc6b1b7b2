//! The storage layout: whether there is one, holds together, and fits on the disk.

use std::collections::BTreeSet;

use super::{Check, at_command, at_option, has_any, missing, running};
use crate::check::rules::Rule;
use crate::check::setting::Setting;
use crate::diagnostic::{Diagnostic, Severity};
use crate::kickstart::words::Word;
use crate::language::Reading;
use crate::language::reading::Entry;

/// KS101 to KS105.
pub const RULES: &[Rule] = &[
    Rule {
        id: "KS101",
        title: "no storage layout",
        explanation: "\
            Nothing says how to divide the disk: there is no `autopart`, `part`, `mount`, `raid`, \
            `volgroup`, `logvol`, `btrfs` or `stratispool`. The storage screen is one that the \
            installer must have completed (anaconda, pyanaconda/ui/tui/spokes/storage.py, RHEL 7 \
            and later; RHEL 6 opens its partitioning screen): in text mode it waits for an answer, \
            in cmdline mode it gives up.\n\n\
            Add `autopart`, with `clearpart --all --initlabel` and `zerombr` before it, or \
            `reqpart` and a `part` line for each file system. Where the file includes others that \
            were not read, the layout may be there, and this is a note.",
    },
    Rule {
        id: "KS102",
        title: "volume group, pool or member that nothing declares",
        explanation: "\
            A `volgroup` or `raid` line names a member such as `pv.01`, or a `logvol` line names a \
            volume group, that no other line creates. Every installer stops there before it \
            touches the disk (anaconda, kickstart.py and modules/storage/partitioning/custom: \
            \"Tried to use undefined partition\", \"No volume group exists with the name\", \"No thin pool exists with the name\"), and \
            waits.\n\n\
            Declare the member with a `part` line before it is used, or correct the name. \
            `--useexisting` and `--noformat` name what is on the disk already, and are left alone.",
    },
    Rule {
        id: "KS103",
        title: "partitions larger than the disk",
        explanation: "\
            The sizes of the lines add up to more than the disk has. `--size` is a minimum in MiB, \
            also with `--grow`, so the installer cannot place them (blivet: \"not enough free \
            space on disks\", \"Unable to allocate requested partition scheme\") and stops before \
            it has installed anything.\n\n\
            This is judged only where the size of the disk is known: from the template or from \
            `--disk-size`. Enlarge the disk, or lower the sizes and let one partition grow.",
    },
    Rule {
        id: "KS104",
        title: "nothing grows to fill the disk",
        explanation: "\
            All sizes are fixed, and together they leave more than a GiB of the disk unused. The \
            image works; the space cannot be used without partitioning again, and a larger copy of \
            the disk is not picked up by growpart if another partition stands last.\n\n\
            Add `--grow` to the last partition, usually `/` or the physical volume. This is judged \
            only where the size of the disk is known.",
    },
    Rule {
        id: "KS105",
        title: "no root file system",
        explanation: "\
            The lines lay out the disk by hand, and none of them is mounted at `/`. The installer \
            refuses the layout: \"You have not defined a root partition (/), which is required for \
            installation … to continue\" (anaconda, modules/storage/checker/utils.py, verify_root; \
            storage/__init__.py, sanityCheck, of RHEL 6 and 7).\n\n\
            Add `part / --size=2048 --grow`, or a `logvol` or `raid` line with the mount point `/`.",
    },
];

/// The rules at work.
pub const CHECKS: &[Check] = &[no_layout, no_root, undeclared, too_large, nothing_grows];

/// Commands that say where a file system goes.
const LAYOUTS: [&str; 8] = [
    "autopart",
    "part",
    "mount",
    "raid",
    "logvol",
    "btrfs",
    "stratispool",
    "stratisfs",
];

const MIB: u64 = 1 << 20;

/// Space that may well be left over, in MiB.
const UNUSED: u64 = 1024;

fn no_layout(reading: &Reading, _setting: &Setting, findings: &mut Vec<Diagnostic>) {
    if has_any(reading, &LAYOUTS) {
        return;
    }
    let message = "no command says how to divide the disk, so the installer would ask";
    findings.push(
        missing(reading, Severity::Error, message)
            .id("KS101")
            .help("add `autopart`, or `reqpart` and `part` lines"),
    );
}

fn no_root(reading: &Reading, _setting: &Setting, findings: &mut Vec<Diagnostic>) {
    let lines = || {
        reading
            .commands
            .iter()
            .filter(|entry| LAYOUTS.contains(&entry.name))
    };
    // A line that was refused may have had it.
    let may_be_there = |entry: &Entry| {
        let is_root = |word: &Word| word.text == "/" || super::is_template(&word.text);
        entry.name == "autopart"
            || entry.arguments.is_none()
            || entry.arguments().positionals().any(is_root)
    };
    let Some(first) = lines().next() else {
        return;
    };
    if !reading.complete || has_any(reading, &["rescue", "upgrade"]) || lines().any(may_be_there) {
        return;
    }
    let message = "nothing is mounted at `/`, and the installer refuses a layout without it";
    let finding = at_command(reading, Severity::Error, first, message);
    findings.push(finding.id("KS105").help("add `part / --size=2048 --grow`"));
}

fn undeclared(reading: &Reading, _setting: &Setting, findings: &mut Vec<Diagnostic>) {
    // A line that was refused declares all the same, and an include may.
    if !reading.complete || reading.texts.iter().any(|text| text.text.contains("{{")) {
        return;
    }
    let mut members = BTreeSet::new();
    let mut groups = BTreeSet::new();
    for entry in &reading.commands {
        let first = entry.command.words.get(1..).unwrap_or_default();
        let names = first.iter().filter(|word| !word.text.starts_with('-'));
        match entry.name {
            "part" | "logvol" => members.extend(names.map(|word| word.text.as_str())),
            // Its other words are what it is made of.
            "raid" => {
                let made = names.map(|word| word.text.as_str());
                members.extend(made.filter(|name| !name.starts_with("raid.")));
            }
            "volgroup" => groups.extend(names.map(|word| word.text.as_str())),
            _ => {}
        }
    }
    let mut unknown = |entry: &Entry, word: &Word, message: String| {
        let help = "declare it with a line of its own, or correct the name";
        let finding = reading.finding(Severity::Error, entry.text, word.span.clone(), message);
        findings.push(finding.id("KS102").help(help));
    };
    for name in ["volgroup", "raid", "btrfs"] {
        for entry in reading.commands_named(name) {
            let words = &entry.command.words;
            if ["--useexisting", "--noformat", "--subvol"]
                .iter()
                .any(|option| words.iter().any(|word| word.text == *option))
            {
                continue;
            }
            // Argparse does not take all of them for arguments.
            for word in &entry.command.words[1..] {
                let reference = ["pv.", "raid.", "btrfs."]
                    .iter()
                    .any(|prefix| word.text.starts_with(prefix));
                if reference && !members.contains(word.text.as_str()) {
                    let message = format!("`{name}` uses `{}`, which no line creates", word.text);
                    unknown(entry, word, message);
                }
            }
        }
    }
    let mut pools = BTreeSet::new();
    for entry in running(reading, "logvol") {
        let arguments = entry.arguments();
        let Some(group) = arguments.filled("--vgname") else {
            continue;
        };
        if arguments.has("--thinpool") {
            pools.extend(arguments.filled("--name").map(|name| (group, name)));
        }
        let pool = arguments
            .filled("--poolname")
            .filter(|_| arguments.has("--thin"));
        if let Some(pool) = pool.filter(|pool| !pools.contains(&(group, *pool))) {
            let message =
                format!("no line before this one makes the thin pool `{pool}` in `{group}`");
            let finding = at_option(reading, Severity::Error, entry, "--poolname", message);
            let help = "make it with `logvol none --thinpool --name=…` before it is used";
            findings.push(finding.id("KS102").help(help));
        }
        let mut caches = arguments.list("--cachepvs").into_iter();
        if let Some(cache) = caches.find(|cache| !members.contains(cache.trim())) {
            let message = format!("`logvol` uses `{}`, which no line creates", cache.trim());
            let finding = at_option(reading, Severity::Error, entry, "--cachepvs", message);
            let help = "declare it with a line of its own, or correct the name";
            findings.push(finding.id("KS102").help(help));
        }
        let existing = arguments.has("--useexisting") || arguments.has("--noformat");
        if existing || groups.contains(group) || super::is_template(group) {
            continue;
        }
        let message = format!("the volume group `{group}` is created by no `volgroup` line");
        let finding = at_option(reading, Severity::Error, entry, "--vgname", message);
        let help = "declare it with `volgroup`, or correct the name";
        findings.push(finding.id("KS102").help(help));
    }
}

/// What the lines ask of the disk.
struct Sizes {
    /// In MiB, at least.
    least: u64,
    /// Something takes what is left.
    grows: bool,
}

/// Adds up the sizes, where that says something: one disk, and no partition that is there already.
fn sizes(reading: &Reading) -> Option<Sizes> {
    let mut disks = BTreeSet::new();
    let (mut plain, mut physical, mut logical) = (0_u64, 0_u64, 0_u64);
    let mut grows = false;
    let size = |entry: &Entry| {
        let size = entry.arguments().integer("--size").unwrap_or_default();
        u64::try_from(size).unwrap_or_default()
    };
    let mut parts = 0;
    for entry in running(reading, "part") {
        let arguments = entry.arguments();
        if ["--onpart", "--noformat", "--recommended"]
            .iter()
            .any(|option| arguments.has(option))
        {
            return None;
        }
        parts += 1;
        disks.extend(arguments.value("--ondisk"));
        grows |= arguments.has("--grow");
        let first = arguments.first().unwrap_or_default();
        if first.starts_with("pv.") {
            physical = physical.saturating_add(size(entry));
        } else {
            plain = plain.saturating_add(size(entry));
        }
    }
    for entry in running(reading, "logvol") {
        let arguments = entry.arguments();
        // What is thin takes its space from a pool that is counted.
        if !arguments.has("--thin") && !arguments.has("--useexisting") {
            logical = logical.saturating_add(size(entry));
        }
    }
    (parts > 0 && disks.len() < 2).then(|| Sizes {
        least: plain.saturating_add(physical.max(logical)),
        grows,
    })
}

fn too_large(reading: &Reading, setting: &Setting, findings: &mut Vec<Diagnostic>) {
    let (Some(disk), Some(sizes)) = (setting.disk_bytes, sizes(reading)) else {
        return;
    };
    let disk = disk / MIB;
    if sizes.least <= disk {
        return;
    }
    let Some(last) = running(reading, "part").next_back() else {
        return;
    };
    let least = sizes.least;
    let message = format!("the partitions take at least {least} MiB, and the disk has {disk} MiB");
    findings.push(
        at_command(reading, Severity::Error, last, message)
            .id("KS103")
            .help(format!(
                "enlarge the disk to {} GiB or more, or lower the sizes",
                least.div_ceil(1024) + 1
            )),
    );
}

fn nothing_grows(reading: &Reading, setting: &Setting, findings: &mut Vec<Diagnostic>) {
    let (Some(disk), Some(sizes)) = (setting.disk_bytes, sizes(reading)) else {
        return;
    };
    let unused = (disk / MIB).saturating_sub(sizes.least);
    if sizes.grows || unused <= UNUSED || !reading.complete {
        return;
    }
    let Some(last) = running(reading, "part").next_back() else {
        return;
    };
    let message = format!("no partition grows, so {unused} MiB of the disk stay unused");
    findings.push(
        at_command(reading, Severity::Note, last, message)
            .id("KS104")
            .help("add `--grow` to the last partition"),
    );
}

#[cfg(test)]
mod tests {
    use super::super::testing::{alone, found, severity};
    use super::*;
    use crate::language::Version::{Fedora, Rhel};

    #[test]
    fn a_layout_must_be_there() {
        for text in [
            "autopart\n",
            "part / --size=1\n",
            "mount /dev/vda1 /\n",
            "part / --siez=1\n",
        ] {
            assert_eq!(alone(text, Rhel(9), "KS101"), None, "{text}");
        }
        for version in [Rhel(6), Rhel(10), Fedora(40)] {
            let severity = alone("text\nclearpart --all\n", version, "KS101");
            assert_eq!(severity, Some(Severity::Error));
        }
        let severity = alone("%include /tmp/parts\n", Rhel(9), "KS101");
        assert_eq!(severity, Some(Severity::Note));
    }

    #[test]
    fn something_is_the_root() {
        for (text, expected) in [
            (
                "part /boot --size=1\npart /home --size=1\n",
                Some(Severity::Error),
            ),
            (
                "part pv.1 --size=1\nvolgroup v pv.1\nlogvol swap --vgname=v --name=s --size=1\n",
                Some(Severity::Error),
            ),
            ("mount /dev/vda1 /boot\n", Some(Severity::Error)),
            ("mount /dev/vda1 /\n", None),
            (
                "part /boot --size=1\nlogvol / --vgname=v --name=r --size=1\n",
                None,
            ),
            ("part /boot --size=1\npart / --bogus\n", None),
            ("part /boot --size=1\n%include /tmp/x\n", None),
            ("autopart\n", None),
            ("reqpart\n", None),
        ] {
            assert_eq!(alone(text, Rhel(9), "KS105"), expected, "{text}");
        }
    }

    #[test]
    fn what_is_used_must_be_declared() {
        let setting = Setting::alone(Rhel(9));
        let good = "part pv.1 --size=1\nvolgroup vg pv.1\nlogvol / --vgname=vg --name=r --size=1\n\
                    logvol none --vgname=vg --name=p --size=1 --thinpool\n\
                    logvol /x --vgname=vg --name=x --size=1 --thin --poolname=p\n\
                    part raid.1 --size=1\npart raid.2 --size=1\n\
                    raid pv.2 --level=1 --device=md0 raid.1 raid.2\nvolgroup w pv.2\n";
        assert_eq!(found(good, &setting, "KS102"), []);
        for (text, pointed) in [
            ("volgroup vg pv.01\n", "pv.01"),
            ("logvol / --vgname=vg --name=r --size=1\n", "--vgname=vg"),
            (
                "part pv.1 --size=9\nvolgroup v pv.1\n\
                 logvol / --vgname=v --name=r --size=1 --thin --poolname=pool\n",
                "--poolname=pool",
            ),
            (
                "part pv.1 --size=9\nvolgroup v pv.1\nlogvol / --vgname=v --name=r --size=1 \
                 --cachesize=1 --cachepvs=pv.2\n",
                "--cachepvs=pv.2",
            ),
            (
                "part raid.1 --size=1\nraid / --level=1 --device=md0 raid.1 raid.3\n",
                "raid.3",
            ),
        ] {
            let expected = [(Severity::Error, pointed.to_string())];
            assert_eq!(found(text, &setting, "KS102"), expected, "{text}");
        }
        for text in [
            "volgroup vg --useexisting\nlogvol / --vgname=vg --name=r --useexisting\n",
            "logvol / --vgname=old --name=r --useexisting\n",
            "%include /tmp/x\nvolgroup vg pv.01\n",
        ] {
            assert_eq!(found(text, &setting, "KS102"), [], "{text}");
        }
    }

    #[test]
    fn the_disk_must_be_large_enough() {
        let setting = |mib: u64| Setting {
            disk_bytes: Some(mib << 20),
            ..Setting::alone(Rhel(9))
        };
        let text = "part /boot --size=1024\npart pv.1 --size=100 --grow\nvolgroup vg pv.1\n\
                    logvol / --vgname=vg --name=r --size=8192\n";
        assert_eq!(severity(text, &setting(9216), "KS103"), None);
        assert_eq!(
            severity(text, &setting(9215), "KS103"),
            Some(Severity::Error)
        );
        assert_eq!(alone(text, Rhel(9), "KS103"), None);
        let partial = "part / --size=99999 --onpart=vda1\n";
        assert_eq!(severity(partial, &setting(9), "KS103"), None);
    }

    #[test]
    fn something_should_grow() {
        let setting = Setting {
            disk_bytes: Some(10 << 30),
            ..Setting::alone(Rhel(9))
        };
        let expected = [(Severity::Note, "part".to_string())];
        assert_eq!(found("part / --size=4096\n", &setting, "KS104"), expected);
        assert_eq!(found("part / --size=4096 --grow\n", &setting, "KS104"), []);
        assert_eq!(found("part / --size=10000\n", &setting, "KS104"), []);
        assert_eq!(found("autopart\n", &setting, "KS104"), []);
    }
}
