//! What stands before the text of a console line, and is none of it.

/// How many prefixes can stand one behind the other: the journal's, a collector's, anaconda's.
const MAX_PREFIXES: usize = 5;

/// The text of a console line without what stands before it: progress dots, the kernel's time
/// stamp, the date and the program that a log puts before it, and anaconda's time of day.
pub fn body(line: &str) -> &str {
    let mut line = line.trim_start_matches(['.', ' ', '\t']).trim_end();
    for _ in 0..MAX_PREFIXES {
        let rest = kernel_time(line)
            .or_else(|| log_date(line))
            .or_else(|| syslog_date(line))
            .or_else(|| journal_program(line))
            .or_else(|| time_of_day(line))
            .or_else(|| packer_builder(line));
        let Some(rest) = rest else {
            break;
        };
        line = rest.trim_start();
    }
    line.strip_prefix("Warning: ").unwrap_or(line)
}

/// After `[   12.345678] `.
fn kernel_time(line: &str) -> Option<&str> {
    let (time, rest) = line.strip_prefix('[')?.split_once(']')?;
    let digits = time.trim_start();
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
        .then(|| rest.trim_start())
}

/// After `PROGRAM[PID]: ` or `HOST PROGRAM[PID]: `.
fn journal_program(line: &str) -> Option<&str> {
    let (head, rest) = line.split_once("]: ")?;
    let (program, pid) = head.rsplit_once('[')?;
    let words = program.split(' ').count();
    (!pid.is_empty()
        && pid.bytes().all(|b| b.is_ascii_digit())
        && words <= 2
        && !program.is_empty())
    .then_some(rest)
}

/// After `HH:MM:SS `.
fn time_of_day(line: &str) -> Option<&str> {
    let (time, rest) = line.split_once(' ')?;
    fits(time, "00:00:00").then_some(rest)
}

/// After `2024-09-09 11:38:01,439: ` (Python's logging, as livemedia-creator uses it).
fn log_date(line: &str) -> Option<&str> {
    let (date, rest) = line.split_once(' ')?;
    let (time, rest) = rest.split_once(": ")?;
    (fits(date, "0000-00-00") && fits(time, "00:00:00,000")).then_some(rest)
}

/// After `Mar 02 09:17:41 ` (syslog).
fn syslog_date(line: &str) -> Option<&str> {
    const LENGTH: usize = "Mar 02 09:17:41".len();
    let (date, rest) = (line.get(..LENGTH)?, line.get(LENGTH..)?);
    let (month, rest_of_date) = date.split_at_checked(3)?;
    let day_and_time = rest_of_date.strip_prefix(' ')?.replace(' ', "0");
    let month = month.bytes().all(|b| b.is_ascii_alphabetic());
    (month && fits(&day_and_time, "00000:00:00"))
        .then(|| rest.strip_prefix(' '))
        .flatten()
}

/// After `==> qemu: ` (packer).
fn packer_builder(line: &str) -> Option<&str> {
    let (builder, rest) = line.strip_prefix("==> ")?.split_once(": ")?;
    (!builder.contains(' ')).then_some(rest)
}

/// Whether `text` is as `form`, in which each `0` stands for a digit.
fn fits(text: &str, form: &str) -> bool {
    text.len() == form.len()
        && text
            .bytes()
            .zip(form.bytes())
            .all(|(byte, form)| match form {
                b'0' => byte.is_ascii_digit(),
                other => byte == other,
            })
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
