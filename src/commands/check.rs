//! `ozr check`

use std::path::{Path, PathBuf};

use super::input;
use crate::diagnostic::Diagnostic;
use crate::error::{Classify, Kind, failure};
use crate::hex;
use crate::tdl::{self, Template};
use crate::ui::event::{Event, Reporter};

/// `ozr check TEMPLATE…`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The TDL templates (- for standard input)
    #[arg(value_name = "TEMPLATE", required = true)]
    templates: Vec<PathBuf>,
}

/// Checks templates.
///
/// # Errors
/// Input: a template is wrong or cannot be read.
pub fn run(args: &Args, reporter: &Reporter) -> anyhow::Result<()> {
    let mut wrong = 0;
    for path in &args.templates {
        let checked = template(path, reporter).and_then(|read| {
            let findings = read.template.release().err().map(<[Diagnostic]>::to_vec);
            findings.map_or(Ok(()), |findings| Err(refuse(path, findings, reporter)))
        });
        match checked {
            Ok(()) => reporter.note(format!("{}: no error", input::display_name(path))),
            // One template's trouble does not hide the next one's.
            Err(error) if args.templates.len() > 1 => {
                reporter.event(Event::Error(format!("{error:#}")));
                wrong += 1;
            }
            Err(error) => return Err(error),
        }
    }
    if wrong > 0 {
        let message = format!("{wrong} of {} templates are wrong", args.templates.len());
        return Err(failure(Kind::Input, message));
    }
    Ok(())
}

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
pub fn template(path: &Path, reporter: &Reporter) -> anyhow::Result<ReadTemplate> {
    let name = input::display_name(path);
    let bytes = input::read(path, "template")?;
    let text = match tdl::decode(&bytes, &name) {
        Ok(text) => text,
        Err(finding) => return Err(refuse(path, finding, reporter)),
    };
    let template = tdl::parse(&text, &name)
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
