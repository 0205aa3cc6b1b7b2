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
    /// Values that stay until another line of the command changes them, by command and option.
    kept: BTreeMap<(&'static str, &'static str), String>,
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

    /// The value of an option in an earlier line of the command.
    pub fn kept(&self, command: &'static str, option: &'static str) -> Option<&str> {
        self.kept.get(&(command, option)).map(String::as_str)
    }

    /// Notes a value that stays.
    pub fn keep(&mut self, command: &'static str, option: &'static str, value: &str) {
        self.kept.insert((command, option), value.to_string());
    }
}
