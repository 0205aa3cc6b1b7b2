//! The whole of one write, in its order: nothing that was on the disk boots any more; the image from its
//! first MiB on; its digest; all of it read back; the partition table for this disk; the first MiB.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::papers::Paper;
use super::pieces::{self, Coming, Piece, Sum};
use super::refusal::{self, check, cut_short, differs, too_small};
use super::source::Source;
use super::table::{Fitted, Grown, Table};
use super::target::{Aligned, Target};
use crate::blocking;
use crate::error::{Classify, Kind, fail, failed};
use crate::image::disk::human;
use crate::ui::event::{Event, Reporter, Transfer};

/// Bytes after which the disk must have got what was written: what the kernel holds back would make the
/// progress a lie, and the end a long wait.
const MOST_HELD_BACK: u64 = 256 << 20;

/// How often it is told how far the write is.
const TOLD: Duration = Duration::from_millis(250);

/// The last bytes that are written, in one piece: MBR, and with it a boot sector, and the first header of
/// a GPT.
const LAST: usize = 4096;

/// What is to be done.
#[derive(Debug)]
pub struct Job {
    /// The image.
    pub source: Source,
    /// The digest of its bytes as they come. Of what is no stream it is not looked at here.
    pub expected: Option<Paper>,
    /// Whether the last partition is to end where the disk does.
    pub grow: bool,
}

/// What was written.
#[derive(Debug)]
pub struct Written {
    /// Bytes of the disk in the image.
    pub size: u64,
    /// How many of them were zeroes, which were not written one by one.
    pub zeroes: u64,
    /// What was grown.
    pub grown: Option<Grown>,
    /// Whether the disk itself was read back, not what the kernel remembered of it.
    pub proved: bool,
}

impl Written {
    /// Says what was written to the disk that is called `name`.
    pub fn tell(&self, name: &str, reporter: &Reporter) {
        reporter.detail(format!(
            "{} written, {} of them zeroes",
            human(self.size),
            human(self.zeroes)
        ));
        if !self.proved {
            reporter.warn(format!(
            "{name} was read back from what the kernel remembers of it, for its file system cannot do otherwise"
        ));
        }
        if let Some(grown) = &self.grown {
            reporter.note(format!(
            "partition {} has grown from {} to {}; the file system in it grows at the first boot if the system does that (cloud-init, systemd-growfs), else by xfs_growfs or resize2fs",
            grown.number,
            human(grown.from),
            human(grown.to)
        ));
        }
        reporter.note(format!("{name} holds the image, and was read back"));
    }
}

/// Writes an image. Returns in the end, or at once when the process is asked to end.
///
/// # Errors
/// What went wrong. If anything had been written by then, the disk says of itself that it is not whole,
/// and so does the error.
pub fn write(target: &Target, job: Job, reporter: &Reporter) -> Result<Written> {
    let Job {
        source,
        expected,
        grow,
    } = job;
    let (name, size, fault) = (source.name.clone(), source.size, source.fault);
    let mut copy = Copy {
        target,
        reporter,
        size,
        length: source.length,
        came: source.came(),
        pieces: pieces::start(source)?,
        sums: Vec::new(),
        zeroes: 0,
        pending: 0..0,
        held_back: 0,
        since: Instant::now(),
        told: None,
        name,
        fault,
    };
    let name = copy.name.clone();
    let Coming::Piece(first) = copy.next()? else {
        fail!(Kind::Input, "{name} is empty: there is nothing to write");
    };
    let head = first.bytes;
    let table = Table::of(&head).with_context(|| format!("looking at {name}"));
    let table = table.kind(Kind::Input)?;
    check(target, &name, &table, size).kind(Kind::Input)?;
    // What cannot be done is to be said before anything is written.
    let fitted = table.fit(head.clone(), target.size, grow);
    let fitted = fitted.kind(Kind::Input)?;
    let written = copy.all(&table, &fitted, expected.as_ref());
    let (size, proved) = written.map_err(|error| refusal::not_whole(target, &error))?;
    Ok(Written {
        size,
        zeroes: copy.zeroes,
        grown: fitted.grown,
        proved,
    })
}

/// A write that goes on.
struct Copy<'a> {
    target: &'a Target,
    /// The image's name, and whose fault it is if it is wrong.
    name: String,
    fault: Kind,
    reporter: &'a Reporter,
    /// The size of the disk in the image, in bytes, and the length of a stream, where they are known.
    size: Option<u64>,
    length: Option<u64>,
    /// How many bytes of a stream have come.
    came: Option<Arc<AtomicU64>>,
    pieces: Receiver<Result<Coming>>,
    /// Of all that was written, in order: how long it is, and its sum.
    sums: Vec<(u32, Sum)>,
    zeroes: u64,
    /// Zeroes that are not written yet: more of them may follow.
    pending: std::ops::Range<u64>,
    /// Bytes that the disk need not have got yet.
    held_back: u64,
    since: Instant,
    told: Option<Instant>,
}

impl Copy<'_> {
    /// All of it, once nothing speaks against it: how long the image is, in bytes, and whether the disk
    /// itself was read back.
    fn all(
        &mut self,
        table: &Table,
        fitted: &Fitted,
        expected: Option<&Paper>,
    ) -> Result<(u64, bool)> {
        let (target, head) = (self.target, fitted.head.len() as u64);
        let begin = format!("emptying the beginning and the end of {}", target.name);
        self.reporter.step(begin);
        let begun = target.begin().with_context(|| self.writing());
        begun.kind(Kind::Host)?;
        self.reporter.step(format!("writing {}", self.name));
        let (end, digest) = self.put_all(head)?;
        if let Some(needed) = table.disk_size().filter(|needed| end < *needed) {
            return Err(cut_short(&self.name, end, needed));
        }
        if let (Some(digest), Some(paper)) = (&digest, expected)
            && *digest != paper.sha256
        {
            return Err(differs(&self.name, digest, paper, self.fault));
        }
        self.reporter.step(format!("reading {} back", target.name));
        let proved = self.read_back(head, end)?;
        let last = "writing the partition table and the first MiB";
        self.reporter.step(last);
        self.finish(fitted)?;
        Ok((end, proved))
    }

    /// Writes what comes to its place, from `at` on: where it ends, and the digest of a stream.
    fn put_all(&mut self, mut at: u64) -> Result<(u64, Option<String>)> {
        self.since = Instant::now();
        loop {
            let piece = match self.next()? {
                Coming::Piece(piece) => piece,
                Coming::End(digest) => {
                    self.flush()?;
                    self.wait()?;
                    return Ok((at, digest));
                }
            };
            let length = piece.bytes.len() as u64;
            if self.target.size.saturating_sub(at) < length {
                return Err(too_small(self.target, &self.name, None));
            }
            self.put(at, piece)?;
            at += length;
            let (done, total) = match (&self.came, self.size) {
                // Of what is packed only its own length can be known.
                (Some(came), None) => (came.load(Ordering::Relaxed), self.length),
                _ => (at, self.size),
            };
            self.tell("writing the image", done, total);
        }
    }

    /// What comes next, unless the process is asked to end.
    fn next(&self) -> Result<Coming> {
        loop {
            stopped()?;
            match self.pieces.recv_timeout(blocking::INTERVAL) {
                Ok(coming) => return coming,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    fail!(Kind::Build, "the thread that reads the image has ended")
                }
            }
        }
    }

    fn put(&mut self, at: u64, piece: Piece) -> Result<()> {
        let bytes = piece.bytes;
        if piece.sum == Sum::Zero {
            self.put_zeroes(at, bytes.len() as u64)?;
        } else {
            let mut from = 0;
            while from < bytes.len() {
                let (zero, to) = pieces::run(&bytes, from);
                let place = at + from as u64;
                match zero {
                    true => self.put_zeroes(place, (to - from) as u64)?,
                    false => {
                        self.flush()?;
                        self.target
                            .write(place, &bytes[from..to])
                            .with_context(|| self.writing())
                            .kind(Kind::Host)?;
                        self.held_back += (to - from) as u64;
                    }
                }
                from = to;
            }
        }
        self.sums.push((bytes.len() as u32, piece.sum));
        match self.held_back > MOST_HELD_BACK {
            true => self.wait(),
            false => Ok(()),
        }
    }

    fn put_zeroes(&mut self, at: u64, length: u64) -> Result<()> {
        self.zeroes += length;
        if self.pending.end != at {
            self.flush()?;
            self.pending = at..at;
        }
        self.pending.end += length;
        Ok(())
    }

    /// Writes the zeroes that are pending.
    fn flush(&mut self) -> Result<()> {
        let zeroes = std::mem::take(&mut self.pending);
        let length = zeroes.end - zeroes.start;
        let zeroed = self.target.zero(zeroes.start, length, stopped);
        zeroed.with_context(|| self.writing()).kind(Kind::Host)
    }

    /// Waits for the disk.
    fn wait(&mut self) -> Result<()> {
        self.held_back = 0;
        self.target
            .sync()
            .with_context(|| self.writing())
            .kind(Kind::Host)
    }

    fn writing(&self) -> String {
        format!("writing to {}", self.target.name)
    }

    fn tell(&mut self, doing: &'static str, done: u64, total: Option<u64>) {
        if self.told.is_some_and(|told| told.elapsed() < TOLD) {
            return;
        }
        self.told = Some(Instant::now());
        let name = self.name.rsplit('/').next().unwrap_or_default();
        let transfer = Transfer::new(name, doing, done, total, self.since.elapsed());
        self.reporter.event(Event::Transfer(transfer));
    }

    /// Compares the disk from a place on with what was written there; whether it was the disk itself.
    fn read_back(&mut self, mut at: u64, end: u64) -> Result<bool> {
        self.since = Instant::now();
        let proved = self.target.bypass_cache(true);
        let mut buffer = Aligned::default();
        for (length, sum) in std::mem::take(&mut self.sums) {
            stopped()?;
            self.read(at, length as usize, &mut buffer)?;
            if Sum::of(buffer.bytes()) != sum {
                return Err(self.reads_otherwise(at));
            }
            at += u64::from(length);
            self.tell("reading the disk back", at, Some(end));
        }
        self.target.bypass_cache(false);
        Ok(proved)
    }

    fn read(&self, at: u64, length: usize, buffer: &mut Aligned) -> Result<()> {
        let reading = || format!("reading {} back", self.target.name);
        self.target
            .read(at, buffer, length)
            .with_context(reading)
            .kind(Kind::Host)
    }

    fn reads_otherwise(&self, at: u64) -> anyhow::Error {
        failed!(
            Kind::Host,
            "{} does not give back what was written {} from its beginning: it is failing, or smaller than it says; take another disk",
            self.target.name,
            human(at)
        )
    }

    /// Writes what makes the disk one that boots, its first sectors last, and reads it back.
    fn finish(&self, fitted: &Fitted) -> Result<()> {
        let last = LAST.min(fitted.head.len());
        let (first, rest) = fitted.head.split_at(last);
        self.write_all(
            fitted
                .others
                .iter()
                .map(|(at, bytes)| (*at, bytes.as_slice())),
        )?;
        self.write_all([(last as u64, rest)].into_iter())?;
        stopped()?;
        self.write_all([(0, first)].into_iter())
    }

    /// Writes ranges, waits for the disk, reads them back.
    fn write_all<'b>(&self, ranges: impl Iterator<Item = (u64, &'b [u8])> + Clone) -> Result<()> {
        let writing = || self.writing();
        for (at, bytes) in ranges.clone() {
            self.target
                .write(at, bytes)
                .with_context(writing)
                .kind(Kind::Host)?;
        }
        self.target.sync().with_context(writing).kind(Kind::Host)?;
        self.target.bypass_cache(true);
        let mut buffer = Aligned::default();
        for (at, bytes) in ranges {
            self.read(at, bytes.len(), &mut buffer)?;
            if buffer.bytes() != bytes {
                return Err(self.reads_otherwise(at));
            }
        }
        self.target.bypass_cache(false);
        Ok(())
    }
}

/// Ends what goes on when the process is asked to end.
fn stopped() -> Result<()> {
    if blocking::is_stopped() {
        fail!(Kind::Interrupted, "interrupted");
    }
    Ok(())
}
