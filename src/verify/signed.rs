//! Whether a paper is signed by a key that the user trusts: asked of gpgv, ssh-keygen and cosign, about
//! copies of what was read.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

use crate::gpgv::{self, CLEAR_SIGNED, MOST_BYTES};
use crate::image::signature::{NAMESPACE, input};
use crate::input::read_bounded;
use crate::options::TrustedKey;
use crate::process;

/// How long a program may take to look at a signature; cosign may ask a service for its key.
const LIMIT: Duration = Duration::from_secs(60);

/// Whom ssh-keygen takes a single key to be of.
const PRINCIPAL: &str = "key";

/// A paper, as it was read.
#[derive(Debug)]
pub(super) struct Paper {
    /// Where it is.
    pub path: PathBuf,
    /// Its content.
    pub text: String,
}

impl Paper {
    /// Reads one; none if it is not there.
    pub fn read(path: PathBuf, most: u64) -> Result<Option<Paper>> {
        if !path.is_file() {
            return Ok(None);
        }
        let bytes = read_bounded(&path, most);
        let bytes = bytes.with_context(|| format!("reading {}", path.display()))?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(Some(Paper { path, text }))
    }

    /// Its name.
    pub fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(format!(".{ending}"));
        path.into()
    }

    /// Whether somebody has signed it.
    pub fn has_signature(&self) -> bool {
        let mut endings = ["asc", "sig", "sigstore.json"].into_iter();
        self.text.starts_with(CLEAR_SIGNED) || endings.any(|ending| self.beside(ending).is_file())
    }

    /// What one of the keys has signed of it, and which.
    ///
    /// # Errors
    /// None has, and why not.
    pub async fn signed<'k>(&self, keys: &'k [TrustedKey]) -> Result<(String, &'k TrustedKey)> {
        let mut reasons = Vec::new();
        for key in keys {
            match self.signed_by(key).await {
                Ok(text) => return Ok((text, key)),
                Err(error) => reasons.push(format!("{error:#}")),
            }
        }
        bail!("{}", reasons.join("; "))
    }

    async fn signed_by(&self, key: &TrustedKey) -> Result<String> {
        let dir = tempfile::tempdir()?;
        let copy = |name: &str, content: &[u8]| -> Result<PathBuf> {
            let path = dir.path().join(name);
            std::fs::write(&path, content)?;
            Ok(path)
        };
        let read = |ending: &str| {
            let path = self.beside(ending);
            let bytes = read_bounded(&path, MOST_BYTES);
            bytes.with_context(|| format!("reading {}", path.display()))
        };
        let signature = |ending: &str| copy("signature", &read(ending)?);
        match key {
            TrustedKey::Gpg(keys) if self.text.starts_with(CLEAR_SIGNED) => {
                let text = gpgv::clear_signed(self.text.as_bytes(), keys).await?;
                return String::from_utf8(text).context("what is signed is no text");
            }
            TrustedKey::Gpg(keys) => {
                let signature = read("asc")?;
                gpgv::detached(self.text.as_bytes(), &signature, keys).await?;
            }
            TrustedKey::Ssh(keys) => {
                let signature = signature("sig")?;
                let keys = copy("signers", &allowed_signers(keys)?)?;
                let asking = |how: &str| {
                    let mut command = process::command("ssh-keygen");
                    command.args(["-Y", how, "-n", NAMESPACE, "-f"]).arg(&keys);
                    command.arg("-s").arg(&signature);
                    command
                };
                let found = run(&mut asking("find-principals")).await?;
                let found = String::from_utf8_lossy(&found).into_owned();
                let principal = found
                    .lines()
                    .next()
                    .context("nobody is allowed to sign with its key")?;
                let mut command = asking("verify");
                command.args(["-I", principal]).stdin(input(&self.text)?);
                run(&mut command).await?;
            }
            TrustedKey::Cosign(key) => {
                let bundle = signature("sigstore.json")?;
                let mut command = process::command("cosign");
                command
                    .args([
                        "verify-blob",
                        "--insecure-ignore-tlog=true",
                        "--key",
                        key,
                        "--bundle",
                    ])
                    .arg(bundle)
                    .arg(copy("paper", self.text.as_bytes())?);
                run(&mut command).await?;
            }
        }
        Ok(self.text.clone())
    }
}

/// Allowed signers as ssh-keygen takes them; a file may be a public key alone.
fn allowed_signers(keys: &Path) -> Result<Vec<u8>> {
    let bytes = read_bounded(keys, MOST_BYTES);
    let mut bytes = bytes.with_context(|| format!("reading {}", keys.display()))?;
    let kinds = ["ssh-", "ecdsa-", "sk-"];
    if kinds.iter().any(|kind| bytes.starts_with(kind.as_bytes())) {
        bytes.splice(0..0, format!("{PRINCIPAL} ").into_bytes());
    }
    Ok(bytes)
}

async fn run(command: &mut Command) -> Result<Vec<u8>> {
    process::output_within(command, LIMIT).await
}
