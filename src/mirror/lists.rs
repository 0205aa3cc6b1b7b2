//! Lists of mirrors: yum's mirror lists (one address a line) and metalinks (RFC 5854 and the
//! older form that Fedora's MirrorManager writes).

use std::fmt::Write as _;

use super::REPOMD;
use super::repodata::xml::{self, Step::End};
use crate::hex;

/// How an address leads to a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Via {
    /// It is the place itself.
    Direct,
    /// It is yum's list of mirrors.
    MirrorList,
    /// It is a metalink.
    MetaLink,
}

/// Largest list that is read, in bytes: Fedora's metalinks have 100 KB.
pub const MAX_BYTES: u64 = 1 << 20;

/// Most addresses that are taken of a list.
const MAX_MIRRORS: usize = 200;

/// Longest address that is taken, in bytes.
const MAX_ADDRESS: usize = 1024;

/// The repositories that a mirror list names, in its order.
///
/// # Errors
/// Why it names none. What it says instead is not repeated: it may come from anywhere.
pub fn mirror_list(text: &str) -> Result<Vec<String>, String> {
    let mirrors: Vec<String> = text
        .lines()
        .map(str::trim)
        .filter(|line| is_address(line))
        .map(str::to_string)
        .take(MAX_MIRRORS)
        .collect();
    if !mirrors.is_empty() {
        return Ok(mirrors);
    }
    Err(empty_or(text, "it lists no address"))
}

/// The repositories that a metalink names, in its order: it lists addresses of `repomd.xml`.
///
/// # Errors
/// Why it names none.
pub fn metalink(text: &str) -> Result<Vec<String>, String> {
    if !text.trim_start().starts_with('<') {
        return Err(empty_or(text, "it is no metalink"));
    }
    let mut mirrors = Vec::new();
    xml::read(text.as_bytes(), "metalink", |path, step| {
        if let End(url) = step
            && path.ends_with("/url")
            && let Some(base) = url.strip_suffix(REPOMD)
            && is_address(base)
            && mirrors.len() < MAX_MIRRORS
        {
            mirrors.push(base.to_string());
        }
        Ok(())
    })?;
    if mirrors.is_empty() {
        return Err("it lists no mirror of a repository".to_string());
    }
    Ok(mirrors)
}

/// A metalink with one mirror, whose `repomd.xml` is the given one (what librepo reads of it: `metalink.c`).
pub(super) fn metalink_of(mirror: &str, repomd: &[u8]) -> String {
    let mut text = String::from(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<metalink version=\"3.0\" xmlns=\"http://www.metalinker.org/\">\n <files><file name=\"repomd.xml\">\n",
    );
    let _ = write!(
        text,
        "  <size>{}</size>\n  <verification><hash type=\"sha256\">{}</hash></verification>\n  <resources><url protocol=\"http\" type=\"http\" preference=\"100\">{mirror}{REPOMD}</url></resources>\n </file></files>\n</metalink>\n",
        repomd.len(),
        hex::sha256(repomd)
    );
    text
}

fn empty_or(text: &str, why: &str) -> String {
    match text.trim() {
        "" => "it is empty".to_string(),
        _ => why.to_string(),
    }
}

fn is_address(text: &str) -> bool {
    text.len() <= MAX_ADDRESS
        && ["http://", "https://", "ftp://", "file://", "rsync://"]
            .iter()
            .any(|scheme| text.starts_with(scheme))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_list_is_one() {
        let text = metalink_of("http://10.0.2.2:1/t/repo/x/", b"<repomd/>");
        assert_eq!(metalink(&text).unwrap(), ["http://10.0.2.2:1/t/repo/x/"]);
    }

    #[test]
    fn lists_of_addresses() {
        let text = "# repo = x\r\nhttp://a/os/\r\n\n  https://b/os\nInvalid\n";
        assert_eq!(mirror_list(text).unwrap(), ["http://a/os/", "https://b/os"]);
        assert_eq!(mirror_list("\n \n").unwrap_err(), "it is empty");
        assert_eq!(
            mirror_list("Invalid release/repo/arch combination\n").unwrap_err(),
            "it lists no address"
        );
    }

    #[test]
    fn metalinks() {
        let text = r#"<?xml version="1.0" encoding="utf-8"?>
<metalink version="3.0" xmlns="http://www.metalinker.org/">
 <files><file name="repomd.xml"><resources maxconnections="1">
  <url protocol="https" type="https" preference="100">https://a/os/repodata/repomd.xml</url>
  <url protocol="rsync">rsync://b/os/repodata/repomd.xml</url>
  <url protocol="http">http://c/os/?a&amp;b/repodata/repomd.xml</url>
  <url>http://d/other.iso</url>
 </resources></file></files></metalink>"#;
        assert_eq!(
            metalink(text).unwrap(),
            ["https://a/os/", "rsync://b/os/", "http://c/os/?a&b/"]
        );
        for (text, why) in [
            ("", "it is empty"),
            ("<metalink><files/></metalink>", "lists no mirror"),
            ("<html></html>", "it is no metalink"),
            ("<metalink>", "does not end with </metalink>"),
            ("# repo = none", "it is no metalink"),
        ] {
            let error = metalink(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
