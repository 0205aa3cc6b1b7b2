//! What is known of each release: names, boot options, places in the install tree, needs.
//!
//! [`Release`] is made from the `<os>` of a template; everything that depends on the release is a
//! method of it, so that no other module asks which release it has in hand.

pub mod boot;
mod names;
mod needs;
mod release;

pub use boot::{
    BootError, BootInput, CDROM, InstallerSource, KickstartPlace, NO_MITIGATIONS, TreeLayout,
};
pub use names::{ReleaseError, ReleaseField};
pub use needs::{PORTABLE_PACKAGE, SerialConsole, VirtioModel, serial_console};
pub use release::{Arch, Generation, Product, Release};
