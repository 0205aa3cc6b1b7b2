//! Streams of bytes out of a guest: its console, its log port, its screen.
//!
//! `virt`'s own stream keeps the address of a value that may move, and panics when dropped at
//! the wrong time; so libvirt's streams are used directly here.

#![allow(unsafe_code)]

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::raw::{c_int, c_uint, c_void};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{anyhow, ensure};
use tokio::sync::mpsc;
use virt::connect::Connect;
use virt::sys;

/// Bytes read from a stream at once: more than a pseudo terminal or a socket buffer holds at
/// most times, and little to keep for each waiting piece.
const PIECE: usize = 16 * 1024;
/// Pieces that may wait for our reader, 2 MiB in all. When they are not fetched, reading stops
/// and the guest's writes block, as they do with a slow terminal: a guest that floods its
/// console can neither fill our memory nor lose what it said.
const WAITING_PIECES: usize = 128;
/// Most bytes that are taken from the log at the end; a terminal's buffers hold far less.
const MAX_REST: u64 = 1024 * 1024;
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

/// One reference to a libvirt stream.
struct Stream(sys::virStreamPtr);

// SAFETY: libvirt's objects are reference counted and locked inside; its documentation allows
// use from any thread.
unsafe impl Send for Stream {}
// SAFETY: as above.
unsafe impl Sync for Stream {}

impl Stream {
    fn new(connect: &Connect, flags: c_uint) -> anyhow::Result<Self> {
        // SAFETY: the connection is valid; the result is checked.
        let stream = unsafe { sys::virStreamNew(connect.as_ptr(), flags) };
        ensure!(!stream.is_null(), last_error());
        Ok(Stream(stream))
    }

    fn read(&self) -> Piece {
        let mut buffer = vec![0; PIECE];
        // SAFETY: the stream is valid and the buffer has the length that is told.
        let count = unsafe { sys::virStreamRecv(self.0, buffer.as_mut_ptr().cast(), buffer.len()) };
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

    fn want(&self, events: c_uint) {
        // SAFETY: the stream is valid. Fails only when no callback is registered any more, and
        // then there is nothing to want.
        unsafe { sys::virStreamEventUpdateCallback(self.0, events as c_int) };
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: this is our reference, given back once. Aborting a stream that has ended
        // already fails harmlessly.
        unsafe {
            sys::virStreamAbort(self.0);
            sys::virStreamFree(self.0);
        }
    }
}

/// Shared between the reader and libvirt's callback.
struct Shared {
    stream: Arc<Stream>,
    /// Gone after the end of the stream.
    pieces: Mutex<Option<mpsc::Sender<Vec<u8>>>>,
    /// Reading has stopped because too many pieces wait.
    full: AtomicBool,
}

impl Shared {
    /// Reads what there is. `ended` says that the other side is gone.
    fn pump(&self, ended: bool) {
        let mut slot = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
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
            match self.stream.read() {
                Piece::Bytes(bytes) => permit.send(bytes),
                Piece::Nothing if !ended => return,
                Piece::Nothing | Piece::End => break,
            }
        }
        *slot = None;
        // SAFETY: the stream is valid; removing a callback from inside it is allowed.
        unsafe { sys::virStreamEventRemoveCallback(self.stream.0) };
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
        let stream = Stream::new(connect, sys::VIR_STREAM_NONBLOCK)?;
        stream.with_virt(attach)?;
        let (sender, pieces) = mpsc::channel(WAITING_PIECES);
        let shared = Arc::new(Shared {
            stream: Arc::new(stream),
            pieces: Mutex::new(Some(sender)),
            full: AtomicBool::new(false),
        });
        let opaque = Arc::into_raw(Arc::clone(&shared));
        // SAFETY: the stream is valid, and libvirt takes a reference of its own to it. `opaque`
        // is an `Arc` that `release` gives back when the callback is removed.
        let result = unsafe {
            sys::virStreamEventAddCallback(
                shared.stream.0,
                READ_EVENTS as c_int,
                Some(on_event),
                opaque.cast_mut().cast(),
                Some(release),
            )
        };
        if result < 0 {
            let error = last_error();
            // SAFETY: libvirt did not take the `Arc`, so it is still ours.
            drop(unsafe { Arc::from_raw(opaque) });
            return Err(error);
        }
        Ok(StreamPort {
            pieces,
            delivered: 0,
            log,
            shared,
        })
    }

    /// See [`super::Port::read`].
    pub(super) async fn read(&mut self) -> Option<Vec<u8>> {
        let piece = self.pieces.recv().await;
        self.shared.resume();
        let piece = piece.or_else(|| self.rest());
        self.delivered += piece.as_ref().map_or(0, |bytes| bytes.len() as u64);
        piece
    }

    /// What the log has beyond what was delivered: a terminal's buffer full, so that reading it
    /// does not hold up whoever else waits. Nothing if a daemon has begun a new log.
    fn rest(&mut self) -> Option<Vec<u8>> {
        let mut file = File::open(self.log.take()?).ok()?;
        file.seek(SeekFrom::Start(self.delivered)).ok()?;
        let mut rest = Vec::new();
        file.take(MAX_REST).read_to_end(&mut rest).ok()?;
        Some(rest).filter(|rest| !rest.is_empty())
    }
}

impl Drop for StreamPort {
    fn drop(&mut self) {
        // Makes a callback that runs meanwhile stop.
        self.pieces.close();
        // SAFETY: the stream is valid. Fails harmlessly if the callback is gone already.
        unsafe { sys::virStreamEventRemoveCallback(self.shared.stream.0) };
    }
}

unsafe extern "C" fn release(opaque: *mut c_void) {
    // SAFETY: `opaque` is the `Arc<Shared>` of `StreamPort::open`; libvirt calls this once, and holds a
    // reference of its own to the stream until after that.
    drop(unsafe { Arc::from_raw(opaque.cast_const().cast::<Shared>()) });
}

unsafe extern "C" fn on_event(_stream: sys::virStreamPtr, events: c_int, opaque: *mut c_void) {
    // SAFETY: `opaque` is the `Arc<Shared>` of `StreamPort::open`, which libvirt holds until it calls
    // `release`, never during this call.
    let shared = unsafe { &*opaque.cast_const().cast::<Shared>() };
    shared.pump(events as c_uint & END_EVENTS != 0);
}

impl Stream {
    /// Lends the stream to `virt`, whose functions want their own type.
    fn with_virt<T>(
        &self,
        use_it: impl FnOnce(&virt::stream::Stream) -> Result<T, virt::error::Error>,
    ) -> anyhow::Result<T> {
        // SAFETY: the stream is valid; the reference that the lent value gives back when dropped
        // is taken here.
        let lent = unsafe {
            sys::virStreamRef(self.0);
            virt::stream::Stream::from_ptr(self.0)
        };
        use_it(&lent).map_err(|error| anyhow!(error.message().to_owned()))
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
    let stream = Stream::new(connect, 0)?;
    let answer = stream.with_virt(attach)?;
    let mut bytes = Vec::new();
    while let Piece::Bytes(piece) = stream.read() {
        bytes.extend_from_slice(&piece);
        ensure!(bytes.len() <= limit, "more than {limit} bytes came");
    }
    Ok((answer, bytes))
}

fn last_error() -> anyhow::Error {
    anyhow!(virt::error::Error::last_error().message().to_owned())
}
