//! The image in pieces, read, unpacked and summed by a thread of its own while the disk works.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::HEAD;
use super::source::Source;
use crate::disk::bytes::is_zero;
use crate::error::{Classify, Kind};

/// Bytes of the pieces in which an image is read, summed and read back.
const PIECE: usize = 4 << 20;

/// How many pieces wait to be written: reading and unpacking go on while the disk works.
const WAITING: usize = 4;

/// Bytes that are looked at for zeroes at once: less is not worth a hole.
const BLOCK: usize = 64 << 10;

/// A part of the image.
pub(super) struct Piece {
    pub(super) bytes: Vec<u8>,
    pub(super) sum: Sum,
}

/// What a part is known by when it is read back.
#[derive(PartialEq, Eq)]
pub(super) enum Sum {
    Zero,
    Sha256([u8; 32]),
}

impl Sum {
    pub(super) fn of(bytes: &[u8]) -> Sum {
        match is_zero(bytes) {
            true => Sum::Zero,
            false => Sum::Sha256(Sha256::digest(bytes).into()),
        }
    }
}

/// What comes from the thread that reads.
pub(super) enum Coming {
    Piece(Piece),
    /// The end, with the digest of a stream.
    End(Option<String>),
}

/// Starts the thread that reads, unpacks and sums the image. It ends when nobody takes what it reads; one
/// that waits for a stream ends with the process.
pub(super) fn start(mut source: Source) -> Result<Receiver<Result<Coming>>> {
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

/// Whether the block at a place is zero, and where the blocks end that are like it.
pub(super) fn run(bytes: &[u8], from: usize) -> (bool, usize) {
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
