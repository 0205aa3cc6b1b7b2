//! The user whom QEMU runs as where that is not us: a libvirt daemon's choice, or an unprivileged one
//! of root's. What is closed to that user, and how files of ours are lent to it.
//!
//! libvirt can lend them itself ("dynamic ownership"): it gives each file of a guest to QEMU's
//! user and afterwards back to root, or to whom its `trusted.*` attributes name. That takes the
//! cached kernel, which other builds use at the same time, from its owner, and an ordinary
//! user's image for good where the file system keeps no such attributes. So ozr's domains say
//! `relabel='no'`, and ozr itself lets QEMU's user in, to the files that are this build's alone.

use std::fs::{self, Metadata, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustix::fs::{XattrFlags, removexattr, setxattr};
use rustix::io::Errno;
use serde::Deserialize;

use crate::error::{Kind, fail};

/// A user of this host that is not us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QemuUser {
    /// Its number.
    pub(super) uid: u32,
    /// Its group's.
    pub(super) gid: u32,
}

/// What libvirt says of its host ("Driver capabilities XML format").
#[derive(Deserialize)]
struct Capabilities {
    host: HostCapabilities,
}

#[derive(Deserialize)]
struct HostCapabilities {
    #[serde(default)]
    secmodel: Vec<SecurityModel>,
}

#[derive(Deserialize)]
struct SecurityModel {
    model: String,
    #[serde(default)]
    baselabel: Vec<String>,
}

/// Whom root's QEMU runs as, the first that this host has: the users that the packages of QEMU and
/// libvirt make on Fedora and RHEL, and on Debian; else nobody.
const UNPRIVILEGED: [&str; 3] = ["qemu", "libvirt-qemu", "nobody"];

/// Whom root's libvirt runs swtpm as (libvirt 9.0, `virQEMUDriverConfigNew`); the packages of swtpm give
/// that user what it signs with.
const SWTPM: [&str; 1] = ["tss"];

impl QemuUser {
    /// An unprivileged user of this host, for root. None where there is none.
    pub(super) fn unprivileged() -> Option<Self> {
        Self::in_passwd(&std::fs::read_to_string("/etc/passwd").ok()?, &UNPRIVILEGED)
    }

    /// The user of swtpm, in the group of this one, whose devices QEMU needs: nobody else can connect to
    /// its socket. None where there is none, and libvirt runs swtpm as root.
    pub(super) fn of_swtpm(self) -> Option<Self> {
        let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
        let user = Self::in_passwd(&passwd, &SWTPM)?;
        Some(QemuUser {
            uid: user.uid,
            gid: self.gid,
        })
    }

    /// Us.
    pub(super) fn ourselves() -> Self {
        QemuUser {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        }
    }

    /// The first of these names in the text of a passwd(5).
    fn in_passwd(passwd: &str, names: &[&str]) -> Option<Self> {
        let user = |name: &str| {
            let mut lines = passwd.lines().map(|line| line.split(':'));
            let mut fields =
                lines.find_map(|mut fields| (fields.next()? == name).then_some(fields))?;
            let uid = fields.nth(1)?.parse().ok().filter(|uid| *uid != 0)?;
            let gid = fields.next()?.parse().ok()?;
            Some(QemuUser { uid, gid })
        };
        names.iter().copied().find_map(user)
    }

    /// The user in libvirt's capabilities: the base label of its security model `dac`
    /// (`+64055:+64055`), which stands for `user` and `group` of the daemon's `qemu.conf`. None
    /// where the daemon cannot change users: it is not root's.
    ///
    /// # Errors
    /// The text is not XML.
    pub(super) fn from_capabilities(xml: &str) -> anyhow::Result<Option<Self>> {
        let capabilities: Capabilities =
            quick_xml::de::from_str(xml).context("parsing libvirt's capabilities")?;
        let models = capabilities.host.secmodel.iter();
        // It says the same for each kind of guest.
        let label = models
            .filter(|model| model.model == "dac")
            .find_map(|model| model.baselabel.first());
        Ok(label.and_then(|label| Self::from_label(label)))
    }

    fn from_label(label: &str) -> Option<Self> {
        let (user, group) = label.trim().split_once(':')?;
        let number = |text: &str| text.strip_prefix('+').unwrap_or(text).parse().ok();
        Some(QemuUser {
            uid: number(user)?,
            gid: number(group)?,
        })
    }

    /// As libvirt's label.
    pub(super) fn label(self) -> String {
        format!("+{}:+{}", self.uid, self.gid)
    }

    /// The first directory on the way to `path` that this user may not search. Judged by modes
    /// alone, so for explaining a refusal, not for making one.
    pub(super) fn closed_directory(self, path: &Path) -> Option<PathBuf> {
        const SEARCH: u32 = 1;
        let mut parents: Vec<&Path> = path.ancestors().skip(1).collect();
        parents.reverse();
        let closed = |directory: &&Path| {
            let data = directory.metadata();
            data.is_ok_and(|data| !self.may(&data, SEARCH))
        };
        parents.into_iter().find(closed).map(Path::to_owned)
    }

    /// Whether this user may read and write the file itself, judged likewise.
    pub(super) fn may_write(self, path: &Path) -> bool {
        const READ_WRITE: u32 = 6;
        path.metadata()
            .is_ok_and(|data| self.may(&data, READ_WRITE))
    }

    /// Whether this user may read the file itself, judged likewise.
    pub(super) fn may_read(self, path: &Path) -> bool {
        const READ: u32 = 4;
        path.metadata().is_ok_and(|data| self.may(&data, READ))
    }

    fn may(self, data: &Metadata, permission: u32) -> bool {
        /// Where the owner's and the group's bits begin in a mode.
        const OWNER: u32 = 6;
        const GROUP: u32 = 3;
        let shift = if self.uid == 0 {
            return true;
        } else if data.uid() == self.uid {
            OWNER
        } else if data.gid() == self.gid {
            GROUP
        } else {
            0
        };
        data.mode() >> shift & permission != 0
    }
}

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
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_user_stands_in_the_capabilities() {
        let xml = "<capabilities><host><secmodel><model>selinux</model><doi>0</doi>\
            <baselabel type='kvm'>system_u:system_r:svirt_t:s0</baselabel></secmodel>\
            <secmodel><model>dac</model><doi>0</doi><baselabel type='kvm'>+107:+36</baselabel>\
            </secmodel></host></capabilities>";
        let user = QemuUser::from_capabilities(xml).unwrap().unwrap();
        assert_eq!((user.uid, user.gid), (107, 36));
        assert_eq!(user.label(), "+107:+36");
        let none =
            "<capabilities><host><secmodel><model>none</model></secmodel></host></capabilities>";
        assert_eq!(QemuUser::from_capabilities(none).unwrap(), None);
        assert!(QemuUser::from_capabilities("<a></b>").is_err());
        assert_eq!(QemuUser::from_label("qemu:qemu"), None);
    }

    #[test]
    fn what_is_in_the_way_is_named() {
        let base = tempfile::tempdir().unwrap();
        let set = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode));
        let inner = base.path().join("inner");
        let file = inner.join("file");
        fs::create_dir(&inner).unwrap();
        fs::write(&file, "").unwrap();
        set(base.path(), 0o711).unwrap();
        set(&inner, 0o700).unwrap();
        set(&file, 0o600).unwrap();
        let other = QemuUser {
            uid: 64055,
            gid: 64055,
        };
        assert_eq!(other.closed_directory(&file), Some(inner.clone()));
        set(&inner, 0o711).unwrap();
        assert_eq!(other.closed_directory(&file), None);
        assert!(!other.may_read(&file));
        set(&file, 0o644).unwrap();
        assert!(other.may_read(&file));
        // Its own group's bits count, not the others'.
        let group = fs::metadata(&inner).unwrap().gid();
        let member = QemuUser {
            uid: 64055,
            gid: group,
        };
        set(&inner, 0o701).unwrap();
        assert_eq!(member.closed_directory(&file), Some(inner));
        let root = QemuUser { uid: 0, gid: 0 };
        assert_eq!(root.closed_directory(&file), None);
    }

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
