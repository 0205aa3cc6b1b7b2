//! MBRs: the one that protects a GPT, and one with partitions of its own.

use anyhow::{Context, Result, ensure};

use super::table::{ALIGNMENT, Fitted, Grown, PROTECTIVE, SECTOR};
use crate::disk::bytes::little;

/// Types of an MBR's partitions that hold logical ones.
const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];

/// Lets the MBR protect the disk up to its `last` sector, or as far as it can count. One that names other
/// partitions, too, is somebody's own work and stays.
pub(super) fn protect(head: &mut [u8], last: u64) {
    let table = &mut head[446..510];
    let others = table.chunks_exact(16).filter(|entry| entry[4] != 0);
    if others.count() == 1
        && let Some(entry) = table
            .chunks_exact_mut(16)
            .find(|entry| entry[4] == PROTECTIVE)
    {
        let sectors = u32::try_from(last).unwrap_or(u32::MAX);
        entry[12..16].copy_from_slice(&sectors.to_le_bytes());
    }
}

/// Lets the last partition end where the disk does.
///
/// # Errors
/// There is none, or it is a logical one.
pub(super) fn grow(mut head: Vec<u8>, size: u64) -> Result<Fitted> {
    let number = |entry: &[u8], at| little(entry, at, 4).unwrap_or(0);
    let end = |entry: &[u8]| number(entry, 8) + number(entry, 12);
    let entries = head[446..510].chunks_exact_mut(16).enumerate();
    let there = entries.filter(|(_, entry)| entry[4] != 0);
    let last = there.max_by_key(|(_, entry)| end(entry));
    let (index, entry) = last.context("the image has no partition that could --grow")?;
    ensure!(
        !EXTENDED.contains(&entry[4]),
        "the image's last partition is a logical one, which is not grown: leave out --grow, and grow it there (`growpart`)"
    );
    let (start, length) = (number(entry, 8), number(entry, 12));
    let alignment = ALIGNMENT / SECTOR as u64;
    // An MBR counts in 32 bits.
    let most = (size / SECTOR as u64).min(u64::from(u32::MAX));
    let to = (most / alignment * alignment)
        .saturating_sub(start)
        .max(length);
    entry[12..16].copy_from_slice(&(to as u32).to_le_bytes());
    let grown = Some(Grown {
        number: index + 1,
        from: length * SECTOR as u64,
        to: to * SECTOR as u64,
    });
    Ok(Fitted {
        head,
        others: Vec::new(),
        grown,
    })
}
