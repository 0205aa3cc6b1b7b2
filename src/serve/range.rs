//! Byte ranges (RFC 9110, section 14).

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
