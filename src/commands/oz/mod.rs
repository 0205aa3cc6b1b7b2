//! Oz's commands, by the names that they are called by: links to `ozr`.
//!
//! Each has Oz's options and no others (oz-0.19's `oz-install`, `oz-customize`, `oz-generate-icicle` and
//! `oz-cleanup-cache`), and does by ozr's own commands what they ask for. `docs/oz.md` has the table.

mod cleanup;
mod examine;
mod icicle;
mod install;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, CommandFactory, Parser};

use crate::error::{Classify, Kind, failed};
use crate::host::{self, domain_file};
use crate::options::{InstallOptions, config};
use crate::ui::event::Reporter;
use crate::ui::printer::{Color, Printer, Verbosity};

/// One of Oz's commands, as it was called.
#[derive(Debug)]
pub enum Called {
    /// `oz-install`
    Install(Box<install::Args>),
    /// `oz-generate-icicle`
    GenerateIcicle(icicle::Args),
    /// `oz-cleanup-cache`
    CleanupCache(cleanup::Args),
    /// `oz-examine`
    Examine(examine::Args),
}

/// The names, for those who install links and pages.
pub const NAMES: [&str; 4] = [
    "oz-install",
    "oz-generate-icicle",
    "oz-cleanup-cache",
    "oz-examine",
];

/// What all of them take.
#[derive(Debug, Args)]
struct Common {
    /// The configuration: Oz's, or an ozr.toml [default: ~/.oz/oz.cfg, for root /etc/oz/oz.cfg, else ozr's own]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// How much to say: 0 errors, 1 and warnings, 2 progress, 3 details, 4 and the guest's console [default: 2]
    #[arg(short, long, value_name = "LEVEL")]
    debug: Option<u8>,
}

impl Common {
    fn verbosity(&self) -> Verbosity {
        self.debug.map_or(Verbosity::Normal, Verbosity::of_level)
    }

    /// The options below those of the command line.
    ///
    /// # Errors
    /// Those of [`config::load`].
    fn load(&self) -> anyhow::Result<InstallOptions> {
        let named = self.config.clone().or_else(usual_configuration);
        config::load(named.as_deref())
    }
}

/// Where Oz looks for its configuration.
fn usual_configuration() -> Option<PathBuf> {
    let of_user = std::env::var_os("HOME").map(|home| Path::new(&home).join(".oz/oz.cfg"));
    let is_root = rustix::process::geteuid().is_root();
    let of_root = is_root.then(|| PathBuf::from("/etc/oz/oz.cfg"));
    of_user
        .into_iter()
        .chain(of_root)
        .find(|file| file.exists())
}

impl Called {
    /// The command that goes by the name of the program, with its `arguments`, the first of which is that
    /// name; none if it is not one of Oz's. Wrong arguments end the process, as clap does it.
    pub fn of(arguments: &[OsString]) -> Option<Called> {
        let name = Path::new(arguments.first()?).file_name()?;
        Some(match name.to_str()? {
            "oz-install" => Called::Install(Box::new(install::Args::parse_from(arguments))),
            "oz-generate-icicle" => Called::GenerateIcicle(icicle::Args::parse_from(arguments)),
            "oz-cleanup-cache" => Called::CleanupCache(cleanup::Args::parse_from(arguments)),
            "oz-examine" => Called::Examine(examine::Args::parse_from(arguments)),
            _ => return None,
        })
    }

    /// Does what it is asked for.
    ///
    /// # Errors
    /// Those of the command.
    pub fn run(self) -> anyhow::Result<()> {
        // Before any thread is started.
        host::prepare_environment();
        match self {
            Called::Install(args) => install::run(*args),
            Called::GenerateIcicle(args) => icicle::run(&args),
            Called::CleanupCache(args) => cleanup::run(&args),
            Called::Examine(args) => examine::run(&args),
        }
    }
}

/// The command of a name, for its manual page.
pub fn command(name: &str) -> Option<clap::Command> {
    Some(match name {
        "oz-install" => install::Args::command(),
        "oz-generate-icicle" => icicle::Args::command(),
        "oz-cleanup-cache" => cleanup::Args::command(),
        "oz-examine" => examine::Args::command(),
        _ => return None,
    })
}

/// What messages are reported to.
fn reporter(common: &Common) -> Reporter {
    Reporter::new(Arc::new(Printer::new(common.verbosity(), Color::Auto)))
}

/// The images of a machine: those that its libvirt XML names, or the one that is named itself.
///
/// # Errors
/// Input: it cannot be read; the XML names no disk in a file.
fn images_of(named: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let looking = || format!("reading {}", named.display());
    let mut head = Vec::new();
    let file = File::open(named);
    file.and_then(|file| file.take(MOST_DOMAIN).read_to_end(&mut head))
        .with_context(looking)
        .kind(Kind::Input)?;
    match std::str::from_utf8(&head) {
        Ok(text) if domain_file::is_meant(text) => {
            let disks = domain_file::disks(text);
            let disks = disks.map_err(|why| failed!(Kind::Input, "{}: {why}", named.display()))?;
            Ok(disks.into_iter().map(|disk| disk.file).collect())
        }
        _ => Ok(vec![named.to_owned()]),
    }
}

/// Most bytes of a domain's XML that are read; one has some thousand.
const MOST_DOMAIN: u64 = 1 << 20;

/// Where a path that Oz takes from its user's home is.
fn below_home(path: &str) -> Option<PathBuf> {
    let home = std::env::var_os("HOME").filter(|home: &OsString| home != OsStr::new(""))?;
    Some(Path::new(&home).join(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_command() {
        for name in NAMES {
            let command = command(name).unwrap();
            assert_eq!(command.get_name(), name);
            command.debug_assert();
            assert!(Called::of(&["/usr/bin/ozr".into()]).is_none());
        }
    }
}
