//! The storage layout: whether there is one, holds together, and fits on the disk.

use std::collections::HashSet;

use super::volumes::{EXISTING, is_member};
use super::{Lint, Linter, has_option, is_placeholder};
use crate::diagnostic::Severity::{Error, Note};
use crate::kickstart::words::Word;
use crate::language::reading::Entry;

/// KS101 to KS105.
pub const LINTS: &[Lint] = &[no_layout, no_root, undeclared, size];

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

fn no_layout(linter: &mut Linter<'_>) {
    if !linter.has_any(&LAYOUTS) {
        let message = "no command says how to divide the disk, so the installer would ask";
        let help = "add `autopart`, or `reqpart` and `part` lines";
        linter.missing(Error, "KS101", message, help);
    }
}

fn no_root(linter: &mut Linter<'_>) {
    let commands = linter.reading.commands.iter();
    let lines: Vec<&Entry> = commands
        .filter(|entry| LAYOUTS.contains(&entry.name))
        .collect();
    // A line that was refused may have had it.
    let may_be_there = |entry: &&Entry| {
        let is_root = |word: &Word| word.text == "/" || is_placeholder(&word.text);
        entry.name == "autopart"
            || entry.arguments.is_none()
            || entry.arguments().words().any(is_root)
    };
    if let Some(&first) = lines.first()
        && linter.reading.complete
        && !linter.has_any(&["rescue", "upgrade"])
        && !lines.iter().any(may_be_there)
    {
        let message = "nothing is mounted at `/`, and the installer refuses a layout without it";
        let help = "add `part / --size=2048 --grow`";
        linter.at(first, Error, "KS105", message, help);
    }
}

fn undeclared(linter: &mut Linter<'_>) {
    let reading = linter.reading;
    if !reading.complete || reading.texts.iter().any(|text| text.text.contains("{{")) {
        return;
    }
    let mut members = HashSet::new();
    let mut groups = HashSet::new();
    // A line that was refused declares all the same.
    for entry in &reading.commands {
        let words = entry.command.words.iter().skip(1);
        let names = words
            .map(|word| word.text.as_str())
            .filter(|name| !name.starts_with('-'));
        match entry.name {
            "part" | "logvol" => members.extend(names),
            // Its other words are what it is made of.
            "raid" => members.extend(names.filter(|name| !name.starts_with("raid."))),
            "volgroup" => groups.extend(names),
            _ => {}
        }
    }
    let help = "declare it with a line of its own, or correct the name";
    for entry in &reading.commands {
        let (name, words) = (entry.name, &entry.command.words[1..]);
        let exists = words
            .iter()
            .any(|word| EXISTING.contains(&word.text.as_str()) || word.text == "--subvol");
        if !matches!(name, "volgroup" | "raid" | "btrfs") || exists {
            continue;
        }
        // Argparse does not take all of them for arguments.
        for word in words {
            if is_member(&word.text) && !members.contains(word.text.as_str()) {
                let message = format!("`{name}` uses `{}`, which no line creates", word.text);
                linter.at((entry.text, &word.span), Error, "KS102", message, help);
            }
        }
    }
    let mut pools = HashSet::new();
    for entry in linter.running("logvol") {
        let arguments = entry.arguments();
        let Some(group) = arguments.filled("--vgname") else {
            continue;
        };
        if arguments.has("--thinpool") {
            pools.extend(arguments.filled("--name").map(|name| (group, name)));
        }
        if let Some(pool) = arguments.filled("--poolname")
            && arguments.has("--thin")
            && !pools.contains(&(group, pool))
        {
            let message =
                format!("no line before this one makes the thin pool `{pool}` in `{group}`");
            let help = "make it with `logvol none --thinpool --name=…` before it is used";
            linter.at((entry, "--poolname"), Error, "KS102", message, help);
        }
        let mut caches = arguments.list("--cachepvs").into_iter();
        if let Some(cache) = caches.find(|cache| !members.contains(cache)) {
            let message = format!("`logvol` uses `{cache}`, which no line creates");
            linter.at((entry, "--cachepvs"), Error, "KS102", message, help);
        }
        if !has_option(entry, &EXISTING) && !groups.contains(group) && !is_placeholder(group) {
            let message = format!("the volume group `{group}` is created by no `volgroup` line");
            let help = "declare it with `volgroup`, or correct the name";
            linter.at((entry, "--vgname"), Error, "KS102", message, help);
        }
    }
}

/// What the lines ask of the disks: MiB at least, and whether something takes what is left. Only
/// where that says something: of one disk or all of them, and no partition that is there already.
fn asked(linter: &Linter<'_>) -> Option<(u64, bool)> {
    let size = |entry: &Entry| {
        let size = entry.arguments().integer("--size").unwrap_or_default();
        u64::try_from(size).unwrap_or_default()
    };
    let mut disks = HashSet::new();
    let (mut plain, mut physical, mut logical) = (0_u64, 0_u64, 0_u64);
    let mut grows = false;
    for entry in linter.running("part") {
        if has_option(entry, &["--onpart", "--noformat", "--recommended"]) {
            return None;
        }
        let arguments = entry.arguments();
        // It is in memory.
        if arguments.value("--fstype") == Some("tmpfs") {
            continue;
        }
        disks.extend(arguments.value("--ondisk"));
        grows |= arguments.has("--grow");
        let is_physical = arguments
            .first_word()
            .is_some_and(|name| name.starts_with("pv."));
        let sum = if is_physical {
            &mut physical
        } else {
            &mut plain
        };
        *sum = sum.saturating_add(size(entry));
    }
    for entry in linter.running("logvol") {
        // What is thin takes its space from a pool that is counted.
        if !has_option(entry, &["--thin", "--useexisting"]) {
            logical = logical.saturating_add(size(entry));
        }
    }
    let least = plain.saturating_add(physical.max(logical));
    (disks.len() < 2 || disks.len() == linter.setting.disks).then_some((least, grows))
}

fn size(linter: &mut Linter<'_>) {
    let (Some(disk), Some((least, grows))) = (linter.setting.disk_bytes, asked(linter)) else {
        return;
    };
    let Some(last) = linter.running("part").next_back() else {
        return;
    };
    let disk = disk / MIB;
    let has = match linter.setting.disks {
        1 => "the disk has",
        _ => "the disks have",
    };
    if least > disk {
        let message = format!("the partitions take at least {least} MiB, and {has} {disk} MiB");
        let needed = least.div_ceil(1024) + 1;
        let help = format!("enlarge the disk to {needed} GiB or more, or lower the sizes");
        linter.at(last, Error, "KS103", message, help);
    } else if disk - least > UNUSED
        && !grows
        && linter.reading.complete
        && linter.setting.disks == 1
    {
        let unused = disk - least;
        let message = format!("no partition grows, so {unused} MiB of the disk stay unused");
        let help = "add `--grow` to the last partition";
        linter.at(last, Note, "KS104", message, help);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{alone, found, severity};
    use crate::check::Setting;
    use crate::diagnostic::Severity;
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
        // What is left over of a line counts, too.
        for (at, expected) in [("/", None), ("/home", Some(Severity::Error))] {
            let text = format!(
                "part btrfs.1 --size=1\nbtrfs none --label=l btrfs.1\n\
                 btrfs {at} --subvol --name=n l\n"
            );
            assert_eq!(alone(&text, Fedora(40), "KS105"), expected, "{text}");
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
        let memory = "part / --size=9\npart /tmp --fstype=tmpfs --size=99\n";
        assert_eq!(severity(memory, &setting(9), "KS103"), None);
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
