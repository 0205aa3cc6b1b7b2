//! The whole of one write, in its order: nothing that was on the disk boots any more; the image from its
//! first MiB on; its digest; all of it read back; the partition table for this disk; the first MiB.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::HEAD;
use super::papers::Paper;
use super::source::Source;
use super::table::{Fitted, Grown, Table};
use super::target::{Aligned, Target};
use crate::blocking;
use crate::error::{Classify, Kind, fail, failed};
use crate::image::disk::human;
use crate::ui::event::{Event, Reporter, Transfer};

/// Bytes of the pieces in which an image is read, summed and read back.
const PIECE: usize = 4 << 20;

/// How many pieces wait to be written: reading and unpacking go on while the disk works.
const WAITING: usize = 4;

/// Bytes that are looked at for zeroes at once: less is not worth a hole.
const BLOCK: usize = 64 << 10;

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

/// A part of the image.
struct Piece {
    bytes: Vec<u8>,
    sum: Sum,
}

/// What a part is known by when it is read back.
#[derive(PartialEq, Eq)]
enum Sum {
    Zero,
    Sha256([u8; 32]),
}

impl Sum {
    fn of(bytes: &[u8]) -> Sum {
        match is_zero(bytes) {
            true => Sum::Zero,
            false => Sum::Sha256(Sha256::digest(bytes).into()),
        }
    }
}

/// What comes from the thread that reads.
enum Coming {
    Piece(Piece),
    /// The end, with the digest of a stream.
    End(Option<String>),
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
        pieces: start(source)?,
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
    let (size, proved) = written.map_err(|error| not_whole(target, &error))?;
    Ok(Written {
        size,
        zeroes: copy.zeroes,
        grown: fitted.grown,
        proved,
    })
}

/// The error of a write that was begun, on a disk that says so itself.
fn not_whole(target: &Target, error: &anyhow::Error) -> anyhow::Error {
    let kind = crate::error::kind_of(error).unwrap_or(Kind::Host);
    let name = &target.name;
    match target.mark() {
        Ok(()) => failed!(
            kind,
            "{error:#}; {name} is not whole and does not boot, and its first sector says so: write it again"
        ),
        Err(mark) => failed!(
            kind,
            "{error:#}; {name} is not whole, and its first sector could not be made to say so ({mark}): do not boot from it, write it again"
        ),
    }
}

/// The error of an image that is not the one that was meant, and whose fault that is.
pub fn differs(name: &str, digest: &str, paper: &Paper, fault: Kind) -> anyhow::Error {
    failed!(
        fault,
        "{name} has the SHA-256 {digest}, and by {} it should be {}: get it again from a source that you trust",
        paper.from,
        paper.sha256
    )
}

fn too_small(target: &Target, name: &str, needed: Option<u64>) -> anyhow::Error {
    let disk = &target.name;
    let has = human(target.size);
    match needed {
        Some(needed) => failed!(
            Kind::Input,
            "{disk} is too small: {name} needs {} ({needed} bytes), and it has {has}, {} bytes too few; take a larger disk",
            human(needed),
            needed - target.size
        ),
        None => failed!(
            Kind::Input,
            "{disk} is too small: {name} is larger than its {has} ({} bytes); take a larger disk",
            target.size
        ),
    }
}

fn cut_short(name: &str, size: u64, made_for: u64) -> anyhow::Error {
    failed!(
        Kind::Input,
        "{name} is cut short: it is of {size} bytes, and its partition table is for a disk of {made_for}; get it again"
    )
}

/// Refuses an image that has no place on the disk, or would not be found there.
fn check(target: &Target, name: &str, table: &Table, size: Option<u64>) -> Result<()> {
    let made_for = table.disk_size();
    if let (Some(size), Some(made_for)) = (size, made_for)
        && size < made_for
    {
        return Err(cut_short(name, size, made_for));
    }
    let needed = size.max(made_for);
    if let Some(needed) = needed.filter(|needed| *needed > target.size) {
        return Err(too_small(target, name, Some(needed)));
    }
    match target.sector {
        Some(sector) => table.check_sector(sector),
        None => Ok(()),
    }
}

/// Starts the thread that reads, unpacks and sums the image. It ends when nobody takes what it reads; one
/// that waits for a stream ends with the process.
fn start(mut source: Source) -> Result<Receiver<Result<Coming>>> {
    let (sender, receiver) = sync_channel(WAITING);
    let work = move || {
        let result = send_all(&mut source, &sender);
        let end = match result {
            Ok(true) => source.digest().map(Coming::End),
            Ok(false) => return,
            Err(error) => Err(error),
        };
        // Whoever waits for it may have given up.
        let _ = sender.send(end);
    };
    let thread = std::thread::Builder::new().name("image".to_owned());
    thread
        .spawn(work)
        .context("starting threads")
        .kind(Kind::Host)?;
    Ok(receiver)
}

/// Whether all of it was taken.
fn send_all(source: &mut Source, to: &SyncSender<Result<Coming>>) -> Result<bool> {
    let mut length = HEAD;
    loop {
        let mut bytes = vec![0; length];
        let got = source.next(&mut bytes)?;
        if got == 0 {
            return Ok(true);
        }
        bytes.truncate(got);
        let sum = Sum::of(&bytes);
        if to.send(Ok(Coming::Piece(Piece { bytes, sum }))).is_err() {
            return Ok(false);
        }
        length = PIECE;
    }
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
                let (zero, to) = run(&bytes, from);
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

/// Whether the block at a place is zero, and where the blocks end that are like it.
fn run(bytes: &[u8], from: usize) -> (bool, usize) {
    let mut blocks = bytes[from..].chunks(BLOCK);
    let mut end = from;
    let mut kind = None;
    for block in &mut blocks {
        let zero = is_zero(block);
        if *kind.get_or_insert(zero) != zero {
            break;
        }
        end += block.len();
    }
    (kind.unwrap_or(false), end)
}

fn is_zero(bytes: &[u8]) -> bool {
    const ZEROES: [u8; 4096] = [0; 4096];
    // Compared as memory is, fast without optimisation, too.
    bytes
        .chunks(ZEROES.len())
        .all(|part| part == &ZEROES[..part.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_blocks_end_where_they_change() {
        let mut bytes = vec![0; 4 * BLOCK + 10];
        bytes[BLOCK + 7] = 1;
        assert_eq!(run(&bytes, 0), (true, BLOCK));
        assert_eq!(run(&bytes, BLOCK), (false, 2 * BLOCK));
        assert_eq!(run(&bytes, 2 * BLOCK), (true, bytes.len()));
    }
}
