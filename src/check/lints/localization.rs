//! Time zone, language and keyboard.

use super::{Lint, Linter, is_placeholder};

use crate::diagnostic::Severity::{Error, Note, Warning};
use crate::input;
use crate::language::Version;
use crate::language::reading::Entry;

/// KS195 to KS198.
pub const LINTS: &[Lint] = &[no_timezone, no_language, odd_timezone, odd_language];

/// Every name in the IANA time zone database (2025b), with those kept for compatibility, one a
/// line and sorted.
const TIMEZONES: &str = include_str!("timezones.txt");

fn no_timezone(linter: &mut Linter<'_>) {
    let lines: Vec<_> = linter.reading.commands_named("timezone").collect();
    // A line that was refused may name one.
    let names = |entry: &&Entry| entry.arguments().words().next().is_some();
    if lines
        .iter()
        .any(|entry| entry.arguments.is_none() || names(entry))
    {
        return;
    }
    let help = "write `timezone UTC --utc`";
    if let Some(&entry) = lines.last() {
        let message = "`timezone` names no time zone, so the installer would ask";
        linter.at(entry, Error, "KS195", message, help);
        return;
    }
    // Its module starts with a time zone, which the first line that it reads replaces (anaconda,
    // modules/timezone/timezone.py, process_kickstart).
    let (severity, then) = match linter.setting.version.since(8, 29) {
        false => (Error, "the installer would ask"),
        true if linter.has_any(&["timesource"]) => (Warning, "the installer may ask"),
        true => (Warning, "the installer takes its own, America/New_York"),
    };
    let message = format!("there is no `timezone`, so {then}");
    linter.missing(severity, "KS195", message, help);
}

fn no_language(linter: &mut Linter<'_>) {
    for (name, line) in [("lang", "lang en_US.UTF-8"), ("keyboard", "keyboard us")] {
        let asks = linter.setting.version == Version::Rhel(6);
        if linter.has_any(&[name]) || !asks && !linter.reading.complete {
            continue;
        }
        let (severity, then) = match asks {
            true => (Error, "the installer would ask"),
            false => (Note, "the release's default is taken"),
        };
        let message = format!("there is no `{name}`, so {then}");
        linter.missing(severity, "KS196", message, format!("add `{line}`"));
    }
}

fn odd_timezone(linter: &mut Linter<'_>) {
    for entry in linter.running("timezone") {
        let Some(word) = entry.arguments().positionals().next() else {
            continue;
        };
        let known: Vec<&str> = TIMEZONES.lines().collect();
        let name = word.text.as_str();
        if known.binary_search(&name).is_ok() || is_placeholder(name) {
            continue;
        }
        let help = match (name, input::nearest(name, &known)) {
            ("Asia/Beijing" | "Asia/Peking", _) => "did you mean `Asia/Shanghai`?".to_string(),
            (_, Some(near)) => {
                format!("did you mean `{near}`? Names are those in /usr/share/zoneinfo")
            }
            _ => "write a name as in /usr/share/zoneinfo, such as `Europe/Berlin` or `UTC`"
                .to_string(),
        };
        let message = format!("there is no time zone `{name}`");
        linter.at((entry.text, &word.span), Warning, "KS197", message, help);
    }
}

/// `ll[l][_CC][.charset][@modifier]`, `C` and `POSIX`.
fn is_language(text: &str) -> bool {
    let (rest, modifier) = text.split_once('@').unwrap_or((text, "x"));
    let (name, charset) = rest.split_once('.').unwrap_or((rest, "x"));
    let (language, country) = name.split_once('_').unwrap_or((name, "XX"));
    let all = |text: &str, is: fn(&u8) -> bool| !text.is_empty() && text.bytes().all(|b| is(&b));
    all(modifier, u8::is_ascii_alphanumeric)
        && all(charset, |b| b.is_ascii_alphanumeric() || *b == b'-')
        && (matches!(name, "C" | "POSIX")
            || (2..=3).contains(&language.len())
                && all(language, u8::is_ascii_lowercase)
                && country.len() == 2
                && all(country, u8::is_ascii_uppercase))
}

fn odd_language(linter: &mut Linter<'_>) {
    for entry in linter.running("lang") {
        let Some(word) = entry.arguments().positionals().next() else {
            continue;
        };
        if !is_language(&word.text) && !is_placeholder(&word.text) {
            let message = format!("`{}` is not written like a language", word.text);
            let help = "write it like `en_US.UTF-8`";
            linter.at((entry.text, &word.span), Warning, "KS198", message, help);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{alone, found};
    use crate::check::Setting;
    use crate::diagnostic::Severity;
    use crate::language::Version::{Fedora, Rhel};

    #[test]
    fn what_must_be_there() {
        for (text, version, expected) in [
            ("text\n", Rhel(6), Some(Severity::Error)),
            ("text\n", Rhel(7), Some(Severity::Error)),
            // The installer has a time zone of its own since then.
            ("text\n", Rhel(8), Some(Severity::Warning)),
            ("text\n", Fedora(40), Some(Severity::Warning)),
            (
                "timesource --ntp-pool=p\n",
                Rhel(9),
                Some(Severity::Warning),
            ),
            ("timezone --utc\n", Rhel(9), Some(Severity::Error)),
            ("timezone UTC\ntimezone --utc\n", Rhel(9), None),
            ("timezone --bogus\n", Rhel(9), None),
            ("timezone UTC\n", Rhel(6), None),
            ("timezone UTC\n", Fedora(40), None),
        ] {
            assert_eq!(alone(text, version, "KS195"), expected, "{text} {version}");
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
