//! What a line of the console, or a message of the log port, says.
//!
//! The tables ([`PHASES`], [`FAILURES`] and [`ENDINGS`] below) hold the texts with where they
//! come from; the forms with numbers in them are read by code here.

use super::failures::{FAILURES, Found};
use super::logport::{Level, Record};
use super::phases::{PHASES, Phase};

/// Where a text comes from: program, releases, file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin(
    /// The program that prints it.
    pub &'static str,
    /// The releases whose installer has it.
    pub &'static str,
    /// The file of the program's source.
    pub &'static str,
);

/// How a text is recognised. Upper and lower case are alike; texts are compared with the
/// [`body`] of a line, except for `Contains`, which looks at the whole line.
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
}

impl Text {
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
            Text::Contains(text) => contains(line, text),
            Text::Between(start, inside) => starts(body, start) && contains(body, inside),
        }
    }
}

fn starts(text: &str, start: &str) -> bool {
    text.get(..start.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(start))
}

fn contains(text: &str, inside: &str) -> bool {
    text.as_bytes()
        .windows(inside.len())
        .any(|window| window.eq_ignore_ascii_case(inside.as_bytes()))
}

/// Where a text counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// On the console only.
    Console,
    /// In the log only, from anaconda's own programs.
    Log,
    /// On both.
    Both,
}

/// What a text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// A phase began.
    Phase(Phase),
    /// Something failed, or may have.
    Failure(Found),
    /// The kernel powers the machine off.
    PowerDown,
    /// The kernel restarts the machine.
    Reboot,
    /// The kernel halted the machine; the guest stays.
    Halted,
    /// The installer has the kickstart.
    HasKickstart,
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

/// What a line says.
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
    },
    /// Tasks of the installer's queue done, of how many (log only, EL 8 and later).
    Tasks {
        /// Tasks done.
        done: u64,
        /// Tasks in all.
        total: u64,
    },
    /// Something failed, or may have.
    Failure(Found),
    /// The kernel powers the machine off.
    PowerDown,
    /// The kernel restarts the machine.
    Reboot,
    /// The kernel halted the machine; the guest stays.
    Halted,
    /// The installer has the kickstart.
    HasKickstart,
    /// Worth telling the user at the end, though all went well.
    Note(String),
}

const KERNEL: Origin = Origin("Linux", "all", "kernel/reboot.c");
const LOADER: Origin = Origin("anaconda", "EL 6", "loader/shutdown.c");

/// How a machine ends, and signs that belong to no phase.
#[rustfmt::skip]
pub static ENDINGS: &[Pattern] = &[
    Pattern { text: Text::Contains("reboot: Power down"), channel: Channel::Console, meaning: Meaning::PowerDown, origin: KERNEL, sample: "[  814.9] reboot: Power down" },
    Pattern { text: Text::Is("Power down"), channel: Channel::Console, meaning: Meaning::PowerDown, origin: Origin("Linux", "EL 6, EL 7", "kernel/sys.c"), sample: "[  814.9] Power down." },
    Pattern { text: Text::Contains("reboot: Restarting system"), channel: Channel::Console, meaning: Meaning::Reboot, origin: KERNEL, sample: "[  814.9] reboot: Restarting system" },
    Pattern { text: Text::Is("Restarting system"), channel: Channel::Console, meaning: Meaning::Reboot, origin: Origin("Linux", "EL 6, EL 7", "kernel/sys.c"), sample: "[  814.9] Restarting system." },
    Pattern { text: Text::Contains("reboot: System halted"), channel: Channel::Console, meaning: Meaning::Halted, origin: KERNEL, sample: "[  814.9] reboot: System halted" },
    Pattern { text: Text::Is("powering off system"), channel: Channel::Console, meaning: Meaning::PowerDown, origin: LOADER, sample: "powering off system" },
    Pattern { text: Text::Is("rebooting system"), channel: Channel::Console, meaning: Meaning::Reboot, origin: LOADER, sample: "rebooting system" },
    Pattern { text: Text::Is("halting system"), channel: Channel::Console, meaning: Meaning::Halted, origin: LOADER, sample: "halting system" },
    Pattern { text: Text::Is("Running pre-installation scripts"), channel: Channel::Both, meaning: Meaning::HasKickstart, origin: Origin("anaconda", "EL 7 and later", "startup, installation.py"), sample: "12:00:01 Running pre-installation scripts" },
    Pattern { text: Text::Contains("Starting automated install"), channel: Channel::Console, meaning: Meaning::HasKickstart, origin: Origin("anaconda", "EL 7 and later", "ui/tui/hubs/summary.py"), sample: "Starting automated install..." },
    Pattern { text: Text::Contains("startup_utils: Parsing kickstart: "), channel: Channel::Log, meaning: Meaning::HasKickstart, origin: Origin("anaconda", "EL 8 and later", "startup_utils.py"), sample: "startup_utils: Parsing kickstart: /run/install/ks.cfg" },
    Pattern { text: Text::Contains("Found a kickstart file: "), channel: Channel::Log, meaning: Meaning::HasKickstart, origin: Origin("anaconda", "EL 9 and later", "anaconda.py"), sample: "main: Found a kickstart file: /run/install/ks.cfg" },
    Pattern { text: Text::Between("Error code ", " running the kickstart script at line "), channel: Channel::Log, meaning: Meaning::Note, origin: Origin("anaconda", "EL 7 and later", "core/kickstart/scripts.py"), sample: "Error code 1 running the kickstart script at line 27" },
    Pattern { text: Text::Starts("Some warnings occurred during reading the kickstart file"), channel: Channel::Console, meaning: Meaning::Note, origin: Origin("anaconda", "EL 8 and later", "kickstart.py"), sample: "Some warnings occurred during reading the kickstart file:" },
];

impl Pattern {
    fn signal(&self, body: &str) -> Signal {
        match self.meaning {
            Meaning::Phase(phase) => Signal::Phase(phase),
            Meaning::Failure(found) => Signal::Failure(found),
            Meaning::PowerDown => Signal::PowerDown,
            Meaning::Reboot => Signal::Reboot,
            Meaning::Halted => Signal::Halted,
            Meaning::HasKickstart => Signal::HasKickstart,
            Meaning::Note => Signal::Note(body.to_owned()),
        }
    }

    /// Whether the pattern is for the line and matches it.
    fn matches(&self, channel: Channel, line: &str, body: &str) -> bool {
        (self.channel == channel || self.channel == Channel::Both) && self.text.matches(line, body)
    }

    /// Asserts that the sample matches, and that the first match in `table` means the same.
    #[cfg(test)]
    pub fn check_sample(&self, table: &[Pattern]) {
        let channel = match self.channel {
            Channel::Log => Channel::Log,
            _ => Channel::Console,
        };
        let body = body(self.sample);
        let found = table
            .iter()
            .find(|pattern| pattern.matches(channel, self.sample, body));
        assert_eq!(
            found.map(|p| p.meaning),
            Some(self.meaning),
            "{:?}",
            self.sample
        );
        assert!(
            self.matches(channel, self.sample, body),
            "{:?}",
            self.sample
        );
        let Origin(program, releases, file) = self.origin;
        assert!(![program, releases, file].contains(&""));
    }
}

/// Reads a line of the console.
pub fn read_console(line: &str) -> Vec<Signal> {
    let body = body(line);
    let mut signals = Vec::new();
    signals.extend(started(body));
    signals.extend(package(body));
    signals.extend(download(body));
    look_up(Channel::Console, line, body, &mut signals);
    signals
}

/// Reads a record of the log port.
pub fn read_log(record: &Record) -> Vec<Signal> {
    let mut signals = Vec::new();
    // What D-Bus modules print comes again under their own names, with levels that mean
    // nothing; `program` is what anaconda runs, `packaging` its package code.
    if !matches!(
        record.program.as_str(),
        "anaconda" | "program" | "packaging"
    ) {
        return signals;
    }
    let message = record.message.trim_start();
    let body = log_text(record);
    if let Some((done, total)) = body
        .starts_with("Task completed: ")
        .then(|| fraction(body))
        .flatten()
    {
        signals.push(Signal::Tasks { done, total });
        return signals;
    }
    // Before the level is looked at: progress is logged as INFO.
    look_up(Channel::Log, message, body, &mut signals);
    if record.level < Level::Warning {
        signals.retain(|signal| !matches!(signal, Signal::Failure(_)));
    }
    signals
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
    for table in [PHASES, ENDINGS, FAILURES] {
        if let Some(pattern) = table.iter().find(|p| p.matches(channel, line, body)) {
            signals.push(pattern.signal(body));
        }
    }
}

/// The text of a console line without what stands before it: progress dots, the kernel's time
/// stamp, the name of the program that the journal puts before it, and anaconda's time of day.
pub fn body(line: &str) -> &str {
    let line = line.trim_start_matches(['.', ' ', '\t']).trim_end();
    let line = kernel_time(line).unwrap_or(line);
    let line = journal_program(line).unwrap_or(line);
    let line = time_of_day(line).unwrap_or(line);
    line.strip_prefix("Warning: ").unwrap_or(line)
}

/// After `[   12.345678] `.
fn kernel_time(line: &str) -> Option<&str> {
    let (time, rest) = line.strip_prefix('[')?.split_once(']')?;
    let digits = time.trim_start();
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
        .then(|| rest.trim_start())
}

/// After `PROGRAM[PID]: ` or `HOST PROGRAM[PID]: `.
fn journal_program(line: &str) -> Option<&str> {
    let (head, rest) = line.split_once("]: ")?;
    let (program, pid) = head.rsplit_once('[')?;
    let words = program.split(' ').count();
    (!pid.is_empty()
        && pid.bytes().all(|b| b.is_ascii_digit())
        && words <= 2
        && !program.is_empty())
    .then(|| rest.trim_start())
}

/// After `HH:MM:SS `.
fn time_of_day(line: &str) -> Option<&str> {
    let (time, rest) = line.split_once(' ')?;
    let bytes = time.as_bytes();
    (bytes.len() == 8
        && bytes.iter().enumerate().all(|(at, b)| {
            if at % 3 == 2 {
                *b == b':'
            } else {
                b.is_ascii_digit()
            }
        }))
    .then_some(rest)
}

/// `anaconda 34.25.7.19-1.el9 for Rocky Linux 9.4 started.` (EL 7 and later, startup_utils.py),
/// `Running anaconda 13.21, the X system installer - please wait.` (EL 6, loader.c).
fn started(body: &str) -> Option<Signal> {
    let named = |version: &str, product: &str| Signal::Started {
        version: version.to_owned(),
        product: product.to_owned(),
    };
    if let Some(rest) = body.strip_prefix("Running anaconda ") {
        let (version, rest) = rest.split_once(", the ")?;
        let (product, _) = rest.split_once(" system installer")?;
        return Some(named(version, product));
    }
    let rest = body.strip_prefix("anaconda ")?;
    let (version, rest) = rest.split_once(" for ")?;
    let product = rest.strip_suffix(" started.")?;
    version
        .starts_with(|c: char| c.is_ascii_digit())
        .then(|| named(version, product.trim_end_matches(" (pre-release)")))
}

/// `Installing NAME.ARCH (3/47)`, `Configuring NAME`, `Verifying NAME.ARCH (3/47)`
/// (transaction_progress.py; EL 7: yumpayload.py).
fn package(body: &str) -> Option<Signal> {
    let (verb, rest) = body.split_once(' ')?;
    let verifying = match verb {
        "Installing" | "Upgrading" => false,
        "Verifying" => true,
        _ => return None,
    };
    let (name, _) = rest.split_once(" (")?;
    let (done, total) = fraction(rest)?;
    (!name.contains(' ')).then(|| Signal::Package {
        done,
        total,
        name: name.to_owned(),
        verifying,
    })
}

/// `Downloading 471 RPMs, 330.8 MiB / 378.27 MiB (87%) done.` (download_progress.py).
fn download(body: &str) -> Option<Signal> {
    let at = body.find("Downloading ")?;
    let (packages, rest) = body[at + "Downloading ".len()..].split_once(" RPMs, ")?;
    let (_, percent) = rest.split_once(" (")?;
    let (percent, _) = percent.split_once("%)")?;
    Some(Signal::Download {
        packages: packages.parse().ok()?,
        percent: percent.parse::<u8>().ok().filter(|p| *p <= 100)?,
    })
}

/// The `(done/total)` in a text.
fn fraction(text: &str) -> Option<(u64, u64)> {
    text.match_indices('(').find_map(|(at, _)| {
        let (inside, _) = text[at + 1..].split_once(')')?;
        let (done, total) = inside.split_once('/')?;
        let (done, total) = (done.parse().ok()?, total.parse().ok()?);
        (total > 0 && done <= total).then_some((done, total))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ending_is_read() {
        for pattern in ENDINGS {
            pattern.check_sample(ENDINGS);
        }
    }

    #[test]
    fn what_stands_before_a_text_is_passed_over() {
        for line in [
            "Running post-installation scripts",
            "..Running post-installation scripts",
            "[   33.517655] anaconda[2628]: Running post-installation scripts",
            "anaconda[2628]: Running post-installation scripts...",
            "12:13:14 Running post-installation scripts",
            "[  120.1] host anaconda[77]: 12:13:14 Running post-installation scripts",
        ] {
            assert_eq!(
                read_console(line),
                [Signal::Phase(Phase::PostScripts)],
                "{line:?}"
            );
        }
    }

    #[test]
    fn the_forms_with_numbers_are_read() {
        let started = |version: &str, product: &str| Signal::Started {
            version: version.to_owned(),
            product: product.to_owned(),
        };
        let package = |name: &str, done, total, verifying| Signal::Package {
            done,
            total,
            name: name.to_owned(),
            verifying,
        };
        for (line, signal) in [
            (
                "anaconda 40.22.3-1.el10 for Rocky Linux 10.0 started.",
                started("40.22.3-1.el10", "Rocky Linux 10.0"),
            ),
            (
                "anaconda 21.48.22-1 for X 7 (pre-release) started.",
                started("21.48.22-1", "X 7"),
            ),
            (
                "Running anaconda 13.21.263, the CentOS system installer - please wait.",
                started("13.21.263", "CentOS"),
            ),
            (
                "Installing bash.x86_64 (2/47)",
                package("bash.x86_64", 2, 47, false),
            ),
            (
                "..Verifying bash.x86_64 (2/47)",
                package("bash.x86_64", 2, 47, true),
            ),
            (
                "Downloading 12 RPMs, 3.5 MiB / 7 MiB (50%) done.",
                Signal::Download {
                    packages: 12,
                    percent: 50,
                },
            ),
        ] {
            assert_eq!(read_console(line), [signal], "{line:?}");
        }
    }

    #[test]
    fn the_log_is_read_by_program_and_level() {
        let read = |line: &str| read_log(&Record::parse(line).unwrap());
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
        assert!(matches!(
            read(
                "10:00:00,000 ERR anaconda:anaconda: kickstart: Error code 2 running the kickstart script at line 9"
            )[..],
            [Signal::Note(_)]
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
            "Installing something we like",
            "Installing a b (1/2)",
            "Installing bash (9/2)",
            "Verifying (1/0)",
            "CRIT systemd-coredump",
            "\u{2026}\u{2026}\u{2026}",
        ] {
            assert_eq!(read_console(line), [], "{line:?}");
        }
    }
}
