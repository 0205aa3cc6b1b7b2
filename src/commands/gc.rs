//! `ozr gc`

use std::path::{Path, PathBuf};

use super::running::Where;
use crate::error::{Classify, Kind, fail};
use crate::host::Connection;
use crate::install::leftovers::{self, Daemons, Leftover};
use crate::install::warm::store::States;
use crate::options::config;
use crate::state::{directories, slots};
use crate::ui::event::{Event, Reporter};
use crate::ui::printer;

/// Examples, for `--help` and the manual page: the command, and what it does.
pub const EXAMPLES: &[(&str, &str)] = &[
    (
        "ozr gc --dry-run",
        "Say what builds left that were killed, and remove nothing.",
    ),
    (
        "ozr gc --connect qemu:///system",
        "Remove it; look on the system's libvirt, too, for guests that no register tells of.",
    ),
];

/// `ozr gc`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Say what would be removed, and remove nothing
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Remove what --keep left, too
    #[arg(long)]
    kept: bool,

    /// Which builds.
    #[command(flatten)]
    place: Where,

    /// Where the cache is: of a saved installer that was being saved [default: as for an install]
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,

    /// libvirt connection where guests are looked for by their marks
    /// [default: $LIBVIRT_DEFAULT_URI, else none]
    #[arg(long, value_name = "URI")]
    connect: Option<String>,
}

/// Removes what dead builds left, and prints it, one line each.
///
/// # Errors
/// Input: the configuration or `--connect` is wrong. Host: something cannot be removed.
pub fn run(args: &Args, config: Option<&Path>, reporter: &Reporter) -> anyhow::Result<()> {
    let configured = config::load(config)?;
    let state_dir = args.place.state_dir(&configured)?;
    let connect = args.connect.as_deref().or(configured.connect.as_deref());
    let connection = Connection::choose(connect).kind(Kind::Input)?;
    let daemons = Daemons::default();
    let found = leftovers::find(&state_dir, &connection, &daemons)?;
    let mut failed = found.unseen.len();
    for error in &found.unseen {
        reporter.event(Event::Error(format!("{error:#}")));
    }
    for entry in &found.elsewhere {
        reporter.note(format!(
            "build `{}` of process {} was made on another machine: run `ozr gc` there",
            entry.name, entry.pid
        ));
    }
    if !args.dry_run {
        slots::remove_dead(&state_dir).kind(Kind::Host)?;
        let cache_dir = args.cache_dir.as_deref();
        let cache_dir = cache_dir.or(configured.cache_dir.as_deref());
        let cache_dir = directories::cache_dir(cache_dir).kind(Kind::Host)?;
        // That removes what is half saved. A directory that is not ours keeps no build's leftovers.
        if let Err(error) = States::find(&cache_dir) {
            failed += 1;
            reporter.event(Event::Error(format!("{error:#}")));
        }
    }
    let none = found.leftovers.is_empty();
    for leftover in found.leftovers {
        if leftover.kept() && !args.kept {
            tell_of_kept(&leftover, &daemons, reporter);
            continue;
        }
        let what = leftover.describe(&daemons);
        if args.dry_run {
            printer::print_result(&format!("would remove {what}"));
            continue;
        }
        match leftover.remove(&daemons) {
            Ok(()) => printer::print_result(&format!("removed {what}")),
            Err(error) => {
                failed += 1;
                reporter.event(Event::Error(format!(
                    "{what} could not be removed: {error:#}"
                )));
            }
        }
    }
    if failed > 0 {
        fail!(
            Kind::Host,
            "not everything could be looked at or removed: mend what is named above, then run `ozr gc` again"
        );
    }
    if none {
        reporter.note("nothing is left of any dead build");
    }
    Ok(())
}

fn tell_of_kept(leftover: &Leftover, daemons: &Daemons, reporter: &Reporter) {
    let reach = leftover.console(daemons).map_or(String::new(), |command| {
        format!("; `{command}` reaches its guest")
    });
    reporter.note(format!(
        "kept: {}{reach}; `ozr gc --kept` removes it",
        leftover.describe(daemons)
    ));
}
