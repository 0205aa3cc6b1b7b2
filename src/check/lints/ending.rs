//! What happens when the installation is done.

use std::ops::Range;

use super::{Check, at_command, at_option, missing};
use crate::check::rules::Rule;
use crate::check::setting::Setting;
use crate::diagnostic::{Diagnostic, Severity};
use crate::kickstart::insert;
use crate::kickstart::outline::Item;
use crate::language::Reading;
use crate::language::reading::Entry;

/// KS160 to KS164.
pub const RULES: &[Rule] = &[
    Rule {
        id: "KS160",
        title: "nothing ends the installation",
        explanation: "\
            Without `poweroff`, `shutdown` or `reboot` the installer shows \"Installation \
            complete. Press ENTER to quit\" when it is done and waits for ever (anaconda, \
            pyanaconda/ui/tui/spokes/installation_progress.py, leaves by itself for KS_REBOOT and \
            KS_SHUTDOWN only; RHEL 6 and 7 have the same prompt). The build ends in its time \
            limit, with an image that may be complete and may not.\n\n\
            Add `poweroff`: `ozr check --fix` does it. `ozr install` appends it by itself, so \
            there it is only a note, and with includes that were not read as well.",
    },
    Rule {
        id: "KS161",
        title: "`halt` leaves the machine on",
        explanation: "\
            `halt` is no way out for an unattended install: the installer waits for ENTER \
            (KS_WAIT, see KS160), and afterwards the machine stops without being switched off, so \
            that whoever waits for its end waits for ever.\n\n\
            Write `poweroff`. `ozr install` appends it, and the last ending is the one that \
            counts, so there it is only a note.",
    },
    Rule {
        id: "KS162",
        title: "the machine reboots at the end",
        explanation: "\
            After `reboot` the machine starts again. Where the boot order still has the installer \
            first, as with a kernel given directly or a medium that is not ejected, it installs \
            again, for ever; virt-install and livemedia-creator ask for `poweroff` for that \
            reason. Tools that wait for the machine to come up, such as Packer, need the \
            `reboot`.\n\n\
            For an image write `poweroff`. `ozr install` takes the reboot for the end, so there \
            nothing is said.",
    },
    Rule {
        id: "KS163",
        title: "the installed system is started without the firmware",
        explanation: "\
            `reboot --kexec` (RHEL 8 and later) starts the installed kernel in the place of the \
            installer's. The machine never leaves, so a build that waits for its end waits, and \
            the image has been started once: machine-id, host keys and logs are in it. `ozr \
            install` appends `poweroff`, which overrides it.\n\n\
            Write `poweroff`, or `reboot` without `--kexec`.",
    },
    Rule {
        id: "KS164",
        title: "several endings",
        explanation: "\
            Of `reboot`, `poweroff`, `shutdown` and `halt` the last one counts (pykickstart keeps \
            one action), whatever the ones before it say.\n\n\
            Keep one of them.",
    },
];

/// The rules at work.
pub const CHECKS: &[Check] = &[no_ending, halts, reboots, kexec, several];

const ENDINGS: [&str; 4] = ["reboot", "poweroff", "shutdown", "halt"];

fn endings(reading: &Reading) -> impl DoubleEndedIterator<Item = &Entry> {
    reading
        .commands
        .iter()
        .filter(|entry| ENDINGS.contains(&entry.name))
}

/// Whether the last ending, the one that counts, is this.
fn last_is<'a>(reading: &'a Reading, names: &[&str]) -> Option<&'a Entry> {
    endings(reading)
        .next_back()
        .filter(|entry| names.contains(&entry.name))
}

fn no_ending(reading: &Reading, setting: &Setting, findings: &mut Vec<Diagnostic>) {
    if endings(reading).next().is_some() || setting.adds_ending && !reading.complete {
        return;
    }
    if setting.adds_ending {
        let message = "nothing ends the installation: ozr appends `poweroff`";
        findings.push(
            missing(reading, Severity::Note, message)
                .id("KS160")
                .help("add `poweroff`, so that the kickstart works elsewhere as well"),
        );
        return;
    }
    let message = "nothing ends the installation, so the installer waits for ENTER when it is done";
    let mut finding = missing(reading, Severity::Error, message)
        .id("KS160")
        .help("add `poweroff`");
    if reading.complete {
        let (at, line) = place_of_ending(reading);
        finding = finding.fix(at, line);
    }
    findings.push(finding);
}

/// Where a command can be added, and the line `poweroff` as it belongs there: behind the last
/// command that stands before the sections.
fn place_of_ending(reading: &Reading) -> (Range<usize>, String) {
    let text = &reading.texts[0].text;
    let items = &reading.texts[0].outline.items;
    let before_sections = items
        .iter()
        .take_while(|item| !matches!(item, Item::Section(_)));
    let command = before_sections
        .filter(|item| matches!(item, Item::Command(_) | Item::Include(_)))
        .last()
        .map(|item| item.span().end);
    let section = items
        .iter()
        .find(|item| matches!(item, Item::Section(_)))
        .map(|item| item.span().start);
    let at = command.or(section).unwrap_or(text.len());
    (at..at, insert::line_at(text, at, "poweroff"))
}

fn halts(reading: &Reading, setting: &Setting, findings: &mut Vec<Diagnostic>) {
    let Some(entry) = last_is(reading, &["halt"]) else {
        return;
    };
    let (severity, message) = if setting.adds_ending {
        let message =
            "`halt` would leave the installer waiting: ozr appends `poweroff`, which overrides it";
        (Severity::Note, message)
    } else {
        let message = "`halt` leaves the installer waiting and the machine switched on";
        (Severity::Error, message)
    };
    let finding = at_command(reading, severity, entry, message);
    findings.push(finding.id("KS161").help("write `poweroff` instead"));
}

fn reboots(reading: &Reading, setting: &Setting, findings: &mut Vec<Diagnostic>) {
    let Some(entry) = last_is(reading, &["reboot"]) else {
        return;
    };
    if setting.adds_ending || entry.arguments().has("--kexec") {
        return;
    }
    let message = "the machine reboots at the end, and may start the installer again";
    let finding = at_command(reading, Severity::Note, entry, message);
    findings.push(
        finding
            .id("KS162")
            .help("write `poweroff`, unless something waits for the installed system"),
    );
}

fn kexec(reading: &Reading, setting: &Setting, findings: &mut Vec<Diagnostic>) {
    let Some(entry) = last_is(reading, &ENDINGS) else {
        return;
    };
    if !entry.arguments().has("--kexec") {
        return;
    }
    let severity = if setting.adds_ending {
        Severity::Note
    } else {
        Severity::Warning
    };
    let message = "`--kexec` starts the installed system in the machine that installs it";
    findings.push(
        at_option(reading, severity, entry, "--kexec", message)
            .id("KS163")
            .help("write `poweroff`"),
    );
}

fn several(reading: &Reading, _setting: &Setting, findings: &mut Vec<Diagnostic>) {
    let all: Vec<&Entry> = endings(reading).collect();
    let Some((last, before)) = all.split_last() else {
        return;
    };
    let action = |entry: &Entry| match entry.name {
        "shutdown" => "poweroff",
        other => other,
    };
    for entry in before {
        if action(entry) == action(last) {
            continue;
        }
        let message = format!(
            "`{}` does not count: `{}` in line {} comes later",
            entry.name, last.name, last.command.line
        );
        let finding = at_command(reading, Severity::Warning, entry, message);
        findings.push(finding.id("KS164").help("keep one of them"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{alone, found, severity};
    use super::*;
    use crate::check::fix;
    use crate::language::NoIncludes;
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
            let reading = Reading::new(text, "t.ks", Rhel(9), &NoIncludes);
            let mut findings = Vec::new();
            no_ending(&reading, &Setting::alone(Rhel(9)), &mut findings);
            assert_eq!(fix::apply(text, &findings), (expected.to_string(), 1));
        }
        let text = "text\n%include /tmp/x\n";
        let reading = Reading::new(text, "t.ks", Rhel(9), &NoIncludes);
        let mut findings = Vec::new();
        no_ending(&reading, &Setting::alone(Rhel(9)), &mut findings);
        assert_eq!(fix::apply(text, &findings), (text.to_string(), 0));
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
