//! Asks a running build, over its control socket. Blocks, for no longer than it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};

use super::{Answer, MAX_ANSWER, MAX_PICTURE, Request, Status};
use crate::blocking;

/// Asks how far a build is.
///
/// # Errors
/// It does not answer within `patience`, or not with that.
pub fn status(socket: &Path, patience: Duration) -> anyhow::Result<Status> {
    match ask(socket, Request::Status, patience)? {
        (Answer::Status(status), _) => Ok(*status),
        (Answer::Error(why), _) => Err(anyhow!(why)),
        (Answer::Screenshot(_), _) => bail!("it answers something else"),
    }
}

/// Asks for a picture of the guest's screen: a PNG file.
///
/// # Errors
/// It does not answer within `patience`, or says why there is none.
pub fn screenshot(socket: &Path, patience: Duration) -> anyhow::Result<Vec<u8>> {
    match ask(socket, Request::Screenshot, patience)? {
        (Answer::Screenshot(_), picture) => Ok(picture),
        (Answer::Error(why), _) => Err(anyhow!(why)),
        (Answer::Status(_), _) => bail!("it answers something else"),
    }
}

/// Asks a build, which may have been stopped, or be none: what it answers, and the picture's bytes.
fn ask(socket: &Path, request: Request, patience: Duration) -> anyhow::Result<(Answer, Vec<u8>)> {
    let socket = socket.to_path_buf();
    blocking::within(patience, move || exchange(&socket, request))
        .context("the build did not answer: timed out")?
}

fn exchange(socket: &Path, request: Request) -> anyhow::Result<(Answer, Vec<u8>)> {
    let mut stream = UnixStream::connect(socket).context("reaching the build")?;
    let mut line = serde_json::to_vec(&request)?;
    line.push(b'\n');
    stream.write_all(&line).context("asking the build")?;
    let mut reader = BufReader::new(stream);
    let mut answer = Vec::new();
    (&mut reader)
        .take(MAX_ANSWER)
        .read_until(b'\n', &mut answer)
        .context("waiting for the build's answer")?;
    ensure!(answer.ends_with(b"\n"), "the build's answer was cut off");
    let answer = serde_json::from_slice(&answer).context("reading the build's answer")?;
    let mut picture = Vec::new();
    if let Answer::Screenshot(length) = answer {
        ensure!(
            length <= MAX_PICTURE,
            "its picture has {length} bytes, too many"
        );
        reader
            .take(length)
            .read_to_end(&mut picture)
            .context("reading the picture")?;
        let count = picture.len();
        ensure!(
            count as u64 == length,
            "the picture ended after {count} of {length} bytes"
        );
    }
    Ok((answer, picture))
}
