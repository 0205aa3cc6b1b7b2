//! What a line declares, by which a later line would repeat it or refer to it.

use super::Version;
use super::arguments::Arguments;
use super::declared::Declared;
use super::problem::{Problem, id};
use super::rules::{raid, san, snapshot};
use super::values::integer;

/// Something that a line declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thing {
    /// What it is, for messages: "mount point".
    pub kind: &'static str,
    /// Its name among its kind.
    pub name: String,
}

/// What an accepted line declares that may be declared only once.
///
/// The facts are what pykickstart's data classes compare (3.78, `commands/*.py`, `__eq__`), where
/// the command looks at what it has already. Others, such as `mount` and `iscsi`, do not look.
pub fn of(version: Version, command: &str, arguments: &Arguments) -> Option<Thing> {
    let first = arguments.first().unwrap_or_default();
    let option = |name: &str| arguments.value(name).unwrap_or_default().to_string();
    // These two have no arguments of their own: their words are left over.
    let leftover = || {
        let word = arguments.leftovers.first();
        word.map(|word| word.text.as_str()).unwrap_or_default()
    };
    let (kind, name) = match command {
        "part" if first == "swap" => return None,
        "part" => ("mount point", mount_point(first)),
        "raid" => {
            let device = raid::device(version, arguments.value("--device").unwrap_or_default());
            let number = integer(device).filter(|_| !version.since(7, 0));
            let name = number.map_or(device.to_string(), |number| number.to_string());
            ("RAID device", name)
        }
        "logvol" => {
            let group = option("--vgname");
            ("logical volume", format!("{group}/{}", option("--name")))
        }
        "volgroup" => ("volume group", first.to_string()),
        "btrfs" => ("btrfs mount point", mount_point(leftover())),
        "device" => ("module", leftover().to_string()),
        "dmraid" => {
            let name = option("--name");
            let name = name.rsplit('/').next().unwrap_or_default();
            let devices: Vec<&str> = arguments.values("--dev").collect();
            ("DM RAID", format!("{name} {}", devices.join(" ")))
        }
        "fcoe" => ("FCoE device", option("--nic")),
        "group" => ("group", option("--name")),
        "multipath" => (san::PATH, option("--device")),
        "network" => (NETWORK, option("--device")),
        "nvdimm" => {
            // A rule asks for one of the two.
            match arguments.filled("--namespace") {
                Some(name) => ("action", format!("{first} {name}")),
                None => {
                    let devices = arguments.list("--blockdevs").join(",");
                    ("action on devices", format!("{first} {devices}"))
                }
            }
        }
        "repo" => ("repository", option("--name")),
        // A rule refuses the second.
        "snapshot" => (snapshot::KIND, option("--name")),
        "sshkey" => ("SSH key of", option("--username")),
        "sshpw" => ("SSH account", option("--username")),
        "stratispool" => ("Stratis pool", first.to_string()),
        "stratisfs" => {
            let pool = option("--poolname");
            (
                "Stratis file system",
                format!("{pool}/{}", option("--name")),
            )
        }
        "user" => ("user", option("--name")),
        "zfcp" => {
            let parts = ["--devnum", "--wwpn", "--fcplun"];
            ("zFCP device", parts.map(option).join(" "))
        }
        _ => return None,
    };
    Some(Thing { kind, name })
}

/// What `network` declares, which is the only thing that may have no name.
const NETWORK: &str = "network device";

/// Notes what an accepted line declares; says so if it was declared before.
pub fn note(
    version: Version,
    command: &'static str,
    arguments: &Arguments,
    declared: &mut Declared,
) -> Option<Problem> {
    let Thing { kind, name } = of(version, command, arguments)?;
    if !declared.has(kind, &name) {
        declared.thing(kind, &name);
        return None;
    }
    if kind == NETWORK && name.is_empty() {
        let message = "a `network` line without `--device` stands there already";
        let problem = Problem::warning(id::DUPLICATE, message);
        return Some(problem.help("add `--device`, or write both as one line"));
    }
    let message = format!("the {kind} `{name}` is declared twice");
    let problem = Problem::warning(id::DUPLICATE, message);
    Some(problem.help("remove one of the lines, or name them differently"))
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
