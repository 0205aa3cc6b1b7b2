//! What a build says of itself to programs: the manifest of one that succeeded (`docs/manifest.md`);
//! how long what took and what was used, with versions, of one that failed (`docs/verdict.md`).

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use serde::Serialize;

use super::attempt::Attempt;
use super::finish::Sealed;
use super::papers::Contents;
use crate::formats::conversion::Conversion;
use crate::image::fingerprint::Fingerprint;
use crate::image::manifest::{
    Disk, Host, Image, IsoFile, Manifest, Phase, Release, SCHEMA, Seal, Source, Tree, TreeFile,
    timestamp,
};
use crate::mirror::{CachedFile, Media, shown};
use crate::options::{Compress, Format};
use crate::watch::progress::PhaseTime;
use crate::watch::verdict::seconds;

/// Where a system says what it is (os-release(5)).
const OS_RELEASE: &str = "/etc/os-release";

impl Attempt<'_> {
    /// The manifest of the images, as JSON; `contents` is what is installed, if that could be told.
    ///
    /// # Errors
    /// None that is known.
    pub(super) fn manifest(
        &self,
        conversion: &Conversion,
        sealed: &Sealed,
        contents: Option<&Contents>,
        fingerprint: Option<Fingerprint>,
    ) -> anyhow::Result<String> {
        let (plan, spec, tree) = (self.plan, &self.spec, &self.prepared.tree);
        let os = &plan.template.os;
        let info = tree.treeinfo.as_ref();
        let layout = plan.release.tree_layout(plan.arch);
        let first = conversion.files.first().context("nothing was made")?;
        let tree_file = |file: &CachedFile, named: Option<&str>, usual: &str| {
            let path = named.unwrap_or(usual).to_owned();
            TreeFile {
                verified: info.is_some_and(|info| info.checksums.contains_key(&path)),
                path,
                sha256: file.sha256.clone(),
            }
        };
        let kernel = info.and_then(|info| info.kernel.as_deref());
        let initrd = info.and_then(|info| info.initrd.as_deref());
        let phases = self.phases().iter();
        let versions = self.hypervisor.as_ref();
        let manifest = Manifest {
            schema: SCHEMA,
            ozr_version: env!("CARGO_PKG_VERSION").to_string(),
            build_id: spec.build_id.clone(),
            name: plan.name.clone(),
            started: timestamp(self.timings.started),
            finished: timestamp(SystemTime::now()),
            template: Source {
                file: Some(file_name(&plan.file.name)),
                sha256: plan.file.sha256.clone(),
            },
            kickstart: Source {
                file: (!plan.answers.builtin).then(|| plan.answers.file_names()),
                sha256: plan.answers.sha256.clone(),
            },
            release: Release {
                name: os.name.clone(),
                version: os.version.clone(),
                arch: plan.arch.to_string(),
                installer: self.installer().map(str::to_owned),
            },
            tree: Tree {
                url: shown(&tree.url),
                kernel: tree_file(&tree.kernel, kernel, layout.kernel),
                initrd: tree_file(&tree.initrd, initrd, layout.initrd),
                isos: self.iso_files(),
            },
            image: Image {
                file: file_name(&plan.output.image.display().to_string()),
                format: plan.formats[0],
                compression: match plan.formats[0] {
                    Format::Qcow2 => plan.compress,
                    _ => Compress::None,
                },
                size: first.size,
                virtual_size: conversion
                    .virtual_sizes
                    .first()
                    .copied()
                    .unwrap_or_default(),
                sha256: first.sha256.clone(),
            },
            disks: plan
                .order()
                .devices
                .into_iter()
                .zip(&conversion.virtual_sizes)
                .map(|(device, size)| Disk {
                    device,
                    size: *size,
                })
                .collect(),
            images: conversion.entries(&plan.output),
            host: Host {
                name: node_name(),
                hypervisor: versions.map_or_else(
                    || "QEMU".to_owned(),
                    |versions| format!("QEMU {} by libvirt {}", versions.qemu, versions.libvirt),
                ),
                accelerator: spec.accel.to_string(),
                vcpus: spec.vcpus,
                memory_mib: spec.memory_mib,
                firmware: spec.firmware.name().to_string(),
                secure_boot: plan.guest.board.secure_boot,
                tpm: plan.guest.board.tpm,
            },
            phases: phases
                .map(|time| Phase::new(time.phase.name(), time.lasted))
                .collect(),
            seal: Seal {
                items: sealed.items.clone(),
                left: self.plan.unsealed.clone(),
                unproved: sealed.unproved.clone(),
            },
            storage: contents.map(|contents| contents.storage.clone()),
            repositories: self.prepared.repositories.clone(),
            fingerprint,
            traffic: self.traffic(),
            findings: self.remarks.findings(),
            notes: self.remarks.notes(),
            packages: contents.map(|contents| contents.packages.clone()),
        };
        manifest.to_json()
    }

    fn iso_files(&self) -> Vec<IsoFile> {
        let discs = self.prepared.discs.iter();
        let images = discs.flat_map(|discs| &discs.images);
        images
            .map(|image| IsoFile {
                url: shown(&image.url),
                label: image
                    .contents()
                    .map_or_else(|_| String::new(), |iso| iso.label().to_owned()),
                sha256: image.file.sha256.clone(),
                size: image.file.bytes,
                media_check: (image.media != Media::Absent).then_some(true),
                listed_in: image.listed.as_ref().map(|(_, list)| list.clone()),
            })
            .collect()
    }

    /// `timings.json`: the steps before the guest ran, and its phases.
    ///
    /// # Errors
    /// None that is known.
    pub(super) fn timings_json(&self) -> anyhow::Result<String> {
        #[derive(Serialize)]
        struct Document<'a> {
            started: String,
            steps: &'a [Step],
            phases: &'a [PhaseTime],
        }
        json(&Document {
            started: timestamp(self.timings.started),
            steps: &self.timings.steps,
            phases: self.phases(),
        })
    }

    /// `versions.json`: what was used.
    ///
    /// # Errors
    /// None that is known.
    pub(super) fn versions_json(&self) -> anyhow::Result<String> {
        #[derive(Serialize)]
        struct Document<'a> {
            ozr: &'static str,
            libvirt: Option<&'a str>,
            qemu: Option<&'a str>,
            kernel: String,
            os: Option<String>,
            accelerator: String,
            release: String,
            installer: Option<&'a str>,
            tree: Tree<'a>,
        }
        #[derive(Serialize)]
        struct Tree<'a> {
            url: String,
            name: Option<&'a str>,
            version: Option<&'a str>,
            timestamp: Option<f64>,
        }
        let uname = rustix::system::uname();
        let kernel = [uname.sysname(), uname.release(), uname.machine()];
        let os_release = std::fs::read_to_string(OS_RELEASE).unwrap_or_default();
        let tree = &self.prepared.tree;
        let info = tree.treeinfo.as_ref();
        let versions = self.hypervisor.as_ref();
        json(&Document {
            ozr: env!("CARGO_PKG_VERSION"),
            libvirt: versions.map(|versions| versions.libvirt.as_str()),
            qemu: versions.map(|versions| versions.qemu.as_str()),
            kernel: kernel.map(|part| part.to_string_lossy()).join(" "),
            os: pretty_name(&os_release),
            accelerator: self.prepared.accel.to_string(),
            release: format!("{} {}", self.plan.release, self.plan.arch),
            installer: self.installer(),
            tree: Tree {
                url: shown(&tree.url),
                name: info.and_then(|info| info.family.as_deref()),
                version: info.and_then(|info| info.version.as_deref()),
                timestamp: info.and_then(|info| info.timestamp),
            },
        })
    }

    /// How long each phase took, if it was followed to its end.
    pub(super) fn phases(&self) -> &[PhaseTime] {
        let supervised = self.supervised.as_ref();
        supervised.map_or(&[], |supervised| &supervised.phases)
    }

    fn installer(&self) -> Option<&str> {
        self.supervised.as_ref()?.installer.as_deref()
    }
}

/// Times the steps of an attempt.
#[derive(Debug)]
pub struct Timings {
    started: SystemTime,
    steps: Vec<Step>,
    last: Instant,
}

#[derive(Debug, Serialize)]
struct Step {
    name: &'static str,
    #[serde(rename = "seconds", serialize_with = "seconds")]
    lasted: Duration,
}

impl Timings {
    /// Begins now.
    pub fn begin() -> Timings {
        Timings {
            started: SystemTime::now(),
            steps: Vec::new(),
            last: Instant::now(),
        }
    }

    /// When the attempt began.
    pub fn started(&self) -> SystemTime {
        self.started
    }

    /// A step is done, which began when the one before was done.
    pub fn done(&mut self, name: &'static str) {
        let now = Instant::now();
        let lasted = now - std::mem::replace(&mut self.last, now);
        self.steps.push(Step { name, lasted });
    }
}

fn json(document: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(document)? + "\n")
}

fn node_name() -> String {
    let uname = rustix::system::uname();
    uname.nodename().to_string_lossy().into_owned()
}

pub(super) fn file_name(path: &str) -> String {
    Path::new(path).file_name().map_or_else(
        || path.to_string(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// What os-release(5) calls fit for people.
fn pretty_name(os_release: &str) -> Option<String> {
    let line = os_release
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(line.trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_say_what_they_are() {
        let text = "ID=x\nPRETTY_NAME=\"Standin Linux 9\"\n";
        assert_eq!(pretty_name(text).unwrap(), "Standin Linux 9");
        assert_eq!(pretty_name("ID=x\n"), None);
    }
}
