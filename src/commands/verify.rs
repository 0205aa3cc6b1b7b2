//! `ozr verify`

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ValueEnum;

use super::inspect::Opening;
use super::{input, signals};
use crate::check::report::{self, Checked, Tally, sarif};
use crate::error::{Classify, Kind, fail, reported};
use crate::image::reader;
use crate::machine::Firmware;
use crate::options::TrustedKey;
use crate::secrets::Secret;
use crate::ui::printer::{self, Color, Verbosity};
use crate::verify::{self, Importer, Question, papers};

/// Examples, for `--help` and the manual page: the command, and what it does.
pub const EXAMPLES: &[(&str, &str)] = &[
    (
        "ozr verify --key gpg:release.asc rocky-9.qcow2",
        "Say whether the image is what its signed papers say.",
    ),
    (
        "ozr verify --for azure rocky-9.vhd",
        "Say whether Azure takes the file, and if not, why.",
    ),
    (
        "ozr verify --for vmware --firmware uefi *.ova",
        "The same for vSphere, of machines that start by UEFI.",
    ),
];

fn examples() -> String {
    super::examples_of(EXAMPLES)
}

/// `ozr verify [--for IMPORTER] FILE…`
#[derive(Debug, clap::Args)]
#[command(after_help = examples())]
pub struct Args {
    /// The files: disk images, archives, boxes
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// Who is to take them; without it images are compared with the papers beside them
    #[arg(long = "for", value_name = "IMPORTER")]
    importer: Option<Importer>,

    /// Trust the papers only if one of these keys has signed them: gpg:FILE (exported keys or a keyring),
    /// ssh:FILE (allowed signers or a public key), cosign:KEY; may be given more than once
    #[arg(long, value_name = "KEY", conflicts_with = "importer")]
    key: Vec<TrustedKey>,

    /// The firmware that the importer is told [default: any that starts the disk; that of an OVA's
    /// descriptor]
    #[arg(long, value_name = "FIRMWARE", requires = "importer")]
    firmware: Option<Firmware>,

    /// What opens the encrypted in the files.
    #[command(flatten)]
    opening: Opening,

    /// Count warnings as errors
    #[arg(long)]
    strict: bool,

    /// How findings are written
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: Format,
}

/// `--format`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people; on standard error
    Human,
    /// One JSON object on a line for each finding
    Json,
    /// A SARIF 2.1.0 log
    Sarif,
}

/// Says what is wrong with files.
///
/// # Errors
/// Input: something is; it has been reported. A file cannot be read.
pub fn run(args: &Args, verbosity: Verbosity, color: Color) -> anyhow::Result<()> {
    let passphrases = args.opening.passphrases()?;
    let runtime = signals::runtime()?;
    let mut files = Vec::with_capacity(args.files.len());
    for path in &args.files {
        files.push(look(args, path, &passphrases, &runtime)?);
    }
    match args.format {
        Format::Human => {
            let least = verbosity.least_severity();
            let mut text = report::human(&files, least, &color.for_stderr());
            if verbosity >= Verbosity::Normal {
                text.push_str(&report::summary(&Tally::of(&files)));
            }
            printer::print_report(&text);
        }
        Format::Json => printer::print_text(&report::json(&files)),
        Format::Sarif => {
            let root = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
            printer::print_text(&sarif::render(&files, &root));
        }
    }
    match Tally::of(&files).passes(args.strict) {
        true => Ok(()),
        false => Err(reported(Kind::Input)),
    }
}

fn look(
    args: &Args,
    path: &Path,
    passphrases: &[Secret],
    runtime: &tokio::runtime::Runtime,
) -> anyhow::Result<Checked> {
    let name = input::display_name(path);
    let file = input::open_image(path)
        .with_context(|| format!("opening {name}"))
        .kind(Kind::Input)?;
    if !file.metadata().kind(Kind::Input)?.is_file() {
        fail!(Kind::Input, "{name} is no regular file");
    }
    let question = Question {
        name: &name,
        file: &file,
        firmware: args.firmware,
        passphrases,
        program: Path::new(reader::OWN_PROGRAM),
    };
    let looking = async {
        match args.importer {
            Some(importer) => verify::verify(importer, &question).await,
            None => papers::verify(path, &question, &args.key).await,
        }
    };
    let findings = runtime
        .block_on(looking)
        .with_context(|| format!("reading {name}"))
        .kind(Kind::Input)?;
    Ok(Checked::of(&name, findings))
}
