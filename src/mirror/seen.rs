//! What a build has seen of trees and repositories: each is asked for once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use url::Url;

use super::cache::{Key, milliseconds, read_json, write_whole};
use super::fault::Fault;
use super::lists::Via;
use super::location::{Location, join};
use super::obtain::{CachedFile, Store, Want};
use super::place::Source;
use super::repository::{Known, Repository};
use super::share::{Driver, Progress};
use super::treeinfo::{self, TreeInfo};
use super::verify::{self, Expect};
use crate::panics::lock;

/// What is asked for once.
type Once<T> = Arc<OnceCell<T>>;

/// What a build has seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    repositories: Mutex<HashMap<String, Once<Arc<Repository>>>>,
    trees: Mutex<HashMap<String, Once<Option<Arc<Tree>>>>>,
    /// Texts of `repomd.xml` that mirrors sent, or said to be theirs still.
    fresh: Mutex<HashMap<Url, Arc<[u8]>>>,
    /// Files that are known to be whole, by their keys.
    here: Mutex<HashMap<String, Arc<CachedFile>>>,
    /// What guests asked for, by the same keys, and by which name.
    asked: Mutex<HashMap<String, String>>,
    /// Mirrors, by what names them: a list is asked for once.
    sources: Mutex<HashMap<(Url, Via), Source>>,
}

/// An install tree.
#[derive(Debug)]
pub(super) struct Tree {
    /// `.treeinfo`, or `treeinfo`.
    pub(super) name: &'static str,
    pub(super) text: Arc<[u8]>,
    pub(super) info: Option<TreeInfo>,
}

/// `trees/KEY.json`
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    url: String,
    name: String,
    text: String,
    /// When a mirror was asked for it, in milliseconds since 1970.
    #[serde(default)]
    asked: u64,
}

impl Record {
    /// The name of the file, and its bytes.
    fn file(self) -> (&'static str, Vec<u8>) {
        let name = NAMES.into_iter().find(|name| *name == self.name);
        (name.unwrap_or(NAMES[0]), self.text.into_bytes())
    }
}

impl Tree {
    fn new(name: &'static str, text: Vec<u8>) -> Tree {
        Tree {
            name,
            info: treeinfo::parse(&String::from_utf8_lossy(&text), name).ok(),
            text: text.into(),
        }
    }
}

/// Some servers forbid all names that begin with a dot.
pub(super) const NAMES: [&str; 2] = [".treeinfo", "treeinfo"];

impl Store {
    /// The repository at `prefix` of a source.
    ///
    /// # Errors
    /// As [`Repository::open`]; then it is asked again the next time.
    pub(super) async fn repository(
        &self,
        source: &Source,
        prefix: &str,
    ) -> Result<Arc<Repository>, Fault> {
        let name = source.place(prefix).identity();
        let name = name.trim_end_matches('/').to_owned();
        let cell = Arc::clone(lock(&self.seen.repositories).entry(name).or_default());
        let open = || async { Repository::open(self, source, prefix).await.map(Arc::new) };
        cell.get_or_try_init(open).await.cloned()
    }

    /// The tree at `prefix` of a source; none if there is no description of one.
    ///
    /// # Errors
    /// The mirror cannot be used, and nothing is kept of the tree.
    pub(super) async fn tree(
        &self,
        source: &Source,
        prefix: &str,
    ) -> Result<Option<Arc<Tree>>, Fault> {
        let place = source.place(prefix);
        let name = place.identity();
        let name = name.trim_end_matches('/').to_owned();
        let cell = Arc::clone(lock(&self.seen.trees).entry(name.clone()).or_default());
        let open = || async {
            let path = self.cache.tree_path(&name);
            // Of a family one build asks, and the others wait for what it hears.
            let asking = Key::new(&place, None);
            let (limit, reporter) = (self.fetcher.patience.whole, &self.fetcher.reporter);
            let _asking = match self.family {
                Some(_) => Some(self.cache.lock(&asking, limit, reporter).await?),
                None => None,
            };
            if let Some(record) = read_json::<Record>(&path)
                && self.was_just_asked(record.asked)
            {
                let (name, bytes) = record.file();
                let place = source.place(&format!("{prefix}{name}"));
                self.keep(&place.name(), &crate::hex::sha256(&bytes), &bytes);
                return Ok(Some(Arc::new(Tree::new(name, bytes))));
            }
            let found = self.describe(source, prefix).await;
            let (name, text) = match found {
                Ok(Some((name, bytes))) => {
                    let record = Record {
                        url: source.place(prefix).name(),
                        name: name.to_owned(),
                        text: String::from_utf8_lossy(&bytes).into_owned(),
                        asked: milliseconds(),
                    };
                    if let Ok(json) = serde_json::to_vec(&record) {
                        // Without it, the next build needs the mirror.
                        let _ = write_whole(&path, &json);
                    }
                    (name, bytes)
                }
                Ok(None) => return Ok(None),
                Err(fault) if self.packages && fault.is_away() => {
                    match read_json::<Record>(&path) {
                        Some(record) => {
                            let message =
                                format!("{} is taken as it was last seen: {fault}", record.url);
                            match self.fetcher.offline {
                                true => self.fetcher.reporter.detail(message),
                                false => self.fetcher.reporter.warn(message),
                            }
                            record.file()
                        }
                        None => return Err(fault),
                    }
                }
                Err(fault) => return Err(fault),
            };
            Ok(Some(Arc::new(Tree::new(name, text))))
        };
        cell.get_or_try_init(open).await.cloned()
    }

    /// Reads `.treeinfo` or `treeinfo`, whole each time; none where the tree has neither.
    ///
    /// # Errors
    /// The mirror cannot be used.
    pub(super) async fn describe(
        &self,
        source: &Source,
        prefix: &str,
    ) -> Result<Option<(&'static str, Vec<u8>)>, Fault> {
        let mut forbidden = Vec::new();
        for name in NAMES {
            let place = source.place(&format!("{prefix}{name}"));
            let read = async {
                if self.locked.is_some() {
                    return self.read(&Want::of(place.clone(), Expect::TreeInfo)).await;
                }
                let mut failed = None;
                for url in place.urls(self).await? {
                    let limit = Expect::TreeInfo.limit();
                    match self.bytes(&url, Expect::TreeInfo, limit).await {
                        Ok(bytes) => {
                            let digest = crate::hex::sha256(&bytes);
                            self.keep(&place.name(), &digest, &bytes);
                            return Ok(bytes);
                        }
                        Err(fault) => failed = failed.or(Some(fault)),
                    }
                }
                let url = place.name();
                Err(failed.unwrap_or(Fault::NotFound { url }))
            };
            match read.await {
                Ok(bytes) => return Ok(Some((name, bytes))),
                Err(fault @ Fault::Forbidden { .. }) => forbidden.push(fault),
                Err(fault) if fault.is_absent() => {}
                Err(fault) => return Err(fault),
            }
        }
        // Both are forbidden: so is the tree.
        match forbidden.len() {
            0 | 1 => Ok(None),
            _ => Err(forbidden.remove(1)),
        }
    }

    /// Keeps a small text under its digest, for who is to repeat the build.
    pub(super) fn keep(&self, name: &str, digest: &str, bytes: &[u8]) {
        if self.packages {
            self.ledger
                .file(name.to_owned(), digest, bytes.len() as u64);
            // A lock file then names what is not here: the mirror is asked for it.
            let _ = self.cache.put(name, digest, bytes);
        }
    }

    /// The text of `repomd.xml` of a repository at one mirror, as that has it now.
    ///
    /// # Errors
    /// As [`Store::obtain`].
    pub(super) async fn fresh_repomd(&self, repomd: &Url) -> Result<Arc<[u8]>, Fault> {
        if let Some(text) = lock(&self.seen.fresh).get(repomd) {
            return Ok(Arc::clone(text));
        }
        let file = match Location::of(repomd)? {
            Location::Local(_) => self.obtain(repomd, Expect::RepoMd, None).await?,
            // Which mirror of several has it is for the caller to decide.
            Location::Web(_) => {
                let want = Want::of(Source::alone(repomd), Expect::RepoMd);
                self.take(&want, None).await?
            }
        };
        self.note_repomd(repomd, &file)
    }

    /// Notes what was just obtained of a mirror.
    pub(super) fn note_repomd(&self, repomd: &Url, file: &CachedFile) -> Result<Arc<[u8]>, Fault> {
        let failed = |error| Fault::local("reading", &file.path, error);
        let text: Arc<[u8]> = std::fs::read(&file.path).map_err(failed)?.into();
        if self.packages {
            lock(&self.seen.fresh).insert(repomd.clone(), Arc::clone(&text));
        }
        Ok(text)
    }

    /// What is known of a file by what a repository or tree at `prefix` of a source says of it.
    pub(super) fn known(&self, source: &Source, prefix: &str, rest: &str) -> Option<Known> {
        let name = source.place(prefix).identity();
        let name = name.trim_end_matches('/');
        let repository = lock(&self.seen.repositories).get(name).cloned();
        let repository = repository.and_then(|cell| cell.get().cloned());
        if let Some(known) = repository.and_then(|repository| repository.asked(rest)) {
            if let Some(package) = &known.package {
                self.ledger.package(package);
            }
            return Some(known);
        }
        let tree = lock(&self.seen.trees).get(name).cloned();
        let tree = tree.and_then(|cell| cell.get().cloned())??;
        let checksum = tree.info.as_ref()?.checksum(rest)?;
        verify::is_known(checksum).then(|| Known::of(checksum))
    }

    /// Where a tree or repository is.
    pub(super) fn source(&self, base: &Url, via: Via) -> Source {
        let mut sources = lock(&self.seen.sources);
        let source = sources.entry((base.clone(), via));
        source.or_insert_with(|| Source::new(base, via)).clone()
    }

    /// A file that this build has had already, for a guest that asks for it.
    pub(super) fn given(&self, want: &Want) -> Option<Arc<CachedFile>> {
        let key = Key::new(&want.place, Some(want.checksum.as_ref()?));
        let name = want.place.name();
        // Before it is looked for: who fetches it ahead looks in the other order.
        lock(&self.seen.asked).insert(key.hex, name.clone());
        let file = self.here(want)?;
        self.ledger.file(name, &file.sha256, file.bytes);
        Some(file)
    }

    /// A file that this build has had already.
    fn here(&self, want: &Want) -> Option<Arc<CachedFile>> {
        let checksum = want.checksum.as_ref()?;
        let key = Key::new(&want.place, Some(checksum));
        lock(&self.seen.here).get(&key.hex).cloned()
    }

    /// One download for all who want a file. To be called on no thread of the runtime.
    pub(super) fn share(&self, runtime: &Handle, want: Want) -> Arc<Progress> {
        let key = Key::new(&want.place, want.checksum.as_ref());
        let (progress, driver) = self.downloads.join(&key.hex);
        let Some(driver) = driver else {
            return progress;
        };
        let store = self.clone();
        runtime.spawn(async move {
            let file = store.take(&want, Some(driver.progress())).await;
            store.end(driver, file, want.checksum.map(|_| key));
        });
        progress
    }

    /// Fetches a file that no guest waits for yet, and which has a checksum.
    pub(super) async fn fetch_ahead(&self, want: &Want) {
        let key = Key::new(&want.place, want.checksum.as_ref());
        let (_, Some(driver)) = self.downloads.join(&key.hex) else {
            return;
        };
        let file = self.take_unlocked(want, Some(driver.progress())).await;
        match &file {
            Ok(file) if file.origin == super::Origin::Fetched => self.ledger.ahead(file.bytes),
            Ok(_) => {}
            Err(fault) => {
                let reporter = &self.fetcher.reporter;
                reporter.detail(format!("not fetched ahead: {fault}"));
            }
        }
        let took = file
            .as_ref()
            .ok()
            .map(|file| (file.sha256.clone(), file.bytes));
        let hex = key.hex.clone();
        self.end(driver, file, Some(key));
        let name = lock(&self.seen.asked).get(&hex).cloned();
        if let (Some((sha256, bytes)), Some(name)) = (took, name) {
            self.ledger.file(name, &sha256, bytes);
        }
    }

    /// Tells those who wait of the end of a download, and notes what is known to be whole by its key.
    fn end(&self, driver: Driver, file: Result<CachedFile, Fault>, key: Option<Key>) {
        if let (Ok(file), Some(key)) = (&file, key) {
            // Without its claim: there may be thousands, and a running build's are not removed.
            let file = CachedFile {
                lease: None,
                origin: super::Origin::Cached,
                ..file.clone()
            };
            lock(&self.seen.here).insert(key.hex, Arc::new(file));
        }
        driver.end(file);
    }

    /// How long a file is, in bytes, if that is told.
    ///
    /// # Errors
    /// No mirror has it.
    pub(super) async fn length(&self, want: &Want) -> Result<Option<u64>, Fault> {
        if let Some(locked) = &self.locked {
            let url = want.place.name();
            let taken = locked.at(&url);
            let lock = locked.name.clone();
            return taken
                .map(|(taken, _)| Some(taken.bytes))
                .ok_or(Fault::NotLocked { url, lock });
        }
        if want.bytes.is_some() {
            return Ok(want.bytes);
        }
        if let Some(file) = self.here(want) {
            return Ok(Some(file.bytes));
        }
        if self.is_here(want) {
            return self.take(want, None).await.map(|file| Some(file.bytes));
        }
        let mut failed = None;
        for url in want.place.urls(self).await? {
            match self.fetcher.probe(&url).await {
                Ok(answer) => return Ok(answer.bytes),
                Err(fault) => failed = failed.or(Some(fault)),
            }
        }
        let url = want.place.name();
        Err(failed.unwrap_or(Fault::NotFound { url }))
    }

    /// Whether the cache has a file, or is to be taken to have it.
    pub(super) fn is_here(&self, want: &Want) -> bool {
        if let Some(locked) = &self.locked {
            return locked.at(&want.place.name()).is_some();
        }
        let is_sure = want.checksum.is_some() || self.fetcher.offline;
        let key = Key::new(&want.place, want.checksum.as_ref());
        is_sure && !self.refetch && self.cache.has(&key)
    }

    /// How many directories above a tree its repositories reach: `../../../AppStream/x86_64/os` reaches three. Known
    /// of trees that this build has seen.
    pub(super) fn reach_above(&self, tree: &Url) -> usize {
        let name = Source::new(tree, super::Via::Direct).place("").identity();
        let tree = lock(&self.seen.trees)
            .get(name.trim_end_matches('/'))
            .cloned();
        let tree = tree.and_then(|cell| cell.get().cloned().flatten());
        let info = tree.as_ref().and_then(|tree| tree.info.as_ref());
        let variants = info.map_or(&[][..], |info| &info.repositories);
        let above = variants.iter().map(|variant| {
            let mut depth = 0_isize;
            let mut least = 0;
            for part in variant.path.split('/') {
                match part {
                    "" | "." => {}
                    ".." => depth -= 1,
                    _ => depth += 1,
                }
                least = depth.min(least);
            }
            least.unsigned_abs()
        });
        above.max().unwrap_or(0)
    }

    /// As [`Store::is_here`], for a file of a tree.
    pub(super) fn has_of_tree(&self, tree: &Url, path: &str, info: Option<&TreeInfo>) -> bool {
        let url = join(tree, path);
        let is_web = matches!(Location::of(&url), Ok(Location::Web(_)));
        let checksum = info.and_then(|info| info.checksum(path));
        let want = Want {
            checksum: checksum.filter(|sum| verify::is_known(sum)).cloned(),
            ..Want::of(Source::file(&url), Expect::Guest)
        };
        is_web && self.packages && self.is_here(&want)
    }
}
