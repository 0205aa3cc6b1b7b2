//! Repositories that must be signed (`--repository-key`): none is asked by the guest itself, and the state of each is
//! verified before a guest boots.

use std::fs::File;

use anyhow::Context;

use super::plan::Plan;
use super::relay::{Reaches, known};
use super::repositories::{Asked, Place};
use crate::check::online::seen_from_here;
use crate::error::{Classify, Kind, fail};
use crate::mirror::{Mirror, shown};
use crate::options::RepositoryKey;
use crate::ui::event::Reporter;

/// The keys, and the addresses that need them as this host sees them.
///
/// # Errors
/// Input: a file of keys cannot be read.
pub(super) fn keys(plan: &Plan) -> anyhow::Result<Vec<RepositoryKey>> {
    let network = known(plan).user_network;
    let all = plan.options.repository_key.iter();
    all.map(|key| {
        File::open(&key.file)
            .with_context(|| format!("--repository-key: reading {}", key.file.display()))
            .kind(Kind::Input)?;
        Ok(RepositoryKey {
            address: seen_from_here(&key.address, network),
            ..key.clone()
        })
    })
    .collect()
}

/// Verifies all that must be signed.
///
/// # Errors
/// Input: the guest would ask for one itself. Mirror: one is not signed, and no state is kept that is.
pub(super) async fn check(
    asked: &[Asked],
    reaches: &Reaches,
    mirror: &Mirror,
    reporter: &Reporter,
) -> anyhow::Result<()> {
    let places: Vec<&Place> = asked
        .iter()
        .filter_map(|asked| asked.place.as_ref())
        .collect();
    let signed = places
        .iter()
        .filter(|place| mirror.must_be_signed(&place.url));
    let signed: Vec<&&Place> = signed.collect();
    let mut past = reaches.past_the_cache();
    if let Some(url) = past
        .find(|url| mirror.must_be_signed(url) || signed.iter().any(|place| place.written == *url))
    {
        fail!(
            Kind::Input,
            "{} must be signed (--repository-key), but the guest asks for it itself, and knows no key: take `--install`, `--proxy`, `--noverifyssl` and the like from its line, or the key from the options",
            shown(&url)
        );
    }
    for place in signed {
        mirror.check_repository(&place.url, place.via).await?;
    }
    for key in mirror.repository_keys() {
        let mut covered = places
            .iter()
            .filter(|place| key.covers(&place.url))
            .peekable();
        if covered.peek().is_none() {
            reporter.warn(format!(
                "no repository of this build lies at {} (--repository-key): nothing is verified by {}",
                shown(&key.address),
                key.file.display()
            ));
        }
        for place in covered {
            let (url, file) = (shown(&place.url), key.file.display());
            reporter.detail(format!("{url} is signed by a key of {file}"));
        }
    }
    Ok(())
}
