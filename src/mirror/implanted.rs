//! The checksum that distributions implant in their ISO images, which `checkisomd5` and `rd.live.check` verify.
//!
//! isomd5sum 1.2.3: `implantisomd5.c` writes it into the primary descriptor's application use area, `utilities.c`
//! and `libcheckisomd5.c` read it: `ISO MD5SUM = HEX;SKIPSECTORS = N;...`. It is of the volume without its last
//! N sectors, with that area blank. The sums of fragments beside it only let a reader give up early.

use std::io::{self, Write};
use std::ops::Range;

use openssl::hash::MessageDigest;
use serde::{Deserialize, Serialize};

use crate::disk::bytes::{little, slice};
use crate::hex;

/// Bytes of a sector.
const SECTOR: u64 = 2048;
/// Where the primary descriptor is, which is the first (ECMA-119).
const PRIMARY_AT: u64 = 16 * SECTOR;
/// Bytes that must be known to tell whether there is a checksum.
const BEGINNING: usize = (PRIMARY_AT + SECTOR) as usize;
/// Where the application use area is in the descriptor, and its length (`APPDATA_OFFSET`, `APPDATA_SIZE`).
const AREA: Range<u64> = 883..883 + 512;

/// An implanted checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Implanted {
    /// In lower-case hexadecimal digits.
    md5: String,
    /// How many bytes it is of.
    covered: u64,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Media {
    /// There is none in the image, or none that this host can compute (MD5, with FIPS).
    Absent,
    /// The image is as it was when it was implanted.
    Good,
    /// It is not.
    Wrong,
}

/// The checksum in the beginning of an image.
fn implanted(beginning: &[u8]) -> Option<Implanted> {
    let primary = slice(beginning, PRIMARY_AT as usize, SECTOR as usize).ok()?;
    if !primary.starts_with(b"\x01CD001") {
        return None;
    }
    let size = little(primary, 80, 4).ok()? * SECTOR;
    let area = &primary[AREA.start as usize..AREA.end as usize];
    let text = String::from_utf8_lossy(area);
    let mut fields = text.split(';');
    let field = |text: Option<&str>, name: &str| Some(text?.strip_prefix(name)?.trim().to_owned());
    let md5 = field(fields.next(), "ISO MD5SUM = ")?.to_ascii_lowercase();
    let skipped = field(fields.next(), "SKIPSECTORS = ")?
        .parse::<u32>()
        .ok()?;
    let is_digest = md5.len() == 32 && md5.bytes().all(|byte| byte.is_ascii_hexdigit());
    let covered = size.checked_sub(u64::from(skipped) * SECTOR)?;
    (is_digest && covered > 0).then_some(Implanted { md5, covered })
}

/// Verifies it while the image's bytes come, in order.
#[derive(Clone)]
pub(super) struct MediaCheck {
    /// The bytes so far, until it is known whether there is a checksum.
    beginning: Vec<u8>,
    found: Option<(Implanted, openssl::hash::Hasher)>,
    /// How many bytes were taken.
    at: u64,
}

impl MediaCheck {
    pub(super) fn new() -> MediaCheck {
        MediaCheck {
            beginning: Vec::new(),
            found: None,
            at: 0,
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) -> io::Result<()> {
        let missing = BEGINNING - self.beginning.len();
        if missing == 0 {
            return self.take(bytes);
        }
        let (first, rest) = bytes.split_at(missing.min(bytes.len()));
        self.beginning.extend_from_slice(first);
        if self.beginning.len() < BEGINNING {
            return Ok(());
        }
        // Without MD5, as in FIPS mode, there is nothing to compare.
        let hasher = openssl::hash::Hasher::new(MessageDigest::md5()).ok();
        self.found = implanted(&self.beginning).zip(hasher);
        let beginning = self.beginning.clone();
        self.take(&beginning)?;
        self.take(rest)
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some((implanted, hasher)) = &mut self.found else {
            return Ok(());
        };
        let left = implanted.covered.saturating_sub(self.at);
        let bytes = &bytes[..left.min(bytes.len() as u64) as usize];
        let within = |place: u64| {
            let offset = (PRIMARY_AT + place).saturating_sub(self.at);
            offset.min(bytes.len() as u64) as usize
        };
        let blank = within(AREA.start)..within(AREA.end);
        hasher.write_all(&bytes[..blank.start])?;
        hasher.write_all(&vec![b' '; blank.len()])?;
        hasher.write_all(&bytes[blank.end..])?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    pub(super) fn finish(self) -> io::Result<Media> {
        let Some((implanted, mut hasher)) = self.found else {
            return Ok(Media::Absent);
        };
        let md5 = hex::encode(hasher.finish()?);
        Ok(match md5 == implanted.md5 && self.at == implanted.covered {
            true => Media::Good,
            false => Media::Wrong,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An image of `sectors` with an area of this text.
    fn image(sectors: u64, text: &str) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..sectors * SECTOR).map(|at| (at % 251) as u8).collect();
        let primary = &mut bytes[PRIMARY_AT as usize..];
        primary[..6].copy_from_slice(b"\x01CD001");
        primary[80..84].copy_from_slice(&(sectors as u32).to_le_bytes());
        let area = &mut primary[AREA.start as usize..AREA.end as usize];
        area.fill(b' ');
        area[..text.len()].copy_from_slice(text.as_bytes());
        bytes
    }

    fn check(bytes: &[u8], pieces: usize) -> Media {
        let mut check = MediaCheck::new();
        for piece in bytes.chunks(pieces) {
            check.update(piece).unwrap();
        }
        check.finish().unwrap()
    }

    /// The image with a right checksum, as `implantisomd5` would make it.
    fn implant(sectors: u64, skipped: u64) -> Vec<u8> {
        let blank = image(sectors, "");
        let covered = ((sectors - skipped) * SECTOR) as usize;
        let md5 = openssl::hash::hash(MessageDigest::md5(), &blank[..covered]).unwrap();
        let md5 = hex::encode(md5);
        image(
            sectors,
            &format!("ISO MD5SUM = {md5};SKIPSECTORS = {skipped};RHLISOSTATUS=1;"),
        )
    }

    #[test]
    fn a_change_anywhere_in_what_is_covered_is_seen() {
        let good = implant(40, 15);
        for pieces in [1, 1000, 33_651, 34_816, 40_000, 1 << 20] {
            assert_eq!(check(&good, pieces), Media::Good, "{pieces}");
        }
        for at in [0, 33_000, 33_650, 34_163, 50_000, 25 * 2048 - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(check(&bad, 4096), Media::Wrong, "{at}");
        }
        let mut beyond = good.clone();
        beyond[25 * 2048] ^= 1;
        beyond.extend([0; 5000]);
        assert_eq!(check(&beyond, 4096), Media::Good);
        assert_eq!(check(&good[..24 * 2048], 4096), Media::Wrong);
    }

    #[test]
    fn what_is_no_checksum_is_none() {
        assert_eq!(check(&[], 1), Media::Absent);
        assert_eq!(check(&vec![0; BEGINNING], 99), Media::Absent);
        for text in [
            "",
            "ISO MD5SUM = 123;SKIPSECTORS = 15;",
            "ISO MD5SUM = 0123456789abcdef0123456789abcdef;",
            "ISO MD5SUM = 0123456789abcdef0123456789abcdef;SKIPSECTORS = 99;",
            "ISO MD5SUM = 0123456789abcdef0123456789abcdef;SKIPSECTORS = -1;",
        ] {
            assert_eq!(check(&image(40, text), 4096), Media::Absent, "{text}");
        }
    }
}
