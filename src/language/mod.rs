//! The kickstart language: what the installer of each release accepts, without running it.
//!
//! [`table`] holds what is data: commands, options, values, and which release has them.
//! [`arguments`] reads a line in the way of Python's argparse, [`rules`] judge what no table can
//! hold, [`mod@line`] puts them together, and [`reading`] goes through a whole kickstart with its
//! includes. [`difference`] compares versions.

pub mod arguments;
mod declared;
pub mod difference;
pub mod line;
pub mod packages;
pub mod problem;
pub mod reading;
pub mod rules;
pub mod table;
pub mod values;
mod version;

pub use reading::{Included, Includes, NoIncludes, Reading};
pub use version::Version;
