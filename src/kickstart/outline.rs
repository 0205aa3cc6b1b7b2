//! What a kickstart consists of, and the questions the build asks about it.

use std::ops::Range;

use super::words::Word;

/// A scanned kickstart. Its items cover the text from the first byte to the last, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// Everything in the text, in order and without gaps.
    pub items: Vec<Item>,
    /// The text starts with a UTF-8 byte order mark, which no installer accepts.
    pub byte_order_mark: bool,
}

/// One piece of a kickstart: whole lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A byte order mark, a blank line or a comment.
    Nothing(Range<usize>),
    /// A line of the command section.
    Command(Command),
    /// From a `%tag` line to its `%end` line.
    Section(Section),
    /// `%include` or `%ksappend` outside of a section.
    Include(Include),
    /// A line that could not be understood; a finding says why.
    Broken(Range<usize>),
}

impl Item {
    /// The bytes that it covers.
    pub fn span(&self) -> Range<usize> {
        match self {
            Item::Nothing(span) | Item::Broken(span) => span.clone(),
            Item::Command(command) => command.span.clone(),
            Item::Section(section) => section.span.clone(),
            Item::Include(include) => include.span.clone(),
        }
    }
}

/// A line of the command section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The words of the line, at least one; the first is the command's name.
    pub words: Vec<Word>,
    /// The line with its line end.
    pub span: Range<usize>,
    /// Line number, from 1.
    pub line: usize,
}

impl Command {
    /// The command's name.
    pub fn name(&self) -> &str {
        &self.words[0].text
    }

    /// The value of `--option=value` or `--option value`, the last if it is given more than once.
    /// Abbreviated options are not resolved.
    pub fn option(&self, option: &str) -> Option<&str> {
        let mut found = None;
        for (index, word) in self.words.iter().enumerate().skip(1) {
            if word.option_name() == Some(option) {
                found = word
                    .option_value()
                    .or_else(|| self.words.get(index + 1).map(|next| next.text.as_str()));
            }
        }
        found
    }

    /// Whether the flag is given, in full or abbreviated as argparse allows.
    pub fn has_flag(&self, flag: &str) -> bool {
        self.words[1..]
            .iter()
            .filter_map(Word::option_name)
            .any(|name| flag.starts_with(name))
    }
}

/// The kinds of sections that pykickstart 3.78 knows, for every release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum SectionKind {
    Packages,
    Pre,
    PreInstall,
    Post,
    OnError,
    Traceback,
    Certificate,
    Addon,
    Anaconda,
    /// Not known to any installer.
    Unknown,
}

impl SectionKind {
    /// The kind for a tag such as `%post`.
    pub fn from_tag(tag: &str) -> Self {
        match tag {
            "%packages" => Self::Packages,
            "%pre" => Self::Pre,
            "%pre-install" => Self::PreInstall,
            "%post" => Self::Post,
            "%onerror" => Self::OnError,
            "%traceback" => Self::Traceback,
            "%certificate" => Self::Certificate,
            "%addon" => Self::Addon,
            "%anaconda" => Self::Anaconda,
            _ => Self::Unknown,
        }
    }

    /// Whether the body is a script.
    pub fn is_script(self) -> bool {
        matches!(
            self,
            Self::Pre | Self::PreInstall | Self::Post | Self::OnError | Self::Traceback
        )
    }
}

/// A section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// What kind of section.
    pub kind: SectionKind,
    /// The words of the header line; the first is the tag.
    pub header: Vec<Word>,
    /// Line number of the header, from 1.
    pub line: usize,
    /// The lines between header and `%end`.
    pub body: Range<usize>,
    /// `%include` and `%ksappend` lines in the body.
    pub includes: Vec<Include>,
    /// Everything from the header to the end of the `%end` line.
    pub span: Range<usize>,
    /// Whether there is an `%end` line.
    pub closed: bool,
}

/// A line that brings in another text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Include {
    /// The file or URL.
    pub target: String,
    /// `%ksappend` instead of `%include`.
    pub ksappend: bool,
    /// The line with its line end.
    pub span: Range<usize>,
}

/// What the installer does when it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndAction {
    /// `reboot`
    Reboot,
    /// `poweroff` and `shutdown`
    PowerOff,
    /// `halt`: the installer waits at a prompt and the machine stays on.
    Halt,
}

/// The ending command that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending<'a> {
    /// What happens.
    pub action: EndAction,
    /// `--kexec`: the installed system is started in place, without going through the firmware.
    pub kexec: bool,
    /// The command itself.
    pub command: &'a Command,
}

/// Where the kickstart takes the system from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// RPM packages: `url`, `nfs`, `harddrive`, `cdrom`, `hmc`.
    Packages,
    /// A ready file system: `liveimg`, `ostreesetup`, `ostreecontainer`, `bootc`.
    /// `%packages` means nothing there.
    Image,
}

impl Outline {
    /// The commands, in order.
    pub fn commands(&self) -> impl DoubleEndedIterator<Item = &Command> {
        self.items.iter().filter_map(|item| match item {
            Item::Command(command) => Some(command),
            _ => None,
        })
    }

    /// The sections, in order.
    pub fn sections(&self) -> impl DoubleEndedIterator<Item = &Section> {
        self.items.iter().filter_map(|item| match item {
            Item::Section(section) => Some(section),
            _ => None,
        })
    }

    /// The last command of this name: the one that counts where only one can.
    pub fn last<'a>(&'a self, name: &str) -> Option<&'a Command> {
        self.commands().rfind(|command| command.name() == name)
    }

    /// The command that names the installation source, if the kickstart has one.
    pub fn source(&self) -> Option<(SourceKind, &Command)> {
        self.commands().rev().find_map(|command| {
            let kind = match command.name() {
                "url" | "nfs" | "harddrive" | "cdrom" | "hmc" => SourceKind::Packages,
                "liveimg" | "ostreesetup" | "ostreecontainer" | "bootc" => SourceKind::Image,
                _ => return None,
            };
            Some((kind, command))
        })
    }

    /// What happens at the end: the last of `reboot`, `poweroff`, `shutdown` and `halt`.
    pub fn ending(&self) -> Option<Ending<'_>> {
        self.commands().rev().find_map(|command| {
            let action = match command.name() {
                "reboot" => EndAction::Reboot,
                "poweroff" | "shutdown" => EndAction::PowerOff,
                "halt" => EndAction::Halt,
                _ => return None,
            };
            Some(Ending {
                action,
                kexec: command.has_flag("kexec"),
                command,
            })
        })
    }

    /// Every line that brings in another text, in order.
    pub fn includes(&self) -> impl Iterator<Item = &Include> {
        self.items.iter().flat_map(|item| match item {
            Item::Include(include) => std::slice::from_ref(include),
            Item::Section(section) => section.includes.as_slice(),
            _ => &[],
        })
    }

    /// Whether other texts are brought in, so that what is seen here is not all there is.
    pub fn has_includes(&self) -> bool {
        self.includes().next().is_some()
    }
}
