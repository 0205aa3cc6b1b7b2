//! The log channel: the virtio-serial port `org.fedoraproject.anaconda.log.0`, to which anaconda
//! makes rsyslog copy everything (anaconda 14.13 and later; not EL 6).
//!
//! The template `anaconda_syslog` (lorax, `common/rsyslog.conf`) writes one record a line:
//! `HH:MM:SS,mmm LEVEL PROGRAM:MESSAGE`, control characters in the message as `#` and three
//! octal digits.

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use regex::{Captures, Regex};
use strum::{EnumString, IntoStaticStr};

use super::escape;

/// A longer record is cut. Anaconda logs tracebacks and dependency lists of some tens of KiB.
const MAX_RECORD: usize = 256 * 1024;

/// Syslog's severities, as the template spells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, EnumString, IntoStaticStr)]
#[strum(serialize_all = "UPPERCASE")]
#[allow(missing_docs)]
pub enum Level {
    Debug,
    Info,
    Notice,
    Warning,
    Err,
    Crit,
    Alert,
    Emerg,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The guest's time of day, `HH:MM:SS,mmm`. The guest's clock may jump, and has no date.
    pub time: String,
    /// The severity. What anaconda's D-Bus modules print is logged as `WARNING` whatever it is
    /// (`WARNING org.fedoraproject.Anaconda.Modules.Storage:DEBUG:blivet:…`).
    pub level: Level,
    /// The program: `anaconda`, `program`, `packaging`, `dnf`, `kernel`, `systemd` …
    pub program: String,
    /// The message, decoded; may hold line breaks, never other control characters.
    pub message: String,
}

impl Record {
    /// Reads one line; `None` if it is no record.
    pub fn parse(line: &str) -> Option<Record> {
        let (time, rest) = line.split_once(' ')?;
        if !is_time(time) {
            return None;
        }
        let (level, rest) = rest.split_once(' ')?;
        let level = level.parse().ok()?;
        let (program, message) = rest.split_once(':')?;
        let strange = |c: char| c.is_whitespace() || c.is_control();
        if program.is_empty() || program.contains(strange) {
            return None;
        }
        Some(Record {
            time: time.to_owned(),
            level,
            program: program.to_owned(),
            message: escape::plain(&decode(message)),
        })
    }
}

/// What a record says, without the wrapping of those who passed it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said<'a> {
    /// The severity that the author gave it.
    pub level: Level,
    /// The author: `packaging`, `program` (the output of what anaconda runs), `ui.tui.spokes.storage`.
    pub by: &'a str,
    /// The text.
    pub text: &'a str,
}

/// The loggers of anaconda's own process, which name themselves before the message
/// (anaconda_logging.py, EL 8 and later).
const LOGGERS: [&str; 8] = [
    "anaconda",
    "program",
    "packaging",
    "dnf",
    "dnf.rpm",
    "librepo",
    "storage",
    "simpleline",
];

impl Record {
    /// Whether it comes from one of anaconda's D-Bus modules, whose standard error is logged.
    pub fn is_of_module(&self) -> bool {
        self.program.starts_with("org.fedoraproject.Anaconda.")
    }

    /// What it says.
    pub fn said(&self) -> Said<'_> {
        let message = self.message.trim_start();
        if self.is_of_module() {
            // Python's `LEVEL:LOGGER:TEXT`; a traceback and the rest of a message come without.
            let (level, rest) = message.split_once(':').unwrap_or(("", message));
            let level = match level {
                "DEBUG" => Some(Level::Debug),
                "INFO" => Some(Level::Info),
                "WARNING" => Some(Level::Warning),
                "ERROR" => Some(Level::Err),
                "CRITICAL" => Some(Level::Crit),
                _ => None,
            };
            return match level.zip(rest.split_once(':')) {
                Some((level, (by, text))) => Said { level, by, text },
                None => Said {
                    level: Level::Info,
                    by: &self.program,
                    text: message,
                },
            };
        }
        let (mut by, mut text) = (self.program.as_str(), message);
        if by == "anaconda"
            && let Some((logger, rest)) = text.split_once(": ")
            && LOGGERS.contains(&logger)
        {
            (by, text) = (logger, rest.trim_start());
        }
        // `MODULE: `, which anaconda's own logger puts before its messages.
        if by == "anaconda"
            && let Some((module, rest)) = text.split_once(": ")
            && module.starts_with(|c: char| c.is_ascii_lowercase())
            && !module.contains(char::is_whitespace)
        {
            (by, text) = (module, rest.trim_start());
        }
        let level = self.level;
        Said { level, by, text }
    }
}

impl fmt::Display for Record {
    /// One line: line breaks in the message as `\n`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.message.replace('\n', "\\n");
        let level: &str = self.level.into();
        write!(f, "{} {level} {}: {message}", self.time, self.program)
    }
}

/// `HH:MM:SS,mmm`.
fn is_time(text: &str) -> bool {
    static TIME: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new("^[0-9]{2}:[0-9]{2}:[0-9]{2},[0-9]{3}$").expect("a pattern of ours")
    });
    TIME.is_match(text)
}

/// Undoes rsyslog's `$EscapeControlCharactersOnReceive`: `#` and three octal digits stand for a
/// control character. `#` itself is not escaped, so only codes of control characters count.
fn decode(message: &str) -> Cow<'_, str> {
    static CODE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new("#(0[0-3][0-7]|177)").expect("a pattern of ours"));
    CODE.replace_all(message, |code: &Captures<'_>| {
        let code = u8::from_str_radix(&code[1], 8).unwrap_or(b'#');
        char::from(code).to_string()
    })
}

/// Cuts the port's stream into records. Lines that are none are left out: the port is rsyslog's
/// alone, so they are torn pieces of a restart.
#[derive(Debug, Default)]
pub struct LogPort {
    line: Vec<u8>,
}

impl LogPort {
    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Record> {
        let mut records = Vec::new();
        let mut pieces = bytes.split(|byte| *byte == b'\n');
        self.append(pieces.next().unwrap_or_default());
        for piece in pieces {
            records.extend(self.finish());
            self.append(piece);
        }
        records
    }

    /// The last record, when the port is closed without a line feed.
    pub fn finish(&mut self) -> Option<Record> {
        let record = Record::parse(String::from_utf8_lossy(&self.line).trim_end_matches('\r'));
        self.line.clear();
        record
    }

    fn append(&mut self, piece: &[u8]) {
        let room = MAX_RECORD.saturating_sub(self.line.len());
        self.line.extend(&piece[..piece.len().min(room)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read() {
        let record = Record::parse(
            "09:08:07,006 ERR anaconda:anaconda: ui.tui: first line#012#011second#033[1m bold",
        )
        .unwrap();
        assert_eq!(record.time, "09:08:07,006");
        assert_eq!(record.level, Level::Err);
        assert_eq!(record.program, "anaconda");
        assert_eq!(
            record.message,
            "anaconda: ui.tui: first line\n\tsecond bold"
        );
        assert_eq!(
            record.to_string(),
            "09:08:07,006 ERR anaconda: anaconda: ui.tui: first line\\n\tsecond bold"
        );
    }

    #[test]
    fn what_is_said_comes_without_its_wrapping() {
        for (line, level, by, text) in [
            (
                "INFO anaconda:anaconda: progress: Installing.",
                Level::Info,
                "progress",
                "Installing.",
            ),
            (
                "ERR anaconda:anaconda: CmdlineError: x",
                Level::Err,
                "anaconda",
                "CmdlineError: x",
            ),
            (
                "INFO anaconda:program: Running... true",
                Level::Info,
                "program",
                "Running... true",
            ),
            (
                "INFO program:Running... true",
                Level::Info,
                "program",
                "Running... true",
            ),
            (
                "WARNING anaconda:packaging: #012 Problem: x",
                Level::Warning,
                "packaging",
                "Problem: x",
            ),
            (
                "WARNING org.fedoraproject.Anaconda.Modules.Storage:ERROR:anaconda.x:has failed: y",
                Level::Err,
                "anaconda.x",
                "has failed: y",
            ),
            (
                "WARNING org.fedoraproject.Anaconda.Boss:blivet.errors.FSError: y",
                Level::Info,
                "org.fedoraproject.Anaconda.Boss",
                "blivet.errors.FSError: y",
            ),
        ] {
            let record = Record::parse(&format!("10:00:00,000 {line}")).unwrap();
            assert_eq!(record.said(), Said { level, by, text }, "{line}");
        }
    }

    #[test]
    fn what_is_no_record_is_left_out() {
        for line in [
            "",
            "09:08:07,006",
            "9:08:07,006 INFO a:b",
            "09:08:07,006 LOUD a:b",
            "09:08:07,006 INFO no colon",
            "09:08:07,006 INFO two words:b",
            "09:08:07,006 INFO bell\u{7}:b",
        ] {
            assert_eq!(Record::parse(line), None, "{line:?}");
        }
    }

    #[test]
    fn only_control_characters_are_decoded() {
        assert_eq!(decode("#1 #101 #999 #12 a#012b#"), "#1 #101 #999 #12 a\nb#");
        assert_eq!(decode("#0\u{e9}12"), "#0\u{e9}12");
    }

    #[test]
    fn records_come_whole_however_the_stream_is_cut() {
        let stream = "01:02:03,004 INFO systemd:Gr\u{fc}n\n torn\n01:02:03,005 CRIT kernel:x";
        for size in [1, 5, 1000] {
            let mut port = LogPort::default();
            let mut records: Vec<Record> = stream
                .as_bytes()
                .chunks(size)
                .flat_map(|chunk| port.feed(chunk))
                .collect();
            records.extend(port.finish());
            let messages: Vec<&str> = records.iter().map(|r| r.message.as_str()).collect();
            assert_eq!(messages, ["Gr\u{fc}n", "x"]);
        }
    }

    #[test]
    fn an_endless_line_is_bounded() {
        let mut port = LogPort::default();
        port.feed(b"01:02:03,004 INFO a:");
        for _ in 0..20 {
            port.feed(&vec![b'x'; MAX_RECORD / 8]);
        }
        let record = port.feed(b"\n").remove(0);
        assert!(record.message.len() <= MAX_RECORD);
    }
}
