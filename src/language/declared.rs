//! What the lines of a kickstart have declared so far: for duplicates, for commands that cannot
//! stand together, and for names that other lines refer to.

use std::collections::{BTreeMap, BTreeSet};

use super::Version;
use super::arguments::Arguments;
use super::problem::{Problem, id};
use super::values::integer;

/// What earlier lines declared.
#[derive(Debug, Clone, Default)]
pub struct Declared {
    /// Commands by name, with the first line of each.
    commands: BTreeMap<&'static str, usize>,
    /// Things by kind and name: `("mount point", "/boot")`.
    things: BTreeSet<(&'static str, String)>,
    /// Values that outlast their line, by command and option.
    kept: BTreeMap<(&'static str, &'static str), String>,
}

impl Declared {
    /// The first line where a command stands.
    pub fn line_of(&self, command: &str) -> Option<usize> {
        self.commands.get(command).copied()
    }

    /// Notes a command.
    pub fn command(&mut self, name: &'static str, line: usize) {
        self.commands.entry(name).or_insert(line);
    }

    /// Whether a thing was declared.
    pub fn has(&self, kind: &'static str, name: &str) -> bool {
        self.things.contains(&(kind, name.to_string()))
    }

    /// The value of the option that an earlier line of the command set.
    pub fn kept(&self, command: &'static str, option: &'static str) -> Option<&str> {
        self.kept.get(&(command, option)).map(String::as_str)
    }

    /// Notes a value that outlasts its line.
    pub fn keep(&mut self, command: &'static str, option: &'static str, value: String) {
        self.kept.insert((command, option), value);
    }

    /// Notes what an accepted line declares; says so if it was declared before.
    pub fn thing(
        &mut self,
        version: Version,
        command: &str,
        arguments: &Arguments,
    ) -> Option<Problem> {
        let (kind, name) = thing(version, command, arguments)?;
        if self.things.insert((kind, name.clone())) {
            return None;
        }
        let (message, help) = match (kind, name.as_str()) {
            (NETWORK, "") => (
                "a `network` line without `--device` stands there already".to_string(),
                "add `--device`, or write both as one line",
            ),
            _ => (
                format!("the {kind} `{name}` is declared twice"),
                "remove one of the lines, or name them differently",
            ),
        };
        Some(Problem::warning(id::DUPLICATE, message).help(help))
    }
}

/// What a path of a multipath device is noted as; a rule refuses the second.
pub const MULTIPATH: &str = "path of a multipath device";

/// What a snapshot is noted as; a rule refuses the second.
pub const SNAPSHOT: &str = "snapshot";

/// What `network` declares, which is the only thing that may have no name.
const NETWORK: &str = "network device";

/// What is known by the values of options: the command, what it declares, the options.
const BY_OPTIONS: [(&str, &str, &[&str]); 12] = [
    ("fcoe", "FCoE device", &["--nic"]),
    ("group", "group", &["--name"]),
    ("logvol", "logical volume", &["--vgname", "--name"]),
    ("multipath", MULTIPATH, &["--device"]),
    ("network", NETWORK, &["--device"]),
    ("repo", "repository", &["--name"]),
    ("snapshot", SNAPSHOT, &["--name"]),
    ("sshkey", "SSH key of", &["--username"]),
    ("sshpw", "SSH account", &["--username"]),
    (
        "stratisfs",
        "Stratis file system",
        &["--poolname", "--name"],
    ),
    ("user", "user", &["--name"]),
    ("zfcp", "zFCP device", &["--devnum", "--wwpn", "--fcplun"]),
];

/// What an accepted line declares that may be declared only once: its kind, as messages call it,
/// and its name among its kind.
///
/// The facts are what pykickstart's data classes compare (3.78, `commands/*.py`, `__eq__`), where
/// the command looks at what it has already. Others, such as `mount` and `iscsi`, do not look.
fn thing(version: Version, command: &str, arguments: &Arguments) -> Option<(&'static str, String)> {
    let option = |name: &str| arguments.value(name).unwrap_or_default();
    if let Some((_, kind, options)) = BY_OPTIONS.iter().find(|(name, ..)| *name == command) {
        let values: Vec<&str> = options.iter().map(|name| option(name)).collect();
        return Some((*kind, values.join("/")));
    }
    let first = arguments.first().unwrap_or_default();
    // `btrfs` and `device` have no arguments of their own: their words are left over.
    let leftover = arguments.leftovers.first();
    let leftover = leftover.map_or("", |word| word.text.as_str());
    Some(match command {
        "part" if first == "swap" => return None,
        "part" => ("mount point", mount_point(first)),
        "raid" => {
            let device = raid_device(version, option("--device"));
            let number = integer(device).filter(|_| !version.since(7, 0));
            let name = number.map_or(device.to_string(), |number| number.to_string());
            ("RAID device", name)
        }
        "volgroup" => ("volume group", first.to_string()),
        "btrfs" => ("btrfs mount point", mount_point(leftover)),
        "device" => ("module", leftover.to_string()),
        "dmraid" => {
            let name = option("--name").rsplit('/').next().unwrap_or_default();
            let devices: Vec<&str> = arguments.values("--dev").collect();
            ("DM RAID", format!("{name} {}", devices.join(" ")))
        }
        // A rule asks for one of the two.
        "nvdimm" => match arguments.filled("--namespace") {
            Some(name) => ("action", format!("{first} {name}")),
            None => {
                let devices = arguments.list("--blockdevs").join(",");
                ("action on devices", format!("{first} {devices}"))
            }
        },
        "stratispool" => ("Stratis pool", first.to_string()),
        _ => return None,
    })
}

/// The name of a RAID device as the version keeps it: up to Fedora 42 and RHEL 9 without `md`
/// before it.
pub fn raid_device(version: Version, name: &str) -> &str {
    match name.strip_prefix("md") {
        Some(short) if !version.since(10, 43) => short,
        _ => name,
    }
}

/// A mount point without doubled slashes, `.` and `..`, as Python's `os.path.normpath` leaves it:
/// two slashes at the beginning stay two.
fn mount_point(text: &str) -> String {
    if !text.starts_with('/') {
        return text.to_string();
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let two = text.starts_with("//") && !text.starts_with("///");
    let root = if two { "//" } else { "/" };
    format!("{root}{}", parts.join("/"))
}
