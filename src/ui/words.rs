//! How far an install is, in words.

use std::time::Duration;

use super::event::Progress;
use crate::watch::phases::Phase;
use crate::watch::progress::Counted;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const MIB: f64 = (1 << 20) as f64;

/// Percent, packages, what is left: `43%, 212/412 packages, about 3 min left`.
pub fn progress(progress: &Progress) -> String {
    let unit = if progress.phase == Phase::Packages {
        " packages"
    } else {
        ""
    };
    let parts = [
        Some(format!("{}%", progress.percent)),
        count(progress).map(|count| count + unit),
        progress.remaining.map(remaining),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// How many are done of what is counted in this phase: packages, or bytes of them.
pub fn count(progress: &Progress) -> Option<String> {
    match progress.phase {
        Phase::Downloading => progress.download.map(bytes),
        Phase::Packages => {
            let Counted { done, total } = progress.packages?;
            Some(format!("{done}/{total}"))
        }
        _ => None,
    }
}

/// Bytes of how many: `12.0/340 MiB`.
fn bytes(counted: Counted) -> String {
    let mib = |bytes: u64| {
        let mib = bytes as f64 / MIB;
        match mib < 99.95 {
            true => format!("{mib:.1}"),
            false => format!("{mib:.0}"),
        }
    };
    format!("{}/{} MiB", mib(counted.done), mib(counted.total))
}

/// What is left, no more exactly than it is known: `about 3 min left`.
pub fn remaining(span: Duration) -> String {
    let seconds = span.as_secs();
    // Half minutes count as whole ones.
    let minutes = (seconds + MINUTE / 2) / MINUTE;
    match minutes {
        0 => "less than 1 min left".to_owned(),
        1..60 => format!("about {minutes} min left"),
        _ => format!("about {} h {} min left", minutes / 60, minutes % 60),
    }
}

/// A time that has passed, as a watch shows it: `4:05`, `1:02:33`.
pub fn elapsed(span: Duration) -> String {
    let seconds = span.as_secs();
    let (hours, minutes) = (seconds / HOUR, seconds % HOUR / MINUTE);
    let seconds = seconds % MINUTE;
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        hours => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes() {
        let of = Duration::from_secs;
        assert_eq!(elapsed(of(0)), "0:00");
        assert_eq!(elapsed(of(245)), "4:05");
        assert_eq!(elapsed(of(3753)), "1:02:33");
        assert_eq!(remaining(of(29)), "less than 1 min left");
        assert_eq!(remaining(of(30)), "about 1 min left");
        assert_eq!(remaining(of(170)), "about 3 min left");
        assert_eq!(remaining(of(3 * 3600 + 65)), "about 3 h 1 min left");
        let counted = |done, total| Counted { done, total };
        assert_eq!(bytes(counted(1 << 19, 340 << 20)), "0.5/340 MiB");
    }

    #[test]
    fn only_what_is_known_is_said() {
        let mut of = Progress {
            phase: Phase::Packages,
            percent: 43,
            packages: None,
            download: None,
            elapsed: Duration::from_secs(60),
            remaining: None,
        };
        assert_eq!(progress(&of), "43%");
        of.packages = Some(Counted {
            done: 212,
            total: 412,
        });
        of.remaining = Some(Duration::from_secs(180));
        assert_eq!(progress(&of), "43%, 212/412 packages, about 3 min left");
        of.phase = Phase::Downloading;
        of.download = Some(Counted {
            done: 3 << 20,
            total: 100 << 20,
        });
        assert_eq!(progress(&of), "43%, 3.0/100 MiB, about 3 min left");
        of.phase = Phase::BootLoader;
        assert_eq!(progress(&of), "43%, about 3 min left");
    }
}
