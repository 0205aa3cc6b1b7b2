//! The packages on which it depends what an installer chooses. Pure.
//!
//! libsolv decides what a kickstart's packages and groups come to. Nothing is solved here; what is found is a set of
//! packages outside of which nothing can change the decision. It begins with the packages that are asked for, those of
//! the groups that are, and those that were installed the last time, and takes in, until nothing is new:
//!
//! * all versions of a name, whichever is taken;
//! * all that provide what one of them requires or recommends, whether they are taken or not: one that was broken or in
//!   conflict with another is taken as soon as what stood in the way is gone;
//! * all that make one of them obsolete by its name;
//! * all that supplement what one of them provides.
//!
//! Every rule of the solver that can bring a package in, or put it before another, is one of these; conflicts, suggestions
//! and enhancements only judge among the packages of the set, and are part of their content, whose digests are compared. A
//! package outside of it is named by none of them, and names none of them in a way that counts. So if the set is the
//! same, the same is installed. It holds more than is installed, and changes sooner than the decision does.

use std::collections::{BTreeMap, BTreeSet};

use glob::Pattern;

use crate::mirror::repodata::groups::Group;
use crate::mirror::repodata::pool::{Index, Name, Package, Pool};

/// Why a package is in the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The kickstart, the template or the installer asks for it, or it was installed.
    Asked,
    /// A package requires it.
    Required(Index),
    /// A package recommends it.
    Recommended(Index),
    /// It takes the place of a package of this name.
    Obsoletes(Name),
    /// It comes along with what is provided.
    Supplements(Name),
}

/// What is asked for.
#[derive(Debug, Default)]
pub struct Asked<'a> {
    /// Packages in dnf's forms: names, globs, `name.arch`, with versions, files.
    pub packages: BTreeSet<&'a str>,
    /// Groups and environments, by ids or names.
    pub groups: BTreeSet<&'a str>,
}

/// The set, by numbers of packages.
#[derive(Debug)]
pub struct Candidates {
    /// Its packages, and why each is in it.
    pub all: BTreeMap<Index, Why>,
    /// The digests of the groups that are asked for, by their ids.
    pub groups: BTreeMap<String, String>,
    /// Files that a package requires and no list of packages has: only the lists of files may.
    pub unknown_files: BTreeSet<Name>,
}

/// Finds the set.
pub fn find(pool: &Pool, groups: &[Group], asked: &Asked<'_>) -> Candidates {
    let mut search = Search::new(pool);
    for spec in &asked.packages {
        search.spec(spec);
    }
    let mut found = BTreeMap::new();
    for (id, digest, members) in wanted_groups(groups, &asked.groups) {
        for member in members {
            search.spec(member);
        }
        found
            .entry(id.to_owned())
            .or_insert_with(String::new)
            .push_str(digest);
    }
    search.run();
    Candidates {
        all: search.all,
        groups: found,
        unknown_files: search.unknown_files,
    }
}

/// The groups that are asked for and those of the environments that are, with their digests and packages. A group may
/// stand in several repositories, which are taken together.
fn wanted_groups<'a>(
    groups: &'a [Group],
    asked: &BTreeSet<&str>,
) -> Vec<(&'a str, &'a str, &'a [String])> {
    let is_asked = |group: &Group| asked.iter().any(|spec| group.named.is_meant_by(spec));
    let mut ids: BTreeSet<&str> = BTreeSet::new();
    for group in groups.iter().filter(|group| is_asked(group)) {
        ids.insert(&group.named.id);
        if group.is_environment {
            ids.extend(group.members.iter().map(String::as_str));
        }
    }
    let wanted = groups.iter().filter(|group| ids.contains(&*group.named.id));
    wanted
        .map(|group| {
            let packages = if group.is_environment {
                &[][..]
            } else {
                &group.members
            };
            (&*group.named.id, &*group.digest, packages)
        })
        .collect()
}

/// What stands where, by the numbers of names.
struct Search<'a> {
    pool: &'a Pool,
    named: Vec<Vec<Index>>,
    providers: Vec<Vec<Index>>,
    obsoleters: Vec<Vec<Index>>,
    supplementers: Vec<Vec<Index>>,
    /// Names whose packages are in, capabilities whose providers are, and capabilities that are provided.
    names: Vec<bool>,
    capabilities: Vec<bool>,
    provided: Vec<bool>,
    all: BTreeMap<Index, Why>,
    /// Packages whose relations were not followed yet.
    fresh: Vec<Index>,
    unknown_files: BTreeSet<Name>,
}

impl<'a> Search<'a> {
    fn new(pool: &'a Pool) -> Search<'a> {
        let count = pool.names();
        let lists = || vec![Vec::new(); count];
        let mut search = Search {
            pool,
            named: lists(),
            providers: lists(),
            obsoleters: lists(),
            supplementers: lists(),
            names: vec![false; count],
            capabilities: vec![false; count],
            provided: vec![false; count],
            all: BTreeMap::new(),
            fresh: Vec::new(),
            unknown_files: BTreeSet::new(),
        };
        for (index, package) in (0..).zip(pool.packages()) {
            search.named[package.name as usize].push(index);
            let supplements = package.supplements.iter().flat_map(|one| &one.names);
            for (names, to) in [
                (&mut package.provides.iter(), &mut search.providers),
                (&mut package.obsoletes.iter(), &mut search.obsoleters),
            ] {
                for name in names {
                    to[*name as usize].push(index);
                }
            }
            for name in supplements {
                search.supplementers[*name as usize].push(index);
            }
        }
        search
    }

    /// Takes in what a line of `%packages` may mean.
    fn spec(&mut self, spec: &str) {
        if spec.contains(['*', '?', '[']) {
            let Ok(pattern) = Pattern::new(spec) else {
                return;
            };
            // A name, or one with an architecture or a version behind it.
            let begin: String = spec.chars().take_while(|c| !"*?[".contains(*c)).collect();
            let pool = self.pool;
            for (index, package) in (0..).zip(pool.packages()) {
                let name = pool.text(package.name);
                let fits = || pattern.matches(name) || pattern.matches(&pool.nevra(package));
                if (name.starts_with(&*begin) || begin.starts_with(name)) && fits() {
                    self.take(index, Why::Asked);
                }
            }
            return;
        }
        let mut found = self.capability_of(spec, Why::Asked);
        // `name.arch`, `name-version`, `name-version-release.arch`.
        let mut rest = spec;
        while !found && let Some((shorter, _)) = rest.rsplit_once(['-', '.']) {
            found = self.capability_of(shorter, Why::Asked);
            rest = shorter;
        }
    }

    fn capability_of(&mut self, text: &str, why: Why) -> bool {
        let known = self.pool.find(text);
        if let Some(name) = known {
            self.name(name);
            self.capability(name, why);
        }
        known.is_some_and(|name| !self.providers[name as usize].is_empty())
    }

    /// Takes in all packages of a name, and those that take their place.
    fn name(&mut self, name: Name) {
        if !std::mem::replace(&mut self.names[name as usize], true) {
            for index in std::mem::take(&mut self.named[name as usize]) {
                self.take(index, Why::Asked);
            }
            for index in std::mem::take(&mut self.obsoleters[name as usize]) {
                self.take(index, Why::Obsoletes(name));
            }
        }
    }

    /// Takes in all that provide something.
    fn capability(&mut self, name: Name, why: Why) {
        if std::mem::replace(&mut self.capabilities[name as usize], true) {
            return;
        }
        if self.providers[name as usize].is_empty() && self.pool.text(name).starts_with('/') {
            self.unknown_files.insert(name);
        }
        for at in 0..self.providers[name as usize].len() {
            self.take(self.providers[name as usize][at], why);
        }
    }

    fn take(&mut self, index: Index, why: Why) {
        if let std::collections::btree_map::Entry::Vacant(free) = self.all.entry(index) {
            free.insert(why);
            self.fresh.push(index);
        }
    }

    fn package(&self, index: Index) -> &'a Package {
        &self.pool.packages()[index as usize]
    }

    /// Follows relations until nothing is new.
    fn run(&mut self) {
        while let Some(index) = self.fresh.pop() {
            let package = self.package(index);
            self.name(package.name);
            for name in &package.requires {
                self.capability(*name, Why::Required(index));
            }
            for name in &package.recommends {
                self.capability(*name, Why::Recommended(index));
            }
            for name in &package.provides {
                self.provide(*name);
            }
        }
    }

    /// Takes in what comes along with something that is provided.
    fn provide(&mut self, name: Name) {
        if std::mem::replace(&mut self.provided[name as usize], true) {
            return;
        }
        for at in 0..self.supplementers[name as usize].len() {
            let index = self.supplementers[name as usize][at];
            let provided = |name: &Name| self.provided[*name as usize];
            let mut all = self.package(index).supplements.iter();
            let comes = all.any(|one| {
                one.names.contains(&name) && (!one.all || one.names.iter().all(provided))
            });
            if comes {
                self.take(index, Why::Supplements(name));
            }
        }
    }
}

/// Why a package is in the set, in words that follow "is".
pub fn in_words(pool: &Pool, why: Why) -> String {
    let package = |index: Index| pool.text(pool.packages()[index as usize].name);
    match why {
        Why::Asked => "asked for".to_owned(),
        Why::Required(by) => format!("a candidate for what {} requires", package(by)),
        Why::Recommended(by) => format!("recommended by {}", package(by)),
        Why::Obsoletes(name) => format!("to take the place of {}", pool.text(name)),
        Why::Supplements(name) => format!("to come along with {}", pool.text(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A package: `name version; requires a b; provides c; …`
    fn package(text: &str) -> String {
        let mut parts = text.split("; ");
        let (name, version) = parts.next().unwrap().split_once(' ').unwrap();
        let relations: String = parts
            .map(|part| {
                let (kind, names) = part.split_once(' ').unwrap();
                let names = names.split(", ");
                let entries = names.map(|name| format!("<rpm:entry name=\"{name}\"/>"));
                format!("<rpm:{kind}>{}</rpm:{kind}>", entries.collect::<String>())
            })
            .collect();
        format!(
            "<package><name>{name}</name><arch>noarch</arch><version epoch=\"0\" ver=\"{version}\" rel=\"1\"/>\
             <checksum>{name}{version}</checksum><format>{relations}</format></package>"
        )
    }

    fn pool(packages: &[&str]) -> Pool {
        let packages: String = packages.iter().map(|text| package(text)).collect();
        let mut pool = Pool::default();
        let text = format!("<metadata>{packages}</metadata>");
        pool.add(text.as_bytes(), 0, |_| true).unwrap();
        pool
    }

    fn set(packages: &[&str], asked: &[&str]) -> Vec<String> {
        let pool = pool(packages);
        let asked = Asked {
            packages: asked.iter().copied().collect(),
            groups: ["core"].into(),
        };
        let group = |id: &str, is_environment, member: &str| Group {
            named: crate::mirror::repodata::Named {
                id: id.to_owned(),
                name: String::new(),
            },
            is_environment,
            members: vec![member.to_owned()],
            digest: String::new(),
        };
        let groups = [
            group("core", false, "of-core"),
            group("other", false, "of-other"),
        ];
        let found = find(&pool, &groups, &asked);
        let packages = found
            .all
            .keys()
            .map(|index| pool.nevra(&pool.packages()[*index as usize]));
        packages
            .map(|nevra| nevra.replace("-1.noarch", ""))
            .collect()
    }

    const BASE: [&str; 3] = [
        "web 1; requires ssl, /bin/sh",
        "openssl 1; provides ssl",
        "bash 1; provides /bin/sh",
    ];

    fn with(more: &str) -> Vec<String> {
        set(&[&BASE[..], &[more]].concat(), &["web"])
    }

    /// What comes into the set when a package comes into the repositories.
    #[test]
    fn a_package_counts_if_it_can_change_what_is_chosen() {
        assert_eq!(
            with("unrelated 1; requires web"),
            ["web-1", "openssl-1", "bash-1"]
        );
        for (more, name) in [
            ("web 2", "web-2"),
            ("openssl 2", "openssl-2"),
            ("libressl 1; provides ssl", "libressl-1"),
            ("dash 1; obsoletes bash", "dash-1"),
            ("web-doc 1; supplements web", "web-doc-1"),
            ("web-ssl 1; supplements (web and ssl)", "web-ssl-1"),
            ("web-x 1; supplements (web if absent)", "web-x-1"),
            ("of-core 1", "of-core-1"),
        ] {
            assert!(with(more).contains(&name.to_owned()), "{more}");
        }
        for more in [
            "web-de 1; supplements (web and langpack-de)",
            "dash 1; obsoletes zsh",
            "fan 1; enhances web",
            "of-other 1",
            "dash 1; obsoletes ssl",
        ] {
            assert_eq!(with(more).len(), 3, "{more}");
        }
    }

    /// One that could not be taken may be, as soon as what it requires is there.
    #[test]
    fn what_stands_in_the_way_of_a_better_choice_counts() {
        let packages = [
            "web 1",
            "web 2; requires new",
            "new 1; requires newer",
            "newer 1",
            "old 1",
        ];
        assert_eq!(
            set(&packages, &["web"]),
            ["web-1", "web-2", "new-1", "newer-1"]
        );
    }

    #[test]
    fn lines_are_read_in_dnfs_forms() {
        let packages = ["web-server 1", "web-tools 1", "db 1"];
        for (spec, found) in [
            ("web-server", &["web-server-1"][..]),
            ("web-server.noarch", &["web-server-1"]),
            ("web-server-1-1.noarch", &["web-server-1"]),
            ("web-*", &["web-server-1", "web-tools-1"]),
            ("*-tools", &["web-tools-1"]),
            ("web-server-1*", &["web-server-1"]),
            ("nothing", &[]),
        ] {
            assert_eq!(set(&packages, &[spec]), found, "{spec}");
        }
    }

    #[test]
    fn files_that_no_list_of_packages_has_are_named() {
        let pool = pool(&[
            "web 1; requires /usr/share/x, /bin/sh",
            "bash 1; provides /bin/sh",
        ]);
        let asked = Asked {
            packages: ["web"].into(),
            ..Asked::default()
        };
        let found = find(&pool, &[], &asked);
        let files: Vec<&str> = found
            .unknown_files
            .iter()
            .map(|name| pool.text(*name))
            .collect();
        assert_eq!(files, ["/usr/share/x"]);
    }
}
