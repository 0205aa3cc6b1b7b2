//! A kickstart with its includes, as the installer of one version reads it.

use std::ops::Range;
use std::sync::OnceLock;

use super::Version;
use super::arguments::Arguments;
use super::declared::Declared;
use super::line::{self, Judged};
use super::packages;
use super::problem::{self, Problem, id, refuse};
use crate::diagnostic::{Diagnostic, Lines, Severity, Source};
use crate::kickstart::outline::{Command, Include, Item, Outline, Section, SectionKind};
use crate::kickstart::scan::{self, BYTE_ORDER_MARK};
use crate::kickstart::words;
use crate::kickstart::{compose, mask};

/// Most texts that a kickstart is made of. More are a circle of includes.
const MAX_TEXTS: usize = 200;

/// Deepest chain of includes; real ones are two or three deep.
const MAX_DEPTH: usize = 16;

/// What the installer strips from a file to see whether it is empty; it looks at bytes there.
const ASCII_SPACE: [char; 6] = [' ', '\t', '\n', '\r', '\u{b}', '\u{c}'];

/// A text that an include brings in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Included {
    /// The name to call it by, for messages.
    pub name: String,
    /// All of it.
    pub text: String,
}

/// Finds the texts that a kickstart includes.
pub trait Includes {
    /// What `target` brings in, named in the text `from`; nothing where it is not there, or is not to
    /// be looked at.
    fn find(&self, target: &str, from: &str) -> Option<Included>;
}

/// Follows no include.
#[derive(Debug, Clone, Copy)]
pub struct NoIncludes;

impl Includes for NoIncludes {
    fn find(&self, _target: &str, _from: &str) -> Option<Included> {
        None
    }
}

/// One text of a kickstart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// For messages.
    pub name: String,
    /// All of it.
    pub text: String,
    /// What it consists of.
    pub outline: Outline,
    /// The text that includes it, and the place there.
    pub included_at: Option<(usize, Range<usize>)>,
    lines: Lines,
    secrets: OnceLock<Vec<Range<usize>>>,
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which text.
    pub text: usize,
    /// The line.
    pub command: Command,
    /// The command's name; of `part` and `partition` always `part`. Empty if the version does
    /// not know it.
    pub name: &'static str,
    /// What its words say, if the version runs the command and accepts the line.
    pub arguments: Option<Arguments>,
}

impl Entry {
    /// What its words say; nothing where the line was refused.
    pub fn arguments(&self) -> &Arguments {
        static NOTHING: Arguments = Arguments {
            options: Vec::new(),
            positionals: Vec::new(),
            leftovers: Vec::new(),
        };
        self.arguments.as_ref().unwrap_or(&NOTHING)
    }
}

/// A section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectionEntry {
    /// Which text.
    pub text: usize,
    /// The section.
    pub section: Section,
    /// What the header says, if it is one that is looked at and accepted.
    pub arguments: Option<Arguments>,
    /// The lines of `%packages`, with those of its includes.
    pub packages: Vec<PackageLine>,
}

/// A line of `%packages`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageLine {
    /// Which text.
    pub text: usize,
    /// The line.
    pub line: packages::Line,
}

/// A kickstart as one version reads it.
#[derive(Debug)]
pub struct Reading {
    /// Whose language.
    pub version: Version,
    /// The kickstart and what it includes, in the order in which they are read.
    pub texts: Vec<Text>,
    /// Commands in the order in which they are read.
    pub commands: Vec<Entry>,
    /// Sections in the order in which they are read.
    pub sections: Vec<SectionEntry>,
    /// Whether everything that is included was looked at.
    pub complete: bool,
    /// What the language says.
    pub findings: Vec<Diagnostic>,
}

impl Reading {
    /// Reads a kickstart.
    pub fn new(text: &str, name: &str, version: Version, includes: &dyn Includes) -> Reading {
        let mut reader = Reader {
            made: Reading {
                version,
                texts: Vec::new(),
                commands: Vec::new(),
                sections: Vec::new(),
                complete: true,
                findings: Vec::new(),
            },
            declared: Declared::default(),
            includes,
            circled: false,
        };
        let text = Text::add(name, text, None, &mut reader.made);
        reader.text(text, 0);
        reader.made
    }

    /// The commands of this name (of `partition`: `part`).
    pub fn commands_named(&self, name: &str) -> impl DoubleEndedIterator<Item = &Entry> {
        self.commands.iter().filter(move |entry| entry.name == name)
    }

    /// The command that counts where the last one does.
    pub fn last(&self, name: &str) -> Option<&Entry> {
        self.commands_named(name).next_back()
    }

    /// A text for diagnostics.
    pub fn source(&self, text: usize) -> Source<'_> {
        let text = &self.texts[text];
        Source {
            name: &text.name,
            text: &text.text,
        }
    }

    /// A finding at the bytes `span` of a text, with the chain of its includes.
    pub fn finding(
        &self,
        severity: Severity,
        text: usize,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> Diagnostic {
        let lines = &self.texts[text].lines;
        let mut finding = Diagnostic::within(severity, self.source(text), lines, span, message);
        finding.notes = self.chain(text);
        self.texts[text].hide_secrets(&mut finding);
        finding
    }

    /// How a text came to be read, the nearest include first.
    pub fn chain(&self, text: usize) -> Vec<String> {
        let mut notes = Vec::new();
        let mut at = &self.texts[text].included_at;
        while let Some((includer, span)) = at {
            let includer = &self.texts[*includer];
            let line = includer.lines.number(span.start);
            notes.push(format!("included at {}:{line}", includer.name));
            at = &includer.included_at;
        }
        notes
    }

    fn structure(
        &mut self,
        severity: Severity,
        text: usize,
        span: Range<usize>,
        message: &str,
        help: &str,
    ) {
        let finding = self.finding(severity, text, span, message);
        self.findings.push(finding.id(id::STRUCTURE).help(help));
    }

    fn problems(&mut self, text: usize, place: &Range<usize>, problems: Vec<Problem>) {
        for problem in problems {
            let span = problem.span.unwrap_or_else(|| place.clone());
            let mut finding = self
                .finding(problem.severity, text, span.clone(), problem.message)
                .id(problem.id);
            let Text {
                text: raw, outline, ..
            } = &self.texts[text];
            let remedy = problem::remedy(self.version, &finding, raw, outline, &span);
            finding.fix.extend(remedy);
            if problem.help.is_some() {
                finding.help = problem.help;
                self.texts[text].hide_secrets(&mut finding);
            }
            self.findings.push(finding);
        }
    }
}

impl Text {
    /// Hides what must not be shown, such as passwords, in a finding about the text.
    fn hide_secrets(&self, finding: &mut Diagnostic) {
        let places = self
            .secrets
            .get_or_init(|| mask::secret_places(&self.text, &self.outline));
        mask::hide(finding, &self.text, &self.lines, places);
    }

    /// Scans a text, adds it, and returns its number.
    fn add(
        name: &str,
        text: &str,
        included_at: Option<(usize, Range<usize>)>,
        reading: &mut Reading,
    ) -> usize {
        let (outline, findings) = scan::scan_all(text, name);
        let number = reading.texts.len();
        reading.texts.push(Text {
            name: name.to_string(),
            text: text.to_string(),
            outline,
            included_at,
            lines: Lines::of(text),
            secrets: OnceLock::new(),
        });
        let chain = reading.chain(number);
        let undecodable = match reading.version.is_python_2() {
            true => None,
            false => scan::undecodable(text, name),
        };
        for mut finding in undecodable.into_iter().chain(findings) {
            finding.id = Some(id::STRUCTURE);
            finding.notes.clone_from(&chain);
            reading.findings.push(finding);
        }
        number
    }
}

struct Reader<'a> {
    made: Reading,
    declared: Declared,
    includes: &'a dyn Includes,
    /// A circle of includes was reported.
    circled: bool,
}

impl Reader<'_> {
    /// Reads a text in the command section; returns whether it ends there, too.
    fn text(&mut self, number: usize, depth: usize) -> bool {
        let text = &self.made.texts[number];
        let outline = text.outline.clone();
        if outline.byte_order_mark {
            let help = "save the file as UTF-8 without a byte order mark";
            let message = "the file begins with a byte order mark, which the installer takes for part of the first line";
            let finding = self
                .made
                .finding(Severity::Error, number, 0..BYTE_ORDER_MARK.len(), message)
                .id(id::STRUCTURE)
                .help(help)
                .fix(0..BYTE_ORDER_MARK.len(), "");
            self.made.findings.push(finding);
        } else if depth == 0 && text.text.trim_matches(ASCII_SPACE).is_empty() {
            let (message, help) = ("the kickstart is empty", "write one, or name another file");
            self.made
                .structure(Severity::Error, number, 0..0, message, help);
        }
        for item in outline.items {
            match item {
                Item::Nothing(_) | Item::Broken(_) => {}
                Item::Command(command) => self.command(number, command),
                Item::Include(include) => {
                    if !self.include(number, &include, depth) {
                        return false;
                    }
                }
                Item::Section(section) => {
                    let open = !section.closed;
                    let end = section.span.end;
                    self.section(number, section, depth);
                    if open && depth > 0 && end == self.made.texts[number].text.len() {
                        return false;
                    }
                }
            }
        }
        true
    }

    fn command(&mut self, text: usize, command: Command) {
        let Judged {
            name,
            arguments,
            problems,
        } = line::command(
            self.made.version,
            &command.words,
            &self.made.texts[text].text[command.span.clone()],
            command.line,
            &mut self.declared,
        );
        let refused = refuse(&problems);
        let place = command.words[0].span.clone();
        self.made.problems(text, &place, problems);
        self.made.commands.push(Entry {
            text,
            command,
            name: name.unwrap_or_default(),
            arguments: arguments.filter(|_| !refused),
        });
    }

    /// Follows an include in the command section; returns whether the command section goes on.
    fn include(&mut self, text: usize, include: &Include, depth: usize) -> bool {
        let Some(number) = self.follow(text, include, depth) else {
            return true;
        };
        if self.text(number, depth + 1) {
            return true;
        }
        let message = "the included file leaves a section open, so the installer ignores everything after this line";
        let help = "close the section with `%end` in the included file";
        self.made
            .structure(Severity::Warning, text, include.span.clone(), message, help);
        false
    }

    /// Reads what an include names.
    fn follow(&mut self, text: usize, include: &Include, depth: usize) -> Option<usize> {
        let from = self.made.texts[text].name.clone();
        if depth >= MAX_DEPTH || self.made.texts.len() >= MAX_TEXTS {
            self.made.complete = false;
            // Once is enough: a circle has many ends.
            if std::mem::replace(&mut self.circled, true) {
                return None;
            }
            let message = "includes go in circles, or are nested too deep to be meant";
            let help = "make sure that no file includes itself";
            self.made
                .structure(Severity::Error, text, include.span.clone(), message, help);
            return None;
        }
        if let Some(found) = self.includes.find(&include.target, &from) {
            let place = Some((text, include.span.clone()));
            return Some(Text::add(&found.name, &found.text, place, &mut self.made));
        }
        self.made.complete = false;
        if include.ksappend {
            let message = "`%ksappend` names a file that is not there";
            let help = "name a file that can be read from here, or use `%include`";
            self.made
                .structure(Severity::Error, text, include.span.clone(), message, help);
        }
        None
    }

    fn section(&mut self, text: usize, section: Section, depth: usize) {
        let Judged {
            arguments,
            problems,
            ..
        } = line::header(self.made.version, &section.header);
        let refused = refuse(&problems);
        let place = section.header[0].span.clone();
        self.made.problems(text, &place, problems);
        if !section.closed && section.kind != SectionKind::Unknown {
            self.unclosed(text, &section, depth);
        }
        let mut lines = Vec::new();
        if section.kind == SectionKind::Packages {
            self.packages(text, section.body.clone(), &mut lines);
        }
        let mut filled = false;
        for include in &section.includes {
            let Some(number) = self.follow(text, include, depth) else {
                continue;
            };
            filled |= !is_blank(&self.made.texts[number].text);
            if section.kind == SectionKind::Packages {
                let all = 0..self.made.texts[number].text.len();
                self.packages(number, all, &mut lines);
            }
        }
        if section.kind == SectionKind::Certificate
            && section.closed
            && !filled
            && is_blank(&self.made.texts[text].text[section.body.clone()])
        {
            let message = "`%certificate` is empty";
            let help = "put the certificate between it and `%end`";
            self.made
                .structure(Severity::Error, text, place, message, help);
        }
        self.made.sections.push(SectionEntry {
            text,
            section,
            arguments: arguments.filter(|_| !refused),
            packages: lines,
        });
    }

    /// A section without `%end`: RHEL 6 ends it where the next one or the file's end stands, and
    /// warns (pykickstart's rhel6-branch, `parser.py`).
    fn unclosed(&mut self, text: usize, section: &Section, depth: usize) {
        let severity = match self.made.version {
            Version::Rhel(6) => Severity::Warning,
            _ => Severity::Error,
        };
        let tag = &section.header[0];
        let (whole, end) = (&self.made.texts[text].text, section.span.end);
        let rest = &whole[end..];
        let breaker = words::first_word(rest);
        let finding = if !breaker.is_empty() {
            let message = format!(
                "section `{}` (line {}) is not closed: the line behind this one begins `{breaker}`",
                tag.text, section.line
            );
            let help = "close it with a line `%end`; in a section, here-documents included, no line may begin with the name of another one";
            // The line that the installer names, too.
            let last = whole[..end].trim_end_matches(['\r', '\n']);
            let start = last.rfind('\n').map_or(0, |newline| newline + 1);
            let place = start..last.len();
            self.made.finding(severity, text, place, message).help(help)
        } else if depth > 0 {
            // The text that includes this one may close it.
            return;
        } else {
            let message = format!("section `{}` is not closed", tag.text);
            let fix = compose::line_at(whole, end, "%end");
            let place = tag.span.clone();
            let finding = self.made.finding(severity, text, place, message);
            finding
                .help("close it with a line `%end`")
                .fix(end..end, fix)
        };
        self.made.findings.push(finding.id(id::STRUCTURE));
    }

    fn packages(&mut self, text: usize, body: Range<usize>, lines: &mut Vec<PackageLine>) {
        let (found, problems) =
            packages::read(&self.made.texts[text].text[body.clone()], body.start);
        self.made.problems(text, &body, problems);
        lines.extend(found.into_iter().map(|line| PackageLine { text, line }));
    }
}

/// Whether there is nothing in a body but includes.
fn is_blank(body: &str) -> bool {
    words::lines(body).all(|line| matches!(words::first_word(line), "" | "%include"))
}
