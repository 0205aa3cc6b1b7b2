//! What is wrong with a kickstart, found before a guest boots.
//!
//! * [`catalogue`]: every rule, with its explanation.
//! * [`lints`]: what makes an install wait or end as a bad image, in a [`setting`].
//! * [`suppressions`]: findings that somebody allows; [`fix`]: remedies that are certain.
//! * [`host`]: what this host lacks for a build.
//! * [`includes`]: the files that a kickstart includes.
//! * [`mod@kickstart`]: one kickstart, with what it includes.
//! * [`online`]: addresses, packages and groups, asked of the network.
//! * [`report`]: findings as text, in every format.
//! * [`subject`]: what a file is, and which release it names.

pub mod catalogue;
pub mod fix;
pub mod host;
pub mod includes;
pub mod kickstart;
mod language_rules;
pub mod lints;
pub mod online;
pub mod report;
pub mod setting;
pub mod subject;
pub mod suppressions;

use crate::diagnostic::Diagnostic;
use crate::language::Reading;
use setting::Setting;

/// Everything that is wrong with a kickstart: what its language says, what is a hazard in its
/// setting, and what was found elsewhere (`more`: [`online`]); without what comments in it or
/// `allow` (ids) allow. In the order of its texts and their lines, what is about the kickstart as
/// a whole first.
pub fn kickstart(
    reading: &Reading,
    setting: &Setting,
    more: Vec<Diagnostic>,
    allow: &[String],
) -> Vec<Diagnostic> {
    let mut findings = reading.findings.clone();
    findings.extend(lints::find(reading, setting));
    findings.extend(more);
    let mut findings = suppressions::apply(reading, findings, allow);
    let place = |finding: &Diagnostic| {
        let mut texts = reading.texts.iter();
        let text = texts.position(|text| text.name == finding.file);
        let line = (!finding.is_about_whole_file()).then_some((finding.line, finding.column));
        (text, line)
    };
    findings.sort_by_cached_key(place);
    findings
}
