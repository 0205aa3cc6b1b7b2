//! Where things that outlive no build, or every build, are: the runtime directory, the cache.

use std::path::{Path, PathBuf};

use anyhow::Context;
use rustix::fs::{Access, AtFlags, accessat};

use super::owned_dir::{OwnedDir, is_refusal};
use crate::error::{Kind, fail};

/// The environment variable that names a user's runtime directory (XDG Base Directory
/// Specification).
pub const RUNTIME_VARIABLE: &str = "XDG_RUNTIME_DIR";

/// The cache directory, absolute: libvirt takes no other paths of the files in it. `chosen` by the
/// user, else the system's for root, else the user's.
///
/// # Errors
/// Neither `XDG_CACHE_HOME` nor `HOME` says where an ordinary user's cache is; the current
/// directory cannot be found.
pub fn cache_dir(chosen: Option<&Path>) -> anyhow::Result<PathBuf> {
    let of_user = ("XDG_CACHE_HOME", ".cache", "--cache-dir");
    directory(chosen, "/var/cache/ozr", of_user)
}

/// The directory for what must outlive a build and the machine's next start: which builds there
/// are, how long earlier ones took. `chosen` by the user, else the system's for root, else the
/// user's.
///
/// # Errors
/// Neither `XDG_STATE_HOME` nor `HOME` says where an ordinary user's state is; the current
/// directory cannot be found.
pub fn state_dir(chosen: Option<&Path>) -> anyhow::Result<PathBuf> {
    let of_user = ("XDG_STATE_HOME", ".local/state", "--state-dir");
    directory(chosen, "/var/lib/ozr", of_user)
}

/// The directory that the user chose, from the current one on; else root's, else what a variable
/// names, or a place below HOME.
fn directory(
    chosen: Option<&Path>,
    of_root: &str,
    (variable, below_home, option): (&str, &str, &str),
) -> anyhow::Result<PathBuf> {
    if let Some(dir) = chosen {
        return std::path::absolute(dir)
            .with_context(|| format!("finding the directory {}", dir.display()));
    }
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from(of_root));
    }
    users_dir(variable, below_home).with_context(|| {
        format!("neither HOME nor {variable} is set: name a directory with {option}")
    })
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

/// Where this user's runtime directory may be, the best first; also where those of the same user are
/// who came with another environment.
pub fn runtime_places() -> Vec<PathBuf> {
    let uid = rustix::process::geteuid();
    let fallback = PathBuf::from(format!("/tmp/ozr-{}", uid.as_raw()));
    if uid.is_root() {
        return vec![PathBuf::from("/run/ozr"), fallback];
    }
    let own = |dir: &PathBuf| dir.is_absolute() && OwnedDir::open(dir).is_ok();
    let named = std::env::var_os(RUNTIME_VARIABLE).map(PathBuf::from);
    // What we have set for libvirt is no other place.
    let named = named.filter(|dir| *dir != fallback && own(dir));
    let named = named.map(|dir| dir.join("ozr"));
    // logind removes it when its user logs out, whatever cron runs for that user.
    let usual = PathBuf::from(format!("/run/user/{}", uid.as_raw()));
    let usual = own(&usual).then(|| usual.join("ozr"));
    let mut places: Vec<PathBuf> = named.into_iter().chain([fallback]).collect();
    places.extend(usual.filter(|usual| places[0] != *usual));
    places
}

/// The directory for sockets and libvirt's private state: short-lived, this user's alone, and
/// short, because a unix socket's path holds at most 107 bytes (unix(7)). The first of
/// [`runtime_places`] that can be had: `/run` may be read-only, and in `/tmp` anybody may have made it
/// first.
///
/// # Errors
/// Host: there is none.
pub fn runtime_dir() -> anyhow::Result<PathBuf> {
    // QEMU of `qemu:///system` runs as another user and must pass through root's directory.
    let mode = if rustix::process::geteuid().is_root() {
        0o711
    } else {
        0o700
    };
    let mut why = Vec::new();
    for place in runtime_places() {
        // One that is there may be on a file system that is read-only now.
        let usable = OwnedDir::create(&place, mode).and_then(|dir| {
            let write = Access::WRITE_OK | Access::EXEC_OK;
            Ok(accessat(&dir, ".", write, AtFlags::EACCESS)?)
        });
        match usable {
            Ok(()) => return Ok(place),
            Err(error) if is_refusal(&error) => why.push(error.to_string()),
            Err(error) => why.push(format!("{}: {error}", place.display())),
        }
    }
    fail!(
        Kind::Host,
        "there is no place for sockets ({}): set XDG_RUNTIME_DIR to a directory of your own, or make /tmp writable",
        why.join("; ")
    )
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
