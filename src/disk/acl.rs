//! POSIX ACLs: each file system keeps them in a form of its own. Here they have the one that Linux shows as
//! `system.posix_acl_access` and `system.posix_acl_default` (`include/uapi/linux/posix_acl_xattr.h`).

use anyhow::{Result, bail, ensure};

use super::bytes::{big, little, slice};

/// How the names of both begin.
pub const PREFIX: &str = "system.posix_acl_";

/// What XFS calls them below `trusted.` (Linux' `fs/xfs/libxfs/xfs_format.h`), and what they are.
const XFS: [(&str, &str); 2] = [
    ("trusted.SGI_ACL_FILE", "system.posix_acl_access"),
    ("trusted.SGI_ACL_DEFAULT", "system.posix_acl_default"),
];

/// The version of Linux' form, and bytes of its head.
const VERSION: u32 = 2;
const HEAD: usize = 4;

/// The version of ext's form (Linux' `fs/ext4/acl.h`).
const EXT_VERSION: u64 = 1;

/// Most entries: what fits into the largest attribute.
const MOST: usize = 8192;

/// Whom an entry is for, by its tag (`include/uapi/linux/posix_acl.h`): a user or group of a number, or one
/// of the others, who have none.
const USER: u32 = 0x02;
const GROUP: u32 = 0x08;
const TAGS: [(u32, &str); 6] = [
    (0x01, "user"),
    (USER, "user"),
    (0x04, "group"),
    (GROUP, "group"),
    (0x10, "mask"),
    (0x20, "other"),
];

/// The number of an entry that has none.
const NOBODY: u32 = u32::MAX;

fn begin() -> Vec<u8> {
    VERSION.to_le_bytes().to_vec()
}

fn add(acl: &mut Vec<u8>, tag: u64, permissions: u64, id: u32) {
    acl.extend((tag as u16).to_le_bytes());
    acl.extend((permissions as u16).to_le_bytes());
    acl.extend(id.to_le_bytes());
}

/// One as ext keeps it.
///
/// # Errors
/// It is broken.
pub fn of_ext(value: &[u8]) -> Result<Vec<u8>> {
    ensure!(little(value, 0, 4)? == EXT_VERSION, "an ACL is broken");
    let mut acl = begin();
    let mut at = HEAD;
    while at < value.len() {
        let (tag, permissions) = (little(value, at, 2)?, little(value, at + 2, 2)?);
        at += 4;
        let id = match tag as u32 {
            USER | GROUP => {
                at += 4;
                little(value, at - 4, 4)? as u32
            }
            _ => NOBODY,
        };
        add(&mut acl, tag, permissions, id);
    }
    Ok(acl)
}

/// One as XFS keeps it, with its name; none if this attribute is no ACL.
///
/// # Errors
/// It is broken.
pub fn of_xfs(name: &str, value: &[u8]) -> Result<Option<(&'static str, Vec<u8>)>> {
    let Some((_, name)) = XFS.iter().find(|(own, _)| *own == name) else {
        return Ok(None);
    };
    let mut acl = begin();
    for index in 0..(big(value, 0, 4)? as usize).min(MOST) {
        let entry = slice(value, HEAD + index * 12, 12)?;
        let tag = big(entry, 0, 4)?;
        let id = match tag as u32 {
            USER | GROUP => big(entry, 4, 4)? as u32,
            _ => NOBODY,
        };
        add(&mut acl, tag, big(entry, 8, 2)?, id);
    }
    Ok(Some((name, acl)))
}

/// One in words, as acl_from_text(3) takes them: `user::rwx,user:1000:r-x,group::r--,mask::rwx,other::---`.
///
/// # Errors
/// It is broken.
pub fn text(acl: &[u8]) -> Result<String> {
    ensure!(
        little(acl, 0, 4)? == u64::from(VERSION),
        "an ACL is of an unknown version"
    );
    let entries = acl.get(HEAD..).unwrap_or_default().chunks(8).map(|entry| {
        let (tag, id) = (little(entry, 0, 2)? as u32, little(entry, 4, 4)?);
        let Some((_, whom)) = TAGS.iter().find(|(known, _)| *known == tag) else {
            bail!("an ACL has an unknown entry");
        };
        let id = match tag {
            USER | GROUP => id.to_string(),
            _ => String::new(),
        };
        let permissions = little(entry, 2, 2)?;
        let may = |bit, letter| if permissions & bit != 0 { letter } else { '-' };
        let (r, w, x) = (may(4, 'r'), may(2, 'w'), may(1, 'x'));
        Ok(format!("{whom}:{id}:{r}{w}{x}"))
    });
    Ok(entries.collect::<Result<Vec<_>>>()?.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_the_same_acl() {
        let words = "user::rw-,user:1000:r-x,group::r--,mask::rwx,other::---";
        let entries: [(u16, u16, u32); 5] = [
            (1, 6, NOBODY),
            (2, 5, 1000),
            (4, 4, NOBODY),
            (0x10, 7, NOBODY),
            (0x20, 0, NOBODY),
        ];
        let mut ext = 1_u32.to_le_bytes().to_vec();
        let mut xfs = 5_u32.to_be_bytes().to_vec();
        for (tag, permissions, id) in entries {
            ext.extend(tag.to_le_bytes());
            ext.extend(permissions.to_le_bytes());
            if tag == 2 {
                ext.extend(id.to_le_bytes());
            }
            xfs.extend(u32::from(tag).to_be_bytes());
            xfs.extend(id.to_be_bytes());
            xfs.extend(permissions.to_be_bytes());
            xfs.extend([0, 0]);
        }
        let ext = of_ext(&ext).unwrap();
        assert_eq!(text(&ext).unwrap(), words);
        let (name, xfs) = of_xfs("trusted.SGI_ACL_DEFAULT", &xfs).unwrap().unwrap();
        assert_eq!((name, xfs.as_slice()), ("system.posix_acl_default", &*ext));
        assert_eq!(of_xfs("trusted.other", b"").unwrap(), None);
        for broken in [&ext[..7], &[2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0][..], b""] {
            text(broken).unwrap_err();
        }
        of_ext(b"\x02\0\0\0").unwrap_err();
        of_xfs("trusted.SGI_ACL_FILE", b"\0\0\0\x01").unwrap_err();
    }
}
