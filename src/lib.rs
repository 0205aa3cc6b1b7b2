//! Unattended installs of RHEL-family distributions into golden images.
//!
//! `ozr` runs a distribution's own installer (anaconda) in a libvirt guest and keeps the disk.
//! The modules form layers; a module may name those to its right, never those to its left:
//!
//! ```text
//! main → cli → commands → build → {mirror, serve, host, watch, image}
//!                               → {tdl, kickstart, distro, ui::event, diagnostic, process, error}
//! ```
//!
//! * [`cli`]: the command line and the configuration file, nothing else.
//! * [`commands`]: one file per verb; from options to a build and its report.
//! * [`build`]: one install from plan to finished image.
//! * [`mirror`]: install trees: `.treeinfo`, downloads, the cache.
//! * [`serve`]: the HTTP server that the guest asks for its kickstart.
//! * [`host`]: what runs guests: libvirt, QEMU, accelerators, networks.
//! * [`watch`]: what the guest says, and what it means.
//! * [`image`]: disks, and what lies beside a finished one.
//! * [`tdl`]: the template language. [`kickstart`]: the kickstart language.
//! * [`distro`]: what is known of each release.
//! * [`ui`]: events, and the only place that prints.

pub mod build;
pub mod cli;
pub mod commands;
pub mod diagnostic;
pub mod distro;
pub mod error;
pub mod host;
pub mod image;
pub mod kickstart;
pub mod mirror;
pub mod process;
pub mod serve;
pub mod tdl;
pub mod ui;
pub mod watch;
