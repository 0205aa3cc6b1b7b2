//! A GUID partition table for the disk that it comes to (UEFI Specification 2.10, section 5.3).

use anyhow::{Context, Result, ensure};

use super::HEAD;
use super::mbr;
use super::table::{ALIGNMENT, BROKEN, Fitted, Grown, SECTOR};
use crate::disk::bytes::{guid, little, slice};

/// Sectors in which a GPT may count.
pub(super) const SECTORS: [usize; 2] = [SECTOR, 4096];

/// A GUID partition table, as its first header has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpt {
    /// Bytes of the sectors in which it counts.
    pub(super) sector: usize,
    /// Bytes of its header that are summed.
    pub(super) header: usize,
    /// Where the second header is, in sectors.
    pub(super) second: u64,
    /// Where its entries are, in sectors.
    pub(super) entries: u64,
    /// How many there are.
    pub(super) count: usize,
    /// Bytes of each.
    pub(super) size: usize,
}

impl Gpt {
    pub(super) fn of(head: &[u8], sector: usize) -> Result<Gpt> {
        let header = slice(head, sector, sector)?;
        let number = |at, length| little(header, at, length);
        let gpt = Gpt {
            sector,
            header: number(12, 4)? as usize,
            second: number(32, 8)?,
            entries: number(72, 8)?,
            count: number(80, 4)? as usize,
            size: number(84, 4)? as usize,
        };
        ensure!((92..=sector).contains(&gpt.header), BROKEN);
        let mut summed = slice(header, 0, gpt.header)?.to_vec();
        summed[16..20].fill(0);
        ensure!(u64::from(crc32(&summed)) == number(16, 4)?, BROKEN);
        ensure!(
            (128..=4096).contains(&gpt.size) && gpt.size.is_multiple_of(8) && gpt.count <= 1024,
            BROKEN
        );
        ensure!(
            gpt.entries_at()
                .is_some_and(|at| at >= 2 * sector && at + gpt.entries_length() <= HEAD),
            "the image's partition table does not lie within its first MiB, which is not known here"
        );
        let entries = gpt.entries_of(head).context(BROKEN)?;
        ensure!(u64::from(crc32(entries)) == number(88, 4)?, BROKEN);
        ensure!(gpt.second > gpt.entries, BROKEN);
        Ok(gpt)
    }

    /// The size of the disk that it was made for, in bytes.
    pub(super) fn disk_size(&self) -> Option<u64> {
        self.second.checked_add(1)?.checked_mul(self.sector as u64)
    }

    fn entries_at(&self) -> Option<usize> {
        usize::try_from(self.entries).ok()?.checked_mul(self.sector)
    }

    fn entries_length(&self) -> usize {
        self.count * self.size
    }

    fn entries_of<'a>(&self, head: &'a [u8]) -> Option<&'a [u8]> {
        let at = self.entries_at()?;
        head.get(at..at + self.entries_length())
    }

    /// How many sectors the entries take.
    fn entries_sectors(&self) -> u64 {
        self.entries_length().div_ceil(self.sector) as u64
    }

    pub(super) fn fit(&self, mut head: Vec<u8>, size: u64, grow: bool) -> Result<Fitted> {
        let sector = self.sector as u64;
        let last = (size / sector).saturating_sub(1);
        ensure!(
            last >= self.second,
            "the disk is too small for the image's partition table"
        );
        let second_entries = last - self.entries_sectors();
        let last_usable = second_entries - 1;
        let at = self.entries_at().context(BROKEN)?;
        let entries = head.get_mut(at..at + self.entries_length());
        let entries = entries.context(BROKEN)?;
        let grown = match grow {
            true => Some(self.grow(entries, last_usable)?),
            false => None,
        };
        let (mut ends, entries) = (0, entries.to_vec());
        for entry in entries.chunks_exact(self.size) {
            if guid(entry).is_some() {
                ends = ends.max(little(entry, 40, 8)?);
            }
        }
        ensure!(
            ends <= last_usable,
            "the disk is too small: the image's last partition would lie where the second header of its partition table belongs"
        );
        let mut header = head[self.sector..2 * self.sector].to_vec();
        header[48..56].copy_from_slice(&last_usable.to_le_bytes());
        header[88..92].copy_from_slice(&crc32(&entries).to_le_bytes());
        let first = self.summed(header.clone(), 1, last, self.entries);
        let second = self.summed(header, last, 1, second_entries);
        head[self.sector..2 * self.sector].copy_from_slice(&first);
        mbr::protect(&mut head, last);
        let mut others = Vec::new();
        // The second header where the image has it; what a partition holds stays.
        let old = self
            .second
            .saturating_sub(self.entries_sectors())
            .max(ends + 1);
        let old_end = (self.second + 1).min(second_entries);
        if old < old_end {
            let length = (old_end - old) as usize * self.sector;
            others.push((old * sector, vec![0; length]));
        }
        let mut copy = entries;
        copy.resize(self.entries_sectors() as usize * self.sector, 0);
        others.push((second_entries * sector, copy));
        others.push((last * sector, second));
        Ok(Fitted {
            head,
            others,
            grown,
        })
    }

    /// A header that stands at `own`, with the other one and its entries there, in sectors.
    pub(super) fn summed(
        &self,
        mut header: Vec<u8>,
        own: u64,
        other: u64,
        entries: u64,
    ) -> Vec<u8> {
        header[24..32].copy_from_slice(&own.to_le_bytes());
        header[32..40].copy_from_slice(&other.to_le_bytes());
        header[72..80].copy_from_slice(&entries.to_le_bytes());
        header[16..20].fill(0);
        let sum = crc32(&header[..self.header]);
        header[16..20].copy_from_slice(&sum.to_le_bytes());
        header
    }

    /// Lets the last partition end where the disk does.
    fn grow(&self, entries: &mut [u8], last_usable: u64) -> Result<Grown> {
        let numbered = entries.chunks_exact_mut(self.size).enumerate();
        let there = numbered.filter(|(_, entry)| guid(entry).is_some());
        let end = |entry: &[u8]| little(entry, 40, 8).unwrap_or(0);
        let last = there.max_by_key(|(_, entry)| end(entry));
        let (index, entry) = last.context("the image has no partition that could --grow")?;
        let (start, from) = (little(entry, 32, 8)?, end(entry));
        let alignment = ALIGNMENT / self.sector as u64;
        let to = ((last_usable + 1) / alignment * alignment)
            .saturating_sub(1)
            .max(from);
        entry[40..48].copy_from_slice(&to.to_le_bytes());
        let bytes = |end: u64| (end + 1).saturating_sub(start) * self.sector as u64;
        Ok(Grown {
            number: index + 1,
            from: bytes(from),
            to: bytes(to),
        })
    }
}

/// The sum of headers and entries.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = flate2::Crc::new();
    sum.update(bytes);
    sum.sum()
}
