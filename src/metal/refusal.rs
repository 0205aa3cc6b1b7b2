//! Why an image is not written to a disk, and what a write leaves that was begun.

use anyhow::Result;

use super::papers::Paper;
use super::table::Table;
use super::target::Target;
use crate::error::{Kind, failed};
use crate::image::disk::human;

/// The error of a write that was begun, on a disk that says so itself.
pub(super) fn not_whole(target: &Target, error: &anyhow::Error) -> anyhow::Error {
    let kind = crate::error::kind_of(error).unwrap_or(Kind::Host);
    let name = &target.name;
    match target.mark() {
        Ok(()) => failed!(
            kind,
            "{error:#}; {name} is not whole and does not boot, and its first sector says so: write it again"
        ),
        Err(mark) => failed!(
            kind,
            "{error:#}; {name} is not whole, and its first sector could not be made to say so ({mark}): do not boot from it, write it again"
        ),
    }
}

/// The error of an image that is not the one that was meant, and whose fault that is.
pub fn differs(name: &str, digest: &str, paper: &Paper, fault: Kind) -> anyhow::Error {
    failed!(
        fault,
        "{name} has the SHA-256 {digest}, and by {} it should be {}: get it again from a source that you trust",
        paper.from,
        paper.sha256
    )
}

pub(super) fn too_small(target: &Target, name: &str, needed: Option<u64>) -> anyhow::Error {
    let disk = &target.name;
    let has = human(target.size);
    match needed {
        Some(needed) => failed!(
            Kind::Input,
            "{disk} is too small: {name} needs {} ({needed} bytes), and it has {has}, {} bytes too few; take a larger disk",
            human(needed),
            needed - target.size
        ),
        None => failed!(
            Kind::Input,
            "{disk} is too small: {name} is larger than its {has} ({} bytes); take a larger disk",
            target.size
        ),
    }
}

/// The error of an image that ends before its disk does, in bytes.
pub fn cut_short(name: &str, size: u64, made_for: u64) -> anyhow::Error {
    failed!(
        Kind::Input,
        "{name} is cut short: it is of {size} bytes, and its partition table is for a disk of {made_for}; get it again"
    )
}

/// Refuses an image that has no place on the disk, or would not be found there.
pub(super) fn check(target: &Target, name: &str, table: &Table, size: Option<u64>) -> Result<()> {
    let made_for = table.disk_size();
    if let (Some(size), Some(made_for)) = (size, made_for)
        && size < made_for
    {
        return Err(cut_short(name, size, made_for));
    }
    let needed = size.max(made_for);
    if let Some(needed) = needed.filter(|needed| *needed > target.size) {
        return Err(too_small(target, name, Some(needed)));
    }
    match target.sector {
        Some(sector) => table.check_sector(sector),
        None => Ok(()),
    }
}
