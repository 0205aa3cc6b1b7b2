//! The kickstart language: what the installer of each release accepts, without running it.

mod version;

pub use version::Version;
