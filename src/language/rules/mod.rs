//! What no table can hold: rules in code, a function for each command.
//!
//! The facts are pykickstart's (3.78, `commands/*.py`); the words are ours. A function looks at one
//! line whose options the table accepts, and at what earlier lines declared, in the order in which
//! the installer would find the line wrong. Where pykickstart's class of a version has a rule, the
//! rule says since which version, unless the option that it is about came with it.

mod disks;
mod sources;
mod system;
mod volumes;

use std::ops::Range;

use super::Version;
use super::arguments::{self, Arguments, in_words};
use super::declared::Declared;
use super::problem::{Problem, id};
use super::table::{Argument, Syntax, Takes, ValueType};
use super::values;
use crate::kickstart::words::Word;

/// One line, as the rules see it, and what they find wrong with it.
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
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// Adds what is wrong with the line by the rules of its command or section.
pub fn apply(call: &mut Call<'_>) {
    match call.name {
        "autopart" => disks::autopart(call),
        "authconfig" => system::authconfig(call),
        "bootloader" => system::bootloader(call),
        "btrfs" => volumes::btrfs(call),
        "cdrom" | "hmc" => sources::no_words(call),
        "cmdline" => system::cmdline(call),
        "device" => disks::device(call),
        "driverdisk" => sources::driverdisk(call),
        "eula" => system::eula(call),
        "harddrive" => sources::harddrive(call),
        "ignoredisk" => disks::ignoredisk(call),
        "install" | "upgrade" => system::root_device(call),
        "iscsiname" | "lang" | "module" | "sshkey" | "syspurpose" => call.unexpected(),
        "key" => system::key(call),
        "keyboard" => system::keyboard(call),
        "logging" => system::logging(call),
        "logvol" => volumes::logvol(call),
        "method" => sources::method(call),
        "mount" => disks::mount(call),
        "multipath" => disks::multipath(call),
        "network" => system::network(call),
        "nvdimm" => disks::nvdimm(call),
        "ostreesetup" => sources::ostreesetup(call),
        "part" => disks::part(call),
        "raid" => volumes::raid(call),
        "realm" => system::realm(call),
        // It mounts read-only, or not at all, or neither.
        "rescue" => call.exclusive(&["--nomount", "--romount"]),
        "repo" => sources::repo(call),
        "rhsm" => system::rhsm(call),
        "rootpw" => system::rootpw(call),
        "services" => system::services(call),
        "snapshot" => volumes::snapshot(call),
        "sshpw" => system::sshpw(call),
        "stratisfs" => volumes::stratisfs(call),
        "stratispool" => volumes::stratispool(call),
        "timesource" => system::timesource(call),
        "timezone" => system::timezone(call),
        "updates" => sources::updates(call),
        "url" => sources::url(call),
        "volgroup" => volumes::volgroup(call),
        "zfcp" => disks::zfcp(call),
        "%certificate" => system::certificate(call),
        "%packages" => sources::packages(call),
        "%traceback" => system::traceback(call),
        _ => {}
    }
}

/// Options of commands of which one line counts, whose values stay when a later line leaves them
/// out: the installer sets what a line says, and resets nothing.
pub fn kept(call: &Call<'_>) -> Vec<(&'static str, String)> {
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
    let values = options.iter().map(|name| (*name, call.value(name)));
    let special = match call.name {
        "autopart" => Some(("--type", disks::chosen_type(call))),
        // Asking forgets the disks to leave out.
        "ignoredisk" if disks::asks(call) => Some(("--drives", Some(""))),
        _ => None,
    };
    let values = values.chain(special);
    values
        .filter_map(|(name, value)| Some((name, value?.to_string())))
        .collect()
}

/// Whether the command accepts words that it has no use for.
pub fn takes_leftovers(call: &Call<'_>) -> bool {
    // The last two take everything for their members.
    system::key_is_skipped(call) || matches!(call.name, "volgroup" | "stratispool")
}

/// Whether Python takes the value of the option for true.
fn is_true(option: &Argument, value: &str) -> bool {
    match option.kind {
        ValueType::List => !values::list(value).is_empty(),
        ValueType::Integer => values::integer(value).is_some_and(|number| number != 0),
        _ => !value.is_empty(),
    }
}

impl<'a> Call<'a> {
    /// Whether the option is given, with whatever value.
    fn has(&self, option: &str) -> bool {
        self.arguments.has(option)
    }

    fn value(&self, option: &str) -> Option<&'a str> {
        self.arguments.value(option)
    }

    /// Whether the option is given, and not as something that Python takes for false: an empty
    /// text or list, or 0.
    fn is_set(&self, option: &str) -> bool {
        match self.syntax.option(option) {
            Some(argument) if matches!(argument.takes, Takes::Nothing | Takes::AtMostOne) => {
                self.has(option)
            }
            Some(argument) => self
                .value(option)
                .is_some_and(|value| is_true(argument, value)),
            None => false,
        }
    }

    /// Whether the option is set, here or in an earlier line of a command that keeps it ([`kept`]).
    fn keeps(&self, option: &'static str) -> bool {
        let kept = || self.declared.kept(self.name, option);
        let argument = self.syntax.option(option);
        let value = self.value(option).or_else(kept);
        argument
            .zip(value)
            .is_some_and(|(argument, value)| is_true(argument, value))
    }

    /// The first of the options that is set.
    fn first_set<'o>(&self, options: &[&'o str]) -> Option<&'o str> {
        options.iter().copied().find(|option| self.is_set(option))
    }

    /// Where the option stands that counts.
    fn span(&self, option: &str) -> Option<Range<usize>> {
        self.arguments.span(option)
    }

    /// The argument of this number that is no option.
    fn positional(&self, number: usize) -> Option<&'a Word> {
        self.arguments.positionals().nth(number)
    }

    /// The installer refuses the line; the place is the command's name if unset.
    fn error(
        &mut self,
        id: &'static str,
        place: Option<Range<usize>>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let problem = Problem::error(id, message).at(place).help(help);
        self.problems.push(problem);
    }

    /// The line lacks something.
    fn missing(&mut self, message: impl Into<String>, help: impl Into<String>) {
        self.error(id::MISSING, None, message, help);
    }

    /// An option lacks something beside it.
    fn incomplete(&mut self, option: &str, message: impl Into<String>, help: impl Into<String>) {
        self.error(id::MISSING, self.span(option), message, help);
    }

    /// An option has a value that the installer refuses.
    fn bad_value(&mut self, option: &str, message: impl Into<String>, help: impl Into<String>) {
        self.error(id::BAD_VALUE, self.span(option), message, help);
    }

    /// An option contradicts the rest of its line.
    fn contradicts(&mut self, option: &str, message: impl Into<String>, help: impl Into<String>) {
        self.error(id::CONTRADICTION, self.span(option), message, help);
    }

    /// The installer says something and goes on.
    fn warning(
        &mut self,
        id: &'static str,
        place: Option<Range<usize>>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let problem = Problem::warning(id, message).at(place).help(help);
        self.problems.push(problem);
    }

    /// Two options that are both given, and cannot be.
    fn contradiction(&mut self, first: &str, second: &str, help: impl Into<String>) {
        let message = format!(
            "`{first}` and `{second}` of `{}` cannot be used together",
            self.name
        );
        self.contradicts(second, message, help);
    }

    /// The line can have only one of the options.
    fn exclusive(&mut self, options: &[&str]) {
        self.only_one(options, "keep one of them");
    }

    fn only_one(&mut self, options: &[&str], help: &str) {
        let mut set = options.to_vec();
        set.retain(|option| self.is_set(option));
        if let [first, second, ..] = set[..] {
            self.contradiction(first, second, help);
        }
    }

    /// The line needs one of the options, of those that the version has.
    fn needs_one(&mut self, options: &[&str], help: Option<&str>) {
        if self.first_set(options).is_some() {
            return;
        }
        let mut known = options.to_vec();
        known.retain(|option| self.syntax.option(option).is_some());
        let message = format!("`{}` needs {}", self.name, in_words(&known, "or"));
        let help = help.unwrap_or("add one of them, with a value that is not empty");
        self.missing(message, help);
    }

    /// The first option has no use without the second.
    fn needs(&mut self, option: &str, other: &str, help: &str) {
        if self.is_set(option) && !self.is_set(other) {
            let message = format!("`{option}` of `{}` needs `{other}`", self.name);
            self.incomplete(option, message, help);
        }
    }

    /// The options take only these values, in any case.
    fn only_values(&mut self, options: &[&str], known: &[&str], what: &str, help: &str) {
        let is_wrong = |value: &str| !known.contains(&value.to_lowercase().as_str());
        let wrong = self.arguments.options.iter().find_map(|given| {
            let value = given.value.as_deref().filter(|value| is_wrong(value))?;
            options
                .contains(&given.name)
                .then_some((value, given.span.clone()))
        });
        if let Some((value, span)) = wrong {
            self.error(
                id::BAD_VALUE,
                Some(span),
                format!("`{value}` is no {what}"),
                help,
            );
        }
    }

    /// A word that the command has no use for; of options [`super::line`] says so itself.
    fn unexpected(&mut self) {
        let mut words = self.arguments.leftovers.iter();
        if let Some(word) = words.find(|word| !word.text.starts_with('-')) {
            self.problems.push(arguments::leftover(self.syntax, word));
        }
    }

    /// An option that is written in full by its old name, of which RHEL 9 and Fedora 32 to 39 warn;
    /// later ones say so by themselves.
    fn old_name(&mut self, old: &str, new: &str) {
        if !self.version.since(9, 32) || self.version.since(10, 40) {
            return;
        }
        let is_old = |word: &&Word| word.text.split('=').next() == Some(old);
        if let Some(word) = self.words.iter().find(is_old) {
            let message = format!("`{old}` is an old name of `{new}`");
            let help = format!("write `{new}`: RHEL 10 refuses the old name");
            self.warning(
                id::DEPRECATED_OPTION,
                Some(word.span.clone()),
                message,
                help,
            );
        }
    }

    /// Arguments after the first.
    fn only_one_argument(&mut self, message: &str, help: &str) {
        if let Some(second) = self.positional(1) {
            self.error(id::UNEXPECTED, Some(second.span.clone()), message, help);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::table::Versions;
    use super::super::{NoIncludes, Reading, Version};
    use crate::diagnostic::Severity;

    /// Holds texts against the expected verdicts, written `A RHEL6-RHEL7, R RHEL8+ F40`: accepted,
    /// warned about (`D`) or refused (`R`) by each of the versions, which are written as in the table.
    pub fn hold(table: &[(&str, &str)]) {
        let mut wrong = Vec::new();
        for (text, expected) in table {
            for group in expected.split(", ") {
                let (letter, runs) = group.split_once(' ').expect(group);
                for run in runs.split(' ') {
                    let of_run = Versions::try_from(run.to_string()).unwrap();
                    let mut versions = Version::all().filter(|&v| of_run.has(v)).peekable();
                    assert!(versions.peek().is_some(), "{run}");
                    for version in versions {
                        let reading =
                            Reading::new(&format!("{text}\n"), "t.ks", version, &NoIncludes);
                        let finding = reading.findings.first();
                        let found = match finding.map(|finding| finding.severity) {
                            Some(Severity::Error) => "R",
                            Some(_) => "D",
                            None => "A",
                        };
                        if found != letter {
                            wrong.push(format!("{version}: {found}, not {letter}: {text:?}"));
                        }
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
