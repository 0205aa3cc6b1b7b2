//! One line of the command section, or one section header, judged by a version's language.

use super::Version;
use super::arguments::{self, Arguments};
use super::declared::Declared;
use super::problem::{Problem, id, refuse};
use super::rules::{self, Call};
use super::table::{Language, Status, Syntax, versions_with};
use crate::input;
use crate::kickstart::words::Word;

/// What became of a line.
#[derive(Debug, Default)]
pub struct Judged {
    /// The command's name in the table, if the version knows it.
    pub name: Option<&'static str>,
    /// What the words say, if the version runs the command.
    pub arguments: Option<Arguments>,
    /// What is wrong, in the order in which the installer would meet it; it stops at the first.
    pub problems: Vec<Problem>,
}

impl Judged {
    fn refused(name: Option<&'static str>, problem: Problem) -> Judged {
        Judged {
            name,
            arguments: None,
            problems: vec![problem],
        }
    }
}

/// Judges a command, and notes what it declares.
///
/// `raw` is the line as it stands in the text, `line` its number.
pub fn command(
    version: Version,
    words: &[Word],
    raw: &str,
    line: usize,
    declared: &mut Declared,
) -> Judged {
    let Some(first) = words.first() else {
        return Judged::default();
    };
    let known = Language::of(version).get(&first.text);
    match known.filter(|_| !first.text.starts_with('%')) {
        Some(syntax) => judge(version, syntax, words, raw, line, declared),
        None => Judged::refused(None, unknown(version, &first.text)),
    }
}

/// Judges a section header.
pub fn header(version: Version, words: &[Word]) -> Judged {
    let tag = words.first().map_or("", |tag| tag.text.as_str());
    match Language::of(version).get(tag) {
        Some(syntax) => judge(version, syntax, words, "", 0, &mut Declared::default()),
        None => Judged::refused(None, unknown_section(version, tag)),
    }
}

fn judge(
    version: Version,
    syntax: &Syntax,
    words: &[Word],
    raw: &str,
    line: usize,
    declared: &mut Declared,
) -> Judged {
    let name = Some(syntax.name);
    if let Some(problem) = gone(version, syntax, &words[0].text) {
        return Judged::refused(name, problem);
    }
    if syntax.unchecked {
        return Judged {
            name,
            ..Judged::default()
        };
    }
    let (arguments, problems) = match syntax.bare {
        true => (bare(words), Vec::new()),
        false => arguments::read(syntax, &words[1..], version.is_python_2()),
    };
    let mut call = Call {
        version,
        name: syntax.name,
        syntax,
        words,
        raw,
        arguments: &arguments,
        declared,
        problems,
    };
    let kept = match call.problems.is_empty() {
        true => rules::kept(&call),
        false => Vec::new(),
    };
    if !refuse(&call.problems) {
        rules::apply(&mut call);
        if syntax.leftovers && !refuse(&call.problems) && !rules::takes_leftovers(&call) {
            // What does not begin with a dash is the business of the command's own rules.
            let leftovers = arguments.leftovers.iter();
            let options = leftovers.filter(|word| word.text.starts_with('-'));
            let problems = options.map(|word| arguments::leftover(syntax, word));
            call.problems.extend(problems);
        }
    }
    let mut problems = call.problems;
    if syntax.stray {
        // Of a word that is not looked at nothing is said where something else is wrong.
        problems.sort_by_key(|problem| problem.id == id::UNEXPECTED);
    }
    if let Some(problem) = conflict(syntax, declared) {
        // The installer looks at conflicts before it looks at the line.
        problems.insert(0, problem);
    }
    declared.command(syntax.name, line);
    for (option, value) in kept {
        declared.keep(syntax.name, option, value);
    }
    if !refuse(&problems) {
        problems.extend(declared.thing(version, syntax.name, &arguments));
    }
    Judged {
        name,
        arguments: Some(arguments),
        problems,
    }
}

/// Says of a command or section, as it is written, that the version does not run it.
fn gone(version: Version, syntax: &Syntax, name: &str) -> Option<Problem> {
    let section = name.starts_with('%');
    match syntax.status {
        Status::Active => None,
        Status::Deprecated => {
            let (effect, what) = match section {
                true => ("", "section"),
                false => (" and has no effect", "line"),
            };
            let message = format!("`{name}` is deprecated in {version}{effect}");
            let problem = Problem::warning(id::DEPRECATED_COMMAND, message);
            Some(problem.help(format!("delete the {what}: later releases refuse it")))
        }
        Status::Removed => {
            let message = format!("`{name}` was removed: the installer of {version} refuses it");
            let help = match name {
                "auth" | "authconfig" => "use `authselect` instead",
                "btrfs" => {
                    "this release's installer cannot make btrfs: use `part`, `logvol` or `autopart`"
                }
                "vnc" => "use `rdp` instead, or delete the line",
                "method" => "write the source itself: `url`, `nfs`, `cdrom` or `harddrive`",
                _ if section => "delete the section",
                _ => "delete the line",
            };
            Some(Problem::error(id::REMOVED_COMMAND, message).help(help))
        }
    }
}

fn unknown_section(version: Version, tag: &str) -> Problem {
    if let Some(versions) = elsewhere(tag) {
        let message = format!("unknown section `{tag}`: {version} does not have it");
        return Problem::error(id::STRUCTURE, message).help(format!("it is known to {versions}"));
    }
    let all = Language::of(version).all().map(|syntax| syntax.name);
    let mut known: Vec<&str> = all.filter(|name| name.starts_with('%')).collect();
    known.sort_unstable();
    Problem::error(id::STRUCTURE, format!("unknown section `{tag}`"))
        .help(format!("known are {}", known.join(", ")))
}

fn unknown(version: Version, name: &str) -> Problem {
    if let Some(versions) = elsewhere(name).filter(|_| !name.starts_with('%')) {
        let message = format!("{version} has no command `{name}`");
        let problem = Problem::error(id::UNKNOWN_COMMAND, message);
        return problem.help(format!("it is known to {versions}"));
    }
    let problem = Problem::error(id::UNKNOWN_COMMAND, format!("unknown command `{name}`"));
    match input::nearest(name, &Language::of(version).commands()) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None => problem.help(
            "a line outside of a section begins with a command; comments begin with `#`, and lines cannot be continued",
        ),
    }
}

/// The versions that know a command or section: of many the first and the last, which is enough
/// for a person to understand.
fn elsewhere(name: &str) -> Option<String> {
    let versions = versions_with(name);
    match versions.as_slice() {
        [] => None,
        [first, .., last] if versions.len() > 4 => Some(format!("{first} … {last}")),
        few => {
            let few: Vec<String> = few.iter().map(Version::to_string).collect();
            Some(few.join(", "))
        }
    }
}

/// A line that has no options of the usual form: all its words are arguments.
fn bare(words: &[Word]) -> Arguments {
    Arguments {
        positionals: vec![words[1..].to_vec()],
        ..Arguments::default()
    }
}

fn conflict(syntax: &Syntax, declared: &Declared) -> Option<Problem> {
    syntax.conflicts.iter().find_map(|other| {
        // The table has either name of a command with two.
        let canonical = if *other == "partition" {
            "part"
        } else {
            *other
        };
        let line = declared.line_of(canonical)?;
        let problem = Problem::error(
            id::CONFLICT,
            format!(
                "`{}` and `{canonical}` (line {line}) cannot stand in the same kickstart",
                syntax.name
            ),
        );
        Some(problem.help("keep one of them"))
    })
}
