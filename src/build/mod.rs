//! One install, from plan to finished image.
//!
//! [`run()`] is the whole of it; the other files are its parts:
//! [`plan`] decides; [`prepare`] takes what a build stands on ([`workdir`], [`runtime`] and
//! [`directories`] hold what is unfinished); [`offer`] puts in place what the guest is handed
//! ([`contents`], [`relay`], [`initrd`]); [`guest`] makes the guest, [`supervise`] follows it,
//! [`evidence`] keeps what explains a failure (`sections` names its script), [`manifest`] says what
//! was made of what.

pub mod contents;
pub mod directories;
pub mod evidence;
pub mod guest;
pub mod initrd;
pub mod manifest;
pub mod offer;
pub mod plan;
pub mod prepare;
pub mod relay;
mod run;
pub mod runtime;
mod sections;
pub mod supervise;
pub mod workdir;

pub use run::{Finished, run};
