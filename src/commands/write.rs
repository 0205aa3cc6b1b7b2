//! `ozr write`

use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use super::display::Display;
use super::signals::{self, Signals};
use super::{input, inspected};
use crate::blocking;
use crate::error::{Classify, Kind, fail};
use crate::image::disk::human;
use crate::image::reader::{self, Image, Question};
use crate::inspect::Storage;
use crate::metal::copy::{self, Job};
use crate::metal::open::{self, Address};
use crate::metal::papers::Paper;
use crate::metal::source::Source;
use crate::metal::target::Candidate;
use crate::options::{Progress, config};
use crate::printable;
use crate::ui::event::Reporter;
use crate::ui::printer::{Color, Verbosity};

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
    let result = Address::of(&args.image, &options).and_then(|plan| write(&args, plan, reporter));
    display.end(result.map(|path| vec![path]))
}

fn write(args: &Args, address: Option<Address>, reporter: &Reporter) -> anyhow::Result<PathBuf> {
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
    let (source, expected) = match address {
        Some(address) => open::address(address, named, &runtime, reporter)?,
        None => {
            let is_target = |file: &_| candidate.is(file);
            open::file(&args.image, named, is_target, &runtime, reporter)?
        }
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
    written?.tell(&target.name, reporter);
    Ok(path)
}

/// Asks the write to stop at a signal.
async fn stop(mut signals: Signals, reporter: Reporter) {
    let name = signals.next().await;
    reporter.note(format!("{name}: stopping"));
    blocking::stop();
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
            keys: &[],
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
    match super::agrees(&text)? {
        true => Ok(()),
        false => fail!(Kind::Interrupted, "not confirmed: nothing was written"),
    }
}
