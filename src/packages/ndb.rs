//! RPM's own database (its `lib/backend/ndb/rpmpkg.c`): slots that say where each header is.

use anyhow::{Result, ensure};

use super::Take;
use crate::disk::bytes::{little, slice};

const MAGIC: &[u8] = b"RpmP";
const SLOT_MAGIC: &[u8] = b"Slot";
const HEADER_MAGIC: &[u8] = b"BlbS";

/// Bytes of a page of slots, of a slot, and of a block, in which places are counted.
const PAGE: usize = 4096;
const SLOT: usize = 16;
const BLOCK: usize = 16;

/// Bytes of the file's head, where slots would be.
const HEAD: usize = 32;

/// Takes all headers in a database.
///
/// # Errors
/// It is broken.
pub fn headers(content: &[u8], take: &mut Take<'_>) -> Result<()> {
    ensure!(content.starts_with(MAGIC), "it is no database of RPM's own");
    ensure!(little(content, 4, 4)? == 0, "its version is not known");
    let pages = little(content, 12, 4)? as usize;
    let slots = slice(content, HEAD, (pages * PAGE).saturating_sub(HEAD))?;
    for slot in slots.chunks_exact(SLOT) {
        let (index, at) = (little(slot, 4, 4)?, little(slot, 8, 4)? as usize * BLOCK);
        if !slot.starts_with(SLOT_MAGIC) || at == 0 {
            continue;
        }
        let head = slice(content, at, 16)?;
        ensure!(
            head.starts_with(HEADER_MAGIC) && little(head, 4, 4)? == index,
            "a header is not where it should be"
        );
        let length = little(head, 12, 4)? as usize;
        take(slice(content, at + 16, length)?)?;
    }
    Ok(())
}
