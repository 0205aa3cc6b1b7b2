//! `ozr build`: a family of builds, several at once.

mod outcome;
mod pool;
mod rendered;
mod show;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use serde::Serialize;

use super::install;
use super::reports::Reports;
use super::signals::{self, Signals};
use super::{ListFormat, columns, input, json_lines};
use crate::distro::Arch;
use crate::error::{Classify, Kind, fail, kind_of, reported};
use crate::image::output::OutputPaths;
use crate::install::plan;
use crate::options::family::Variant;
use crate::options::variables::Setting;
use crate::options::{InstallOptions, ReportTarget, SecretSource, Values, config};
use crate::ui::event::Reporter;
use crate::ui::live;
use crate::ui::many::Many;
use crate::ui::printer::{self, Color, Printer, Verbosity};
use crate::ui::queue::Clock;
use outcome::{Outcome, Verdict};
use pool::{Job, Pool};
use rendered::Rendered;

/// Examples, for `--help` and the manual page: the command, and what it does.
pub const EXAMPLES: &[(&str, &str)] = &[
    (
        "ozr build",
        "Build everything that ozr.toml in this directory names.",
    ),
    (
        "ozr build --dry-run",
        "Check every build, and say which there would be and why.",
    ),
    (
        "ozr build --only 'web-9-*' --jobs 2 --report junit=ozr.xml",
        "Some of them, two at a time, with a report for a CI system.",
    ),
    (
        "ozr build --show --only 'web-*'",
        "The templates and kickstarts as the installer's release reads them, and how they differ.",
    ),
];

fn examples() -> String {
    super::help_of(EXAMPLES, "docs/builds.md describes the file.")
}

/// `ozr build [FILE.toml]`
#[derive(Debug, clap::Args)]
#[command(after_help = examples())]
pub struct Args {
    /// The file of the builds, read in place of the other configuration [default: ozr.toml, beside the other]
    #[arg(value_name = "FILE.toml")]
    file: Option<PathBuf>,

    /// Only these builds; * and ? stand for what they do in a shell; may be given more than once
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',')]
    only: Vec<String>,

    /// The K-th of N parts of the builds, for a fleet: of each N one, in their order, from 1 on
    #[arg(long, value_name = "K/N")]
    part: Option<Part>,

    /// How many builds run at a time [default: what cores and memory allow]
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    jobs: Option<u32>,

    /// After a build that fails begin no other one; those that run go on
    #[arg(long)]
    fail_fast: bool,

    /// Build also what has not changed since its image was built
    #[arg(long)]
    rebuild: bool,

    /// Fill VALUE in for ${NAME}, in all builds, as `ozr install` does; may be given more than once
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<Setting>,

    /// Write a report of all builds for CI systems: junit=FILE or markdown=FILE; may be given more than once
    #[arg(long, value_name = "FORMAT=FILE")]
    report: Vec<ReportTarget>,

    /// Name the builds, and build nothing
    #[arg(long, conflicts_with_all = ["dry_run", "show"])]
    list: bool,

    /// How --list is written
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: ListFormat,

    /// Check everything, say which builds there would be and why, and build nothing
    #[arg(long, conflicts_with = "show")]
    dry_run: bool,

    /// Print each template and kickstart as it is installed, whole or as the difference to the first of its
    /// table, without secrets, and build nothing
    #[arg(long)]
    show: bool,
}

/// `--part K/N`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    number: usize,
    of: usize,
}

impl FromStr for Part {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "write K/N, such as 3/12: the third of twelve parts";
        let (number, of) = text.split_once('/').ok_or(wrong)?;
        match (number.parse(), of.parse()) {
            (Ok(number), Ok(of)) if number > 0 && number <= of => Ok(Part { number, of }),
            _ => Err(wrong),
        }
    }
}

impl Part {
    /// Whether the build of this place, from 0 on, is in it.
    fn has(self, place: usize) -> bool {
        place % self.of + 1 == self.number
    }
}

/// A variant, and what follows for it from the rest of the configuration.
#[derive(Debug)]
struct Build {
    variant: Variant,
    options: InstallOptions,
    /// Its image.
    image: PathBuf,
}

/// Builds.
///
/// # Errors
/// Input: the file, or what a build is made of, is wrong; nothing was built then. Build: a build failed; of a single
/// one, its own kind.
/// Interrupted: by a signal.
pub fn run(
    mut args: Args,
    config: Option<&Path>,
    verbosity: Verbosity,
    color: Color,
) -> anyhow::Result<()> {
    let reporter = Reporter::new(Arc::new(Printer::new(verbosity, color)));
    let file = settle_directory(&mut args, config)?;
    let builds = builds(&args, file.as_deref())?;
    if args.list {
        return list(&builds, args.format);
    }
    let rendered: Vec<Rendered> = builds
        .iter()
        .map(Rendered::read)
        .collect::<anyhow::Result<_>>()?;
    if args.show {
        printer::print_text(&show::texts(&rendered));
        return Ok(());
    }
    let printer = Printer::new(verbosity, color);
    let readable = [Verbosity::Normal, Verbosity::Verbose].contains(&verbosity);
    let many = Many::new(printer, readable && live::is_possible(), Clock::start());
    rendered::check(&builds, &rendered, &args.set, &many, &reporter)?;
    if args.dry_run {
        return say_why(&args, &builds, &reporter);
    }
    drop(rendered);
    for build in &builds {
        // The host is one for all: each would stop at once.
        let own = std::env::consts::ARCH.parse().unwrap_or(Arch::X86_64);
        install::require_kvm(&build.options, own)?;
    }
    let reports = Reports::open(&args.report)?;
    let (started, began) = (SystemTime::now(), Instant::now());
    let outcomes = build_all(&args, file, &builds, &many)?;
    many.end();
    let lasted = began.elapsed();
    if verbosity >= Verbosity::Warnings {
        printer::print_report(&outcome::table(&outcomes));
    }
    reports.write_each(
        |format| outcome::report(format, started, lasted, &outcomes),
        &reporter,
    );
    for outcome in &outcomes {
        for image in &outcome.images {
            printer::print_result(&image.display().to_string());
        }
    }
    // Whoever runs one wants to know whose fault it is.
    if let [outcome] = &outcomes[..]
        && let Verdict::Failed { status, .. } = outcome.verdict
    {
        let kinds = [Kind::Input, Kind::Host, Kind::Mirror, Kind::Hook];
        let kind = kinds
            .into_iter()
            .find(|kind| i32::from(kind.exit_status()) == status);
        return Err(reported(kind.unwrap_or(Kind::Build)));
    }
    let is = |wanted: fn(&Verdict) -> bool| outcomes.iter().any(|outcome| wanted(&outcome.verdict));
    if is(|verdict| matches!(verdict, Verdict::Interrupted)) {
        return Err(reported(Kind::Interrupted));
    }
    match is(|verdict| !verdict.is_good()) {
        true => Err(reported(Kind::Build)),
        false => Ok(()),
    }
}

/// Paths of the file count from its directory: that is where the work is done. The file, if one is named.
fn settle_directory(args: &mut Args, config: Option<&Path>) -> anyhow::Result<Option<PathBuf>> {
    if args.file.is_some() && config.is_some() {
        fail!(
            Kind::Input,
            "the file of the builds is named twice: leave out --config"
        );
    }
    let Some(file) = args.file.as_deref().or(config) else {
        return Ok(None);
    };
    let file = std::path::absolute(file).kind(Kind::Input)?;
    for report in &mut args.report {
        report.file = std::path::absolute(&report.file).kind(Kind::Input)?;
    }
    let dir = plan::template_dir(&file).kind(Kind::Input)?;
    if args.file.is_some() && dir.is_dir() {
        std::env::set_current_dir(&dir).kind(Kind::Input)?;
    }
    Ok(Some(file))
}

/// The builds that are asked for.
fn builds(args: &Args, file: Option<&Path>) -> anyhow::Result<Vec<Build>> {
    let variants = config::family(file, &args.set)?;
    let names: Vec<String> = variants
        .iter()
        .map(|variant| variant.name.clone())
        .collect();
    let mut patterns = Vec::new();
    for only in &args.only {
        let pattern = glob::Pattern::new(only);
        let pattern = pattern
            .ok()
            .filter(|pattern| names.iter().any(|name| pattern.matches(name)));
        let Some(pattern) = pattern else {
            let known: Vec<&str> = names.iter().map(String::as_str).collect();
            let near = input::nearest(only, &known);
            let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            fail!(
                Kind::Input,
                "--only: there is no build `{only}`{near} `ozr build --list` names all"
            );
        };
        patterns.push(pattern);
    }
    let wanted = |variant: &Variant| {
        patterns.is_empty()
            || patterns
                .iter()
                .any(|pattern| pattern.matches(&variant.name))
    };
    let layers = config::layers(file)?;
    variants
        .into_iter()
        .filter(wanted)
        .enumerate()
        .filter(|(place, _)| args.part.is_none_or(|part| part.has(*place)))
        .map(|(_, variant)| variant)
        .map(|mut variant| {
            let mut options = layers.with(&variant);
            let values = Values::of(&options)?;
            values.fill_outputs(&mut options)?;
            variant.used.extend(values.used());
            refuse_prompts(&variant.name, &options)?;
            let paths = OutputPaths::of(&options, &variant.name, options.disk.len().max(1));
            let image = paths.kind(Kind::Input)?.image;
            Ok(Build {
                variant,
                options,
                image,
            })
        })
        .collect()
}

/// Several builds cannot ask at one terminal.
fn refuse_prompts(name: &str, options: &InstallOptions) -> anyhow::Result<()> {
    let variables = options.variables.0.iter();
    let variables = variables.map(|(name, variable)| (&*name.0, variable.secret.as_ref()));
    let keys = [
        ("root-password", options.root_password.as_ref()),
        ("luks-passphrase", options.luks_passphrase.as_ref()),
    ];
    let mut asked = keys.into_iter().chain(variables);
    if let Some((secret, _)) = asked.find(|(_, source)| *source == Some(&SecretSource::Prompt)) {
        fail!(
            Kind::Input,
            "{name}: `{secret}` would be asked for at the terminal, which several builds cannot share: write file:PATH, env:NAME or a command, or use `ozr install --build {name}`"
        );
    }
    Ok(())
}

/// A line of `--list --format json`.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    name: &'a str,
    build: &'a str,
    template: &'a Path,
    kickstarts: &'a [PathBuf],
    image: &'a Path,
    variables: &'a std::collections::BTreeMap<String, String>,
}

fn list(builds: &[Build], format: ListFormat) -> anyhow::Result<()> {
    let listed = builds.iter().map(|build| Listed {
        name: &build.variant.name,
        build: &build.variant.build,
        template: &build.variant.template,
        kickstarts: &build.options.kickstart,
        image: &build.image,
        variables: &build.variant.values,
    });
    let text = match format {
        ListFormat::Json => json_lines(&listed.collect::<Vec<_>>()),
        ListFormat::Human => {
            let titles = ["NAME", "TEMPLATE", "KICKSTART", "VARIABLES", "IMAGE"];
            let mut rows = vec![titles.map(str::to_owned)];
            rows.extend(listed.map(|listed| {
                let kickstarts = listed.kickstarts.iter();
                let kickstarts = kickstarts.map(|path| path.display().to_string());
                let kickstarts = kickstarts.collect::<Vec<_>>().join(" + ");
                let variables = listed.variables.iter();
                let variables = variables.map(|(name, value)| format!("{name}={value}"));
                [
                    listed.name.to_owned(),
                    listed.template.display().to_string(),
                    match kickstarts.is_empty() {
                        true => "built-in".to_owned(),
                        false => kickstarts,
                    },
                    variables.collect::<Vec<_>>().join(" "),
                    listed.image.display().to_string(),
                ]
            }));
            columns(&rows)
        }
    };
    printer::print_text(&text);
    Ok(())
}

/// Prints what would become of each build, and why.
fn say_why(args: &Args, builds: &[Build], reporter: &Reporter) -> anyhow::Result<()> {
    let titles = ["NAME", "WOULD BE", "WHY"];
    let mut rows = vec![titles.map(str::to_owned)];
    for build in builds {
        let (what, why) = match outcome::earlier(build) {
            Some(earlier) => {
                let finished = format!("the image that was finished on {}", earlier.finished);
                match args.rebuild || build.options.rebuild {
                    true => ("built", format!("replaces {finished}, as it was told to")),
                    false => what_of(build, &finished, reporter)?,
                }
            }
            None if !build.image.exists() => ("built", "there is no image yet".to_owned()),
            None if build.options.replaces() => (
                "built",
                "replaces a file without a manifest, as --force says".to_owned(),
            ),
            None => (
                "refused",
                format!(
                    "{} is there, and has no manifest that says that it is this build's: set force, or move it away",
                    build.image.display()
                ),
            ),
        };
        rows.push([build.variant.name.clone(), what.to_owned(), why]);
    }
    printer::print_text(&columns(&rows));
    Ok(())
}

/// Whether an image that is there would be built again, as `ozr needs-rebuild` tells it.
fn what_of(
    build: &Build,
    finished: &str,
    reporter: &Reporter,
) -> anyhow::Result<(&'static str, String)> {
    let template = Some(build.variant.template.clone());
    let install = install::Args::with(template, None, build.options.clone());
    let inputs = install::Inputs::read(install, Ok(InstallOptions::default()));
    let answer = match inputs.ask(reporter) {
        Ok((_, answer)) => answer,
        Err(error) if kind_of(&error) == Some(Kind::Interrupted) => return Err(error),
        // Then it is built.
        Err(error) => {
            return Ok((
                "built",
                format!("whether it has changed cannot be told: {error:#}"),
            ));
        }
    };
    Ok(match answer.reasons.as_slice() {
        [] => (
            "kept",
            format!("nothing else than {finished} would come of it"),
        ),
        [one] => ("built", one.text.clone()),
        [one, more @ ..] => (
            "built",
            format!("{}; and {} reasons more", one.text, more.len()),
        ),
    })
}

fn build_all(
    args: &Args,
    file: Option<PathBuf>,
    builds: &[Build],
    many: &Many,
) -> anyhow::Result<Vec<Outcome>> {
    let jobs = args
        .jobs
        .map_or_else(|| usual_jobs(builds), |jobs| jobs as usize);
    let pool = Pool {
        jobs: builds
            .iter()
            .map(|build| Job {
                name: build.variant.name.clone(),
                before: outcome::earlier(build),
                rebuild: args.rebuild || build.options.rebuild,
            })
            .collect(),
        at_once: jobs,
        fail_fast: args.fail_fast,
        file,
        set: args.set.clone(),
        since: SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |elapsed| elapsed.as_millis() as u64),
        many,
    };
    let runtime = signals::runtime()?;
    runtime.block_on(async {
        let signals = Signals::listen().kind(Kind::Host)?;
        Ok(pool.run(signals).await)
    })
}

/// As many builds as have a core for each of their CPUs, and room in memory; one at least.
fn usual_jobs(builds: &[Build]) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let needs = builds.iter().map(|build| plan::needs(&build.options));
    let (cpus, memory) = needs.fold((1, 1), |most, needs| {
        (most.0.max(needs.0), most.1.max(needs.1))
    });
    let in_memory = crate::state::slots::memory_for_guests() / memory;
    (cores / cpus as usize).min(in_memory as usize).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_each_build_once() {
        for wrong in ["", "1", "0/2", "3/2", "a/b", "-1/2"] {
            assert!(wrong.parse::<Part>().is_err(), "{wrong}");
        }
        for of in 1..6 {
            let parts = (1..=of).map(|number| Part { number, of });
            let all: Vec<Part> = parts.collect();
            for place in 0..20 {
                let having = all.iter().filter(|part| part.has(place));
                assert_eq!(having.count(), 1, "{place} of {of}");
            }
        }
    }
}
