//! Which digest an image should have, by what lies beside it.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use url::Url;

use crate::error::{Classify, Kind};
use crate::image::manifest::MOST_BYTES;
use crate::input;
use crate::mirror::{self, Fault, Mirror};

/// The digest that an image should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paper {
    /// SHA-256 of the image's file, in hexadecimal, in lower case.
    pub sha256: String,
    /// Who says so: a file, an address, an option.
    pub from: String,
}

impl Paper {
    /// A digest that the user names.
    ///
    /// # Errors
    /// It is none.
    pub fn named(digest: &str) -> Result<Paper> {
        ensure!(
            is_digest(digest),
            "--sha256 takes 64 hexadecimal digits, as sha256sum prints them"
        );
        Ok(Paper {
            sha256: digest.to_ascii_lowercase(),
            from: "--sha256".to_owned(),
        })
    }
}

/// Files that may hold the digest of the image `name`, in the order in which they are asked: ozr's,
/// Rocky's, Fedora's and Alma's, Debian's, and ozr's manifest.
fn candidates(name: &str) -> [String; 7] {
    let stem = Path::new(name).with_extension("");
    [
        format!("{name}.sha256"),
        format!("{name}.CHECKSUM"),
        format!("{}.CHECKSUM", stem.display()),
        "CHECKSUM".to_owned(),
        "SHA256SUMS".to_owned(),
        format!("{}.manifest.json", stem.display()),
        format!("{name}.manifest.json"),
    ]
}

/// What lies beside an image that is a file; none if nothing there names it.
///
/// # Errors
/// Input: what lies there cannot be read.
pub fn beside(image: &Path) -> Result<Option<Paper>> {
    let name = image.file_name().unwrap_or_default().to_string_lossy();
    for candidate in candidates(&name) {
        let path = image.with_file_name(&candidate);
        if !path.is_file() {
            continue;
        }
        let shown = path.display().to_string();
        let bytes = input::read_bounded(&path, MOST_BYTES)
            .with_context(|| format!("reading {shown}"))
            .kind(Kind::Input)?;
        if let Some(sha256) = digest_in(&bytes, &name) {
            return Ok(Some(Paper {
                sha256,
                from: shown,
            }));
        }
    }
    Ok(None)
}

/// The same of an image at an address.
///
/// # Errors
/// The server cannot be used.
pub async fn beside_address(mirror: &Mirror, image: &Url) -> Result<Option<Paper>, Fault> {
    let segment = image.path_segments().and_then(|mut all| all.next_back());
    let name = percent_encoding::percent_decode_str(segment.unwrap_or_default());
    let name = name.decode_utf8_lossy();
    let mut directory = image.clone();
    if let Ok(mut segments) = directory.path_segments_mut() {
        segments.pop();
    }
    for candidate in candidates(&name) {
        let mut address = mirror::join(&directory, &candidate);
        // A signed address is signed for all below it, or for none but the image.
        address.set_query(image.query());
        let bytes = match mirror.fetch(&address, MOST_BYTES).await {
            Ok(bytes) => bytes,
            // Object stores say so of what is not there.
            Err(Fault::NotFound { .. } | Fault::Forbidden { .. }) => continue,
            Err(fault) => return Err(fault),
        };
        if let Some(sha256) = digest_in(&bytes, &name) {
            let from = mirror::shown(&address);
            return Ok(Some(Paper { sha256, from }));
        }
    }
    Ok(None)
}

/// The part of a manifest that is read here.
#[derive(Deserialize)]
struct Manifest {
    image: Image,
}

#[derive(Deserialize)]
struct Image {
    file: String,
    sha256: String,
}

/// The digest of the image `name` in what lies beside it.
pub fn digest_in(bytes: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let digest = match serde_json::from_str::<Manifest>(&text) {
        Ok(manifest) => (manifest.image.file == name).then_some(manifest.image.sha256),
        Err(_) => text.lines().find_map(|line| digest_of(line, name)),
    };
    // A file that holds a digest and nothing else.
    let alone = || is_digest(text.trim()).then(|| text.trim().to_owned());
    let digest = digest.or_else(alone)?;
    is_digest(&digest).then(|| digest.to_ascii_lowercase())
}

/// The digest in a line of sha256sum(1), in its own form or in BSD's, if it is that of `name`.
fn digest_of(line: &str, name: &str) -> Option<String> {
    let line = line.trim();
    let (digest, file) = match line.strip_prefix("SHA256 (") {
        Some(rest) => {
            let (file, digest) = rest.rsplit_once(") = ")?;
            (digest, file.to_owned())
        }
        None => {
            let plain = line.trim_start_matches('\\');
            let (digest, file) = plain.split_once(' ')?;
            let file = file.strip_prefix([' ', '*']).unwrap_or(file);
            let file = match line.starts_with('\\') {
                true => file.replace("\\n", "\n").replace("\\\\", "\\"),
                false => file.to_owned(),
            };
            (digest, file)
        }
    };
    let file = file.rsplit('/').next()?;
    (file == name && is_digest(digest)).then(|| digest.to_owned())
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_found_in_all_forms() {
        let digest = "0a".repeat(32);
        for text in [
            format!("{digest}  a.raw\n"),
            format!("{digest} *./a.raw\n"),
            format!(
                "x\n# c\nSHA256 (b.raw) = {}\nSHA256 (a.raw) = {digest}\n",
                "1".repeat(64)
            ),
            format!("{}\n", digest.to_uppercase()),
            format!(r#"{{"image":{{"file":"a.raw","sha256":"{digest}"}}}}"#),
        ] {
            assert_eq!(
                digest_in(text.as_bytes(), "a.raw"),
                Some(digest.clone()),
                "{text}"
            );
        }
        for text in [
            format!("{digest}  b.raw\n"),
            format!("SHA512 (a.raw) = {digest}\n"),
            format!("{}  a.raw\n", &digest[1..]),
            format!(r#"{{"image":{{"file":"b.raw","sha256":"{digest}"}}}}"#),
            String::new(),
        ] {
            assert_eq!(digest_in(text.as_bytes(), "a.raw"), None, "{text}");
        }
        Paper::named("0a").unwrap_err();
    }
}
