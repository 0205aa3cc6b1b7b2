//! Commands that stop for a person, during the installation or at the first start.

use super::{Check, at_command, at_option, missing, running};
use crate::check::catalogue::Rule;
use crate::check::setting::Setting;
use crate::diagnostic::{Diagnostic, Severity};
use crate::language::packages::Wanted;
use crate::language::{Reading, Version};

/// KS170 to KS174.
pub const RULES: &[Rule] = &[
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
pub const CHECKS: &[Check] = &[asks, media, firstboot, desktop, licence];

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

#[cfg(test)]
mod tests {
    use super::super::testing::{alone, found};
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
}
