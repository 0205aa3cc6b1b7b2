//! What happens when the installation is done.

use super::{Lint, Linter};
use crate::diagnostic::Edit;
use crate::diagnostic::Severity::{Error, Note, Warning};
use crate::kickstart::compose;
use crate::kickstart::outline::Item;
use crate::language::Reading;
use crate::language::reading::Entry;

/// KS160 to KS164.
pub const LINTS: &[Lint] = &[no_ending, last_ending, several];

const ENDINGS: [&str; 4] = ["reboot", "poweroff", "shutdown", "halt"];

fn endings(reading: &Reading) -> impl DoubleEndedIterator<Item = &Entry> {
    reading
        .commands
        .iter()
        .filter(|entry| ENDINGS.contains(&entry.name))
}

fn no_ending(linter: &mut Linter<'_>) {
    let complete = linter.reading.complete;
    if endings(linter.reading).next().is_some() {
        return;
    }
    if linter.setting.adds_ending {
        let message = "nothing ends the installation: ozr appends `poweroff`";
        let help = "add `poweroff`, so that the kickstart works elsewhere as well";
        if complete {
            linter.missing(Note, "KS160", message, help);
        }
        return;
    }
    let edit = place_of_ending(linter.reading);
    let message = "nothing ends the installation, so the installer waits for ENTER when it is done";
    let finding = linter.missing(Error, "KS160", message, "add `poweroff`");
    if complete {
        finding.fix.push(edit);
    }
}

/// Where a command can be added, and the line `poweroff` as it belongs there: behind the last
/// command that stands before the sections.
fn place_of_ending(reading: &Reading) -> Edit {
    let text = &reading.texts[0].text;
    let items = &reading.texts[0].outline.items;
    let is_section = |item: &&Item| matches!(item, Item::Section(_));
    let before_sections = items.iter().take_while(|item| !is_section(item));
    let command = before_sections
        .filter(|item| matches!(item, Item::Command(_) | Item::Include(_)))
        .last()
        .map(|item| item.span().end);
    let section = items.iter().find(is_section).map(|item| item.span().start);
    let at = command.or(section).unwrap_or(text.len());
    Edit {
        span: at..at,
        text: compose::line_at(text, at, "poweroff"),
    }
}

/// Looks at the last ending, the one that counts.
fn last_ending(linter: &mut Linter<'_>) {
    let Some(entry) = endings(linter.reading).next_back() else {
        return;
    };
    let overridden = linter.setting.adds_ending;
    let kexec = entry.arguments().has("--kexec");
    if entry.name == "halt" {
        let (severity, message) = match overridden {
            true => (
                Note,
                "`halt` would leave the installer waiting: ozr appends `poweroff`, which overrides it",
            ),
            false => (
                Error,
                "`halt` leaves the installer waiting and the machine switched on",
            ),
        };
        let help = "write `poweroff` instead";
        linter.at(entry, severity, "KS161", message, help);
    }
    if entry.name == "reboot" && !overridden && !kexec {
        let message = "the machine reboots at the end, and may start the installer again";
        let help = "write `poweroff`, unless something waits for the installed system";
        linter.at(entry, Note, "KS162", message, help);
    }
    if kexec {
        let severity = if overridden { Note } else { Warning };
        let message = "`--kexec` starts the installed system in the machine that installs it";
        let help = "write `poweroff`";
        linter.at((entry, "--kexec"), severity, "KS163", message, help);
    }
}

fn several(linter: &mut Linter<'_>) {
    let all: Vec<&Entry> = endings(linter.reading).collect();
    let Some((last, before)) = all.split_last() else {
        return;
    };
    let action = |entry: &Entry| match entry.name {
        "shutdown" => "poweroff",
        other => other,
    };
    for &entry in before.iter().filter(|entry| action(entry) != action(last)) {
        let message = format!(
            "`{}` does not count: `{}` in line {} comes later",
            entry.name, last.name, last.command.line
        );
        linter.at(entry, Warning, "KS164", message, "keep one of them");
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{alone, findings, found, severity};
    use crate::check::Setting;
    use crate::diagnostic::{Severity, apply_fixes};
    use crate::language::Version::{Fedora, Rhel};

    fn served() -> Setting {
        Setting {
            adds_ending: true,
            ..Setting::alone(Rhel(9))
        }
    }

    #[test]
    fn the_installation_must_end() {
        for version in [Rhel(6), Rhel(9), Fedora(40)] {
            assert_eq!(alone("text\n", version, "KS160"), Some(Severity::Error));
        }
        assert_eq!(severity("text\n", &served(), "KS160"), Some(Severity::Note));
        let text = "text\n%include /tmp/x\n";
        assert_eq!(alone(text, Rhel(9), "KS160"), Some(Severity::Note));
        for text in [
            "poweroff\n",
            "shutdown\n",
            "reboot\n",
            "halt\n",
            "reboot --bogus\n",
        ] {
            assert_eq!(alone(text, Rhel(9), "KS160"), None, "{text}");
        }
    }

    #[test]
    fn the_ending_is_added_where_commands_are() {
        for (text, expected) in [
            (
                "text\n\n# x\n%post\n%end\nlang C\n",
                "text\npoweroff\n\n# x\n%post\n%end\nlang C\n",
            ),
            (
                "text\r\n%post\r\n%end\r\n",
                "text\r\npoweroff\r\n%post\r\n%end\r\n",
            ),
            ("text", "text\npoweroff"),
            ("%post\n%end\n", "poweroff\n%post\n%end\n"),
        ] {
            let findings = findings(text, &Setting::alone(Rhel(9)), "KS160");
            assert_eq!(apply_fixes(text, &findings), (expected.to_string(), 1));
        }
        let text = "text\n%include /tmp/x\n";
        let findings = findings(text, &Setting::alone(Rhel(9)), "KS160");
        assert_eq!(apply_fixes(text, &findings), (text.to_string(), 0));
    }

    #[test]
    fn halt_is_no_ending() {
        let expected = [(Severity::Error, "halt".to_string())];
        assert_eq!(found("halt\n", &Setting::alone(Rhel(9)), "KS161"), expected);
        assert_eq!(severity("halt\n", &served(), "KS161"), Some(Severity::Note));
        assert_eq!(alone("halt\npoweroff\n", Rhel(9), "KS161"), None);
        assert_eq!(
            alone("poweroff\nhalt\n", Rhel(9), "KS161"),
            Some(Severity::Error)
        );
    }

    #[test]
    fn reboots_are_noted() {
        assert_eq!(alone("reboot\n", Rhel(9), "KS162"), Some(Severity::Note));
        assert_eq!(severity("reboot\n", &served(), "KS162"), None);
        let text = "reboot --kexec\n";
        let expected = [(Severity::Warning, "--kexec".to_string())];
        assert_eq!(found(text, &Setting::alone(Rhel(9)), "KS163"), expected);
        assert_eq!(severity(text, &served(), "KS163"), Some(Severity::Note));
        assert_eq!(alone(text, Rhel(9), "KS162"), None);
    }

    #[test]
    fn one_ending_is_enough() {
        let expected = [(Severity::Warning, "reboot".to_string())];
        let setting = Setting::alone(Rhel(9));
        assert_eq!(found("reboot\npoweroff\n", &setting, "KS164"), expected);
        assert_eq!(found("shutdown\npoweroff\n", &setting, "KS164"), []);
    }
}
