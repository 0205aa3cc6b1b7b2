//! `ozr cache`

use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use clap::Subcommand;

use crate::error::{Classify, Kind};
use crate::mirror::{Cache, CacheEntry, PruneRules, Removal};
use crate::options::config;
use crate::state::directories;
use crate::ui::event::Reporter;
use crate::ui::printer;

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
    /// List the cached files, one a line: bytes, last use, SHA-256, URL, path
    List,
    /// Remove what no build has used for a while
    Prune {
        /// Remove what was last used longer ago than this
        #[arg(long, value_name = "DURATION", default_value = "30d")]
        older_than: humantime::Duration,

        /// Then remove what was unused longest, until no more than this is left
        #[arg(long, value_name = "MIB")]
        max_size: Option<u64>,
    },
    /// Remove everything that no running build uses
    Clear,
}

/// Lists or empties the cache.
///
/// # Errors
/// Input: the configuration is wrong. Host: the cache cannot be read or written.
pub fn run(args: &Args, config: Option<&Path>, reporter: &Reporter) -> anyhow::Result<()> {
    let configured = config::load(config)?.cache_dir;
    let chosen = args.cache_dir.as_deref().or(configured.as_deref());
    let dir = directories::cache_dir(chosen).kind(Kind::Host)?;
    if !dir.exists() {
        reporter.note(format!("there is no cache at {}", dir.display()));
        return Ok(());
    }
    let cache = Cache::open(&dir).kind(Kind::Host)?;
    match &args.action {
        Action::List => {
            let entries = cache.list().kind(Kind::Host)?;
            let bytes: u64 = entries.iter().map(|entry| entry.bytes).sum();
            for entry in &entries {
                printer::print_result(&line(&cache, entry));
            }
            reporter.note(format!(
                "{} files, {} MiB in {}",
                entries.len(),
                bytes >> 20,
                dir.display()
            ));
        }
        Action::Prune {
            older_than,
            max_size,
        } => {
            let rules = PruneRules {
                unused_for: Some(**older_than),
                max_bytes: max_size.map(|mib| mib << 20),
            };
            report(&cache.prune(&rules).kind(Kind::Host)?, reporter);
        }
        Action::Clear => return clear(&dir, reporter),
    }
    Ok(())
}

/// Removes everything in the cache that no running build uses.
///
/// # Errors
/// Host: it cannot be read or written.
pub(super) fn clear(dir: &Path, reporter: &Reporter) -> anyhow::Result<()> {
    if !dir.exists() {
        reporter.note(format!("there is no cache at {}", dir.display()));
        return Ok(());
    }
    let cache = Cache::open(dir).kind(Kind::Host)?;
    report(&cache.clear().kind(Kind::Host)?, reporter);
    Ok(())
}

fn line(cache: &Cache, entry: &CacheEntry) -> String {
    let used = UNIX_EPOCH + Duration::from_secs(entry.used);
    let used = humantime::format_rfc3339_seconds(used);
    let in_use = if entry.in_use { "\tin use" } else { "" };
    format!(
        "{}\t{used}\t{}\t{}\t{}{in_use}",
        entry.bytes,
        entry.sha256,
        entry.url,
        cache.content_path(&entry.sha256).display()
    )
}

fn report(removal: &Removal, reporter: &Reporter) {
    for entry in &removal.removed {
        reporter.detail(format!("removed {}", entry.url));
    }
    for entry in &removal.kept_in_use {
        reporter.note(format!("{} stays: a running build uses it", entry.url));
    }
    reporter.note(format!(
        "removed {} files, {} MiB",
        removal.removed.len(),
        removal.bytes >> 20
    ));
}
