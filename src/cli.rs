//! The command line: which command, how much to say.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::commands::{
    attach, boot_test, build, cache, check, completions, configuration, convert, customize, diff,
    diff_releases, doctor, explain, gc, history, inspect, install, list, man, media, needs_rebuild,
    new, oz, releases, screenshot, shipped, trial, verify, write,
};
use crate::host;
use crate::ui;
use crate::ui::event::Reporter;
use crate::ui::printer::{Color, Printer, Verbosity};

/// Build golden images with the distribution's own installer
///
/// ozr runs anaconda unattended in a libvirt guest, from a TDL template and a
/// kickstart, and keeps the disk as the finished image.
#[derive(Debug, Parser)]
#[command(name = "ozr", version, max_term_width = 100, after_help = EXIT_STATUS)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    command: Command,

    /// How much to say.
    #[command(flatten)]
    output: OutputOptions,
}

/// The exit statuses, for `--help` and the man page.
const EXIT_STATUS: &str = "\
Exit status:
  0    done
  1    the build failed
  2    the command line, the configuration, the template, the kickstart or the image is wrong
  3    this host cannot build, or the disk fails
  4    the mirror cannot be used
  5    the image is good, and a hook of the user's failed
  130  interrupted";

/// How much to say, and where the configuration is.
#[derive(Debug, Args)]
struct OutputOptions {
    /// Say nothing but errors
    #[arg(short, long, global = true, conflicts_with_all = ["verbose", "debug"])]
    quiet: bool,

    /// Say more: -v details, -vv the guest's console, -vvv ozr's own trace
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,

    /// Say more, in Oz's levels: 0 errors, 1 warnings, 2 info, 3 and 4 debug
    #[arg(
        short,
        long,
        value_name = "LEVEL",
        value_parser = clap::value_parser!(u8).range(0..=4),
        global = true,
        conflicts_with = "verbose"
    )]
    debug: Option<u8>,

    /// Colour findings: auto (on a terminal, unless NO_COLOR is set), always, never
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true,
        global = true
    )]
    color: Color,

    /// Read FILE instead of /etc/ozr/ozr.toml, ~/.config/ozr/ozr.toml and ./ozr.toml
    #[arg(short, long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
}

impl OutputOptions {
    fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.debug) {
            (true, _) => Verbosity::Quiet,
            (false, Some(level)) => Verbosity::of_level(level),
            (false, None) => Verbosity::of_level(self.verbose.saturating_add(2)),
        }
    }
}

/// One verb each.
#[derive(Debug, Subcommand)]
enum Command {
    /// Install a template into a disk image
    ///
    /// Fetches the installer from the template's install tree, boots it in a guest with the
    /// kickstart, follows it to its end, and keeps the disk. On success the image's path is the
    /// only line on standard output. Whatever ends the build early, nothing unfinished is left.
    Install(Box<install::Args>),
    /// Build a family of images: everything that the project's file names, several at once
    ///
    /// Templates and kickstarts are filled and checked first; then each image is installed by a process of its own.
    /// The images' paths are all that is on standard output, one a line. The exit status is 1 if a build failed,
    /// which leaves the others alone; where there is one build alone it is that build's own.
    Build(Box<build::Args>),

    /// Ask the installer what it says of a kickstart, without making an image
    ///
    /// Loads an installer that was saved just before it reads its kickstart (made at the first use), hands it the
    /// kickstart, and follows it until it has checked all that it checks before it touches the disk. A kickstart
    /// that it refuses ends as an install of it would: the same cause and the same sentence, in seconds.
    Try(Box<trial::Args>),

    /// Save the installer of a template for `ozr try`
    ///
    /// `ozr try` does it by itself at the first use. Nothing of a kickstart is in it.
    Warm(Box<trial::WarmArgs>),
    /// Make a directory with a template, a kickstart and the options that build them
    ///
    /// Its path is the only line on standard output.
    New(new::Args),
    /// Print a template that comes with ozr, or list all
    Template(shipped::TemplateArgs),
    /// Print a built-in kickstart, or list all
    Kickstart(shipped::KickstartArgs),
    /// Boot an image, and say whether it comes up as it must
    ///
    /// An overlay is booted: the image itself is not changed. What the boot test saw is put into the
    /// directory NAME.boot-test, whose path is the only line on standard output. The exit status is 0
    /// if the image passed, 1 if it did not.
    BootTest(Box<boot_test::Args>),
    /// List the builds that are running: name, process, phase, percent, age, image
    List(list::Args),
    /// Show the console of a running build, until the build ends
    ///
    /// Shows the lines that the console had last, and then those that come, cleaned and with
    /// secrets masked. Ctrl-C ends only this. The exit status is 0 if the build ends with an image,
    /// 1 if it ends without.
    Attach(attach::Args),
    /// Take a picture of the screen of a running build (PNG)
    ///
    /// The path of the picture is the only line on standard output.
    Screenshot(screenshot::Args),
    /// Check kickstarts and templates, without building anything
    ///
    /// Says what the installer of a release would refuse, ignore or stop at. Findings go to
    /// standard error; those in the formats for programs to standard output.
    Check(check::Args),
    /// Add what a template adds to an image that is there
    ///
    /// Packages, repositories, files, precommands and commands of the template, in a copy of the image, which
    /// is sealed as an install's is, and takes the image's place, or gets a name of its own. On success its
    /// path is the only line on standard output; on failure nothing has changed.
    Customize(Box<customize::Args>),
    /// Convert a disk image to the formats of clouds, hypervisors and tools
    ///
    /// All files appear together or none. Their paths are all that is on standard output, one a
    /// line. Nothing inside the image is changed.
    Convert(Box<convert::Args>),
    /// Say whether an image is what its papers say, or whether an importer takes it
    ///
    /// Compares its digest, what lies beside it and what is inside with its checksums, its provenance and its
    /// manifest, and looks who has signed them. With --for looks at the container, its sizes, the partition table, and whether the firmware finds
    /// something to start; for some importers at the system, too. Findings go to standard error; those in the
    /// formats for programs to standard output.
    Verify(verify::Args),
    /// Explain a rule of `ozr check`, or list all rules
    Explain(explain::Args),
    /// List the releases whose kickstarts `ozr check` knows
    Releases(releases::Args),
    /// Say what changes for kickstarts from one release to another
    DiffReleases(diff_releases::Args),
    /// Say what an image is: its disk, the system on it, packages, kernels, services, users
    ///
    /// Reads any raw or qcow2 image without booting or mounting it, within bounds of memory and time:
    /// ext2 to ext4, XFS, Btrfs, LVM, RPM databases of all releases. What is encrypted is named.
    Inspect(inspect::Args),
    /// Say what is different in an image from an earlier one
    ///
    /// Packages, with what their changelogs say and the CVE ids in it, kernel arguments, services, users,
    /// files of configuration, sizes, and how long the phases of the install took. Each is an image, which is
    /// read without booting or mounting it, or a manifest.
    Diff(diff::Args),
    /// Say whether another image would come of a build than the one that is there, and why
    ///
    /// Takes the options of `ozr install`, and builds nothing. The exit status is 0 if the image is to be
    /// built, 1 if the one that is there is what would come of it.
    NeedsRebuild(Box<needs_rebuild::Args>),
    /// Show the builds that have ended: verdicts, times, sizes
    ///
    /// A phase of the install that is half again as long as its median of the builds before is pointed out.
    History(history::Args),
    /// Write an image to a disk
    ///
    /// Refuses disks in use, asks, writes, reads everything back, and fits the partition table to the
    /// disk. The disk's beginning is written last, so that a write that was cut does not boot. On success
    /// the disk's path is the only line on standard output.
    Write(write::Args),
    /// Make a disc, or what a PXE server hands out, that puts an image on machines unattended
    ///
    /// The ISO file, which is a stick as well, boots by BIOS and UEFI; the machine that boots it writes the
    /// image to its disk as `ozr write` does, reads it back, and switches itself off. Which disk, and whether
    /// what is on it may be lost, is said when the medium is made. Its path is the only line on standard output.
    Media(Box<media::Args>),
    /// Show or empty the cache of kernels and initrds
    Cache(cache::Args),
    /// Translate Oz's configuration
    Config(configuration::Args),
    /// Remove what builds left that were killed
    ///
    /// Every build does this before it begins. Guests, processes and directories of builds that
    /// are dead are removed; what lives, what is not ozr's and what --keep left is not touched.
    Gc(gc::Args),
    /// Show what this host has and lacks for building images
    Doctor(doctor::Args),
    /// Print the manual page (roff)
    Man(man::Args),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

impl Cli {
    /// When findings are coloured.
    pub fn color(&self) -> Color {
        self.output.color
    }
}

/// What the program was called as, and told.
#[derive(Debug)]
pub enum Called {
    /// ozr itself.
    Ozr(Box<Cli>),
    /// One of Oz's commands.
    Oz(oz::Called),
}

impl Called {
    /// Parses the command line. A wrong one ends the process, as clap does it.
    pub fn parse() -> Called {
        let arguments: Vec<OsString> = std::env::args_os().collect();
        match oz::Called::of(&arguments) {
            Some(called) => Called::Oz(called),
            None => Called::Ozr(Box::new(Cli::parse_from(arguments))),
        }
    }

    /// When to colour messages.
    pub fn color(&self) -> Color {
        match self {
            Called::Ozr(cli) => cli.color(),
            Called::Oz(_) => Color::Auto,
        }
    }

    /// Runs the command.
    ///
    /// # Errors
    /// Those of [`run`].
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Called::Ozr(cli) => run(*cli),
            Called::Oz(called) => called.run(),
        }
    }
}

/// Runs the command that the command line names.
///
/// # Errors
/// Whatever the command failed with; its [kind](crate::error::kind_of) decides the exit status.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    // Before any thread is started.
    host::prepare_environment();
    ui::start_trace(cli.output.verbose);
    let (verbosity, color) = (cli.output.verbosity(), cli.output.color);
    let reporter = Reporter::new(Arc::new(Printer::new(verbosity, color)));
    let config = cli.output.config.as_deref();
    match cli.command {
        Command::Install(args) => install::run(*args, config, verbosity, color),
        Command::Build(args) => build::run(*args, config, verbosity, color),
        Command::Try(args) => trial::run(*args, config, verbosity, color),
        Command::Warm(args) => trial::run_warm(*args, config, verbosity, color),
        Command::New(args) => new::run(&args, &reporter),
        Command::Template(args) => shipped::template(&args),
        Command::Kickstart(args) => shipped::kickstart(&args),
        Command::BootTest(args) => boot_test::run(*args, config, &reporter),
        Command::List(args) => list::run(&args, config, &reporter),
        Command::Attach(args) => attach::run(&args, config, &reporter),
        Command::Screenshot(args) => screenshot::run(&args, config, &reporter),
        Command::Check(args) => check::run(args, config, &reporter, verbosity, color),
        Command::Convert(args) => convert::run(*args, &reporter),
        Command::Customize(args) => customize::run(*args, config, verbosity, color),
        Command::Verify(args) => verify::run(&args, verbosity, color),
        Command::Explain(args) => explain::run(&args),
        Command::Releases(args) => releases::run(&args),
        Command::DiffReleases(args) => diff_releases::run(&args, color),
        Command::Inspect(args) => inspect::run(&args),
        Command::Diff(args) => diff::run(&args, config),
        Command::NeedsRebuild(args) => needs_rebuild::run(*args, config, &reporter),
        Command::History(args) => history::run(&args, config, &reporter),
        Command::Write(args) => write::run(args, config, verbosity, color),
        Command::Media(args) => media::run(*args, config, verbosity, color),
        Command::Cache(args) => cache::run(&args, config, &reporter),
        Command::Config(args) => configuration::run(&args),
        Command::Gc(args) => gc::run(&args, config, &reporter),
        Command::Doctor(args) => doctor::run(&args, config, &reporter),
        Command::Man(args) => man::run(&args, Cli::command(), EXIT_STATUS),
        Command::Completions { shell } => completions::run(shell, Cli::command()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn levels_of_oz_and_ours_agree() {
        let of = |arguments: &str| {
            Cli::try_parse_from(arguments.split(' '))
                .map(|cli| cli.output.verbosity())
                .unwrap()
        };
        assert_eq!(of("ozr man"), Verbosity::Normal);
        assert_eq!(of("ozr -q man"), Verbosity::Quiet);
        assert_eq!(of("ozr man -d 0"), Verbosity::Quiet);
        assert_eq!(of("ozr man -d 3"), Verbosity::Verbose);
        assert_eq!(of("ozr man -vv"), Verbosity::Console);
        assert_eq!(of("ozr man -vvvvv"), Verbosity::Console);
    }
}
