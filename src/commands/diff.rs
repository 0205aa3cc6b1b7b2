//! `ozr diff`

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ValueEnum;

use super::builds::{self, Left};
use super::inspect::{self, Opening};
use super::running::Where;
use super::{differing, signals};
use crate::diff::{self, Side};
use crate::disk::luks::Key;
use crate::error::{Classify, Kind, fail, reported};
use crate::image::manifest::{self, Manifest, stems};
use crate::image::reader::{self, Image, Question};
use crate::input;
use crate::install::history::Alike;
use crate::options::config;
use crate::secrets::Secret;
use crate::ui::printer;

/// How the names of manifests end.
const MANIFEST: &str = ".manifest.json";

/// Examples, for `--help` and the manual page: the command, and what it does.
pub const EXAMPLES: &[(&str, &str)] = &[
    (
        "ozr diff yesterday/rocky-9.qcow2 rocky-9.qcow2",
        "What is different, for people.",
    ),
    (
        "ozr diff web",
        "The same of the last two builds of web that are kept.",
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
    /// The earlier image, raw or qcow2, its manifest, or the name or id of a build: of a name alone, the last two
    /// builds that are kept
    #[arg(value_name = "OLD")]
    old: PathBuf,

    /// The later one
    #[arg(value_name = "NEW")]
    new: Option<PathBuf>,

    /// How it is written
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: Format,

    /// End with exit status 1 if they differ in what they are made of
    #[arg(long)]
    exit_code: bool,

    /// What opens the encrypted in the images.
    #[command(flatten)]
    opening: Opening,

    /// Where builds are noted.
    #[command(flatten)]
    place: Where,
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
pub fn run(args: &Args, config: Option<&Path>) -> anyhow::Result<()> {
    let (old, new) = sides(args, config)?;
    let passphrases = args.opening.passphrases()?;
    let runtime = signals::runtime()?;
    let read = async {
        let (mut old, old_image) = side(&old, &passphrases).await?;
        let (mut new, new_image) = side(&new, &passphrases).await?;
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

/// The two files that are meant.
fn sides(args: &Args, config: Option<&Path>) -> anyhow::Result<(PathBuf, PathBuf)> {
    let files = [Some(&args.old), args.new.as_ref()];
    // Without a name nothing need be known of builds.
    if let [Some(old), Some(new)] = files
        && is_file(old)
        && is_file(new)
    {
        return Ok((old.clone(), new.clone()));
    }
    let state_dir = args.place.state_dir(&config::load(config)?)?;
    let all = builds::all(&state_dir)?;
    let Some(new) = &args.new else {
        if is_file(&args.old) {
            let old = args.old.display();
            fail!(
                Kind::Input,
                "{old} is one image: name the other one behind it, or a build's name alone"
            );
        }
        return last_two(&args.old, &all);
    };
    let last = |named: &Path| {
        if is_file(named) {
            return Ok(named.to_owned());
        }
        let (name, mut left) = left(named, &all)?;
        left.pop().with_context(|| format!("nothing is left of the builds of `{name}`: their images were replaced or removed"))
            .kind(Kind::Input)
    };
    Ok((last(&args.old)?, last(new)?))
}

/// Whether a file is meant, and no build.
fn is_file(named: &Path) -> bool {
    named.components().count() > 1 || named.exists() || named.to_string_lossy().ends_with(MANIFEST)
}

/// What is left of the last two builds of a name.
fn last_two(named: &Path, all: &[Alike]) -> anyhow::Result<(PathBuf, PathBuf)> {
    let (name, mut left) = left(named, all)?;
    let (new, old) = (left.pop(), left.pop());
    old.zip(new)
        .with_context(|| format!("two builds of `{name}` are needed that are still there: --keep-builds keeps several"))
        .kind(Kind::Input)
}

/// What is left of the builds of a name, the newest last.
fn left(named: &Path, all: &[Alike]) -> anyhow::Result<(String, Vec<PathBuf>)> {
    let name = named.to_string_lossy().into_owned();
    let found = builds::find(&name, all)?;
    let left = found.into_iter().filter_map(Left::of);
    let left = left.map(|left| left.image.unwrap_or(left.manifest));
    Ok((name, left.collect()))
}

/// An image, and what opens the encrypted in it.
struct Opened {
    file: File,
    keys: Vec<Key>,
}

/// What is known of an image or a manifest, and the image.
async fn side(path: &Path, passphrases: &[Secret]) -> anyhow::Result<(Side, Option<Opened>)> {
    let name = input::display_name(path);
    let read = async {
        let mut side = Side {
            name: name.clone(),
            ..Side::default()
        };
        if path.to_string_lossy().ends_with(MANIFEST) {
            side.manifest = Some(manifest::read(path)?);
            return Ok((side, None));
        }
        side.manifest = beside(path);
        let files = [input::open_image(path)?];
        let keys = inspect::keys(&files, passphrases).await?;
        let program = Path::new(reader::OWN_PROGRAM);
        side.inspection = Some(reader::inspect(program, &files, &keys).await?);
        let [file] = files;
        let image = Opened { file, keys };
        side.configuration = ask(Some(&image), &Question::Configuration).await?;
        anyhow::Ok((side, Some(image)))
    };
    read.await.with_context(|| format!("reading {name}"))
}

/// The answer to a question, if there is an image that can be asked.
async fn ask<T: serde::de::DeserializeOwned>(
    image: Option<&Opened>,
    question: &Question,
) -> anyhow::Result<Option<T>> {
    let Some(Opened { file, keys }) = image else {
        return Ok(None);
    };
    let image = [Image {
        file,
        below: None,
        keys,
    }];
    reader::ask(Path::new(reader::OWN_PROGRAM), &image, question)
        .await
        .map(Some)
}

/// The manifest beside an image, whose name's endings may be several, if it names the image and its size.
pub(super) fn beside(image: &Path) -> Option<Manifest> {
    let name = image.file_name()?.to_str()?;
    let size = image.metadata().ok()?.len();
    stems(name).find_map(|stem| {
        let manifest = manifest::read(&image.with_file_name(format!("{stem}{MANIFEST}"))).ok()?;
        let mut images = manifest.images.iter();
        let is_of_it = images.any(|image| image.file == name && image.size == size);
        is_of_it.then_some(manifest)
    })
}
