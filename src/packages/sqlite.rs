//! The one table of SQLite that RPM's headers are in (SQLite's fileformat2.html):
//! `Packages(hnum INTEGER PRIMARY KEY, blob BLOB)`.

use anyhow::{Context, Result, bail, ensure};

use super::Take;
use crate::disk::bytes::{big, slice};

const MAGIC: &[u8] = b"SQLite format 3\0";

/// Kinds of pages of a table.
const INTERIOR: u64 = 0x05;
const LEAF: u64 = 0x0d;

/// Deepest tree of pages; one of 64 KiB pages has three levels.
const DEEPEST: usize = 16;

/// Bytes of the file's head, which is on its first page.
const HEAD: usize = 100;

struct Pages<'a> {
    content: &'a [u8],
    size: usize,
    /// Bytes of a page that are in use.
    usable: usize,
}

/// Takes all headers in a database.
///
/// # Errors
/// It is broken, or has no such table.
pub fn headers(content: &[u8], take: &mut Take<'_>) -> Result<()> {
    let pages = Pages::open(content)?;
    let mut table = None;
    pages.rows(1, &mut |row| {
        if let [b"table", b"Packages", _, root, ..] = fields(row)?.as_slice() {
            table = Some(big(root, 0, root.len().min(8))?);
        }
        Ok(())
    })?;
    pages.rows(table.context("it has no table of packages")?, &mut |row| {
        let fields = fields(row)?;
        take(fields.get(1).context("a row has too few fields")?)
    })
}

/// The fields of a row: their kinds, which say how long they are, and then they.
fn fields(row: &[u8]) -> Result<Vec<&[u8]>> {
    let (length, mut at) = varint(row, 0)?;
    let mut place = length as usize;
    let mut fields = Vec::new();
    while at < length as usize {
        let (kind, next) = varint(row, at)?;
        at = next;
        let length = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => bail!("a row is broken"),
            _ => (kind - 12) / 2,
        };
        let bytes = slice(row, place, usize::try_from(length)?)?;
        place += bytes.len();
        fields.push(bytes);
    }
    Ok(fields)
}

/// A number of up to nine bytes, seven bits in each but the last; and where the next begins.
fn varint(bytes: &[u8], at: usize) -> Result<(u64, usize)> {
    let mut number = 0;
    for index in 0..8 {
        let byte = big(bytes, at + index, 1)?;
        number = number << 7 | byte & 0x7f;
        if byte & 0x80 == 0 {
            return Ok((number, at + index + 1));
        }
    }
    Ok((number << 8 | big(bytes, at + 8, 1)?, at + 9))
}

/// How long the pages of a database are, in bytes.
pub fn page_size(content: &[u8]) -> Result<usize> {
    ensure!(content.starts_with(MAGIC), "it is no database of SQLite");
    let size = match big(content, 16, 2)? as usize {
        1 => 65536,
        size => size,
    };
    ensure!(
        (512..=65536).contains(&size) && size.is_power_of_two(),
        "its page size is broken"
    );
    Ok(size)
}

impl<'a> Pages<'a> {
    fn open(content: &'a [u8]) -> Result<Pages<'a>> {
        let size = page_size(content)?;
        let unused = big(content, 20, 1)? as usize;
        let usable = size.checked_sub(unused).filter(|usable| *usable >= 480);
        let usable = usable.context("its pages are broken")?;
        Ok(Pages {
            content,
            size,
            usable,
        })
    }

    fn page(&self, number: u64) -> Result<&'a [u8]> {
        let index = number.checked_sub(1).context("a page is missing")?;
        let at = usize::try_from(index)?.checked_mul(self.size);
        slice(self.content, at.context("a page is missing")?, self.size)
    }

    /// Takes all rows of the table that begins on a page.
    fn rows(&self, root: u64, take: &mut Take<'_>) -> Result<()> {
        let mut pending = vec![(root, DEEPEST)];
        let mut seen = 0;
        while let Some((number, depth)) = pending.pop() {
            seen += 1;
            ensure!(
                depth > 0 && seen <= self.content.len() / self.size,
                "its pages are no tree"
            );
            let page = self.page(number)?;
            let head = if number == 1 { HEAD } else { 0 };
            let (kind, count) = (big(page, head, 1)?, big(page, head + 3, 2)? as usize);
            let cells = match kind {
                INTERIOR => head + 12,
                LEAF => head + 8,
                _ => bail!("a page is broken"),
            };
            for index in 0..count {
                let cell = big(page, cells + index * 2, 2)? as usize;
                if kind == INTERIOR {
                    pending.push((big(page, cell, 4)?, depth - 1));
                } else {
                    take(&self.row(page, cell)?)?;
                }
            }
            if kind == INTERIOR {
                pending.push((big(page, head + 8, 4)?, depth - 1));
            }
        }
        Ok(())
    }

    /// The row in a cell of a leaf, its end on pages of its own if it is long.
    fn row(&self, page: &[u8], cell: usize) -> Result<Vec<u8>> {
        let (length, at) = varint(page, cell)?;
        let (_, at) = varint(page, at)?;
        let length = usize::try_from(length)?;
        ensure!(length <= self.content.len(), "a row is too long");
        let most = self.usable - 35;
        let least = (self.usable - 12) * 32 / 255 - 23;
        let here = if length <= most {
            length
        } else {
            let all = least + (length - least) % (self.usable - 4);
            if all <= most { all } else { least }
        };
        let mut row = slice(page, at, here)?.to_vec();
        let mut next = if here < length {
            big(page, at + here, 4)?
        } else {
            0
        };
        while row.len() < length {
            let page = self.page(next)?;
            next = big(page, 0, 4)?;
            let more = (length - row.len()).min(self.usable - 4);
            row.extend_from_slice(slice(page, 4, more)?);
        }
        Ok(row)
    }
}
