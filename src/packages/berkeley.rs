//! A hash of Berkeley DB 4 and 5 (its `src/dbinc/db_page.h`), in the byte order of the machine that
//! wrote it: the headers of all packages, in no order.

use anyhow::{Context, Result, ensure};

use super::Take;
use crate::disk::bytes::{big, little, slice};

/// What marks a hash, behind the first page's log number and number.
const MAGIC: u64 = 0x0006_1561;

/// Kinds of pages: of a hash, as old and new versions have it; of what is too large for one page.
const HASHES: [u64; 2] = [2, 13];
const OVERFLOW: u64 = 7;

/// Kinds of items: on the page, and on others.
const ON_PAGE: u64 = 1;
const OFF_PAGE: u64 = 3;

/// Bytes of a page's head.
const HEAD: usize = 26;

/// The key of the record that counts the headers.
const COUNTER: [u8; 4] = [0; 4];

struct Pages<'a> {
    content: &'a [u8],
    size: usize,
    number: fn(&[u8], usize, usize) -> Result<u64>,
}

/// Takes all headers in a database.
///
/// # Errors
/// It is broken.
pub fn headers(content: &[u8], take: &mut Take<'_>) -> Result<()> {
    let number = [little, big]
        .into_iter()
        .find(|number| number(content, 12, 4).is_ok_and(|magic| magic == MAGIC));
    let number = number.context("it is no hash of Berkeley DB")?;
    let pages = Pages {
        content,
        size: number(content, 20, 4)? as usize,
        number,
    };
    ensure!(
        (512..=65536).contains(&pages.size),
        "its page size is broken"
    );
    ensure!(content.get(24) == Some(&0), "it is encrypted");
    for page in content.chunks_exact(pages.size) {
        if !HASHES.contains(&number(page, 25, 1)?) {
            continue;
        }
        let items = pages.items(page)?;
        for pair in items.chunks_exact(2) {
            let [key, data] = pair else { continue };
            if key.get(1..) == Some(&COUNTER) {
                continue;
            }
            match number(data, 0, 1)? {
                ON_PAGE => take(&data[1..])?,
                OFF_PAGE => {
                    let length = number(data, 8, 4)? as usize;
                    take(&pages.chain(number(data, 4, 4)?, length)?)?;
                }
                _ => {}
            }
        }
    }
    Ok(())
}

impl<'a> Pages<'a> {
    /// The items of a page, keys and data in turn, each with its kind before it. They stand from the
    /// page's end on.
    fn items(&self, page: &'a [u8]) -> Result<Vec<&'a [u8]>> {
        let count = (self.number)(page, 20, 2)? as usize;
        let mut end = page.len();
        let mut items = Vec::new();
        for index in 0..count {
            let at = (self.number)(page, HEAD + index * 2, 2)? as usize;
            let length = end.checked_sub(at).context("a page is broken")?;
            items.push(slice(page, at, length)?);
            end = at;
        }
        Ok(items)
    }

    /// An item of some length on pages of its own.
    fn chain(&self, mut page: u64, length: usize) -> Result<Vec<u8>> {
        ensure!(length <= self.content.len(), "an item is too long");
        let mut item = Vec::with_capacity(length);
        while item.len() < length {
            let at = (page as usize).checked_mul(self.size);
            let content = slice(self.content, at.context("a page is missing")?, self.size)?;
            let here = (self.number)(content, 22, 2)? as usize;
            ensure!(
                (self.number)(content, 25, 1)? == OVERFLOW && here > 0,
                "a page is broken"
            );
            item.extend_from_slice(slice(content, HEAD, here.min(length - item.len()))?);
            page = (self.number)(content, 16, 4)?;
        }
        Ok(item)
    }
}
