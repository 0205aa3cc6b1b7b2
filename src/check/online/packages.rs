//! What a kickstart and a template want installed, and whether the repositories have it. Pure.

use std::collections::HashSet;

use super::references::Place;
use super::variables::marker;
use super::verdict::Verdict;
use crate::diagnostic::Severity;
use crate::distro::Arch;
use crate::input;
use crate::language::arguments::in_words;
use crate::language::{Reading, packages};
use crate::mirror::repodata::{Contents, Named};
use crate::tdl::Template;

/// Names that are suggested for one that is missing.
const SUGGESTIONS: usize = 3;

/// Missing names for which near ones are looked for: each is compared with every name there is,
/// and a kickstart with more missing ones is for another release.
const MOST_COMPARED: usize = 20;

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A package, by name or by another of dnf's forms.
    Package,
    /// `@group`.
    Group,
    /// `@^environment`.
    Environment,
}

impl Kind {
    /// What it is called, and what stands before its name in `%packages`.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Kind::Package => ("package", ""),
            Kind::Group => ("group", "@"),
            Kind::Environment => ("environment", "@^"),
        }
    }
}

/// One thing that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// What it is.
    pub kind: Kind,
    /// Its name, without `@`.
    pub name: String,
    /// Where it stands, with `@`.
    pub place: Place,
    /// The install goes on without it (`--ignoremissing`).
    pub optional: bool,
}

/// What is wanted, in its order. Left out is what cannot be looked up by name: files, modules,
/// and what a template language is to fill in.
pub fn wanted(reading: Option<&Reading>, template: Option<&Template>) -> Vec<Wanted> {
    let mut all = Vec::new();
    let mut excluded = HashSet::new();
    for section in reading.iter().flat_map(|reading| &reading.sections) {
        let optional = section.arguments.as_ref().is_some_and(|arguments| {
            arguments.has("--ignoremissing") || arguments.has("--ignoredeps")
        });
        for line in &section.packages {
            let place = Place::of(line.text, &line.line.span);
            let (kind, name) = match &line.line.wanted {
                packages::Wanted::Package(name) => (Kind::Package, name),
                packages::Wanted::Group(name) => (Kind::Group, name),
                packages::Wanted::Environment(name) => (Kind::Environment, name),
                packages::Wanted::NoPackage(name) => {
                    excluded.insert(name.clone());
                    continue;
                }
                packages::Wanted::Module(_) | packages::Wanted::NoGroup(_) => continue,
            };
            all.extend(one(kind, name, place, optional));
        }
    }
    // A package that is excluded anywhere is not asked for (pykickstart, `Packages.add`).
    all.retain(|wanted| wanted.kind != Kind::Package || !excluded.contains(&wanted.name));
    for package in template.iter().flat_map(|template| &template.packages) {
        let place = Place {
            text: None,
            span: package.span.clone(),
        };
        let (kind, name) = match package.name.strip_prefix('@') {
            None => (Kind::Package, package.name.as_str()),
            Some(group) => match group.strip_prefix('^') {
                None => (Kind::Group, group),
                Some(environment) => (Kind::Environment, environment),
            },
        };
        all.extend(one(kind, name, place, false));
    }
    all
}

fn one(kind: Kind, name: &str, place: Place, optional: bool) -> Option<Wanted> {
    let name = name.trim();
    let is_made_later =
        name.ends_with('@') || marker(name).is_some() || name.contains(['$', '{', '<', '%']);
    // Files need the list of files; an address or a file of the image is no package's name.
    // `@module:stream/profile` stands in other metadata.
    let is_elsewhere = name.contains('/') || kind == Kind::Group && name.contains(':');
    (!name.is_empty() && !is_made_later && !is_elsewhere).then(|| Wanted {
        kind,
        name: name.to_string(),
        place,
        optional,
    })
}

/// What is missing from all repositories together, with its place.
pub fn missing(wanted: &[Wanted], repositories: &[Contents]) -> Vec<(Place, Verdict)> {
    let pool = Pool::new(repositories);
    let mut compared = 0;
    let mut verdicts = Vec::new();
    for wanted in wanted.iter().filter(|wanted| !pool.has(wanted)) {
        compared += 1;
        let verdict = pool.describe(wanted, compared <= MOST_COMPARED);
        verdicts.push((wanted.place.clone(), verdict));
    }
    verdicts
}

/// Everything that the repositories have.
struct Pool<'a> {
    repositories: &'a [Contents],
    packages: usize,
    has_modules: bool,
}

impl<'a> Pool<'a> {
    fn new(repositories: &'a [Contents]) -> Pool<'a> {
        Pool {
            repositories,
            packages: repositories.iter().map(|one| one.packages.count).sum(),
            has_modules: repositories.iter().any(|one| one.has_modules),
        }
    }

    fn has(&self, wanted: &Wanted) -> bool {
        match wanted.kind {
            Kind::Package => self
                .repositories
                .iter()
                .any(|one| one.packages.found.contains(&wanted.name)),
            kind => self.named(kind).any(|one| one.is_meant_by(&wanted.name)),
        }
    }

    /// The groups or the environments.
    fn named(&self, kind: Kind) -> impl Iterator<Item = &'a Named> {
        let all = self.repositories.iter().map(|one| &one.comps);
        all.flat_map(move |comps| match kind {
            Kind::Environment => &comps.environments,
            _ => &comps.groups,
        })
    }

    fn describe(&self, wanted: &Wanted, compare: bool) -> Verdict {
        let name = &wanted.name;
        let (what, _) = wanted.kind.words();
        // EL 8's installer takes `@name` for a module first, and those are not looked up.
        let may_be_module = wanted.kind == Kind::Group && self.has_modules;
        let severity = if wanted.optional || may_be_module {
            Severity::Warning
        } else {
            Severity::Error
        };
        let count = self.repositories.len();
        let place = match count {
            1 => "the only repository".to_string(),
            _ => format!("any of the {count} repositories"),
        };
        let mut message = format!("no {what} is called `{name}` in {place}");
        let mut id = "KS211";
        if wanted.kind == Kind::Package {
            message += &format!(" ({} packages)", self.packages);
            id = "KS210";
        }
        let mut help = self.other_kind(wanted);
        if help.is_empty() && wanted.kind == Kind::Package && name.contains(char::is_whitespace) {
            help = "write one name on each line".to_string();
        }
        if help.is_empty() && compare {
            help = self.nearest(wanted);
        }
        if help.is_empty() && may_be_module {
            help = "if it is a module, name its stream too: `@name:stream`".to_string();
        }
        Verdict::of(severity, id, message, &help)
    }

    /// The same name means something of another kind.
    fn other_kind(&self, wanted: &Wanted) -> String {
        let name = &wanted.name;
        let mut repositories = self.repositories.iter();
        if self.named(Kind::Group).any(|one| one.is_meant_by(name)) {
            format!("it is a group: write `@{name}`")
        } else if self
            .named(Kind::Environment)
            .any(|one| one.is_meant_by(name))
        {
            format!("it is an environment: write `@^{name}`")
        } else if repositories.any(|one| one.packages.names.contains(name)) {
            format!("it is a package: write `{name}`")
        } else {
            String::new()
        }
    }

    fn nearest(&self, wanted: &Wanted) -> String {
        let mut names: Vec<&str> = match wanted.kind {
            Kind::Package => self
                .repositories
                .iter()
                .flat_map(|one| &one.packages.names)
                .map(String::as_str)
                .collect(),
            kind => self.named(kind).map(|one| one.id.as_str()).collect(),
        };
        names.sort_unstable();
        names.dedup();
        let (_, sign) = wanted.kind.words();
        let near = input::near(&wanted.name, &names, SUGGESTIONS).into_iter();
        let near: Vec<String> = near.map(|name| format!("{sign}{name}")).collect();
        match near.is_empty() {
            true => String::new(),
            false => format!("did you mean {}?", in_words(&near, "or")),
        }
    }
}

/// Architectures of packages that a guest can install, besides `noarch`: whether `name` is one.
pub fn fits(arch: Arch, name: &str) -> bool {
    let is_x86 = name.len() == 4 && name.starts_with('i') && name.ends_with("86");
    match arch {
        Arch::X86_64 => is_x86 || name.starts_with("x86_64") || name == "athlon",
        Arch::I386 => is_x86 || matches!(name, "athlon" | "geode"),
        Arch::Armv7l => name.starts_with("armv"),
        Arch::S390x => matches!(name, "s390x" | "s390"),
        Arch::Ppc64 => matches!(name, "ppc64" | "ppc64p7" | "ppc"),
        other => name == other.name(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::{NoIncludes, Version};

    fn reading(raw: &str) -> Reading {
        Reading::new(raw, "t.ks", Version::Rhel(8), &NoIncludes)
    }

    fn of(raw: &str) -> Vec<(Kind, String, String, bool)> {
        wanted(Some(&reading(raw)), None)
            .into_iter()
            .map(|one| {
                let shown = raw[one.place.span.clone()].to_string();
                (one.kind, one.name, shown, one.optional)
            })
            .collect()
    }

    #[test]
    fn the_body_as_the_installer_reads_it() {
        let raw = "%packages --excludedocs\n# comment\n@core --nodefaults\n  @^minimal-environment # x\n\
                   @ Server with GUI\nvim*\nkernel.x86_64\n\n-bash\nbash\n-@hw\n@nodejs:18/common\n\
                   /usr/bin/python3\n@KSTEST_PACKAGES@\n%include /tmp/more\n{{ more }}\na b\n%end\n";
        let expected = [
            (Kind::Group, "core", "@core --nodefaults"),
            (
                Kind::Environment,
                "minimal-environment",
                "@^minimal-environment",
            ),
            (Kind::Group, "Server with GUI", "@ Server with GUI"),
            (Kind::Package, "vim*", "vim*"),
            (Kind::Package, "kernel.x86_64", "kernel.x86_64"),
            (Kind::Package, "a b", "a b"),
        ]
        .map(|(kind, name, place)| (kind, name.to_string(), place.to_string(), false));
        assert_eq!(of(raw), expected);
        for (header, optional) in [("--ignoremissing", true), ("--ignorem", true), ("", false)] {
            let found = of(&format!("%packages {header}\na\n%end\n"));
            assert_eq!(found[0].3, optional, "{header}");
        }
    }

    fn repository(packages: &[&str], groups: &[&str], environments: &[&str]) -> Contents {
        let named = |ids: &[&str]| {
            ids.iter()
                .map(|id| Named {
                    id: (*id).to_string(),
                    name: id.to_uppercase(),
                })
                .collect()
        };
        let mut contents = Contents::default();
        contents.packages.names = packages.iter().map(|name| (*name).to_string()).collect();
        contents.packages.found = packages.iter().map(|name| (*name).to_string()).collect();
        contents.packages.count = packages.len();
        contents.comps.groups = named(groups);
        contents.comps.environments = named(environments);
        contents
    }

    fn messages(raw: &str, repositories: &[Contents]) -> Vec<String> {
        missing(&wanted(Some(&reading(raw)), None), repositories)
            .into_iter()
            .map(|(_, verdict)| {
                let help = verdict.help.unwrap_or_default();
                format!(
                    "{} {}: {}; {help}",
                    verdict.severity, verdict.id, verdict.message
                )
            })
            .collect()
    }

    #[test]
    fn what_is_missing_is_named_with_what_is_near() {
        let repositories = [
            repository(&["httpd", "httpd-tools", "bash"], &["core"], &["minimal"]),
            repository(&["vim"], &[], &[]),
        ];
        assert_eq!(
            messages(
                "%packages\nbash\nvim\n@core\n@CORE\n@^minimal\nhtttpd\nzzz\n@minimal\n@cor\ncore\n@^core\nbash vim\n%end\n",
                &repositories
            ),
            [
                "error KS210: no package is called `htttpd` in any of the 2 repositories (4 packages); did you mean `httpd` or `httpd-tools`?",
                "error KS210: no package is called `zzz` in any of the 2 repositories (4 packages); ",
                "error KS211: no group is called `minimal` in any of the 2 repositories; it is an environment: write `@^minimal`",
                "error KS211: no group is called `cor` in any of the 2 repositories; did you mean `@core`?",
                "error KS210: no package is called `core` in any of the 2 repositories (4 packages); it is a group: write `@core`",
                "error KS211: no environment is called `core` in any of the 2 repositories; it is a group: write `@core`",
                "error KS210: no package is called `bash vim` in any of the 2 repositories (4 packages); write one name on each line",
            ]
        );
        let optional = messages("%packages --ignoremissing\nzzz\n%end\n", &repositories);
        assert!(optional[0].starts_with("warning KS210"), "{optional:?}");
    }

    #[test]
    fn a_group_may_be_a_module() {
        let mut with_modules = repository(&["a"], &["core"], &[]);
        with_modules.has_modules = true;
        let found = messages("%packages\n@nodejs\n%end\n", &[with_modules]);
        assert!(found[0].starts_with("warning KS211"), "{found:?}");
        assert!(found[0].contains("@name:stream"), "{found:?}");
    }

    #[test]
    fn architectures_that_a_guest_can_install() {
        for (arch, name, expected) in [
            (Arch::X86_64, "i686", true),
            (Arch::X86_64, "x86_64", true),
            (Arch::X86_64, "aarch64", false),
            (Arch::I386, "x86_64", false),
            (Arch::Armv7l, "armv7hl", true),
            (Arch::Ppc64le, "ppc64", false),
        ] {
            assert_eq!(fits(arch, name), expected, "{arch} {name}");
        }
    }
}
