//! What stands before the text of a console line, and is none of it.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

/// The kernel's time stamp: `[   12.345678] `.
const KERNEL_TIME: &str = r"\[[ \t]*[0-9.]+\][ \t]*";

/// The program that a line of the journal names: `PROGRAM[PID]`, `HOST PROGRAM[PID]`.
const PROGRAM: &str = r"[^ ]+?(?: [^ ]*?)?\[[0-9]+\]";

/// What can stand before a text, up to five one behind the other: the journal's, a collector's,
/// anaconda's.
static PREFIXES: LazyLock<Regex> = LazyLock::new(|| {
    let alternatives = [
        KERNEL_TIME,
        // Python's logging, as livemedia-creator uses it: `2024-09-09 11:38:01,439: `.
        "[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2},[0-9]{3}: ",
        // syslog: `Mar  2 09:17:41 `.
        "[A-Za-z]{3} [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2} ",
        &format!("{PROGRAM}: "),
        // anaconda's time of day: `11:38:01 `.
        "[0-9]{2}:[0-9]{2}:[0-9]{2} ",
        // packer: `==> qemu: `.
        "==> [^ ]*?: ",
    ];
    let prefix = alternatives.join("|");
    Regex::new(&format!(r"^(?:(?:{prefix})[ \t]*){{0,5}}")).expect("a pattern of ours")
});

/// The text of a console line without what stands before it: progress dots, the kernel's time
/// stamp, the date and the program that a log puts before it, and anaconda's time of day.
pub fn body(line: &str) -> &str {
    let line = line.trim_start_matches(['.', ' ', '\t']).trim_end();
    let prefixes = PREFIXES.find(line).map_or(0, |found| found.end());
    let text = &line[prefixes..];
    text.strip_prefix("Warning: ").unwrap_or(text)
}

/// What systemd reports of its units, as a start or a stop of this or that.
const STATUS: [&str; 13] = [
    "Starting",
    "Started",
    "Stopping",
    "Stopped",
    "Finished",
    "Reached target",
    "Mounting",
    "Mounted",
    "Unmounting",
    "Unmounted",
    "Failed to",
    "Timed out waiting for",
    "Dependency failed for",
];

/// A line of systemd's status without the name of the unit: of `StatusUnitFormat=`'s values
/// `combined` (`Reached target anaconda.target - Anaconda System Services.`, shortened in the
/// middle if the line is long) reads as `description` then (systemd-system.conf(5)).
pub fn without_unit(line: &str) -> Cow<'_, str> {
    let unit = || {
        let end = line.find(" - ")?;
        let start = line[..end].rfind(' ')? + 1;
        // Behind `[  OK  ] ` and the like.
        let verb = body(&line[..start]).rsplit("] ").next()?;
        let is_status = STATUS.iter().any(|known| verb.starts_with(known));
        let is_unit = line[start..end].contains(['.', '\u{2026}']);
        (is_status && is_unit).then_some((start, end + " - ".len()))
    };
    match unit() {
        Some((start, end)) => Cow::Owned(format!("{}{}", &line[..start], &line[end..])),
        None => Cow::Borrowed(line),
    }
}

/// The program that a line of the journal names, with its number: `dracut-initqueue[1552]`.
pub fn printed_by(line: &str) -> Option<&str> {
    static PRINTED: LazyLock<Regex> = LazyLock::new(|| {
        let pattern = format!(r"^[ \t]*(?:{KERNEL_TIME})?({PROGRAM}): ");
        Regex::new(&pattern).expect("a pattern of ours")
    });
    Some(PRINTED.captures(line)?.get(1)?.as_str())
}

/// A text without what curl draws of its progress (curl(1), PROGRESS METER): the head, and the
/// rows that it draws over each other.
pub fn without_meter(text: &str) -> Cow<'_, str> {
    static METER: LazyLock<Regex> = LazyLock::new(|| {
        let size = r"[\d.]+[kMGTP]?";
        let time = r"(?:--:--:--|\d+:\d\d:\d\d|\d+d \d\dh)";
        let head =
            r"% Total\s+% Received\s+% Xferd\s+Average Speed\s+Time\s+Time\s+Time\s+Current\s*";
        let row = format!(
            r"(?:\s*\d+\s+{size}){{3}}\s+{size}\s+{size}\s+{time}\s+{time}\s+{time}\s+{size}"
        );
        Regex::new(&format!(
            r"(?-u)\s*(?:{head}|Dload\s+Upload\s+Total\s+Spent\s+Left\s+Speed|{row})+"
        ))
        .expect("a pattern of ours")
    });
    METER.replace_all(text, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_before_a_text_is_passed_over() {
        for line in [
            "Running post-installation scripts",
            "..Running post-installation scripts",
            "[   33.517655] anaconda[2628]: Running post-installation scripts",
            "anaconda[2628]: Running post-installation scripts",
            "12:13:14 Running post-installation scripts",
            "[  120.1] host anaconda[77]: 12:13:14 Running post-installation scripts",
            "2024-09-09 11:38:15,480: Running post-installation scripts",
            "2024-09-09 11:38:15,480: 11:38:15 Running post-installation scripts",
            "==> qemu: Running post-installation scripts",
            "Mar 02 09:17:41 host.example.org lorax[26293]: Running post-installation scripts",
            "Mar  2 09:17:41 host lorax[2]: 2020-03-02 09:17:41,715: Running post-installation scripts",
        ] {
            assert_eq!(body(line), "Running post-installation scripts", "{line:?}");
        }
    }

    #[test]
    fn the_names_of_units_are_passed_over() {
        for (line, text) in [
            (
                "[  OK  ] Reached target anaconda.ta\u{2026}et - Anaconda System Services.",
                "[  OK  ] Reached target Anaconda System Services.",
            ),
            (
                "         Starting anaconda.service - Anaconda...",
                "         Starting Anaconda...",
            ),
            (
                "[FAILED] Failed to mount sysroot.mount - /sysroot.",
                "[FAILED] Failed to mount /sysroot.",
            ),
            (
                "[ 9.1] systemd[1]: Stopped anaconda.service - Anaconda.",
                "[ 9.1] systemd[1]: Stopped Anaconda.",
            ),
            (
                "[  OK  ] Started Anaconda - x.",
                "[  OK  ] Started Anaconda - x.",
            ),
            ("curl a.b - c", "curl a.b - c"),
            (" - ", " - "),
        ] {
            assert_eq!(without_unit(line), text);
        }
    }

    #[test]
    fn who_printed_a_line_is_known() {
        let by = "dracut-initqueue[1552]";
        assert_eq!(
            printed_by("[   49.1] dracut-initqueue[1552]: Unknown command: x"),
            Some(by)
        );
        assert_eq!(printed_by("dracut-initqueue[1552]: x"), Some(by));
        assert_eq!(printed_by("[   49.1] Linux version 5"), None);
        assert_eq!(printed_by("Unknown command: x"), None);
    }

    #[test]
    fn curls_meter_is_no_message() {
        for (text, left) in [
            (
                "failed:  % Total    % Received % Xferd  Average Speed   Time    Time     Time  Current \
                 Dload  Upload   Total   Spent    Left  Speed \
                 0     0    0     0    0     0      0      0 --:--:-- --:--:-- --:--:--     0 \
                 42  150M   42 63.8M    0     0  38.5M      0  0:00:03  0:00:01  0:00:02 38.5M \
                 curl: (22) The requested URL returned error: 404",
                "failed: curl: (22) The requested URL returned error: 404",
            ),
            (
                "100 200 300 a number of numbers",
                "100 200 300 a number of numbers",
            ),
        ] {
            let plain = without_meter(text);
            assert_eq!(plain.split_whitespace().collect::<Vec<_>>().join(" "), left);
        }
    }

    #[test]
    fn what_is_no_prefix_stays() {
        for line in [
            "[  OK  ] x",
            "[]: x",
            "a b c[1]: x",
            "12:13 x",
            "Mar\u{e9} 02 09:17:41 x",
            "[x",
        ] {
            assert_eq!(body(line), line);
        }
    }
}
