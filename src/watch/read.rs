//! Reads a line of the console, or a record of the log port, as typed events.

use super::line::{body, without_unit};
use super::logport::{Level, Record};
use super::signal::{Signal, form, fraction};
use super::texts::{Channel, look_up};

/// Reads a line of the console.
pub fn console(line: &str) -> Vec<Signal> {
    let line = without_unit(line);
    let body = body(&line);
    let meanings = look_up(Channel::Console, &line, body);
    form(body).into_iter().chain(meanings).collect()
}

/// Reads a record of the log port.
pub fn log(record: &Record) -> Vec<Signal> {
    let of_module = record.is_of_module();
    if !of_module && !speaks_for_itself(&record.program) {
        return Vec::new();
    }
    let said = record.said();
    let tasks = said.text.strip_prefix("Task completed: ");
    if let Some((done, total)) = tasks.filter(|_| !of_module).and_then(fraction) {
        return vec![Signal::Tasks { done, total }];
    }
    let signals = look_up(Channel::Log, said.text, said.text).into_iter();
    // Progress and reasons are logged at any level. What a module says is a reason at most: what
    // follows from it, anaconda itself says.
    let counts = |signal: &Signal| match signal {
        Signal::Failure(_) => !signal.decides() || !of_module && said.level >= Level::Warning,
        _ => !of_module,
    };
    signals.filter(counts).collect()
}

/// Whether what the program logs means what it says; `program` is what anaconda runs, `packaging`
/// its package code.
fn speaks_for_itself(program: &str) -> bool {
    matches!(
        program,
        "anaconda" | "program" | "packaging" | "dnf" | "dnf.rpm" | "kernel" | "systemd-coredump"
    )
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
            [Signal::Note]
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
