//! One row of a table of texts, and how it is compared with a line.

use crate::watch::cause::Cause;
use crate::watch::phases::Phase;

/// Where a text comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The program that prints it.
    pub program: &'static str,
    /// The releases whose installer has it.
    pub releases: &'static str,
    /// The file of the program's source.
    pub file: &'static str,
}

/// An origin, for the tables.
pub const fn origin(program: &'static str, releases: &'static str, file: &'static str) -> Origin {
    Origin {
        program,
        releases,
        file,
    }
}

/// How a text is recognised. Upper and lower case are alike; texts are compared with the
/// [body](crate::watch::line::body) of a line, except for `Contains`, which looks at the whole
/// line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// The body is this, but for progress dots after it.
    Is(&'static str),
    /// The body starts with this.
    Starts(&'static str),
    /// The body ends with this.
    Ends(&'static str),
    /// The line holds this.
    Contains(&'static str),
    /// The body starts with the first and holds the second.
    Between(&'static str, &'static str),
    /// The line holds the first, and somewhere behind it the second.
    Both(&'static str, &'static str),
}

impl Text {
    /// Whether the line with this body is meant.
    pub fn matches(self, line: &str, body: &str) -> bool {
        match self {
            Text::Is(text) => body
                .trim_end_matches(['.', ' '])
                .eq_ignore_ascii_case(text.trim_end_matches(['.', ' '])),
            Text::Starts(text) => starts(body, text),
            Text::Ends(text) => body
                .len()
                .checked_sub(text.len())
                .and_then(|at| body.get(at..))
                .is_some_and(|end| end.eq_ignore_ascii_case(text)),
            Text::Contains(text) => find(line, text).is_some(),
            Text::Between(start, inside) => starts(body, start) && find(body, inside).is_some(),
            Text::Both(first, second) => find(line, first)
                .and_then(|end| line.get(end..))
                .is_some_and(|rest| find(rest, second).is_some()),
        }
    }
}

fn starts(text: &str, start: &str) -> bool {
    text.get(..start.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(start))
}

/// Where `inside` ends in `text`, whatever the case of its letters.
fn find(text: &str, inside: &str) -> Option<usize> {
    text.as_bytes()
        .windows(inside.len())
        .position(|window| window.eq_ignore_ascii_case(inside.as_bytes()))
        .map(|at| at + inside.len())
}

/// Where a text counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// On the console only.
    Console,
    /// In the log only.
    Log,
    /// On both.
    Both,
    /// Inside the message of a failure.
    Message,
    /// In what QEMU or libvirt say.
    Hypervisor,
}

/// How sure a text of a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Certainty {
    /// The install has failed.
    Fatal,
    /// The install has failed, but of what, another text may say more exactly.
    Vague,
    /// It has failed unless something else follows: somebody would have to answer.
    Standstill,
    /// It may explain a failure that shows later. The smaller the number, the more it explains:
    /// 0 names what failed, 1 is a consequence, 2 names neither.
    Suspect(u8),
}

/// What a text says of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// What failed.
    pub cause: Cause,
    /// How sure the text is.
    pub certainty: Certainty,
}

/// What a text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// A phase began.
    Phase(Phase),
    /// Something failed, or may have.
    Failure(Found),
    /// The check of the medium began, which can take long.
    MediaCheck,
    /// The kernel powers the machine off.
    PowerDown,
    /// The kernel restarts the machine.
    Reboot,
    /// The kernel halted the machine; the guest stays.
    Halted,
    /// Everything is unmounted, but the machine does not switch itself off.
    CannotPowerOff,
    /// The installer has the kickstart.
    HasKickstart,
    /// One of ozr's own scripts says something.
    ScriptOutput,
    /// Worth telling the user at the end, though all went well.
    Note,
}

/// One row of a table.
#[derive(Debug, Clone, Copy)]
pub struct Pattern {
    /// The text.
    pub text: Text,
    /// Where it counts.
    pub channel: Channel,
    /// What it means.
    pub meaning: Meaning,
    /// Where it comes from.
    pub origin: Origin,
    /// A line that has it, for the tests and for readers.
    pub sample: &'static str,
}

/// A row, for the tables.
pub const fn row(
    channel: Channel,
    text: Text,
    meaning: Meaning,
    origin: Origin,
    sample: &'static str,
) -> Pattern {
    Pattern {
        text,
        channel,
        meaning,
        origin,
        sample,
    }
}

/// A row of a failure, for the tables.
pub const fn failure(
    channel: Channel,
    certainty: Certainty,
    text: Text,
    cause: Cause,
    origin: Origin,
    sample: &'static str,
) -> Pattern {
    let found = Found { cause, certainty };
    row(channel, text, Meaning::Failure(found), origin, sample)
}

impl Pattern {
    /// Whether the row is for the line with this body.
    pub fn matches(&self, channel: Channel, line: &str, body: &str) -> bool {
        let here = self.channel == channel
            || self.channel == Channel::Both && matches!(channel, Channel::Console | Channel::Log);
        here && self.text.matches(line, body)
    }
}
