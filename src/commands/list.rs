//! `ozr list`

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::ListFormat;
use super::running::{Where, remedy, runs_here};
use crate::install::control::{self, Status, socket};
use crate::state::register::BuildEntry;
use crate::ui::event::Reporter;
use crate::ui::printer;

/// How long a build may take to say how far it is. It answers in milliseconds; on a host that is
/// busy with 24 of them, in a second.
const PATIENCE: Duration = Duration::from_secs(3);

/// What stands for that which a build did not say.
const UNKNOWN: &str = "?";

/// `ozr list`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How the builds are written; `json` has all that is known of each
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: ListFormat,

    /// Which builds.
    #[command(flatten)]
    place: Where,
}

/// What has become of a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum BuildState {
    Running,
    /// Its process is gone, and what it had is not.
    Dead,
    /// Dead, and the user asked to keep what it had.
    Kept,
    /// Another machine's, with which this one shares the register.
    Elsewhere,
}

/// A build.
#[derive(Debug, Serialize)]
struct Row {
    state: BuildState,
    id: String,
    name: String,
    pid: u32,
    /// RFC 3339.
    started: String,
    age_seconds: u64,
    image: PathBuf,
    work_dir: PathBuf,
    connection: Option<String>,
    domain: String,
    /// What it says of itself: nothing if it is dead, or does not answer.
    status: Option<Status>,
}

/// Prints the builds in the register.
///
/// # Errors
/// Input: the configuration is wrong. Host: the register cannot be read.
pub fn run(args: &Args, config: Option<&Path>, reporter: &Reporter) -> anyhow::Result<()> {
    // Whoever cleans up must not find us holding what is dead.
    let builds: Vec<(BuildEntry, bool)> = args
        .place
        .builds(config)?
        .into_iter()
        .map(|build| (runs_here(&build), build.entry))
        .map(|(runs, entry)| (entry, runs))
        .collect();
    let rows = rows(&builds);
    printer::print_text(&match args.format {
        ListFormat::Json => super::json_lines(&rows),
        ListFormat::Human => table(&rows),
    });
    if rows.is_empty() {
        reporter.note("no build is running");
    }
    for (row, (entry, _)) in rows.iter().zip(&builds) {
        match row.state {
            BuildState::Running if row.status.is_none() => reporter.note(format!(
                "`{}` (process {}) did not answer within {} s",
                row.name,
                row.pid,
                PATIENCE.as_secs()
            )),
            BuildState::Running => {}
            _ => reporter.note(remedy(entry)),
        }
    }
    Ok(())
}

/// Asks all of them at once: one that hangs is not waited for again and again.
fn rows(builds: &[(BuildEntry, bool)]) -> Vec<Row> {
    std::thread::scope(|scope| {
        let rows: Vec<_> = builds
            .iter()
            .map(|(entry, alive)| scope.spawn(move || row(entry, *alive)))
            .collect();
        rows.into_iter().filter_map(|row| row.join().ok()).collect()
    })
}

fn row(entry: &BuildEntry, alive: bool) -> Row {
    let status = alive.then(|| control::status(&socket(&entry.runtime_dir), PATIENCE));
    let status = status.and_then(|status| {
        status
            .inspect_err(|error| tracing::debug!(name = %entry.name, %error, "asking a build"))
            .ok()
    });
    // The clock may have been set back since.
    let age = SystemTime::now()
        .duration_since(entry.started)
        .unwrap_or_default();
    Row {
        state: match (alive, entry.kept) {
            (true, _) => BuildState::Running,
            _ if entry.is_elsewhere() => BuildState::Elsewhere,
            (false, true) => BuildState::Kept,
            (false, false) => BuildState::Dead,
        },
        id: entry.id.clone(),
        name: entry.name.clone(),
        pid: entry.pid,
        started: humantime::format_rfc3339_seconds(entry.started.max(UNIX_EPOCH)).to_string(),
        age_seconds: age.as_secs(),
        image: entry.image.clone(),
        work_dir: entry.work_dir.clone(),
        connection: entry.connection.clone(),
        domain: entry.domain.clone(),
        status,
    }
}

fn table(rows: &[Row]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let head = ["NAME", "PID", "PHASE", "PERCENT", "AGE", "IMAGE"].map(str::to_owned);
    let body = rows.iter().map(|row| {
        let (phase, percent) = match (&row.status, row.state) {
            (Some(status), _) => (status.phase.clone(), format!("{} %", status.percent)),
            (None, BuildState::Running) => (UNKNOWN.to_owned(), UNKNOWN.to_owned()),
            (None, BuildState::Dead) => ("(dead)".to_owned(), "-".to_owned()),
            (None, BuildState::Kept) => ("(kept)".to_owned(), "-".to_owned()),
            (None, BuildState::Elsewhere) => ("(elsewhere)".to_owned(), "-".to_owned()),
        };
        [
            row.name.clone(),
            row.pid.to_string(),
            phase,
            percent,
            age(row.age_seconds),
            row.image.display().to_string(),
        ]
    });
    super::columns(&std::iter::once(head).chain(body).collect::<Vec<_>>())
}

/// How long ago, in one word: the two largest units.
fn age(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (0, _, _) => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        for (seconds, word) in [
            (0, "0s"),
            (59, "59s"),
            (61, "1m01s"),
            (3600, "1h00m"),
            (86_399, "23h59m"),
            (90_000, "1d01h"),
        ] {
            assert_eq!(age(seconds), word);
        }
    }

    #[test]
    fn the_living_the_silent_the_dead_and_the_kept() {
        let entry = |name: &str, kept| BuildEntry {
            pid: 7,
            name: name.to_owned(),
            started: SystemTime::now() + Duration::from_secs(3600),
            image: format!("/srv/{name}.qcow2").into(),
            machine: String::new(),
            kept,
            ..BuildEntry::example()
        };
        assert_eq!(table(&[]), "");
        let builds = [
            (entry("silent", false), true),
            (entry("dead", false), false),
            (entry("kept", true), false),
        ];
        let mut rows = rows(&builds);
        rows[1].age_seconds = 90;
        assert_eq!(
            table(&rows),
            "NAME    PID  PHASE   PERCENT  AGE    IMAGE\n\
             silent  7    ?       ?        0s     /srv/silent.qcow2\n\
             dead    7    (dead)  -        1m30s  /srv/dead.qcow2\n\
             kept    7    (kept)  -        0s     /srv/kept.qcow2\n"
        );
        let json = super::super::json_lines(&rows);
        let states: Vec<String> = json
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .map(|row| row["state"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(states, ["running", "dead", "kept"]);
    }
}
