//! Which distribution it is, for which machines, and how it is set up as a whole.

use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::text;
use crate::disk::bytes::{big, little};
use crate::disk::system::System;

/// Where a system says what it is (os-release(5)).
const PLACES: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];

/// Programs that every system has one of, and the machines of ELF's header (`e_machine`) that ozr knows.
const PROGRAMS: [&str; 3] = ["/usr/bin/bash", "/bin/sh", "/usr/lib/systemd/systemd"];
const MACHINES: [(u64, &str); 6] = [
    (3, "i686"),
    (21, "ppc64le"),
    (22, "s390x"),
    (62, "x86_64"),
    (183, "aarch64"),
    (243, "riscv64"),
];

/// A distribution's release, in the words of its os-release.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Release {
    /// `ID`: `rocky`, `rhel`, `fedora`.
    pub id: Option<String>,
    /// `VERSION_ID`: `9.4`.
    pub version_id: Option<String>,
    /// `PRETTY_NAME`.
    pub name: Option<String>,
    /// `CPE_NAME`.
    pub cpe: Option<String>,
    /// `VARIANT_ID`: `server`, `cloud`.
    pub variant_id: Option<String>,
}

/// SELinux, as configured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selinux {
    /// `enforcing`, `permissive` or `disabled`.
    pub mode: String,
    /// The policy: `targeted`.
    pub policy: Option<String>,
}

pub fn release(system: &mut System) -> Result<Release> {
    for place in PLACES {
        if let Some(text) = text::read(system, place)? {
            let value = |key| text::value(&text, key).filter(|value| !value.is_empty());
            return Ok(Release {
                id: value("ID"),
                version_id: value("VERSION_ID"),
                name: value("PRETTY_NAME"),
                cpe: value("CPE_NAME"),
                variant_id: value("VARIANT_ID"),
            });
        }
    }
    Ok(Release::default())
}

pub fn arch(system: &mut System) -> Result<Option<String>> {
    for program in PROGRAMS {
        let Some((file, _)) = system.find_file(Path::new(program))? else {
            continue;
        };
        let mut header = [0; 20];
        let length = system.read_at(&file, 0, &mut header)?;
        if length < header.len() || !header.starts_with(b"\x7fELF") {
            continue;
        }
        // Byte 5 is the order of bytes, 1 for the least significant first.
        let machine = match header[5] {
            1 => little(&header, 18, 2)?,
            _ => big(&header, 18, 2)?,
        };
        let known = MACHINES.iter().find(|(number, _)| *number == machine);
        return Ok(known.map(|(_, name)| (*name).to_owned()));
    }
    Ok(None)
}

pub fn hostname(system: &mut System) -> Result<Option<String>> {
    let text = text::read(system, "/etc/hostname")?.unwrap_or_default();
    let mut lines = text.lines().map(str::trim);
    let name = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(name.map(str::to_owned))
}

pub fn selinux(system: &mut System) -> Result<Option<Selinux>> {
    let text = text::read(system, "/etc/selinux/config")?.unwrap_or_default();
    Ok(text::value(&text, "SELINUX").map(|mode| Selinux {
        mode,
        policy: text::value(&text, "SELINUXTYPE"),
    }))
}
