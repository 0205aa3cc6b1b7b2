//! What explains a failed install, kept in `NAME.failed/`.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::workdir::WorkDir;
use crate::image::output::OutputPaths;

/// Name of the console's log in a work directory.
pub const CONSOLE_LOG: &str = "console.log";
/// Name of the kickstart as it was served, with secrets masked.
pub const KICKSTART: &str = "kickstart.ks";
/// Name of the guest's libvirt XML.
pub const DOMAIN: &str = "domain.xml";
/// Name of the log of what the guest asked our server for.
pub const ACCESS_LOG: &str = "access.log";
/// Name of the log of QEMU's own messages.
pub const QEMU_LOG: &str = "qemu.log";
/// Name of the file that says why the install failed, for people.
pub const VERDICT: &str = "verdict.txt";
/// Name of the file that says the same, for programs (`docs/verdict.md`).
pub const VERDICT_JSON: &str = "verdict.json";

/// What is kept, if it is there.
const KEPT: [&str; 5] = [CONSOLE_LOG, KICKSTART, DOMAIN, ACCESS_LOG, QEMU_LOG];

/// Writes a file that only the user can read.
///
/// # Errors
/// It cannot be written.
pub fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("writing {}", path.display()))
}

/// Keeps what explains the failure, in place of what an earlier failed build left; the directory.
///
/// # Errors
/// It cannot be written. What an earlier build left may be gone then.
pub fn keep(
    work: &WorkDir,
    output: &OutputPaths,
    verdict: &[(&str, String)],
) -> anyhow::Result<PathBuf> {
    let aside = work.join("failed");
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(&aside)
        .with_context(|| format!("creating {}", aside.display()))?;
    for name in KEPT {
        let from = work.join(name);
        if from.exists() {
            std::fs::rename(&from, aside.join(name))
                .with_context(|| format!("keeping {}", from.display()))?;
        }
    }
    for (name, text) in verdict {
        write_private(&aside.join(name), text)?;
    }
    remove(output)?;
    std::fs::rename(&aside, &output.failed)
        .with_context(|| format!("keeping {}", output.failed.display()))?;
    Ok(output.failed.clone())
}

/// Removes what an earlier failed build kept.
///
/// # Errors
/// It is there and cannot be removed.
pub fn remove(output: &OutputPaths) -> anyhow::Result<()> {
    match remove_ours(&output.failed) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.with_context(|| format!("removing {}", output.failed.display())),
    }
}

/// Removes our files and then the directory, which fails where somebody put files of theirs.
fn remove_ours(dir: &Path) -> std::io::Result<()> {
    for name in KEPT.into_iter().chain([VERDICT, VERDICT_JSON]) {
        match std::fs::remove_file(dir.join(name)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    std::fs::remove_dir(dir)
}
