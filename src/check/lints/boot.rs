//! Whether the firmware finds something to start.

use super::{Lint, Linter, has_option};
use crate::diagnostic::Severity::{Error, Note, Warning};
use crate::distro::Arch;
use crate::language::Version;
use crate::language::reading::Entry;
use crate::machine::Firmware;

/// KS120 to KS126.
pub const LINTS: &[Lint] = &[
    no_efi_partition,
    unreadable_boot,
    no_biosboot,
    no_prep,
    loader,
    no_console,
];

/// Whether the installer puts its boot loader on a layout that the lines make all by themselves:
/// no command makes what the firmware needs.
fn by_hand(linter: &Linter<'_>) -> bool {
    let keeps = |entry| has_option(entry, &["--onpart", "--noformat"]);
    linter.reading.complete
        && linter.running("part").next().is_some()
        && !linter.has_any(&["autopart", "reqpart", "mount"])
        && !linter.running("part").any(keeps)
        && left_out(linter).is_none()
}

/// The line that keeps the installer from installing the boot loader, with its option.
fn left_out<'a>(linter: &Linter<'a>) -> Option<(&'a Entry, &'static str)> {
    let entry = linter.reading.last("bootloader")?;
    let arguments = entry.arguments();
    if arguments.has("--disabled") {
        return Some((entry, "--disabled"));
    }
    (arguments.value("--location") == Some("none")).then_some((entry, "--location"))
}

/// What the first of these commands mounts at a place.
fn mounted<'a>(linter: &Linter<'a>, names: &[&'static str], at: &str) -> Option<&'a Entry> {
    let find = |name: &&'static str| {
        let mut lines = linter.running(name);
        lines.find(|entry| entry.arguments().first_word() == Some(at))
    };
    names.iter().find_map(find)
}

/// Whether the first argument or the file system of any partition is one of these.
fn has_partition(linter: &Linter<'_>, kinds: &[&str]) -> bool {
    linter.running("part").any(|entry| {
        let arguments = entry.arguments();
        let said = [arguments.first_word(), arguments.value("--fstype")];
        said.iter().flatten().any(|kind| kinds.contains(kind))
    })
}

/// The line of the root file system.
fn root<'a>(linter: &Linter<'a>) -> Option<&'a Entry> {
    mounted(linter, &["part", "raid", "logvol", "btrfs"], "/")
}

/// A layout without what the firmware starts from.
fn unbootable(linter: &mut Linter<'_>, id: &'static str, message: &str, help: &str) {
    match root(linter) {
        Some(entry) => linter.at(entry, Error, id, message, help),
        None => linter.missing(Error, id, message, help),
    };
}

fn no_efi_partition(linter: &mut Linter<'_>) {
    if linter.setting.firmware != Some(Firmware::Uefi)
        || !by_hand(linter)
        || has_partition(linter, &["/boot/efi", "efi"])
        || mounted(linter, &["raid"], "/boot/efi").is_some()
    {
        return;
    }
    let help = match linter.reading.version {
        Version::Rhel(6) => "add `part /boot/efi --fstype=efi --size=200`",
        _ => "add `reqpart`, or `part /boot/efi --fstype=efi --size=600`",
    };
    let message = "the layout has no EFI system partition, which a machine with UEFI starts from";
    unbootable(linter, "KS120", message, help);
}

fn unreadable_boot(linter: &mut Linter<'_>) {
    // s390x has a loader of its own, and on POWER it is Open Firmware that reads the disk.
    if !by_hand(linter) || linter.setting.arch == Some(Arch::S390x) {
        return;
    }
    // systemd-boot starts kernels from the EFI system partition.
    let loaders = linter.reading.last("bootloader");
    if loaders.is_some_and(|entry| entry.arguments().has("--sdboot")) {
        return;
    }
    let is_encrypted = |entry: &&Entry| entry.arguments().has("--encrypted");
    let boot = mounted(linter, &["part", "raid", "btrfs"], "/boot");
    if boot.is_some_and(|entry| !is_encrypted(&entry)) {
        return;
    }
    let volume = |at| mounted(linter, &["logvol"], at);
    let (entry, kind) = if let Some(entry) = volume("/boot").or_else(|| volume("/")) {
        (entry, "a logical volume")
    } else if let Some(entry) = boot.or_else(|| root(linter)).filter(is_encrypted) {
        (entry, "an encrypted partition")
    } else {
        return;
    };
    let severity = match linter.setting.firmware {
        Some(_) => Error,
        None => Warning,
    };
    let message = format!("/boot is on {kind}, which the boot loader cannot read");
    let help = "add `part /boot --size=1024`";
    linter.at(entry, severity, "KS121", message, help);
}

fn no_biosboot(linter: &mut Linter<'_>) {
    let setting = linter.setting;
    if setting.firmware != Some(Firmware::Bios)
        || !matches!(setting.arch, None | Some(Arch::X86_64 | Arch::I386))
        || !by_hand(linter)
        || has_partition(linter, &["biosboot"])
    {
        return;
    }
    let help = "add `reqpart`, or `part biosboot --fstype=biosboot --size=1`";
    let clearpart = linter.reading.last("clearpart");
    let label = clearpart.and_then(|entry| entry.arguments().value("--disklabel"));
    match (label, clearpart, root(linter)) {
        (Some("gpt"), Some(entry), _) => {
            let message =
                "the disk is to be GPT, and there is no partition that a BIOS can start from";
            linter.at((entry, "--disklabel"), Error, "KS122", message, help);
        }
        (None, _, Some(entry)) if setting.version.since(10, 37) => {
            let message = format!(
                "{} makes GPT disks, and there is no partition that a BIOS can start from",
                setting.version
            );
            linter.at(entry, Warning, "KS122", message, help);
        }
        _ => {}
    }
}

fn no_prep(linter: &mut Linter<'_>) {
    if !matches!(linter.setting.arch, Some(Arch::Ppc64 | Arch::Ppc64le))
        || !by_hand(linter)
        || has_partition(linter, &["prepboot", "PPC PReP Boot", "PReP Boot"])
    {
        return;
    }
    let message =
        "the layout has no PReP partition, which the firmware starts the boot loader from";
    let help = "add `reqpart`, or `part prepboot --fstype=prepboot --size=8`";
    unbootable(linter, "KS126", message, help);
}

fn loader(linter: &mut Linter<'_>) {
    if let Some((entry, option)) = left_out(linter) {
        let message = "no boot loader is installed, so the image does not boot by itself";
        let help = "delete the option, unless the image is for a container";
        linter.at((entry, option), Warning, "KS123", message, help);
    }
    if !linter.has_any(&["bootloader", "zipl"]) && linter.reading.complete {
        let message = "there is no `bootloader`, so the installer decides all about it";
        let help = "add a line such as `bootloader --timeout=1`";
        linter.missing(Note, "KS124", message, help);
    }
}

fn no_console(linter: &mut Linter<'_>) {
    let serial = ["ttyS", "ttyAMA", "hvc", "ttysclp"].map(|name| format!("console={name}"));
    let names_one = |text: &str| serial.iter().any(|console| text.contains(console));
    let Some(entry) = linter.running("bootloader").next_back() else {
        return;
    };
    if !linter.setting.adds_serial_console
        && left_out(linter).is_none()
        && !linter
            .reading
            .texts
            .iter()
            .any(|text| names_one(&text.text))
    {
        let message = "the kernel command line of the image names no serial console";
        let help = "add `console=tty0 console=ttyS0,115200n8` to `--append`";
        linter.at(entry, Note, "KS125", message, help);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{alone, found, severity};
    use super::*;
    use crate::check::Setting;
    use crate::diagnostic::Severity;
    use crate::language::Version::{Fedora, Rhel};

    fn with(version: crate::language::Version, firmware: Firmware) -> Setting {
        Setting {
            firmware: Some(firmware),
            ..Setting::alone(version)
        }
    }

    #[test]
    fn uefi_needs_its_partition() {
        let uefi = with(Rhel(9), Firmware::Uefi);
        let text = "part / --size=9\n";
        let expected = [(Severity::Error, "part".to_string())];
        assert_eq!(found(text, &uefi, "KS120"), expected);
        assert_eq!(
            severity(text, &with(Rhel(9), Firmware::Bios), "KS120"),
            None
        );
        assert_eq!(alone(text, Rhel(9), "KS120"), None);
        for text in [
            "part / --size=9\nreqpart\n",
            "part / --size=9\npart /boot/efi --fstype=efi --size=200\n",
            "part raid.1 --size=9\npart raid.2 --size=9\npart / --size=9\n\
             raid /boot/efi --level=1 --device=esp raid.1 raid.2\n",
            "autopart\n",
            "part / --size=9\nbootloader --location=none\n",
            "part / --size=9\n%include /tmp/x\n",
            "part / --onpart=vda1\n",
        ] {
            assert_eq!(found(text, &uefi, "KS120"), [], "{text}");
        }
    }

    #[test]
    fn the_loader_reads_partitions() {
        let lvm = "part pv.1 --size=9\nvolgroup v pv.1\nlogvol / --vgname=v --name=r --size=9\n";
        let bios = with(Rhel(9), Firmware::Bios);
        assert_eq!(severity(lvm, &bios, "KS121"), Some(Severity::Error));
        assert_eq!(alone(lvm, Rhel(9), "KS121"), Some(Severity::Warning));
        let good = format!("{lvm}part /boot --size=1024\n");
        assert_eq!(severity(&good, &bios, "KS121"), None);
        let encrypted = "part / --size=9 --encrypted\n";
        assert_eq!(severity(encrypted, &bios, "KS121"), Some(Severity::Error));
        assert_eq!(severity("part / --size=9\n", &bios, "KS121"), None);
        let loader = format!("{lvm}bootloader --sdboot\n");
        let uefi = with(Fedora(40), Firmware::Uefi);
        assert_eq!(severity(&loader, &uefi, "KS121"), None);
        let s390x = Setting {
            arch: Some(Arch::S390x),
            ..bios
        };
        assert_eq!(severity(lvm, &s390x, "KS121"), None);
    }

    #[test]
    fn gpt_with_a_bios_needs_a_place_for_the_loader() {
        let gpt = "clearpart --all --disklabel=gpt\npart / --size=9\n";
        let plain = "clearpart --all\npart / --size=9\n";
        let bios = |version| with(version, Firmware::Bios);
        let expected = [(Severity::Error, "--disklabel=gpt".to_string())];
        assert_eq!(found(gpt, &bios(Rhel(9)), "KS122"), expected);
        assert_eq!(severity(gpt, &with(Rhel(9), Firmware::Uefi), "KS122"), None);
        assert_eq!(severity(plain, &bios(Rhel(9)), "KS122"), None);
        for version in [Rhel(10), Fedora(37)] {
            let found = severity(plain, &bios(version), "KS122");
            assert_eq!(found, Some(Severity::Warning));
        }
        let good = format!("{gpt}part biosboot --fstype=biosboot --size=1\n");
        assert_eq!(severity(&good, &bios(Rhel(9)), "KS122"), None);
    }

    #[test]
    fn power_needs_a_prep_partition() {
        let power = Setting {
            arch: Some(Arch::Ppc64le),
            ..Setting::alone(Rhel(9))
        };
        assert_eq!(
            severity("part / --size=9\n", &power, "KS126"),
            Some(Severity::Error)
        );
        assert_eq!(alone("part / --size=9\n", Rhel(9), "KS126"), None);
        for text in [
            "part / --size=9\nreqpart\n",
            "part / --size=9\npart prepboot --size=8 --fstype=prepboot\n",
            "part / --size=9\npart None --size=8 --fstype=\"PPC PReP Boot\"\n",
            "autopart\n",
        ] {
            assert_eq!(severity(text, &power, "KS126"), None, "{text}");
        }
    }

    #[test]
    fn a_loader_is_installed() {
        let text = "bootloader --location=none\n";
        let expected = [(Severity::Warning, "--location=none".to_string())];
        assert_eq!(found(text, &Setting::alone(Rhel(9)), "KS123"), expected);
        assert_eq!(alone("bootloader --timeout=1\n", Rhel(9), "KS123"), None);
        assert_eq!(alone("text\n", Rhel(9), "KS124"), Some(Severity::Note));
        assert_eq!(alone("bootloader\n", Rhel(9), "KS124"), None);
    }

    #[test]
    fn the_image_has_a_serial_console() {
        let text = "bootloader --timeout=1\n";
        assert_eq!(alone(text, Rhel(9), "KS125"), Some(Severity::Note));
        let served = Setting {
            adds_serial_console: true,
            ..Setting::alone(Rhel(9))
        };
        assert_eq!(severity(text, &served, "KS125"), None);
        let text = "bootloader --append=\"console=ttyS0\"\n";
        assert_eq!(alone(text, Rhel(9), "KS125"), None);
    }
}
