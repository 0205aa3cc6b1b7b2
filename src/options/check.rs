//! The options of `ozr check` that the configuration file holds, too, in its table `[check]`.

use clap::Args;
use serde::Deserialize;

use super::values::ReleaseName;

/// What a check can be told. A key of `[check]` is the long name of its option;
/// [`CheckOptions::or`] lays one set over another.
#[derive(Debug, Clone, Default, PartialEq, Args, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct CheckOptions {
    /// The release whose installer reads the kickstarts: RHEL9, Rocky-9.4, CentOS-Stream-10,
    /// Fedora-43 [default: a template's, else that of the file's `#version=` line]
    #[arg(long, value_name = "RELEASE", help_heading = "Check")]
    pub release: Option<ReleaseName>,

    /// Say nothing of what these rules find (KS101; several with commas)
    #[arg(long, value_name = "ID", value_delimiter = ',', help_heading = "Check")]
    pub allow: Vec<String>,

    /// Count warnings as errors
    #[arg(long, help_heading = "Check")]
    pub strict: bool,
}

/// The keys of `[check]`, for messages.
pub(super) const KEYS: [&str; 3] = ["release", "allow", "strict"];

impl CheckOptions {
    /// These options, and those of `below` where these say nothing; what is allowed adds up.
    #[must_use]
    pub fn or(self, below: CheckOptions) -> CheckOptions {
        let mut allow = self.allow;
        allow.extend(below.allow);
        CheckOptions {
            release: self.release.or(below.release),
            allow,
            strict: self.strict || below.strict,
        }
    }
}
