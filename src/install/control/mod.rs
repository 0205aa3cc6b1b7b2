//! How a running build is asked what it does: a unix socket in its runtime directory.
//!
//! What goes over it: one request for each connection, a line of JSON; one line of JSON as the
//! answer; and after that of `screenshot` the picture's bytes. Then the build closes the connection.
//! [`Control`] is the build's end, which answers what [`Live`] holds; [`client`] is the other one.
//! Only the build's own user and root get an answer.

pub mod client;
mod live;
mod server;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use live::Live;
pub use server::Control;

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
    /// `finishing-image`.
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
