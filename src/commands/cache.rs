//! `ozr cache`

use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Context;
use clap::Subcommand;

use crate::error::{Classify, Kind, fail};
use crate::image::disk::total;
use crate::install::warm::store::{MAX_AGE, Record, States};
use crate::mirror::{Cache, CacheEntry, PruneRules, Removal, Stats, Totals};
use crate::options::config;
use crate::state::directories;
use crate::ui::event::Reporter;
use crate::ui::printer;

/// `ozr cache list|stats|verify|prune|clear`
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
    /// List the cached files, one a line: bytes, last use, SHA-256, URL, path; saved installers first, with when
    /// they were saved, and their release in the URL's place
    List,
    /// Say what the cache holds and what it was good for, a name and a number on a line
    Stats,
    /// Read every byte, and remove what is damaged; exit status 4 if something was
    Verify,
    /// Remove what no build has used for a while; saved installers go first, and what a lock file names stays
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
            let states = States::find(&dir)?;
            let saved = states.as_ref().map(States::list).unwrap_or_default();
            for record in &saved {
                let path = states.as_ref().map(|states| states.path(&record.key));
                printer::print_result(&saved_line(record, &path.unwrap_or_default()));
            }
            let bytes = total(entries.iter().map(|entry| entry.bytes));
            for entry in &entries {
                printer::print_result(&line(&cache, entry));
            }
            reporter.note(format!(
                "{} files, {} MiB in {}",
                entries.len(),
                bytes >> 20,
                dir.display()
            ));
            if !saved.is_empty() {
                let bytes = total(saved.iter().map(|record| record.bytes));
                reporter.note(format!(
                    "{} saved installers, {} MiB",
                    saved.len(),
                    bytes >> 20
                ));
            }
        }
        Action::Stats => {
            for line in numbers(&cache.stats().kind(Kind::Host)?) {
                printer::print_result(&line);
            }
        }
        Action::Verify => return verify(&cache, reporter),
        Action::Prune {
            older_than,
            max_size,
        } => {
            let max_bytes = max_size.map(|mib| mib << 20);
            let downloads = total(cache.list().kind(Kind::Host)?.iter().map(|e| e.bytes));
            let room = max_bytes.map(|most| most.saturating_sub(downloads));
            let left = prune_states(&dir, (**older_than).min(MAX_AGE), room, reporter)?;
            let rules = PruneRules {
                unused_for: Some(**older_than),
                max_bytes: max_bytes.map(|most| most.saturating_sub(left)),
            };
            report(&cache.prune(&rules).kind(Kind::Host)?, reporter);
        }
        Action::Clear => return clear(&dir, reporter),
    }
    Ok(())
}

/// Looks at every byte.
fn verify(cache: &Cache, reporter: &Reporter) -> anyhow::Result<()> {
    let runtime = super::signals::runtime()?;
    let verified = runtime.block_on(cache.verify())?;
    for entry in &verified.damaged {
        printer::print_result(&format!("damaged\t{}\t{}", entry.sha256, entry.url));
    }
    let (right, lost, damaged) = (verified.right, verified.lost, verified.damaged.len());
    reporter.note(format!(
        "{right} files are as they were fetched, {damaged} were damaged, {lost} records had no file"
    ));
    if damaged > 0 {
        fail!(
            Kind::Host,
            "{damaged} damaged files were removed from the cache and are fetched anew when they are needed: check the disk below it"
        );
    }
    Ok(())
}

/// The statistics, a line each.
fn numbers(stats: &Stats) -> Vec<String> {
    let Totals { builds, traffic } = stats.totals;
    let mut lines: Vec<String> = [
        ("files", stats.files as u64),
        ("bytes", stats.bytes),
        ("bytes-unfinished", stats.unfinished),
        ("files-in-use", stats.in_use as u64),
        ("builds", builds),
        ("requests-to-mirrors", traffic.requests),
        ("bytes-from-mirrors", traffic.fetched),
        ("bytes-to-guests", traffic.served),
        ("bytes-to-guests-from-cache", traffic.cached),
        ("bytes-fetched-ahead", traffic.ahead),
    ]
    .map(|(name, number)| format!("{name}\t{number}"))
    .to_vec();
    let locks = stats.locks.iter();
    lines.extend(locks.map(|(path, here, all)| format!("lock\t{}\t{here}/{all}", path.display())));
    lines
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
    prune_states(dir, Duration::ZERO, Some(0), reporter)?;
    let cache = Cache::open(dir).kind(Kind::Host)?;
    report(&cache.clear().kind(Kind::Host)?, reporter);
    Ok(())
}

/// Removes saved installers that are older, or have no room; the bytes of those that stay.
fn prune_states(
    dir: &Path,
    age: Duration,
    room: Option<u64>,
    reporter: &Reporter,
) -> anyhow::Result<u64> {
    let Some(states) = States::find(dir)? else {
        return Ok(0);
    };
    let pruned = states.prune(age, room).context("removing saved installers");
    let (removed, left) = pruned.kind(Kind::Host)?;
    if !removed.is_empty() {
        let bytes = total(removed.iter().map(|record| record.bytes));
        reporter.note(format!(
            "removed {} saved installers, {} MiB",
            removed.len(),
            bytes >> 20
        ));
    }
    Ok(left)
}

fn saved_line(record: &Record, path: &Path) -> String {
    let saved = UNIX_EPOCH + Duration::from_secs(record.created);
    format!(
        "{}\t{}\t{}\tsaved installer of {}\t{}",
        record.bytes,
        humantime::format_rfc3339_seconds(saved),
        record.sha256,
        record.release,
        path.display()
    )
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
    if removal.kept_for_locks > 0 {
        reporter.note(format!(
            "{} files stay: lock files name them",
            removal.kept_for_locks
        ));
    }
    reporter.note(format!(
        "removed {} files, {} MiB",
        removal.removed.len(),
        removal.bytes >> 20
    ));
}
