//! Whether something is there, and whether it has moved, without taking it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::{Client, StatusCode, redirect};
use url::Url;

use super::MirrorOptions;
use super::client::{self, MAX_REDIRECTS};
use super::fault::Fault;
use super::fetch::Fetcher;
use super::location::{Location, shown};
use super::obtain::open_local;

/// Where each address was redirected to, and whether for good.
pub(super) type Hops = Arc<Mutex<HashMap<Url, (Url, bool)>>>;

/// Asks for addresses. Made by [`Mirror::with_prober`](super::Mirror::with_prober).
#[derive(Debug, Clone)]
pub struct Prober {
    fetcher: Fetcher,
    hops: Hops,
}

/// Something is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Where redirects led, credentials included; the address itself without any.
    pub url: Url,
    /// The address that the server asks to use from now on, where it said so (301, 308).
    pub moved: Option<Url>,
}

/// Makes a client that follows every redirect and notes it.
///
/// # Errors
/// A certificate or key that cannot be read.
pub(super) fn client(options: &MirrorOptions) -> anyhow::Result<(Client, Hops)> {
    let hops = Hops::default();
    let noted = Arc::clone(&hops);
    let policy = redirect::Policy::custom(move |attempt| {
        if attempt.previous().len() > MAX_REDIRECTS {
            return attempt.error("too many redirects");
        }
        let for_good = matches!(
            attempt.status(),
            StatusCode::MOVED_PERMANENTLY | StatusCode::PERMANENT_REDIRECT
        );
        if let Some(from) = attempt.previous().last() {
            let hop = (attempt.url().clone(), for_good);
            let mut hops = noted.lock().unwrap_or_else(PoisonError::into_inner);
            hops.insert(from.clone(), hop);
        }
        attempt.follow()
    });
    let client = client::build_with(&options.credentials, &options.patience, policy)?;
    Ok((client, hops))
}

impl Prober {
    pub(super) fn new(fetcher: Fetcher, hops: Hops) -> Prober {
        Prober { fetcher, hops }
    }

    /// Asks whether there is anything at `url`. Of a `file:` address it must be a file, or a
    /// directory if the address ends with `/`.
    ///
    /// # Errors
    /// What is wrong with the address or the server.
    pub async fn ask(&self, url: &Url) -> Result<Answer, Fault> {
        if let Location::Local(path) = Location::of(url)? {
            return local(url, &path);
        }
        let end = self.fetcher.probe(url).await?;
        Ok(Answer {
            url: end,
            moved: self.moved(url),
        })
    }

    /// Fetches a small text, such as a list of mirrors.
    ///
    /// # Errors
    /// What is wrong with the address or the server; more than `limit` bytes.
    pub async fn fetch(&self, url: &Url, limit: u64) -> Result<Vec<u8>, Fault> {
        match Location::of(url)? {
            Location::Web(url) => self.fetcher.bytes(&url, limit).await,
            Location::Local(path) => super::read_local(url, &path, limit),
        }
    }

    /// Follows the redirects from `url` as long as they are for good.
    fn moved(&self, url: &Url) -> Option<Url> {
        let hops = self.hops.lock().unwrap_or_else(PoisonError::into_inner);
        let mut at = url;
        for _ in 0..=MAX_REDIRECTS {
            match hops.get(at) {
                Some((next, true)) => at = next,
                _ => break,
            }
        }
        (at != url).then(|| at.clone())
    }
}

fn local(url: &Url, path: &Path) -> Result<Answer, Fault> {
    if url.path().ends_with('/') {
        if !path.is_dir() {
            return Err(Fault::NotFound { url: shown(url) });
        }
    } else {
        open_local(url, path)?;
    }
    Ok(Answer {
        url: url.clone(),
        moved: None,
    })
}
