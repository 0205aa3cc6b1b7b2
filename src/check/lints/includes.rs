//! Files that are included, and who writes them.

use super::{Check, body, has_pre, is_shell, is_template};
use crate::check::rules::Rule;
use crate::check::setting::Setting;
use crate::diagnostic::{Diagnostic, Severity};
use crate::kickstart::outline::{Include, Item, SectionKind};
use crate::language::Reading;
use crate::language::reading::SectionEntry;

/// KS158.
pub const RULES: &[Rule] = &[Rule {
    id: "KS158",
    title: "an included file that nothing writes",
    explanation: "\
        `%include` names a file that is read inside the installer, after the `%pre` scripts have \
        run. No `%pre` of the kickstart mentions it, so it will not be there, and the installer \
        stops: \"Unable to open input kickstart file\" (pykickstart, parser.py), every release.\n\n\
        For a path below /tmp and other directories that are empty when the installer starts it is \
        an error where no `%pre` could write it. Where there is a `%pre` it is a warning, and \
        nothing is said where the `%pre` downloads, unpacks, runs or copies something, writes to a \
        name in a variable, or may stand in an include that was not read. A relative name, or a \
        path of the machine that a kickstart is assembled on, is a warning: `ksflatten` puts such \
        files together before they are used, and the installer would not find them. Files below \
        /run/install and /mnt may be on the medium, and are left alone unless the machine is a \
        guest of `ozr install`, which has none.\n\n\
        Write the file in a `%pre`, put its lines into the kickstart, or flatten the kickstart.",
}];

/// The rules at work.
pub const CHECKS: &[Check] = &[nobody_writes];

/// Directories of the installer that hold only what a `%pre` puts there.
const EMPTY: [&str; 4] = ["/tmp/", "/var/tmp/", "/root/", "/dev/shm/"];

/// Words of a `%pre` that may write what cannot be seen: programs that fetch, unpack, copy or run.
const OPAQUE: [&str; 26] = [
    "curl", "wget", "tftp", "ftp", "scp", "rsync", "nc", "ssh", "mount", "tar", "unzip", "gunzip",
    "zcat", "cpio", "rpm2cpio", "cp", "mv", "install", "ln", "python", "python3", "perl", "eval",
    "source", "bash", "sh",
];

/// Directories where the installer's medium may be.
const MEDIA: [&str; 3] = ["/run/", "/mnt/", "/cdrom/"];

/// Every include, with the number of its text.
fn all(reading: &Reading) -> impl Iterator<Item = (usize, &Include)> {
    let texts = reading.texts.iter().enumerate();
    texts.flat_map(|(number, text)| {
        let items = text.outline.items.iter();
        let includes = items.flat_map(|item| match item {
            Item::Include(include) => std::slice::from_ref(include),
            Item::Section(section) => section.includes.as_slice(),
            _ => &[],
        });
        includes.map(move |include| (number, include))
    })
}

fn begins(target: &str, folders: &[&str]) -> bool {
    folders.iter().any(|folder| target.starts_with(folder))
}

fn nobody_writes(reading: &Reading, setting: &Setting, findings: &mut Vec<Diagnostic>) {
    let was_read = |text: usize, include: &Include| {
        let place = Some((text, include.span.clone()));
        reading.texts.iter().any(|other| other.included_at == place)
    };
    let missing: Vec<(usize, &Include)> = all(reading)
        .filter(|(text, include)| !include.ksappend && !was_read(*text, include))
        .collect();
    // What is not read may have a `%pre`; what a `%pre` writes comes too late for that.
    let unread = |include: &Include| {
        let medium = setting.new_guest && begins(&include.target, &MEDIA);
        !medium && !begins(&include.target, &EMPTY)
    };
    let hidden = missing.iter().any(|(_, include)| unread(include));
    let opaque = hidden || pre_scripts(reading).any(|entry| is_opaque(reading, entry));
    for (text, include) in missing {
        let target = include.target.as_str();
        let medium = begins(target, &MEDIA);
        if target.contains("://")
            || is_template(target)
            || medium && !setting.new_guest
            || is_mentioned(reading, target)
        {
            continue;
        }
        let (severity, message, help) = if !medium && !begins(target, &EMPTY) {
            let message = format!(
                "the installer will not find `{target}`, unless the kickstart is flattened first"
            );
            let help = "put its lines here, or flatten the kickstart with `ksflatten`";
            (Severity::Warning, message, help)
        } else if opaque {
            continue;
        } else {
            let severity = match has_pre(reading) {
                true => Severity::Warning,
                false => Severity::Error,
            };
            let message =
                format!("no `%pre` writes `{target}`, so the installer stops at this line");
            (
                severity,
                message,
                "write the file in a `%pre` script, or delete the line",
            )
        };
        let finding = reading.finding(severity, text, include.span.clone(), message);
        findings.push(finding.id("KS158").help(help));
    }
}

fn pre_scripts(reading: &Reading) -> impl Iterator<Item = &SectionEntry> {
    let sections = reading.sections.iter();
    sections.filter(|entry| entry.section.kind == SectionKind::Pre)
}

/// Whether a script may write files that its text does not name.
fn is_opaque(reading: &Reading, entry: &SectionEntry) -> bool {
    let writes_to_variable = |line: &str| {
        let mut targets = line.split('>').skip(1);
        targets.any(|target| {
            target
                .split_whitespace()
                .next()
                .is_some_and(|to| to.contains('$'))
        })
    };
    !is_shell(entry)
        || !entry.section.includes.is_empty()
        || body(reading, entry).lines().any(|line| {
            let mut words = line.split(|c: char| !(c.is_alphanumeric() || "_-.".contains(c)));
            !line.trim_start().starts_with('#')
                && (words.any(|word| OPAQUE.contains(&word))
                    || line.contains("$(<")
                    || line.trim_start().starts_with(". ")
                    || line.contains("tee") && line.contains('$')
                    || writes_to_variable(line))
        })
}

/// Whether a script that runs before the file is read speaks of it: by its path or, because the
/// folder may be in a variable, by its name.
fn is_mentioned(reading: &Reading, target: &str) -> bool {
    let name = target.rsplit('/').next().unwrap_or(target);
    pre_scripts(reading).any(|entry| body(reading, entry).contains(name))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{alone, found, severity};
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
        let text = "%include /tmp/part\n%pre\necho hello\n%end\n";
        assert_eq!(alone(text, Rhel(9), "KS158"), Some(Severity::Warning));
        for text in [
            "%include /tmp/part\n%pre\ncurl -sf http://d/stage.sh | bash\n%end\n",
            "%include /tmp/part\n%pre\nfor s in part; do echo > /tmp/$s; done\n%end\n",
            "%include /tmp/part\n%pre\ntar -xf /dev/vdb -C /tmp\n%end\n",
            "%include /tmp/part\n%pre --interpreter=/usr/bin/python3\nmake()\n%end\n",
            "%include http://d/common.ks\n%include /tmp/part\n",
            "%include common.ks\n%include /tmp/part\n",
        ] {
            let found = found(text, &setting, "KS158");
            assert!(
                !found.iter().any(|(_, line)| line.contains("/tmp")),
                "{text}"
            );
        }
        let text = "%include /run/install/repo/part\n";
        let guest = Setting {
            new_guest: true,
            ..setting
        };
        assert_eq!(severity(text, &guest, "KS158"), Some(Severity::Error));
        assert_eq!(severity(text, &setting, "KS158"), None);
        for text in ["%include base.ks\n", "%include /usr/share/x/base.ks\n"] {
            assert_eq!(alone(text, Rhel(9), "KS158"), Some(Severity::Warning));
        }
    }
}
