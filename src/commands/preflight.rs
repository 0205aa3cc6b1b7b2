//! What `ozr install` checks before a guest boots: what `ozr check --online` would say of the
//! template and the kickstart together, in the setting that the install would have.

use super::checked;
use super::online::Online;
use crate::check;
use crate::check::lints::scripts;
use crate::check::online::{Subject, TemplateText};
use crate::check::rules;
use crate::check::subject;
use crate::diagnostic::{Diagnostic, Severity, Source};
use crate::error::{Kind, failed};
use crate::install::plan::Plan;
use crate::install::remarks::Remarks;
use crate::language::{Included, Includes, Reading};
use crate::options::variables;
use crate::ui::event::{Event, Reporter};

/// What the installer can include: what is on the network, but no file of this host.
struct InTheGuest<'a>(&'a Online);

impl Includes for InTheGuest<'_> {
    fn find(&self, target: &str, _from: &str) -> Option<Included> {
        if !target.contains("://") {
            return None;
        }
        // What cannot be fetched is said by the check of all addresses.
        let text = self.0.text(target)?;
        let name = target.to_string();
        Some(Included { name, text })
    }
}

/// Checks what is to be installed, and reports what it finds. Where this is not the `last` try, and
/// all errors may be gone a moment later, the first of them is given instead.
///
/// # Errors
/// Input: the template or the kickstart has an error. Mirror: the only errors are addresses that
/// cannot be used. Host: no threads.
pub fn run(
    plan: &Plan,
    template_text: &str,
    last: bool,
    remarks: &Remarks,
    reporter: &Reporter,
) -> anyhow::Result<Option<String>> {
    let written = &plan.answers;
    let setting = checked::setting(&plan.template, written.outline(), &plan.options)?;
    let Some(setting) = setting else {
        return Ok(None);
    };
    if let Some(finding) = subject::unrendered(&written.text, &written.name) {
        return report(vec![finding], reporter).map(|()| None);
    }
    let online = match plan.options.offline {
        true => Online::asking_nobody(&plan.options, reporter)?,
        false => Online::new(&plan.options, reporter)?,
    };
    let reading = Reading::new(
        &written.text,
        &written.name,
        setting.version,
        &InTheGuest(&online),
    );
    let found = online.check(&Subject {
        reading: Some(&reading),
        template: Some(TemplateText {
            template: &plan.template,
            source: Source {
                name: &plan.file.name,
                text: template_text,
            },
        }),
        release: Some(plan.release),
        arch: Some(plan.arch),
        disc: plan.isos.first().map(|iso| &iso.url),
    })?;
    let allow = &plan.options.check.allow;
    let mut checked = check::kickstart(reading, &setting, found, allow);
    let of_template = scripts::of_template(&plan.template, &plan.file.name, setting.version);
    checked.findings.extend(rules::without(of_template, allow));
    let (secrets, findings) = (&plan.secrets, &mut checked.findings);
    variables::hide(secrets, findings, &written.name, &written.text);
    variables::hide(secrets, findings, &plan.file.name, template_text);
    findings
        .iter_mut()
        .for_each(|finding| written.place(finding));
    if !last && let Some(first) = passing(&checked.findings) {
        return Ok(Some(first.in_one_line()));
    }
    remarks.add(&checked.findings);
    report(checked.findings, reporter).map(|()| None)
}

/// The first error, if all errors may be gone a moment later.
fn passing(findings: &[Diagnostic]) -> Option<&Diagnostic> {
    let mut errors = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error);
    let first = errors.clone().next();
    let passes = |finding: &Diagnostic| finding.id.is_some_and(rules::may_pass);
    first.filter(|_| errors.all(passes))
}

/// Shows errors whole and warnings in a line each: an install that goes on is to be read, too.
fn report(findings: Vec<Diagnostic>, reporter: &Reporter) -> anyhow::Result<()> {
    let mut errors: Vec<Diagnostic> = Vec::new();
    for finding in findings {
        match finding.severity {
            Severity::Error => {
                reporter.event(Event::Finding(finding.clone()));
                errors.push(finding);
            }
            Severity::Warning => reporter.warn(finding.in_one_line()),
            Severity::Note => reporter.detail(finding.in_one_line()),
        }
    }
    let Some(first) = errors.first() else {
        return Ok(());
    };
    let of_mirror = |finding: &Diagnostic| finding.id.is_some_and(rules::is_of_mirror);
    let kind = match errors.iter().all(of_mirror) {
        true => Kind::Mirror,
        false => Kind::Input,
    };
    let more = match errors.len() - 1 {
        0 => String::new(),
        1 => " (and one more error)".to_string(),
        more => format!(" (and {more} more errors)"),
    };
    Err(failed!(
        kind,
        "{}{more}: correct what is shown above, or skip the check with --no-check",
        first.message
    ))
}
