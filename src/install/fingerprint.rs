//! What a build is made of, told before it begins, and which packages it depends on: `docs/rebuild.md`.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::BufRead;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::time::timeout;
use url::Url;

use super::contents::Contents;
use super::plan::Plan;
use super::relay::known;
use super::repositories::{Asked, Listed, takes_disc};
use crate::check::fetched;
use crate::check::includes::MAX_BYTES;
use crate::check::online::candidates;
use crate::check::online::packages::fits;
use crate::check::online::references::{self, Role};
use crate::check::online::seen_from_here;
use crate::check::online::variables::Untried;
use crate::distro::{Arch, CDROM, TreeLayout};
use crate::hex;
use crate::image::fingerprint::{About, Fingerprint, Input, State, VERSION, candidate};
use crate::image::seal;
use crate::kickstart::outline::SectionKind;
use crate::language::packages::Wanted;
use crate::language::{Included, Includes, Reading, Version};
use crate::mirror::repodata::pool::{Name, Pool};
use crate::mirror::repodata::{self, groups, modules};
use crate::mirror::{CachedFile, Mirror, TreeInfo, shown};
use crate::options::{declared, effect};
use crate::packages::Package;
use crate::secrets::Secret;

/// How long the lists of all repositories may take. The build goes on without.
const PATIENCE: Duration = Duration::from_secs(120);

/// Most rounds of fetching what is included; real chains are two or three deep.
const MOST_ROUNDS: usize = 16;

/// Longest value that stands in a manifest as it is, in bytes; of others the digest does.
const LONGEST_VALUE: usize = 64;

/// Images that the installer lays over itself where the tree has them (anaconda's dracut module,
/// `anaconda-lib.sh`, `find_runtime` and `anaconda_net_root`).
const OVERLAYS: [&str; 2] = ["images/updates.img", "images/product.img"];

/// What is always installed (anaconda 21 and later, unless `--nocore` says no).
const CORE: &str = "core";

/// Groups that the installer adds by the machine that it runs on (anaconda, `packaging.py`, `platform-kvm`).
const PLATFORM: &str = "platform-";

/// What the scripts before the install cannot do to packages if none of these stands in them: they write what is
/// included.
const OF_PACKAGES: [&str; 5] = ["repo", "url", "%packages", "module", "http"];

/// What RPM keeps as packages and is none.
const KEY: &str = "gpg-pubkey";

/// What is known of a build before its guest runs.
#[derive(Debug)]
pub struct Gathered {
    inputs: BTreeMap<String, String>,
    unknown: BTreeSet<String>,
    repositories: Vec<Repository>,
    packages: BTreeSet<String>,
    groups: BTreeSet<String>,
    modules: BTreeSet<String>,
    arch: Arch,
    /// Whether packages come from where their relations are not read: any change of a repository counts.
    coarse: bool,
    /// Whether all groups count, as it is not known which are chosen.
    all_groups: bool,
}

/// A repository and its lists.
#[derive(Debug)]
struct Repository {
    name: String,
    listed: Listed,
    /// Lists of packages, groups and modules; nothing before they are obtained.
    files: Vec<CachedFile>,
}

/// What a build takes beside the plan.
#[derive(Debug)]
pub struct Found<'a> {
    /// What the tree says of itself.
    pub tree: Option<&'a TreeInfo>,
    /// The ISO images' addresses and digests.
    pub isos: Vec<(String, String)>,
    /// What the template adds.
    pub contents: Option<&'a Contents>,
    /// The repositories, as they are now.
    pub repositories: Vec<Asked>,
}

/// The texts that were fetched, and those that are to be.
struct Fetched<'a> {
    texts: &'a HashMap<String, Option<String>>,
    missing: RefCell<BTreeSet<String>>,
}

impl Includes for Fetched<'_> {
    fn find(&self, target: &str, _from: &str) -> Option<Included> {
        let is_web = target.starts_with("http://") || target.starts_with("https://");
        match self.texts.get(target) {
            Some(text) => Some(Included {
                name: target.to_owned(),
                text: text.clone()?,
            }),
            None if is_web => {
                self.missing.borrow_mut().insert(target.to_owned());
                None
            }
            None => None,
        }
    }
}

impl Gathered {
    /// Gathers what is known of a plan.
    pub async fn of(plan: &Plan, mirror: &Mirror, found: Found<'_>) -> Gathered {
        let mut gathered = Gathered {
            inputs: BTreeMap::new(),
            unknown: BTreeSet::new(),
            repositories: Vec::new(),
            packages: BTreeSet::new(),
            groups: [CORE.to_owned()].into(),
            modules: BTreeSet::new(),
            arch: plan.arch,
            coarse: !plan.isos.is_empty() && takes_disc(plan),
            all_groups: false,
        };
        gathered.plan(plan);
        gathered.tree(plan, found.tree);
        for (url, sha256) in found.isos {
            gathered.input(format!("the ISO image {url}"), &sha256);
        }
        for (name, sha256) in found
            .contents
            .iter()
            .flat_map(|contents| contents.digests())
        {
            gathered.input(format!("the template's {name}"), &sha256);
        }
        for (name, script) in found
            .contents
            .iter()
            .flat_map(|contents| contents.scripts())
        {
            let place = format!("the template's command `{name}`");
            for program in fetched::of_shell(&String::from_utf8_lossy(script)) {
                gathered.unknown.insert(fetched::sentence(&program, &place));
            }
        }
        gathered.kickstart(plan, mirror).await;
        let on_network = |asked: &Asked| !asked.about.url.starts_with(CDROM);
        for asked in found.repositories.into_iter().filter(on_network) {
            let (url, name) = (asked.about.url, asked.about.name);
            match asked.listed {
                Some(listed) => gathered.repositories.push(Repository {
                    name: name.unwrap_or(url),
                    listed,
                    files: Vec::new(),
                }),
                None => {
                    gathered
                        .unknown
                        .insert(format!("the repository {url} could not be asked"));
                }
            }
        }
        gathered
    }

    fn input(&mut self, name: impl Into<String>, value: &str) {
        let value = match value.len() {
            0..=LONGEST_VALUE => value.to_owned(),
            _ => hex::sha256(value),
        };
        self.inputs.insert(name.into(), value);
    }

    fn plan(&mut self, plan: &Plan) {
        self.input("the template", &plan.file.sha256);
        self.input("the kickstart", &plan.answers.sha256);
        self.input("the release", &format!("{} {}", plan.release, plan.arch));
        self.input("what ozr brings along", &hex::sha256(own_texts()));
        for (name, value) in effect::of_image(&plan.options) {
            self.input(format!("--{name}"), &value);
        }
        if plan.options.from.is_some() {
            let text = "it is made onto another image (--from), which is not compared";
            self.unknown.insert(text.to_owned());
        }
        for key in &plan.access.keys {
            self.input(format!("the SSH key {}", key.fingerprint), &key.line);
        }
        for path in &plan.options.boot_test.checks {
            // Those that cannot be read end the build.
            let checks = declared::read(path);
            let checks = checks
                .map(|checks| format!("{checks:?}"))
                .unwrap_or_default();
            self.input(
                format!("the checks {}", path.display()),
                &hex::sha256(checks),
            );
        }
    }

    /// Kernel, initrd and stage 2, as the tree has them.
    fn tree(&mut self, plan: &Plan, info: Option<&TreeInfo>) {
        if !plan.isos.is_empty() {
            return;
        }
        let TreeLayout {
            kernel,
            initrd,
            stage2,
        } = plan.release.tree_layout(plan.arch);
        let named =
            |path: fn(&TreeInfo) -> &Option<String>| info.and_then(|info| path(info).as_deref());
        let stage2 = named(|info| &info.stage2).or_else(|| {
            let has = |path: &&&str| info.is_some_and(|info| info.checksum(path).is_some());
            stage2.iter().find(has).copied()
        });
        for (what, path) in [
            ("kernel", Some(named(|info| &info.kernel).unwrap_or(kernel))),
            ("initrd", Some(named(|info| &info.initrd).unwrap_or(initrd))),
            ("stage 2", stage2),
        ] {
            let checksum = path.and_then(|path| info?.checksum(path));
            match checksum {
                Some(checksum) => {
                    self.input(format!("the installer's {what}"), &checksum.to_string())
                }
                None => {
                    self.unknown.insert(format!(
                        "the tree has no checksum of the installer's {what}"
                    ));
                }
            }
        }
        for path in OVERLAYS {
            if let Some(checksum) = info.and_then(|info| info.checksum(path)) {
                self.input(format!("the installer's {path}"), &checksum.to_string());
            }
        }
    }

    /// What the kickstart asks for, with what it includes.
    async fn kickstart(&mut self, plan: &Plan, mirror: &Mirror) {
        let Some(version) = Version::of(plan.release) else {
            self.unknown.insert(format!(
                "the kickstart language of {} is not known",
                plan.release
            ));
            return;
        };
        let mut texts: HashMap<String, Option<String>> = HashMap::new();
        for _ in 0..MOST_ROUNDS {
            let missing = read(plan, version, &texts).1;
            if missing.is_empty() {
                break;
            }
            for target in missing {
                let text = self.included(plan, mirror, &target).await;
                texts.insert(target, text);
            }
        }
        let (reading, missing) = read(plan, version, &texts);
        for target in missing {
            self.unknown
                .insert(format!("{} is included too deep", named(&target)));
        }
        for text in reading.texts.iter().skip(1) {
            self.input(
                format!("the included {}", named(&text.name)),
                &hex::sha256(&text.text),
            );
        }
        self.addresses(plan, &reading);
        self.lines(plan, &reading);
        self.unknown.extend(fetched::unknown(&reading));
        if !reading.complete {
            let mut before = reading
                .sections
                .iter()
                .filter(|entry| entry.section.kind == SectionKind::Pre)
                .peekable();
            let nobody = before.peek().is_none();
            let names_packages = before.any(|entry| {
                let body = &reading.texts[entry.text].text[entry.section.body.clone()];
                OF_PACKAGES.iter().any(|word| body.contains(word))
            });
            if nobody || names_packages {
                self.unknown.insert(
                    "what the kickstart includes is not all known before the install".to_owned(),
                );
            }
        }
    }

    async fn included(&mut self, plan: &Plan, mirror: &Mirror, target: &str) -> Option<String> {
        let fetching = async {
            let url = seen_from_here(&Url::parse(target).ok()?, known(plan).user_network);
            let bytes = timeout(PATIENCE, mirror.fetch(&url, MAX_BYTES))
                .await
                .ok()?
                .ok()?;
            String::from_utf8(bytes).ok()
        };
        let text = fetching.await;
        if text.is_none() {
            self.unknown.insert(format!(
                "{}, which is included, could not be fetched",
                named(target)
            ));
        }
        text
    }

    fn addresses(&mut self, plan: &Plan, reading: &Reading) {
        let found = references::collect(Some(reading), None, &known(plan));
        if found.is_image {
            self.unknown
                .insert("the kickstart installs an image, which is not compared".to_owned());
        }
        for (_, why) in found.hidden.iter().filter(|_| !self.coarse) {
            self.unknown.insert(format!(
                "packages are not all known before the install: {why}"
            ));
        }
        for (_, why) in &found.untried {
            if let Untried::Unknown(why) | Untried::Wrong(why) = why {
                self.unknown
                    .insert(format!("what is at an address is not compared: {why}"));
            }
        }
        for (target, _) in &found.targets {
            let is_file = matches!(target.role, Role::File(what) if what != references::INCLUDED);
            if (is_file || target.role == Role::OsTree)
                && let Some(url) = target.urls.first()
            {
                self.unknown
                    .insert(format!("what is at {} is not compared", shown(url)));
            }
        }
    }

    /// The lines of `%packages`, the template's packages, and what the installer adds by itself.
    fn lines(&mut self, plan: &Plan, reading: &Reading) {
        let sections = reading.sections.iter();
        let mut sections = sections
            .filter(|entry| entry.section.kind == SectionKind::Packages)
            .peekable();
        self.all_groups = sections.peek().is_none();
        for line in sections.flat_map(|entry| &entry.packages) {
            match &line.line.wanted {
                Wanted::Package(name) => drop(self.packages.insert(name.clone())),
                Wanted::Group(name) | Wanted::Environment(name) => {
                    self.groups.insert(name.clone());
                }
                Wanted::Module(name) => {
                    let name = name.split([':', '/']).next().unwrap_or(name);
                    self.modules.insert(name.to_owned());
                }
                Wanted::NoPackage(_) | Wanted::NoGroup(_) => {}
            }
        }
        for entry in reading.commands_named("module") {
            self.modules
                .extend(entry.arguments().value("--name").map(str::to_owned));
        }
        let packages = plan.template.packages.iter().filter(|_| plan.customize);
        for package in packages {
            match package.name.strip_prefix('@') {
                Some(group) => self.groups.insert(group.trim_start_matches('^').to_owned()),
                None => self.packages.insert(package.name.clone()),
            };
        }
        // The installer adds these where they are (anaconda, `modules/localization`).
        for entry in reading.commands_named("lang") {
            let arguments = entry.arguments();
            let words = arguments.positionals().map(|word| &*word.text);
            for locale in words
                .chain(arguments.value("--addsupport"))
                .flat_map(|text| text.split(','))
            {
                let locale = locale.split(['.', '@']).next().unwrap_or(locale);
                let language = locale.split('_').next().unwrap_or(locale);
                for code in [locale, language] {
                    self.packages.insert(format!("langpacks-{code}"));
                }
            }
        }
    }

    /// Obtains the lists of all repositories, so that they are there when they are read.
    pub async fn obtain(&mut self, mirror: &Mirror) {
        let mut failed = Vec::new();
        for repository in self.repositories.iter_mut().filter(|_| !self.coarse) {
            let Listed { base, list } = &repository.listed;
            let obtaining = async {
                let mut files = Vec::new();
                for entry in lists(list) {
                    files.push(
                        mirror
                            .metadata(&entry.url(base), entry.checksum.as_ref())
                            .await?,
                    );
                }
                anyhow::Ok(files)
            };
            match timeout(PATIENCE, obtaining).await {
                Ok(Ok(files)) => repository.files = files,
                Ok(Err(error)) => failed.push(format!(
                    "the lists of {} could not be read: {error:#}",
                    shown(base)
                )),
                Err(_) => failed.push(format!("the lists of {} did not come in time", shown(base))),
            }
        }
        self.unknown.extend(failed);
    }

    /// The fingerprint without packages: enough to tell that nothing has changed.
    pub fn inputs(&self) -> Fingerprint {
        let inputs = self.inputs.iter();
        Fingerprint {
            version: VERSION,
            inputs: inputs
                .map(|(name, value)| Input {
                    name: name.clone(),
                    value: value.clone(),
                })
                .collect(),
            unknown: self.unknown.iter().cloned().collect(),
            repositories: self.repositories.iter().map(Repository::state).collect(),
            groups: Vec::new(),
            candidates: None,
        }
    }

    /// The fingerprint of an image in which these packages are installed, and what is to be said of packages. What
    /// [`Gathered::obtain`] has obtained is read, and what it could not is not known.
    pub async fn whole(
        mut self,
        mirror: &Mirror,
        installed: Option<&[Package]>,
    ) -> (Fingerprint, About) {
        let mut about = About::default();
        let Some(installed) = installed else {
            return (self.inputs(), about);
        };
        for package in installed {
            about.installed.insert(package.name.clone(), package.evr());
            self.packages.insert(package.name.clone());
        }
        if self.coarse {
            let mut fingerprint = self.inputs();
            let states = fingerprint.repositories.iter();
            fingerprint.groups = states
                .map(|state| Input {
                    name: format!("the repository {}", state.url),
                    value: hex::sha256(state.lists.join(" ")),
                })
                .collect();
            fingerprint.candidates = Some(Vec::new());
            return (fingerprint, about);
        }
        let found = match self.search(mirror).await {
            Ok(found) => found,
            Err(error) => {
                self.unknown
                    .insert(format!("the lists of packages cannot be read: {error:#}"));
                return (self.inputs(), about);
            }
        };
        let there: HashSet<&str> = found.nevras.iter().map(String::as_str).collect();
        for package in installed.iter().filter(|package| package.name != KEY) {
            let nevra = package.nevra();
            if !there.contains(&*nevra) {
                self.unknown.insert(format!(
                    "{nevra} is installed, and is in none of the repositories"
                ));
            }
        }
        about.candidates = found.whys;
        let fingerprint = Fingerprint {
            groups: found.groups,
            candidates: Some(found.candidates),
            ..self.inputs()
        };
        (fingerprint, about)
    }

    /// Reads all lists and finds the packages that count. Lists of files are obtained only where a package requires a
    /// file that no list of packages has.
    async fn search(&mut self, mirror: &Mirror) -> anyhow::Result<Searched> {
        let deadline = Instant::now() + PATIENCE;
        let mut question = Question {
            arch: self.arch,
            packages: self.packages.clone(),
            groups: self.groups.clone(),
            modules: self.modules.clone(),
            all_groups: self.all_groups,
            repositories: self
                .repositories
                .iter()
                .map(Repository::paths)
                .collect::<anyhow::Result<_>>()?,
            files: Vec::new(),
            deadline,
        };
        let ask = |question: Question| async move {
            tokio::task::spawn_blocking(move || question.answer())
                .await
                .context("reading lists of packages")?
        };
        let found = ask(question.clone()).await?;
        if found.unknown_files.is_empty() {
            return Ok(found);
        }
        // Held until they are read.
        let mut files = Vec::new();
        for repository in &self.repositories {
            let Listed { base, list } = &repository.listed;
            if let Some(entry) = list.files() {
                let file = mirror
                    .metadata(&entry.url(base), entry.checksum.as_ref())
                    .await?;
                question.files.push((file.path.clone(), entry.open_size));
                files.push(file);
            }
        }
        ask(question).await
    }
}

/// What is read on a thread of its own.
#[derive(Debug, Clone)]
struct Question {
    arch: Arch,
    packages: BTreeSet<String>,
    groups: BTreeSet<String>,
    modules: BTreeSet<String>,
    all_groups: bool,
    repositories: Vec<Paths>,
    /// Lists of files, and how long each is unpacked.
    files: Vec<(std::path::PathBuf, Option<u64>)>,
    deadline: Instant,
}

/// Where the lists of a repository lie, and how long each is when it is unpacked.
#[derive(Debug, Clone)]
struct Paths {
    name: String,
    lists: Vec<(repodata::List, std::path::PathBuf, Option<u64>)>,
}

/// What was found.
#[derive(Debug)]
struct Searched {
    groups: Vec<Input>,
    candidates: Vec<String>,
    nevras: Vec<String>,
    whys: HashMap<String, (String, String)>,
    unknown_files: BTreeSet<String>,
}

impl Question {
    fn answer(self) -> anyhow::Result<Searched> {
        let (mut pool, all_groups) = (self.packages()?, self.groups()?);
        let mut asked = candidates::Asked {
            packages: self.packages.iter().map(String::as_str).collect(),
            groups: self.groups.iter().map(String::as_str).collect(),
        };
        let by_itself = all_groups.iter().map(|group| &*group.named.id);
        asked
            .groups
            .extend(by_itself.filter(|id| self.all_groups || id.starts_with(PLATFORM)));
        let mut found = candidates::find(&pool, &all_groups, &asked);
        if !found.unknown_files.is_empty() && !self.files.is_empty() {
            let wanted: HashSet<Name> = found.unknown_files.iter().copied().collect();
            for (path, limit) in &self.files {
                let input = self.open(path, *limit)?;
                pool.add_files(input, &wanted).map_err(anyhow::Error::msg)?;
            }
            found = candidates::find(&pool, &all_groups, &asked);
        }
        let digests = found.groups.iter();
        let mut groups: Vec<Input> = digests
            .map(|(id, digest)| Input {
                name: format!("the group {id}"),
                value: hex::sha256(digest),
            })
            .collect();
        groups.extend(self.of_modules(&pool, &found)?);
        let mut searched = Searched {
            groups,
            candidates: Vec::new(),
            nevras: Vec::new(),
            whys: HashMap::new(),
            unknown_files: found
                .unknown_files
                .iter()
                .map(|name| pool.text(*name).to_owned())
                .collect(),
        };
        for (index, why) in &found.all {
            let package = &pool.packages()[*index as usize];
            let nevra = pool.nevra(package);
            let whole = candidate(&nevra, &package.checksum);
            let repository = self.repositories[usize::from(package.repository)]
                .name
                .clone();
            let why = candidates::in_words(&pool, *why);
            searched.whys.insert(whole.clone(), (repository, why));
            searched.candidates.push(whole);
            searched.nevras.push(nevra);
        }
        // The same file may be in several repositories.
        searched.candidates.sort_unstable();
        searched.candidates.dedup();
        Ok(searched)
    }

    fn open(
        &self,
        path: &std::path::Path,
        limit: Option<u64>,
    ) -> std::io::Result<Box<dyn BufRead>> {
        repodata::open(path, limit.unwrap_or(u64::MAX), self.deadline)
    }

    /// Reads the lists of a kind, of the repositories of these numbers.
    fn read(
        &self,
        numbers: &[u16],
        kind: repodata::List,
        mut read: impl FnMut(u16, Box<dyn BufRead>) -> Result<(), String>,
    ) -> anyhow::Result<()> {
        for number in numbers {
            let repository = &self.repositories[usize::from(*number)];
            let lists = repository.lists.iter().filter(|(list, ..)| *list == kind);
            for (_, path, limit) in lists {
                let input = self.open(path, *limit).map_err(anyhow::Error::new);
                input
                    .and_then(|input| read(*number, input).map_err(anyhow::Error::msg))
                    .with_context(|| format!("reading the lists of {}", repository.name))?;
            }
        }
        Ok(())
    }

    /// All packages. Their lists are nearly all that there is to read, so that they are in two halves at once.
    fn packages(&self) -> anyhow::Result<Pool> {
        let of = |numbers: &[u16]| {
            let mut pool = Pool::half();
            let fits = |arch: &str| fits(self.arch, arch);
            self.read(numbers, repodata::List::Packages, |number, input| {
                pool.add(input, number, fits)
            })?;
            anyhow::Ok(pool)
        };
        let [ours, theirs] = self.halves();
        std::thread::scope(|scope| {
            let theirs = scope.spawn(|| of(&theirs));
            let mut pool = of(&ours)?;
            let theirs = theirs
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            pool.join(theirs).map_err(anyhow::Error::msg)?;
            Ok(pool)
        })
    }

    /// The repositories in two halves that take about as long.
    fn halves(&self) -> [Vec<u16>; 2] {
        let size = |repository: &Paths| -> u64 {
            let lists = repository.lists.iter();
            let packages = lists.filter(|(list, ..)| *list == repodata::List::Packages);
            packages
                .map(|(_, path, size)| {
                    size.unwrap_or_else(|| path.metadata().map_or(0, |metadata| metadata.len()))
                })
                .fold(0, u64::saturating_add)
        };
        let mut all: Vec<(u64, u16)> = self.repositories.iter().map(size).zip(0..).collect();
        all.sort_unstable_by_key(|(size, number)| (Reverse(*size), *number));
        let mut halves = [(0_u64, Vec::new()), (0, Vec::new())];
        for (size, number) in all {
            let shorter = usize::from(halves[1].0 < halves[0].0);
            let (sum, numbers) = &mut halves[shorter];
            *sum = sum.saturating_add(size);
            numbers.push(number);
        }
        halves.map(|(_, numbers)| numbers)
    }

    fn groups(&self) -> anyhow::Result<Vec<groups::Group>> {
        let mut all = Vec::new();
        let numbers: Vec<u16> = (0..).take(self.repositories.len()).collect();
        self.read(&numbers, repodata::List::Groups, |_, input| {
            all.extend(groups::parse(input)?);
            Ok(())
        })?;
        Ok(all)
    }

    /// The modules that have to do with the packages that count.
    fn of_modules(
        &self,
        pool: &Pool,
        found: &candidates::Candidates,
    ) -> anyhow::Result<Vec<Input>> {
        let packages = found
            .all
            .keys()
            .map(|index| &pool.packages()[*index as usize]);
        let names: HashSet<&str> = packages.map(|package| pool.text(package.name)).collect();
        let always: Vec<&str> = self.modules.iter().map(String::as_str).collect();
        let mut all = Vec::new();
        for repository in &self.repositories {
            for (list, path, limit) in &repository.lists {
                if *list == repodata::List::Modules {
                    let limit = limit.unwrap_or(u64::MAX).min(modules::MAX_BYTES as u64);
                    let input = repodata::open(path, limit, self.deadline)?;
                    let found = modules::parse(input, &|name| names.contains(name), &always);
                    let found = found.map_err(anyhow::Error::msg)?;
                    all.extend(found.into_iter().map(|(name, value)| Input {
                        name: format!("the module {name} of {}", repository.name),
                        value,
                    }));
                }
            }
        }
        Ok(all)
    }
}

impl Repository {
    fn state(&self) -> State {
        let lists = lists(&self.listed.list);
        State {
            url: shown(&self.listed.base),
            lists: lists
                .map(|entry| match &entry.checksum {
                    Some(checksum) => checksum.to_string(),
                    None => entry.href.clone(),
                })
                .collect(),
        }
    }

    fn paths(&self) -> anyhow::Result<Paths> {
        let wanted = lists(&self.listed.list);
        let all: Vec<_> = wanted
            .zip(&self.files)
            .map(|(entry, file)| (entry.list(), file.path.clone(), entry.open_size))
            .collect();
        anyhow::ensure!(
            all.len() == lists(&self.listed.list).count(),
            "those of {} are not there",
            shown(&self.listed.base)
        );
        Ok(Paths {
            name: self.name.clone(),
            lists: all,
        })
    }
}

/// The lists of a repository that are read: of packages, groups and modules.
fn lists(list: &repodata::repomd::RepoMd) -> impl Iterator<Item = &repodata::repomd::Entry> {
    [list.primary(), list.groups(), list.modules()]
        .into_iter()
        .flatten()
}

/// Reads the kickstart with the texts that were fetched; and what is to be.
fn read(
    plan: &Plan,
    version: Version,
    texts: &HashMap<String, Option<String>>,
) -> (Reading, BTreeSet<String>) {
    let includes = Fetched {
        texts,
        missing: RefCell::default(),
    };
    let (text, name) = (&plan.answers.text, &plan.answers.name);
    let reading = Reading::new(text, name, version, &includes);
    (reading, includes.missing.into_inner())
}

/// An address without credentials.
fn named(target: &str) -> String {
    Url::parse(target).map_or_else(|_| "a text".to_owned(), |url| shown(&url))
}

/// What of ozr's own ends up in images or decides what is taken out of them; beside it is [`VERSION`].
fn own_texts() -> String {
    [
        seal::TEXT,
        include_str!("finish.sh"),
        include_str!("finish_inside.sh"),
        include_str!("../formats/liveimg.ks.in"),
        include_str!("../formats/wsl-first-start.sh"),
    ]
    .concat()
}

/// A digest of the secrets of a plan, with a build's id for a salt; none if there are none.
pub(super) fn secrets(plan: &Plan, build_id: &str) -> Option<String> {
    let named = [plan.access.password.as_ref(), plan.luks_passphrase.as_ref()];
    if named.iter().all(Option::is_none) && plan.secrets.is_empty() {
        return None;
    }
    let named = named.map(|secret| secret.map(Secret::reveal));
    let filled: Vec<&str> = plan.secrets.iter().map(Secret::reveal).collect();
    let all = (named, filled);
    Some(hex::sha256(format!("{build_id} {all:?}")))
}
