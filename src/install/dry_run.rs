//! What a build would do, told where its guest would start (`ozr install --dry-run`).

use std::fmt::Write as _;

use super::attempt::Attempt;
use crate::kickstart::mask;
use crate::mirror::{CachedFile, Origin};
use crate::printable;

impl Attempt<'_> {
    /// The installer's files and where they come from, what else was fetched, the images that there would be,
    /// the kickstart as the guest would get it, and the guest's XML, which has the kernel's command line. Without
    /// secrets.
    ///
    /// # Errors
    /// Host: the guest cannot be told to libvirt.
    pub(super) fn would_do(&self) -> anyhow::Result<String> {
        let (prepared, handover) = (&self.prepared, &self.handover);
        let tree = &prepared.tree;
        let mut text = String::new();
        let mut section = |title: &str, lines: &str| {
            if !lines.is_empty() {
                let gap = if text.is_empty() { "" } else { "\n" };
                // Writing into a string does not fail.
                let _ = writeln!(
                    text,
                    "{gap}# {title}\n{}",
                    printable::lines(lines).trim_end()
                );
            }
        };
        let discs = prepared.discs.iter().flat_map(|discs| &discs.images);
        let files = [&tree.kernel, &tree.initrd].into_iter();
        let files = files.chain(discs.map(|disc| &disc.file));
        section("The installer", &files.map(file).collect::<String>());
        let fetched = prepared.fetched.iter();
        let fetched = fetched.map(|(address, sha256)| format!("{address}: sha256 {sha256}\n"));
        section(
            "For the template's files and commands",
            &fetched.collect::<String>(),
        );
        let repositories = prepared.repositories.iter().map(|repository| {
            let revision = repository.revision.as_deref().unwrap_or("unknown");
            format!("{}: revision {revision}\n", repository.url)
        });
        section("Repositories", &repositories.collect::<String>());
        let images = self.plan.output.paths().into_iter();
        let images = images.map(|path| format!("{}\n", path.display()));
        section("Images that would be made", &images.collect::<String>());
        let kickstart = mask::mask(&handover.served);
        section(
            "The kickstart, as the guest would get it",
            &handover.secrets.hide(&kickstart),
        );
        let xml = prepared.host.xml_of(&self.spec)?;
        section(
            "The guest, as libvirt would be told",
            &handover.secrets.hide(&xml),
        );
        Ok(text)
    }
}

/// A file of the installer's, in a line.
fn file(file: &CachedFile) -> String {
    let origin = match file.origin {
        Origin::Fetched => "fetched into the cache",
        Origin::Revalidated | Origin::Cached | Origin::Kept => "from the cache",
        Origin::Local => "where it lies",
    };
    let (path, bytes) = (file.path.display(), file.bytes);
    format!("{path}: {bytes} bytes, sha256 {}, {origin}\n", file.sha256)
}
