//! What SELinux denied, as the system's own logs have it: the console shows little of it where auditd runs, or
//! where the kernel is `quiet`. Pure.

use std::time::Duration;

use glob::Pattern;

use crate::secrets::Secrets;
use crate::watch::boot::{Sign, allows, sign_of};
use crate::watch::verdict::{Seen, Source};

/// auditd's log.
pub const AUDIT_LOG: &str = "/var/log/audit/audit.log";

/// How a denial is told (Linux, `security/selinux/avc.c`).
const DENIED: &[u8] = b"avc:  denied";

/// Most denials that are kept. More explain nothing.
const MOST: usize = 64;

/// Longest denial, in bytes; one has some 300.
const LONGEST: usize = 1024;

/// The denials in logs, each once, but for those that may be: in text, or in a journal, which holds what it is
/// given as it is where that is short.
pub fn find(logs: &[&[u8]], allowed: &[Pattern]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for log in logs {
        let places = places(log);
        for at in places {
            let rest = &log[at..log.len().min(at + LONGEST)];
            let is_over = |byte: &u8| !(b' '..=b'~').contains(byte);
            let length = rest.iter().position(is_over).unwrap_or(rest.len());
            let text = String::from_utf8_lossy(&rest[..length]);
            let Some(Sign::Denial(record)) = sign_of(&text) else {
                continue;
            };
            if found.len() < MOST && !found.contains(&record) && !allows(allowed, &record) {
                found.push(record);
            }
        }
    }
    found
}

fn places(log: &[u8]) -> Vec<usize> {
    let windows = log.windows(DENIED.len()).enumerate();
    windows
        .filter(|(_, window)| *window == DENIED)
        .map(|(at, _)| at)
        .collect()
}

/// What of a log is new: all that the image's own does not begin it with.
pub fn new_of<'a>(log: &'a [u8], of_image: &[u8]) -> &'a [u8] {
    log.strip_prefix(of_image).unwrap_or(log)
}

/// Why a boot fails by its denials, if there are any: the sentence, and what it rests on.
pub fn failure(denials: &[String], secrets: &Secrets) -> Option<(String, Vec<Seen>)> {
    let first = secrets.hide(denials.first()?);
    let more = match denials.len() {
        1 => String::new(),
        all => format!(" and {} more", all - 1),
    };
    let seen = denials
        .iter()
        .map(|text| Seen::new(Source::Disk, Duration::ZERO, &secrets.hide(text)));
    Some((
        format!("the system is up, but its logs have SELinux denials: {first}{more}"),
        seen.collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denials_are_found_in_logs_and_journals() {
        let log = b"type=AVC msg=audit(1.0:1): avc:  denied  { read } for  pid=1 comm=\"a\"\n\
                    type=AVC msg=audit(2.0:2): avc:  denied  { read } for  pid=1 comm=\"a\"\n\
                    type=AVC msg=audit(2.0:3): avc:  granted  { read }\n\
                    type=AVC msg=audit(2.0:3): avc:  denied  { write } for  pid=2\n";
        let journal = b"\x01\0\0MESSAGE=AVC avc:  denied  { write } for  pid=2\0\0MESSAGE=x";
        let all = [
            "avc:  denied  { read } for  pid=1 comm=\"a\"",
            "avc:  denied  { write } for  pid=2",
        ];
        assert_eq!(find(&[log, journal], &[]), all);
        let allowed = [Pattern::new("*{ read }*").unwrap()];
        assert_eq!(find(&[log, journal], &allowed), all[1..]);
        assert_eq!(find(&[journal], &[]), all[1..]);
        // What the installed image had in its log is not of this boot.
        assert_eq!(find(&[new_of(log, &log[..160])], &[]), all[1..]);
        assert_eq!(failure(&[], &Secrets::default()), None);
    }
}
