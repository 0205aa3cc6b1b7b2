//! The body of `%packages`.

use std::ops::Range;
use std::sync::LazyLock;

use super::arguments;
use super::problem::{Problem, id};
use super::table::{Argument, Syntax, Takes};
use crate::kickstart::words::{self, Word};

/// What a line of the body asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// `@^name`
    Environment(String),
    /// `@name`, with the options taken off.
    Group(String),
    /// `@name:stream/profile`
    Module(String),
    /// A name, a glob, `name.arch`, or a path.
    Package(String),
    /// `-name`
    NoPackage(String),
    /// `-@name` or `-@^name`
    NoGroup(String),
}

/// One line of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What it asks for.
    pub wanted: Wanted,
    /// Where it stands, without white space and comment, in bytes of the text.
    pub span: Range<usize>,
}

/// Options of a group in the body.
static GROUP: LazyLock<Syntax> = LazyLock::new(|| {
    let flag = |name| Argument {
        names: vec![name],
        takes: Takes::Nothing,
        ..Argument::default()
    };
    Syntax {
        name: "%packages",
        leftovers: true,
        options: vec![flag("--nodefaults"), flag("--optional")],
        ..Syntax::default()
    }
});

/// Reads the lines of a body, which starts at byte `offset` of the text.
pub fn read(body: &str, offset: usize) -> (Vec<Line>, Vec<Problem>) {
    let mut lines = Vec::new();
    let mut problems = Vec::new();
    let mut start = offset;
    for whole in words::lines(body) {
        let line_start = start;
        start += whole.len();
        let text = whole.split('#').next().unwrap_or_default();
        let trimmed = words::trim(text);
        if trimmed.is_empty()
            || words::first_word(trimmed) == "%include"
            || trimmed.starts_with("%ksappend")
        {
            continue;
        }
        let begin = line_start + (text.len() - words::trim_start(text).len());
        let span = begin..begin + trimmed.len();
        match line(trimmed, &span) {
            Ok(wanted) => lines.push(Line { wanted, span }),
            Err(found) => problems.extend(found.into_iter().map(|p| p.at(Some(span.clone())))),
        }
    }
    (lines, problems)
}

fn line(text: &str, span: &Range<usize>) -> Result<Wanted, Vec<Problem>> {
    if let Some(name) = text.strip_prefix("@^") {
        return Ok(Wanted::Environment(name.to_string()));
    }
    if let Some(rest) = text.strip_prefix('@') {
        return group(rest, span);
    }
    match text.strip_prefix('-') {
        Some("") => {
            let problem = Problem::error(id::PACKAGES, "a lone `-` excludes nothing");
            let help = "write the name of a package behind it, without a space, or remove it";
            Err(vec![problem.help(help)])
        }
        Some(name) if name.starts_with('@') => Ok(Wanted::NoGroup(name[1..].to_string())),
        Some(name) => Ok(Wanted::NoPackage(name.to_string())),
        None => Ok(Wanted::Package(text.to_string())),
    }
}

fn group(rest: &str, span: &Range<usize>) -> Result<Wanted, Vec<Problem>> {
    let words: Vec<Word> = words::split_blanks(rest)
        .map(|text| Word {
            text: text.to_string(),
            span: span.clone(),
        })
        .collect();
    let (arguments, mut problems) = arguments::read(&GROUP, &words, false);
    if arguments.has("--nodefaults") && arguments.has("--optional") {
        let message = "a group cannot have both `--nodefaults` and `--optional`";
        problems.push(Problem::error(id::PACKAGES, message).help("keep one of them"));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    // A name may have spaces in it.
    let words = arguments.leftovers.iter().map(|word| word.text.as_str());
    let name = words.collect::<Vec<_>>().join(" ");
    Ok(if name.contains(':') {
        Wanted::Module(name)
    } else {
        Wanted::Group(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart() {
        let body = "@core\n  @^minimal-environment # x\n\n# no\n@php:7.4/devel\nvim*\n-postfix\n-@sound and video\n@Sound and Video --optional\nglibc.i686\r\n%include /tmp/x\n";
        let (lines, problems) = read(body, 100);
        assert_eq!(problems, []);
        let wanted: Vec<&Wanted> = lines.iter().map(|line| &line.wanted).collect();
        assert_eq!(
            wanted,
            [
                &Wanted::Group("core".into()),
                &Wanted::Environment("minimal-environment".into()),
                &Wanted::Module("php:7.4/devel".into()),
                &Wanted::Package("vim*".into()),
                &Wanted::NoPackage("postfix".into()),
                &Wanted::NoGroup("sound and video".into()),
                &Wanted::Group("Sound and Video".into()),
                &Wanted::Package("glibc.i686".into()),
            ]
        );
        let span = &lines[1].span;
        assert_eq!(
            &body[span.start - 100..span.end - 100],
            "@^minimal-environment"
        );
    }

    #[test]
    fn what_the_installer_refuses() {
        for body in [
            "-\n",
            "@core --nodefaults --optional",
            "@x --optional=1",
            "@x --nodef --opt",
        ] {
            let (lines, problems) = read(body, 0);
            assert!(lines.is_empty(), "{body}");
            assert_eq!(problems.len(), 1, "{body}");
        }
        // White space and line ends are Python's.
        for body in [
            "@core --nodefaults\u{1f}--optional",
            "-\u{a0}\n",
            "vim\u{2028}-",
        ] {
            assert_eq!(read(body, 0).1.len(), 1, "{body:?}");
        }
        // What it does not look at, ozr cannot judge either.
        for body in ["@core --bogus", "@", "two words", "%unknown"] {
            assert_eq!(read(body, 0).1, [], "{body}");
        }
    }
}
