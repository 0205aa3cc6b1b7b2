//! The public side: accepts connections, reads one head from each, delivers one answer.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use super::access::{Access, Resource, printable};
use super::exchange::Exchange;
use super::head::{self, CheckedRequest, Method, Refusal};
use super::relay::FilePart;
use super::server::Shared;

/// How much is copied at a time.
const BLOCK: usize = 64 * 1024;
/// How much of a file is handed to the kernel at a time: after each piece it is seen that a client takes something.
const SEND_PIECE: u64 = 128 * 1024;
/// The kernel's buffer for a client. Small, so that a slow client's progress shows: it has
/// moved if a third of this (where the kernel lets writers go on) was taken within the stall
/// limit.
const SEND_BUFFER: usize = 256 * 1024;
/// The longest head of an answer; ours have a dozen short lines.
const MAX_ANSWER_HEAD: usize = 8 * 1024;
/// How much is read of what a client sends after its head, so that closing does not make the
/// kernel discard the answer.
const MAX_LEFTOVER: usize = 256 * 1024;
/// How long a client may take to close its side after its answer. Most close at once; for
/// those that do not, the kernel goes on delivering what it has.
const LINGER: Duration = Duration::from_secs(5);
/// How long `accept` is left alone after it failed for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts until the server stops.
pub(super) fn accept(shared: &Arc<Shared>, listener: &TcpListener) {
    loop {
        let accepted = listener.accept();
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        match accepted {
            Ok((stream, peer)) => admit(shared, stream, peer),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                let message = format!("could not accept a connection of the guest: {error}");
                shared.reporter.detail(message);
                std::thread::sleep(ACCEPT_PAUSE);
            }
        }
    }
}

fn admit(shared: &Arc<Shared>, stream: TcpStream, peer: SocketAddr) {
    let stream = Arc::new(stream);
    let waiting = shared.limits.waiting;
    let Some(number) = shared.connections.admit(&stream, waiting) else {
        return;
    };
    let connection = Connection {
        shared: Arc::clone(shared),
        number,
        stream,
        peer,
    };
    // On failure the connection is dropped, and thereby closed and forgotten.
    let _ = shared
        .threads
        .spawn("serve-client", move || connection.serve());
}

struct Connection {
    shared: Arc<Shared>,
    number: u64,
    stream: Arc<TcpStream>,
    peer: SocketAddr,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.connections.forget(self.number);
    }
}

/// Why a connection has no head to check.
enum NoHead {
    /// It came and went, broke, or was displaced.
    Gone,
    /// What came of it is refused.
    Refused(Refusal, Vec<u8>),
}

/// What was delivered of an answer.
struct Delivery {
    /// Bytes of the body, as framed.
    bytes: u64,
    /// Everything there was, and the source did not fail.
    whole: bool,
}

impl Connection {
    /// Whether the other end is somebody whom we answer.
    fn is_welcome(&self) -> bool {
        let Some(peers) = &self.shared.peers else {
            return true;
        };
        let local = self.stream.local_addr();
        match local.and_then(|local| peers.have(self.peer, local)) {
            Ok(welcome) => welcome,
            Err(error) => {
                let message = format!("a connection was refused, whose user is not known: {error}");
                self.shared.reporter.warn(message);
                false
            }
        }
    }

    fn serve(self) {
        if !self.is_welcome() {
            // Not a word: whoever looks for the port learns nothing.
            let message = format!("refused a connection of another user, from {}", self.peer);
            return self.shared.reporter.detail(message);
        }
        let limits = &self.shared.limits;
        let set_up = self
            .stream
            .set_write_timeout(Some(limits.write_stall))
            .and_then(|()| self.stream.set_nodelay(true))
            .and_then(|()| {
                let size = rustix::net::sockopt::set_socket_send_buffer_size;
                size(&self.stream, SEND_BUFFER).map_err(io::Error::from)
            });
        if set_up.is_err() {
            return;
        }
        let head = match self.read_head() {
            Ok(head) => head,
            Err(NoHead::Gone) => return,
            Err(NoHead::Refused(refusal, seen)) => return self.refuse(refusal, &seen),
        };
        match head::check(&head) {
            Ok(request) => self.exchange(request),
            Err(refusal) => self.refuse(refusal, &head),
        }
    }

    /// Reads exactly a head.
    fn read_head(&self) -> Result<Vec<u8>, NoHead> {
        let limits = &self.shared.limits;
        let deadline = Instant::now() + limits.head_time;
        let mut head = Vec::new();
        let mut block = vec![0; limits.head_bytes.min(2048)];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timed = match left.is_zero() {
                true => Err(io::ErrorKind::TimedOut.into()),
                false => self.stream.set_read_timeout(Some(left)),
            };
            match timed.and_then(|()| (&*self.stream).read(&mut block)) {
                Ok(0) => return Err(NoHead::Gone),
                Ok(bytes) => head.extend_from_slice(&block[..bytes]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if is_timeout(&error) => {
                    return Err(NoHead::Refused(Refusal::TooSlow, head));
                }
                Err(_) => return Err(NoHead::Gone),
            }
            match head::end_of_head(&head) {
                Err(refusal) => return Err(NoHead::Refused(refusal, head)),
                Ok(Some(end)) if end > limits.head_bytes => {
                    return Err(NoHead::Refused(Refusal::HeadTooLong, head));
                }
                Ok(Some(end)) if end == head.len() => return Ok(head),
                // A body, or a second request that did not wait for the first one's answer.
                Ok(Some(_)) => return Err(NoHead::Refused(Refusal::Malformed, head)),
                Ok(None) if head.len() >= limits.head_bytes => {
                    return Err(NoHead::Refused(Refusal::HeadTooLong, head));
                }
                Ok(None) => {}
            }
        }
    }

    fn refuse(&self, refusal: Refusal, head: &[u8]) {
        let when = SystemTime::now();
        let sent = (&*self.stream).write_all(&refusal.response()).is_ok();
        let access = Access {
            when,
            peer: self.peer,
            method: None,
            resource: Resource::Unknown,
            status: refusal.status(),
            bytes: 0,
            complete: sent,
            anaconda: None,
            user_agent: None,
        };
        let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let target = self.shared.mask(&printable(line));
        self.shared.access.note(access, &target);
        self.close();
    }

    fn exchange(&self, request: CheckedRequest) {
        let shared = &self.shared;
        let when = SystemTime::now();
        let inner = match shared.engine().map(|engine| engine.connect()) {
            Some(Ok(inner)) => Arc::new(inner),
            _ => return self.refuse(Refusal::Internal, request.target.as_bytes()),
        };
        if !shared
            .connections
            .answering(self.number, &inner, shared.limits.answers)
        {
            return self.refuse(Refusal::Busy, request.target.as_bytes());
        }
        let exchange = Arc::new(Exchange::new(request));
        let number = shared.exchanges.open(&exchange);
        let delivery = self.deliver(&inner, &exchange, number);
        shared.exchanges.close(number);
        // Whoever still writes to it must learn that nobody reads.
        let _ = inner.shutdown(Shutdown::Both);
        drop(inner);
        shared.connections.answered(self.number);

        let outcome = exchange.outcome();
        let (status, bytes, complete) = match delivery {
            // A client that hangs up early resets the connection instead of closing it.
            Some(delivery) => {
                let complete = delivery.whole && self.close();
                let bytes = delivery.bytes.min(outcome.produced);
                (outcome.status, bytes, complete)
            }
            None => {
                let refusal = Refusal::Internal;
                let sent = (&*self.stream).write_all(&refusal.response()).is_ok();
                (refusal.status(), 0, sent && self.close())
            }
        };
        let request = &exchange.request;
        let access = Access {
            when,
            peer: self.peer,
            method: Some(request.method),
            resource: outcome.resource,
            status,
            bytes,
            complete,
            anaconda: request.anaconda.clone(),
            user_agent: request.user_agent.clone(),
        };
        let target = shared.mask(&printable(request.target.as_bytes()));
        shared.access.note(access, &target);
    }

    /// Has the request answered and copies the answer to the client. `None` if there is none.
    fn deliver(&self, inner: &UnixStream, exchange: &Exchange, number: u64) -> Option<Delivery> {
        let limits = &self.shared.limits;
        inner.set_read_timeout(Some(limits.source_silence)).ok()?;
        let canonical = exchange.request.canonical(number);
        (&mut &*inner).write_all(canonical.as_bytes()).ok()?;
        let (head, mut body) = read_answer_head(inner)?;
        let mut delivery = Delivery {
            bytes: 0,
            whole: false,
        };
        let mut client = &*self.stream;
        if client.write_all(&head).is_err() {
            return Some(delivery);
        }
        if let Some(file) = exchange.take_file() {
            delivery.whole = send_file(client, &file, &mut delivery.bytes);
            return Some(delivery);
        }
        let mut block = vec![0; BLOCK];
        loop {
            // Before anything is passed on: after a failure the rest only looks like an end.
            if exchange.outcome().broken {
                return Some(delivery);
            }
            if !write_counted(client, &body, &mut delivery.bytes) {
                return Some(delivery);
            }
            match (&mut &*inner).read(&mut block) {
                Ok(0) => break,
                Ok(bytes) => {
                    body.clear();
                    body.extend_from_slice(&block[..bytes]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => body.clear(),
                Err(_) => return Some(delivery),
            }
        }
        let outcome = exchange.outcome();
        // A HEAD request's answer has no body to finish. Framed as chunks there are more bytes.
        delivery.whole = exchange.request.method == Method::Head
            || outcome.finished && !outcome.broken && delivery.bytes >= outcome.produced;
        Some(delivery)
    }

    /// Closes so that the client can still take what was sent. False if the client is seen to
    /// hang up before it had everything.
    fn close(&self) -> bool {
        if self.stream.shutdown(Shutdown::Write).is_err() {
            return false;
        }
        let deadline = Instant::now() + LINGER;
        let mut block = [0; 4096];
        let mut leftover = 0;
        while leftover < MAX_LEFTOVER {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.stream.set_read_timeout(Some(left)).is_err() {
                break;
            }
            match (&*self.stream).read(&mut block) {
                Ok(0) => return true,
                Ok(bytes) => leftover += bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return is_timeout(&error),
            }
        }
        true
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
    )
}

/// Writes all of `bytes`; false if the client is gone or has taken nothing for too long.
fn write_counted(mut client: &TcpStream, mut bytes: &[u8], count: &mut u64) -> bool {
    while !bytes.is_empty() {
        match client.write(bytes) {
            Ok(0) => return false,
            Ok(written) => {
                *count += written as u64;
                bytes = &bytes[written..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
    true
}

/// Sends a part of a file, which the kernel does without a copy of ours; false if the client is gone or has taken
/// nothing for too long, or the file has become shorter.
fn send_file(client: &TcpStream, part: &FilePart, count: &mut u64) -> bool {
    let mut at = part.first;
    let end = part.first + part.count;
    while at < end {
        let piece = (end - at).min(SEND_PIECE);
        let piece = usize::try_from(piece).unwrap_or(BLOCK);
        match rustix::fs::sendfile(client, &part.file, Some(&mut at), piece) {
            Ok(0) => return false,
            Ok(sent) => *count += sent as u64,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
    true
}

/// Reads the answer's head and what came with it of the body. The head says that the
/// connection ends with this answer, which `tiny_http` does not let its users say.
fn read_answer_head(mut inner: &UnixStream) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut bytes = Vec::with_capacity(BLOCK);
    let mut block = [0; 4096];
    let end = loop {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = end {
            break end + 4;
        }
        if bytes.len() > MAX_ANSWER_HEAD {
            return None;
        }
        match inner.read(&mut block) {
            Ok(0) => return None,
            Ok(count) => bytes.extend_from_slice(&block[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    };
    let body = bytes.split_off(end);
    let line_end = bytes.windows(2).position(|window| window == b"\r\n")? + 2;
    let mut head = bytes[..line_end].to_vec();
    head.extend_from_slice(b"Connection: close\r\n");
    head.extend_from_slice(&bytes[line_end..]);
    Some((head, body))
}
