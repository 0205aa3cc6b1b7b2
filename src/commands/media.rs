//! `ozr media`

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use tokio::runtime::Runtime;
use url::Url;

use super::display::Display;
use super::signals::{self, Signals};
use crate::blocking;
use crate::distro::{Arch, TreeLayout};
use crate::error::{Classify, Kind, fail, failed};
use crate::hex;
use crate::image::disk::human;
use crate::image::publish::{self, Finished};
use crate::media::beside::{self, Beside};
use crate::media::image::{self, Image};
use crate::media::job::Job;
use crate::media::medium::{self, Order};
use crate::media::{loader, menu};
use crate::metal::open;
use crate::metal::papers::Paper;
use crate::metal::source::Source;
use crate::mirror::{self, Mirror, MirrorOptions};
use crate::options::{Progress, config};
use crate::printable;
use crate::state::directories;
use crate::state::work_dir::{self, WorkDir};
use crate::ui::event::Reporter;
use crate::ui::printer::{Color, Verbosity};

/// Examples, for `--help` and the manual page: the command, and what it does.
pub const EXAMPLES: &[(&str, &str)] = &[
    (
        "ozr media --grow rocky-9.qcow2 rocky-9.iso",
        "Write a disc, or stick, that puts the image on the empty disk of the machine that boots it.",
    ),
    (
        "ozr media --disk /dev/nvme0n1 --overwrite --pxe http://10.0.0.1/rocky-9 rocky-9.qcow2 /srv/www/rocky-9",
        "Write what a PXE or HTTP-boot server hands out, for machines whose NVMe disk may be overwritten.",
    ),
];

fn examples() -> String {
    super::help_of(
        EXAMPLES,
        "docs/metal.md says what the machine does, and how servers are set up.",
    )
}

/// Where a tree without .treeinfo has what is needed (lorax: share/templates.d/99-generic).
const USUAL_PLACES: TreeLayout = TreeLayout {
    kernel: "images/pxeboot/vmlinuz",
    initrd: "images/pxeboot/initrd.img",
    stage2: &["images/install.img", "LiveOS/squashfs.img"],
};

/// `ozr media IMAGE OUTPUT`
#[derive(Debug, clap::Args)]
#[command(after_help = examples())]
pub struct Args {
    /// The image: raw or qcow2, or raw packed with zstd, xz or gzip
    #[arg(value_name = "IMAGE")]
    image: PathBuf,

    /// The ISO file to write; with --pxe the directory
    #[arg(value_name = "OUTPUT")]
    output: PathBuf,

    /// Write a directory for servers of PXE and HTTP boot in place of an ISO file; URL is where machines
    /// find it
    #[arg(long, value_name = "URL")]
    pxe: Option<String>,

    /// The install tree that kernel, initrd and boot loader are of [default: the one in the image's
    /// manifest, which lies beside it]
    #[arg(long, value_name = "URL")]
    tree: Option<String>,

    /// Directories below which a tree of --tree file:///… may lead, beside its own: where its `.treeinfo` or links lead
    /// out of it; may be given several times
    #[arg(long, value_name = "DIR")]
    file_root: Vec<PathBuf>,

    /// The disk of the machine that is to hold the image, such as /dev/nvme0n1 or
    /// /dev/disk/by-id/NAME [default: the only one that can]
    #[arg(long, value_name = "DEVICE", help_heading = "Machine")]
    disk: Option<String>,

    /// What is on that disk may be lost; without this only an empty disk is written
    #[arg(long, help_heading = "Machine")]
    overwrite: bool,

    /// Let the last partition end where the disk does; its file system grows when the system does that
    #[arg(long, help_heading = "Machine")]
    grow: bool,

    /// Restart the machine afterwards, which by then must boot from its disk first [default: switch it
    /// off]
    #[arg(long, help_heading = "Machine")]
    reboot: bool,

    /// Further words for the kernel that writes the image, such as console=ttyS0 or ip=...
    #[arg(
        long,
        value_name = "WORDS",
        default_value = "",
        hide_default_value = true,
        help_heading = "Machine"
    )]
    append: String,

    /// The SHA-256 that the image's file must have, instead of the one that lies beside it
    #[arg(long, value_name = "DIGEST")]
    sha256: Option<String>,

    /// Replace an existing ISO file
    #[arg(long)]
    force: bool,

    /// How to show how far it is: auto, live, plain, json, none, as for ozr install
    #[arg(long, value_name = "HOW", value_delimiter = ',')]
    progress: Vec<Progress>,
}

/// Makes a medium and prints its path.
///
/// # Errors
/// Input: the command line or the image is wrong, the name is taken. Host: a program is missing, there is no
/// room. Mirror: the tree cannot be used. Interrupted.
pub fn run(
    args: Args,
    config: Option<&Path>,
    verbosity: Verbosity,
    color: Color,
) -> anyhow::Result<()> {
    let options = config::load(config)?;
    let display = Display::open(&args.progress, true, verbosity, color)?;
    let reporter = display.reporter();
    let result = prepare(&args, &options, reporter).and_then(|ready| ready.make(&args, reporter));
    display.end(result.map(|path| vec![path]))
}

/// What is known before anything is spent.
struct Ready {
    runtime: Runtime,
    /// Where the medium is to be, absolute, and its directory.
    output: PathBuf,
    directory: PathBuf,
    tree: Url,
    /// Where machines find a directory.
    address: Option<Url>,
    arch: Arch,
    mirror: Mirror,
    source: Source,
    expected: Option<Paper>,
}

fn prepare(
    args: &Args,
    options: &crate::options::InstallOptions,
    reporter: &Reporter,
) -> anyhow::Result<Ready> {
    let named = args.sha256.as_deref().map(Paper::named).transpose();
    let named = named.kind(Kind::Input)?;
    menu::check_words("--append", &args.append).kind(Kind::Input)?;
    if let Some(disk) = &args.disk {
        menu::check_words("--disk", disk).kind(Kind::Input)?;
        if !disk.starts_with("/dev/") {
            fail!(
                Kind::Input,
                "--disk {}: name a path such as /dev/sda, or below /dev/disk/by-id",
                printable::line(disk)
            );
        }
    }
    let address = args.pxe.as_deref().map(address).transpose()?;
    let arch: Arch = std::env::consts::ARCH
        .parse()
        .map_err(|_| failed!(Kind::Host, "media are not made on such a machine"))?;
    loader::names(arch)?;
    medium::check(arch, args.pxe.is_none())?;
    let output = std::path::absolute(&args.output)
        .context("reading the current directory")
        .kind(Kind::Host)?;
    let directory = output.parent().map(Path::to_path_buf);
    let Some(directory) = directory.filter(|_| output.file_name().is_some()) else {
        fail!(Kind::Input, "{} is no name for a medium", output.display());
    };
    match args.pxe {
        Some(_) => check_free(&output)?,
        None => publish::check_replaceable("the medium", &output, args.force)?,
    }
    let beside = beside::look(&args.image)?;
    let tree = tree(args, beside.as_ref())?;
    if let Some(package) = beside.and_then(|beside| beside.lacks) {
        reporter.warn(format!(
            "{package} is not among the image's packages, so that it may boot on machines like the guest alone that it was installed in: install it with --portable"
        ));
    }
    let cache = directories::cache_dir(options.cache_dir.as_deref()).kind(Kind::Host)?;
    let mut mirror = MirrorOptions::of(options, cache);
    let host = tree.host_str().map(str::to_owned);
    mirror.credentials.client_cert_hosts.extend(host);
    if let Ok(path) = tree.to_file_path() {
        mirror.file_roots.push(path);
    }
    mirror.file_roots.extend(args.file_root.iter().cloned());
    let mirror = Mirror::new(mirror, reporter.clone())?;
    let runtime = signals::runtime()?;
    let Some(name) = args.image.to_str().filter(|name| *name != "-") else {
        fail!(
            Kind::Input,
            "an image on standard input cannot be put on a medium: name its file"
        );
    };
    let none = |_: &File| Ok(false);
    let (source, expected) = open::file(name, named, none, &runtime, reporter)?;
    Ok(Ready {
        runtime,
        output,
        directory,
        tree,
        address,
        arch,
        mirror,
        source,
        expected,
    })
}

impl Ready {
    fn make(self, args: &Args, reporter: &Reporter) -> anyhow::Result<PathBuf> {
        std::fs::create_dir_all(&self.directory)
            .map_err(|error| work_dir::cannot_write(&self.directory, &error))?;
        let stem = self.output.file_name().unwrap_or_default();
        let stem = stem.to_string_lossy().into_owned();
        let work = WorkDir::take(&self.directory, &stem, &hex::random()?)?;
        let Ready {
            runtime,
            output,
            tree,
            address,
            arch,
            mirror,
            source,
            expected,
            ..
        } = self;
        let made = async {
            let mut signals = Signals::listen().kind(Kind::Host)?;
            let making = async {
                let install_tree = fetch(&mirror, &tree, arch).await?;
                reporter.step(format!("reading {}", source.name));
                let image = read(source, expected, args, &work, reporter).await?;
                let job = job(args, &image)?;
                let title = args.image.file_name().unwrap_or_default();
                let title = title.to_string_lossy();
                let order = Order {
                    image: &image,
                    job: &job,
                    tree: &install_tree,
                    arch,
                    title: &title,
                    append: &args.append,
                };
                let size = human(image.size);
                let what = describe(args);
                reporter.note(format!("machines with a disk of {size} or more: {what}"));
                match &address {
                    None => medium::disc(&order, &mirror, work.path(), reporter).await,
                    Some(url) => {
                        medium::directory(&order, url, &mirror, work.path(), reporter).await
                    }
                }
            };
            tokio::select! {
                biased;
                name = signals.next() => {
                    blocking::stop();
                    fail!(Kind::Interrupted, "{name}: nothing was written")
                }
                made = making => made,
            }
        };
        let made = runtime.block_on(made);
        drop(runtime);
        let made = made?;
        match args.pxe {
            None => publish_file(&work, &made, &output, args.force)?,
            Some(_) => publish_directory(&made, &output)?,
        }
        Ok(output)
    }
}

/// What happens to the machine, for whoever made the medium: consent is given here.
fn describe(args: &Args) -> String {
    let disk = match &args.disk {
        Some(disk) => format!("{} is written", printable::line(disk)),
        None => "the only disk that can hold the image is written".to_owned(),
    };
    let content = match args.overwrite {
        true => "whatever is on it is lost",
        false => "if nothing is on it",
    };
    format!("{disk}, {content}")
}

async fn fetch(mirror: &Mirror, tree: &Url, arch: Arch) -> anyhow::Result<mirror::InstallTree> {
    let info = mirror.describe(tree).await;
    let info = info.map_err(mirror::Fault::into_error)?;
    if let Some(other) = info.filter(|info| !info.is_for(arch)) {
        fail!(
            Kind::Input,
            "the tree {} is for {}: media are made on a machine of the same architecture, as ozr itself runs on them",
            mirror::shown(tree),
            other.arch.as_deref().unwrap_or("another architecture")
        );
    }
    mirror.install_tree(tree, arch, &USUAL_PLACES).await
}

async fn read(
    source: Source,
    expected: Option<Paper>,
    args: &Args,
    work: &WorkDir,
    reporter: &Reporter,
) -> anyhow::Result<Image> {
    let (work, original) = (work.path().to_owned(), args.image.clone());
    let (grow, reporter) = (args.grow, reporter.clone());
    blocking::stoppable(move |stop| {
        let reading = image::Reading {
            expected: expected.as_ref(),
            grow,
            original: &original,
            work: &work,
        };
        image::prepare(source, &reading, stop, &reporter)
    })
    .await
}

fn job(args: &Args, image: &Image) -> anyhow::Result<Job> {
    let random = hex::random()?;
    // An ISO 9660 label: capital letters, digits, underscores (ECMA-119, 7.4.1).
    let label = format!("OZR_{}", random[..12].to_ascii_uppercase());
    Ok(Job {
        label,
        image: image.name.clone(),
        sha256: image.sha256.clone(),
        size: image.size,
        sector: image.sector,
        disk: args.disk.clone(),
        overwrite: args.overwrite,
        grow: args.grow,
        reboot: args.reboot,
    })
}

/// The tree's address: the one that is named, or that of the manifest beside the image.
fn tree(args: &Args, beside: Option<&Beside>) -> anyhow::Result<Url> {
    let told = beside.and_then(|beside| Some((beside.tree.as_ref()?, beside.from.as_str())));
    let (address, from) = match (&args.tree, told) {
        (Some(tree), _) => (tree, "--tree"),
        (None, Some(told)) => told,
        (None, None) if beside.is_some() => fail!(
            Kind::Input,
            "{} was installed from an ISO image, which machines cannot boot over a network: name the release's install tree with --tree",
            args.image.display()
        ),
        (None, None) => fail!(
            Kind::Input,
            "no manifest lies beside {}, so that it is not known which installer's kernel it needs: name the release's install tree with --tree",
            args.image.display()
        ),
    };
    let mut url = Url::parse(address)
        .with_context(|| format!("reading the address {} ({from})", printable::line(address)))
        .kind(Kind::Input)?;
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

/// Where machines find the directory.
fn address(url: &str) -> anyhow::Result<Url> {
    menu::check_words("--pxe", url).kind(Kind::Input)?;
    let parsed = Url::parse(url)
        .with_context(|| format!("reading the address {} (--pxe)", printable::line(url)))
        .kind(Kind::Input)?;
    if !matches!(parsed.scheme(), "http" | "https") || url.contains(char::is_whitespace) {
        fail!(
            Kind::Input,
            "--pxe {}: the image is fetched by http or https: name such an address",
            printable::line(url)
        );
    }
    Ok(parsed)
}

/// Nothing may be where the directory is to be.
fn check_free(output: &Path) -> anyhow::Result<()> {
    match std::fs::symlink_metadata(output) {
        Err(_) => Ok(()),
        Ok(_) => Err(taken(output)),
    }
}

fn taken(output: &Path) -> anyhow::Error {
    failed!(
        Kind::Input,
        "{} exists already: name a directory that is to be made",
        output.display()
    )
}

fn publish_file(work: &WorkDir, made: &Path, output: &Path, replace: bool) -> anyhow::Result<()> {
    let file = File::open(made).kind(Kind::Host)?;
    let from = made.file_name().unwrap_or_default().to_string_lossy();
    publish::publish(&[Finished {
        dir: work.dir().as_fd(),
        from: &from,
        file: &file,
        to: output.to_owned(),
        replace,
    }])
}

fn publish_directory(made: &Path, output: &Path) -> anyhow::Result<()> {
    match renameat_with(CWD, made, CWD, output, RenameFlags::NOREPLACE) {
        Err(Errno::EXIST) => Err(taken(output)),
        other => other
            .with_context(|| format!("naming {}", output.display()))
            .kind(Kind::Host),
    }
}
