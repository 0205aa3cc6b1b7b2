//! What starts by itself.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use crate::disk::system::System;
use crate::disk::tree::Kind;

/// Where systemd's links are that an administrator, a preset or the installer made.
const UNITS: &str = "/etc/systemd/system";

/// Links to units beside another, by which it is started with it.
const KINDS: [&str; 2] = [".wants", ".requires"];

/// Scripts of RHEL 6's multi-user runlevel: `S55sshd`.
const SCRIPTS: &str = "/etc/rc.d/rc3.d";

/// The units that are enabled, sorted.
pub fn enabled(system: &mut System) -> Result<Vec<String>> {
    let mut units = BTreeSet::new();
    for directory in system.read_dir(Path::new(UNITS))?.unwrap_or_default() {
        let name = directory.to_string_lossy().into_owned();
        if !KINDS.iter().any(|kind| name.ends_with(kind)) {
            continue;
        }
        let path = Path::new(UNITS).join(&directory);
        for unit in system.read_dir(&path)?.unwrap_or_default() {
            let kind = system.kind(&path.join(&unit))?;
            if kind.is_some_and(|(kind, _)| kind == Kind::Link) {
                units.insert(unit.to_string_lossy().into_owned());
            }
        }
    }
    for script in system.read_dir(Path::new(SCRIPTS))?.unwrap_or_default() {
        let name = script.to_string_lossy();
        let name = name.strip_prefix('S').and_then(|name| name.get(2..));
        units.extend(name.map(str::to_owned));
    }
    Ok(units.into_iter().collect())
}

/// The target that it boots to.
pub fn default_target(system: &mut System) -> Result<Option<String>> {
    let link = Path::new(UNITS).join("default.target");
    match system.kind(&link)? {
        Some((Kind::Link, _)) => {
            let target = system.read_link(&link)?;
            let name = target.file_name();
            Ok(name.map(|name| name.to_string_lossy().into_owned()))
        }
        _ => Ok(None),
    }
}
