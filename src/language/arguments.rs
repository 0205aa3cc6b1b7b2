//! The words of a line as options and arguments, in the way of Python's argparse or, for RHEL 6
//! and 7, of its optparse.
//!
//! pykickstart (3.78) hands each line to argparse (Python 3.11). What follows from that, and is
//! done here likewise: `--o v` and `--o=v` mean the same; an option may be cut short as long as
//! only one begins so; of an option that is given twice the last one counts; a value that begins
//! with `-` must be joined by `=` unless it is a number or has a space in it; `--` ends the
//! options; arguments are handed out greedily, so that `raid / --level=1 a b` leaves `a b` over.
//!
//! optparse (Python 2.6 and 2.7, with `options.py` of pykickstart's rhel6-branch and rhel7-branch)
//! is simpler: the word behind an option that takes a value is its value, unless it begins with
//! `--`; words that are no options may stand anywhere; a deprecated option takes no value.

use std::ops::Range;

use super::problem::{Problem, id};
use super::table::{Argument, Syntax, Takes, ValueType};
use super::values;
use crate::distro::nearest;
use crate::kickstart::words::Word;

/// One option of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Its first name, however it was written.
    pub name: &'static str,
    /// Its value, if it has one.
    pub value: Option<String>,
    /// The words that it is made of, in bytes of the text.
    pub span: Range<usize>,
}

/// What a line says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arguments {
    /// Options in their order.
    pub options: Vec<Given>,
    /// Arguments that are no options, one list for each that the command has.
    pub positionals: Vec<Vec<Word>>,
    /// Words that neither an option nor an argument took.
    pub leftovers: Vec<Word>,
}

impl Arguments {
    /// Whether the option is given.
    pub fn has(&self, name: &str) -> bool {
        self.options.iter().any(|given| given.name == name)
    }

    /// The option as it counts: the last one of this name.
    pub fn given(&self, name: &str) -> Option<&Given> {
        self.options.iter().rev().find(|given| given.name == name)
    }

    /// The value that counts.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.given(name)?.value.as_deref()
    }

    /// The value that counts, if it is not empty: what Python takes for true.
    pub fn filled(&self, name: &str) -> Option<&str> {
        self.value(name).filter(|value| !value.is_empty())
    }

    /// All values of an option.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.options
            .iter()
            .filter(move |given| given.name == name)
            .filter_map(|given| given.value.as_deref())
    }

    /// The value as a number.
    pub fn integer(&self, name: &str) -> Option<i64> {
        values::integer(self.value(name)?)
    }

    /// The items of a value that is separated by commas, of all occurrences' last one.
    pub fn list(&self, name: &str) -> Vec<&str> {
        self.value(name).map(values::list).unwrap_or_default()
    }

    /// Where the option stands that counts.
    pub fn span(&self, name: &str) -> Option<Range<usize>> {
        Some(self.given(name)?.span.clone())
    }

    /// The first argument that is no option.
    pub fn first(&self) -> Option<&str> {
        Some(self.positionals.first()?.first()?.text.as_str())
    }

    /// All arguments that are no options, in order.
    pub fn positionals(&self) -> impl Iterator<Item = &Word> {
        self.positionals.iter().flatten()
    }
}

/// What one word is.
enum Role<'a> {
    Argument,
    /// The first `--`.
    End,
    Option(Option<&'a Argument>, Option<String>),
}

/// Reads the words behind a command's name.
///
/// Problems come in the order in which the installer would meet them; it stops at the first.
pub fn read(syntax: &Syntax, words: &[Word], optparse: bool) -> (Arguments, Vec<Problem>) {
    let mut problems = Vec::new();
    let roles = match optparse {
        true => Vec::new(),
        false => roles(syntax, words, &mut problems),
    };
    let mut reader = Reader {
        syntax,
        words,
        roles,
        optparse,
        made: Arguments::default(),
        problems,
    };
    match optparse {
        true => reader.optparse(),
        false => reader.argparse(),
    }
    reader.missing();
    reader.exclusive();
    if !syntax.leftovers {
        reader.refuse_leftovers();
    }
    (reader.made, reader.problems)
}

/// The warning of an option that has no effect.
fn deprecated(syntax: &Syntax, option: &Argument, word: &Word) -> Problem {
    let message = format!(
        "the option `{}` of `{}` is deprecated and has no effect",
        option.name(),
        syntax.name
    );
    Problem::warning(id::DEPRECATED_OPTION, message)
        .at(Some(word.span.clone()))
        .help("remove it: later releases refuse it")
}

fn roles<'a>(syntax: &'a Syntax, words: &[Word], problems: &mut Vec<Problem>) -> Vec<Role<'a>> {
    let mut ended = false;
    let mut roles = Vec::with_capacity(words.len());
    for word in words {
        roles.push(if ended {
            Role::Argument
        } else if word.text == "--" {
            ended = true;
            Role::End
        } else {
            let role = role(syntax, word, problems);
            if let Role::Option(Some(option), _) = &role
                && option.deprecated
            {
                problems.push(deprecated(syntax, option, word));
            }
            role
        });
    }
    roles
}

fn role<'a>(syntax: &'a Syntax, word: &Word, problems: &mut Vec<Problem>) -> Role<'a> {
    let text = word.text.as_str();
    if !text.starts_with('-') {
        return Role::Argument;
    }
    if let Some(option) = syntax.option(text) {
        return Role::Option(Some(option), None);
    }
    if text == "-" {
        return Role::Argument;
    }
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_string())),
        None => (text, None),
    };
    if value.is_some()
        && let Some(option) = syntax.option(name)
    {
        return Role::Option(Some(option), value);
    }
    if name.starts_with("--") {
        let mut found: Vec<(&Argument, &str)> = Vec::new();
        for option in &syntax.options {
            for full in option.names.iter().filter(|full| full.starts_with(name)) {
                found.push((option, full));
            }
        }
        match found.as_slice() {
            [] => {}
            [(option, _)] => return Role::Option(Some(option), value),
            many => {
                let names: Vec<&str> = many.iter().map(|(_, full)| *full).collect();
                problems.push(
                    Problem::error(
                        id::UNKNOWN_OPTION,
                        format!("`{name}` could be any of {}", in_words(&names, "or")),
                    )
                    .at(Some(word.span.clone()))
                    .help("write the option in full"),
                );
                // It is one of them: what follows it is not judged by guessing which.
                return Role::Option(None, value);
            }
        }
    }
    if values::is_negative_number(text) || text.contains(' ') {
        return Role::Argument;
    }
    Role::Option(None, value)
}

struct Reader<'a> {
    syntax: &'a Syntax,
    words: &'a [Word],
    /// What each word is to argparse, which decides that beforehand.
    roles: Vec<Role<'a>>,
    optparse: bool,
    made: Arguments,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn optparse(&mut self) {
        let (mut at, mut ended) = (0, false);
        let mut arguments = Vec::new();
        while let Some(word) = self.words.get(at) {
            at += 1;
            if ended || word.text == "-" || !word.text.starts_with('-') {
                arguments.push(word.clone());
                continue;
            }
            if word.text == "--" {
                ended = true;
                continue;
            }
            // `-5` and `-a b` are options here, which no command has.
            let option = match role(self.syntax, word, &mut self.problems) {
                Role::Option(Some(option), value) => (option, value),
                _ => {
                    self.made.leftovers.push(word.clone());
                    continue;
                }
            };
            let (option, mut value) = option;
            let mut span = word.span.clone();
            if option.deprecated {
                // Whatever it is given: it is certain only that it is ignored.
                self.problems.push(deprecated(self.syntax, option, word));
            } else if option.takes == Takes::Nothing {
                if value.is_some() {
                    self.problems.push(takes_no_value(option, span.clone()));
                    continue;
                }
            } else {
                if value.is_none() {
                    let Some(next) = self.words.get(at) else {
                        self.problems.push(needs_value(option, span));
                        continue;
                    };
                    at += 1;
                    span.end = next.span.end;
                    value = Some(next.text.clone());
                }
                let text = value.as_deref().unwrap_or_default();
                if option.kind != ValueType::Integer && text.len() > 2 && text.starts_with("--") {
                    self.problems.push(needs_value(option, span));
                    continue;
                }
                self.check(option, text, span.clone());
            }
            self.made.options.push(Given {
                name: option.name(),
                value,
                span,
            });
        }
        let mut arguments = arguments.into_iter();
        for positional in &self.syntax.positionals {
            let most = match positional.takes {
                Takes::AnyNumber => usize::MAX,
                _ => 1,
            };
            let words: Vec<Word> = arguments.by_ref().take(most).collect();
            if words.is_empty() && positional.takes == Takes::One {
                break;
            }
            for word in &words {
                self.check(positional, &word.text, word.span.clone());
            }
            self.made.positionals.push(words);
        }
        self.made.leftovers.extend(arguments);
        self.made
            .leftovers
            .sort_by_key(|word| (word.span.start, word.span.end));
    }

    fn argparse(&mut self) {
        let mut at = 0;
        let last = self
            .roles
            .iter()
            .rposition(|role| matches!(role, Role::Option(..)));
        while let Some(last) = last.filter(|last| at <= *last) {
            let next = (at..=last)
                .find(|&place| matches!(self.roles[place], Role::Option(..)))
                .unwrap_or(last);
            if at != next {
                let end = self.positionals(at);
                if end > at {
                    at = end;
                    continue;
                }
                self.made.leftovers.extend_from_slice(&self.words[at..next]);
            }
            at = self.option(next);
        }
        let end = self.positionals(at);
        self.made.leftovers.extend_from_slice(&self.words[end..]);
    }

    /// Hands the words from `at` on to as many arguments as they suffice for.
    fn positionals(&mut self, at: usize) -> usize {
        let syntax = self.syntax;
        let rest = &syntax.positionals[self.made.positionals.len()..];
        for count in (1..=rest.len()).rev() {
            let mut place = at;
            let mut taken = Vec::new();
            let fits = rest[..count].iter().all(|argument| {
                let (least, most) = match argument.takes {
                    Takes::AtMostOne => (0, 1),
                    Takes::AnyNumber => (0, usize::MAX),
                    Takes::One | Takes::Nothing => (1, 1),
                };
                let mut words = Vec::new();
                loop {
                    match self.roles.get(place) {
                        Some(Role::End) => place += 1,
                        Some(Role::Argument) if words.len() < most => {
                            words.push(self.words[place].clone());
                            place += 1;
                        }
                        _ => break,
                    }
                }
                let enough = words.len() >= least;
                taken.push(words);
                enough
            });
            if fits {
                for (argument, words) in rest.iter().zip(taken) {
                    for word in &words {
                        self.check(argument, &word.text, word.span.clone());
                    }
                    self.made.positionals.push(words);
                }
                return place;
            }
        }
        at
    }

    /// Takes the option at `at` with its value, and returns the place behind them.
    fn option(&mut self, at: usize) -> usize {
        let word = &self.words[at];
        let Role::Option(found, value) = &self.roles[at] else {
            return at + 1;
        };
        let Some(option) = *found else {
            self.made.leftovers.push(word.clone());
            return at + 1;
        };
        let value = value.clone();
        let mut span = word.span.clone();
        let mut end = at + 1;
        let value = match (option.takes, value) {
            (Takes::Nothing, None) => None,
            (Takes::Nothing, Some(_)) => {
                self.problems.push(takes_no_value(option, span));
                return end;
            }
            (_, Some(value)) => Some(value),
            (takes, None) => match self.roles.get(at + 1) {
                Some(Role::Argument) => {
                    let next = &self.words[at + 1];
                    span.end = next.span.end;
                    end += 1;
                    Some(next.text.clone())
                }
                _ if takes == Takes::AtMostOne => None,
                _ => {
                    self.problems.push(needs_value(option, span));
                    return end;
                }
            },
        };
        if let Some(value) = &value {
            self.check(option, value, span.clone());
        }
        self.made.options.push(Given {
            name: option.name(),
            value,
            span,
        });
        end
    }

    fn check(&mut self, argument: &Argument, value: &str, span: Range<usize>) {
        if let Err(problem) = values::check(argument, value, self.optparse) {
            self.problems.push(problem.at(Some(span)));
        }
    }

    fn missing(&mut self) {
        let given = self.made.positionals.len();
        let arguments = self.syntax.positionals.iter().skip(given);
        let missing: Vec<&str> = arguments
            .filter(|argument| argument.required)
            .chain(
                self.syntax
                    .options
                    .iter()
                    .filter(|option| option.required && !self.made.has(option.name())),
            )
            .map(Argument::name)
            .collect();
        // An option whose value is wrong is there all the same.
        let missing: Vec<&str> = missing
            .into_iter()
            .filter(|name| {
                !self
                    .words
                    .iter()
                    .any(|word| name.starts_with("--") && word.text.split('=').next() == Some(name))
            })
            .collect();
        if missing.is_empty() {
            return;
        }
        let names: Vec<String> = missing
            .iter()
            .map(|name| {
                if name.starts_with('-') {
                    (*name).to_string()
                } else {
                    format!("<{name}>")
                }
            })
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.problems.push(Problem::error(
            id::MISSING,
            format!("`{}` needs {}", self.syntax.name, in_words(&names, "and")),
        ));
    }

    fn exclusive(&mut self) {
        for group in &self.syntax.exclusive {
            let given: Vec<&str> = group
                .options
                .iter()
                .copied()
                .filter(|name| self.made.has(name))
                .collect();
            if let [first, second, ..] = given[..] {
                self.problems.push(
                    Problem::error(
                        id::CONTRADICTION,
                        format!("`{first}` and `{second}` cannot be used together"),
                    )
                    .at(self.made.span(second))
                    .help("keep one of them"),
                );
            }
            if group.required && given.is_empty() {
                let names = in_words(&group.options, "or");
                self.problems.push(Problem::error(
                    id::MISSING,
                    format!("`{}` needs one of {names}", self.syntax.name),
                ));
            }
        }
    }

    fn refuse_leftovers(&mut self) {
        for word in &self.made.leftovers {
            // An abbreviation that could be several options was refused already.
            let known = |problem: &Problem| problem.span.as_ref() == Some(&word.span);
            if !self.problems.iter().any(known) {
                self.problems.push(leftover(self.syntax, word));
            }
        }
    }
}

fn takes_no_value(option: &Argument, span: Range<usize>) -> Problem {
    let name = option.name();
    Problem::error(
        id::BAD_VALUE,
        format!("`{name}` takes no value, and has one"),
    )
    .at(Some(span))
    .help(format!("write only `{name}`"))
}

fn needs_value(option: &Argument, span: Range<usize>) -> Problem {
    let name = option.name();
    Problem::error(id::MISSING, format!("`{name}` needs a value"))
        .at(Some(span))
        .help(format!(
            "write `{name}=VALUE`; a value that begins with `-` needs the `=`"
        ))
}

/// A word that the command has no use for.
pub fn leftover(syntax: &Syntax, word: &Word) -> Problem {
    let name = word.text.split('=').next().unwrap_or_default();
    if word.text.starts_with('-') && name != "-" {
        let known: Vec<&str> = syntax
            .options
            .iter()
            .flat_map(|option| option.names.iter().copied())
            .collect();
        let help = match nearest::one(name, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => format!("`{}` has no options", syntax.name),
            None => "remove it, or look up the options of this release".to_string(),
        };
        return Problem::error(
            id::UNKNOWN_OPTION,
            format!("`{}` has no option `{name}` in this release", syntax.name),
        )
        .at(Some(word.span.clone()))
        .help(help);
    }
    let what = if has_secrets(syntax) {
        "this word".to_string()
    } else {
        format!("`{}`", word.text)
    };
    let message = format!("`{}` has no use for {what}", syntax.name);
    let problem = match syntax.stray {
        // Nothing comes of the word, which was meant to do something.
        true => Problem::warning(id::UNEXPECTED, message),
        false => Problem::error(id::UNEXPECTED, message),
    };
    problem
        .at(Some(word.span.clone()))
        .help("remove it, or quote a value that has spaces")
}

/// Whether the words of a line may be passwords, or parts of one, so that no message names them.
fn has_secrets(syntax: &Syntax) -> bool {
    let secret = |name: &str| name.contains("passw") || name.contains("passphrase");
    let mut options = syntax.options.iter().flat_map(|option| &option.names);
    matches!(syntax.name, "rootpw" | "sshpw" | "sshkey" | "key") || options.any(|name| secret(name))
}

/// `a`, `b` and `c`
pub fn in_words(names: &[&str], last: &str) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., end] => format!("{} {last} {end}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::rules::tests::hold;

    // What optparse does (Python 2.7) beside what argparse does.
    #[test]
    fn rhel_6_and_7_read_as_optparse() {
        hold(&[
            (
                "bootloader --append=console=ttyS0 quiet",
                "D RHEL6-RHEL7, R RHEL8+ F29+",
            ),
            ("bootloader --append -x", "A RHEL6-RHEL7, R RHEL8+ F29+"),
            ("bootloader --append --x", "R all"),
            ("bootloader --append", "R all"),
            ("bootloader --appen=x", "A all"),
            ("bootloader --timeout=0x10", "A RHEL6-RHEL7, R RHEL8+ F29+"),
            ("bootloader --timeout=010", "A all"),
            ("bootloader --timeout=08", "R RHEL6-RHEL7, A RHEL8+ F29+"),
            ("bootloader --timeout=x", "R all"),
            ("bootloader --bogus", "R all"),
            ("bootloader --bogus quiet", "R all"),
            ("bootloader -x", "R all"),
            ("bootloader --iscrypted=1", "R all"),
            ("part / --size 100 --fstype ext4", "A all"),
            ("part --size 100 / --fstype ext4", "A all"),
            ("part / --size 100 /boot", "R all"),
            ("user --name=a more", "R all"),
            ("rootpw --lock secret more", "R RHEL6 RHEL8+ F29+, A RHEL7"),
            ("ignoredisk sda", "R all"),
        ]);
    }
}
