//! What a client may take from the server.

use std::time::Duration;

/// The longest head. anaconda's, with a header per network interface, stays below 2 KiB.
const HEAD_BYTES: usize = 8 * 1024;
/// The time for the whole head. A guest in software emulation needs milliseconds.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Connections that have no answer under way. dnf opens at most 20 at a time
/// (`max_parallel_downloads`, dnf.conf(5)).
const WAITING: usize = 64;
/// Answers under way. Bounded because each takes two threads and five descriptors.
const ANSWERS: usize = 64;
/// How long a client may take nothing. A guest that swaps or is paused for a moment recovers
/// well within it; dnf gives up after 30 s itself (`timeout`, dnf.conf(5)).
const WRITE_STALL: Duration = Duration::from_secs(60);
/// How long a relay may wait for a byte from its mirror. The mirror's own time-outs and
/// retries come first.
const SOURCE_SILENCE: Duration = Duration::from_secs(300);

/// What a client may take from the server. Tests make these small.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The longest request head, in bytes.
    pub head_bytes: usize,
    /// The time for the whole head.
    pub head_time: Duration,
    /// Connections without an answer under way; the oldest makes room for a new one.
    pub waiting: usize,
    /// Answers under way; one more is told 503.
    pub answers: usize,
    /// How long a client may take nothing before it is dropped.
    pub write_stall: Duration,
    /// How long an answer may have nothing to say before it is given up.
    pub source_silence: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            head_bytes: HEAD_BYTES,
            head_time: HEAD_TIME,
            waiting: WAITING,
            answers: ANSWERS,
            write_stall: WRITE_STALL,
            source_silence: SOURCE_SILENCE,
        }
    }
}
