//! Everything that is decided before anything is touched.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use url::Url;

use crate::distro::{Arch, Release, VirtioModel};
use crate::error::{Kind, fail, failed};
use crate::formats::hardware::Hardware;
use crate::formats::make::Order;
use crate::hex;
use crate::host::Connection;
use crate::image::keep;
use crate::image::output::OutputPaths;
use crate::image::seal::{self, Item};
use crate::input;
use crate::install::access::RootAccess;
use crate::install::answers::Answers;
use crate::install::boot_test::plan::Wanted;
use crate::install::customize::Base;
use crate::install::isos;
use crate::machine::{
    AccelChoice, Board, DiskBus, Firmware, FirmwareFiles, MOST_NICS, Network, Nic,
};
use crate::mirror::{IsoSource, TreeInfo};
use crate::options::{
    Compress, Deliver, Format, InstallOptions, PackageCache, Purpose, Relay, Signer, Until,
};
use crate::secrets::Secret;
use crate::tdl::{self, Install, Template};

/// Memory of a guest in MiB when nobody says otherwise: what the newest installers are tested
/// with, and enough for a stage 2 of 1 GiB that is kept in memory.
const DEFAULT_MEMORY_MIB: u64 = 4096;

/// The fastest network card that every installer knows, in libvirt's words.
pub const NIC_MODEL: &str = "virtio";

/// Size of the disk in bytes when neither template nor option says: Oz's 10 GiB.
const DEFAULT_DISK: u64 = 10 << 30;

/// Bounds of the default number of CPUs. Package scripts and the initramfs are compressed by
/// several; more than four gain nothing that was seen in installs.
const DEFAULT_VCPUS: std::ops::RangeInclusive<u32> = 2..=4;

/// Longest time of an install when nobody says otherwise. Published installs of a full system
/// from a remote mirror take up to 51 minutes, and software emulation takes its time.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2 * 60 * 60);

/// Smallest disk in bytes that any installer of these releases can do something with.
const MINIMUM_DISK: u64 = 64 << 20;

/// Where a template comes from.
#[derive(Debug, Clone)]
pub struct TemplateFile {
    /// Its file name, for the manifest.
    pub name: String,
    /// The digest of its bytes, for the manifest.
    pub sha256: String,
    /// The directory that its relative paths count from.
    pub dir: PathBuf,
}

/// What a plan is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// An image.
    Image,
    /// What the installer says of the kickstart, until it has come so far.
    Trial(Until),
    /// The state of an installer that waits for its kickstart.
    State,
}

impl Aim {
    /// Whether packages get onto the disk on the way to it.
    pub fn installs(self) -> bool {
        !matches!(
            self,
            Aim::State | Aim::Trial(Until::Parsed | Until::Ready | Until::Partitioned)
        )
    }
}

/// A build, decided.
#[derive(Debug)]
pub struct Plan {
    /// The template.
    pub template: Template,
    /// Where it comes from.
    pub file: TemplateFile,
    /// What the installer is told by a file.
    pub answers: Answers,
    /// The options, those of the configuration files laid beneath.
    pub options: InstallOptions,
    /// Name of the image, and what the guest's name is made of.
    pub name: String,
    /// What is installed.
    pub release: Release,
    /// The guest's architecture.
    pub arch: Arch,
    /// The install tree; none where an ISO image is all that there is.
    pub tree: Option<Url>,
    /// All addresses of the tree, that one first.
    pub tree_addresses: Vec<Url>,
    /// What the tree says of itself, if it was asked already.
    pub described: Option<TreeInfo>,
    /// The ISO images, the installer's first; none where it comes from the tree.
    pub isos: Vec<IsoSource>,
    /// What the build leaves.
    pub output: OutputPaths,
    /// The build's id: the mark on all that it makes.
    pub build_id: String,
    /// The links to what it leaves, and how many builds are kept, where several are.
    pub kept: Option<(OutputPaths, usize)>,
    /// The images' formats, the first one's above all.
    pub formats: Vec<Format>,
    /// Its compression.
    pub compress: Compress,
    /// What the guest is made of.
    pub guest: GuestPlan,
    /// How the kickstart gets there.
    pub deliver: Deliver,
    /// What goes through our server.
    pub relay: Relay,
    /// Whether trees and repositories go through it and are kept.
    pub package_cache: bool,
    /// Whether what the template adds is wanted.
    pub customize: bool,
    /// Who may log in as root, beside what the kickstart says.
    pub access: RootAccess,
    /// The passphrase of what the kickstart encrypts, if it is given beside it.
    pub luks_passphrase: Option<Secret>,
    /// The secrets that were filled into the template and the kickstart.
    pub secrets: Vec<Secret>,
    /// The image that is customised, where nothing is installed.
    pub base: Option<Base>,
    /// Whether the image is only asked for its packages, by the template's `<extra_command>`.
    pub only_packages: bool,
    /// What it is for.
    pub aim: Aim,
    /// Whether a trial boots the installer, whatever states there are.
    pub cold: bool,
    /// Whether it ends where a guest would start.
    pub dry_run: bool,
    /// What is taken out of the installed system.
    pub seal: Vec<&'static Item>,
    /// The names of what could be, and is not to be.
    pub unsealed: Vec<String>,
    /// What its boot test checks.
    pub boot_test: Wanted,
    /// Longest time of the install.
    pub timeout: Duration,
    /// How many further attempts there are when the first fails.
    pub retries: u32,
    /// What the user should know. One sentence each.
    pub warnings: Vec<String>,
}

/// What the guest is made of.
#[derive(Debug, Clone)]
pub struct GuestPlan {
    /// CPUs.
    pub vcpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Sizes of the disks in bytes: the system's, and what the kickstart makes of the others.
    pub disks: Vec<u64>,
    /// What starts it.
    pub firmware: Firmware,
    /// What else its board has, as the image's machines have it.
    pub board: Board,
    /// What the user asks for to run its CPUs.
    pub accel: AccelChoice,
    /// What its disks are plugged into.
    pub disk_bus: DiskBus,
    /// Model of its network card.
    pub nic_model: String,
    /// Address of its network card, as the user wrote it.
    pub mac: Option<String>,
    /// The network that it is on.
    pub network: Network,
    /// Its other network cards.
    pub more_nics: Vec<Nic>,
}

impl Plan {
    /// Decides.
    ///
    /// # Errors
    /// Options that contradict each other or the template.
    pub fn new(
        template: Template,
        file: TemplateFile,
        answers: Answers,
        access: RootAccess,
        options: InstallOptions,
    ) -> anyhow::Result<Plan> {
        let release = *template.release().map_err(|findings| {
            let reasons: Vec<_> = findings
                .iter()
                .map(|found| found.message.as_str())
                .collect();
            anyhow!(reasons.join("; "))
        })?;
        let tree = match &template.os.install {
            Install::Url(tree) => Some(tree.url().clone()),
            Install::Iso(_) => None,
        };
        let isos = isos::sources(&template, &options, &file.dir)?;
        let mut warnings = Vec::new();
        let name = options
            .name
            .clone()
            .unwrap_or_else(|| template.name.clone());
        tdl::check_name(&name).map_err(|reason| anyhow!("--name {name:?}: {reason}"))?;
        let formats = options.formats();
        let compress = options.compress.unwrap_or_default();
        check_compress(&formats, compress)?;
        let disks = disks(&options, &template)?;
        check_packages(&formats, disks.len())?;
        let mut output = OutputPaths::of(&options, &name, disks.len())?;
        let tree_addresses = template.os.tree_addresses();
        let package_cache = plan_package_cache(&options, tree_addresses.len())?;
        // What repeats a set has its lock file.
        if package_cache && options.locked.is_none() {
            output.add_lock();
        }
        warnings.extend(output.check_ending(formats[0])?);
        if output.bootable().is_none() && options.xml.is_some() {
            bail!(
                "-x writes the XML of a domain that boots the image, and libvirt boots none of the formats: add qcow2 or raw to --format, or leave out -x"
            );
        }
        let build_id = hex::random()?;
        let keep = options
            .keep_builds
            .and_then(|keep| usize::try_from(keep).ok());
        let (output, kept) = match keep {
            None => (output, None),
            Some(_) if options.from.is_some() => bail!(
                "--keep-builds keeps images that are installed as a whole: leave it out, or --from"
            ),
            Some(keep) => {
                let stem = format!("{}-{}", output.stem, keep::mark(&build_id));
                (output.renamed(&stem), Some((output, keep)))
            }
        };
        check_verbatim(&template, &answers, &options, release)?;
        check_icicle(&template, &options, release)?;
        check_signers(&options.sign)?;
        if template.os.rootpw.is_some() && !answers.builtin && access.password.is_none() {
            warnings.push(
                "the template's rootpw is for the built-in kickstarts: with -k the kickstart's own rootpw stands".to_string(),
            );
        }
        let guest = plan_guest(&template, &options, disks, release, &mut warnings)?;
        let source = options.luks_passphrase.as_ref();
        let luks_passphrase = source
            .map(|source| source.read("LUKS passphrase", Purpose::New))
            .transpose()?;
        let (seal, unsealed) = plan_seal(&answers, &options, release, &mut warnings)?;
        Ok(Plan {
            name,
            release,
            arch: template.os.arch,
            tree,
            described: None,
            isos,
            output,
            build_id,
            kept,
            formats,
            compress,
            guest,
            deliver: deliver(&options),
            relay: options.relay.unwrap_or_default(),
            tree_addresses,
            package_cache,
            customize: !(options.no_customize || options.verbatim),
            access,
            luks_passphrase,
            secrets: Vec::new(),
            base: None,
            only_packages: false,
            aim: Aim::Image,
            cold: false,
            dry_run: false,
            seal,
            unsealed,
            boot_test: Wanted::read(&options.boot_test)?,
            timeout: options.timeout.map_or(DEFAULT_TIMEOUT, |timeout| timeout.0),
            retries: options.retries.unwrap_or(0),
            warnings,
            template,
            file,
            answers,
            options,
        })
    }

    /// The network of the guest that works: an image that is there is customised on QEMU's own, whose addresses are
    /// known without asking for them.
    pub fn working_network(&self) -> &Network {
        match self.base {
            None => &self.guest.network,
            Some(_) => &Network::User,
        }
    }

    /// Whether the template's additions are to be put into an image that is there.
    pub fn customizes(&self) -> bool {
        self.base.is_some() && !self.only_packages
    }

    /// Refuses to work in an image of a release whose installer has nothing to do it in.
    ///
    /// # Errors
    /// Input: see above.
    pub fn check_customizable(&self) -> anyhow::Result<()> {
        if !self.release.can_work_in_images() {
            fail!(
                Kind::Input,
                "nothing can be done in images of {}: its installer has no dracut to do it in; install the template as it is",
                self.release
            );
        }
        Ok(())
    }

    /// The paths that the image has from build to build: links, where several are kept.
    pub fn stable(&self) -> &OutputPaths {
        self.kept.as_ref().map_or(&self.output, |(links, _)| links)
    }

    /// Where the installer comes from.
    pub fn source(&self) -> &Url {
        let iso = self.isos.first().map(|iso| &iso.url);
        // One of them there is.
        iso.or(self.tree.as_ref())
            .unwrap_or_else(|| unreachable!("a plan without a source"))
    }

    /// All addresses that are of the installer's source.
    pub fn sources(&self) -> impl Iterator<Item = &Url> {
        self.isos.iter().map(|iso| &iso.url).chain(&self.tree)
    }

    /// What is to be made of the guest's disk.
    pub fn order(&self) -> Order {
        Order {
            formats: self.formats.clone(),
            compress: self.compress,
            name: self.output.stem.clone(),
            devices: (0..self.guest.disks.len())
                .map(|disk| self.guest.disk_bus.device(disk))
                .collect(),
            file: self.output.image_name(),
            hardware: Hardware {
                release: Some(self.release),
                arch: self.arch,
                firmware: self.guest.firmware,
                vcpus: Hardware::USUAL_VCPUS,
                memory_mib: Hardware::USUAL_MEMORY_MIB,
            },
        }
    }

    /// The command of the template that tells of packages, if it is to be run.
    pub fn extra_command(&self) -> Option<&str> {
        let command = self.template.os.extra_command.as_deref();
        command.filter(|_| self.options.generate_icicle)
    }

    /// Whether something is wanted that needs to know the packages.
    pub fn needs_packages(&self) -> bool {
        let listed = self.output.icicle.is_some() && self.extra_command().is_none();
        listed || !self.output.sboms.is_empty()
    }

    /// The passphrases that may open what the kickstart encrypts.
    pub fn passphrases(&self) -> Vec<Secret> {
        let beside = self.luks_passphrase.iter().cloned();
        beside.chain(self.answers.passphrases()).collect()
    }

    /// The template's repositories that the build uses.
    pub fn repositories(&self) -> impl Iterator<Item = &tdl::Repository> {
        let all = self.template.repositories.iter();
        all.filter(|_| self.customize)
    }
}

/// An ICICLE must be asked for where it is given a place, and its command must be able to run.
fn check_icicle(
    template: &Template,
    options: &InstallOptions,
    release: Release,
) -> anyhow::Result<()> {
    if options.icicle.is_some() && !options.generate_icicle {
        bail!("-i says where the ICICLE goes, and -g that there is one: add -g");
    }
    if options.generate_icicle
        && template.os.extra_command.is_some()
        && !release.can_work_in_images()
    {
        bail!(
            "the template's <extra_command> cannot be run: the installer of RHEL 6 has no dracut to do it in; take <icicle> out of the template, or leave out -g"
        );
    }
    Ok(())
}

/// Whether the guest gets its packages through the cache.
fn plan_package_cache(options: &InstallOptions, addresses: usize) -> anyhow::Result<bool> {
    let wanted = options.package_cache.unwrap_or_default();
    let never = options.relay == Some(Relay::Never);
    let needs = [
        ("--locked", options.locked.is_some()),
        ("--offline", options.offline),
        ("--repository-key", !options.repository_key.is_empty()),
        ("a template with several <url>s", addresses > 1),
    ];
    let needs = needs.iter().find_map(|(option, is)| is.then_some(*option));
    let by = match wanted {
        PackageCache::On => Some("--package-cache on"),
        _ => needs,
    };
    if let (Some(PackageCache::Off), Some(option)) = (options.package_cache, needs) {
        bail!("{option} needs the packages of the cache: leave out --package-cache off");
    }
    if let (true, Some(option)) = (never, by) {
        bail!("{option} sends what the guest asks for through ozr: leave out --relay never");
    }
    let by_itself = !never
        && !options.verbatim
        && options.first_network() == Network::User
        && options.deliver.unwrap_or_default() == Deliver::Http;
    Ok(by.is_some() || wanted == PackageCache::Auto && by_itself)
}

/// Two signatures of a kind would have one name.
///
/// # Errors
/// There are two signers of a kind.
pub fn check_signers(signers: &[Signer]) -> anyhow::Result<()> {
    for (index, signer) in signers.iter().enumerate() {
        let mut before = signers[..index].iter();
        if before.any(|other| other.ending() == signer.ending()) {
            bail!("--sign names two signers of a kind: each of gpg, ssh and cosign can sign once");
        }
    }
    Ok(())
}

/// Only qcow2 images are compressed on demand: other formats are, or are not.
///
/// # Errors
/// There is nothing that `--compress` could compress.
pub fn check_compress(formats: &[Format], compress: Compress) -> anyhow::Result<()> {
    if compress == Compress::None || formats.contains(&Format::Qcow2) {
        return Ok(());
    }
    bail!("--compress is for qcow2 images: add qcow2 to --format, or leave out --compress")
}

/// What is to run the guest's CPUs.
///
/// # Errors
/// The options contradict each other.
pub fn accel(options: &InstallOptions) -> anyhow::Result<AccelChoice> {
    match options.accel {
        Some(AccelChoice::Tcg) if options.require_kvm => {
            bail!("--require-kvm wants what --accel tcg does without: leave out one of them")
        }
        _ if options.require_kvm => Ok(AccelChoice::Kvm),
        choice => Ok(choice.unwrap_or_default()),
    }
}

/// The CPUs that a guest with these options has, and the memory in MiB that it has at least.
pub fn needs(options: &InstallOptions) -> (u32, u64) {
    let cpus = std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u32);
    let vcpus = (cpus / 2).clamp(*DEFAULT_VCPUS.start(), *DEFAULT_VCPUS.end());
    let memory = options.memory.map_or(DEFAULT_MEMORY_MIB, |memory| memory.0);
    (options.vcpus.unwrap_or(vcpus), memory)
}

/// What holds one disk only cannot be made of a machine with several.
///
/// # Errors
/// A format is such a one.
pub fn check_packages(formats: &[Format], disks: usize) -> anyhow::Result<()> {
    let single = formats.iter().find(|format| format.holds_one_disk());
    match single {
        Some(format) if disks > 1 => bail!(
            "a box of {} holds one disk, and the machine has {disks}: leave {0} out of --format, or let the machine have one disk",
            format.name()
        ),
        _ => Ok(()),
    }
}

fn wants_seal(options: &InstallOptions) -> bool {
    options.seal || !options.no_seal
}

/// Whether an install with these options seals its image, none of these items excepted.
pub fn seals(options: &InstallOptions, release: Release, items: &[&str]) -> bool {
    let excepted = |item: &&str| options.seal_except.iter().any(|name| name == item);
    wants_seal(options) && release.can_work_in_images() && !items.iter().any(excepted)
}

/// What is sealed, and the names of what is not.
fn plan_seal(
    answers: &Answers,
    options: &InstallOptions,
    release: Release,
    warnings: &mut Vec<String>,
) -> anyhow::Result<(Vec<&'static Item>, Vec<String>)> {
    let items = seal::items().iter();
    let names: Vec<&str> = items.map(|item| item.name.as_str()).collect();
    for name in &options.seal_except {
        if !names.contains(&name.as_str()) {
            let near = input::nearest(name, &names);
            let near = near.map_or(String::new(), |near| format!("; `{near}` is near"));
            bail!("--seal-except: there is no `{name}`{near}: `ozr explain seal` names them all");
        }
    }
    let wanted = seals(options, release, &[]);
    if !wanted && wants_seal(options) {
        warnings.push(
            "the image is not sealed: the installer of RHEL 6 has no dracut to do it in".to_owned(),
        );
    }
    // A host name that the author gives, however, is the image's.
    let named = answers.may_name_host();
    let (seal, left): (Vec<_>, Vec<_>) = seal::items().iter().partition(|item| {
        wanted && !options.seal_except.contains(&item.name) && !(named && item.name == "hostname")
    });
    Ok((
        seal,
        left.into_iter().map(|item| item.name.clone()).collect(),
    ))
}

/// A kickstart that is served untouched leaves no room for what the template adds.
fn check_verbatim(
    template: &Template,
    answers: &Answers,
    options: &InstallOptions,
    release: Release,
) -> anyhow::Result<()> {
    let lacks_generic = options.portable
        && release
            .portable_package()
            .is_some_and(|package| !answers.mention(package));
    let adds = !(template.packages.is_empty()
        && template.repositories.is_empty()
        && template.files.is_empty()
        && template.precommands.is_empty()
        && template.commands.is_empty());
    let wrong = match options.verbatim {
        false => return Ok(()),
        true if answers.builtin => "--verbatim needs a kickstart of yours: name it with -k",
        true if options.root_password.is_some() || !options.ssh_key.is_empty() => {
            "with --verbatim the password of --root-password and the keys of --ssh-key cannot be added: leave them out, or --verbatim"
        }
        true if lacks_generic => {
            "with --verbatim the package that --portable means cannot be added: add dracut-config-generic to %packages, or leave out --verbatim"
        }
        true if adds && !options.no_customize => {
            "with --verbatim the template's packages, repositories, files and commands cannot be added: leave out --verbatim, or add --no-customize"
        }
        true => return Ok(()),
    };
    bail!(wrong)
}

fn plan_guest(
    template: &Template,
    options: &InstallOptions,
    disks: Vec<u64>,
    release: Release,
    warnings: &mut Vec<String>,
) -> anyhow::Result<GuestPlan> {
    let arch = template.os.arch;
    let needed = u64::from(release.minimum_memory_mib());
    let memory_mib = options
        .memory
        .map_or(DEFAULT_MEMORY_MIB.max(needed), |memory| memory.0);
    if memory_mib < needed {
        warnings.push(format!(
            "{memory_mib} MiB of memory are less than the {needed} MiB that the installer of {release} is said to need"
        ));
    }
    let firmware = firmware(options, release, arch);
    let board = board(options, release, arch)?;
    if matches!(arch, Arch::Ppc64 | Arch::Ppc64le | Arch::S390x | Arch::I386)
        && firmware == Firmware::Uefi
    {
        bail!("there is no UEFI for {arch} guests: leave out --firmware");
    }
    let mut nics = options.network.iter().cloned();
    let nic = nics.next().unwrap_or_default();
    let usual = options.network_device.clone();
    let more_nics: Vec<Nic> = nics
        .map(|nic| Nic {
            model: nic.model.or_else(|| usual.clone()),
            ..nic
        })
        .collect();
    if more_nics.len() >= MOST_NICS {
        bail!(
            "{} network cards are more than the {MOST_NICS} that a guest has: give --network less often",
            more_nics.len() + 1
        );
    }
    if options.serve_address.is_some() && nic.network == Network::User && is_local(options) {
        bail!(
            "with user networking the guest reaches ozr's server on this host's loopback: leave out --serve-address, or choose another --network"
        );
    }
    Ok(GuestPlan {
        vcpus: needs(options).0,
        memory_mib,
        disks,
        firmware,
        board,
        accel: accel(options)?,
        disk_bus: options.disk_bus.unwrap_or_default(),
        nic_model: nic.model.or(usual).unwrap_or_else(|| NIC_MODEL.to_string()),
        mac: nic.mac.or_else(|| options.mac_address.clone()),
        network: nic.network,
        more_nics,
    })
}

/// How the kickstart gets to the guest. The address of one that is served stands on QEMU's command line, which users
/// of another host can read, and they get to the server as the guest does.
pub fn deliver(options: &InstallOptions) -> Deliver {
    let usual = match is_local(options) {
        true => Deliver::Http,
        false => Deliver::Initrd,
    };
    options.deliver.unwrap_or(usual)
}

/// Whether the guest is to run on this host.
fn is_local(options: &InstallOptions) -> bool {
    // What cannot be a connection is refused when it is opened.
    Connection::choose(options.connect.as_deref()).is_ok_and(|there| there.is_local())
}

/// The sizes of the disks in bytes, the system's first: each the option's, else the template's, else Oz's.
///
/// # Errors
/// Input: an option is no size, or there are more disks than the bus has room for.
pub fn disks(options: &InstallOptions, template: &Template) -> anyhow::Result<Vec<u64>> {
    let mut sizes = template.disks.clone();
    let count = sizes.len().max(options.disk.len()).max(1);
    let bus = options.disk_bus.unwrap_or_default();
    if count > bus.most_disks() {
        fail!(
            Kind::Input,
            "the machine would have {count} disks, and {} is the most on {}: leave some out",
            bus.most_disks(),
            bus.name()
        );
    }
    sizes.resize(count, None);
    for (size, text) in sizes.iter_mut().zip(&options.disk) {
        *size = tdl::parse_size(text)
            .map_err(|reason| failed!(Kind::Input, "--disk: {reason}; {}", tdl::SIZE_HELP))?;
    }
    let sizes: Vec<u64> = sizes
        .into_iter()
        .map(|size| size.unwrap_or(DEFAULT_DISK))
        .collect();
    if sizes[0] < MINIMUM_DISK {
        fail!(
            Kind::Input,
            "a disk of {} bytes holds no system: write a size such as 10G",
            sizes[0]
        );
    }
    Ok(sizes)
}

/// What starts the guest: what the user chose, else what is usual.
pub fn firmware(options: &InstallOptions, release: Release, arch: Arch) -> Firmware {
    let of_uefi = options.secure_boot || options.firmware_code.is_some();
    options.firmware.unwrap_or_else(|| match of_uefi {
        true => Firmware::Uefi,
        false => release.default_firmware(arch),
    })
}

/// What else the guest's board has.
fn board(options: &InstallOptions, release: Release, arch: Arch) -> anyhow::Result<Board> {
    let bios = firmware(options, release, arch) == Firmware::Bios;
    let wrong = if bios && options.secure_boot {
        "--secure-boot is UEFI's: leave out --firmware bios"
    } else if bios && options.firmware_code.is_some() {
        "--firmware-code and --firmware-vars are UEFI's: leave out --firmware bios"
    } else if options.secure_boot && arch != Arch::X86_64 {
        "--secure-boot is for x86_64 guests: QEMU's other machines do not keep the keys from the guest"
    } else if options.secure_boot
        && (options.disk_bus == Some(DiskBus::Ide)
            || release.virtio_model() == VirtioModel::Transitional)
    {
        "--secure-boot needs the machine q35, which has no IDE bus and is too new for RHEL 6: leave it out, or use another --disk-bus"
    } else if options.tpm && arch == Arch::S390x {
        "there is no TPM for s390x guests: leave out --tpm"
    } else {
        ""
    };
    if !wrong.is_empty() {
        bail!(wrong);
    }
    let files = options
        .firmware_code
        .as_ref()
        .zip(options.firmware_vars.as_ref());
    let firmware_files = files
        .map(|(code, vars)| FirmwareFiles::open(code, vars))
        .transpose()?;
    Ok(Board {
        secure_boot: options.secure_boot,
        firmware_files,
        tpm: options.tpm,
    })
}

/// The directory that relative paths of a template count from.
///
/// # Errors
/// The current directory cannot be found.
pub fn template_dir(template: &std::path::Path) -> anyhow::Result<PathBuf> {
    let absolute = std::path::absolute(template).context("finding the current directory")?;
    let parent = absolute.parent().map(PathBuf::from);
    parent.context("finding the template's directory")
}
