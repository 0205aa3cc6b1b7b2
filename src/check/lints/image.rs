//! What is in the image: `%packages`, as far as it can be judged without the repositories, and what
//! a golden image should not have, or should not do.

use super::{IMAGE_SOURCES, Lint, Linter, first_option, is_placeholder};
use crate::diagnostic::Severity::{Note, Warning};
use crate::kickstart::outline::SectionKind;
use crate::language::Version;
use crate::language::packages::Wanted;

/// KS179, KS188 and KS190 to KS194.
pub const LINTS: &[Lint] = &[several, none, useless, identity, switched_off, services];

/// What services are called elsewhere, and in this family. Not in it are names by which a package of this family, too,
/// has a unit or an alias (`mysql`, `ntp`).
const SERVICES: [(&str, &str); 5] = [
    ("ssh", "sshd"),
    ("cron", "crond"),
    ("apache2", "httpd"),
    ("chrony", "chronyd"),
    ("networking", "NetworkManager"),
];

/// The name in this family of a service that is given by another's.
pub fn service_here(name: &str) -> Option<&'static str> {
    let name = name.strip_suffix(".service").unwrap_or(name);
    let mut services = SERVICES.iter();
    services
        .find(|(other, _)| *other == name)
        .map(|(_, ours)| *ours)
}

fn several(linter: &mut Linter<'_>) {
    for line in linter.packages() {
        let (Wanted::Package(name) | Wanted::NoPackage(name)) = &line.line.wanted else {
            continue;
        };
        if name.contains([' ', '\t', ',']) && !is_placeholder(name) {
            let message = format!("`{name}` is taken for the name of one package");
            let help = "write each package on a line of its own, without commas";
            linter.at(line, Warning, "KS188", message, help);
        }
    }
}

fn none(linter: &mut Linter<'_>) {
    if linter.sections(SectionKind::Packages).next().is_some()
        || linter.has_any(&IMAGE_SOURCES)
        || !linter.reading.complete
    {
        return;
    }
    let message = "there is no `%packages`, so the release's large default set is installed";
    let help = "add `%packages`, `@core` and `%end`";
    linter.missing(Warning, "KS190", message, help);
}

fn useless(linter: &mut Linter<'_>) {
    let mut commands = linter.reading.commands.iter();
    let Some(image) = commands.find(|entry| IMAGE_SOURCES.contains(&entry.name)) else {
        return;
    };
    for entry in linter.sections(SectionKind::Packages) {
        if !entry.packages.is_empty() {
            let message = format!(
                "`{}` installs a ready image, so these packages are not installed",
                image.name
            );
            linter.at(entry, Warning, "KS191", message, "delete the section");
        }
    }
}

fn identity(linter: &mut Linter<'_>) {
    if !linter.reading.complete || linter.setting.is_sealed {
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

/// Since RHEL 8 the installer takes what `systemctl` refuses for a failure (anaconda, pyanaconda/core/util.py, later
/// core/service.py, `enable_service`); before, it goes on. A package of somebody's may have the name all the same.
fn services(linter: &mut Linter<'_>) {
    let so = match linter.setting.version {
        Version::Rhel(6 | 7) => "is not enabled",
        _ => "may end the installation",
    };
    for entry in linter.running("services") {
        for name in entry.arguments().list("--enabled") {
            if let Some(ours) = service_here(name) {
                let message = format!("`{name}` is Debian's name of a service, which {so}");
                let help = format!("write `{ours}`");
                linter.at((entry, "--enabled"), Warning, "KS179", message, help);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{alone, found};
    use crate::check::Setting;
    use crate::diagnostic::Severity;
    use crate::language::Version::Rhel;

    #[test]
    fn packages_are_named() {
        assert_eq!(alone("text\n", Rhel(9), "KS190"), Some(Severity::Warning));
        assert_eq!(alone("%packages\n%end\n", Rhel(9), "KS190"), None);
        assert_eq!(alone("liveimg --url=http://m/\n", Rhel(9), "KS190"), None);
        assert_eq!(alone("%include /tmp/x\n", Rhel(9), "KS190"), None);
    }

    #[test]
    fn a_line_is_one_package() {
        let setting = Setting::alone(Rhel(9));
        let text = "%packages\n@core\nvim wget, curl\n-a, # x\nfoo\nbar # two words\n%end\n";
        let expected = [
            (Severity::Warning, "vim wget, curl".to_string()),
            (Severity::Warning, "-a,".to_string()),
        ];
        assert_eq!(found(text, &setting, "KS188"), expected);
    }

    #[test]
    fn an_image_has_its_packages() {
        let setting = Setting::alone(Rhel(9));
        let text = "liveimg --url=http://m/\n%packages\n@core\n%end\n";
        let expected = [(Severity::Warning, "%packages".to_string())];
        assert_eq!(found(text, &setting, "KS191"), expected);
        assert_eq!(found("%packages\n@core\n%end\n", &setting, "KS191"), []);
    }

    #[test]
    fn copies_are_told_apart() {
        let post = |lines: &str| format!("%post\n{lines}\n%end\n");
        let both = post(": >/etc/machine-id\nrm -f /etc/ssh/ssh_host_*");
        assert_eq!(alone(&both, Rhel(9), "KS192"), None);
        assert_eq!(alone("text\n", Rhel(9), "KS192"), Some(Severity::Note));
        let keys = post("rm -f /etc/ssh/ssh_host_*");
        assert_eq!(alone(&keys, Rhel(9), "KS192"), Some(Severity::Note));
        assert_eq!(alone(&keys, Rhel(6), "KS192"), None);
        let sealed = Setting {
            is_sealed: true,
            ..Setting::alone(Rhel(9))
        };
        assert_eq!(found("text\n", &sealed, "KS192"), []);
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

    #[test]
    fn services_are_called_what_they_are_here() {
        let setting = Setting::alone(Rhel(9));
        let expected = [(Severity::Warning, "--enabled=chronyd,ssh".to_string())];
        assert_eq!(
            found("services --enabled=chronyd,ssh\n", &setting, "KS179"),
            expected
        );
        let fine = "services --enabled=sshd,crond --disabled=ssh\n";
        assert_eq!(found(fine, &setting, "KS179"), []);
    }
}
