//! `ozr config`

use std::path::PathBuf;

use anyhow::Context;
use clap::Subcommand;

use crate::error::{Classify, Kind, fail};
use crate::input;
use crate::options::{config, oz_cfg};
use crate::ui::printer;

/// `ozr config from-oz FILE`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print the ozr.toml that says what an oz.cfg says, with remarks on what it cannot say
    FromOz {
        /// Oz's configuration (- for standard input)
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Translates a configuration.
///
/// # Errors
/// Input: it cannot be read, is not Oz's, or asks for what cannot be done.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let Action::FromOz { file } = &args.action;
    let name = input::display_name(file);
    let text = String::from_utf8(input::read(file, "configuration")?)
        .with_context(|| format!("{name} is not UTF-8"))
        .kind(Kind::Input)?;
    if oz_cfg::first_section(&text).is_none() {
        fail!(
            Kind::Input,
            "{name} is not Oz's configuration: it has none of the sections [paths], [libvirt], [cache], [icicle] and [timeouts]"
        );
    }
    let home = std::env::var("HOME").ok();
    let translation = oz_cfg::translate(&text, &name, home.as_deref()).kind(Kind::Input)?;
    let toml = translation.toml();
    // What it says must be right, too: a MAC address or a connection, say.
    config::parse(&text, &name).kind(Kind::Input)?;
    printer::print_text(&toml);
    Ok(())
}
