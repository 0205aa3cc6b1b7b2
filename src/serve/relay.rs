//! Passes on what another server has, for guests that cannot reach it themselves:
//! [`mirror`](crate::mirror) asks it.
//!
//! What the other server says is no more trusted than the guest: of its headers only those pass
//! that match a fixed grammar, and its error pages do not. Byte ranges are those of
//! RFC 9110, section 14.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

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
    /// The part of a file that is the body in its place, which then costs nobody a copy.
    pub file: Option<FilePart>,
}

/// A part of a file.
#[derive(Debug)]
pub struct FilePart {
    /// The file.
    pub file: File,
    /// Where it begins, in bytes.
    pub first: u64,
    /// How many bytes it has.
    pub count: u64,
}

impl UpstreamResponse {
    /// An answer without a body.
    pub fn empty(status: u16) -> Self {
        UpstreamResponse {
            status,
            content_length: Some(0),
            content_type: None,
            content_range: None,
            last_modified: None,
            etag: None,
            body: Box::new(io::empty()),
            file: None,
        }
    }

    /// What `range` asks for of a file of `length` bytes.
    ///
    /// # Errors
    /// The file cannot be wound to where the range begins.
    pub fn of_file(file: File, length: u64, range: Option<&str>) -> io::Result<Self> {
        let mut response = UpstreamResponse::part_of(io::empty(), length, range)?;
        let first = match part(range, length) {
            Part::Bytes { first, .. } => first,
            Part::Whole | Part::Unsatisfiable => 0,
        };
        let count = response.content_length.unwrap_or(0);
        response.file = (count > 0).then_some(FilePart { file, first, count });
        Ok(response)
    }

    /// What `range` asks for of a source of `length` bytes.
    ///
    /// # Errors
    /// The source cannot be wound to where the range begins.
    pub fn part_of(
        mut source: impl Read + Seek + Send + 'static,
        length: u64,
        range: Option<&str>,
    ) -> io::Result<Self> {
        let (status, first, count, content_range) = match part(range, length) {
            Part::Whole => (200, 0, length, None),
            Part::Bytes { first, last } => {
                let range = format!("bytes {first}-{last}/{length}");
                (206, first, last - first + 1, Some(range))
            }
            Part::Unsatisfiable => (416, 0, 0, Some(format!("bytes */{length}"))),
        };
        source.seek(SeekFrom::Start(first))?;
        Ok(UpstreamResponse {
            content_length: Some(count),
            content_range,
            body: Box::new(source.take(count)),
            ..UpstreamResponse::empty(status)
        })
    }
}

impl fmt::Debug for UpstreamResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamResponse")
            .field("status", &self.status)
            .field("content_length", &self.content_length)
            .finish_non_exhaustive()
    }
}

/// What is told to the guest.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// 200 with the body, of this length if known.
    Whole(Option<u64>),
    /// 206 with the body: first and last byte's offsets.
    Part(u64, u64),
    /// 416, with the resource's length if known.
    Unsatisfiable(Option<u64>),
    /// This status, without the other server's body.
    Error(u16),
}

/// Judges the answer to a request that had a range or had none.
pub(super) fn judge(response: &UpstreamResponse, with_range: bool) -> Verdict {
    match response.status {
        200 => Verdict::Whole(response.content_length),
        206 if with_range => judge_part(response),
        416 if with_range => {
            let range = response.content_range.as_deref();
            Verdict::Unsatisfiable(range.and_then(unsatisfied_range))
        }
        // The guest's own choice of words does not matter to it: it may not, or there is none.
        401 | 403 | 407 | 451 => Verdict::Error(403),
        404 => Verdict::Error(404),
        410 => Verdict::Error(410),
        // dnf tries again after these.
        429 | 503 => Verdict::Error(503),
        504 => Verdict::Error(504),
        // A 304 too: we never ask with a condition, so it answers nothing.
        _ => Verdict::Error(502),
    }
}

fn judge_part(response: &UpstreamResponse) -> Verdict {
    let range = response.content_range.as_deref();
    let Some((first, last)) = range.and_then(content_range) else {
        return Verdict::Error(502);
    };
    match response.content_length {
        Some(length) if length != last - first + 1 => Verdict::Error(502),
        _ => Verdict::Part(first, last),
    }
}

/// `value` if it is a plain media type: `type/subtype` and at most a charset.
pub(super) fn media_type(value: &str) -> Option<&str> {
    let (essence, charset) = match value.split_once(';') {
        Some((essence, rest)) => (essence, rest.trim_start().strip_prefix("charset=")?),
        None => (value, "utf-8"),
    };
    let (kind, subtype) = essence.split_once('/')?;
    let token = |text: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte);
        !text.is_empty() && text.len() <= 80 && text.bytes().all(allowed)
    };
    (token(kind) && token(subtype) && token(charset)).then_some(value)
}

/// `value` if it is a date as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(super) fn date(value: &str) -> Option<&str> {
    // The crate allows other forms and blanks around them; a header takes this one as it stands.
    let time = httpdate::parse_http_date(value).ok()?;
    (httpdate::fmt_http_date(time) == value).then_some(value)
}

/// `value` if it is an entity tag: `"…"` or `W/"…"`.
pub(super) fn entity_tag(value: &str) -> Option<&str> {
    let opaque = value.strip_prefix("W/").unwrap_or(value);
    let inner = opaque.strip_prefix('"')?.strip_suffix('"')?;
    let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'"';
    (inner.len() <= 128 && inner.bytes().all(allowed)).then_some(value)
}

/// The part of a resource that is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it: no range, several ranges, or one that is not understood.
    Whole,
    /// From the first byte to the last one, both included.
    Bytes {
        /// Offset of the first byte.
        first: u64,
        /// Offset of the last byte.
        last: u64,
    },
    /// The range lies outside.
    Unsatisfiable,
}

/// What a `Range` header's value means for a resource of `length` bytes.
pub fn part(range: Option<&str>, length: u64) -> Part {
    let Some((first, last)) = range.and_then(single) else {
        return Part::Whole;
    };
    match (first, last) {
        (Some(first), last) => {
            let last = last.unwrap_or(u64::MAX);
            if last < first {
                // Not a valid range, so it is ignored.
                return Part::Whole;
            }
            if first >= length {
                return Part::Unsatisfiable;
            }
            let last = last.min(length - 1);
            Part::Bytes { first, last }
        }
        (None, Some(suffix)) => {
            if suffix == 0 || length == 0 {
                return Part::Unsatisfiable;
            }
            let first = length.saturating_sub(suffix);
            let last = length - 1;
            Part::Bytes { first, last }
        }
        (None, None) => Part::Whole,
    }
}

/// Whether the value is one well-formed byte range, fit to be passed to a mirror.
pub fn is_single(range: &str) -> bool {
    match single(range) {
        Some((Some(first), Some(last))) => first <= last,
        Some((first, last)) => first.is_some() || last.is_some(),
        None => false,
    }
}

type Ends = (Option<u64>, Option<u64>);

fn single(range: &str) -> Option<Ends> {
    let (unit, set) = range.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = set.split_once('-')?;
    Some((number(first)?, number(last)?))
}

/// `Some(None)` for nothing, `None` for anything but digits. Too large a number is as good as
/// the largest.
fn number(digits: &str) -> Option<Option<u64>> {
    if digits.is_empty() {
        return Some(None);
    }
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(Some(digits.parse().unwrap_or(u64::MAX)))
}

/// A checked `Content-Range: bytes FIRST-LAST/TOTAL` as `(first, last)`.
pub(super) fn content_range(value: &str) -> Option<(u64, u64)> {
    let (ends, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = ends.split_once('-')?;
    let (first, last) = (number(first)??, number(last)??);
    let inside = total == "*" || number(total)?? > last;
    // `last` of u64::MAX would make the length overflow.
    (first <= last && last < u64::MAX && inside).then_some((first, last))
}

/// The checked total of a `Content-Range: bytes */TOTAL`.
pub(super) fn unsatisfied_range(value: &str) -> Option<u64> {
    number(value.strip_prefix("bytes */")?)?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, length: Option<u64>, range: Option<&str>) -> UpstreamResponse {
        UpstreamResponse {
            status,
            content_length: length,
            content_type: None,
            content_range: range.map(str::to_owned),
            last_modified: None,
            etag: None,
            body: Box::new(std::io::empty()),
            file: None,
        }
    }

    #[test]
    fn verdicts() {
        let part = Some("bytes 2-4/10");
        let table = [
            (response(200, Some(5), None), false, Verdict::Whole(Some(5))),
            (response(200, None, None), true, Verdict::Whole(None)),
            (response(206, Some(3), part), true, Verdict::Part(2, 4)),
            (response(206, None, part), true, Verdict::Part(2, 4)),
            (response(206, Some(4), part), true, Verdict::Error(502)),
            (response(206, Some(3), None), true, Verdict::Error(502)),
            (response(206, Some(3), part), false, Verdict::Error(502)),
            (
                response(416, None, Some("bytes */7")),
                true,
                Verdict::Unsatisfiable(Some(7)),
            ),
            (response(416, None, None), false, Verdict::Error(502)),
            (response(304, None, None), false, Verdict::Error(502)),
            (response(401, None, None), false, Verdict::Error(403)),
            (response(404, None, None), false, Verdict::Error(404)),
            (response(500, None, None), false, Verdict::Error(502)),
            (response(503, None, None), false, Verdict::Error(503)),
            (response(302, None, None), false, Verdict::Error(502)),
        ];
        for (response, with_range, verdict) in table {
            assert_eq!(judge(&response, with_range), verdict, "{response:?}");
        }
    }

    #[test]
    fn header_values() {
        assert!(media_type("application/x-rpm").is_some());
        assert!(media_type("text/plain; charset=UTF-8").is_some());
        for bad in [
            "",
            "text",
            "text/",
            "text/plain\r\nX: y",
            "text/plain; a=b",
            "a/b c",
        ] {
            assert_eq!(media_type(bad), None, "{bad:?}");
        }
        assert!(date("Sun, 06 Nov 1994 08:49:37 GMT").is_some());
        for bad in [
            "",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 GMT\r\n",
        ] {
            assert_eq!(date(bad), None, "{bad:?}");
        }
        assert!(entity_tag("\"5f-1\"").is_some());
        assert!(entity_tag("W/\"5f\"").is_some());
        for bad in ["", "\"", "5f", "\"a\"b\"", "\"a\r\nb\"", "\"a b\""] {
            assert_eq!(entity_tag(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn parts() {
        let bytes = |first, last| Part::Bytes { first, last };
        let table = [
            ("bytes=0-9", 100, bytes(0, 9)),
            ("BYTES=0-0", 100, bytes(0, 0)),
            ("bytes=90-", 100, bytes(90, 99)),
            ("bytes=90-200", 100, bytes(90, 99)),
            ("bytes=-10", 100, bytes(90, 99)),
            ("bytes=-200", 100, bytes(0, 99)),
            ("bytes=0-99999999999999999999999", 100, bytes(0, 99)),
            ("bytes=100-", 100, Part::Unsatisfiable),
            ("bytes=99999999999999999999999-", 100, Part::Unsatisfiable),
            ("bytes=0-", 0, Part::Unsatisfiable),
            ("bytes=-0", 100, Part::Unsatisfiable),
            ("bytes=-5", 0, Part::Unsatisfiable),
            ("bytes=5-4", 100, Part::Whole),
            ("bytes=0-1,3-4", 100, Part::Whole),
            ("bytes=-", 100, Part::Whole),
            ("bytes=+1-2", 100, Part::Whole),
            ("bytes= 1-2", 100, Part::Whole),
            ("lines=1-2", 100, Part::Whole),
            ("bytes", 100, Part::Whole),
        ];
        for (range, length, expected) in table {
            assert_eq!(part(Some(range), length), expected, "{range} of {length}");
        }
        assert_eq!(part(None, 5), Part::Whole);
    }

    #[test]
    fn what_may_be_passed_on() {
        for good in ["bytes=0-1", "bytes=5-", "bytes=-5"] {
            assert!(is_single(good), "{good}");
        }
        for bad in ["bytes=-", "bytes=2-1", "bytes=0-1,2-3", "bytes=a-b", "x"] {
            assert!(!is_single(bad), "{bad}");
        }
    }

    #[test]
    fn content_ranges() {
        assert_eq!(content_range("bytes 0-9/10"), Some((0, 9)));
        assert_eq!(content_range("bytes 0-9/*"), Some((0, 9)));
        let bad = [
            "bytes 0-9/9",
            "bytes 9-0/10",
            "bytes */10",
            "bytes 0-9/10\r\nX: y",
            "bytes 0-9/",
            "bytes +0-9/10",
            "0-9/10",
            "bytes 0-18446744073709551615/*",
        ];
        for bad in bad {
            assert_eq!(content_range(bad), None, "{bad}");
        }
        assert_eq!(unsatisfied_range("bytes */10"), Some(10));
        assert_eq!(unsatisfied_range("bytes */"), None);
        assert_eq!(unsatisfied_range("bytes */1\r\n"), None);
    }
}
