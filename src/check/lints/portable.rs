//! Whether an image that is for machines of any kind has the drivers to find their disks.

use super::{Lint, Linter, Spot};
use crate::diagnostic::Severity::{Error, Warning};
use crate::distro::PORTABLE_PACKAGE as GENERIC;
use crate::kickstart::outline::SectionKind;
use crate::language::Version;
use crate::language::packages::Wanted;
use crate::language::reading::PackageLine;

/// KS127.
pub const LINTS: &[Lint] = &[portable];

/// Packages that are of no use but on physical machines: who asks for one means them.
const PHYSICAL: [&str; 10] = [
    "OpenIPMI",
    "edac-utils",
    "freeipmi",
    "fwupd",
    "ipmitool",
    "lm_sensors",
    "mcelog",
    "microcode_ctl",
    "rasdaemon",
    "smartmontools",
];

fn portable(linter: &mut Linter<'_>) {
    // RHEL 6's dracut makes an initramfs for any machine unless it is told otherwise.
    if linter.setting.version == Version::Rhel(6) {
        return;
    }
    let asks =
        |line: &&PackageLine| matches!(&line.line.wanted, Wanted::Package(name) if name == GENERIC);
    if linter.setting.portable || linter.packages().any(|line| asks(&line)) {
        kept_out(linter);
        for_one_machine(linter);
    } else {
        meant(linter);
    }
}

/// The package is excluded: what was asked of ozr is not to be had then; where the kickstart itself asks for both,
/// nobody knows which of them is meant.
fn kept_out(linter: &mut Linter<'_>) {
    let severity = match linter.setting.portable {
        true => Error,
        false => Warning,
    };
    for line in linter.packages() {
        let Wanted::NoPackage(name) = &line.line.wanted else {
            continue;
        };
        let excluded =
            glob::Pattern::new(name).map_or(name == GENERIC, |name| name.matches(GENERIC));
        if excluded {
            let message = "the image is to boot on any machine, and this keeps out what puts the drivers of all machines into its initramfs";
            linter.at(line, severity, "KS127", message, "delete the line");
        }
    }
}

/// A script makes an initramfs for the guest alone.
fn for_one_machine(linter: &mut Linter<'_>) {
    for entry in linter.sections(SectionKind::Post) {
        let mut at = entry.section.body.start;
        for line in linter.body(entry).split_inclusive('\n') {
            let start = at + line.len() - line.trim_start().len();
            at += line.len();
            let line = line.trim();
            if !line.starts_with('#') && is_hostonly(line) {
                let message = "the image is to boot on any machine, and this seems to make an initramfs with the drivers of the installing guest alone";
                let help = "delete it, or run dracut with `--no-hostonly`";
                let spot = Spot(entry.text, start..start + line.len());
                linter.at(spot, Warning, "KS127", message, help);
            }
        }
    }
}

/// Whether a line of a script says `hostonly=yes`, or runs dracut with `-H`.
fn is_hostonly(line: &str) -> bool {
    let sets = line.match_indices("hostonly=").any(|(at, word)| {
        let value = line[at + word.len()..].trim_start_matches(['"', '\'', '\\']);
        value.starts_with("yes")
    });
    let mut words = line.split_whitespace();
    let runs = words.any(|word| word == "dracut" || word.ends_with("/dracut"));
    sets || runs && words.any(|word| matches!(word, "-H" | "--hostonly"))
}

/// Something is installed that only physical machines need, in a guest.
fn meant(linter: &mut Linter<'_>) {
    let mentions = |word: &str| {
        let mut scripts = linter.sections(SectionKind::Post);
        scripts.any(|entry| linter.body(entry).contains(word))
    };
    if !linter.setting.new_guest || !linter.reading.complete || mentions("dracut") {
        return;
    }
    let physical = |line: &&PackageLine| matches!(&line.line.wanted, Wanted::Package(name) if PHYSICAL.contains(&name.as_str()));
    let Some(line) = linter.packages().find(physical) else {
        return;
    };
    let message = "this is for physical machines, and the initramfs of the image may have the drivers of the installing guest alone";
    let help =
        format!("add `--portable`, or `{GENERIC}` to %packages, if the image is to boot on them");
    linter.at(line, Warning, "KS127", message, help);
}

#[cfg(test)]
mod tests {
    use super::super::testing::{found, severity};
    use super::*;
    use crate::check::Setting;
    use crate::diagnostic::Severity;
    use crate::language::Version::Rhel;

    fn guest(portable: bool) -> Setting {
        Setting {
            portable,
            new_guest: true,
            ..Setting::alone(Rhel(9))
        }
    }

    #[test]
    fn what_keeps_drivers_out_is_refused() {
        for name in ["dracut-config-generic", "dracut-config-*"] {
            let text = format!("%packages\n@core\n-{name}\n%end\n");
            let expected = [(Severity::Error, format!("-{name}"))];
            assert_eq!(found(&text, &guest(true), "KS127"), expected);
            assert_eq!(severity(&text, &guest(false), "KS127"), None);
        }
        let text = "%packages\n-dracut-config-rescue\n%end\n";
        assert_eq!(severity(text, &guest(true), "KS127"), None);
        let old = Setting {
            version: Rhel(6),
            ..guest(true)
        };
        let text = "%packages\n-dracut-config-generic\n%end\n";
        assert_eq!(severity(text, &old, "KS127"), None);
    }

    #[test]
    fn scripts_that_may_undo_it_are_named() {
        let script = |line: &str| format!("%packages\n{GENERIC}\n%end\n%post\n{line}\n%end\n");
        for line in [
            "dracut -f -H",
            "/usr/bin/dracut --hostonly --force",
            "echo 'hostonly=\"yes\"' > /etc/dracut.conf.d/x.conf",
            "echo hostonly=yes",
        ] {
            let expected = [(Severity::Warning, line.to_owned())];
            assert_eq!(found(&script(line), &guest(false), "KS127"), expected);
        }
        for line in [
            "dracut -f --no-hostonly",
            "# dracut -H",
            "ls -H",
            "hostonly=no",
        ] {
            assert_eq!(
                severity(&script(line), &guest(true), "KS127"),
                None,
                "{line}"
            );
        }
    }

    #[test]
    fn an_image_for_physical_machines_is_told_from_others() {
        let text = |more: &str| format!("%packages\n@core\nipmitool\n{more}%end\n");
        let expected = [(Severity::Warning, "ipmitool".to_owned())];
        assert_eq!(found(&text(""), &guest(false), "KS127"), expected);
        assert_eq!(severity(&text(""), &guest(true), "KS127"), None);
        let generic = text("dracut-config-generic\n");
        assert_eq!(severity(&generic, &guest(false), "KS127"), None);
        // A kickstart that is no image's.
        let alone = Setting::alone(Rhel(9));
        assert_eq!(severity(&text(""), &alone, "KS127"), None);
        let own = format!("{}%post\ndracut -f -N\n%end\n", text(""));
        assert_eq!(severity(&own, &guest(false), "KS127"), None);
    }
}
