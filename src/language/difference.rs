//! What comes, goes and is deprecated between two versions, as the table has it.

use strum::IntoStaticStr;

use super::Version;
use super::table::{Argument, Language, Status, Syntax};

/// What happens to a command or option on the way from one version to another.
#[derive(Debug, Clone, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Change {
    /// The newer one has it, the older one does not.
    Added,
    /// It is ignored with a warning from now on.
    Deprecated,
    /// The newer one refuses it.
    Removed,
    /// The line needs it from now on.
    Required,
    /// The values that it takes are others; the first are new, the second are gone.
    Values(Vec<&'static str>, Vec<&'static str>),
}

impl Change {
    /// One word for it.
    pub fn word(&self) -> &'static str {
        self.into()
    }
}

/// A change of a command, section or option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The command, or the section with its `%`.
    pub command: &'static str,
    /// The option; the command as a whole if unset.
    pub option: Option<&'static str>,
    /// What happens to it.
    pub change: Change,
}

/// Every difference, by command and option. Second names of a command are left out.
pub fn between(from: Version, to: Version) -> Vec<Difference> {
    let (old, new) = (Language::of(from), Language::of(to));
    let mut names: Vec<&'static str> = [old, new]
        .into_iter()
        .flat_map(Language::all)
        .map(|syntax| syntax.name)
        .collect();
    names.sort_unstable();
    names.dedup();
    let mut differences = Vec::new();
    for command in names {
        let (old, new) = (old.get(command), new.get(command));
        let status = |syntax: Option<&Syntax>| syntax.map(|syntax| syntax.status);
        if let Some(change) = of_command(status(old), status(new)) {
            differences.push(Difference {
                command,
                option: None,
                change,
            });
        } else if let (Some(old), Some(new)) = (old, new) {
            differences.extend(of_options(command, old, new));
        }
    }
    differences
}

fn of_command(old: Option<Status>, new: Option<Status>) -> Option<Change> {
    use Status::{Active, Deprecated, Removed};
    match (old, new) {
        (Some(Active), Some(Active)) | (Some(Deprecated), Some(Deprecated)) => None,
        (_, Some(Active)) => Some(Change::Added),
        (_, Some(Deprecated)) => Some(Change::Deprecated),
        (Some(Active | Deprecated), Some(Removed) | None) => Some(Change::Removed),
        (Some(Removed) | None, Some(Removed) | None) => None,
    }
}

fn of_options(command: &'static str, old: &Syntax, new: &Syntax) -> Vec<Difference> {
    let mut names: Vec<&'static str> = Vec::new();
    for option in old.options.iter().chain(&new.options) {
        // Each of several names may come and go by itself.
        names.extend(&option.names);
    }
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .flat_map(|name| {
            let changes = of_option(old.option(name), new.option(name));
            changes.into_iter().map(move |change| Difference {
                command,
                option: Some(name),
                change,
            })
        })
        .collect()
}

fn of_option(old: Option<&Argument>, new: Option<&Argument>) -> Vec<Change> {
    let (old, new) = match (old, new) {
        (None, None) => return Vec::new(),
        (Some(_), None) => return vec![Change::Removed],
        (None, Some(new)) if new.deprecated => return vec![Change::Deprecated],
        (None, Some(_)) => return vec![Change::Added],
        (Some(old), Some(new)) => (old, new),
    };
    let mut changes = Vec::new();
    if new.deprecated && !old.deprecated {
        changes.push(Change::Deprecated);
    }
    if new.required && !old.required {
        changes.push(Change::Required);
    }
    let without = |these: &[&'static str], those: &[&'static str]| -> Vec<&'static str> {
        let differs = |value: &&&'static str| !those.contains(*value);
        these.iter().filter(differs).copied().collect()
    };
    // Without a list every value is taken, so that a list that comes or goes is no difference
    // between values.
    if !old.choices.is_empty() && !new.choices.is_empty() {
        let come = without(&new.choices, &old.choices);
        let gone = without(&old.choices, &new.choices);
        if !come.is_empty() || !gone.is_empty() {
            changes.push(Change::Values(come, gone));
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(from: Version, to: Version, command: &str, option: Option<&str>) -> Vec<Change> {
        between(from, to)
            .into_iter()
            .filter(|found| found.command == command && found.option == option)
            .map(|found| found.change)
            .collect()
    }

    #[test]
    fn commands_and_options_come_and_go() {
        let (rhel, fedora) = (Version::Rhel, Version::Fedora);
        for (from, to, command, option, expected) in [
            (rhel(7), rhel(8), "install", None, vec![Change::Deprecated]),
            (rhel(8), rhel(9), "install", None, vec![Change::Removed]),
            (rhel(9), rhel(8), "install", None, vec![Change::Deprecated]),
            (rhel(9), rhel(10), "install", None, vec![]),
            (rhel(8), rhel(9), "timesource", None, vec![Change::Added]),
            (rhel(9), rhel(8), "timesource", None, vec![Change::Removed]),
            (rhel(8), rhel(9), "text", None, vec![]),
            (
                fedora(39),
                fedora(40),
                "timezone",
                Some("--isUtc"),
                vec![Change::Deprecated],
            ),
            (
                rhel(9),
                rhel(10),
                "timezone",
                Some("--isUtc"),
                vec![Change::Removed],
            ),
            (
                rhel(8),
                rhel(9),
                "%packages",
                Some("--inst-langs"),
                vec![Change::Added],
            ),
        ] {
            let found = change(from, to, command, option);
            assert_eq!(found, expected, "{from} {to} {command} {option:?}");
        }
    }

    #[test]
    fn a_version_does_not_differ_from_itself() {
        for version in Version::all() {
            assert_eq!(between(version, version), []);
        }
    }

    #[test]
    fn options_of_a_command_that_goes_are_not_listed() {
        let all = between(Version::Rhel(9), Version::Rhel(10));
        let removed = |found: &&Difference| found.change == Change::Removed;
        for gone in all.iter().filter(removed).filter(|f| f.option.is_none()) {
            let options = all.iter().filter(|f| f.command == gone.command);
            assert_eq!(options.count(), 1, "{gone:?}");
        }
    }
}
