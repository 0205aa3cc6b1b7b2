//! `ozr check`

use std::path::PathBuf;

use crate::ui::event::Reporter;

/// `ozr check TEMPLATE…`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The TDL templates (- for standard input)
    #[arg(value_name = "TEMPLATE", required = true)]
    templates: Vec<PathBuf>,
}

/// Checks templates.
///
/// # Errors
/// Input: a template is wrong or cannot be read.
pub fn run(_args: &Args, _reporter: &Reporter) -> anyhow::Result<()> {
    anyhow::bail!("waits for the tdl branch")
}
