//! `oz-cleanup-cache`

use clap::Parser;

use super::super::{agrees, cache};
use super::{Common, reporter};
use crate::error::{Classify, Kind};
use crate::state::directories;

/// `oz-cleanup-cache`
#[derive(Debug, Parser)]
#[command(
    name = "oz-cleanup-cache",
    version,
    about = "Empty the cache (Oz's oz-cleanup-cache, done by ozr cache clear)",
    max_term_width = 100,
    args_override_self = true,
    infer_long_args = true
)]
pub struct Args {
    #[command(flatten)]
    common: Common,

    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

/// Removes what is cached and no running build uses, if that is right.
///
/// # Errors
/// Those of `ozr cache clear`.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let configured = args.common.load()?.cache_dir;
    let dir = directories::cache_dir(configured.as_deref()).kind(Kind::Host)?;
    if !args.force {
        let question = format!("Remove what is cached in {}? (y/N) ", dir.display());
        if !agrees(&question)? {
            return Ok(());
        }
    }
    cache::clear(&dir, &reporter(&args.common))
}
