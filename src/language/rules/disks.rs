//! Which disks are used: `ignoredisk`. (`clearpart` and `zerombr` have no rules.)

use super::{Call, Rule};
use crate::language::Version;
use crate::language::arguments::{Arguments, in_words};
use crate::language::problem::{Problem, id};
use crate::language::values;

/// The rules of the commands here.
pub fn of(command: &str) -> Option<&'static [Rule]> {
    match command {
        "ignoredisk" => Some(&[one_choice]),
        _ => None,
    }
}

/// Whether the installer is to ask for the disks: before RHEL 8.
pub fn asks(version: Version, arguments: &Arguments) -> bool {
    !version.since(8, 0) && arguments.has("--interactive")
}

/// Disks are left out, or are the only ones, or are asked for: one of them. Lists of an earlier
/// line count as long as the line does not change them.
fn one_choice(call: &Call<'_>) -> Option<Problem> {
    let lists = ["--drives", "--only-use"].into_iter();
    let mut given: Vec<&str> = lists
        .filter(|name| {
            let here = call.arguments.value(name);
            let list = here.or_else(|| call.declared.kept(call.name, name));
            list.is_some_and(|list| !values::list(list).is_empty())
        })
        .collect();
    if asks(call.version, call.arguments) {
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
