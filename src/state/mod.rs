//! What builds have and know of each other outside of memory.
//!
//! [`directories`] says where; an [`OwnedDir`] is a directory that is ozr's own, or refused; a
//! [`LockFile`] in one lives as long as its process. Of these are made the [`register`] of builds, the
//! [`work_dir`] and [`runtime_dir`] of each, and the [`slots`] in which their guests run.

pub mod directories;
pub mod lock_file;
pub mod owned_dir;
pub mod register;
pub mod runtime_dir;
pub mod slots;
pub mod work_dir;

pub use lock_file::{Access, Asked, LockFile};
pub use owned_dir::OwnedDir;

/// The kernel's id of this host's current run (random(4)); none where `/proc` does not tell.
pub fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}
