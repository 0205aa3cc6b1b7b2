//! What no table can hold: rules in code, one file per group of commands.
//!
//! The facts are pykickstart's (3.78, `commands/*.py`); the words are ours. A rule looks at one
//! line that argparse has accepted, and at what earlier lines declared. Where pykickstart's class
//! of a version has a rule, the rule says since which version.

mod autopart;
mod bootloader;
mod btrfs;
mod disks;
mod display;
mod localization;
mod logvol;
mod mount;
mod network;
mod partition;
mod raid;
mod san;
mod sections;
mod snapshot;
mod sources;
mod stratis;
mod system;
mod users;
mod volgroup;

use super::Version;
use super::arguments::Arguments;
use super::declared::Declared;
use super::problem::Problem;
use super::table::Syntax;
use crate::kickstart::words::Word;

/// One line, as a rule sees it.
#[derive(Debug)]
pub struct Call<'a> {
    /// Whose language.
    pub version: Version,
    /// The command as it is written; of `part` and `partition` always `part`.
    pub name: &'static str,
    /// What the table knows of it.
    pub syntax: &'a Syntax,
    /// The words of the line, the command's name first.
    pub words: &'a [Word],
    /// What the words say.
    pub arguments: &'a Arguments,
    /// What the lines before declared.
    pub declared: &'a Declared,
}

/// A rule: what it finds wrong with a line.
pub type Rule = fn(&Call<'_>) -> Option<Problem>;

/// The rules of a command or section, in the order in which the installer would find a line wrong.
pub fn of(command: &str) -> &'static [Rule] {
    GROUPS.iter().find_map(|of| of(command)).unwrap_or_default()
}

/// The groups: each gives the rules of the commands that it knows.
const GROUPS: [fn(&str) -> Option<&'static [Rule]>; 19] = [
    autopart::of,
    bootloader::of,
    btrfs::of,
    disks::of,
    display::of,
    localization::of,
    logvol::of,
    mount::of,
    network::of,
    partition::of,
    raid::of,
    san::of,
    sections::of,
    snapshot::of,
    sources::of,
    stratis::of,
    system::of,
    users::of,
    volgroup::of,
];
