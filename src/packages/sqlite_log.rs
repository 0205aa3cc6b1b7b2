//! SQLite's write-ahead log (its fileformat2.html, section 4): what was written and is not in the database
//! yet, for nobody closed it.

use anyhow::{Result, ensure};

use super::sqlite::page_size;
use crate::disk::bytes::{big, little, slice};

/// How a log begins; the last bit says in which byte order sums are made.
const MAGIC: u64 = 0x377f_0682;

/// Bytes of the log's head, and of a frame's.
const HEAD: usize = 32;
const FRAME: usize = 24;

/// Puts the pages of a log in their places in a database, up to the last that was committed.
///
/// # Errors
/// The database is none.
pub fn apply(database: &mut Vec<u8>, log: &[u8]) -> Result<()> {
    if log.len() < HEAD || big(log, 0, 4)? & !1 != MAGIC {
        return Ok(());
    }
    let size = big(log, 8, 4)? as usize;
    // A database that was never written itself has no head yet.
    ensure!(
        database.is_empty() || page_size(database)? == size,
        "its log is of another database"
    );
    ensure!((512..=65536).contains(&size), "its log is broken");
    let number = if big(log, 0, 4)? & 1 == 1 {
        big
    } else {
        little
    };
    let mut sum = add((0, 0), &log[..24], number)?;
    if sum != (big(log, 24, 4)?, big(log, 28, 4)?) {
        return Ok(());
    }
    let salt = &log[16..24];
    let mut pages: Vec<(u64, &[u8])> = Vec::new();
    let mut committed = (0, 0);
    for frame in log[HEAD..].chunks_exact(FRAME + size) {
        let (head, page) = frame.split_at(FRAME);
        sum = add(add(sum, &head[..8], number)?, page, number)?;
        if &head[8..16] != salt || sum != (big(head, 16, 4)?, big(head, 20, 4)?) {
            break;
        }
        pages.push((big(head, 0, 4)?, page));
        let length = big(head, 4, 4)?;
        if length != 0 {
            committed = (pages.len(), length);
        }
    }
    let (count, length) = committed;
    for (number, page) in &pages[..count] {
        let Some(index) = number.checked_sub(1).filter(|_| *number <= length) else {
            continue;
        };
        let at = index as usize * size;
        // It grows with its log, and no further.
        ensure!(at <= database.len() + log.len(), "its log is broken");
        if database.len() < at + size {
            database.resize(at + size, 0);
        }
        database[at..at + size].copy_from_slice(page);
    }
    Ok(())
}

/// A sum of bytes, from another on.
fn add(
    (mut first, mut second): (u64, u64),
    bytes: &[u8],
    number: fn(&[u8], usize, usize) -> Result<u64>,
) -> Result<(u64, u64)> {
    for at in (0..bytes.len()).step_by(8) {
        let pair = slice(bytes, at, 8)?;
        first = (first + number(pair, 0, 4)? + second) & 0xffff_ffff;
        second = (second + number(pair, 4, 4)? + first) & 0xffff_ffff;
    }
    Ok((first, second))
}
