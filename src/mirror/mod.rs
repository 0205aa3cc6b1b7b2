//! Install trees: `.treeinfo`, downloads, the cache, and relaying what only the host can reach.
//!
//! ```text
//! mod       one tree: its .treeinfo, kernel, initrd, and whether stage 2 and other things are there
//! obtain    address → file: cached, revalidated, downloaded, local
//! stream    what is taken while it comes
//! fetch     one download with resumption and retries     part   its unfinished bytes
//! cache     where files lie                              upkeep list, prune, clear
//! relay     for the guest's own requests
//! client    TLS, proxies, redirects, errors              fault  every failure and its message
//! iso       ISO images, verified     implanted  the checksum in them     sums  lists of checksums
//! disc      what an ISO image is to install from
//! reach     how a guest gets there
//! shelf     the same through the cache: packages, metadata, stage 2
//! alternates one tree at several addresses
//! place     where files are: one address, or mirrors    lists  lists of mirrors
//! repository one state of a repository      seen    each tree and repository is asked for once
//! signed    whether repomd.xml is signed by who must have done it
//! share     one download for all who wait   ahead   what nobody waits for yet
//! ledger  what was taken    locked  nothing but that
//! repodata  what a repository has
//! location  addresses        verify  digests, magics     treeinfo       the tree's description
//! ```

pub mod lists;
pub mod repodata;
pub mod sums;
pub mod treeinfo;

mod ahead;
mod alternates;
mod cache;
mod client;
mod disc;
mod fault;
mod fetch;
mod implanted;
mod iso;
mod ledger;
mod location;
mod locked;
mod obtain;
mod part;
mod place;
mod reach;
mod relay;
mod repository;
mod seen;
mod share;
mod shelf;
mod signed;
mod stream;
mod upkeep;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use url::Url;

pub use ahead::Ahead;
pub use cache::{Cache, CacheEntry, Lease, Using};
pub use client::{Credentials, RetryPolicy};
pub use disc::Disc;
pub use fault::Fault;
pub use fetch::Answer;
pub use implanted::Media;
pub use iso::{IsoImage, IsoSource, Sum, file_name, sibling};
pub use ledger::{Ledger, State as RepositoryState, Taken, Traffic};
pub use lists::Via;
pub use location::{Location, beside, check_tree, join, public, shown, with_slash};
pub use locked::{Lock, Locked};
pub use obtain::{CachedFile, Origin};
pub use reach::{Access, Obstacle, Reach};
pub use shelf::Shelf;
pub use treeinfo::TreeInfo;
pub use upkeep::{PruneRules, Removal, Stats, Totals, Verified};

use crate::distro::{Arch, TreeLayout};
use crate::error::{Classify, Kind, fail};
use crate::input::{NotOpened, Roots};
use crate::options::{InstallOptions, RepositoryKey};
use crate::printable;
use crate::process;
use crate::serve::Upstream;
use crate::ui::event::Reporter;
use alternates::Alternates;
use client::Clients;
use fetch::Fetcher;
use obtain::Store;
use place::Source;
use seen::Tree;
use share::Downloads;
use treeinfo::Checksum;
use verify::Expect;

/// Where a repository has the list of its metadata (createrepo_c, yum, dnf).
pub const REPOMD: &str = "repodata/repomd.xml";

/// Where it has the signature of that (`repo_gpgcheck`, dnf.conf(5)).
const SIGNATURE: &str = "repodata/repomd.xml.asc";

/// How mirrors are reached and where downloads are kept.
#[derive(Debug, Clone)]
pub struct MirrorOptions {
    /// The cache directory; made if need be.
    pub cache_dir: PathBuf,
    /// Certificates and keys.
    pub credentials: Credentials,
    /// Take nothing from the cache (`-f`).
    pub refetch: bool,
    /// Timeouts and retries.
    pub patience: RetryPolicy,
    /// Directories below which `file:` addresses and the links there may lead.
    pub file_roots: Vec<PathBuf>,
    /// Keep what guests take, and let it stand in for mirrors that are away (`--package-cache`).
    pub packages: bool,
    /// Ask no mirror (`--offline`).
    pub offline: bool,
    /// Take this set and nothing else (`--locked`).
    pub locked: Option<Arc<Locked>>,
    /// Who must have signed which repositories (`--repository-key`).
    pub repository_keys: Vec<RepositoryKey>,
    /// Since when the family of builds runs that this one is of, in milliseconds since 1970.
    pub family: Option<u64>,
    /// The addresses of the one tree that is installed from, what it is called first.
    pub tree_addresses: Vec<Url>,
}

impl MirrorOptions {
    /// What the options of an install say, with a cache in `cache_dir`.
    pub fn of(options: &InstallOptions, cache_dir: PathBuf) -> Self {
        let mut mirror = MirrorOptions {
            credentials: Credentials {
                cacert: options.cacert.clone(),
                client_cert: options.client_cert.clone(),
                client_key: options.client_key.clone(),
                client_cert_hosts: options.client_cert_host.clone(),
            },
            refetch: options.refetch,
            file_roots: [options.file_root.clone(), named_files(options)].concat(),
            ..MirrorOptions::new(cache_dir)
        };
        let policy = &mut mirror.patience;
        policy.min_rate = options.min_rate.unwrap_or(policy.min_rate);
        policy.whole = options
            .download_timeout
            .map_or(policy.whole, |limit| limit.0);
        mirror
    }

    /// What a template adds: its directory may be read, and the host of its tree may ask for the
    /// client certificate. A template that lies in `/` may not read everything.
    #[must_use]
    pub fn with_template(mut self, tree: Option<&Url>, directory: &Path) -> Self {
        let host = tree.and_then(Url::host_str);
        self.credentials
            .client_cert_hosts
            .extend(host.map(str::to_string));
        if directory.parent().is_some() {
            self.file_roots.push(directory.to_path_buf());
        }
        self
    }

    /// The defaults, with a cache in `cache_dir`.
    pub fn new(cache_dir: impl Into<PathBuf>) -> Self {
        MirrorOptions {
            cache_dir: cache_dir.into(),
            credentials: Credentials::default(),
            refetch: false,
            patience: RetryPolicy::default(),
            file_roots: Vec::new(),
            packages: false,
            offline: false,
            locked: None,
            repository_keys: Vec::new(),
            family: process::family_since(),
            tree_addresses: Vec::new(),
        }
    }
}

/// Files that the user names on the command line, and so may be read wherever they are: the ISO images, and
/// what may say their checksums.
fn named_files(options: &InstallOptions) -> Vec<PathBuf> {
    let images = options.iso.iter().filter_map(|text| address(text).ok());
    let images: Vec<Url> = images.collect();
    let beside = images.iter().flat_map(|url| {
        let name = file_name(url);
        let names = sums::BESIDE.into_iter();
        names.filter_map(move |list| sibling(url, &list.replace('*', &name)))
    });
    let list = options
        .checksum
        .iter()
        .filter_map(|text| address(text).ok());
    let all = images.iter().cloned().chain(beside).chain(list);
    all.filter_map(|url| url.to_file_path().ok()).collect()
}

/// The address that a user means: one, or the path of a file.
///
/// # Errors
/// It has another scheme, or is none.
pub fn address(text: &str) -> anyhow::Result<Url> {
    let url = match text.contains("://") {
        true => Url::parse(text).ok(),
        false => std::path::absolute(text)
            .ok()
            .and_then(|path| Url::from_file_path(path).ok()),
    };
    let Some(url) = url else {
        fail!(
            Kind::Input,
            "`{}` is neither a file nor an address",
            printable::line(text)
        );
    };
    Location::of(&url).map_err(Fault::into_error)?;
    Ok(url)
}

/// An install tree whose kernel and initrd are here and whose stage 2 is there.
#[derive(Debug, Clone)]
pub struct InstallTree {
    /// The tree's address as it was given, credentials included: show it with [`shown`] only.
    pub url: Url,
    /// What it says of itself, if it does.
    pub treeinfo: Option<TreeInfo>,
    /// The kernel to boot.
    pub kernel: CachedFile,
    /// Its initrd.
    pub initrd: CachedFile,
    /// The installer's main image, relative to the tree.
    pub stage2_path: String,
}

/// Fetches from mirrors.
#[derive(Debug, Clone)]
pub struct Mirror {
    store: Store,
    /// Keeps what guests take from being pruned.
    _using: Option<Arc<Using>>,
}

impl Mirror {
    /// Opens the cache and prepares the HTTP client.
    ///
    /// # Errors
    /// A certificate, key or proxy that cannot be used, or a cache directory that cannot be made.
    pub fn new(options: MirrorOptions, reporter: Reporter) -> anyhow::Result<Mirror> {
        let cache = Cache::open(&options.cache_dir)?;
        cache.remove_leftovers();
        let ledger = Ledger::default();
        // Without it the cache works, and may lose what is needed again.
        let using = options.packages.then(|| cache.begin_use().ok()).flatten();
        Ok(Mirror {
            _using: using.map(Arc::new),
            store: Store {
                cache,
                fetcher: Fetcher {
                    clients: Clients::new(&options.credentials, &options.patience)?,
                    patience: options.patience,
                    reporter,
                    follow_all: false,
                    offline: options.offline,
                    ledger: ledger.clone(),
                },
                roots: Roots::new(options.file_roots),
                refetch: options.refetch,
                packages: options.packages,
                locked: options.locked,
                repository_keys: options.repository_keys.into(),
                family: options.family,
                alternates: Arc::new(Alternates::new(&options.tree_addresses)),
                ledger,
                downloads: Downloads::default(),
                seen: Arc::default(),
            },
        })
    }

    /// As [`Mirror::new`], for looking at what an installer will fetch: all redirects to the
    /// other scheme are followed, as it does, and [`Mirror::ask`] tells of them.
    ///
    /// # Errors
    /// As for [`Mirror::new`].
    pub fn following_all(options: MirrorOptions, reporter: Reporter) -> anyhow::Result<Mirror> {
        let mut mirror = Mirror::new(options, reporter)?;
        mirror.store.fetcher.follow_all = true;
        Ok(mirror)
    }

    /// Asks whether there is anything at `url`. Of a `file:` address it must be a file, or a
    /// directory if the address ends with `/`.
    ///
    /// # Errors
    /// What is wrong with the address or the server.
    pub async fn ask(&self, url: &Url) -> Result<Answer, Fault> {
        let path = match Location::of(url)? {
            Location::Web(url) => {
                let mut failed = None;
                for url in Source::file(&url).urls(&self.store).await? {
                    match self.store.fetcher.probe(&url).await {
                        Ok(answer) => return Ok(answer),
                        Err(fault) => failed = failed.or(Some(fault)),
                    }
                }
                return Err(failed.unwrap_or(Fault::NotFound { url: shown(&url) }));
            }
            Location::Local(path) => path,
        };
        if url.path().ends_with('/') {
            match self.store.roots.find(&path) {
                Ok(real) if real.is_dir() => {}
                Err(NotOpened::Outside) => return Err(Fault::Outside { path }),
                _ => return Err(Fault::NotFound { url: shown(url) }),
            }
        }
        let bytes = match url.path().ends_with('/') {
            true => None,
            false => Some(self.store.open_local(url, &path)?.bytes),
        };
        Ok(Answer {
            url: url.clone(),
            moved: None,
            bytes,
        })
    }

    /// Fetches a small text, such as a list of mirrors.
    ///
    /// # Errors
    /// What is wrong with the address or the server; more than `limit` bytes.
    pub async fn fetch(&self, url: &Url, limit: u64) -> Result<Vec<u8>, Fault> {
        self.store.bytes(url, Expect::Any, limit).await
    }

    /// Takes what is at `url` piece by piece while it comes, and keeps nothing of it. `begin` hears how long
    /// it is, if the server says so; `take` says whether it wants more. It may take as long as it comes
    /// fast enough.
    ///
    /// # Errors
    /// What is wrong with the address or the server.
    pub async fn stream(
        &self,
        url: &Url,
        begin: impl FnMut(Option<u64>),
        take: impl FnMut(&[u8]) -> bool,
    ) -> anyhow::Result<()> {
        let came = self.store.fetcher.stream(url, begin, take).await;
        came.map_err(Fault::into_error)
    }

    /// The cache, for `ozr cache`.
    pub fn cache(&self) -> &Cache {
        &self.store.cache
    }

    /// Obtains what it takes to boot the installer of `tree`.
    ///
    /// # Errors
    /// One sentence on what is wrong with the mirror ([`crate::error::Kind::Mirror`]), its
    /// address in the template, or this host.
    pub async fn install_tree(
        &self,
        tree: &Url,
        arch: Arch,
        fallback: &TreeLayout,
    ) -> anyhow::Result<InstallTree> {
        self.tree(tree, arch, fallback)
            .await
            .map_err(Fault::into_error)
    }

    async fn tree(
        &self,
        tree: &Url,
        arch: Arch,
        fallback: &TreeLayout,
    ) -> Result<InstallTree, Fault> {
        location::check_tree(tree)?;
        let reporter = &self.store.fetcher.reporter;
        let info = self.describe(tree).await?;
        if let Some(info) = &info {
            if !info.is_for(arch) {
                return Err(Fault::Address {
                    url: shown(tree),
                    reason: format!(
                        "is a tree for {}, but the template asks for {arch}",
                        info.arch.as_deref().unwrap_or("another architecture")
                    ),
                });
            }
            if info.kernel.is_none() || info.initrd.is_none() {
                reporter.warn(format!(
                    "the .treeinfo of {} names no kernel and initrd for {arch} (an AppStream \
                     tree?); trying the usual places of the release",
                    shown(tree)
                ));
            }
        } else {
            reporter.warn(format!(
                "{} has no .treeinfo, so nothing there can be checked by checksum; trying the \
                 usual places of the release",
                shown(tree)
            ));
        }
        let named = info.as_ref();
        let kernel = named.and_then(|info| info.kernel.as_deref());
        let kernel = Wanted::new(
            tree,
            named,
            kernel.unwrap_or(fallback.kernel),
            Expect::Kernel,
        );
        let initrd = named.and_then(|info| info.initrd.as_deref());
        let initrd = Wanted::new(
            tree,
            named,
            initrd.unwrap_or(fallback.initrd),
            Expect::Initrd,
        );
        let fetched = tokio::try_join!(
            self.boot_file(&kernel),
            self.boot_file(&initrd),
            self.stage2(tree, named, fallback),
        );
        // Without checksums nothing says that kernel and initrd are of the tree that was described.
        let checked = kernel.checksum.is_some() && initrd.checksum.is_some();
        let fetched = match fetched {
            Ok(_) if !checked && info.is_some() && self.describe_anew(tree).await? != info => {
                Err(Fault::Changed { url: shown(tree) })
            }
            fetched => fetched,
        };
        match fetched {
            Ok((kernel, initrd, stage2_path)) => Ok(InstallTree {
                url: tree.clone(),
                treeinfo: info,
                kernel,
                initrd,
                stage2_path,
            }),
            Err(fault) => {
                // The other download was stopped half-way; a tree that is wrong is not worth
                // going on with.
                if !fault.keeps_part() {
                    for wanted in [&kernel, &initrd] {
                        self.store.cache.forget_part(&wanted.key());
                    }
                }
                Err(fault)
            }
        }
    }

    /// Reads `.treeinfo` or `treeinfo`, whole each time; none where the tree has neither.
    ///
    /// # Errors
    /// The mirror cannot be used, or the text is no `.treeinfo`.
    pub async fn describe(&self, tree: &Url) -> Result<Option<TreeInfo>, Fault> {
        // Nobody else needs what is heard.
        if !self.store.packages && self.store.family.is_none() {
            return self.describe_anew(tree).await;
        }
        let found = self.store.tree(&Source::new(tree, Via::Direct), "").await?;
        let read =
            |tree_: Arc<Tree>| read_tree_info(&tree_.text, &location::join(tree, tree_.name));
        found.map(read).transpose()
    }

    async fn describe_anew(&self, tree: &Url) -> Result<Option<TreeInfo>, Fault> {
        let source = Source::new(tree, Via::Direct);
        let found = self.store.describe(&source, "").await?;
        let read =
            |(name, bytes): (&str, Vec<u8>)| read_tree_info(&bytes, &location::join(tree, name));
        found.map(read).transpose()
    }

    async fn boot_file(&self, wanted: &Wanted) -> Result<CachedFile, Fault> {
        let file = self
            .store
            .obtain(&wanted.url, wanted.expect, wanted.checksum.as_ref())
            .await?;
        if wanted.checksum.is_none() && wanted.has_tree_info {
            self.store.fetcher.reporter.warn(format!(
                "the tree gives no usable checksum for {}: only its length was checked",
                shown(&wanted.url)
            ));
        }
        Ok(file)
    }

    /// Finds stage 2 without taking it: the guest will.
    async fn stage2(
        &self,
        tree: &Url,
        info: Option<&TreeInfo>,
        fallback: &TreeLayout,
    ) -> Result<String, Fault> {
        let candidates = match info.and_then(|info| info.stage2.as_deref()) {
            Some(path) => vec![path],
            None => fallback.stage2.to_vec(),
        };
        let mut absent = None;
        for path in candidates {
            let url = location::join(tree, path);
            if self.store.has_of_tree(tree, path, info) {
                return Ok(path.to_string());
            }
            match self.ask(&url).await {
                Ok(_) => return Ok(path.to_string()),
                Err(fault) if fault.is_absent() => {
                    absent.get_or_insert(fault);
                }
                Err(fault) => return Err(fault),
            }
        }
        Err(absent.unwrap_or_else(|| Fault::NotFound { url: shown(tree) }))
    }

    /// Fetches a small file into memory, for `type='url'` files and commands of templates. It is
    /// not cached: such files change, and may be secret.
    ///
    /// # Errors
    /// As for [`Mirror::install_tree`]; more than `limit` bytes.
    pub async fn fetch_bytes(&self, url: &Url, limit: u64) -> anyhow::Result<Vec<u8>> {
        self.fetch(url, limit).await.map_err(Fault::into_error)
    }

    /// The same of a file that need not be there.
    ///
    /// # Errors
    /// As for [`Mirror::fetch_bytes`].
    pub async fn fetch_if_there(&self, url: &Url, limit: u64) -> anyhow::Result<Option<Vec<u8>>> {
        match self.fetch(url, limit).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(fault) if fault.is_absent() => Ok(None),
            Err(fault) => Err(fault.into_error()),
        }
    }

    /// Reads a file that the template names by its path.
    ///
    /// # Errors
    /// Input: it is larger than `limit` bytes, lies outside of what the template may name, is
    /// not there, or cannot be read.
    pub fn read_file(&self, path: &Path, limit: u64) -> anyhow::Result<Vec<u8>> {
        match self.store.roots.read(path, limit) {
            Ok(bytes) => Ok(bytes),
            Err(NotOpened::Outside) => Err(Fault::Outside { path: path.into() }.into_error()),
            Err(NotOpened::Io(error)) => Err(error)
                .with_context(|| format!("reading {}", path.display()))
                .kind(Kind::Input),
        }
    }

    /// Obtains `repodata/repomd.xml` of a repository: asked for anew each time, for it is what
    /// tells whether the rest has changed.
    ///
    /// # Errors
    /// What is wrong with the mirror; [`Fault::NotFound`] where this is no repository.
    pub async fn repomd(&self, repository: &Url) -> Result<CachedFile, Fault> {
        let url = location::join(repository, REPOMD);
        let file = self.store.obtain(&url, Expect::RepoMd, None).await?;
        self.store.note_repomd(&url, &file)?;
        Ok(file)
    }

    /// Obtains a file of repository metadata that `repomd.xml` names. With a checksum that can
    /// be verified, a cached one is taken without asking.
    ///
    /// # Errors
    /// What is wrong with the mirror; a file that has not the checksum.
    pub async fn metadata(
        &self,
        url: &Url,
        checksum: Option<&Checksum>,
    ) -> Result<CachedFile, Fault> {
        let checksum = checksum.filter(|checksum| verify::tells_damage(checksum));
        self.store.obtain(url, Expect::Metadata, checksum).await
    }

    /// Reaches a tree or repository on behalf of a guest. To be called within the runtime, which
    /// must have several threads and outlive the result; the result is for other threads.
    ///
    /// # Errors
    /// An address that is not supported.
    pub fn upstream(&self, base: &Url) -> anyhow::Result<Arc<dyn Upstream>> {
        relay::upstream(&self.store, base).map_err(Fault::into_error)
    }

    /// As [`Mirror::upstream`], through the cache: for trees and repositories, which may be named by a list of
    /// mirrors.
    ///
    /// # Errors
    /// An address that is not supported.
    pub fn shelf(&self, base: &Url, via: Via) -> Arc<Shelf> {
        Arc::new(Shelf::new(&self.store, self.store.source(base, via), via))
    }

    /// Fetches what the `last` build of a name took, as far as it is in these repositories still, until what is given is
    /// dropped. To be called within the runtime.
    pub fn fetch_ahead(&self, repositories: Vec<(Url, Via)>, last: &Lock) -> Ahead {
        ahead::begin(&self.store, repositories, last)
    }

    /// What is to stand behind our server for a tree, and the tree's place in it: the repositories that lie beside a
    /// tree are found by their way from there.
    pub fn root_of(&self, tree: &Url) -> (Url, String) {
        let (mut root, mut rest) = (tree.clone(), String::new());
        let mut parts: Vec<&str> = tree.path().trim_matches('/').split('/').collect();
        for _ in 0..self.store.reach_above(tree).min(parts.len()) {
            let part = parts.pop().unwrap_or_default();
            rest = format!("{part}/{rest}");
        }
        if !rest.is_empty() {
            root.set_path(&format!("/{}", parts.join("/")));
        }
        (location::with_slash(&root), rest)
    }

    /// Looks whether the state of a repository is known and whole.
    ///
    /// # Errors
    /// As for [`Mirror::install_tree`].
    pub async fn check_repository(&self, base: &Url, via: Via) -> anyhow::Result<()> {
        let source = self.store.source(base, via);
        let opened = self.store.repository(&source, "").await;
        opened.map(drop).map_err(Fault::into_error)
    }

    /// Whether the repository at an address must be signed.
    pub fn must_be_signed(&self, repository: &Url) -> bool {
        self.store.must_be_signed(&public(repository))
    }

    /// Who must have signed which repositories.
    pub fn repository_keys(&self) -> &[RepositoryKey] {
        &self.store.repository_keys
    }

    /// Whether guests' packages are kept.
    pub fn keeps_packages(&self) -> bool {
        self.store.packages
    }

    /// What was taken so far.
    pub fn ledger(&self) -> &Ledger {
        &self.store.ledger
    }

    /// The set that is taken, if it is decided.
    pub fn locked(&self) -> Option<&Locked> {
        self.store.locked.as_deref()
    }
}

/// A file of the tree that is to be obtained.
struct Wanted {
    url: Url,
    expect: Expect,
    checksum: Option<Checksum>,
    has_tree_info: bool,
}

impl Wanted {
    fn new(tree: &Url, info: Option<&TreeInfo>, path: &str, expect: Expect) -> Wanted {
        Wanted {
            url: location::join(tree, path),
            expect,
            checksum: info
                .and_then(|info| info.checksum(path))
                .filter(|checksum| verify::is_known(checksum))
                .cloned(),
            has_tree_info: info.is_some(),
        }
    }

    fn key(&self) -> cache::Key {
        cache::Key::new(&Source::file(&self.url), self.checksum.as_ref())
    }
}

/// Reads a `.treeinfo`. Of what is none nothing is shown: it may be an answer that the mirror
/// made this host get from somewhere else.
fn read_tree_info(bytes: &[u8], url: &Url) -> Result<TreeInfo, Fault> {
    // Names of distributions may be in Latin-1 in old trees; they are only shown.
    let text = String::from_utf8_lossy(bytes);
    let name = shown(url);
    if !treeinfo::is_meant(&text) {
        let what = Expect::TreeInfo.name();
        return Err(Fault::WrongContent { url: name, what });
    }
    treeinfo::parse(&text, &name).map_err(|finding| Fault::TreeInfo {
        url: name,
        finding: Box::new(finding),
    })
}
