//! What a failure's message names: a script's line and output, packages.

/// How many lines of a script's output a verdict carries.
const MAX_OUTPUT: usize = 20;

/// How many packages a verdict names.
const MAX_PACKAGES: usize = 50;

/// What stands before the line of a script (EL 7 and later, errors.py).
const SCRIPT: &str = "error running the kickstart script at line ";

/// What stands before a script's output (EL 7 and later, errors.py).
const DETAILS: &str = "The details of this error are:";

/// What stands before the names of packages: anaconda's dnf_manager.py and yumpayload.py, libdnf.
/// Where two fit, the first counts.
const NAMES: [&str; 11] = [
    "missing packages: ",
    "Missing packages: ",
    "missing groups or modules: ",
    "missing groups: ",
    "Failed to download the following packages: ",
    "No match for argument: ",
    "Missing package: ",
    "no such package ",
    "scriptlet in rpm package ",
    "You have specified that the package '",
    "The package '",
];

/// The line of the kickstart script that a message names.
pub fn script_line(message: &str) -> Option<u64> {
    let (_, rest) = message.split_once(SCRIPT)?;
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    rest[..digits].parse().ok()
}

/// What anaconda logs of a script that failed (EL 7 and later, core/kickstart/scripts.py): its exit
/// status and its line.
pub fn script_error(text: &str) -> Option<(&str, u64)> {
    let rest = text.strip_prefix("Error code ")?;
    let (status, line) = rest.split_once(" running the kickstart script at line ")?;
    Some((status, line.trim_end_matches('.').parse().ok()?))
}

/// The end of the script's output that a message shows, a line each.
pub fn script_output(lines: &[String]) -> Vec<String> {
    // The sentence before it is wrapped, wherever the words happen to end.
    let start = lines.iter().position(|line| {
        let end = line.trim_end();
        end.ends_with(DETAILS) || end.ends_with("error are:") || end == "are:"
    });
    let output = start.map_or(&[][..], |at| &lines[at + 1..]);
    let prompt = output
        .iter()
        .position(|line| line.starts_with("Press ENTER to "));
    let output = &output[..prompt.unwrap_or(output.len())];
    output[output.len().saturating_sub(MAX_OUTPUT)..].to_vec()
}

/// The packages that a message names.
pub fn packages(message: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for before in NAMES {
        for (at, _) in message.match_indices(before) {
            let rest = &message[at + before.len()..];
            // Names end where the sentence does; lists are set apart by commas.
            for word in rest.split(", ") {
                let name = word
                    .split([' ', '\'', ';', '\n'])
                    .next()
                    .unwrap_or_default();
                let mut name = name.trim_end_matches(['.', ',', ':']);
                // `perl(Foo)` is a name; the end of a message in parentheses is none.
                if !name.contains('(') {
                    name = name.trim_end_matches(')');
                }
                if name.is_empty() || names.len() == MAX_PACKAGES {
                    break;
                }
                if !names.iter().any(|known| known == name) {
                    names.push(name.to_owned());
                }
                if name.len() < word.trim_end_matches('.').len() {
                    break;
                }
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_named() {
        for (message, names) in [
            (
                "Some packages, groups or modules are missing. Problems in request: missing packages: a, b-c.",
                &["a", "b-c"][..],
            ),
            ("CmdlineError: Missing package: nosuch", &["nosuch"]),
            (
                "No match for argument: x No match for argument: y",
                &["x", "y"],
            ),
            (
                "Error in POSTIN scriptlet in rpm package kernel-core",
                &["kernel-core"],
            ),
            (
                "The transaction failed (Error in POSTIN scriptlet in rpm package corp)",
                &["corp"],
            ),
            ("No match for argument: perl(Foo)", &["perl(Foo)"]),
            (
                "You have specified that the package 'p' should be installed.  This package does not exist.",
                &["p"],
            ),
            (
                "Failed to download the following packages: a-1.rpm, b-2.rpm.",
                &["a-1.rpm", "b-2.rpm"],
            ),
            ("something else", &[]),
        ] {
            assert_eq!(packages(message), names, "{message:?}");
        }
    }

    #[test]
    fn scripts_have_a_line_and_an_output() {
        let message =
            "There was an error running the kickstart script at line 24.  This is a fatal";
        assert_eq!(script_line(message), Some(24));
        assert_eq!(script_line("at line 24"), None);
        let lines = [
            message,
            "error and installation will be aborted.  The details of this error are:",
            "+ false",
            "no",
            "Press ENTER to exit:",
        ];
        let lines = lines.map(str::to_owned);
        assert_eq!(script_output(&lines), ["+ false", "no"]);
        assert_eq!(script_output(&lines[..1]), [""; 0]);
        let text = "Error code 127 running the kickstart script at line 103";
        assert_eq!(script_error(text), Some(("127", 103)));
        assert_eq!(script_error("Error code x"), None);
    }
}
