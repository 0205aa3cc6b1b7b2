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
mod filesystem;
mod localization;
mod logvol;
mod mount;
mod network;
mod partition;
pub(super) mod raid;
pub(super) mod san;
mod sections;
pub(super) mod snapshot;
mod sources;
mod stratis;
mod system;
mod users;
#[cfg(test)]
pub(super) mod verdicts;
mod volgroup;

use super::Version;
use super::arguments::{self, Arguments};
use super::declared::Declared;
use super::problem::{Problem, id};
use super::table::{Argument, Syntax, Takes, ValueType};
use super::values;
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
    /// The line as it stands in the text, with indentation and comment; empty for a header.
    pub raw: &'a str,
    /// What the words say.
    pub arguments: &'a Arguments,
    /// What the lines before declared.
    pub declared: &'a Declared,
}

impl Call<'_> {
    /// Whether the option has a value that is not empty, here or in an earlier line of a command
    /// that keeps it ([`Declared::kept`]).
    fn keeps(&self, option: &'static str) -> bool {
        let here = self.syntax.option(option).and_then(|argument| {
            let value = self.arguments.value(option)?;
            Some(filled(argument, value))
        });
        here.or_else(|| self.declared.kept(self.name, option))
            .unwrap_or(false)
    }
}

/// Whether Python takes the value for true.
fn filled(argument: &Argument, value: &str) -> bool {
    match argument.kind {
        ValueType::List => !values::list(value).is_empty(),
        _ => !value.is_empty(),
    }
}

/// Options of commands of which one line counts, whose values stay when a later line leaves them
/// out: the installer sets what a line says, and resets nothing.
pub fn kept(call: &Call<'_>) -> Vec<(&'static str, bool)> {
    let options: &[&str] = match call.name {
        "autopart" => &["--cipher", "--escrowcert", "--fstype"],
        "ignoredisk" => &["--drives", "--only-use"],
        "harddrive" => &["--biospart", "--partition"],
        "keyboard" => &["--xlayouts"],
        "logging" => &["--host", "--port"],
        "services" => &["--disabled", "--enabled"],
        "timezone" => &["--ntpservers"],
        _ => &[],
    };
    let known = options
        .iter()
        .filter_map(|name| Some((*name, call.syntax.option(name)?)));
    let values = known.filter_map(|(name, argument)| {
        let value = call.arguments.value(name)?;
        Some((name, filled(argument, value)))
    });
    let others = match call.name {
        "autopart" => autopart::kept(call),
        "ignoredisk" => disks::kept(call).into_iter().collect(),
        _ => Vec::new(),
    };
    values.chain(others).collect()
}

/// Whether the command accepts words that it has no use for.
pub fn takes_leftovers(call: &Call<'_>) -> bool {
    // The last two take everything for their members.
    system::key_is_skipped(call) || matches!(call.name, "volgroup" | "stratispool")
}

/// A word that the command has no use for; of options [`super::line`] says so itself.
fn unexpected(call: &Call<'_>) -> Option<Problem> {
    let mut words = call.arguments.leftovers.iter();
    let word = words.find(|word| !word.text.starts_with('-'))?;
    Some(arguments::leftover(call.syntax, word))
}

/// The options that are given and not empty, of those that the version has.
fn used<'a>(call: &Call<'_>, options: &[&'a str]) -> Vec<&'a str> {
    let known = options.iter().copied();
    known
        .filter(|option| match call.syntax.option(option) {
            Some(argument) if argument.takes == Takes::Nothing => call.arguments.has(option),
            Some(_) => call.arguments.filled(option).is_some(),
            None => false,
        })
        .collect()
}

/// The line needs one of the options, with a value.
fn one_is_needed(call: &Call<'_>, options: &[&str]) -> Option<Problem> {
    if !used(call, options).is_empty() {
        return None;
    }
    let known: Vec<&str> = options
        .iter()
        .copied()
        .filter(|option| call.syntax.option(option).is_some())
        .collect();
    let names = arguments::in_words(&known, "or");
    Some(
        Problem::error(id::MISSING, format!("`{}` needs {names}", call.name))
            .help("add one of them, with a value that is not empty"),
    )
}

/// The line can have only one of the options.
fn only_one(call: &Call<'_>, options: &[&str]) -> Option<Problem> {
    let used = used(call, options);
    let [first, second, ..] = used[..] else {
        return None;
    };
    Some(contradiction(call, first, second))
}

/// Two options that are both given, and cannot be.
fn contradiction(call: &Call<'_>, first: &str, second: &str) -> Problem {
    Problem::error(
        id::CONTRADICTION,
        format!(
            "`{first}` and `{second}` of `{}` cannot be used together",
            call.name
        ),
    )
    .at(call.arguments.span(second))
    .help("keep one of them")
}

/// The number of an option, if it is given and not 0: what Python takes for true.
fn number(call: &Call<'_>, option: &str) -> Option<i64> {
    let number = call.arguments.integer(option);
    number.filter(|number| *number != 0)
}

/// A rule: what it finds wrong with a line.
pub type Rule = fn(&Call<'_>) -> Option<Problem>;

/// The rules of a command or section, in the order in which the installer would find a line wrong.
pub fn of(command: &str) -> &'static [Rule] {
    GROUPS.iter().find_map(|of| of(command)).unwrap_or_default()
}

/// The rules of a command, if it is of a group.
type Group = fn(&str) -> Option<&'static [Rule]>;

/// The groups: each gives the rules of the commands that it knows.
const GROUPS: [Group; 19] = [
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
