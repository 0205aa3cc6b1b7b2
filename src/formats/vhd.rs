//! The footer of a VHD of fixed size (Microsoft's "Virtual Hard Disk Image Format Specification",
//! 2006): all that the format adds to a plain image. Big endian.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

/// Bytes of the footer.
pub const FOOTER: usize = 512;

/// What a footer begins with.
pub const COOKIE: &[u8; 8] = b"conectix";

/// Seconds from the epoch of Unix to that of VHDs, the beginning of 2000.
const EPOCH: u64 = 946_684_800;

/// A disk of fixed size.
pub const FIXED: u32 = 2;

/// Azure takes whole MiB only (Microsoft, "Prepare a Red Hat-based virtual machine for Azure").
pub const ALIGNMENT: u64 = 1 << 20;

/// The footer for a disk of `size` bytes.
///
/// # Errors
/// The system has no random numbers.
pub fn footer(size: u64) -> Result<[u8; FOOTER]> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).context("making the disk's id")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = now.map_or(0, |now| now.as_secs().saturating_sub(EPOCH));
    Ok(footer_of(size, seconds as u32, id))
}

fn footer_of(size: u64, seconds: u32, id: [u8; 16]) -> [u8; FOOTER] {
    let mut footer = [0; FOOTER];
    let mut put = |at: usize, bytes: &[u8]| footer[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, COOKIE);
    put(8, &2_u32.to_be_bytes()); // features: the reserved bit that is always set
    put(12, &0x0001_0000_u32.to_be_bytes()); // version
    put(16, &u64::MAX.to_be_bytes()); // no dynamic header
    put(24, &seconds.to_be_bytes());
    // The creator by which QEMU knows that the size counts, and not the geometry.
    put(28, b"qem2");
    put(32, &0x0005_0003_u32.to_be_bytes()); // the creator's version
    put(36, b"Wi2k");
    put(40, &size.to_be_bytes()); // as made
    put(48, &size.to_be_bytes()); // now
    let (cylinders, heads, sectors) = geometry(size / 512);
    put(56, &cylinders.to_be_bytes());
    put(58, &[heads, sectors]);
    put(60, &FIXED.to_be_bytes());
    put(68, &id);
    let sum = checksum(&footer);
    footer[64..68].copy_from_slice(&sum.to_be_bytes());
    footer
}

/// The one's complement of the sum of all bytes but those of the checksum itself.
pub fn checksum(footer: &[u8; FOOTER]) -> u32 {
    let bytes = footer[..64].iter().chain(&footer[68..]);
    !bytes.map(|byte| u32::from(*byte)).sum::<u32>()
}

/// Cylinders, heads and sectors for so many sectors, as the specification's appendix computes them.
fn geometry(sectors: u64) -> (u16, u8, u8) {
    let total = sectors.min(65535 * 16 * 255);
    let (per_track, heads, tracks);
    if total >= 65535 * 16 * 63 {
        (per_track, heads, tracks) = (255, 16, total / 255);
    } else {
        let of_17 = total / 17;
        let heads_of_17 = of_17.div_ceil(1024).max(4);
        if of_17 < heads_of_17 * 1024 && heads_of_17 <= 16 {
            (per_track, heads, tracks) = (17, heads_of_17, of_17);
        } else if total / 31 < 16 * 1024 {
            (per_track, heads, tracks) = (31, 16, total / 31);
        } else {
            (per_track, heads, tracks) = (63, 16, total / 63);
        }
    }
    ((tracks / heads) as u16, heads as u8, per_track)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_footer_is_what_the_specification_has() {
        let footer = footer_of(10 << 30, 7, [9; 16]);
        assert_eq!(&footer[..8], COOKIE);
        assert_eq!(footer[48..56], (10_u64 << 30).to_be_bytes());
        // What qemu-img 10.0 writes for 10 GiB: 20,805 cylinders, 16 heads, 63 sectors.
        assert_eq!(footer[56..60], [0x51, 0x45, 16, 63]);
        assert_eq!(footer[64..68], checksum(&footer).to_be_bytes());
        assert!(footer[84..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn geometries_are_within_their_fields() {
        for size in [1, 1 << 20, 504 << 20, 8 << 30, 127 << 30, 2 << 40, u64::MAX] {
            let (cylinders, heads, sectors) = geometry(size / 512);
            let all = u64::from(cylinders) * u64::from(heads) * u64::from(sectors);
            assert!(all <= size / 512, "{size}");
        }
    }
}
