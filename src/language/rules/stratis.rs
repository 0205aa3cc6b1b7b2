//! Stratis: `stratispool`, `stratisfs`. Both since RHEL 11 and Fedora 45.

use super::{Call, Rule, filesystem, unexpected, volgroup};
use crate::language::problem::{Problem, id};

/// The rules of the commands here.
pub fn of(command: &str) -> Option<&'static [Rule]> {
    match command {
        // A pool's words are read as those of a volume group.
        "stratispool" => Some(&[
            volgroup::needs_name,
            volgroup::needs_members,
            volgroup::members_of_existing,
            passphrase,
        ]),
        "stratisfs" => Some(&[unexpected, limit_without_growth]),
        _ => None,
    }
}

/// A passphrase is of encryption.
fn passphrase(call: &Call<'_>) -> Option<Problem> {
    call.arguments.filled("--passphrase")?;
    if call.arguments.has("--encrypted") {
        return None;
    }
    let problem = Problem::error(
        id::MISSING,
        "`--passphrase` of `stratispool` needs `--encrypted`",
    );
    Some(
        problem
            .at(call.arguments.span("--passphrase"))
            .help("add it, or remove the passphrase"),
    )
}

/// A limit is for what grows.
fn limit_without_growth(call: &Call<'_>) -> Option<Problem> {
    filesystem::number(call, "--maxsize")?;
    if call.arguments.has("--grow") {
        return None;
    }
    let problem = Problem::error(id::MISSING, "`--maxsize` of `stratisfs` needs `--grow`");
    Some(
        problem
            .at(call.arguments.span("--maxsize"))
            .help("add `--grow`, or remove it"),
    )
}
