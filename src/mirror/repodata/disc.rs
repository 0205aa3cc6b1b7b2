//! The metadata of a repository on an installation disc.

use std::fs::File;
use std::io::{BufReader, Seek};
use std::time::Instant;

use anyhow::{Context, Result, anyhow};

use super::{Comps, Contents, MAX_UNPACKED, Query, parse_comps, primary, repomd, stream};
use crate::disk::iso9660::Iso;
use crate::mirror::REPOMD;

/// Largest `repomd.xml` that is read, in bytes: they have a few KB.
const MAX_REPOMD: u64 = 1 << 20;

/// Reads the repository in the directory `base` of a disc until `deadline`. Takes as long as what is read takes, a second
/// or so.
///
/// # Errors
/// What is wrong with the disc or the metadata, in words.
pub fn read(iso: &Iso, base: &str, query: &Query, deadline: Instant) -> Result<Contents> {
    let at = |path: &str| format!("{base}/{path}");
    let text = iso.read(&at(REPOMD), MAX_REPOMD)?;
    let text = text.with_context(|| format!("there is no {}", at(REPOMD)))?;
    let list = repomd::parse(&text).map_err(|why| anyhow!("{}: {why}", at(REPOMD)))?;
    let open = |entry: &repomd::Entry| {
        let mut file: File = tempfile::tempfile()?;
        let path = at(&entry.href);
        let copied = iso.copy(&path, &mut file, MAX_UNPACKED)?;
        copied.with_context(|| format!("there is no {path}"))?;
        file.rewind()?;
        let limit = entry.open_size.unwrap_or(u64::MAX).min(MAX_UNPACKED);
        let input = stream(BufReader::new(file), limit, deadline);
        anyhow::Ok((path, input?))
    };
    let primary = list.primary();
    let primary = primary.with_context(|| format!("{} names no list of packages", at(REPOMD)))?;
    let (path, input) = open(primary)?;
    let packages = primary::parse(input, query).map_err(|why| anyhow!("{path}: {why}"))?;
    let comps = match list.groups() {
        None => Comps::default(),
        Some(groups) => {
            let (path, input) = open(groups)?;
            parse_comps(input, query).map_err(|why| anyhow!("{path}: {why}"))?
        }
    };
    Ok(Contents {
        packages,
        comps,
        has_modules: list.has_modules(),
    })
}
