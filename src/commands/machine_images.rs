//! The images of a machine, by whatever names it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::error::{Classify, Kind, failed};
use crate::host::domain_file;
use crate::machine::DiskFormat;

/// An image that was named.
#[derive(Debug)]
pub struct MachineImage {
    /// Its file.
    pub file: PathBuf,
    /// Its format, if that was said.
    pub format: Option<DiskFormat>,
}

/// Most bytes of a domain's XML that are read; one has some thousand.
const MOST_DOMAIN: u64 = 1 << 20;

/// The images of a machine, at least one: those that its libvirt XML names, or the one that is named itself.
///
/// # Errors
/// Input: it cannot be read; the XML names no disk in a file.
pub fn of(named: &Path) -> anyhow::Result<Vec<MachineImage>> {
    let mut head = Vec::new();
    let file = File::open(named);
    file.and_then(|file| file.take(MOST_DOMAIN).read_to_end(&mut head))
        .with_context(|| format!("reading {}", named.display()))
        .kind(Kind::Input)?;
    match std::str::from_utf8(&head) {
        Ok(text) if domain_file::is_meant(text) => {
            let disks = domain_file::disks(text);
            let disks = disks.map_err(|why| failed!(Kind::Input, "{}: {why}", named.display()))?;
            let image = |disk: domain_file::DomainDisk| MachineImage {
                file: disk.file,
                format: Some(disk.format),
            };
            Ok(disks.into_iter().map(image).collect())
        }
        _ => Ok(vec![MachineImage {
            file: named.to_owned(),
            format: None,
        }]),
    }
}
