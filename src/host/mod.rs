//! What runs guests: libvirt, QEMU, accelerators, networks.

// Without libvirt much of this has no user.
#![cfg_attr(not(feature = "libvirt"), allow(dead_code))]

mod carrying;
mod connection;
mod domain;
pub mod domain_file;
mod domain_xml;
mod guest;
mod life;
mod marker;
mod network;
mod private_root;
mod probe;
mod qemu_process;
mod qemu_user;
mod tunnel;

#[cfg(feature = "libvirt")]
mod libvirt;
#[cfg(not(feature = "libvirt"))]
#[path = "without_libvirt.rs"]
mod libvirt;

pub use carrying::Carrying;
pub use connection::{Connection, DEFAULT_POOL, HostOptions, Versions};
pub use domain::{DirectBoot, DiskSpec, DomainSpec, Mac, NicSpec, domain_name, finished_name};
pub use domain_xml::{HANDOVER_PORT, LATE_DISKS, LOG_PORT, bootable_xml};
pub use guest::{Counters, GuestPaths, GuestSockets, SavedGuest, Started};
pub use libvirt::{Guest, Host, Observer, Port, can_run_guests, prepare_environment};
pub use life::GuestEnd;
pub use marker::Marker;
pub use network::{ServePlace, user_network};
pub use private_root::embedded_uri;
pub use probe::{Accel, KvmFacts, Probe, choose};
pub use qemu_process::{end_processes_left, processes_left};
pub use tunnel::Tunnel;
