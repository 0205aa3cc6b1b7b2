//! `ozr install --iso`: the template that an ISO image makes unnecessary.

use std::path::{Path, PathBuf};

use url::Url;

use super::signals;
use super::template::{self, ReadTemplate};
use super::tree;
use crate::error::{Classify, Kind, fail, failed};
use crate::install::isos::{of_options, refused};
use crate::mirror::{Disc, Mirror, MirrorOptions, address, file_name, shown};
use crate::options::{InstallOptions, Values};
use crate::state::directories;
use crate::tdl::{Install, IsoAddress, IsoInstall, Template};
use crate::ui::event::Reporter;

/// What stands in a template's place: the image, by its name in the current directory.
pub fn file(options: &InstallOptions) -> Option<PathBuf> {
    let url = address(options.iso.first()?).ok()?;
    Some(
        url.to_file_path()
            .unwrap_or_else(|()| file_name(&url).into()),
    )
}

/// The template that `--iso` stands for: named after the image, of the release that the image says. An image
/// of another host is fetched for that.
///
/// # Errors
/// Input: it is no installer's image, or of no release that ozr knows. Mirror: it cannot be had.
pub fn template(options: &InstallOptions, reporter: &Reporter) -> anyhow::Result<ReadTemplate> {
    let (source, disc) = look(options, reporter)?;
    let name = shown(&source);
    let (Some(release), Some(arch)) = (disc.release(), disc.arch()) else {
        fail!(
            Kind::Input,
            "{name} says that it is of `{}`, which is no release that ozr knows: give a template that says what to treat it as",
            disc.shown()
        );
    };
    reporter.note(format!("{name} is {release} for {arch}"));
    let (os, version) = release.names();
    let image = file_name(&source);
    let stem = Path::new(&image).file_stem().unwrap_or_default();
    let escaped = |text: &str| quick_xml::escape::escape(text).into_owned();
    let text = format!(
        "<template>\n  <name>{}</name>\n  <os>\n    <name>{os}</name>\n    <version>{version}</version>\n    \
         <arch>{arch}</arch>\n    <install type='iso'><iso>{}</iso></install>\n  </os>\n</template>\n",
        escaped(&stem.to_string_lossy()),
        escaped(&image),
    );
    template::parse(text.as_bytes(), &image, &Values::default())?.map_err(|findings| {
        let first = findings.first().map(|finding| finding.message.as_str());
        failed!(
            Kind::Input,
            "{name} cannot give the image its name ({}): rename it",
            first.unwrap_or_default()
        )
    })
}

/// Puts the image of `--iso` into the place of what the template installs from. Its tree stays only where the
/// image has no packages.
///
/// # Errors
/// As for [`template()`].
pub fn put_in(
    template: &mut Template,
    options: &InstallOptions,
    reporter: &Reporter,
) -> anyhow::Result<()> {
    let Some(path) = file(options) else {
        return Ok(());
    };
    if let Install::Url(_) = template.os.install {
        let disc = look(options, reporter)?.1;
        if !disc.has_packages() {
            return Ok(());
        }
        if let Some(release) = disc.release() {
            tree::decide(template, release, reporter);
        }
    }
    // Nothing asks for a path.
    let address = IsoAddress::Path(path);
    template.os.install = Install::Iso(IsoInstall { address, sum: None });
    Ok(())
}

/// The first image's address, and what is on it. An image of another host is fetched for that.
fn look(options: &InstallOptions, reporter: &Reporter) -> anyhow::Result<(Url, Disc)> {
    let sources = of_options(options)?;
    let Some(source) = sources.into_iter().next() else {
        fail!(Kind::Input, "no ISO image is named");
    };
    let name = shown(&source.url);
    let cache_dir = directories::cache_dir(options.cache_dir.as_deref()).kind(Kind::Host)?;
    let mirror =
        MirrorOptions::of(options, cache_dir).with_template(Some(&source.url), Path::new("/"));
    let mirror = Mirror::new(mirror, reporter.clone())?;
    let runtime = signals::runtime()?;
    let (stop, _impatience) = signals::cancellation(&runtime, reporter)?;
    let iso = runtime.block_on(stop.or(mirror.look_at(&source)));
    runtime.shutdown_background();
    let disc = Disc::look(&iso?).map_err(|error| refused(&name, &error))?;
    Ok((source.url, disc))
}
