//! A download that is not finished: its bytes, its digest so far, and what is needed to go on
//! after a broken connection or a killed run.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use url::Url;

use super::cache::{read_json, write_whole};
use super::location::shown;
use super::share::Progress;
use super::treeinfo::Checksum;
use super::verify::{Digests, Expect, HEAD_BYTES, Hasher};
use crate::state::boot_id;

/// Bytes that are gathered before they are written: chunks from TLS have 16 KiB at most.
const BUFFER_BYTES: usize = 64 << 10;

/// How long they may be gathered: others read along.
const BUFFER_TIME: Duration = Duration::from_millis(500);

/// What a server said of a file, to ask later whether it is still the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Validators {
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<String>,
}

impl Validators {
    /// The value of `If-Range`; weak entity tags are not allowed there (RFC 9110, 13.1.5).
    pub(super) fn if_range(&self) -> Option<&str> {
        self.etag
            .as_deref()
            .filter(|etag| !etag.starts_with("W/"))
            .or(self.last_modified.as_deref())
    }
}

/// What is written beside the bytes for the next run.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Notes {
    validators: Validators,
    /// Length of the whole file, in bytes, where the server told.
    total: Option<u64>,
    /// Bytes that a crashed kernel may not have written are not trusted.
    boot: String,
    /// Whose bytes they are, for a person who looks; without credentials.
    #[serde(default)]
    url: String,
}

/// An unfinished download.
pub(super) struct Part {
    path: PathBuf,
    notes_path: PathBuf,
    file: File,
    buffer: Vec<u8>,
    flushed: Instant,
    /// Who reads along.
    readers: Option<Arc<Progress>>,
    hasher: Hasher,
    fresh_hasher: Hasher,
    notes: Notes,
    /// Bytes so far.
    pub(super) have: u64,
    /// First bytes of the file.
    pub(super) head: Vec<u8>,
    /// Whether it was put together from several answers.
    pub(super) resumed: bool,
    /// Set when the server's ranges turned out to be wrong.
    pub(super) ranges_broken: bool,
}

impl Part {
    /// Opens or makes the part at `path`, whose lock the caller holds.
    pub(super) fn open(
        path: &Path,
        expect: Expect,
        checksum: Option<&Checksum>,
        readers: Option<&Arc<Progress>>,
    ) -> io::Result<Part> {
        let notes_path = notes_path(path);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let hasher = Hasher::of(expect, checksum)?;
        let mut part = Part {
            path: path.to_path_buf(),
            file,
            buffer: Vec::with_capacity(BUFFER_BYTES),
            flushed: Instant::now(),
            readers: readers.cloned(),
            fresh_hasher: hasher.clone(),
            hasher,
            notes: Notes::default(),
            have: 0,
            head: Vec::new(),
            resumed: false,
            ranges_broken: false,
            notes_path,
        };
        part.tell(|readers, part| {
            if let Ok(file) = part.file.try_clone() {
                let have = file.metadata().map_or(0, |metadata| metadata.len());
                readers.opened(Arc::new(file), have);
            }
        });
        match read_json::<Notes>(&part.notes_path) {
            Some(notes) if notes.boot == boot_id().unwrap_or_default() => {
                part.notes = notes;
                part.take_in()?;
            }
            _ => part.restart()?,
        }
        Ok(part)
    }

    /// Tells those who read along.
    fn tell(&self, what: impl FnOnce(&Progress, &Part)) {
        if let Some(readers) = &self.readers {
            what(readers, self);
        }
    }

    /// Hashes what an earlier run left.
    fn take_in(&mut self) -> io::Result<()> {
        self.have = self.hasher.read(&self.path)?;
        if self.notes.total.is_some_and(|total| self.have > total) {
            return self.restart();
        }
        self.file.seek(SeekFrom::Start(0))?;
        (&self.file)
            .take(HEAD_BYTES as u64)
            .read_to_end(&mut self.head)?;
        self.file.seek(SeekFrom::Start(self.have))?;
        self.resumed = self.have > 0;
        self.tell(|readers, part| readers.written(part.have));
        Ok(())
    }

    /// Forgets everything: the next bytes are the file's first.
    pub(super) fn restart(&mut self) -> io::Result<()> {
        self.buffer.clear();
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.hasher = self.fresh_hasher.clone();
        self.head.clear();
        self.have = 0;
        self.resumed = false;
        self.notes = Notes::default();
        self.tell(|readers, _| readers.restarted());
        Ok(())
    }

    /// Starts over for an answer with the whole file.
    pub(super) fn begin(
        &mut self,
        url: &Url,
        validators: Validators,
        total: Option<u64>,
    ) -> io::Result<()> {
        self.restart()?;
        self.notes = Notes {
            validators,
            total,
            boot: boot_id().unwrap_or_default(),
            url: shown(url),
        };
        self.tell(|readers, part| readers.begun(part.notes.total));
        write_whole(&self.notes_path, &serde_json::to_vec(&self.notes)?)
    }

    /// Goes on with an answer that begins where the last one ended.
    pub(super) fn resume(&mut self) {
        self.resumed = true;
        self.tell(|readers, part| readers.begun(part.notes.total));
    }

    /// Whether the bytes so far are of this address.
    pub(super) fn is_of(&self, url: &Url) -> bool {
        self.notes.url == shown(url)
    }

    /// Length of the whole file, where the server told.
    pub(super) fn total(&self) -> Option<u64> {
        self.notes.total
    }

    pub(super) fn validators(&self) -> &Validators {
        &self.notes.validators
    }

    /// Whether all bytes are there, so that nothing needs to be asked for.
    pub(super) fn is_complete(&self) -> bool {
        self.have > 0 && self.notes.total == Some(self.have)
    }

    /// Appends bytes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes)?;
        if self.head.len() < HEAD_BYTES {
            let wanted = (HEAD_BYTES - self.head.len()).min(bytes.len());
            self.head.extend_from_slice(&bytes[..wanted]);
        }
        self.have += bytes.len() as u64;
        self.buffer.extend_from_slice(bytes);
        let is_late = self.readers.is_some() && self.flushed.elapsed() >= BUFFER_TIME;
        if self.buffer.len() >= BUFFER_BYTES || is_late {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes what was gathered.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let result = self.file.write_all(&self.buffer);
        self.buffer.clear();
        self.flushed = Instant::now();
        if result.is_ok() {
            self.tell(|readers, part| readers.written(part.have));
        }
        result
    }

    /// The digests of everything so far.
    pub(super) fn digests(&self) -> io::Result<Digests> {
        self.hasher.clone().finish()
    }

    /// A second handle of the file, to flush or lock it.
    pub(super) fn file(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Removes the part and its notes.
    pub(super) fn discard(&self) {
        remove(&self.path);
    }
}

/// A download is dropped when another file of the same tree fails: what it has is for the next
/// run, but a part without a byte is of use to nobody.
impl Drop for Part {
    fn drop(&mut self) {
        if self.file.metadata().is_ok_and(|file| file.len() == 0) {
            self.discard();
        }
    }
}

/// Removes a part and its notes; what is not there is no matter.
pub(super) fn remove(path: &Path) {
    let _ = std::fs::remove_file(path);
    let _ = std::fs::remove_file(notes_path(path));
}

/// The part at `path` that somebody else is at, and the length of the whole, once there is an answer that told it.
pub(super) fn peek(path: &Path) -> Option<(File, Option<Option<u64>>)> {
    let file = File::open(path).ok()?;
    let notes = read_json::<Notes>(&notes_path(path));
    Some((file, notes.map(|notes| notes.total)))
}

fn notes_path(path: &Path) -> PathBuf {
    path.with_extension("part.json")
}
