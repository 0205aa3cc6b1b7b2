//! `ozr write`

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};

use anyhow::Context;
use url::Url;

use super::display::Display;
use super::signals::{self, Signals};
use super::{input, inspected};
use crate::blocking;
use crate::error::{Classify, Kind, fail};
use crate::image::checksum;
use crate::image::disk::human;
use crate::image::reader::{self, Image, Question};
use crate::inspect::Storage;
use crate::metal::copy::{self, Job, Written};
use crate::metal::papers::{self, Paper};
use crate::metal::source::Source;
use crate::metal::target::Candidate;
use crate::mirror::{self, Mirror, MirrorOptions};
use crate::options::{Progress, config};
use crate::printable;
use crate::state::directories;
use crate::ui::event::Reporter;
use crate::ui::printer::{self, Color, Verbosity};

/// Examples, for `--help` and the manual page: the command, and what it does.
pub const EXAMPLES: &[(&str, &str)] = &[
    (
        "ozr write rocky-9.qcow2 /dev/sdb",
        "Show the disk and what is on it, ask, write the image over it, and read it back.",
    ),
    (
        "ozr write --yes --grow https://images.example/rocky-9.raw.zst /dev/disk/by-id/nvme-X",
        "Write while it comes, without asking; the last partition ends where the disk does.",
    ),
];

fn examples() -> String {
    super::help_of(
        EXAMPLES,
        "docs/metal.md says what is refused, and what a cut write leaves.",
    )
}

/// Pieces of a download that wait to be unpacked.
const WAITING: usize = 64;

/// `ozr write IMAGE DEVICE`
#[derive(Debug, clap::Args)]
#[command(after_help = examples())]
pub struct Args {
    /// The image: raw or qcow2, raw packed with zstd, xz or gzip, an http(s) address of a raw one,
    /// packed or not, or - for standard input
    #[arg(value_name = "IMAGE")]
    image: String,

    /// The whole disk that is to hold it, such as /dev/sdb
    #[arg(value_name = "DEVICE")]
    device: PathBuf,

    /// Do not ask
    #[arg(short, long)]
    yes: bool,

    /// Let the last partition end where the disk does; its file system grows when the system does that
    #[arg(long)]
    grow: bool,

    /// The SHA-256 that the image's file must have, instead of the one that lies beside it
    #[arg(long, value_name = "DIGEST")]
    sha256: Option<String>,

    /// DEVICE is a regular file, which has the size of a disk
    #[arg(long)]
    to_file: bool,

    /// How to show how far it is: auto, live, plain, json, none, as for ozr install
    #[arg(long, value_name = "HOW", value_delimiter = ',')]
    progress: Vec<Progress>,
}

/// Writes an image to a disk and prints the disk's path.
///
/// # Errors
/// Input: the image or the disk is refused. Host: the disk fails. Mirror: the image does not come. If
/// anything was written, the disk says that it is not whole.
pub fn run(
    args: Args,
    config: Option<&Path>,
    verbosity: Verbosity,
    color: Color,
) -> anyhow::Result<()> {
    let options = config::load(config)?;
    let display = Display::open(&args.progress, true, verbosity, color)?;
    let reporter = display.reporter();
    let result =
        MirrorPlan::of(&args.image, &options).and_then(|plan| write(&args, plan, reporter));
    display.end(result.map(|path| vec![path]))
}

/// An address, and how it is reached.
struct MirrorPlan {
    url: Url,
    options: MirrorOptions,
}

impl MirrorPlan {
    /// That of an image that is an address.
    fn of(
        image: &str,
        configured: &crate::options::InstallOptions,
    ) -> anyhow::Result<Option<MirrorPlan>> {
        if !image.starts_with("http://") && !image.starts_with("https://") {
            return Ok(None);
        }
        let url = Url::parse(image)
            .with_context(|| format!("reading the address {}", printable::line(image)))
            .kind(Kind::Input)?;
        let cache = directories::cache_dir(configured.cache_dir.as_deref()).kind(Kind::Host)?;
        let mut options = MirrorOptions::of(configured, cache);
        let host = url.host_str().map(str::to_owned);
        options.credentials.client_cert_hosts.extend(host);
        Ok(Some(MirrorPlan { url, options }))
    }
}

fn write(args: &Args, mirror: Option<MirrorPlan>, reporter: &Reporter) -> anyhow::Result<PathBuf> {
    let named = args.sha256.as_deref().map(Paper::named).transpose();
    let named = named.kind(Kind::Input)?;
    let runtime = signals::runtime()?;
    let candidate = Candidate::look(&args.device, args.to_file)?;
    if !args.yes && (input::is_stdin(Path::new(&args.image)) || !io::stdin().is_terminal()) {
        fail!(
            Kind::Input,
            "nobody can be asked whether {} may be written, for standard input is no terminal: say --yes if it may",
            candidate.path.display()
        );
    }
    let (source, expected) = match mirror {
        Some(plan) => from_address(plan, named, &runtime, reporter)?,
        None => from_file(&args.image, named, &candidate, &runtime, reporter)?,
    };
    if expected.is_none() {
        reporter.warn(format!(
            "nothing says which digest {} should have (a .sha256 or CHECKSUM beside it, --sha256), so that only what is written is checked",
            source.name
        ));
    }
    if !args.yes {
        ask(args, &candidate, &source, &runtime)?;
    }
    let path = candidate.path.clone();
    let target = candidate.claim()?;
    // Until now a signal ended the process as it ends others.
    let signals = {
        let _inside = runtime.enter();
        Signals::listen().kind(Kind::Host)?
    };
    runtime.spawn(stop(signals, reporter.clone()));
    let job = Job {
        source,
        expected,
        grow: args.grow,
    };
    let written = copy::write(&target, job, reporter);
    // An address that still sends is not waited for.
    runtime.shutdown_background();
    tell(&written?, &target.name, reporter);
    Ok(path)
}

/// Asks the write to stop at a signal.
async fn stop(mut signals: Signals, reporter: Reporter) {
    let name = signals.next().await;
    reporter.note(format!("{name}: stopping"));
    blocking::stop();
}

/// Says what was written.
fn tell(written: &Written, name: &str, reporter: &Reporter) {
    reporter.detail(format!(
        "{} written, {} of them zeroes",
        human(written.size),
        human(written.zeroes)
    ));
    if !written.proved {
        reporter.warn(format!(
            "{name} was read back from what the kernel remembers of it, for its file system cannot do otherwise"
        ));
    }
    if let Some(grown) = &written.grown {
        reporter.note(format!(
            "partition {} has grown from {} to {}; the file system in it grows at the first boot if the system does that (cloud-init, systemd-growfs), else by xfs_growfs or resize2fs",
            grown.number,
            human(grown.from),
            human(grown.to)
        ));
    }
    reporter.note(format!("{name} holds the image, and was read back"));
}

/// The image in a file or on standard input, whose digest is looked at first where that can be.
fn from_file(
    image: &str,
    named: Option<Paper>,
    candidate: &Candidate,
    runtime: &tokio::runtime::Runtime,
    reporter: &Reporter,
) -> anyhow::Result<(Source, Option<Paper>)> {
    let path = Path::new(image);
    let shown = input::display_name(path);
    let opening = || format!("opening {shown}");
    if input::is_stdin(path) {
        let source = Source::stream(shown.clone(), io::stdin(), None, Kind::Input);
        return Ok((source.with_context(opening).kind(Kind::Input)?, named));
    }
    let file = File::open(path).with_context(opening).kind(Kind::Input)?;
    if candidate.is(&file).kind(Kind::Input)? {
        fail!(
            Kind::Input,
            "{shown} is both the image and the disk: name two"
        );
    }
    if !file.metadata().kind(Kind::Input)?.is_file() {
        fail!(
            Kind::Input,
            "{shown} is no file: name an image, or - for standard input"
        );
    }
    let paper = match named {
        Some(paper) => Some(paper),
        None => papers::beside(path)?,
    };
    if let Some(paper) = &paper {
        reporter.step(format!("checking {shown} against {}", paper.from));
        let (digest, _) = runtime
            .block_on(checksum::sha256(&file))
            .kind(Kind::Input)?;
        if digest != paper.sha256 {
            return Err(copy::differs(&shown, &digest, paper, Kind::Input));
        }
    }
    (&file).rewind().kind(Kind::Input)?;
    let source = Source::file(path, file).with_context(opening);
    Ok((source.kind(Kind::Input)?, paper))
}

/// The image at an address, which comes while it is written.
fn from_address(
    plan: MirrorPlan,
    named: Option<Paper>,
    runtime: &tokio::runtime::Runtime,
    reporter: &Reporter,
) -> anyhow::Result<(Source, Option<Paper>)> {
    let MirrorPlan { url, options } = plan;
    let mirror = Mirror::new(options, reporter.clone())?;
    let shown = mirror::shown(&url);
    reporter.step(format!("getting {shown}"));
    let paper = match named {
        Some(paper) => Some(paper),
        None => runtime
            .block_on(papers::beside_address(&mirror, &url))
            .map_err(mirror::Fault::into_error)?,
    };
    let (sender, receiver) = sync_channel(WAITING);
    let (length_sender, length) = sync_channel(1);
    let handle = runtime.handle().clone();
    let come = move || {
        let begin = |length| {
            // It is sent once, and there is room for it.
            let _ = length_sender.try_send(length);
        };
        let take = |bytes: &[u8]| sender.send(Ok(bytes.to_vec())).is_ok();
        if let Err(error) = handle.block_on(mirror.stream(&url, begin, take)) {
            let _ = sender.send(Err(format!("{error:#}")));
        }
    };
    let thread = std::thread::Builder::new().name("download".to_owned());
    thread.spawn(come).kind(Kind::Host)?;
    let stream = Pieces {
        from: receiver,
        piece: io::Cursor::default(),
    };
    // Its length comes before its first byte; a failure comes with that.
    let length = length.recv().ok().flatten();
    let source = Source::stream(shown.clone(), stream, length, Kind::Mirror);
    Ok((source.kind(Kind::Mirror)?, paper))
}

/// What another thread sends, as one stream.
struct Pieces {
    from: Receiver<Result<Vec<u8>, String>>,
    piece: io::Cursor<Vec<u8>>,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.piece.read(into)? {
                0 if !into.is_empty() => match self.from.recv() {
                    Ok(Ok(piece)) => self.piece = io::Cursor::new(piece),
                    Ok(Err(why)) => return Err(io::Error::other(why)),
                    Err(_) => return Ok(0),
                },
                read => return Ok(read),
            }
        }
    }
}

/// Shows what is written where, and asks.
fn ask(
    args: &Args,
    candidate: &Candidate,
    source: &Source,
    runtime: &tokio::runtime::Runtime,
) -> anyhow::Result<()> {
    let found = runtime.block_on(async {
        let program = Path::new(reader::OWN_PROGRAM);
        let image = Image {
            file: &candidate.file,
            below: None,
        };
        reader::ask::<Storage>(program, &[image], &Question::Storage).await
    });
    let path = candidate.path.display();
    let mut text = format!("{path}: {}", human(candidate.size));
    if let Some(device) = candidate.device() {
        let (model, serial) = device.about();
        for (what, value) in [("", model), ("serial ", serial)] {
            if let Some(value) = value {
                // Writing into a string does not fail.
                let _ = write!(text, ", {what}{}", printable::line(&value));
            }
        }
    }
    text.push('\n');
    match found {
        Ok(storage) => text.push_str(&inspected::storage_text(&storage)),
        Err(why) => {
            let why = format!("{why:#}");
            let _ = writeln!(
                text,
                "what is on it cannot be told: {}",
                printable::line(&why)
            );
        }
    }
    let size = source
        .size
        .map_or_else(String::new, |size| format!(" ({})", human(size)));
    let grow = if args.grow {
        ", and grow its last partition"
    } else {
        ""
    };
    let _ = write!(
        text,
        "All that is on {path} will be lost. Write {}{size} over it{grow}? [y/N] ",
        printable::line(&source.name)
    );
    printer::print_report(&text);
    let mut answer = String::new();
    io::stdin()
        .read_line(&mut answer)
        .context("reading the answer")
        .kind(Kind::Host)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => fail!(Kind::Interrupted, "not confirmed: nothing was written"),
    }
}
