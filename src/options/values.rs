//! Values that options take, as on the command line so in the configuration file.

use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::ValueEnum;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Deserializer, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};
use url::Url;

use crate::distro::Release;
use crate::input;
use crate::language::Version;
use crate::tdl;

/// `--report`: `FORMAT=FILE`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportTarget {
    /// How it is written.
    pub format: ReportFormat,
    /// Where to.
    pub file: PathBuf,
}

/// The format of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString)]
#[strum(serialize_all = "lowercase")]
pub enum ReportFormat {
    /// JUnit XML.
    Junit,
    /// Markdown.
    Markdown,
}

impl FromStr for ReportTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (format, file) = text.split_once('=').unwrap_or((text, ""));
        let format = format
            .parse()
            .map_err(|_| "write junit=FILE or markdown=FILE".to_string())?;
        if file.is_empty() {
            return Err(format!("name a file: {text}=FILE"));
        }
        Ok(ReportTarget {
            format,
            file: PathBuf::from(file),
        })
    }
}

/// `--repository-key`: `ADDRESS=FILE`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryKey {
    /// How the addresses of the repositories begin.
    pub address: Url,
    /// The public keys.
    pub file: PathBuf,
}

impl FromStr for RepositoryKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = "write ADDRESS=FILE, such as https://mirror.example.org/9/=/etc/pki/KEY.asc";
        // An address may have a `=` in its query.
        let (address, file) = text.rsplit_once('=').ok_or(wanted)?;
        let address = Url::parse(address).map_err(|_| wanted)?;
        if !matches!(address.scheme(), "http" | "https") || file.is_empty() {
            return Err(wanted.to_owned());
        }
        Ok(RepositoryKey {
            address,
            file: PathBuf::from(file),
        })
    }
}

impl RepositoryKey {
    /// Whether a repository at `url` must be signed. However a path is escaped, it is the same to a server.
    pub fn covers(&self, url: &Url) -> bool {
        let plain = |url: &Url| {
            let path = percent_decode_str(url.path()).decode_utf8_lossy();
            let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
            parts.map(str::to_owned).collect::<Vec<_>>()
        };
        let is_there = self.address.origin() == url.origin();
        let is_it = self
            .address
            .query()
            .is_none_or(|query| url.query() == Some(query));
        is_there && is_it && plain(url).starts_with(&plain(&self.address))
    }
}

/// `--deliver`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deliver {
    /// From ozr's own HTTP server
    #[default]
    Http,
    /// In the initrd, as Oz does it; contents of files go into the kickstart then
    Initrd,
}

/// `--until` of `ozr try`: how far the installer is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, ValueEnum, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Until {
    /// The kickstart is read, and its %pre scripts have run
    Parsed,
    /// Storage, source and packages are checked: all that the installer checks before it touches the disk
    #[default]
    Ready,
    /// The disk is partitioned, and its file systems are mounted
    Partitioned,
    /// The packages are installed
    Packages,
    /// The installation is complete, and the guest has shut down
    End,
}

/// `--package-cache`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PackageCache {
    /// With user networking, and where the kickstart comes by HTTP: our server is reached then
    Auto,
    /// Always
    On,
    /// Never
    #[default]
    Off,
}

/// `--relay`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relay {
    /// Only what the guest could not reach by itself
    #[default]
    Auto,
    /// Everything
    Always,
    /// Nothing
    Never,
}

/// `--format`: what the disk is made into.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Default,
    ValueEnum,
    Deserialize,
    EnumString,
    IntoStaticStr,
    Serialize,
    VariantArray,
)]
#[serde(rename_all = "kebab-case", try_from = "String")]
#[strum(serialize_all = "kebab-case")]
pub enum Format {
    /// QEMU's copy-on-write format, version 3
    #[default]
    Qcow2,
    /// A plain, sparse disk image, with its block map
    Raw,
    /// The same, packed by zstd
    #[value(name = "raw.zst")]
    #[serde(rename = "raw.zst")]
    #[strum(serialize = "raw.zst")]
    RawZst,
    /// The same, packed by xz
    #[value(name = "raw.xz")]
    #[serde(rename = "raw.xz")]
    #[strum(serialize = "raw.xz")]
    RawXz,
    /// Azure: a VHD of fixed size, whole MiB
    Azure,
    /// Google Cloud: disk.raw in a tar.gz, whole GiB
    Gcp,
    /// AWS: a plain image, and the commands that import it
    Aws,
    /// VMware's streamOptimized disk
    Vmdk,
    /// vSphere: an OVF appliance in one file
    Ova,
    /// oVirt and OLVM: their kind of OVA
    Ovirt,
    /// A Vagrant box for libvirt
    VagrantLibvirt,
    /// A Vagrant box for VirtualBox
    VagrantVirtualbox,
    /// A Vagrant box for VMware's desktop products
    VagrantVmware,
    /// A Vagrant box for Hyper-V
    VagrantHyperv,
    /// KubeVirt: a container image that holds the disk, as an OCI archive
    Containerdisk,
    /// All files of the system as a tar.gz, with attributes, ACLs and labels
    Rootfs,
    /// The same for the installer's `liveimg`, and the kickstart that installs it
    Liveimg,
    /// A distribution for WSL 2.4.4 and later
    Wsl,
    /// A container image of the system's files, as an OCI archive
    Oci,
}

impl Format {
    /// Its name on the command line and in manifests.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// What the names of its files end in, behind the image's name and a dot; the first is the
    /// image's. No two formats have the same but where the files are the same.
    pub fn endings(self) -> &'static [&'static str] {
        match self {
            Format::Qcow2 => &["qcow2"],
            Format::Raw => &["raw", "raw.bmap"],
            Format::RawZst => &["raw.zst", "raw.bmap"],
            Format::RawXz => &["raw.xz", "raw.bmap"],
            Format::Azure => &["vhd"],
            Format::Gcp => &["tar.gz"],
            Format::Aws => &["raw", "aws.sh"],
            Format::Vmdk => &["vmdk"],
            Format::Ova => &["ova"],
            Format::Ovirt => &["ovirt.ova"],
            Format::VagrantLibvirt => &["libvirt.box"],
            Format::VagrantVirtualbox => &["virtualbox.box"],
            Format::VagrantVmware => &["vmware.box"],
            Format::VagrantHyperv => &["hyperv.box"],
            Format::Containerdisk => &["containerdisk.tar"],
            Format::Rootfs => &["rootfs.tar.gz"],
            Format::Liveimg => &["liveimg.tar.gz", "liveimg.ks"],
            Format::Wsl => &["wsl"],
            Format::Oci => &["oci.tar"],
        }
    }

    /// The same of a further disk of a machine: none where one file holds all disks, and what is said of
    /// all of them lies beside the first.
    pub fn endings_of_more(self) -> &'static [&'static str] {
        match self {
            Format::Ova | Format::Ovirt => &[],
            Format::Aws => &["raw"],
            other if other.is_of_files() => &[],
            other => other.endings(),
        }
    }

    /// Whether its file holds the only disk of a machine.
    pub fn holds_one_disk(self) -> bool {
        matches!(
            self,
            Format::VagrantLibvirt
                | Format::VagrantVirtualbox
                | Format::VagrantVmware
                | Format::VagrantHyperv
        )
    }

    /// Whether it is made of the files of the system, and not of its disks.
    pub fn is_of_files(self) -> bool {
        matches!(
            self,
            Format::Rootfs | Format::Liveimg | Format::Wsl | Format::Oci
        )
    }

    /// What the name of its image ends in.
    pub fn ending(self) -> &'static str {
        self.endings()[0]
    }
}

impl TryFrom<String> for Format {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|_| {
            let known: Vec<&str> = Format::VARIANTS
                .iter()
                .map(|format| format.name())
                .collect();
            match input::nearest(&text, &known) {
                Some(near) => format!("there is no format `{text}`; did you mean `{near}`?"),
                None => format!("there is no format `{text}`: write {}", known.join(", ")),
            }
        })
    }
}

/// `--compress`
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Deserialize, IntoStaticStr, Serialize,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Compress {
    /// As the guest wrote it: no copy is made
    #[default]
    None,
    /// Fast, small, needs QEMU 5.1 or later to read
    Zstd,
    /// Read by every QEMU
    Zlib,
}

impl Compress {
    /// QEMU's name.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// `--sbom`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SbomFormat {
    /// SPDX 2.3: NAME.spdx.json
    Spdx,
    /// CycloneDX 1.6: NAME.cdx.json
    Cyclonedx,
}

impl SbomFormat {
    /// The file name's ending.
    pub fn ending(self) -> &'static str {
        match self {
            SbomFormat::Spdx => "spdx.json",
            SbomFormat::Cyclonedx => "cdx.json",
        }
    }
}

impl FromStr for SbomFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        ValueEnum::from_str(text, false)
            .map_err(|_| format!("`{text}` is neither `spdx` nor `cyclonedx`"))
    }
}

/// `--progress`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Live on a terminal that can, else plain.
    Auto,
    /// One line that is drawn over and over, on any terminal; plain where there is none.
    Live,
    /// A line for each step.
    Plain,
    /// Neither steps nor progress; notes, warnings and errors only.
    None,
    /// One JSON object on a line for each event.
    Json(EventsTo),
}

/// Where JSON events go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventsTo {
    /// To standard error, where nothing else goes then.
    Stderr,
    /// To the end of a file.
    File(PathBuf),
    /// To a descriptor that ozr was started with.
    Descriptor(u32),
}

impl FromStr for Progress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text.split_once('=') {
            None => match text {
                "auto" => Progress::Auto,
                "live" => Progress::Live,
                "plain" => Progress::Plain,
                "none" => Progress::None,
                "json" => Progress::Json(EventsTo::Stderr),
                _ => {
                    return Err(
                        "write auto, live, plain, json, none, json=FILE or json=fd:N".to_owned(),
                    );
                }
            },
            Some(("json", place)) => Progress::Json(match place.strip_prefix("fd:") {
                Some(number) => EventsTo::Descriptor(number.parse().map_err(|_| {
                    format!("`{number}` is no number of a descriptor: write json=fd:3")
                })?),
                None if place.is_empty() => {
                    return Err("name a file after `json=`, as in json=events.json".to_owned());
                }
                None => EventsTo::File(place.into()),
            }),
            Some((way, _)) => return Err(format!("only json takes a place, `{way}` does not")),
        })
    }
}

/// One value, or a list of them, in the configuration file.
pub(super) fn one_or_several<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Texts {
        One(String),
        Several(Vec<String>),
    }
    let texts = match Texts::deserialize(deserializer) {
        Ok(Texts::One(text)) => vec![text],
        Ok(Texts::Several(texts)) => texts,
        Err(_) => {
            return Err(serde::de::Error::custom(
                "expected a string or an array of strings",
            ));
        }
    };
    let values = texts.iter().map(|text| text.parse());
    values
        .collect::<Result<_, _>>()
        .map_err(serde::de::Error::custom)
}

/// A span of time: `90m`, `1h 30m`, or a bare number of seconds as Oz's `-t` takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "NumberOrText")]
pub struct Seconds(pub Duration);

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(u64),
    Text(String),
}

impl TryFrom<NumberOrText> for Seconds {
    type Error = String;

    fn try_from(value: NumberOrText) -> Result<Self, String> {
        match value {
            NumberOrText::Number(seconds) => seconds.to_string().parse(),
            NumberOrText::Text(text) => text.parse(),
        }
    }
}

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let duration = match text.trim().parse::<u64>() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => humantime::parse_duration(text).map_err(|_| {
                "write a duration such as `90m`, `1h 30m` or `5400` (seconds)".to_string()
            })?,
        };
        if duration.is_zero() {
            return Err("a duration of zero leaves no time for anything".to_string());
        }
        // A year: anything longer is a slip, and sums with it could overflow.
        if duration > Duration::from_secs(366 * 86400) {
            return Err("a duration of more than a year is surely a slip".to_string());
        }
        Ok(Seconds(duration))
    }
}

/// The release whose installer reads a kickstart: `--release`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ReleaseName {
    /// The version of the kickstart language.
    pub version: Version,
    /// The release itself, unless only the version was named (`F43`, `RHEL11`).
    pub release: Option<Release>,
}

impl FromStr for ReleaseName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let release = match Release::from_label(text) {
            Ok(release) => release,
            Err(error) => {
                let version = Version::from_name(text).ok_or_else(|| error.to_string())?;
                return Ok(ReleaseName {
                    version,
                    release: None,
                });
            }
        };
        let version = Version::of(release)
            .ok_or_else(|| format!("the kickstart language of {release} is not known"))?;
        Ok(ReleaseName {
            version,
            release: Some(release),
        })
    }
}

impl TryFrom<String> for ReleaseName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// A size of memory in MiB: a number of them, or with a unit as disks have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "NumberOrText")]
pub struct Mebibytes(pub u64);

/// What guests can have: the smallest that starts anything, and what libvirt's numbers can say (16 TiB).
const MEMORY: RangeInclusive<u64> = 64..=16_777_216;

impl FromStr for Mebibytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        let unit = if is_number { "MiB" } else { "" };
        let bytes = tdl::parse_size(&format!("{text}{unit}")).map_err(|_| {
            format!("`{text}` is no size: write 4G, 4096M, 4GiB, or a number of MiB")
        })?;
        let mebibytes = bytes.unwrap_or(0).div_ceil(1 << 20);
        if !MEMORY.contains(&mebibytes) {
            return Err(format!(
                "`{text}` is {mebibytes} MiB: between {} MiB and 16 TiB are possible",
                MEMORY.start()
            ));
        }
        Ok(Mebibytes(mebibytes))
    }
}

impl Display for Mebibytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<NumberOrText> for Mebibytes {
    type Error = String;

    fn try_from(value: NumberOrText) -> Result<Self, String> {
        match value {
            NumberOrText::Number(number) => number.to_string().parse(),
            NumberOrText::Text(text) => text.parse(),
        }
    }
}

/// TCP ports, of which the first that is free is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Ports {
    /// The first.
    pub first: u16,
    /// The last, no smaller.
    pub last: u16,
}

impl Ports {
    /// Whichever the kernel gives.
    pub const ANY: Ports = Ports { first: 0, last: 0 };
}

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let port = |text: &str| text.trim().parse().ok().filter(|port| *port > 0);
        match (port(first), port(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Ports { first, last }),
            _ => Err("write a port such as 8000, or a range such as 8000-8010".to_owned()),
        }
    }
}

impl TryFrom<String> for Ports {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!("1200".parse(), Ok(Seconds(Duration::from_secs(1200))));
        assert_eq!("1h 30m".parse(), Ok(Seconds(Duration::from_secs(5400))));
        for wrong in ["", "0", "-1", "soon", "1e9", "99999999999999999999"] {
            assert!(wrong.parse::<Seconds>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn keys_are_of_what_lies_below_an_address() {
        let key: RepositoryKey = "https://M.example/9/?a=b=/etc/KEY.asc".parse().unwrap();
        assert_eq!(key.file, PathBuf::from("/etc/KEY.asc"));
        assert_eq!(key.address.as_str(), "https://m.example/9/?a=b");
        let key: RepositoryKey = "https://m.example/9=k".parse().unwrap();
        for (url, covers) in [
            ("https://m.example/9", true),
            ("https://m.example/9/os/?x", true),
            ("https://m.example:443//%39/os/", true),
            ("https://m.example/95/os/", false),
            ("https://m.example/", false),
            ("http://m.example/9/", false),
            ("https://m.example.org/9/", false),
        ] {
            assert_eq!(key.covers(&Url::parse(url).unwrap()), covers, "{url}");
        }
        for wrong in ["", "k", "https://m/", "https://m/=", "file:///m=k", "m/9=k"] {
            assert!(wrong.parse::<RepositoryKey>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn ways_to_show_progress() {
        let json = |to| Ok(Progress::Json(to));
        assert_eq!("auto".parse(), Ok(Progress::Auto));
        assert_eq!("none".parse(), Ok(Progress::None));
        assert_eq!("json".parse(), json(EventsTo::Stderr));
        assert_eq!("json=a=b".parse(), json(EventsTo::File("a=b".into())));
        assert_eq!("json=fd:3".parse(), json(EventsTo::Descriptor(3)));
        for wrong in ["", "Auto", "json=", "json=fd:", "json=fd:-1", "plain=x"] {
            assert!(wrong.parse::<Progress>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn releases_are_named_as_people_name_them() {
        let version = |text: &str| text.parse::<ReleaseName>().map(|name| name.version);
        for (text, expected) in [
            ("RHEL9", Version::Rhel(9)),
            ("rhel-9.4", Version::Rhel(9)),
            ("9.4", Version::Rhel(9)),
            ("el8", Version::Rhel(8)),
            ("RHEL11", Version::Rhel(11)),
            ("Rocky-9", Version::Rhel(9)),
            ("Rocky Linux 9.4", Version::Rhel(9)),
            ("almalinux10", Version::Rhel(10)),
            ("CentOS-Stream-10", Version::Rhel(10)),
            ("centos 7", Version::Rhel(7)),
            ("Fedora-43", Version::Fedora(43)),
            ("f43", Version::Fedora(43)),
            ("43", Version::Fedora(43)),
        ] {
            assert_eq!(version(text), Ok(expected), "{text}");
        }
        for (text, says) in [
            ("Rocki-9", "did you mean `Rocky-9`"),
            ("RHEL12", "12"),
            ("RHEL-7.99", "0 to 9"),
            ("Debian-12", "does not install"),
            ("", "such as Rocky-9"),
            ("latest", "such as Rocky-9"),
        ] {
            let error = version(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
