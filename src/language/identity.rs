//! What a line declares, by which a later line would repeat it or refer to it.

use super::Version;
use super::arguments::Arguments;
use super::declared::Declared;
use super::problem::{Problem, id};

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
/// The facts are what pykickstart's data classes compare (3.78, `commands/*.py`, `__eq__`).
pub fn of(version: Version, command: &str, arguments: &Arguments) -> Option<Thing> {
    let first = arguments.first().unwrap_or_default();
    let option = |name: &str| arguments.value(name).unwrap_or_default().to_string();
    let (kind, name) = match command {
        "part" if first == "swap" => return None,
        "part" => ("mount point", mount_point(first)),
        "raid" => {
            let device = option("--device");
            let short = !version.since(10, 43);
            let name = device.strip_prefix("md").filter(|_| short);
            ("RAID device", name.unwrap_or(&device).to_string())
        }
        "logvol" => {
            let group = option("--vgname");
            ("logical volume", format!("{group}/{}", option("--name")))
        }
        "volgroup" => ("volume group", first.to_string()),
        "btrfs" => ("btrfs mount point", mount_point(first)),
        "device" => ("module", first.to_string()),
        "fcoe" => ("FCoE device", option("--nic")),
        "group" => ("group", option("--name")),
        "network" => ("network device", arguments.filled("--device")?.to_string()),
        "repo" => ("repository", option("--name")),
        "sshkey" => ("SSH key of", option("--username")),
        "sshpw" => ("SSH account", option("--username")),
        "stratispool" => ("Stratis pool", first.to_string()),
        "stratisfs" => {
            let pool = option("--pool");
            (
                "Stratis file system",
                format!("{pool}/{}", option("--name")),
            )
        }
        "user" => ("user", option("--name")),
        "zfcp" => {
            let parts = ["--devnum", "--wwpn", "--fcplun", "--scsiid", "--scsilun"];
            ("zFCP device", parts.map(option).join(" "))
        }
        _ => return None,
    };
    Some(Thing { kind, name })
}

/// Notes what an accepted line declares; says so if it was declared before.
pub fn note(
    version: Version,
    command: &'static str,
    arguments: &Arguments,
    declared: &mut Declared,
) -> Option<Problem> {
    let Thing { kind, name } = of(version, command, arguments)?;
    if declared.has(kind, &name) {
        let message = format!("the {kind} `{name}` is declared twice");
        let problem = Problem::warning(id::DUPLICATE, message);
        return Some(problem.help("remove one of the lines, or name them differently"));
    }
    declared.thing(kind, &name);
    None
}

/// A mount point without doubled slashes, `.` and `..`, as Python's `os.path.normpath` leaves it.
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
    format!("/{}", parts.join("/"))
}
