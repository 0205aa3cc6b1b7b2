//! A SARIF 2.1.0 log (OASIS standard), as code hosts and editors load it.
//!
//! What GitHub's code scanning asks for beyond the standard is in its documentation, "SARIF
//! support for code scanning": paths relative to the repository, a rule for every result, help
//! texts. The excerpts of lines are left out: they may hold secrets, and hosts show the file.

use std::path::{Component, Path};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use url::Url;

use super::{Checked, PlacedEdit};
use crate::check::rules::{self, Rule};
use crate::diagnostic::{Diagnostic, Severity};

/// The schema of the version that is written.
const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// The rule of findings that name none: templates, and files that cannot be read.
const UNNAMED: Rule = Rule {
    id: "ozr",
    title: "input that ozr refuses",
    explanation: "The template is wrong, or a file cannot be read. The message says what is allowed.",
};

/// Characters of a path that stand in a URI as they are (RFC 3986, unreserved).
const IN_PATHS: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// One log with the findings of all files. Paths become relative to `root`, an absolute path, if
/// they are below it: the top of a checkout.
pub fn render(files: &[Checked], root: &Path) -> String {
    let rules: Vec<&Rule> = rules::all().chain([&UNNAMED]).collect();
    let results: Vec<Value> = files
        .iter()
        .flat_map(|file| file.findings.iter().map(move |finding| (file, finding)))
        .map(|(file, finding)| result(file, finding, &rules, root))
        .collect();
    let driver = json!({
        "name": "ozr",
        "version": env!("CARGO_PKG_VERSION"),
        "semanticVersion": env!("CARGO_PKG_VERSION"),
        "rules": rules.iter().map(|rule| descriptor(rule)).collect::<Vec<_>>(),
    });
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": driver },
            "invocations": [{ "executionSuccessful": true }],
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    format!("{log:#}\n")
}

fn descriptor(rule: &Rule) -> Value {
    json!({
        "id": rule.id,
        "name": pascal_case(rule.title),
        "shortDescription": { "text": rule.title },
        "fullDescription": { "text": rule.explanation },
        "help": { "text": rule.explanation, "markdown": rule.explanation },
        "properties": { "tags": ["kickstart"] },
    })
}

/// `unknown command` to `UnknownCommand`, as the standard recommends for names of rules.
fn pascal_case(title: &str) -> String {
    title
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| word[..1].to_ascii_uppercase() + &word[1..])
        .collect()
}

fn result(file: &Checked, finding: &Diagnostic, rules: &[&Rule], root: &Path) -> Value {
    let place = |id: &str| rules.iter().position(|rule| rule.id == id);
    let id = finding.id.unwrap_or(UNNAMED.id);
    let remarks = finding.help.iter().chain(&finding.notes);
    let text: Vec<&str> = std::iter::once(&finding.message)
        .chain(remarks)
        .map(String::as_str)
        .collect();
    let artifact = json!({ "uri": uri(&finding.file, root) });
    let mut location = json!({ "artifactLocation": artifact });
    if !finding.is_about_whole_file() {
        location["region"] = region(
            (finding.line, finding.column),
            (finding.end_line, finding.end_column),
        );
    }
    let mut result = json!({
        "ruleId": id,
        "level": level(finding.severity),
        "message": { "text": text.join("\n") },
        "locations": [{ "physicalLocation": location }],
    });
    if let Some(index) = place(id) {
        result["ruleIndex"] = json!(index);
    }
    let edits = file.placed_fix(finding);
    if !edits.is_empty() {
        result["fixes"] = json!([{
            "description": { "text": finding.help.as_deref().unwrap_or("the certain fix") },
            "artifactChanges": [{
                "artifactLocation": artifact,
                "replacements": edits.iter().map(replacement).collect::<Vec<_>>(),
            }],
        }]);
    }
    result
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

fn region(start: (usize, usize), end: (usize, usize)) -> Value {
    json!({
        "startLine": start.0,
        "startColumn": start.1,
        "endLine": end.0,
        "endColumn": end.1,
    })
}

fn replacement(placed: &PlacedEdit<'_>) -> Value {
    json!({
        "deletedRegion": region(
            (placed.line, placed.column),
            (placed.end_line, placed.end_column),
        ),
        "insertedContent": { "text": placed.text },
    })
}

/// The URI of a file: relative where it is below `root`.
fn uri(name: &str, root: &Path) -> String {
    // A text that was included by URL.
    if name.contains("://") && Url::parse(name).is_ok() {
        return name.to_string();
    }
    let path = Path::new(name);
    let below = path.strip_prefix(root).unwrap_or(path);
    let absolute = below.is_absolute() || below.components().any(|c| c == Component::ParentDir);
    if absolute && let Ok(url) = Url::from_file_path(clean(&root.join(below))) {
        return url.into();
    }
    let segments: Vec<String> = below
        .components()
        .filter(|component| *component != Component::CurDir)
        .map(|component| component.as_os_str().to_string_lossy())
        .map(|segment| utf8_percent_encode(&segment, IN_PATHS).to_string())
        .collect();
    segments.join("/")
}

/// The path without `..`.
fn clean(path: &Path) -> std::path::PathBuf {
    let mut cleaned = std::path::PathBuf::new();
    for component in path.components() {
        if component == Component::ParentDir {
            cleaned.pop();
        } else {
            cleaned.push(component);
        }
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    fn log() -> Value {
        let files = [samples::checked(), samples::clean()];
        serde_json::from_str(&render(&files, Path::new("/src"))).unwrap()
    }

    #[test]
    fn a_log_has_what_the_standard_and_code_hosts_ask_for() {
        let log = log();
        assert_eq!(log["version"], "2.1.0");
        let run = &log["runs"][0];
        let driver = &run["tool"]["driver"];
        assert_eq!(driver["name"], "ozr");
        let results = run["results"].as_array().unwrap();
        assert_eq!(results.len(), 3);
        for result in results {
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(driver["rules"][index]["id"], result["ruleId"]);
            assert!(
                !driver["rules"][index]["help"]["text"]
                    .as_str()
                    .unwrap()
                    .is_empty()
            );
        }
        assert_eq!(
            results[0]["locations"][0]["physicalLocation"],
            json!({
                "artifactLocation": { "uri": "ks/a%20b.ks" },
                "region": { "startLine": 2, "startColumn": 1, "endLine": 2, "endColumn": 8 },
            })
        );
        assert_eq!(
            results[0]["fixes"][0]["artifactChanges"][0]["replacements"],
            json!([{
                "deletedRegion": { "startLine": 2, "startColumn": 1, "endLine": 3, "endColumn": 1 },
                "insertedContent": { "text": "" },
            }])
        );
        assert_eq!(results[1]["level"], "warning");
        assert_eq!(results[1]["fixes"], Value::Null);
        let message = results[2]["message"]["text"].as_str().unwrap();
        assert_eq!(message, "unknown command\nincluded at line 4 of ks/a b.ks");
    }

    #[test]
    fn paths_are_relative_to_the_checkout() {
        for (name, expected) in [
            ("a.ks", "a.ks"),
            ("./ks/a.ks", "ks/a.ks"),
            ("/src/ks/a.ks", "ks/a.ks"),
            ("/srv/a#b.ks", "file:///srv/a%23b.ks"),
            ("../other/a.ks", "file:///other/a.ks"),
            ("ü %.ks", "%C3%BC%20%25.ks"),
            ("<stdin>", "%3Cstdin%3E"),
            ("https://example.com/a.ks", "https://example.com/a.ks"),
        ] {
            assert_eq!(uri(name, Path::new("/src")), expected, "{name}");
        }
    }

    #[test]
    fn names_of_rules_are_one_word() {
        assert_eq!(pascal_case("line of %packages, odd"), "LineOfPackagesOdd");
    }
}
