//! The metadata of a repository: what it has, and whether what is looked for is among it.
//!
//! ```text
//! repomd   which files there are      unpack   gzip, xz, zstd, with a limit
//! primary  packages                   comps    groups and environments
//! ```
//! Files come through [`mirror`](crate::mirror)'s cache, verified by the checksums of
//! `repomd.xml`; the parsers are pure.

pub mod comps;
pub mod primary;
pub mod repomd;
pub mod unpack;
pub(super) mod xml;

use std::sync::Arc;
use std::time::Instant;

use thiserror::Error;
use url::Url;

pub use comps::{Comps, Named};
pub use primary::{Packages, Query};

use crate::mirror::{CachedFile, Fault, Mirror, REPOMD, shown};

/// What one repository has.
#[derive(Debug, Default)]
pub struct Contents {
    /// Its packages.
    pub packages: Packages,
    /// Its groups and environments.
    pub comps: Comps,
    /// Whether it has modules.
    pub has_modules: bool,
}

/// Why a repository could not be read.
#[derive(Debug, Error)]
pub enum Unreadable {
    /// The mirror, or a file that has not its checksum.
    #[error(transparent)]
    Mirror(#[from] Fault),
    /// The content of a file.
    #[error("{url} cannot be read: {reason}")]
    Content {
        /// Of the file, without credentials.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Reads the repository at `base` until `deadline`. What one mirror sends takes little memory, and
/// of several one is read at a time.
///
/// # Errors
/// What is wrong with the mirror or the metadata.
pub async fn read(
    mirror: &Mirror,
    base: &Url,
    query: Arc<Query>,
    deadline: Instant,
) -> Result<Contents, Unreadable> {
    let url = crate::mirror::join(base, REPOMD);
    let file = mirror.repomd(base).await?;
    let text = std::fs::read(&file.path).map_err(|error| content(&url, error.to_string()))?;
    let list = repomd::parse(&text).map_err(|reason| content(&url, reason))?;
    let Some(primary) = list.primary() else {
        return Err(content(&url, "it names no list of packages".to_string()));
    };
    let packages = async {
        let read = move |input, query: &Query| primary::parse(input, query);
        take(mirror, base, primary, Arc::clone(&query), deadline, read).await
    };
    let comps = async {
        match list.groups() {
            None => Ok(Comps::default()),
            Some(entry) => {
                let read = |input, query: &Query| comps::parse(input, query);
                take(mirror, base, entry, Arc::clone(&query), deadline, read).await
            }
        }
    };
    let (packages, comps) = tokio::try_join!(packages, comps)?;
    Ok(Contents {
        packages,
        comps,
        has_modules: list.has_modules(),
    })
}

/// Obtains one file and reads it on a thread of its own.
async fn take<T: Send + 'static>(
    mirror: &Mirror,
    base: &Url,
    entry: &repomd::Entry,
    query: Arc<Query>,
    deadline: Instant,
    read: impl FnOnce(Box<dyn std::io::BufRead>, &Query) -> Result<T, String> + Send + 'static,
) -> Result<T, Unreadable> {
    let url = entry.url(base);
    let file: CachedFile = mirror.metadata(&url, entry.checksum.as_ref()).await?;
    let limit = entry.open_size.unwrap_or(u64::MAX);
    let turn = Arc::clone(&query.turn).lock_owned().await;
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let input = unpack::open(&file.path, limit, deadline).map_err(|error| error.to_string())?;
        read(input, &query)
    })
    .await
    .unwrap_or_else(|error| Err(error.to_string()))
    .map_err(|reason| content(&url, reason))
}

fn content(url: &Url, reason: String) -> Unreadable {
    Unreadable::Content {
        url: shown(url),
        reason,
    }
}
