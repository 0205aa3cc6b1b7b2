//! What each build is made of: its template and kickstart, filled, and checked against its release before any
//! guest boots.

use std::collections::BTreeMap;

use super::super::checked::{Input, Reader};
use super::super::install::read_kickstarts;
use super::super::template;
use super::Build;
use crate::check::report::Tally;
use crate::diagnostic::{Diagnostic, Severity};
use crate::error::{Kind, reported};
use crate::install::answers::Joined;
use crate::options::Values;
use crate::options::variables::{self, Setting};
use crate::ui::event::{Event, Reporter};
use crate::ui::many::Many;

/// The texts of a build.
#[derive(Debug)]
pub struct Rendered {
    /// The build's name, and the table that it comes from.
    pub name: String,
    pub table: String,
    /// What was filled in.
    pub values: Values,
    /// The template.
    pub template: Input,
    /// The kickstart; none where it is built in.
    pub kickstart: Option<Joined>,
}

impl Rendered {
    /// Reads and fills them.
    ///
    /// # Errors
    /// Input: a file cannot be read, or a secret cannot be had.
    pub fn read(build: &Build) -> anyhow::Result<Rendered> {
        let values = Values::of(&build.options)?;
        let path = &build.variant.template;
        let template = match template::load(path, &values)? {
            Ok(read) => Input::Template {
                walked: false,
                read: Box::new(read),
            },
            Err(findings) => Input::BadTemplate {
                name: path.display().to_string(),
                findings,
            },
        };
        let kickstarts = &build.options.kickstart;
        let kickstart = match kickstarts.is_empty() {
            true => None,
            false => Some(read_kickstarts(kickstarts, &values)?),
        };
        Ok(Rendered {
            name: build.variant.name.clone(),
            table: build.variant.build.clone(),
            values,
            template,
            kickstart,
        })
    }

    /// What is found in them.
    fn findings(&self, build: &Build) -> anyhow::Result<Vec<Diagnostic>> {
        let read = match &self.template {
            Input::Template { read, .. } => Some(read.as_ref()),
            _ => None,
        };
        let path = build.options.kickstart.first();
        let reader = Reader {
            named_release: None,
            template: read,
            template_is_wrong: read.is_none_or(|read| read.template.release().is_err()),
            first_kickstart: path.map(|path| &**path),
            install: &build.options,
            allow: &build.options.check.allow,
            online: None,
            values: &self.values,
        };
        let mut findings = reader.check(&self.template)?.findings;
        if let (Some(joined), Some(path)) = (&self.kickstart, path) {
            let mut found = reader.kickstart(path, &joined.text)?.findings;
            let name = path.display().to_string();
            self.values.hide(&mut found, &name, &joined.text);
            for finding in &mut found {
                joined.place_from(&name, finding);
            }
            findings.extend(found);
        }
        Ok(findings)
    }
}

/// Checks every build, and says what is found: the same of several builds once.
///
/// # Errors
/// Input: a build has an error; it has been reported.
pub fn check(
    builds: &[Build],
    rendered: &[Rendered],
    set: &[Setting],
    many: &Many,
    reporter: &Reporter,
) -> anyhow::Result<()> {
    let mut all: Vec<(Diagnostic, Vec<&str>)> = Vec::new();
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    let mut passes = true;
    for (build, texts) in builds.iter().zip(rendered.iter()) {
        let findings = texts.findings(build)?;
        let checked = crate::check::report::Checked::of(&texts.name, findings);
        passes &= Tally::of(std::slice::from_ref(&checked)).passes(build.options.check.strict);
        for finding in checked.findings {
            let place = *known.entry(finding.in_one_line()).or_insert_with(|| {
                all.push((finding, Vec::new()));
                all.len() - 1
            });
            all[place].1.push(&texts.name);
        }
    }
    for (finding, names) in all {
        if finding.severity == Severity::Note {
            reporter.detail(finding.in_one_line());
            continue;
        }
        many.is_said(&finding.in_one_line());
        reporter.event(Event::Finding(finding));
        if builds.len() > 1 {
            let of = match names.len() {
                all if all == builds.len() => "all builds".to_owned(),
                1..=3 => names.join(", "),
                more => format!("{}, {} and {} more", names[0], names[1], more - 2),
            };
            reporter.note(format!("that is in {of}"));
        }
    }
    for setting in set {
        let name = &setting.name.0;
        let is_used = |(build, texts): (&Build, &Rendered)| {
            build.variant.used.contains(name) || texts.values.used().contains(name)
        };
        if !builds.iter().zip(rendered.iter()).any(is_used) {
            reporter.warn(variables::unused_warning(name));
        }
    }
    match passes {
        true => Ok(()),
        false => Err(reported(Kind::Input)),
    }
}
