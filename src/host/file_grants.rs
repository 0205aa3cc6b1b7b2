//! Lends files of ours to the user whom a daemon runs QEMU as.
//!
//! libvirt can do this itself ("dynamic ownership"): it gives each file of a guest to QEMU's
//! user and afterwards back to root, or to whom its `trusted.*` attributes name. That takes the
//! cached kernel, which other builds use at the same time, from its owner, and an ordinary
//! user's image for good where the file system keeps no such attributes. So ozr's domains say
//! `relabel='no'`, and ozr itself lets QEMU's user in, to the files that are this build's alone.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustix::fs::{XattrFlags, removexattr, setxattr};
use rustix::io::Errno;

use super::qemu_user::QemuUser;
use crate::error::{Kind, fail};

/// The attribute that holds a file's access control list (acl(5)).
const ACL: &str = "system.posix_acl_access";

/// Read and write, as an entry of an access control list says it.
const READ_WRITE: u16 = 6;

/// Files that QEMU's user may read and write until this value is dropped.
#[derive(Debug, Default)]
pub(super) struct FileGrants(Vec<(PathBuf, Way)>);

/// How a file was lent.
#[derive(Debug)]
enum Way {
    /// By an access control list.
    List,
    /// By giving it away, which only root can: its owner and group before.
    Given(u32, u32),
}

impl FileGrants {
    /// Lends those of `files` that `user` cannot read and that lie in the directory of the
    /// first: the disk and whatever else this build made for itself. What lies elsewhere is
    /// shared with other builds, and changes neither owner nor mode.
    ///
    /// # Errors
    /// [`Kind::Host`] where the file system keeps no access control lists and we are not root.
    pub(super) fn lend(files: &[&Path], user: QemuUser) -> anyhow::Result<Self> {
        let mut lent = FileGrants::default();
        let own = files.first().and_then(|disk| disk.parent());
        for path in files.iter().filter(|path| path.parent() == own) {
            let meta =
                fs::metadata(path).with_context(|| format!("looking at {}", path.display()))?;
            if meta.uid() == user.uid {
                continue;
            }
            let way = match setxattr(*path, ACL, &list(user.uid), XattrFlags::empty()) {
                Ok(()) => Way::List,
                Err(Errno::OPNOTSUPP) if rustix::process::geteuid().is_root() => {
                    chown(path, Some(user.uid), Some(user.gid))
                        .with_context(|| format!("giving {} to QEMU's user", path.display()))?;
                    Way::Given(meta.uid(), meta.gid())
                }
                Err(Errno::OPNOTSUPP) => {
                    fail!(
                        Kind::Host,
                        "libvirt's QEMU runs as another user, whom {} cannot be opened to, for \
                             its file system keeps no access control lists: use another \
                             --output-dir, or do without --connect",
                        path.display()
                    );
                }
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("opening {} to libvirt's QEMU", path.display()));
                }
            };
            lent.0.push((path.to_path_buf(), way));
        }
        Ok(lent)
    }

    /// Leaves the files as they are: their guest goes on.
    pub(super) fn leave(&mut self) {
        self.0.clear();
    }
}

impl Drop for FileGrants {
    fn drop(&mut self) {
        for (path, way) in self.0.drain(..) {
            let taken = match way {
                // What the list allowed to others stays in the mode's group bits.
                Way::List => removexattr(&path, ACL)
                    .map_err(Into::into)
                    .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(0o600))),
                Way::Given(uid, gid) => chown(&path, Some(uid), Some(gid)),
            };
            if let Err(error) = taken {
                tracing::error!(path = %path.display(), %error, "taking a file back from QEMU's user");
            }
        }
    }
}

/// A list that lets the owner and `user` read and write and nobody else do anything, in the
/// layout of `linux/posix_acl_xattr.h`: a version, then entries by ascending tag.
fn list(user: u32) -> Vec<u8> {
    const VERSION: u32 = 2;
    const OWNER: u16 = 0x01;
    const USER: u16 = 0x02;
    const GROUP: u16 = 0x04;
    const MASK: u16 = 0x10;
    const OTHERS: u16 = 0x20;
    const NOBODY_NAMED: u32 = u32::MAX;
    let entries = [
        (OWNER, READ_WRITE, NOBODY_NAMED),
        (USER, READ_WRITE, user),
        (GROUP, 0, NOBODY_NAMED),
        (MASK, READ_WRITE, NOBODY_NAMED),
        (OTHERS, 0, NOBODY_NAMED),
    ];
    let mut bytes = VERSION.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const QEMU: QemuUser = QemuUser {
        uid: 64055,
        gid: 64055,
    };

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    fn has_list(path: &Path) -> bool {
        rustix::fs::getxattr(path, ACL, &mut [0_u8; 128]).is_ok()
    }

    #[test]
    fn only_this_builds_files_are_lent_and_come_back() {
        let dir = tempfile::tempdir().unwrap();
        let work = dir.path().join("work");
        fs::create_dir(&work).unwrap();
        let (disk, initrd, kernel) = (
            work.join("disk"),
            work.join("initrd"),
            dir.path().join("kernel"),
        );
        for path in [&disk, &initrd, &kernel] {
            fs::write(path, "x").unwrap();
            fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
        }
        let before = fs::metadata(&disk).unwrap();
        let lent = FileGrants::lend(&[&disk, &kernel, &initrd], QEMU).unwrap();
        assert_eq!(lent.0.len(), 2);
        assert_eq!(mode(&kernel), 0o600);
        drop(lent);
        for path in [&disk, &initrd] {
            let after = fs::metadata(path).unwrap();
            assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
            assert_eq!(mode(path), 0o600);
            assert!(!has_list(path));
        }
    }

    #[test]
    fn a_guest_that_goes_on_keeps_them() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("disk");
        fs::write(&disk, "x").unwrap();
        let mut lent = FileGrants::lend(&[&disk], QEMU).unwrap();
        lent.leave();
        drop(lent);
        assert!(has_list(&disk) || fs::metadata(&disk).unwrap().uid() == QEMU.uid);
    }
}
