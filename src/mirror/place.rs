//! Where files are: at one address, or at each of the mirrors that a list names.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Method;
use reqwest::header::HeaderMap;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use url::Url;

use super::fault::Fault;
use super::lists::{self, Via};
use super::location::{Scope, below, public, shown};
use super::obtain::Store;
use super::verify::Expect;
use super::{REPOMD, join};
use crate::hex;

/// How many of a list's mirrors are compared: lists give the near ones first.
const COMPARED: usize = 8;

/// How long they may take to answer.
const PATIENCE: Duration = Duration::from_secs(4);

/// Where a tree or repository is.
#[derive(Debug, Clone)]
pub(super) struct Source {
    base: Url,
    via: Via,
    /// The mirrors, the fastest first, once they were asked for.
    mirrors: Arc<OnceCell<Vec<Url>>>,
    /// Which of them is to be asked first.
    first: usize,
    /// Whether nothing but the address itself is meant, though it be one of several of a tree.
    alone: bool,
}

/// A file there.
#[derive(Debug, Clone)]
pub(super) struct Place {
    source: Source,
    /// Below the source: percent-encoded; empty for an address of a file itself.
    path: String,
}

impl Source {
    pub(super) fn new(base: &Url, via: Via) -> Source {
        Source {
            base: base.clone(),
            via,
            mirrors: Arc::default(),
            first: 0,
            alone: false,
        }
    }

    /// The file at an address.
    pub(super) fn file(url: &Url) -> Place {
        Source::new(url, Via::Direct).place("")
    }

    /// The file at an address, wherever else it may be.
    pub(super) fn alone(url: &Url) -> Place {
        let source = Source {
            alone: true,
            ..Source::new(url, Via::Direct)
        };
        source.place("")
    }

    pub(super) fn place(&self, path: &str) -> Place {
        Place {
            source: self.clone(),
            path: path.to_owned(),
        }
    }

    /// The same, with another one of its mirrors first.
    pub(super) fn beginning_with(&self, number: usize) -> Source {
        Source {
            first: number,
            ..self.clone()
        }
    }

    /// Its mirrors.
    ///
    /// # Errors
    /// The list cannot be had, or names none.
    async fn mirrors(&self, store: &Store) -> Result<Vec<Url>, Fault> {
        if self.via == Via::Direct {
            return Ok(vec![self.base.clone()]);
        }
        let found = self.mirrors.get_or_try_init(|| self.resolve(store));
        Ok(self.in_turn(found.await?.clone()))
    }

    /// Those of a list, beginning with which is to be asked first.
    fn in_turn(&self, mut all: Vec<Url>) -> Vec<Url> {
        let first = self.first.min(all.len().saturating_sub(1));
        all.rotate_left(first);
        all
    }

    async fn resolve(&self, store: &Store) -> Result<Vec<Url>, Fault> {
        let text = store
            .bytes(&self.base, Expect::Any, lists::MAX_BYTES)
            .await?;
        let text = String::from_utf8_lossy(&text);
        let named = match self.via {
            Via::MetaLink => lists::metalink(&text),
            _ => lists::mirror_list(&text),
        };
        let of = |reason| Fault::Metadata {
            url: shown(&self.base),
            reason,
        };
        let named = named.map_err(of)?.into_iter();
        let mirrors: Vec<Url> = named
            .filter_map(|text| Url::parse(&text).ok())
            .filter(|url| matches!(url.scheme(), "http" | "https") && self.may_name(url))
            .collect();
        match mirrors.len() {
            0 => Err(of(
                "it lists no mirror that speaks http or https and is not this host".to_owned(),
            )),
            1 => Ok(mirrors),
            _ => Ok(fastest_first(store, mirrors).await),
        }
    }

    /// Whether a list may name this mirror: one from elsewhere names neither this host nor what only its link has,
    /// as with redirects.
    fn may_name(&self, mirror: &Url) -> bool {
        let inner = Scope::of_host(mirror).filter(|to| matches!(to, Scope::Link | Scope::Loopback));
        let from = Scope::of_host(&self.base).unwrap_or(Scope::Global);
        inner.is_none_or(|to| from.may_send_to(to))
    }
}

/// The mirrors by how soon each tells of its repository; those that do not last.
async fn fastest_first(store: &Store, mirrors: Vec<Url>) -> Vec<Url> {
    let mut asked = JoinSet::new();
    for (number, mirror) in mirrors.iter().take(COMPARED).enumerate() {
        let (store, url) = (store.clone(), join(mirror, REPOMD));
        asked.spawn(async move {
            let begin = Instant::now();
            let request = store
                .fetcher
                .request(Method::HEAD, &url, HeaderMap::new(), false);
            let answer = tokio::time::timeout(PATIENCE, request).await;
            let good = answer.is_ok_and(|answer| {
                answer.is_ok_and(|answer| answer.response.status().is_success())
            });
            (!good, begin.elapsed(), number)
        });
    }
    let mut order = asked.join_all().await;
    order.sort();
    let all: Vec<&Url> = order
        .iter()
        .map(|(_, _, number)| &mirrors[*number])
        .collect();
    let rest = mirrors.iter().skip(COMPARED);
    let good = order.iter().filter(|(bad, ..)| !bad).count();
    // Those that were not compared stand before those that are known to be bad.
    let (good, bad) = all.split_at(good);
    let order = good.iter().copied().chain(rest).chain(bad.iter().copied());
    order.cloned().collect()
}

impl Place {
    /// What it is called in records, whichever mirror has it, without secrets.
    pub(super) fn name(&self) -> String {
        match self.source.via {
            Via::Direct => shown(&appended(&self.source.base, &self.path)),
            _ => {
                let mut list = public(&self.source.base);
                let query = list.query().map(|query| {
                    let digest = hex::sha256(query);
                    format!("sha256={}", &digest[..16])
                });
                list.set_query(query.as_deref());
                format!("{list}#{}", self.path)
            }
        }
    }

    /// The address that the user knows it by: of what a list of mirrors leads to, the list's.
    pub(super) fn address(&self) -> Url {
        match self.source.via {
            Via::Direct => public(&appended(&self.source.base, &self.path)),
            _ => public(&self.source.base),
        }
    }

    /// What tells it from every other one, in the cache.
    pub(super) fn identity(&self) -> String {
        match self.source.via {
            Via::Direct => public(&appended(&self.source.base, &self.path)).into(),
            _ => self.name(),
        }
    }

    /// Where it is, the best first.
    ///
    /// # Errors
    /// A list of mirrors that cannot be had.
    pub(super) async fn urls(&self, store: &Store) -> Result<Vec<Url>, Fault> {
        let mirrors = self.source.mirrors(store).await?;
        let all = mirrors.iter();
        let all: Vec<Url> = all.map(|mirror| appended(mirror, &self.path)).collect();
        match &all[..] {
            [url] if self.source.via == Via::Direct && !self.source.alone => {
                let found = store.alternates.of(store, url).await;
                Ok(self.source.in_turn(found))
            }
            _ => Ok(all),
        }
    }
}

/// A path below an address; of a file itself it is empty.
fn appended(base: &Url, path: &str) -> Url {
    match path.is_empty() {
        true => base.clone(),
        false => below(base, path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_from_elsewhere_names_nothing_of_this_host() {
        let of = |list: &str, mirror: &str| {
            let url = |text: &str| Url::parse(text).unwrap();
            Source::new(&url(list), Via::MirrorList).may_name(&url(mirror))
        };
        let list = "https://mirrors.example.com/list";
        for (mirror, may) in [
            ("http://mirror.example.org/", true),
            ("http://10.0.0.2/", true),
            ("http://127.0.0.1:8080/", false),
            ("http://localhost/", false),
            ("http://[::1]/", false),
            ("http://169.254.169.254/latest/", false),
        ] {
            assert_eq!(of(list, mirror), may, "{mirror}");
        }
        assert!(of("http://127.0.0.1:1/list", "http://127.0.0.1:2/"));
    }
}
