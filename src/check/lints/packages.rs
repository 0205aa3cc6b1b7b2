//! `%packages`, as far as it can be judged without the repositories.

use super::{IMAGE_SOURCES, Lint, Linter, is_placeholder};
use crate::diagnostic::Severity::Warning;
use crate::kickstart::outline::SectionKind;
use crate::language::packages::Wanted;

/// KS188, KS190 and KS191.
pub const LINTS: &[Lint] = &[several, none, useless];

fn several(linter: &mut Linter<'_>) {
    for line in linter.packages() {
        let (Wanted::Package(name) | Wanted::NoPackage(name)) = &line.line.wanted else {
            continue;
        };
        if name.contains([' ', '\t', ',']) && !is_placeholder(name) {
            let message = format!("`{name}` is taken for the name of one package");
            let help = "write each package on a line of its own, without commas";
            linter.at(line, Warning, "KS188", message, help);
        }
    }
}

fn none(linter: &mut Linter<'_>) {
    if linter.sections(SectionKind::Packages).next().is_some()
        || linter.has_any(&IMAGE_SOURCES)
        || !linter.reading.complete
    {
        return;
    }
    let message = "there is no `%packages`, so the release's large default set is installed";
    let help = "add `%packages`, `@core` and `%end`";
    linter.missing(Warning, "KS190", message, help);
}

fn useless(linter: &mut Linter<'_>) {
    let mut commands = linter.reading.commands.iter();
    let Some(image) = commands.find(|entry| IMAGE_SOURCES.contains(&entry.name)) else {
        return;
    };
    for entry in linter.sections(SectionKind::Packages) {
        if !entry.packages.is_empty() {
            let message = format!(
                "`{}` installs a ready image, so these packages are not installed",
                image.name
            );
            linter.at(entry, Warning, "KS191", message, "delete the section");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{alone, found};
    use crate::check::setting::Setting;
    use crate::diagnostic::Severity;
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
