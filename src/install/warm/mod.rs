//! Saved installers: guests whose state was saved just before they read a kickstart, so that `ozr try` need not
//! boot one.
//!
//! A state is made (`make`) by booting the installer with a kickstart of ozr's own (`loader.ks`), which says on a
//! port of its own that it waits; libvirt then writes the guest's memory to a file of the [`store`]. It is found
//! again by its `key`: everything that QEMU would not notice to be another. Where it is loaded (`load`), the guest
//! gets its disks, the time, fresh entropy and the kickstart (`handing`). What a kickstart asks for too late for that
//! sends it to a boot as for an install, with a word (`late`).
//!
//! Nothing secret is in a state: it is saved before there is a secret. No image is made from one: identities that an
//! installer makes when it starts would be in every image (`docs/try.md`).

use std::time::Duration;

mod append;
mod handing;
mod key;
mod late;
mod load;
mod make;
pub mod store;

pub(super) use handing::Listener;
pub(super) use load::Resumed;

/// The kickstart in which an installer waits.
pub const LOADER: &str = include_str!("loader.ks");

/// How long saving a guest may take: its memory is written to the cache's disk.
const SAVE_LIMIT: Duration = Duration::from_secs(600);

/// Name of the initrd with it, in a work directory.
const LOADER_INITRD: &str = "loader.img";
