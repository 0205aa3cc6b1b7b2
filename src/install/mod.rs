//! One install, from plan to finished image.
//!
//! [`run()`] is the whole of it: it takes a [`place`] (an entry in the register and directories, all
//! of [`state`](crate::state); [`leftovers`] finds and removes what dead builds left there) and makes
//! attempts until one succeeds or no further one would help. The parts of an `attempt`: [`plan`] has
//! decided; [`prepare`] opens libvirt and gets the installer; [`handover`] puts in place what the guest
//! is handed ([`answers`], [`contents`], [`relay`]); [`guest`] makes the guest, [`supervise`] follows
//! it, until it ends or somebody cancels it (`reporting` tells how far it is, and how long it will go on by the
//! [`history`] of earlier builds); `finish` seals what was installed; [`failed`] ends a failed one and keeps
//! its [`evidence`]; `documents` say what was made of what, with which versions, and how long it took.
//! [`boot_test`] boots what was made, and any other image.
//! All the while [`control`] answers whoever asks how far it is.

pub mod access;
pub mod again;
pub mod answers;
mod attempt;
pub mod boot_test;
mod carry;
pub mod contents;
pub mod control;
pub mod customize;
mod documents;
mod dry_run;
pub mod evidence;
pub mod failed;
pub mod fingerprint;
mod finish;
pub mod guest;
pub mod handover;
pub mod history;
pub mod hooks;
pub mod isos;
pub mod leftovers;
mod papers;
pub mod place;
pub mod plan;
pub mod prepare;
mod provenance;
pub mod record;
pub mod relay;
pub mod remarks;
mod reporting;
mod repositories;
pub mod run;
mod signed;
mod start;
pub mod supervise;
pub mod trials;
pub mod warm;

pub use run::{Finished, run, wait_to_retry};
