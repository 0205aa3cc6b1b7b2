//! One request and its answer, shared by the thread that answers and the one that delivers.

use std::collections::HashMap;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::access::Resource;
use super::head::CheckedRequest;
use super::relay::FilePart;
use crate::panics::lock;

/// What became of a request so far.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) status: u16,
    pub(super) resource: Resource,
    /// Bytes of the body that the source gave.
    pub(super) produced: u64,
    /// The source gave all it has, or all that was announced.
    pub(super) finished: bool,
    /// The source failed in the middle: what was sent must not look whole.
    pub(super) broken: bool,
}

/// One request and its answer.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) request: CheckedRequest,
    outcome: Mutex<Outcome>,
    /// The file whose bytes the gate itself is to deliver behind the head.
    file: Mutex<Option<FilePart>>,
}

impl Exchange {
    /// Until the request is answered, its outcome is a failure of the server's.
    pub(super) fn new(request: CheckedRequest) -> Self {
        Exchange {
            request,
            outcome: Mutex::new(Outcome {
                status: 500,
                resource: Resource::Unknown,
                produced: 0,
                finished: false,
                broken: false,
            }),
            file: Mutex::new(None),
        }
    }

    /// Leaves the body to the gate.
    pub(super) fn hand_over(&self, file: FilePart) {
        self.note(|outcome| {
            outcome.produced = file.count;
            outcome.finished = true;
        });
        *lock(&self.file) = Some(file);
    }

    /// The file that is the body, if it is one.
    pub(super) fn take_file(&self) -> Option<FilePart> {
        lock(&self.file).take()
    }

    pub(super) fn outcome(&self) -> Outcome {
        lock(&self.outcome).clone()
    }

    pub(super) fn note(&self, change: impl FnOnce(&mut Outcome)) {
        change(&mut lock(&self.outcome));
    }
}

/// The exchanges under way, by the number that their canonical head carries.
#[derive(Debug, Default)]
pub(super) struct Exchanges {
    next: AtomicU64,
    open: Mutex<HashMap<u64, Arc<Exchange>>>,
}

impl Exchanges {
    pub(super) fn open(&self, exchange: &Arc<Exchange>) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.open).insert(number, Arc::clone(exchange));
        number
    }

    pub(super) fn find(&self, number: u64) -> Option<Arc<Exchange>> {
        lock(&self.open).get(&number).cloned()
    }

    pub(super) fn close(&self, number: u64) {
        lock(&self.open).remove(&number);
    }
}

/// A body on its way: counted, not longer than announced, and marked if it ends too early.
///
/// The mark is set before the error is returned, so it is there before `tiny_http` can write
/// the end of a chunked body (its encoder writes one even after an error); the gate looks at it
/// before it passes anything on.
pub(super) struct Body {
    source: Box<dyn Read + Send>,
    left: Option<u64>,
    exchange: Arc<Exchange>,
}

impl Body {
    pub(super) fn new(
        source: Box<dyn Read + Send>,
        length: Option<u64>,
        exchange: &Arc<Exchange>,
    ) -> Self {
        if length == Some(0) {
            // `tiny_http` does not ask for nothing.
            exchange.note(|outcome| outcome.finished = true);
        }
        Body {
            source,
            left: length,
            exchange: Arc::clone(exchange),
        }
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = match self.left {
            Some(left) => buffer
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX)),
            None => buffer.len(),
        };
        if room == 0 {
            self.exchange.note(|outcome| outcome.finished = true);
            return Ok(0);
        }
        let buffer = &mut buffer[..room];
        let source = &mut self.source;
        let result = catch_unwind(AssertUnwindSafe(|| {
            loop {
                match source.read(buffer) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    result => return result,
                }
            }
        }))
        .unwrap_or_else(|_| Err(io::Error::other("the source panicked")));
        match result {
            Ok(0) if self.left.is_some() => {
                self.exchange.note(|outcome| outcome.broken = true);
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            Ok(0) => {
                self.exchange.note(|outcome| outcome.finished = true);
                Ok(0)
            }
            Ok(bytes) => {
                if let Some(left) = &mut self.left {
                    *left = left.saturating_sub(bytes as u64);
                }
                self.exchange
                    .note(|outcome| outcome.produced += bytes as u64);
                Ok(bytes)
            }
            Err(error) => {
                self.exchange.note(|outcome| outcome.broken = true);
                Err(error)
            }
        }
    }
}
