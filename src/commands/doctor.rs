//! `ozr doctor`

use std::path::{Path, PathBuf};

use crate::ui::event::Reporter;

/// `ozr doctor`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The libvirt connection to look at [default: the embedded driver]
    #[arg(long, value_name = "URI")]
    connect: Option<String>,

    /// Where images would be written
    #[arg(long, value_name = "DIR", default_value = ".")]
    output_dir: PathBuf,
}

/// Shows what this host has and lacks.
///
/// # Errors
/// Host: something that every build needs is missing.
pub fn run(_args: &Args, _config: Option<&Path>, _reporter: &Reporter) -> anyhow::Result<()> {
    anyhow::bail!("waits for the host branch")
}
