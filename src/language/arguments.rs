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
use crate::input;
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

    /// All words that are no options, in order; `btrfs` takes even its mount point from what is
    /// left over.
    pub fn words(&self) -> impl Iterator<Item = &Word> {
        self.positionals().chain(&self.leftovers)
    }

    /// The first word that is no option.
    pub fn first_word(&self) -> Option<&str> {
        Some(self.words().next()?.text.as_str())
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
    let mut reader = Reader {
        syntax,
        words,
        roles: Vec::new(),
        optparse,
        made: Arguments::default(),
        problems: Vec::new(),
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

struct Reader<'a> {
    syntax: &'a Syntax,
    words: &'a [Word],
    /// What each word is to argparse, which decides that beforehand.
    roles: Vec<Role<'a>>,
    optparse: bool,
    made: Arguments,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    fn optparse(&mut self) {
        let mut words = self.words.iter();
        let mut ended = false;
        let mut arguments = Vec::new();
        while let Some(word) = words.next() {
            if ended || word.text == "-" || !word.text.starts_with('-') {
                arguments.push(word.clone());
                continue;
            }
            if word.text == "--" {
                ended = true;
                continue;
            }
            // `-5` and `-a b` are options here, which no command has.
            let Role::Option(Some(option), mut value) = self.role(word) else {
                self.made.leftovers.push(word.clone());
                continue;
            };
            let mut span = word.span.clone();
            if option.deprecated {
                // Whatever it is given: it is certain only that it is ignored.
                self.deprecated(option, word);
            } else if option.takes == Takes::Nothing {
                if value.is_some() {
                    self.takes_no_value(option, span);
                    continue;
                }
            } else {
                if value.is_none()
                    && let Some(next) = words.next()
                {
                    span.end = next.span.end;
                    value = Some(next.text.clone());
                }
                let is_option = |text: &String| text.len() > 2 && text.starts_with("--");
                let integer = option.kind == ValueType::Integer;
                match value.as_ref().filter(|text| integer || !is_option(text)) {
                    Some(text) => self.check(option, text, span.clone()),
                    None => {
                        self.needs_value(option, span);
                        continue;
                    }
                }
            }
            self.give(option, value, span);
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
            self.take(positional, words);
        }
        self.made.leftovers.extend(arguments);
        let place = |word: &Word| (word.span.start, word.span.end);
        self.made.leftovers.sort_by_key(place);
    }

    fn argparse(&mut self) {
        let mut ended = false;
        for word in self.words {
            let role = match word.text.as_str() {
                _ if ended => Role::Argument,
                "--" => {
                    ended = true;
                    Role::End
                }
                _ => self.role(word),
            };
            if let Role::Option(Some(option), _) = role
                && option.deprecated
            {
                self.deprecated(option, word);
            }
            self.roles.push(role);
        }
        let mut at = 0;
        let is_option = |role: &Role<'_>| matches!(role, Role::Option(..));
        while let Some(distance) = self.roles[at..].iter().position(is_option) {
            let next = at + distance;
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

    /// What a word is that does not stand behind `--`.
    fn role(&mut self, word: &Word) -> Role<'a> {
        let text = word.text.as_str();
        if !text.starts_with('-') || text == "-" {
            return Role::Argument;
        }
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_string())),
            None => (text, None),
        };
        if let Some(option) = self.syntax.option(name) {
            return Role::Option(Some(option), value);
        }
        if name.starts_with("--") {
            let options = self.syntax.options.iter();
            let names = options.flat_map(|option| option.names.iter().map(move |n| (option, *n)));
            let found: Vec<_> = names.filter(|(_, full)| full.starts_with(name)).collect();
            match found.as_slice() {
                [] => {}
                [(option, _)] => return Role::Option(Some(option), value),
                many => {
                    let names: Vec<&str> = many.iter().map(|(_, full)| *full).collect();
                    let names = in_words(&names, "or");
                    let message = format!("`{name}` could be any of {names}");
                    let problem = Problem::error(id::UNKNOWN_OPTION, message);
                    let problem = problem.at(Some(word.span.clone()));
                    self.problems.push(problem.help("write the option in full"));
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

    /// Hands the words from `at` on to as many arguments as they suffice for, and returns the
    /// place behind them.
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
                    self.take(argument, words);
                }
                return place;
            }
        }
        at
    }

    /// Takes the option at `at` with its value, and returns the place behind them.
    fn option(&mut self, at: usize) -> usize {
        let word = &self.words[at];
        let Role::Option(Some(option), value) = &self.roles[at] else {
            self.made.leftovers.push(word.clone());
            return at + 1;
        };
        let (option, mut value) = (*option, value.clone());
        let mut span = word.span.clone();
        let mut end = at + 1;
        if option.takes == Takes::Nothing {
            if value.is_some() {
                self.takes_no_value(option, span);
                return end;
            }
        } else if value.is_none() {
            if let Some(Role::Argument) = self.roles.get(end) {
                let next = &self.words[end];
                span.end = next.span.end;
                value = Some(next.text.clone());
                end += 1;
            } else if option.takes != Takes::AtMostOne {
                self.needs_value(option, span);
                return end;
            }
        }
        if let Some(value) = &value {
            self.check(option, value, span.clone());
        }
        self.give(option, value, span);
        end
    }

    fn give(&mut self, option: &Argument, value: Option<String>, span: Range<usize>) {
        let name = option.name();
        self.made.options.push(Given { name, value, span });
    }

    fn take(&mut self, argument: &Argument, words: Vec<Word>) {
        for word in &words {
            self.check(argument, &word.text, word.span.clone());
        }
        self.made.positionals.push(words);
    }

    fn check(&mut self, argument: &Argument, value: &str, span: Range<usize>) {
        if let Err(problem) = values::check(argument, value, self.optparse) {
            self.problems.push(problem.at(Some(span)));
        }
    }

    fn deprecated(&mut self, option: &Argument, word: &Word) {
        let (option, command) = (option.name(), self.syntax.name);
        let message =
            format!("the option `{option}` of `{command}` is deprecated and has no effect");
        let problem = Problem::warning(id::DEPRECATED_OPTION, message);
        let problem = problem.at(Some(word.span.clone()));
        let help = "remove it: later releases refuse it";
        self.problems.push(problem.help(help));
    }

    fn takes_no_value(&mut self, option: &Argument, span: Range<usize>) {
        let name = option.name();
        let message = format!("`{name}` takes no value, and has one");
        let problem = Problem::error(id::BAD_VALUE, message).at(Some(span));
        self.problems
            .push(problem.help(format!("write only `{name}`")));
    }

    fn needs_value(&mut self, option: &Argument, span: Range<usize>) {
        let name = option.name();
        let problem = Problem::error(id::MISSING, format!("`{name}` needs a value"));
        let help = format!("write `{name}=VALUE`; a value that begins with `-` needs the `=`");
        self.problems.push(problem.at(Some(span)).help(help));
    }

    fn missing(&mut self) {
        // An option whose value is wrong is there all the same.
        let is_written = |option: &Argument| {
            let mut names = self.words.iter().map(|word| word.text.split('=').next());
            self.made.has(option.name()) || names.any(|name| name == Some(option.name()))
        };
        let given = self.made.positionals.len();
        let arguments = self.syntax.positionals.iter().skip(given);
        let arguments = arguments.filter(|argument| argument.required);
        let options = self.syntax.options.iter();
        let options = options.filter(|option| option.required && !is_written(option));
        let names: Vec<String> = arguments
            .map(|argument| format!("<{}>", argument.name()))
            .chain(options.map(|option| option.name().to_string()))
            .collect();
        if !names.is_empty() {
            let message = format!("`{}` needs {}", self.syntax.name, in_words(&names, "and"));
            self.problems.push(Problem::error(id::MISSING, message));
        }
    }

    fn exclusive(&mut self) {
        for group in &self.syntax.exclusive {
            let mut given = group.options.clone();
            given.retain(|name| self.made.has(name));
            if let [first, second, ..] = given[..] {
                let message = format!("`{first}` and `{second}` cannot be used together");
                let problem = Problem::error(id::CONTRADICTION, message);
                let problem = problem.at(self.made.span(second));
                self.problems.push(problem.help("keep one of them"));
            }
            if group.required && given.is_empty() {
                let names = in_words(&group.options, "or");
                let message = format!("`{}` needs one of {names}", self.syntax.name);
                self.problems.push(Problem::error(id::MISSING, message));
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

/// A word that the command has no use for.
pub fn leftover(syntax: &Syntax, word: &Word) -> Problem {
    let command = syntax.name;
    let name = word.text.split('=').next().unwrap_or_default();
    let problem = if word.text.starts_with('-') && name != "-" {
        let options = syntax.options.iter();
        let known: Vec<&str> = options.flat_map(|option| option.names.clone()).collect();
        let help = match input::nearest(name, &known) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => format!("`{command}` has no options"),
            None => "remove it, or look up the options of this release".to_string(),
        };
        let message = format!("`{command}` has no option `{name}` in this release");
        Problem::error(id::UNKNOWN_OPTION, message).help(help)
    } else {
        let what = match has_secrets(syntax) {
            true => "this word".to_string(),
            false => format!("`{}`", word.text),
        };
        let message = format!("`{command}` has no use for {what}");
        let problem = match syntax.stray {
            // Nothing comes of the word, which was meant to do something.
            true => Problem::warning(id::UNEXPECTED, message),
            false => Problem::error(id::UNEXPECTED, message),
        };
        problem.help("remove it, or quote a value that has spaces")
    };
    problem.at(Some(word.span.clone()))
}

/// Whether the words of a line may be passwords, or parts of one, so that no message names them.
fn has_secrets(syntax: &Syntax) -> bool {
    let secret = |name: &str| name.contains("passw") || name.contains("passphrase");
    let mut options = syntax.options.iter().flat_map(|option| &option.names);
    matches!(syntax.name, "rootpw" | "sshpw" | "sshkey" | "key") || options.any(|name| secret(name))
}

/// `a`, `b` and `c`
pub fn in_words(names: &[impl AsRef<str>], last: &str) -> String {
    let names = names.iter().map(|name| format!("`{}`", name.as_ref()));
    match names.collect::<Vec<_>>().as_slice() {
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
