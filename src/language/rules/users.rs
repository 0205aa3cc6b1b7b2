//! Accounts: `rootpw`, `user`, `group`, `sshpw`, `sshkey`.
//!
//! No message names a word of the line that could be a password.

use super::super::Version;
use super::super::problem::{Problem, id};
use super::{Call, Rule, unexpected};

/// The rules of the commands here.
pub fn of(command: &str) -> Option<&'static [Rule]> {
    match command {
        "rootpw" => Some(&[root_password, more_than_one]),
        "sshpw" => Some(&[ssh_password, unexpected]),
        "sshkey" => Some(&[unexpected]),
        _ => None,
    }
}

/// `rootpw` needs a password; since RHEL 7 not with `--lock`.
fn root_password(call: &Call<'_>) -> Option<Problem> {
    let given = call.arguments.first().is_some_and(|text| !text.is_empty());
    let locked = call.arguments.has("--lock") && call.version != Version::Rhel(6);
    if given || locked {
        return None;
    }
    let problem = Problem::error(id::MISSING, "`rootpw` needs a password");
    Some(if call.version == Version::Rhel(6) {
        problem.help("write the password or its hash, even beside `--lock`")
    } else {
        problem.help("write the password or its hash, or `--lock` for an account without one")
    })
}

/// There is one password. RHEL 7 does not look at what stands beside `--lock`.
fn more_than_one(call: &Call<'_>) -> Option<Problem> {
    if call.version == Version::Rhel(7) && call.arguments.has("--lock") {
        return None;
    }
    unexpected(call)
}

/// `sshpw` needs a password; an empty one counts.
fn ssh_password(call: &Call<'_>) -> Option<Problem> {
    if call.arguments.positionals().next().is_some() {
        return None;
    }
    Some(
        Problem::error(id::MISSING, "`sshpw` needs a password")
            .help("write the password or its hash behind the options"),
    )
}

#[cfg(test)]
mod tests {
    use super::super::super::{NoIncludes, Reading, Version};
    use super::super::verdicts::hold;

    #[test]
    fn accounts() {
        hold(&[
            ("rootpw secret", "A RHEL6 RHEL7 RHEL10 F29 F46"),
            ("rootpw", "R RHEL6 RHEL7 RHEL10 F29 F46"),
            ("rootpw ''", "R RHEL6 RHEL7 RHEL10 F29 F46"),
            ("rootpw --lock", "R RHEL6, A RHEL7 RHEL10 F29 F46"),
            ("rootpw --lock secret", "A RHEL6 RHEL7 RHEL10 F29 F46"),
            ("rootpw two words", "R RHEL6 RHEL7 RHEL10 F29 F46"),
            ("rootpw secret --bogus", "R RHEL6 RHEL7 RHEL10 F29 F46"),
            ("rootpw --allow-ssh secret", "R RHEL8 F36, A RHEL9 F37"),
            ("sshpw --username=a secret", "A RHEL6 RHEL10 F29"),
            ("sshpw --username=a two words", "A RHEL6 RHEL10 F29"),
            ("sshpw --username=a", "R RHEL6 RHEL10 F29"),
            ("sshpw --username=a ''", "A RHEL6 RHEL10 F29"),
            ("sshpw secret --username=a more", "A RHEL6, R RHEL10 F29"),
            ("sshpw --username=a secret --bogus", "R RHEL6 RHEL10 F29"),
            (
                "sshkey --username=a 'ssh-rsa x'",
                "R RHEL6, A RHEL7 RHEL8 F29",
            ),
            ("sshkey --username=a ssh-rsa x", "R RHEL8 F29 F46"),
            ("sshkey --username=a", "R RHEL8 F29 F46"),
            ("user --name=a --uid=x", "R RHEL6 F46"),
            ("group --name=a --gid=5", "A RHEL6 F46"),
        ]);
    }

    #[test]
    fn no_message_has_the_password() {
        for text in [
            "rootpw secret a-part",
            "sshpw a --username=b a-part",
            "sshkey --username=b k a-part",
            "user --name=b --password=secret a-part",
            "rootpw --iscrypted=a-part",
        ] {
            let version = Version::from_name("F40").unwrap();
            let reading = Reading::new(&format!("{text}\n"), "t.ks", version, &NoIncludes);
            let finding = &reading.findings[0];
            assert!(
                !finding.message.contains("a-part"),
                "{text}: {}",
                finding.message
            );
        }
    }
}
