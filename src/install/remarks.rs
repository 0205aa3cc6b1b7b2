//! What was found and remarked on the way to an image: its manifest has all of it.

use std::path::Path;
use std::sync::Mutex;

use crate::diagnostic::Diagnostic;
use crate::image::manifest::Finding;
use crate::panics::lock;
use crate::ui::event::{Event, Sink};

/// Most of either that are kept; a build has a handful.
const MOST: usize = 1000;

/// Takes notes, warnings and findings.
#[derive(Debug, Default)]
pub struct Remarks {
    notes: Mutex<Vec<String>>,
    findings: Mutex<Vec<Finding>>,
}

impl Remarks {
    /// Adds findings.
    pub fn add(&self, findings: &[Diagnostic]) {
        let mut all = lock(&self.findings);
        for finding in findings {
            let file = Path::new(&finding.file).file_name().unwrap_or_default();
            let finding = Finding {
                severity: finding.severity.to_string(),
                id: finding.id.map(str::to_owned),
                file: file.to_string_lossy().into_owned(),
                line: finding.line,
                column: finding.column,
                message: finding.message.clone(),
            };
            if all.len() < MOST && !all.contains(&finding) {
                all.push(finding);
            }
        }
    }

    /// The notes and warnings so far, each once.
    pub fn notes(&self) -> Vec<String> {
        lock(&self.notes).clone()
    }

    /// The findings so far, each once.
    pub fn findings(&self) -> Vec<Finding> {
        lock(&self.findings).clone()
    }
}

impl Sink for Remarks {
    fn take(&self, event: Event) {
        match event {
            Event::Note(text) | Event::Warning(text) => {
                let mut all = lock(&self.notes);
                if all.len() < MOST && !all.contains(&text) {
                    all.push(text);
                }
            }
            Event::Finding(finding) => self.add(&[finding]),
            _ => {}
        }
    }
}
