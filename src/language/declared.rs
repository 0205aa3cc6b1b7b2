//! What the lines of a kickstart have declared so far: for duplicates, for commands that cannot
//! stand together, and for names that other lines refer to.

use std::collections::{BTreeMap, BTreeSet};

/// What earlier lines declared.
#[derive(Debug, Clone, Default)]
pub struct Declared {
    /// Commands by name, with the first line of each.
    commands: BTreeMap<&'static str, usize>,
    /// Things by kind and name: `("mount point", "/boot")`.
    things: BTreeSet<(&'static str, String)>,
    /// Values that outlast their line, by command and option: whether they are filled.
    kept: BTreeMap<(&'static str, &'static str), bool>,
}

impl Declared {
    /// The first line where a command stands.
    pub fn line_of(&self, command: &str) -> Option<usize> {
        self.commands.get(command).copied()
    }

    /// Notes a command.
    pub fn command(&mut self, name: &'static str, line: usize) {
        self.commands.entry(name).or_insert(line);
    }

    /// Whether a thing was declared.
    pub fn has(&self, kind: &'static str, name: &str) -> bool {
        self.things.contains(&(kind, name.to_string()))
    }

    /// Notes a thing.
    pub fn thing(&mut self, kind: &'static str, name: &str) {
        self.things.insert((kind, name.to_string()));
    }

    /// Whether an earlier line of the command set the option, and to more than nothing.
    pub fn kept(&self, command: &'static str, option: &'static str) -> Option<bool> {
        self.kept.get(&(command, option)).copied()
    }

    /// Notes a value that outlasts its line.
    pub fn keep(&mut self, command: &'static str, option: &'static str, filled: bool) {
        self.kept.insert((command, option), filled);
    }
}
