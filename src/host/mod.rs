//! What runs guests: libvirt, QEMU, accelerators, networks.

mod domain;
mod domain_xml;
mod libvirt;
mod libvirt_create;
mod libvirt_events;
mod libvirt_guest;
mod libvirt_raw;
mod libvirt_refusals;
mod libvirt_stream;
mod life;
mod marker;
mod network;
mod private_root;
mod probe;
mod qemu_process;
mod qemu_user;

pub use domain::{DirectBoot, DiskSpec, DomainSpec, Mac, NicSpec, domain_name, finished_name};
pub use domain_xml::{LOG_PORT, bootable_xml};
pub use libvirt::{Connection, Host, HostOptions, Versions};
pub use libvirt_create::Started;
pub use libvirt_events::prepare_environment;
pub use libvirt_guest::{Counters, Guest, GuestSockets, Observer};
pub use libvirt_stream::Port;
pub use life::GuestEnd;
pub use marker::Marker;
pub use network::{ServePlace, user_network};
pub use private_root::embedded_uri;
pub use probe::{Accel, KvmFacts, Probe, choose};
pub use qemu_process::{end_processes_left, processes_left};
