//! The build's own short-lived directory: sockets and libvirt's private state.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

use super::directories;

/// How much of a build's id is in the directory's name: with the process number it is unique, and
/// a unix socket's path holds at most 107 bytes (unix(7)).
const ID_CHARS: usize = 6;

/// A directory of one build, mode 0700; dropping it removes it with all that it holds.
#[derive(Debug)]
pub struct RuntimeDir {
    path: PathBuf,
    keep: AtomicBool,
}

impl RuntimeDir {
    /// Where the build `id` is to have its own: the name begins with our process number, for
    /// people who look, and is short.
    ///
    /// # Errors
    /// There is no place for it.
    pub fn place(id: &str) -> anyhow::Result<PathBuf> {
        let short: String = id.chars().take(ID_CHARS).collect();
        let name = format!("{}-{short}", std::process::id());
        Ok(directories::runtime_dir()?.join(name))
    }

    /// Makes it.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(path: PathBuf) -> anyhow::Result<Self> {
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("creating {}", path.display()))?;
        Ok(RuntimeDir {
            path,
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
