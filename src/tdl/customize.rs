//! What a template adds to the installed system: packages, repositories, files, commands.

use std::collections::HashMap;
use std::ops::Range;

use super::findings::{Findings, Form, child};
use super::model::{Command, File, Package, Repository};
use super::payload;
use super::xml::Element;
use crate::input;

/// Reads `<packages>`.
pub fn packages(template: &Element, findings: &mut Findings<'_>) -> Vec<Package> {
    let mut hinted = false;
    let mut packages = Vec::new();
    for package in list(template, "packages", "package", findings) {
        let hints = ["repository", "file", "arguments"];
        findings.check(package, Form::once(&hints).with(&["name"]));
        for hint in hints {
            findings.text(package, hint);
        }
        if let Some(hint) = package.children.first().filter(|_| !hinted) {
            hinted = true;
            findings.warn(
                &hint.tag,
                format!("<{}> of a package is not used", hint.name),
                "packages are installed by name, from all repositories",
            );
        }
        let Some((name, span)) = findings.required_attribute(package, "name") else {
            continue;
        };
        let problem = if name.is_empty() {
            Some("the package's name is empty")
        } else if name.contains(char::is_control) {
            Some("the package's name holds a control character")
        } else if name.starts_with(['%', '#', '-']) {
            // Directives, comments and exclusions of a kickstart's %packages section.
            Some("a package's name cannot begin with `%`, `#` or `-`")
        } else {
            None
        };
        let help =
            "name a package, a group (@core) or an environment (@^server-product-environment)";
        if findings.accept(&span, problem, help) {
            let name = name.to_string();
            packages.push(Package { name, span });
        }
    }
    packages
}

/// Reads `<repositories>`. Of several with one name the last stands, as in Oz.
pub fn repositories(template: &Element, findings: &mut Findings<'_>) -> Vec<Repository> {
    let mut repositories: Vec<Option<Repository>> = Vec::new();
    let mut by_id: HashMap<String, usize> = HashMap::new();
    for element in list(template, "repositories", "repository", findings) {
        let once = ["url", "signed", "persisted", "sslverify"];
        findings.check(element, Form::once(&once).with(&["name"]));
        let name = repository_name(element, findings);
        let url = super::os::address(element, "url", &["http", "https", "ftp", "file"], findings);
        let signed = boolean(element, "signed", false, findings);
        let persisted = boolean(element, "persisted", true, findings);
        let sslverify = boolean(element, "sslverify", false, findings);
        let (Some((name, name_span)), Some(url)) = (name, url) else {
            continue;
        };
        if persisted && url.is_loopback() {
            findings.error(
                &url.span(),
                "the repository's host is this machine, which the finished image would look for in itself",
                "use a host name that others can reach, or <persisted>no</persisted> for the installation only",
            );
        }
        let repository = Repository {
            name: name.to_string(),
            url,
            signed,
            persisted,
            sslverify,
        };
        if let Some(at) = by_id.insert(repository.id(), repositories.len()) {
            let earlier = repositories[at].take();
            if earlier.is_none_or(|earlier| earlier.name == name) {
                findings.warn(
                    &name_span,
                    "the repository replaces an earlier one of the same name",
                    "remove one of them, or rename it",
                );
            } else {
                let message = format!(
                    "the repository and another become one file, {}.repo",
                    repository.id()
                );
                findings.error(
                    &name_span,
                    message,
                    "names must differ in letters, digits and `-_.:`",
                );
            }
        }
        repositories.push(Some(repository));
    }
    repositories.into_iter().flatten().collect()
}

fn repository_name<'e>(
    element: &'e Element,
    findings: &mut Findings<'_>,
) -> Option<(&'e str, Range<usize>)> {
    let (name, span) = findings.required_attribute(element, "name")?;
    // The name of a file in /etc/yum.repos.d, and of a section in it.
    let bad = name.contains(|c: char| c.is_control() || matches!(c, '/' | '[' | ']'));
    if bad || name.is_empty() || name.starts_with('.') || name.len() > input::MAX_NAME - 5 {
        findings.error(
            &span,
            "the repository's name cannot be the name of its file in /etc/yum.repos.d",
            "use up to 250 letters, digits and `-_.:`, not beginning with a dot",
        );
        return None;
    }
    Some((name, span))
}

fn boolean(element: &Element, name: &str, default: bool, findings: &mut Findings<'_>) -> bool {
    let Some((text, span)) = findings.text(element, name) else {
        return default;
    };
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" => true,
        "false" | "no" => false,
        _ => {
            findings.error(
                &span,
                format!("<{name}> is neither yes nor no"),
                "allowed: yes, no, true, false, in any case",
            );
            default
        }
    }
}

/// Reads `<files>`. Of several with one path the last stands, as in Oz.
pub fn files(template: &Element, findings: &mut Findings<'_>) -> Vec<File> {
    let mut files: Vec<Option<File>> = Vec::new();
    let mut by_path: HashMap<&str, usize> = HashMap::new();
    for element in list(template, "files", "file", findings) {
        findings.check(element, Form::TEXT.with(&["name", "type"]));
        let path = findings.required_attribute(element, "name");
        let content = payload::read(element, findings);
        let Some((path, span)) = path else { continue };
        let help = "name the file by its absolute path in the image, such as /etc/motd";
        let good = findings.accept(&span, input::path_problem(path), help);
        let Some(content) = content.filter(|_| good) else {
            continue;
        };
        if let Some(at) = by_path.insert(path, files.len()) {
            findings.warn(
                &span,
                "the file replaces an earlier one of the same name",
                "remove one of them",
            );
            files[at] = None;
        }
        files.push(Some(File {
            path: path.to_string(),
            content,
        }));
    }
    files.into_iter().flatten().collect()
}

/// Reads `<precommands>` or `<commands>` (`parent`) in the order in which they run.
pub fn commands(template: &Element, parent: &str, findings: &mut Findings<'_>) -> Vec<Command> {
    let elements = list(template, parent, "command", findings);
    let order = order(&elements, findings);
    let mut commands: Vec<Option<Command>> = elements
        .into_iter()
        .map(|element| read_command(element, findings))
        .collect();
    order
        .into_iter()
        .filter_map(|index| commands.get_mut(index)?.take())
        .collect()
}

fn read_command(element: &Element, findings: &mut Findings<'_>) -> Option<Command> {
    findings.check(element, Form::TEXT.with(&["name", "type", "position"]));
    let name = findings.required_attribute(element, "name");
    if element.text.trim().is_empty() {
        findings.error(
            &element.tag,
            "the command is empty",
            "write what the shell shall run, or remove the command",
        );
        return None;
    }
    let script = payload::read(element, findings);
    let (name, span) = name?;
    let problem = "the command's name holds a control character";
    let problem = Some(problem).filter(|_| name.contains(char::is_control));
    let good = findings.accept(&span, problem, "write the name on one line");
    good.then_some(Command {
        name: name.to_string(),
        script: script?,
    })
}

/// The indexes of `commands` in the order in which they run: that of the document, or that of their
/// attribute `position`.
fn order(commands: &[&Element], findings: &mut Findings<'_>) -> Vec<usize> {
    if commands.iter().all(|c| c.attribute("position").is_none()) {
        return (0..commands.len()).collect();
    }
    let help = "either no command has a position, or the positions of all are 1, 2, 3, ... \
                without gap or repetition";
    let mut slots: Vec<Option<usize>> = vec![None; commands.len()];
    for (index, command) in commands.iter().enumerate() {
        let Some(attribute) = command.attribute("position") else {
            findings.error(
                &command.tag,
                "this command has no position, others do",
                help,
            );
            continue;
        };
        let digits = attribute.value.trim();
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            findings.error(&attribute.span, "the position is not a number", help);
            continue;
        }
        // A number too large for usize is past the end too.
        let slot = digits
            .parse::<usize>()
            .ok()
            .and_then(|position| position.checked_sub(1))
            .and_then(|position| slots.get_mut(position));
        match slot {
            None => findings.error(
                &attribute.span,
                format!("the position is not between 1 and {}", commands.len()),
                help,
            ),
            Some(Some(_)) => {
                findings.error(&attribute.span, "another command has this position", help);
            }
            Some(free) => *free = Some(index),
        }
    }
    // With an error above the order does not matter any more.
    slots.into_iter().flatten().collect()
}

/// The elements `item` in the child `parent` of the template, nothing else being there.
fn list<'e>(
    template: &'e Element,
    parent: &str,
    item: &str,
    findings: &mut Findings<'_>,
) -> Vec<&'e Element> {
    let Some(parent) = child(template, parent) else {
        return Vec::new();
    };
    findings.check(parent, Form::many(&[item]));
    let items = parent.children.iter();
    items.filter(|child| child.name == item).collect()
}
