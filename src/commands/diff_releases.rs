//! `ozr diff-releases`

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::ListFormat;
use super::input;
use crate::check;
use crate::check::Setting;
use crate::check::includes::Files;
use crate::check::report::{self, Checked, Tally};
use crate::diagnostic::{Diagnostic, Severity};
use crate::kickstart::scan;
use crate::language::difference::{self, Change, Difference};
use crate::language::{Reading, Version};
use crate::options::ReleaseName;
use crate::ui::printer::{self, Color};

/// `ozr diff-releases FROM TO`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The release to compare: RHEL8, Rocky-9, Fedora-43
    #[arg(value_name = "FROM")]
    from: ReleaseName,

    /// The release to compare it with
    #[arg(value_name = "TO")]
    to: ReleaseName,

    /// Say only what changes for this kickstart (- for standard input)
    #[arg(short, long, value_name = "FILE")]
    kickstart: Option<PathBuf>,

    /// How the changes are written
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: ListFormat,
}

/// Says what changes between two releases, or for a kickstart that moves from one to the other.
///
/// # Errors
/// Input: the kickstart cannot be read.
pub fn run(args: &Args, color: Color) -> anyhow::Result<()> {
    let (from, to) = (args.from.version, args.to.version);
    match &args.kickstart {
        Some(path) => for_kickstart(path, from, to, args.format, color),
        None => {
            let differences = difference::between(from, to);
            printer::print_text(&match args.format {
                ListFormat::Human => table(&differences),
                ListFormat::Json => {
                    let lines: Vec<Line> = differences.iter().map(line).collect();
                    super::json_lines(&lines)
                }
            });
            Ok(())
        }
    }
}

/// A difference for programs.
#[derive(Debug, Serialize)]
struct Line {
    change: &'static str,
    command: &'static str,
    option: Option<&'static str>,
    new_values: Vec<&'static str>,
    gone_values: Vec<&'static str>,
}

fn line(difference: &Difference) -> Line {
    let (new_values, gone_values) = match &difference.change {
        Change::Values(come, gone) => (come.clone(), gone.clone()),
        _ => Default::default(),
    };
    Line {
        change: difference.change.word(),
        command: difference.command,
        option: difference.option,
        new_values,
        gone_values,
    }
}

fn table(differences: &[Difference]) -> String {
    let rows: Vec<[String; 3]> = differences
        .iter()
        .map(|difference| {
            let Difference {
                command, option, ..
            } = difference;
            let name = option.map_or((*command).to_string(), |option| {
                format!("{command} {option}")
            });
            let detail = match &difference.change {
                Change::Values(come, gone) => {
                    let come = come.iter().map(|value| format!("+{value}"));
                    let gone = gone.iter().map(|value| format!("-{value}"));
                    come.chain(gone).collect::<Vec<_>>().join(" ")
                }
                _ => String::new(),
            };
            [difference.change.word().to_string(), name, detail]
        })
        .collect();
    super::columns(&rows)
}

/// What the newer release says of a kickstart and the older one does not.
fn for_kickstart(
    path: &Path,
    from: Version,
    to: Version,
    format: ListFormat,
    color: Color,
) -> anyhow::Result<()> {
    let name = input::display_name(path);
    let bytes = input::read(path, "kickstart")?;
    let text = scan::decode(bytes);
    let includes = Files::near(path, None);
    let of = |version| {
        let reading = Reading::new(&text, &name, version, &includes);
        check::kickstart(reading, &Setting::alone(version), Vec::new(), &[])
    };
    let (old, new) = (of(from), of(to));
    let gone = without(&old, &new);
    let come = Checked {
        findings: without(&new, &old),
        ..new
    };
    match format {
        ListFormat::Json => printer::print_text(&report::json(&[come])),
        ListFormat::Human => {
            let files = [come];
            let report = report::human(&files, Severity::Note, &color.for_stdout());
            printer::print_text(&report);
            let tally = Tally::of(&files);
            printer::print_text(&format!(
                "{to} has {} and {} for this kickstart that {from} does not have; {} of {from} {} gone\n",
                report::counted(tally.errors, "error"),
                report::counted(tally.warnings, "warning"),
                report::counted(gone.len(), "finding"),
                if gone.len() == 1 { "is" } else { "are" },
            ));
        }
    }
    Ok(())
}

/// The findings of `these` that `those` does not have: another rule, another place, or worse.
fn without(these: &Checked, those: &Checked) -> Vec<Diagnostic> {
    // Messages name the release, so that they differ where nothing else does.
    let key = |finding: &Diagnostic| {
        (
            finding.severity,
            finding.id,
            finding.file.clone(),
            finding.line,
            finding.column,
        )
    };
    let known: Vec<_> = those.findings.iter().map(key).collect();
    let mut differing = these.findings.clone();
    differing.retain(|finding| !known.contains(&key(finding)));
    differing
}
