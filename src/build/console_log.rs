//! The text of the console, as it will lie beside the image.
//!
//! Where there is no room for it, the guest is about to meet the same: the log ends there, and the
//! install is judged by what it says itself.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// A console's log that is being written.
#[derive(Debug)]
pub struct ConsoleLog {
    path: PathBuf,
    writer: BufWriter<File>,
    /// Why it is not whole.
    broken: Option<io::Error>,
}

impl ConsoleLog {
    /// Begins a log, for the user alone: a guest can print anything.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .with_context(|| format!("creating {}", path.display()))?;
        Ok(ConsoleLog {
            path: path.to_owned(),
            writer: BufWriter::new(file),
            broken: None,
        })
    }

    /// Writes a line.
    pub fn line(&mut self, line: &str) {
        self.unless_broken(|writer| writeln!(writer, "{line}"));
    }

    /// Lets others read what was written.
    pub fn flush(&mut self) {
        self.unless_broken(BufWriter::flush);
    }

    fn unless_broken(&mut self, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) {
        if self.broken.is_none() {
            self.broken = write(&mut self.writer).err();
        }
    }

    /// Ends the log.
    ///
    /// # Errors
    /// It is not whole.
    pub fn finish(mut self) -> anyhow::Result<()> {
        self.flush();
        match self.broken.take() {
            None => Ok(()),
            Some(error) => Err(error).with_context(|| format!("writing {}", self.path.display())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_ends_the_log_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("console.log");
        let mut log = ConsoleLog::create(&path).unwrap();
        log.line("Linux version");
        log.finish().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "Linux version\n");

        let mut full = ConsoleLog::create(Path::new("/dev/full")).unwrap();
        full.line("a");
        full.flush();
        full.line("b");
        let error = full.finish().unwrap_err();
        assert!(format!("{error:#}").contains("writing /dev/full: No space left"));
    }
}
