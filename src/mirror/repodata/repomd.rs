//! `repodata/repomd.xml`: which metadata a repository has, where, and with which checksums
//! (written by createrepo_c; read by yum and dnf through librepo).

use url::Url;

use super::xml::Step::{Begin, End};
use super::xml::{self, attribute};
use crate::mirror::join;
use crate::mirror::treeinfo::Checksum;

/// Most entries that are taken; repositories of every kind of metadata have about 25.
const MAX_ENTRIES: usize = 200;

/// What a repository has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RepoMd {
    /// What names this state of the repository: most often the time when it was made, in seconds since
    /// 1970.
    pub revision: Option<String>,
    entries: Vec<Entry>,
}

/// What a list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// Packages.
    Packages,
    /// Groups and environments.
    Groups,
    /// Modules.
    Modules,
}

/// One file of metadata.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// `primary`, `group_gz` and so on.
    pub kind: String,
    /// Its place, relative to the repository.
    pub href: String,
    /// Another base for it (`xml:base`), which almost no repository has.
    pub base: Option<String>,
    /// The digest of the file as it is served.
    pub checksum: Option<Checksum>,
    /// Bytes of the file as it is served.
    pub bytes: Option<u64>,
    /// Bytes of the file when it is unpacked.
    pub open_size: Option<u64>,
}

impl RepoMd {
    /// All files.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The list of packages.
    pub fn primary(&self) -> Option<&Entry> {
        self.of("primary")
    }

    /// The list of groups, packed if there is a choice.
    pub fn groups(&self) -> Option<&Entry> {
        ["group_zst", "group_xz", "group_gz", "group"]
            .into_iter()
            .find_map(|kind| self.of(kind))
    }

    /// The list of modules.
    pub fn modules(&self) -> Option<&Entry> {
        self.of("modules")
    }

    /// The list of all files of all packages.
    pub fn files(&self) -> Option<&Entry> {
        self.of("filelists")
    }

    /// Whether the repository has modules, whose names may stand where groups do (EL 8, 9).
    pub fn has_modules(&self) -> bool {
        self.of("modules").is_some()
    }

    fn of(&self, kind: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.kind == kind)
    }
}

impl Entry {
    /// Which list it is, of those that are read.
    pub fn list(&self) -> List {
        match self.kind.as_str() {
            "modules" => List::Modules,
            kind if kind.starts_with("group") => List::Groups,
            _ => List::Packages,
        }
    }

    /// The address of the file in the repository at `base`.
    pub fn url(&self, base: &Url) -> Url {
        let given = self.base.as_deref().and_then(|base| Url::parse(base).ok());
        join(given.as_ref().unwrap_or(base), &self.href)
    }
}

/// Reads a `repomd.xml`.
///
/// # Errors
/// Why it cannot be used.
pub fn parse(text: &[u8]) -> Result<RepoMd, String> {
    let mut repomd = RepoMd::default();
    let mut entry = Entry::default();
    xml::read(text, "repomd", |path, step| {
        match (path, step) {
            ("repomd/revision", End(text)) => {
                repomd.revision = Some(text.trim().to_owned()).filter(|text| !text.is_empty());
            }
            ("repomd/data", Begin(tag)) => {
                entry.kind = attribute(tag, "type").unwrap_or_default();
            }
            ("repomd/data/location", Begin(tag)) => {
                entry.href = attribute(tag, "href").unwrap_or_default();
                entry.base = attribute(tag, "xml:base");
            }
            ("repomd/data/checksum", Begin(tag)) => {
                let algorithm = attribute(tag, "type").unwrap_or_default();
                entry.checksum = Some(Checksum {
                    algorithm: algorithm.to_ascii_lowercase(),
                    hex: String::new(),
                });
            }
            ("repomd/data/checksum", End(text)) => {
                if let Some(checksum) = &mut entry.checksum {
                    checksum.hex = text.to_ascii_lowercase();
                }
            }
            ("repomd/data/size", End(text)) => entry.bytes = text.parse().ok(),
            ("repomd/data/open-size", End(text)) => entry.open_size = text.parse().ok(),
            ("repomd/data", End(_)) => {
                let done = std::mem::take(&mut entry);
                if !done.kind.is_empty() && !done.href.is_empty() {
                    repomd.entries.push(done);
                }
                if repomd.entries.len() > MAX_ENTRIES {
                    return Err(format!("it lists more than {MAX_ENTRIES} files"));
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(repomd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_createrepo_c_writes() {
        let text = r#"<?xml version="1.0" encoding="UTF-8"?>
<repomd xmlns="http://linux.duke.edu/metadata/repo" xmlns:rpm="http://linux.duke.edu/metadata/rpm">
  <revision>1714000000</revision>
  <data type="primary">
    <checksum type="sha256">AB</checksum>
    <open-checksum type="sha256">cd</open-checksum>
    <location href="repodata/ab-primary.xml.zst"/>
    <size>10</size>
    <open-size>100</open-size>
  </data>
  <data type="group"><checksum type="sha">ef</checksum><location href="repodata/comps.xml"/></data>
  <data type="group_gz"><location xml:base="http://other/r" href="repodata/comps.xml.gz"/></data>
  <data type="modules"><location href="repodata/m.yaml.gz"/></data>
</repomd>"#;
        let repomd = parse(text.as_bytes()).unwrap();
        assert_eq!(repomd.revision.as_deref(), Some("1714000000"));
        let primary = repomd.primary().unwrap();
        assert_eq!(
            primary.checksum.as_ref().unwrap().to_string(),
            "sha256:ab",
            "the checksum of the packed file, not of the unpacked one"
        );
        assert_eq!((primary.bytes, primary.open_size), (Some(10), Some(100)));
        let base = Url::parse("http://m/r/").unwrap();
        assert_eq!(
            primary.url(&base).as_str(),
            "http://m/r/repodata/ab-primary.xml.zst"
        );
        let groups = repomd.groups().unwrap();
        assert_eq!(groups.kind, "group_gz");
        assert_eq!(
            groups.url(&base).as_str(),
            "http://other/r/repodata/comps.xml.gz"
        );
        assert!(repomd.has_modules());
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "<html></html>", "<repomd><data", "<repomd>", "<a></b>"] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        let many = format!(
            "<repomd>{}</repomd>",
            "<data type='x'><location href='y'/></data>".repeat(MAX_ENTRIES + 1)
        );
        assert!(parse(many.as_bytes()).unwrap_err().contains("more than"));
        assert_eq!(parse(b"<repomd/>").unwrap().primary(), None);
    }
}
