//! `ozr install`

use std::path::{Path, PathBuf};

use crate::options::InstallOptions;
use crate::ui::event::Reporter;

const EXAMPLES: &str = "\
Examples:
  ozr install rocky-9.tdl -k web.ks
  ozr install rocky-9.tdl -k web.ks --output-dir /srv/images --compress zstd
  ozr install rocky-9.tdl -k web.ks --connect qemu:///system --network default

Every option may also stand in the configuration file, under its long name.";

/// `ozr install TEMPLATE`
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The TDL template (- for standard input)
    #[arg(value_name = "TEMPLATE")]
    template: PathBuf,

    /// Everything that the configuration file can hold, too.
    #[command(flatten)]
    options: InstallOptions,
}

/// Installs a template and prints the path of the image.
///
/// # Errors
/// Whatever ended the build; nothing unfinished is left.
pub fn run(_args: Args, _config: Option<&Path>, _reporter: &Reporter) -> anyhow::Result<()> {
    anyhow::bail!("waits for the other branches")
}
