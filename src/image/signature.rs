//! Signatures of what lies beside an image, by the user's own programs: gpg, ssh-keygen, cosign.
//!
//! They ask for passphrases themselves, of an agent or at the terminal, and read what they sign from their
//! standard input; no secret passes through here.

use std::fs::File;
use std::io::{IsTerminal, Seek, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::Command;
use tokio::time::timeout;

use super::output::OutputPaths;
use crate::error::{Classify, Kind, failed};
use crate::options::Signer;
use crate::process;

/// How long a signature may take: somebody looks for a passphrase, or touches a token.
const LIMIT: Duration = Duration::from_secs(300);

/// What ssh-keygen calls the purpose of signed files; its manual uses it in its examples.
pub const NAMESPACE: &str = "file";

/// What is signed to see whether it can be.
const TRIAL: &str = "a trial of a signature by ozr\n";

/// Sees whether a signer can sign, before hours are spent on what it is to sign. An agent has the
/// passphrase then.
///
/// # Errors
/// Host: it cannot.
pub async fn try_out(signer: &Signer) -> Result<()> {
    let (tried, hint) = match signer {
        Signer::Gpg(_) => (
            detached(signer, TRIAL).await.map(drop),
            "see that `gpg --clearsign` works here without a question, or with one that its agent can ask (GPG_TTY)",
        ),
        Signer::Ssh(_) => (
            detached(signer, TRIAL).await.map(drop),
            "a key with a passphrase belongs into an agent: name its public half, ssh:KEY.pub",
        ),
        // Its signatures may be published, so none is made in vain.
        Signer::Cosign(_) => (
            process::find("cosign")
                .map(drop)
                .context("`cosign` is not in PATH"),
            "install it, or sign with gpg or ssh-keygen",
        ),
    };
    tried.map_err(|error| failed!(Kind::Host, "trying to sign: {error:#}; {hint}"))
}

/// Signs what lies beside an image, `checksums` and, if there is one, `provenance`: the checksums as they are to be
/// written, and all detached signatures with where they go.
///
/// # Errors
/// Host: a signer fails.
pub async fn of_papers<'a>(
    signers: &[Signer],
    output: &'a OutputPaths,
    mut checksums: String,
    provenance: Option<&str>,
) -> Result<(String, Vec<(String, &'a Path)>)> {
    for signer in signers {
        if let Signer::Gpg(key) = signer {
            checksums = clear_signed(key.as_deref(), &checksums).await?;
        }
    }
    let mut signatures = Vec::new();
    for signature in &output.signatures {
        let text = match signature.of_checksums {
            true => Some(&*checksums),
            false => provenance,
        };
        if let Some(text) = text {
            let signed = detached(&signature.by, text).await?;
            signatures.push((signed, signature.path.as_path()));
        }
    }
    Ok((checksums, signatures))
}

/// A text with a signature of GnuPG around it.
///
/// # Errors
/// Host: it cannot be made.
async fn clear_signed(key: Option<&str>, text: &str) -> Result<String> {
    run(gpg(key).arg("--clearsign"), text).await
}

/// The detached signature of a text.
///
/// # Errors
/// Host: it cannot be made.
async fn detached(signer: &Signer, text: &str) -> Result<String> {
    match signer {
        Signer::Gpg(key) => run(gpg(key.as_deref()).args(["--armor", "--detach-sign"]), text).await,
        Signer::Ssh(key) => {
            let mut command = foreground("ssh-keygen");
            command
                .args(["-Y", "sign", "-q", "-n", NAMESPACE, "-f"])
                .arg(key);
            run(&mut command, text).await
        }
        Signer::Cosign(key) => {
            let dir = tempfile::tempdir().kind(Kind::Host)?;
            let bundle = dir.path().join("bundle");
            let mut command = foreground("cosign");
            command.args(["sign-blob", "--yes"]);
            // With a key of one's own nothing has to go into a public log; cosign 3 takes its services from a
            // configuration of its own unless that is declined, too.
            command.arg("--tlog-upload=false");
            if cosign_has("--use-signing-config").await? {
                command.arg("--use-signing-config=false");
            }
            command
                .args(["--key", key, "--bundle"])
                .arg(&bundle)
                .arg("-");
            run(&mut command, text).await?;
            let bundle = std::fs::read_to_string(&bundle).context("reading cosign's bundle");
            bundle.kind(Kind::Host)
        }
    }
}

/// Whether cosign's way to sign files has an option: a version of it that says none is in distributions.
async fn cosign_has(option: &str) -> Result<bool> {
    let help = process::output(process::command("cosign").args(["sign-blob", "--help"])).await;
    Ok(String::from_utf8_lossy(&help.kind(Kind::Host)?).contains(option))
}

fn gpg(key: Option<&str>) -> Command {
    let mut command = foreground("gpg");
    command.args(["--batch", "--no-tty", "--quiet"]);
    if let Some(key) = key {
        command.args(["--local-user", key]);
    }
    // The agent asks for passphrases where this says.
    if std::env::var_os("GPG_TTY").is_none()
        && std::io::stdin().is_terminal()
        && let Ok(terminal) = rustix::termios::ttyname(std::io::stdin(), Vec::new())
    {
        command.env("GPG_TTY", terminal.to_string_lossy().into_owned());
    }
    command
}

/// A program that may ask at the terminal: only what is in its foreground may.
fn foreground(program: &str) -> Command {
    let mut command = process::command(program);
    command.process_group(rustix::process::getpgrp().as_raw_nonzero().get());
    command
}

/// Runs a program on a text; what it writes.
async fn run(command: &mut Command, text: &str) -> Result<String> {
    let input = input(text)
        .context("handing over what is to be signed")
        .kind(Kind::Host)?;
    let written = timeout(LIMIT, process::output(command.stdin(input))).await;
    let Ok(written) = written else {
        let program = command
            .as_std()
            .get_program()
            .to_string_lossy()
            .into_owned();
        let limit = LIMIT.as_secs();
        return Err(anyhow::anyhow!(
            "`{program}` has not signed in {limit} s: does it wait for a passphrase or a token?"
        ))
        .kind(Kind::Host);
    };
    let written = String::from_utf8(written.kind(Kind::Host)?);
    let written = written.context("a signature is no text").kind(Kind::Host)?;
    if written.is_empty() && command.as_std().get_program() != Path::new("cosign") {
        bail!("the signature is empty");
    }
    Ok(written)
}

/// A text as a program's standard input.
pub fn input(text: &str) -> std::io::Result<Stdio> {
    let mut file: File = tempfile::tempfile()?;
    file.write_all(text.as_bytes())?;
    file.rewind()?;
    Ok(Stdio::from(file))
}
