//! `NAME.manifest.json`: what an image was made of, and how. The schema is documented in
//! `docs/manifest.md`; a test compares the two.

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::fingerprint::Fingerprint;
use crate::input;
use crate::inspect::Storage;
use crate::mirror::Traffic;
use crate::options::{Compress, Format};
use crate::packages::Package;

/// The version of the schema. Raised when a field changes its meaning or goes away.
pub const SCHEMA: u32 = 1;

/// The names that what lies beside an image may be called by: the file's own, then without each of its endings,
/// which may be several.
pub fn stems(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |stem| {
        let (shorter, _) = stem.rsplit_once('.')?;
        (!shorter.is_empty()).then_some(shorter)
    })
}

/// A manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The version of ozr.
    pub ozr_version: String,
    /// What names this build in its log and in the guest's metadata.
    pub build_id: String,
    /// The image's name.
    pub name: String,
    /// When the build began (RFC 3339, UTC).
    pub started: String,
    /// When it was done (RFC 3339, UTC).
    pub finished: String,
    /// The template.
    pub template: Source,
    /// The kickstart as its author wrote it, before the template's additions.
    pub kickstart: Source,
    /// The release that was installed.
    pub release: Release,
    /// The install tree.
    pub tree: Tree,
    /// The image, the first one.
    pub image: Image,
    /// What was taken out of it.
    pub seal: Seal,
    /// The guest's disks, that with the system first.
    #[serde(default)]
    pub disks: Vec<Disk>,
    /// The disk: its partitions and volumes; none if that could not be told.
    pub storage: Option<Storage>,
    /// All images, the first among them.
    pub images: Vec<File>,
    /// The machine that ran the install.
    pub host: Host,
    /// The phases of the install, in order.
    pub phases: Vec<Phase>,
    /// The repositories that the installer took packages from, as they were when it began.
    pub repositories: Vec<Repository>,
    /// What it was made of, to be compared with what another build would be: `docs/rebuild.md`.
    #[serde(default)]
    pub fingerprint: Option<Fingerprint>,
    /// What was asked of mirrors; absent where the guest asked them itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,
    /// What the check before the build found in the template and the kickstart.
    pub findings: Vec<Finding>,
    /// What was worth a remark, though the build succeeded.
    pub notes: Vec<String>,
    /// The packages that are installed in the image, sorted; none if it has no RPM database that could be read.
    pub packages: Option<Vec<Package>>,
}

/// A file that the build was given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// Its name, without directories; absent if it is built in.
    pub file: Option<String>,
    /// The SHA-256 of its content, in hexadecimal.
    pub sha256: String,
}

/// A release.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// The distribution, as the template names it.
    pub name: String,
    /// Its version, as the template names it.
    pub version: String,
    /// The architecture.
    pub arch: String,
    /// The installer's version, if it told it.
    pub installer: Option<String>,
}

/// An install tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tree {
    /// Its address, without credentials.
    pub url: String,
    /// The kernel that was booted.
    pub kernel: TreeFile,
    /// The initrd that was booted.
    pub initrd: TreeFile,
    /// The ISO images that the guest had, the installer's first; then `url` is the first one's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub isos: Vec<IsoFile>,
}

/// An ISO image that was installed from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IsoFile {
    /// Its address, without credentials.
    pub url: String,
    /// Its volume's label.
    pub label: String,
    /// The SHA-256 of its content, in hexadecimal.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
    /// Whether its implanted checksum is right; nothing where there is none.
    pub media_check: Option<bool>,
    /// The list that had its checksum, if one had.
    pub listed_in: Option<String>,
}

/// A file of an install tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TreeFile {
    /// Its place in the tree.
    pub path: String,
    /// The SHA-256 of its content, in hexadecimal.
    pub sha256: String,
    /// Whether the tree had a checksum that it was compared with.
    pub verified: bool,
}

/// A finished image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// The file's name, without directories.
    pub file: String,
    /// The format.
    pub format: Format,
    /// The compression.
    pub compression: Compress,
    /// The file's length in bytes.
    pub size: u64,
    /// The size of the disk that a guest sees, in bytes.
    pub virtual_size: u64,
    /// The SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

/// What was taken out of an image so that its clones are machines of their own: `docs/sealing.md`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Seal {
    /// The items that are out.
    pub items: Vec<String>,
    /// Those that were left in, as the user or the kickstart wants it.
    pub left: Vec<String>,
    /// Why it could not be looked at whether they are out, and where; absent if it was looked at everywhere.
    pub unproved: Option<String>,
}

/// A disk of the guest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Disk {
    /// What the guest's kernel calls it: `vda`.
    pub device: String,
    /// The size that the guest sees, in bytes.
    pub size: u64,
}

/// Manifests of earlier versions were of one disk.
fn first() -> u32 {
    1
}

/// A file that was made of the disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct File {
    /// Its name, without directories.
    pub file: String,
    /// Which of the guest's disks it is made of, from 1; what holds all of them is of the first.
    #[serde(default = "first")]
    pub disk: u32,
    /// The first format that it belongs to.
    pub format: Format,
    /// Its length in bytes.
    pub size: u64,
    /// What it takes on its file system, in bytes.
    pub allocated: u64,
    /// The SHA-256 of its content, in hexadecimal.
    pub sha256: String,
    /// How long it took until it was whole, from the beginning of the conversion, in seconds.
    pub seconds: f64,
}

/// A repository of packages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Repository {
    /// What the installer calls it; packages name it so.
    pub name: Option<String>,
    /// Its address, without credentials.
    pub url: String,
    /// The `revision` of its `repomd.xml`; none if it has none, or could not be asked.
    pub revision: Option<String>,
    /// The SHA-256 of its `repomd.xml`, in hexadecimal.
    pub repomd_sha256: Option<String>,
}

/// A finding of the check before the build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// `error`, `warning` or `note`.
    pub severity: String,
    /// The rule that found it.
    pub id: Option<String>,
    /// The file, without directories.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What it is, in a sentence.
    pub message: String,
}

/// The machine that ran the install.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// The hypervisor and its version.
    pub hypervisor: String,
    /// `kvm` or `tcg`.
    pub accelerator: String,
    /// The guest's virtual processors.
    pub vcpus: u32,
    /// The guest's memory in MiB.
    pub memory_mib: u64,
    /// `bios` or `uefi`.
    pub firmware: String,
    /// Whether the image is for machines with Secure Boot.
    #[serde(default)]
    pub secure_boot: bool,
    /// Whether the guest had a TPM.
    #[serde(default)]
    pub tpm: bool,
}

/// A phase of the install.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// The phase.
    pub name: String,
    /// How long it lasted, in seconds.
    pub seconds: f64,
}

impl Phase {
    /// A phase that lasted so long.
    pub fn new(name: &str, lasted: Duration) -> Self {
        Phase {
            name: name.to_owned(),
            seconds: rounded(lasted),
        }
    }
}

/// Seconds to the millisecond; more is noise.
pub fn rounded(time: Duration) -> f64 {
    time.as_millis() as f64 / 1000.0
}

/// A time as manifests have it.
pub fn timestamp(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

/// Most bytes of a manifest, and of the other papers that list what is in an image: those of the largest systems have
/// about 10 MiB.
pub const MOST_BYTES: u64 = 64 << 20;

/// Reads a manifest.
///
/// # Errors
/// It cannot be read, or is none.
pub fn read(path: &Path) -> anyhow::Result<Manifest> {
    let text = input::read_bounded(path, MOST_BYTES)?;
    serde_json::from_slice(&text).context("it is no manifest")
}

impl Manifest {
    /// The manifest as a file has it.
    ///
    /// # Errors
    ///
    /// Never in practice: every field can be written as JSON.
    pub fn to_json(&self) -> anyhow::Result<String> {
        let mut json = serde_json::to_string_pretty(self)?;
        json.push('\n');
        Ok(json)
    }
}

/// A manifest in which nothing is absent, for tests.
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub fn sample() -> Manifest {
    let digest = "0".repeat(64);
    let source = Source {
        file: Some("x.tdl".to_owned()),
        sha256: digest.clone(),
    };
    let file = TreeFile {
        path: "images/pxeboot/vmlinuz".to_owned(),
        sha256: digest.clone(),
        verified: true,
    };
    Manifest {
        schema: SCHEMA,
        ozr_version: "0.1.0".to_owned(),
        build_id: "b".to_owned(),
        name: "x".to_owned(),
        started: timestamp(SystemTime::UNIX_EPOCH),
        finished: timestamp(SystemTime::UNIX_EPOCH),
        template: source.clone(),
        kickstart: source,
        release: Release {
            name: "Rocky-9".to_owned(),
            version: "4".to_owned(),
            arch: "x86_64".to_owned(),
            installer: Some("34.25".to_owned()),
        },
        tree: Tree {
            url: "https://example.org/os/".to_owned(),
            kernel: file.clone(),
            initrd: file,
            isos: vec![IsoFile {
                url: "file:///srv/dvd.iso".to_owned(),
                label: "DVD".to_owned(),
                sha256: "00".to_owned(),
                size: 1,
                media_check: Some(true),
                listed_in: Some("file:///srv/CHECKSUM".to_owned()),
            }],
        },
        image: Image {
            file: "x.qcow2".to_owned(),
            format: Format::Qcow2,
            compression: Compress::Zstd,
            size: 1,
            virtual_size: 2,
            sha256: digest.clone(),
        },
        seal: Seal {
            items: vec!["machine-id".to_owned()],
            left: vec!["hostname".to_owned()],
            unproved: Some("it is encrypted".to_owned()),
        },
        disks: vec![Disk {
            device: "vda".to_owned(),
            size: 2,
        }],
        images: vec![File {
            file: "x.qcow2".to_owned(),
            disk: 1,
            format: Format::Qcow2,
            size: 1,
            allocated: 4096,
            sha256: digest,
            seconds: 0.5,
        }],
        host: Host {
            name: "h".to_owned(),
            hypervisor: "QEMU 9".to_owned(),
            accelerator: "kvm".to_owned(),
            vcpus: 2,
            memory_mib: 4096,
            firmware: "uefi".to_owned(),
            secure_boot: true,
            tpm: false,
        },
        phases: vec![Phase::new("packages", Duration::from_micros(1_234_567))],
        storage: Some(crate::inspect::sample().storage),
        repositories: vec![Repository {
            name: Some("anaconda".to_owned()),
            url: "https://example.org/os/".to_owned(),
            revision: Some("1714000000".to_owned()),
            repomd_sha256: Some("0".repeat(64)),
        }],
        fingerprint: Some(crate::image::fingerprint::sample()),
        traffic: Some(Traffic::default()),
        findings: vec![Finding {
            severity: "warning".to_owned(),
            id: Some("KS101".to_owned()),
            file: "x.ks".to_owned(),
            line: 1,
            column: 1,
            message: "m".to_owned(),
        }],
        notes: vec!["n".to_owned()],
        packages: Some(vec![crate::packages::sample("bash", Some(1))]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_names_every_field_and_no_other() {
        crate::documented::compare(&sample(), include_str!("../../docs/manifest.md"));
    }

    #[test]
    fn a_manifest_survives_being_written() {
        let json = sample().to_json().unwrap();
        let read: Manifest = serde_json::from_str(&json).unwrap();
        assert_eq!(read, sample());
        assert!(
            json.contains("\"started\": \"1970-01-01T00:00:00Z\""),
            "{json}"
        );
        assert!(json.contains("\"seconds\": 1.234"), "{json}");
        assert!(json.contains("\"format\": \"qcow2\""), "{json}");
    }
}
