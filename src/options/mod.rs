//! What an install can be told, on the command line and in the configuration file.

pub mod config;
mod install;
mod values;

pub use install::InstallOptions;
pub use values::{Compress, Deliver, Format, Relay, Seconds};
