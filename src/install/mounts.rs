//! Which file system holds a path: what is missing there may be on one that is not mounted now.

use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};

/// Where the file system is mounted that holds `path`, or will hold it once it exists.
pub fn mount_of(path: &Path) -> PathBuf {
    let existing = path
        .ancestors()
        .find_map(|ancestor| std::fs::canonicalize(ancestor).ok());
    existing
        .iter()
        .flat_map(|path| path.ancestors())
        .find(|ancestor| is_mount_root(ancestor))
        .unwrap_or(Path::new("/"))
        .to_path_buf()
}

/// Whether something is mounted there (kernels say it since 5.8; for older ones all is one).
fn is_mount_root(path: &Path) -> bool {
    statx(CWD, path, AtFlags::empty(), StatxFlags::empty())
        .is_ok_and(|about| about.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_found() {
        assert_eq!(mount_of(Path::new("/")), Path::new("/"));
        assert_eq!(
            mount_of(Path::new("/proc/self/fd/none")),
            Path::new("/proc")
        );
        assert_eq!(mount_of(Path::new("/no/such/thing")), Path::new("/"));
    }
}
