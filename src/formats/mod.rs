//! What a disk is made into: the formats of clouds, hypervisors and tools.
//!
//! [`make`] makes all that are asked for, [`conversion`] gives them their names. The disk is read once ([`source`], [`spread`]) for what is
//! written here:
//!
//! * [`raw`]: a plain image, or with its [footer](vhd) Azure's VHD. [`bmap`]: its block map.
//! * [`stream`]: a plain image, packed as it is written.
//! * [`gcp`]: Google Cloud's archive.
//! * [`vmdk`]: VMware's streamOptimized disk.
//!
//! `qemu-img` writes qcow2, VHDX and the VMDK that VMware's desktop products write to. What importers
//! take whole is packed then ([`package`]): [`ova`] with its [descriptor](ovf), [`vagrant`],
//! [`containerdisk`] in a [`container`]'s image; [`aws`] has a text.
//!
//! The files of the system that is on the disks are archived by [`trees`], as members of [`pax`] archives and with
//! what is known of them ([`facts`]): plainly, for the installer with its kickstart ([`liveimg`]), for [`wsl`], for
//! containers ([`oci`]).
//!
//! Below them: [`pool`], all processors; [`packed`], streams that are packed on them; [`tarball`];
//! [`hardware`], the machine that an image is for; [`boot`], how a disk can start; [`uuid`].

pub mod aws;
pub mod bmap;
pub mod boot;
pub mod container;
pub mod containerdisk;
pub mod conversion;
pub mod digested;
pub mod facts;
pub mod gcp;
pub mod hardware;
pub mod liveimg;
pub mod make;
pub mod oci;
pub mod ova;
pub mod ovf;
pub mod package;
pub mod packed;
pub mod pax;
pub mod pool;
pub mod raw;
pub mod source;
pub mod spread;
pub mod stream;
pub mod tarball;
pub mod trees;
pub mod uuid;
pub mod vagrant;
pub mod vhd;
pub mod vmdk;
pub mod wsl;
