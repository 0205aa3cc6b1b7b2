//! What machines boot to be given an image: `ozr media`.
//!
//! ```text
//! medium   the whole of one order: image, initrd, disc or directory
//! image    the image as it lies on a medium                program  ozr itself, for the initrd
//! loader   GRUB, of the tree or of this host               menu     what boot loaders read
//! beside   what the image's manifest tells
//! job      what the machine is to do                       choice   which disk of the machine
//! deploy   the work on the machine
//! ```
//!
//! The medium boots the kernel and the initramfs of the release's installer, which has the drivers that the
//! distribution ships for machines, brings the network up as `ip=` says, and runs hooks (dracut.cmdline(7),
//! dracut.modules(7)). At such a hook `ozr` itself writes the image, as `ozr write` does: the same refusals,
//! the same order, read back. anaconda's `liveimg` would need the second stage (1 GB) on each medium, makes the
//! partitions anew, and does not read back.

pub mod beside;
pub mod choice;
pub mod deploy;
pub mod image;
pub mod job;
pub mod loader;
pub mod medium;
pub mod menu;

mod program;

/// What is on every medium, by its name there.
pub mod files {
    /// The tree's kernel.
    pub const KERNEL: &str = "vmlinuz";
    /// The tree's initrd, with what ozr puts behind it.
    pub const INITRD: &str = "initrd.img";
    /// GRUB's configuration.
    pub const MENU: &str = "grub.cfg";
    /// iPXE's script.
    pub const IPXE: &str = "boot.ipxe";
    /// GRUB for a BIOS that boots from the network.
    pub const PXE: &str = "grub.0";
}
