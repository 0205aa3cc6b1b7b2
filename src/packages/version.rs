//! Versions of packages, compared as RPM does.

use std::cmp::Ordering;

use super::Package;

/// Compares the versions of two packages: epoch, then version, then release (RPM's `rpmVersionCompare`). No
/// epoch is 0.
pub fn compare_packages(one: &Package, other: &Package) -> Ordering {
    let epoch = |package: &Package| package.epoch.unwrap_or(0);
    let order = epoch(one).cmp(&epoch(other));
    let order = order.then_with(|| compare(&one.version, &other.version));
    order.then_with(|| compare(&one.release, &other.release))
}

/// Compares `epoch:version-release`, as RPM does; no epoch is 0.
pub fn compare_evr(one: &str, other: &str) -> Ordering {
    let parts = |evr: &str| {
        let (epoch, rest) = evr.split_once(':').unwrap_or(("0", evr));
        let (version, release) = rest.split_once('-').unwrap_or((rest, ""));
        (epoch.to_owned(), version.to_owned(), release.to_owned())
    };
    let (one, other) = (parts(one), parts(other));
    let order = compare(&one.0, &other.0).then_with(|| compare(&one.1, &other.1));
    order.then_with(|| compare(&one.2, &other.2))
}

/// Compares versions as RPM does (`rpmvercmp`): runs of digits by value, letters by their code, digits
/// above letters; what goes on is newer, unless it goes on with `~`; what goes on with `^` is newer than what
/// ends there, and older than all else.
pub fn compare(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (parts(one).into_iter(), parts(other).into_iter());
    loop {
        let order = match (one.next(), other.next()) {
            (None, None) => return Ordering::Equal,
            (Some("~"), Some("~")) | (Some("^"), Some("^")) => Ordering::Equal,
            (Some("~"), _) => Ordering::Less,
            (_, Some("~")) => Ordering::Greater,
            (Some(_), None) => Ordering::Greater,
            (None, Some(_)) => Ordering::Less,
            (Some("^"), Some(_)) => Ordering::Less,
            (Some(_), Some("^")) => Ordering::Greater,
            (Some(one), Some(other)) => match (is_number(one), is_number(other)) {
                (true, true) => {
                    let (one, other) = (one.trim_start_matches('0'), other.trim_start_matches('0'));
                    one.len().cmp(&other.len()).then(one.cmp(other))
                }
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) => one.cmp(other),
            },
        };
        if order.is_ne() {
            return order;
        }
    }
}

fn is_number(part: &str) -> bool {
    part.starts_with(|c: char| c.is_ascii_digit())
}

/// Runs of digits, runs of letters, tildes and carets.
fn parts(version: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = version;
    while let Some(first) = rest.chars().next() {
        let run = |is: fn(&char) -> bool| rest.find(|c| !is(&c)).unwrap_or(rest.len());
        let length = match first {
            '~' | '^' => 1,
            c if c.is_ascii_digit() => run(char::is_ascii_digit),
            c if c.is_ascii_alphabetic() => run(char::is_ascii_alphabetic),
            other => {
                rest = &rest[other.len_utf8()..];
                continue;
            }
        };
        parts.push(&rest[..length]);
        rest = &rest[length..];
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answers are those of `rpm --eval '%{lua:print(rpm.vercmp(…))}'` (RPM 4.18).
    #[test]
    fn versions_are_compared_as_rpm_does() {
        use Ordering::{Equal, Greater, Less};
        for (one, other, order) in [
            (
                "5.14.0-427.13.1.el9_4.x86_64",
                "5.14.0-427.9.1.el9_4.x86_64",
                Greater,
            ),
            ("5.14.0-70.el9", "5.14.0-427.el9", Less),
            ("6.1.0-57-cloud-amd64", "6.1.0-57-cloud-amd64", Equal),
            ("6.10.0-1", "6.9.9-9", Greater),
            ("1.0~rc1", "1.0", Less),
            ("1.0~rc1", "1.0~rc2", Less),
            ("1.0a", "1.0", Greater),
            ("1.a", "1.1", Less),
            ("1.010", "1.10", Equal),
            ("1.0^git1", "1.0", Greater),
            ("1.0^git1", "1.0.1", Less),
            ("1.0^git1", "1.0^git2", Less),
            ("1.0^git1~pre", "1.0^git1", Less),
        ] {
            assert_eq!(compare(one, other), order, "{one} {other}");
            assert_eq!(compare(other, one), order.reverse(), "{other} {one}");
        }
    }

    #[test]
    fn an_epoch_outranks_the_version() {
        let of = |epoch, version: &str, release: &str| Package {
            version: version.to_owned(),
            release: release.to_owned(),
            ..super::super::sample("x", epoch)
        };
        for (one, other, order) in [
            (of(Some(1), "1", "1"), of(None, "2", "1"), Ordering::Greater),
            (of(Some(0), "1", "1"), of(None, "1", "1"), Ordering::Equal),
            (of(None, "1", "9"), of(None, "1", "10"), Ordering::Less),
        ] {
            assert_eq!(compare_packages(&one, &other), order);
            assert_eq!(compare_evr(&one.evr(), &other.evr()), order);
        }
    }
}
