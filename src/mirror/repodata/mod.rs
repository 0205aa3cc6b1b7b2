//! The metadata of a repository: what it has, and whether what is looked for is among it.
//!
//! ```text
//! repomd   which files there are      here   groups, environments; gzip, xz, zstd, with a limit
//! primary  packages                pool   what packages are to each other
//! groups   members of groups       modules  which modules matter
//!                                  disc   of a repository on a disc
//! ```
//! Files come through the cache, verified by the checksums of
//! `repomd.xml`; the parsers are pure. What a file is packed with is told by its first bytes: names
//! say it too, but mirrors have been seen to unpack what they serve.

pub mod disc;
pub mod groups;
pub mod modules;
pub mod pool;
pub mod primary;
pub mod repomd;
pub(crate) mod xml;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use flate2::bufread::MultiGzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};
use thiserror::Error;
use url::Url;

use super::{CachedFile, Fault, Mirror, REPOMD, join, shown};
use xml::Step::{Begin, End};
use xml::attribute;

pub use primary::{Package, Packages, Query, Visitor};
pub use repomd::List;

/// What one repository has.
#[derive(Debug, Default)]
pub struct Contents {
    /// Its packages.
    pub packages: Packages,
    /// Its groups and environments.
    pub comps: Comps,
    /// Whether it has modules.
    pub has_modules: bool,
}

/// Why a repository could not be read.
#[derive(Debug, Error)]
pub enum Unreadable {
    /// The mirror, or a file that has not its checksum.
    #[error(transparent)]
    Mirror(#[from] Fault),
    /// The content of a file.
    #[error("{url} cannot be read: {reason}")]
    Content {
        /// Of the file, without credentials.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Reads the repository at `base` until `deadline`. What one mirror sends takes little memory, and
/// of several one is read at a time.
///
/// # Errors
/// What is wrong with the mirror or the metadata.
pub async fn read(
    mirror: &Mirror,
    base: &Url,
    query: Arc<Query>,
    deadline: Instant,
) -> Result<Contents, Unreadable> {
    let (list, primary) = list(mirror, base).await?;
    let primary = &primary;
    let packages = async {
        let read = move |input, query: &Query| primary::parse(input, query);
        take(mirror, base, primary, Arc::clone(&query), deadline, read).await
    };
    let comps = async {
        match list.groups() {
            None => Ok(Comps::default()),
            Some(entry) => {
                let read = |input, query: &Query| parse_comps(input, query);
                take(mirror, base, entry, Arc::clone(&query), deadline, read).await
            }
        }
    };
    let (packages, comps) = tokio::try_join!(packages, comps)?;
    Ok(Contents {
        packages,
        comps,
        has_modules: list.has_modules(),
    })
}

/// What a repository has now, and the list of packages among it.
async fn list(mirror: &Mirror, base: &Url) -> Result<(repomd::RepoMd, repomd::Entry), Unreadable> {
    let url = join(base, REPOMD);
    let file = mirror.repomd(base).await?;
    let text = std::fs::read(&file.path).map_err(|error| content(&url, error.to_string()))?;
    let list = repomd::parse(&text).map_err(|reason| content(&url, reason))?;
    let Some(primary) = list.primary().cloned() else {
        return Err(content(&url, "it names no list of packages".to_string()));
    };
    Ok((list, primary))
}

/// Obtains one file and reads it on a thread of its own.
async fn take<T: Send + 'static>(
    mirror: &Mirror,
    base: &Url,
    entry: &repomd::Entry,
    query: Arc<Query>,
    deadline: Instant,
    read: impl FnOnce(Box<dyn std::io::BufRead>, &Query) -> Result<T, String> + Send + 'static,
) -> Result<T, Unreadable> {
    let url = entry.url(base);
    let file: CachedFile = mirror.metadata(&url, entry.checksum.as_ref()).await?;
    let limit = entry.open_size.unwrap_or(u64::MAX);
    let turn = Arc::clone(&query.turn).lock_owned().await;
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let input = open(&file.path, limit, deadline).map_err(|error| error.to_string())?;
        read(input, &query)
    })
    .await
    .unwrap_or_else(|error| Err(error.to_string()))
    .map_err(|reason| content(&url, reason))
}

fn content(url: &Url, reason: String) -> Unreadable {
    Unreadable::Content {
        url: shown(url),
        reason,
    }
}

/// A group or an environment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Named {
    /// Its id, such as `minimal-environment`.
    pub id: String,
    /// Its name in English, such as `Minimal Install`.
    pub name: String,
}

/// Groups and environments of one repository.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Comps {
    /// The groups.
    pub groups: Vec<Named>,
    /// The environments (EL 7 and later).
    pub environments: Vec<Named>,
}

impl Named {
    /// Whether a kickstart's `@spec` means it. dnf compares id and name, and where neither is
    /// the same it ignores case (dnf/comps.py, `_by_pattern`).
    pub fn is_meant_by(&self, spec: &str) -> bool {
        let same = |text: &str| text == spec || text.to_lowercase() == spec.to_lowercase();
        same(&self.id) || same(&self.name)
    }
}

/// Reads a `comps.xml`.
///
/// # Errors
/// Why it cannot be used.
pub fn parse_comps(input: impl BufRead, query: &Query) -> Result<Comps, String> {
    let mut comps = Comps::default();
    let mut at = Named::default();
    let mut translated = false;
    xml::read(input, "comps", |path, step| {
        let below = path.strip_prefix("comps/").unwrap_or_default();
        let (outer, inner) = below.split_once('/').unwrap_or((below, ""));
        let all = match outer {
            "group" => &mut comps.groups,
            "environment" => &mut comps.environments,
            _ => return Ok(()),
        };
        match (inner, step) {
            (_, Begin(tag)) => translated = attribute(tag, "xml:lang").is_some(),
            ("id", End(text)) => at.id = text.to_string(),
            ("name", End(text)) if !translated => at.name = text.to_string(),
            ("", End(_)) => {
                query.keep(&at.id)?;
                query.keep(&at.name)?;
                all.push(std::mem::take(&mut at));
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(comps)
}

/// Most bytes that one file is unpacked to. Fedora's list of 75,000 packages has 200 MB; a file
/// that unpacks to more than this is an attack, or nothing that can be searched in a moment.
pub const MAX_UNPACKED: u64 = 512 << 20;

/// Most memory for unpacking xz, in bytes: `xz -9` takes 65 MiB to unpack.
const XZ_MEMORY: u64 = 128 << 20;

/// Largest window of zstd, as a power of two: what the zstd program itself takes by default.
const ZSTD_WINDOW_LOG: u32 = 27;

/// Size of the buffers, in bytes.
const BUFFER: usize = 128 << 10;

/// Opens packed metadata, and unpacks it while it is read. Reading fails past `limit` bytes, and after
/// `deadline`, when nobody waits for it any more.
///
/// # Errors
/// The file cannot be opened, or is packed with something else.
pub fn open(path: &Path, limit: u64, deadline: Instant) -> io::Result<Box<dyn BufRead>> {
    stream(
        BufReader::with_capacity(BUFFER, File::open(path)?),
        limit.min(MAX_UNPACKED),
        deadline,
    )
}

/// Unpacks a stream as [`open`] does.
///
/// # Errors
/// It is packed with something else.
pub fn stream(
    mut packed: impl BufRead + 'static,
    limit: u64,
    deadline: Instant,
) -> io::Result<Box<dyn BufRead>> {
    let head = packed.fill_buf()?;
    let unpacked: Box<dyn Read> = if head.starts_with(&[0x1f, 0x8b]) {
        Box::new(MultiGzDecoder::new(packed))
    } else if head.starts_with(b"\xfd7zXZ\0") {
        let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)?;
        Box::new(XzDecoder::new_stream(packed, stream))
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG)?;
        Box::new(decoder)
    } else if head.trim_ascii_start().starts_with(b"<") || head.starts_with(b"\xef\xbb\xbf") {
        Box::new(packed)
    } else {
        return Err(io::Error::other("it is neither XML nor gzip, xz or zstd"));
    };
    Ok(Box::new(BufReader::with_capacity(
        BUFFER,
        Limited {
            inner: unpacked,
            left: limit,
            limit,
            deadline,
        },
    )))
}

/// Fails where `Read::take` would pretend that the text ends.
struct Limited<R> {
    inner: R,
    left: u64,
    limit: u64,
    deadline: Instant,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if Instant::now() > self.deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let count = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(count as u64).ok_or_else(|| {
            io::Error::other(format!("it unpacks to more than {} bytes", self.limit))
        })?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use super::*;

    #[test]
    fn ids_and_names_of_groups_and_environments() {
        let text = r#"<?xml version="1.0"?>
<!DOCTYPE comps PUBLIC "-//Red Hat, Inc.//DTD Comps info//EN" "comps.dtd">
<comps>
 <group><id>core</id><name>Core &amp; more</name><name xml:lang="de">Kern</name>
  <packagelist><packagereq type="mandatory">bash</packagereq></packagelist></group>
 <category><id>c</id><name>C</name></category>
 <environment><id>minimal-environment</id><name>Minimal Install</name>
  <grouplist><groupid>core</groupid></grouplist>
  <optionlist><groupid><id>not-this</id></groupid></optionlist></environment>
</comps>"#;
        let comps = parse_comps(text.as_bytes(), &Query::default()).unwrap();
        let [core] = &comps.groups[..] else {
            panic!("{comps:?}")
        };
        assert_eq!(
            (core.id.as_str(), core.name.as_str()),
            ("core", "Core & more")
        );
        let [minimal] = &comps.environments[..] else {
            panic!("{comps:?}")
        };
        for spec in ["minimal-environment", "Minimal Install", "minimal install"] {
            assert!(minimal.is_meant_by(spec), "{spec}");
        }
        assert!(!minimal.is_meant_by("minimal"));
        for text in ["<comps><group></comps>", "<comps>", "", "<html></html>"] {
            assert!(
                parse_comps(text.as_bytes(), &Query::default()).is_err(),
                "{text}"
            );
        }
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn unpacked(packed: Vec<u8>, limit: u64) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        let deadline = Instant::now() + std::time::Duration::from_secs(60);
        stream(Cursor::new(packed), limit, deadline)?.read_to_end(&mut all)?;
        Ok(all)
    }

    #[test]
    fn every_packing_gives_the_same_text() {
        let text = b"<metadata>a text of some length</metadata>".repeat(100);
        let xz = {
            let mut packed = Vec::new();
            liblzma::bufread::XzEncoder::new(&text[..], 6)
                .read_to_end(&mut packed)
                .unwrap();
            packed
        };
        for packed in [
            text.clone(),
            gzip(&text),
            xz,
            zstd::encode_all(&text[..], 3).unwrap(),
        ] {
            assert_eq!(unpacked(packed, MAX_UNPACKED).unwrap(), text);
        }
    }

    #[test]
    fn bombs_and_other_files_are_refused() {
        let bomb = gzip(&vec![b'<'; 1 << 20]);
        assert!(bomb.len() < 2000);
        let error = unpacked(bomb.clone(), 1000).unwrap_err().to_string();
        assert_eq!(error, "it unpacks to more than 1000 bytes");
        assert_eq!(unpacked(bomb, 1 << 20).unwrap().len(), 1 << 20);
        let error = unpacked(b"BZh91AY".to_vec(), 1000).unwrap_err().to_string();
        assert!(error.contains("neither XML nor gzip"), "{error}");
        assert!(unpacked(gzip(b"<a/>")[..10].to_vec(), 1000).is_err());
    }
}
