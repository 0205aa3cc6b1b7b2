//! What an install and a check can be told, on the command line and in the configuration file.

use std::path::Path;

use clap::Args;
use serde::Deserialize;

/// A set of options that can be laid over another: the upper one's answer stands where it gives one.
pub trait Layer: Sized {
    /// These, and those of `below` where these say nothing.
    #[must_use]
    fn over(self, below: Self) -> Self;
}

impl<T> Layer for Option<T> {
    fn over(self, below: Self) -> Self {
        self.or(below)
    }
}

impl Layer for bool {
    fn over(self, below: Self) -> Self {
        self || below
    }
}

impl<T> Layer for Vec<T> {
    fn over(self, below: Self) -> Self {
        if self.is_empty() { below } else { self }
    }
}

/// Declares a struct whose fields are layers each, so that no option can be forgotten when two
/// sets are laid over each other.
macro_rules! layered {
    ($(#[$meta:meta])* pub struct $name:ident {
        $($(#[$attribute:meta])* pub $field:ident: $type:ty,)*
    }) => {
        $(#[$meta])*
        pub struct $name { $($(#[$attribute])* pub $field: $type,)* }

        impl $name {
            /// Lays each field over that of `below`.
            fn each_over(self, below: Self) -> Self {
                $name { $($field: $crate::options::Layer::over(self.$field, below.$field),)* }
            }
        }

        #[cfg(test)]
        impl $name {
            /// How many options there are.
            const FIELDS: usize = [$(stringify!($field)),*].len();
        }
    };
}

mod boot_test;
pub mod config;
pub mod declared;
pub mod effect;
mod environment;
pub mod family;
mod install;
pub mod oz_cfg;
mod secret;
mod signer;
mod values;
pub mod variables;

pub use boot_test::{BootTestOptions, TextPattern};
pub use install::{InstallOptions, distinct};
pub use secret::{Purpose, SecretSource};
pub use signer::{Signer, TrustedKey};
pub use values::{
    Compress, Deliver, EventsTo, Format, Mebibytes, PackageCache, Ports, Progress, Relay,
    ReleaseName, ReportFormat, ReportTarget, RepositoryKey, SbomFormat, Seconds, Until,
};
pub use variables::Values;

/// What a check can be told. A key of `[check]` is the long name of its option;
/// [`Layer`] lays one set over another.
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

    /// The releases of files, by pattern; the configuration file only.
    #[arg(skip)]
    pub releases: Vec<FilesRelease>,

    /// Count warnings as errors
    #[arg(long, help_heading = "Check")]
    pub strict: bool,
}

/// The keys of `[check]`, for messages.
const CHECK_KEYS: [&str; 4] = ["release", "allow", "releases", "strict"];

/// `[[check.releases]]`: for which release some kickstarts are. A repository has those of many.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilesRelease {
    /// A pattern such as `el8/*.ks`: it must fit the end of the path.
    pub files: FilePattern,
    /// The release.
    pub release: ReleaseName,
}

/// A pattern of paths, with `*`, `**`, `?` and `[...]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub struct FilePattern(glob::Pattern);

impl TryFrom<String> for FilePattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // It fits wherever the path begins: in the folder that was named, or above it.
        let anywhere = format!("**/{}", text.trim_start_matches("./"));
        let pattern = glob::Pattern::new(&anywhere);
        pattern
            .map(FilePattern)
            .map_err(|error| format!("`{text}` is no pattern: {}", error.msg))
    }
}

impl CheckOptions {
    /// The release of a file by `[[check.releases]]`: the first pattern that fits.
    pub fn release_of(&self, path: &Path) -> Option<&ReleaseName> {
        let exact = glob::MatchOptions {
            require_literal_separator: true,
            ..glob::MatchOptions::default()
        };
        let fits = |of: &&FilesRelease| of.files.0.matches_path_with(path, exact);
        self.releases.iter().find(fits).map(|of| &of.release)
    }
}

impl Layer for CheckOptions {
    /// What is allowed adds up.
    fn over(self, below: CheckOptions) -> CheckOptions {
        CheckOptions {
            release: self.release.over(below.release),
            allow: [self.allow, below.allow].concat(),
            releases: [self.releases, below.releases].concat(),
            strict: self.strict.over(below.strict),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Version;

    #[test]
    fn files_have_releases_by_pattern() {
        let text = "releases = [\
            { files = \"el8/*.ks\", release = \"Rocky-8\" },\
            { files = \"*-10.ks\", release = \"RHEL10\" },\
        ]";
        let options: CheckOptions = toml::from_str(text).unwrap();
        for (path, version) in [
            ("el8/web.ks", Some(Version::Rhel(8))),
            ("./el8/web.ks", Some(Version::Rhel(8))),
            ("/srv/ks/el8/web-10.ks", Some(Version::Rhel(8))),
            ("el8/more/web.ks", None),
            ("web-10.ks", Some(Version::Rhel(10))),
            ("a/b/web-10.ks", Some(Version::Rhel(10))),
            ("web-10.ks.bak", None),
        ] {
            let found = options.release_of(Path::new(path));
            assert_eq!(found.map(|name| name.version), version, "{path}");
        }
        let wrong = "releases = [{ files = \"[\", release = \"RHEL9\" }]";
        let error = toml::from_str::<CheckOptions>(wrong).unwrap_err();
        assert!(error.to_string().contains("is no pattern"), "{error}");
    }
}
