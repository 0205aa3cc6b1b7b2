//! What a line of the console or a record of the log tells, as a typed event, and the forms of those
//! with numbers in them: version, packages, download.

use serde::Deserialize;

use super::line::{body, without_unit};
use super::logport::{Level, Record};
use super::phases::Phase;
use super::texts::{Certainty, Channel, Found, look_up};

/// A typed event, read from one line of the console or one record of the log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signal {
    /// Anaconda started: its version with its release, and the product with its version
    /// (`34.25.5-1.el9 for Rocky Linux 9.4`).
    Started(String),
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
        /// Whether it is being verified, after all were installed.
        verifying: bool,
    },
    /// The download of packages goes on.
    Download {
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
    #[serde(skip)]
    Failure(Found),
    /// One of ozr's own scripts says something.
    ScriptOutput,
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
    Note,
}

impl Signal {
    /// Whether it tells of a failure, and not only of the reason of one.
    pub fn is_failure(&self) -> bool {
        matches!(self, Signal::Failure(found) if found.certainty != Certainty::Reason)
    }

    /// Whether it can decide an install, and not only explain how it ends.
    pub fn decides(&self) -> bool {
        let sure = |found: &Found| !matches!(found.certainty, Certainty::Suspect(_));
        self.is_failure() && matches!(self, Signal::Failure(found) if sure(found))
    }
}

/// Reads the form that a console line's body has.
pub fn form(body: &str) -> Option<Signal> {
    started(body)
        .or_else(|| package(body))
        .or_else(|| download(body))
        .or_else(|| copied(body))
}

/// `anaconda 34.25.7.19-1.el9 for Rocky Linux 9.4 started.` (EL 7 and later, startup_utils.py),
/// `Running anaconda 13.21, the X system installer - please wait.` (EL 6, loader.c).
fn started(body: &str) -> Option<Signal> {
    let named = |version: &str, product: &str| Signal::Started(format!("{version} for {product}"));
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
    (!name.contains(' ')).then_some(Signal::Package {
        done,
        total,
        verifying,
    })
}

/// `Downloading 471 RPMs, 330.8 MiB / 378.27 MiB (87%) done.` (EL 8 and later,
/// download_progress.py).
fn download(body: &str) -> Option<Signal> {
    let at = body.find("Downloading ")?;
    let (_, rest) = body[at + "Downloading ".len()..].split_once(" RPMs, ")?;
    let (sizes, percent) = rest.split_once(" (")?;
    let (percent, _) = percent.split_once("%)")?;
    let (done, total) = sizes.split_once(" / ").unwrap_or((sizes, ""));
    Some(Signal::Download {
        percent: a_percent(percent)?,
        bytes: size(done),
        total: size(total),
    })
}

/// `Installing software 42%` (live images, EL 7 and later, livepayload.py),
/// `Receiving objects: 42% (1/2)` (ostree, EL 7 and later, rpmostreepayload.py).
fn copied(body: &str) -> Option<Signal> {
    let rest = body
        .strip_prefix("Installing software ")
        .or_else(|| body.strip_prefix("Receiving objects: "))?;
    let (percent, _) = rest.split_once('%')?;
    Some(Signal::Copied {
        percent: a_percent(percent.trim())?,
    })
}

fn a_percent(text: &str) -> Option<u8> {
    text.parse().ok().filter(|percent| *percent <= 100)
}

/// `330.8 MiB` (blivet's `Size`, EL 8 and later) in bytes.
fn size(text: &str) -> Option<u64> {
    let (number, unit) = text.trim().split_once(' ')?;
    let factor: f64 = match unit {
        "B" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let number: f64 = number.parse().ok()?;
    // What no disk holds is no size; the rest fits.
    (0.0..1e9)
        .contains(&number)
        .then_some((number * factor) as u64)
}

/// The `(done/total)` in a text.
pub fn fraction(text: &str) -> Option<(u64, u64)> {
    text.match_indices('(').find_map(|(at, _)| {
        let (inside, _) = text[at + 1..].split_once(')')?;
        let (done, total) = inside.split_once('/')?;
        let (done, total) = (done.parse().ok()?, total.parse().ok()?);
        (total > 0 && done <= total).then_some((done, total))
    })
}

/// Reads a line of the console.
pub fn of_line(line: &str) -> Vec<Signal> {
    let line = without_unit(line);
    let body = body(&line);
    let meanings = look_up(Channel::Console, &line, body);
    form(body).into_iter().chain(meanings).collect()
}

/// Reads a record of the log port.
pub fn of_record(record: &Record) -> Vec<Signal> {
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

    fn started(what: &str) -> Signal {
        Signal::Started(what.to_owned())
    }

    fn package(done: u64, total: u64, verifying: bool) -> Signal {
        Signal::Package {
            done,
            total,
            verifying,
        }
    }

    #[test]
    fn each_form_is_read() {
        for (body, signal) in [
            (
                "anaconda 40.22.3-1.el10 for Rocky Linux 10.0 started.",
                started("40.22.3-1.el10 for Rocky Linux 10.0"),
            ),
            (
                "anaconda 21.48.22-1 for X 7 (pre-release) started.",
                started("21.48.22-1 for X 7"),
            ),
            (
                "Running anaconda 13.21.263, the CentOS system installer - please wait.",
                started("13.21.263 for CentOS"),
            ),
            ("Installing bash.x86_64 (2/47)", package(2, 47, false)),
            ("Verifying bash.x86_64 (2/47)", package(2, 47, true)),
            (
                "Downloading 12 RPMs, 3.5 MiB / 7 MiB (50%) done.",
                Signal::Download {
                    percent: 50,
                    bytes: Some(3_670_016),
                    total: Some(7 << 20),
                },
            ),
            ("Installing software 42%", Signal::Copied { percent: 42 }),
            (
                "Receiving objects: 7% (7/100)",
                Signal::Copied { percent: 7 },
            ),
        ] {
            assert_eq!(form(body), Some(signal), "{body:?}");
        }
    }

    #[test]
    fn what_only_looks_like_one_is_none() {
        for body in [
            "Installing something we like",
            "Installing a b (1/2)",
            "Installing bash (9/2)",
            "Verifying (1/0)",
            "Downloading 12 RPMs, 3.5 MiB / 7 MiB (150%) done.",
            "Installing software 942%",
            "anaconda for X started.",
        ] {
            assert_eq!(form(body), None, "{body:?}");
        }
    }

    #[test]
    fn the_log_is_read_by_program_and_level() {
        let read = |line: &str| of_record(&Record::parse(line).unwrap());
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
            assert_eq!(of_line(line), [], "{line:?}");
        }
    }
}
