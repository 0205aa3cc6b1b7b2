//! The installer's user interface: one that nobody looks at must not ask.

use super::{Check, at_command, missing, running};
use crate::check::catalogue::Rule;
use crate::check::setting::Setting;
use crate::diagnostic::{Diagnostic, Severity};
use crate::language::Reading;
use crate::language::reading::Entry;

/// KS165 to KS167.
pub const RULES: &[Rule] = &[
    Rule {
        id: "KS165",
        title: "no display mode",
        explanation: "\
            Neither `text` nor `cmdline` is there, so the installer starts its graphical \
            interface where it finds a screen: it takes more memory, downloads more, and shows \
            errors as dialogs that wait for a click. Without a screen it falls back to text, or \
            offers VNC.\n\n\
            Add `cmdline`: it turns every question into an error, so that a build fails in minutes \
            instead of waiting for its time limit; or `text`, whose questions wait. `ozr install` \
            asks for both on the kernel command line, so nothing is said there.",
    },
    Rule {
        id: "KS166",
        title: "graphical installation",
        explanation: "\
            `graphical` starts the graphical interface: it takes more memory, and its dialogs wait \
            for a click that does not come. RHEL 8 and later know `graphical --non-interactive`, \
            which ends the installation where a dialog would come up, and is left alone.\n\n\
            Write `cmdline` or `text`. What the kernel command line asks for overrules the \
            kickstart, so under `ozr install` this is only a note.",
    },
    Rule {
        id: "KS167",
        title: "the installer waits for a viewer",
        explanation: "\
            `vnc` or `rdp` starts a graphical interface for a person elsewhere. It opens a port of \
            the guest, often without a password, and errors wait for somebody to connect.\n\n\
            Write `cmdline` or `text`. Under `ozr install`, which asks for text on the kernel \
            command line, this is only a note.",
    },
];

/// The rules at work.
pub const CHECKS: &[Check] = &[no_mode, graphical, remote];

const MODES: [&str; 5] = ["text", "cmdline", "graphical", "vnc", "rdp"];

fn last_mode(reading: &Reading) -> Option<&Entry> {
    let mut modes = reading.commands.iter().rev();
    modes.find(|entry| MODES.contains(&entry.name))
}

fn severity(setting: &Setting) -> Severity {
    if setting.adds_cmdline {
        Severity::Note
    } else {
        Severity::Warning
    }
}

fn no_mode(reading: &Reading, setting: &Setting, findings: &mut Vec<Diagnostic>) {
    if setting.adds_cmdline || !reading.complete || last_mode(reading).is_some() {
        return;
    }
    let message = "there is no display mode, so the installer may start its graphical interface";
    findings.push(
        missing(reading, Severity::Warning, message)
            .id("KS165")
            .help("add `cmdline`, which turns questions into errors, or `text`"),
    );
}

fn graphical(reading: &Reading, setting: &Setting, findings: &mut Vec<Diagnostic>) {
    let Some(entry) = last_mode(reading).filter(|entry| entry.name == "graphical") else {
        return;
    };
    if entry.arguments().has("--non-interactive") {
        return;
    }
    let message = "the graphical installer shows errors as dialogs that wait for a click";
    let finding = at_command(reading, severity(setting), entry, message);
    findings.push(
        finding
            .id("KS166")
            .help("write `cmdline` or `text` instead"),
    );
}

fn remote(reading: &Reading, setting: &Setting, findings: &mut Vec<Diagnostic>) {
    for name in ["vnc", "rdp"] {
        if let Some(entry) = running(reading, name).next_back() {
            let message =
                format!("`{name}` opens the installer for a viewer, and errors wait for one");
            let finding = at_command(reading, severity(setting), entry, message);
            findings.push(
                finding
                    .id("KS167")
                    .help("write `cmdline` or `text` instead"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{alone, severity as severity_of};
    use super::*;
    use crate::language::Version::Rhel;

    #[test]
    fn modes() {
        let served = Setting {
            adds_cmdline: true,
            ..Setting::alone(Rhel(9))
        };
        for (text, id, by_itself, under_ozr) in [
            ("reboot\n", "KS165", Some(Severity::Warning), None),
            ("text\n", "KS165", None, None),
            ("vnc\n", "KS165", None, None),
            ("%include /tmp/x\n", "KS165", None, None),
            (
                "graphical\n",
                "KS166",
                Some(Severity::Warning),
                Some(Severity::Note),
            ),
            ("graphical\ntext\n", "KS166", None, None),
            ("graphical --non-interactive\n", "KS166", None, None),
            (
                "vnc\n",
                "KS167",
                Some(Severity::Warning),
                Some(Severity::Note),
            ),
        ] {
            assert_eq!(alone(text, Rhel(9), id), by_itself, "{text}");
            assert_eq!(severity_of(text, &served, id), under_ozr, "{text}");
        }
        // Ignored there, as the language says.
        assert_eq!(alone("vnc\n", Rhel(10), "KS167"), None);
        assert_eq!(alone("rdp\n", Rhel(10), "KS167"), Some(Severity::Warning));
    }
}
