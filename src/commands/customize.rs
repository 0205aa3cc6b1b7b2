//! `ozr customize`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::display::Display;
use super::guest_options::GuestOptions;
use super::template::{self, ReadTemplate};
use super::{install, machine_images, signals, tree};
use crate::error::{Classify, Kind, fail};
use crate::image::output::{self, OutputPaths};
use crate::input;
use crate::install::Finished;
use crate::install::access::RootAccess;
use crate::install::answers::Answers;
use crate::install::customize::{Base, NO_KICKSTART};
use crate::install::plan::{self, Plan, TemplateFile};
use crate::install::remarks::Remarks;
use crate::machine::DiskFormat;
use crate::options::{
    Compress, Deliver, Format, InstallOptions, Layer, Progress, Seconds, SecretSource, Values,
    config,
};
use crate::secrets::Secret;
use crate::ui::event::{Reporter, Sink};
use crate::ui::printer::{Color, Verbosity};

/// Examples, for `--help` and the manual page: the command, and what it does.
pub const EXAMPLES: &[(&str, &str)] = &[
    (
        "ozr customize web.tdl rocky-9.qcow2 --output web.qcow2",
        "A new image: rocky-9.qcow2 with what web.tdl adds.",
    ),
    (
        "ozr customize web.tdl rocky-9.qcow2 --boot-test",
        "Change the image itself, if the outcome boots.",
    ),
    (
        "ozr customize web.tdl web",
        "The same with the disk of the machine that libvirt knows as web.",
    ),
];

fn examples() -> String {
    super::help_of(EXAMPLES, "docs/customize.md says where the commands run.")
}

/// `ozr customize TEMPLATE IMAGE`
#[derive(Debug, clap::Args)]
#[command(after_help = examples())]
pub struct Args {
    /// The TDL template: its packages, repositories, files and commands; its install tree is that of the image
    #[arg(value_name = "TEMPLATE")]
    pub(super) template: PathBuf,

    /// The image, raw or qcow2; the libvirt XML of its machine; or the machine's name, as virsh lists it, if it is shut off
    #[arg(value_name = "IMAGE")]
    pub(super) image: PathBuf,

    #[command(flatten)]
    pub(super) options: Options,
}

/// What it can be told.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Options {
    /// Write the outcome to FILE, and leave IMAGE as it is [default: IMAGE is replaced]
    #[arg(short = 's', long, value_name = "FILE", help_heading = "Output")]
    output: Option<PathBuf>,

    /// Replace an existing FILE
    #[arg(long, help_heading = "Output")]
    force: bool,

    /// Compress a qcow2 image [default: none]
    #[arg(long, value_name = "METHOD", help_heading = "Output")]
    compress: Option<Compress>,

    /// Do not seal the image
    #[arg(long, help_heading = "Output")]
    no_seal: bool,

    /// Leave this item of the seal in the image; may be given more than once
    #[arg(long, value_name = "ITEM", help_heading = "Output")]
    seal_except: Vec<String>,

    /// Boot the outcome; an image that fails is not published
    #[arg(long, help_heading = "Output")]
    boot_test: bool,

    /// Where the passphrase of encrypted file systems is: file:PATH or env:NAME
    #[arg(long, value_name = "SOURCE", help_heading = "Guest")]
    luks_passphrase: Option<SecretSource>,

    #[command(flatten)]
    guest: GuestOptions,

    /// MAC address of the guest's network card [default: random]
    #[arg(short = 'm', long, value_name = "MAC", help_heading = "Guest")]
    mac_address: Option<String>,

    /// Longest time [default: 2h]
    #[arg(short = 't', long, value_name = "DURATION", help_heading = "Guest")]
    timeout: Option<Seconds>,

    /// How to show how far it is, as for `ozr install`
    #[arg(long, value_name = "HOW", help_heading = "Output")]
    progress: Vec<Progress>,
}

impl Options {
    /// None but the network card's address.
    pub(super) fn with_mac(mac_address: Option<String>) -> Options {
        Options {
            mac_address,
            ..Options::default()
        }
    }

    /// The same as options of an install.
    fn install(self) -> (InstallOptions, Option<PathBuf>) {
        let mut options = InstallOptions {
            force: self.force,
            compress: self.compress,
            no_seal: self.no_seal,
            seal_except: self.seal_except,
            luks_passphrase: self.luks_passphrase,
            connect: self.guest.connect,
            storage_pool: self.guest.storage_pool,
            accel: self.guest.accel,
            vcpus: self.guest.vcpus,
            memory: self.guest.memory,
            mac_address: self.mac_address,
            timeout: self.timeout,
            cache_dir: self.guest.cache_dir,
            state_dir: self.guest.state_dir,
            progress: self.progress,
            ..InstallOptions::default()
        };
        options.boot_test.always = self.boot_test;
        (options, self.output)
    }
}

/// Customises an image, and prints its path.
///
/// # Errors
/// Whatever ended it; the image is then as it was.
pub fn run(
    args: Args,
    config: Option<&Path>,
    verbosity: Verbosity,
    color: Color,
) -> anyhow::Result<()> {
    let (display, result) = outcome(args, config::load(config), verbosity, color)?;
    display.end(result.map(|finished| finished.images))
}

/// Customises an image: what came of it, and what shows it.
///
/// # Errors
/// Nothing can be shown.
pub(super) fn outcome(
    args: Args,
    below: anyhow::Result<InstallOptions>,
    verbosity: Verbosity,
    color: Color,
) -> anyhow::Result<(Display, anyhow::Result<Finished>)> {
    let (options, output) = args.options.install();
    let given = options.progress.clone();
    let options = below.map(|below| options.over(below));
    let display = Display::of(&given, &options, verbosity, color)?;
    let reporter = display.reporter().clone();
    let result = options
        .and_then(|options| customize(&args.template, &args.image, output, options, &reporter));
    Ok((display, result))
}

fn customize(
    file: &Path,
    image: &Path,
    output: Option<PathBuf>,
    options: InstallOptions,
    reporter: &Reporter,
) -> anyhow::Result<Finished> {
    let remarks = Arc::new(Remarks::default());
    let heard = reporter.and(Arc::clone(&remarks) as Arc<dyn Sink>);
    let values = Values::of(&options)?;
    let mut read = template::accept(file, template::load(file, &values)?, &heard)?;
    if !template::adds(&read.template) {
        fail!(
            Kind::Input,
            "{} adds nothing: it has no packages, repositories, files or commands",
            read.name
        );
    }
    let base = open(image, options.connect.as_deref())?;
    let images: Vec<String> = base
        .paths()
        .map(|path| path.display().to_string())
        .collect();
    let Settled { options, sizes } = settle(options, &base, output, &read.template.name)?;
    read.template.disks = sizes;
    let text = read.text.clone();
    let plan = plan(file, read, base, options, values.secrets(), &heard)?;
    heard.note(format!("customised: {}", images.join(", ")));
    install::check_and_build(plan, None, text, true, &remarks, reporter)
}

/// The ICICLE of an image, with what the template's `<extra_command>` says of each package in a guest that
/// works on a copy.
///
/// # Errors
/// Those of [`run`]; the command failed.
pub(super) fn told_packages(
    file: &Path,
    mut read: ReadTemplate,
    image: &Path,
    options: InstallOptions,
    reporter: &Reporter,
) -> anyhow::Result<String> {
    let base = open(image, options.connect.as_deref())?;
    // Nothing gets that name; the copy lies beside it.
    let place = base
        .paths()
        .next()
        .map(|path| path.with_extension("icicle"));
    let options = InstallOptions {
        force: true,
        generate_icicle: true,
        icicle: None,
        no_seal: true,
        seal: false,
        ..options
    };
    let Settled { options, sizes } = settle(options, &base, place, &read.template.name)?;
    read.template.disks = sizes;
    let text = read.text.clone();
    let mut plan = plan(file, read, base, options, Vec::new(), reporter)?;
    plan.only_packages = true;
    let remarks = Arc::new(Remarks::default());
    let finished = install::check_and_build(plan, None, text, true, &remarks, reporter)?;
    Ok(finished.told.unwrap_or_default())
}

/// Decides what is done in the image.
fn plan(
    file: &Path,
    mut read: ReadTemplate,
    base: Base,
    options: InstallOptions,
    secrets: Vec<Secret>,
    reporter: &Reporter,
) -> anyhow::Result<Plan> {
    tree::settle(&mut read.template, file, &options, reporter)?;
    if let Err(findings) = read.template.release() {
        return Err(template::refuse(file, findings.to_vec(), reporter));
    }
    let from = TemplateFile {
        name: input::display_name(file),
        sha256: read.sha256,
        dir: plan::template_dir(file).kind(Kind::Input)?,
    };
    let mut plan = Plan::new(
        read.template,
        from,
        Answers::ours(NO_KICKSTART.to_owned(), "none"),
        RootAccess::default(),
        options,
    )
    .kind(Kind::Input)?;
    for warning in &plan.warnings {
        reporter.warn(warning);
    }
    plan.check_customizable()?;
    plan.base = Some(base);
    plan.secrets = secrets;
    Ok(plan)
}

/// Opens the images of the machine.
fn open(named: &Path, connect: Option<&str>) -> anyhow::Result<Base> {
    let mut images: Vec<(PathBuf, DiskFormat)> = Vec::new();
    for image in machine_images::of(named, connect)? {
        let format = match image.format {
            Some(format) => format,
            // Only the first begins as a disk does that can boot.
            None if images.is_empty() => super::boot_test::format_of(&image.file)?,
            None => images[0].1,
        };
        images.push((image.file, format));
    }
    signals::runtime()?.block_on(Base::open(&images))
}

/// What is decided by the image.
struct Settled {
    options: InstallOptions,
    /// The sizes of its disks in bytes.
    sizes: Vec<Option<u64>>,
}

/// Decides where the outcome goes: into the image's own place, unless another is named. What the configuration
/// says of kickstarts is none of this.
///
/// # Errors
/// Input: it cannot go there.
fn settle(
    mut options: InstallOptions,
    base: &Base,
    output: Option<PathBuf>,
    name: &str,
) -> anyhow::Result<Settled> {
    let is_named = |ending: &str| {
        let output = output.as_deref().and_then(Path::extension);
        output.is_some_and(|given| given.eq_ignore_ascii_case(ending))
    };
    let of_base = match base.format() {
        DiskFormat::Qcow2 => Format::Qcow2,
        // Of others none is opened.
        _ => Format::Raw,
    };
    let format = match (is_named("qcow2"), is_named("raw")) {
        (true, _) => Format::Qcow2,
        (_, true) => Format::Raw,
        _ => of_base,
    };
    let in_place = output.is_none();
    let first = base.paths().next().map(Path::to_path_buf);
    options.name = None;
    options.output = output.or(first);
    options.output_dir = None;
    options.format = vec![format];
    options.kickstart = Vec::new();
    options.verbatim = false;
    options.no_customize = false;
    options.portable = false;
    options.root_password = None;
    options.ssh_key = Vec::new();
    options.disk = Vec::new();
    options.xml = None;
    options.from = None;
    options.keep_builds = None;
    // The contents go with the guest's initramfs.
    options.deliver = Some(Deliver::Initrd);
    // What is replaced is the image that was named.
    options.force |= in_place;
    let sizes: Vec<Option<u64>> = base.sizes().map(Some).collect();
    let paths = OutputPaths::of(&options, name, sizes.len()).kind(Kind::Input)?;
    let bootable = paths.bootable().map_or_else(Vec::new, |(paths, _)| paths);
    if in_place {
        let mut others = base.paths().zip(&bootable);
        if let Some((own, would_be)) = others.find(|(own, would_be)| own != *would_be) {
            fail!(
                Kind::Input,
                "the machine has several disks, and {} would become {}: name a new image with --output",
                own.display(),
                would_be.display()
            );
        }
    } else if !options.force {
        let outputs = bootable
            .iter()
            .map(|path| ("the outcome".to_owned(), path.to_path_buf()));
        let images = base
            .paths()
            .map(|path| ("the image".to_owned(), path.to_owned()));
        output::check_apart(&outputs.collect::<Vec<_>>(), &images.collect::<Vec<_>>())?;
    }
    paths.check(options.replaces())?;
    Ok(Settled { options, sizes })
}
