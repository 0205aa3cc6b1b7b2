//! Oz's commands, by the names that they are called by: links to `ozr`.
//!
//! Each has Oz's options and no others (oz-0.19's `oz-install`, `oz-customize`, `oz-generate-icicle` and
//! `oz-cleanup-cache`), and does by ozr's own commands what they ask for. `docs/oz.md` has the table.

mod cleanup;
mod customize;
mod examine;
mod icicle;
mod install;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, CommandFactory, Parser};

use super::machine_images;
use crate::host;
use crate::options::{InstallOptions, config};
use crate::ui::event::Reporter;
use crate::ui::printer::{Color, Printer, Verbosity};

/// One of Oz's commands, as it was called.
#[derive(Debug)]
pub enum Called {
    /// `oz-install`
    Install(Box<install::Args>),
    /// `oz-customize`
    Customize(Box<customize::Args>),
    /// `oz-generate-icicle`
    GenerateIcicle(icicle::Args),
    /// `oz-cleanup-cache`
    CleanupCache(cleanup::Args),
    /// `oz-examine`
    Examine(examine::Args),
}

/// The names, for those who install links and pages.
pub const NAMES: [&str; 5] = [
    "oz-install",
    "oz-customize",
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
            "oz-customize" => Called::Customize(Box::new(customize::Args::parse_from(arguments))),
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
            Called::Customize(args) => customize::run(*args),
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
        "oz-customize" => customize::Args::command(),
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

/// The files of the images of a machine.
///
/// # Errors
/// Those of [`machine_images::of`].
fn images_of(named: &Path, options: &InstallOptions) -> anyhow::Result<Vec<PathBuf>> {
    let images = machine_images::of(named, options.connect.as_deref())?.into_iter();
    Ok(images.map(|image| image.file).collect())
}

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
