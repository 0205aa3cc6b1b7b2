//! One read of a disk for several writers at once.
//!
//! The disk's data is read once, in order, by one thread; each writer has a thread of its own and
//! takes the same pieces. A writer that is slow makes the others wait when it is some pieces behind,
//! so that what is in memory is bounded whatever the disk's size.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::disk::bytes::is_zero;

use super::source::{Source, UNIT};

/// Bytes of a piece: 16 units, enough for a processor to work on.
pub const PIECE: u64 = 16 * UNIT;

/// How many pieces a writer may be behind.
const BEHIND: usize = 8;

/// The block in which zeroes within a piece are told from data, in bytes: a page, and the block of
/// most file systems.
pub const BLOCK: usize = 4096;

/// Some data of the disk, which begins at a [unit](UNIT).
#[derive(Debug)]
pub struct Piece {
    /// Where it begins on the disk, in bytes.
    pub at: u64,
    /// What is there.
    pub bytes: Vec<u8>,
}

impl Piece {
    /// What of it is not zero, in whole [blocks](BLOCK).
    pub fn data(&self) -> Vec<Range<usize>> {
        let mut all: Vec<Range<usize>> = Vec::new();
        let mut at = 0;
        for block in self.bytes.chunks(BLOCK) {
            let end = at + block.len();
            if !is_zero(block) {
                match all.last_mut() {
                    Some(last) if last.end == at => last.end = end,
                    _ => all.push(at..end),
                }
            }
            at = end;
        }
        all
    }
}

/// Writes what is read.
pub trait Writer: Send {
    /// Takes the next piece. Between two pieces are zeroes.
    ///
    /// # Errors
    /// It cannot be written.
    fn take(&mut self, piece: &Arc<Piece>) -> Result<()>;

    /// The disk has ended.
    ///
    /// # Errors
    /// It cannot be written.
    fn end(&mut self) -> Result<()>;
}

/// Hands the data of `source`, which is at `data`, to all writers; how long each took. Stops when
/// `stop` is set.
///
/// # Errors
/// The disk cannot be read, or one of the writers fails.
pub fn spread(
    source: &Source,
    data: &[Range<u64>],
    writers: Vec<Box<dyn Writer>>,
    stop: &AtomicBool,
) -> Result<Vec<Duration>> {
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let (sides, threads): (Vec<_>, Vec<_>) = writers
            .into_iter()
            .map(|mut writer| {
                let (side, pieces) = sync_channel::<Arc<Piece>>(BEHIND);
                let thread = scope.spawn(move || -> Result<Duration> {
                    write(writer.as_mut(), &pieces, stop)?;
                    Ok(begun.elapsed())
                });
                (side, thread)
            })
            .unzip();
        let read = read(source, data, stop, |piece| {
            // A writer that failed takes nothing more: its error tells why.
            sides
                .iter()
                .all(|side| side.send(Arc::clone(&piece)).is_ok())
        });
        if read.is_err() {
            // Writers must not take the end of the pieces for the end of the disk.
            stop.store(true, Ordering::Relaxed);
        }
        drop(sides);
        let mut times = Vec::with_capacity(threads.len());
        let mut failed = None;
        for thread in threads {
            let wrote = thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            match wrote {
                Ok(time) => times.push(time),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        read?;
        failed.map_or(Ok(times), Err)
    })
}

fn write(writer: &mut dyn Writer, pieces: &Receiver<Arc<Piece>>, stop: &AtomicBool) -> Result<()> {
    for piece in pieces {
        writer.take(&piece)?;
    }
    if stop.load(Ordering::Relaxed) {
        bail!("interrupted");
    }
    writer.end()
}

/// Reads the data piece by piece, until `hand_on` takes no more.
fn read(
    source: &Source,
    data: &[Range<u64>],
    stop: &AtomicBool,
    hand_on: impl Fn(Arc<Piece>) -> bool,
) -> Result<()> {
    for range in data {
        let mut at = range.start;
        while at < range.end {
            if stop.load(Ordering::Relaxed) {
                bail!("interrupted");
            }
            // Pieces end where a piece of the disk ends, so that they are alike for every writer.
            let end = (at + 1).next_multiple_of(PIECE).min(range.end);
            let mut bytes = vec![0; (end - at) as usize];
            source
                .read(&mut bytes, at)
                .with_context(|| format!("reading the disk at {at}"))?;
            if !hand_on(Arc::new(Piece { at, bytes })) {
                return Ok(());
            }
            at = end;
        }
    }
    Ok(())
}
