//! What explains a failed install, kept in `NAME.failed/`.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::mask_raw;
use crate::image::installed::Log;
use crate::image::output::OutputPaths;
use crate::secrets::Secrets;
use crate::state::work_dir::WorkDir;

/// Name of the console's log in a work directory.
pub const CONSOLE_LOG: &str = "console.log";
/// Name of the console's record, byte for byte.
pub const CONSOLE_RAW: &str = "console.raw";
/// Name of the installer's records from the log port, one a line.
pub const INSTALLER_LOG: &str = "installer.log";
/// Name of the log port's record, byte for byte.
pub const LOG_PORT_RAW: &str = "logport.raw";
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

/// Name of the picture of the guest's screen when it failed.
pub const SCREENSHOT: &str = "screenshot.png";
/// Name of the file that says how long what took.
pub const TIMINGS: &str = "timings.json";
/// Name of the file that says what was used, with versions.
pub const VERSIONS: &str = "versions.json";

/// Name of the directory of the installer's logs from the guest's disk.
pub const DISK_LOGS: &str = "anaconda";

/// What is moved, if it is there: its secrets were hidden when it was written.
const MOVED: [&str; 5] = [CONSOLE_LOG, INSTALLER_LOG, KICKSTART, DOMAIN, QEMU_LOG];

/// What is copied, if it is there, its secrets hidden.
const COPIED: [&str; 3] = [CONSOLE_RAW, LOG_PORT_RAW, ACCESS_LOG];

/// What is written.
const WRITTEN: [&str; 5] = [SCREENSHOT, TIMINGS, VERSIONS, VERDICT, VERDICT_JSON];

/// Writes a file that only the user can read.
///
/// # Errors
/// It cannot be written.
pub fn write_private(path: &Path, content: impl AsRef<[u8]>) -> anyhow::Result<()> {
    create_private(path)
        .and_then(|mut file| file.write_all(content.as_ref()))
        .with_context(|| format!("writing {}", path.display()))
}

fn create_private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

/// What was gathered, in the work directory still.
#[derive(Debug)]
pub struct Gathered(PathBuf);

impl Gathered {
    /// Gathers what the work directory holds. What cannot be gathered is left out, and told by
    /// `missing`.
    ///
    /// # Errors
    /// The directory for it cannot be made.
    pub fn from(
        work: &WorkDir,
        secrets: &Secrets,
        missing: &mut impl FnMut(anyhow::Error),
    ) -> anyhow::Result<Gathered> {
        let aside = work.join("failed");
        create_dir(&aside)?;
        let moved = MOVED.map(|name| {
            let from = work.join(name);
            if !from.exists() {
                return Ok(());
            }
            std::fs::rename(&from, aside.join(name))
                .with_context(|| format!("keeping {}", from.display()))
        });
        let copied = COPIED.map(|name| copy(&work.join(name), &aside.join(name), secrets));
        for result in moved.into_iter().chain(copied) {
            if let Err(error) = result {
                missing(error);
            }
        }
        Ok(Gathered(aside))
    }

    /// Adds a file, whose secrets are hidden.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn add(&self, name: &str, content: impl AsRef<[u8]>) -> anyhow::Result<()> {
        debug_assert!(WRITTEN.contains(&name), "{name} would never be removed");
        write_private(&self.0.join(name), content)
    }

    /// Adds the installer's logs from the guest's disk, their secrets hidden.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn add_logs(&self, logs: &[Log], secrets: &Secrets) -> anyhow::Result<()> {
        if logs.is_empty() {
            return Ok(());
        }
        let dir = self.0.join(DISK_LOGS);
        create_dir(&dir)?;
        for log in logs {
            let path = dir.join(&log.name);
            create_private(&path)
                .and_then(|mut file| mask_raw::copy(&mut &log.content[..], &mut file, secrets))
                .with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(())
    }

    /// Puts it in place of what an earlier failed build left; the directory.
    ///
    /// # Errors
    /// It cannot be put there. What an earlier build left may be gone then.
    pub fn publish(self, output: &OutputPaths) -> anyhow::Result<PathBuf> {
        remove(output)?;
        std::fs::rename(&self.0, &output.failed)
            .with_context(|| format!("keeping {}", output.failed.display()))?;
        Ok(output.failed.clone())
    }
}

fn create_dir(path: &Path) -> anyhow::Result<()> {
    std::fs::DirBuilder::new()
        .mode(0o700)
        .create(path)
        .with_context(|| format!("creating {}", path.display()))
}

/// Copies what the guest wrote, without secrets.
fn copy(from: &Path, to: &Path, secrets: &Secrets) -> anyhow::Result<()> {
    let copy = || {
        let mut source = match File::open(from) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        let mut target = BufWriter::new(create_private(to)?);
        mask_raw::copy(&mut source, &mut target, secrets)?;
        target.flush()
    };
    copy().with_context(|| format!("keeping {}", from.display()))
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
    for name in MOVED.into_iter().chain(COPIED).chain(WRITTEN) {
        match std::fs::remove_file(dir.join(name)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    match std::fs::remove_dir_all(dir.join(DISK_LOGS)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        other => other?,
    }
    std::fs::remove_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_documented_and_no_other() {
        let text = include_str!("../../docs/verdict.md");
        let (_, files) = text.split_once("\n## Files\n").unwrap();
        let mut documented: Vec<&str> = files
            .lines()
            .filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0))
            .collect();
        let mut kept: Vec<&str> = MOVED.into_iter().chain(COPIED).chain(WRITTEN).collect();
        kept.push(DISK_LOGS);
        documented.sort_unstable();
        kept.sort_unstable();
        assert_eq!(documented, kept);
    }
}
