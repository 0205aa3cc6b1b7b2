//! What explains a failed install, kept in `NAME.failed/`.
//!
//! [`copy_masked`] hides secrets in raw terminal output: also where control sequences or line ends stand between
//! their letters, as they do where a terminal wrapped a line.

use std::ffi::OsString;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use aho_corasick::AhoCorasick;
use anyhow::Context;
use rustix::fs::{AtFlags, CWD, renameat, unlinkat};
use rustix::io::Errno;

use crate::image::installed::Log;
use crate::image::output::OutputPaths;
use crate::secrets::Secrets;
use crate::state::OwnedDir;
use crate::state::owned_dir::found;
use crate::watch::escape::{Token, Tokenizer};

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

/// Name of the directory in the work directory where it is gathered.
const ASIDE: &str = "failed";

/// What a guest has said, and what it was: another guest of the same build begins anew.
pub const OF_THE_GUEST: [&str; 6] = [
    CONSOLE_LOG,
    CONSOLE_RAW,
    INSTALLER_LOG,
    LOG_PORT_RAW,
    DOMAIN,
    QEMU_LOG,
];

/// What is moved, if it is there: its secrets were hidden when it was written.
const MOVED: [&str; 5] = [CONSOLE_LOG, INSTALLER_LOG, KICKSTART, DOMAIN, QEMU_LOG];

/// What is copied, if it is there, its secrets hidden.
const COPIED: [&str; 3] = [CONSOLE_RAW, LOG_PORT_RAW, ACCESS_LOG];

/// What is written.
const WRITTEN: [&str; 5] = [SCREENSHOT, TIMINGS, VERSIONS, VERDICT, VERDICT_JSON];

/// Name of the list of what ozr put into [`DISK_LOGS`]: the guest chose the names.
const DISK_LOGS_LIST: &str = ".list";

/// The most that is read of that list, in bytes.
const LONGEST_LIST: u64 = 64 << 10;

/// What was gathered, in the work directory still.
#[derive(Debug)]
pub struct Gathered(OwnedDir);

impl Gathered {
    /// Gathers what the work directory holds. What cannot be gathered is left out, and told by
    /// `missing`.
    ///
    /// # Errors
    /// The directory for it cannot be made.
    pub fn from(
        work: &OwnedDir,
        secrets: &Secrets,
        missing: &mut impl FnMut(anyhow::Error),
    ) -> anyhow::Result<Gathered> {
        let aside = work.subdir(ASIDE, 0o700)?;
        let moved = MOVED.map(|name| match renameat(work, name, &aside, name) {
            Err(Errno::NOENT) => Ok(()),
            other => other.with_context(|| format!("keeping {}", work.join(name).display())),
        });
        let copied = COPIED.map(|name| {
            copy(work, &aside, name, secrets)
                .with_context(|| format!("keeping {}", work.join(name).display()))
        });
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
        self.0
            .replace(name, content.as_ref())
            .with_context(|| format!("writing {name}"))
    }

    /// Adds the installer's logs from the guest's disk, their secrets hidden.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn add_logs(&self, logs: &[Log], secrets: &Secrets) -> anyhow::Result<()> {
        if logs.is_empty() {
            return Ok(());
        }
        let dir = self.0.subdir(DISK_LOGS, 0o700)?;
        let list: String = logs.iter().map(|log| format!("{}\n", log.name)).collect();
        dir.replace(DISK_LOGS_LIST, list.as_bytes())?;
        for log in logs {
            dir.file(&log.name, true)
                .and_then(|mut file| copy_masked(&mut &log.content[..], &mut file, secrets))
                .with_context(|| format!("writing {}", dir.join(&log.name).display()))?;
        }
        Ok(())
    }

    /// Puts it in place of what an earlier failed build left, beside what ozr did not write there;
    /// the directory. Where that is not ozr's own, in one that bears the build's `id`, too.
    ///
    /// # Errors
    /// It cannot be put there. What an earlier build left may be gone then.
    pub fn publish(
        self,
        work: &OwnedDir,
        output: &OutputPaths,
        id: &str,
    ) -> anyhow::Result<PathBuf> {
        let whole = |target: &Path| {
            // A directory replaces nothing but an empty one.
            renameat(work, ASIDE, CWD, target)
                .with_context(|| format!("keeping {}", target.display()))
        };
        let target = &output.failed;
        match remove(output) {
            Ok(Removed::All) => whole(target)?,
            Ok(Removed::ButOthers { dir, .. }) => {
                for name in self.0.names()? {
                    renameat(&self.0, &name, &dir, &name)
                        .with_context(|| format!("keeping {}", dir.join(&name).display()))?;
                }
            }
            Err(_) => {
                let mut name = target.clone().into_os_string();
                name.push(format!(".{id}"));
                whole(Path::new(&name))?;
                return Ok(name.into());
            }
        }
        Ok(target.clone())
    }
}

/// Copies what the guest wrote, without secrets.
fn copy(from: &OwnedDir, to: &OwnedDir, name: &str, secrets: &Secrets) -> std::io::Result<()> {
    let Some(mut source) = found(from.file(name, false))? else {
        return Ok(());
    };
    let mut target = BufWriter::new(to.file(name, true)?);
    copy_masked(&mut source, &mut target, secrets)?;
    target.flush()
}

/// What came of removing what an earlier failed build kept.
#[derive(Debug)]
pub enum Removed {
    /// Nothing of that name is left.
    All,
    /// The directory holds what ozr did not write.
    ButOthers {
        /// The directory.
        dir: OwnedDir,
        /// Their names, for people.
        names: String,
    },
}

/// Removes what an earlier failed build kept, and the directory with it, unless somebody put files
/// of theirs there.
///
/// # Errors
/// It is not ozr's own (a link, another user's), or something of it cannot be removed.
pub fn remove(output: &OutputPaths) -> anyhow::Result<Removed> {
    let Some(dir) = found(OwnedDir::open(&output.failed))? else {
        return Ok(Removed::All);
    };
    let all = dir.names()?;
    let known = |name: &&OsString| {
        let mut known = MOVED.iter().chain(&COPIED).chain(&WRITTEN);
        known.any(|known| *name == known)
    };
    for name in all.iter().filter(known) {
        // A directory of such a name stays: it is not ours.
        let _ = dir.remove_file(name);
    }
    if all.iter().any(|name| name == DISK_LOGS) {
        remove_logs(&dir);
    }
    let left = dir.names()?;
    if left.is_empty() {
        dir.remove()?;
        return Ok(Removed::All);
    }
    let names: Vec<_> = left.iter().map(|name| name.to_string_lossy()).collect();
    let names = names.join(", ");
    Ok(Removed::ButOthers { dir, names })
}

/// Removes the logs that the list names, and the directory if nothing else is in it.
fn remove_logs(dir: &OwnedDir) {
    let removed = || -> std::io::Result<()> {
        let logs = dir.subdir(DISK_LOGS, 0o700)?;
        let list = logs.read(DISK_LOGS_LIST, LONGEST_LIST)?;
        for name in String::from_utf8_lossy(&list).lines() {
            if !name.contains('/') {
                logs.remove_file(name)?;
            }
        }
        logs.remove_file(DISK_LOGS_LIST)?;
        Ok(unlinkat(dir, DISK_LOGS, AtFlags::REMOVEDIR)?)
    };
    // What stays is named with what else is not ours.
    let _ = removed();
}

/// Bytes read at once.
const PIECE: usize = 256 << 10;

/// Bytes that are held back at most for a secret that may go on in the next piece. More control
/// sequences between two letters of a secret than this are not looked through.
const HELD: usize = 1 << 20;

/// What stands in place of each byte of a secret.
const HIDDEN: u8 = b'*';

/// Copies what a guest wrote, with `*` for every byte of a secret. Memory is bounded.
///
/// # Errors
/// It cannot be read or written.
pub fn copy_masked(from: &mut impl Read, to: &mut impl Write, secrets: &Secrets) -> io::Result<()> {
    let secrets: Vec<Vec<u8>> = secrets.reveal().map(letters_of).collect();
    let longest = secrets.iter().map(Vec::len).max().unwrap_or(0);
    if longest == 0 {
        return io::copy(from, to).map(drop);
    }
    let searcher = AhoCorasick::new(&secrets).map_err(io::Error::other)?;
    // What is held back of the stream, and which of its bytes are secret.
    let (mut held, mut secret): (Vec<u8>, Vec<bool>) = (Vec::new(), Vec::new());
    let mut piece = vec![0; PIECE];
    loop {
        let count = match from.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        };
        held.extend_from_slice(&piece[..count]);
        secret.resize(held.len(), false);
        let mut done = held.len();
        // A secret may also stand in a sequence, a window's title.
        for (letters, places) in [letters(&held), printable(&held)] {
            for found in searcher.find_overlapping_iter(&letters) {
                for place in &places[found.range()] {
                    secret[*place] = true;
                }
            }
            let begun = places.len().checked_sub(longest - 1);
            let safe = begun.map_or(0, |at| places.get(at).copied().unwrap_or(held.len()));
            done = done.min(safe);
        }
        if count == 0 || held.len() > HELD {
            done = held.len();
        }
        let shown: Vec<u8> = held
            .drain(..done)
            .zip(secret.drain(..done))
            .map(|(byte, secret)| if secret { HIDDEN } else { byte })
            .collect();
        to.write_all(&shown)?;
        if count == 0 {
            return Ok(());
        }
    }
}

/// The bytes of a terminal stream that are neither controls nor parts of control sequences, and
/// where each stands.
fn letters(stream: &[u8]) -> (Vec<u8>, Vec<usize>) {
    let mut letters = Vec::with_capacity(stream.len());
    let mut places = Vec::with_capacity(stream.len());
    let start = stream.as_ptr() as usize;
    Tokenizer::default().cut(stream, |token| {
        let Token::Text(text) = token else {
            return;
        };
        // A part of the stream.
        let at = text.as_ptr() as usize - start;
        for (index, byte) in text.iter().enumerate() {
            if *byte >= 0x20 && *byte != 0x7f {
                letters.push(*byte);
                places.push(at + index);
            }
        }
    });
    (letters, places)
}

/// All bytes but controls, and where each stands.
fn printable(stream: &[u8]) -> (Vec<u8>, Vec<usize>) {
    let bytes = stream.iter().copied().zip(0..);
    bytes.filter(|(byte, _)| *byte >= 0x20).unzip()
}

fn letters_of(secret: &str) -> Vec<u8> {
    secret.bytes().filter(|byte| *byte >= 0x20).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> (tempfile::TempDir, OwnedDir, OutputPaths) {
        let out = tempfile::tempdir().unwrap();
        let work = OwnedDir::create(&out.path().join(".web.ozr"), 0o700).unwrap();
        let image = out.path().join("web.qcow2");
        let output = OutputPaths::new(None, "web", &[], Some(&image), None).unwrap();
        (out, work, output)
    }

    fn fail(work: &OwnedDir, output: &OutputPaths, log: &str) -> PathBuf {
        work.replace(CONSOLE_LOG, b"console\n").unwrap();
        let secrets = Secrets::default();
        let gathered = Gathered::from(work, &secrets, &mut |error| panic!("{error:#}")).unwrap();
        gathered.add(VERDICT, "it failed\n").unwrap();
        let log = Log {
            name: log.to_owned(),
            content: b"log".to_vec(),
        };
        gathered.add_logs(&[log], &secrets).unwrap();
        gathered.publish(work, output, "0123").unwrap()
    }

    fn files(dir: &Path) -> Vec<String> {
        let files = walkdir::WalkDir::new(dir).min_depth(1).sort_by_file_name();
        let names = files.into_iter().map(|file| {
            let file = file.unwrap();
            file.path().strip_prefix(dir).unwrap().display().to_string()
        });
        names.collect()
    }

    #[test]
    fn what_ozr_wrote_is_replaced_and_what_others_put_there_stays() {
        let (_out, work, output) = set();
        let of_one = |log: &str| {
            let log = format!("anaconda/{log}");
            ["anaconda", "anaconda/.list", &log, CONSOLE_LOG, VERDICT].map(str::to_owned)
        };
        for log in ["a.log", "b.log"] {
            assert_eq!(fail(&work, &output, log), output.failed);
            assert_eq!(files(&output.failed), of_one(log));
        }
        assert!(matches!(remove(&output), Ok(Removed::All)));
        assert!(!output.failed.exists());

        fail(&work, &output, "a.log");
        for note in ["notes.txt", "anaconda/notes.txt"] {
            std::fs::write(output.failed.join(note), "Tuesday").unwrap();
        }
        let Ok(Removed::ButOthers { names, .. }) = remove(&output) else {
            panic!("the notes are gone");
        };
        assert!(
            names.contains("notes.txt") && names.contains("anaconda"),
            "{names}"
        );
        let notes = ["anaconda", "anaconda/notes.txt", "notes.txt"];
        assert_eq!(files(&output.failed), notes);
        std::fs::remove_dir_all(output.failed.join("anaconda")).unwrap();
        fail(&work, &output, "a.log");
        assert_eq!(files(&output.failed).len(), of_one("").len() + 1);
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let (out, work, output) = set();
        let theirs = out.path().join("theirs");
        std::fs::create_dir(&theirs).unwrap();
        std::fs::write(theirs.join(VERDICT), "precious").unwrap();
        std::os::unix::fs::symlink(&theirs, &output.failed).unwrap();
        remove(&output).unwrap_err();
        let kept = fail(&work, &output, "a.log");
        assert_eq!(kept, out.path().join("web.failed.0123"));
        assert!(kept.join(VERDICT).exists());
        assert_eq!(
            std::fs::read_to_string(theirs.join(VERDICT)).unwrap(),
            "precious"
        );
        assert_eq!(files(&theirs), [VERDICT]);
    }

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

    /// Hands out a few bytes at a time.
    struct Dripping<'a>(&'a [u8], usize);

    impl Read for Dripping<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(buffer.len()).min(self.0.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn masked(text: &[u8], step: usize, hidden: &[&str]) -> Vec<u8> {
        let mut secrets = Secrets::default();
        for secret in hidden {
            secrets.add(*secret);
        }
        let mut out = Vec::new();
        copy_masked(&mut Dripping(text, step), &mut out, &secrets).unwrap();
        out
    }

    #[test]
    fn secrets_are_hidden_however_the_stream_is_cut() {
        let text = b"\x1b[1mtoken s3cret\x1b[0m, s3c\x1b[24;1H\r\nret and s3cre, s3cr\x1b]0;title\x07et\xff";
        let wanted = b"\x1b[1mtoken ******\x1b[0m, ***\x1b[24;1H\r\n*** and s3cre, ****\x1b]0;title\x07**\xff";
        for step in [1, 2, 3, 7, 1000] {
            let shown = masked(text, step, &["s3cret"]);
            assert_eq!(
                String::from_utf8_lossy(&shown),
                String::from_utf8_lossy(wanted),
                "{step}"
            );
        }
    }

    #[test]
    fn a_windows_title_hides_nothing() {
        let title = b"\x1b]0;s3cret\x07 \x1b]s3cret";
        assert_eq!(
            masked(title, 3, &["s3cret"]),
            b"\x1b]0;******\x07 \x1b]******"
        );
    }

    #[test]
    fn what_no_sequence_can_hold_is_a_part_of_the_stream() {
        let text = "\x1bécole, caf\x1bé\x1b[3\x08\u{7f}".as_bytes();
        let wanted = b"\x1b******, ***\x1b**\x1b[3\x08\x7f";
        for step in [1, 2, 1000] {
            assert_eq!(masked(text, step, &["école", "café"]), wanted, "{step}");
        }
    }

    #[test]
    fn secrets_that_overlap_are_hidden_whole() {
        for step in [1, 5, 100] {
            assert_eq!(masked(b"-abcd-", step, &["abc", "bcd"]), b"-****-");
        }
    }

    #[test]
    fn without_secrets_nothing_changes() {
        let all: Vec<u8> = (0..=255).cycle().take(3 * PIECE).collect();
        assert_eq!(masked(&all, PIECE, &[]), all);
        assert_eq!(masked(&all, PIECE, &["not there"]), all);
    }

    #[test]
    fn what_is_held_back_is_bounded() {
        let controls = b"\x1b[0m".repeat(HELD);
        assert_eq!(masked(&controls, PIECE, &["s3cret"]), controls);
    }
}
