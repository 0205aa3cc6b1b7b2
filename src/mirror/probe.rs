//! Whether something is there, and whether it has moved, without taking it.

use url::Url;

use super::fault::Fault;
use super::location::{Location, shown};
use super::obtain::Store;
use super::verify::Expect;
use crate::input::NotOpened;

/// Asks for addresses. Made by [`Mirror::with_prober`](super::Mirror::with_prober).
#[derive(Debug, Clone)]
pub struct Prober {
    store: Store,
}

/// Something is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Where redirects led, credentials included; the address itself without any.
    pub url: Url,
    /// The address that the server asks to use from now on, where it said so (301, 308).
    pub moved: Option<Url>,
}

impl Prober {
    pub(super) fn new(store: Store) -> Prober {
        Prober { store }
    }

    /// Asks whether there is anything at `url`. Of a `file:` address it must be a file, or a
    /// directory if the address ends with `/`.
    ///
    /// # Errors
    /// What is wrong with the address or the server.
    pub async fn ask(&self, url: &Url) -> Result<Answer, Fault> {
        let path = match Location::of(url)? {
            Location::Web(url) => {
                let answered = self.store.fetcher.probe(&url).await?;
                return Ok(Answer {
                    url: answered.response.url().clone(),
                    moved: answered.moved,
                });
            }
            Location::Local(path) => path,
        };
        if url.path().ends_with('/') {
            match self.store.roots.find(&path) {
                Ok(real) if real.is_dir() => {}
                Err(NotOpened::Outside) => return Err(Fault::Outside { path }),
                _ => return Err(Fault::NotFound { url: shown(url) }),
            }
        } else {
            self.store.open_local(url, &path)?;
        }
        Ok(Answer {
            url: url.clone(),
            moved: None,
        })
    }

    /// Fetches a small text, such as a list of mirrors.
    ///
    /// # Errors
    /// What is wrong with the address or the server; more than `limit` bytes.
    pub async fn fetch(&self, url: &Url, limit: u64) -> Result<Vec<u8>, Fault> {
        self.store.bytes(url, Expect::Any, limit).await
    }
}
