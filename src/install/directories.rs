//! Where things that outlive no build, or every build, are: the runtime directory, the cache.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// The cache directory, absolute: libvirt takes no other paths of the files in it. `chosen` by the
/// user, else the system's for root, else the user's.
///
/// # Errors
/// Neither `XDG_CACHE_HOME` nor `HOME` says where an ordinary user's cache is; the current
/// directory cannot be found.
pub fn cache_dir(chosen: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(dir) = chosen {
        return std::path::absolute(dir)
            .with_context(|| format!("finding the cache directory {}", dir.display()));
    }
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/cache/ozr"));
    }
    users_dir("XDG_CACHE_HOME", ".cache")
        .context("neither HOME nor XDG_CACHE_HOME is set: name a directory with --cache-dir")
}

/// The directory for what must outlive a build and the machine's next start: which builds there
/// are, how long earlier ones took. `chosen` by the user, else the system's for root, else the
/// user's.
///
/// # Errors
/// Neither `XDG_STATE_HOME` nor `HOME` says where an ordinary user's state is; the current
/// directory cannot be found.
pub fn state_dir(chosen: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(dir) = chosen {
        return std::path::absolute(dir)
            .with_context(|| format!("finding the state directory {}", dir.display()));
    }
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/ozr"));
    }
    users_dir("XDG_STATE_HOME", ".local/state")
        .context("neither HOME nor XDG_STATE_HOME is set: name a directory with --state-dir")
}

/// ozr's part of one of the user's base directories (XDG Base Directory Specification).
fn users_dir(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|dir| dir.is_absolute())
    };
    absolute(variable)
        .or_else(|| absolute("HOME").map(|home| home.join(below_home)))
        .map(|dir| dir.join("ozr"))
}

/// Where this user's runtime directory is, or would be: the first; and where those of the same user
/// are who came with another environment.
pub fn runtime_places() -> Vec<PathBuf> {
    use std::os::unix::fs::MetadataExt;

    let uid = rustix::process::geteuid();
    if uid.is_root() {
        return vec![PathBuf::from("/run/ozr")];
    }
    let own = |dir: &PathBuf| {
        dir.is_absolute() && std::fs::metadata(dir).is_ok_and(|meta| meta.uid() == uid.as_raw())
    };
    let named = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let usual = PathBuf::from(format!("/run/user/{}", uid.as_raw()));
    let mut places: Vec<PathBuf> = named
        .filter(own)
        .map(|dir| dir.join("ozr"))
        .into_iter()
        .collect();
    places.push(PathBuf::from(format!("/tmp/ozr-{}", uid.as_raw())));
    if own(&usual) && places[0] != usual.join("ozr") {
        places.push(usual.join("ozr"));
    }
    places
}

/// The directory for sockets and libvirt's private state: short-lived, this user's alone, and
/// short, because a unix socket's path holds at most 107 bytes (unix(7)).
///
/// # Errors
/// It cannot be created, or belongs to somebody else.
pub fn runtime_dir() -> anyhow::Result<PathBuf> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt};

    let uid = rustix::process::geteuid();
    let dir = runtime_places().swap_remove(0);
    // QEMU of `qemu:///system` runs as another user and must pass through root's directory.
    let mode = if uid.is_root() { 0o711 } else { 0o700 };
    match std::fs::DirBuilder::new().mode(mode).create(&dir) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => {
            return Err(error).with_context(|| format!("creating {}", dir.display()));
        }
    }
    // In /tmp anybody may have made it first.
    let meta =
        std::fs::symlink_metadata(&dir).with_context(|| format!("looking at {}", dir.display()))?;
    if !meta.is_dir() || meta.uid() != uid.as_raw() || meta.mode() & 0o022 != 0 {
        bail!(
            "{} is not a directory of this user's alone: remove it, then try again",
            dir.display()
        );
    }
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chosen_cache_is_absolute() {
        let dir = cache_dir(Some(Path::new("cache"))).unwrap();
        assert_eq!(dir, std::env::current_dir().unwrap().join("cache"));
        assert_eq!(cache_dir(Some(Path::new("/c"))).unwrap(), Path::new("/c"));
    }
}
