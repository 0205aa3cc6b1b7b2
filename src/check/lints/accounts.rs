//! Whether anybody can log in to what was installed.

use super::{Check, IMAGE_SOURCES, at_command, at_option, body, has_any, missing, running};
use crate::check::rules::Rule;
use crate::check::setting::Setting;
use crate::diagnostic::{Diagnostic, Severity};
use crate::language::Reading;
use crate::language::packages::Wanted;
use crate::language::reading::Entry;

/// KS130 to KS132.
pub const RULES: &[Rule] = &[
    Rule {
        id: "KS130",
        title: "no administrator's account",
        explanation: "\
            There is neither a `rootpw` line nor a `user` in the group `wheel`. The installer \
            must have one of them (anaconda, pyanaconda/ui/tui/spokes: the root password and user \
            screens are mandatory until either is there; RHEL 6 asks for a root password): in \
            text mode it waits, in cmdline mode it gives up.\n\n\
            Only `wheel` counts (anaconda, modules/common/structures/user.py, \
            has_admin_priviledges); members of `sudo` or `admin` are no administrators for it.\n\n\
            Add `rootpw --iscrypted HASH` (`openssl passwd -6` makes one), or `rootpw --lock` \
            with `user --name=… --groups=wheel --iscrypted --password=HASH`. For ready images \
            (`liveimg`, `ostreecontainer`, `bootc`), which may bring accounts, it is a warning.",
    },
    Rule {
        id: "KS131",
        title: "root is locked and nobody else can log in",
        explanation: "\
            `rootpw --lock` satisfies the installer, and no `user` in `wheel`, no `sshkey` and no \
            script makes another way in. The image installs and nobody can administer it.\n\n\
            Cloud images are meant to be so, because cloud-init makes the first account from what \
            the cloud tells it: where cloud-init or another such agent is installed this is only a \
            note. Otherwise add a user, or an `sshkey`.",
    },
    Rule {
        id: "KS132",
        title: "user without a password",
        explanation: "\
            A `user` line without `--password` makes an account whose password is locked \
            (anaconda, core/users.py and useradd, every release), which is seldom meant unless a \
            key or a script follows.\n\n\
            Add `--iscrypted --password=HASH`, or `--lock` to say that it is meant, or an \
            `sshkey --username=…` line; with one of them, or a script that sets the password, \
            nothing is said.",
    },
];

/// The rules at work.
pub const CHECKS: &[Check] = &[nobody, root_is_locked, no_password];

/// Packages that make accounts at the first start.
const AGENTS: [&str; 5] = [
    "cloud-init",
    "ignition",
    "afterburn",
    "google-guest-agent",
    "WALinuxAgent",
];

/// Whether the user is in one of these groups.
fn is_in(entry: &Entry, names: &[&str]) -> bool {
    let mut groups = entry.arguments().list("--groups").into_iter();
    groups.any(|group| names.contains(&group.trim()))
}

/// Whether the installer takes the user for an administrator.
fn is_admin(entry: &Entry) -> bool {
    is_in(entry, &["wheel"])
}

/// Whether a line was refused, so that what it says is not known.
fn is_unclear(reading: &Reading, name: &str) -> bool {
    reading
        .commands_named(name)
        .any(|entry| entry.arguments.is_none())
}

fn nobody(reading: &Reading, _setting: &Setting, findings: &mut Vec<Diagnostic>) {
    if has_any(reading, &["rootpw"])
        || is_unclear(reading, "user")
        || running(reading, "user").any(is_admin)
    {
        return;
    }
    let severity = if has_any(reading, &IMAGE_SOURCES) {
        Severity::Warning
    } else {
        Severity::Error
    };
    let message =
        "there is no `rootpw` and no `user` in the group `wheel`, so the installer would ask";
    let elsewhere = running(reading, "user").find(|entry| is_in(entry, &["sudo", "admin", "root"]));
    let finding = match elsewhere {
        Some(entry) if reading.complete => at_option(reading, severity, entry, "--groups", message),
        _ => missing(reading, severity, message),
    };
    findings.push(
        finding
            .id("KS130")
            .help("add `rootpw --iscrypted HASH`, or `rootpw --lock` and an administrator"),
    );
}

/// Whether scripts make accounts of their own.
fn scripts_make_accounts(reading: &Reading) -> bool {
    let words = ["useradd", "adduser", "passwd", "authorized_keys", "usermod"];
    reading.sections.iter().any(|entry| {
        let body = body(reading, entry);
        entry.section.kind.is_script() && words.iter().any(|word| body.contains(word))
    })
}

fn has_agent(reading: &Reading) -> bool {
    let mut lines = reading.sections.iter().flat_map(|entry| &entry.packages);
    lines.any(|line| match &line.line.wanted {
        Wanted::Package(name) => AGENTS.contains(&name.as_str()),
        _ => false,
    })
}

fn root_is_locked(reading: &Reading, _setting: &Setting, findings: &mut Vec<Diagnostic>) {
    let Some(entry) = running(reading, "rootpw").next_back() else {
        return;
    };
    if !entry.arguments().has("--lock")
        || !reading.complete
        || has_any(reading, &["sshkey"])
        || running(reading, "user").any(is_admin)
        || is_unclear(reading, "user")
    {
        return;
    }
    let severity = if has_agent(reading) || scripts_make_accounts(reading) {
        Severity::Note
    } else {
        Severity::Warning
    };
    let message = "root cannot log in, and there is no other administrator";
    findings.push(
        at_option(reading, severity, entry, "--lock", message)
            .id("KS131")
            .help(
                "add `user --name=… --groups=wheel`, or `sshkey`, unless an agent makes accounts",
            ),
    );
}

fn no_password(reading: &Reading, _setting: &Setting, findings: &mut Vec<Diagnostic>) {
    for entry in running(reading, "user") {
        let arguments = entry.arguments();
        let name = arguments.value("--name").unwrap_or_default();
        let has_key =
            running(reading, "sshkey").any(|key| key.arguments().value("--username") == Some(name));
        if arguments.has("--password")
            || arguments.has("--lock")
            || has_key
            || scripts_make_accounts(reading)
        {
            continue;
        }
        let message = format!("the user `{name}` gets no password, so the account is locked");
        findings.push(
            at_command(reading, Severity::Warning, entry, message)
                .id("KS132")
                .help("add `--iscrypted --password=HASH`, or `--lock` if that is meant"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{alone, found};
    use super::*;
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
            ("%include /tmp/x\n", Some(Severity::Note)),
            ("liveimg --url=http://m/x\n", Some(Severity::Warning)),
        ] {
            assert_eq!(alone(text, Rhel(9), "KS130"), expected, "{text}");
        }
    }

    #[test]
    fn a_locked_root_needs_another_way_in() {
        for (text, expected) in [
            ("rootpw --lock\n", Some(Severity::Warning)),
            // KS144 says it there.
            ("rootpw --iscrypted locked\n", None),
            ("rootpw secret\n", None),
            ("rootpw --lock\nuser --name=a --groups=wheel\n", None),
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
