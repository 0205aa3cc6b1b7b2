//! Tables of SQLite's databases (its fileformat2.html): the one that RPM's headers are in,
//! `Packages(hnum INTEGER PRIMARY KEY, blob BLOB)`, and those of dnf's history.

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

/// A value in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// None, or a kind that nothing here asks for.
    Null,
    /// A number.
    Number(i64),
    /// A text or bytes.
    Bytes(&'a [u8]),
}

/// Takes all headers in a database.
///
/// # Errors
/// It is broken, or has no such table.
pub fn headers(content: &[u8], take: &mut Take<'_>) -> Result<()> {
    table(content, "Packages", &["blob"], &mut |row| match row {
        [Value::Bytes(header)] => take(header),
        _ => bail!("a row has too few fields"),
    })
}

/// Takes these columns of all rows of a table.
///
/// # Errors
/// The database is broken, or has no such table or column.
pub fn table(
    content: &[u8],
    name: &str,
    columns: &[&str],
    take: &mut dyn FnMut(&[Value<'_>]) -> Result<()>,
) -> Result<()> {
    let pages = Pages::open(content)?;
    let mut found = None;
    pages.rows(1, &mut |_, row| {
        let row = fields(row)?;
        if let [
            Value::Bytes(b"table"),
            Value::Bytes(called),
            _,
            Value::Number(root),
            rest @ ..,
        ] = row.as_slice()
            && *called == name.as_bytes()
        {
            let sql = match rest.first() {
                Some(Value::Bytes(sql)) => String::from_utf8_lossy(sql).into_owned(),
                _ => String::new(),
            };
            found = Some((u64::try_from(*root)?, sql));
        }
        Ok(())
    })?;
    let (root, sql) = found.with_context(|| format!("it has no table `{name}`"))?;
    let known = column_names(&sql);
    let places = columns.iter().map(|column| {
        let place = known.iter().position(|known| known == column);
        place.with_context(|| format!("its table `{name}` has no column `{column}`"))
    });
    let places = places.collect::<Result<Vec<_>>>()?;
    pages.rows(root, &mut |key, row| {
        let fields = fields(row)?;
        let values = places.iter().zip(columns).map(|(place, column)| {
            // A column that was added later is missing in older rows.
            match fields.get(*place).copied().unwrap_or(Value::Null) {
                // The key of a row is not stored a second time.
                Value::Null if *column == "id" => Value::Number(key),
                value => value,
            }
        });
        take(&values.collect::<Vec<_>>())
    })
}

/// The names of a table's columns, in the statement that made it.
fn column_names(sql: &str) -> Vec<String> {
    let mut plain = String::new();
    let mut rest = sql;
    while let Some((before, comment)) = rest.split_once("/*") {
        plain += before;
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    plain += rest;
    let inside = plain.split_once('(').map_or("", |(_, inside)| inside);
    let mut depth = 0;
    let parts = inside.split(|c| {
        depth += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        c == ',' && depth == 0
    });
    let name = |part: &str| {
        let first = part.split_whitespace().next()?;
        Some(first.trim_matches(['"', '`', '[', ']']).to_owned())
    };
    parts.filter_map(name).collect()
}

/// The fields of a row: their kinds, which say how long they are, and then they.
fn fields(row: &[u8]) -> Result<Vec<Value<'_>>> {
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
        fields.push(match kind {
            0 | 7 => Value::Null,
            8 => Value::Number(0),
            9 => Value::Number(1),
            1..=6 => {
                let unused = 64 - 8 * bytes.len() as u32;
                let number = big(bytes, 0, bytes.len())? << unused;
                Value::Number(number as i64 >> unused)
            }
            _ => Value::Bytes(bytes),
        });
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

    /// Takes all rows of the table that begins on a page, with their keys.
    fn rows(&self, root: u64, take: &mut dyn FnMut(i64, &[u8]) -> Result<()>) -> Result<()> {
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
                    let (key, row) = self.row(page, cell)?;
                    take(key, &row)?;
                }
            }
            if kind == INTERIOR {
                pending.push((big(page, head + 8, 4)?, depth - 1));
            }
        }
        Ok(())
    }

    /// The row in a cell of a leaf, its end on pages of its own if it is long; and its key.
    fn row(&self, page: &[u8], cell: usize) -> Result<(i64, Vec<u8>)> {
        let (length, at) = varint(page, cell)?;
        let (key, at) = varint(page, at)?;
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
        Ok((key as i64, row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_named_in_the_statement_that_made_the_table() {
        let sql = "CREATE TABLE trans_item (\n id INTEGER PRIMARY KEY, /* a, b */ trans_id INTEGER REFERENCES trans(id),\n\
            \"repo_id\" INTEGER, CONSTRAINT u UNIQUE (trans_id, repo_id))";
        assert_eq!(
            column_names(sql)[..3],
            ["id", "trans_id", "repo_id"].map(str::to_owned)
        );
        assert!(column_names("").is_empty());
    }

    #[test]
    fn numbers_have_signs() {
        let row = [5, 1, 2, 8, 9, 0xff, 0x01, 0x02];
        let expected = [-1, 0x0102, 0, 1].map(Value::Number);
        assert_eq!(fields(&row).unwrap(), expected);
    }
}
