//! `ozr boot-test`

use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use anyhow::Context;

use super::guest_options::GuestOptions;
use super::install::THREADS_PATIENCE;
use super::machine_images;
use super::reports::Reports;
use super::signals;
use crate::distro::Arch;
use crate::error::{Classify, Kind, fail, kind_of};
use crate::host;
use crate::image::output::{self, OutputPaths};
use crate::input;
use crate::install::boot_test::plan::Wanted;
use crate::install::boot_test::prepare::{Subject, prepare};
use crate::install::boot_test::report::{BootTestFailed, Report};
use crate::install::boot_test::{self, Stage, summary};
use crate::install::place::{self, Claim, Place};
use crate::install::run::Cancellation;
use crate::machine::{Board, DiskBus, DiskFormat, Firmware, FirmwareFiles, Nic};
use crate::options::{
    BootTestOptions, Format, InstallOptions, Layer, Purpose, ReportFormat, ReportTarget, Seconds,
    SecretSource, TextPattern, config,
};
use crate::ui::event::Reporter;
use crate::ui::printer;
use crate::verify::facts;

/// Examples, for `--help` and the manual page: the command, and what it does.
pub const EXAMPLES: &[(&str, &str)] = &[
    (
        "ozr boot-test rocky-9.qcow2",
        "Boot the image until the login prompt; units that fail are failures.",
    ),
    (
        "ozr boot-test rocky-9.qcow2 --firmware bios,uefi --clones 2",
        "With either firmware, and two clones, which must differ in all that is a machine's own.",
    ),
    (
        "ozr boot-test rocky-9.qcow2 --target multi-user --allow-failed kdump.service",
        "Wait for a target of systemd's; kdump.service may fail.",
    ),
    (
        "ozr boot-test rocky-9.qcow2 --seed seed/ --checks web.checks.toml --grow-to 20G",
        "Boot it as a cloud does, on a larger disk; cloud-init runs the checks.",
    ),
];

fn examples() -> String {
    let more = "Options that are missing are taken from the configuration file: those of the guest as \
                for `ozr install`, the others from its table [boot-test].";
    super::help_of(EXAMPLES, more)
}

/// What ends the first sector of a disk that a BIOS boots, and of a GPT's, which UEFI wants, too.
const BOOT_SIGNATURE: &[u8] = &[0x55, 0xaa];

/// `ozr boot-test IMAGE`
#[derive(Debug, clap::Args)]
#[command(after_help = examples())]
pub struct Args {
    /// The image; it is only read. Of a machine with several disks those of all, in order
    /// [default: those that the manifest beside IMAGE names, too]
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,

    /// Firmware to boot with, one boot for each: bios, uefi [default: as the image's manifest says,
    /// else bios; uefi on aarch64 and armv7l]
    #[arg(
        long,
        value_name = "FIRMWARE",
        value_delimiter = ',',
        hide_possible_values = true,
        help_heading = "Boot"
    )]
    firmware: Vec<Firmware>,

    /// Wait for this target of systemd's in place of the login prompt on the serial console
    #[arg(long, value_name = "TARGET", help_heading = "Boot")]
    target: Option<String>,

    /// Longest time of one boot [default: 10m; 30m in software emulation]
    #[arg(short = 't', long, value_name = "DURATION", help_heading = "Boot")]
    timeout: Option<Seconds>,

    /// Boot N clones and compare what each has made for itself: machine-id, every SSH host key, boot id,
    /// DHCP identity
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=16), help_heading = "Boot")]
    clones: Option<u32>,

    /// A unit that may fail, by its name or description, with * and ?; may be given more than once
    #[arg(long, value_name = "UNIT", help_heading = "Boot")]
    allow_failed: Vec<TextPattern>,

    /// A denial of SELinux that is no failure: a pattern of its text from `avc:` on; may be given more
    /// than once
    #[arg(long, value_name = "PATTERN", help_heading = "Boot")]
    allow_denied: Vec<TextPattern>,

    /// Checks that must be true of the booted machine: a file with `[[check]]` of a unit, command, port or file;
    /// may be given more than once
    #[arg(long, value_name = "FILE", help_heading = "Checks")]
    checks: Vec<PathBuf>,

    /// Give the guest a NoCloud seed: files called user-data, meta-data, network-config or vendor-data, or a
    /// directory with them; may be given more than once. cloud-init runs the checks then
    #[arg(long, value_name = "FILE|DIR", help_heading = "Checks")]
    seed: Vec<PathBuf>,

    /// Run the checks by a login of this user on the serial console [default: by cloud-init with --seed,
    /// else by the QEMU guest agent]
    #[arg(long, value_name = "USER", help_heading = "Checks")]
    login: Option<String>,

    /// Where that user's password is: file:PATH, env:NAME or prompt
    #[arg(long, value_name = "SOURCE", help_heading = "Checks")]
    login_password: Option<SecretSource>,

    /// Make the disk so large (20G, 512 MiB, a number of GiB); the root file system must grow with it
    /// [default: 1 GiB more with --seed, if the image has cloud-init and growpart]
    #[arg(long, value_name = "SIZE", help_heading = "Checks")]
    grow_to: Option<String>,

    /// Where the passphrase of the image's encrypted file systems is: file:PATH, env:NAME or prompt. It is typed
    /// where the console asks for it
    #[arg(long, value_name = "SOURCE", help_heading = "Boot")]
    luks_passphrase: Option<SecretSource>,

    /// Format of the image [default: as its manifest says, else as it begins]
    #[arg(long, value_name = "FORMAT", help_heading = "Guest")]
    format: Option<DiskFormat>,

    /// Architecture of the image [default: as its manifest says, else this host's]
    #[arg(long, value_name = "ARCH", help_heading = "Guest")]
    arch: Option<Arch>,

    /// Boot with Secure Boot, Microsoft's keys enrolled [default: as the image's manifest says]
    #[arg(long, help_heading = "Guest")]
    secure_boot: bool,

    /// UEFI of your own, its program: needs --firmware-vars
    #[arg(
        long,
        value_name = "FILE",
        requires = "firmware_vars",
        help_heading = "Guest"
    )]
    firmware_code: Option<PathBuf>,

    /// UEFI of your own, the variables that each machine begins with
    #[arg(
        long,
        value_name = "FILE",
        requires = "firmware_code",
        help_heading = "Guest"
    )]
    firmware_vars: Option<PathBuf>,

    /// Give the guest a TPM 2.0, emulated by swtpm [default: as the image's manifest says]
    #[arg(long, help_heading = "Guest")]
    tpm: bool,

    #[command(flatten)]
    guest: GuestOptions,

    /// The guest's network: user, the name of a libvirt network, or bridge:NAME; given again, of one card more
    /// [default: user]
    #[arg(long, value_name = "NETWORK", help_heading = "Guest")]
    network: Vec<Nic>,

    /// Bus of the guest's disks [default: virtio]
    #[arg(short = 'b', long, value_name = "BUS", help_heading = "Guest")]
    disk_bus: Option<DiskBus>,

    /// Wait while N guests of ozr run already [default: as many as fit into memory]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), help_heading = "Guest")]
    max_guests: Option<u32>,

    /// Where NAME.boot-test is put, and the overlay while it lasts [default: beside the image]
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    output_dir: Option<PathBuf>,

    /// Write a report for CI systems: junit=FILE or markdown=FILE; may be given more than once
    #[arg(long, value_name = "FORMAT=FILE", help_heading = "Output")]
    report: Vec<ReportTarget>,
}

/// Tests an image, and prints the directory of what was seen.
///
/// # Errors
/// Build: the image failed its test. Input, host: it could not be tested.
pub fn run(args: Args, config: Option<&Path>, reporter: &Reporter) -> anyhow::Result<()> {
    let below = config::load(config)?;
    let (began, clock) = (SystemTime::now(), Instant::now());
    let paths = OutputPaths::new(None, "", &[], Some(&args.images[0]), None).kind(Kind::Input)?;
    check_apart(&args, &paths)?;
    let reports = Reports::open(&args.report)?;
    let name = paths.stem.clone();
    let tested = test(args, below, paths, reporter);
    let (report, error) = match &tested {
        Ok((report, _)) => (Some(report), None),
        Err(error) => (None, Some(error)),
    };
    let summary = summary::Summary {
        name: &name,
        started: began,
        lasted: clock.elapsed(),
        report,
        error: error.map(|error| (kind_of(error).unwrap_or(Kind::Host), format!("{error:#}"))),
    };
    let render = |format| match format {
        ReportFormat::Junit => summary.junit(),
        ReportFormat::Markdown => summary.markdown(),
    };
    reports.write_each(render, reporter);
    let (report, target) = tested?;
    for note in &report.notes {
        reporter.note(note);
    }
    if !report.passed {
        let seen = target.display();
        let report = Box::new(report);
        let failed: Result<(), _> = Err(BootTestFailed { report });
        return failed
            .with_context(|| format!("what it saw is in {seen}"))
            .kind(Kind::Build);
    }
    reporter.step(&report.sentence);
    printer::print_result(&target.display().to_string());
    Ok(())
}

/// A report must not take the image's place.
fn check_apart(args: &Args, paths: &OutputPaths) -> anyhow::Result<()> {
    let reports = args
        .report
        .iter()
        .map(|report| ("the report".to_owned(), report.file.clone()));
    let outputs: Vec<_> = reports.collect();
    output::check_apart(&outputs, &[("the image".to_owned(), paths.image.clone())])
}

/// Tests until it is done, or until a signal says to stop: what came of it, and where what was seen is.
fn test(
    args: Args,
    below: InstallOptions,
    paths: OutputPaths,
    reporter: &Reporter,
) -> anyhow::Result<(Report, PathBuf)> {
    host::can_run_guests()?;
    let dir = match &args.output_dir {
        Some(dir) => std::path::absolute(dir)
            .context("finding the output directory")
            .kind(Kind::Input)?,
        None => paths.dir.clone(),
    };
    let target = dir.join(paths.boot_test.file_name().unwrap_or_default());
    let claim = Claim {
        id: None,
        name: paths.stem.clone(),
        what: "boot test".to_owned(),
        image: paths.image.clone(),
        dir,
        stem: format!("{}.boot-test", paths.stem),
        connect: args.guest.connect.clone().or(below.connect.clone()),
        state_dir: args.guest.state_dir.clone().or(below.state_dir.clone()),
    };
    let subject = subject(args, below, paths)?;
    let runtime = signals::runtime()?;
    let (stop, mut impatience) = signals::cancellation(&runtime, reporter)?;
    place::remove_leftovers(&claim, reporter).map_err(|error| stop.explain(error))?;
    let testing = in_place(subject, &claim, &target, &stop, reporter);
    let result = runtime.block_on(signals::unless_twice(&mut impatience, "", testing));
    runtime.shutdown_timeout(THREADS_PATIENCE);
    result.map(|report| (report, target))
}

async fn in_place(
    subject: Subject,
    claim: &Claim,
    target: &Path,
    stop: &Cancellation,
    reporter: &Reporter,
) -> anyhow::Result<Report> {
    let place = tokio::task::block_in_place(|| Place::take(claim, None, reporter));
    let place = place.map_err(|error| stop.explain(error))?;
    let (plan, host) = stop.or(prepare(subject, &place, reporter)).await?;
    let stage = Stage {
        place: &place,
        host: &host,
        cancellation: stop,
        reporter,
    };
    boot_test::run(&plan, stage, target).await
}

/// What is tested: by the options, what is below them, and the manifest beside the image.
fn subject(args: Args, below: InstallOptions, paths: OutputPaths) -> anyhow::Result<Subject> {
    let manifest = machine_images::manifest_of(&paths);
    let beside = manifest.as_ref();
    let arch = match args.arch.or_else(|| beside?.release.arch.parse().ok()) {
        Some(arch) => arch,
        None => std::env::consts::ARCH
            .parse()
            .ok()
            .context("which architecture the image is for is not known: name it with --arch")
            .kind(Kind::Input)?,
    };
    let usual = match arch {
        Arch::Aarch64 | Arch::Armv7l => Firmware::Uefi,
        _ => Firmware::Bios,
    };
    let firmware = beside.map(|manifest| manifest.host.firmware.as_str());
    let firmware = match firmware {
        Some(name) if name == Firmware::Uefi.name() => Firmware::Uefi,
        Some(_) => Firmware::Bios,
        None => usual,
    };
    let host = beside.map(|manifest| &manifest.host);
    let own = args.firmware_code.zip(args.firmware_vars);
    let own = own.or(below.firmware_code.zip(below.firmware_vars));
    let board = Board {
        secure_boot: args.secure_boot || host.is_some_and(|host| host.secure_boot),
        firmware_files: own
            .map(|(code, vars)| FirmwareFiles::open(&code, &vars))
            .transpose()
            .kind(Kind::Input)?,
        tpm: args.tpm || host.is_some_and(|host| host.tpm),
    };
    let firmware = match args.secure_boot || board.firmware_files.is_some() {
        true => Firmware::Uefi,
        false => firmware,
    };
    let known = beside.and_then(|manifest| match manifest.image.format {
        Format::Qcow2 => Some(DiskFormat::Qcow2),
        Format::Raw => Some(DiskFormat::Raw),
        _ => None,
    });
    let format = match args.format.or(known) {
        Some(format) => format,
        None => format_of(&paths.image)?,
    };
    let options = BootTestOptions {
        always: true,
        firmware: args.firmware,
        timeout: args.timeout,
        target: args.target,
        clones: args.clones,
        allow_failed: args.allow_failed,
        allow_denied: args.allow_denied,
        memory: args.guest.memory,
        vcpus: args.guest.vcpus,
        check: Vec::new(),
        checks: args.checks,
        seed: args.seed,
        login: args.login,
        login_password: args.login_password,
        grow_to: args.grow_to,
    };
    let mut more_images = Vec::new();
    for image in &args.images[1..] {
        let path = std::path::absolute(image)
            .with_context(|| format!("finding the directory of {}", image.display()))
            .kind(Kind::Input)?;
        more_images.push(path);
    }
    if let (Some(manifest), true) = (beside, more_images.is_empty()) {
        more_images = machine_images::others(manifest, &paths);
    }
    let options = options.over(below.boot_test);
    let passphrase = args.luks_passphrase.or(below.luks_passphrase);
    let passphrase = passphrase
        .map(|source| source.read("LUKS passphrase", Purpose::Known))
        .transpose()?;
    Ok(Subject {
        name: paths.stem,
        passphrase,
        image: paths.image,
        more_images,
        format,
        arch,
        firmware,
        board,
        accel: args.guest.accel.or(below.accel).unwrap_or_default(),
        disk_bus: args.disk_bus.or(below.disk_bus).unwrap_or_default(),
        nic_model: below.network_device,
        nics: args.network.over(below.network),
        max_guests: args.max_guests.or(below.max_guests),
        storage_pool: args.guest.storage_pool.or(below.storage_pool),
        cache_dir: args.guest.cache_dir.or(below.cache_dir),
        wanted: Wanted::read(&options)?,
        options,
    })
}

/// The format of an image of which nothing is known: what it begins with.
pub(super) fn format_of(image: &Path) -> anyhow::Result<DiskFormat> {
    let shown = image.display();
    let found = input::open_image(image)
        .context("opening it")
        .and_then(|file| facts::of_file(&file))
        .with_context(|| format!("reading the image {shown}"));
    let (found, head) = found.kind(Kind::Input)?;
    let is_plain = matches!(found, facts::Kind::Raw | facts::Kind::FixedVhd(_));
    match found {
        facts::Kind::Qcow2(_) => Ok(DiskFormat::Qcow2),
        _ if is_plain && head.get(510..512) == Some(BOOT_SIGNATURE) => Ok(DiskFormat::Raw),
        _ if is_plain => fail!(
            Kind::Input,
            "{shown} does not begin as a disk does that can boot (no 55 AA at byte 510): name an image, or say \
             what it is with --format"
        ),
        other => fail!(
            Kind::Input,
            "{shown} is {}, and qcow2 and raw images are booted: make one of it with `ozr convert`",
            other.name()
        ),
    }
}
