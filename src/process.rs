//! Runs other programs. The only place that does, so that each failure names the whole command
//! and what it said, and none outlives the build.

use std::ffi::OsStr;
use std::fs::File;
use std::path::PathBuf;
use std::process::{ExitStatus, Output, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use tokio::process::Command;
use tokio::time::timeout;

use crate::error::Kind;

/// How much of a program's last words an error carries. Programs repeat themselves; what is
/// wrong stands at the end.
const MAX_STDERR: usize = 1024;

/// The environment variable of every program that we run: our process number. What we could not
/// end ourselves is known by it.
pub const PARENT_VARIABLE: &str = "OZR_PARENT";

/// The environment variable of each build of a family: the process number of the one that runs them all, and when
/// that began, in milliseconds since 1970.
pub const FAMILY_VARIABLE: &str = "OZR_FAMILY_PARENT";

/// The family of builds that this process is of: who runs it, and since when.
fn family() -> Option<(u32, u64)> {
    let text = std::env::var(FAMILY_VARIABLE).ok()?;
    let (parent, since) = text.split_once(' ')?;
    Some((parent.parse().ok()?, since.parse().ok()?))
}

/// Since when the family of builds runs that this process is of, in milliseconds since 1970.
pub fn family_since() -> Option<u64> {
    family().map(|(_, since)| since)
}

/// Has this process asked to stop when the one ends that started it as one of several builds, however that ends:
/// nobody would hear of it any more. Before any thread is started.
pub fn end_with_family() {
    let Some((parent, _)) = family() else {
        return;
    };
    let is_there = || std::os::unix::process::parent_id() == parent;
    if is_there() {
        // It takes a signal number that there is.
        let _ =
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM));
    }
    // It may have ended in between.
    if !is_there() {
        std::process::exit(Kind::Interrupted.exit_status().into());
    }
}

/// A command that reads nothing, is killed when the future that runs it is dropped, and stands
/// in a process group of its own: a Ctrl-C on the terminal is ours to handle.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .process_group(0)
        // Messages are parsed and shown; they must not depend on the user's language.
        .env("LC_ALL", "C.UTF-8")
        .env(PARENT_VARIABLE, std::process::id().to_string());
    command
}

/// Where a program is, as the search path finds it.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
}

/// Runs a command and returns what it wrote to stdout.
///
/// # Errors
///
/// If it cannot be started (with a word on a program that is not installed), or fails: then with
/// the command line, how it ended, and the end of its stderr.
pub async fn output(command: &mut Command) -> Result<Vec<u8>> {
    let line = command_line(command);
    let output = finished(command, &line).await?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = last_words(&output.stderr);
    let ended = how_it_ended(output.status);
    if said.is_empty() {
        bail!("`{line}` {ended}");
    }
    bail!("`{line}` {ended}: {said}")
}

/// [`output`] of a command that is given so long.
///
/// # Errors
/// The same; it took longer.
pub async fn output_within(command: &mut Command, limit: Duration) -> Result<Vec<u8>> {
    let answer = timeout(limit, output(command)).await;
    answer.with_context(|| format!("no answer within {} s", limit.as_secs()))?
}

/// The same of a process of ozr's own, whose error is in words that need no command line beside them.
///
/// # Errors
///
/// It cannot be started, or says that it failed.
pub async fn own_output(command: &mut Command) -> Result<Vec<u8>> {
    let line = command_line(command);
    let output = finished(command, &line).await?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(own_error(&line, &output)),
    }
}

fn own_error(line: &str, output: &Output) -> anyhow::Error {
    let (said, ended) = (last_words(&output.stderr), how_it_ended(output.status));
    let said = said.strip_prefix("error: ").unwrap_or(&said);
    match output.status.code() {
        Some(_) if !said.is_empty() => anyhow!(said.to_owned()),
        // What it printed then is the runtime's: the first line says why, the others where.
        None if !said.is_empty() => {
            let why = said.split("; ").next().unwrap_or_default();
            let why = why.trim_end_matches([';', ':']);
            anyhow!("the process for it {ended}: {why}")
        }
        _ => anyhow!("`{line}` {ended}"),
    }
}

/// Waits for a command that is shown as `line`.
async fn finished(command: &mut Command, line: &str) -> Result<Output> {
    let program = command
        .as_std()
        .get_program()
        .to_string_lossy()
        .into_owned();
    match command.output().await {
        Ok(output) => Ok(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("`{program}` is not installed or not in PATH; `ozr doctor` tells what is needed")
        }
        Err(error) => Err(error).with_context(|| format!("starting `{line}`")),
    }
}

/// Runs a command of ours and gives what it writes to stdout, as it writes it, to `take`, which is told when
/// nobody waits for it any more. What came of both; the command has ended then.
///
/// # Errors
///
/// If it cannot be started, or a defect ended `take`.
pub async fn stream<T: Send + 'static>(
    command: &mut Command,
    take: impl FnOnce(File, &AtomicBool) -> Result<T> + Send + 'static,
) -> Result<(Result<T>, Result<()>)> {
    let line = command_line(command);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting `{line}`"))?;
    let stdout = child.stdout.take().context("a process has no stdout")?;
    let stdout = File::from(stdout.into_owned_fd()?);
    // When it takes no more it closes the pipe, which ends the command.
    let taking = crate::blocking::stoppable(move |stop| Ok(take(stdout, stop)));
    let (taken, output) = tokio::join!(taking, child.wait_with_output());
    let output = output.with_context(|| format!("waiting for `{line}`"))?;
    let ended = match output.status.success() {
        true => Ok(()),
        false => Err(own_error(&line, &output)),
    };
    Ok((taken?, ended))
}

/// How a program ended, as the end of a sentence.
pub fn how_it_ended(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("failed with status {code}"),
        (None, Some(signal)) => format!("was killed by signal {signal}"),
        (None, None) => "failed".to_owned(),
    }
}

/// The end of what a program wrote to stderr, its lines joined by semicolons.
fn last_words(stderr: &[u8]) -> String {
    let tail = &stderr[stderr.len().saturating_sub(MAX_STDERR)..];
    String::from_utf8_lossy(tail)
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("; ")
}

/// The command as one could type it.
fn command_line(command: &Command) -> String {
    let command = command.as_std();
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| quote(&word.to_string_lossy()))
        .collect::<Vec<_>>()
        .join(" ")
}

/// A word as a shell takes it, and as one would type it.
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_fit_for_a_shell() {
        assert_eq!(quote("/a/b.ozr"), "/a/b.ozr");
        assert_eq!(quote("/a b/it's"), "'/a b/it'\\''s'");
    }

    #[tokio::test]
    async fn output_is_returned() {
        let out = output(command("printf").arg("%s").arg("two words")).await;
        assert_eq!(out.unwrap(), b"two words");
    }

    #[tokio::test]
    async fn a_failure_names_the_command_and_its_last_words() {
        let error = output(command("sh").args(["-c", "echo one >&2; echo two >&2; exit 7"]))
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "`sh -c 'echo one >&2; echo two >&2; exit 7'` failed with status 7: one; two"
        );
        let error = output(&mut command("ozr-no-such-program"))
            .await
            .unwrap_err();
        assert!(error.to_string().contains("is not installed"), "{error}");
    }

    #[tokio::test]
    async fn a_dropped_command_is_killed() {
        // A time that no other process sleeps for.
        let time = format!("1001.{}", std::process::id());
        let sleep = time.clone();
        let mut running = Box::pin(async move { output(command("sleep").arg(sleep)).await });
        // Polled once, so that it is started, and then dropped.
        tokio::select! {
            biased;
            _ = &mut running => unreachable!("it sleeps"),
            () = tokio::task::yield_now() => {}
        }
        drop(running);
        let cmdline = format!("sleep\0{time}\0");
        let running = || {
            std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
                std::fs::read(entry.path().join("cmdline"))
                    .is_ok_and(|line| line == cmdline.as_bytes())
            })
        };
        while running() {
            tokio::task::yield_now().await;
        }
    }
}
