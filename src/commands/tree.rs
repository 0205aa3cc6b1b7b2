//! Which release an install tree is of: that, and not the name in the template, decides what is installed.
//!
//! Oz knows few names, so its users write one of those: `CentOS-9` above the tree of an AlmaLinux 10,
//! `Fedora` above one of Rocky Linux 10.

use std::path::Path;
use std::time::Duration;

use crate::distro::Release;
use crate::error::{Classify, Kind};
use crate::install::plan::template_dir;
use crate::mirror::{Mirror, MirrorOptions, TreeInfo};
use crate::options::InstallOptions;
use crate::state::directories;
use crate::tdl::{Install, Template};
use crate::ui::event::Reporter;

/// How long the tree may take to say what it is. One that has not answered by then is told of by those who
/// need it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Gives a template that comes from `file` the release that its tree says it is of, if that is another one
/// than its name says; and says so. What the tree says of itself.
///
/// # Errors
/// Host: there is no place for a cache, or no threads.
pub fn settle(
    template: &mut Template,
    file: &Path,
    options: &InstallOptions,
    reporter: &Reporter,
) -> anyhow::Result<Option<TreeInfo>> {
    let info = ask(template, file, options)?;
    let named = info
        .as_ref()
        .and_then(|info| info.family.as_ref().zip(info.version.as_ref()));
    if let Some(of_tree) = named.and_then(|(family, version)| Release::of_tree(family, version)) {
        decide(template, of_tree, reporter);
    }
    Ok(info)
}

/// Gives a template the release that what it is installed from is of.
pub fn decide(template: &mut Template, of_tree: Release, reporter: &Reporter) {
    let arch = template.os.arch;
    if !of_tree.architectures().contains(&arch) {
        return;
    }
    let named = template.release().ok().copied();
    let (name, version) = (&template.os.name, &template.os.version);
    match named {
        Some(named) if named.product() == of_tree.product() && named.major() == of_tree.major() => {
            return;
        }
        // Another's rebuild of the same: what is installed is the same, but for its name.
        Some(named) if named.generation() == of_tree.generation() => reporter.note(format!(
            "the tree is of {of_tree}, and the template says {name}, version {version}"
        )),
        _ => reporter.warn(format!(
            "the tree is of {of_tree}, though the template says {name}, version {version}: the tree decides"
        )),
    }
    template.set_release(of_tree);
}

/// What the template's tree says of itself, if it does.
fn ask(
    template: &Template,
    file: &Path,
    options: &InstallOptions,
) -> anyhow::Result<Option<TreeInfo>> {
    let Install::Url(tree) = &template.os.install else {
        return Ok(None);
    };
    let cache = directories::cache_dir(options.cache_dir.as_deref()).kind(Kind::Host)?;
    let dir = template_dir(file).kind(Kind::Input)?;
    let mut mirror = MirrorOptions::of(options, cache).with_template(Some(tree.url()), &dir);
    mirror.tree_addresses = template.os.tree_addresses();
    // Then it is as it was last seen.
    (mirror.offline, mirror.packages) = (options.offline, options.offline);
    let Ok(mirror) = Mirror::new(mirror, Reporter::silent()) else {
        // Who uses it says why.
        return Ok(None);
    };
    let runtime = super::signals::runtime()?;
    let described = runtime
        .block_on(async { tokio::time::timeout(PATIENCE, mirror.describe(tree.url())).await });
    runtime.shutdown_background();
    Ok(described.ok().and_then(Result::ok).flatten())
}
