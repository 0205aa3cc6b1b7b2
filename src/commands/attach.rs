//! `ozr attach`

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use rustix::fs::OFlags;

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
    /// The build: its name, its process number, or the beginning of its id [default: the only one that runs]
    #[arg(value_name = "BUILD")]
    name: Option<String>,

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
    let running = args.place.find(args.name.as_deref(), config)?;
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
    let output = OutputPaths::new(None, &entry.name, &[], Some(&entry.image), None)?;
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

/// Bytes that are read at once.
const PIECE: usize = 64 * 1024;

/// How far back the last lines are looked for, in bytes: two hundred lines are a tenth of it.
const MAX_TAIL: u64 = 256 * 1024;

/// A file that is followed. Once it is open it may be renamed or removed; another one under its
/// name takes its place when it has been read to its end.
#[derive(Debug)]
struct Follower {
    /// The first one that is there is the file.
    paths: Vec<PathBuf>,
    /// How many of the last lines that are there are wanted; all of them without a number.
    tail: Option<usize>,
    open: Option<(File, PathBuf)>,
}

/// What there is to read.
#[derive(Debug, PartialEq, Eq)]
enum News {
    /// There is no file yet.
    NoFile,
    /// Nothing came since the last time.
    Nothing,
    /// So many bytes at the beginning are left out.
    Skipped(u64),
    /// The next bytes.
    Bytes(Vec<u8>),
    /// Another file is there, and is read from its beginning.
    Another,
}

impl Follower {
    /// Follows the first of the files that will be there, from its last `tail` lines on.
    fn new(paths: Vec<PathBuf>, tail: Option<usize>) -> Follower {
        Follower {
            paths,
            tail,
            open: None,
        }
    }

    /// What there is to read now.
    ///
    /// # Errors
    /// The file cannot be read.
    fn next(&mut self) -> std::io::Result<News> {
        let Some((file, path)) = &mut self.open else {
            return self.begin();
        };
        let mut bytes = vec![0; PIECE];
        let length = file.read(&mut bytes)?;
        if length > 0 {
            bytes.truncate(length);
            return Ok(News::Bytes(bytes));
        }
        let ours = file.metadata()?;
        let named = std::fs::symlink_metadata(path)
            .is_ok_and(|named| (named.dev(), named.ino()) != (ours.dev(), ours.ino()));
        if named {
            self.open = None;
            self.tail = None;
            return match self.begin()? {
                News::NoFile => Ok(News::Nothing),
                _ => Ok(News::Another),
            };
        }
        Ok(News::Nothing)
    }

    fn begin(&mut self) -> std::io::Result<News> {
        for path in &self.paths {
            let mut file = match open(path) {
                Ok(file) => file,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let skipped = match self.tail {
                Some(lines) => skip(&mut file, lines)?,
                None => 0,
            };
            self.open = Some((file, path.clone()));
            return Ok(match skipped {
                0 => News::Nothing,
                skipped => News::Skipped(skipped),
            });
        }
        Ok(News::NoFile)
    }
}

/// Opens a file in a directory that may be another user's, when root looks: no link, no pipe that
/// would be waited for.
fn open(path: &Path) -> std::io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(std::io::Error::other("it is no file")),
    }
}

/// Goes to the last `lines` lines; how many bytes are before them.
fn skip(file: &mut File, lines: usize) -> std::io::Result<u64> {
    let length = file.metadata()?.len();
    let from = length.saturating_sub(MAX_TAIL);
    file.seek(SeekFrom::Start(from))?;
    let mut end = Vec::new();
    file.by_ref().take(MAX_TAIL).read_to_end(&mut end)?;
    let at = from + last_lines(&end, lines, from == 0) as u64;
    file.seek(SeekFrom::Start(at))
}

/// Where the last `lines` lines of a text begin. A line whose beginning is not in the text is left
/// out if there is another one.
fn last_lines(text: &[u8], lines: usize, whole: bool) -> usize {
    let ends = text.iter().enumerate().rev();
    let mut begins = ends
        .filter(|(at, byte)| **byte == b'\n' && at + 1 < text.len())
        .map(|(at, _)| at + 1);
    let mut first = None;
    for _ in 0..lines {
        match begins.next() {
            Some(begin) => first = Some(begin),
            None if whole => return 0,
            None => break,
        }
    }
    first.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

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

    #[test]
    fn the_last_lines() {
        for (text, lines, whole, at) in [
            ("", 2, true, 0),
            ("a", 2, true, 0),
            ("a\nb\nc\n", 2, true, 2),
            ("a\nb\nc", 2, true, 2),
            ("a\nb\nc\n", 3, true, 0),
            ("a\nb\nc\n", 9, true, 0),
            ("cut\nb\nc\n", 9, false, 4),
            ("one line that was cut", 9, false, 0),
            ("\n\n\n", 2, true, 1),
        ] {
            assert_eq!(last_lines(text.as_bytes(), lines, whole), at, "{text:?}");
        }
    }

    fn text(news: News) -> String {
        match news {
            News::Bytes(bytes) => String::from_utf8(bytes).unwrap(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_file_is_followed_through_its_life() {
        let dir = tempfile::tempdir().unwrap();
        let [raw, other] = ["raw", "other"].map(|name| dir.path().join(name));
        let mut follower = Follower::new(vec![raw.clone(), other.clone()], Some(2));
        let mut news = || follower.next().unwrap();
        assert_eq!(news(), News::NoFile);
        let mut file = File::create(&other).unwrap();
        file.write_all(b"a\nb\nc\n").unwrap();
        assert_eq!(news(), News::Skipped(2));
        assert_eq!(text(news()), "b\nc\n");
        assert_eq!(news(), News::Nothing);
        file.write_all(b"d").unwrap();
        assert_eq!(text(news()), "d");
        // It is renamed, and written on.
        std::fs::rename(&other, dir.path().join("kept")).unwrap();
        file.write_all(b"e").unwrap();
        assert_eq!(text(news()), "e");
        assert_eq!(news(), News::Nothing);
        std::fs::remove_file(dir.path().join("kept")).unwrap();
        assert_eq!(news(), News::Nothing);
        // The next attempt's, whole.
        std::fs::write(&other, "1\n2\n3\n").unwrap();
        file.write_all(b"f").unwrap();
        assert_eq!(text(news()), "f");
        assert_eq!(news(), News::Another);
        assert_eq!(text(news()), "1\n2\n3\n");
    }

    #[test]
    fn only_files_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        assert!(open(&link).is_err());
        assert!(open(dir.path()).is_err());
    }
}
