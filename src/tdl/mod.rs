//! TDL, the template language of Oz: which system to install, from where, and what to add.
//!
//! [`decode()`] turns a file's bytes into text, [`parse`] turns the text into a [`Template`] or into
//! findings with their places. Nothing here reads a file or the network: contents by URL stay
//! URLs ([`Payload`]).
//!
//! The language is that of Oz 0.19 (its `tdl.rng` and `TDL.py`). Accepted beyond it: an XML header
//! with an encoding, base64 with white space in it, white space around all simple values. Refused
//! beyond it: names and paths that would leave their place, names that are not one line, document
//! types and entities, and disks larger than qcow2's limit.

mod customize;
mod decode;
mod findings;
mod model;
pub mod name;
mod os;
mod payload;
pub mod size;
mod xml;

pub use decode::{MAX_TEMPLATE_BYTES, decode};
pub use findings::mask;
pub use model::{
    Command, File, Install, Os, Package, Payload, Repository, Secret, SourceUrl, Template,
};
pub use payload::MAX_PAYLOAD_BYTES;

use crate::diagnostic::Diagnostic;
use findings::{Findings, Form, child};
use xml::Element;

/// Decodes and reads the file of the template `name`.
///
/// # Errors
/// As [`decode()`] and [`parse`].
pub fn read(bytes: &[u8], name: &str) -> Result<Template, Vec<Diagnostic>> {
    parse(&decode(bytes, name)?, name)
}

/// Reads the text of the template `name` (a path, for messages).
///
/// # Errors
/// Everything that is wrong with it, up to 50 findings; one finding if it is not XML.
pub fn parse(text: &str, name: &str) -> Result<Template, Vec<Diagnostic>> {
    // Behind a byte order mark, which `decode` has removed already.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut findings = Findings::new(name, text);
    let root = xml::read(text)
        .map_err(|error| vec![findings.finding(&error.span, error.message, error.help)])?;
    let template = read_template(&root, &mut findings);
    if template.is_none() && findings.is_empty() {
        // Every `None` comes with an error; if one does not, the template is refused all the same.
        let help = "please report this: it is a mistake in ozr";
        findings.error(&root.tag, "the template cannot be read", help);
    }
    let warnings = findings.finish()?;
    let template = template.ok_or_else(Vec::new)?;
    Ok(Template {
        warnings,
        ..template
    })
}

fn read_template(root: &Element, findings: &mut Findings<'_>) -> Option<Template> {
    if root.name != "template" {
        findings.error(
            &root.tag,
            format!("the root element is <{}>", root.name),
            "a template is one <template> element",
        );
        return None;
    }
    let once = [
        "name",
        "description",
        "os",
        "packages",
        "repositories",
        "files",
        "precommands",
        "commands",
        "disk",
    ];
    findings.check(root, Form::once(&once).with(&["version"]));
    if let Some(version) = root.attribute("version")
        && version.value.trim() != "1.0"
    {
        findings.error(
            &version.span,
            "unknown version of the template language",
            "the only version is 1.0",
        );
    }
    let guest = findings.required_child(root, "name").and_then(|_| {
        let (text, span) = findings.text(root, "name")?;
        name::check(text)
            .map_err(|message| findings.error(&span, message, name::HELP))
            .ok()?;
        Some(text.to_string())
    });
    findings.text(root, "description");
    let os = findings
        .required_child(root, "os")
        .and_then(|element| os::read(element, findings));
    let packages = customize::packages(root, findings);
    let repositories = customize::repositories(root, findings);
    let files = customize::files(root, findings);
    let precommands = customize::commands(root, "precommands", findings);
    let commands = customize::commands(root, "commands", findings);
    let disk_size = read_disk(root, findings);
    let (os, release) = os?;
    Some(Template {
        name: guest?,
        os,
        packages,
        repositories,
        files,
        precommands,
        commands,
        disk_size,
        warnings: Vec::new(),
        release,
    })
}

fn read_disk(root: &Element, findings: &mut Findings<'_>) -> Option<u64> {
    let disk = child(root, "disk")?;
    findings.check(disk, Form::once(&["size"]));
    let (text, span) = findings.text(disk, "size")?;
    match size::parse(text) {
        Ok(None) if !text.is_empty() => {
            findings.warn(&span, "a disk size of 0 means the default size", size::HELP);
            None
        }
        Ok(size) => size,
        Err(message) => {
            findings.error(&span, message, size::HELP);
            None
        }
    }
}

#[cfg(test)]
mod tests;
