//! One line of the command section, or one section header, judged by a version's language.

use super::Version;
use super::arguments::{self, Arguments};
use super::declared::Declared;
use super::identity;
use super::problem::{Problem, id, refuse};
use super::rules::{self, Call};
use super::table::{Language, Status, Syntax, versions_with};
use crate::distro::nearest;
use crate::kickstart::words::Word;

/// What became of a line.
#[derive(Debug)]
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
        return Judged {
            name: None,
            arguments: None,
            problems: Vec::new(),
        };
    };
    let name = first.text.as_str();
    let Some(syntax) = Language::of(version)
        .get(name)
        .filter(|_| !name.starts_with('%'))
    else {
        return Judged::refused(None, unknown(version, name));
    };
    match syntax.status {
        Status::Active => {}
        Status::Deprecated => {
            let problem = Problem::warning(
                id::DEPRECATED_COMMAND,
                format!("`{name}` is deprecated in {version} and has no effect"),
            );
            return Judged::refused(
                Some(syntax.name),
                problem.help("delete the line: later releases refuse it"),
            );
        }
        Status::Removed => {
            let problem = Problem::error(
                id::REMOVED_COMMAND,
                format!("`{name}` was removed: the installer of {version} refuses it"),
            );
            return Judged::refused(Some(syntax.name), problem.help(remedy(name)));
        }
    }
    let (mut judged, kept) = judge(version, syntax, words, raw, declared);
    if let Some(problem) = conflict(syntax, declared) {
        // The installer looks at conflicts before it looks at the line.
        judged.problems.insert(0, problem);
    }
    declared.command(syntax.name, line);
    for (option, filled) in kept {
        declared.keep(syntax.name, option, filled);
    }
    if let Some(arguments) = &judged.arguments
        && !refuse(&judged.problems)
    {
        let twice = identity::note(version, syntax.name, arguments, declared);
        judged.problems.extend(twice);
    }
    judged
}

/// Judges a section header.
pub fn header(version: Version, words: &[Word]) -> Judged {
    let tag = words.first().map_or("", |tag| tag.text.as_str());
    let Some(syntax) = Language::of(version).get(tag) else {
        return Judged::refused(None, unknown_section(version, tag));
    };
    match syntax.status {
        Status::Removed => {
            let message = format!("`{tag}` was removed: the installer of {version} refuses it");
            let problem = Problem::error(id::REMOVED_COMMAND, message);
            Judged::refused(Some(syntax.name), problem.help("delete the section"))
        }
        Status::Deprecated => {
            let message = format!("`{tag}` is deprecated in {version}");
            let problem = Problem::warning(id::DEPRECATED_COMMAND, message);
            let help = "delete the section: later releases refuse it";
            Judged::refused(Some(syntax.name), problem.help(help))
        }
        Status::Active if syntax.unchecked => Judged {
            name: Some(syntax.name),
            arguments: None,
            problems: Vec::new(),
        },
        Status::Active => judge(version, syntax, words, "", &Declared::default()).0,
    }
}

fn unknown_section(version: Version, tag: &str) -> Problem {
    let elsewhere: Vec<String> = versions_with(tag).iter().map(Version::to_string).collect();
    if !elsewhere.is_empty() {
        let message = format!("unknown section `{tag}`: {version} does not have it");
        let help = format!("it is known to {}", runs(&elsewhere));
        return Problem::error(id::STRUCTURE, message).help(help);
    }
    let all = Language::of(version).all().map(|syntax| syntax.name);
    let mut known: Vec<&str> = all.filter(|name| name.starts_with('%')).collect();
    known.sort_unstable();
    Problem::error(id::STRUCTURE, format!("unknown section `{tag}`"))
        .help(format!("known are {}", known.join(", ")))
}

/// The verdict, and the values that outlast the line.
fn judge(
    version: Version,
    syntax: &Syntax,
    words: &[Word],
    raw: &str,
    declared: &Declared,
) -> (Judged, Vec<(&'static str, bool)>) {
    let mut kept = Vec::new();
    let (arguments, mut problems) = if syntax.bare {
        (bare(words), Vec::new())
    } else {
        arguments::read(syntax, &words[1..], version.is_python_2())
    };
    if !refuse(&problems) {
        let call = Call {
            version,
            name: syntax.name,
            syntax,
            words,
            raw,
            arguments: &arguments,
            declared,
        };
        if problems.is_empty() {
            kept = rules::kept(&call);
        }
        problems.extend(rules::of(syntax.name).iter().filter_map(|rule| rule(&call)));
        if syntax.leftovers && !refuse(&problems) && !rules::takes_leftovers(&call) {
            let leftovers = arguments.leftovers.iter();
            // What does not begin with a dash is the business of the command's own rules.
            let options = leftovers.filter(|word| word.text.starts_with('-'));
            problems.extend(options.map(|word| arguments::leftover(syntax, word)));
        }
    }
    if syntax.stray {
        // Of a word that is not looked at nothing is said where something else is wrong.
        problems.sort_by_key(|problem| problem.id == id::UNEXPECTED);
    }
    let judged = Judged {
        name: Some(syntax.name),
        arguments: Some(arguments),
        problems,
    };
    (judged, kept)
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

fn unknown(version: Version, name: &str) -> Problem {
    let elsewhere = versions_with(name);
    if !elsewhere.is_empty() && !name.starts_with('%') {
        let known: Vec<String> = elsewhere.iter().map(ToString::to_string).collect();
        let problem = Problem::error(
            id::UNKNOWN_COMMAND,
            format!("{version} has no command `{name}`"),
        );
        return problem.help(format!("it is known to {}", runs(&known)));
    }
    let problem = Problem::error(id::UNKNOWN_COMMAND, format!("unknown command `{name}`"));
    let commands = Language::of(version).commands();
    match nearest::one(name, &commands) {
        Some(near) => problem.help(format!("did you mean `{near}`?")),
        None => problem.help(
            "a line outside of a section begins with a command; comments begin with `#`, and lines cannot be continued",
        ),
    }
}

/// The first and last of many versions: enough for a person to understand.
fn runs(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first, .., last] if names.len() > 4 => format!("{first} … {last}"),
        many => many.join(", "),
    }
}

/// What to do about a command that is gone.
fn remedy(name: &str) -> &'static str {
    match name {
        "auth" | "authconfig" => "use `authselect` instead",
        "btrfs" => "this release's installer cannot make btrfs: use `part`, `logvol` or `autopart`",
        "vnc" => "use `rdp` instead, or delete the line",
        "method" => "write the source itself: `url`, `nfs`, `cdrom` or `harddrive`",
        _ => "delete the line",
    }
}
