//! Asks a running build, over its control socket. Blocks, for no longer than it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::protocol::{Answer, MAX_ANSWER, MAX_PICTURE, Request, Status};

/// Asks how far a build is.
///
/// # Errors
/// It does not answer within `patience`, or not with that.
pub fn status(socket: &Path, patience: Duration) -> anyhow::Result<Status> {
    let (answer, _) = ask(socket, Request::Status, patience)?;
    match answer {
        Answer::Status(status) => Ok(*status),
        Answer::Error(why) => Err(anyhow!(why)),
        Answer::Screenshot(_) => bail!("it answers something else"),
    }
}

/// Asks for a picture of the guest's screen: a PNG file.
///
/// # Errors
/// It does not answer within `patience`, or says why there is none.
pub fn screenshot(socket: &Path, patience: Duration) -> anyhow::Result<Vec<u8>> {
    let (answer, rest) = ask(socket, Request::Screenshot, patience)?;
    let length = match answer {
        Answer::Screenshot(length) => length,
        Answer::Error(why) => return Err(anyhow!(why)),
        Answer::Status(_) => bail!("it answers something else"),
    };
    ensure!(
        length <= MAX_PICTURE,
        "its picture has {length} bytes, too many"
    );
    let mut picture = Vec::new();
    rest.take(length)
        .read_to_end(&mut picture)
        .context("reading the picture")?;
    ensure!(
        picture.len() as u64 == length,
        "the picture ended after {} of {length} bytes",
        picture.len()
    );
    Ok(picture)
}

/// Asks, and reads the answer's line; what follows it is read from what is returned.
fn ask(
    socket: &Path,
    request: Request,
    patience: Duration,
) -> anyhow::Result<(Answer, impl BufRead)> {
    let deadline = Instant::now() + patience;
    let mut stream = reach(socket, patience).context("reaching the build")?;
    let mut line = serde_json::to_vec(&request)?;
    line.push(b'\n');
    stream.write_all(&line).context("asking the build")?;
    let mut reader = BufReader::new(Timed { stream, deadline });
    let mut answer = Vec::new();
    (&mut reader)
        .take(MAX_ANSWER)
        .read_until(b'\n', &mut answer)
        .context("waiting for the build's answer")?;
    ensure!(answer.ends_with(b"\n"), "the build's answer was cut off");
    let answer = serde_json::from_slice(&answer).context("reading the build's answer")?;
    Ok((answer, reader))
}

/// Connects. A build that is stopped, and asked by many, takes no connection: the time to send
/// bounds the wait for that, too (unix(7), SO_SNDTIMEO).
fn reach(path: &Path, patience: Duration) -> anyhow::Result<UnixStream> {
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    set_socket_timeout(&socket, Timeout::Send, Some(patience))?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(UnixStream::from(socket))
}

/// A stream that is read until a moment, however slowly its bytes come.
struct Timed {
    stream: UnixStream,
    deadline: Instant,
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        match self.stream.read(buffer) {
            // What Linux says when the time is up.
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                Err(std::io::ErrorKind::TimedOut.into())
            }
            other => other,
        }
    }
}
