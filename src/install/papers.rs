//! What lies beside an image and says what is in it: read from the finished disk, not from what was asked for.

use std::path::Path;
use std::time::SystemTime;

use anyhow::Context;

use super::attempt::Attempt;
use super::finish::Sealed;
use crate::formats::conversion::Conversion;
use crate::image::output::Signature;
use crate::image::reader;
use crate::image::reader::{Image, Question};
use crate::image::signature;
use crate::inspect::{Release, Storage};
use crate::options::Signer;
use crate::packages::Package;
use crate::packages::origin::{self, Origins};
use crate::sbom::icicle::{self, Entry};
use crate::sbom::{self, Subject};

/// What is installed in an image.
#[derive(Debug)]
pub(super) struct Contents {
    pub release: Release,
    /// The disk.
    pub storage: Storage,
    /// The packages, sorted.
    pub packages: Vec<Package>,
}

impl Attempt<'_> {
    /// What is installed on the disk of a guest that is gone.
    ///
    /// # Errors
    /// It cannot be told.
    pub(super) async fn contents(&self) -> anyhow::Result<Contents> {
        let program = Path::new(reader::OWN_PROGRAM);
        let inspection = reader::inspect(program, &self.prepared.disks).await?;
        let system = inspection.system;
        let system = system.with_context(|| inspection.troubles.join("; "))?;
        let packages = system.packages;
        let mut packages = packages.with_context(|| match inspection.troubles.as_slice() {
            [] => "it has no RPM database".to_owned(),
            troubles => troubles.join("; "),
        })?;
        origin::add(&self.origins, &mut packages);
        Ok(Contents {
            release: system.release,
            storage: inspection.storage,
            packages,
        })
    }

    /// Reads where the packages are from, on the disk of a guest that is gone.
    ///
    /// # Errors
    /// The user stops the build.
    pub(super) async fn read_origins(&mut self) -> anyhow::Result<()> {
        let program = Path::new(reader::OWN_PROGRAM);
        let disks = Image::all(&self.prepared.disks);
        let asking = reader::ask::<Origins>(program, &disks, &Question::Origins);
        match self.cancellation.or(async { Ok(asking.await) }).await? {
            Ok(origins) => self.origins = origins,
            Err(error) => self.reporter.note(format!(
                "the manifest does not say where packages are from: {error:#}"
            )),
        }
        Ok(())
    }

    /// Oz's list of the packages, if it is asked for, and where it goes.
    pub(super) fn icicle(
        &self,
        sealed: &Sealed,
        contents: Option<&Contents>,
    ) -> Option<(String, &Path)> {
        let to = self.plan.output.icicle.as_deref()?;
        let entries = match (&sealed.extra, contents) {
            (Some(entries), _) => entries.clone(),
            (None, contents) => contents?.packages.iter().map(Entry::of).collect(),
        };
        let description = self.plan.template.description.as_deref();
        Some((icicle::write(description, entries), to))
    }

    /// The checksums of the images, and all detached signatures with where they go.
    ///
    /// # Errors
    /// Host: a signer fails. Interrupted.
    pub(super) async fn sign(
        &self,
        conversion: &Conversion,
        provenance: &str,
    ) -> anyhow::Result<(String, Vec<(String, &Path)>)> {
        let output = &self.plan.output;
        let mut checksums = conversion.checksums(output);
        if !self.plan.options.sign.is_empty() {
            self.reporter.step("signing");
        }
        for signer in &self.plan.options.sign {
            if let Signer::Gpg(key) = signer {
                let signed = signature::clear_signed(key.as_deref(), &checksums);
                checksums = self.cancellation.or(signed).await?;
            }
        }
        let mut signatures = Vec::new();
        for Signature {
            by,
            of_checksums,
            path,
        } in &output.signatures
        {
            let text = if *of_checksums {
                &checksums
            } else {
                provenance
            };
            let signed = self.cancellation.or(signature::detached(by, text)).await?;
            signatures.push((signed, path.as_path()));
        }
        Ok((checksums, signatures))
    }

    /// What the images are made of, in each format that is asked for, and where that goes.
    ///
    /// # Errors
    /// None that is known.
    pub(super) fn sboms(
        &self,
        conversion: &Conversion,
        contents: &Contents,
    ) -> anyhow::Result<Vec<(String, &Path)>> {
        let output = &self.plan.output;
        let name = output.image.file_name().unwrap_or_default();
        let subject = Subject {
            name: &name.to_string_lossy(),
            sha256: conversion.files.first().map(|image| image.sha256.as_str()),
            release: &contents.release,
            packages: &contents.packages,
            created: SystemTime::now(),
        };
        let sboms = output.sboms.iter();
        let sboms = sboms.map(|(format, to)| Ok((sbom::write(*format, &subject)?, to.as_path())));
        sboms.collect()
    }
}
