//! Stratis: `stratispool`, `stratisfs`. Both since RHEL 11 and Fedora 45.

use super::{Call, Rule, number, unexpected, volgroup};
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
    number(call, "--maxsize")?;
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

#[cfg(test)]
mod tests {
    use super::super::verdicts::hold;

    #[test]
    fn pools() {
        hold(&[
            ("stratispool a b", "A RHEL11 F45+, R RHEL6-RHEL10 F29-F44"),
            ("stratispool", "R all"),
            ("stratispool a", "R all"),
            (
                "stratispool a --useexisting",
                "A RHEL11 F45+, R RHEL6-RHEL10 F29-F44",
            ),
            ("stratispool a b --useexisting", "R all"),
            (
                "stratispool a --encrypted b",
                "A RHEL11 F45+, R RHEL6-RHEL10 F29-F44",
            ),
            (
                "stratispool a b --encrypted --passphrase=c",
                "A RHEL11 F45+, R RHEL6-RHEL10 F29-F44",
            ),
            ("stratispool a b --passphrase=c", "R all"),
            (
                "stratispool a b --passphrase=",
                "A RHEL11 F45+, R RHEL6-RHEL10 F29-F44",
            ),
            (
                "stratispool a b\nstratispool a c",
                "D RHEL11 F45+, R RHEL6-RHEL10 F29-F44",
            ),
        ]);
    }

    #[test]
    fn file_systems() {
        hold(&[
            (
                "stratisfs / --poolname=a --name=b",
                "A RHEL11 F45+, R RHEL6-RHEL10 F29-F44",
            ),
            ("stratisfs / c --poolname=a --name=b", "R all"),
            ("stratisfs / --poolname=a --name=b --maxsize=1", "R all"),
            (
                "stratisfs / --poolname=a --name=b --maxsize=0",
                "A RHEL11 F45+, R RHEL6-RHEL10 F29-F44",
            ),
            (
                "stratisfs / --poolname=a --name=b --maxsize=1 --grow",
                "A RHEL11 F45+, R RHEL6-RHEL10 F29-F44",
            ),
            (
                "stratisfs / --poolname=a --name=b\nstratisfs /c --poolname=a --name=b",
                "D RHEL11 F45+, R RHEL6-RHEL10 F29-F44",
            ),
            (
                "stratisfs / --poolname=a --name=b\nstratisfs /c --poolname=c --name=b",
                "A RHEL11 F45+, R RHEL6-RHEL10 F29-F44",
            ),
        ]);
    }
}
