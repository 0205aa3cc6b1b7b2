//! What the packages of several repositories are to each other: what each provides, requires, recommends,
//! supplements and makes obsolete, read from `primary.xml` as a stream.

use std::collections::{HashMap, HashSet};
use std::io::BufRead;
use std::sync::Arc;

use super::primary::{self, Visitor};
use super::xml::Step::{Begin, End};
use super::xml::{self, attribute};

/// Most packages of all repositories together; Fedora has 75,000, and EPEL 25,000.
const MAX_PACKAGES: usize = 1_000_000;

/// Most bytes of names of all repositories together. Fedora's packages with all that they provide and require
/// have some 30 MB.
const MAX_TEXT: usize = 160 << 20;

/// Most relations of all packages together; Fedora's have some five million.
const MAX_RELATIONS: usize = 40_000_000;

/// What is said of the package manager itself, and of no package.
const OF_RPM: &str = "rpmlib(";

/// Words of rich dependencies that are no names.
const OPERATORS: [&str; 7] = ["and", "or", "if", "else", "unless", "with", "without"];

/// The number of a name.
pub type Name = u32;

/// The number of a package.
pub type Index = u32;

/// Packages, and everything they name.
#[derive(Debug, Default)]
pub struct Pool {
    numbers: HashMap<Arc<str>, Name, ahash::RandomState>,
    names: Vec<Arc<str>>,
    packages: Vec<Package>,
    /// Bytes of all names, and how many relations there are.
    text: usize,
    relations: usize,
    /// Whether it is one of two that are read at once: each may take half of what both may.
    is_half: bool,
}

/// A package.
#[derive(Debug, Default)]
pub struct Package {
    /// Its name.
    pub name: Name,
    /// Epoch, version and release, as RPM writes them.
    pub evr: Box<str>,
    /// Its architecture.
    pub arch: Name,
    /// The digest of its file, which names its content.
    pub checksum: Box<str>,
    /// Which repository it is in.
    pub repository: u16,
    /// What it provides, its name and its files among it.
    pub provides: Vec<Name>,
    /// What it requires.
    pub requires: Vec<Name>,
    /// What it recommends.
    pub recommends: Vec<Name>,
    /// What brings it along.
    pub supplements: Vec<Supplement>,
    /// The packages that it takes the place of, by name.
    pub obsoletes: Vec<Name>,
}

/// What brings a package along: one of the names, or all of them.
#[derive(Debug)]
pub struct Supplement {
    /// The names.
    pub names: Vec<Name>,
    /// Whether all must be there.
    pub all: bool,
}

impl Pool {
    /// One of two that are read at once, to be joined by [`Pool::join`].
    pub fn half() -> Pool {
        Pool {
            is_half: true,
            ..Pool::default()
        }
    }

    /// Takes in the other half.
    ///
    /// # Errors
    /// Both together are too many.
    pub fn join(&mut self, other: Pool) -> Result<(), String> {
        self.is_half = false;
        let Pool {
            names, packages, ..
        } = other;
        self.relations += other.relations;
        let numbers: Result<Vec<Name>, String> =
            names.into_iter().map(|name| self.share(name)).collect();
        let numbers = numbers?;
        let renumber = |name: &mut Name| *name = numbers[*name as usize];
        for mut package in packages {
            renumber(&mut package.name);
            renumber(&mut package.arch);
            let supplements = package.supplements.iter_mut();
            supplements
                .flat_map(|one| &mut one.names)
                .chain(&mut package.provides)
                .chain(&mut package.requires)
                .chain(&mut package.recommends)
                .chain(&mut package.obsoletes)
                .for_each(renumber);
            self.push(package)?;
        }
        Ok(())
    }

    fn push(&mut self, package: Package) -> Result<(), String> {
        if self.packages.len() >= self.most(MAX_PACKAGES) {
            return Err(format!(
                "the repositories have more than {MAX_PACKAGES} packages"
            ));
        }
        self.packages.push(package);
        Ok(())
    }

    fn most(&self, of_both: usize) -> usize {
        of_both >> usize::from(self.is_half)
    }

    /// All packages, by number.
    pub fn packages(&self) -> &[Package] {
        &self.packages
    }

    /// How many names there are.
    pub fn names(&self) -> usize {
        self.names.len()
    }

    /// The text of a name.
    pub fn text(&self, name: Name) -> &str {
        &self.names[name as usize]
    }

    /// The number of a text that some package names.
    pub fn find(&self, text: &str) -> Option<Name> {
        self.numbers.get(text).copied()
    }

    /// `name-epoch:version-release.arch`, as manifests have it.
    pub fn nevra(&self, package: &Package) -> String {
        let (name, arch) = (self.text(package.name), self.text(package.arch));
        format!("{name}-{}.{arch}", package.evr)
    }

    /// Adds the packages of a repository whose architecture fits; `repository` is its number.
    ///
    /// # Errors
    /// Why the list cannot be used.
    pub fn add(
        &mut self,
        input: impl BufRead,
        repository: u16,
        fits: impl Fn(&str) -> bool,
    ) -> Result<(), String> {
        let mut reading = Adding {
            pool: self,
            repository,
            fits,
            package: Package::default(),
            failed: None,
        };
        primary::visit(input, &mut reading)
    }

    /// Adds to what packages provide those of the `wanted` files that a list of all files says they have.
    ///
    /// # Errors
    /// Why the list cannot be used.
    pub fn add_files(&mut self, input: impl BufRead, wanted: &HashSet<Name>) -> Result<(), String> {
        let (names, numbers) = (&self.names, &self.numbers);
        let mut found: Vec<(String, Name)> = Vec::new();
        let mut id = String::new();
        xml::read(input, "filelists", |path, step| {
            match (path, step) {
                ("filelists/package", Begin(tag)) => {
                    id = attribute(tag, "pkgid").unwrap_or_default();
                }
                ("filelists/package/file", End(text)) => {
                    if let Some(name) = numbers.get(text).filter(|name| wanted.contains(name)) {
                        found.push((id.clone(), *name));
                    }
                }
                _ => {}
            }
            match found.len() > names.len() {
                true => Err("it lists the same files again and again".to_owned()),
                false => Ok(()),
            }
        })?;
        let mut by_id: HashMap<String, Vec<Name>> = HashMap::new();
        for (id, name) in found {
            by_id.entry(id).or_default().push(name);
        }
        for package in &mut self.packages {
            if let Some(names) = by_id.get(&*package.checksum) {
                package.provides.extend(names);
            }
        }
        Ok(())
    }

    fn relation(&mut self, text: &str) -> Result<Name, String> {
        self.relations += 1;
        if self.relations > self.most(MAX_RELATIONS) {
            return Err("the packages have more relations than ozr keeps".to_owned());
        }
        self.number(text)
    }

    /// Adds the names in a dependency, which may be a rich one.
    fn relations(&mut self, text: &str, to: &mut Vec<Name>) -> Result<(), String> {
        if !text.starts_with('(') {
            to.push(self.relation(text)?);
            return Ok(());
        }
        for name in names_in(text) {
            to.push(self.relation(name)?);
        }
        Ok(())
    }

    fn number(&mut self, text: &str) -> Result<Name, String> {
        match self.numbers.get(text) {
            Some(known) => Ok(*known),
            None => self.share(text.into()),
        }
    }

    fn share(&mut self, shared: Arc<str>) -> Result<Name, String> {
        if let Some(known) = self.numbers.get(&shared) {
            return Ok(*known);
        }
        self.text += shared.len();
        if self.text > self.most(MAX_TEXT) {
            return Err("the repositories have more names than ozr keeps".to_owned());
        }
        let number = Name::try_from(self.names.len()).map_err(|error| error.to_string())?;
        self.names.push(Arc::clone(&shared));
        self.numbers.insert(shared, number);
        Ok(number)
    }
}

/// Adds packages as they come.
struct Adding<'a, F> {
    pool: &'a mut Pool,
    repository: u16,
    fits: F,
    package: Package,
    failed: Option<String>,
}

impl<F: Fn(&str) -> bool> Adding<'_, F> {
    fn note(&mut self, what: &str, to: impl Fn(&mut Package) -> &mut Vec<Name>) {
        if self.failed.is_none() {
            let noted = self.pool.relations(what, to(&mut self.package));
            self.failed = noted.err();
        }
    }
}

impl<F: Fn(&str) -> bool> Visitor for Adding<'_, F> {
    fn provides(&mut self, name: &str) {
        self.note(name, |package| &mut package.provides);
    }

    fn requires(&mut self, name: &str) {
        if !name.starts_with(OF_RPM) {
            self.note(name, |package| &mut package.requires);
        }
    }

    fn relation(&mut self, kind: &str, name: &str) {
        match kind {
            "recommends" => self.note(name, |package| &mut package.recommends),
            "obsoletes" => self.note(name, |package| &mut package.obsoletes),
            "supplements" => {
                let all = joined_by_and(name);
                let names = Vec::new();
                self.package.supplements.push(Supplement { names, all });
                let last = self.package.supplements.len() - 1;
                self.note(name, |package| &mut package.supplements[last].names);
            }
            _ => {}
        }
    }

    fn file(&mut self, path: &str) {
        self.note(path, |package| &mut package.provides);
    }

    fn package(&mut self, told: primary::Package) -> Result<(), String> {
        let mut package = std::mem::take(&mut self.package);
        if let Some(why) = self.failed.take() {
            return Err(why);
        }
        if !told.is_binary() || !(told.arch == "noarch" || (self.fits)(&told.arch)) {
            return Ok(());
        }
        package.name = self.pool.number(&told.name)?;
        package.arch = self.pool.number(&told.arch)?;
        package.repository = self.repository;
        let epoch = match told.epoch.as_str() {
            "" | "0" => String::new(),
            epoch => format!("{epoch}:"),
        };
        package.evr = format!("{epoch}{}-{}", told.version, told.release).into();
        package.checksum = told.checksum.map(|sum| sum.hex).unwrap_or_default().into();
        package.provides.push(package.name);
        self.pool.push(package)
    }
}

/// The names in a rich dependency, such as `(a >= 2 if (b or c(x)))`.
fn names_in(text: &str) -> impl Iterator<Item = &str> {
    let mut is_version = false;
    words(text).filter(move |word| {
        let is_sign = word.chars().all(|c| "<>=".contains(c));
        let is_name = !is_sign && !is_version && !OPERATORS.contains(word);
        is_version = is_sign;
        is_name
    })
}

/// The words of a rich dependency, without the brackets around them; those of a name stay.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace().filter_map(|word| {
        let mut word = word.trim_start_matches('(');
        let count = |word: &str, c| word.matches(c).count();
        while word.ends_with(')') && count(word, ')') > count(word, '(') {
            word = &word[..word.len() - 1];
        }
        (!word.is_empty()).then_some(word)
    })
}

/// Whether a rich dependency holds only if all that it names are there.
fn joined_by_and(text: &str) -> bool {
    text.starts_with('(') && words(text).all(|word| word == "and" || !OPERATORS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rich_dependencies_name_packages() {
        for (text, names, all) in [
            ("(a and b)", &["a", "b"][..], true),
            (
                "(a >= 2 if (b or c(x86-64)))",
                &["a", "b", "c(x86-64)"],
                false,
            ),
            (
                "((a if b) and font(:lang=de))",
                &["a", "b", "font(:lang=de)"],
                false,
            ),
            (
                "(glibc = 2.34-1.el9 and langpacks-de)",
                &["glibc", "langpacks-de"],
                true,
            ),
        ] {
            assert_eq!(names_in(text).collect::<Vec<_>>(), names, "{text}");
            assert_eq!(joined_by_and(text), all, "{text}");
        }
        assert!(!joined_by_and("a"));
    }

    /// Two halves are what one reading of both is, whatever their numbers were.
    #[test]
    fn halves_are_joined() {
        let of = |names: &[&str]| -> String {
            let all = names.iter().map(|name| {
                format!(
                    "<package><name>{name}</name><arch>noarch</arch><version ver=\"1\" rel=\"1\"/><format>\
                     <rpm:provides><rpm:entry name=\"p-{name}\"/></rpm:provides>\
                     <rpm:requires><rpm:entry name=\"p-a\"/></rpm:requires>\
                     <rpm:recommends><rpm:entry name=\"p-c\"/></rpm:recommends>\
                     <rpm:obsoletes><rpm:entry name=\"old\"/></rpm:obsoletes>\
                     <rpm:supplements><rpm:entry name=\"(p-c and {name})\"/></rpm:supplements></format></package>"
                )
            });
            format!("<metadata>{}</metadata>", all.collect::<String>())
        };
        let texts = [of(&["a", "b"]), of(&["c", "a"])];
        let mut one = Pool::default();
        let mut halves = [Pool::half(), Pool::half()];
        for (number, text) in (0..).zip(&texts) {
            one.add(text.as_bytes(), number, |_| true).unwrap();
            let half = &mut halves[usize::from(number)];
            half.add(text.as_bytes(), number, |_| true).unwrap();
        }
        let [mut joined, other] = halves;
        joined.join(other).unwrap();
        let all = |pool: &Pool| -> Vec<String> {
            let of = |names: &[Name]| {
                let names = names.iter().map(|name| pool.text(*name));
                names.collect::<Vec<_>>().join(" ")
            };
            let packages = pool.packages().iter();
            packages
                .map(|package| {
                    let relations = [
                        &package.provides,
                        &package.requires,
                        &package.recommends,
                        &package.obsoletes,
                        &package.supplements[0].names,
                    ];
                    let relations = relations.map(|names| of(names)).join("; ");
                    format!("{} {} {relations}", pool.nevra(package), package.repository)
                })
                .collect()
        };
        assert_eq!(all(&joined), all(&one));
        assert_eq!(all(&joined).len(), 4);
        assert_eq!(joined.names(), one.names());
        let find = |pool: &Pool| pool.find("p-c").map(|name| pool.text(name).to_owned());
        assert_eq!(find(&joined), find(&one));
    }

    #[test]
    fn packages_are_read_with_all_their_relations() {
        let text = r#"<metadata packages="3">
<package type="rpm"><name>bash</name><arch>x86_64</arch><version epoch="1" ver="5" rel="1"/>
 <checksum type="sha256" pkgid="YES">ab</checksum><format>
 <rpm:provides><rpm:entry name="bash" flags="EQ"/><rpm:entry name="config(bash)"/></rpm:provides>
 <rpm:requires><rpm:entry name="rpmlib(x)"/><rpm:entry name="(a if b)"/><rpm:entry name="libc.so.6(GLIBC_2.4)(64bit)"/></rpm:requires>
 <rpm:recommends><rpm:entry name="r"/></rpm:recommends><rpm:suggests><rpm:entry name="never"/></rpm:suggests>
 <rpm:obsoletes><rpm:entry name="old" flags="LT"/></rpm:obsoletes>
 <rpm:supplements><rpm:entry name="(x and y)"/></rpm:supplements>
 <file>/bin/bash</file></format></package>
<package type="rpm"><name>other</name><arch>aarch64</arch><version epoch="0" ver="5" rel="1"/></package>
<package type="rpm"><name>source</name><arch>src</arch><version epoch="0" ver="5" rel="1"/></package>
</metadata>"#;
        let mut pool = Pool::default();
        pool.add(text.as_bytes(), 3, |arch| arch == "x86_64")
            .unwrap();
        let [bash] = pool.packages() else {
            panic!("{:?}", pool.packages())
        };
        let names =
            |all: &[Name]| -> Vec<&str> { all.iter().map(|name| pool.text(*name)).collect() };
        assert_eq!(pool.nevra(bash), "bash-1:5-1.x86_64");
        assert_eq!((&*bash.checksum, bash.repository), ("ab", 3));
        assert_eq!(
            names(&bash.provides),
            ["bash", "config(bash)", "/bin/bash", "bash"]
        );
        assert_eq!(
            names(&bash.requires),
            ["a", "b", "libc.so.6(GLIBC_2.4)(64bit)"]
        );
        assert_eq!(names(&bash.recommends), ["r"]);
        assert_eq!(names(&bash.obsoletes), ["old"]);
        assert_eq!(names(&bash.supplements[0].names), ["x", "y"]);
        assert!(bash.supplements[0].all);
        assert_eq!(pool.find("never"), None);
        assert!(pool.add(&b"<html/>"[..], 0, |_| true).is_err());
        let files = r#"<filelists packages="2"><package pkgid="ab" name="bash"><version ver="5"/>
            <file>/usr/share/x</file><file>r</file></package>
            <package pkgid="cd" name="other"><file>r</file></package></filelists>"#;
        let wanted = pool.find("r").unwrap();
        pool.add_files(files.as_bytes(), &[wanted].into()).unwrap();
        assert_eq!(pool.packages()[0].provides.last(), Some(&wanted));
    }
}
