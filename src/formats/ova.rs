//! OVAs: vSphere's, and oVirt's.

use std::fs::File;
use std::io::{BufWriter, Write};

use anyhow::{Context, Result};

use super::package::{Package, add};
use super::tarball::{Form, Tarball};
use super::{ovf, uuid};
use crate::hex;
use crate::image::checksum;

/// Writes vSphere's (DSP0243, 5.1): the descriptor first, the manifest of digests, the disk.
///
/// # Errors
/// It cannot be written.
pub fn vsphere(package: &Package<'_>, into: File) -> Result<()> {
    let [descriptor, manifest, disk] =
        ["ovf", "mf", "vmdk"].map(|ending| format!("{}.{ending}", package.name));
    let (sha256, size) = checksum::hash(&package.part.file, package.stop)?;
    let text = ovf::vmware(package.name, package.hardware, &package.disk(&disk, size));
    let digests = format!(
        "SHA256({descriptor})= {}\nSHA256({disk})= {sha256}\n",
        hex::sha256(&text)
    );
    let (size, mut content) = package.content()?;
    let mut tarball = Tarball::begin(BufWriter::new(into), Form::Ustar);
    add(&mut tarball, &descriptor, &text)?;
    add(&mut tarball, &manifest, &digests)?;
    tarball.file(&disk, size, &mut content)?;
    tarball.end()?.flush().context("writing an OVA")
}

/// Writes oVirt's: its descriptor has one name, and the disk's file is called by a UUID.
///
/// # Errors
/// It cannot be written.
pub fn ovirt(package: &Package<'_>, into: File) -> Result<()> {
    let (file, machine) = (uuid::random()?, uuid::random()?);
    let (size, mut content) = package.content()?;
    let disk = package.disk(&file, size);
    let text = ovf::ovirt(package.name, package.hardware, &disk, &machine);
    let mut tarball = Tarball::begin(BufWriter::new(into), Form::Ustar);
    add(&mut tarball, "vm.ovf", &text)?;
    tarball.file(&file, size, &mut content)?;
    tarball.end()?.flush().context("writing an OVA for oVirt")
}
