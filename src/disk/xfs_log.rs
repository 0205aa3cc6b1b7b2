//! Whether an XFS was unmounted: whether the last record in its log says so (Linux' `fs/xfs/xfs_log_recover.c`,
//! `xlog_find_tail`; `fs/xfs/libxfs/xfs_log_format.h`).

use anyhow::{Result, ensure};

use super::bytes::big;
use super::device::Device;

/// How a record begins; records begin at sectors.
const MAGIC: &[u8] = &[0xfe, 0xed, 0xba, 0xbe];
const SECTOR: usize = 512;

/// How much of the log is looked through at once, in bytes.
const CHUNK: usize = 1 << 20;

/// Largest log that Linux makes, in bytes.
const MOST_LOG: u64 = 2 << 30;

/// Flag of an operation: the file system is unmounted.
const UNMOUNT: u64 = 0x20;

/// Bytes that one sector of a record's head stands for.
const PER_HEAD: u64 = 32 << 10;

/// Whether the newest record in the log of `size` bytes at a place of a device is that of an unmount.
///
/// # Errors
/// The log cannot be read.
pub fn is_closed(device: &Device, start: u64, size: u64) -> Result<bool> {
    ensure!(size <= MOST_LOG, "XFS is broken: its log is too large");
    let mut newest: Option<(u64, u64, Vec<u8>)> = None;
    for at in (0..size).step_by(CHUNK) {
        let chunk = device.bytes(start + at, CHUNK.min((size - at) as usize))?;
        for (sector, place) in chunk.chunks_exact(SECTOR).zip((at..).step_by(SECTOR)) {
            if sector.starts_with(MAGIC) {
                // Its number: the log's round, and its place in it.
                let number = big(sector, 16, 8)?;
                if newest.as_ref().is_none_or(|(other, ..)| number > *other) {
                    newest = Some((number, place, sector.to_vec()));
                }
            }
        }
    }
    let Some((_, place, record)) = newest else {
        return Ok(false);
    };
    let (version, length) = (big(&record, 8, 4)?, big(&record, 320, 4)?);
    let heads = if version & 2 != 0 {
        length.div_ceil(PER_HEAD).max(1)
    } else {
        1
    };
    // The record's content, which may go on at the log's beginning.
    let content = (place + heads * SECTOR as u64) % size;
    let operation = device.bytes(start + content, 12)?;
    Ok(big(&record, 40, 4)? == 1 && big(&operation, 9, 1)? & UNMOUNT != 0)
}
