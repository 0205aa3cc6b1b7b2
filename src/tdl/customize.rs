//! What a template adds to the installed system: packages, repositories, files, commands.

use std::collections::HashMap;
use std::ops::Range;

use super::findings::{Findings, Form, child, children};
use super::model::{Command, File, Package, Repository};
use super::payload;
use super::positions;
use super::xml::Element;

/// Longest path that Linux takes (`PATH_MAX` without its NUL), and longest part of it.
const MAX_PATH_BYTES: usize = 4095;
const MAX_PATH_PART_BYTES: usize = 255;

/// Reads `<packages>`.
pub fn packages(template: &Element, findings: &mut Findings<'_>) -> Vec<Package> {
    let mut hinted = false;
    list(template, "packages", "package", findings)
        .filter_map(|package| {
            let hints = ["repository", "file", "arguments"];
            findings.check(
                package,
                Form {
                    attributes: &["name"],
                    once: &hints,
                    ..Form::EMPTY
                },
            );
            if let Some(hint) = package.children.first().filter(|_| !hinted) {
                hinted = true;
                findings.warn(
                    &hint.tag,
                    format!("<{}> of a package is not used", hint.name),
                    "packages are installed by name, from all repositories",
                );
            }
            let mut hint = |name| {
                findings
                    .text(package, name)
                    .map(|(text, _)| text.to_string())
            };
            let [repository, file, arguments] = hints.map(&mut hint);
            let (name, span) = package_name(package, findings)?;
            Some(Package {
                name,
                span,
                repository,
                file,
                arguments,
            })
        })
        .collect()
}

fn package_name(package: &Element, findings: &mut Findings<'_>) -> Option<(String, Range<usize>)> {
    let (name, span) = findings.required_attribute(package, "name")?;
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
    if let Some(problem) = problem {
        findings.error(
            &span,
            problem,
            "name a package, a group (@core) or an environment (@^server-product-environment)",
        );
        return None;
    }
    Some((name.to_string(), span))
}

/// Reads `<repositories>`. Of several with one name the last stands, as in Oz.
pub fn repositories(template: &Element, findings: &mut Findings<'_>) -> Vec<Repository> {
    let mut repositories: Vec<Option<Repository>> = Vec::new();
    let mut by_id: HashMap<String, usize> = HashMap::new();
    for element in list(template, "repositories", "repository", findings).collect::<Vec<_>>() {
        findings.check(
            element,
            Form {
                attributes: &["name"],
                once: &["url", "signed", "persisted", "sslverify"],
                ..Form::EMPTY
            },
        );
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
                &child(element, "url").map_or(element.tag.clone(), |url| url.trimmed_text().1),
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
    if bad || name.is_empty() || name.starts_with('.') || name.len() > MAX_PATH_PART_BYTES - 5 {
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
    for element in list(template, "files", "file", findings).collect::<Vec<_>>() {
        findings.check(element, CONTENT);
        let path = findings.required_attribute(element, "name");
        let content = payload::read(element, findings);
        let Some((path, span)) = path else { continue };
        if let Some(problem) = path_problem(path) {
            findings.error(
                &span,
                problem,
                "name the file by its absolute path in the image, such as /etc/motd",
            );
            continue;
        }
        let Some(content) = content else { continue };
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

fn path_problem(path: &str) -> Option<&'static str> {
    if !path.starts_with('/') {
        Some("the file's path is not absolute")
    } else if path.contains(char::is_control) {
        Some("the file's path holds a control character")
    } else if path.split('/').any(|part| part == "..") {
        Some("the file's path holds `..`")
    } else if path.ends_with('/') || path.ends_with("/.") {
        Some("the file's path is that of a directory")
    } else if path.len() > MAX_PATH_BYTES
        || path.split('/').any(|part| part.len() > MAX_PATH_PART_BYTES)
    {
        Some("the file's path, or a part of it, is longer than Linux allows")
    } else {
        None
    }
}

/// Reads `<precommands>` or `<commands>` (`parent`) in the order in which they run.
pub fn commands(template: &Element, parent: &str, findings: &mut Findings<'_>) -> Vec<Command> {
    let elements: Vec<&Element> = list(template, parent, "command", findings).collect();
    let order = positions::order(&elements, findings);
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
    findings.check(
        element,
        Form {
            attributes: &["name", "type", "position"],
            ..CONTENT
        },
    );
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
    if name.contains(char::is_control) {
        findings.error(
            &span,
            "the command's name holds a control character",
            "write the name on one line",
        );
        return None;
    }
    Some(Command {
        name: name.to_string(),
        script: script?,
    })
}

const CONTENT: Form<'static> = Form {
    attributes: &["name", "type"],
    ..Form::TEXT
};

/// The elements `item` in the child `parent` of the template, nothing else being there.
fn list<'e>(
    template: &'e Element,
    parent: &str,
    item: &'e str,
    findings: &mut Findings<'_>,
) -> impl Iterator<Item = &'e Element> + use<'e> {
    let parent = child(template, parent);
    if let Some(parent) = parent {
        findings.check(
            parent,
            Form {
                many: &[item],
                ..Form::EMPTY
            },
        );
    }
    parent
        .into_iter()
        .flat_map(move |parent| children(parent, item))
}
