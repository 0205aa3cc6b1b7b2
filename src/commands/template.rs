//! Reading templates.

use std::path::Path;

use super::input;
use crate::check::online::TemplateText;
use crate::check::subject;
use crate::diagnostic::{Diagnostic, Source};
use crate::error::{Kind, failed, failure};
use crate::hex;
use crate::options::variables::{self, Values, Writing};
use crate::tdl::{self, Template};
use crate::ui::event::{Event, Reporter};

/// A template that was read from a file.
#[derive(Debug)]
pub struct ReadTemplate {
    /// The name that messages use.
    pub name: String,
    /// Its text, decoded.
    pub text: String,
    /// What it says.
    pub template: Template,
    /// The digest of its bytes, in hexadecimal digits.
    pub sha256: String,
}

impl ReadTemplate {
    /// The template and its text, for checks.
    pub fn as_text(&self) -> TemplateText<'_> {
        TemplateText {
            template: &self.template,
            source: Source {
                name: &self.name,
                text: &self.text,
            },
        }
    }
}

/// Reads a template from its bytes, and fills its variables.
///
/// # Errors
/// Input: the secret of a variable cannot be had. What is wrong with the template is within.
pub fn parse(bytes: &[u8], name: &str, values: &Values) -> anyhow::Result<Loaded> {
    let written = match tdl::decode(bytes, name) {
        Ok(text) => text,
        Err(findings) => return Ok(Err(findings)),
    };
    let source = Source {
        name,
        text: &written,
    };
    let text = match values
        .fill(source, Writing::Xml)
        .map_err(variables::refusal)
    {
        Ok(text) => text,
        Err(Ok(finding)) => return Ok(Err(vec![finding])),
        Err(Err(error)) => return Err(error),
    };
    let mut template = match tdl::parse(&text, name) {
        Ok(template) => template,
        Err(mut findings) => {
            values.hide(&mut findings, name, &text);
            return Ok(Err(findings));
        }
    };
    values.hide(&mut template.warnings, name, &text);
    Ok(Ok(ReadTemplate {
        name: name.to_string(),
        text,
        template,
        sha256: hex::sha256(bytes),
    }))
}

/// A template, or what is wrong with it.
pub type Loaded = Result<ReadTemplate, Vec<Diagnostic>>;

/// Reads a template and fills its variables; nothing is said of it yet.
///
/// # Errors
/// Input: it cannot be read, or is a kickstart; the secret of a variable cannot be had.
pub fn load(path: &Path, values: &Values) -> anyhow::Result<Loaded> {
    let bytes = input::read(path, "template")?;
    let name = input::display_name(path);
    if is_kickstart(&bytes) {
        let message = format!(
            "{name} is a kickstart, and a template comes first: write `ozr install TEMPLATE -k {name}`"
        );
        return Err(failure(Kind::Input, message));
    }
    parse(&bytes, &name, values)
}

fn is_kickstart(bytes: &[u8]) -> bool {
    !subject::is_template(bytes) && subject::looks_like_kickstart(&String::from_utf8_lossy(bytes))
}

/// Whether a file is a kickstart, by what is in it. Standard input, which is read once, is not asked.
pub fn names_kickstart(path: &Path) -> bool {
    let read = || input::read(path, "template").is_ok_and(|bytes| is_kickstart(&bytes));
    !input::is_stdin(path) && read()
}

/// Reports what there is to say of a template.
///
/// # Errors
/// Input: it is wrong.
pub fn accept(path: &Path, loaded: Loaded, reporter: &Reporter) -> anyhow::Result<ReadTemplate> {
    let read = loaded.map_err(|findings| refuse(path, findings, reporter))?;
    for warning in &read.template.warnings {
        reporter.event(Event::Finding(warning.clone()));
    }
    Ok(read)
}

/// Reports findings and makes the one sentence that ends the command.
pub fn refuse(path: &Path, findings: Vec<Diagnostic>, reporter: &Reporter) -> anyhow::Error {
    let count = findings.len();
    for finding in findings {
        reporter.event(Event::Finding(finding));
    }
    let errors = if count == 1 { "an error" } else { "errors" };
    let name = input::display_name(path);
    failed!(
        Kind::Input,
        "{name} has {errors}: correct what is shown above"
    )
}

/// Whether a template adds anything to what is installed.
pub fn adds(template: &Template) -> bool {
    let Template {
        packages,
        repositories,
        files,
        precommands,
        commands,
        ..
    } = template;
    !(packages.is_empty()
        && repositories.is_empty()
        && files.is_empty()
        && precommands.is_empty()
        && commands.is_empty())
}
