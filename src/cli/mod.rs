//! The command line: clap structs and the configuration file, nothing else.

pub mod config;
mod install;
mod values;

pub use install::InstallOptions;
pub use values::{Accel, Compress, Deliver, DiskBus, Firmware, Format, Network, Relay, Seconds};

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Build golden images with the distribution's own installer
///
/// ozr runs anaconda unattended in a libvirt guest, from a TDL template and a
/// kickstart, and keeps the disk as the finished image.
#[derive(Debug, Parser)]
#[command(name = "ozr", version, max_term_width = 100)]
#[command(after_help = EXIT_STATUS_HELP)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// How much to say.
    #[command(flatten)]
    pub output: OutputOptions,
}

/// The exit statuses, for `--help` and the man page.
pub const EXIT_STATUS_HELP: &str = "\
Exit status:
  0    done
  1    the build failed
  2    the command line, the configuration, the template or the kickstart is wrong
  3    this host cannot build
  4    the mirror cannot be used
  130  interrupted";

/// How much to say, and where the configuration is.
#[derive(Debug, Args)]
pub struct OutputOptions {
    /// Say nothing but errors
    #[arg(short, long, global = true, conflicts_with_all = ["verbose", "debug"])]
    pub quiet: bool,

    /// Say more: -v details, -vv the guest's console, -vvv ozr's own trace
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,

    /// Say more, in Oz's levels: 0 errors, 1 warnings, 2 info, 3 and 4 debug
    #[arg(short, long, value_name = "LEVEL", value_parser = clap::value_parser!(u8).range(0..=4), global = true, conflicts_with = "verbose")]
    pub debug: Option<u8>,

    /// Read FILE instead of /etc/ozr/ozr.toml and ~/.config/ozr/ozr.toml
    #[arg(short, long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
}

/// One verb each.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Install a template into a disk image
    #[command(after_help = INSTALL_EXAMPLES)]
    Install(Box<InstallArgs>),
    /// Check a template, without building anything
    Check(CheckArgs),
    /// Show or empty the cache of kernels and initrds
    Cache(CacheArgs),
    /// Show what this host has and lacks for building images
    Doctor(DoctorArgs),
    /// Print the manual page (roff)
    Man(ManArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
}

const INSTALL_EXAMPLES: &str = "\
Examples:
  ozr install rocky-9.tdl -k web.ks
  ozr install rocky-9.tdl -k web.ks --output-dir /srv/images --compress zstd
  ozr install rocky-9.tdl -k web.ks --connect qemu:///system --network default

Every option may also stand in the configuration file, under its long name.";

/// `ozr install`
#[derive(Debug, Args)]
pub struct InstallArgs {
    /// The TDL template (- for standard input)
    #[arg(value_name = "TEMPLATE")]
    pub template: PathBuf,

    /// Everything that the configuration file can hold, too.
    #[command(flatten)]
    pub options: InstallOptions,
}

/// `ozr check`
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The TDL templates (- for standard input)
    #[arg(value_name = "TEMPLATE", required = true)]
    pub templates: Vec<PathBuf>,
}

/// `ozr cache`
#[derive(Debug, Args)]
pub struct CacheArgs {
    /// What to do with the cache.
    #[command(subcommand)]
    pub action: CacheAction,

    /// Where the cache is [default: /var/cache/ozr for root, else ~/.cache/ozr]
    #[arg(long, value_name = "DIR", global = true)]
    pub cache_dir: Option<PathBuf>,
}

/// `ozr cache list|prune|clear`
#[derive(Debug, Subcommand)]
pub enum CacheAction {
    /// List the cached files, one a line: size, last use, digest, URL
    List,
    /// Remove what no build has used for a while
    Prune {
        /// Remove what was last used longer ago than this
        #[arg(long, value_name = "DURATION", default_value = "30d")]
        older_than: humantime::Duration,
    },
    /// Remove everything that no running build uses
    Clear,
}

/// `ozr doctor`
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// The libvirt connection to look at [default: the embedded driver]
    #[arg(long, value_name = "URI")]
    pub connect: Option<String>,

    /// Where images would be written
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub output_dir: PathBuf,
}

/// `ozr man`
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Print the page of this subcommand
    #[arg(value_name = "COMMAND")]
    pub command: Option<String>,
}

/// `ozr completions`
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        super::Cli::command().debug_assert();
    }
}
