//! What a guest asks of a tree or repository, answered out of the cache.
//!
//! ```text
//! .treeinfo             as the build read it: its digests hold for what it names
//! repodata/repomd.xml   the state that the build sees (`repository`)
//! what has a digest     out of the cache; else one download for all who want it (`share`)
//! anything else         asked for each time, taken from the cache where it is unchanged
//! ```

use std::io::Cursor;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use percent_encoding::percent_decode_str;
use tokio::runtime::Handle;
use url::Url;

use super::fault::Fault;
use super::obtain::{CachedFile, Store, Want};
use super::place::Source;
use super::repository::Known;
use super::seen::NAMES;
use super::share::{Coming, Follower};
use super::verify::Expect;
use super::{REPOMD, SIGNATURE, lists::Via, relay};
use crate::serve::relay::{Part, part};
use crate::serve::{Upstream, UpstreamResponse};

/// Where a guest finds the list of our one address, where it asks for a list of mirrors.
pub const MIRROR_LIST: &str = "mirrors-of-ozr";

/// A tree or repository, behind the cache.
#[derive(Debug)]
pub struct Shelf {
    store: Store,
    source: Source,
    via: Via,
    /// Where the guest finds it.
    address: OnceLock<Url>,
    /// Whether it was said that the cache is full.
    told: AtomicBool,
    runtime: Handle,
}

/// What is to be answered.
enum Found {
    /// These bytes.
    Text(Arc<[u8]>),
    /// A file.
    File(Want),
}

impl Shelf {
    pub(super) fn new(store: &Store, source: Source, via: Via) -> Shelf {
        Shelf {
            store: store.clone(),
            source,
            via,
            address: OnceLock::new(),
            told: AtomicBool::new(false),
            runtime: Handle::current(),
        }
    }

    /// Learns at which address the guest finds it; the guest's address for what the source was named by: our own
    /// list of one mirror where that was a list.
    pub fn served_at(&self, address: &Url) -> Url {
        let address = self.address.get_or_init(|| address.clone());
        match self.via {
            Via::Direct => address.clone(),
            Via::MirrorList | Via::MetaLink => super::join(address, MIRROR_LIST),
        }
    }

    /// What stands at a path.
    async fn find(&self, path: &str) -> Result<Found, Fault> {
        let absent = || Fault::NotFound {
            url: self.source.place(path).name(),
        };
        let plain = percent_decode_str(path).decode_utf8_lossy();
        if let Some(prefix) = parent(path, REPOMD) {
            let repository = self.store.repository(&self.source, prefix).await?;
            return Ok(Found::Text(Arc::clone(&repository.repomd)));
        }
        if let Some(prefix) = parent(path, SIGNATURE)
            && self.must_be_signed(prefix)
        {
            // What was verified belongs to the state that is served.
            let repository = self.store.repository(&self.source, prefix).await?;
            if let Some(signature) = &repository.signature {
                return Ok(Found::Text(Arc::clone(signature)));
            }
        }
        for name in NAMES {
            let Some(prefix) = parent(path, name) else {
                continue;
            };
            let tree = self.store.tree(&self.source, prefix).await?;
            let tree = tree.filter(|tree| tree.name == name).ok_or_else(absent)?;
            return Ok(Found::Text(Arc::clone(&tree.text)));
        }
        let known = self.known(path, &plain);
        let mut want = Want::of(self.source.place(path), Expect::Guest);
        if let Some(known) = known {
            (want.checksum, want.bytes) = (Some(known.checksum), known.bytes);
        }
        Ok(Found::File(want))
    }

    fn must_be_signed(&self, prefix: &str) -> bool {
        let repository = self.source.place(prefix).address();
        self.store.must_be_signed(&repository)
    }

    /// What a tree or a repository above a file says of it.
    fn known(&self, path: &str, plain: &str) -> Option<Known> {
        let mut end = path.len();
        let mut plain_end = plain.len();
        loop {
            // The longest first: repositories lie in trees. Escapes hide no slash.
            end = path[..end].rfind('/').map_or(0, |at| at + 1);
            plain_end = plain[..plain_end].rfind('/').map_or(0, |at| at + 1);
            let (prefix, rest) = (&path[..end], &plain[plain_end..]);
            if let Some(known) = self.store.known(&self.source, prefix, rest) {
                return Some(known);
            }
            if end == 0 {
                return None;
            }
            (end, plain_end) = (end - 1, plain_end - 1);
        }
    }

    fn answer(
        &self,
        path: &str,
        head_only: bool,
        range: Option<&str>,
    ) -> Result<UpstreamResponse, Arc<Fault>> {
        let want = match self.runtime.block_on(self.find(path))? {
            Found::Text(text) => return Ok(self.text(&text, head_only, range)),
            Found::File(want) => want,
        };
        if head_only {
            let bytes = self.runtime.block_on(self.store.length(&want))?;
            return Ok(UpstreamResponse {
                content_length: bytes,
                ..UpstreamResponse::empty(200)
            });
        }
        if let Some(file) = self.store.given(&want)
            && let Ok(response) = self.whole(&file, range, true)
        {
            return Ok(response);
        }
        let progress = self.store.share(&self.runtime, want);
        let total = match progress.coming()? {
            Coming::Whole(file) => {
                let response = self.whole(&file, range, file.was_here());
                return response
                    .map_err(|error| Arc::new(Fault::local("opening", &file.path, error)));
            }
            Coming::Part(total) => total,
        };
        let range = range.zip(total);
        let (status, first, until, content_range) = match range.map(|(r, t)| (part(Some(r), t), t))
        {
            Some((Part::Bytes { first, last }, total)) => {
                let range = format!("bytes {first}-{last}/{total}");
                (206, first, Some(last + 1), Some(range))
            }
            Some((Part::Unsatisfiable, total)) => {
                return Ok(UpstreamResponse {
                    content_range: Some(format!("bytes */{total}")),
                    ..UpstreamResponse::empty(416)
                });
            }
            Some((Part::Whole, _)) | None => (200, 0, total, None),
        };
        let bytes = until.map(|until| until - first);
        self.store.ledger.served(bytes.unwrap_or(0), false);
        Ok(UpstreamResponse {
            content_length: bytes,
            content_range,
            body: Box::new(Follower::new(progress, first, until)),
            ..UpstreamResponse::empty(status)
        })
    }

    /// What a mirror has, where the cache has no room for it: a full disk is no reason not to install.
    fn past(
        &self,
        path: &str,
        head_only: bool,
        range: Option<&str>,
        why: &Fault,
    ) -> anyhow::Result<UpstreamResponse> {
        if parent(path, REPOMD).is_some_and(|prefix| self.must_be_signed(prefix)) {
            // All the rest hangs on it, and the guest knows no key.
            return Err(anyhow::anyhow!("{why}"));
        }
        if !self.told.swap(true, Ordering::Relaxed) {
            let reporter = &self.store.fetcher.reporter;
            reporter.warn(format!("packages go past the cache: {why}"));
        }
        let place = self.source.place("");
        let bases = self.runtime.block_on(place.urls(&self.store));
        let mut answer = UpstreamResponse::empty(404);
        for base in bases.map_err(|fault| anyhow::anyhow!("{fault}"))? {
            let _entered = self.runtime.enter();
            let upstream = relay::upstream(&self.store, &base);
            let upstream = upstream.map_err(|fault| anyhow::anyhow!("{fault}"))?;
            answer = upstream.open(path, head_only, range)?;
            if matches!(answer.status, 200 | 206) {
                break;
            }
        }
        Ok(answer)
    }

    fn text(&self, text: &Arc<[u8]>, head_only: bool, range: Option<&str>) -> UpstreamResponse {
        let length = text.len() as u64;
        let cursor = Cursor::new(Arc::clone(text));
        let response = UpstreamResponse::part_of(cursor, length, range);
        let mut response = response.unwrap_or_else(|_| UpstreamResponse::empty(500));
        if head_only {
            response.body = Box::new(std::io::empty());
        } else {
            let bytes = response.content_length.unwrap_or(0);
            self.store.ledger.served(bytes, true);
        }
        response
    }

    /// A file of the cache.
    fn whole(
        &self,
        file: &CachedFile,
        range: Option<&str>,
        was_here: bool,
    ) -> std::io::Result<UpstreamResponse> {
        let opened = std::fs::File::open(&file.path)?;
        let response = UpstreamResponse::of_file(opened, file.bytes, range)?;
        let bytes = response.content_length.unwrap_or(0);
        self.store.ledger.served(bytes, was_here);
        Ok(response)
    }

    /// The list of our one address that stands for a list of mirrors.
    fn list(&self) -> Result<Vec<u8>, Arc<Fault>> {
        let ours = self.address.get().map(Url::as_str).unwrap_or_default();
        if self.via == Via::MirrorList {
            return Ok(format!("{ours}\n").into_bytes());
        }
        let repository = self
            .runtime
            .block_on(self.store.repository(&self.source, ""))?;
        Ok(super::lists::metalink_of(ours, &repository.repomd).into_bytes())
    }
}

impl Upstream for Shelf {
    fn open(
        &self,
        path: &str,
        head_only: bool,
        range: Option<&str>,
    ) -> anyhow::Result<UpstreamResponse> {
        if path.is_empty() || path.ends_with('/') {
            // Nobody installs from a listing of a directory.
            return Ok(UpstreamResponse::empty(404));
        }
        let is_list = self.via != Via::Direct && path == MIRROR_LIST;
        let answered = match is_list {
            true => self
                .list()
                .map(|text| self.text(&text.into(), head_only, range)),
            false => self.answer(path, head_only, range),
        };
        answered.or_else(|fault| match &*fault {
            fault if fault.is_disk_full() => self.past(path, head_only, range, fault),
            Fault::NotFound { .. } | Fault::NotLocked { .. } => Ok(UpstreamResponse::empty(404)),
            Fault::Forbidden { .. } => Ok(UpstreamResponse::empty(403)),
            Fault::Timeout { .. } => Ok(UpstreamResponse::empty(504)),
            fault => Err(anyhow::anyhow!("{fault}")),
        })
    }
}

/// What stands before `name` in a path that ends with it.
fn parent<'p>(path: &'p str, name: &str) -> Option<&'p str> {
    let prefix = path.strip_suffix(name)?;
    (prefix.is_empty() || prefix.ends_with('/')).then_some(prefix)
}
