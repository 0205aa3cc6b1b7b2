//! One download for all who want a file: it goes on whoever goes away, and all read along while it comes.
//!
//! Nobody gets the last byte before the whole is verified, and for a moment nobody gets any: a file that comes
//! fast is passed on only once it is known to be right, so that a bad one is taken from another mirror unseen.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::fault::Fault;
use super::obtain::CachedFile;
use super::part;
use crate::panics::lock;

/// How long a file that is not verified yet is kept from those who wait. Well below the 30 s after which dnf gives
/// a server up that sends too little (`timeout`, `minrate`, dnf.conf(5)), and enough for most packages.
const HELD_BACK: Duration = Duration::from_secs(3);

/// How long a download may not grow before those who read along give up. Its own limits come first.
const SILENCE: Duration = Duration::from_secs(900);

/// How far a download is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Where the bytes are.
    file: Option<Arc<File>>,
    /// How often it has begun anew: what was read in an earlier round may be of another file.
    round: u32,
    /// Whether an answer has come, so that its length is known if it ever will be.
    begun: bool,
    /// The length of the whole in bytes, where it is known.
    total: Option<u64>,
    /// Bytes that are in the file.
    written: u64,
    /// How it ended, once it has.
    end: Option<Result<Arc<CachedFile>, Arc<Fault>>>,
}

impl State {
    /// Bytes that may be passed on: not the last one.
    fn readable(&self) -> u64 {
        let most = self.total.unwrap_or(self.written).saturating_sub(1);
        self.written.min(most)
    }
}

/// What is known of a file when somebody is to be answered.
pub(super) enum Coming {
    /// It is here.
    Whole(Arc<CachedFile>),
    /// It comes, with this length if that is known.
    Part(Option<u64>),
}

impl Progress {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut lock(&self.state));
        self.changed.notify_all();
    }

    /// The bytes go into `file`, which has `have` of them.
    pub(super) fn opened(&self, file: Arc<File>, have: u64) {
        self.change(|state| {
            let inode = |file: &File| file.metadata().map(|metadata| metadata.ino()).ok();
            let is_same = |before: &Arc<File>| inode(before) == inode(&file);
            if state.file.as_ref().is_some_and(|before| !is_same(before)) {
                state.round += 1;
            }
            state.file = Some(file);
            state.written = have;
        });
    }

    /// What was there is nothing worth.
    pub(super) fn restarted(&self) {
        self.change(|state| {
            state.round += u32::from(state.written > 0);
            state.written = 0;
            state.begun = false;
        });
    }

    /// An answer has come.
    pub(super) fn begun(&self, total: Option<u64>) {
        self.change(|state| {
            state.begun = true;
            state.total = total;
        });
    }

    /// So many bytes are in the file.
    pub(super) fn written(&self, have: u64) {
        self.change(|state| state.written = have);
    }

    /// Looks how far another process is with the part at `path`.
    pub(super) fn follow(&self, path: &Path) {
        let Some((file, notes)) = part::peek(path) else {
            return;
        };
        let have = file.metadata().map_or(0, |metadata| metadata.len());
        if have < lock(&self.state).written {
            self.restarted();
        }
        self.opened(Arc::new(file), have);
        if let Some(total) = notes {
            self.begun(total);
        }
    }

    fn ended(&self, end: Result<Arc<CachedFile>, Arc<Fault>>) {
        self.change(|state| {
            state.end.get_or_insert(end);
        });
    }

    /// Waits until there is something to say of the file. Blocks.
    ///
    /// # Errors
    /// Why it does not come.
    pub(super) fn coming(&self) -> Result<Coming, Arc<Fault>> {
        let asked = Instant::now();
        let mut state = lock(&self.state);
        loop {
            match &state.end {
                Some(Ok(file)) => return Ok(Coming::Whole(Arc::clone(file))),
                Some(Err(fault)) => return Err(Arc::clone(fault)),
                None => {}
            }
            let left = HELD_BACK.saturating_sub(asked.elapsed());
            if left.is_zero() && state.begun {
                return Ok(Coming::Part(state.total));
            }
            let pause = left.clamp(Duration::from_millis(50), HELD_BACK);
            state = self
                .changed
                .wait_timeout(state, pause)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits for bytes behind `at`: where they are, and up to where.
    fn bytes(&self, at: u64, round: u32) -> io::Result<(Arc<File>, u64)> {
        let mut grew = Instant::now();
        let mut seen = 0;
        let mut state = lock(&self.state);
        loop {
            if state.round != round {
                return Err(io::Error::other("the download began anew"));
            }
            match &state.end {
                Some(Ok(file)) => return Ok((Arc::new(File::open(&file.path)?), file.bytes)),
                Some(Err(fault)) => return Err(io::Error::other(fault.to_string())),
                None => {}
            }
            if let Some(file) = state.file.as_ref().filter(|_| state.readable() > at) {
                return Ok((Arc::clone(file), state.readable()));
            }
            if state.written != seen {
                (seen, grew) = (state.written, Instant::now());
            }
            if grew.elapsed() > SILENCE {
                return Err(io::ErrorKind::TimedOut.into());
            }
            state = self
                .changed
                .wait_timeout(state, Duration::from_secs(5))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

/// Reads a file while it comes.
pub(super) struct Follower {
    progress: Arc<Progress>,
    round: u32,
    at: u64,
    /// Behind the last byte that is wanted; not known of a file whose length is not.
    until: Option<u64>,
    /// The file whose bytes up to there are there.
    here: Option<(Arc<File>, u64)>,
}

impl Follower {
    pub(super) fn new(progress: Arc<Progress>, at: u64, until: Option<u64>) -> Follower {
        let round = lock(&progress.state).round;
        Follower {
            progress,
            round,
            at,
            until,
            here: None,
        }
    }
}

impl Read for Follower {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.until.is_some_and(|until| self.at >= until) || buffer.is_empty() {
            return Ok(0);
        }
        if self.here.as_ref().is_none_or(|(_, end)| *end <= self.at) {
            let (file, end) = self.progress.bytes(self.at, self.round)?;
            if end <= self.at {
                // The whole file is there, and ends here.
                return Ok(0);
            }
            self.here = Some((file, end));
        }
        let Some((file, end)) = &self.here else {
            return Ok(0);
        };
        let end = self.until.map_or(*end, |until| until.min(*end));
        let room = usize::try_from(end - self.at).unwrap_or(usize::MAX);
        let room = room.min(buffer.len());
        let count = file.read_at(&mut buffer[..room], self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// The downloads that run, by what they bring.
#[derive(Debug, Clone, Default)]
pub(super) struct Downloads(Arc<Mutex<HashMap<String, Arc<Progress>>>>);

/// Makes sure that those who wait for a download hear of its end, whatever becomes of it.
pub(super) struct Driver {
    downloads: Downloads,
    name: String,
    progress: Arc<Progress>,
}

impl Downloads {
    /// The download of that name, and who drives it if it is a new one.
    pub(super) fn join(&self, name: &str) -> (Arc<Progress>, Option<Driver>) {
        let mut running = lock(&self.0);
        if let Some(progress) = running.get(name) {
            return (Arc::clone(progress), None);
        }
        let progress = Arc::new(Progress::default());
        running.insert(name.to_owned(), Arc::clone(&progress));
        let driver = Driver {
            downloads: self.clone(),
            name: name.to_owned(),
            progress: Arc::clone(&progress),
        };
        (progress, Some(driver))
    }
}

impl Driver {
    pub(super) fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    /// Tells of the end.
    pub(super) fn end(self, end: Result<CachedFile, Fault>) {
        self.progress.ended(end.map(Arc::new).map_err(Arc::new));
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        lock(&self.downloads.0).remove(&self.name);
        let error = io::Error::other("ozr is ending");
        let fault = Fault::local("fetching", Path::new(&self.name), error);
        self.progress.ended(Err(Arc::new(fault)));
    }
}
