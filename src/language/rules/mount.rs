//! Partitions that exist already, as they are mounted: `mount`.

use super::{Call, Rule, unexpected};
use crate::language::problem::{Problem, id};

/// The rules of the commands here.
pub fn of(command: &str) -> Option<&'static [Rule]> {
    match command {
        "mount" => Some(&[unexpected, mount_point, options_without_format]),
        _ => None,
    }
}

/// The second argument is a path, or `none`.
fn mount_point(call: &Call<'_>) -> Option<Problem> {
    let place = call.arguments.positionals().nth(1)?;
    if place.text.starts_with('/') || place.text.to_lowercase() == "none" {
        return None;
    }
    let problem = Problem::error(id::BAD_VALUE, format!("`{}` is no mount point", place.text));
    let help = "write the device, then a path from `/` on or `none` (swap has `none`)";
    Some(problem.at(Some(place.span.clone())).help(help))
}

/// Options for making a file system have no use where none is made.
fn options_without_format(call: &Call<'_>) -> Option<Problem> {
    call.arguments.filled("--mkfsoptions")?;
    if call.arguments.has("--reformat") {
        return None;
    }
    let problem = Problem::error(id::MISSING, "`--mkfsoptions` of `mount` needs `--reformat`");
    let help = "add `--reformat` (which empties the partition), or remove it";
    Some(problem.at(call.arguments.span("--mkfsoptions")).help(help))
}

#[cfg(test)]
mod tests {
    use super::super::verdicts::hold;

    #[test]
    fn mounts() {
        hold(&[
            ("mount /dev/vda1 /", "A RHEL7+ F29+, R RHEL6"),
            ("mount /dev/vda1 none", "A RHEL7+ F29+, R RHEL6"),
            ("mount /dev/vda1 NONE", "A RHEL7+ F29+, R RHEL6"),
            ("mount /dev/vda1 swap", "R all"),
            ("mount /dev/vda1", "R all"),
            ("mount /dev/vda1 / now", "R all"),
            (
                "mount /dev/vda1 / --reformat",
                "A RHEL8+ F29+, R RHEL6-RHEL7",
            ),
            (
                "mount /dev/vda1 / --reformat=xfs --mkfsoptions=a",
                "A RHEL7+ F29+, R RHEL6",
            ),
            (
                "mount --reformat= /dev/vda1 / --mkfsoptions=a",
                "A RHEL7+ F29+, R RHEL6",
            ),
            ("mount /dev/vda1 / --mkfsoptions=a", "R all"),
            ("mount /dev/vda1 / --mkfsoptions=", "A RHEL7+ F29+, R RHEL6"),
            (
                "mount /dev/vda1 /\nmount /dev/vda2 /",
                "A RHEL7+ F29+, R RHEL6",
            ),
        ]);
    }
}
