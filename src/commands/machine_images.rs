//! The images of a machine, by whatever names it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::error::{Classify, Kind, fail, failed};
use crate::host::domain_file::{self, Machine};
use crate::host::{Connection, Host, HostOptions};
use crate::image::manifest::{self, Manifest};
use crate::image::output::OutputPaths;
use crate::input;
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

/// The images of a machine, at least one: those that its libvirt XML names, or the one that is named itself with
/// those that the manifest beside it names; or those of the machine of that name that the libvirt of `connect`
/// knows, where there is no such file.
///
/// # Errors
/// Input: it cannot be read; the XML names no disk in a file; the machine is not known, or runs. Host: libvirt does
/// not answer.
pub fn of(named: &Path, connect: Option<&str>) -> anyhow::Result<Vec<MachineImage>> {
    if let Some(name) = name_of_machine(named) {
        return of_libvirt(name, connect);
    }
    let head = input::read_head(named, MOST_DOMAIN)
        .with_context(|| format!("reading {}", named.display()))
        .kind(Kind::Input)?;
    match std::str::from_utf8(&head) {
        Ok(text) if domain_file::is_meant(text) => of_xml(text, &named.display().to_string()),
        _ => of_image(named),
    }
}

/// The name, if it can be a machine's: that of no file, and no path.
fn name_of_machine(named: &Path) -> Option<&str> {
    let name = named.to_str()?;
    let is_there = named.symlink_metadata().is_ok();
    // An image or XML that is missed is one.
    let is_file = name.contains('/') || named.extension().is_some_and(is_of_files);
    (!is_there && !is_file && !name.is_empty()).then_some(name)
}

fn is_of_files(ending: &OsStr) -> bool {
    let endings = ["xml", "qcow2", "raw", "img", "dsk", "vmdk", "vdi", "iso"];
    endings
        .iter()
        .any(|known| ending.eq_ignore_ascii_case(known))
}

fn of_xml(text: &str, shown: &str) -> anyhow::Result<Vec<MachineImage>> {
    let disks = domain_file::disks(text).map_err(|why| failed!(Kind::Input, "{shown}: {why}"))?;
    let image = |disk: domain_file::DomainDisk| MachineImage {
        file: disk.file,
        format: Some(disk.format),
    };
    Ok(disks.into_iter().map(image).collect())
}

fn of_libvirt(name: &str, connect: Option<&str>) -> anyhow::Result<Vec<MachineImage>> {
    let uri = Connection::of_machines(connect).kind(Kind::Input)?;
    let host = match Host::open(&HostOptions::of_daemon(&uri)) {
        Ok(host) => host,
        // Of libvirt nobody has said anything.
        Err(error) if connect.is_none() => fail!(
            Kind::Input,
            "there is no file {name}, and {uri} cannot be asked for a machine of that name ({error:#}): name its image, or say whose machine it is with --connect"
        ),
        Err(error) => return Err(error),
    };
    let Some(machine) = host.machine(name)? else {
        fail!(
            Kind::Input,
            "there is no file {name}, and {uri} knows no machine of that name: `virsh --connect {uri} list --all` lists them"
        );
    };
    if let Some(why) = unfit(&machine, name, &uri) {
        fail!(Kind::Input, "{why}");
    }
    of_xml(&machine.xml, &format!("the machine {name} of {uri}"))
}

/// Why a machine's disks can be nobody else's, and the next step.
fn unfit(machine: &Machine, name: &str, uri: &str) -> Option<String> {
    if machine.runs {
        Some(format!(
            "the machine {name} runs and writes to its disks: shut it down first (`virsh --connect {uri} shutdown {name}`)"
        ))
    } else if machine.is_saved {
        Some(format!(
            "the machine {name} was saved while it ran, and goes on with its disks as they are: start it and shut it down, or give up what was saved (`virsh --connect {uri} managedsave-remove {name}`)"
        ))
    } else if machine.snapshots > 0 {
        Some(format!(
            "the machine {name} has snapshots, which other disks would not have: delete them (`virsh --connect {uri} snapshot-delete`), or name its image with --output for the outcome"
        ))
    } else {
        None
    }
}

fn of_image(named: &Path) -> anyhow::Result<Vec<MachineImage>> {
    let paths = OutputPaths::new(None, "", &[], Some(named), None).kind(Kind::Input)?;
    let others = manifest_of(&paths).map_or_else(Vec::new, |manifest| others(&manifest, &paths));
    let all = std::iter::once(named.to_owned()).chain(others);
    let image = |file| MachineImage { file, format: None };
    Ok(all.map(image).collect())
}

/// The manifest beside the image, if it is of this image.
pub fn manifest_of(paths: &OutputPaths) -> Option<Manifest> {
    let manifest = manifest::read(&paths.manifest).ok()?;
    let name = paths.image.file_name()?.to_str()?;
    (manifest.image.file == name).then_some(manifest)
}

/// The images of the machine's other disks, as the manifest names them: they lie beside it, wherever what it names
/// would lead.
pub fn others(manifest: &Manifest, paths: &OutputPaths) -> Vec<PathBuf> {
    let format = manifest.image.format;
    let others = manifest.images.iter();
    let others = others.filter(|file| file.disk > 1 && file.format == format);
    let named = others.filter(|file| file.file.ends_with(format.ending()));
    let place = |name: &str| {
        let name = Path::new(name).file_name().unwrap_or_default();
        paths.dir.join(name)
    };
    named.map(|file| place(&file.file)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::manifest::{File as Listed, sample};

    #[test]
    fn a_manifest_of_thousands_of_packages_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("x.qcow2");
        let mut manifest = sample();
        let candidate = format!("package-0:1.0-1.el9.x86_64 {}", "0".repeat(64));
        let fingerprint = manifest.fingerprint.as_mut().unwrap();
        fingerprint.candidates = Some(vec![candidate; 60_000]);
        manifest.images.push(Listed {
            file: "x-disk2.qcow2".to_owned(),
            disk: 2,
            ..manifest.images[0].clone()
        });
        let json = manifest.to_json().unwrap();
        // More than each of the limits that there once were.
        assert!(json.len() > 4 << 20, "{}", json.len());
        std::fs::write(directory.path().join("x.manifest.json"), json).unwrap();
        std::fs::write(&image, b"x").unwrap();

        let files = |named: &Path| -> Vec<PathBuf> {
            let images = of(named, None).unwrap().into_iter();
            images.map(|image| image.file).collect()
        };
        let second = directory.path().join("x-disk2.qcow2");
        assert_eq!(files(&image), [image.clone(), second]);
        let paths = OutputPaths::new(None, "", &[], Some(&image), None).unwrap();
        assert_eq!(manifest_of(&paths), Some(manifest));
        let paper = crate::metal::papers::beside(&image).unwrap();
        assert_eq!(paper.unwrap().sha256, "0".repeat(64));
        // That of another image is not this one's.
        std::fs::rename(&image, directory.path().join("x.raw")).unwrap();
        assert_eq!(files(&directory.path().join("x.raw")).len(), 1);
    }
}
