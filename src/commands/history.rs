//! `ozr history`

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::builds::{self, Left};
use super::running::Where;
use super::{ListFormat, columns};
use crate::image::disk::{human, total};
use crate::install::history::{Alike, Build, ImageFile, medians};
use crate::options::config;
use crate::printable;
use crate::ui::event::{Reporter, elapsed};
use crate::ui::printer;
use crate::watch::phases::Phase;
use crate::watch::verdict::to_the_millisecond;

/// A phase is pointed out that is so many times as long as its median, and longer by so many seconds: of what takes a
/// second, half as long again is nothing.
const SLOW: f64 = 1.5;
const SLOW_BY: f64 = 1.0;

/// Digits of an id that tell builds apart.
const SHORT_ID: usize = 8;

/// Examples, for `--help` and the manual page: the command, and what it does.
pub const EXAMPLES: &[(&str, &str)] = &[
    (
        "ozr history web",
        "The last builds of web, and what took longer than usual.",
    ),
    (
        "ozr history web --last 100 --format json",
        "All that is known of the last hundred, one JSON object on a line.",
    ),
];

fn examples() -> String {
    super::help_of(EXAMPLES, "docs/history.md describes the JSON.")
}

/// `ozr history [NAME]`
#[derive(Debug, clap::Args)]
#[command(after_help = examples())]
pub struct Args {
    /// The image's name, or the beginning of a build's id [default: all]
    #[arg(value_name = "NAME")]
    name: Option<String>,

    /// How many builds are shown, the newest
    #[arg(long, value_name = "N", default_value_t = 20)]
    last: usize,

    /// How the builds are written; `json` has all that is known of each
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: ListFormat,

    /// Where builds are noted.
    #[command(flatten)]
    place: Where,
}

/// A build, for programs: `docs/history.md`.
#[derive(Debug, Serialize)]
struct Row<'a> {
    id: &'a str,
    name: &'a str,
    started: &'a str,
    finished: &'a str,
    seconds: f64,
    verdict: &'a str,
    message: Option<&'a str>,
    accelerator: Option<&'a str>,
    phases: Vec<PhaseRow>,
    finishing: Option<f64>,
    size: u64,
    images: Vec<ImageRow<'a>>,
    manifest: Option<&'a PathBuf>,
    kept: bool,
}

/// An image of a build.
#[derive(Debug, Serialize)]
struct ImageRow<'a> {
    path: &'a Path,
    size: u64,
}

/// A phase of a build.
#[derive(Debug, Serialize)]
struct PhaseRow {
    name: Phase,
    seconds: f64,
    median: Option<f64>,
    slow: bool,
}

/// Prints the builds that have ended.
///
/// # Errors
/// Input: there is none of that name; the configuration is wrong. Host: they cannot be read.
pub fn run(args: &Args, config: Option<&Path>, reporter: &Reporter) -> anyhow::Result<()> {
    let state_dir = args.place.state_dir(&config::load(config)?)?;
    let all = builds::all(&state_dir)?;
    let mut found: Vec<&Build> = match &args.name {
        Some(name) => builds::find(name, &all)?,
        None => all.iter().flatten().collect(),
    };
    found.sort_by(|one, other| one.finished.cmp(&other.finished));
    let shown = &found[found.len().saturating_sub(args.last)..];
    let rows: Vec<Row<'_>> = shown.iter().map(|build| row(build, &all)).collect();
    printer::print_text(&match args.format {
        ListFormat::Json => super::json_lines(&rows),
        ListFormat::Human => text(&rows),
    });
    if rows.is_empty() {
        reporter.note("no build has been noted");
    }
    Ok(())
}

fn row<'a>(build: &'a Build, all: &[Alike]) -> Row<'a> {
    let alike = all.iter().find_map(|alike| {
        let at = alike.iter().position(|other| other.id == build.id)?;
        Some(&alike[..=at])
    });
    let medians = alike.and_then(medians).unwrap_or_default();
    let phases = build.phases.iter().map(|(name, seconds)| {
        let median = medians.get(name).copied().map(to_the_millisecond);
        PhaseRow {
            name: *name,
            seconds: *seconds,
            median,
            slow: median
                .is_some_and(|median| *seconds >= SLOW * median && seconds - median >= SLOW_BY),
        }
    });
    Row {
        id: &build.id,
        name: &build.name,
        started: &build.started,
        finished: &build.finished,
        seconds: build.seconds,
        verdict: &build.verdict,
        message: build.message.as_deref(),
        accelerator: build.accelerator.as_deref(),
        phases: phases.collect(),
        finishing: build.finishing,
        size: total(build.images.iter().map(|image| image.size)),
        images: build.images.iter().map(image).collect(),
        manifest: build.manifest.as_ref(),
        kept: Left::of(build).is_some(),
    }
}

fn image(image: &ImageFile) -> ImageRow<'_> {
    ImageRow {
        path: &image.path,
        size: image.size,
    }
}

fn text(rows: &[Row<'_>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let head = ["ENDED", "NAME", "BUILD", "VERDICT", "TIME", "SIZE", "THERE"];
    let mut table = vec![head.map(str::to_owned)];
    table.extend(rows.iter().map(|row| {
        let size = if row.images.is_empty() {
            String::new()
        } else {
            human(row.size)
        };
        [
            row.finished.to_owned(),
            row.name.to_owned(),
            row.id.chars().take(SHORT_ID).collect(),
            row.verdict.to_owned(),
            elapsed(Duration::from_secs_f64(row.seconds)),
            size,
            if row.kept { "yes" } else { "" }.to_owned(),
        ]
    }));
    let mut text = columns(&table);
    for row in rows {
        for phase in row.phases.iter().filter(|phase| phase.slow) {
            let id: String = row.id.chars().take(SHORT_ID).collect();
            let line = format!(
                "{id}: {} took {:.1} s, and {:.1} s as a rule",
                phase.name.name(),
                phase.seconds,
                phase.median.unwrap_or_default()
            );
            text.push_str(&printable::line(&line));
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::history;

    fn build(number: u64, seconds: f64) -> Build {
        Build {
            id: format!("{number:032}"),
            phases: [(Phase::Packages, seconds), (Phase::Kernel, 0.1 * seconds)].into(),
            ..history::sample()
        }
    }

    #[test]
    fn a_phase_half_again_as_long_as_its_median_is_pointed_out() {
        let times = [10.0, 11.0, 9.0, 14.9, 15.0, 90.0];
        let alike: Alike = (0..)
            .zip(times)
            .map(|(number, time)| build(number, time))
            .collect();
        let all = [alike];
        let slow: Vec<Vec<Phase>> = all[0]
            .iter()
            .map(|build| {
                let phases = row(build, &all).phases.into_iter();
                phases
                    .filter(|phase| phase.slow)
                    .map(|phase| phase.name)
                    .collect()
            })
            .collect();
        let (none, packages) = (Vec::new(), vec![Phase::Packages]);
        let both = vec![Phase::Kernel, Phase::Packages];
        assert_eq!(
            slow,
            [&none, &none, &none, &none, &packages, &both].map(Clone::clone)
        );
        let rows: Vec<Row<'_>> = all[0].iter().map(|build| row(build, &all)).collect();
        let text = text(&rows);
        assert!(
            text.contains("packages took 90.0 s, and 11.0 s as a rule"),
            "{text}"
        );
        assert_eq!(
            text.lines()
                .filter(|line| line.contains("as a rule"))
                .count(),
            3
        );
    }

    #[test]
    fn sizes_that_no_disk_has_are_no_defect() {
        let mut strange = build(0, 1.0);
        strange.images = vec![strange.images[0].clone(); 2];
        strange.images[1].size = u64::MAX;
        let all = [vec![strange]];
        assert_eq!(row(&all[0][0], &all).size, u64::MAX);
    }

    #[test]
    fn the_documentation_names_every_field_and_no_other() {
        let all = [vec![
            build(0, 1.0),
            build(1, 1.0),
            build(2, 1.0),
            history::sample(),
        ]];
        let row = row(&all[0][3], &all);
        crate::documented::compare(&row, include_str!("../../docs/history.md"));
    }
}
