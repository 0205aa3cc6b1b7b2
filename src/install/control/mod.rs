//! How a running build is asked what it does: a unix socket in its runtime directory.
//!
//! [`protocol`] says what goes over it; [`Control`] is the build's end, [`client`] the other one.
//! Only the build's own user and root get an answer.

pub mod client;
pub mod protocol;
mod server;

use std::path::{Path, PathBuf};

pub use server::Control;

/// The socket of the build with this runtime directory.
pub fn socket(runtime_dir: &Path) -> PathBuf {
    runtime_dir.join("control")
}
