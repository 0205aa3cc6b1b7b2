//! Events for programs: one JSON object on a line for each (`docs/progress.md`).

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, bail};
use rustix::fs::OFlags;
use serde::Serialize;
use serde_json::Value;

use super::event::{Event, Reporter};
use super::queue::{Moment, Show};
use crate::watch::verdict::to_the_millisecond;

/// The version of the schema, in the first event. Raised when a field changes its meaning or goes
/// away.
pub const SCHEMA: u32 = 1;

/// Where the lines go.
pub struct JsonLines {
    out: Option<Box<dyn Write + Send>>,
    /// What `out` is called in messages.
    name: String,
    /// Whether lines of the console are wanted.
    console: bool,
    /// Whom to tell that nothing can be written any more.
    complaints: Reporter,
    begun: bool,
}

impl std::fmt::Debug for JsonLines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JsonLines")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl JsonLines {
    /// Writes to `out`, which messages call `name`; lines of the guest's console only if `console`.
    /// When it cannot be written, `complaints` hears of it, once.
    pub fn new(
        out: Box<dyn Write + Send>,
        name: String,
        console: bool,
        complaints: Reporter,
    ) -> Self {
        JsonLines {
            out: Some(out),
            name,
            console,
            complaints,
            begun: false,
        }
    }

    fn write(&mut self, moment: Moment, event: &Event) {
        let Some(out) = &mut self.out else {
            return;
        };
        let mut lines = Ok(String::new());
        if !self.begun {
            self.begun = true;
            let started = Started {
                schema: SCHEMA,
                ozr_version: env!("CARGO_PKG_VERSION"),
            };
            lines = serde_json::to_value(started).and_then(|started| line(moment, started));
        }
        let lines = lines.and_then(|first| Ok(first + &text(moment, event)?));
        let written = lines
            .map_err(std::io::Error::from)
            .and_then(|lines| out.write_all(lines.as_bytes()))
            .and_then(|()| out.flush());
        if let Err(error) = written {
            // The lines would not fit together any more. The build goes on.
            self.out = None;
            self.complaints.warn(format!(
                "no more progress events are written to {}: {error}",
                self.name
            ));
        }
    }
}

impl Show for JsonLines {
    fn show(&mut self, moment: Moment, event: Event) {
        if matches!(event, Event::Console(_)) && !self.console {
            return;
        }
        self.write(moment, &event);
    }
}

/// The first event, with the version of the schema.
#[derive(Serialize)]
#[serde(tag = "event", rename = "started")]
struct Started {
    schema: u32,
    ozr_version: &'static str,
}

/// A line: what all events have stands first.
#[derive(Serialize)]
struct Line {
    event: Value,
    time: String,
    seconds: f64,
    #[serde(flatten)]
    fields: Value,
}

fn line(moment: Moment, mut fields: Value) -> serde_json::Result<String> {
    let event = fields
        .as_object_mut()
        .and_then(|fields| fields.remove("event"));
    let line = Line {
        event: event.unwrap_or_default(),
        time: rfc3339(moment),
        seconds: to_the_millisecond(moment.since_start),
        fields,
    };
    Ok(serde_json::to_string(&line)? + "\n")
}

fn text(moment: Moment, event: &Event) -> serde_json::Result<String> {
    let mut fields = serde_json::to_value(event)?;
    if let Event::Verdict(judged) = event {
        let age = judged.decisive.age;
        let read = Moment {
            time: moment.time - age,
            since_start: moment.since_start.saturating_sub(age),
        };
        fields["decisive"]["time"] = rfc3339(read).into();
        fields["decisive"]["seconds"] = to_the_millisecond(read.since_start).into();
    }
    line(moment, fields)
}

fn rfc3339(moment: Moment) -> String {
    humantime::format_rfc3339_millis(moment.time).to_string()
}

/// Opens a file for events, at its end; one that is made is the user's alone.
///
/// # Errors
/// It cannot be opened for writing; it is a pipe that nobody reads.
pub fn open_file(path: &Path) -> anyhow::Result<File> {
    open(path).with_context(|| format!("opening {} for progress events", path.display()))
}

fn open(path: &Path) -> anyhow::Result<File> {
    // Without O_NONBLOCK a named pipe would wait for a reader for ever; without O_NOCTTY a
    // terminal might become ours.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(i32::try_from(flags.bits())?)
        .open(path)?;
    let now = rustix::fs::fcntl_getfl(&file)?;
    rustix::fs::fcntl_setfl(&file, now - OFlags::NONBLOCK)?;
    Ok(file)
}

/// Opens what the descriptor `number` leads to, for events.
///
/// # Errors
/// It is standard input, is not open, or leads to what cannot be opened again (a socket).
pub fn open_descriptor(number: u32) -> anyhow::Result<File> {
    if number == 0 {
        bail!("descriptor 0 is standard input: name another one");
    }
    let path = format!("/proc/self/fd/{number}");
    if std::fs::symlink_metadata(&path).is_err() {
        bail!("descriptor {number} is not open: redirect it, as in `{number}>FILE`");
    }
    if is_read_only(number) {
        bail!("descriptor {number} is open for reading only: redirect it, as in `{number}>FILE`");
    }
    open(Path::new(&path))
        .with_context(|| format!("opening descriptor {number} for progress events"))
}

/// Whether a descriptor of ours was opened for reading only (proc_pid_fdinfo(5)): what is opened
/// again by its number has the rights of the file, not those of the descriptor.
fn is_read_only(number: u32) -> bool {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|octal| u32::from_str_radix(octal.trim(), 8).ok());
    flags.is_some_and(|flags| flags & OFlags::RWMODE.bits() == OFlags::RDONLY.bits())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::os::fd::AsRawFd;
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::diagnostic::{Diagnostic, Severity};
    use crate::ui::event::{Decisive, Ended, Judged, Progress, Sink, Transfer};
    use crate::watch::cause::Cause;
    use crate::watch::phases::Phase;
    use crate::watch::progress::Counted;
    use crate::watch::verdict::Source;
    use crate::watch::witness::End;

    const PHASE: Phase = Phase::Packages;

    /// One of each event, with everything in it.
    fn all() -> Vec<Event> {
        let text = || "text".to_owned();
        let noticed = [
            Event::KickstartFetched,
            Event::Question {
                source: Source::Console,
                text: text(),
            },
            Event::ErrorText {
                source: Source::Console,
                text: text(),
                cause: Cause::ScriptFailed,
                fatal: true,
            },
            Event::ScriptOutput { text: text() },
            Event::Mark,
            Event::GuestEnded {
                how: End::Crashed,
                detail: Some(text()),
            },
        ];
        let counted = Some(Counted { done: 1, total: 2 });
        let mut events = vec![
            Event::BuildStarted {
                name: text(),
                release: text(),
                id: text(),
            },
            Event::Changed(text()),
            Event::Kept {
                name: text(),
                id: text(),
                finished: text(),
            },
            Event::Step(text()),
            Event::Phase(PHASE),
            Event::Progress(Progress {
                phase: PHASE,
                percent: 40,
                packages: counted,
                download: counted,
                elapsed: Duration::from_millis(61_500),
                remaining: Some(Duration::from_secs(60)),
            }),
            Event::Transfer(Transfer::new(
                "x",
                "writing",
                2,
                Some(4),
                Duration::from_secs(1),
            )),
            Event::Verdict(Judged {
                cause: Cause::ScriptFailed,
                title: "a script failed",
                sentence: text(),
                phase: PHASE,
                exit_status: 1,
                retry: false,
                decisive: Decisive {
                    source: Source::Console,
                    text: text(),
                    age: Duration::from_secs(3),
                },
            }),
            Event::Detail(text()),
            Event::Note(text()),
            Event::Warning(text()),
            Event::Error(text()),
            Event::Finding(Diagnostic::of_file(Severity::Error, "x.ks", "text")),
            Event::Console(text()),
            Event::Evidence(text()),
            Event::Lost { count: 1 },
            Event::Ended(Ended {
                exit_status: 1,
                image: Some("/x".into()),
                cause: Some(Cause::ScriptFailed),
                message: Some(text()),
                evidence: Some("/x".into()),
            }),
        ];
        events.splice(4..4, noticed);
        events
    }

    fn moment(millis: u64) -> Moment {
        let since_start = Duration::from_millis(millis);
        Moment {
            time: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000) + since_start,
            since_start,
        }
    }

    /// A writer whose content can be looked at, and which is full after so many bytes.
    #[derive(Clone)]
    struct Disk(Arc<Mutex<Vec<u8>>>, usize);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let mut content = self.0.lock().unwrap();
            if content.len() + bytes.len() > self.1 {
                return Err(std::io::ErrorKind::StorageFull.into());
            }
            content.extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Sink for Heard {
        fn take(&self, event: Event) {
            if let Event::Warning(text) = event {
                self.0.lock().unwrap().push(text);
            }
        }
    }

    fn written(events: Vec<Event>) -> Vec<Value> {
        let disk = Disk(Arc::default(), usize::MAX);
        let out = Box::new(disk.clone());
        let mut lines = JsonLines::new(out, "x".to_owned(), true, Reporter::silent());
        for event in events {
            lines.show(moment(12_345), event);
        }
        let text = String::from_utf8(disk.0.lock().unwrap().clone()).unwrap();
        let parse = |line| serde_json::from_str(line).unwrap();
        text.lines().map(parse).collect()
    }

    /// Every event and field is documented, and every documented one is there.
    #[test]
    fn the_events_are_documented() {
        let text = include_str!("../../docs/progress.md");
        let mut documented = BTreeSet::new();
        let mut section = "";
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("### `").and_then(|l| l.strip_suffix('`')) {
                section = name;
                documented.insert((section.to_owned(), String::new()));
            } else if line.starts_with("## ") {
                section = "";
            } else if let Some((field, _)) = line
                .strip_prefix("| `")
                .and_then(|rest| rest.split_once('`'))
            {
                documented.insert((section.to_owned(), field.to_owned()));
            }
        }
        let mut found = BTreeSet::new();
        for value in written(all()) {
            let event = value["event"].as_str().unwrap().to_owned();
            found.insert((event.clone(), String::new()));
            let mut names = Vec::new();
            fields("", &value, &mut names);
            for name in names {
                let of = match ["event", "time", "seconds"].contains(&name.as_str()) {
                    true => String::new(),
                    false => event.clone(),
                };
                found.insert((of, name));
            }
        }
        assert_eq!(documented, found);
    }

    fn fields(above: &str, value: &Value, found: &mut Vec<String>) {
        let Value::Object(object) = value else {
            return;
        };
        for (name, value) in object {
            let name = match above {
                "" => name.clone(),
                above => format!("{above}.{name}"),
            };
            found.push(name.clone());
            fields(&name, value, found);
        }
    }

    #[test]
    fn the_decisive_line_has_the_time_when_it_was_read() {
        let verdict = all()
            .into_iter()
            .filter(|event| matches!(event, Event::Verdict(_)));
        let lines = written(verdict.collect());
        assert_eq!(lines[0]["event"], "started");
        assert_eq!(lines[0]["schema"], 1);
        let verdict = &lines[1];
        assert_eq!(verdict["seconds"], 12.345);
        assert_eq!(verdict["time"], "2023-11-14T22:13:32.345Z");
        assert_eq!(verdict["decisive"]["seconds"], 9.345);
        assert_eq!(verdict["decisive"]["time"], "2023-11-14T22:13:29.345Z");
    }

    #[test]
    fn a_full_disk_is_said_once_and_stops_nothing() {
        let disk = Disk(Arc::default(), 300);
        let heard = Arc::new(Heard::default());
        let complaints = Reporter::new(Arc::clone(&heard) as Arc<dyn Sink>);
        let mut lines = JsonLines::new(Box::new(disk.clone()), "x".to_owned(), true, complaints);
        for number in 0..20 {
            lines.show(moment(number), Event::Step(number.to_string()));
        }
        let heard = heard.0.lock().unwrap();
        assert_eq!(heard.len(), 1);
        assert!(heard[0].starts_with("no more progress events are written to x: "));
        let text = String::from_utf8(disk.0.lock().unwrap().clone()).unwrap();
        assert!(text.ends_with("}\n"), "{text}");
    }

    #[test]
    fn lines_of_the_console_only_if_wanted() {
        let disk = Disk(Arc::default(), usize::MAX);
        let out = Box::new(disk.clone());
        let mut lines = JsonLines::new(out, "x".to_owned(), false, Reporter::silent());
        lines.show(moment(1), Event::Console("x".to_owned()));
        assert!(disk.0.lock().unwrap().is_empty());
    }

    #[test]
    fn only_what_can_be_written_to_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events");
        std::fs::write(&path, "before\n").unwrap();
        open_file(&path).unwrap().write_all(b"after\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "before\nafter\n");
        assert!(open_file(&dir.path().join("missing/events")).is_err());

        // A pipe without a reader is no place for events; with one it is.
        let pipe = dir.path().join("pipe");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert!(open_file(&pipe).is_err());

        let (reader, writer) = std::io::pipe().unwrap();
        let number = u32::try_from(writer.as_raw_fd()).unwrap();
        open_descriptor(number).unwrap().write_all(b"x\n").unwrap();
        drop(writer);
        assert_eq!(std::io::read_to_string(reader).unwrap(), "x\n");

        let read_only = File::open(&path).unwrap();
        let number = u32::try_from(read_only.as_raw_fd()).unwrap();
        for (number, says) in [
            (0, "standard input"),
            (number, "reading only"),
            (9999, "not open"),
        ] {
            let error = format!("{:#}", open_descriptor(number).unwrap_err());
            assert!(error.contains(says), "{number}: {error}");
        }
    }
}
