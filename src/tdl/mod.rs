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
mod os;
mod payload;
pub mod shipped;
mod xml;

pub use decode::{MAX_TEMPLATE_BYTES, decode};
pub use findings::mask;
pub use model::{
    Command, File, Install, IsoAddress, IsoInstall, Os, Package, Payload, Repository, SourceUrl,
    Template,
};
pub use payload::MAX_PAYLOAD_BYTES;

use crate::diagnostic::Diagnostic;
use crate::printable;
use findings::{Findings, Form};
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
    ];
    let form = Form {
        many: &["disk"],
        ..Form::once(&once).with(&["version"])
    };
    findings.check(root, form);
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
        check_name(text)
            .map_err(|message| findings.error(&span, message, NAME_HELP))
            .ok()?;
        Some(text.to_string())
    });
    findings.text(root, "description");
    // As it is written, blanks included; Oz has none of an empty one.
    let description = root
        .children
        .iter()
        .find(|child| child.name == "description");
    let description = description.map(|element| element.text.clone());
    let os = findings
        .required_child(root, "os")
        .and_then(|element| os::read(element, findings));
    let packages = customize::packages(root, findings);
    let repositories = customize::repositories(root, findings);
    let files = customize::files(root, findings);
    let precommands = customize::commands(root, "precommands", findings);
    let commands = customize::commands(root, "commands", findings);
    let disks = root.children.iter().filter(|child| child.name == "disk");
    let disks = disks.map(|disk| read_disk(disk, findings)).collect();
    let (os, release) = os?;
    Some(Template {
        name: guest?,
        description: description.filter(|text| !text.is_empty()),
        os,
        packages,
        repositories,
        files,
        precommands,
        commands,
        disks,
        warnings: Vec::new(),
        release,
    })
}

fn read_disk(disk: &Element, findings: &mut Findings<'_>) -> Option<u64> {
    findings.check(disk, Form::once(&["size"]));
    let (text, span) = findings.text(disk, "size")?;
    match parse_size(text) {
        Ok(None) if !text.is_empty() => {
            findings.warn(&span, "a disk size of 0 means the default size", SIZE_HELP);
            None
        }
        Ok(size) => size,
        Err(message) => {
            findings.error(&span, message, SIZE_HELP);
            None
        }
    }
}

/// Longest name, in bytes. File systems take 255; `.manifest.json`, and the suffixes of temporary
/// files beside it, take the rest.
pub const MAX_NAME_BYTES: usize = 200;

/// What is allowed, for the help of findings.
pub const NAME_HELP: &str = "a name is 1 to 200 bytes without `/` and control characters; it names the \
                        guest and the files in the output directory";

/// Whether `name` can be the name of a guest and of the files of its image, for templates and for
/// `--name` alike.
///
/// # Errors
/// One sentence that names the cause; [`NAME_HELP`] says what is allowed.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("the name is empty".to_string());
    }
    if name == "." || name == ".." {
        return Err(format!("the name `{name}` is a directory, not a file"));
    }
    if name.contains('/') {
        return Err("the name holds a `/` and would leave the output directory".to_string());
    }
    if let Some(bad) = name.chars().find(|&c| c.is_control()) {
        return Err(format!(
            "the name holds a control character (U+{:04X})",
            bad as u32
        ));
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(format!(
            "the name is {} bytes long, more than {MAX_NAME_BYTES}",
            name.len()
        ));
    }
    Ok(())
}

/// Largest virtual disk that a qcow2 image can have, in bytes: 2 EiB.
///
/// QEMU limits the L1 table to 32 MiB (`QCOW_MAX_L1_SIZE`); with the largest clusters, 2 MiB, its
/// 2^22 entries stand for 2^39 bytes each (docs/interop/qcow2 of QEMU, field `size`; `qemu-img`
/// 10.0 creates this size with `cluster_size=2M` and refuses the next). With the default clusters
/// of 64 KiB the limit is 2 PiB.
pub const QCOW2_MAX: u64 = 1 << 61;

/// What is allowed, for the help of findings.
pub const SIZE_HELP: &str = "write a whole number and a unit: `10` and `10G` are GiB, `512M` is MiB, `2T` is TiB; \
                        B, KB to EB count by 1000, KiB to EiB by 1024";

/// Most characters of a disk size that messages show: it may be megabytes long.
const MAX_SHOWN: usize = 40;

/// Reads a disk size into bytes. Nothing or zero means that the template does not set one.
///
/// The units are Oz's (0.19): none and a bare `G` mean GiB, a bare `T` means TiB, `B`, and
/// `KB`...`YB` (powers of 1000) and `KiB`...`YiB` (powers of 1024), in any case; and beyond it a bare `K`
/// and `M`.
///
/// # Errors
/// One sentence that names the cause; [`SIZE_HELP`] says what is allowed.
pub fn parse_size(text: &str) -> Result<Option<u64>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let refuse = |why: &str| format!("disk size `{}` {why}", printable::short(text, MAX_SHOWN));
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(refuse("does not begin with a digit"));
    }
    let unit = unit.trim_start_matches(' ').to_ascii_lowercase();
    let factor = factor(&unit).ok_or_else(|| refuse("has no known unit"))?;
    let number = number.trim_start_matches('0');
    if number.is_empty() {
        return Ok(None);
    }
    let bytes = number
        .parse::<u128>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .and_then(|bytes| u64::try_from(bytes).ok())
        .filter(|&bytes| bytes <= QCOW2_MAX)
        .ok_or_else(|| refuse("is more than a qcow2 image can hold, which is 2 EiB"))?;
    Ok(Some(bytes))
}

/// Bytes in one of the lower-case unit.
fn factor(unit: &str) -> Option<u128> {
    let powers = |letter: &str| Some(1 + "kmgtpezy".find(letter)? as u32);
    Some(match unit {
        "" => 1 << 30,
        "b" => 1,
        _ => match (unit.get(..1)?, unit.get(1..)?) {
            (letter @ ("k" | "m" | "g" | "t"), "") => 1024u128.pow(powers(letter)?),
            (letter, "b") => 1000u128.pow(powers(letter)?),
            (letter, "ib") => 1024u128.pow(powers(letter)?),
            _ => return None,
        },
    })
}

#[cfg(test)]
mod tests;
