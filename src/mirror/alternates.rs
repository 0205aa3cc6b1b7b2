//! One tree at several addresses (several `<url>`s of a template): which of them are that tree, the fastest first.
//!
//! They are one tree if their `.treeinfo` is the same, byte for byte: its digests then hold for all of them. What has
//! none, the lists of repositories, is taken from one mirror as a whole (`repository`).

use std::time::{Duration, Instant};

use tokio::sync::OnceCell;
use tokio::task::JoinSet;
use url::Url;

use super::fault::Fault;
use super::join;
use super::location::{shown, with_slash};
use super::obtain::Store;
use super::seen::NAMES;
use super::verify::Expect;
use crate::hex;

/// How long an address may take to say what it has before it is done without.
const PATIENCE: Duration = Duration::from_secs(10);

/// The addresses.
#[derive(Debug, Default)]
pub(super) struct Alternates {
    /// As they are written: the first is what the tree is called.
    written: Vec<Url>,
    /// Those that are the tree, once they were asked.
    agreed: OnceCell<Vec<Url>>,
}

impl Alternates {
    pub(super) fn new(written: &[Url]) -> Alternates {
        Alternates {
            written: written.iter().map(with_slash).collect(),
            agreed: OnceCell::new(),
        }
    }

    /// Where a file is beside its address, the best first: at that alone unless it is of the tree.
    pub(super) async fn of(&self, store: &Store, url: &Url) -> Vec<Url> {
        let alone = || vec![url.clone()];
        let (Some(first), true) = (self.written.first(), self.written.len() > 1) else {
            return alone();
        };
        let mut above = 0;
        if !is_below(url, first) {
            above = store.reach_above(first);
            if !cut(first, above).is_some_and(|(root, _)| is_below(url, &root)) {
                return alone();
            }
        }
        let agreed = self.agreed.get_or_init(|| self.ask(store)).await;
        let Some((root, rest)) = cut(first, above) else {
            return alone();
        };
        let below = &url.path()[root.path().len()..];
        let others = agreed.iter().filter_map(|tree| {
            // What lies beside the tree does so only where the directories above it have the same names.
            let (mut other, _) = cut(tree, above).filter(|(_, same)| *same == rest)?;
            other.set_path(&format!("{}{below}", other.path()));
            other.set_query(url.query());
            Some(other)
        });
        let found: Vec<Url> = others.collect();
        if found.is_empty() { alone() } else { found }
    }

    /// Asks all for their `.treeinfo`. The first in the template that answers says which tree it is.
    async fn ask(&self, store: &Store) -> Vec<Url> {
        if store.locked.is_some() || store.fetcher.offline {
            return self.written[..1].to_vec();
        }
        let mut asked = JoinSet::new();
        for (number, tree) in self.written.iter().cloned().enumerate() {
            let store = store.clone();
            asked.spawn(async move {
                let begin = Instant::now();
                let text = tokio::time::timeout(PATIENCE, describe(&store, &tree)).await;
                (number, tree, text.ok(), begin.elapsed())
            });
        }
        let mut all = asked.join_all().await;
        all.sort_by_key(|(number, ..)| *number);
        let reporter = &store.fetcher.reporter;
        let texts = all.iter().filter_map(|(_, tree, text, _)| {
            let text = text.as_ref()?.as_ref().ok()?;
            Some((tree.clone(), text.clone()))
        });
        let Some((called, digest)) = texts.into_iter().next() else {
            // What is wrong is told of the first.
            return self.written[..1].to_vec();
        };
        let mut agreed = Vec::new();
        for (_, tree, text, lasted) in all {
            match text {
                Some(Ok(other)) if other == digest => agreed.push((lasted, tree)),
                Some(Ok(_)) => reporter.warn(format!(
                    "{} is another tree than {}, or in another state, so nothing is taken from it: name mirrors of one tree in the template",
                    shown(&tree),
                    shown(&called)
                )),
                Some(Err(fault)) => reporter.warn(format!("{} is done without: {fault}", shown(&tree))),
                None => reporter.warn(format!(
                    "{} is done without: it did not answer within {} s",
                    shown(&tree),
                    PATIENCE.as_secs()
                )),
            }
        }
        agreed.sort();
        agreed.into_iter().map(|(_, tree)| tree).collect()
    }
}

/// The digest of what a tree says of itself.
async fn describe(store: &Store, tree: &Url) -> Result<String, Fault> {
    let mut fetcher = store.fetcher.clone();
    // There are others.
    fetcher.patience.tries = 1;
    let mut failed = None;
    for name in NAMES {
        let (limit, url) = (Expect::TreeInfo.limit(), join(tree, name));
        match fetcher.bytes(&url, Expect::TreeInfo, limit).await {
            Ok(text) => return Ok(hex::sha256(&text)),
            Err(fault) => failed = failed.or(Some(fault)),
        }
    }
    Err(failed.unwrap_or(Fault::NotFound { url: shown(tree) }))
}

/// An address so many directories higher, and the names of those.
fn cut(tree: &Url, above: usize) -> Option<(Url, Vec<String>)> {
    let mut parts: Vec<&str> = tree.path().trim_matches('/').split('/').collect();
    let rest = parts.split_off(parts.len().checked_sub(above)?);
    let mut root = tree.clone();
    root.set_path(&format!("/{}", parts.join("/")));
    Some((
        with_slash(&root),
        rest.into_iter().map(str::to_owned).collect(),
    ))
}

/// Whether a file lies below a directory.
fn is_below(url: &Url, directory: &Url) -> bool {
    let is_there = url.scheme() == directory.scheme()
        && url.host() == directory.host()
        && url.port_or_known_default() == directory.port_or_known_default();
    is_there && url.path().starts_with(directory.path())
}
