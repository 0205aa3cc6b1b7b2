//! Time zone, language and keyboard.

use super::{Check, has_any, is_template, missing, running};
use crate::check::rules::Rule;
use crate::check::setting::Setting;
use crate::diagnostic::{Diagnostic, Severity};
use crate::distro::nearest;
use crate::language::{Reading, Version};

/// KS195 to KS198.
pub const RULES: &[Rule] = &[
    Rule {
        id: "KS195",
        title: "no time zone",
        explanation: "\
            The installer's time screen is complete only with a time zone (anaconda, \
            pyanaconda/ui/tui/spokes/time_spoke.py, RHEL 7 and later; RHEL 6 shows its time zone \
            screen): without `timezone` it waits in text mode and gives up in cmdline mode.\n\n\
            Add `timezone UTC --utc`.",
    },
    Rule {
        id: "KS196",
        title: "no language or keyboard",
        explanation: "\
            RHEL 6 asks for the language and the keyboard where `lang` or `keyboard` is missing, \
            and waits: an error. Later releases take en_US.UTF-8 and us: a note.\n\n\
            Add `lang en_US.UTF-8` and `keyboard us`.",
    },
    Rule {
        id: "KS197",
        title: "a time zone that does not exist",
        explanation: "\
            The name is none of the IANA time zone database's (2025b), which has one city for each \
            zone: Beijing's is Asia/Shanghai. The kickstart parser takes any word; the installer then logs a warning and uses \
            America/New_York or asks, depending on the release.\n\n\
            Write a name as in /usr/share/zoneinfo: `Europe/Berlin`, `Etc/UTC`, `UTC`.",
    },
    Rule {
        id: "KS198",
        title: "a language that is written oddly",
        explanation: "\
            A language is written as in /etc/locale.conf: `de_DE.UTF-8`, `sr_RS.UTF-8@latin`, \
            `en_US`. The kickstart parser takes any word; with one that is no locale the image \
            falls back to `C`, and programs complain.\n\n\
            Correct the name; `locale -a` lists those of a machine.",
    },
];

/// The rules at work.
pub const CHECKS: &[Check] = &[no_timezone, no_language, odd_timezone, odd_language];

/// Every name in the IANA time zone database (2025b), with those kept for compatibility, one a
/// line and sorted.
const TIMEZONES: &str = include_str!("timezones.txt");

fn no_timezone(reading: &Reading, _setting: &Setting, findings: &mut Vec<Diagnostic>) {
    if has_any(reading, &["timezone"]) {
        return;
    }
    let message = "there is no `timezone`, so the installer would ask";
    findings.push(
        missing(reading, Severity::Error, message)
            .id("KS195")
            .help("add `timezone UTC --utc`"),
    );
}

fn no_language(reading: &Reading, setting: &Setting, findings: &mut Vec<Diagnostic>) {
    for (name, line) in [("lang", "lang en_US.UTF-8"), ("keyboard", "keyboard us")] {
        if has_any(reading, &[name]) {
            continue;
        }
        let (severity, message) = if setting.version == Version::Rhel(6) {
            (
                Severity::Error,
                format!("there is no `{name}`, so the installer would ask"),
            )
        } else if reading.complete {
            (
                Severity::Note,
                format!("there is no `{name}`, so the release's default is taken"),
            )
        } else {
            continue;
        };
        findings.push(
            missing(reading, severity, message)
                .id("KS196")
                .help(format!("add `{line}`")),
        );
    }
}

fn odd_timezone(reading: &Reading, _setting: &Setting, findings: &mut Vec<Diagnostic>) {
    for entry in running(reading, "timezone") {
        let Some(word) = entry.arguments().positionals().next() else {
            continue;
        };
        if TIMEZONES.lines().any(|known| known == word.text) || is_template(&word.text) {
            continue;
        }
        let known: Vec<&str> = TIMEZONES.lines().collect();
        let help = match (word.text.as_str(), nearest::one(&word.text, &known)) {
            ("Asia/Beijing" | "Asia/Peking", _) => "did you mean `Asia/Shanghai`?".to_string(),
            (_, Some(near)) => {
                format!("did you mean `{near}`? Names are those in /usr/share/zoneinfo")
            }
            _ => "write a name as in /usr/share/zoneinfo, such as `Europe/Berlin` or `UTC`"
                .to_string(),
        };
        let message = format!("there is no time zone `{}`", word.text);
        findings.push(
            reading
                .finding(Severity::Warning, entry.text, word.span.clone(), message)
                .id("KS197")
                .help(help),
        );
    }
}

/// `ll[l][_CC][.charset][@modifier]`, `C` and `POSIX`.
fn is_language(text: &str) -> bool {
    let (rest, modifier) = text.split_once('@').unwrap_or((text, "x"));
    let (name, charset) = rest.split_once('.').unwrap_or((rest, "x"));
    if !modifier.bytes().all(|b| b.is_ascii_alphanumeric()) || modifier.is_empty() {
        return false;
    }
    if !charset
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'-')
        || charset.is_empty()
    {
        return false;
    }
    let (language, country) = match name.split_once('_') {
        Some((language, country)) => (language, Some(country)),
        None => (name, None),
    };
    let lower =
        (2..=3).contains(&language.len()) && language.bytes().all(|b| b.is_ascii_lowercase());
    let upper =
        |country: &str| country.len() == 2 && country.bytes().all(|b| b.is_ascii_uppercase());
    matches!(name, "C" | "POSIX") || lower && country.is_none_or(upper)
}

fn odd_language(reading: &Reading, _setting: &Setting, findings: &mut Vec<Diagnostic>) {
    for entry in running(reading, "lang") {
        let Some(word) = entry.arguments().positionals().next() else {
            continue;
        };
        if is_language(&word.text) || is_template(&word.text) {
            continue;
        }
        let message = format!("`{}` is not written like a language", word.text);
        findings.push(
            reading
                .finding(Severity::Warning, entry.text, word.span.clone(), message)
                .id("KS198")
                .help("write it like `en_US.UTF-8`"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{alone, found};
    use super::*;
    use crate::language::Version::{Fedora, Rhel};

    #[test]
    fn what_must_be_there() {
        for version in [Rhel(6), Rhel(10), Fedora(40)] {
            assert_eq!(alone("text\n", version, "KS195"), Some(Severity::Error));
            assert_eq!(alone("timezone UTC\n", version, "KS195"), None);
        }
        let text = "%include /tmp/x\n";
        assert_eq!(alone(text, Rhel(9), "KS195"), Some(Severity::Note));
        assert_eq!(alone("lang C\n", Rhel(6), "KS196"), Some(Severity::Error));
        assert_eq!(alone("lang C\n", Rhel(7), "KS196"), Some(Severity::Note));
        assert_eq!(alone("lang C\nkeyboard us\n", Rhel(6), "KS196"), None);
        assert_eq!(alone(text, Rhel(7), "KS196"), None);
    }

    #[test]
    fn names_are_written_as_they_are() {
        let setting = Setting::alone(Rhel(9));
        let expected = [(Severity::Warning, "Nowhere/Nope".to_string())];
        assert_eq!(
            found("timezone Nowhere/Nope --utc\n", &setting, "KS197"),
            expected
        );
        for name in ["Asia/Beijing", "Europe/Munich", "utc", "EST6"] {
            let text = format!("timezone {name}\n");
            assert_eq!(
                alone(&text, Rhel(9), "KS197"),
                Some(Severity::Warning),
                "{name}"
            );
        }
        for name in ["Europe/Berlin", "UTC", "America/Argentina/Salta", "EST5EDT"] {
            assert_eq!(
                found(&format!("timezone {name}\n"), &setting, "KS197"),
                [],
                "{name}"
            );
        }
        for (name, odd) in [
            ("en_US.UTF-8", false),
            ("en_US", false),
            ("de", false),
            ("sr_RS.UTF-8@latin", false),
            ("C.UTF-8", false),
            ("en_US.utf8", false),
            ("english", true),
            ("en-US", true),
            ("en_us.UTF-8", true),
            ("en_US.", true),
        ] {
            let found = alone(&format!("lang {name}\n"), Rhel(9), "KS198").is_some();
            assert_eq!(found, odd, "{name}");
        }
    }
}
