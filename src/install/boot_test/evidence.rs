//! What a boot test saw, kept in `NAME.boot-test/`: `boot-test.json`, and of each boot, behind its name,
//! the console, the screen and the journal.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use rustix::fs::{CWD, renameat};

use crate::error::{Classify, Kind};
use crate::machine::Firmware;
use crate::state::OwnedDir;
use crate::state::owned_dir::found;

/// Name of the report.
pub const REPORT: &str = "boot-test.json";

/// What the names of a boot's files end with: the console as lines, and byte for byte; the screen; the
/// journal, for `journalctl --file`.
pub const CONSOLE_LOG: &str = "console.log";
/// See [`CONSOLE_LOG`].
pub const CONSOLE_RAW: &str = "console.raw";
/// See [`CONSOLE_LOG`].
pub const SCREENSHOT: &str = "png";
/// See [`CONSOLE_LOG`].
pub const JOURNAL: &str = "journal";

const ENDINGS: [&str; 4] = [CONSOLE_LOG, CONSOLE_RAW, SCREENSHOT, JOURNAL];

/// Name of the directory in the work directory where it is gathered.
const ASIDE: &str = "boot-test";

/// What is gathered, in the work directory still.
#[derive(Debug)]
pub struct Gathered(OwnedDir);

impl Gathered {
    /// Begins anew in `work`.
    ///
    /// # Errors
    /// The directory for it cannot be made.
    pub fn begin(work: &OwnedDir) -> anyhow::Result<Gathered> {
        let begin = || {
            work.remove_tree(ASIDE)?;
            work.subdir(ASIDE, 0o700)
        };
        begin()
            .map(Gathered)
            .context("keeping what the boot test sees")
    }

    /// Adds a file of a boot.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn add(&self, boot: &str, ending: &str, content: &[u8]) -> anyhow::Result<()> {
        let name = format!("{boot}.{ending}");
        debug_assert!(is_ours(OsStr::new(&name)), "{name} would never be removed");
        self.0
            .replace(&name, content)
            .with_context(|| format!("writing {name}"))
    }

    /// Moves the file `name` of `from` here, as a file of a boot; nothing to do if it is not there.
    ///
    /// # Errors
    /// It cannot be moved.
    pub fn take(
        &self,
        boot: &str,
        ending: &str,
        from: &OwnedDir,
        name: &str,
    ) -> anyhow::Result<()> {
        let target = format!("{boot}.{ending}");
        match renameat(from, name, &self.0, &target) {
            Err(rustix::io::Errno::NOENT) => Ok(()),
            other => other.with_context(|| format!("keeping {target}")),
        }
    }

    /// Adds the report, and puts all of it in place of what an earlier boot test left; the directory.
    ///
    /// # Errors
    /// Host: it cannot be put there, or something there is not ozr's own.
    pub fn publish(self, work: &OwnedDir, target: &Path, report: &str) -> anyhow::Result<PathBuf> {
        let publish = || -> anyhow::Result<()> {
            self.0.replace(REPORT, report.as_bytes())?;
            remove(target)?;
            Ok(renameat(work, ASIDE, CWD, target)?)
        };
        publish()
            .with_context(|| format!("keeping what the boot test saw in {}", target.display()))
            .kind(Kind::Host)?;
        Ok(target.to_path_buf())
    }
}

/// Removes what an earlier boot test left in `target`.
///
/// # Errors
/// It is not ozr's own, or holds what others put there.
pub fn remove(target: &Path) -> anyhow::Result<()> {
    let Some(dir) = found(OwnedDir::open(target))? else {
        return Ok(());
    };
    for name in dir.names()?.iter().filter(|name| is_ours(name)) {
        dir.remove_file(name)?;
    }
    let left = dir.names()?;
    let names: Vec<_> = left.iter().map(|name| name.to_string_lossy()).collect();
    ensure!(
        names.is_empty(),
        "it holds what ozr did not write: {}",
        names.join(", ")
    );
    Ok(dir.remove()?)
}

/// Whether ozr gives a file such a name: [`REPORT`], or `bios-1.console.log`.
fn is_ours(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else {
        return false;
    };
    let of_a_boot = || {
        let (boot, ending) = name.split_once('.')?;
        let (firmware, number) = boot.split_once('-')?;
        let known = [Firmware::Bios, Firmware::Uefi]
            .iter()
            .any(|known| known.name() == firmware);
        (known && number.parse::<u32>().is_ok() && ENDINGS.contains(&ending)).then_some(())
    };
    name == REPORT || of_a_boot().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ozr_wrote_is_replaced_and_what_others_put_there_stops_it() {
        let out = tempfile::tempdir().unwrap();
        let work = OwnedDir::create(&out.path().join(".web.boot-test.ozr"), 0o700).unwrap();
        let target = out.path().join("web.boot-test");
        let publish = |boot: &str| {
            let gathered = Gathered::begin(&work).unwrap();
            gathered.add(boot, CONSOLE_LOG, b"x").unwrap();
            gathered.publish(&work, &target, "{}\n")
        };
        publish("bios-1").unwrap();
        publish("uefi-2").unwrap();
        let mut names: Vec<_> = std::fs::read_dir(&target)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, [REPORT, "uefi-2.console.log"]);
        std::fs::write(target.join("notes.txt"), "Tuesday").unwrap();
        let error = format!("{:#}", publish("bios-1").unwrap_err());
        assert!(error.contains("notes.txt"), "{error}");
        assert!(target.join("notes.txt").exists());
    }
}
