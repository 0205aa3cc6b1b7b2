//! What waits for a person, during the installation or at the first start: the user interface,
//! and commands that ask.

use super::{Check, at_command, at_option, missing, running};
use crate::check::rules::Rule;
use crate::check::setting::Setting;
use crate::diagnostic::{Diagnostic, Severity};
use crate::language::packages::Wanted;
use crate::language::reading::Entry;
use crate::language::{Reading, Version};

/// KS165 to KS174.
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
    Rule {
        id: "KS170",
        title: "a command that asks, or installs nothing",
        explanation: "\
            `interactive` (RHEL 6) shows every screen with the kickstart's answers filled in, and \
            `autostep` (up to RHEL 8 and Fedora 33) walks through the screens of the graphical \
            installer: both wait for a person. `rescue` starts the rescue mode, and `upgrade` \
            (RHEL 6) looks for a system to upgrade: neither installs anything.\n\n\
            Delete the line.",
    },
    Rule {
        id: "KS171",
        title: "the medium is checked first",
        explanation: "\
            `mediacheck` reads the whole medium before the installation. RHEL 6 asks about it on \
            the screen, and waits: an error. Later releases do it in the initrd and stop there if \
            the check fails: a warning. With a tree on the network there is no medium.\n\n\
            Delete the line; check the image's checksum on the host instead.",
    },
    Rule {
        id: "KS172",
        title: "a setup screen at the first start",
        explanation: "\
            `firstboot --enable` and `--reconfig` start a setup program on the first boot of every \
            machine that is made from the image; on a text console it holds up the login until \
            somebody answers.\n\n\
            Write `firstboot --disable`.",
    },
    Rule {
        id: "KS173",
        title: "a desktop whose first start asks",
        explanation: "\
            A graphical environment or an initial-setup package is installed, and there is no \
            `firstboot --disable`: initial-setup or GNOME's initial setup runs on the first boot \
            and waits.\n\n\
            Add `firstboot --disable`.",
    },
    Rule {
        id: "KS174",
        title: "the licence is not agreed to",
        explanation: "\
            RHEL 7's initial-setup asks for the licence on the first boot unless the kickstart \
            says `eula --agreed`, also in text mode, and holds up the login.\n\n\
            Add `eula --agreed`, or do not install initial-setup. Only RHEL 7 is judged.",
    },
];

/// The rules at work.
pub const CHECKS: &[Check] = &[
    no_mode, graphical, remote, asks, media, firstboot, desktop, licence,
];

const ASKING: [(&str, &str); 4] = [
    (
        "interactive",
        "`interactive` shows every screen and waits for a person",
    ),
    (
        "autostep",
        "`autostep` walks through the screens and waits for a person",
    ),
    (
        "rescue",
        "`rescue` starts the rescue mode and installs nothing",
    ),
    (
        "upgrade",
        "`upgrade` looks for a system to upgrade and installs nothing",
    ),
];

fn asks(reading: &Reading, _setting: &Setting, findings: &mut Vec<Diagnostic>) {
    for (name, message) in ASKING {
        for entry in running(reading, name) {
            let finding = at_command(reading, Severity::Error, entry, message);
            findings.push(finding.id("KS170").help("delete the line"));
        }
    }
}

fn media(reading: &Reading, setting: &Setting, findings: &mut Vec<Diagnostic>) {
    let severity = if setting.version == Version::Rhel(6) {
        Severity::Error
    } else {
        Severity::Warning
    };
    for entry in running(reading, "mediacheck") {
        let message = "`mediacheck` stops the installation if it asks or fails";
        let finding = at_command(reading, severity, entry, message);
        findings.push(finding.id("KS171").help("delete the line"));
    }
}

fn firstboot(reading: &Reading, _setting: &Setting, findings: &mut Vec<Diagnostic>) {
    let Some(entry) = running(reading, "firstboot").next_back() else {
        return;
    };
    for option in ["--enable", "--reconfig"] {
        if entry.arguments().has(option) {
            let message = "the first start of the image waits for somebody to set it up";
            let finding = at_option(reading, Severity::Warning, entry, option, message);
            findings.push(finding.id("KS172").help("write `firstboot --disable`"));
            return;
        }
    }
}

/// What is installed that asks at the first start, and the line that says so.
fn initial_setup(reading: &Reading) -> Option<(usize, std::ops::Range<usize>)> {
    let mut lines = reading.sections.iter().flat_map(|entry| &entry.packages);
    let line = lines.find(|line| match &line.line.wanted {
        Wanted::Environment(name) | Wanted::Group(name) => {
            let name = name.trim_start_matches('^');
            name.contains("graphical")
                || name.contains("gnome-desktop")
                || name.starts_with("workstation-product")
        }
        Wanted::Package(name) => {
            name.starts_with("initial-setup")
                || name == "gnome-initial-setup"
                || name == "firstboot"
        }
        _ => false,
    })?;
    Some((line.text, line.line.span.clone()))
}

fn desktop(reading: &Reading, _setting: &Setting, findings: &mut Vec<Diagnostic>) {
    if reading.last("firstboot").is_some() || !reading.complete {
        return;
    }
    let Some((text, span)) = initial_setup(reading) else {
        return;
    };
    let message = "this installs a setup program that waits at the first start";
    findings.push(
        reading
            .finding(Severity::Warning, text, span, message)
            .id("KS173")
            .help("add `firstboot --disable`"),
    );
}

fn licence(reading: &Reading, setting: &Setting, findings: &mut Vec<Diagnostic>) {
    let disabled = running(reading, "firstboot").any(|entry| entry.arguments().has("--disable"));
    if setting.version != Version::Rhel(7)
        || disabled
        || !reading.complete
        || reading.last("eula").is_some()
        || initial_setup(reading).is_none()
    {
        return;
    }
    let message = "nothing agrees to the licence, so the first start asks for it";
    findings.push(
        missing(reading, Severity::Warning, message)
            .id("KS174")
            .help("add `eula --agreed`"),
    );
}

const MODES: [&str; 5] = ["text", "cmdline", "graphical", "vnc", "rdp"];

fn last_mode(reading: &Reading) -> Option<&Entry> {
    let mut modes = reading.commands.iter().rev();
    modes.find(|entry| MODES.contains(&entry.name))
}

fn mode_severity(setting: &Setting) -> Severity {
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
    let finding = at_command(reading, mode_severity(setting), entry, message);
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
            let finding = at_command(reading, mode_severity(setting), entry, message);
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
    use super::super::testing::{alone, found, severity};
    use super::*;
    use crate::language::Version::{Fedora, Rhel};

    #[test]
    fn what_waits_or_installs_nothing() {
        for (text, version, expected) in [
            ("interactive\n", Rhel(6), Some(Severity::Error)),
            ("autostep\n", Rhel(7), Some(Severity::Error)),
            ("autostep\n", Fedora(33), Some(Severity::Error)),
            // Ignored there, as the language says.
            ("autostep\n", Rhel(9), None),
            ("rescue\n", Rhel(10), Some(Severity::Error)),
            ("upgrade\n", Rhel(6), Some(Severity::Error)),
            ("upgrade\n", Rhel(7), None),
            ("text\n", Rhel(7), None),
        ] {
            assert_eq!(alone(text, version, "KS170"), expected, "{text} {version}");
        }
        assert_eq!(
            alone("mediacheck\n", Rhel(6), "KS171"),
            Some(Severity::Error)
        );
        assert_eq!(
            alone("mediacheck\n", Rhel(9), "KS171"),
            Some(Severity::Warning)
        );
    }

    #[test]
    fn the_first_start_does_not_wait() {
        let setting = Setting::alone(Rhel(9));
        for option in ["--enable", "--enabled", "--reconfig"] {
            let expected = [(Severity::Warning, option.to_string())];
            assert_eq!(
                found(&format!("firstboot {option}\n"), &setting, "KS172"),
                expected
            );
        }
        assert_eq!(found("firstboot --disabled\n", &setting, "KS172"), []);

        let desktop = "%packages\n@core\n@^graphical-server-environment\n%end\n";
        let expected = [(
            Severity::Warning,
            "@^graphical-server-environment".to_string(),
        )];
        assert_eq!(found(desktop, &setting, "KS173"), expected);
        assert_eq!(alone("%packages\n@core\n%end\n", Rhel(9), "KS173"), None);
        let text = format!("firstboot --disable\n{desktop}");
        assert_eq!(alone(&text, Rhel(9), "KS173"), None);

        let setup = "%packages\ninitial-setup\n%end\n";
        assert_eq!(alone(setup, Rhel(7), "KS174"), Some(Severity::Warning));
        assert_eq!(alone(setup, Rhel(8), "KS174"), None);
        let text = format!("eula --agreed\n{setup}");
        assert_eq!(alone(&text, Rhel(7), "KS174"), None);
    }

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
            assert_eq!(severity(text, &served, id), under_ozr, "{text}");
        }
        // Ignored there, as the language says.
        assert_eq!(alone("vnc\n", Rhel(10), "KS167"), None);
        assert_eq!(alone("rdp\n", Rhel(10), "KS167"), Some(Severity::Warning));
    }
}
