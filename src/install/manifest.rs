//! What a finished build says of itself.

use std::path::Path;
use std::time::SystemTime;

use crate::host::DomainSpec;
use crate::image::disk;
use crate::image::manifest::{
    Host, Image, Manifest, Phase, Release, SCHEMA, Source, Tree, TreeFile, timestamp,
};
use crate::mirror::{CachedFile, InstallTree, shown};

use super::plan::Plan;
use super::supervise::Supervised;

/// What is known at the end of a build.
#[derive(Debug)]
pub struct Facts<'a> {
    /// What was decided.
    pub plan: &'a Plan,
    /// What the guest was made of.
    pub spec: &'a DomainSpec,
    /// Where it was installed from.
    pub tree: &'a InstallTree,
    /// What came of it.
    pub image: &'a disk::Image<'a>,
    /// How it went.
    pub supervised: &'a Supervised,
    /// What ran the guest, with its version.
    pub hypervisor: String,
    /// What was worth a remark.
    pub notes: &'a [String],
    /// When the build began.
    pub started: SystemTime,
}

/// The manifest, as JSON.
///
/// # Errors
/// None that is known.
pub fn describe(facts: &Facts<'_>) -> anyhow::Result<String> {
    let Facts {
        plan, spec, tree, ..
    } = facts;
    let os = &plan.template.os;
    let info = tree.treeinfo.as_ref();
    let layout = plan.release.tree_layout(plan.arch);
    let manifest = Manifest {
        schema: SCHEMA,
        ozr_version: env!("CARGO_PKG_VERSION").to_string(),
        build_id: spec.build_id.clone(),
        name: plan.name.clone(),
        started: timestamp(facts.started),
        finished: timestamp(SystemTime::now()),
        template: Source {
            file: Some(file_name(&plan.template_name)),
            sha256: plan.template_sha256.clone(),
        },
        kickstart: Source {
            file: (!plan.kickstart.builtin).then(|| file_name(&plan.kickstart.name)),
            sha256: plan.kickstart.sha256.clone(),
        },
        release: Release {
            name: os.name.clone(),
            version: os.version.clone(),
            arch: plan.arch.to_string(),
            installer: facts.supervised.installer.clone(),
        },
        tree: Tree {
            url: shown(&tree.url),
            kernel: tree_file(
                &tree.kernel,
                info.and_then(|info| info.kernel.as_deref()),
                layout.kernel,
                tree,
            ),
            initrd: tree_file(
                &tree.initrd,
                info.and_then(|info| info.initrd.as_deref()),
                layout.initrd,
                tree,
            ),
        },
        image: Image {
            file: file_name(&plan.output.image.display().to_string()),
            format: plan.format,
            compression: plan.compress,
            size: facts.image.size,
            virtual_size: facts.image.virtual_size,
            sha256: facts.image.sha256.clone(),
        },
        host: Host {
            name: rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
            hypervisor: facts.hypervisor.clone(),
            accelerator: spec.accel.to_string(),
            vcpus: spec.vcpus,
            memory_mib: spec.memory_mib,
            firmware: spec.firmware.name().to_string(),
        },
        phases: facts
            .supervised
            .phases
            .iter()
            .map(|time| Phase::new(time.phase.name(), time.lasted))
            .collect(),
        notes: facts.notes.to_vec(),
    };
    manifest.to_json()
}

fn tree_file(file: &CachedFile, named: Option<&str>, usual: &str, tree: &InstallTree) -> TreeFile {
    let path = named.unwrap_or(usual);
    let verified = tree
        .treeinfo
        .as_ref()
        .is_some_and(|info| info.checksums.contains_key(path));
    TreeFile {
        path: path.to_string(),
        sha256: file.sha256.clone(),
        verified,
    }
}

fn file_name(path: &str) -> String {
    Path::new(path).file_name().map_or_else(
        || path.to_string(),
        |name| name.to_string_lossy().into_owned(),
    )
}
