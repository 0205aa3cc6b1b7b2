//! `ozr cache`

use std::path::{Path, PathBuf};

use clap::Subcommand;

use crate::ui::event::Reporter;

/// `ozr cache list|prune|clear`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do with the cache.
    #[command(subcommand)]
    action: Action,

    /// Where the cache is [default: /var/cache/ozr for root, else ~/.cache/ozr]
    #[arg(long, value_name = "DIR", global = true)]
    cache_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the cached files, one a line: size, last use, digest, URL
    List,
    /// Remove what no build has used for a while
    Prune {
        /// Remove what was last used longer ago than this
        #[arg(long, value_name = "DURATION", default_value = "30d")]
        older_than: humantime::Duration,
    },
    /// Remove everything that no running build uses
    Clear,
}

/// Lists or empties the cache.
///
/// # Errors
/// Input: the configuration is wrong. Host: the cache cannot be read or written.
pub fn run(_args: &Args, _config: Option<&Path>, _reporter: &Reporter) -> anyhow::Result<()> {
    anyhow::bail!("waits for the mirror branch")
}
