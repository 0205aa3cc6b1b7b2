//! Variables of the environment: each long option of `ozr install` as `OZR_` and its name in capitals.

use std::ffi::{OsStr, OsString};

use clap::{ArgAction, Args, Command, FromArgMatches};

use super::InstallOptions;
use crate::error::{Kind, fail, failed};

/// The variable of an option: `OZR_OUTPUT_DIR` of `output-dir`.
fn variable(option: &str) -> String {
    format!("OZR_{}", option.replace('-', "_").to_ascii_uppercase())
}

/// The words that switch an option on or off that takes no value.
const SWITCHES: [(&str, bool); 6] = [
    ("1", true),
    ("true", true),
    ("yes", true),
    ("0", false),
    ("false", false),
    ("no", false),
];

/// The options that variables set. An empty one sets nothing; one that is no option's is nobody's business.
///
/// # Errors
/// Input: a value that the option does not take, with the variable's name.
pub fn read(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> anyhow::Result<InstallOptions> {
    let set: Vec<(OsString, OsString)> = variables
        .filter(|(name, value)| name.as_encoded_bytes().starts_with(b"OZR_") && !value.is_empty())
        .collect();
    if set.is_empty() {
        return Ok(InstallOptions::default());
    }
    // The command line's own reading of values, so that both mean the same.
    let command = InstallOptions::augment_args(Command::new("OZR_*").no_binary_name(true));
    let mut words = Vec::new();
    let mut used = Vec::new();
    for argument in command.get_arguments() {
        let Some(option) = argument.get_long() else {
            continue;
        };
        let name = variable(option);
        let Some((_, value)) = set.iter().find(|(set, _)| *set == *OsStr::new(&name)) else {
            continue;
        };
        let mut word = OsString::from(format!("--{option}"));
        if matches!(argument.get_action(), ArgAction::SetTrue) {
            let value = value.to_string_lossy().to_ascii_lowercase();
            match SWITCHES.iter().find(|(switch, _)| *switch == value) {
                Some((_, true)) => {}
                Some((_, false)) => continue,
                None => fail!(Kind::Input, "${name} is a switch: write 1 or 0"),
            }
        } else {
            word.push("=");
            word.push(value);
        }
        words.push(word);
        used.push((option.to_owned(), name));
    }
    let matches = command.try_get_matches_from(words);
    let options = matches.and_then(|matches| InstallOptions::from_arg_matches(&matches));
    options.map_err(|error| {
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default();
        let line = line.trim_start_matches("error: ");
        let is_named = |option: &str| {
            let option = format!("--{option}");
            let mut behind = line.split(&option).skip(1);
            behind.any(|rest| !rest.starts_with(|c: char| c == '-' || c.is_alphanumeric()))
        };
        let named = used.iter().find(|(option, _)| is_named(option));
        let name = named.map_or("OZR_*", |(_, name)| name);
        failed!(Kind::Input, "${name} of the environment: {line}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Firmware;
    use crate::options::{Compress, Format, Mebibytes};

    fn of(variables: &[(&str, &str)]) -> anyhow::Result<InstallOptions> {
        let variables = variables.iter();
        read(variables.map(|(name, value)| (OsString::from(name), OsString::from(value))))
    }

    /// Words of every kind that an option may take.
    const VALUES: [&str; 13] = [
        "1",
        "64",
        "7",
        "1h",
        "plain",
        "junit=a",
        "8000-8010",
        "gpg",
        "env:X",
        "192.0.2.1",
        "spdx",
        "http",
        "https://mirror.example.com/os/=key.asc",
    ];

    #[test]
    fn no_option_is_without_its_variable() {
        let command = InstallOptions::augment_args(Command::new("install"));
        let mut seen = 0;
        for argument in command.get_arguments() {
            let option = argument.get_long().unwrap();
            let words = argument.get_possible_values();
            let words: Vec<&str> = words.iter().map(|word| word.get_name()).collect();
            let name = variable(option);
            // What needs another option has it.
            let others = ["firmware-code", "firmware-vars"].map(variable);
            let read = words.iter().copied().chain(VALUES).find_map(|value| {
                let mut set = vec![(name.as_str(), value)];
                if others.contains(&name) {
                    set = others.iter().map(|name| (name.as_str(), value)).collect();
                }
                of(&set)
                    .ok()
                    .filter(|options| *options != InstallOptions::default())
            });
            assert!(read.is_some(), "{name} sets nothing");
            seen += 1;
        }
        assert!(seen >= 60, "{seen}");
    }

    #[test]
    fn values_are_read_as_on_the_command_line() {
        let options = of(&[
            ("OZR_MEMORY", "4G"),
            ("OZR_FORMAT", "qcow2,raw.zst"),
            ("OZR_FORCE", "yes"),
            ("OZR_KEEP", "0"),
            ("OZR_NAME", ""),
            ("OZR_FIRMWARE", "uefi"),
            ("OZR_TREE", "/not/an/option"),
            ("HOME", "/h"),
        ]);
        let options = options.unwrap();
        assert_eq!(options.memory, Some(Mebibytes(4096)));
        assert_eq!(options.format, [Format::Qcow2, Format::RawZst]);
        assert!(options.force && !options.keep && options.name.is_none());
        assert_eq!(
            (options.firmware, options.compress),
            (Some(Firmware::Uefi), None::<Compress>)
        );
    }

    #[test]
    fn wrong_values_are_named_by_their_variable_and_secrets_are_not() {
        for (name, value, says) in [
            ("OZR_MEMORY", "much", "write 4G"),
            ("OZR_FORCE", "maybe", "write 1 or 0"),
            ("OZR_FIRMWARE", "efi", "invalid value"),
            ("OZR_ROOT_PASSWORD", "hunter2", "not the secret"),
        ] {
            let error = of(&[(name, value)]).unwrap_err().to_string();
            assert!(
                error.contains(&format!("${name} ")) && error.contains(says),
                "{error}"
            );
            assert!(!error.contains("hunter2"), "{error}");
        }
        let both = of(&[("OZR_OUTPUT", "a"), ("OZR_OUTPUT_DIR", "b")]);
        assert!(
            both.unwrap_err()
                .to_string()
                .contains("cannot be used with")
        );
    }
}
