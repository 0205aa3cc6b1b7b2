//! What lies beside an image and says what is in it: read from the finished disk, not from what was asked for.

use std::path::Path;
use std::time::SystemTime;

use anyhow::Context;

use super::attempt::Attempt;
use super::finish::Sealed;
use super::plan::Aim;
use crate::formats::conversion::Conversion;
use crate::image::reader;
use crate::image::reader::{Image, Question};
use crate::image::signature;
use crate::inspect::{Release, Storage};
use crate::mirror::{Ahead, Lock, PruneRules, Traffic};
use crate::packages::Package;
use crate::packages::origin::{self, Origins};
use crate::sbom::icicle::{self, Entry};
use crate::sbom::{self, Subject};

/// How large the cache may be, in bytes, when nobody says otherwise: the packages of some dozens of images, and a few
/// ISO images.
const CACHE_SIZE: u64 = 64 << 30;

/// How many packages are named in a sentence.
const MOST_NAMED: usize = 5;

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
        let inspection = reader::inspect(program, &self.prepared.disks, &self.keys).await?;
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
        let disks = Image::opened(&self.prepared.disks, &self.keys);
        let asking = reader::ask::<Origins>(program, &disks, &Question::Origins);
        match self.cancellation.or(async { Ok(asking.await) }).await? {
            Ok(origins) => self.origins = origins,
            Err(error) => self.reporter.note(format!(
                "the manifest does not say where packages are from: {error:#}"
            )),
        }
        Ok(())
    }

    /// What was asked of mirrors, if the guest asked through us.
    pub(super) fn traffic(&self) -> Option<Traffic> {
        let mirror = &self.prepared.mirror;
        mirror.keeps_packages().then(|| mirror.ledger().traffic())
    }

    /// Fetches what the last build of this name took, until what is given is dropped; nothing where there was none.
    pub(super) fn fetch_ahead(&self) -> Option<Ahead> {
        let to = self.plan.stable().lock.as_deref();
        let to = to.filter(|_| self.plan.aim == Aim::Image)?;
        let last = Lock::read(to).ok()?;
        let places = self.prepared.kept_places.clone();
        Some(self.prepared.mirror.fetch_ahead(places, &last))
    }

    /// What the image was installed from, and where that goes.
    ///
    /// # Errors
    /// None that is known.
    pub(super) fn lock(&self) -> anyhow::Result<Option<(String, &Path)>> {
        let Some(to) = self.plan.output.lock.as_deref() else {
            return Ok(None);
        };
        let lock = Lock::of(self.prepared.mirror.ledger());
        Ok(Some((lock.text()?, to)))
    }

    /// Notes in the cache what this build took, keeps what its lock file names, and makes room for others.
    pub(super) fn tidy_cache(&self) {
        let (plan, mirror) = (self.plan, &self.prepared.mirror);
        let Some(traffic) = self.traffic() else {
            return;
        };
        let cache = mirror.cache();
        let locks = plan.output.lock.iter().chain(&plan.options.locked);
        let pinned = locks.map(|lock| cache.pin(lock));
        let rules = PruneRules {
            unused_for: None,
            max_bytes: Some(
                plan.options
                    .cache_size
                    .map_or(CACHE_SIZE, |size| size.0 << 20),
            ),
        };
        let tidied = pinned
            .collect::<anyhow::Result<()>>()
            .and_then(|()| cache.add_traffic(&traffic))
            .and_then(|()| cache.prune(&rules));
        match tidied {
            Ok(removal) if removal.removed.is_empty() => {}
            Ok(removal) => self.reporter.detail(format!(
                "{} files, {} MiB, made room in the cache",
                removal.removed.len(),
                removal.bytes >> 20
            )),
            // The image is good whatever becomes of the cache.
            Err(error) => self
                .reporter
                .warn(format!("the cache was not tidied: {error:#}")),
        }
    }

    /// Says what the cache was good for, and which packages are from elsewhere.
    pub(super) fn report_cache(&self, contents: Option<&Contents>) {
        let Some(traffic) = self.traffic() else {
            return;
        };
        let kib = |bytes: u64| bytes.div_ceil(1024);
        let ahead = match traffic.ahead {
            0 => String::new(),
            ahead => format!(", {} KiB of it before the guest asked,", kib(ahead)),
        };
        self.reporter.note(format!(
            "mirrors sent {} KiB{ahead} in {:.1} s, in answer to {} requests; of {} KiB that the guest took, {} KiB were in the cache",
            kib(traffic.fetched),
            traffic.seconds,
            traffic.requests,
            kib(traffic.served),
            kib(traffic.cached),
        ));
        let asked = self.prepared.mirror.ledger().packages();
        let is_all_ours = self.plan.isos.is_empty() && self.plan.base.is_none();
        let Some(contents) = contents.filter(|_| is_all_ours && !asked.is_empty()) else {
            return;
        };
        let elsewhere = contents.packages.iter().filter_map(|package| {
            let (name, arch) = (&package.name, package.arch.as_ref()?);
            let name = format!("{name}-{}-{}.{arch}", package.version, package.release);
            (!asked.contains(&name)).then_some(name)
        });
        let elsewhere: Vec<String> = elsewhere.collect();
        if elsewhere.is_empty() {
            return;
        }
        let more = match elsewhere.len().saturating_sub(MOST_NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let named = elsewhere[..elsewhere.len().min(MOST_NAMED)].join(", ");
        let message = format!("{named}{more}: not of the repositories that ozr passed on");
        match &self.plan.options.locked {
            Some(_) => self.reporter.warn(message),
            None => self.reporter.note(message),
        }
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
        let signers = &self.plan.options.sign;
        if !signers.is_empty() {
            self.reporter.step("signing");
        }
        let checksums = conversion.checksums(output);
        let signed = signature::of_papers(signers, output, checksums, Some(provenance));
        self.cancellation.or(signed).await
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
