//! The texts by which an install is followed: tables of patterns, each row with where the text
//! comes from and a sample line.
//!
//! Not in the tables, though they look like failures: `Call Trace:` (the kernel prints it for
//! warnings too), `CRIT` and `Traceback` in the log (handled exceptions), `[FAILED]` units (most
//! recover), `Unknown command:` and its kin outside of anaconda's own block (a script can print
//! anything).

mod boot;
mod details;
mod installer;
mod phases;

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use super::cause::Cause;
use super::signal::Signal;

pub use details::{cause_of_last_words, cause_of_message};
pub use phases::OURS;

/// The tables for lines of the console and records of the log. Of each the first row that
/// matches counts, so the more telling stand first.
static TABLES: [&[Pattern]; 8] = [
    phases::PHASES,
    phases::ENDINGS,
    boot::KERNEL,
    installer::KICKSTART,
    installer::INSTALLER,
    installer::STANDSTILL,
    boot::INITRAMFS,
    installer::REASONS,
];

/// Finds in one pass over a line the few rows of all tables that may be for it.
struct Finder {
    automaton: AhoCorasick,
    /// Each row with the number of its table, in the order of the tables.
    rows: Vec<(usize, &'static Pattern)>,
}

static FINDER: LazyLock<Finder> = LazyLock::new(|| {
    let tables = TABLES.iter().enumerate();
    let rows: Vec<(usize, &Pattern)> = tables
        .flat_map(|(at, table)| table.iter().map(move |row| (at, row)))
        .collect();
    let needles = rows.iter().map(|(_, row)| row.text.needle());
    let automaton = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(needles)
        .expect("texts of some kilobytes");
    Finder { automaton, rows }
});

/// What the tables say of a line: of each table the first row that matches.
pub fn look_up(channel: Channel, line: &str, body: &str) -> Vec<Signal> {
    let finder = &*FINDER;
    let found = finder.automaton.find_overlapping_iter(line);
    let mut candidates: Vec<usize> = found.map(|found| found.pattern().as_usize()).collect();
    candidates.sort_unstable();
    candidates.dedup();
    let mut meanings = Vec::new();
    let mut done = None;
    for (table, row) in candidates.into_iter().map(|at| finder.rows[at]) {
        if done != Some(table) && row.matches(channel, line, body) {
            done = Some(table);
            meanings.push(row.meaning.clone());
        }
    }
    meanings
}

/// The row of `table` that is for this line.
fn find<'a>(table: &'a [Pattern], channel: Channel, line: &str, body: &str) -> Option<&'a Pattern> {
    table.iter().find(|row| row.matches(channel, line, body))
}

/// Where a text comes from: the program that prints it, the releases whose installer has it, and
/// the file of the program's source.
pub type Origin = &'static str;

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
    /// A part of it that stands in every line that is meant.
    fn needle(self) -> &'static str {
        match self {
            Text::Is(text) => text.trim_end_matches(['.', ' ']),
            Text::Starts(text)
            | Text::Ends(text)
            | Text::Contains(text)
            | Text::Between(text, _)
            | Text::Both(text, _) => text,
        }
    }

    /// Whether the line with this body is meant.
    fn matches(self, line: &str, body: &str) -> bool {
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
            Text::Contains(text) => end_of(line, text).is_some(),
            Text::Between(start, inside) => starts(body, start) && end_of(body, inside).is_some(),
            Text::Both(first, second) => end_of(line, first)
                .and_then(|end| line.get(end..))
                .is_some_and(|rest| end_of(rest, second).is_some()),
        }
    }
}

fn starts(text: &str, start: &str) -> bool {
    text.get(..start.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(start))
}

/// Where `inside` ends in `text`, whatever the case of its letters.
fn end_of(text: &str, inside: &str) -> Option<usize> {
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
    /// It gives the reason of a failure that shows later: who then only says that something
    /// failed says less.
    Reason,
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
    /// Whether it says so only as long as the initramfs runs.
    pub of_initramfs: bool,
}

impl Found {
    /// Of a text that says so at any time.
    pub const fn new(cause: Cause, certainty: Certainty) -> Self {
        Found {
            cause,
            certainty,
            of_initramfs: false,
        }
    }
}

/// One row of a table.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// The text.
    pub text: Text,
    /// Where it counts.
    pub channel: Channel,
    /// What it means.
    pub meaning: Signal,
    /// Where it comes from.
    pub origin: Origin,
    /// A line that has it, for the tests and for readers.
    pub sample: &'static str,
}

/// A row, for the tables.
pub const fn row(
    channel: Channel,
    text: Text,
    meaning: Signal,
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
    let found = Found::new(cause, certainty);
    row(channel, text, Signal::Failure(found), origin, sample)
}

impl Pattern {
    /// Whether the row is for the line with this body.
    fn matches(&self, channel: Channel, line: &str, body: &str) -> bool {
        (self.channel == channel || self.channel == Channel::Both) && self.text.matches(line, body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::line::body;

    #[test]
    fn each_sample_is_read_as_what_its_row_means() {
        for table in TABLES
            .into_iter()
            .chain([details::DETAILS, details::HYPERVISOR])
        {
            for row in table {
                let channel = match row.channel {
                    Channel::Both => Channel::Console,
                    one => one,
                };
                let sample = body(row.sample);
                assert!(row.matches(channel, row.sample, sample), "{:?}", row.sample);
                let found = find(table, channel, row.sample, sample);
                assert_eq!(
                    found.map(|row| &row.meaning),
                    Some(&row.meaning),
                    "{:?}",
                    row.sample
                );
            }
        }
    }

    #[test]
    fn each_row_says_where_its_text_comes_from() {
        for table in TABLES
            .into_iter()
            .chain([details::DETAILS, details::HYPERVISOR])
        {
            for row in table {
                let (program, rest) = row.origin.split_once(", ").unwrap_or_default();
                let (releases, file) = rest.split_once(": ").unwrap_or_default();
                let whole = ![program, releases, file].contains(&"");
                assert!(whole, "{:?}: {:?}", row.sample, row.origin);
            }
        }
    }

    /// `cargo test --lib texts::tests::speed -- --ignored --nocapture`
    #[test]
    #[ignore = "a measurement"]
    #[allow(clippy::print_stdout)]
    fn speed() {
        const TIMES: u32 = 10;
        let samples = || TABLES.into_iter().flatten().map(|row| row.sample);
        let lines = TIMES * u32::try_from(samples().count()).unwrap();
        let one_by_one = |line: &'static str| {
            let rows = TABLES.iter();
            let rows = rows.filter_map(|table| find(table, Channel::Console, line, body(line)));
            rows.count()
        };
        let automaton = |line: &'static str| look_up(Channel::Console, line, body(line)).len();
        assert!(samples().all(|line| one_by_one(line) == automaton(line)));
        let started = std::time::Instant::now();
        (0..TIMES).for_each(|_| {
            samples().for_each(|line| {
                std::hint::black_box(one_by_one(line));
            })
        });
        println!("row by row: {:?} a line", started.elapsed() / lines);
        let started = std::time::Instant::now();
        (0..TIMES).for_each(|_| {
            samples().for_each(|line| {
                std::hint::black_box(automaton(line));
            })
        });
        println!("the automaton: {:?} a line", started.elapsed() / lines);
    }

    /// A row that an earlier one always wins over would never count.
    #[test]
    fn no_text_is_in_two_tables_of_failures() {
        for (at, table) in TABLES.into_iter().enumerate().skip(2) {
            for row in table {
                let channel = if row.channel == Channel::Both {
                    Channel::Console
                } else {
                    row.channel
                };
                for other in TABLES.into_iter().skip(at + 1) {
                    let twice = find(other, channel, row.sample, body(row.sample));
                    assert!(twice.is_none(), "{:?}: {:?}", row.sample, twice);
                }
            }
        }
    }
}
