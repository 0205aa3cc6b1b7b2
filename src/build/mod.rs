//! One install, from plan to finished image.

pub mod paths;
pub mod workdir;
