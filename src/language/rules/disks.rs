//! Which disks are used: `ignoredisk`. (`clearpart` and `zerombr` have no rules.)

use super::{Call, Rule};
use crate::language::arguments::in_words;
use crate::language::problem::{Problem, id};

/// The rules of the commands here.
pub fn of(command: &str) -> Option<&'static [Rule]> {
    match command {
        "ignoredisk" => Some(&[one_choice]),
        _ => None,
    }
}

/// Whether the installer is to ask for the disks: before RHEL 8.
fn asks(call: &Call<'_>) -> bool {
    !call.version.since(8, 0) && call.arguments.has("--interactive")
}

/// What outlasts the line beside values: asking forgets the disks to leave out.
pub(super) fn kept(call: &Call<'_>) -> Option<(&'static str, bool)> {
    asks(call).then_some(("--drives", false))
}

/// Disks are left out, or are the only ones, or are asked for: one of them. Lists of an earlier
/// line count as long as the line does not change them.
fn one_choice(call: &Call<'_>) -> Option<Problem> {
    let lists = ["--drives", "--only-use"].into_iter();
    let mut given: Vec<&str> = lists.filter(|name| call.keeps(name)).collect();
    if asks(call) {
        given.push("--interactive");
    }
    match given.as_slice() {
        [_] => None,
        [] => {
            let problem = Problem::error(
                id::MISSING,
                "`ignoredisk` needs `--drives` or `--only-use` with the names of disks",
            );
            Some(problem.help("write `ignoredisk --only-use=vda`, for example"))
        }
        [.., last] => {
            let problem = Problem::error(
                id::CONTRADICTION,
                format!("`ignoredisk` takes only one of {}", in_words(&given, "and")),
            );
            let place = call.arguments.span(last);
            Some(problem.at(place).help("keep one of them"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::verdicts::hold;

    #[test]
    fn disks() {
        hold(&[
            ("ignoredisk --drives=sda", "A all"),
            ("ignoredisk --only-use=sda", "A all"),
            ("ignoredisk", "R all"),
            ("ignoredisk --drives=", "R all"),
            ("ignoredisk --drives=,", "R all"),
            ("ignoredisk --drives=sda --only-use=sdb", "R all"),
            ("ignoredisk --drives=sda --only-use=,", "A all"),
            ("ignoredisk sda", "R all"),
            (
                "ignoredisk --interactive",
                "A RHEL6-RHEL7, D RHEL8 F29-F33, R RHEL9+ F34+",
            ),
            (
                "ignoredisk --interactive --drives=sda",
                "D RHEL8 F29-F33, R RHEL6-RHEL7 RHEL9+ F34+",
            ),
            (
                "ignoredisk --drives=sda\nignoredisk --only-use=sdb",
                "R all",
            ),
            (
                "ignoredisk --drives=sda\nignoredisk --drives= --only-use=sdb",
                "A all",
            ),
            (
                "ignoredisk --interactive\nignoredisk --drives=sda",
                "A RHEL6-RHEL7, D RHEL8 F29-F33, R RHEL9+ F34+",
            ),
            (
                "ignoredisk --drives=sda\nignoredisk --interactive",
                "D RHEL8 F29-F33, R RHEL6-RHEL7 RHEL9+ F34+",
            ),
            ("clearpart --all --drives=sda", "A all"),
            ("clearpart sda", "D RHEL6-RHEL7, R RHEL8+ F29+"),
            ("zerombr", "A all"),
            ("zerombr yes", "R all"),
        ]);
    }
}
