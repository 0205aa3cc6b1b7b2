//! What a golden image should not have, or should not do.

use super::{Check, at_option, body, missing, running};
use crate::check::rules::Rule;
use crate::check::setting::Setting;
use crate::diagnostic::{Diagnostic, Severity};
use crate::kickstart::outline::SectionKind;
use crate::language::{Reading, Version};

/// KS192 to KS194.
pub const RULES: &[Rule] = &[
    Rule {
        id: "KS192",
        title: "every copy of the image has the same identity",
        explanation: "\
            No `%post` empties /etc/machine-id (RHEL 7 and later) or removes the SSH host keys, so \
            machines that are made from copies of the image share them: DHCP servers give them \
            one address, journals are mixed, and whoever has one machine's host key can pass for \
            all.\n\n\
            End a `%post` with `: >/etc/machine-id` and `rm -f /etc/ssh/ssh_host_*`, or use \
            virt-sysprep on the finished image. The installer of RHEL 8 and later makes no host \
            keys by itself, but a package or a started service may. It is a note.",
    },
    Rule {
        id: "KS193",
        title: "SELinux is switched off",
        explanation: "\
            `selinux --disabled` leaves all files without labels, so that switching it on later \
            means relabelling the whole system. From RHEL 9 on the kernel no longer switches \
            SELinux off by that setting alone.\n\n\
            Write `selinux --enforcing`, or `--permissive` to see what would be refused.",
    },
    Rule {
        id: "KS194",
        title: "the firewall is switched off",
        explanation: "\
            `firewall --disabled` leaves every port of the image open from its first start.\n\n\
            Write `firewall --enabled --service=ssh`. Clouds that filter outside of the machine \
            are a reason to leave it off: it is a note.",
    },
];

/// The rules at work.
pub const CHECKS: &[Check] = &[identity, selinux, firewall];

fn identity(reading: &Reading, setting: &Setting, findings: &mut Vec<Diagnostic>) {
    if !reading.complete {
        return;
    }
    let mentions = |word: &str| {
        reading.sections.iter().any(|entry| {
            entry.section.kind == SectionKind::Post && body(reading, entry).contains(word)
        })
    };
    let machine_id = setting.version == Version::Rhel(6) || mentions("machine-id");
    let host_keys = mentions("ssh_host_") || mentions("/etc/ssh/*key");
    let what = match (machine_id, host_keys) {
        _ if mentions("sys-unconfig") || mentions("virt-sysprep") => return,
        (true, true) => return,
        (false, true) => "the machine id",
        (true, false) => "the SSH host keys",
        (false, false) => "the machine id and the SSH host keys",
    };
    let message = format!("no `%post` takes {what} out of the image, so its copies may share them");
    findings.push(
        missing(reading, Severity::Note, message)
            .id("KS192")
            .help("end a `%post` with `: >/etc/machine-id` and `rm -f /etc/ssh/ssh_host_*`"),
    );
}

fn selinux(reading: &Reading, _setting: &Setting, findings: &mut Vec<Diagnostic>) {
    switched_off(
        reading,
        "selinux",
        "SELinux",
        ("KS193", "write `selinux --enforcing`"),
        findings,
    );
}

fn firewall(reading: &Reading, _setting: &Setting, findings: &mut Vec<Diagnostic>) {
    let help = "write `firewall --enabled --service=ssh`";
    switched_off(
        reading,
        "firewall",
        "the firewall",
        ("KS194", help),
        findings,
    );
}

fn switched_off(
    reading: &Reading,
    command: &str,
    what: &str,
    (id, help): (&'static str, &str),
    findings: &mut Vec<Diagnostic>,
) {
    let Some(entry) = running(reading, command).next_back() else {
        return;
    };
    for option in ["--disabled", "--disable"] {
        if entry.arguments().has(option) {
            let message = format!("{what} is switched off in the image");
            let finding = at_option(reading, Severity::Note, entry, option, message);
            findings.push(finding.id(id).help(help));
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{alone, found};
    use super::*;
    use crate::language::Version::Rhel;

    #[test]
    fn copies_are_told_apart() {
        let post = |lines: &str| format!("%post\n{lines}\n%end\n");
        let both = post(": >/etc/machine-id\nrm -f /etc/ssh/ssh_host_*");
        assert_eq!(alone(&both, Rhel(9), "KS192"), None);
        assert_eq!(alone("text\n", Rhel(9), "KS192"), Some(Severity::Note));
        let keys = post("rm -f /etc/ssh/ssh_host_*");
        assert_eq!(alone(&keys, Rhel(9), "KS192"), Some(Severity::Note));
        assert_eq!(alone(&keys, Rhel(6), "KS192"), None);
    }

    #[test]
    fn what_is_switched_off() {
        let setting = Setting::alone(Rhel(9));
        let expected = [(Severity::Note, "--disabled".to_string())];
        assert_eq!(found("selinux --disabled\n", &setting, "KS193"), expected);
        assert_eq!(found("selinux --enforcing\n", &setting, "KS193"), []);
        let text = "firewall --disable\n";
        let expected = [(Severity::Note, "--disable".to_string())];
        assert_eq!(found(text, &setting, "KS194"), expected);
        assert_eq!(found("firewall --enabled --ssh\n", &setting, "KS194"), []);
    }
}
