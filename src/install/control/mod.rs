//! How a running build is asked what it does: a unix socket in its runtime directory.
//!
//! What goes over it: one request for each connection, a line of JSON; one line of JSON as the
//! answer; and after that of `screenshot` the picture's bytes. Then the build closes the connection.
//! [`Control`] is the build's end, which answers what [`Live`] holds; [`status`] and
//! [`screenshot`] ask it, and block for no longer than they are told. Only the build's own user and
//! root get an answer.

mod live;
mod server;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};

pub use live::Live;
pub use server::Control;

use crate::blocking;
use crate::watch::progress::Counted;

/// The socket of the build with this runtime directory.
pub fn socket(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("control")
}

/// Longest line of a request, in bytes. The longest of ours has 25.
pub const MAX_REQUEST: u64 = 256;

/// Longest line of an answer, in bytes: paths have at most 4096 each, and are escaped.
pub const MAX_ANSWER: u64 = 64 * 1024;

/// Largest picture, in bytes: as for what comes from libvirt.
pub const MAX_PICTURE: u64 = 64 * 1024 * 1024;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    /// How far the build is.
    Status,
    /// A picture of the guest's screen.
    Screenshot,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// How far the build is.
    Status(Box<Status>),
    /// A PNG file of so many bytes follows.
    Screenshot(u64),
    /// Why there is no other answer.
    Error(String),
}

/// How far a build is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The build's id.
    pub id: String,
    /// Its process.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// What it installs, for people.
    pub release: String,
    /// `getting-ready`, `waiting-for-room`, a phase of the install by the names of manifests,
    /// `boot-test`, `finishing-image`.
    pub phase: String,
    /// How much of the install is done.
    pub percent: u8,
    /// Packages installed, of how many, once that is known.
    pub packages: Option<Counted>,
    /// Seconds since the build began.
    pub elapsed_seconds: u64,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// The libvirt connection; none with the driver in the build's own process.
    pub connection: Option<String>,
    /// The guest's name there.
    pub domain: String,
    /// What runs the guest's CPUs, once there is a guest.
    pub accel: Option<String>,
    /// What the guest's console showed, as lines; there once a guest was started.
    pub console: PathBuf,
}

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
