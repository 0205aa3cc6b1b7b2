//! Unattended installs of RHEL-family distributions into golden images.
//!
//! `ozr` runs a distribution's own installer (anaconda) in a libvirt guest and keeps the disk.
//! The modules form layers; a module may name those to its right, never those to its left:
//!
//! ```text
//! main → cli → commands → {install, verify, media, diff} → {check, formats, metal} → {mirror, serve, host, image} → sbom → inspect → packages → disk → ui::event
//!                               → {watch, tdl, language, kickstart, distro, options, machine, state, process, blocking, panics, printable, terminal, input, ini, initrd, gpgv, hex, diagnostic, error}
//! ```
//!
//! * [`cli`]: the command line: which command, how much to say.
//! * [`commands`]: one file per verb; from options to a build and its report.
//! * [`install`]: one install from plan to finished image.
//!   [`install::warm`]: installers whose state is saved, for `ozr try`.
//! * [`check`]: what is wrong with a template or kickstart, before a guest boots.
//! * [`metal`]: images onto disks.
//! * [`media`]: what machines boot to be given an image.
//! * [`mirror`]: install trees: `.treeinfo`, downloads, the cache.
//! * [`serve`]: the HTTP server that the guest asks for its kickstart.
//! * [`host`]: what runs guests: libvirt (the feature `libvirt`), QEMU, accelerators, networks.
//! * [`watch`]: what the guest says, and what it means.
//! * [`formats`]: what a disk is made into: the formats of clouds, hypervisors and tools.
//! * [`verify`]: whether a file is what an importer takes.
//! * [`image`]: disks, and what lies beside a finished one.
//! * [`disk`]: what is on a disk, read without mounting it.
//! * [`sbom`]: what an image is made of, for scanners.
//! * [`inspect`]: what an image is, read offline. [`diff`]: what is different in a later one.
//! * [`packages`]: what is installed, from RPM's databases.
//! * [`tdl`]: the template language. [`kickstart`]: the text of kickstarts.
//! * [`language`]: what the installer of each release accepts in a kickstart.
//! * [`distro`]: what is known of each release.
//! * [`machine`]: what a guest is made of.
//! * [`options`]: what an install can be told, on the command line and in the configuration file.
//! * [`state`]: directories that are ozr's own, and the locks in them.
//! * [`secrets`]: what no log may hold.
//! * [`terminal`]: asking a person for a secret.
//! * [`input`]: reading what users and their files name, within bounds.
//! * [`ini`]: settings as Python writes them.
//! * [`initrd`]: initial file systems with something of ours in them.
//! * [`gpgv`]: whether a text is signed by a key that the user trusts.
//! * [`hex`]: hexadecimal digits: digests and random numbers.
//! * [`panics`]: what a defect of ozr's own does.
//! * [`printable`]: text of others, fit to be printed.
//! * [`process`]: the one way to run other programs. [`blocking`]: the one to make calls that may hang.
//! * [`ui`]: events, and the only place that prints.

pub mod blocking;
pub mod check;
pub mod cli;
pub mod commands;
pub mod diagnostic;
pub mod diff;
pub mod disk;
pub mod distro;
#[cfg(test)]
mod documented;
pub mod error;
pub mod formats;
pub mod gpgv;
pub mod hex;
pub mod host;
pub mod image;
pub mod ini;
pub mod initrd;
pub mod input;
pub mod inspect;
pub mod install;
pub mod kickstart;
pub mod language;
pub mod machine;
pub mod media;
pub mod metal;
pub mod mirror;
pub mod options;
pub mod packages;
pub mod panics;
pub mod printable;
pub mod process;
pub mod sbom;
pub mod secrets;
pub mod serve;
pub mod state;
pub mod tdl;
pub mod terminal;
pub mod ui;
pub mod verify;
pub mod watch;
