//! `ozr needs-rebuild`

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::install::{self, Inputs};
use crate::error::{Kind, reported};
use crate::image::fingerprint::Reason;
use crate::install::again::Answer;
use crate::install::plan::Plan;
use crate::options::{InstallOptions, config};
use crate::printable;
use crate::ui::event::Reporter;
use crate::ui::printer;

/// The version of the JSON. Raised when a field changes its meaning or goes away.
const SCHEMA: u32 = 1;

/// Examples, for `--help` and the manual page: the command, and what it does.
pub const EXAMPLES: &[(&str, &str)] = &[
    (
        "ozr needs-rebuild rocky-9.tdl -k web.ks --name web",
        "Compare web.qcow2 with what would come of these files and today's repositories.",
    ),
    (
        "ozr needs-rebuild rocky-9.tdl -k web.ks --json",
        "The same for programs.",
    ),
];

fn examples() -> String {
    let more = "docs/rebuild.md says what is compared, and describes the JSON.";
    super::help_of(EXAMPLES, more)
}

/// `ozr needs-rebuild TEMPLATE [KICKSTART]`
#[derive(Debug, clap::Args)]
#[command(after_help = examples())]
pub struct Args {
    /// The TDL template (- for standard input); not needed with --iso
    #[arg(value_name = "TEMPLATE")]
    template: Option<PathBuf>,

    /// The kickstart, as -k names it
    #[arg(value_name = "KICKSTART", conflicts_with = "kickstart")]
    second: Option<PathBuf>,

    /// Write a JSON object: docs/rebuild.md
    #[arg(long)]
    json: bool,

    /// Those of the build.
    #[command(flatten)]
    options: InstallOptions,
}

/// The answer, for programs: `docs/rebuild.md`.
#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: u32,
    name: &'a str,
    image: String,
    rebuild: bool,
    reasons: &'a [Reason],
    build_id: Option<&'a str>,
    finished: Option<&'a str>,
}

/// Says whether the image is to be built.
///
/// # Errors
/// Build: it is not. Input, host, mirror: that cannot be told.
pub fn run(args: Args, config: Option<&Path>, reporter: &Reporter) -> anyhow::Result<()> {
    let install = install::Args::with(args.template, args.second, args.options);
    let inputs = Inputs::read(install, config::load(config));
    let (plan, answer) = inputs.ask(reporter)?;
    printer::print_text(&match args.json {
        true => serde_json::to_string_pretty(&document(&plan, &answer))? + "\n",
        false => text(&plan, &answer),
    });
    match answer.is_needed() {
        true => Ok(()),
        false => Err(reported(Kind::Build)),
    }
}

fn document<'a>(plan: &'a Plan, answer: &'a Answer) -> Document<'a> {
    let manifest = answer.manifest.as_ref();
    Document {
        schema: SCHEMA,
        name: &plan.name,
        image: plan.stable().image.display().to_string(),
        rebuild: answer.is_needed(),
        reasons: &answer.reasons,
        build_id: manifest.map(|manifest| &*manifest.build_id),
        finished: manifest.map(|manifest| &*manifest.finished),
    }
}

fn text(plan: &Plan, answer: &Answer) -> String {
    let image = plan.stable().image.display();
    let finished = answer.manifest.as_ref().map(|manifest| &*manifest.finished);
    let title = match answer.is_needed() {
        true => format!("{image} is to be built:"),
        false => format!(
            "{image} of {} is what would come of it",
            finished.unwrap_or_default()
        ),
    };
    let lines = answer
        .reasons
        .iter()
        .map(|reason| format!("  {}", reason.text));
    let lines = std::iter::once(title).chain(lines);
    lines
        .map(|line| printable::line(&line).into_owned() + "\n")
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::fingerprint;

    #[test]
    fn the_documentation_names_every_field_and_no_other() {
        let reasons = [Reason::new(fingerprint::Kind::Image, "x")];
        let document = Document {
            schema: SCHEMA,
            name: "web",
            image: "/srv/web.qcow2".to_owned(),
            rebuild: true,
            reasons: &reasons,
            build_id: Some("b"),
            finished: Some("f"),
        };
        crate::documented::compare(&document, include_str!("../../docs/rebuild.md"));
    }
}
