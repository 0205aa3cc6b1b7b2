//! The texts by which an install is followed: the tables of `texts.toml`.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use serde::Deserialize;

use super::cause::Cause;
use super::signal::Signal;

/// What ozr's own scripts in the guest put before what they say (`kickstart/shell`).
pub const OURS: &str = "ozr: ";

/// What they put before each line that a command of the template printed and that succeeded.
pub const PRINTED: &str = "ozr| ";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Texts {
    /// For lines of the console and records of the log. Of each the first row that matches counts.
    lines: Vec<Vec<Row>>,
    /// For the message of a failure.
    messages: Vec<Row>,
    /// For what QEMU and libvirt say of a guest's end.
    hypervisor: Vec<Row>,
}

static TEXTS: LazyLock<Texts> = LazyLock::new(|| {
    toml::from_str(include_str!("texts.toml")).expect("texts.toml is well-formed")
});

/// Finds in one pass over a line the few rows of all tables that may be for it.
struct Finder {
    automaton: AhoCorasick,
    /// Each row with the number of its table, in the order of the tables.
    rows: Vec<(usize, &'static Row)>,
}

static FINDER: LazyLock<Finder> = LazyLock::new(|| {
    let tables = TEXTS.lines.iter().enumerate();
    let rows: Vec<(usize, &Row)> = tables
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
    let mut signals = Vec::new();
    let mut done = None;
    for (table, row) in candidates.into_iter().map(|at| finder.rows[at]) {
        if done != Some(table) && row.matches(channel, line, body) {
            done = Some(table);
            signals.push(row.signal());
        }
    }
    signals
}

/// What failed, by the words of its message.
pub fn cause_of_message(message: &str) -> Option<Cause> {
    cause_in(&TEXTS.messages, message)
}

/// What ended the guest, by the last words of its hypervisor.
pub fn cause_of_last_words(words: &str) -> Option<Cause> {
    cause_in(&TEXTS.hypervisor, words)
}

fn cause_in(table: &[Row], text: &str) -> Option<Cause> {
    match find(table, Channel::Console, text, text)?.signal() {
        Signal::Failure(found) => Some(found.cause),
        _ => None,
    }
}

/// The row of `table` that is for this line.
fn find<'a>(table: &'a [Row], channel: Channel, line: &str, body: &str) -> Option<&'a Row> {
    table.iter().find(|row| row.matches(channel, line, body))
}

/// How a text is recognised. Upper and lower case are alike; texts are compared with the
/// [body](crate::watch::line::body) of a line, except for `Contains`, which looks at the whole
/// line.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Text {
    /// The body is this, but for progress dots after it.
    Is(String),
    /// The body starts with this.
    Starts(String),
    /// The body ends with this.
    Ends(String),
    /// The line holds this.
    Contains(String),
    /// The body starts with the first and holds the second.
    Between(String, String),
    /// The line holds the first, and somewhere behind it the second.
    Holds(String, String),
}

impl Text {
    /// A part of it that stands in every line that is meant.
    fn needle(&self) -> &str {
        match self {
            Text::Is(text) => text.trim_end_matches(['.', ' ']),
            Text::Starts(text)
            | Text::Ends(text)
            | Text::Contains(text)
            | Text::Between(text, _)
            | Text::Holds(text, _) => text,
        }
    }

    /// Whether the line with this body is meant.
    fn matches(&self, line: &str, body: &str) -> bool {
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
            Text::Holds(first, second) => end_of(line, first)
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
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Channel {
    /// On the console only.
    #[default]
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

/// What a row says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Meaning {
    Signal(Signal),
    Fatal(Cause),
    Vague(Cause),
    Standstill(Cause),
    Reason(Cause),
    Suspect(Cause, u8),
}

/// One row of a table.
#[derive(Debug, Deserialize)]
struct Row {
    #[serde(default)]
    on: Channel,
    #[serde(flatten)]
    text: Text,
    #[serde(flatten)]
    meaning: Meaning,
    #[serde(default)]
    initramfs: bool,
    #[cfg(test)]
    from: String,
    #[cfg(test)]
    sample: String,
}

impl Row {
    /// Whether the row is for the line with this body.
    fn matches(&self, channel: Channel, line: &str, body: &str) -> bool {
        (self.on == channel || self.on == Channel::Both) && self.text.matches(line, body)
    }

    /// What its text means.
    fn signal(&self) -> Signal {
        let (cause, certainty) = match &self.meaning {
            Meaning::Signal(signal) => return signal.clone(),
            Meaning::Fatal(cause) => (cause, Certainty::Fatal),
            Meaning::Vague(cause) => (cause, Certainty::Vague),
            Meaning::Standstill(cause) => (cause, Certainty::Standstill),
            Meaning::Reason(cause) => (cause, Certainty::Reason),
            Meaning::Suspect(cause, weight) => (cause, Certainty::Suspect(*weight)),
        };
        Signal::Failure(Found {
            of_initramfs: self.initramfs,
            ..Found::new(*cause, certainty)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::line::body;
    use crate::watch::phases::Phase;

    fn all() -> impl Iterator<Item = &'static Vec<Row>> {
        TEXTS
            .lines
            .iter()
            .chain([&TEXTS.messages, &TEXTS.hypervisor])
    }

    #[test]
    fn each_sample_is_read_as_what_its_row_means() {
        for table in all() {
            for row in table {
                let channel = match row.on {
                    Channel::Both => Channel::Console,
                    one => one,
                };
                let sample = body(&row.sample);
                assert!(
                    row.matches(channel, &row.sample, sample),
                    "{:?}",
                    row.sample
                );
                let found = find(table, channel, &row.sample, sample);
                assert_eq!(
                    found.map(Row::signal),
                    Some(row.signal()),
                    "{:?}",
                    row.sample
                );
            }
        }
    }

    #[test]
    fn every_phase_after_power_on_has_a_text() {
        for phase in &Phase::ALL[1..] {
            let shows = |row: &Row| row.signal() == Signal::Phase(*phase);
            assert!(TEXTS.lines[0].iter().any(shows), "{phase:?}");
        }
    }

    #[test]
    fn each_row_says_where_its_text_comes_from() {
        for table in all() {
            for row in table {
                let (program, rest) = row.from.split_once(", ").unwrap_or_default();
                let (releases, file) = rest.split_once(": ").unwrap_or_default();
                let whole = ![program, releases, file].contains(&"");
                assert!(whole, "{:?}: {:?}", row.sample, row.from);
            }
        }
    }

    /// `cargo test --lib texts::tests::speed -- --ignored --nocapture`
    #[test]
    #[ignore = "a measurement"]
    #[allow(clippy::print_stdout)]
    fn speed() {
        const TIMES: u32 = 10;
        let samples = || TEXTS.lines.iter().flatten().map(|row| row.sample.as_str());
        let lines = TIMES * u32::try_from(samples().count()).unwrap();
        let one_by_one = |line: &'static str| {
            let rows = TEXTS.lines.iter();
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
        for (at, table) in TEXTS.lines.iter().enumerate().skip(2) {
            for row in table {
                let channel = if row.on == Channel::Both {
                    Channel::Console
                } else {
                    row.on
                };
                for other in TEXTS.lines.iter().skip(at + 1) {
                    let twice = find(other, channel, &row.sample, body(&row.sample));
                    assert!(twice.is_none(), "{:?}: {:?}", row.sample, twice);
                }
            }
        }
    }
}
