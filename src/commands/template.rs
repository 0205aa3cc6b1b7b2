//! Reading a template that is to be installed.

use std::path::Path;

use super::input;
use crate::diagnostic::Diagnostic;
use crate::error::{Classify, Kind, failure};
use crate::hex;
use crate::tdl::{self, Template};
use crate::ui::event::{Event, Reporter};

/// A template that was read from a file.
#[derive(Debug)]
pub struct ReadTemplate {
    /// What it says.
    pub template: Template,
    /// The digest of its bytes, in hexadecimal digits.
    pub sha256: String,
}

/// Reads a template and reports what there is to say of it.
///
/// # Errors
/// Input: it is wrong or cannot be read.
pub fn read(path: &Path, reporter: &Reporter) -> anyhow::Result<ReadTemplate> {
    let name = input::display_name(path);
    let bytes = input::read(path, "template")?;
    let template = tdl::read(&bytes, &name)
        .map_err(|findings| refuse(path, findings, reporter))
        .kind(Kind::Input)?;
    for warning in &template.warnings {
        reporter.event(Event::Finding(warning.clone()));
    }
    Ok(ReadTemplate {
        template,
        sha256: hex::sha256(&bytes),
    })
}

/// Reports findings and makes the one sentence that ends the command.
pub fn refuse(path: &Path, findings: Vec<Diagnostic>, reporter: &Reporter) -> anyhow::Error {
    let count = findings.len();
    for finding in findings {
        reporter.event(Event::Finding(finding));
    }
    let errors = if count == 1 { "an error" } else { "errors" };
    let name = input::display_name(path);
    failure(
        Kind::Input,
        format!("{name} has {errors}: correct what is shown above"),
    )
}
