//! Keeps the guest's console on disk: the bytes as they came, and the lines as one reads them.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// What stands in place of a secret.
const MASK: &str = "********";

/// Replaces secrets in text.
#[derive(Debug, Clone, Default)]
pub struct Mask {
    secrets: Vec<String>,
}

impl Mask {
    /// Masks these; empty ones are left out.
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let mut secrets: Vec<String> = secrets.into_iter().filter(|s| !s.is_empty()).collect();
        // One that holds another goes first.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Mask { secrets }
    }

    /// The text without secrets.
    pub fn text(&self, text: &str) -> String {
        self.secrets
            .iter()
            .fold(text.to_owned(), |text, secret| text.replace(secret, MASK))
    }

    /// How many bytes at the end of `bytes` may be the beginning of a secret.
    fn undecided(&self, bytes: &[u8]) -> usize {
        self.secrets
            .iter()
            .map(|secret| {
                (1..secret.len().min(bytes.len() + 1))
                    .rev()
                    .find(|length| bytes.ends_with(&secret.as_bytes()[..*length]))
                    .unwrap_or(0)
            })
            .max()
            .unwrap_or(0)
    }

    /// Replaces secrets in bytes.
    fn bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let mut masked = Vec::with_capacity(bytes.len());
        let mut at = 0;
        while at < bytes.len() {
            let secret = self
                .secrets
                .iter()
                .find(|secret| bytes[at..].starts_with(secret.as_bytes()));
            match secret {
                Some(secret) => {
                    masked.extend_from_slice(MASK.as_bytes());
                    at += secret.len();
                }
                None => {
                    masked.push(bytes[at]);
                    at += 1;
                }
            }
        }
        masked
    }
}

/// The two files of a console, in a work directory. Both are the user's alone: a guest can print
/// anything.
#[derive(Debug)]
pub struct ConsoleLog {
    mask: Mask,
    raw: BufWriter<File>,
    lines: BufWriter<File>,
    lines_path: PathBuf,
    // The end of the bytes so far, which may be the beginning of a secret.
    undecided: Vec<u8>,
}

impl ConsoleLog {
    /// Creates `console.raw` and `console.log` in `directory`.
    ///
    /// # Errors
    ///
    /// If a file cannot be created.
    pub fn create(directory: &Path, mask: Mask) -> Result<Self> {
        let create = |name: &str| {
            let path = directory.join(name);
            let file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)
                .with_context(|| format!("creating {}", path.display()))?;
            anyhow::Ok((BufWriter::new(file), path))
        };
        let (raw, _) = create("console.raw")?;
        let (lines, lines_path) = create("console.log")?;
        Ok(ConsoleLog {
            mask,
            raw,
            lines,
            lines_path,
            undecided: Vec::new(),
        })
    }

    /// Takes bytes as they came.
    ///
    /// # Errors
    ///
    /// If they cannot be written.
    pub fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        let mut all = std::mem::take(&mut self.undecided);
        all.extend_from_slice(bytes);
        let masked = self.mask.bytes(&all);
        let undecided = self.mask.undecided(&masked);
        let (certain, rest) = masked.split_at(masked.len() - undecided);
        self.undecided = rest.to_vec();
        self.raw
            .write_all(certain)
            .context("writing the raw console log")
    }

    /// Takes a line.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn line(&mut self, line: &str) -> Result<()> {
        writeln!(self.lines, "{}", self.mask.text(line)).context("writing the console log")
    }

    /// Makes sure that what came so far can be read by others.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn flush(&mut self) -> Result<()> {
        self.raw.flush().context("writing the raw console log")?;
        self.lines.flush().context("writing the console log")
    }

    /// Closes both files; where the lines are.
    ///
    /// # Errors
    ///
    /// If they cannot be written.
    pub fn finish(mut self) -> Result<PathBuf> {
        let rest = std::mem::take(&mut self.undecided);
        self.raw
            .write_all(&rest)
            .context("writing the raw console log")?;
        self.flush()?;
        Ok(self.lines_path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn both_logs_are_kept_without_secrets_however_the_bytes_come() {
        for size in [1, 3, 100] {
            let directory = tempfile::tempdir().unwrap();
            let mask = Mask::new(["t0ken".to_owned(), "t0ken-long".to_owned(), String::new()]);
            let mut log = ConsoleLog::create(directory.path(), mask).unwrap();
            let bytes = b"a t0ken b\x1b[0m t0ke t0ken-long \xff t0k";
            for chunk in bytes.chunks(size) {
                log.raw(chunk).unwrap();
            }
            log.line("has t0ken in it").unwrap();
            let lines = log.finish().unwrap();
            assert_eq!(fs::read_to_string(lines).unwrap(), "has ******** in it\n");
            let raw = fs::read(directory.path().join("console.raw")).unwrap();
            let raw = String::from_utf8_lossy(&raw);
            assert!(!raw.contains("t0ken"), "{raw}");
            assert!(
                raw.starts_with("a ******** b\x1b[0m t0ke ********"),
                "{raw}"
            );
            assert!(raw.ends_with("\u{fffd} t0k"), "{raw}");
        }
    }
}
