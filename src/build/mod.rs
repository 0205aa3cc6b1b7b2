//! One install, from plan to finished image.

pub mod contents;
pub mod initrd;
pub mod paths;
pub mod plan;
pub mod relay;
pub mod runtime;
// pub mod supervise;
pub mod workdir;
