//! Another server, whose files ours hands on to a guest that cannot reach it itself: made by
//! [`mirror`](crate::mirror), asked by [`serve`](crate::serve).

use std::fmt;
use std::io::Read;

/// A tree or repository, below one base URL.
pub trait Upstream: Send + Sync {
    /// Asks for `path` below the base: percent-encoded, without `/` in front, empty for the base
    /// itself. `range` is one well-formed `bytes=…` range. Implementations follow redirects and
    /// have time-outs of their own. Blocks: not to be called on a thread of the runtime.
    ///
    /// # Errors
    /// It cannot be reached; the guest gets 502. Statuses such as 404 are no errors.
    fn open(
        &self,
        path: &str,
        head_only: bool,
        range: Option<&str>,
    ) -> anyhow::Result<UpstreamResponse>;
}

/// What the other server answered.
pub struct UpstreamResponse {
    /// The status code.
    pub status: u16,
    /// Length of the body in bytes (of what the body would be, for a HEAD request), if known.
    pub content_length: Option<u64>,
    /// `Content-Type`, unchecked.
    pub content_type: Option<String>,
    /// `Content-Range`, unchecked; with status 206 and 416.
    pub content_range: Option<String>,
    /// `Last-Modified`, unchecked.
    pub last_modified: Option<String>,
    /// `ETag`, unchecked.
    pub etag: Option<String>,
    /// The body, as it comes; not read for HEAD requests and errors.
    pub body: Box<dyn Read + Send>,
}

impl fmt::Debug for UpstreamResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamResponse")
            .field("status", &self.status)
            .field("content_length", &self.content_length)
            .finish_non_exhaustive()
    }
}
