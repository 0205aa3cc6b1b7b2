//! Boot tests: an image is booted on an overlay, followed on its serial console until it is up or
//! clearly will not be, and ended; what was written to the overlay is read without the guest's help.
//!
//! [`run`] tests as a [`plan::BootPlan`] says, in a [`Place`](super::place::Place) as a build has it:
//! with an entry in the register, directories of its own, and nothing left behind. The parts:
//! `guest` makes the overlay, the `seed` and the guest, `follow` listens to it, `inside` asks it `questions`, `identity` reads what
//! a clone has made for itself, `health`, `denials` and `growth` what every image has to have right, [`evidence`] keeps what was
//! seen. `after_install` is the boot test of a build.

pub mod after_install;
mod denials;
mod dhcp;
pub mod evidence;
mod follow;
mod growth;
mod guest;
mod health;
mod identity;
mod inside;
pub mod plan;
pub mod prepare;
mod questions;
pub mod report;
mod seed;
pub mod summary;
mod test;

pub use test::{Stage, run};
