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

/// Disks are left out, or are the only ones, or (before RHEL 8) are asked for: one of them.
fn one_choice(call: &Call<'_>) -> Option<Problem> {
    let lists = ["--drives", "--only-use"];
    let mut given: Vec<&str> = lists
        .into_iter()
        .filter(|name| !call.arguments.list(name).is_empty())
        .collect();
    let asks = !call.version.since(8, 0);
    if asks && call.arguments.has("--interactive") {
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
