//! `%packages`, as far as it can be judged without the repositories.

use super::{Check, IMAGE_SOURCES, at_section, has_any, is_template, missing};
use crate::check::rules::Rule;
use crate::check::setting::Setting;
use crate::diagnostic::{Diagnostic, Severity};
use crate::kickstart::outline::SectionKind;
use crate::language::Reading;
use crate::language::packages::Wanted;

/// KS188, KS190 and KS191.
pub const RULES: &[Rule] = &[
    Rule {
        id: "KS188",
        title: "several packages on a line",
        explanation: "\
            A line of `%packages` is one name, with the blanks and commas in it (pykickstart, \
            parser.py, Packages.add), and no package is called so. The installer says that packages \
            are missing, and gives up in cmdline mode; with `--ignoremissing` it goes on without \
            any of them.\n\n\
            Write each package on a line of its own, without commas.",
    },
    Rule {
        id: "KS190",
        title: "no %packages",
        explanation: "\
            Without `%packages` the release decides what is installed: its default environment, \
            which is a server with a graphical desktop on RHEL 8 and later, and larger than most \
            images want. RHEL 6 opens its package screen unless it runs in text mode.\n\n\
            Add `%packages` with `@core` or `@^minimal-environment`, and `%end`.",
    },
    Rule {
        id: "KS191",
        title: "%packages beside a ready image",
        explanation: "\
            `liveimg`, `ostreesetup`, `ostreecontainer` and `bootc` put a ready file system on the \
            disk; the installer adds no packages to it (anaconda, modules/payloads), so this \
            section does nothing.\n\n\
            Delete the section, and put the packages into the image or install them in a \
            `%post`.",
    },
];

/// The rules at work.
pub const CHECKS: &[Check] = &[several, none, useless];

fn several(reading: &Reading, _setting: &Setting, findings: &mut Vec<Diagnostic>) {
    let lines = reading.sections.iter().flat_map(|entry| &entry.packages);
    for line in lines {
        let (Wanted::Package(name) | Wanted::NoPackage(name)) = &line.line.wanted else {
            continue;
        };
        if !name.contains([' ', '\t', ',']) || is_template(name) {
            continue;
        }
        let message = format!("`{name}` is taken for the name of one package");
        let finding = reading.finding(
            Severity::Warning,
            line.text,
            line.line.span.clone(),
            message,
        );
        let help = "write each package on a line of its own, without commas";
        findings.push(finding.id("KS188").help(help));
    }
}

fn none(reading: &Reading, _setting: &Setting, findings: &mut Vec<Diagnostic>) {
    let mut sections = reading.sections.iter();
    if sections.any(|entry| entry.section.kind == SectionKind::Packages)
        || has_any(reading, &IMAGE_SOURCES)
        || !reading.complete
    {
        return;
    }
    let message = "there is no `%packages`, so the release's large default set is installed";
    findings.push(
        missing(reading, Severity::Warning, message)
            .id("KS190")
            .help("add `%packages`, `@core` and `%end`"),
    );
}

fn useless(reading: &Reading, _setting: &Setting, findings: &mut Vec<Diagnostic>) {
    let image = reading
        .commands
        .iter()
        .find(|entry| IMAGE_SOURCES.contains(&entry.name));
    let Some(image) = image else {
        return;
    };
    for entry in &reading.sections {
        if entry.section.kind != SectionKind::Packages || entry.packages.is_empty() {
            continue;
        }
        let message = format!(
            "`{}` installs a ready image, so these packages are not installed",
            image.name
        );
        let finding = at_section(reading, Severity::Warning, entry, message);
        findings.push(finding.id("KS191").help("delete the section"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{alone, found};
    use super::*;
    use crate::language::Version::Rhel;

    #[test]
    fn packages_are_named() {
        assert_eq!(alone("text\n", Rhel(9), "KS190"), Some(Severity::Warning));
        assert_eq!(alone("%packages\n%end\n", Rhel(9), "KS190"), None);
        assert_eq!(alone("liveimg --url=http://m/\n", Rhel(9), "KS190"), None);
        assert_eq!(alone("%include /tmp/x\n", Rhel(9), "KS190"), None);
    }

    #[test]
    fn a_line_is_one_package() {
        let setting = Setting::alone(Rhel(9));
        let text = "%packages\n@core\nvim wget, curl\n-a, # x\nfoo\nbar # two words\n%end\n";
        let expected = [
            (Severity::Warning, "vim wget, curl".to_string()),
            (Severity::Warning, "-a,".to_string()),
        ];
        assert_eq!(found(text, &setting, "KS188"), expected);
    }

    #[test]
    fn an_image_has_its_packages() {
        let setting = Setting::alone(Rhel(9));
        let text = "liveimg --url=http://m/\n%packages\n@core\n%end\n";
        let expected = [(Severity::Warning, "%packages".to_string())];
        assert_eq!(found(text, &setting, "KS191"), expected);
        assert_eq!(found("%packages\n@core\n%end\n", &setting, "KS191"), []);
    }
}
