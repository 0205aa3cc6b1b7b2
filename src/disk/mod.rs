//! Reads disks without mounting them: images, partition tables, LVM, file systems, and the system that is
//! installed on them.
//!
//! Whatever a disk holds was written by its guest, and is taken for hostile: all that is read has a
//! bound, and what is broken is an error. Memory and time as a whole are the matter of the process that
//! reads ([`crate::image::reader`]). What cannot be read (thin, unknown, encrypted without a key) is named,
//! never taken for empty.

pub mod acl;
pub mod bytes;
pub mod contents;
pub mod device;
pub mod fstab;
pub mod image_file;
pub mod iso9660;
pub mod luks;
pub mod lvm;
pub mod lvm_text;
pub mod partitions;
pub mod qcow2;
pub mod system;
pub mod tree;
pub mod volumes;
pub mod walk;

mod btrfs;
mod btrfs_items;
mod ext;
mod ext_inode;
mod fat;
mod luks_header;
mod luks_slot;
mod xfs;
mod xfs_inode;
mod xfs_log;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// A name or path of a disk, which is bytes.
fn path_of(bytes: &[u8]) -> PathBuf {
    OsStr::from_bytes(bytes).into()
}
