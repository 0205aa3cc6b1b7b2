//! Files that are included, and who writes them.

use super::{Lint, Linter, is_placeholder, is_shell};
use crate::diagnostic::Severity::{Error, Warning};
use crate::kickstart::outline::{Include, SectionKind};
use crate::language::reading::SectionEntry;

/// KS158.
pub const LINTS: &[Lint] = &[nobody_writes];

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

fn is_below(target: &str, folders: &[&str]) -> bool {
    folders.iter().any(|folder| target.starts_with(folder))
}

fn nobody_writes(linter: &mut Linter<'_>) {
    let texts = &linter.reading.texts;
    let was_read = |text: usize, include: &Include| {
        let place = Some((text, include.span.clone()));
        texts.iter().any(|other| other.included_at == place)
    };
    let all = texts.iter().enumerate().flat_map(|(number, text)| {
        let includes = text.outline.includes();
        includes.map(move |include| (number, include))
    });
    let missing: Vec<(usize, &Include)> = all
        .filter(|(text, include)| !include.ksappend && !was_read(*text, include))
        .collect();
    let new_guest = linter.setting.new_guest;
    // What is not read may have a `%pre`; what a `%pre` writes comes too late for that.
    let hidden = missing.iter().any(|(_, include)| {
        let medium = new_guest && is_below(&include.target, &MEDIA);
        !medium && !is_below(&include.target, &EMPTY)
    });
    let mut scripts = linter.sections(SectionKind::Pre);
    let opaque = hidden || scripts.any(|entry| is_opaque(linter, entry));
    for (text, include) in missing {
        let target = include.target.as_str();
        let medium = is_below(target, &MEDIA);
        if target.contains("://")
            || is_placeholder(target)
            || medium && !new_guest
            || is_mentioned(linter, target)
        {
            continue;
        }
        if !medium && !is_below(target, &EMPTY) {
            let message = format!(
                "the installer will not find `{target}`, unless the kickstart is flattened first"
            );
            let help = "put its lines here, or flatten the kickstart with `ksflatten`";
            linter.at((text, &include.span), Warning, "KS158", message, help);
        } else if !opaque {
            let severity = if linter.has_pre() { Warning } else { Error };
            let message =
                format!("no `%pre` writes `{target}`, so the installer stops at this line");
            let help = "write the file in a `%pre` script, or delete the line";
            linter.at((text, &include.span), severity, "KS158", message, help);
        }
    }
}

/// Whether a script may write files that its text does not name.
fn is_opaque(linter: &Linter<'_>, entry: &SectionEntry) -> bool {
    let is_variable = |target: &str| {
        let mut words = target.split_whitespace();
        words.next().is_some_and(|to| to.contains('$'))
    };
    let hides = |line: &str| {
        let mut words = line.split(|c: char| !(c.is_alphanumeric() || "_-.".contains(c)));
        !line.trim_start().starts_with('#')
            && (words.any(|word| OPAQUE.contains(&word))
                || line.contains("$(<")
                || line.trim_start().starts_with(". ")
                || line.contains("tee") && line.contains('$')
                || line.split('>').skip(1).any(is_variable))
    };
    !is_shell(entry) || !entry.section.includes.is_empty() || linter.body(entry).lines().any(hides)
}

/// Whether a script that runs before the file is read speaks of it: by its path or, because the
/// folder may be in a variable, by its name.
fn is_mentioned(linter: &Linter<'_>, target: &str) -> bool {
    let name = target.rsplit('/').next().unwrap_or(target);
    let mut scripts = linter.sections(SectionKind::Pre);
    scripts.any(|entry| linter.body(entry).contains(name))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{alone, found, severity};
    use crate::check::Setting;
    use crate::diagnostic::Severity;
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
