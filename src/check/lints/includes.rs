//! Files that are included, and who writes them.

use super::{Check, body, is_template};
use crate::check::rules::Rule;
use crate::check::setting::Setting;
use crate::diagnostic::{Diagnostic, Severity};
use crate::kickstart::outline::{Include, Item, SectionKind};
use crate::language::Reading;

/// KS158.
pub const RULES: &[Rule] = &[Rule {
    id: "KS158",
    title: "an included file that nothing writes",
    explanation: "\
        `%include` names a file that is read inside the installer, after the `%pre` scripts have \
        run. No `%pre` of the kickstart mentions it, so it will not be there, and the installer \
        stops: \"Unable to open input kickstart file\" (pykickstart, parser.py), every release.\n\n\
        For a path below /tmp and other directories that are empty when the installer starts it is \
        an error. A relative name, or a path of the machine that a kickstart is assembled on, is a \
        warning: `ksflatten` puts such files together before they are used, and the installer \
        would not find them. Files below /run/install and /mnt may be on the medium, and are left \
        alone.\n\n\
        Write the file in a `%pre`, put its lines into the kickstart, or flatten the kickstart.",
}];

/// The rules at work.
pub const CHECKS: &[Check] = &[nobody_writes];

/// Directories of the installer that hold only what a `%pre` puts there.
const EMPTY: [&str; 4] = ["/tmp/", "/var/tmp/", "/root/", "/dev/shm/"];

/// Directories where the installer's medium may be.
const MEDIA: [&str; 3] = ["/run/", "/mnt/", "/cdrom/"];

fn nobody_writes(reading: &Reading, _setting: &Setting, findings: &mut Vec<Diagnostic>) {
    for (number, text) in reading.texts.iter().enumerate() {
        let mut includes: Vec<&Include> = Vec::new();
        for item in &text.outline.items {
            match item {
                Item::Include(include) => includes.push(include),
                Item::Section(section) => includes.extend(&section.includes),
                _ => {}
            }
        }
        for include in includes {
            if let Some(finding) = judge(reading, number, include) {
                findings.push(finding);
            }
        }
    }
}

fn judge(reading: &Reading, text: usize, include: &Include) -> Option<Diagnostic> {
    let target = include.target.as_str();
    let followed = reading
        .texts
        .iter()
        .any(|other| other.included_at == Some((text, include.span.clone())));
    if include.ksappend
        || followed
        || target.contains("://")
        || is_template(target)
        || MEDIA.iter().any(|folder| target.starts_with(folder))
        || is_mentioned(reading, target)
    {
        return None;
    }
    let (severity, message, help) = if EMPTY.iter().any(|folder| target.starts_with(folder)) {
        (
            Severity::Error,
            format!("no `%pre` writes `{target}`, so the installer stops at this line"),
            "write the file in a `%pre` script, or delete the line",
        )
    } else {
        (
            Severity::Warning,
            format!(
                "the installer will not find `{target}`, unless the kickstart is flattened first"
            ),
            "put its lines here, or flatten the kickstart with `ksflatten`",
        )
    };
    let finding = reading.finding(severity, text, include.span.clone(), message);
    Some(finding.id("KS158").help(help))
}

/// Whether a script that runs before the file is read speaks of it: by its path or, because the
/// folder may be in a variable, by its name.
fn is_mentioned(reading: &Reading, target: &str) -> bool {
    let name = target.rsplit('/').next().unwrap_or(target);
    reading
        .sections
        .iter()
        .any(|entry| entry.section.kind == SectionKind::Pre && body(reading, entry).contains(name))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{alone, found};
    use super::*;
    use crate::language::Version::Rhel;

    #[test]
    fn somebody_must_write_what_is_included() {
        let setting = Setting::alone(Rhel(9));
        let text = "%include /tmp/part\n";
        let expected = [(Severity::Error, "%include /tmp/part".to_string())];
        assert_eq!(found(text, &setting, "KS158"), expected);
        let text = "%packages\n%include /tmp/pkgs\n%end\n";
        assert_eq!(alone(text, Rhel(9), "KS158"), Some(Severity::Error));
        for text in [
            "%include /tmp/part\n%pre\necho autopart > /tmp/part\n%end\n",
            "%include /tmp/part\n%pre\nD=/tmp; echo autopart > $D/part\n%end\n",
            "%include http://m/part\n",
            "%include /run/install/repo/part\n",
        ] {
            assert_eq!(alone(text, Rhel(9), "KS158"), None, "{text}");
        }
        let text = "%include /tmp/part\n%post\necho > /tmp/part\n%end\n";
        assert_eq!(alone(text, Rhel(9), "KS158"), Some(Severity::Error));
        for text in ["%include base.ks\n", "%include /usr/share/x/base.ks\n"] {
            assert_eq!(alone(text, Rhel(9), "KS158"), Some(Severity::Warning));
        }
    }
}
