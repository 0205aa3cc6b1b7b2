//! An RPM header (RPM's docs/manual/format_header.md), as its databases keep it: without magic.

use anyhow::{Context, Result, ensure};

use super::{Package, openpgp};
use crate::disk::bytes::{big, slice};

/// Most entries of a header, as RPM has it.
const MOST_ENTRIES: usize = 0xffff;

/// Tags (RPM's `include/rpm/rpmtag.h`).
const NAME: u64 = 1000;
const VERSION: u64 = 1001;
const RELEASE: u64 = 1002;
const EPOCH: u64 = 1003;
const SUMMARY: u64 = 1004;
const BUILD_TIME: u64 = 1006;
const INSTALL_TIME: u64 = 1008;
const SIZE: u64 = 1009;
const VENDOR: u64 = 1011;
const LICENSE: u64 = 1014;
const ARCH: u64 = 1022;
const SOURCE_RPM: u64 = 1044;
const CHANGELOG_TIME: u64 = 1080;
const CHANGELOG_NAME: u64 = 1081;
const CHANGELOG_TEXT: u64 = 1082;
const LONG_SIZE: u64 = 5009;

/// The digest of the header itself, without its signatures.
const SHA256_HEADER: u64 = 273;

/// Signatures: those of the header by OpenPGP, RSA and DSA, then those of header and payload.
const SIGNATURES: [u64; 5] = [278, 268, 267, 259, 262];

/// Types of entries.
const INT32: u64 = 4;
const INT64: u64 = 5;
const STRING: u64 = 6;
const BINARY: u64 = 7;
const STRINGS: u64 = 8;
const TRANSLATED: u64 = 9;

/// A header.
pub struct Header<'a> {
    entries: &'a [u8],
    data: &'a [u8],
}

impl<'a> Header<'a> {
    /// The header that begins there.
    ///
    /// # Errors
    /// It is broken.
    pub fn open(blob: &'a [u8]) -> Result<Header<'a>> {
        let (count, length) = (big(blob, 0, 4)? as usize, big(blob, 4, 4)? as usize);
        ensure!(count <= MOST_ENTRIES, "it has too many entries");
        Ok(Header {
            entries: slice(blob, 8, count * 16)?,
            data: slice(blob, 8 + count * 16, length)?,
        })
    }

    /// The package that it describes.
    ///
    /// # Errors
    /// It lacks a name or a version.
    pub fn package(&self) -> Result<Package> {
        let needed = |tag| self.text(tag).context("a header lacks name or version");
        let number = |tag| self.number(tag).and_then(|n| u32::try_from(n).ok());
        let signing_key = SIGNATURES
            .iter()
            .find_map(|tag| openpgp::issuer(&self.signature(*tag)?));
        Ok(Package {
            name: needed(NAME)?,
            epoch: number(EPOCH),
            version: needed(VERSION)?,
            release: needed(RELEASE)?,
            arch: self.text(ARCH),
            size: self.number(LONG_SIZE).or(self.number(SIZE)).unwrap_or(0),
            vendor: self.text(VENDOR),
            signing_key,
            header_sha256: self.text(SHA256_HEADER),
            repository: None,
            source_rpm: self.text(SOURCE_RPM),
            license: self.text(LICENSE),
            summary: self.text(SUMMARY),
            built: number(BUILD_TIME),
            installed: number(INSTALL_TIME),
        })
    }

    /// Its changelog, the newest entry first: when (seconds since 1970), who, what.
    pub fn changelog(&self) -> impl Iterator<Item = (u32, String, String)> + '_ {
        let texts = |tag| {
            let entry = self.entry(tag).filter(|(kind, ..)| *kind == STRINGS);
            let (_, count, data) = entry.unwrap_or_default();
            let texts = data.split(|byte| *byte == 0).take(count);
            texts.map(|text| String::from_utf8_lossy(text).into_owned())
        };
        let times = self
            .entry(CHANGELOG_TIME)
            .filter(|(kind, ..)| *kind == INT32);
        let (_, count, data) = times.unwrap_or_default();
        let times = data.chunks_exact(4).take(count);
        let times = times.filter_map(|time| u32::try_from(big(time, 0, 4).ok()?).ok());
        let told = times.zip(texts(CHANGELOG_NAME)).zip(texts(CHANGELOG_TEXT));
        told.map(|((time, author), text)| (time, author, text))
    }

    /// The type and count of an entry, and the data from it on.
    fn entry(&self, tag: u64) -> Option<(u64, usize, &'a [u8])> {
        let mut entries = self.entries.chunks_exact(16);
        let entry = entries.find(|entry| big(entry, 0, 4).is_ok_and(|t| t == tag))?;
        let (kind, at) = (big(entry, 4, 4).ok()?, big(entry, 8, 4).ok()? as usize);
        let count = big(entry, 12, 4).ok()? as usize;
        Some((kind, count, self.data.get(at..)?))
    }

    /// A text, or the first of several.
    fn text(&self, tag: u64) -> Option<String> {
        let (kind, _, data) = self.entry(tag)?;
        let known = matches!(kind, STRING | STRINGS | TRANSLATED);
        let text = data.split(|byte| *byte == 0).next()?;
        known.then(|| String::from_utf8_lossy(text).into_owned())
    }

    fn number(&self, tag: u64) -> Option<u64> {
        match self.entry(tag)? {
            (INT32, 1.., data) => big(data, 0, 4).ok(),
            (INT64, 1.., data) => big(data, 0, 8).ok(),
            _ => None,
        }
    }

    /// A signature: bytes, or since RPM 6 base64.
    fn signature(&self, tag: u64) -> Option<Vec<u8>> {
        use base64::Engine;

        match self.entry(tag)? {
            (BINARY, count, data) => Some(data.get(..count)?.to_vec()),
            (STRINGS, ..) => {
                let engine = base64::engine::general_purpose::STANDARD;
                engine.decode(self.text(tag)?).ok()
            }
            _ => None,
        }
    }
}
