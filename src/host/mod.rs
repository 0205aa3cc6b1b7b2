//! What runs guests: libvirt, QEMU, accelerators, networks.

mod accel;
mod connection;
mod domain;
mod domain_xml;
mod mac;
mod marker;
mod name;
mod network;

pub use accel::{Accel, AccelChoice, Chosen, KvmFacts, choose};
pub use connection::Connection;
pub use domain::{Chipset, DirectBoot, DiskBus, DiskFormat, DiskSpec, DomainSpec, Firmware};
pub use domain_xml::bootable_xml;
pub use mac::Mac;
pub use marker::Marker;
pub use name::domain_name;
pub use network::{Network, ServePlace};
