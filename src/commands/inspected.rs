//! What `ozr inspect` found, for people.

use std::fmt::Write as _;

use crate::image::disk::{human, total};
use crate::inspect::{Filesystem, Firmware, Inspection, Installed, Password, Storage};
use crate::printable;

/// How wide the column of names is, in characters.
const NAMES: usize = 12;

/// A text of `name   value` lines; further values of a name have none before them.
#[derive(Default)]
struct Lines {
    text: String,
    last: String,
}

impl Lines {
    fn add(&mut self, name: &str, value: impl AsRef<str>) {
        let shown = if self.last == name { "" } else { name };
        // Writing into a string does not fail.
        let _ = writeln!(
            self.text,
            "{shown:NAMES$} {}",
            printable::line(value.as_ref())
        );
        name.clone_into(&mut self.last);
    }

    fn add_some(&mut self, name: &str, value: Option<&String>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }
}

/// The text.
pub fn text(inspection: &Inspection) -> String {
    let mut lines = Lines::default();
    if let Some(system) = &inspection.system {
        release(&mut lines, system);
    }
    for disk in std::iter::once(&inspection.storage).chain(&inspection.more_disks) {
        storage(&mut lines, disk);
    }
    let firmware = inspection.firmware.iter().map(|firmware| match firmware {
        Firmware::Bios => "BIOS",
        Firmware::Uefi => "UEFI",
    });
    let firmware: Vec<&str> = firmware.collect();
    if !firmware.is_empty() {
        lines.add("boots with", firmware.join(", "));
    }
    if let Some(system) = &inspection.system {
        installed(&mut lines, system);
    }
    for trouble in &inspection.troubles {
        lines.add("not read", trouble);
    }
    lines.text
}

/// The part of it that tells what is on a disk.
pub fn storage_text(found: &Storage) -> String {
    let mut lines = Lines::default();
    storage(&mut lines, found);
    lines.text
}

fn release(lines: &mut Lines, system: &Installed) {
    let id = || system.release.id.clone();
    let name = system.release.name.clone().or_else(id);
    lines.add_some("system", name.as_ref());
    lines.add_some("architecture", system.arch.as_ref());
    lines.add_some("hostname", system.hostname.as_ref());
}

fn storage(lines: &mut Lines, storage: &Storage) {
    let table = match storage.table {
        Some(crate::disk::partitions::Kind::Gpt) => "GPT",
        Some(crate::disk::partitions::Kind::Mbr) => "MBR",
        None => "no partition table",
    };
    lines.add("disk", format!("{}, {table}", human(storage.size)));
    if let Some(filesystem) = &storage.filesystem {
        lines.add("disk", held(Some(filesystem)));
    }
    for partition in &storage.partitions {
        let kind = partition.type_name.as_ref().unwrap_or(&partition.kind);
        lines.add(
            "partitions",
            format!(
                "{:<3} {:>10}  {kind}: {}",
                partition.number,
                human(partition.size),
                held(partition.filesystem.as_ref())
            ),
        );
    }
    for volume in &storage.volumes {
        let size = volume.size.map_or_else(|| "?".to_owned(), human);
        let holds = match &volume.unreadable {
            Some(why) => why.clone(),
            None => held(volume.filesystem.as_ref()),
        };
        lines.add("volumes", format!("{} {size}: {holds}", volume.path));
    }
}

/// What something holds.
fn held(filesystem: Option<&Filesystem>) -> String {
    let Some(filesystem) = filesystem else {
        return "nothing that is known".to_owned();
    };
    let mut text = filesystem.kind.clone();
    for (tag, value) in [("LABEL", &filesystem.label), ("UUID", &filesystem.uuid)] {
        if let Some(value) = value {
            let _ = write!(text, " {tag}={value}");
        }
    }
    text
}

fn installed(lines: &mut Lines, system: &Installed) {
    for mount in &system.mounts {
        let subvolume = mount
            .subvolume
            .iter()
            .map(|name| format!(", subvolume {name}"));
        let subvolume: String = subvolume.collect();
        lines.add(
            "mounts",
            format!("{} {} on {}{subvolume}", mount.at, mount.kind, mount.on),
        );
    }
    for unreadable in &system.unreadable {
        lines.add(
            "mounts",
            format!("{}: not read: {}", unreadable.at, unreadable.why),
        );
    }
    for kernel in &system.kernels {
        let lacks = [(kernel.image, "image"), (kernel.initramfs, "initramfs")];
        let lacks = lacks.into_iter().filter(|(there, _)| !there);
        let lacks: String = lacks.map(|(_, what)| format!(", no {what}")).collect();
        lines.add("kernels", format!("{}{lacks}", kernel.version));
    }
    for entry in &system.boot_entries {
        lines.add(
            "boot entries",
            format!("{} {}", entry.linux, entry.arguments),
        );
    }
    lines.add_some("boots to", system.default_target.as_ref());
    if let Some(selinux) = &system.selinux {
        let policy = selinux.policy.iter().map(|policy| format!(", {policy}"));
        let policy: String = policy.collect();
        lines.add("SELinux", format!("{}{policy}", selinux.mode));
    }
    for user in &system.users {
        let password = match user.password {
            Password::Set => "a password",
            Password::Locked => "no password",
            Password::Empty => "AN EMPTY PASSWORD",
            Password::Unknown => "no entry in /etc/shadow",
        };
        let keys = match user.authorized_keys {
            0 => String::new(),
            1 => ", 1 SSH key".to_owned(),
            many => format!(", {many} SSH keys"),
        };
        let (name, uid, shell) = (&user.name, user.uid, &user.shell);
        lines.add("users", format!("{name} ({uid}) {shell}: {password}{keys}"));
    }
    for service in &system.services {
        lines.add("enabled", service);
    }
    match &system.packages {
        Some(packages) => {
            let size = total(packages.iter().map(|package| package.size));
            let count = packages.len();
            lines.add("packages", format!("{count}, {} of files", human(size)));
            for package in packages {
                lines.add("packages", package.nevra());
            }
        }
        None => lines.add("packages", "no RPM database"),
    }
}
