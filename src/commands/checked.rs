//! What a check is about: the files, and for which release each of them is read.

use std::path::{Path, PathBuf};

use super::input;
use super::walk::Found;
use crate::check::includes::Files;
use crate::check::kickstart;
use crate::check::report::Checked;
use crate::check::subject::{self, VersionLine};
use crate::diagnostic::{Diagnostic, Severity, Source};
use crate::kickstart::scan;
use crate::language::Version;
use crate::options::ReleaseName;
use crate::tdl::{self, Template};

/// A file that is to be checked.
#[derive(Debug)]
pub enum Input {
    /// A template: what it says, or what is wrong with it.
    Template {
        /// The name that messages use.
        name: String,
        /// It was found in a folder, not named.
        walked: bool,
        /// The template.
        template: Result<Box<Template>, Vec<Diagnostic>>,
    },
    /// A kickstart.
    Kickstart {
        /// The file, or `-`.
        path: PathBuf,
        /// All of it.
        text: String,
    },
    /// A file that is no text, or cannot be read at all.
    Unreadable(Diagnostic),
}

impl Input {
    /// Whether it is a kickstart from standard input.
    pub fn is_stdin(&self) -> bool {
        matches!(self, Input::Kickstart { path, .. } if input::is_stdin(path))
    }
}

/// Reads a file, and tells by its content what it is.
pub fn open(found: &Found) -> Input {
    let Found { path, walked } = found;
    let (name, walked) = (input::display_name(path), *walked);
    let bytes = match input::read(path, "file") {
        Ok(bytes) => bytes,
        Err(error) => {
            let message = format!("{error:#}");
            return Input::Unreadable(Diagnostic::of_file(Severity::Error, &name, message));
        }
    };
    if subject::is_template(&bytes) {
        let template = tdl::read(&bytes, &name).map(Box::new);
        return Input::Template {
            name,
            walked,
            template,
        };
    }
    match scan::decode(bytes, &name) {
        Ok(text) => Input::Kickstart {
            path: path.clone(),
            text,
        },
        Err(finding) => Input::Unreadable(finding.id("KS009")),
    }
}

/// The template that was named, if it is one: kickstarts beside it are read for its release.
pub fn only_template(inputs: &[Input]) -> Option<&Template> {
    let mut named = inputs.iter().filter_map(|input| match input {
        Input::Template {
            walked: false,
            template: Ok(template),
            ..
        } => Some(template.as_ref()),
        _ => None,
    });
    named.next().filter(|_| named.next().is_none())
}

/// How inputs are read.
#[derive(Debug)]
pub struct Reader<'a> {
    /// `--release`, which stands above all.
    pub named_release: Option<ReleaseName>,
    /// A template that kickstarts are to be installed with.
    pub template: Option<&'a Template>,
    /// The configuration's release, for kickstarts that name none.
    pub default_release: Option<ReleaseName>,
    /// Rules whose findings are not wanted.
    pub allow: &'a [String],
}

impl Reader<'_> {
    /// Checks one input.
    pub fn check(&self, input: &Input) -> Checked {
        match input {
            Input::Unreadable(finding) => of_findings(&finding.file, vec![finding.clone()]),
            Input::Template { name, template, .. } => {
                let findings = match template {
                    Ok(template) => {
                        let mut findings = template.warnings.clone();
                        findings.extend(template.release().err().into_iter().flatten().cloned());
                        findings
                    }
                    Err(findings) => findings.clone(),
                };
                of_findings(name, findings)
            }
            Input::Kickstart { path, text, .. } => self.kickstart(path, text),
        }
    }

    /// Checks a kickstart.
    pub fn kickstart(&self, path: &Path, text: &str) -> Checked {
        let name = input::display_name(path);
        match self.version(&name, text) {
            Ok(version) => kickstart::check(text, &name, version, &Files::near(path), self.allow),
            Err(finding) => of_findings(&name, vec![*finding]),
        }
    }

    /// The version whose installer reads the kickstart: `--release`, or that of the template that
    /// it is checked with, or what the file says itself, or the configuration.
    fn version(&self, name: &str, text: &str) -> Result<Version, Box<Diagnostic>> {
        let of_template = self.template.and_then(|template| template.release().ok());
        if let Some(named) = &self.named_release {
            return Ok(named.version);
        }
        if let Some(version) = of_template.and_then(|release| Version::of(*release)) {
            return Ok(version);
        }
        let default = self.default_release.as_ref().map(|named| named.version);
        let help = "say it with --release RHEL9 (or Rocky-9, Fedora-43, ...), in a first line \
                    `#version=RHEL9`, or as `release` in [check] of the configuration file";
        match (subject::version_line(text), default) {
            (Some(VersionLine::Known(version)), _) | (_, Some(version)) => Ok(version),
            (Some(VersionLine::Unknown(span)), None) => {
                let message = format!("`{}` is no release that ozr knows", &text[span.clone()]);
                let finding = Diagnostic::error(Source { name, text }, span, message);
                Err(Box::new(finding.help(help)))
            }
            (None, None) => {
                let message = "nothing says which release's installer reads this kickstart";
                let finding = Diagnostic::of_file(Severity::Error, name, message);
                Err(Box::new(finding.help(help)))
            }
        }
    }
}

fn of_findings(name: &str, findings: Vec<Diagnostic>) -> Checked {
    Checked {
        name: name.to_string(),
        texts: Vec::new(),
        findings,
    }
}
