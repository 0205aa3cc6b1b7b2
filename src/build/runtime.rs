//! The build's own short-lived directory: sockets and libvirt's private state.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

use super::directories;

/// A directory of one build, mode 0700; dropping it removes it with all that it holds.
#[derive(Debug)]
pub struct RuntimeDir {
    path: PathBuf,
    keep: AtomicBool,
}

impl RuntimeDir {
    /// Makes one; its name begins with our process number, for people who look.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create() -> anyhow::Result<Self> {
        let parent = directories::runtime_dir()?;
        let dir = tempfile::Builder::new()
            .prefix(&format!("{}-", std::process::id()))
            .tempdir_in(&parent)
            .with_context(|| format!("creating a directory in {}", parent.display()))?;
        Ok(RuntimeDir {
            path: dir.keep(),
            keep: AtomicBool::new(false),
        })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the directory where it is when this value is dropped.
    pub fn keep(&self) {
        self.keep.store(true, Ordering::SeqCst);
    }
}

impl Drop for RuntimeDir {
    fn drop(&mut self) {
        if !self.keep.load(Ordering::SeqCst) {
            // Nobody is left to tell, and the directory's file system is in memory.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
