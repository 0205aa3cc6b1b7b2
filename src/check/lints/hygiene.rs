//! What a golden image should not have, or should not do.

use super::{Lint, Linter, first_option};
use crate::diagnostic::Severity::Note;
use crate::kickstart::outline::SectionKind;
use crate::language::Version;

/// KS192 to KS194.
pub const LINTS: &[Lint] = &[identity, switched_off];

fn identity(linter: &mut Linter<'_>) {
    if !linter.reading.complete {
        return;
    }
    let mentions = |word: &str| {
        let mut scripts = linter.sections(SectionKind::Post);
        scripts.any(|entry| linter.body(entry).contains(word))
    };
    let machine_id = linter.setting.version == Version::Rhel(6) || mentions("machine-id");
    let host_keys = mentions("ssh_host_") || mentions("/etc/ssh/*key");
    let what = match (machine_id, host_keys) {
        _ if mentions("sys-unconfig") || mentions("virt-sysprep") => return,
        (true, true) => return,
        (false, true) => "the machine id",
        (true, false) => "the SSH host keys",
        (false, false) => "the machine id and the SSH host keys",
    };
    let message = format!("no `%post` takes {what} out of the image, so its copies may share them");
    let help = "end a `%post` with `: >/etc/machine-id` and `rm -f /etc/ssh/ssh_host_*`";
    linter.missing(Note, "KS192", message, help);
}

fn switched_off(linter: &mut Linter<'_>) {
    for (command, id, what, help) in [
        ("selinux", "KS193", "SELinux", "write `selinux --enforcing`"),
        (
            "firewall",
            "KS194",
            "the firewall",
            "write `firewall --enabled --service=ssh`",
        ),
    ] {
        let Some(entry) = linter.running(command).next_back() else {
            continue;
        };
        if let Some(option) = first_option(entry, &["--disabled", "--disable"]) {
            let message = format!("{what} is switched off in the image");
            linter.at((entry, option), Note, id, message, help);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{alone, found};
    use crate::check::setting::Setting;
    use crate::diagnostic::Severity;
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
