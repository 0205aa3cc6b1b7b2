//! Lists of mirrors: yum's mirror lists (one address a line) and metalinks (RFC 5854 and the
//! older form that Fedora's MirrorManager writes).

use crate::mirror::REPOMD;
use crate::mirror::repodata::xml::{self, Step::End};

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
