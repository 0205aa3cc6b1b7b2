//! Whether `repomd.xml` is signed by who must have done it (`--repository-key`): all that a repository has hangs on its
//! digests.

use std::path::Path;

use url::Url;

use super::fault::Fault;
use super::location::shown;
use super::obtain::{Store, Want};
use super::place::Source;
use super::verify::Expect;
use super::{REPOMD, SIGNATURE};
use crate::gpgv;

impl Store {
    /// The files of keys of which one must have signed the repository at this address.
    fn keys_of(&self, repository: &Url) -> Vec<&Path> {
        let all = self.repository_keys.iter();
        all.filter(|key| key.covers(repository))
            .map(|key| key.file.as_path())
            .collect()
    }

    /// Whether the repository at this address must be signed.
    pub(super) fn must_be_signed(&self, repository: &Url) -> bool {
        !self.keys_of(repository).is_empty()
    }

    /// The signature of the `text` that `repomd` is at one mirror, or in the lock file's set; none where there need not be
    /// one.
    ///
    /// # Errors
    /// There is none, or it is not by whom it must be.
    pub(super) async fn signature_of(
        &self,
        source: &Source,
        prefix: &str,
        mirror: Option<&Url>,
        text: &[u8],
    ) -> Result<Option<Vec<u8>>, Fault> {
        let keys = self.keys_of(&source.place(prefix).address());
        if keys.is_empty() {
            return Ok(None);
        }
        let place = source.place(&format!("{prefix}{SIGNATURE}"));
        let came = match mirror {
            None => self.read(&Want::of(place.clone(), Expect::Signature)).await,
            Some(repomd) => {
                let mut url = repomd.clone();
                url.set_path(&format!("{}.asc", repomd.path()));
                let limit = Expect::Signature.limit();
                self.bytes(&url, Expect::Signature, limit).await
            }
        };
        let url = mirror.map_or_else(|| source.place(&format!("{prefix}{REPOMD}")).name(), shown);
        let signature = match came {
            Ok(signature) => signature,
            Err(fault) if fault.is_absent() || matches!(fault, Fault::Forbidden { .. }) => {
                let reason = format!("there is no {}", place.name());
                return Err(unsigned(url, &keys, reason));
            }
            Err(fault) => return Err(fault),
        };
        self.check_signature(source, prefix, text, Some(&signature))
            .await?;
        self.keep(&place.name(), &crate::hex::sha256(&signature), &signature);
        Ok(Some(signature))
    }

    /// Sees whether a state is signed by whom it must be, if by anyone.
    ///
    /// # Errors
    /// It is not.
    pub(super) async fn check_signature(
        &self,
        source: &Source,
        prefix: &str,
        text: &[u8],
        signature: Option<&[u8]>,
    ) -> Result<(), Fault> {
        let keys = self.keys_of(&source.place(prefix).address());
        if keys.is_empty() {
            return Ok(());
        }
        let mut reason = "it has no signature".to_owned();
        if let Some(signature) = signature {
            for file in &keys {
                match gpgv::detached(text, signature, file).await {
                    Ok(()) => return Ok(()),
                    Err(error) => reason = format!("{error:#}"),
                }
            }
        }
        let url = source.place(&format!("{prefix}{REPOMD}")).name();
        Err(unsigned(url, &keys, reason))
    }
}

fn unsigned(url: String, keys: &[&Path], reason: String) -> Fault {
    let keys: Vec<String> = keys.iter().map(|file| file.display().to_string()).collect();
    Fault::UnsignedRepository {
        url,
        keys: keys.join(", "),
        reason,
    }
}
