//! `ozr customize`

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;

use super::display::Display;
use super::machine_images::{self, MachineImage};
use super::template::{self, ReadTemplate};
use super::{install, tree};
use crate::error::{Classify, Kind, fail};
use crate::hex;
use crate::image::output;
use crate::image::qemu_img;
use crate::input;
use crate::install::Finished;
use crate::install::access::RootAccess;
use crate::install::customize::{Base, NO_KICKSTART};
use crate::install::plan::{self, Kickstart, Plan, TemplateFile};
use crate::install::remarks::Remarks;
use crate::kickstart::scan;
use crate::machine::{AccelChoice, DiskFormat, Network};
use crate::options::{
    Compress, Deliver, Format, InstallOptions, Layer, Mebibytes, Progress, Seconds, SecretSource,
    Values, config,
};
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

    /// The image, raw or qcow2, or the libvirt XML of its machine
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

    /// libvirt connection, as for `ozr install`
    #[arg(long, value_name = "URI", help_heading = "Guest")]
    connect: Option<String>,

    /// Accelerator [default: auto]
    #[arg(long, value_name = "ACCEL", help_heading = "Guest")]
    accel: Option<AccelChoice>,

    /// Number of virtual CPUs [default: half of the host's, 2 to 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=512), help_heading = "Guest")]
    vcpus: Option<u32>,

    /// Memory: 4G, 512 MiB, or a number of MiB [default: as for an install]
    #[arg(long, value_name = "SIZE", help_heading = "Guest")]
    memory: Option<Mebibytes>,

    /// MAC address of the guest's network card [default: random]
    #[arg(short = 'm', long, value_name = "MAC", help_heading = "Guest")]
    mac_address: Option<String>,

    /// Longest time [default: 2h]
    #[arg(short = 't', long, value_name = "DURATION", help_heading = "Guest")]
    timeout: Option<Seconds>,

    /// Where the cache is [default: /var/cache/ozr for root, else ~/.cache/ozr]
    #[arg(long, value_name = "DIR", help_heading = "Mirror")]
    cache_dir: Option<PathBuf>,

    /// Where running builds are noted [default: /var/lib/ozr for root, else ~/.local/state/ozr]
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    state_dir: Option<PathBuf>,

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
            connect: self.connect,
            accel: self.accel,
            vcpus: self.vcpus,
            memory: self.memory,
            mac_address: self.mac_address,
            timeout: self.timeout,
            cache_dir: self.cache_dir,
            state_dir: self.state_dir,
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
    let options = below.map(|below| options.over(below));
    let progress = options.as_ref().map(|options| options.progress.clone());
    let progress = progress.unwrap_or_default();
    let display = Display::open(&progress, options.is_ok(), verbosity, color)?;
    let reporter = display.reporter().clone();
    let result = options
        .and_then(|options| customize(&args.template, &args.image, output, options, &reporter));
    Ok((display, result))
}

fn customize(
    file: &Path,
    image: &Path,
    output: Option<PathBuf>,
    mut options: InstallOptions,
    reporter: &Reporter,
) -> anyhow::Result<Finished> {
    let remarks = Arc::new(Remarks::default());
    let heard = reporter.and(Arc::clone(&remarks) as Arc<dyn Sink>);
    let values = Values::of(&options)?;
    let mut read = template::accept(file, template::load(file, &values)?, &heard)?;
    tree::settle(&mut read.template, file, &options, &heard)?;
    if let Err(findings) = read.template.release() {
        return Err(template::refuse(file, findings.to_vec(), reporter));
    }
    if !template::adds(&read.template) {
        fail!(
            Kind::Input,
            "{} adds nothing: it has no packages, repositories, files or commands",
            read.name
        );
    }
    let image = the_only(image)?;
    let (base, size) = open(&image)?;
    check_options(&options)?;
    settle_output(&mut options, &base, output)?;
    let ReadTemplate { template, text, .. } = &mut read;
    template.disks = vec![Some(size)];
    let text = text.clone();
    let outline = scan::scan_all(NO_KICKSTART, "no kickstart").0;
    let kickstart = Kickstart {
        text: NO_KICKSTART.to_owned(),
        name: "none".to_owned(),
        parts: Vec::new(),
        builtin: true,
        sha256: hex::sha256(NO_KICKSTART),
        outline,
    };
    let from = TemplateFile {
        name: input::display_name(file),
        sha256: read.sha256,
        dir: plan::template_dir(file).kind(Kind::Input)?,
    };
    heard.note(format!("customised: {}", base.path.display()));
    let mut plan = Plan::new(
        read.template,
        from,
        kickstart,
        RootAccess::default(),
        options,
    )
    .kind(Kind::Input)?;
    for warning in &plan.warnings {
        heard.warn(warning);
    }
    plan.base = Some(base);
    plan.secrets = values.secrets();
    install::check_and_build(plan, text, true, &remarks, reporter)
}

/// The one image of a machine.
fn the_only(named: &Path) -> anyhow::Result<MachineImage> {
    let mut images = machine_images::of(named)?;
    if images.len() > 1 {
        fail!(
            Kind::Input,
            "{} has {} disks, and machines with one disk are customised",
            named.display(),
            images.len()
        );
    }
    Ok(images.remove(0))
}

/// Opens the image, and says how large its disk is, in bytes.
fn open(image: &MachineImage) -> anyhow::Result<(Base, u64)> {
    let shown = image.file.display();
    let format = match image.format {
        Some(format) => format,
        None => super::boot_test::format_of(&image.file)?,
    };
    let looking = || format!("looking at {shown} as {}", format.name());
    let path = std::path::absolute(&image.file)
        .with_context(looking)
        .kind(Kind::Input)?;
    let file = File::open(&path).with_context(looking).kind(Kind::Input)?;
    let runtime = super::signals::runtime()?;
    let info = runtime.block_on(qemu_img::info(&file, format));
    let info = info.with_context(looking).kind(Kind::Input)?;
    // One that names another file would let its guest read that file of this host.
    if !info.is_standalone() {
        fail!(
            Kind::Input,
            "{shown} stands on another file: join them with `qemu-img convert`, and customise what comes out"
        );
    }
    Ok((Base { file, path, format }, info.virtual_size))
}

/// Refuses what the configuration may have for installs, and what means nothing here.
fn check_options(options: &InstallOptions) -> anyhow::Result<()> {
    if options.first_network() != Network::User {
        fail!(
            Kind::Input,
            "`ozr customize` works in a guest with user networking: take `network` out of the configuration, or name another with --config"
        );
    }
    Ok(())
}

/// Where the outcome goes: into the image's own place, unless another is named.
fn settle_output(
    options: &mut InstallOptions,
    base: &Base,
    output: Option<PathBuf>,
) -> anyhow::Result<()> {
    let is_named = |ending: &str| {
        let output = output.as_deref().and_then(Path::extension);
        output.is_some_and(|given| given.eq_ignore_ascii_case(ending))
    };
    let of_base = match base.format {
        DiskFormat::Qcow2 => Format::Qcow2,
        // Of others none is opened.
        _ => Format::Raw,
    };
    let format = match (is_named("qcow2"), is_named("raw")) {
        (true, _) => Format::Qcow2,
        (_, true) => Format::Raw,
        _ => of_base,
    };
    if output.is_none() {
        // What is replaced is the image that was named.
        options.force = true;
    }
    let into = output.unwrap_or_else(|| base.path.clone());
    if !options.force {
        let outputs = [("the outcome".to_owned(), into.clone())];
        output::check_apart(&outputs, &[("the image".to_owned(), base.path.clone())])?;
    }
    options.name = None;
    options.output = Some(into);
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
    // The contents go with the guest's initramfs.
    options.deliver = Some(Deliver::Initrd);
    Ok(())
}
