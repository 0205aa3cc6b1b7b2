//! The user whom QEMU runs as where that is not us: a libvirt daemon's choice, or an unprivileged one
//! of root's. And what is closed to that user.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;

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

impl QemuUser {
    /// An unprivileged user of this host, for root. None where there is none.
    pub(super) fn unprivileged() -> Option<Self> {
        Self::in_passwd(&std::fs::read_to_string("/etc/passwd").ok()?)
    }

    /// Us.
    pub(super) fn ourselves() -> Self {
        QemuUser {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        }
    }

    /// The first of [`UNPRIVILEGED`] in the text of a passwd(5).
    fn in_passwd(passwd: &str) -> Option<Self> {
        let user = |name: &str| {
            let mut lines = passwd.lines().map(|line| line.split(':'));
            let mut fields =
                lines.find_map(|mut fields| (fields.next()? == name).then_some(fields))?;
            let uid = fields.nth(1)?.parse().ok().filter(|uid| *uid != 0)?;
            let gid = fields.next()?.parse().ok()?;
            Some(QemuUser { uid, gid })
        };
        UNPRIVILEGED.into_iter().find_map(user)
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
}
