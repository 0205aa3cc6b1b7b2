//! `ozr screenshot`

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use super::input;
use super::replace_file;
use super::running::Where;
use crate::error::{Classify, Kind, fail};
use crate::install::control::{self, socket};
use crate::ui::event::Reporter;
use crate::ui::printer;

/// How long the picture may take: more than the build itself gives libvirt for it.
const PATIENCE: Duration = Duration::from_secs(15);

/// `ozr screenshot BUILD`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The build: its name, its process number, or the beginning of its id [default: the only one that runs]
    #[arg(value_name = "BUILD")]
    name: Option<String>,

    /// Write the picture there; - is standard output [default: NAME-screen.png, here]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Which builds.
    #[command(flatten)]
    place: Where,
}

/// Takes a picture of the screen of a running build's guest.
///
/// # Errors
/// Input: there is no such build, or standard output is a terminal. Host: there is no picture, or
/// it cannot be written.
pub fn run(args: &Args, config: Option<&Path>, reporter: &Reporter) -> anyhow::Result<()> {
    let to_stdout = args.output.as_deref().is_some_and(input::is_stdin);
    if to_stdout && std::io::stdout().is_terminal() {
        fail!(
            Kind::Input,
            "a picture is nothing for a terminal: send standard output to a file, or name one with -o"
        );
    }
    let entry = args.place.find(args.name.as_deref(), config)?.entry;
    let picture = control::screenshot(&socket(&entry.runtime_dir), PATIENCE)
        .with_context(|| format!("there is no picture of the screen of `{}`", entry.name))
        .kind(Kind::Host)?;
    if to_stdout {
        return printer::print_bytes(&picture)
            .context("writing the picture to standard output")
            .kind(Kind::Host);
    }
    let file = match &args.output {
        Some(file) => file.clone(),
        None => PathBuf::from(format!("{}-screen.png", entry.name)),
    };
    // The user's alone: a screen can show anything.
    replace_file(&file, &picture, None)
        .with_context(|| format!("writing {}", file.display()))
        .kind(Kind::Host)?;
    reporter.detail(format!("{} bytes", picture.len()));
    printer::print_result(&file.display().to_string());
    Ok(())
}
