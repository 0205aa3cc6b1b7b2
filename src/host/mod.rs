//! What runs guests: libvirt, QEMU, accelerators, networks.

mod abandoned;
mod accel;
mod connection;
mod daemon_user;
mod domain;
mod domain_xml;
mod lending;
mod libvirt;
mod libvirt_events;
mod libvirt_guest;
mod libvirt_raw;
mod libvirt_stream;
mod life;
mod mac;
mod marker;
mod name;
mod network;
mod port;
mod private_root;
mod probe;
mod reaper;

pub use abandoned::remove_abandoned;
pub use accel::{Accel, Chosen, KvmFacts, choose};
pub use connection::Connection;
pub use domain::{Chipset, DirectBoot, DiskFormat, DiskSpec, DomainSpec};
pub use domain_xml::bootable_xml;
pub use libvirt::{Existing, Host, HostOptions, Started, Versions};
pub use libvirt_events::quiet_libvirt;
pub use libvirt_guest::{Counters, Guest, Screenshot};
pub use life::{EndCause, GuestEnd};
pub use mac::Mac;
pub use marker::Marker;
pub use name::domain_name;
pub use network::ServePlace;
pub use port::Port;
pub use probe::Probe;
