//! `ozr diff`

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ValueEnum;

use super::{differing, signals};
use crate::diff::{self, Side};
use crate::error::{Classify, Kind, reported};
use crate::image::manifest::{Manifest, stems};
use crate::image::reader::{self, Image, Question};
use crate::input;
use crate::ui::printer;

/// How the names of manifests end.
const MANIFEST: &str = ".manifest.json";

/// Most bytes of a manifest: those of the largest systems have about 10 MiB.
const MOST_MANIFEST: u64 = 64 << 20;

/// Examples, for `--help` and the manual page: the command, and what it does.
pub const EXAMPLES: &[(&str, &str)] = &[
    (
        "ozr diff yesterday/rocky-9.qcow2 rocky-9.qcow2",
        "What is different, for people.",
    ),
    (
        "ozr diff --format markdown old.manifest.json new.manifest.json",
        "What the manifests tell of it, for a merge request.",
    ),
];

fn examples() -> String {
    super::help_of(EXAMPLES, "docs/diff.md describes the JSON.")
}

/// `ozr diff OLD NEW`
#[derive(Debug, clap::Args)]
#[command(after_help = examples())]
pub struct Args {
    /// The earlier image, raw or qcow2, or its manifest
    #[arg(value_name = "OLD")]
    old: PathBuf,

    /// The later one
    #[arg(value_name = "NEW")]
    new: PathBuf,

    /// How it is written
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: Format,

    /// End with exit status 1 if they differ in what they are made of
    #[arg(long)]
    exit_code: bool,
}

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Human,
    /// For a merge request, an issue, a page
    Markdown,
    /// A JSON object: docs/diff.md
    Json,
}

/// Says what is different.
///
/// # Errors
/// Input: one cannot be read. Build: they differ, and that is asked for.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let runtime = signals::runtime()?;
    let read = async {
        let (mut old, old_image) = side(&args.old).await?;
        let (mut new, new_image) = side(&args.new).await?;
        let (old_names, new_names) = diff::changelogs_wanted(&old, &new);
        if !new_names.is_empty() {
            old.changelogs = ask(old_image.as_ref(), &Question::Changelogs(old_names)).await?;
            new.changelogs = ask(new_image.as_ref(), &Question::Changelogs(new_names)).await?;
        }
        anyhow::Ok(diff::between(&old, &new))
    };
    let difference = runtime.block_on(read).kind(Kind::Input)?;
    printer::print_text(&match args.format {
        Format::Human => differing::text(&difference),
        Format::Markdown => differing::markdown(&difference),
        Format::Json => serde_json::to_string_pretty(&difference)? + "\n",
    });
    match args.exit_code && !difference.is_empty() {
        true => Err(reported(Kind::Build)),
        false => Ok(()),
    }
}

/// What is known of an image or a manifest, and the image.
async fn side(path: &Path) -> anyhow::Result<(Side, Option<File>)> {
    let name = input::display_name(path);
    let read = async {
        let mut side = Side {
            name: name.clone(),
            ..Side::default()
        };
        if path.to_string_lossy().ends_with(MANIFEST) {
            side.manifest = Some(manifest(path)?);
            return Ok((side, None));
        }
        side.manifest = beside(path);
        let files = [File::open(path)?];
        side.inspection = Some(reader::inspect(Path::new(reader::OWN_PROGRAM), &files).await?);
        let [file] = files;
        side.configuration = ask(Some(&file), &Question::Configuration).await?;
        anyhow::Ok((side, Some(file)))
    };
    read.await.with_context(|| format!("reading {name}"))
}

/// The answer to a question, if there is an image that can be asked.
async fn ask<T: serde::de::DeserializeOwned>(
    image: Option<&File>,
    question: &Question,
) -> anyhow::Result<Option<T>> {
    let Some(file) = image else {
        return Ok(None);
    };
    let image = [Image { file, below: None }];
    reader::ask(Path::new(reader::OWN_PROGRAM), &image, question)
        .await
        .map(Some)
}

fn manifest(path: &Path) -> anyhow::Result<Manifest> {
    let text = input::read_bounded(path, MOST_MANIFEST)?;
    serde_json::from_slice(&text).context("it is no manifest")
}

/// The manifest beside an image, whose name's endings may be several, if it names the image and its size.
fn beside(image: &Path) -> Option<Manifest> {
    let name = image.file_name()?.to_str()?;
    let size = image.metadata().ok()?.len();
    stems(name).find_map(|stem| {
        let manifest = manifest(&image.with_file_name(format!("{stem}{MANIFEST}"))).ok()?;
        let mut images = manifest.images.iter();
        let is_of_it = images.any(|image| image.file == name && image.size == size);
        is_of_it.then_some(manifest)
    })
}
