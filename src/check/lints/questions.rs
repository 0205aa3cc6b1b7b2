//! What waits for a person, during the installation or at the first start: the user interface,
//! and commands that ask.

use super::{Lint, Linter, first_option};
use crate::diagnostic::Severity::{Error, Note, Warning};
use crate::language::Version;
use crate::language::packages::Wanted;
use crate::language::reading::{Entry, PackageLine};

/// KS165 to KS174.
pub const LINTS: &[Lint] = &[mode, remote, asks, media, firstboot, desktop, licence];

const MODES: [&str; 5] = ["text", "cmdline", "graphical", "vnc", "rdp"];

fn mode(linter: &mut Linter<'_>) {
    let quiet = linter.setting.adds_cmdline;
    let mut modes = linter.reading.commands.iter().rev();
    match modes.find(|entry| MODES.contains(&entry.name)) {
        None if !quiet && linter.reading.complete => {
            let message =
                "there is no display mode, so the installer may start its graphical interface";
            let help = "add `cmdline`, which turns questions into errors, or `text`";
            linter.missing(Warning, "KS165", message, help);
        }
        Some(entry) if entry.name == "graphical" && !entry.arguments().has("--non-interactive") => {
            let message = "the graphical installer shows errors as dialogs that wait for a click";
            overrulable(linter, entry, "KS166", message);
        }
        _ => {}
    }
}

fn remote(linter: &mut Linter<'_>) {
    for name in ["vnc", "rdp"] {
        if let Some(entry) = linter.running(name).next_back() {
            let message =
                format!("`{name}` opens the installer for a viewer, and errors wait for one");
            overrulable(linter, entry, "KS167", &message);
        }
    }
}

/// What the kernel command line overrules under `ozr install`.
fn overrulable(linter: &mut Linter<'_>, entry: &Entry, id: &'static str, message: &str) {
    let severity = match linter.setting.adds_cmdline {
        true => Note,
        false => Warning,
    };
    let help = "write `cmdline` or `text` instead";
    linter.at(entry, severity, id, message, help);
}

fn asks(linter: &mut Linter<'_>) {
    for (name, severity, does) in [
        (
            "interactive",
            Error,
            "shows every screen and waits for a person",
        ),
        // It goes on by itself, and only the graphical installer has screens for it.
        (
            "autostep",
            Warning,
            "shows every screen of the graphical installer, which is for debugging",
        ),
        (
            "rescue",
            Error,
            "starts the rescue mode and installs nothing",
        ),
        (
            "upgrade",
            Error,
            "looks for a system to upgrade and installs nothing",
        ),
    ] {
        for entry in linter.running(name) {
            let message = format!("`{name}` {does}");
            linter.at(entry, severity, "KS170", message, "delete the line");
        }
    }
}

fn media(linter: &mut Linter<'_>) {
    let severity = match linter.setting.version {
        Version::Rhel(6) => Error,
        _ => Warning,
    };
    for entry in linter.running("mediacheck") {
        let message = "`mediacheck` stops the installation if it asks or fails";
        linter.at(entry, severity, "KS171", message, "delete the line");
    }
}

fn firstboot(linter: &mut Linter<'_>) {
    let Some(entry) = linter.running("firstboot").next_back() else {
        return;
    };
    if let Some(option) = first_option(entry, &["--enable", "--reconfig"]) {
        let message = "the first start of the image waits for somebody to set it up";
        let help = "write `firstboot --disable`";
        linter.at((entry, option), Warning, "KS172", message, help);
    }
}

/// The line that installs what asks at the first start.
fn initial_setup<'a>(linter: &Linter<'a>) -> Option<&'a PackageLine> {
    linter.packages().find(|line| match &line.line.wanted {
        Wanted::Environment(name) | Wanted::Group(name) => {
            name.contains("graphical")
                || name.contains("gnome-desktop")
                || name
                    .trim_start_matches('^')
                    .starts_with("workstation-product")
        }
        Wanted::Package(name) => {
            name.starts_with("initial-setup")
                || matches!(name.as_str(), "gnome-initial-setup" | "firstboot")
        }
        _ => false,
    })
}

fn desktop(linter: &mut Linter<'_>) {
    if linter.has_any(&["firstboot"]) || !linter.reading.complete {
        return;
    }
    if let Some(line) = initial_setup(linter) {
        let message = "this installs a setup program that waits at the first start";
        let help = "add `firstboot --disable`";
        linter.at(line, Warning, "KS173", message, help);
    }
}

fn licence(linter: &mut Linter<'_>) {
    let mut firstboots = linter.running("firstboot");
    if linter.setting.version == Version::Rhel(7)
        && linter.reading.complete
        && !firstboots.any(|entry| entry.arguments().has("--disable"))
        && !linter.has_any(&["eula"])
        && initial_setup(linter).is_some()
    {
        let message = "nothing agrees to the licence, so the first start asks for it";
        linter.missing(Warning, "KS174", message, "add `eula --agreed`");
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{alone, found, severity};
    use crate::check::Setting;
    use crate::diagnostic::Severity;
    use crate::language::Version::{Fedora, Rhel};

    #[test]
    fn what_waits_or_installs_nothing() {
        for (text, version, expected) in [
            ("interactive\n", Rhel(6), Some(Severity::Error)),
            ("autostep\n", Rhel(7), Some(Severity::Warning)),
            ("autostep\n", Fedora(33), Some(Severity::Warning)),
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
