//! Findings for programs: one JSON object on a line for each. `docs/check-json.md` describes it.

use serde::Serialize;

use super::{Checked, PlacedEdit};
use crate::check::rules;
use crate::diagnostic::Diagnostic;

/// A finding.
#[derive(Debug, Serialize)]
struct Finding<'a> {
    checked: &'a str,
    file: &'a str,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
    severity: String,
    id: Option<&'a str>,
    title: Option<&'a str>,
    message: &'a str,
    help: Option<&'a str>,
    notes: &'a [String],
    fix: Vec<Change<'a>>,
}

/// A change of the text, of those that together are the fix.
#[derive(Debug, Serialize)]
struct Change<'a> {
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
    start_byte: usize,
    end_byte: usize,
    text: &'a str,
}

/// The findings of all files, in their order.
pub fn render(files: &[Checked]) -> String {
    let mut text = String::new();
    for file in files {
        for finding in &file.findings {
            // Maps with keys that are no strings are all that serde_json refuses.
            if let Ok(line) = serde_json::to_string(&of(file, finding)) {
                text.push_str(&line);
                text.push('\n');
            }
        }
    }
    text
}

fn of<'a>(file: &'a Checked, finding: &'a Diagnostic) -> Finding<'a> {
    Finding {
        checked: &file.name,
        file: &finding.file,
        line: finding.line,
        column: finding.column,
        end_line: finding.end_line,
        end_column: finding.end_column,
        severity: finding.severity.to_string(),
        id: finding.id,
        title: finding.id.and_then(rules::find).map(|rule| rule.title),
        message: &finding.message,
        help: finding.help.as_deref(),
        notes: &finding.notes,
        fix: file.placed_fix(finding).iter().map(change).collect(),
    }
}

fn change<'a>(placed: &PlacedEdit<'a>) -> Change<'a> {
    Change {
        line: placed.start.0,
        column: placed.start.1,
        end_line: placed.end.0,
        end_column: placed.end.1,
        start_byte: placed.edit.span.start,
        end_byte: placed.edit.span.end,
        text: &placed.edit.text,
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn one_object_for_each_finding() {
        let text = render(&[samples::checked(), samples::clean()]);
        let findings: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(findings.len(), 3);
        assert_eq!(
            findings[0],
            json!({
                "checked": "ks/a b.ks", "file": "ks/a b.ks",
                "line": 2, "column": 1, "end_line": 2, "end_column": 8,
                "severity": "error", "id": "KS002", "title": "command that was removed",
                "message": "`install` was removed in RHEL 9", "help": "delete the line",
                "notes": [],
                "fix": [{
                    "line": 2, "column": 1, "end_line": 3, "end_column": 1,
                    "start_byte": 5, "end_byte": 13, "text": "",
                }],
            })
        );
        assert_eq!(findings[2]["checked"], "ks/a b.ks");
        assert_eq!(findings[2]["file"], "ks/part.ks");
        assert_eq!(
            findings[2]["notes"],
            json!(["included at line 4 of ks/a b.ks"])
        );
        assert_eq!(findings[2]["help"], Value::Null);
    }
}
