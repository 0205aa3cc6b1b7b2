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
//! To add a release, add it to `rhel` or `fedora` and to the ranges of [`Version::all`]; `RHEL10+` then
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

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct RawCommand {
    same_as: Option<String>,
    like: Option<String>,
    active: Versions,
    deprecated: Versions,
    removed: Versions,
    bare: bool,
    unchecked: bool,
    leftovers: Versions,
    stray: Versions,
    conflicts: Vec<RawConflict>,
    exclusive: Vec<RawExclusive>,
    positionals: Vec<RawArgument>,
    options: BTreeMap<String, OneOrMany>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConflict {
    with: Vec<String>,
    r#in: Versions,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExclusive {
    options: Vec<String>,
    r#in: Versions,
    #[serde(default)]
    required: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(RawArgument),
    Many(Vec<RawArgument>),
}

impl OneOrMany {
    fn of(&self, version: Version) -> Option<&RawArgument> {
        let variants = match self {
            OneOrMany::One(one) => std::slice::from_ref(one),
            OneOrMany::Many(many) => many,
        };
        variants.iter().find(|raw| raw.r#in.has(version))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawArgument {
    #[serde(default)]
    place: usize,
    name: Option<String>,
    #[serde(default)]
    takes: Takes,
    #[serde(default)]
    r#type: ValueType,
    #[serde(default)]
    choices: Vec<String>,
    #[serde(default)]
    required: bool,
    #[serde(default = "Versions::all")]
    r#in: Versions,
    #[serde(default)]
    deprecated: Versions,
}

/// Some of the versions: a bit for each, at its place in [`Version::all`].
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Versions(u32);

impl Versions {
    fn all() -> Versions {
        Versions(u32::MAX)
    }

    pub(super) fn has(self, version: Version) -> bool {
        self.0 >> version.index() & 1 == 1
    }
}

impl TryFrom<String> for Versions {
    type Error = String;

    fn try_from(text: String) -> Result<Versions, String> {
        if text == "all" {
            return Ok(Versions::all());
        }
        let named =
            |name: &str| Version::from_name(name).ok_or_else(|| format!("`{name}` is no version"));
        let mut bits = 0;
        for run in text.split(' ') {
            let first = named(run.split(['-', '+']).next().unwrap_or_default())?;
            let last = match run.split_once('-') {
                _ if run.ends_with('+') => None,
                Some((_, last)) => Some(named(last)?),
                None => Some(first),
            };
            for version in Version::all() {
                let from = version.is_rhel() == first.is_rhel() && version.index() >= first.index();
                let to = last.is_none_or(|last| version.index() <= last.index());
                bits |= u32::from(from && to) << version.index();
            }
        }
        Ok(Versions(bits))
    }
}

/// Whether a version runs a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Status {
    /// It does.
    #[default]
    Active,
    /// It knows the name, does nothing, and warns.
    Deprecated,
    /// It knows the name and refuses it.
    Removed,
}

/// How many values an option or argument takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Takes {
    /// A flag.
    Nothing,
    /// Exactly one.
    #[default]
    One,
    /// One or none.
    #[serde(rename = "at most one")]
    AtMostOne,
    /// Any number, none included.
    #[serde(rename = "any number")]
    AnyNumber,
}

/// What a value must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueType {
    /// A whole number.
    #[serde(rename = "int")]
    Integer,
    /// Separated by commas.
    List,
    /// One of `on`, `yes`, `true`, `1` and their opposites.
    Boolean,
    /// Anything, as far as the table knows: of most other types the rules know more.
    #[default]
    #[serde(other)]
    Text,
}

/// An option, or an argument that is no option.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Syntax {
    /// Its name; of a command with two names always the same one.
    pub name: &'static str,
    /// Whether the version runs it.
    pub status: Status,
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
        static MADE: [OnceLock<Language>; Version::COUNT] =
            [const { OnceLock::new() }; Version::COUNT];
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
    Version::all()
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
    let (_, status) = [
        (raw.active, Status::Active),
        (raw.deprecated, Status::Deprecated),
        (raw.removed, Status::Removed),
    ]
    .into_iter()
    .find(|(versions, _)| versions.has(version))?;
    let texts = |texts: &'static [String]| texts.iter().map(String::as_str).collect::<Vec<_>>();
    let exclusive = raw.exclusive.iter().filter(|raw| raw.r#in.has(version));
    let conflicts = raw.conflicts.iter().filter(|raw| raw.r#in.has(version));
    let positionals = raw.positionals.iter().filter(|raw| raw.r#in.has(version));
    let mut positionals: Vec<&RawArgument> = positionals.collect();
    positionals.sort_by_key(|raw| raw.place);
    let argument = |raw: &'static RawArgument, names: Vec<&'static str>| Argument {
        takes: raw.takes,
        kind: raw.r#type,
        choices: texts(&raw.choices),
        required: raw.required || (!names[0].starts_with('-') && raw.takes == Takes::One),
        deprecated: raw.deprecated.has(version),
        names,
    };
    Some(Syntax {
        name,
        status,
        bare: raw.bare,
        unchecked: raw.unchecked,
        leftovers: raw.leftovers.has(version),
        stray: raw.stray.has(version),
        conflicts: conflicts.flat_map(|raw| texts(&raw.with)).collect(),
        exclusive: exclusive
            .map(|raw| Exclusive {
                options: texts(&raw.options),
                required: raw.required,
            })
            .collect(),
        positionals: positionals
            .into_iter()
            .map(|raw| argument(raw, vec![raw.name.as_deref().unwrap_or("argument")]))
            .collect(),
        options: raw
            .options
            .iter()
            .filter_map(|(names, variants)| {
                Some(argument(variants.of(version)?, names.split(", ").collect()))
            })
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table has the versions that are known, and names no command that it has not.
    #[test]
    fn the_table_is_sound() {
        let table: &RawTable = &TABLE;
        let named: Vec<String> = Version::all().map(|version| version.to_string()).collect();
        assert_eq!([table._rhel.clone(), table._fedora.clone()].concat(), named);
        for (name, raw) in &table.commands {
            let others = raw.same_as.iter().chain(&raw.like);
            for other in others.chain(raw.conflicts.iter().flat_map(|raw| &raw.with)) {
                assert!(table.commands.contains_key(other), "{name}: {other}");
            }
        }
    }

    #[test]
    fn runs_of_versions() {
        let named = |text: &str| {
            let versions = Versions::try_from(text.to_string()).unwrap();
            let all = Version::all();
            let names: Vec<String> = all
                .filter(|version| versions.has(*version))
                .map(|version| version.to_string())
                .collect();
            names.join(" ")
        };
        assert_eq!(named("RHEL7-RHEL9 F45+"), "RHEL7 RHEL8 RHEL9 F45 F46");
        assert_eq!(named("RHEL10+ F29"), "RHEL10 RHEL11 F29");
        assert_eq!(named("all").split(' ').count(), Version::COUNT);
        assert_eq!(Version::all().count(), Version::COUNT);
        assert!(Versions::try_from("RHEL5+".to_string()).is_err());
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
