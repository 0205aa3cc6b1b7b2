//! One install, from plan to finished image.
//!
//! [`run()`] is the whole of it: it takes a [`place`] (an entry in the [`register`], a [`workdir`],
//! a [`runtime`] directory; [`sweep`] removes what dead builds left there) and makes attempts until
//! one succeeds or no further one would help (`retry`). The parts of an `attempt`: [`plan`] has
//! decided; [`prepare`] opens libvirt and gets the installer; [`offer`] puts in place what the guest
//! is handed ([`contents`], [`relay`], [`initrd`]); [`guest`] makes the guest, [`supervise`] follows
//! it, until it ends or somebody wants it to [`stop`]; [`manifest`] says what was made of what;
//! [`failed`] ends a failed one and keeps its [`evidence`] (`sections` names its script).

mod attempt;
pub mod contents;
pub mod directories;
pub mod evidence;
pub mod failed;
pub mod guest;
mod hidden;
pub mod initrd;
mod keeping;
pub mod manifest;
mod mask_raw;
pub mod offer;
pub mod place;
pub mod plan;
pub mod prepare;
pub mod record;
pub mod register;
pub mod relay;
mod retry;
mod run;
pub mod runtime;
mod sections;
pub mod stop;
pub mod supervise;
pub mod sweep;
mod timings;
mod versions;
pub mod workdir;

pub use run::{Finished, run};
