//! `ozr check`

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ValueEnum;

use super::checked::{self, Input, Reader};
use super::online::Online;
use super::replace_file;
use super::template::ReadTemplate;
use super::{doctor, explain, input, tree, walk};
use crate::check::report::{self, Checked, Tally, sarif};
use crate::check::rules;
use crate::diagnostic::{Diagnostic, apply_fixes};
use crate::distro::Arch;
use crate::error::{Classify, Kind, failure, reported};
use crate::options::variables::{self, Setting};
use crate::options::{CheckOptions, InstallOptions, Layer, Values, config};
use crate::ui::event::Reporter;
use crate::ui::printer::{self, Color, Verbosity};

/// Examples, for `--help` and the manual page: the command, and what it does.
pub const EXAMPLES: &[(&str, &str)] = &[
    (
        "ozr check --release Rocky-9 web.ks",
        "Say what the installer of Rocky Linux 9 would refuse, ignore or stop at.",
    ),
    (
        "ozr check rocky-9.tdl web.ks",
        "Check the template, and the kickstart for its release.",
    ),
    (
        "ozr check --release RHEL9 --format sarif . > ozr.sarif",
        "Check all kickstarts below the current directory for a code host.",
    ),
];

fn examples() -> String {
    let more =
        "--release, --allow and --strict may also stand in [check] of the configuration file.";
    super::help_of(EXAMPLES, more)
}

/// `ozr check PATH…`
#[derive(Debug, clap::Args)]
#[command(after_help = examples())]
pub struct Args {
    /// Kickstarts, templates, and folders of them (- for standard input)
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,

    /// What the configuration file can hold, too.
    #[command(flatten)]
    options: CheckOptions,

    /// Fill VALUE in for ${NAME} in templates and kickstarts, as `ozr install` does; may be given more than once
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<Setting>,

    /// How findings are written
    #[arg(long, value_name = "FORMAT", default_value = "human")]
    format: Format,

    /// Try every address, and look up packages and groups in the repositories
    #[arg(long)]
    online: bool,

    /// Look at this host, too: what `ozr install` needs of it
    #[arg(long)]
    host: bool,

    /// Write the kickstart with all certain fixes to standard output
    #[arg(long)]
    fix: bool,

    /// With --fix: replace the files themselves
    #[arg(long, requires = "fix")]
    in_place: bool,
}

/// `--format`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// With the line in question, for people; on standard error
    Human,
    /// One JSON object on a line for each finding
    Json,
    /// A SARIF 2.1.0 log, as code hosts load it
    Sarif,
    /// As pykickstart's ksvalidator writes it, for editors that parse that
    Ksvalidator,
}

/// Checks kickstarts and templates.
///
/// # Errors
/// Input: something is wrong; it has been reported. With `--online` also those of
/// `Online::check`.
pub fn run(
    args: Args,
    config: Option<&Path>,
    reporter: &Reporter,
    verbosity: Verbosity,
    color: Color,
) -> anyhow::Result<()> {
    let named_release = args.options.release.clone();
    let mut install = config::load(config)?;
    install.set.extend(args.set.iter().cloned());
    let values = Values::of(&install)?;
    let options = args.options.over(install.check.clone());
    if let Some(id) = options.allow.iter().find(|id| rules::find(id).is_none()) {
        return Err(explain::unknown(id));
    }
    if args
        .paths
        .iter()
        .filter(|path| input::is_stdin(path))
        .count()
        > 1
    {
        let message = "standard input can be read only once: name `-` once";
        return Err(failure(Kind::Input, message));
    }
    let mut inputs: Vec<Input> = walk::files(&args.paths)
        .into_iter()
        .map(|found| match found {
            Ok(found) => checked::open(&found, &values),
            Err(finding) => Ok(Input::Unreadable(finding)),
        })
        .collect::<anyhow::Result<_>>()?;
    for input in inputs.iter_mut().filter(|_| args.online) {
        if let Input::Template { read, .. } = input {
            tree::settle(
                &mut read.template,
                Path::new(&read.name),
                &install,
                reporter,
            )?;
        }
    }
    for name in values.unused(&args.set) {
        reporter.warn(variables::unused_warning(name));
    }
    if args.fix {
        refuse_fix(args.format, args.in_place, &inputs)?;
    }
    let reader = Reader {
        named_release,
        template: checked::only_template(&inputs),
        template_is_wrong: inputs.iter().any(|input| match input {
            Input::BadTemplate { .. } => true,
            Input::Template { read, .. } => read.template.release().is_err(),
            _ => false,
        }),
        first_kickstart: inputs.iter().find_map(|input| match input {
            Input::Kickstart { path, .. } => Some(path.as_path()),
            _ => None,
        }),
        install: &install,
        allow: &options.allow,
        online: match args.online {
            true => Some(Online::new(&install, reporter)?),
            false => None,
        },
        values: &values,
    };
    let mut files = all(&inputs, &reader)?;
    let parts = parts(&files);
    let host = match args.host {
        true => Some(host(&install, reader.template)?),
        false => None,
    };
    let mut fixed = 0;
    if args.fix {
        for (place, input) in inputs.iter().enumerate() {
            if let (Input::Kickstart { path, text, .. }, false) = (input, parts[place]) {
                fixed += fix(path, text, &mut files[place], &reader, args.in_place)?;
            }
        }
    }
    let mut parts = parts.into_iter();
    files.retain(|_| parts.next() != Some(true));
    files.extend(host);
    show(&files, fixed, args.format, verbosity, color);
    if Tally::of(&files).passes(options.strict) {
        Ok(())
    } else {
        Err(reported(Kind::Input))
    }
}

/// Fewest files that are worth a thread of their own: starting one costs what checking some does.
const FILES_OF_A_THREAD: usize = 16;

/// Checks everything, with all CPUs where there is much; in the order of the inputs.
fn all(inputs: &[Input], reader: &Reader<'_>) -> anyhow::Result<Vec<Checked>> {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let share = inputs.len().div_ceil(cpus).max(FILES_OF_A_THREAD);
    let check = |some: &[Input]| -> anyhow::Result<Vec<Checked>> {
        some.iter().map(|input| reader.check(input)).collect()
    };
    std::thread::scope(|scope| {
        let mut shares = inputs.chunks(share);
        let first = shares.next().unwrap_or_default();
        let others: Vec<_> = shares
            .map(|some| scope.spawn(move || check(some)))
            .collect();
        let mut checked = check(first)?;
        for other in others {
            // A panic there is one here.
            let more = other
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            checked.extend(more?);
        }
        Ok(checked)
    })
}

/// What this host lacks for an install of the template, or of one for its own architecture.
fn host(install: &InstallOptions, template: Option<&ReadTemplate>) -> anyhow::Result<Checked> {
    let own = std::env::consts::ARCH.parse().unwrap_or(Arch::X86_64);
    let arch = template.map_or(own, |read| read.template.os.arch);
    Ok(Checked::of("this host", doctor::findings(install, arch)?))
}

/// Which files are parts of others, which include them: those are no kickstarts of their own.
fn parts(files: &[Checked]) -> Vec<bool> {
    let real = |name: &str| Path::new(name).canonicalize().ok();
    // With what is included by what is included.
    let included: Vec<HashSet<PathBuf>> = files
        .iter()
        .map(|file| {
            let others = file.texts.iter().skip(1);
            others.filter_map(|text| real(&text.name)).collect()
        })
        .collect();
    if included.iter().all(HashSet::is_empty) {
        return vec![false; files.len()];
    }
    let own: Vec<Option<PathBuf>> = files.iter().map(|file| real(&file.name)).collect();
    let includes = |one: usize, other: usize| {
        let path = own[other].as_ref();
        own[one] != own[other] && path.is_some_and(|path| included[one].contains(path))
    };
    let all = 0..files.len();
    let is_part = |file: usize| {
        // Of files that include each other, the first is kept.
        all.clone()
            .any(|other| includes(other, file) && (!includes(file, other) || other < file))
    };
    all.clone().map(is_part).collect()
}

/// Refuses what `--fix` cannot do.
fn refuse_fix(format: Format, in_place: bool, inputs: &[Input]) -> anyhow::Result<()> {
    let mut filled = inputs
        .iter()
        .filter(|input| matches!(input, Input::Kickstart { filled: true, .. }));
    let message = if filled.next().is_some() {
        Some("--fix would write the values of variables into the kickstart: correct it by hand")
    } else if in_place {
        inputs
            .iter()
            .any(Input::is_stdin)
            .then_some("standard input cannot be replaced: leave --in-place out")
    } else if format != Format::Human {
        Some(
            "--fix writes the kickstart to standard output, where the findings would be, too: add --in-place",
        )
    } else if !matches!(inputs, [Input::Kickstart { .. }]) {
        Some("--fix writes one kickstart to standard output: name one, or add --in-place")
    } else {
        None
    };
    message.map_or(Ok(()), |message| Err(failure(Kind::Input, message)))
}

fn show(files: &[Checked], fixed: usize, format: Format, verbosity: Verbosity, color: Color) {
    match format {
        Format::Human => {
            let least = verbosity.least_severity();
            let mut text = report::human(files, least, &color.for_stderr());
            if verbosity >= Verbosity::Normal {
                if fixed > 0 {
                    text.push_str(&format!("{} fixed; ", report::counted(fixed, "finding")));
                }
                text.push_str(&report::summary(&Tally::of(files)));
            }
            printer::print_report(&text);
        }
        Format::Json => printer::print_text(&report::json(files)),
        Format::Sarif => {
            let root = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
            printer::print_text(&sarif::render(files, &root));
        }
        Format::Ksvalidator => {
            for piece in report::ksvalidator(files) {
                match piece {
                    report::Piece::Out(text) => printer::print_text(&text),
                    report::Piece::Err(text) => printer::print_report(&text),
                }
            }
        }
    }
}

/// Most times that a text is fixed: a fix may bring another one to light, but not for ever.
const MAX_ROUNDS: usize = 10;

/// Fixes the kickstart at `path`, which holds `text` and in which `left` was found, in place or onto
/// standard output; in `left` stands what is found then. How many findings were fixed.
///
/// # Errors
/// Input: a file cannot be replaced; it is as it was then. And those of [`Reader::kickstart`].
fn fix(
    path: &Path,
    text: &str,
    left: &mut Checked,
    reader: &Reader<'_>,
    in_place: bool,
) -> anyhow::Result<usize> {
    let mut text = text.to_string();
    let mut fixed = 0;
    for _ in 0..MAX_ROUNDS {
        let mut changed = 0;
        for (place, part) in left.texts.iter().enumerate() {
            let findings: Vec<Diagnostic> = left
                .findings
                .iter()
                .filter(|finding| finding.file == part.name)
                .cloned()
                .collect();
            let own = place == 0;
            // What is included twice is fixed once.
            let again = left.texts[..place]
                .iter()
                .any(|other| other.name == part.name);
            // What came from a URL is not ours to write.
            let elsewhere = !own && part.name.contains("://");
            if again || elsewhere || (!own && !in_place) {
                continue;
            }
            let (now, count) = apply_fixes(&part.text, &findings);
            if now == part.text {
                continue;
            }
            if in_place {
                let file = if own { path } else { Path::new(&part.name) };
                // A link stays one.
                file.canonicalize()
                    .and_then(|file| Ok((file.metadata()?, file)))
                    .map_err(anyhow::Error::from)
                    .and_then(|(old, file)| replace_file(&file, now.as_bytes(), Some(&old)))
                    .with_context(|| format!("writing {}", file.display()))
                    .kind(Kind::Input)?;
            }
            if own {
                text = now;
            }
            changed += count;
        }
        if changed == 0 {
            break;
        }
        fixed += changed;
        *left = reader.kickstart(path, &text)?;
    }
    if !in_place {
        printer::print_text(&text);
    }
    Ok(fixed)
}
