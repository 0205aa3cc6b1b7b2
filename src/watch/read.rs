//! Reads a line of the console, or a record of the log port, as typed events.

use super::forms;
use super::line::body;
use super::logport::{Level, Record};
use super::signal::Signal;
use super::texts::pattern::Channel;
use super::texts::{TABLES, find};

/// Reads a line of the console.
pub fn console(line: &str) -> Vec<Signal> {
    let body = body(line);
    let mut signals = Vec::new();
    signals.extend(forms::read(body));
    look_up(Channel::Console, line, body, &mut signals);
    signals
}

/// Reads a record of the log port.
pub fn log(record: &Record) -> Vec<Signal> {
    let mut signals = Vec::new();
    if !speaks_for_itself(&record.program) {
        return signals;
    }
    let message = record.message.trim_start();
    let body = log_text(record);
    if let Some((done, total)) = body
        .starts_with("Task completed: ")
        .then(|| forms::fraction(body))
        .flatten()
    {
        signals.push(Signal::Tasks { done, total });
        return signals;
    }
    // Before the level is looked at: progress is logged as INFO.
    look_up(Channel::Log, message, body, &mut signals);
    if record.level < Level::Warning {
        signals.retain(|signal| !signal.decides());
    }
    signals
}

/// Whether what the program logs means what it says. What anaconda's D-Bus modules print comes
/// again under their own names, with levels that mean nothing; `program` is what anaconda runs,
/// `packaging` its package code.
fn speaks_for_itself(program: &str) -> bool {
    matches!(
        program,
        "anaconda" | "program" | "packaging" | "dnf" | "dnf.rpm" | "kernel" | "systemd-coredump"
    )
}

/// The text of a record without `anaconda: MODULE: `, which anaconda puts before its own
/// messages (anaconda_logging.py).
pub fn log_text(record: &Record) -> &str {
    let message = record.message.trim_start();
    let Some(message) = message.strip_prefix("anaconda: ") else {
        return message;
    };
    message
        .split_once(": ")
        .filter(|(module, _)| !module.contains(char::is_whitespace))
        .map_or(message, |(_, text)| text)
}

fn look_up(channel: Channel, line: &str, body: &str, signals: &mut Vec<Signal>) {
    for table in TABLES {
        if let Some(row) = find(table, channel, line, body) {
            signals.push(Signal::of(row.meaning, body));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::phases::Phase;

    #[test]
    fn the_log_is_read_by_program_and_level() {
        let read = |line: &str| log(&Record::parse(line).unwrap());
        assert_eq!(
            read("10:00:00,000 INFO anaconda:anaconda: progress: Creating users"),
            [Signal::Phase(Phase::Configuring)]
        );
        assert_eq!(
            read(
                "10:00:00,000 DEBUG anaconda:anaconda: installation: Task completed: Mount (3/39) (9.3 s)"
            ),
            [Signal::Tasks { done: 3, total: 39 }]
        );
        assert_eq!(
            read("10:00:00,000 INFO program:Running... systemctl --no-wall poweroff"),
            [Signal::Phase(Phase::ShuttingDown)]
        );
        // A module's own log line that happens to hold a fatal text.
        assert_eq!(
            read(
                "10:00:00,000 WARNING org.fedoraproject.Anaconda.Modules.Payloads:DEBUG:x: CmdlineError: y"
            ),
            []
        );
        // A program's output that does, logged as what it is.
        assert_eq!(read("10:00:00,000 INFO program:CmdlineError: y"), []);
        assert!(matches!(
            read(
                "10:00:00,000 ERR anaconda:anaconda: kickstart: Error code 2 running the kickstart script at line 9"
            )[..],
            [Signal::Note(_)]
        ));
        assert!(matches!(
            read("10:00:00,000 ERR kernel:Out of memory: Killed process 7 (anaconda) total-vm:1kB")
                [..],
            [Signal::Failure(_)]
        ));
    }

    #[test]
    fn ordinary_lines_say_nothing() {
        for line in [
            "",
            "[",
            "[]: ",
            "Call Trace:",
            "[    1.0] Call Trace:",
            "[  OK  ] Started Installing things.",
            "[FAILED] Failed to start Load Kernel Modules.",
            "CRIT systemd-coredump",
            "\u{2026}\u{2026}\u{2026}",
        ] {
            assert_eq!(console(line), [], "{line:?}");
        }
    }
}
