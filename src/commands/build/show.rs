//! `ozr build --show`: what each build is made of, and how builds differ.

use std::collections::BTreeMap;

use similar::TextDiff;

use super::super::checked::Input;
use super::rendered::Rendered;
use crate::kickstart::mask;
use crate::printable;
use crate::secrets::Secrets;

/// Lines around a difference.
const CONTEXT: usize = 2;

/// The texts of all builds: those of the first of each table whole, those of the others as differences to it.
pub fn texts(all: &[Rendered]) -> String {
    let mut firsts: BTreeMap<&str, &Rendered> = BTreeMap::new();
    let mut shown = String::new();
    for build in all {
        let first = *firsts.entry(&build.table).or_insert(build);
        let (ours, theirs) = (files(build), files(first));
        for (what, text) in ours {
            let name = &build.name;
            if std::ptr::eq(first, build) {
                shown.push_str(&format!("# {name}: {what}\n{text}\n"));
                continue;
            }
            let before = theirs
                .iter()
                .find(|(other, _)| *other == what)
                .map_or("", |(_, text)| text);
            if before == text {
                shown.push_str(&format!("# {name}: {what}: as {}\n", first.name));
                continue;
            }
            let difference = TextDiff::from_lines(before, &text);
            let difference = difference
                .unified_diff()
                .context_radius(CONTEXT)
                .header(&first.name, name)
                .to_string();
            shown.push_str(&format!("# {name}: {what}\n{difference}\n"));
        }
    }
    printable::lines(&shown).into_owned()
}

/// Template and kickstart, without secrets.
fn files(build: &Rendered) -> Vec<(&'static str, String)> {
    let mut secrets = Secrets::default();
    for secret in build.values.secrets() {
        secrets.add_password(secret.reveal());
    }
    let mut files = Vec::new();
    if let Input::Template { read, .. } = &build.template {
        for password in [&read.template.os.rootpw, &read.template.os.key]
            .into_iter()
            .flatten()
        {
            secrets.add_password(password.reveal().trim());
        }
        files.push(("template", secrets.hide(&read.text)));
    }
    if let Some(kickstart) = &build.kickstart {
        files.push(("kickstart", secrets.hide(&mask::mask(&kickstart.text))));
    }
    files
}
