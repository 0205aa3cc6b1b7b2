//! `.treeinfo`: what an install tree says of itself. Pure: text in, model or finding out.
//!
//! Two styles exist, and most trees hold both: lorax's `[general]` (Fedora 7, EL 6 and later)
//! and productmd's `[header]`, `[release]`, `[tree]` (documented in productmd's
//! `doc/treeinfo-1.0.rst` to `1.2`; Fedora 21, EL 8 and later, and some EL 7 rebuilds).

use std::collections::BTreeMap;
use std::fmt;

use crate::diagnostic::{Diagnostic, Source};
use crate::distro::Arch;
use crate::ini::{self, Entry, Ini};

/// Largest text that is read, in bytes. The largest seen is under 10 KiB.
pub const MAX_BYTES: u64 = 1024 * 1024;

/// Longest path that is taken, in bytes: Linux's `PATH_MAX` is 4096 with the tree's own path.
const MAX_PATH: usize = 1024;

/// A digest that the tree gives for one of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    /// `sha256` in every tree since Fedora 11; lower case.
    pub algorithm: String,
    /// The digest in lower-case hexadecimal digits.
    pub hex: String,
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm, self.hex)
    }
}

/// What a `.treeinfo` says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TreeInfo {
    /// The distribution, such as `Rocky Linux` or `Fedora`.
    pub family: Option<String>,
    /// Its version, such as `9.4` or `43`.
    pub version: Option<String>,
    /// The variant, such as `BaseOS`.
    pub variant: Option<String>,
    /// The architecture by the tree's own name: `armhfp` rather than `armv7l`.
    pub arch: Option<String>,
    /// When the tree was made, in seconds since 1970 (old trees give fractions).
    pub timestamp: Option<f64>,
    /// The kernel to boot, relative to the tree.
    pub kernel: Option<String>,
    /// Its initrd, relative to the tree.
    pub initrd: Option<String>,
    /// The installer's main image, relative to the tree.
    pub stage2: Option<String>,
    /// The repositories of the tree's variants. Empty in trees before EL 8, whose repository is the
    /// tree itself.
    pub repositories: Vec<Variant>,
    /// Digests by path relative to the tree.
    pub checksums: BTreeMap<String, Checksum>,
}

/// The repository of a variant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Variant {
    /// Its place relative to the tree: `.`, or beside it as `../../AppStream/x86_64/os`.
    pub path: String,
    /// The variant's name, such as `AppStream`; the installer calls the repository so.
    pub name: String,
}

impl TreeInfo {
    /// The digest of one of the tree's files.
    pub fn checksum(&self, path: &str) -> Option<&Checksum> {
        self.checksums.get(path)
    }

    /// Whether the tree is for guests of `arch`; a tree that names none may be.
    pub fn is_for(&self, arch: Arch) -> bool {
        let Some(name) = self.arch.as_deref() else {
            return true;
        };
        match arch {
            Arch::I386 => matches!(name, "i386" | "i486" | "i586" | "i686"),
            // Fedora's name for its 32-bit hard-float port.
            Arch::Armv7l => matches!(name, "armhfp" | "armv7hl" | "armv7l" | "arm"),
            other => name == other.name(),
        }
    }
}

/// Sections of which every `.treeinfo` has at least one.
const SECTIONS: [&str; 5] = ["general", "release", "product", "tree", "header"];

/// Whether a text is meant to be a `.treeinfo`, whatever else may be wrong with it.
pub fn is_meant(text: &str) -> bool {
    let name = |line: &str| {
        line.trim()
            .strip_prefix('[')
            .map(|rest| rest.trim_end_matches(']').trim().to_string())
    };
    text.trim_start_matches('\u{feff}')
        .lines()
        .filter_map(name)
        .any(|name| SECTIONS.contains(&name.as_str()))
}

/// Reads a `.treeinfo`. `name` is shown in findings: the address it came from.
///
/// # Errors
/// The first thing that makes the text no `.treeinfo`, or a path or digest in it unusable.
pub fn parse(text: &str, name: &str) -> Result<TreeInfo, Diagnostic> {
    let source = Source { name, text };
    if !is_meant(text) {
        return Err(Diagnostic::error(
            source,
            0..0,
            "no `[general]`, `[release]` or `[tree]`: this is not a .treeinfo",
        ));
    }
    let ini = ini::read(source)?;
    check_header(source, &ini)?;
    let reader = Reader { source, ini };

    let arch = reader.text(&[("tree", "arch"), ("general", "arch")]);
    // Never `[images-xen]`: its kernel is for Xen guests, and EL 6 lists the same paths there.
    let images = match &arch {
        Some(arch) => Some(format!("images-{arch}")),
        None => reader.only_images_section(),
    };
    let (kernel, initrd) = match &images {
        Some(section) => (
            reader.path(section, "kernel")?,
            reader.path(section, "initrd")?,
        ),
        None => (None, None),
    };
    Ok(TreeInfo {
        family: reader.text(&[
            ("release", "name"),
            ("product", "name"),
            ("general", "family"),
        ]),
        version: reader.text(&[
            ("release", "version"),
            ("product", "version"),
            ("general", "version"),
        ]),
        variant: reader.text(&[("general", "variant"), ("tree", "variants")]),
        timestamp: reader
            .text(&[("tree", "build_timestamp"), ("general", "timestamp")])
            .and_then(|text| text.parse::<f64>().ok())
            .filter(|seconds| seconds.is_finite()),
        kernel,
        initrd,
        stage2: reader.path("stage2", "mainimage")?,
        repositories: reader.repositories(),
        checksums: reader.checksums()?,
        arch,
    })
}

/// Refuses productmd's other formats and versions whose meaning is not known.
fn check_header(source: Source<'_>, ini: &Ini<'_>) -> Result<(), Diagnostic> {
    if let Some(entry) = ini.get("header", "type")
        && entry.value != "productmd.treeinfo"
    {
        return Err(Diagnostic::error(
            source,
            entry.span.clone(),
            format!("`{}` is another kind of file", entry.value),
        )
        .help("a .treeinfo has the type `productmd.treeinfo`"));
    }
    if let Some(entry) = ini.get("header", "version") {
        let major = entry.value.split('.').next().unwrap_or_default();
        if !matches!(major, "0" | "1") {
            return Err(Diagnostic::error(
                source,
                entry.span.clone(),
                format!("version `{}` of the format is not known", entry.value),
            )
            .help("versions 1.0 to 1.2 are read"));
        }
    }
    Ok(())
}

struct Reader<'a> {
    source: Source<'a>,
    ini: Ini<'a>,
}

impl Reader<'_> {
    /// The first of several settings that has a value.
    fn text(&self, places: &[(&str, &str)]) -> Option<String> {
        places
            .iter()
            .find_map(|(section, key)| self.ini.get(section, key))
            .map(|entry| entry.value.to_string())
    }

    /// The one `[images-*]` section of a tree that does not name its architecture.
    fn only_images_section(&self) -> Option<String> {
        let mut sections: Vec<&str> = self
            .ini
            .sections
            .iter()
            .copied()
            .filter(|section| section.starts_with("images-") && *section != "images-xen")
            .collect();
        sections.dedup();
        match sections[..] {
            [section] => Some(section.to_string()),
            _ => None,
        }
    }

    /// A path, refused where it would lead out of the tree or is given twice in different ways.
    fn path(&self, section: &str, key: &str) -> Result<Option<String>, Diagnostic> {
        let Some(entry) = self.ini.get(section, key) else {
            return Ok(None);
        };
        if self
            .ini
            .section(section)
            .any(|other| other.key.eq_ignore_ascii_case(key) && other.value != entry.value)
        {
            return Err(self.error(entry, format!("`{key}` is given twice in `[{section}]`")));
        }
        let path = normalized(entry.value);
        if let Some(reason) = path_fault(path) {
            return Err(self
                .error(entry, format!("the path `{}` {reason}", entry.value))
                .help("paths are relative to the tree, such as `images/pxeboot/vmlinuz`"));
        }
        Ok(Some(path.to_string()))
    }

    /// The `repository` of each `[variant-*]`; add-ons (EL 7) are not installed from unless asked
    /// for. What is no relative path is left out, as anaconda leaves out what it cannot use.
    fn repositories(&self) -> Vec<Variant> {
        let mut repositories: Vec<Variant> = self
            .ini
            .sections
            .iter()
            .filter(|section| section.starts_with("variant-"))
            .filter(|section| {
                let kind = self.ini.get(section, "type");
                kind.is_none_or(|kind| kind.value == "variant")
            })
            .filter_map(|section| {
                let path = self.ini.get(section, "repository")?.value;
                let usable =
                    path.len() <= MAX_PATH && !path.starts_with('/') && !path.contains("://");
                usable.then(|| Variant {
                    path: path.trim_end_matches('/').to_string(),
                    name: section["variant-".len()..].to_string(),
                })
            })
            .collect();
        repositories.sort();
        repositories.dedup_by(|later, first| later.path == first.path);
        repositories
    }

    fn checksums(&self) -> Result<BTreeMap<String, Checksum>, Diagnostic> {
        let mut checksums = BTreeMap::new();
        for entry in self.ini.section("checksums") {
            let checksum = checksum(entry.value).map_err(|reason| {
                self.error(entry, format!("the checksum of `{}` {reason}", entry.key))
                    .help("a checksum is written `sha256:` and 64 hexadecimal digits")
            })?;
            let path = normalized(entry.key).to_string();
            match checksums.get(&path) {
                Some(known) if *known != checksum => {
                    return Err(self.error(entry, format!("`{path}` has two checksums")));
                }
                _ => checksums.insert(path, checksum),
            };
        }
        Ok(checksums)
    }

    fn error(&self, entry: &Entry<'_>, message: String) -> Diagnostic {
        Diagnostic::error(self.source, entry.span.clone(), message)
    }
}

/// `./images/x` and `images/x` are the same file.
fn normalized(path: &str) -> &str {
    path.strip_prefix("./").unwrap_or(path)
}

/// Why a path must not be joined to the tree's address.
fn path_fault(path: &str) -> Option<&'static str> {
    if path.len() > MAX_PATH {
        Some("is too long")
    } else if path.starts_with('/') {
        Some("is absolute")
    } else if path.contains("://") {
        Some("is an address of its own")
    } else if path.contains('\\') {
        Some("holds a backslash")
    } else if path.split('/').any(|part| part == "..") {
        Some("leads out of the tree")
    } else if path.split('/').any(|part| part.is_empty() || part == ".") {
        Some("has an empty part")
    } else {
        None
    }
}

/// Reads `sha256:HEX`.
fn checksum(value: &str) -> Result<Checksum, &'static str> {
    let (algorithm, hex) = value.split_once(':').ok_or("does not name its algorithm")?;
    let algorithm = algorithm.trim().to_ascii_lowercase();
    let hex = hex.trim().to_ascii_lowercase();
    let digits = match algorithm.as_str() {
        "md5" => Some(32),
        "sha" | "sha1" => Some(40),
        "sha224" => Some(56),
        "sha256" => Some(64),
        "sha384" => Some(96),
        "sha512" => Some(128),
        "" => return Err("does not name its algorithm"),
        // An algorithm of the future, for a file that may not concern us.
        _ => None,
    };
    if hex.is_empty() || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("is not hexadecimal");
    }
    if digits.is_some_and(|digits| digits != hex.len()) {
        return Err("has the wrong length for its algorithm");
    }
    Ok(Checksum { algorithm, hex })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn reads_the_old_style() {
        let text = "[general]\nfamily = Testora\ntimestamp = 1180278071.41\nvariant =\n\
                    version = 7\narch = x86_64\n\n[images-x86_64]\nkernel = images/pxeboot/vmlinuz\n\
                    initrd = images/pxeboot/initrd.img\nboot.iso = images/boot.iso\n\
                    [images-xen]\nkernel = images/xen/vmlinuz\ninitrd = images/xen/initrd.img\n";
        let info = parse(text, "t").unwrap();
        assert_eq!(info.family.as_deref(), Some("Testora"));
        assert_eq!(info.version.as_deref(), Some("7"));
        assert_eq!(info.variant, None);
        assert_eq!(info.timestamp, Some(1_180_278_071.41));
        assert_eq!(info.kernel.as_deref(), Some("images/pxeboot/vmlinuz"));
        assert_eq!(info.initrd.as_deref(), Some("images/pxeboot/initrd.img"));
        assert_eq!(info.stage2, None);
        assert!(info.checksums.is_empty());
    }

    #[test]
    fn reads_the_new_style_in_any_order() {
        let text = format!(
            "[checksums]\n./images/pxeboot/vmlinuz = SHA256:{}\nimages/boot:2.iso = sha256:{HEX}\n\
             [general]\n; WARNING.0 = for old readers\nfamily = Wrong\narch = i386\n\
             [header]\ntype = productmd.treeinfo\nversion = 1.2\r\n\
             [images-aarch64]\ninitrd: images/pxeboot/initrd.img\nkernel: images/pxeboot/vmlinuz\n\
             [release]\nname = Test Linux\nversion = 9.4\n\
             [stage2]\nmainimage = images/install.img\n\
             [tree]\narch = aarch64\nbuild_timestamp = 1714000000\nvariants = BaseOS\n",
            HEX.to_uppercase()
        );
        let info = parse(&text, "t").unwrap();
        assert_eq!(info.family.as_deref(), Some("Test Linux"));
        assert_eq!(info.arch.as_deref(), Some("aarch64"));
        assert_eq!(info.variant.as_deref(), Some("BaseOS"));
        assert_eq!(info.stage2.as_deref(), Some("images/install.img"));
        assert_eq!(info.kernel.as_deref(), Some("images/pxeboot/vmlinuz"));
        let checksum = info.checksum("images/pxeboot/vmlinuz").unwrap();
        assert_eq!(checksum.to_string(), format!("sha256:{HEX}"));
        assert!(info.checksum("images/boot:2.iso").is_some());
        assert!(info.is_for(Arch::Aarch64) && !info.is_for(Arch::X86_64));
    }

    #[test]
    fn architectures_go_by_the_names_of_trees() {
        for (name, arch) in [
            ("i586", Arch::I386),
            ("armhfp", Arch::Armv7l),
            ("s390x", Arch::S390x),
        ] {
            let text = format!("[general]\narch = {name}\n[images-{name}]\nkernel = k\n");
            let info = parse(&text, "t").unwrap();
            assert!(info.is_for(arch), "{name}");
            assert_eq!(info.kernel.as_deref(), Some("k"), "{name}");
        }
        let nameless =
            "[general]\nfamily = X\n[images-xen]\nkernel = x\n[images-ppc64]\nkernel = k\n";
        assert_eq!(parse(nameless, "t").unwrap().kernel.as_deref(), Some("k"));
    }

    #[test]
    fn a_tree_without_images_is_no_error() {
        let info = parse("[general]\narch = s390x\nvariant = AppStream\n", "t").unwrap();
        assert_eq!((info.kernel, info.initrd, info.stage2), (None, None, None));
    }

    #[test]
    fn refuses_what_it_must_not_use() {
        let cases = [
            ("", 1, "not a .treeinfo"),
            ("[general\narch = x\n", 1, "without its `]`"),
            ("arch = x86_64\n[general]\n", 1, "before the first"),
            ("[general]\narch\n", 2, "neither a section nor a setting"),
            ("[general]\n= x\n", 2, "without its key"),
            ("[other]\na = b\n", 1, "not a .treeinfo"),
            ("<!DOCTYPE html>\n<html>", 1, "not a .treeinfo"),
            ("[general]\narch = x\u{0}86\n", 2, "control character"),
            ("[header]\nversion = 2.0\n", 2, "not known"),
            ("[header]\ntype = productmd.images\n", 2, "another kind"),
            (
                "[general]\narch = x\n[images-x]\nkernel = ../../etc/passwd\n",
                4,
                "leads out of the tree",
            ),
            (
                "[general]\narch = x\n[images-x]\nkernel = images/../../k\n",
                4,
                "leads out of the tree",
            ),
            (
                "[general]\narch = x\n[images-x]\ninitrd = /boot/initrd\n",
                4,
                "is absolute",
            ),
            (
                "[general]\narch = x\n[images-x]\ninitrd = http://a/b\n",
                4,
                "address of its own",
            ),
            (
                "[general]\narch = x\n[stage2]\nmainimage = a//b\n",
                4,
                "empty part",
            ),
            (
                "[general]\narch = x\n[images-x]\nkernel = a\nkernel = b\n",
                5,
                "given twice",
            ),
            (
                "[general]\na = b\n[checksums]\nk = deadbeef\n",
                4,
                "algorithm",
            ),
            (
                "[general]\na = b\n[checksums]\nk = sha256:deadbeef\n",
                4,
                "wrong length",
            ),
            (
                "[general]\na = b\n[checksums]\nk = sha256:xyz\n",
                4,
                "not hexadecimal",
            ),
            (
                "[general]\na = b\n[checksums]\nk = md5:0123456789abcdef0123456789abcdef\nk = md5:1123456789abcdef0123456789abcdef\n",
                5,
                "two checksums",
            ),
        ];
        for (text, line, message) in cases {
            let finding = parse(text, "t").expect_err(text);
            assert!(
                finding.message.contains(message),
                "{text:?}: {}",
                finding.message
            );
            assert_eq!(finding.line, line, "{text:?}");
        }
    }

    #[test]
    fn findings_point_at_the_value() {
        let finding =
            parse("[general]\narch = x\n[stage2]\nmainimage =   /etc\n", "t").unwrap_err();
        assert_eq!((finding.line, finding.column), (4, 15));
    }
}
