//! Bytes out of a guest: what it writes to its console and its log port, and its screen.
//!
//! `virt`'s own stream keeps the address of a value that may move, and panics when dropped at
//! the wrong time; so libvirt's streams are used directly here.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::raw::{c_int, c_uint};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context, ensure};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use virt::connect::Connect;
use virt::sys;

use super::raw::RawStream;
use crate::panics::lock;

/// Bytes read from a stream or a socket at once: more than a pseudo terminal or a socket buffer
/// holds at most times, and little to keep for each waiting piece.
const PIECE: usize = 16 * 1024;
/// Pieces that may wait for our reader, 2 MiB in all. When they are not fetched, reading stops
/// and the guest's writes block, as they do with a slow terminal: a guest that floods its
/// console can neither fill our memory nor lose what it said.
const WAITING_PIECES: usize = 128;
/// How many of the last bytes are looked for in the log, to go on behind them.
const TAIL: usize = 256;
/// How far from where the count of bytes says it those may stand: QEMU logs what nobody reads
/// from a pseudo terminal yet (`pty_chr_write`), a few bytes of the firmware's.
const SLACK: u64 = 4096;
/// Most bytes that are taken from the log at the end; a terminal's buffers hold far less.
const MAX_REST: u64 = 1024 * 1024;
/// How many rotated logs virtlogd keeps, unless its configuration says otherwise (`max_backups`);
/// the newest is `.0`. It rotates at 2 MiB.
const LOG_BACKUPS: u32 = 3;
/// `virStreamRecv`'s answer when a stream has nothing to read now.
const WOULD_BLOCK: c_int = -2;
/// All that matters about a readable stream.
const END_EVENTS: c_uint = sys::VIR_STREAM_EVENT_HANGUP | sys::VIR_STREAM_EVENT_ERROR;
const READ_EVENTS: c_uint = sys::VIR_STREAM_EVENT_READABLE | END_EVENTS;

/// What happened on reading.
enum Piece {
    Bytes(Vec<u8>),
    Nothing,
    End,
}

fn read_piece(stream: &RawStream) -> Piece {
    let mut buffer = vec![0; PIECE];
    let count = stream.read(&mut buffer);
    match usize::try_from(count) {
        // A pseudo terminal's end reads as an error (EIO), a socket's as nothing.
        Ok(0) => Piece::End,
        Ok(count) => {
            buffer.truncate(count);
            Piece::Bytes(buffer)
        }
        Err(_) if count == WOULD_BLOCK => Piece::Nothing,
        Err(_) => Piece::End,
    }
}

/// Shared between the reader and libvirt's callback.
struct Shared {
    stream: RawStream,
    /// Gone after the end of the stream.
    pieces: Mutex<Option<mpsc::Sender<Vec<u8>>>>,
    /// Reading has stopped because too many pieces wait.
    full: AtomicBool,
}

impl Shared {
    /// Reads what there is. `ended` says that the other side is gone.
    fn pump(&self, ended: bool) {
        let mut slot = lock(&self.pieces);
        let Some(pieces) = slot.as_ref() else {
            return;
        };
        loop {
            let permit = match pieces.try_reserve() {
                Ok(permit) => permit,
                Err(mpsc::error::TrySendError::Closed(())) => break,
                Err(mpsc::error::TrySendError::Full(())) => {
                    self.full.store(true, Ordering::SeqCst);
                    // Not even of the end: it stays true, and would be told without pause.
                    self.stream.want(0);
                    // The reader may have made room before it could see `full`.
                    if pieces.capacity() > 0 {
                        self.resume();
                    }
                    return;
                }
            };
            match read_piece(&self.stream) {
                Piece::Bytes(bytes) => permit.send(bytes),
                Piece::Nothing if !ended => return,
                Piece::Nothing | Piece::End => break,
            }
        }
        *slot = None;
        self.stream.stop_events();
    }

    fn resume(&self) {
        if self.full.swap(false, Ordering::SeqCst) {
            self.stream.want(READ_EVENTS);
        }
    }
}

/// The bytes that a guest writes to a port, in order and without gaps.
///
/// They are fetched by libvirt's event thread as they come. Nothing is lost at the guest's end:
/// what was written before it is delivered before [`StreamPort::read`] returns nothing.
pub(super) struct StreamPort {
    pieces: mpsc::Receiver<Vec<u8>>,
    /// Bytes delivered so far.
    delivered: u64,
    /// The last of them.
    tail: Vec<u8>,
    /// A file in which everything that goes through the port stands too. The kernel throws away
    /// what is unread in a pseudo terminal when the other side closes it.
    log: Option<PathBuf>,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for StreamPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StreamPort")
    }
}

impl StreamPort {
    /// Opens a port with `attach`, which connects a stream to it. What is missing at its end is
    /// taken from `log`.
    pub(super) fn open(
        connect: &Connect,
        log: Option<PathBuf>,
        attach: impl FnOnce(&virt::stream::Stream) -> Result<(), virt::error::Error>,
    ) -> anyhow::Result<Self> {
        let stream = RawStream::new(connect, sys::VIR_STREAM_NONBLOCK)?;
        stream.with_virt(attach)?;
        let (sender, pieces) = mpsc::channel(WAITING_PIECES);
        let shared = Arc::new(Shared {
            stream,
            pieces: Mutex::new(Some(sender)),
            full: AtomicBool::new(false),
        });
        let handler = Arc::clone(&shared);
        shared.stream.on_event(READ_EVENTS, move |events| {
            handler.pump(events & END_EVENTS != 0);
        })?;
        Ok(StreamPort {
            pieces,
            delivered: 0,
            tail: Vec::new(),
            log,
            shared,
        })
    }

    /// See [`super::Port::read`].
    pub(super) async fn read(&mut self) -> Option<Vec<u8>> {
        let piece = self.pieces.recv().await;
        self.shared.resume();
        let piece = piece.or_else(|| self.rest())?;
        self.delivered += piece.len() as u64;
        self.tail.extend_from_slice(&piece);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL));
        Some(piece)
    }

    /// See [`super::Port::write`].
    fn write(&self, bytes: &[u8]) -> usize {
        match self.shared.stream.write(bytes) {
            WOULD_BLOCK => 0,
            count => usize::try_from(count).unwrap_or(bytes.len()),
        }
    }

    /// What the log has beyond what was delivered: a terminal's buffer full, so that reading it
    /// does not hold up whoever else waits. Nothing if the daemon has thrown away its beginning.
    fn rest(&mut self) -> Option<Vec<u8>> {
        let from = self.delivered.saturating_sub(TAIL as u64 + SLACK);
        let mut skip = from;
        let mut end = Vec::new();
        for mut file in parts_of(&self.log.take()?)? {
            let length = file.metadata().ok()?.len();
            file.seek(SeekFrom::Start(skip.min(length))).ok()?;
            skip = skip.saturating_sub(length);
            let room = MAX_REST - end.len() as u64;
            file.take(room).read_to_end(&mut end).ok()?;
        }
        let delivered = usize::try_from(self.delivered - from).ok()?;
        let rest = end.split_off(behind(&self.tail, &end, delivered));
        Some(rest).filter(|rest| !rest.is_empty())
    }
}

/// Where in `log` that follows which was delivered last: behind `tail`, where that stands nearest
/// to `count`, else at `count`.
fn behind(tail: &[u8], log: &[u8], count: usize) -> usize {
    let ends = (tail.len()..=log.len()).filter(|end| log[..*end].ends_with(tail));
    let nearest = ends.min_by_key(|end| end.abs_diff(count));
    nearest.unwrap_or(count).min(log.len())
}

/// A log and what virtlogd has rotated away of it, the oldest first; nothing if it may have
/// removed some.
fn parts_of(log: &Path) -> Option<Vec<File>> {
    let mut parts = vec![File::open(log).ok()?];
    for number in 0..LOG_BACKUPS {
        let mut name = log.as_os_str().to_owned();
        name.push(format!(".{number}"));
        match File::open(PathBuf::from(name)) {
            Ok(_) if number + 1 == LOG_BACKUPS => return None,
            Ok(file) => parts.push(file),
            Err(_) => break,
        }
    }
    parts.reverse();
    Some(parts)
}

impl Drop for StreamPort {
    fn drop(&mut self) {
        // Makes a callback that runs meanwhile stop.
        self.pieces.close();
        self.shared.stream.stop_events();
    }
}

/// Reads a whole stream that `attach` connects to something finite.
///
/// Blocks. Returns what `attach` did, and the bytes.
pub(super) fn read_whole<T>(
    connect: &Connect,
    limit: usize,
    attach: impl FnOnce(&virt::stream::Stream) -> Result<T, virt::error::Error>,
) -> anyhow::Result<(T, Vec<u8>)> {
    let stream = RawStream::new(connect, 0)?;
    let answer = stream.with_virt(attach)?;
    let mut bytes = Vec::new();
    while let Piece::Bytes(piece) = read_piece(&stream) {
        bytes.extend_from_slice(&piece);
        ensure!(bytes.len() <= limit, "more than {limit} bytes came");
    }
    Ok((answer, bytes))
}

/// The bytes that a guest writes to a port, in order and without gaps, until it ends.
///
/// Nothing is lost at the guest's end: what was written before it is delivered before
/// [`Port::read`] returns nothing. A port that is not read makes the guest's writes wait, so
/// that a guest that floods its console cannot fill our memory.
#[derive(Debug)]
pub struct Port(Source);

#[derive(Debug)]
enum Source {
    /// A socket of QEMU's, where QEMU runs as us. libvirt's stream to it would be in this very
    /// process, and libvirt 9.0 deadlocks when such a stream is closed while its guest ends
    /// (`virFDStreamClose` and `virChrdevFree` take two locks in opposite order).
    Socket(Socket),
    /// Whatever libvirt's daemon makes of it.
    Stream(StreamPort),
}

#[derive(Debug)]
enum Socket {
    /// Not yet known to the runtime: ports are opened where there may be none.
    Fresh(StdUnixStream),
    Open(UnixStream),
    Ended,
}

impl Port {
    /// Connects to a socket that QEMU listens on.
    pub(super) fn connect(path: &Path) -> anyhow::Result<Self> {
        let connect = || {
            let socket = StdUnixStream::connect(path)?;
            socket.set_nonblocking(true)?;
            Ok::<_, io::Error>(socket)
        };
        let socket = connect().with_context(|| format!("connecting to {}", path.display()))?;
        Ok(Port(Source::Socket(Socket::Fresh(socket))))
    }

    /// Reads one of libvirt's streams.
    pub(super) fn stream(stream: StreamPort) -> Self {
        Port(Source::Stream(stream))
    }

    /// The next bytes, or nothing after the last. Cancel safe. Needs tokio's I/O driver.
    pub async fn read(&mut self) -> Option<Vec<u8>> {
        match &mut self.0 {
            Source::Socket(socket) => socket.read().await,
            Source::Stream(stream) => stream.read().await,
        }
    }

    /// Gives the guest bytes to read, as far as there is room for them; how many were taken. A port that has
    /// ended takes all.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        match &mut self.0 {
            Source::Socket(socket) => socket.write(bytes),
            Source::Stream(stream) => stream.write(bytes),
        }
    }
}

impl Socket {
    fn opened(&mut self) -> Option<&UnixStream> {
        if let Socket::Fresh(socket) = self {
            // Neither fails but for lack of file descriptors; the port has ended then.
            let open = socket.try_clone().and_then(UnixStream::from_std);
            *self = open.map_or(Socket::Ended, Socket::Open);
        }
        match self {
            Socket::Open(socket) => Some(socket),
            _ => None,
        }
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        let Some(socket) = self.opened() else {
            return bytes.len();
        };
        match socket.try_write(bytes) {
            Ok(count) => count,
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => 0,
                // Whoever reads learns that it has ended.
                _ => bytes.len(),
            },
        }
    }

    async fn read(&mut self) -> Option<Vec<u8>> {
        let socket = self.opened()?;
        let mut buffer = vec![0; PIECE];
        let count = loop {
            match socket.try_read(&mut buffer) {
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if socket.readable().await.is_err() {
                        break 0;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A QEMU that was killed resets the connection.
                Err(_) => break 0,
            }
        };
        if count == 0 {
            *self = Socket::Ended;
            return None;
        }
        buffer.truncate(count);
        Some(buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn the_rest_begins_behind_what_was_delivered() {
        let log = b"\r\nabc\r\nabc\r\nabc\r\nxyz";
        // The first line feed came before anybody listened.
        assert_eq!(behind(b"abc\r\nabc", log, 8), 10);
        assert_eq!(behind(b"", log, 4), 4);
        assert_eq!(behind(b"never", log, 4), 4);
        assert_eq!(behind(b"never", log, 400), log.len());
    }

    #[test]
    fn rotated_logs_are_put_together_unless_some_may_be_gone() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let said = |log: &Path| {
            let parts = parts_of(log)?.into_iter();
            Some(
                parts
                    .map(|part| std::io::read_to_string(part).unwrap())
                    .collect::<String>(),
            )
        };
        assert_eq!(said(&log), None);
        for (name, text) in [("log", "three"), ("log.0", "two,"), ("log.1", "one,")] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        assert_eq!(said(&log).unwrap(), "one,two,three");
        std::fs::write(dir.path().join("log.2"), "nought,").unwrap();
        assert_eq!(said(&log), None);
    }

    #[tokio::test]
    async fn what_was_written_before_the_end_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let mut port = Port::connect(&path).unwrap();
        let (mut other, _) = listener.accept().unwrap();
        other.write_all(b"last words").unwrap();
        drop(other);
        assert_eq!(port.read().await.unwrap(), b"last words");
        assert_eq!(port.read().await, None);
        assert_eq!(port.read().await, None);
        assert!(Port::connect(&dir.path().join("none")).is_err());
    }
}
