//! The boot loader: `bootloader`. (`zipl` has no rules.)

use super::{Call, Rule, contradiction};
use crate::language::problem::{Problem, id};

/// The rules of the commands here.
pub fn of(command: &str) -> Option<&'static [Rule]> {
    match command {
        "bootloader" => Some(&[one_boot_drive, one_boot_loader]),
        _ => None,
    }
}

/// The boot loader goes to one drive. Since RHEL 7, which has the option.
fn one_boot_drive(call: &Call<'_>) -> Option<Problem> {
    let drive = call.arguments.value("--boot-drive")?;
    if !drive.contains(',') {
        return None;
    }
    let problem = Problem::error(
        id::BAD_VALUE,
        format!("`--boot-drive` names one drive, and `{drive}` is several"),
    );
    Some(
        problem
            .at(call.arguments.span("--boot-drive"))
            .help("name the drive that the firmware boots from"),
    )
}

/// systemd-boot or extlinux. Since RHEL 10 and Fedora 39, which have `--sdboot`.
fn one_boot_loader(call: &Call<'_>) -> Option<Problem> {
    let both = call.arguments.has("--sdboot") && call.arguments.has("--extlinux");
    both.then(|| contradiction(call, "--sdboot", "--extlinux"))
}

#[cfg(test)]
mod tests {
    use super::super::verdicts::hold;

    #[test]
    fn boot_loader() {
        hold(&[
            ("bootloader --boot-drive=sda", "A RHEL7+ F29+, R RHEL6"),
            ("bootloader --boot-drive=sda,sdb", "R all"),
            ("bootloader --boot-drive=", "A RHEL7+ F29+, R RHEL6"),
            (
                "bootloader --boot-drive=a,b --boot-drive=a",
                "A RHEL7+ F29+, R RHEL6",
            ),
            (
                "bootloader --sdboot",
                "A RHEL10+ F39+, R RHEL6-RHEL9 F29-F38",
            ),
            ("bootloader --extlinux", "A RHEL7+ F29+, R RHEL6"),
            ("bootloader --sdboot --extlinux", "R all"),
        ]);
    }
}
