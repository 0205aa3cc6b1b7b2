//! One install, from plan to finished image.
//!
//! [`run()`] is the whole of it; the other files are its parts:
//! [`plan`] decides, [`workdir`] and [`runtime`] hold what is unfinished, [`contents`], [`relay`]
//! and [`initrd`] bring things to the guest, [`guest`] makes it, [`supervise`] follows it,
//! [`evidence`] keeps what explains a failure, [`manifest`] says what was made of what.

pub mod contents;
pub mod directories;
pub mod evidence;
pub mod guest;
pub mod initrd;
pub mod manifest;
pub mod plan;
pub mod relay;
mod run;
pub mod runtime;
pub mod supervise;
pub mod workdir;

pub use run::{Finished, run};
