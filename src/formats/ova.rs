//! OVAs: vSphere's, and oVirt's.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write};

use anyhow::{Context, Result};

use super::package::{Package, Part, add};
use super::tarball::{Form, Tarball};
use super::{ovf, uuid};
use crate::hex;
use crate::image::checksum;

/// Writes vSphere's (DSP0243, 5.1): the descriptor first, the manifest of digests, the disks.
///
/// # Errors
/// It cannot be written.
pub fn vsphere(package: &Package<'_>, into: File) -> Result<()> {
    let [descriptor, manifest] = ["ovf", "mf"].map(|ending| format!("{}.{ending}", package.name));
    let names = (1..).map(|number| match number {
        1 => format!("{}.vmdk", package.name),
        more => format!("{}-{more}.vmdk", package.name),
    });
    let parts: Vec<(&Part, String)> = package.parts().zip(names).collect();
    let (mut disks, mut digests) = (Vec::new(), String::new());
    for (part, name) in &parts {
        let (sha256, size) = checksum::hash(&part.file, package.stop)?;
        disks.push(part.described(name, size));
        let _ = writeln!(digests, "SHA256({name})= {sha256}");
    }
    let text = ovf::vmware(package.name, package.hardware, &disks);
    let digests = format!("SHA256({descriptor})= {}\n{digests}", hex::sha256(&text));
    let mut tarball = Tarball::begin(BufWriter::new(into), Form::Ustar);
    add(&mut tarball, &descriptor, &text)?;
    add(&mut tarball, &manifest, &digests)?;
    for (part, name) in &parts {
        let (size, mut content) = package.content_of(part)?;
        tarball.file(name, size, &mut content)?;
    }
    tarball.end()?.flush().context("writing an OVA")
}

/// Writes oVirt's: its descriptor has one name, and the disks' files are called by UUIDs.
///
/// # Errors
/// It cannot be written.
pub fn ovirt(package: &Package<'_>, into: File) -> Result<()> {
    let machine = uuid::random()?;
    let parts = package.parts().map(|part| Ok((part, uuid::random()?)));
    let parts = parts.collect::<Result<Vec<(&Part, String)>>>()?;
    let mut disks = Vec::new();
    for (part, name) in &parts {
        disks.push(part.described(name, part.file.metadata()?.len()));
    }
    let text = ovf::ovirt(package.name, package.hardware, &disks, &machine);
    let mut tarball = Tarball::begin(BufWriter::new(into), Form::Ustar);
    add(&mut tarball, "vm.ovf", &text)?;
    for (part, name) in &parts {
        let (size, mut content) = package.content_of(part)?;
        tarball.file(name, size, &mut content)?;
    }
    tarball.end()?.flush().context("writing an OVA for oVirt")
}
