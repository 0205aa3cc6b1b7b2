//! How the installer shows itself, and what it does at the end: `text`, `cmdline`, `graphical`,
//! `vnc`, `rdp`, `reboot`, `poweroff`, `shutdown`, `halt`. Only `cmdline` has a rule that the table
//! does not hold.

use super::super::problem::{Problem, id};
use super::{Call, Rule};

/// The rules of the commands here.
pub fn of(command: &str) -> Option<&'static [Rule]> {
    match command {
        "cmdline" => Some(&[asks_nothing]),
        _ => None,
    }
}

/// `cmdline` never asks: since RHEL 8 it refuses the `--non-interactive` that its siblings have.
fn asks_nothing(call: &Call<'_>) -> Option<Problem> {
    if !call.arguments.has("--non-interactive") {
        return None;
    }
    Some(
        Problem::error(
            id::CONTRADICTION,
            "`cmdline` asks nothing by itself, and refuses `--non-interactive`",
        )
        .at(call.arguments.span("--non-interactive"))
        .help("remove `--non-interactive`"),
    )
}

#[cfg(test)]
mod tests {
    use super::super::verdicts::hold;

    #[test]
    fn modes_and_endings() {
        hold(&[
            ("cmdline", "A RHEL6 RHEL10 F46"),
            ("cmdline --non-interactive", "R RHEL6 RHEL7 RHEL8 F29 F46"),
            ("text --non-interactive", "R RHEL6 RHEL7, A RHEL8 F29 F46"),
            (
                "graphical --non-interactive",
                "R RHEL6 RHEL7, A RHEL8 F29 F46",
            ),
            ("text x", "R RHEL6 RHEL10 F46"),
            ("reboot --eject", "A RHEL6 RHEL10 F46"),
            ("reboot --kexec", "R RHEL6, A RHEL7 RHEL8 F29"),
            ("halt", "A RHEL6 RHEL10 F46"),
            (
                "vnc --password=x",
                "A RHEL6 RHEL9 F42, D RHEL10 F43 F44, R RHEL11 F45",
            ),
            ("rdp", "R RHEL9 F42, A RHEL10 F43"),
        ]);
    }
}
