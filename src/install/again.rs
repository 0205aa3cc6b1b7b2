//! Whether another build would make another image than the one that is there: `docs/rebuild.md`.

use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;

use super::fingerprint::{Found, Gathered, secrets};
use super::history::{self, Build};
use super::plan::Plan;
use super::prepare::{gather_contents, mirror_of};
use super::repositories;
use crate::error::{Classify, Kind as ErrorKind};
use crate::image::checksum;
use crate::image::fingerprint::{self, Kind, Reason};
use crate::image::manifest::{self, Manifest};
use crate::input::{self, Identity};
use crate::mirror::{Mirror, TreeInfo, shown};
use crate::state::directories;
use crate::ui::event::Reporter;

/// How long the tree may take to say what it is.
const PATIENCE: Duration = Duration::from_secs(12);

/// What is to be done.
#[derive(Debug)]
pub struct Answer {
    /// Why the image is to be built; empty if the one that is there is what would come of it.
    pub reasons: Vec<Reason>,
    /// The manifest of the one that is there.
    pub manifest: Option<Manifest>,
}

impl Answer {
    /// Whether the image is to be built.
    pub fn is_needed(&self) -> bool {
        !self.reasons.is_empty()
    }
}

/// Compares the image that is there with what would come of a plan.
///
/// # Errors
/// Host: there is no place for a cache. Input: a file of the template cannot be read.
pub async fn ask(plan: &Plan, reporter: &Reporter) -> anyhow::Result<Answer> {
    let path = &plan.stable().manifest;
    let Ok(manifest) = manifest::read(path) else {
        let text = format!("there is no image with a manifest at {}", path.display());
        return Ok(Answer {
            reasons: vec![Reason::new(Kind::Image, text)],
            manifest: None,
        });
    };
    let state_dir = directories::state_dir(plan.options.state_dir.as_deref());
    let state_dir = state_dir.kind(ErrorKind::Host)?;
    let noted = history::find(&state_dir, &manifest.build_id);
    let mut reasons = images(plan, &manifest, noted.as_ref()).await;
    reasons.extend(made_of(plan, &manifest, noted.as_ref(), reporter).await?);
    Ok(Answer {
        reasons,
        manifest: Some(manifest),
    })
}

/// Whether all that a build leaves is there, and is what the manifest says.
async fn images(plan: &Plan, manifest: &Manifest, noted: Option<&Build>) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let output = plan.stable();
    for (what, path) in output.named() {
        let is_made_later = path == output.failed || path == output.boot_test;
        let is_not_made = path == output.xml && output.bootable().is_none();
        if !(is_made_later || is_not_made || path.exists()) {
            let path = path.display();
            reasons.push(Reason::new(
                Kind::Image,
                format!("{what} {path} is not there"),
            ));
        }
    }
    // What is kept under a name of its own lies beside its manifest, too.
    let real = output.manifest.canonicalize();
    let real = real.unwrap_or_else(|_| output.manifest.clone());
    for image in &manifest.images {
        let path = real.with_file_name(&image.file);
        let is_it = is_what_it_was(&path, image.size, &image.sha256, noted).await;
        if !is_it {
            let text = format!("{} is not the image that was built", path.display());
            reasons.push(Reason::new(Kind::Image, text));
        }
    }
    reasons
}

/// Whether a file has this content. One that was not written to since it was published is not read.
async fn is_what_it_was(path: &Path, size: u64, sha256: &str, noted: Option<&Build>) -> bool {
    let Ok(there) = path.metadata() else {
        return false;
    };
    if there.len() != size {
        return false;
    }
    let mut noted = noted.iter().flat_map(|build| &build.images);
    let identity = Identity::of(&there);
    if noted.any(|image| image.identity.as_ref() == Some(&identity)) {
        return true;
    }
    let Ok(file) = input::open_image(path) else {
        return false;
    };
    let digest = checksum::sha256(&file).await;
    digest.is_ok_and(|(digest, _)| digest == sha256)
}

/// Whether the image is made of what it would be made of now.
async fn made_of(
    plan: &Plan,
    manifest: &Manifest,
    noted: Option<&Build>,
    reporter: &Reporter,
) -> anyhow::Result<Vec<Reason>> {
    let Some(old) = &manifest.fingerprint else {
        let text = "its manifest does not say what it was made of";
        return Ok(vec![Reason::new(Kind::Unknown, text)]);
    };
    let mirror = mirror_of(plan, reporter)?;
    let mut reasons = Vec::new();
    let tree = tree(plan, &mirror, &mut reasons).await;
    let mut isos = Vec::new();
    for source in &plan.isos {
        let image = mirror.iso(source).await?;
        isos.push((shown(&image.url), image.file.sha256));
    }
    let contents = gather_contents(plan, &mirror).await?;
    let found = Found {
        tree: tree.as_ref(),
        isos,
        contents: contents.as_ref(),
        repositories: repositories::of(plan, &mirror, tree.as_ref(), None).await,
    };
    let mut gathered = Gathered::of(plan, &mirror, found).await;
    let new = gathered.inputs();
    reasons.extend(fingerprint::compare_inputs(old, &new));
    reasons.extend(secret(plan, manifest, noted));
    if new.has_the_lists_of(old) {
        return Ok(reasons);
    }
    let Some(installed) = &manifest.packages else {
        let text = "which packages are installed is not known";
        reasons.push(Reason::new(Kind::Unknown, text));
        return Ok(reasons);
    };
    gathered.obtain(&mirror).await;
    let (new, about) = gathered.whole(&mirror, Some(installed)).await;
    let others = new
        .unknown
        .iter()
        .filter(|text| !old.unknown.contains(text));
    let others = others.filter(|text| !reasons.iter().any(|reason| reason.text == **text));
    let others: Vec<Reason> = others
        .map(|text| Reason::new(Kind::Unknown, text))
        .collect();
    if new.candidates.is_some() || others.is_empty() {
        reasons.extend(fingerprint::compare_packages(old, &new, &about));
    }
    // Of packages that went out of the repositories it is said already.
    if !reasons.iter().any(|reason| reason.kind == Kind::Package) {
        reasons.extend(others);
    }
    Ok(reasons)
}

/// What the tree says of itself.
async fn tree(plan: &Plan, mirror: &Mirror, reasons: &mut Vec<Reason>) -> Option<TreeInfo> {
    if plan.described.is_some() {
        return plan.described.clone();
    }
    let tree = plan.tree.as_ref().filter(|_| plan.isos.is_empty())?;
    match timeout(PATIENCE, mirror.describe(tree)).await {
        Ok(Ok(info)) => info,
        Ok(Err(fault)) => {
            reasons.push(Reason::new(Kind::Unknown, fault.to_string()));
            None
        }
        Err(_) => {
            let text = format!("{} did not answer in time", shown(tree));
            reasons.push(Reason::new(Kind::Unknown, text));
            None
        }
    }
}

/// Whether the secrets are the same. Manifests are for everybody, so what tells it is in the history.
fn secret(plan: &Plan, manifest: &Manifest, noted: Option<&Build>) -> Option<Reason> {
    let now = secrets(plan, &manifest.build_id);
    match (now, noted) {
        (now, Some(noted)) if now == noted.secrets => None,
        (None, None) => None,
        (_, Some(_)) => Some(Reason::new(Kind::Input, "a password is another")),
        (Some(_), None) => {
            let text = "whether a password is another is not known, as this state directory does not know that build";
            Some(Reason::new(Kind::Unknown, text))
        }
    }
}

/// Whether what has the image's name is ozr's own, and may be replaced by another build of it: a set that its
/// manifest names.
pub fn is_ours(image: &Path, manifest: &Path) -> bool {
    let Ok(manifest) = manifest::read(manifest) else {
        return false;
    };
    let target = image.canonicalize().unwrap_or_else(|_| image.to_owned());
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let mut images = manifest.images.iter();
    images.any(|image| image.file == name)
}
