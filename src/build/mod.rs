//! One install, from plan to finished image.

pub mod contents;
pub mod paths;
pub mod plan;
pub mod workdir;
