//! Reads a line of the console, or a record of the log port, as typed events.

use super::forms;
use super::line::{body, without_unit};
use super::logport::{Level, Record};
use super::phases::Phase;
use super::texts::{Certainty, Channel, Found, Meaning, look_up};

/// A typed event, read from one line of the console or one record of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signal {
    /// Anaconda started (`anaconda VERSION for PRODUCT started.`).
    Started {
        /// Anaconda's version, with its release.
        version: String,
        /// The product, with its version.
        product: String,
    },
    /// A phase began.
    Phase(Phase),
    /// The check of the medium began.
    MediaCheck,
    /// A step of the package transaction.
    Package {
        /// How many steps are done, this one included.
        done: u64,
        /// How many steps there are.
        total: u64,
        /// The package.
        name: String,
        /// Whether it is being verified, after all were installed.
        verifying: bool,
    },
    /// The download of packages goes on.
    Download {
        /// Packages to fetch.
        packages: u64,
        /// Percent of their bytes.
        percent: u8,
        /// Bytes fetched, as exactly as the installer says it.
        bytes: Option<u64>,
        /// Bytes to fetch. May grow (DNF 5).
        total: Option<u64>,
    },
    /// A live image or an ostree is being copied, which has no packages.
    Copied {
        /// Percent of it.
        percent: u8,
    },
    /// Tasks of the installer's queue done, of how many (log only, EL 8 and later).
    Tasks {
        /// Tasks done.
        done: u64,
        /// Tasks in all.
        total: u64,
    },
    /// A question, an error text, or a text that may explain one.
    Failure(Found),
    /// One of ozr's own scripts says something.
    ScriptOutput(String),
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
    /// Worth telling the user at the end, though all went well.
    Note(String),
}

impl Signal {
    /// What a text means, in a line with this body.
    pub fn of(meaning: Meaning, body: &str) -> Signal {
        match meaning {
            Meaning::Phase(phase) => Signal::Phase(phase),
            Meaning::Failure(found) => Signal::Failure(found),
            Meaning::MediaCheck => Signal::MediaCheck,
            Meaning::PowerDown => Signal::PowerDown,
            Meaning::Reboot => Signal::Reboot,
            Meaning::Halted => Signal::Halted,
            Meaning::CannotPowerOff => Signal::CannotPowerOff,
            Meaning::HasKickstart => Signal::HasKickstart,
            Meaning::ScriptOutput => Signal::ScriptOutput(body.to_owned()),
            Meaning::Note => Signal::Note(body.to_owned()),
        }
    }

    /// Whether it tells of a failure, and not only of the reason of one.
    pub fn is_failure(&self) -> bool {
        match self {
            Signal::Failure(found) => found.certainty != Certainty::Reason,
            _ => false,
        }
    }

    /// Whether it can decide an install, and not only explain how it ends.
    pub fn decides(&self) -> bool {
        match self {
            Signal::Failure(found) => {
                !matches!(found.certainty, Certainty::Suspect(_) | Certainty::Reason)
            }
            _ => false,
        }
    }
}

/// Reads a line of the console.
pub fn console(line: &str) -> Vec<Signal> {
    let line = without_unit(line);
    let body = body(&line);
    let mut signals = Vec::new();
    signals.extend(forms::read(body));
    let meanings = look_up(Channel::Console, &line, body);
    signals.extend(
        meanings
            .into_iter()
            .map(|meaning| Signal::of(meaning, body)),
    );
    signals
}

/// Reads a record of the log port.
pub fn log(record: &Record) -> Vec<Signal> {
    let of_module = record.is_of_module();
    if !of_module && !speaks_for_itself(&record.program) {
        return Vec::new();
    }
    let said = record.said();
    let tasks = said.text.strip_prefix("Task completed: ");
    if let Some((done, total)) = tasks.filter(|_| !of_module).and_then(forms::fraction) {
        return vec![Signal::Tasks { done, total }];
    }
    let meanings = look_up(Channel::Log, said.text, said.text);
    let signals = meanings
        .into_iter()
        .map(|meaning| Signal::of(meaning, said.text));
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
