//! The private root of the embedded driver: where libvirt's QEMU driver keeps what a daemon
//! would keep below `/etc`, `/var` and `/run`.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use super::qemu_user::QemuUser;
use crate::error::{Classify, Kind, fail};
use crate::state::{LockFile, OwnedDir};

/// The root's name in the runtime directory.
const ROOT: &str = "v";
/// The name of the directory beside it in which QEMU makes sockets.
pub(super) const QEMU_SOCKETS: &str = "q";
/// Room that libvirt needs below its root for the longest socket path it makes,
/// `/lib/qemu/domain-N-` + 20 characters of the domain's name + `/monitor.sock`
/// (libvirt 9.0, `virDomainDefGetShortName`), with three digits for N.
const LIBVIRT_SOCKET_ROOM: usize = 14 + 4 + 1 + 20 + 13 + 3;
/// How long another process may ask QEMU for its abilities: seconds, on a host under heavy load tens
/// of them.
const LEARNING_LIMIT: Duration = Duration::from_secs(60);
/// Longest path of a unix socket (`sun_path` of Linux, less its final zero byte).
const MAX_SOCKET_PATH: usize = 107;

/// A directory that is the root of one embedded driver. Lives inside the build's runtime
/// directory, whose owner removes it.
#[derive(Debug)]
pub(super) struct PrivateRoot {
    path: PathBuf,
    capability_cache: PathBuf,
}

impl PrivateRoot {
    /// Lays out a root below `runtime_dir`, sharing what was learnt about QEMU through
    /// `capability_cache`.
    ///
    /// QEMU runs as `user`, or as us without one: then the way to the root is opened to everybody
    /// who knows the names on it, and a directory for QEMU's own sockets is that user's.
    pub(super) fn create(
        runtime_dir: &Path,
        capability_cache: &Path,
        user: Option<QemuUser>,
    ) -> anyhow::Result<Self> {
        let path = runtime_dir.join(ROOT);
        if path.as_os_str().len() + LIBVIRT_SOCKET_ROOM > MAX_SOCKET_PATH {
            fail!(
                Kind::Host,
                "the path {} is too long for libvirt's unix sockets: use a runtime directory \
                     of at most {} bytes",
                runtime_dir.display(),
                MAX_SOCKET_PATH - LIBVIRT_SOCKET_ROOM - 2
            );
        }
        Self::lay_out(runtime_dir, &path, capability_cache, user)
            .with_context(|| format!("creating libvirt's private root {}", path.display()))
            .kind(Kind::Host)?;
        Ok(PrivateRoot {
            path,
            capability_cache: capability_cache.to_owned(),
        })
    }

    fn lay_out(
        runtime_dir: &Path,
        path: &Path,
        capability_cache: &Path,
        user: Option<QemuUser>,
    ) -> io::Result<()> {
        let mut private = DirBuilder::new();
        private.recursive(true).mode(0o700);
        private.create(path.join("etc"))?;
        private.create(path.join("cache"))?;
        if let Some(cache) = capability_cache.parent().filter(|cache| !cache.exists()) {
            // As the cache makes it: QEMU's own user passes through to the kernels that lie beside it.
            OwnedDir::create(cache, 0o755)?;
        }
        private.create(capability_cache)?;
        let sockets = runtime_dir.join(QEMU_SOCKETS);
        private.create(&sockets)?;
        if let Some(user) = user {
            chown(&sockets, Some(user.uid), Some(user.gid))?;
            for directory in [runtime_dir, path] {
                fs::set_permissions(directory, Permissions::from_mode(0o711))?;
            }
        }
        fs::write(path.join("etc/qemu.conf"), qemu_conf(user))?;
        // libvirt asks QEMU for its abilities by starting it, which takes seconds, and keeps the
        // answer in `cache/qemu`, checked against QEMU's and its own modification times. It
        // writes aside and renames.
        match symlink(fs::canonicalize(capability_cache)?, path.join("cache/qemu")) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    /// libvirt's URI of the driver with this root.
    pub(super) fn uri(&self) -> String {
        // libvirt undoes %20 but leaves `+` alone.
        let root: String =
            url::form_urlencoded::byte_serialize(self.path.as_os_str().as_encoded_bytes())
                .collect();
        format!("qemu:///embed?root={}", root.replace('+', "%20"))
    }

    /// Keeps other processes from asking QEMU for its abilities at the same time: two that save
    /// the same answer at once make one of them fail.
    pub(super) fn lock_capabilities(&self) -> anyhow::Result<LockFile> {
        OwnedDir::create(&self.capability_cache, 0o700)
            .and_then(|dir| LockFile::take_blocking(&dir, "lock", LEARNING_LIMIT))
            .context("waiting for what libvirt learns about QEMU")
            .kind(Kind::Host)
    }

    /// Where libvirt wrote the process number of a guest's QEMU.
    pub(super) fn pid_file(&self, domain: &str) -> PathBuf {
        self.path.join(format!("run/qemu/{domain}.pid"))
    }

    /// Where libvirt has the QEMUs that it asks what they can do.
    pub(super) fn probes(&self) -> PathBuf {
        self.path.join("lib/qemu")
    }

    /// Where QEMU's messages go.
    pub(super) fn qemu_log(&self, domain: &str) -> PathBuf {
        self.path.join(format!("log/qemu/{domain}.log"))
    }
}

/// libvirt's URI of the embedded driver that a build with this runtime directory has.
pub fn embedded_uri(runtime_dir: &Path) -> String {
    let root = PrivateRoot {
        path: runtime_dir.join(ROOT),
        capability_cache: PathBuf::new(),
    };
    root.uri()
}

/// The driver's settings. Those that only root's driver reads would otherwise ask for daemons
/// (virtlogd, machined), give files to another user, or look for cgroups; an ordinary user's
/// driver does none of that and ignores them.
fn qemu_conf(user: Option<QemuUser>) -> String {
    let QemuUser {
        uid: user,
        gid: group,
    } = user.unwrap_or_else(QemuUser::ourselves);
    format!(
        "stdio_handler = \"file\"\n\
         user = \"+{user}\"\n\
         group = \"+{group}\"\n\
         dynamic_ownership = 0\n\
         remember_owner = 0\n\
         security_driver = \"none\"\n\
         security_default_confined = 0\n\
         namespaces = [ ]\n\
         cgroup_controllers = [ ]\n\
         hugetlbfs_mount = [ ]\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::kind_of;

    #[test]
    fn a_root_is_laid_out_once_and_again() {
        let base = tempfile::tempdir().unwrap();
        let (runtime, cache) = (base.path().join("a b+c"), base.path().join("of/cache"));
        let root = PrivateRoot::create(&runtime, &cache, None).unwrap();
        assert!(root.uri().ends_with("/a%20b%2Bc/v") || root.uri().contains("a%20b%2Bc%2Fv"));
        assert!(
            fs::canonicalize(runtime.join("v/cache/qemu"))
                .unwrap()
                .ends_with("of/cache")
        );
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&cache), 0o700);
        // What lies beside it is for QEMU's own user, too.
        assert_eq!(mode(&base.path().join("of")), 0o755);
        PrivateRoot::create(&runtime, &cache, None).unwrap();
    }

    #[test]
    fn a_path_too_long_for_sockets_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let runtime = base.path().join("x".repeat(100));
        let error = PrivateRoot::create(&runtime, base.path(), None).unwrap_err();
        assert_eq!(kind_of(&error), Some(Kind::Host));
        assert!(error.to_string().contains("too long"), "{error}");
    }
}
