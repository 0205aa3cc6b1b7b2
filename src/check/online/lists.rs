//! Lists of mirrors: yum's mirror lists (one address a line) and metalinks (RFC 5854 and the
//! older form that Fedora's MirrorManager writes).

use quick_xml::events::Event;

use super::repodata::xml::{gather, next, reader};
use crate::mirror::REPOMD;

/// Largest list that is read, in bytes: Fedora's metalinks have 100 KB.
pub const MAX_BYTES: u64 = 4 << 20;

/// Most addresses that are taken of a list.
const MAX_MIRRORS: usize = 1000;

/// Longest part of a text that is quoted, in characters.
const MAX_QUOTED: usize = 80;

/// The repositories that a mirror list names, in its order.
///
/// # Errors
/// What it says instead: servers explain with status 200 why they list nothing.
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
    let first = text.lines().map(str::trim).find(|line| !line.is_empty());
    Err(match first {
        None => "it is empty".to_string(),
        Some(line) => format!("it says `{}`", quoted(line)),
    })
}

/// The repositories that a metalink names, in its order: it lists addresses of `repomd.xml`.
///
/// # Errors
/// Why it names none.
pub fn metalink(text: &str) -> Result<Vec<String>, String> {
    if !text.trim_start().starts_with('<') {
        return Err(match text.trim() {
            "" => "it is empty".to_string(),
            other => format!("it is no metalink; it says `{}`", quoted(other)),
        });
    }
    let mut reader = reader(text.as_bytes());
    let mut buffer = Vec::new();
    let mut mirrors = Vec::new();
    let mut url: Option<String> = None;
    let mut is_metalink = false;
    loop {
        let event = next(&mut reader, &mut buffer)?;
        match &event {
            Event::Start(tag) => match tag.local_name().as_ref() {
                "metalink" => is_metalink = true,
                "url" => url = Some(String::new()),
                _ => {}
            },
            Event::End(tag) if tag.local_name().as_ref() == "url" => {
                let found = url.take().unwrap_or_default();
                if let Some(base) = found.trim().strip_suffix(REPOMD)
                    && is_address(base)
                    && mirrors.len() < MAX_MIRRORS
                {
                    mirrors.push(base.to_string());
                }
            }
            Event::Eof => break,
            other => {
                if let Some(url) = &mut url {
                    gather(url, other);
                }
            }
        }
    }
    if !is_metalink {
        return Err("it is no metalink".to_string());
    }
    if mirrors.is_empty() {
        return Err("it lists no mirror of a repository".to_string());
    }
    Ok(mirrors)
}

fn is_address(text: &str) -> bool {
    ["http://", "https://", "ftp://", "file://", "rsync://"]
        .iter()
        .any(|scheme| text.starts_with(scheme))
}

fn quoted(text: &str) -> String {
    let line: String = text.lines().next().unwrap_or_default().into();
    line.chars()
        .filter(|c| !c.is_control())
        .take(MAX_QUOTED)
        .collect()
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
            "it says `Invalid release/repo/arch combination`"
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
            ("<metalink>", "lists no mirror"),
            ("# repo = none", "it says `# repo = none`"),
        ] {
            let error = metalink(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
