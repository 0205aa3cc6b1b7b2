//! The options of `ozr install`, which are also the keys of the configuration file.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;

use super::signer::Signer;
use super::values::{
    Compress, Deliver, Format, Mebibytes, PackageCache, Ports, Progress, Relay, ReportTarget,
    RepositoryKey, SbomFormat, Seconds, one_or_several,
};
use super::variables::{Declarations, Setting};
use super::{BootTestOptions, CheckOptions, Layer, SecretSource};
use crate::machine::{AccelChoice, DiskBus, Firmware, Network, Nic};

layered! {
/// Options of an install. A key of the configuration file is the long name of its option;
/// [`Layer`] lays one set over another.
#[derive(Debug, Clone, Default, PartialEq, Args, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct InstallOptions {
    /// The kickstart (- for standard input; Oz's -a) [default: the one built in for the release]. Given again,
    /// what is joined to it
    #[arg(
        short = 'k',
        long,
        short_alias = 'a',
        alias = "auto",
        value_name = "FILE",
        help_heading = "Input"
    )]
    #[serde(deserialize_with = "one_or_several")]
    pub kickstart: Vec<PathBuf>,

    /// Install from this ISO image, a file or an address, in place of the template's source; without a
    /// template, the release that the image says. Given again, further discs of the guest
    #[arg(long, value_name = "FILE|URL", help_heading = "Input")]
    #[serde(deserialize_with = "one_or_several")]
    pub iso: Vec<String>,

    /// What the ISO image's checksum is: a list of checksums (a file or an address), or KIND:DIGEST [default:
    /// a list beside the image, if there is one]
    #[arg(long, value_name = "FILE|URL|SUM", help_heading = "Input")]
    pub checksum: Option<String>,

    /// Fill VALUE in for ${NAME} in the template, the kickstart and the names of outputs; of a variable that
    /// is declared as a secret, where it is: file:PATH, env:NAME or prompt. May be given more than once
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Input")]
    #[serde(deserialize_with = "one_or_several")]
    pub set: Vec<Setting>,

    /// Public OpenPGP keys, as their owner exports them: one of them must have signed the list of checksums, in clear
    /// text or into LIST.asc, LIST.sig or LIST.gpg beside it
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    pub checksum_key: Option<PathBuf>,

    /// Serve the kickstart untouched: nothing of the template is added, no completion mark
    #[arg(long, help_heading = "Input")]
    pub verbatim: bool,

    /// Add the template's packages, repositories, files and commands (the default)
    #[arg(
        short = 'u',
        long,
        help_heading = "Input",
        overrides_with = "no_customize"
    )]
    pub customize: bool,

    /// Leave out the template's packages, repositories, files and commands
    #[arg(long, help_heading = "Input")]
    pub no_customize: bool,

    /// Install what the template adds nothing to once, into the image FILE, and add it to a copy: the next image from
    /// FILE takes no install. FILE is made again only with --force, when it is of another kickstart, tree or disk
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    pub from: Option<PathBuf>,

    /// Where root's password is: file:PATH, env:NAME, or prompt, which asks at the terminal. It goes into the
    /// kickstart as a hash, and stands above the kickstart's and the template's
    #[arg(long, value_name = "SOURCE", help_heading = "Input")]
    pub root_password: Option<SecretSource>,

    /// Let the SSH keys in FILE log in as root: public ones, one on a line; may be given more than once
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    #[serde(deserialize_with = "one_or_several")]
    pub ssh_key: Vec<PathBuf>,

    /// Where the passphrase of encrypted file systems is: file:PATH, env:NAME or prompt. It is filled in where the
    /// kickstart has --encrypted without --passphrase, and opens the disk for sealing and the boot test
    #[arg(long, value_name = "SOURCE", help_heading = "Input")]
    pub luks_passphrase: Option<SecretSource>,

    /// How the kickstart reaches the guest [default: http; initrd where --connect names another host]
    #[arg(long, value_name = "HOW", help_heading = "Input")]
    pub deliver: Option<Deliver>,

    /// Where the image and what belongs to it are written [default: .]
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub output_dir: Option<PathBuf>,

    /// Name of the image and of the guest [default: the template's]
    #[arg(long, help_heading = "Output")]
    pub name: Option<String>,

    /// Write the image to FILE, what belongs to it beside it
    #[arg(
        short = 's',
        long = "output",
        value_name = "FILE",
        conflicts_with = "output_dir",
        help_heading = "Output"
    )]
    pub output: Option<PathBuf>,

    /// Formats of the image, several with commas: qcow2, raw, raw.zst, raw.xz, azure, gcp, aws, vmdk,
    /// ova, ovirt, vagrant-libvirt, vagrant-virtualbox, vagrant-vmware, vagrant-hyperv, containerdisk,
    /// rootfs, liveimg, wsl, oci [default: qcow2]
    #[arg(
        long,
        value_name = "FORMAT",
        value_delimiter = ',',
        hide_possible_values = true,
        help_heading = "Output"
    )]
    #[serde(deserialize_with = "one_or_several")]
    pub format: Vec<Format>,

    /// Compress a qcow2 image [default: none]
    #[arg(long, value_name = "METHOD", help_heading = "Output")]
    pub compress: Option<Compress>,

    /// Write the libvirt XML that boots the image to FILE [default: NAME.xml beside it]
    #[arg(
        short = 'x',
        long = "xml",
        alias = "xmlfile",
        value_name = "FILE",
        help_heading = "Output"
    )]
    pub xml: Option<PathBuf>,

    /// Seal the image: take out what makes it one machine's own, and look whether it is out (the
    /// default)
    #[arg(long, help_heading = "Output", overrides_with = "no_seal")]
    pub seal: bool,

    /// Leave the image as the installer left it
    #[arg(long, help_heading = "Output")]
    pub no_seal: bool,

    /// Leave this item of the seal in the image (`ozr explain seal` names them); may be given more than
    /// once
    #[arg(long, value_name = "ITEM", help_heading = "Output")]
    #[serde(deserialize_with = "one_or_several")]
    pub seal_except: Vec<String>,

    /// Make the image one that boots on machines of any kind: its initramfs gets the drivers of all of them
    #[arg(long, help_heading = "Output")]
    pub portable: bool,

    /// Replace an existing image
    #[arg(long, help_heading = "Output")]
    pub force: bool,

    /// Build only if something else would come of it: keep an image of ozr's whose inputs and packages are what
    /// they would be now (docs/rebuild.md), and replace it otherwise
    #[arg(long, help_heading = "Output", overrides_with = "rebuild")]
    pub if_changed: bool,

    /// Build in any case: takes --if-changed back
    #[arg(long, help_heading = "Output")]
    pub rebuild: bool,

    /// Keep the images of the last N good builds, as NAME-DATE-BUILDID; NAME is a link to the last one, and older
    /// ones that ozr has made are removed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000), help_heading = "Output")]
    pub keep_builds: Option<u32>,

    /// Write a report of the build for CI systems, whatever becomes of it: junit=FILE or
    /// markdown=FILE; may be given more than once
    #[arg(long, value_name = "FORMAT=FILE", help_heading = "Output")]
    #[serde(deserialize_with = "one_or_several")]
    pub report: Vec<ReportTarget>,

    /// Write what the image is made of beside it, for scanners: spdx, cyclonedx, or both
    #[arg(
        long,
        value_name = "FORMAT",
        value_delimiter = ',',
        help_heading = "Output"
    )]
    #[serde(deserialize_with = "one_or_several")]
    pub sbom: Vec<SbomFormat>,

    /// Sign the checksums and the provenance by your own gpg, ssh-keygen or cosign: gpg, gpg:KEYID,
    /// ssh:KEYFILE, cosign:KEY; may be given once for each
    #[arg(long, value_name = "SIGNER", help_heading = "Output")]
    #[serde(deserialize_with = "one_or_several")]
    pub sign: Vec<Signer>,

    /// Who builds, for the provenance: a URI, such as that of a CI job [default: urn:ozr:local]
    #[arg(long, value_name = "URI", help_heading = "Output")]
    pub builder_id: Option<String>,

    /// Write Oz's list of the packages, an ICICLE, beside the image: NAME.icicle.xml
    #[arg(short = 'g', long, help_heading = "Output")]
    pub generate_icicle: bool,

    /// Write the ICICLE to FILE [default: NAME.icicle.xml beside the image]
    #[arg(short = 'i', long, value_name = "FILE", help_heading = "Output")]
    pub icicle: Option<PathBuf>,

    /// On failure leave a guest that still runs as it is, with its work directory
    #[arg(long, help_heading = "Output")]
    pub keep: bool,

    /// libvirt connection, or `embedded` for libvirt's driver in ozr itself, which needs no daemon
    /// [default: $LIBVIRT_DEFAULT_URI, else embedded]
    #[arg(long, value_name = "URI", help_heading = "Guest")]
    pub connect: Option<String>,

    /// The storage pool for the guest's files where --connect names another host [default: default]
    #[arg(long, value_name = "POOL", help_heading = "Guest")]
    pub storage_pool: Option<String>,

    /// Accelerator [default: auto]
    #[arg(long, value_name = "ACCEL", help_heading = "Guest")]
    pub accel: Option<AccelChoice>,

    /// Stop at once where KVM cannot run the guest, before anything is fetched: for pipelines, which software
    /// emulation would hold for hours
    #[arg(long, help_heading = "Guest")]
    pub require_kvm: bool,

    /// Number of virtual CPUs [default: half of the host's, 2 to 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=512), help_heading = "Guest")]
    pub vcpus: Option<u32>,

    /// Memory: 4G, 4096M, or a number of MiB [default: 4096, or more where the release needs it]
    #[arg(long, value_name = "SIZE", help_heading = "Guest")]
    pub memory: Option<Mebibytes>,

    /// Size of a disk: 20G, 512 MiB, or a number of GiB; given again, of the next one, which is added
    /// where the template has none [default: the template's, else 10G]
    #[arg(
        long,
        visible_alias = "disk-size",
        value_name = "SIZE",
        help_heading = "Guest"
    )]
    #[serde(alias = "disk-size", deserialize_with = "one_or_several")]
    pub disk: Vec<String>,

    /// Firmware [default: bios; uefi on aarch64 and armv7l]
    #[arg(long, value_name = "FIRMWARE", help_heading = "Guest")]
    pub firmware: Option<Firmware>,

    /// The image is for machines with Secure Boot: NAME.xml and the boot test have it, with Microsoft's keys
    /// enrolled. Means UEFI
    #[arg(long, help_heading = "Guest")]
    pub secure_boot: bool,

    /// UEFI of your own, its program (as OVMF_CODE.fd): needs --firmware-vars
    #[arg(
        long,
        value_name = "FILE",
        requires = "firmware_vars",
        help_heading = "Guest"
    )]
    pub firmware_code: Option<PathBuf>,

    /// UEFI of your own, the variables that each machine begins with (as OVMF_VARS.fd)
    #[arg(
        long,
        value_name = "FILE",
        requires = "firmware_code",
        help_heading = "Guest"
    )]
    pub firmware_vars: Option<PathBuf>,

    /// Give the guest a TPM 2.0, emulated by swtpm; its state goes with the guest
    #[arg(long, help_heading = "Guest")]
    pub tpm: bool,

    /// The guest's network: user, the name of a libvirt network, or bridge:NAME. Given again, of one network
    /// card more; ,mac=MAC and ,model=MODEL behind it say which card [default: user]
    #[arg(long, value_name = "NETWORK", help_heading = "Guest")]
    #[serde(deserialize_with = "one_or_several")]
    pub network: Vec<Nic>,

    /// The address of this host at which ozr's own server listens, and which the guest is told
    /// [default: this host's first on the guest's network]
    #[arg(long, value_name = "ADDRESS", help_heading = "Guest")]
    pub serve_address: Option<IpAddr>,

    /// Ports for ozr's own server, as a firewall lets them through: 8000, or 8000-8010 of which the first
    /// free one is taken [default: any]
    #[arg(long, value_name = "PORTS", help_heading = "Guest")]
    pub serve_ports: Option<Ports>,

    /// MAC address of the guest's NIC [default: random]
    #[arg(short = 'm', long, value_name = "MAC", help_heading = "Guest")]
    pub mac_address: Option<String>,

    /// Model of the guest's NIC, in libvirt's words [default: virtio]
    #[arg(short = 'n', long, value_name = "MODEL", help_heading = "Guest")]
    pub network_device: Option<String>,

    /// Bus of the guest's disks [default: virtio]
    #[arg(short = 'b', long, value_name = "BUS", help_heading = "Guest")]
    pub disk_bus: Option<DiskBus>,

    /// Longest time for the install: 90m, "1h 30m", or a number of seconds [default: 2h]
    #[arg(short = 't', long, value_name = "DURATION", help_heading = "Guest")]
    pub timeout: Option<Seconds>,

    /// Wait while N guests of ozr run already [default: as many as fit into memory]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Guest")]
    pub max_guests: Option<u32>,

    /// Try again, up to N times, when the cause is not in the template or the kickstart [default: 0]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100), help_heading = "Guest")]
    pub retries: Option<u32>,

    /// Longest time without progress, whatever the installer does [default: 3m to 60m, by what it
    /// does; six times that in software emulation]
    #[arg(long, value_name = "DURATION", help_heading = "Guest")]
    pub stall_limit: Option<Seconds>,

    /// Remove leftover guests of the same name first, and replace an existing image as --force does
    #[arg(short = 'p', long, help_heading = "Guest")]
    pub cleanup: bool,

    /// What the guest gets through ozr, of the addresses of the template and the kickstart
    /// [default: auto]
    #[arg(long, value_name = "WHICH", help_heading = "Mirror")]
    pub relay: Option<Relay>,

    /// Whether the guest gets what trees and repositories have through ozr, which keeps it for further builds
    /// [default: off]
    #[arg(long, value_name = "WHEN", help_heading = "Mirror")]
    pub package_cache: Option<PackageCache>,

    /// How large the cache may be at the end of a build: 50G, or a number of MiB. What was unused longest goes first
    /// [default: 64G]
    #[arg(long, value_name = "SIZE", help_heading = "Mirror")]
    pub cache_size: Option<Mebibytes>,

    /// Install from the very files that FILE lists, the NAME.lock of an earlier build, and from no others
    #[arg(long, value_name = "FILE", help_heading = "Mirror")]
    pub locked: Option<PathBuf>,

    /// Public OpenPGP keys, as their owner exports them: one of them must have signed the repomd.xml of each repository
    /// whose address begins with ADDRESS; may be given more than once
    #[arg(long, value_name = "ADDRESS=FILE", help_heading = "Mirror")]
    #[serde(deserialize_with = "one_or_several")]
    pub repository_key: Vec<RepositoryKey>,

    /// Ask no mirror: install from what the cache has
    #[arg(long, help_heading = "Mirror")]
    pub offline: bool,

    /// Fetch kernel, initrd and packages anew, whatever the cache holds
    #[arg(short = 'f', long, alias = "force-download", help_heading = "Mirror")]
    pub refetch: bool,

    /// Where the cache is [default: /var/cache/ozr for root, else ~/.cache/ozr]
    #[arg(long, value_name = "DIR", help_heading = "Mirror")]
    pub cache_dir: Option<PathBuf>,

    /// Where running builds and the times of earlier ones are noted
    /// [default: /var/lib/ozr for root, else ~/.local/state/ozr]
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub state_dir: Option<PathBuf>,

    /// How to show how far it is: auto, live (one line that is drawn over and over), plain (timed
    /// lines), json (events on standard error), none. Beside that, json=FILE or json=fd:N writes
    /// the events to a file or descriptor. May be given several times [default: auto]
    #[arg(long, value_name = "HOW", help_heading = "Output")]
    #[serde(deserialize_with = "one_or_several")]
    pub progress: Vec<Progress>,

    /// Trust these certificate authorities, too (PEM)
    #[arg(long, value_name = "FILE", help_heading = "Mirror")]
    pub cacert: Option<PathBuf>,

    /// Client certificate for the mirror (PEM), as entitled CDNs want it
    #[arg(long, value_name = "FILE", help_heading = "Mirror")]
    pub client_cert: Option<PathBuf>,

    /// Key of the client certificate (PEM) [default: in the certificate's file]
    #[arg(long, value_name = "FILE", help_heading = "Mirror")]
    pub client_key: Option<PathBuf>,

    /// Hosts that may ask for the client certificate, beside the install tree's; may be given
    /// several times
    #[arg(long, value_name = "HOST", help_heading = "Mirror")]
    #[serde(deserialize_with = "one_or_several")]
    pub client_cert_host: Vec<String>,

    /// Directories below which `file:` addresses of a template may lead, beside the template's own;
    /// may be given several times
    #[arg(long, value_name = "DIR", help_heading = "Mirror")]
    #[serde(deserialize_with = "one_or_several")]
    pub file_root: Vec<PathBuf>,

    /// Bytes per second below which a download is given up after 30 s; 0 for any [default: 1000]
    #[arg(long, value_name = "BYTES", help_heading = "Mirror")]
    pub min_rate: Option<u64>,

    /// Longest time for the download of one file [default: 1h]
    #[arg(long, value_name = "DURATION", help_heading = "Mirror")]
    pub download_timeout: Option<Seconds>,

    /// Whether to boot the image, and the table `[boot-test]` of the configuration file.
    #[command(flatten)]
    pub boot_test: BootTestOptions,

    /// The table `[check]` of the configuration file.
    #[arg(skip)]
    pub check: CheckOptions,

    /// What is run after a good build; the configuration file only.
    #[arg(skip)]
    pub on_success: Commands,

    /// What is run after one that failed; the configuration file only.
    #[arg(skip)]
    pub on_failure: Commands,

    /// How long each of them may take; the configuration file only.
    #[arg(skip)]
    pub hook_timeout: Option<Seconds>,

    /// The table `[variables]` of the configuration file.
    #[arg(skip)]
    pub variables: Declarations,

    /// What is to be said of the configuration file.
    #[arg(skip)]
    #[serde(skip)]
    pub notes: Vec<String>,
}
}

impl InstallOptions {
    /// The network that the guest installs over: that of its first card.
    pub fn first_network(&self) -> Network {
        self.network
            .first()
            .map(|nic| nic.network.clone())
            .unwrap_or_default()
    }

    /// Whether a good image replaces what has its name. Oz's `-p` removes the image of the guest that it removes.
    pub fn replaces(&self) -> bool {
        self.force || self.cleanup
    }

    /// Whether an image is kept that would come out the same.
    pub fn keeps_unchanged(&self) -> bool {
        self.if_changed && !self.rebuild
    }

    /// What the disk is made into, each once.
    pub fn formats(&self) -> Vec<Format> {
        distinct(&self.format)
    }
}

/// Commands, each a list of words; a single one may stand without the list around it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "OneOrSeveral")]
pub struct Commands(pub Vec<Vec<String>>);

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a command as a list of words, or a list of such lists"
)]
enum OneOrSeveral {
    One(Vec<String>),
    Several(Vec<Vec<String>>),
}

impl TryFrom<OneOrSeveral> for Commands {
    type Error = &'static str;

    fn try_from(written: OneOrSeveral) -> Result<Self, Self::Error> {
        let commands = match written {
            OneOrSeveral::One(words) if words.is_empty() => Vec::new(),
            OneOrSeveral::One(words) => vec![words],
            OneOrSeveral::Several(commands) => commands,
        };
        match commands
            .iter()
            .all(|words| words.first().is_some_and(|program| !program.is_empty()))
        {
            true => Ok(Commands(commands)),
            false => Err("a command has at least the name of a program"),
        }
    }
}

impl Layer for Commands {
    fn over(self, below: Commands) -> Commands {
        Commands(self.0.over(below.0))
    }
}

/// Formats in their order, each once; the usual one if there are none.
pub fn distinct(formats: &[Format]) -> Vec<Format> {
    let mut all: Vec<Format> = Vec::new();
    for format in formats {
        if !all.contains(format) {
            all.push(*format);
        }
    }
    if all.is_empty() {
        all.push(Format::default());
    }
    all
}

impl Layer for InstallOptions {
    fn over(self, mut below: InstallOptions) -> InstallOptions {
        // `-u` on the command line takes back a `no-customize` of a file.
        below.no_customize &= !self.customize;
        below.no_seal &= !self.seal;
        below.rebuild &= !self.if_changed;
        below.if_changed &= !self.rebuild;
        // `--output` and `--output-dir` answer the same question: the upper layer's answer stands.
        if self.output.is_some() || self.output_dir.is_some() {
            (below.output, below.output_dir) = (None, None);
        }
        // What is set adds up; the last of a name counts.
        let set = [std::mem::take(&mut below.set), self.set.clone()].concat();
        InstallOptions {
            set,
            ..self.each_over(below)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::Command;

    use super::*;
    use crate::options::config;

    /// Values of every kind that a key may have.
    const VALUES: [&str; 13] = [
        "true",
        "[\"junit=a\"]",
        "7",
        "\"1h\"",
        "\"plain\"",
        "{ strict = true }",
        "{ always = true }",
        "64",
        "\"8000-8010\"",
        "\"gpg\"",
        "\"env:X\"",
        "\"192.0.2.1\"",
        "\"http://m/=keys\"",
    ];

    /// Each option is a flag and a key, the file's value reaches the build, and the command line's
    /// stands above it.
    #[test]
    fn no_option_is_ignored() {
        let command = InstallOptions::augment_args(Command::new("install"));
        let mut names: BTreeSet<String> = command
            .get_arguments()
            .filter_map(|argument| argument.get_long())
            .map(str::to_owned)
            .collect();
        let of_files = [
            "check",
            "variables",
            "on-success",
            "on-failure",
            "hook-timeout",
        ];
        names.extend(of_files.map(str::to_owned));
        // The notes are no option.
        assert_eq!(names.len(), InstallOptions::FIELDS - 1);
        for name in names {
            let argument = command
                .get_arguments()
                .find(|argument| argument.get_long() == Some(&name));
            let words = argument.map_or_else(Vec::new, clap::Arg::get_possible_values);
            let words: Vec<String> = words
                .iter()
                .map(|word| format!("{:?}", word.get_name()))
                .collect();
            let of_file = words
                .iter()
                .map(String::as_str)
                .chain(VALUES)
                .filter_map(|value| config::parse(&format!("{name} = {value}"), "t").ok())
                .find(|options| *options != InstallOptions::default());
            let of_file = of_file.unwrap_or_else(|| panic!("{name} takes none of the values"));
            let nothing = InstallOptions::default();
            assert_eq!(nothing.clone().over(of_file.clone()), of_file, "{name}");
            assert_eq!(of_file.clone().over(nothing), of_file, "{name}");
        }
    }
}
