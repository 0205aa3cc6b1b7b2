//! What a boot test can be told: the table `[boot-test]` of the configuration file, and what
//! `ozr boot-test` lays over it.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use serde::Deserialize;

use super::Layer;
use super::declared::Check;
use super::values::{Seconds, one_or_several};
use super::{Mebibytes, SecretSource};
use crate::machine::Firmware;

layered! {
/// Options of a boot test. A key of `[boot-test]` is the long name of its option of `ozr boot-test`;
/// [`Layer`] lays one set over another. On the command line of an install there is only the wish for it.
#[derive(Debug, Clone, Default, PartialEq, Args, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct BootTestOptions {
    /// Boot the image before it gets its name, as `ozr boot-test` does; one that fails is not published
    #[arg(long = "boot-test", help_heading = "Output")]
    pub always: bool,

    /// With which firmware to boot: one boot for each; none for the build's.
    #[arg(skip)]
    pub firmware: Vec<Firmware>,

    /// Longest time of one boot.
    #[arg(skip)]
    pub timeout: Option<Seconds>,

    /// The target of systemd's to wait for, in place of the login prompt.
    #[arg(skip)]
    pub target: Option<String>,

    /// How many clones to compare.
    #[arg(skip)]
    pub clones: Option<u32>,

    /// Units that may fail, by pattern.
    #[arg(skip)]
    #[serde(deserialize_with = "one_or_several")]
    pub allow_failed: Vec<TextPattern>,

    /// Denials of SELinux that are no failure, by pattern.
    #[arg(skip)]
    #[serde(deserialize_with = "one_or_several")]
    pub allow_denied: Vec<TextPattern>,

    /// Memory of the guest.
    #[arg(skip)]
    pub memory: Option<Mebibytes>,

    /// CPUs of the guest.
    #[arg(skip)]
    pub vcpus: Option<u32>,

    /// Checks, `[[boot-test.check]]`.
    #[arg(skip)]
    pub check: Vec<Check>,

    /// Files of checks.
    #[arg(skip)]
    #[serde(deserialize_with = "one_or_several")]
    pub checks: Vec<PathBuf>,

    /// Files of a NoCloud seed, or directories with them.
    #[arg(skip)]
    #[serde(deserialize_with = "one_or_several")]
    pub seed: Vec<PathBuf>,

    /// Who logs in on the serial console to run checks.
    #[arg(skip)]
    pub login: Option<String>,

    /// Where that user's password is.
    #[arg(skip)]
    pub login_password: Option<SecretSource>,

    /// How large the disk is made before it is booted.
    #[arg(skip)]
    pub grow_to: Option<String>,
}
}

/// The keys of `[boot-test]`, for messages.
pub(super) const KEYS: [&str; 15] = [
    "always",
    "firmware",
    "timeout",
    "target",
    "clones",
    "allow-failed",
    "allow-denied",
    "memory",
    "vcpus",
    "check",
    "checks",
    "seed",
    "login",
    "login-password",
    "grow-to",
];

impl Layer for BootTestOptions {
    fn over(self, below: BootTestOptions) -> BootTestOptions {
        self.each_over(below)
    }
}

/// A pattern of a text, with `*`, `?` and `[...]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextPattern(pub glob::Pattern);

impl FromStr for TextPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pattern = glob::Pattern::new(text);
        pattern
            .map(TextPattern)
            .map_err(|error| format!("`{text}` is no pattern: {}", error.msg))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::config;

    #[test]
    fn every_key_is_read_and_named() {
        assert_eq!(KEYS.len(), BootTestOptions::FIELDS);
        let text = "[boot-test]\nalways = true\nfirmware = [\"bios\", \"uefi\"]\ntimeout = \"5m\"\n\
                    target = \"multi-user.target\"\nclones = 2\nallow-failed = \"a*.service\"\n\
                    allow-denied = [\"*x*\", \"y\"]\nmemory = 1024\nvcpus = 1\nchecks = \"c\"\n\
                    seed = [\"user-data\", \"d\"]\nlogin = \"root\"\nlogin-password = \"file:p\"\n\
                    grow-to = \"12G\"\ncheck = [{ port = 22 }]\n";
        for key in KEYS {
            assert!(text.contains(&format!("\n{key} = ")), "{key}");
        }
        let options = config::parse(text, "t").unwrap().boot_test;
        assert_eq!(options.firmware, [Firmware::Bios, Firmware::Uefi]);
        assert_eq!(
            (options.allow_failed.len(), options.allow_denied.len()),
            (1, 2)
        );
        assert!(options.always);

        let finding = config::parse("[boot-test]\nclone = 2\n", "t").unwrap_err();
        assert!(
            finding
                .message
                .contains("in [boot-test]; the keys there are always,"),
            "{finding}"
        );
        let finding = config::parse("[boot-test]\nallow-failed = \"[\"\n", "t").unwrap_err();
        assert!(finding.message.contains("is no pattern"), "{finding}");
    }
}
