//! `ozr install`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;

use super::display::Display;
use super::reports::{About, Reports};
use super::signals;
use super::template::{self, ReadTemplate};
use super::{from_base, input, of_iso, preflight, tree};
use crate::check::subject;
use crate::diagnostic::Source;
use crate::distro::Arch;
use crate::error::{Classify, Kind, fail, failed, failure};
use crate::hex;
use crate::host;
use crate::host::{Connection, KvmFacts};
use crate::image::keep;
use crate::image::output::{self, OutputPaths};
use crate::image::signature;
use crate::install::access::RootAccess;
use crate::install::again::{self, Answer};
use crate::install::answers::{Answers, Joined};
use crate::install::hooks::Hooks;
use crate::install::place::Claim;
use crate::install::plan::{self, Plan, TemplateFile};
use crate::install::remarks::Remarks;
use crate::install::run::{Cancellation, Kept};
use crate::install::{self, Finished, place};
use crate::kickstart::{builtin, scan};
use crate::language::Version;
use crate::machine::AccelChoice;
use crate::mirror::address;
use crate::options::variables::{self, Values, Writing};
use crate::options::{EventsTo, InstallOptions, Layer, Progress, ReportTarget, config, declared};
use crate::process;
use crate::tdl::Template;
use crate::ui::event::{Event, Reporter, Sink};
use crate::ui::printer::{self, Color, Verbosity};

/// Examples, for `--help` and the manual page: the command, and what it does.
pub const EXAMPLES: &[(&str, &str)] = &[
    (
        "ozr install rocky-9.tdl -k web.ks",
        "Install with a kickstart of your own; the image is rocky-9.qcow2, after the template's name.",
    ),
    (
        "ozr install rocky-9.tdl --root-password prompt --ssh-key ~/.ssh/id_ed25519.pub",
        "Install with the built-in kickstart; root's password is asked for, and the key may log in.",
    ),
    (
        "ozr install rocky-9.tdl -k web.ks --output-dir /srv/images --name web --compress zstd",
        "Write /srv/images/web.qcow2, compressed.",
    ),
    (
        "ozr install --iso rhel-9.6-x86_64-dvd.iso -k web.ks",
        "Install from a DVD image, which says the release; the packages are on it.",
    ),
    (
        "ozr install rocky-9.tdl -k web.ks --dry-run",
        "Check, and print the kickstart and the guest that there would be.",
    ),
    (
        "ozr install rocky-9.tdl -k web.ks --connect qemu:///system --network default",
        "Use the system's libvirt and its network `default`.",
    ),
];

fn examples() -> String {
    let more = "Every option may also stand in the configuration file, under its long name.";
    super::help_of(EXAMPLES, more)
}

/// How long threads of ours may finish what they do when the command ends. One may be opening
/// libvirt, which takes seconds where it has to ask QEMU first, and cleans up when it is done.
pub(super) const THREADS_PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

/// `ozr install TEMPLATE [KICKSTART]`
#[derive(Debug, clap::Args)]
#[command(after_help = examples())]
pub struct Args {
    /// The TDL template (- for standard input); not needed with --iso
    #[arg(value_name = "TEMPLATE")]
    template: Option<PathBuf>,

    /// The kickstart, as -k names it
    #[arg(value_name = "KICKSTART", conflicts_with = "kickstart")]
    second: Option<PathBuf>,

    /// Install this build of the project's file, as `ozr build` does: its template, kickstart, options and variables
    #[arg(long, value_name = "NAME", conflicts_with_all = ["template", "iso"])]
    build: Option<String>,

    /// Start without checking the kickstart and trying its addresses
    #[arg(long)]
    no_check: bool,

    /// Check, fetch the installer's kernel and initrd into the cache, and print what the guest would be given: the
    /// kickstart and the libvirt XML, without secrets. No guest is started, no image is made
    #[arg(long)]
    dry_run: bool,

    /// Everything that the configuration file can hold, too.
    #[command(flatten)]
    options: InstallOptions,
}

impl Args {
    /// Of a template, with options that are all known otherwise.
    pub(super) fn of(template: PathBuf) -> Args {
        Args::with(Some(template), None, InstallOptions::default())
    }

    /// Of what stands on another command's line.
    pub(super) fn with(
        template: Option<PathBuf>,
        second: Option<PathBuf>,
        options: InstallOptions,
    ) -> Args {
        Args {
            template,
            second,
            build: None,
            no_check: false,
            dry_run: false,
            options,
        }
    }
}

/// Installs a template and prints the path of the image.
///
/// # Errors
/// Whatever ended the build; nothing unfinished is left.
pub fn run(
    args: Args,
    config: Option<&Path>,
    verbosity: Verbosity,
    color: Color,
) -> anyhow::Result<()> {
    process::end_with_family();
    let mut args = args;
    let below = below(&mut args, config);
    let inputs = Inputs::read(args, below);
    let display = inputs.display(verbosity, color)?;
    let mut result = inputs.install(display.reporter());
    let told = result.as_mut().ok().and_then(|done| done.told.take());
    let trouble = result.as_mut().ok().and_then(|done| done.trouble.take());
    display.end_after(result.map(|finished| finished.images), trouble)?;
    printer::print_text(&told.unwrap_or_default());
    Ok(())
}

/// What stands below the command line; of a build of a family its template, too.
fn below(args: &mut Args, config: Option<&Path>) -> anyhow::Result<InstallOptions> {
    let Some(name) = args.build.take() else {
        return config::load(config);
    };
    let variants = config::family(config, &args.options.set)?;
    let Some(variant) = variants.iter().find(|variant| variant.name == name) else {
        let names: Vec<&str> = variants.iter().map(|variant| &*variant.name).collect();
        let near = input::nearest(&name, &names);
        let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        fail!(
            Kind::Input,
            "--build: there is no build `{name}`{near} `ozr build --list` names all"
        );
    };
    args.template = Some(variant.template.clone());
    // They are in the variant's.
    args.options.set.clear();
    Ok(config::layers(config)?.with(variant))
}

/// What was handed in, read before anything is opened for writing.
#[derive(Debug)]
pub struct Inputs {
    args: Args,
    /// None where the ISO image is to say what is installed.
    template: Option<anyhow::Result<template::Loaded>>,
    options: anyhow::Result<InstallOptions>,
    /// What is filled into texts.
    values: Values,
}

impl Inputs {
    /// Reads the template, and lays the options over those of the configuration, `below`.
    pub fn read(mut args: Args, below: anyhow::Result<InstallOptions>) -> Self {
        args.options.kickstart.extend(args.second.take());
        // With an ISO image the one file may be the kickstart.
        let alone = args.options.kickstart.is_empty() && !args.options.iso.is_empty();
        if alone
            && args
                .template
                .as_deref()
                .is_some_and(template::names_kickstart)
        {
            args.options.kickstart.extend(args.template.take());
        }
        let laid = below.and_then(|below| {
            let mut options = args.options.clone().over(below);
            let values = Values::of(&options)?;
            values.fill_outputs(&mut options)?;
            Ok((options, values))
        });
        let (options, values) = match laid {
            Ok((options, values)) => (Ok(options), values),
            Err(error) => (Err(error), Values::default()),
        };
        let template = args.template.as_deref();
        let template = template.map(|template| template::load(template, &values));
        Inputs {
            values,
            ..Inputs::of(args, template, options)
        }
    }

    /// The same with a template that is read, and options that are all known.
    pub(super) fn of(
        args: Args,
        template: Option<anyhow::Result<template::Loaded>>,
        options: anyhow::Result<InstallOptions>,
    ) -> Self {
        let options = options.and_then(|options| {
            let read = template
                .as_ref()
                .and_then(|template| template.as_ref().ok());
            let read = read.and_then(|read| read.as_ref().ok());
            let file = args.template.clone().or_else(|| of_iso::file(&options));
            let Some(file) = file else {
                fail!(
                    Kind::Input,
                    "there is nothing to install: name a template, or an ISO image with --iso"
                );
            };
            check_apart(&file, read.map(|read| &read.template), &options).map(|()| options)
        });
        Inputs {
            args,
            template,
            options,
            values: Values::default(),
        }
    }

    /// What shows how far it is.
    ///
    /// # Errors
    /// As [`Display::of`].
    pub(super) fn display(&self, verbosity: Verbosity, color: Color) -> anyhow::Result<Display> {
        let given = &self.args.options.progress;
        Display::of(given, &self.options, verbosity, color)
    }

    /// Installs, and reports to `reporter`.
    ///
    /// # Errors
    /// Those of [`run`].
    pub fn install(self, reporter: &Reporter) -> anyhow::Result<Finished> {
        let Args {
            template: file,
            no_check,
            dry_run,
            options: InstallOptions { set, .. },
            ..
        } = self.args;
        let options = self.options?;
        let file = file.or_else(|| of_iso::file(&options));
        let file = file.context("there is no template")?;
        // Reports are of builds.
        let wanted = if dry_run { &[][..] } else { &options.report };
        let reports = Reports::open(wanted)?;
        let mut about = About::beginning(match &options.name {
            Some(name) => name.clone(),
            None => input::display_name(&file),
        });
        let remarks = Arc::new(Remarks::default());
        let heard = reporter.and(Arc::clone(&remarks) as Arc<dyn Sink>);
        let template = match self.template {
            Some(template) => template.and_then(|loaded| template::accept(&file, loaded, &heard)),
            None => of_iso::template(&options, &heard),
        };
        let values = self.values;
        let hooks = Hooks::of(&options);
        let mut outputs = None;
        let planned = template.and_then(|read| {
            host::can_run_guests()?;
            require_kvm(&options, read.template.os.arch)?;
            plan(&file, read, no_check, options, None, &values, &heard)
        });
        for name in values.unused(&set) {
            heard.warn(variables::unused_warning(name));
        }
        let mut built = planned.and_then(|(mut plan, text)| {
            plan.dry_run = dry_run;
            outputs = Some(plan.output.clone());
            about.name.clone_from(&plan.name);
            let first = from_base::before(&mut plan, &heard)?;
            check_and_build(plan, first, text, no_check, &remarks, reporter)
        });
        reports.write(&about, &built, reporter);
        if !dry_run {
            let trouble = run_hooks(&hooks, &about.name, outputs.as_ref(), &built, reporter).err();
            match (&mut built, trouble) {
                (Ok(finished), trouble) => finished.trouble = trouble,
                (Err(_), Some(trouble)) => reporter.warn(format!("{trouble:#}")),
                (Err(_), None) => {}
            }
        }
        built
    }
}

fn run_hooks(
    hooks: &Hooks,
    name: &str,
    outputs: Option<&OutputPaths>,
    built: &anyhow::Result<Finished>,
    reporter: &Reporter,
) -> anyhow::Result<()> {
    if !hooks.are_for(built) {
        return Ok(());
    }
    reporter.step("running the hooks");
    let runtime = signals::runtime()?;
    let (stop, _impatience) = signals::cancellation(&runtime, reporter)?;
    runtime.block_on(hooks.run(name, outputs, built, &stop))
}

/// Stops where KVM is demanded and it is certain that there is none, before a mirror is asked for anything. What a
/// daemon's QEMU may do is known later.
pub(super) fn require_kvm(options: &InstallOptions, arch: Arch) -> anyhow::Result<()> {
    let accel = plan::accel(options).kind(Kind::Input)?;
    let connection = Connection::choose(options.connect.as_deref()).kind(Kind::Input)?;
    if accel != AccelChoice::Kvm || connection != Connection::Embedded {
        return Ok(());
    }
    match KvmFacts::probe().obstacle(arch) {
        Some(why) => fail!(
            Kind::Host,
            "KVM is demanded, and cannot run this guest: {why}; `--accel tcg` without --require-kvm is software emulation, which is many times slower"
        ),
        None => Ok(()),
    }
}

impl Inputs {
    /// Says whether another image would come of it than the one that is there; and the plan. Nothing is built, and
    /// nothing replaced.
    ///
    /// # Errors
    /// Those of [`again::ask`]; the template, the kickstart or an option is wrong.
    pub fn ask(self, reporter: &Reporter) -> anyhow::Result<(Plan, Answer)> {
        let mut options = self.options?;
        // That an image is there is what it is about.
        options.force = true;
        let file = self.args.template.or_else(|| of_iso::file(&options));
        let file = file.context("there is no template")?;
        let template = match self.template {
            Some(template) => template.and_then(|loaded| template::accept(&file, loaded, reporter)),
            None => of_iso::template(&options, reporter),
        }?;
        let (plan, _) = plan(
            &file,
            template,
            false,
            options,
            None,
            &self.values,
            reporter,
        )?;
        let runtime = signals::runtime()?;
        let (stop, _) = signals::cancellation(&runtime, reporter)?;
        let answer = runtime.block_on(stop.or(again::ask(&plan, reporter)));
        runtime.shutdown_background();
        Ok((plan, answer?))
    }
}

/// The outputs, if the image's name is known: the template as it was `read` may say it.
fn output_paths(
    read: Option<&Template>,
    options: &InstallOptions,
) -> anyhow::Result<Option<OutputPaths>> {
    let name = read.map(|read| read.name.as_str());
    let Some(name) = options.name.as_deref().or(name) else {
        return Ok(None);
    };
    let disks = read.map_or(0, |read| read.disks.len());
    let disks = disks.max(options.disk.len()).max(1);
    let paths = OutputPaths::of(options, name, disks);
    paths.kind(Kind::Input).map(Some)
}

/// Refuses a build two of whose files are one. The outputs that are named after the image are
/// known with the template as it was `read`, if it could be.
fn check_apart(
    template: &Path,
    read: Option<&Template>,
    options: &InstallOptions,
) -> anyhow::Result<()> {
    let owned = |what: &str, path: &Path| (what.to_owned(), path.to_path_buf());
    let mut outputs = Vec::new();
    if let Some(paths) = output_paths(read, options)? {
        let named = paths.named().into_iter();
        outputs.extend(named.map(|(what, path)| owned(what, path)));
    }
    for ReportTarget { format, file } in &options.report {
        outputs.push((
            format!("the report {format:?}").to_lowercase(),
            file.clone(),
        ));
    }
    for wish in &options.progress {
        match wish {
            Progress::Json(EventsTo::File(file)) => outputs.push(owned("the events' file", file)),
            Progress::Json(EventsTo::Descriptor(number)) => {
                let path = format!("/proc/self/fd/{number}");
                outputs.push(owned("the events' descriptor", Path::new(&path)));
            }
            _ => {}
        }
    }
    let mut inputs = vec![owned("the template", template)];
    let isos = options.iso.iter().filter_map(|text| address(text).ok());
    let isos = isos.filter_map(|url| url.to_file_path().ok());
    inputs.extend(isos.map(|path| owned("the ISO image", &path)));
    let kickstarts = options.kickstart.iter();
    inputs.extend(kickstarts.map(|path| owned("the kickstart", path)));
    for (what, path) in [
        ("the base of --from", &options.from),
        ("--cacert", &options.cacert),
        ("--client-cert", &options.client_cert),
        ("--client-key", &options.client_key),
    ] {
        inputs.extend(path.iter().map(|path| owned(what, path)));
    }
    inputs.retain(|(_, path)| !input::is_stdin(path));
    output::check_apart(&outputs, &inputs)
}

/// Reads everything else that was named, and decides; the template's text, too. The `kickstart` is read, or built in,
/// where none is handed in.
///
/// # Errors
/// Input: something of it is wrong.
pub(super) fn plan(
    file: &Path,
    read: ReadTemplate,
    no_check: bool,
    options: InstallOptions,
    kickstart: Option<Answers>,
    values: &Values,
    reporter: &Reporter,
) -> anyhow::Result<(Plan, String)> {
    let (mut read, mut options) = (read, options);
    // Before a mirror is asked for anything.
    if let Some(paths) = output_paths(Some(&read.template), &options)? {
        // What is ozr's own may be replaced by another build of it; of anything else `--force` must say it.
        options.force |= options.if_changed && again::is_ours(&paths.image, &paths.manifest);
        match options.keep_builds {
            None => paths.check(options.replaces())?,
            Some(_) => keep::check(&paths, options.replaces())?,
        }
        let format = options.formats()[0];
        paths.check_ending(format).kind(Kind::Input)?;
    }
    of_iso::put_in(&mut read.template, &options, reporter)?;
    let described = tree::settle(&mut read.template, file, &options, reporter)?;
    if let Err(findings) = read.template.release() {
        return Err(template::refuse(file, findings.to_vec(), reporter));
    }
    let access = RootAccess::read(&options)?;
    let from_stdin = [file]
        .into_iter()
        .chain(options.kickstart.iter().map(|path| &**path));
    if from_stdin.filter(|path| input::is_stdin(path)).count() > 1 {
        fail!(
            Kind::Input,
            "template and kickstart cannot both come from standard input: name a file for all but one of them"
        );
    }
    let kickstart = match (kickstart, &options.kickstart[..]) {
        (Some(kickstart), _) => kickstart,
        (None, paths @ [_, ..]) => {
            let version = read
                .template
                .release()
                .ok()
                .and_then(|release| Version::of(*release));
            own_kickstart(paths, version, no_check, values, reporter)?
        }
        (None, []) => builtin_kickstart(&read.template, &access, reporter)?,
    };
    let from = TemplateFile {
        name: input::display_name(file),
        sha256: read.sha256,
        dir: plan::template_dir(file).kind(Kind::Input)?,
    };
    for note in &options.notes {
        reporter.note(note);
    }
    let checks = &mut options.boot_test.checks;
    let named = [file]
        .into_iter()
        .chain(options.kickstart.iter().map(|path| &**path));
    for named in named {
        let beside = declared::beside(named);
        checks.extend(beside.filter(|beside| !checks.contains(beside)));
    }
    let plan = Plan::new(read.template, from, kickstart, access, options);
    let plan = plan.kind(Kind::Input)?;
    for warning in &plan.warnings {
        reporter.warn(warning);
    }
    let plan = Plan {
        secrets: values.secrets(),
        described,
        ..plan
    };
    Ok((plan, read.text))
}

/// Checks and builds until it is done, or until a signal says to stop; `first` is built before. Either way
/// everything that belonged to the build is gone when this returns, save what it was told to keep.
pub(super) fn check_and_build(
    plan: Plan,
    first: Option<Plan>,
    template_text: String,
    no_check: bool,
    remarks: &Arc<Remarks>,
    reporter: &Reporter,
) -> anyhow::Result<Finished> {
    host::can_run_guests()?;
    // The install itself runs in this thread; one more hears signals and `ozr attach` meanwhile.
    let runtime = signals::runtime()?;
    let plan = Arc::new(plan);
    let (stop, mut impatience) = signals::cancellation(&runtime, reporter)?;
    for plan in first.iter().chain([&*plan]) {
        if !plan.dry_run {
            place::remove_leftovers(&Claim::of(plan), reporter)
                .map_err(|error| stop.explain(error))?;
        }
        plan.output.check(plan.options.replaces())?;
    }
    if plan.options.keeps_unchanged() {
        let asked = runtime.block_on(stop.or(again::ask(&plan, reporter)))?;
        if let Some(finished) = kept(&plan, &asked, reporter) {
            runtime.shutdown_background();
            return Ok(finished);
        }
    }
    if let Some((links, _)) = &plan.kept {
        keep::check(links, plan.options.replaces())?;
    }
    for signer in &plan.options.sign {
        runtime.block_on(stop.or(signature::try_out(signer)))?;
    }
    if !no_check {
        let checked =
            runtime.block_on(stop.or(check(&plan, template_text, remarks, &stop, reporter)));
        if checked.is_err() {
            // An address that is still being tried is not waited for.
            runtime.shutdown_background();
            return checked.map(|()| unreachable!("an error stays one"));
        }
    }
    // What the check finds is told apart from what is remarked elsewhere.
    let heard = reporter.and(Arc::clone(remarks) as Arc<dyn Sink>);
    let building = async {
        let built = build(plan, first, remarks, &stop, &heard).await;
        built.kind(Kind::Build)
    };
    let result = runtime.block_on(signals::unless_twice(
        &mut impatience,
        signals::NO_VERDICT,
        building,
    ));
    runtime.shutdown_timeout(THREADS_PATIENCE);
    result
}

/// Builds `first`, if there is such a plan, and then the other.
async fn build(
    plan: Arc<Plan>,
    first: Option<Plan>,
    remarks: &Remarks,
    stop: &Cancellation,
    reporter: &Reporter,
) -> anyhow::Result<Finished> {
    let mut earlier = None;
    if let Some(first) = first {
        let finished = install::run(&first, None, remarks, stop, reporter).await?;
        if plan.dry_run {
            return Ok(finished);
        }
        earlier = Some(finished);
    }
    let mut plan = Arc::into_inner(plan).context("the check still looks at the plan")?;
    if let Some(base) = plan.options.from.clone() {
        from_base::onto(&mut plan, &base).await?;
    }
    install::run(&plan, earlier, remarks, stop, reporter).await
}

/// Keeps the image that is there if nothing else would come of the plan; else says why something would.
fn kept(plan: &Plan, answer: &Answer, reporter: &Reporter) -> Option<Finished> {
    /// More would hide the first ones; `ozr needs-rebuild` has all.
    const MOST: usize = 10;
    for reason in answer.reasons.iter().take(MOST) {
        reporter.event(Event::Changed(reason.text.clone()));
    }
    if let Some(more) = answer
        .reasons
        .len()
        .checked_sub(MOST)
        .filter(|more| *more > 0)
    {
        reporter.note(format!("and {more} more: `ozr needs-rebuild` names all"));
    }
    let manifest = answer.manifest.as_ref().filter(|_| !answer.is_needed())?;
    let images = plan.stable().paths();
    let images = images.iter().map(|image| keep::target(image)).collect();
    reporter.event(Event::Kept {
        name: plan.name.clone(),
        id: manifest.build_id.clone(),
        finished: manifest.finished.clone(),
    });
    Some(Finished {
        images,
        kept: Some(Kept {
            build_id: manifest.build_id.clone(),
            finished: manifest.finished.clone(),
        }),
        ..Finished::default()
    })
}

/// The check before the build, on a thread of its own: it waits for mirrors. One that comes back is
/// tried again as often as the build would be.
pub(super) async fn check(
    plan: &Arc<Plan>,
    template_text: String,
    remarks: &Arc<Remarks>,
    stop: &Cancellation,
    reporter: &Reporter,
) -> anyhow::Result<()> {
    let attempts = plan.retries.saturating_add(1);
    for number in 1.. {
        let (plan, text, heard) = (Arc::clone(plan), template_text.clone(), reporter.clone());
        let remarks = Arc::clone(remarks);
        let last = number >= attempts;
        let once = move || preflight::run(&plan, &text, last, &remarks, &heard);
        let checked = tokio::task::spawn_blocking(once).await;
        match checked
            .context("checking the kickstart")
            .kind(Kind::Host)??
        {
            None => return Ok(()),
            Some(reason) => {
                install::wait_to_retry(&reason, number, attempts, stop, reporter).await?
            }
        }
    }
    unreachable!("the last try returns")
}

/// Reads the kickstarts that were named, fills their variables and joins them.
pub(super) fn read_kickstarts(paths: &[PathBuf], values: &Values) -> anyhow::Result<Joined> {
    let mut joined = Joined::default();
    for path in paths {
        let name = input::display_name(path);
        let bytes = input::read(path, "kickstart")?;
        if subject::is_template(&bytes) {
            let message = format!(
                "{name} is a template, and -k takes the kickstart: write `ozr install {name} -k KICKSTART`"
            );
            return Err(failure(Kind::Input, message));
        }
        joined.written.extend_from_slice(&bytes);
        let written = scan::decode(bytes);
        let source = Source {
            name: &name,
            text: &written,
        };
        let text = values.fill(source, Writing::Plain).kind(Kind::Input)?;
        joined.add(name, &text);
    }
    Ok(joined)
}

fn own_kickstart(
    paths: &[PathBuf],
    version: Option<Version>,
    no_check: bool,
    values: &Values,
    reporter: &Reporter,
) -> anyhow::Result<Answers> {
    let joined = read_kickstarts(paths, values)?;
    let Joined { name, text, .. } = &joined;
    let refuse = |mut findings: Vec<_>| {
        values.hide(&mut findings, name, text);
        findings
            .iter_mut()
            .for_each(|finding| joined.place(finding));
        template::refuse(Path::new(name), findings, reporter)
    };
    if no_check
        && !version.is_some_and(Version::is_python_2)
        && let Some(finding) = scan::undecodable(text, name)
    {
        return Err(refuse(vec![finding]));
    }
    // The check says all that is wrong at once.
    if no_check {
        scan::scan(text, name).map_err(refuse)?;
    }
    Ok(Answers::of(joined))
}

fn builtin_kickstart(
    template: &Template,
    access: &RootAccess,
    reporter: &Reporter,
) -> anyhow::Result<Answers> {
    let Ok(release) = template.release() else {
        // `run` has refused such a template.
        fail!(Kind::Input, "the template names no known release");
    };
    let candidates = release.builtin_kickstart_candidates();
    let Some(builtin) = builtin::find(&candidates) else {
        fail!(
            Kind::Input,
            "no kickstart is built in for {release}: give one with -k"
        );
    };
    // An image that nobody can log in to is of no use, and one with a password that everybody knows is worse.
    let Some(password) = access.password_or(template.os.rootpw.as_ref())? else {
        fail!(
            Kind::Input,
            "nobody could log in: the built-in kickstart {} needs a root password; give one with --root-password prompt (or file:PATH, env:NAME), name a public key with --ssh-key, add a <rootpw> to the template's <os>, or give a kickstart with -k",
            builtin.name
        );
    };
    if access.password.is_none() && template.os.rootpw.is_none() {
        reporter.note(
            "root gets a password that nobody knows: the keys of --ssh-key are the only way in",
        );
    }
    let text = builtin.render(password.reveal())?;
    let name = format!("built-in {}", builtin.name);
    scan::scan(&text, &name).map_err(|findings| {
        let first = findings.first().map_or(String::new(), ToString::to_string);
        failed!(Kind::Input, "the kickstart {name} is broken: {first}")
    })?;
    let mut answers = Answers::ours(text, &name);
    // The text has a salt of its own.
    answers.sha256 = hex::sha256(builtin.text());
    Ok(answers)
}
