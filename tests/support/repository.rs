//! Package repositories: metadata as createrepo_c writes it, without the packages.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use sha2::{Digest, Sha256, Sha512};

use super::mirror::Mirror;

/// How metadata is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    Plain,
    Gzip,
    Xz,
    Zstd,
}

impl Packing {
    fn suffix(self) -> &'static str {
        match self {
            Packing::Plain => "",
            Packing::Gzip => ".gz",
            Packing::Xz => ".xz",
            Packing::Zstd => ".zst",
        }
    }

    /// Packs a text.
    pub fn pack(self, text: &[u8]) -> Vec<u8> {
        match self {
            Packing::Plain => text.to_vec(),
            Packing::Gzip => {
                let mut writer =
                    flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                writer.write_all(text).unwrap();
                writer.finish().unwrap()
            }
            Packing::Xz => {
                let mut writer = liblzma::write::XzEncoder::new(Vec::new(), 1);
                writer.write_all(text).unwrap();
                writer.finish().unwrap()
            }
            Packing::Zstd => zstd::encode_all(text, 3).unwrap(),
        }
    }
}

/// A repository in the making.
#[derive(Debug, Clone)]
pub struct Repository {
    packages: String,
    count: usize,
    bodies: Vec<(String, Vec<u8>)>,
    revision: u64,
    comps: String,
    packing: Packing,
    algorithm: &'static str,
    modules: bool,
}

impl Repository {
    /// An empty one, gzip and SHA-256.
    pub fn new() -> Repository {
        Repository {
            packages: String::new(),
            count: 0,
            bodies: Vec::new(),
            revision: 1,
            comps: String::new(),
            packing: Packing::Gzip,
            algorithm: "sha256",
            modules: false,
        }
    }

    /// One with these packages for x86_64.
    pub fn of(names: &[&str]) -> Repository {
        let mut repository = Repository::new();
        for name in names {
            repository = repository.package(name, "x86_64", "1.0", &[]);
        }
        repository
    }

    /// Adds a package.
    pub fn package(self, name: &str, arch: &str, version: &str, provides: &[&str]) -> Self {
        let digest = format!("{:064x}", self.count + 1);
        self.listed(name, arch, version, provides, &digest, 1000)
    }

    /// Adds a package with its file.
    pub fn with(mut self, name: &str, version: &str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        let digest = digest("sha256", &body);
        let path = format!("Packages/{name}-{version}-1.el9.x86_64.rpm");
        let size = body.len();
        self.bodies.push((path, body));
        self.listed(name, "x86_64", version, &[], &digest, size)
    }

    /// Says which state it is.
    pub fn revision(mut self, revision: u64) -> Self {
        self.revision = revision;
        self
    }

    fn listed(
        mut self,
        name: &str,
        arch: &str,
        version: &str,
        provides: &[&str],
        digest: &str,
        size: usize,
    ) -> Self {
        self.count += 1;
        let mut entries = format!("<rpm:entry name=\"{name}\"/>");
        for provide in provides {
            write!(entries, "<rpm:entry name=\"{provide}\"/>").unwrap();
        }
        writeln!(
            self.packages,
            "<package type=\"rpm\">\n  <name>{name}</name>\n  <arch>{arch}</arch>\n  \
             <version epoch=\"0\" ver=\"{version}\" rel=\"1.el9\"/>\n  \
             <checksum type=\"sha256\" pkgid=\"YES\">{digest}</checksum>\n  \
             <summary>The package {name}</summary>\n  \
             <description>A description of &lt;{name}&gt; of some length, as packages have it, to \
             be read over.</description>\n  <packager/>\n  <url>http://example.org/{name}</url>\n  \
             <time file=\"1714000000\" build=\"1714000000\"/>\n  \
             <size package=\"{size}\" installed=\"2000\" archive=\"3000\"/>\n  \
             <location href=\"Packages/{name}-{version}-1.el9.{arch}.rpm\"/>\n  <format>\n    \
             <rpm:license>GPL-2.0-or-later</rpm:license>\n    <rpm:group>Unspecified</rpm:group>\n    \
             <rpm:provides>{entries}</rpm:provides>\n    \
             <rpm:requires><rpm:entry name=\"libc.so.6()(64bit)\"/>\
             <rpm:entry name=\"only-required\"/></rpm:requires>\n    \
             <file>/usr/bin/{name}</file>\n  </format>\n</package>"
        )
        .unwrap();
        self
    }

    /// Adds a group.
    pub fn group(mut self, id: &str, name: &str) -> Self {
        write!(
            self.comps,
            "<group><id>{id}</id><name>{name}</name><packagelist/></group>"
        )
        .unwrap();
        self
    }

    /// Adds an environment.
    pub fn environment(mut self, id: &str, name: &str) -> Self {
        write!(
            self.comps,
            "<environment><id>{id}</id><name>{name}</name><grouplist/></environment>"
        )
        .unwrap();
        self
    }

    /// Packs its metadata another way, with another algorithm of checksums.
    pub fn packed(mut self, packing: Packing, algorithm: &'static str) -> Self {
        self.packing = packing;
        self.algorithm = algorithm;
        self
    }

    /// Says that it has modules.
    pub fn with_modules(mut self) -> Self {
        self.modules = true;
        self
    }

    /// The files, by their paths in the repository.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let primary = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<metadata \
             xmlns=\"http://linux.duke.edu/metadata/common\" \
             xmlns:rpm=\"http://linux.duke.edu/metadata/rpm\" packages=\"{}\">\n{}</metadata>\n",
            self.count, self.packages
        );
        let mut files = self.bodies.clone();
        let mut list = String::new();
        self.add("primary", primary.as_bytes(), &mut files, &mut list);
        if !self.comps.is_empty() {
            let comps = format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE comps PUBLIC \
                 \"-//Red Hat, Inc.//DTD Comps info//EN\" \"comps.dtd\">\n<comps>{}</comps>\n",
                self.comps
            );
            self.add("group", comps.as_bytes(), &mut files, &mut list);
        }
        if self.modules {
            self.add("modules", b"---\n", &mut files, &mut list);
        }
        let repomd = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<repomd \
             xmlns=\"http://linux.duke.edu/metadata/repo\" \
             xmlns:rpm=\"http://linux.duke.edu/metadata/rpm\">\n  <revision>{}</revision>\n{list}</repomd>\n",
            self.revision
        );
        files.push(("repodata/repomd.xml".to_string(), repomd.into_bytes()));
        files
    }

    fn add(&self, kind: &str, text: &[u8], files: &mut Vec<(String, Vec<u8>)>, list: &mut String) {
        let packed = self.packing.pack(text);
        let digest = digest(self.algorithm, &packed);
        let path = format!("repodata/{digest}-{kind}.xml{}", self.packing.suffix());
        writeln!(
            list,
            "  <data type=\"{kind}\">\n    <checksum type=\"{0}\">{digest}</checksum>\n    \
             <open-checksum type=\"{0}\">{1}</open-checksum>\n    <location href=\"{path}\"/>\n    \
             <size>{2}</size>\n    <open-size>{3}</open-size>\n  </data>",
            self.algorithm,
            self::digest(self.algorithm, text),
            packed.len(),
            text.len()
        )
        .unwrap();
        files.push((path, packed));
    }

    /// Serves it; gives the path of its list of packages.
    pub fn serve(&self, mirror: &Mirror, prefix: &str) -> String {
        let mut primary = String::new();
        for (path, body) in self.files() {
            let path = format!("{prefix}{path}");
            if path.contains("-primary.") {
                primary.clone_from(&path);
            }
            mirror.put(&path, body);
        }
        primary
    }

    /// Writes it into a directory.
    pub fn write(&self, directory: &Path) {
        std::fs::create_dir_all(directory.join("repodata")).unwrap();
        for (path, body) in self.files() {
            std::fs::write(directory.join(path), body).unwrap();
        }
    }
}

fn digest(algorithm: &str, bytes: &[u8]) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    match algorithm {
        "sha256" => hex(&Sha256::digest(bytes)),
        "sha512" => hex(&Sha512::digest(bytes)),
        "sha" | "sha1" => hex(&openssl::sha::sha1(bytes)),
        other => panic!("no algorithm {other}"),
    }
}
