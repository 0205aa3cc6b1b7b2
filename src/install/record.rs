//! The record of what the guest says: the raw bytes as they come, and the lines that were made of
//! them, each in a file of the work directory.
//!
//! Each file has a limit: of a guest that says more the head and the tail are kept, and between
//! them stands how much is left out.
//!
//! A thread of its own writes, so that a slow disk does not stop the reading at once. What waits
//! for it is bounded: when that much waits, reading waits too, and the guest with it.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use strum::VariantArray;
use tokio::sync::{Semaphore, oneshot};

use super::evidence;
use crate::ui::event::Reporter;

/// Bytes that may wait for the disk: seconds of what a serial console can carry, and little beside
/// the guest's own memory.
const WAITING: usize = 8 << 20;

/// Bytes for which there must be room before more is read from the guest: what one read brings
/// (16 KiB), as it came and as lines, from both ports.
const ROOM: u32 = 128 << 10;

/// QEMU's own copy of the console, in the work directory. virtlogd limits it where it writes it.
pub const SERIAL_LOG: &str = "serial.log";

/// How much of a file's beginning and of its end is kept, in bytes; of the end up to twice as
/// much. A verbose install prints a tenth of it.
const KEPT: Kept = Kept {
    head: 16 << 20,
    tail: 8 << 20,
};

/// What is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray)]
pub enum Track {
    /// The console's bytes.
    ConsoleBytes,
    /// Its lines, as a terminal would show them.
    ConsoleLines,
    /// The log port's bytes.
    LogPortBytes,
    /// Its records, one a line.
    LogPortLines,
}

impl Track {
    fn file_name(self) -> &'static str {
        match self {
            Track::ConsoleBytes => evidence::CONSOLE_RAW,
            Track::ConsoleLines => evidence::CONSOLE_LOG,
            Track::LogPortBytes => evidence::LOG_PORT_RAW,
            Track::LogPortLines => evidence::INSTALLER_LOG,
        }
    }
}

enum Order {
    /// With how much room it takes while it waits.
    Write(Track, Vec<u8>, usize),
    /// Everything before this is written when it is answered.
    Answer(oneshot::Sender<()>),
}

/// Records what the guest says. What is dropped unfinished is written to its end nevertheless.
#[derive(Debug)]
pub struct Recorder {
    room: Arc<Semaphore>,
    orders: Sender<Order>,
}

impl Recorder {
    /// Begins a record in `dir`; only this user can read it, for a guest can print anything. A
    /// file that cannot be made or written is warned about once, and ends nothing.
    pub fn begin(dir: &Path, reporter: &Reporter) -> Recorder {
        let mut files = Files::new(dir.join(SERIAL_LOG), reporter.clone());
        for track in Track::VARIANTS {
            // Appending, whatever became of the file: one that was emptied by a rotation gets no
            // hole in front, and one that was renamed goes on.
            let file = OpenOptions::new()
                .read(true)
                .append(true)
                .create(true)
                .mode(0o600)
                .open(dir.join(track.file_name()));
            match file {
                Ok(file) => files.set(*track, file),
                Err(error) => files.failed(*track, &error),
            }
        }
        Recorder::to(files)
    }

    fn to(mut files: Files) -> Recorder {
        let room = Arc::new(Semaphore::new(WAITING));
        let (orders, received) = channel();
        let written = Arc::clone(&room);
        let write = move || {
            for order in received {
                match order {
                    Order::Write(track, bytes, room) => {
                        files.write(track, &bytes);
                        written.add_permits(room);
                    }
                    Order::Answer(answer) => drop(answer.send(())),
                }
            }
        };
        // Nobody waits for the thread: it ends when it has written what was ordered.
        let thread = std::thread::Builder::new().name("recorder".to_owned());
        if let Err(error) = thread.spawn(write) {
            tracing::warn!(%error, "starting the recorder's thread");
        }
        Recorder { room, orders }
    }

    /// Waits until there is room for more of what the guest says. Cancel safe.
    pub async fn room(&self) {
        // Never closed.
        let _ = self.room.acquire_many(ROOM).await;
    }

    /// Records bytes.
    pub fn put(&self, track: Track, bytes: Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let room = self.room.forget_permits(bytes.len());
        if self.orders.send(Order::Write(track, bytes, room)).is_err() {
            // There is no thread, so nothing will wait.
            self.room.add_permits(room);
        }
    }

    /// Waits until everything so far is written, but no longer than `patience`: whether it is.
    pub async fn flush(&self, patience: Duration) -> bool {
        let (answer, answered) = oneshot::channel();
        let _ = self.orders.send(Order::Answer(answer));
        matches!(tokio::time::timeout(patience, answered).await, Ok(Ok(())))
    }
}

/// How much of a file is kept.
#[derive(Debug, Clone, Copy)]
struct Kept {
    head: u64,
    tail: u64,
}

/// A file that does not grow beyond its limit.
#[derive(Debug)]
struct Limited {
    file: File,
    kept: Kept,
    /// How much is left out behind the head, and how long the line is that says so.
    left_out: u64,
    note: u64,
}

impl Limited {
    fn new(file: File, kept: Kept) -> Self {
        Limited {
            file,
            kept,
            left_out: 0,
            note: 0,
        }
    }

    /// Appends; whether the limit was reached for the first time.
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<bool> {
        self.file.write_all(bytes)?;
        let length = self.file.metadata()?.len();
        let Kept { head, tail } = self.kept;
        if length < head {
            // It is new, or was emptied by a rotation.
            (self.left_out, self.note) = (0, 0);
        }
        if length <= head + 2 * tail {
            return Ok(false);
        }
        let first = self.note == 0;
        let mut end = vec![0; usize::try_from(tail).unwrap_or_default()];
        self.file.read_exact_at(&mut end, length - tail)?;
        // From the beginning of a line on.
        let begin = end
            .iter()
            .position(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let end = &end[begin..];
        self.left_out += length - head - self.note - end.len() as u64;
        let note = format!("\n[ozr: {} bytes are left out here]\n", self.left_out);
        self.note = note.len() as u64;
        self.file.set_len(head)?;
        self.file.write_all(note.as_bytes())?;
        self.file.write_all(end)?;
        Ok(first)
    }
}

/// The files of all tracks, as far as they can be written.
struct Files {
    files: [Option<Limited>; Track::VARIANTS.len()],
    /// QEMU's own copy of the console.
    serial: PathBuf,
    reporter: Reporter,
    /// Whether a failure was warned of: the first one is.
    warned: bool,
}

impl Files {
    fn new(serial: PathBuf, reporter: Reporter) -> Self {
        Files {
            files: Default::default(),
            serial,
            reporter,
            warned: false,
        }
    }

    fn set(&mut self, track: Track, file: File) {
        self.files[track as usize] = Some(Limited::new(file, KEPT));
    }

    fn write(&mut self, track: Track, bytes: &[u8]) {
        let file = self.files[track as usize].as_mut();
        match file.map_or(Ok(false), |file| file.write(bytes)) {
            Ok(false) => {}
            Ok(true) => self.reporter.warn(format!(
                "the guest says more than is kept: of {} only the first {} and the last {} MiB are",
                track.file_name(),
                KEPT.head >> 20,
                KEPT.tail >> 20
            )),
            Err(error) => self.failed(track, &error),
        }
        if track == Track::ConsoleBytes {
            self.limit_serial_log();
        }
    }

    /// Empties QEMU's copy of the console when it has become too long: QEMU appends to it, and
    /// what it holds is in the console's record, too.
    fn limit_serial_log(&self) {
        let limit = KEPT.head + 2 * KEPT.tail;
        let path = &self.serial;
        if std::fs::metadata(path).is_ok_and(|file| file.len() > limit) {
            let emptied = OpenOptions::new().write(true).truncate(true).open(path);
            tracing::debug!(?emptied, "emptying QEMU's copy of the console");
        }
    }

    fn failed(&mut self, track: Track, error: &std::io::Error) {
        if !std::mem::replace(&mut self.warned, true) {
            self.reporter.warn(format!(
                "the record of what the guest says will have gaps ({}: {error}); the build goes on",
                track.file_name()
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::sync::Mutex;

    use super::*;
    use crate::ui::event::{Event, Sink};

    /// Longer than any write takes; a test that waits so long has failed.
    const LONG: Duration = Duration::from_secs(60);

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Sink for Heard {
        fn take(&self, event: Event) {
            if let Event::Warning(text) = event {
                self.0.lock().unwrap().push(text);
            }
        }
    }

    /// Files of a console that was not made by QEMU.
    fn files(reporter: Reporter) -> Files {
        Files::new(PathBuf::new(), reporter)
    }

    fn read(dir: &Path, name: &str) -> String {
        std::fs::read_to_string(dir.join(name)).unwrap()
    }

    #[tokio::test]
    async fn every_track_has_its_file_and_its_order() {
        let dir = tempfile::tempdir().unwrap();
        let recorder = Recorder::begin(dir.path(), &Reporter::silent());
        for number in 0..1000 {
            let track = Track::VARIANTS[number % 4];
            recorder.put(track, format!("{number}\n").into_bytes());
        }
        assert!(recorder.flush(LONG).await);
        for (at, track) in Track::VARIANTS.iter().enumerate() {
            let expected: String = (at..1000).step_by(4).map(|n| format!("{n}\n")).collect();
            assert_eq!(read(dir.path(), track.file_name()), expected);
            use std::os::unix::fs::PermissionsExt;
            let file = std::fs::metadata(dir.path().join(track.file_name())).unwrap();
            assert_eq!(file.permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn of_a_guest_that_says_too_much_head_and_tail_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record");
        let file = || {
            OpenOptions::new()
                .read(true)
                .append(true)
                .create(true)
                .open(&path)
                .unwrap()
        };
        let kept = Kept {
            head: 1000,
            tail: 500,
        };
        let mut record = Limited::new(file(), kept);
        let mut said = String::new();
        let mut times = 0;
        for number in 0..1000 {
            let line = format!("line {number}\n");
            said += &line;
            times += u32::from(record.write(line.as_bytes()).unwrap());
            assert!(read(dir.path(), "record").len() <= 2100);
        }
        assert_eq!(times, 1, "it is told once");
        let text = read(dir.path(), "record");
        let (head, rest) = text.split_once("\n[ozr: ").unwrap();
        let (left_out, tail) = rest.split_once(" bytes are left out here]\n").unwrap();
        assert!(said.starts_with(head) && said.ends_with(tail) && head.len() == 1000);
        assert!(tail.starts_with("line ") && tail.len() >= 490);
        assert_eq!(
            said.len(),
            head.len() + left_out.parse::<usize>().unwrap() + tail.len()
        );
        // Emptied by a rotation, it begins anew.
        file().set_len(0).unwrap();
        record.write(b"again\n").unwrap();
        assert_eq!(read(dir.path(), "record"), "again\n");
    }

    /// A pipe that nobody reads stands for a disk that does not get on.
    #[tokio::test]
    async fn a_slow_disk_makes_the_reader_wait_and_loses_nothing() {
        let (mut disk, writer) = std::io::pipe().unwrap();
        let file = File::from(OwnedFd::from(writer));
        let mut files = files(Reporter::silent());
        files.set(Track::ConsoleBytes, file);
        let recorder = Recorder::to(files);
        let mut put: Vec<u8> = Vec::new();
        let piece = |number: usize| format!("{number:15}\n").repeat(1024).into_bytes();
        let has_room = || tokio::time::timeout(Duration::ZERO, recorder.room());
        while has_room().await.is_ok() {
            let bytes = piece(put.len());
            put.extend(&bytes);
            recorder.put(Track::ConsoleBytes, bytes);
            assert!(put.len() < 2 * WAITING, "nothing ever waits");
        }
        // The last piece, the pipe and what the thread holds come on top.
        assert!(put.len() >= WAITING - ROOM as usize - (16 << 10));
        assert!(!recorder.flush(Duration::ZERO).await);
        let all = std::thread::spawn(move || {
            let mut all = Vec::new();
            disk.read_to_end(&mut all).unwrap();
            all
        });
        recorder.room().await;
        let last = piece(1);
        put.extend(&last);
        recorder.put(Track::ConsoleBytes, last);
        assert!(recorder.flush(LONG).await);
        drop(recorder);
        assert!(all.join().unwrap() == put, "bytes are missing or mixed up");
    }

    #[tokio::test]
    async fn a_flood_comes_whole() {
        let dir = tempfile::tempdir().unwrap();
        let recorder = Recorder::begin(dir.path(), &Reporter::silent());
        let piece: Vec<u8> = (0..16 << 10).map(|n| (n % 251) as u8).collect();
        let times = 2 * WAITING / piece.len();
        for _ in 0..times {
            recorder.room().await;
            recorder.put(Track::ConsoleBytes, piece.clone());
        }
        assert!(recorder.flush(LONG).await);
        let all = std::fs::read(dir.path().join(evidence::CONSOLE_RAW)).unwrap();
        assert!(all == piece.repeat(times), "{} bytes", all.len());
    }

    #[tokio::test]
    async fn rotations_leave_no_hole() {
        let dir = tempfile::tempdir().unwrap();
        let recorder = Recorder::begin(dir.path(), &Reporter::silent());
        let file = dir.path().join(evidence::CONSOLE_LOG);
        let say = async |text: &str| {
            recorder.put(Track::ConsoleLines, text.as_bytes().to_vec());
            assert!(recorder.flush(LONG).await);
        };
        say("before\n").await;
        // What logrotate does with `copytruncate`, and without.
        std::fs::copy(&file, dir.path().join("copied")).unwrap();
        File::options()
            .write(true)
            .open(&file)
            .unwrap()
            .set_len(0)
            .unwrap();
        say("between\n").await;
        assert_eq!(read(dir.path(), evidence::CONSOLE_LOG), "between\n");
        std::fs::rename(&file, dir.path().join("renamed")).unwrap();
        say("after\n").await;
        assert_eq!(read(dir.path(), "renamed"), "between\nafter\n");
        assert_eq!(read(dir.path(), "copied"), "before\n");
    }

    #[tokio::test]
    async fn a_full_disk_is_told_once_and_ends_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let full = File::options().write(true).open("/dev/full").unwrap();
        let good = File::create(dir.path().join("good")).unwrap();
        let heard = Arc::new(Heard::default());
        let mut files = files(Reporter::new(heard.clone()));
        files.set(Track::ConsoleBytes, full);
        files.set(Track::ConsoleLines, good);
        let recorder = Recorder::to(files);
        for _ in 0..3 {
            recorder.put(Track::ConsoleBytes, vec![b'x'; WAITING]);
            recorder.room().await;
            recorder.put(Track::ConsoleLines, b"line\n".to_vec());
        }
        assert!(recorder.flush(LONG).await);
        assert_eq!(read(dir.path(), "good"), "line\nline\nline\n");
        let heard = heard.0.lock().unwrap();
        assert_eq!(heard.len(), 1, "{heard:?}");
        assert!(heard[0].contains("console.raw: No space left"), "{heard:?}");
    }
}
