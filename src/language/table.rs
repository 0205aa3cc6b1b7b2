//! The table of the language: which release has which commands, sections and options, with which
//! values.
//!
//! The data is in `table.toml`, written by `scripts/kickstart-table` from an installed
//! pykickstart and, for RHEL 6 to 8, from what the branches that their installers are built with
//! have beyond it (`scripts/kickstart-branches.toml`). Each command and section (`["%post"]`) is a table:
//!
//! * `active`, `deprecated`, `removed`: the versions that run it, ignore it with a warning, or
//!   refuse it by name; every other version does not know it. Versions are written `all`, or as
//!   runs such as `RHEL7-RHEL9 F29+`;
//! * `same-as`: another name of a command; `like`: a command of the same syntax;
//! * `repeatable`: several lines add up, instead of the last one being the one that counts;
//! * `bare`: the command takes its line as it is, without options of the usual form;
//! * `unchecked`: a section whose header the installer's parser does not look at;
//! * `leftovers`: versions where the command itself judges what its options do not cover;
//! * `stray`: versions that take no notice of words that are no options and of no use;
//! * `conflicts`: commands that cannot stand in the same kickstart;
//! * `exclusive`: options that cannot stand in the same line;
//! * `positionals`: the arguments that are no options, in order;
//! * `options`: by name (`"--log, --logfile"`: two names of one option), what they take
//!   (`takes`: `nothing`, `at most one`, `any number`; else one value), its `type` or `choices`,
//!   whether they are `required`, the versions that know them (`in`) and those that ignore them
//!   with a warning (`deprecated`). Where an option changed, a list of such tables.
//!
//! To add a release, add it to `rhel` or `fedora` and to [`Version::ALL`]; `RHEL10+` then
//! includes it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{LazyLock, OnceLock};

use serde::Deserialize;

use super::Version;

const TEXT: &str = include_str!("table.toml");

#[derive(Deserialize)]
struct RawTable {
    #[serde(rename = "rhel")]
    _rhel: Vec<String>,
    #[serde(rename = "fedora")]
    _fedora: Vec<String>,
    #[serde(flatten)]
    commands: BTreeMap<String, RawCommand>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RawCommand {
    same_as: Option<String>,
    like: Option<String>,
    active: Option<String>,
    deprecated: Option<String>,
    removed: Option<String>,
    #[serde(default)]
    repeatable: bool,
    #[serde(default)]
    bare: bool,
    #[serde(default)]
    unchecked: bool,
    leftovers: Option<String>,
    stray: Option<String>,
    #[serde(default)]
    conflicts: Vec<RawConflict>,
    #[serde(default)]
    exclusive: Vec<RawExclusive>,
    #[serde(default)]
    positionals: Vec<RawArgument>,
    #[serde(default)]
    options: BTreeMap<String, OneOrMany>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConflict {
    with: Vec<String>,
    r#in: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExclusive {
    options: Vec<String>,
    r#in: String,
    #[serde(default)]
    required: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(RawArgument),
    Many(Vec<RawArgument>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawArgument {
    #[serde(default)]
    place: usize,
    name: Option<String>,
    takes: Option<String>,
    r#type: Option<String>,
    #[serde(default)]
    choices: Vec<String>,
    #[serde(default)]
    required: bool,
    r#in: Option<String>,
    deprecated: Option<String>,
}

/// Whether a version runs a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It does.
    Active,
    /// It knows the name, does nothing, and warns.
    Deprecated,
    /// It knows the name and refuses it.
    Removed,
}

/// How many values an option or argument takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// A flag.
    Nothing,
    /// Exactly one.
    One,
    /// One or none.
    AtMostOne,
    /// Any number, none included.
    AnyNumber,
}

/// What a value must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// Anything: what it may be is the business of `choices`, or of a rule.
    Text,
    /// A whole number.
    Integer,
    /// Separated by commas.
    List,
    /// One of `on`, `yes`, `true`, `1` and their opposites.
    Boolean,
}

/// An option, or an argument that is no option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// The names of an option, the first for all to know it by; of other arguments one word for
    /// messages.
    pub names: Vec<&'static str>,
    /// How many values.
    pub takes: Takes,
    /// What they look like.
    pub kind: ValueType,
    /// The only values, if there are few.
    pub choices: Vec<&'static str>,
    /// Whether the line needs it.
    pub required: bool,
    /// Whether it is ignored with a warning.
    pub deprecated: bool,
}

impl Argument {
    /// The name that all know it by.
    pub fn name(&self) -> &'static str {
        self.names[0]
    }
}

/// Options that cannot stand together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exclusive {
    /// Their names.
    pub options: Vec<&'static str>,
    /// Whether one of them must be there.
    pub required: bool,
}

/// A command or section in one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Syntax {
    /// Its name; of a command with two names always the same one.
    pub name: &'static str,
    /// Whether the version runs it.
    pub status: Status,
    /// Several lines add up.
    pub repeatable: bool,
    /// It has no options of the usual form.
    pub bare: bool,
    /// Its header is not looked at.
    pub unchecked: bool,
    /// The command itself judges what its options do not cover.
    pub leftovers: bool,
    /// No notice is taken of words that are no options and of no use.
    pub stray: bool,
    /// Commands that cannot stand in the same kickstart.
    pub conflicts: Vec<&'static str>,
    /// Options that cannot stand in the same line.
    pub exclusive: Vec<Exclusive>,
    /// Arguments that are no options, in order.
    pub positionals: Vec<Argument>,
    /// Options.
    pub options: Vec<Argument>,
}

impl Syntax {
    /// The option with this name.
    pub fn option(&self, name: &str) -> Option<&Argument> {
        self.options
            .iter()
            .find(|option| option.names.contains(&name))
    }
}

/// All commands and sections of one version, by name.
#[derive(Debug)]
pub struct Language(HashMap<&'static str, Syntax>);

impl Language {
    /// The language of a version; made at its first use.
    pub fn of(version: Version) -> &'static Language {
        static MADE: [OnceLock<Language>; Version::ALL.len()] =
            [const { OnceLock::new() }; Version::ALL.len()];
        MADE[version.index()].get_or_init(|| language(version))
    }

    /// A command or section (with its `%`), if the version knows it.
    pub fn get(&self, name: &str) -> Option<&Syntax> {
        self.0.get(name)
    }

    /// Every command and section, in no order; a command with two names twice.
    pub fn all(&self) -> impl Iterator<Item = &Syntax> {
        self.0.values()
    }

    /// The names of commands, in order.
    pub fn commands(&self) -> Vec<&'static str> {
        let mut names: Vec<&str> = self.0.keys().copied().collect();
        names.retain(|name| !name.starts_with('%'));
        names.sort_unstable();
        names
    }
}

/// Every version that has a command of this name, deprecated or not.
pub fn versions_with(name: &str) -> Vec<Version> {
    Version::ALL
        .into_iter()
        .filter(|&version| {
            Language::of(version)
                .get(name)
                .is_some_and(|syntax| syntax.status != Status::Removed)
        })
        .collect()
}

static TABLE: LazyLock<RawTable> =
    LazyLock::new(|| toml::from_str(TEXT).expect("table.toml is well-formed"));

fn language(version: Version) -> Language {
    let table: &'static RawTable = &TABLE;
    let mut commands = HashMap::new();
    for (name, raw) in &table.commands {
        let (syntax_of, name_for_all) = match (&raw.same_as, &raw.like) {
            (Some(other), _) => (&table.commands[other], other),
            (None, Some(other)) => (&table.commands[other], name),
            (None, None) => (raw, name),
        };
        if let Some(syntax) = syntax(syntax_of, name_for_all, version) {
            commands.insert(name.as_str(), syntax);
        }
    }
    Language(commands)
}

fn syntax(raw: &'static RawCommand, name: &'static str, version: Version) -> Option<Syntax> {
    let status = if includes(raw.active.as_deref(), version) {
        Status::Active
    } else if includes(raw.deprecated.as_deref(), version) {
        Status::Deprecated
    } else if includes(raw.removed.as_deref(), version) {
        Status::Removed
    } else {
        return None;
    };
    let mut positionals: Vec<(usize, Argument)> = raw
        .positionals
        .iter()
        .filter(|raw| known(raw, version))
        .map(|raw| {
            let names = vec![raw.name.as_deref().unwrap_or("argument")];
            (raw.place, argument(raw, names, version))
        })
        .collect();
    positionals.sort_by_key(|(place, _)| *place);
    let mut options = Vec::new();
    for (names, variants) in &raw.options {
        let variants = match variants {
            OneOrMany::One(one) => std::slice::from_ref(one),
            OneOrMany::Many(many) => many,
        };
        if let Some(raw) = variants.iter().find(|raw| known(raw, version)) {
            options.push(argument(raw, names.split(", ").collect(), version));
        }
    }
    Some(Syntax {
        name,
        status,
        repeatable: raw.repeatable,
        bare: raw.bare,
        unchecked: raw.unchecked,
        leftovers: includes(raw.leftovers.as_deref(), version),
        stray: includes(raw.stray.as_deref(), version),
        conflicts: raw
            .conflicts
            .iter()
            .filter(|conflict| includes(Some(&conflict.r#in), version))
            .flat_map(|conflict| conflict.with.iter().map(String::as_str))
            .collect(),
        exclusive: raw
            .exclusive
            .iter()
            .filter(|exclusive| includes(Some(&exclusive.r#in), version))
            .map(|exclusive| Exclusive {
                options: exclusive.options.iter().map(String::as_str).collect(),
                required: exclusive.required,
            })
            .collect(),
        positionals: positionals.into_iter().map(|(_, made)| made).collect(),
        options,
    })
}

fn known(raw: &RawArgument, version: Version) -> bool {
    raw.r#in.is_none() || includes(raw.r#in.as_deref(), version)
}

fn argument(raw: &'static RawArgument, names: Vec<&'static str>, version: Version) -> Argument {
    let option = names[0].starts_with('-');
    let takes = match raw.takes.as_deref() {
        None => Takes::One,
        Some("nothing") => Takes::Nothing,
        Some("at most one") => Takes::AtMostOne,
        Some(_) => Takes::AnyNumber,
    };
    Argument {
        takes,
        kind: value_type(raw.r#type.as_deref()),
        choices: raw.choices.iter().map(String::as_str).collect(),
        required: raw.required || (!option && takes == Takes::One),
        deprecated: includes(raw.deprecated.as_deref(), version),
        names,
    }
}

fn value_type(name: Option<&str>) -> ValueType {
    match name {
        Some("int") => ValueType::Integer,
        Some("list") => ValueType::List,
        Some("boolean") => ValueType::Boolean,
        _ => ValueType::Text,
    }
}

/// Whether the versions written in `range` include this one.
fn includes(range: Option<&str>, version: Version) -> bool {
    range.is_some_and(|range| range.split(' ').any(|run| in_run(run, version)))
}

/// Whether one run of versions, such as `RHEL7-RHEL9` or `F29+`, includes this one.
pub(super) fn in_run(run: &str, version: Version) -> bool {
    if run == "all" {
        return true;
    }
    let same_line = |other: Version| other.is_rhel() == version.is_rhel();
    let place = version.index();
    if let Some(first) = run.strip_suffix('+') {
        return Version::from_name(first)
            .is_some_and(|first| same_line(first) && place >= first.index());
    }
    let (first, last) = run.split_once('-').unwrap_or((run, run));
    match (Version::from_name(first), Version::from_name(last)) {
        (Some(first), Some(last)) => {
            same_line(first) && (first.index()..=last.index()).contains(&place)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every range in the table is made of versions that are known.
    #[test]
    fn the_table_is_sound() {
        let sound = |range: &Option<String>| {
            for run in range.iter().flat_map(|range| range.split(' ')) {
                let ends = run.trim_end_matches('+').split('-');
                for end in ends {
                    assert!(end == "all" || Version::from_name(end).is_some(), "{run}");
                }
            }
        };
        let table: &RawTable = &TABLE;
        let named: Vec<String> = Version::ALL.iter().map(ToString::to_string).collect();
        assert_eq!([table._rhel.clone(), table._fedora.clone()].concat(), named);
        for (name, raw) in &table.commands {
            for other in raw.same_as.iter().chain(&raw.like) {
                assert!(table.commands.contains_key(other), "{name}: {other}");
            }
            for conflict in &raw.conflicts {
                sound(&Some(conflict.r#in.clone()));
                for other in &conflict.with {
                    assert!(table.commands.contains_key(other), "{name}: {other}");
                }
            }
            for range in [
                &raw.active,
                &raw.deprecated,
                &raw.removed,
                &raw.leftovers,
                &raw.stray,
            ] {
                sound(range);
            }
            for (option, variants) in &raw.options {
                let variants = match variants {
                    OneOrMany::One(one) => std::slice::from_ref(one),
                    OneOrMany::Many(many) => many,
                };
                for raw in variants.iter().chain(&raw.positionals) {
                    sound(&raw.r#in);
                    sound(&raw.deprecated);
                    let takes = ["nothing", "at most one", "any number"];
                    let said = raw.takes.as_deref();
                    assert!(said.is_none_or(|said| takes.contains(&said)), "{option}");
                }
            }
        }
    }

    #[test]
    fn commands_come_and_go() {
        let status = |name: &str, version: &str| {
            Language::of(Version::from_name(version).unwrap())
                .get(name)
                .map(|syntax| syntax.status)
        };
        assert_eq!(status("install", "RHEL7"), Some(Status::Active));
        assert_eq!(status("install", "RHEL8"), Some(Status::Deprecated));
        assert_eq!(status("install", "RHEL9"), Some(Status::Removed));
        assert_eq!(status("timesource", "RHEL8"), None);
        assert_eq!(status("timesource", "F33"), Some(Status::Active));
        assert_eq!(status("%packages", "F46"), Some(Status::Active));
        let language = Language::of(Version::Rhel(9));
        assert_eq!(language.get("partition").unwrap().name, "part");
        assert_eq!(language.get("text").unwrap().name, "text");
        assert!(language.commands().contains(&"clearpart"));
    }

    #[test]
    fn options_change() {
        let option = |command: &str, name: &str, version| {
            Language::of(version)
                .get(command)
                .unwrap()
                .option(name)
                .cloned()
        };
        let level = option("logging", "--level", Version::Rhel(8)).unwrap();
        assert_eq!(level.choices.len(), 5);
        let level = option("logging", "--level", Version::Rhel(9)).unwrap();
        assert!(level.deprecated && level.choices.is_empty());
        assert_eq!(option("logging", "--level", Version::Rhel(10)), None);
        assert!(
            option("timezone", "--isUtc", Version::Fedora(40))
                .unwrap()
                .deprecated
        );
        assert_eq!(option("timezone", "--isUtc", Version::Rhel(10)), None);
        assert!(option("user", "--name", Version::Rhel(9)).unwrap().required);
    }
}
