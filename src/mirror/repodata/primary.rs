//! `primary.xml`: every package of a repository, read as a stream.

use std::collections::{BTreeSet, HashSet};
use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use glob::{MatchOptions, Pattern};
use tokio::sync::Mutex;

use super::xml::Step::{Begin, End};
use super::xml::{self, attribute};
use crate::mirror::treeinfo::Checksum;

/// Most packages that are taken; Fedora has 75,000.
const MAX_PACKAGES: usize = 2_000_000;

/// Most bytes of names that are kept of all repositories together; Fedora's 75,000 take 7 MB.
const MAX_KEPT: usize = 48 << 20;

/// What a name takes besides its text: its place in a tree, and what an allocation costs.
const NAME_OVERHEAD: usize = 72;

/// Most architectures and releases that are noted of a repository.
const MAX_KINDS: usize = 64;

/// What is looked for in lists of packages.
#[derive(Debug, Default)]
pub struct Query {
    exact: HashSet<String>,
    patterns: Vec<(String, Pattern)>,
    /// Bytes that all lists together have taken so far.
    kept: AtomicUsize,
    /// Whose turn it is: one list is unpacked and read at a time.
    pub(super) turn: Arc<Mutex<()>>,
}

/// What a list of packages says.
#[derive(Debug, Default)]
pub struct Packages {
    /// Every name once, in order.
    pub names: BTreeSet<String>,
    /// What was looked for and is there.
    pub found: HashSet<String>,
    /// The architectures of the packages, `noarch` and `src` left out.
    pub arches: BTreeSet<String>,
    /// The major versions of the release packages (what provides `system-release`).
    pub releases: BTreeSet<u32>,
    /// How many packages there are.
    pub count: usize,
}

impl Query {
    /// A query for what stands in kickstarts: names, `name.arch`, with version and release in
    /// dnf's forms, globs, and what packages provide.
    pub fn new<'a>(specs: impl IntoIterator<Item = &'a str>) -> Query {
        let mut query = Query::default();
        for spec in specs {
            match spec
                .contains(['*', '?', '['])
                .then(|| pattern(spec))
                .flatten()
            {
                Some(pattern) => query.patterns.push((spec.to_string(), pattern)),
                None => {
                    query.exact.insert(spec.to_string());
                }
            }
        }
        query
    }

    /// Counts a name that is kept.
    pub(super) fn keep(&self, name: &str) -> Result<(), String> {
        let size = name.len() + NAME_OVERHEAD;
        match self.kept.fetch_add(size, Ordering::Relaxed) > MAX_KEPT {
            false => Ok(()),
            true => Err("the repositories have more names than ozr keeps".to_string()),
        }
    }

    /// Notes which of the specs mean a thing of this name.
    fn note(&self, name: &str, found: &mut HashSet<String>) {
        if self.exact.contains(name) && !found.contains(name) {
            found.insert(name.to_string());
        }
        for (spec, pattern) in &self.patterns {
            if !found.contains(spec) && pattern.matches_with(name, MATCH) {
                found.insert(spec.clone());
            }
        }
    }

    /// Whether any spec goes on where `name` ends, as `name.arch` does.
    fn goes_on(&self, name: &str) -> bool {
        !self.patterns.is_empty()
            || self
                .exact
                .iter()
                .any(|spec| spec.len() > name.len() && spec.starts_with(name))
    }
}

/// fnmatch(3) as dnf uses it: nothing is special about `/` and leading dots.
const MATCH: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: false,
    require_literal_leading_dot: false,
};

/// `**` means to fnmatch what `*` means, and to the library something else.
fn pattern(spec: &str) -> Option<Pattern> {
    let mut single = spec.to_string();
    while single.contains("**") {
        single = single.replace("**", "*");
    }
    Pattern::new(&single).ok()
}

/// A package, as a list has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its architecture; `src` or `nosrc` of one that is not installed.
    pub arch: String,
    /// Its epoch, `0` where nobody gave one.
    pub epoch: String,
    /// Its version.
    pub version: String,
    /// Its release.
    pub release: String,
    /// The digest of its file.
    pub checksum: Option<Checksum>,
    /// The place of its file, relative to the repository.
    pub href: String,
    /// Another base for it (`xml:base`), which almost no repository has.
    pub base: Option<String>,
    /// The size of its file in bytes.
    pub bytes: Option<u64>,
}

/// What is told of the packages of a list, one after the other: what each provides and requires, then the
/// package itself.
pub trait Visitor {
    /// Something that the package provides which will be told of next.
    fn provides(&mut self, _name: &str) {}
    /// Something that it requires.
    fn requires(&mut self, _name: &str) {}
    /// One of its relations of another kind, by createrepo_c's name for it: `recommends`, `supplements`,
    /// `obsoletes` and so on.
    fn relation(&mut self, _kind: &str, _name: &str) {}
    /// One of its files, of those that lists of packages have.
    fn file(&mut self, _path: &str) {}
    /// A package.
    ///
    /// # Errors
    /// Why no more is wanted.
    fn package(&mut self, package: Package) -> Result<(), String>;
}

impl Package {
    /// Whether it is one that is installed, and not built from.
    pub fn is_binary(&self) -> bool {
        !matches!(self.arch.as_str(), "src" | "nosrc")
    }

    /// The forms in which dnf takes a package (hawkey's NEVRA, NA, N, NEV, NEVR and the same
    /// with an architecture).
    fn forms(&self) -> [String; 8] {
        let Package {
            name,
            arch,
            epoch,
            version,
            release,
            ..
        } = self;
        [
            format!("{name}.{arch}"),
            format!("{name}-{version}"),
            format!("{name}-{version}.{arch}"),
            format!("{name}-{version}-{release}"),
            format!("{name}-{version}-{release}.{arch}"),
            format!("{name}-{epoch}:{version}"),
            format!("{name}-{epoch}:{version}-{release}"),
            format!("{name}-{epoch}:{version}-{release}.{arch}"),
        ]
    }
}

/// Reads a list of packages, and tells of each; nothing of it is kept here.
///
/// # Errors
/// Why it cannot be used.
pub fn visit(input: impl BufRead, visitor: &mut impl Visitor) -> Result<(), String> {
    let mut package = Package::default();
    let mut count = 0;
    xml::read(input, "metadata", |path, step| {
        match (
            path.strip_prefix("metadata/package").unwrap_or("other"),
            step,
        ) {
            ("/name", End(text)) => package.name = text.to_string(),
            ("/arch", End(text)) => package.arch = text.to_string(),
            ("/version", Begin(tag)) => {
                let of = |name| attribute(tag, name).unwrap_or_default();
                package.epoch = of("epoch");
                package.version = of("ver");
                package.release = of("rel");
            }
            ("/checksum", Begin(tag)) => {
                let algorithm = attribute(tag, "type").unwrap_or_default();
                package.checksum = Some(Checksum {
                    algorithm: algorithm.to_ascii_lowercase(),
                    hex: String::new(),
                });
            }
            ("/checksum", End(text)) => {
                if let Some(checksum) = &mut package.checksum {
                    checksum.hex = text.to_ascii_lowercase();
                }
            }
            ("/location", Begin(tag)) => {
                package.href = attribute(tag, "href").unwrap_or_default();
                package.base = attribute(tag, "xml:base");
            }
            ("/size", Begin(tag)) => {
                package.bytes = attribute(tag, "package").and_then(|text| text.parse().ok());
            }
            ("/format/file", End(path)) => visitor.file(path),
            (entry, Begin(tag)) => {
                let kind = entry.strip_prefix("/format/").unwrap_or_default();
                let Some(kind) = kind.strip_suffix("/entry") else {
                    return Ok(());
                };
                // The name stands first in what createrepo_c writes, and seldom holds references.
                let mut all = tag.attributes();
                let name = all.with_checks(false).flatten().find(|a| a.key.0 == "name");
                let Some(name) = name.map(|name| name.value) else {
                    return Ok(());
                };
                let name = match name.contains('&') {
                    true => attribute(tag, "name").unwrap_or_default().into(),
                    false => name,
                };
                match kind {
                    "provides" => visitor.provides(&name),
                    "requires" => visitor.requires(&name),
                    kind => visitor.relation(kind, &name),
                }
            }
            ("", End(_)) => {
                visitor.package(std::mem::take(&mut package))?;
                count += 1;
                if count > MAX_PACKAGES {
                    return Err(format!("it lists more than {MAX_PACKAGES} packages"));
                }
            }
            _ => {}
        }
        Ok(())
    })
}

/// What of a list answers a query.
struct Answering<'a> {
    query: &'a Query,
    packages: Packages,
    is_release: bool,
}

impl Visitor for Answering<'_> {
    fn provides(&mut self, name: &str) {
        self.is_release |= name == "system-release";
        self.query.note(name, &mut self.packages.found);
    }

    fn package(&mut self, package: Package) -> Result<(), String> {
        let is_release = std::mem::take(&mut self.is_release);
        let (query, packages) = (self.query, &mut self.packages);
        packages.count += 1;
        if !package.is_binary() {
            return Ok(());
        }
        query.note(&package.name, &mut packages.found);
        if query.goes_on(&package.name) {
            for form in package.forms() {
                query.note(&form, &mut packages.found);
            }
        }
        if is_release && packages.releases.len() < MAX_KINDS {
            let major = package.version.split('.').next().unwrap_or_default();
            packages.releases.extend(major.parse::<u32>());
        }
        if package.arch != "noarch" && packages.arches.len() < MAX_KINDS {
            packages.arches.insert(package.arch);
        }
        if !packages.names.contains(&package.name) {
            query.keep(&package.name)?;
            packages.names.insert(package.name);
        }
        Ok(())
    }
}

/// Reads a list of packages for what a query asks.
///
/// # Errors
/// Why it cannot be used.
pub fn parse(input: impl BufRead, query: &Query) -> Result<Packages, String> {
    let mut answering = Answering {
        query,
        packages: Packages::default(),
        is_release: false,
    };
    visit(input, &mut answering)?;
    Ok(answering.packages)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="3">
<package type="rpm"><name>bash</name><arch>x86_64</arch><version epoch="0" ver="5.1.8" rel="9.el9"/>
 <summary>name</summary><format><rpm:license>GPL</rpm:license>
 <rpm:provides><rpm:entry name="/bin/sh"/><rpm:entry name="bash(x86-64)" flags="EQ" epoch="0" ver="5"/></rpm:provides>
 <rpm:requires><rpm:entry name="glibc"/></rpm:requires><file>/bin/bash</file></format></package>
<package type="rpm"><name>rocky-release</name><arch>noarch</arch><version epoch="0" ver="9.4" rel="1"/>
 <format><rpm:provides><rpm:entry name="system-release"/></rpm:provides></format></package>
<package type="rpm"><name>bash-src</name><arch>src</arch><version epoch="0" ver="5" rel="1"/></package>
</metadata>"#;

    #[test]
    fn finds_what_dnf_would() {
        let there = [
            "bash",
            "bash.x86_64",
            "bash-5.1.8",
            "bash-5.1.8-9.el9",
            "bash-5.1.8-9.el9.x86_64",
            "bash-0:5.1.8-9.el9.x86_64",
            "ba*",
            "b?sh",
            "[a-c]a**",
            "*.x86_64",
            "bash(x86-64)",
            "system-release",
        ];
        let absent = [
            "Bash",
            "bash.aarch64",
            "bash-5.1.9",
            "glibc",
            "bash-src",
            "z*",
            "[",
            "name",
        ];
        let query = Query::new(there.into_iter().chain(absent));
        let packages = parse(TEXT.as_bytes(), &query).unwrap();
        for spec in there {
            assert!(packages.found.contains(spec), "{spec}");
        }
        for spec in absent {
            assert!(!packages.found.contains(spec), "{spec}");
        }
        assert_eq!(packages.count, 3);
        assert_eq!(
            packages
                .names
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>(),
            ["bash", "rocky-release"]
        );
        assert_eq!(packages.arches.iter().collect::<Vec<_>>(), ["x86_64"]);
        assert_eq!(packages.releases.iter().collect::<Vec<_>>(), [&9]);
    }

    #[test]
    fn tells_of_each_package_what_it_is_and_needs() {
        #[derive(Default)]
        struct All(Vec<String>, Vec<Package>);
        impl Visitor for All {
            fn requires(&mut self, name: &str) {
                self.0.push(name.to_owned());
            }
            fn package(&mut self, package: Package) -> Result<(), String> {
                self.1.push(package);
                Ok(())
            }
        }
        let text = r#"<metadata><package type="rpm"><name>a</name><arch>noarch</arch>
 <version epoch="1" ver="2" rel="3"/><checksum type="SHA256" pkgid="YES">AB</checksum>
 <size package="10" installed="20"/><location href="Packages/a.rpm"/>
 <format><rpm:requires xmlns:rpm="r"><rpm:entry name="b"/></rpm:requires></format></package></metadata>"#;
        let mut all = All::default();
        visit(text.as_bytes(), &mut all).unwrap();
        assert_eq!(all.0, ["b"]);
        let [package] = &all.1[..] else {
            panic!("{:?}", all.1)
        };
        assert_eq!(package.epoch, "1");
        assert_eq!(package.href, "Packages/a.rpm");
        assert_eq!(package.bytes, Some(10));
        let checksum = package.checksum.as_ref().map(ToString::to_string);
        assert_eq!(checksum.as_deref(), Some("sha256:ab"));
    }

    #[test]
    fn what_a_hostile_mirror_sends_takes_little_memory() {
        let refused = |text: &str| {
            let stream = std::io::BufReader::new(text.as_bytes());
            parse(stream, &Query::default()).unwrap_err()
        };
        let long = "x".repeat(300 << 10);
        for text in [
            format!("<metadata><package><name>{long}</name></package></metadata>"),
            format!("<metadata><package a='{long}'/></metadata>"),
            format!("<{long}/>"),
            format!("<!--{long}-->"),
        ] {
            assert!(refused(&text).contains("longer than"), "{}", &text[..30]);
        }
        assert!(refused(&"<metadata>".repeat(100)).contains("deep"));
        let names = (0..120_000).map(|n| format!("<package><name>{n:0500}</name></package>"));
        let text = format!("<metadata>{}</metadata>", names.collect::<String>());
        assert!(refused(&text).contains("more names"));
        // A tag of 20,000 attributes is read in no time.
        let many: String = (0..20_000).map(|n| format!(" a{n}=''")).collect();
        let text = format!("<metadata><package><version{many}/></package></metadata>");
        assert_eq!(parse(text.as_bytes(), &Query::default()).unwrap().count, 1);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "<html></html>", &TEXT[..400], "<metadata><package>"] {
            assert!(parse(text.as_bytes(), &Query::default()).is_err(), "{text}");
        }
        let empty = parse(&b"<metadata packages='0'/>"[..], &Query::default()).unwrap();
        assert_eq!(empty.count, 0);
    }
}
