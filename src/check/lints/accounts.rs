//! Whether anybody can log in to what was installed.

use super::{IMAGE_SOURCES, Lint, Linter};
use crate::diagnostic::Severity::{Error, Note, Warning};
use crate::language::Version;
use crate::language::packages::Wanted;
use crate::language::reading::Entry;

/// KS130 to KS132.
pub const LINTS: &[Lint] = &[nobody, root_is_locked, no_password];

/// Packages that make accounts at the first start.
const AGENTS: [&str; 5] = [
    "cloud-init",
    "ignition",
    "afterburn",
    "google-guest-agent",
    "WALinuxAgent",
];

/// Whether the user is in one of these groups, which may have a number: `wheel(10)`.
fn is_in(entry: &Entry, names: &[&str]) -> bool {
    let mut groups = entry.arguments().list("--groups").into_iter();
    groups.any(|group| names.contains(&group.split('(').next().unwrap_or(group).trim_end()))
}

/// Whether an account is locked: the installer locks those without a password, too (anaconda,
/// modules/users/users.py).
fn is_locked(entry: &Entry) -> bool {
    entry.arguments().has("--lock") || entry.arguments().filled("--password").is_none()
}

/// Whether the installer takes a user for an administrator: of a line that was refused it is not
/// known what it says. RHEL 8 and earlier look at the group alone (`check_admin_user_exists`).
fn may_have_administrator(linter: &Linter<'_>) -> bool {
    let counts = |entry| !linter.setting.version.since(9, 34) || !is_locked(entry);
    let mut users = linter.reading.commands_named("user");
    users.any(|entry| entry.arguments.is_none() || is_in(entry, &["wheel"]) && counts(entry))
}

/// RHEL 6 asks for a password of root's, whoever else there is.
fn is_root_needed(linter: &Linter<'_>) -> bool {
    linter.setting.version == Version::Rhel(6)
}

fn nobody(linter: &mut Linter<'_>) {
    if linter.setting.adds_root_password
        || linter.has_any(&["rootpw"])
        || !is_root_needed(linter) && may_have_administrator(linter)
    {
        return;
    }
    let severity = match linter.has_any(&IMAGE_SOURCES) {
        true => Warning,
        false => Error,
    };
    let mut users = linter.running("user");
    let locked = users.find(|entry| is_in(entry, &["wheel"]));
    let message = match locked {
        _ if is_root_needed(linter) => "there is no `rootpw`, so the installer would ask",
        Some(_) => {
            "there is no `rootpw`, and the only `user` in the group `wheel` is locked or has no password, so the installer would ask"
        }
        None => {
            "there is no `rootpw` and no `user` in the group `wheel`, so the installer would ask"
        }
    };
    // Only `ozr install` has the option.
    let help = match linter.setting.new_guest {
        true => {
            "give root a password with `ozr install --root-password prompt`, or with `root-password` in ozr.toml, or add `rootpw --iscrypted HASH`"
        }
        false => "add `rootpw --iscrypted HASH`, or `rootpw --lock` and an administrator",
    };
    let mut users = linter.running("user");
    match locked.or_else(|| users.find(|entry| is_in(entry, &["sudo", "admin", "root"]))) {
        Some(entry) if linter.reading.complete => {
            linter.at((entry, "--groups"), severity, "KS130", message, help)
        }
        _ => linter.missing(severity, "KS130", message, help),
    };
}

/// Whether scripts make accounts of their own.
fn scripts_make_accounts(linter: &Linter<'_>) -> bool {
    let words = ["useradd", "adduser", "passwd", "authorized_keys", "usermod"];
    linter.reading.sections.iter().any(|entry| {
        let body = linter.body(entry);
        entry.section.kind.is_script() && words.iter().any(|word| body.contains(word))
    })
}

fn root_is_locked(linter: &mut Linter<'_>) {
    let Some(entry) = linter.running("rootpw").next_back() else {
        return;
    };
    if !entry.arguments().has("--lock")
        || !linter.reading.complete
        || linter.setting.adds_root_password
        || linter.setting.adds_root_keys
        || linter.has_any(&["sshkey"])
        || may_have_administrator(linter)
    {
        return;
    }
    let has_agent = linter.packages().any(|line| match &line.line.wanted {
        Wanted::Package(name) => AGENTS.contains(&name.as_str()),
        _ => false,
    });
    let severity = match has_agent || scripts_make_accounts(linter) {
        true => Note,
        false => Warning,
    };
    let message = "root cannot log in, and there is no other administrator";
    let help = "add `user --name=… --groups=wheel`, or `sshkey`, unless an agent makes accounts";
    linter.at((entry, "--lock"), severity, "KS131", message, help);
}

fn no_password(linter: &mut Linter<'_>) {
    if scripts_make_accounts(linter) {
        return;
    }
    for entry in linter.running("user") {
        let arguments = entry.arguments();
        let name = arguments.value("--name").unwrap_or_default();
        let has_key = || {
            let mut keys = linter.running("sshkey");
            keys.any(|key| key.arguments().value("--username") == Some(name))
        };
        if arguments.has("--password") || arguments.has("--lock") || has_key() {
            continue;
        }
        let message = format!("the user `{name}` gets no password, so the account is locked");
        let help = "add `--iscrypted --password=HASH`, or `--lock` if that is meant";
        linter.at(entry, Warning, "KS132", message, help);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{alone, found};
    use crate::check::Setting;
    use crate::diagnostic::Severity;
    use crate::language::Version::{Fedora, Rhel};

    #[test]
    fn somebody_must_be_an_administrator() {
        for version in [Rhel(6), Rhel(9), Fedora(40)] {
            assert_eq!(alone("text\n", version, "KS130"), Some(Severity::Error));
        }
        for (text, expected) in [
            ("rootpw --lock\n", None),
            ("rootpw --bogus\n", None),
            ("user --name=a --groups=x,wheel --password=p\n", None),
            ("user --name=a --password=p\n", Some(Severity::Error)),
            (
                "user --name=a --groups=sudo --password=p\n",
                Some(Severity::Error),
            ),
            (
                "user --name=a --groups=wheel --lock\n",
                Some(Severity::Error),
            ),
            ("user --name=a --groups=wheel\n", Some(Severity::Error)),
            ("user --name=a --groups=x,wheel(10) --password=p\n", None),
            ("%include /tmp/x\n", Some(Severity::Note)),
            ("liveimg --url=http://m/x\n", Some(Severity::Warning)),
        ] {
            assert_eq!(alone(text, Rhel(9), "KS130"), expected, "{text}");
        }
        let locked = "user --name=a --groups=wheel --lock\n";
        assert_eq!(alone(locked, Rhel(8), "KS130"), None);
        assert_eq!(alone(locked, Rhel(6), "KS130"), Some(Severity::Error));
    }

    #[test]
    fn a_locked_root_needs_another_way_in() {
        for (text, expected) in [
            ("rootpw --lock\n", Some(Severity::Warning)),
            // KS144 says it there.
            ("rootpw --iscrypted locked\n", None),
            ("rootpw secret\n", None),
            (
                "rootpw --lock\nuser --name=a --groups=wheel --password=p\n",
                None,
            ),
            (
                "rootpw --lock\nuser --name=a --groups=wheel --lock\n",
                Some(Severity::Warning),
            ),
            ("rootpw --lock\nuser --name=a\n", Some(Severity::Warning)),
            ("rootpw --lock\nsshkey --username=root \"k\"\n", None),
            (
                "rootpw --lock\n%packages\ncloud-init\n%end\n",
                Some(Severity::Note),
            ),
            (
                "rootpw --lock\n%post\nuseradd a\n%end\n",
                Some(Severity::Note),
            ),
            ("rootpw --lock\n%include /tmp/x\n", None),
        ] {
            assert_eq!(alone(text, Rhel(9), "KS131"), expected, "{text}");
        }
    }

    #[test]
    fn what_an_install_adds_counts() {
        let plain = Setting::alone(Rhel(9));
        let password = Setting {
            adds_root_password: true,
            ..plain
        };
        let keys = Setting {
            adds_root_keys: true,
            ..plain
        };
        let none = |text, setting: &Setting, id| found(text, setting, id).is_empty();
        assert!(none("text\n", &password, "KS130"));
        // The installer would ask nevertheless.
        assert!(!none("text\n", &keys, "KS130"));
        for setting in [&password, &keys] {
            assert!(none("rootpw --lock\n", setting, "KS131"));
        }
    }

    #[test]
    fn users_have_passwords() {
        let setting = Setting::alone(Rhel(9));
        let expected = [(Severity::Warning, "user".to_string())];
        assert_eq!(found("user --name=a\n", &setting, "KS132"), expected);
        for text in [
            "user --name=a --password=p\n",
            "user --name=a --lock\n",
            "user --name=a\nsshkey --username=a \"k\"\n",
            "user --name=a\n%post\npasswd -d a\n%end\n",
        ] {
            assert_eq!(found(text, &setting, "KS132"), [], "{text}");
        }
    }
}
