//! `ozr attach`

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use super::follow::{Follower, News};
use super::running::{Running, Where};
use crate::error::{Classify, Kind, failure};
use crate::image::output::OutputPaths;
use crate::install::evidence;
use crate::printable;
use crate::state::register::BuildEntry;
use crate::ui::event::Reporter;
use crate::ui::printer;

/// Examples, for `--help` and the manual page: the command, and what it does.
pub const EXAMPLES: &[(&str, &str)] = &[
    (
        "ozr attach rocky-9",
        "Show the console of the running build `rocky-9` until it ends; Ctrl-C ends only this.",
    ),
    (
        "ozr attach rocky-9 --from-start | less -R",
        "Read all that the console showed so far.",
    ),
];

/// How many of the console's last lines are shown first: some screens full, and all of what went
/// wrong just now.
const TAIL: usize = 200;

/// How often the console is looked at while nothing comes: at once, to a person, and no work for
/// the host, which has the file's end in memory.
const INTERVAL: Duration = Duration::from_millis(200);

/// Longest line, in bytes, before it is shown unfinished. Lines of the console are cut at an
/// eighth of it when they are written.
const MAX_LINE: usize = 64 * 1024;

/// The console's bytes as they came: as we have read them, or else as QEMU has noted them.
const RAW: [&str; 2] = ["console.raw", "serial.log"];

/// `ozr attach BUILD`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The build: its name, its process number, or the beginning of its id
    #[arg(value_name = "BUILD")]
    name: String,

    /// Show all that came so far, not only the last 200 lines
    #[arg(long)]
    from_start: bool,

    /// Show the console's bytes as the guest sent them, with its escape sequences
    ///
    /// Nothing is masked then, and the guest can do to your terminal what any program can: only
    /// for guests that you trust.
    #[arg(long)]
    raw: bool,

    /// Which builds.
    #[command(flatten)]
    place: Where,
}

/// Shows the console of a running build until the build ends.
///
/// # Errors
/// Input: there is no such build. Build: it ended without an image. Host: the console cannot be
/// read.
pub fn run(args: &Args, config: Option<&Path>, reporter: &Reporter) -> anyhow::Result<()> {
    let running = args.place.find(&args.name, config)?;
    let name = &running.entry.name;
    let in_work = |name: &str| running.entry.work_dir.join(name);
    let files = match args.raw {
        true => RAW.map(in_work).to_vec(),
        false => vec![in_work(evidence::CONSOLE_LOG)],
    };
    let follower = Follower::new(files, (!args.from_start).then_some(TAIL));
    match show(&running, follower, args.raw, reporter) {
        // Whoever read along has had enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
        shown => shown
            .with_context(|| format!("showing the console of `{name}`"))
            .kind(Kind::Host)?,
    }
    ended(&running.entry, reporter)
}

/// Shows what there is and what comes, to the build's end.
fn show(
    running: &Running,
    mut follower: Follower,
    raw: bool,
    reporter: &Reporter,
) -> std::io::Result<()> {
    let mut lines = Lines::default();
    let mut told = false;
    loop {
        // First: what it wrote before its end is read after this.
        let lives = running.liveness.is_alive();
        match follower.next()? {
            News::Bytes(bytes) if raw => printer::print_bytes(&bytes)?,
            News::Bytes(bytes) => printer::print_bytes(lines.take(&bytes).as_bytes())?,
            News::Skipped(bytes) => reporter.note(format!(
                "{bytes} bytes of earlier lines are left out: --from-start shows them"
            )),
            News::Another => reporter.note("the build tries once more: its next guest's console"),
            News::NoFile | News::Nothing if !lives => break,
            News::NoFile if !told => {
                told = true;
                reporter.note("no guest was started yet: waiting for its console");
            }
            News::NoFile | News::Nothing => std::thread::sleep(INTERVAL),
        }
    }
    printer::print_bytes(lines.rest().as_bytes())
}

/// Says how the build ended.
fn ended(entry: &BuildEntry, reporter: &Reporter) -> anyhow::Result<()> {
    let of_this_build = |path: &Path| {
        std::fs::metadata(path)
            .and_then(|meta| meta.modified())
            .is_ok_and(|modified| modified >= entry.started)
    };
    let name = &entry.name;
    if of_this_build(&entry.image) {
        reporter.note(format!("`{name}` is done: {}", entry.image.display()));
        return Ok(());
    }
    let failed = failed_dir(entry).kind(Kind::Host)?;
    let verdict = failed.join(evidence::VERDICT);
    let why = of_this_build(&verdict)
        .then(|| std::fs::read_to_string(&verdict).ok())
        .flatten();
    Err(failure(
        Kind::Build,
        match why.as_deref().and_then(|verdict| verdict.lines().next()) {
            Some(why) => format!(
                "`{name}` failed: {} (what explains it is in {})",
                why,
                failed.display()
            ),
            None => format!("`{name}` ended without an image; where it was started says why"),
        },
    ))
}

fn failed_dir(entry: &BuildEntry) -> anyhow::Result<PathBuf> {
    let output = OutputPaths::new(None, &entry.name, "", Some(&entry.image), None)?;
    Ok(output.failed)
}

/// Bytes that become lines that no terminal is moved by.
#[derive(Debug, Default)]
struct Lines(Vec<u8>);

impl Lines {
    /// Takes bytes; the lines that are whole now.
    fn take(&mut self, bytes: &[u8]) -> String {
        self.0.extend_from_slice(bytes);
        let end = match self.0.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if self.0.len() > MAX_LINE => self.0.len(),
            None => return String::new(),
        };
        let rest = self.0.split_off(end);
        let whole = std::mem::replace(&mut self.0, rest);
        shown(&whole)
    }

    /// What is left at the end.
    fn rest(&mut self) -> String {
        shown(&std::mem::take(&mut self.0))
    }
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .lines()
        .map(|line| printable::line(line) + "\n")
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_and_harmless() {
        let mut lines = Lines::default();
        assert_eq!(lines.take(b"one\ntw"), "one\n");
        assert_eq!(lines.take(b"o \xc3"), "");
        assert_eq!(lines.take(b"\xa4\nthree"), "two \u{e4}\n");
        assert_eq!(lines.rest(), "three\n");
        assert_eq!(lines.rest(), "");
        for hostile in [
            "\x1b]52;c;cm0gLXJmIC8=\x07",
            "\x1b]0;title\x07",
            "\x05 answerback",
            "\u{9d}52;c;AAAA\u{9c}",
            "\u{9b}2J",
            "a\rb\x08\x7f",
            "\u{202e}gnp.exe",
        ] {
            let shown = lines.take(format!("{hostile}\n").as_bytes());
            let mut chars = shown.trim_end_matches('\n').chars();
            assert!(!chars.any(printable::is_active), "{shown:?}");
            assert_eq!(shown.matches('\n').count(), 1);
        }
    }

    #[test]
    fn a_line_without_an_end_is_not_kept_for_ever() {
        let mut lines = Lines::default();
        let mut length = 0;
        for _ in 0..100 {
            length += lines.take(&[b'x'; 10_000]).matches('x').count();
            assert!(lines.0.len() <= MAX_LINE);
        }
        length += lines.rest().matches('x').count();
        assert_eq!(length, 1_000_000);
    }
}
