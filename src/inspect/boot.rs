//! How it boots: firmware, kernels, and what the boot loader offers.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::storage::is_of_type;
use super::text;
use crate::disk::device::Device;
use crate::disk::system::System;
use crate::disk::tree::FileTree;
use crate::disk::volumes::Volumes;

/// Where kernels have their modules; each directory is one kernel.
pub(super) const MODULES: [&str; 2] = ["/usr/lib/modules", "/lib/modules"];

/// Where the Boot Loader Specification's entries are.
const ENTRIES: &str = "/boot/loader/entries";

/// Where GRUB's variables and its older configurations are.
const VARIABLES: [&str; 2] = ["/boot/grub2/grubenv", "/boot/grub/grubenv"];
const CONFIGURATIONS: [&str; 3] = [
    "/boot/grub2/grub.cfg",
    "/boot/grub/grub.conf",
    "/boot/grub/grub.cfg",
];

/// Commands of GRUB that name a kernel.
const LINUX: [&str; 5] = ["linux", "linux16", "linuxefi", "kernel", "linux_efi"];

/// Bytes at the disk's beginning that a BIOS runs.
const BOOT_CODE: usize = 440;

/// Firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Firmware {
    /// A PC's BIOS: there is code at the disk's beginning, and room or a partition for more.
    Bios,
    /// UEFI: the EFI partition has the loader that any firmware starts (`EFI/BOOT/BOOT*.EFI`).
    Uefi,
}

/// A kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// Its version, as `uname -r` says it.
    pub version: String,
    /// Whether its image is in `/boot`.
    pub image: bool,
    /// Whether its initramfs is in `/boot`.
    pub initramfs: bool,
}

/// What a boot loader offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootEntry {
    /// Its title.
    pub title: Option<String>,
    /// The kernel, as a path that the boot loader understands.
    pub linux: String,
    /// The kernel's arguments, with GRUB's variables filled in.
    pub arguments: String,
}

/// Firmware that finds a boot loader on a disk.
pub fn firmware(disk: &Device, volumes: &Volumes, troubles: &mut Vec<String>) -> Vec<Firmware> {
    let mut found = Vec::new();
    let code = disk.beginning(0, BOOT_CODE).unwrap_or_default();
    let on_gpt = volumes.tables.first() == Some(&Some(crate::disk::partitions::Kind::Gpt));
    let has_room = !on_gpt || volumes.all.iter().any(|v| is_of_type(v, "BIOS boot"));
    let parted = volumes.tables.first().is_some_and(Option::is_some);
    if parted && has_room && code.iter().any(|byte| *byte != 0) {
        found.push(Firmware::Bios);
    }
    let system = volumes.all.iter().filter(|v| is_of_type(v, "EFI system"));
    for volume in system.filter(|v| v.contents.is_some()) {
        match volume
            .open(None)
            .and_then(|mut tree| has_loader(&mut *tree))
        {
            Ok(true) => {
                found.push(Firmware::Uefi);
                break;
            }
            Ok(false) => {}
            Err(why) => troubles.push(format!("{}: {why:#}", volume.name())),
        }
    }
    found
}

/// Whether an EFI partition has the loader that any firmware starts.
fn has_loader(tree: &mut dyn FileTree) -> Result<bool> {
    let directory = Path::new("/EFI/BOOT");
    if tree.kind(directory)?.is_none() {
        return Ok(false);
    }
    let names = tree.read_dir(directory)?;
    let mut names = names
        .iter()
        .map(|name| name.to_string_lossy().to_uppercase());
    Ok(names.any(|name| name.starts_with("BOOT") && name.ends_with(".EFI")))
}

/// The kernels, sorted by their names.
pub fn kernels(system: &mut System) -> Result<Vec<Kernel>> {
    let mut versions = BTreeSet::new();
    for directory in MODULES.map(Path::new) {
        for version in system.read_dir(directory)?.unwrap_or_default() {
            // What is left of a kernel that was removed has no modules.
            let list = directory.join(&version).join("modules.dep");
            if system.kind(&list)?.is_some() {
                versions.insert(version.to_string_lossy().into_owned());
            }
        }
    }
    let mut kernels = Vec::new();
    for version in versions {
        let mut in_boot = |name: String| {
            let found = system.kind(&Path::new("/boot").join(name))?;
            anyhow::Ok(found.is_some())
        };
        kernels.push(Kernel {
            image: in_boot(format!("vmlinuz-{version}"))?,
            initramfs: in_boot(format!("initramfs-{version}.img"))?,
            version,
        });
    }
    Ok(kernels)
}

/// What the boot loader offers: entries of the Boot Loader Specification, else of GRUB's configuration.
pub fn entries(system: &mut System) -> Result<Vec<BootEntry>> {
    let mut variables = String::new();
    for place in VARIABLES {
        if let Some(text) = text::read(system, place)? {
            variables = text;
            break;
        }
    }
    let mut entries = Vec::new();
    for name in system.read_dir(Path::new(ENTRIES))?.unwrap_or_default() {
        if name
            .extension()
            .is_some_and(|extension| extension == "conf")
        {
            let path: PathBuf = Path::new(ENTRIES).join(&name);
            let text = text::read(system, &path.to_string_lossy())?.unwrap_or_default();
            entries.extend(of_specification(&text, &variables));
        }
    }
    if entries.is_empty() {
        for place in CONFIGURATIONS {
            if let Some(text) = text::read(system, place)? {
                entries = of_grub(&text, &variables);
                break;
            }
        }
    }
    Ok(entries)
}

fn of_specification(text: &str, variables: &str) -> Option<BootEntry> {
    let value = |key: &str| {
        text.lines().find_map(|line| {
            let (name, value) = line.trim().split_once(char::is_whitespace)?;
            (name == key).then(|| value.trim().to_owned())
        })
    };
    let options = value("options").unwrap_or_default();
    Some(BootEntry {
        title: value("title"),
        linux: value("linux")?,
        arguments: expand(&options, variables),
    })
}

/// The entries of a GRUB configuration, new or old.
fn of_grub(text: &str, variables: &str) -> Vec<BootEntry> {
    let mut entries = Vec::new();
    let mut title = None;
    for line in text.lines().map(str::trim) {
        let (command, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match command {
            "menuentry" => title = rest.split(['\'', '"']).nth(1).map(str::to_owned),
            "title" => title = Some(rest.trim().to_owned()),
            _ if LINUX.contains(&command) => {
                let rest = rest.trim();
                let (linux, arguments) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
                entries.push(BootEntry {
                    title: title.clone(),
                    linux: linux.to_owned(),
                    arguments: expand(arguments, variables),
                });
            }
            _ => {}
        }
    }
    entries
}

/// Arguments with GRUB's variables filled in; one that is not set is nothing, as GRUB has it.
fn expand(arguments: &str, variables: &str) -> String {
    let words = arguments
        .split_whitespace()
        .map(|word| match word.strip_prefix('$') {
            Some(name) => text::value(variables, name.trim_matches(['{', '}'])).unwrap_or_default(),
            None => word.to_owned(),
        });
    let words: Vec<String> = words.filter(|word| !word.is_empty()).collect();
    words.join(" ").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_as_grub_gives_them() {
        let variables =
            "# GRUB Environment Block\nsaved_entry=a\nkernelopts=root=UUID=1 ro quiet \n####";
        let entry = "title Rocky Linux (5.14) 9\nversion 5.14\nlinux /vmlinuz-5.14\n\
                     options $kernelopts $tuned_params crashkernel=1G\n";
        let entry = of_specification(entry, variables).unwrap();
        assert_eq!(entry.title.as_deref(), Some("Rocky Linux (5.14) 9"));
        assert_eq!(entry.arguments, "root=UUID=1 ro quiet crashkernel=1G");
        assert_eq!(of_specification("title x", variables), None);
        let configuration = "set default=0\nmenuentry 'CentOS Linux 7' --class x {\n\
                             \tlinux16 /vmlinuz-3.10 root=/dev/sda1 ro\n\tinitrd16 /i\n}\n\
                             title RHEL 6\n kernel /vmlinuz-2.6 ro\n";
        let entries = of_grub(configuration, "");
        assert_eq!(entries[0].title.as_deref(), Some("CentOS Linux 7"));
        assert_eq!(entries[0].arguments, "root=/dev/sda1 ro");
        assert_eq!(entries[1].linux, "/vmlinuz-2.6");
    }
}
