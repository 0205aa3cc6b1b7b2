//! Where the drivers of a system's kernels are: in the kernel, in the initramfs, or among the modules that
//! are there only when the root file system is.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::boot::{MODULES, kernels};
use super::initramfs::{self, name_of};
use crate::disk::device::Device;
use crate::disk::system::System;
use crate::disk::volumes::Volumes;

/// Most kernels whose initramfs is unpacked; systems keep three.
const MOST_KERNELS: usize = 4;

/// Most bytes of a list of modules; the kernel's own have some hundred thousand.
const MOST_LIST: u64 = 4 << 20;

/// Where a driver is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// In the kernel itself.
    Builtin,
    /// In the initramfs.
    Initramfs,
    /// On the root file system alone.
    Root,
    /// Nowhere.
    Nowhere,
}

/// The drivers of a kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drivers {
    /// The kernel's version.
    pub kernel: String,
    /// Where each driver that was asked for is.
    pub places: BTreeMap<String, Place>,
    /// Why its initramfs is not known; drivers that may be in it are said to be on the root then.
    pub unknown: Option<String>,
}

/// Where these drivers are for each kernel that has an initramfs, the newest last; the first `MOST_KERNELS`
/// are looked at.
///
/// # Errors
/// A disk cannot be read, or they hold no system that can be read.
pub fn look(disks: &[Device], names: &[String]) -> Result<Vec<Drivers>> {
    let mut system = System::find(Volumes::find(disks)?)?;
    let kernels = kernels(&mut system)?.into_iter();
    let kernels = kernels.filter(|kernel| kernel.initramfs).take(MOST_KERNELS);
    let drivers = kernels.map(|kernel| of_kernel(&mut system, kernel.version, names));
    drivers.collect()
}

fn of_kernel(system: &mut System, kernel: String, names: &[String]) -> Result<Drivers> {
    let builtin = list(system, &kernel, "modules.builtin")?;
    let root = list(system, &kernel, "modules.dep")?;
    let (initramfs, unknown) = match in_initramfs(system, &kernel) {
        Ok(modules) => (modules, None),
        Err(why) => (BTreeSet::new(), Some(format!("{why:#}"))),
    };
    let place = |name: &String| {
        let place = match name {
            name if builtin.contains(name) => Place::Builtin,
            name if initramfs.contains(name) => Place::Initramfs,
            name if root.contains(name) => Place::Root,
            _ => Place::Nowhere,
        };
        (name.clone(), place)
    };
    Ok(Drivers {
        places: names.iter().map(place).collect(),
        kernel,
        unknown,
    })
}

/// The modules of a list: lines that begin with a path.
fn list(system: &mut System, kernel: &str, name: &str) -> Result<BTreeSet<String>> {
    for directory in MODULES {
        let path = Path::new(directory).join(kernel).join(name);
        if system.find_file(&path)?.is_some() {
            let text = system.read(&path, MOST_LIST)?;
            let text = String::from_utf8_lossy(&text);
            let paths = text
                .lines()
                .map(|line| line.split(':').next().unwrap_or(line));
            let names = paths.map(|path| path.rsplit('/').next().unwrap_or(path));
            return Ok(names.filter_map(|name| name_of(name.trim())).collect());
        }
    }
    Ok(BTreeSet::new())
}

fn in_initramfs(system: &mut System, kernel: &str) -> Result<BTreeSet<String>> {
    let path = PathBuf::from(format!("/boot/initramfs-{kernel}.img"));
    let Some((place, _)) = system.find_file(&path)? else {
        anyhow::bail!("there is no {}", path.display());
    };
    initramfs::modules(Content {
        system,
        place,
        at: 0,
    })
}

/// A file's content, as it is read.
struct Content<'a> {
    system: &'a mut System,
    place: PathBuf,
    at: u64,
}

impl Read for Content<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.system.read_at(&self.place, self.at, into);
        let count = read.map_err(|why| io::Error::other(format!("{why:#}")))?;
        self.at += count as u64;
        Ok(count)
    }
}
