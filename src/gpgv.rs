//! Whether a text is signed by an OpenPGP key that the user trusts: asked of gpgv, about copies of what was read.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio::process::Command;

use crate::input::read_bounded;
use crate::process;

/// How a text begins that GnuPG has put its signature around (RFC 9580, 7).
pub const CLEAR_SIGNED: &str = "-----BEGIN PGP SIGNED MESSAGE-----";

/// How keys begin that GnuPG has written as text.
const ARMORED: &[u8] = b"-----BEGIN PGP";

/// Most bytes of a file of keys; Fedora's of all its releases has 60 KiB.
pub const MOST_BYTES: u64 = 4 << 20;

/// How long a program may take to look at a signature.
const LIMIT: Duration = Duration::from_secs(60);

/// What one of the `keys` has signed of a text that has its signature around it: what stands outside of that is
/// nobody's.
///
/// # Errors
/// None has, and why not; gpgv cannot be run.
pub async fn clear_signed(text: &[u8], keys: &Path) -> Result<Vec<u8>> {
    let dir = tempfile::tempdir()?;
    let mut command = gpgv(keys, &dir).await?;
    run(command
        .args(["--output", "-"])
        .arg(copy(&dir, "text", text)?))
    .await
}

/// Sees whether one of the `keys` made the `signature` of a text.
///
/// # Errors
/// None has, and why not; gpgv cannot be run.
pub async fn detached(text: &[u8], signature: &[u8], keys: &Path) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let signature = copy(&dir, "signature", signature)?;
    let mut command = gpgv(keys, &dir).await?;
    let command = command.arg(signature).arg(copy(&dir, "text", text)?);
    run(command).await.map(drop)
}

/// gpgv with keys as it takes them: in binary form, by their whole path.
async fn gpgv(keys: &Path, dir: &TempDir) -> Result<Command> {
    let bytes = read_bounded(keys, MOST_BYTES);
    let bytes = bytes.with_context(|| format!("reading {}", keys.display()))?;
    let bytes = match bytes.starts_with(ARMORED) {
        true => {
            let mut command = process::command("gpg");
            command.args(["--batch", "--no-options", "--dearmor", "--output", "-"]);
            run(command.arg(copy(dir, "armored", &bytes)?)).await?
        }
        false => bytes,
    };
    let mut command = process::command("gpgv");
    command.arg("--keyring").arg(copy(dir, "keys", &bytes)?);
    Ok(command)
}

fn copy(dir: &TempDir, name: &str, content: &[u8]) -> Result<PathBuf> {
    let path = dir.path().join(name);
    std::fs::write(&path, content)?;
    Ok(path)
}

async fn run(command: &mut Command) -> Result<Vec<u8>> {
    process::output_within(command, LIMIT).await
}
