//! `ozr inspect`

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, bail};
use clap::ValueEnum;

use super::{inspected, signals};
use crate::disk::luks::{Key, Keys};
use crate::error::{Classify, Kind};
use crate::image::reader::{self, Image};
use crate::input;
use crate::inspect::{Inspection, Installed};
use crate::options::{Purpose, SbomFormat, SecretSource};
use crate::packages::Package;
use crate::sbom::{self, Subject};
use crate::secrets::Secret;
use crate::ui::printer;

/// Examples, for `--help` and the manual page: the command, and what it does.
pub const EXAMPLES: &[(&str, &str)] = &[
    (
        "ozr inspect rocky-9.qcow2",
        "What the image is, for people.",
    ),
    (
        "ozr inspect --format cyclonedx rocky-9.qcow2",
        "What it is made of, for a scanner.",
    ),
    (
        "ozr inspect --luks-passphrase prompt vault.qcow2",
        "The same of a system that is encrypted.",
    ),
];

fn examples() -> String {
    super::help_of(EXAMPLES, "docs/inspect.md describes the JSON.")
}

/// `ozr inspect IMAGE...`
#[derive(Debug, clap::Args)]
#[command(after_help = examples())]
pub struct Args {
    /// The image, raw or qcow2, or a block device; of a machine with several disks those of all, in order
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,

    /// How it is written
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: Format,

    /// What opens the encrypted in it.
    #[command(flatten)]
    opening: Opening,
}

/// What opens the encrypted in images.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Opening {
    /// Where the passphrase of the image's encrypted file systems (LUKS) is: file:PATH, env:NAME or prompt
    #[arg(long, value_name = "SOURCE")]
    luks_passphrase: Option<SecretSource>,
}

impl Opening {
    /// The passphrases. Not within a runtime of tokio's, for somebody may have to be asked.
    ///
    /// # Errors
    /// Input: they cannot be had.
    pub(super) fn passphrases(&self) -> anyhow::Result<Vec<Secret>> {
        let source = self.luks_passphrase.iter();
        source
            .map(|source| source.read("LUKS passphrase", Purpose::Known))
            .collect()
    }
}

/// The keys that passphrases give of what is encrypted in the images of a machine.
///
/// # Errors
/// They open nothing of it; an image cannot be read.
pub(super) async fn keys(files: &[File], passphrases: &[Secret]) -> anyhow::Result<Vec<Key>> {
    let program = Path::new(reader::OWN_PROGRAM);
    let Keys { keys, closed } = reader::keys(program, &Image::all(files), passphrases).await?;
    if keys.is_empty() && !closed.is_empty() {
        bail!(
            "nothing encrypted was opened: {}; see --luks-passphrase",
            closed.join("; ")
        );
    }
    Ok(keys)
}

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Human,
    /// A JSON object: docs/inspect.md
    Json,
    /// The packages as SPDX 2.3 (JSON)
    Spdx,
    /// The packages as CycloneDX 1.6 (JSON)
    Cyclonedx,
}

/// Says what an image is.
///
/// # Errors
/// Input: it cannot be read, or holds no packages where they are asked for.
pub fn run(args: &Args) -> anyhow::Result<()> {
    show(&args.images, args.format, &args.opening.passphrases()?)
}

/// Says for people what the images of a machine are, at least one.
///
/// # Errors
/// Input: one cannot be read.
pub(super) fn human(images: &[PathBuf]) -> anyhow::Result<()> {
    show(images, Format::Human, &[])
}

/// Reads what the images of a machine are, at least one; the passphrases open what is encrypted.
///
/// # Errors
/// Input: one cannot be read, or the passphrases open nothing of it.
pub(super) fn read(images: &[PathBuf], passphrases: &[Secret]) -> anyhow::Result<Inspection> {
    let runtime = signals::runtime()?;
    let read = async {
        let open = |image: &PathBuf| {
            let file = input::open_image(image);
            file.with_context(|| format!("reading {}", image.display()))
        };
        let files = images.iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let read = async {
            let keys = keys(&files, passphrases).await?;
            reader::inspect(Path::new(reader::OWN_PROGRAM), &files, &keys).await
        };
        read.await
            .with_context(|| format!("reading {}", images[0].display()))
    };
    runtime.block_on(read).kind(Kind::Input)
}

/// The system of an image that was read, and its packages.
///
/// # Errors
/// Input: there are none, or they could not be read.
pub(super) fn packages<'a>(
    image: &Path,
    inspection: &'a Inspection,
) -> anyhow::Result<(&'a Installed, &'a [Package])> {
    let system = inspection.system.as_ref();
    let packages = system.and_then(|system| Some((system, system.packages.as_deref()?)));
    packages
        .with_context(|| match inspection.troubles.as_slice() {
            [] => format!("{} has no RPM database", image.display()),
            troubles => format!(
                "the packages of {} cannot be told: {}",
                image.display(),
                troubles.join("; ")
            ),
        })
        .kind(Kind::Input)
}

fn show(images: &[PathBuf], format: Format, passphrases: &[Secret]) -> anyhow::Result<()> {
    let image = &images[0];
    let inspection = read(images, passphrases)?;
    let text = match format {
        Format::Human => inspected::text(&inspection),
        Format::Json => {
            let mut json = serde_json::to_string_pretty(&inspection)?;
            json.push('\n');
            json
        }
        Format::Spdx => described(image, &inspection, SbomFormat::Spdx)?,
        Format::Cyclonedx => described(image, &inspection, SbomFormat::Cyclonedx)?,
    };
    printer::print_text(&text);
    Ok(())
}

/// What the image is made of.
fn described(image: &Path, inspection: &Inspection, format: SbomFormat) -> anyhow::Result<String> {
    let (system, packages) = packages(image, inspection)?;
    let name = image.file_name().unwrap_or(image.as_os_str());
    let subject = Subject {
        name: &name.to_string_lossy(),
        sha256: None,
        release: &system.release,
        packages,
        created: SystemTime::now(),
    };
    sbom::write(format, &subject)
}
