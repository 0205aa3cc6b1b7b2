//! `ozr try` and `ozr warm`

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::display::Display;
use super::install::{self as installing, THREADS_PATIENCE};
use super::reports::{About, Reports};
use super::{input, signals, template};
use crate::error::{Classify, Kind, fail, failed, kind_of};
use crate::host;
use crate::install::answers::Answers;
use crate::install::place::{self, Claim, Place};
use crate::install::plan::{Aim, Plan};
use crate::install::remarks::Remarks;
use crate::install::run::Cancellation;
use crate::install::{Finished, trials, warm};
use crate::options::{InstallOptions, Layer, Until, Values, config};
use crate::tdl;
use crate::ui::event::{Event, Reporter, Sink};
use crate::ui::printer::{self, Color, Verbosity};

/// Examples, for `--help` and the manual page: the command, and what it does.
pub const EXAMPLES: &[(&str, &str)] = &[
    (
        "ozr try rocky-9.tdl -k web.ks",
        "What the installer says of web.ks before it touches the disk.",
    ),
    (
        "ozr try rocky-9.tdl -k web.ks db.ks --until partitioned",
        "Two kickstarts, each on a fresh disk, until it is partitioned.",
    ),
    (
        "ozr try rocky-9.tdl -k web.ks --watch",
        "Try again whenever the template or the kickstart changes.",
    ),
];

/// Examples of `ozr warm`.
pub const WARM_EXAMPLES: &[(&str, &str)] = &[(
    "ozr warm rocky-9.tdl",
    "Boot the installer once, and save it for the tries to come.",
)];

fn examples() -> String {
    let more = "The options are those of `ozr install`, but for those of images: a try makes none.";
    super::help_of(EXAMPLES, more)
}

fn warm_examples() -> String {
    super::help_of(WARM_EXAMPLES, "`ozr cache list` has the saved installers.")
}

/// How often files are looked at for changes.
const LOOK: Duration = Duration::from_millis(500);

/// `ozr try TEMPLATE -k KICKSTART [MORE…]`
#[derive(Debug, clap::Args)]
#[command(after_help = examples())]
pub struct Args {
    /// The TDL template
    #[arg(value_name = "TEMPLATE")]
    template: PathBuf,

    /// Further kickstarts, tried one after the other
    #[arg(value_name = "KICKSTART")]
    kickstarts: Vec<PathBuf>,

    /// How far the installer is followed
    #[arg(long, value_enum, value_name = "WHEN", default_value = "ready")]
    until: Until,

    /// Try again whenever the template or a kickstart changes, until a signal comes
    #[arg(long)]
    watch: bool,

    /// Boot the installer, and neither load nor make a saved one
    #[arg(long)]
    cold: bool,

    /// Start without checking the kickstart and trying its addresses
    #[arg(long)]
    no_check: bool,

    #[command(flatten)]
    options: InstallOptions,
}

/// `ozr warm TEMPLATE`
#[derive(Debug, clap::Args)]
#[command(after_help = warm_examples())]
pub struct WarmArgs {
    /// The TDL template
    #[arg(value_name = "TEMPLATE")]
    template: PathBuf,

    #[command(flatten)]
    options: InstallOptions,
}

/// Tries kickstarts, and prints a line for each that the installer takes.
///
/// # Errors
/// What the installer says of one that it does not take; whatever else ended it.
pub fn run(
    args: Args,
    config: Option<&Path>,
    verbosity: Verbosity,
    color: Color,
) -> anyhow::Result<()> {
    let Args {
        template,
        kickstarts,
        until,
        watch,
        cold,
        no_check,
        options,
    } = args;
    // Those of -k are joined, as they are for an install.
    let joined = Some(options.kickstart.clone()).filter(|joined| !joined.is_empty());
    let kickstarts: Vec<Vec<PathBuf>> = joined
        .into_iter()
        .chain(kickstarts.into_iter().map(|one| vec![one]))
        .collect();
    let given = &options.progress;
    let settled = settled(&options, config);
    let display = Display::of(given, &settled, verbosity, color)?;
    let tried = settled.and_then(|options| {
        if kickstarts.is_empty() {
            fail!(
                Kind::Input,
                "there is nothing to try: name a kickstart with -k"
            );
        }
        let stdin = |path: &&PathBuf| input::is_stdin(path);
        let several = kickstarts.len() > 1 || watch;
        let named: Vec<&PathBuf> = kickstarts.iter().flatten().chain([&template]).collect();
        if watch && named.iter().any(stdin) {
            fail!(
                Kind::Input,
                "--watch looks at files, and standard input is none: name a file"
            );
        }
        if several && !options.report.is_empty() {
            fail!(
                Kind::Input,
                "a report is of one try: name one kickstart, or leave out --report"
            );
        }
        if several && options.keep {
            fail!(
                Kind::Input,
                "--keep leaves one guest: name one kickstart, or leave out --keep"
            );
        }
        Trials {
            template,
            kickstarts,
            until,
            cold,
            no_check,
            options,
            reporter: display.reporter().clone(),
        }
        .run(watch)
    });
    display.end(tried.map(|()| Vec::new()))
}

/// Saves an installer for tries to come.
///
/// # Errors
/// It cannot be made: whatever ended it.
pub fn run_warm(
    args: WarmArgs,
    config: Option<&Path>,
    verbosity: Verbosity,
    color: Color,
) -> anyhow::Result<()> {
    let WarmArgs { template, options } = args;
    let settled = settled(&options, config);
    let display = Display::of(&options.progress, &settled, verbosity, color)?;
    let reporter = display.reporter().clone();
    let made = settled.and_then(|mut options| {
        // Of the kickstart and of what the template adds nothing is in a state.
        options.no_customize = true;
        options.verbatim = true;
        options.root_password = None;
        options.ssh_key = Vec::new();
        options.luks_passphrase = None;
        options.kickstart = Vec::new();
        let trials = Trials {
            template,
            kickstarts: Vec::new(),
            until: Until::Ready,
            cold: false,
            no_check: true,
            options,
            reporter,
        };
        trials.warm()
    });
    display.end(made.map(|()| Vec::new()))
}

/// The options, those of the configuration below them, without what is an image's.
fn settled(given: &InstallOptions, config: Option<&Path>) -> anyhow::Result<InstallOptions> {
    let of_images = [
        ("--output", given.output.is_some()),
        ("--format", !given.format.is_empty()),
        ("--compress", given.compress.is_some()),
        ("--xml", given.xml.is_some()),
        ("--portable", given.portable),
        ("--sbom", !given.sbom.is_empty()),
        ("--sign", !given.sign.is_empty()),
        ("--generate-icicle", given.generate_icicle),
        ("--boot-test", given.boot_test.always),
    ];
    if let Some((name, _)) = of_images.iter().find(|(_, given)| *given) {
        fail!(
            Kind::Input,
            "{name} is for images, and a try makes none: leave it out"
        );
    }
    let mut options = given.clone().over(config::load(config)?);
    options.output = None;
    options.format = Vec::new();
    options.compress = None;
    options.xml = None;
    options.sbom = Vec::new();
    options.sign = Vec::new();
    options.generate_icicle = false;
    options.icicle = None;
    options.boot_test = Default::default();
    // Nothing is replaced, so no image is in the way.
    options.force = true;
    Ok(options)
}

/// What is to be tried.
struct Trials {
    template: PathBuf,
    /// The files of each.
    kickstarts: Vec<Vec<PathBuf>>,
    until: Until,
    cold: bool,
    no_check: bool,
    options: InstallOptions,
    reporter: Reporter,
}

/// What a kickstart is tried in.
struct Bench {
    runtime: Runtime,
    stop: Cancellation,
    impatience: tokio::task::JoinHandle<()>,
    /// There once the first plan says where.
    place: Option<Place>,
}

impl Bench {
    fn open(reporter: &Reporter) -> anyhow::Result<Bench> {
        host::can_run_guests()?;
        let runtime = signals::runtime()?;
        let (stop, impatience) = signals::cancellation(&runtime, reporter)?;
        Ok(Bench {
            runtime,
            stop,
            impatience,
            place: None,
        })
    }

    /// Tries a plan, in the place that the first one took.
    fn run(
        &mut self,
        plan: &Plan,
        remarks: &Remarks,
        heard: &Reporter,
    ) -> anyhow::Result<Finished> {
        if self.place.is_none() {
            let claim = Claim::of(plan);
            place::remove_leftovers(&claim, heard).map_err(|error| self.stop.explain(error))?;
            let taken = self.runtime.block_on(async {
                tokio::task::block_in_place(|| Place::take(&claim, None, heard))
            });
            self.place = Some(taken.map_err(|error| self.stop.explain(error))?);
        }
        let Some(place) = &self.place else {
            unreachable!("a place was taken");
        };
        let stop = &self.stop;
        let trying = async {
            let tried = trials::run(plan, place, remarks, stop, heard).await;
            tried.kind(Kind::Build)
        };
        let trying = signals::unless_twice(&mut self.impatience, signals::NO_VERDICT, trying);
        self.runtime.block_on(trying)
    }

    fn close(self) {
        let Bench { runtime, place, .. } = self;
        runtime.block_on(async { tokio::task::block_in_place(|| drop(place)) });
        runtime.shutdown_timeout(THREADS_PATIENCE);
    }
}

impl Trials {
    fn run(self, watch: bool) -> anyhow::Result<()> {
        let mut bench = Bench::open(&self.reporter)?;
        let tried = self.all(&mut bench, watch);
        bench.close();
        tried
    }

    fn all(&self, bench: &mut Bench, watch: bool) -> anyhow::Result<()> {
        loop {
            let before = self.stamps();
            let tried = self.each(bench);
            if !watch || bench.stop.is_wanted() {
                return tried;
            }
            if let (Err(error), [kickstart]) = (tried, &self.kickstarts[..]) {
                self.tell(&names(kickstart), &error);
            }
            self.reporter
                .step("waiting for a change of the template or a kickstart");
            let changed = async {
                while self.stamps() == before {
                    tokio::time::sleep(LOOK).await;
                }
                Ok(())
            };
            bench.runtime.block_on(bench.stop.or(changed))?;
        }
    }

    /// One after the other.
    fn each(&self, bench: &mut Bench) -> anyhow::Result<()> {
        let mut failures = Vec::new();
        for kickstart in &self.kickstarts {
            let began = Instant::now();
            let name = names(kickstart);
            match self.one(bench, kickstart) {
                Ok(_) => {
                    let until: &str = self.until.into();
                    let took = began.elapsed().as_secs_f64();
                    printer::print_result(&format!("{name}\t{until}\t{took:.1} s"));
                }
                Err(error) if kind_of(&error) == Some(Kind::Interrupted) => return Err(error),
                Err(error) => {
                    if self.kickstarts.len() > 1 {
                        self.tell(&name, &error);
                    }
                    failures.push(error);
                }
            }
        }
        let (count, all) = (failures.len(), self.kickstarts.len());
        match failures.into_iter().next() {
            None => Ok(()),
            Some(error) if all == 1 => Err(error),
            Some(error) => Err(failed!(
                kind_of(&error).unwrap_or(Kind::Build),
                "{count} of {all} kickstarts failed: what is wrong with each is said above"
            )),
        }
    }

    fn tell(&self, name: &str, error: &anyhow::Error) {
        let event = Event::Error(format!("{name}: {error:#}"));
        self.reporter.event(event);
    }

    /// Reads, checks and tries one.
    fn one(&self, bench: &mut Bench, kickstart: &[PathBuf]) -> anyhow::Result<Finished> {
        let mut options = self.options.clone();
        options.kickstart = kickstart.to_vec();
        let reports = Reports::open(&options.report)?;
        let mut about = About::beginning(names(kickstart));
        let tried = self.planned(options, None).and_then(|planned| {
            let Planned {
                mut plan,
                text,
                remarks,
                heard,
            } = planned;
            plan.aim = Aim::Trial(self.until);
            plan.cold = self.cold;
            about.name.clone_from(&plan.name);
            let plan = Arc::new(plan);
            if !self.no_check {
                let check = installing::check(&plan, text, &remarks, &bench.stop, &self.reporter);
                bench.runtime.block_on(bench.stop.or(check))?;
            }
            bench.run(&plan, &remarks, &heard)
        });
        reports.write(&about, &tried, &self.reporter);
        tried
    }

    fn warm(self) -> anyhow::Result<()> {
        let mut loader = Answers::ours(warm::LOADER.to_owned(), "ozr's loader");
        // Not one of those that an image is made of.
        loader.builtin = false;
        let mut planned = self.planned(self.options.clone(), Some(loader))?;
        planned.plan.aim = Aim::State;
        let mut bench = Bench::open(&self.reporter)?;
        let made = bench.run(&planned.plan, &planned.remarks, &planned.heard);
        bench.close();
        made.map(drop)
    }

    /// Reads the template and the kickstart, and decides.
    fn planned(
        &self,
        mut options: InstallOptions,
        kickstart: Option<Answers>,
    ) -> anyhow::Result<Planned> {
        let remarks = Arc::new(Remarks::default());
        let heard = self.reporter.and(Arc::clone(&remarks) as Arc<dyn Sink>);
        let file = &self.template;
        let values = Values::of(&options)?;
        let read = template::accept(file, template::load(file, &values)?, &heard)?;
        options.name = Some(match options.kickstart.first() {
            Some(kickstart) => trial_name(kickstart, &read.template.name),
            None => format!("{}.warm", read.template.name),
        });
        let no_check = self.no_check;
        let (plan, text) =
            installing::plan(file, read, no_check, options, kickstart, &values, &heard)?;
        Ok(Planned {
            plan,
            text,
            remarks,
            heard,
        })
    }

    /// What tells whether a file has changed.
    fn stamps(&self) -> BTreeMap<&Path, Option<(u64, u64, i64, i64)>> {
        let files = self.kickstarts.iter().flatten().chain([&self.template]);
        let stamp = |file: Metadata| (file.ino(), file.size(), file.mtime(), file.mtime_nsec());
        files
            .map(|file| (&**file, file.metadata().ok().map(stamp)))
            .collect()
    }
}

struct Planned {
    plan: Plan,
    text: String,
    remarks: Arc<Remarks>,
    heard: Reporter,
}

/// What a kickstart is called, of one file or several.
fn names(files: &[PathBuf]) -> String {
    let names = files.iter().map(|file| input::display_name(file));
    names.collect::<Vec<_>>().join(" + ")
}

/// What a try is called: after its kickstart, if a file of that name can be written.
fn trial_name(kickstart: &Path, template: &str) -> String {
    let stem = kickstart.file_stem().map(|stem| stem.to_string_lossy());
    let stem = stem.filter(|stem| tdl::check_name(stem).is_ok());
    format!("{}.try", stem.as_deref().unwrap_or(template))
}
